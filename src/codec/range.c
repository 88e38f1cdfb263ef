// SPDX-License-Identifier: Apache-2.0
#include "codec/range.h"

enum range range_parse(struct span field, uint64_t size, uint64_t *from, uint64_t *n)
{
	struct span last, first;
	uint64_t a, b;

	if (!span_starts(field, SPAN("bytes=")) || span_find(field, ',') >= 0 ||
	    span_find(field, '-') < 0)
		return RANGE_WHOLE;
	last = span_from(field, sizeof("bytes=") - 1);
	first = span_trim(span_cut(&last, '-'));
	last = span_trim(last);
	if (!first.n) { // the last b bytes
		if (!span_to_u64(last, &b))
			return RANGE_WHOLE;
		if (!b || !size)
			return RANGE_NOT;
		*n = b < size ? b : size;
		*from = size - *n;
		return RANGE_PART;
	}
	b = UINT64_MAX;
	if (!span_to_u64(first, &a) || (last.n && !span_to_u64(last, &b)) || b < a)
		return RANGE_WHOLE;
	if (a >= size)
		return RANGE_NOT;
	*from = a;
	*n = (b < size ? b + 1 : size) - a;
	return RANGE_PART;
}
