// json: what is accepted, what is refused, and the exact text that is printed.
// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "base/mem.h"
#include "codec/json.h"

#include <math.h>

static json_t *parse(const char *text)
{
	struct err e = { 0 };
	json_t *v = NULL;

	if (codec_json_parse(span_of(text), 1 << 20, &v, &e) < 0)
		fail_msg("%s: %s", text, e.msg);
	return v;
}

static void assert_refused(struct span text, size_t max, enum err_code code, const char *part)
{
	struct err e = { 0 };
	json_t *v = NULL;

	assert_int_equal(codec_json_parse(text, max, &v, &e), -1);
	assert_null(v);
	assert_int_equal(e.code, code);
	if (!strstr(e.msg, part))
		fail_msg("\"%s\" does not contain \"%s\"", e.msg, part);
}

static void what_is_printed_is_what_was_read(void **state unused_arg)
{
	static const char *const texts[] = {
		"{}",
		"[]",
		"{\"b\":1,\"a\":[true,false,null],\"c\":{\"d\":\"e\"}}",
		"-9223372036854775808",
		"0.1",
		"0.2",
		"1e+300",
		"3.141592653589793",
		"\"\\\"\\\\\\n\\t\\r\\u0001\"",
		"\"\xc3\xb1 \xe2\x82\xac \xf0\x9f\x98\x80\"",
	};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		auto_json json_t *v = parse(texts[i]);
		auto_free char *text = codec_json_text(v, CODEC_JSON_PLAIN);

		assert_string_equal(text, texts[i]);
	}
}

static void html_signs_are_escaped_when_asked(void **state unused_arg)
{
	auto_json json_t *v = parse("{\"u\":\"http://h/?a=1&b=<2>\",\"l\":\"\xe2\x80\xa8\"}");
	auto_free char *html = codec_json_text(v, CODEC_JSON_HTML);
	auto_free char *plain = codec_json_text(v, CODEC_JSON_PLAIN);

	assert_string_equal(html,
			    "{\"u\":\"http://h/?a=1\\u0026b=\\u003c2\\u003e\",\"l\":\"\\u2028\"}");
	assert_string_equal(plain, "{\"u\":\"http://h/?a=1&b=<2>\",\"l\":\"\\u2028\"}");
}

static void indented_text_is_for_people(void **state unused_arg)
{
	auto_json json_t *v = parse("{\"a\":[1,{\"b\":[]}],\"c\":{}}");
	auto_free char *text = codec_json_text(v, CODEC_JSON_INDENT);

	assert_string_equal(text, "{\n  \"a\": [\n    1,\n    {\n      \"b\": []\n    }\n  ],\n"
				  "  \"c\": {}\n}");
}

static void numbers_that_are_none_become_null(void **state unused_arg)
{
	auto_json json_t *v = json_array();
	auto_free char *text = NULL;

	json_array_append_new(v, json_real(1.0));
	json_array_append_new(v, json_real(0));
	json_real_set(json_array_get(v, 1), HUGE_VAL); // refused by jansson, or kept as infinite
	text = codec_json_text(v, CODEC_JSON_PLAIN);
	assert_null(strstr(text, "inf"));
	assert_int_equal(strncmp(text, "[1,", 3), 0);
}

static void bytes_that_are_no_utf8_are_replaced(void **state unused_arg)
{
	auto_buf struct buf out = { 0 };

	buf_init(&out, 100);
	assert_true(codec_json_write_string(SPAN("a\xff\xc3(\xe2\x82"), CODEC_JSON_PLAIN, &out));
	assert_string_equal(out.p, "\"a\\ufffd\\ufffd(\\ufffd\\ufffd\"");
}

static void a_full_buffer_is_told(void **state unused_arg)
{
	auto_json json_t *v = parse("[\"0123456789\"]");
	auto_buf struct buf out = { 0 };

	buf_init(&out, 8);
	assert_false(codec_json_write(v, CODEC_JSON_PLAIN, &out));
}

static void faults_name_line_and_column(void **state unused_arg)
{
	assert_refused(SPAN("{\n  \"a\": tru\n}"), 100, ERR_INVALID, "line 2, column 10");
	assert_refused(SPAN(""), 100, ERR_INVALID, "line 1");
	assert_refused(SPAN("{} x"), 100, ERR_INVALID, "line 1");
	assert_refused(SPAN("\"a\\u0000b\""), 100, ERR_INVALID, "not JSON");
	assert_refused(SPAN("\"\xff\""), 100, ERR_INVALID, "not JSON");
	assert_refused(SPAN("[1e999]"), 100, ERR_INVALID, "not JSON");
	assert_refused(SPAN("[NaN]"), 100, ERR_INVALID, "not JSON");
}

static void terminal_codes_do_not_reach_the_error_text(void **state unused_arg)
{
	struct err e = { 0 };
	json_t *v = NULL;

	assert_int_equal(codec_json_parse(SPAN("[\x1b[31mred]"), 100, &v, &e), -1);
	assert_null(strchr(e.msg, '\x1b'));
}

static void size_depth_and_count_are_bounded(void **state unused_arg)
{
	auto_buf struct buf text = { 0 };

	assert_refused(SPAN("[1,2,3]"), 6, ERR_LIMIT, "7 bytes");
	buf_init(&text, 1 << 20);
	for (int i = 0; i < CODEC_JSON_DEPTH_MAX + 1; i++)
		buf_add_char(&text, '[');
	assert_refused(buf_span(&text), 1 << 20, ERR_LIMIT, "levels deep");
	buf_clear(&text);
	buf_add_char(&text, '[');
	for (int i = 0; i < CODEC_JSON_VALUES_MAX + 1; i++)
		buf_add_str(&text, "0,");
	buf_add_str(&text, "0]");
	assert_refused(buf_span(&text), 1 << 20, ERR_LIMIT, "values");
}

static void brackets_inside_texts_do_not_count(void **state unused_arg)
{
	auto_buf struct buf text = { 0 };
	auto_json json_t *v = NULL;

	buf_init(&text, 1 << 20);
	buf_add_str(&text, "\"\\\"");
	for (int i = 0; i < 1000; i++)
		buf_add_char(&text, '[');
	buf_add_char(&text, '"');
	v = parse(text.p);
	assert_int_equal(json_string_length(v), 1001);
}

static void keys_are_found_whatever_their_case(void **state unused_arg)
{
	auto_json json_t *v = parse("{\"Variables\":1,\"variables\":2,\"NAME\":3,\"x\":null}");

	assert_int_equal(json_integer_value(codec_json_get(v, "variables")), 2);
	assert_int_equal(json_integer_value(codec_json_get(v, "Variables")), 1);
	assert_int_equal(json_integer_value(codec_json_get(v, "name")), 3);
	assert_null(codec_json_get(v, "x"));
	assert_null(codec_json_get(v, "nam"));
}

static void readers_name_the_key_and_both_types(void **state unused_arg)
{
	auto_json json_t *v =
		parse("{\"cpu\":1,\"name\":\"n\",\"on\":\"yes\",\"many\":{},\"one\":[],"
		      "\"none\":null,\"big\":70}");
	const char *text = "default";
	struct err e = { 0 };
	int64_t number = 5;
	bool flag = true;
	json_t *part = NULL;

	assert_int_equal(codec_json_get_string(v, "cpu", &text, &e), -1);
	assert_string_equal(e.msg, "cpu: expected a string, got a number");
	assert_int_equal(codec_json_get_bool(v, "on", &flag, &e), -1);
	assert_string_equal(e.msg, "on: expected a boolean, got a string");
	assert_int_equal(codec_json_get_array(v, "many", &part, &e), -1);
	assert_string_equal(e.msg, "many: expected a list, got an object");
	assert_int_equal(codec_json_get_object(v, "one", &part, &e), -1);
	assert_string_equal(e.msg, "one: expected an object, got a list");
	assert_int_equal(codec_json_get_int(v, "big", 0, 64, &number, &e), -1);
	assert_string_equal(e.msg, "big: 70 is not between 0 and 64");
	assert_int_equal(codec_json_get_string(v, "none", &text, &e), 0);
	assert_int_equal(codec_json_get_int(v, "absent", 0, 64, &number, &e), 0);
	assert_string_equal(text, "default");
	assert_int_equal(number, 5);
	assert_int_equal(codec_json_get_string(v, "name", &text, &e), 0);
	assert_string_equal(text, "n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_printed_is_what_was_read),
		cmocka_unit_test(html_signs_are_escaped_when_asked),
		cmocka_unit_test(indented_text_is_for_people),
		cmocka_unit_test(numbers_that_are_none_become_null),
		cmocka_unit_test(bytes_that_are_no_utf8_are_replaced),
		cmocka_unit_test(a_full_buffer_is_told),
		cmocka_unit_test(faults_name_line_and_column),
		cmocka_unit_test(terminal_codes_do_not_reach_the_error_text),
		cmocka_unit_test(size_depth_and_count_are_bounded),
		cmocka_unit_test(brackets_inside_texts_do_not_count),
		cmocka_unit_test(keys_are_found_whatever_their_case),
		cmocka_unit_test(readers_name_the_key_and_both_types),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
