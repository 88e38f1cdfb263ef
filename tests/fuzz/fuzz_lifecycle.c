// fuzz_lifecycle: lifecycle documents of a stranger. What is accepted is printed, read again, and printed the same.
// SPDX-License-Identifier: Apache-2.0
#include "codec/lifecycle.h"
#include "codec/xml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void print(const struct lifecycle *l, struct buf *b)
{
	buf_init(b, 16 << 20);
	xml_open(b, "LifecycleConfiguration");
	lifecycle_write(l, b);
	xml_close(b, "LifecycleConfiguration");
	check(!b->over);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_arena struct arena a = { 0 };
	struct lifecycle l = { 0 }, again = { 0 };
	struct err e = { 0 };
	auto_buf struct buf first = { 0 };
	auto_buf struct buf second = { 0 };

	if (lifecycle_parse(&a, span_make(data, size), &l, &e) < 0) {
		check(e.sys >= LIFECYCLE_MALFORMED && e.sys <= LIFECYCLE_REQUEST);
		return 0;
	}
	for (size_t i = 0; i < l.n; i++)
		(void)lifecycle_fits(&l.rules[i], SPAN("a/b"), size, SPAN("k=v&a=%20"));
	print(&l, &first);
	if (lifecycle_parse(&a, buf_span(&first), &again, &e) < 0) {
		// Only an Expiration that says nothing is not printed.
		check(e.sys == LIFECYCLE_REQUEST || e.sys == LIFECYCLE_MALFORMED);
		return 0;
	}
	print(&again, &second);
	check(span_eq(buf_span(&first), buf_span(&second)));
	return 0;
}
