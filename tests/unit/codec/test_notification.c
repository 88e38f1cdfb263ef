// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "base/attr.h"
#include "base/mem.h"
#include "codec/notification.h"

#include <stdio.h>

#define QUEUE(inner)                                                                               \
	"<QueueConfiguration><Queue>arn:minio:sqs::a:webhook</Queue>" inner "</"                   \
	"QueueConfiguration>"
#define DOC(inner) "<NotificationConfiguration>" inner "</NotificationConfiguration>"
#define RULE(name, value) "<FilterRule><Name>" name "</Name><Value>" value "</Value></FilterRule>"
#define FILTER(rules) "<Filter><S3Key>" rules "</S3Key></Filter>"
#define PUT "<Event>s3:ObjectCreated:Put</Event>"

static void rules_say_what_fits(void **state unused_arg)
{
	auto_arena struct arena mem = { 0 };
	struct notification l;
	struct err e = { 0 };
	auto_buf struct buf text = { .max = 4096 };
	const char *content =
		QUEUE("<Event>s3:ObjectCreated:*</Event><Event>s3:ObjectTagging:Put"
		      "</Event>" FILTER(RULE("prefix", "in/") RULE("suffix", ".jpg")));
	auto_free char *doc = mem_printf(DOC("%s"), content);
	const struct notification_rule *r;

	assert_int_equal(notification_parse(&mem, span_of(doc), &l, &e), 0);
	assert_int_equal(l.n, 1);
	r = &l.rules[0];
	assert_true(notification_fits(r, NOTIFICATION_COPY, SPAN("in/a.jpg")));
	assert_true(notification_fits(r, NOTIFICATION_TAGS_PUT, SPAN("in/a.jpg")));
	assert_false(notification_fits(r, NOTIFICATION_TAGS_DELETE, SPAN("in/a.jpg")));
	assert_false(notification_fits(r, NOTIFICATION_PUT, SPAN("in/a.png")));
	assert_false(notification_fits(r, NOTIFICATION_PUT, SPAN("a.jpg")));
	notification_write(&l, &text);
	assert_true(span_is(buf_span(&text), content));
}

static void refused(const char *doc, int fault)
{
	auto_arena struct arena mem = { 0 };
	struct notification l;
	struct err e = { 0 };

	assert_int_equal(notification_parse(&mem, span_of(doc), &l, &e), -1);
	assert_int_equal(e.code, ERR_INVALID);
	assert_int_equal(e.sys, fault);
}

static void what_cannot_be_is_refused(void **state unused_arg)
{
	auto_arena struct arena mem = { 0 };
	char *many = arena_alloc(&mem, 64 << 10);
	size_t n = 0;

	refused("", NOTIFICATION_MALFORMED);
	refused("<Notification/>", NOTIFICATION_MALFORMED);
	refused(DOC("<Queue/>"), NOTIFICATION_MALFORMED);
	refused(DOC("<QueueConfiguration>" PUT "</QueueConfiguration>"), NOTIFICATION_MALFORMED);
	refused(DOC(QUEUE("")), NOTIFICATION_MALFORMED);
	refused(DOC(QUEUE(PUT FILTER("<FilterRule><Name>prefix</Name></FilterRule>"))),
		NOTIFICATION_MALFORMED);
	refused(DOC(QUEUE("<Event>s3:ObjectCreated:put</Event>")), NOTIFICATION_ARGUMENT);
	refused(DOC(QUEUE("<Event>ObjectCreated:Put</Event>")), NOTIFICATION_ARGUMENT);
	refused(DOC(QUEUE(PUT FILTER(RULE("infix", "a")))), NOTIFICATION_ARGUMENT);
	refused(DOC(QUEUE(PUT FILTER(RULE("prefix", "a") RULE("Prefix", "b")))),
		NOTIFICATION_ARGUMENT);
	refused(DOC("<TopicConfiguration><Topic>t</Topic>" PUT "</TopicConfiguration>"),
		NOTIFICATION_ARGUMENT);
	refused(DOC("<CloudFunctionConfiguration/>"), NOTIFICATION_ARGUMENT);
	refused(DOC("<EventBridgeConfiguration/>"), NOTIFICATION_ARGUMENT);
	refused(DOC(QUEUE(PUT) QUEUE("<Event>s3:ObjectCreated:*</Event>")), NOTIFICATION_ARGUMENT);
	refused(DOC(QUEUE("<Id>a</Id>" PUT) QUEUE("<Id>a</Id><Event>s3:ObjectAcl:Put</Event>")),
		NOTIFICATION_ARGUMENT);
	n += (size_t)snprintf(many, 64 << 10, "<NotificationConfiguration>");
	for (int i = 0; i <= NOTIFICATION_RULES_MAX; i++)
		n += (size_t)snprintf(many + n, (64 << 10) - n,
				      QUEUE(PUT FILTER(RULE("prefix", "%d"))), i);
	snprintf(many + n, (64 << 10) - n, "</NotificationConfiguration>");
	refused(many, NOTIFICATION_ARGUMENT);
}

// Overlapping rules are MinIO's; only the same one twice is not.
static void rules_may_overlap(void **state unused_arg)
{
	auto_arena struct arena mem = { 0 };
	struct notification l;
	struct err e = { 0 };

	assert_int_equal(notification_parse(&mem,
					    SPAN(DOC(QUEUE(PUT FILTER(RULE("prefix", "a"))) QUEUE(
						    PUT FILTER(RULE("prefix", "ab"))))),
					    &l, &e),
			 0);
	assert_int_equal(l.n, 2);
}

static void foreign_events_are_known_and_never_happen(void **state unused_arg)
{
	uint32_t bits = 1;

	assert_true(notification_events(SPAN("s3:Replication:*"), &bits));
	assert_int_equal(bits, 0);
	assert_true(notification_events(SPAN("s3:ObjectCreated:PutTagging"), &bits));
	assert_int_equal(bits, NOTIFICATION_TAGS_PUT);
	assert_false(notification_events(SPAN("s3:ObjectCreated"), &bits));
	assert_false(notification_events(SPAN("s3:*"), &bits));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rules_say_what_fits),
		cmocka_unit_test(what_cannot_be_is_refused),
		cmocka_unit_test(rules_may_overlap),
		cmocka_unit_test(foreign_events_are_known_and_never_happen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
