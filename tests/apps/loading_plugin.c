/* SPDX-License-Identifier: Apache-2.0 */
/* Does hooked I/O in its constructor and when called. */
#include "app.h"

int plugin_answer(void);

static __attribute__((constructor)) void loaded(void)
{
	TRY(close(socket(AF_INET, SOCK_STREAM, 0)));
}

int plugin_answer(void)
{
	int fds[2];

	tcp_pair(fds);
	TRY(write(fds[0], "plugin", 6));
	TRY(read(fds[1], (char[8]){ 0 }, 8));
	close(fds[0]);
	close(fds[1]);
	return 42;
}
