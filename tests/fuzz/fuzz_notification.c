// fuzz_notification: notification documents of a stranger. What is accepted is printed, read again, and the same.
// SPDX-License-Identifier: Apache-2.0
#include "codec/notification.h"
#include "codec/xml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void print(const struct notification *l, struct buf *b)
{
	buf_init(b, 16 << 20);
	xml_open(b, "NotificationConfiguration");
	notification_write(l, b);
	xml_close(b, "NotificationConfiguration");
	check(!b->over);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_arena struct arena a = { 0 };
	struct notification l = { 0 }, again = { 0 };
	struct err e = { 0 };
	auto_buf struct buf first = { 0 };
	auto_buf struct buf second = { 0 };

	if (notification_parse(&a, span_make(data, size), &l, &e) < 0) {
		check(e.sys == NOTIFICATION_MALFORMED || e.sys == NOTIFICATION_ARGUMENT);
		return 0;
	}
	for (size_t i = 0; i < l.n; i++)
		(void)notification_fits(&l.rules[i], NOTIFICATION_PUT, SPAN("in/a.jpg"));
	print(&l, &first);
	// Texts that XML cannot hold become longer when printed, so that a bound may be reached.
	if (notification_parse(&a, buf_span(&first), &again, &e) < 0) {
		check(e.sys == NOTIFICATION_ARGUMENT);
		return 0;
	}
	check(again.n == l.n);
	print(&again, &second);
	check(span_eq(buf_span(&first), buf_span(&second)));
	return 0;
}
