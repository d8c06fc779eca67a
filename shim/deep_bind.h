/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Objects that the program opens with RTLD_DEEPBIND, as PHP does its extensions, find libc before they find us. Their calls, and those of
 * the libraries that came with them, are led to our hooks through their global offset tables. The flag itself
 * stays: without it they would be bound to other copies of their own libraries.
 *
 * Context: around dlopen. Allocates nothing; takes the loader's lock, as dlopen does.
 */

/* After a load: the objects that are new since the last engine_binding_deeply(), if there was one. */
void deep_bind_patch(void);
