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

bool range_of_content(struct span field, uint64_t *first, uint64_t *last, uint64_t *total)
{
	struct span range, from, value = field;

	if (!span_starts_nocase(value, SPAN("bytes ")))
		return false;
	value = span_from(value, 6);
	range = span_cut(&value, '/');
	from = span_cut(&range, '-');
	*total = UINT64_MAX;
	return span_to_u64(from, first) && span_to_u64(range, last) && *first <= *last &&
	       (span_is(value, "*") || (span_to_u64(value, total) && *last < *total));
}
