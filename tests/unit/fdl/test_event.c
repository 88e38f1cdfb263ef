// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "base/buf.h"
#include "base/mem.h"
#include "codec/text.h"
#include "fdl/event.h"
#include "fdl/fdl.h"

#define RECORD(source, bucket, key)                                                                \
	"{\"EventName\":\"s3:ObjectCreated:Put\",\"Key\":\"" bucket "/" key "\",\"Records\":[{"    \
	"\"eventSource\":\"" source "\",\"eventTime\":\"2026-11-23T14:46:48.449Z\",\"s3\":{"       \
	"\"bucket\":{\"name\":\"" bucket "\"},\"object\":{\"key\":\"" key "\",\"size\":7}}}]}"

struct row {
	const char *what, *payload;
	enum err_code error; // ERR_NONE: the rest says what it is
	enum fdl_event_kind kind;
	const char *provider, *provider_id, *bucket, *key, *file, *time;
	const char *vars; // "NAME=VALUE NAME=VALUE"
	const char *body;
};

#define STORED(provider, id, bucket, key, file)                                                    \
	ERR_NONE, FDL_EVENT_STORAGE, provider, id, bucket, key, file, "2026-11-23T14:46:48.449Z"
#define TIMELESS(provider, id, bucket, key, file)                                                  \
	ERR_NONE, FDL_EVENT_STORAGE, provider, id, bucket, key, file, ""
#define UNKNOWN ERR_NONE, FDL_EVENT_UNKNOWN, "", "default", "", "", "", ""
#define REFUSED ERR_INVALID, FDL_EVENT_UNKNOWN, "", "", "", "", "", "", "", ""

static const struct row rows[] = {
	// Storage events by their source.
	{ "minio", RECORD("minio:s3", "in", "a.jpg"),
	  STORED("minio", "default", "in", "a.jpg", "a.jpg"), "", "" },
	{ "s3", RECORD("aws:s3", "in", "d/a.jpg"),
	  STORED("s3", "default", "in", "d/a.jpg", "a.jpg"), "", "" },
	{ "plus is a blank", RECORD("minio:s3", "in", "my+photo+1.jpg"),
	  STORED("minio", "default", "in", "my photo 1.jpg", "my photo 1.jpg"), "", "" },
	{ "an escaped plus stays", RECORD("minio:s3", "in", "a%2Bb.jpg"),
	  STORED("minio", "default", "in", "a+b.jpg", "a+b.jpg"), "", "" },
	{ "an escaped slash is one", RECORD("minio:s3", "in", "d%2Fe%2Ff.txt"),
	  STORED("minio", "default", "in", "d/e/f.txt", "f.txt"), "", "" },
	{ "decoded once", RECORD("minio:s3", "in", "a%252Fb"),
	  STORED("minio", "default", "in", "a%2Fb", "a%2Fb"), "", "" },
	{ "not ASCII", RECORD("minio:s3", "in", "%C3%A4%20%E2%82%AC.png"),
	  STORED("minio", "default", "in", "ä €.png", "ä €.png"), "", "" },
	{ "OneTrigger",
	  "{\"Key\":\"/space/dir/x.bin\",\"Records\":[{\"objectKey\":\"x.bin\",\"eventSource\":"
	  "\"OneTrigger\",\"eventTime\":\"2026-11-23T14:46:48.449Z\"}]}",
	  STORED("onedata", "default", "", "/space/dir/x.bin", "x.bin"), "", "" },
	{ "rucio in a record",
	  "{\"Records\":[{\"eventSource\":\"rucio\"}],"
	  "\"payload\":{\"scope\":\"user.ann\",\"name\":\"set1\"}}",
	  TIMELESS("rucio", "default", "user.ann", "set1", "set1"), "", "" },
	{ "only the first record counts",
	  "{\"Records\":[{\"eventSource\":\"minio:s3\",\"eventTime\":\"2026-11-23T14:46:48.449Z\","
	  "\"s3\":{\"bucket\":{\"name\":\"b\"},\"object\":{\"key\":\"one\"}}},"
	  "{\"eventSource\":\"aws:s3\",\"s3\":{\"object\":{\"key\":\"two\"}}}]}",
	  STORED("minio", "default", "b", "one", "one"), "", "" },
	{ "dCache",
	  "{\"event\":{\"name\":\"f.nc\",\"mask\":[\"IN_CREATE\"]},\"subscription\":\"s\"}",
	  TIMELESS("webdav", "dcache", "", "f.nc", "f.nc"), "", "" },
	{ "rucio",
	  "{\"event_type\":\"close\",\"payload\":{\"scope\":\"user.ann\",\"name\":\"set1\"}}",
	  TIMELESS("rucio", "default", "user.ann", "set1", "set1"), "", "" },
	// Events in events.
	{ "delegated as an object", "{\"event\":" RECORD("minio:s3", "b", "k") "}",
	  STORED("minio", "default", "b", "k", "k"), "", "" },
	{ "delegated with its provider",
	  "{\"storage_provider\":\"minio.far\",\"event\":" RECORD("minio:s3", "b", "k") "}",
	  STORED("minio", "far", "b", "k", "k"), "", "" },
	{ "delegated as a text",
	  "{\"storage_provider\":\"far\",\"event\":\"{\\\"Records\\\":[{\\\"eventSource\\\":"
	  "\\\"aws:s3\\\",\\\"eventTime\\\":\\\"2026-11-23T14:46:48.449Z\\\",\\\"s3\\\":{"
	  "\\\"bucket\\\":{\\\"name\\\":\\\"b\\\"},\\\"object\\\":{\\\"key\\\":\\\"k\\\"}}}]}\"}",
	  STORED("s3", "far", "b", "k", "k"), "", "" },
	{ "delegated, unknown inside", "{\"event\":\"aGVsbG8=\"}", UNKNOWN, "", "hello" },
	{ "gateway: parameters and an event",
	  "{\"httpMethod\":\"POST\",\"queryStringParameters\":{\"w\":\"3\",\"h\":\"4\"},"
	  "\"body\":" RECORD("minio:s3", "b", "k") "}",
	  STORED("minio", "default", "b", "k", "k"), "CONT_VAR_w=3 CONT_VAR_h=4", "" },
	{ "gateway: no body", "{\"httpMethod\":\"GET\",\"queryStringParameters\":{\"q\":\"x\"}}",
	  UNKNOWN, "CONT_VAR_q=x", "" },
	{ "gateway: body null, no parameters",
	  "{\"httpMethod\":\"GET\",\"queryStringParameters\":null,\"body\":null}", UNKNOWN, "",
	  "" },
	{ "gateway: base64 that is said to be",
	  "{\"httpMethod\":\"POST\",\"isBase64Encoded\":true,\"body\":\"aGVsbG8h\"}", UNKNOWN, "",
	  "hello!" },
	{ "gateway: base64 that is none",
	  "{\"httpMethod\":\"POST\",\"isBase64Encoded\":true,\"body\":\"%%%\"}", REFUSED },
	{ "gateway: plain text", "{\"httpMethod\":\"POST\",\"body\":\"plain words\"}", UNKNOWN, "",
	  "plain words" },
	{ "too deep", "{\"event\":{\"event\":{\"event\":{\"event\":{\"event\":{\"event\":{}}}}}}}",
	  REFUSED },
	// Names that cannot be files.
	{ "a key of a folder", RECORD("minio:s3", "in", "folder%2F"), REFUSED },
	{ "no key", "{\"Records\":[{\"eventSource\":\"minio:s3\"}]}", REFUSED },
	{ "dot dot", RECORD("minio:s3", "in", "a%2F.."), REFUSED },
	{ "dot", RECORD("minio:s3", "in", "."), REFUSED },
	{ "dCache without a name", "{\"event\":{},\"subscription\":1}", REFUSED },
	// Everything else is the input file itself.
	{ "nothing", "", UNKNOWN, "", "" },
	{ "another source", "{\"Records\":[{\"eventSource\":\"mail\"}]}", UNKNOWN, "",
	  "{\"Records\":[{\"eventSource\":\"mail\"}]}" },
	{ "records that are none", "{\"Records\":7}", UNKNOWN, "", "{\"Records\":7}" },
	{ "an object byte for byte", "{ \"z\" : 1,\n\"a\":\"\xc3\xa4\" }", UNKNOWN, "",
	  "{ \"z\" : 1,\n\"a\":\"\xc3\xa4\" }" },
	{ "a list", "[1, 2]", UNKNOWN, "", "[1, 2]" },
	{ "a number", "1234", UNKNOWN, "", "1234" },
	{ "null", "null", UNKNOWN, "", "null" },
	{ "a string of base64", "\"aGVsbG8=\"", UNKNOWN, "", "hello" },
	{ "a string of words", "\"hello you\"", UNKNOWN, "", "hello you" },
	{ "base64", "aGVsbG8=", UNKNOWN, "", "hello" },
	{ "base64 with a line end", "aGVsbG8=\n", UNKNOWN, "", "hello" },
	{ "base64 that is cut", "aGVsbG8", UNKNOWN, "", "aGVsbG8" },
	{ "base64 with more behind", "aGVsbG8=x", UNKNOWN, "", "aGVsbG8=x" },
	{ "words", "not json, not base64", UNKNOWN, "", "not json, not base64" },
	{ "broken JSON", "{\"Records\":[", UNKNOWN, "", "{\"Records\":[" },
};

static void expect_vars(const struct fdl_event *ev, const char *expected)
{
	struct span rest = span_of(expected);
	size_t i = 0;

	for (; rest.n; i++) {
		struct span value = span_cut(&rest, ' '), name = span_cut(&value, '=');

		assert_true(i < ev->var_count);
		assert_true(span_is(name, ev->vars[i].name));
		assert_true(span_is(value, ev->vars[i].value));
	}
	assert_int_equal(i, ev->var_count);
}

static void each_kind_of_event_is_known(void **state unused_arg)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_arena struct arena mem = { 0 };
		const struct row *r = &rows[i];
		struct err e = { 0 };
		struct fdl_event ev;
		int got = fdl_event_parse(span_of(r->payload), &mem, &ev, &e);

		print_message("# %s\n", r->what);
		assert_int_equal(got, r->error ? -1 : 0);
		if (r->error) {
			assert_int_equal(e.code, r->error);
			continue;
		}
		assert_int_equal(ev.kind, r->kind);
		assert_string_equal(ev.provider, r->provider);
		assert_string_equal(ev.provider_id, r->provider_id);
		assert_string_equal(ev.bucket, r->bucket);
		assert_string_equal(ev.key, r->key);
		assert_string_equal(ev.file_name, r->file);
		assert_string_equal(ev.time, r->time);
		expect_vars(&ev, r->vars);
		if (r->kind == FDL_EVENT_UNKNOWN)
			assert_true(span_is(ev.body, r->body));
	}
}

static void long_keys_work_up_to_what_a_file_name_holds(void **state unused_arg)
{
	auto_arena struct arena mem = { 0 };
	char key[1025], last[257];
	struct err e = { 0 };
	struct fdl_event ev;

	memset(key, 'k', 1024);
	key[1024] = '\0';
	for (size_t at = 200; at < 1000; at += 200)
		key[at] = '/';
	char *text = arena_printf(&mem,
				  "{\"Records\":[{\"eventSource\":\"minio:s3\",\"s3\":{\"object\":"
				  "{\"key\":\"%s\"}}}]}",
				  key);
	assert_int_equal(fdl_event_parse(span_of(text), &mem, &ev, &e), 0);
	assert_string_equal(ev.key, key);
	assert_int_equal(strlen(ev.file_name), 223);

	memset(last, 'k', 256);
	for (size_t n = 255; n <= 256; n++) {
		last[n] = '\0';
		text = arena_printf(&mem,
				    "{\"Records\":[{\"eventSource\":\"minio:s3\",\"s3\":{\"object\""
				    ":{\"key\":\"%s\"}}}]}",
				    last);
		assert_int_equal(fdl_event_parse(span_of(text), &mem, &ev, &e), n == 255 ? 0 : -1);
		last[n] = 'k';
	}
	assert_int_equal(e.code, ERR_INVALID);
}

// Whatever its size, an unknown event is its bytes.
static void bodies_of_all_sizes_are_whole(void **state unused_arg)
{
	static const size_t sizes[] = { 1, 131071, 131072, 10 << 20 };

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		auto_arena struct arena mem = { 0 };
		size_t n = sizes[i];
		auto_free char *raw = mem_alloc(n);
		auto_free char *text = mem_alloc(TEXT_BASE64_SIZE(n));
		struct err e = { 0 };
		struct fdl_event ev;

		for (size_t k = 0; k < n; k++)
			raw[k] = (char)(k * 31 + k / 251 + 0x80);
		assert_int_equal(fdl_event_parse(span_make(raw, n), &mem, &ev, &e), 0);
		assert_int_equal(ev.kind, FDL_EVENT_UNKNOWN);
		assert_true(span_eq(ev.body, span_make(raw, n)));

		text_base64(text, raw, n);
		assert_int_equal(fdl_event_parse(span_of(text), &mem, &ev, &e), 0);
		assert_true(span_eq(ev.body, span_make(raw, n)));
	}
}

static void a_large_object_stays_as_it_came(void **state unused_arg)
{
	auto_arena struct arena mem = { 0 };
	size_t n = 10 << 20;
	auto_free char *text = mem_alloc(n);
	struct err e = { 0 };
	struct fdl_event ev;

	memset(text, 'x', n);
	memcpy(text, "{\"a\":\"", 6);
	memcpy(text + n - 2, "\"}", 2);
	assert_int_equal(fdl_event_parse(span_make(text, n), &mem, &ev, &e), 0);
	assert_int_equal(ev.kind, FDL_EVENT_UNKNOWN);
	assert_ptr_equal(ev.body.p, text);
	assert_int_equal(ev.body.n, n);
}

static void parameters_are_bounded(void **state unused_arg)
{
	auto_arena struct arena mem = { 0 };
	auto_buf struct buf text;
	struct err e = { 0 };
	struct fdl_event ev;

	buf_init(&text, 1 << 20);
	buf_add_str(&text, "{\"httpMethod\":\"GET\",\"queryStringParameters\":{");
	for (int i = 0; i < 1001; i++)
		buf_printf(&text, "%s\"p%d\":\"v\"", i ? "," : "", i);
	buf_add_str(&text, "}}");
	assert_int_equal(fdl_event_parse(buf_span(&text), &mem, &ev, &e), -1);
	assert_int_equal(e.code, ERR_LIMIT);
}

static void the_files_of_a_run_are_named(void **state unused_arg)
{
	static const struct {
		const char *payload;
		enum err_code error;
		size_t n;
	} cases[] = {
		{ "{\"Oscar\":{\"files\":[{\"key\":\"a/b\",\"version\":\"00000000000000ff\"}],"
		  "\"failed\":3}}",
		  ERR_NONE, 1 },
		{ "{\"Oscar\":{\"files\":[]}}", ERR_NONE, 0 },
		{ "{\"Records\":[]}", ERR_NOT_FOUND, 0 },
		{ "{\"Oscar\":7}", ERR_NOT_FOUND, 0 },
		{ "not json", ERR_INVALID, 0 },
		{ "{\"Oscar\":{\"files\":[{\"key\":\"a\"}]}}", ERR_INVALID, 0 },
		{ "{\"Oscar\":{\"files\":[{\"key\":\"\",\"version\":\"1\"}]}}", ERR_INVALID, 0 },
		{ "{\"Oscar\":{\"files\":[{\"key\":\"a\",\"version\":\"x\"}]}}", ERR_INVALID, 0 },
		{ "{\"Oscar\":{\"files\":[{\"key\":\"a\",\"version\":\"-1\"}]}}", ERR_INVALID, 0 },
	};
	auto_arena struct arena mem = { 0 };
	auto_buf struct buf many = { .max = 1 << 20 };
	struct fdl_group g;
	struct err e = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int got = fdl_event_group(span_of(cases[i].payload), &mem, &g, &e);

		if (got != (cases[i].error ? -1 : 0) || (got < 0 && e.code != cases[i].error))
			fail_msg("%s: %d", cases[i].payload, e.code);
		if (!got)
			assert_int_equal(g.n, cases[i].n);
	}
	assert_int_equal(fdl_event_group(span_of(cases[0].payload), &mem, &g, &e), 0);
	assert_string_equal(g.members[0].key, "a/b");
	assert_int_equal(g.members[0].version, 255);
	assert_int_equal(g.failed, 3);
	assert_false(g.over);
	buf_add_str(&many, "{\"Oscar\":{\"files\":[0");
	for (int i = 0; i < FDL_GROUP_RUN_MAX; i++)
		buf_add_str(&many, ",0");
	buf_add_str(&many, "]}}");
	assert_int_equal(fdl_event_group(buf_span(&many), &mem, &g, &e), -1);
	assert_int_equal(e.code, ERR_LIMIT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_files_of_a_run_are_named),
		cmocka_unit_test(each_kind_of_event_is_known),
		cmocka_unit_test(long_keys_work_up_to_what_a_file_name_holds),
		cmocka_unit_test(bodies_of_all_sizes_are_whole),
		cmocka_unit_test(a_large_object_stays_as_it_came),
		cmocka_unit_test(parameters_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
