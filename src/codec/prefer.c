// SPDX-License-Identifier: Apache-2.0
#include "codec/prefer.h"

int64_t prefer_wait_s(struct span header)
{
	while (header.n) {
		struct span one = span_cut(&header, ',');
		struct span value = span_cut(&one, ';'), name = span_cut(&value, '=');
		uint64_t n;

		if (!span_eq_nocase(span_trim(name), SPAN("wait")))
			continue;
		value = span_trim(value);
		if (value.n > 1 && value.p[0] == '"' && value.p[value.n - 1] == '"')
			value = span_make(value.p + 1, value.n - 2);
		if (!span_to_u64(value, &n))
			return -1;
		return n < PREFER_WAIT_MAX_S ? (int64_t)n : PREFER_WAIT_MAX_S;
	}
	return -1;
}

int64_t prefer_wait_ms(struct span header, int64_t most)
{
	int64_t asked = prefer_wait_s(header);

	return asked >= 0 && asked * 1000 < most ? asked * 1000 : most;
}
