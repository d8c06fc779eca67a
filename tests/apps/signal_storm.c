/* SPDX-License-Identifier: Apache-2.0 */
/* A handler that reads and writes interrupts a thread that does the same, some thousand times. No byte is lost. */
#include "app.h"

#include <sys/time.h>

static int main_fds[2], handler_fds[2];
static volatile sig_atomic_t handled, failed;

static void handle(int signal)
{
	char bytes[8];
	int errno_saved = errno;

	(void)signal;
	if (write(handler_fds[0], "12345678", 8) != 8 || read(handler_fds[1], bytes, 8) != 8 ||
	    memcmp(bytes, "12345678", 8) != 0)
		failed = 1;
	handled++;
	errno = errno_saved;
}

int main(void)
{
	struct sigaction action = { .sa_handler = handle, .sa_flags = SA_RESTART };
	struct itimerval interval = { { 0, 200 }, { 0, 200 } };

	tcp_pair(main_fds);
	tcp_pair(handler_fds);
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &interval, NULL);
	for (unsigned i = 0; handled < 2000 && !failed; i++) {
		unsigned got = 0;

		if (write(main_fds[0], &i, sizeof(i)) != sizeof(i) ||
		    read(main_fds[1], &got, sizeof(got)) != sizeof(got) ||
		    got != i)
			failed = 2;
	}
	setitimer(ITIMER_REAL, &(struct itimerval){ 0 }, NULL);
	printf("failed %d\n", (int)failed);
	return failed;
}
