/* SPDX-License-Identifier: Apache-2.0 */
/* A thread per connection. */
#include <stdint.h>

#include "tests/apps/ways.h"

static void *serve(void *fd)
{
	connection_serve((int)(intptr_t)fd);
	return NULL;
}

int main(int argc, char **argv)
{
	serve_parse(argc, argv);
	serve_by_thread(serve);
}
