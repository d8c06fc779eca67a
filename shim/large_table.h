/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * For a zeroed table of several KiB that most processes never touch: the linker puts these behind all other variables (it sorts
 * them by the names of their sections), so that those which each exec touches share a few pages. A first touch of a page costs
 * microseconds.
 */
#define LARGE_TABLE __attribute__((section(".bss.~large")))
