/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/sampler.h"

#include <string.h>

#include "shim/config.h"

enum root_sampler { ROOT_ON, ROOT_OFF, ROOT_RATIO };

static struct {
	enum root_sampler root;
	bool parent_based;
	uint64_t threshold; /* sampled when the trace id's value is below: 0 to 2^63 */
} sampler = {.root = ROOT_ON, .parent_based = true};

#define ONE (1ull << 63)

/* A decimal fraction in [0,1] without locale or libc: "0.01", "1", "1e-3". */
static bool parse_ratio(const char *text, uint64_t *ret)
{
	uint64_t digits = 0, scale = 1;
	bool point = false, any = false;
	int exponent = 0;

	for (; (*text >= '0' && *text <= '9') || (*text == '.' && !point); text++) {
		if (*text == '.') {
			point = true;
			continue;
		}
		any = true;
		if (scale >= 1000000000000ull || digits > 1000000000000ull)
			continue; /* beyond what a probability needs */
		digits = digits * 10 + (uint64_t)(*text - '0');
		scale *= point ? 10 : 1;
	}
	if ((*text == 'e' || *text == 'E') && text[1] == '-' && text[2] >= '0' && text[2] <= '9') {
		for (text += 2; *text >= '0' && *text <= '9'; text++)
			exponent = exponent < 100 ? exponent * 10 + (*text - '0') : exponent;
	}
	if (!any || *text != '\0')
		return false;

	long double ratio = (long double)digits / (long double)scale;

	for (; exponent > 0; exponent--)
		ratio /= 10;
	if (ratio > 1)
		return false;
	*ret = ratio >= 1 ? ONE : (uint64_t)(ratio * (long double)ONE);
	return true;
}

const char *sampler_start(void)
{
	static const struct {
		const char *name;
		enum root_sampler root;
		bool parent_based;
	} known[] = {
		{"always_on", ROOT_ON, false},		      {"always_off", ROOT_OFF, false},
		{"traceidratio", ROOT_RATIO, false},	      {"parentbased_always_on", ROOT_ON, true},
		{"parentbased_always_off", ROOT_OFF, true}, {"parentbased_traceidratio", ROOT_RATIO, true},
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (!config_is(config.sampler, known[i].name))
			continue;
		sampler.root = known[i].root;
		sampler.parent_based = known[i].parent_based;
		sampler.threshold = ONE;
		if (sampler.root == ROOT_RATIO && *config.sampler_arg && !parse_ratio(config.sampler_arg, &sampler.threshold))
			return "OTEL_TRACES_SAMPLER_ARG is not a number from 0 to 1; 1 is used";
		return NULL;
	}
	return "OTEL_TRACES_SAMPLER is not a sampler we know; parentbased_always_on is used";
}

bool sampler_wants(const struct context *parent, const uint8_t trace_id[16])
{
	uint64_t value;

	if (parent && sampler.parent_based)
		return parent->flags & TRACE_FLAG_SAMPLED;
	if (sampler.root != ROOT_RATIO)
		return sampler.root == ROOT_ON;
	memcpy(&value, trace_id + 8, 8);
	return __builtin_bswap64(value) >> 1 < sampler.threshold;
}
