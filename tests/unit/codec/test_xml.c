// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "base/mem.h"
#include "codec/xml.h"

static void a_document_becomes_a_tree(void **state unused_arg)
{
	auto_arena struct arena a = { 0 };
	struct xml_node *root = NULL, *o;
	struct err e = { 0 };

	assert_int_equal(xml_parse(&a,
				   SPAN("<?xml version=\"1.0\"?>\n<s3:Delete xmlns:s3=\"urn:x\">\n"
					" <s3:Object><Key> a&amp;b &lt;&#10;</Key></s3:Object>\n"
					" <Other/><s3:Object "
					"kind=\"x\"><Key><![CDATA[<c>]]></Key></s3:Object>\n"
					"</s3:Delete>"),
				   NULL, &root, &e),
			 0);
	assert_true(span_is(root->name, "Delete"));
	assert_int_equal(root->text.n, 0);
	o = xml_child(root, "Object");
	assert_true(span_is(xml_text(o, "Key"), " a&b <\n"));
	assert_null(xml_text(o, "VersionId").p);
	o = xml_again(o);
	assert_true(span_is(xml_text(o, "Key"), "<c>"));
	assert_true(span_is(xml_attr(o, "kind"), "x"));
	assert_null(xml_attr(o, "none").p);
	assert_null(xml_again(o));
	assert_true(span_is(xml_text(root, "Other"), ""));
	assert_null(xml_child(NULL, "x"));
}

static void dangerous_documents_are_refused(void **state unused_arg)
{
	static const char *const bad[] = {
		"",
		"<a>",
		"<a></b>",
		"text",
		"<a/><b/>",
		"<!DOCTYPE a><a/>",
		"<!DOCTYPE a [<!ENTITY x \"y\">]><a>&x;</a>",
		"<!DOCTYPE a SYSTEM \"file:///etc/passwd\"><a/>",
		"<a>&x;</a>",
		"<a>\x01</a>",
		"<a>\xff</a>",
		"<a>&#0;</a>",
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		auto_arena struct arena a = { 0 };
		struct xml_node *root = NULL;
		struct err e = { 0 };

		if (xml_parse(&a, span_of(bad[i]), NULL, &root, &e) == 0)
			fail_msg("accepted: %s", bad[i]);
		assert_int_equal(e.code, ERR_INVALID);
		assert_null(root);
	}
}

static void bounds_hold(void **state unused_arg)
{
	static const struct xml_limits limits = { .depth = 3, .nodes = 5, .text = 4 };
	static const struct {
		const char *doc;
		bool good;
	} cases[] = {
		{ "<a><b><c>1234</c></b></a>", true },
		{ "<a><b><c><d/></c></b></a>", false },
		{ "<a><b/><b/><b/><b/></a>", true },
		{ "<a><b/><b/><b/><b/><b/></a>", false },
		{ "<a><b x='' y='' z=''/></a>", true },
		{ "<a><b x='' y='' z='' w=''/></a>", false },
		{ "<a>12345</a>", false },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		auto_arena struct arena a = { 0 };
		struct xml_node *root = NULL;
		struct err e = { 0 };
		int done = xml_parse(&a, span_of(cases[i].doc), &limits, &root, &e);

		if ((done == 0) != cases[i].good)
			fail_msg("%s: %s", cases[i].doc, e.msg);
		if (done < 0)
			assert_int_equal(e.code, ERR_LIMIT);
	}
}

static void what_is_written_can_be_read_again(void **state unused_arg)
{
	static const char text[] = "a<b>&\"'\r\n\t \303\244\360\237\230\200";
	auto_arena struct arena a = { 0 };
	struct xml_node *root = NULL;
	struct err e = { 0 };
	auto_buf struct buf b;

	buf_init(&b, 1000);
	xml_open(&b, "R");
	xml_add(&b, "T", span_of(text));
	xml_add_u64(&b, "N", UINT64_MAX);
	xml_add_bool(&b, "B", true);
	xml_add(&b, "Bad", SPAN("\x01|\xff|\xef\xbf\xbf|\303"));
	xml_close(&b, "R");
	assert_int_equal(xml_parse(&a, buf_span(&b), NULL, &root, &e), 0);
	assert_true(span_is(xml_text(root, "T"), text));
	assert_true(span_is(xml_text(root, "N"), "18446744073709551615"));
	assert_true(span_is(xml_text(root, "B"), "true"));
	assert_true(span_starts(xml_text(root, "Bad"), SPAN("\xef\xbf\xbd|\xef\xbf\xbd|")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_document_becomes_a_tree),
		cmocka_unit_test(dangerous_documents_are_refused),
		cmocka_unit_test(bounds_hold),
		cmocka_unit_test(what_is_written_can_be_read_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
