// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "codec/form.h"

// What came out: "name|filename|type=bytes;" a part.
struct seen {
	struct buf text;
	bool stop;
};

static int begin(void *owner, const struct form_part *p, struct err *e)
{
	struct seen *s = owner;

	if (s->stop)
		return err_set(e, ERR_DENIED, "stopped");
	buf_add_span(&s->text, p->name);
	buf_add_char(&s->text, '|');
	if (p->filename.p)
		buf_add_span(&s->text, p->filename);
	else
		buf_add_char(&s->text, '-');
	buf_printf(&s->text, "|" SPAN_FMT "=", SPAN_ARG(p->type));
	return 0;
}

static int bytes(void *owner, struct span piece, struct err *e unused_arg)
{
	buf_add_span(&((struct seen *)owner)->text, piece);
	return 0;
}

static int end(void *owner, struct err *e unused_arg)
{
	buf_add_char(&((struct seen *)owner)->text, ';');
	return 0;
}

static int read_in_pieces(const char *type, struct span doc, size_t piece, struct seen *s,
			  struct err *e)
{
	struct form_events ev = { s, begin, bytes, end };
	struct form f = { 0 };
	int bad;

	buf_init(&s->text, 65536);
	bad = form_init(&f, span_of(type), &ev, e);
	while (!bad && doc.n) {
		bad = form_feed(&f, span_head(doc, piece), e);
		doc = span_from(doc, piece);
	}
	if (!bad)
		bad = form_end(&f, e);
	form_release(&f);
	return bad;
}

static const char type[] = "multipart/form-data; boundary=\"-b-\"";

// However the bytes are cut.
static void assert_reads(const char *doc, const char *wanted)
{
	for (size_t piece = 1; piece < strlen(doc) + 2; piece++) {
		struct seen s = { 0 };
		struct err e = { 0 };

		if (read_in_pieces(type, span_of(doc), piece, &s, &e) < 0)
			fail_msg("%s", e.msg);
		assert_string_equal(s.text.p ? s.text.p : "", wanted);
		buf_release(&s.text);
	}
}

static void parts_come_out_as_they_are(void **state unused_arg)
{
	assert_reads(
		"---b-\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\nvalue\r\n---b---",
		"key|-|=value;");
	assert_reads(
		"preamble\r\n---b-  \r\ncontent-disposition:form-data;name=a\r\n\r\n\r\n---b-\r\n"
		"Content-Type: text/plain\r\nContent-Disposition: form-data; name=\"file\"; "
		"filename=\"C:\\dir\\a \\\"b\\\";c.txt\"\r\n\r\n\r\n--\r\n---b\r\n\r\r\n---b---\r\n"
		"epilogue",
		"a|-|=;file|a \"b\";c.txt|text/plain=\r\n--\r\n---b\r\n\r;");
	assert_reads("---b-\r\nX: y\r\n\r\n1\r\n---b---", "|-|=1;");
	assert_reads("---b-\r\nContent-Disposition: attachment; name=\"x\"\r\n\r\n1\r\n---b---",
		     "|-|=1;");
	assert_reads("---b---", "");
}

static enum err_code fault(const char *content_type, const char *doc)
{
	struct seen s = { 0 };
	struct err e = { 0 };
	int bad = read_in_pieces(content_type, span_of(doc), 7, &s, &e);

	buf_release(&s.text);
	return bad ? e.code : ERR_NONE;
}

static void what_is_no_form_is_refused(void **state unused_arg)
{
	static char long_head[2 * FORM_HEAD_MAX], long_type[128];

	memset(long_head, 'x', sizeof(long_head) - 1);
	memcpy(long_head, "---b-\r\n", 7);
	memset(long_type, 'x', sizeof(long_type) - 1);
	memcpy(long_type, "multipart/form-data; boundary=", 30);
	assert_int_equal(fault("text/plain", ""), ERR_INVALID);
	assert_int_equal(fault("multipart/form-data", ""), ERR_INVALID);
	assert_int_equal(fault("multipart/form-data; boundary=\"\"", ""), ERR_INVALID);
	assert_int_equal(fault(long_type, ""), ERR_INVALID);
	assert_int_equal(fault(type, ""), ERR_PROTOCOL);
	assert_int_equal(fault(type, "---b-\r\nA: b\r\n\r\n1\r\n---b-\r\n"), ERR_PROTOCOL);
	assert_int_equal(fault(type, "---b-x\r\n"), ERR_PROTOCOL);
	assert_int_equal(fault(type, "---b-\r\nA: b\r\n\r\n1"), ERR_PROTOCOL);
	assert_int_equal(fault(type, long_head), ERR_LIMIT);
}

static void a_callback_can_stop_it(void **state unused_arg)
{
	struct seen s = { .stop = true };
	struct err e = { 0 };

	assert_int_equal(
		read_in_pieces(type, SPAN("---b-\r\nA: b\r\n\r\n1\r\n---b---"), 100, &s, &e), -1);
	assert_int_equal(e.code, ERR_DENIED);
	buf_release(&s.text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parts_come_out_as_they_are),
		cmocka_unit_test(what_is_no_form_is_refused),
		cmocka_unit_test(a_callback_can_stop_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
