// yaml: types of plain words, places in errors, bounds against bombs, and writing that reads back.
// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "base/mem.h"
#include "codec/yaml.h"

static struct codec_yaml_node *parse(struct arena *a, const char *text)
{
	struct codec_yaml_node *n = NULL;
	struct err e = { 0 };

	if (codec_yaml_parse(span_of(text), 1 << 20, a, &n, &e) < 0)
		fail_msg("%s: %s", text, e.msg);
	return n;
}

static void assert_reads(const char *yaml, const char *json)
{
	auto_arena struct arena a = { 0 };
	auto_json json_t *v = codec_yaml_to_json(parse(&a, yaml));
	auto_free char *text = codec_json_text(v, CODEC_JSON_PLAIN);

	assert_string_equal(text, json);
}

static void assert_refused(const char *yaml, enum err_code code, const char *part)
{
	auto_arena struct arena a = { 0 };
	struct codec_yaml_node *n = NULL;
	struct err e = { 0 };

	if (codec_yaml_parse(span_of(yaml), 1 << 20, &a, &n, &e) == 0)
		fail_msg("accepted: %.60s", yaml);
	assert_int_equal(e.code, code);
	if (!strstr(e.msg, part))
		fail_msg("\"%s\" does not contain \"%s\"", e.msg, part);
}

static void plain_words_have_types_and_quoted_ones_are_text(void **state unused_arg)
{
	assert_reads("[1, -2, +3, 0, 1.0, .5, 1e3, 1.5E-2]", "[1,-2,3,0,1,0.5,1000,0.015]");
	assert_reads("['1', \"1.0\", 'true', '~', !!str 5]",
		     "[\"1\",\"1.0\",\"true\",\"~\",\"5\"]");
	assert_reads("[true, False, TRUE, null, ~, Null, x]",
		     "[true,false,true,null,null,null,\"x\"]");
	assert_reads("[yes, no, on, 0755, 0x1f, 1_000, 1.2.3, .inf, -, e5, 12e]",
		     "[\"yes\",\"no\",\"on\",\"0755\",\"0x1f\",\"1_000\",\"1.2.3\",\".inf\",\"-\","
		     "\"e5\","
		     "\"12e\"]");
}

static void shapes_become_json(void **state unused_arg)
{
	assert_reads("", "null");
	assert_reads("a: {b: [1, {c: d}]}\ne:\n- f\n",
		     "{\"a\":{\"b\":[1,{\"c\":\"d\"}]},\"e\":[\"f\"]}");
	assert_reads("s: |\n  one\n  two\n", "{\"s\":\"one\\ntwo\\n\"}");
	assert_reads("s: >-\n  one\n  two\n", "{\"s\":\"one two\"}");
	assert_reads("--- \n1: x\n...\n", "{\"1\":\"x\"}");
}

static void anchors_and_merge_keys_are_applied(void **state unused_arg)
{
	assert_reads("a: &x {p: 1, q: 2}\nb: *x\n",
		     "{\"a\":{\"p\":1,\"q\":2},\"b\":{\"p\":1,\"q\":2}}");
	assert_reads("a: &x {p: 1, q: 2}\nb: {<<: *x, q: 3}\n",
		     "{\"a\":{\"p\":1,\"q\":2},\"b\":{\"q\":3,\"p\":1}}");
	assert_refused("a: {<<: 5}", ERR_INVALID, "wants a map");
	assert_refused("a: *nowhere", ERR_INVALID, "line 1, column 4");
	assert_refused("a: &x [*x]", ERR_INVALID, "without a finished anchor");
}

static void the_source_text_and_place_of_a_value_are_known(void **state unused_arg)
{
	auto_arena struct arena a = { 0 };
	struct codec_yaml_node *root = parse(&a, "name: x\ninput:\n- path: a/b\n  n: 1.0\n");
	const struct codec_yaml_node *n = codec_yaml_find(root, "input[0].n");

	assert_true(span_is(n->text, "1.0"));
	assert_int_equal(n->line, 4);
	assert_int_equal(n->column, 6);
	assert_int_equal(codec_yaml_find(root, "INPUT[0].Path")->line, 3);
	assert_int_equal(codec_yaml_find(root, "input[0].absent")->line, 3);
	assert_int_equal(codec_yaml_find(root, "input[9].path")->line, 3);
	assert_ptr_equal(codec_yaml_find(root, "absent.more"), root);
	assert_null(codec_yaml_get(root, "absent"));
}

static void faults_name_line_and_column(void **state unused_arg)
{
	assert_refused("a: 1\nb: [1, 2\n", ERR_INVALID, "line 3, column 1");
	assert_refused("a: 1\nb: 2\na: 3\n", ERR_INVALID,
		       "line 3, column 1: the key \"a\" stands here twice");
	assert_refused("a: 1\n\tb: 2\n", ERR_INVALID, "line 2");
	assert_refused("a: 1\n---\nb: 2\n", ERR_INVALID, "only one document");
	assert_refused("? [a, b]\n: 1\n", ERR_INVALID, "a key must be");
	assert_refused("a: !ruby/object {}\n", ERR_INVALID, "tag");
	assert_refused("a: \"\\0\"\n", ERR_INVALID, "NUL");
}

static void a_bomb_of_aliases_is_refused(void **state unused_arg)
{
	auto_buf struct buf text = { 0 };

	buf_init(&text, 1 << 16);
	buf_add_str(&text, "a0: &a0 [x,x,x,x,x,x,x,x,x]\n");
	for (int i = 1; i < 9; i++)
		buf_printf(&text, "a%d: &a%d [*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d]\n", i,
			   i, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
	assert_refused(text.p, ERR_LIMIT, "aliases expanded");
}

static void a_bomb_of_merges_is_refused(void **state unused_arg)
{
	auto_buf struct buf text = { 0 };

	buf_init(&text, 1 << 20);
	buf_add_str(&text, "m: &m {");
	for (int i = 0; i < 300; i++)
		buf_printf(&text, "k%d: 1, ", i);
	buf_add_str(&text, "}\nl:\n");
	for (int i = 0; i < 300; i++)
		buf_add_str(&text, "- {<<: *m}\n");
	assert_refused(text.p, ERR_LIMIT, "aliases expanded");
}

static void depth_count_and_size_are_bounded(void **state unused_arg)
{
	auto_arena struct arena a = { 0 };
	struct codec_yaml_node *n = NULL;
	struct err e = { 0 };
	auto_buf struct buf text = { 0 };

	buf_init(&text, 1 << 20);
	for (int i = 0; i < CODEC_YAML_DEPTH_MAX + 2; i++)
		buf_add_char(&text, '[');
	assert_refused(text.p, ERR_LIMIT, "levels deep");
	buf_clear(&text);
	for (int i = 0; i < CODEC_YAML_NODES_MAX; i++)
		buf_add_str(&text, "- a\n");
	assert_refused(text.p, ERR_LIMIT, "values");
	assert_int_equal(codec_yaml_parse(SPAN("abc"), 2, &a, &n, &e), -1);
	assert_int_equal(e.code, ERR_LIMIT);
}

static void what_is_written_reads_back_the_same(void **state unused_arg)
{
	static const char *const texts[] = {
		"{}",
		"[]",
		"[[1,[2]],{\"a\":[{\"b\":{}},[]]}]",
		"{\"script\":\"#!/bin/sh\\necho "
		"\\\"$A\\\"\\n\\n\\ttab\\n\",\"x\":\"a\\n\\n\",\"y\":\"\\na\"}",
		"{\"a\":\"true\",\"b\":\"1.0\",\"c\":\"~\",\"d\":\"\",\"e\":\"yes\",\"f\":\"a: "
		"b\",\"g\":\"#x\"}",
		"{\"a\":\"- x\",\"b\":\"x:\",\"c\":\"\xc3\xb1\",\"d\":\" "
		"lead\",\"e\":\"http://h:1/p\"}",
		"{\"a b\":1,\"null\":null,\"5\":false,\"r\":0.5,\"i\":-3}",
		"{\"nel\":\"a\\n\xc2\x85\\n\",\"del\":\"\\u007f\",\"nbsp\":\"x\xc2\xa0y\\nz\\n\"}",
		"\"word\"",
		"{\"list\":[\"one\\ntwo\\n\",\"plain\"]}",
	};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct err e = { 0 };
		auto_json json_t *v = NULL;
		auto_json json_t *again = NULL;
		auto_arena struct arena a = { 0 };
		auto_buf struct buf out = { 0 };

		buf_init(&out, 1 << 16);
		assert_int_equal(codec_json_parse(span_of(texts[i]), 1 << 16, &v, &e), 0);
		assert_true(codec_yaml_write(v, &out));
		again = codec_yaml_to_json(parse(&a, out.p));
		if (!json_equal(v, again))
			fail_msg("not the same after writing: %s\n%s", texts[i], out.p);
	}
}

static void what_is_written_looks_like_yaml(void **state unused_arg)
{
	auto_json json_t *v = NULL;
	struct err e = { 0 };
	auto_buf struct buf out = { 0 };

	buf_init(&out, 1 << 16);
	assert_int_equal(
		codec_json_parse(
			SPAN("{\"name\":\"x\",\"cpu\":\"1.0\",\"input\":[{\"path\":\"a/b\","
			     "\"suffix\":[\".jpg\"]}],\"script\":\"echo\\nls\\n\"}"),
			1 << 16, &v, &e),
		0);
	assert_true(codec_yaml_write(v, &out));
	assert_string_equal(out.p,
			    "name: x\ncpu: \"1.0\"\ninput:\n- path: a/b\n  suffix:\n  - \".jpg\"\n"
			    "script: |\n  echo\n  ls\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_words_have_types_and_quoted_ones_are_text),
		cmocka_unit_test(shapes_become_json),
		cmocka_unit_test(anchors_and_merge_keys_are_applied),
		cmocka_unit_test(the_source_text_and_place_of_a_value_are_known),
		cmocka_unit_test(faults_name_line_and_column),
		cmocka_unit_test(a_bomb_of_aliases_is_refused),
		cmocka_unit_test(a_bomb_of_merges_is_refused),
		cmocka_unit_test(depth_count_and_size_are_bounded),
		cmocka_unit_test(what_is_written_reads_back_the_same),
		cmocka_unit_test(what_is_written_looks_like_yaml),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
