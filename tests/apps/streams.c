/* SPDX-License-Identifier: Apache-2.0 */
/* stdio over sockets and pipes; descriptors that fclose and freopen end, and their numbers given to others. */
#include "app.h"

int main(void)
{
	char line[32] = "";
	int fds[2];

	tcp_pair(fds);

	FILE *out = fdopen(fds[0], "w"), *in = fdopen(fds[1], "r");

	TRY(fprintf(out, "hello\n"));
	TRY(fclose(out));
	puts(fgets(line, sizeof(line), in) ? line : "none");
	TRY(open("/dev/null", O_RDWR) == fds[0]);
	TRY(write(fds[0], "into a file", 11));
	TRY(freopen("/dev/zero", "r", in) == in);
	TRY(read(fileno(in), line, 4));
	TRY(line[0]);
	TRY(freopen64("/dev/null", "r", in) == in);
	TRY(fclose(in));
	TRY(fclose(stdin));
	TRY(open("/dev/null", O_RDONLY));
	list_descriptors();
	return 0;
}
