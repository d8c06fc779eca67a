/* SPDX-License-Identifier: Apache-2.0 */
#include "export/utf8.h"

#include <string.h>

/* Length of the run of ASCII at the start. */
static size_t ascii_run(const uint8_t *text, size_t len)
{
	size_t i = 0;
	uint64_t word;

	for (; len - i >= 8; i += 8) {
		memcpy(&word, text + i, 8);
		if (word & 0x8080808080808080u)
			break;
	}
	while (i < len && text[i] < 0x80)
		i++;
	return i;
}

/*
 * One sequence that starts with a byte >= 0x80. Returns the bytes it takes; *ret_valid says whether it is well-formed
 * (Unicode table 3-7), and where it is not, the bytes are its maximal subpart.
 */
static size_t sequence(const uint8_t *text, size_t len, bool *ret_valid)
{
	uint8_t lead = text[0], low = 0x80, high = 0xbf;
	size_t need, i;

	*ret_valid = false;
	if (lead < 0xc2 || lead > 0xf4)
		return 1;
	need = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
	if (lead == 0xe0)
		low = 0xa0; /* shorter forms exist */
	else if (lead == 0xed)
		high = 0x9f; /* surrogates */
	else if (lead == 0xf0)
		low = 0x90; /* shorter forms exist */
	else if (lead == 0xf4)
		high = 0x8f; /* beyond U+10FFFF */
	for (i = 1; i < need; i++) {
		if (i == len || text[i] < low || text[i] > high)
			return i;
		low = 0x80;
		high = 0xbf;
	}
	*ret_valid = true;
	return need;
}

bool utf8_is_valid(const uint8_t *text, size_t len)
{
	size_t i = ascii_run(text, len);
	bool valid;

	while (i < len) {
		i += sequence(text + i, len - i, &valid);
		if (!valid)
			return false;
		i += ascii_run(text + i, len - i);
	}
	return true;
}

size_t utf8_clean(uint8_t *ret, const uint8_t *text, size_t len)
{
	size_t i = 0, out = 0, n;
	bool valid;

	while (i < len) {
		n = ascii_run(text + i, len - i);
		memcpy(ret + out, text + i, n);
		out += n;
		i += n;
		if (i == len)
			break;
		n = sequence(text + i, len - i, &valid);
		memcpy(ret + out, valid ? text + i : (const uint8_t *)"\xef\xbf\xbd", valid ? n : 3);
		out += valid ? n : 3;
		i += n;
	}
	return out;
}
