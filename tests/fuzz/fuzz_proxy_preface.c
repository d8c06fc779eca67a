/* SPDX-License-Identifier: Apache-2.0 */
/* Arbitrary bytes as the start of a connection. What is accepted is bounded, and each prefix of it is too short to say. */
#include <stdlib.h>

#include "shim/protocols/proxy_preface.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool promise)
{
	if (!promise)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct proxy_preface p, again;
	long len = proxy_preface_parse(slice(data, size), &p);

	check(len <= 536 && (len < 0 || (size_t)len <= size));
	check(len != 0 || size < 536);
	if (len <= 0)
		return 0;
	check(p.family == 0 || ((p.family == 4 || p.family == 6) && !p.local));
	check(proxy_preface_parse(slice(data, (size_t)len), &again) == len);
	for (size_t n = 0; n < (size_t)len; n++)
		check(proxy_preface_parse(slice(data, n), &again) == 0);
	return 0;
}
