/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

struct thread;

/*
 * In a forked child, before anything of its own: what it was forked for. Many close all descriptors before they run another program,
 * and with the connection goes what is known of its request.
 */
void environment_forked(struct thread *t);
