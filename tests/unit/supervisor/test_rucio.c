// rucio: lines and documents of Rucio and of an OpenID provider, and what is refused of them.
// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "supervisor/rucio.h"

#include <stdio.h>
#include <string.h>

static void files_are_read_with_their_sums(void **state unused_arg)
{
	auto_arena struct arena mem = { 0 };
	struct rucio_file f;
	struct err e = { 0 };

	assert_int_equal(
		rucio_file_parse(SPAN("{\"scope\":\"lab\",\"name\":\"run1/a.root\",\"bytes\":12,"
				      "\"adler32\":\"11E60398\",\"guid\":null}"),
				 &mem, &f, &e),
		0);
	assert_string_equal(f.scope, "lab");
	assert_string_equal(f.name, "run1/a.root");
	assert_string_equal(f.file_name, "a.root");
	assert_int_equal(f.size, 12);
	assert_true(f.has_adler32);
	assert_int_equal(f.adler32, 0x11e60398);
	assert_int_equal(rucio_file_parse(SPAN("{\"scope\":\"lab\",\"name\":\"b\",\"bytes\":null,"
					       "\"adler32\":\"620062\"}"),
					  &mem, &f, &e),
			 0);
	assert_int_equal(f.adler32, 0x00620062); // zeros in front may be missing
	assert_true(f.size == UINT64_MAX);
	assert_int_equal(rucio_file_parse(SPAN("{\"scope\":\"lab\",\"name\":\"b\",\"bytes\":-1,"
					       "\"adler32\":\"no sum\"}"),
					  &mem, &f, &e),
			 0);
	assert_false(f.has_adler32);
	assert_true(f.size == UINT64_MAX);
}

static void names_that_are_no_files_are_refused(void **state unused_arg)
{
	static const char *const rows[] = {
		"",
		"[]",
		"{}",
		"x",
		"{\"scope\":\"lab\"}",
		"{\"scope\":\"\",\"name\":\"a\"}",
		"{\"scope\":\"lab\",\"name\":\"..\"}",
		"{\"scope\":\"lab\",\"name\":\"a/..\"}",
		"{\"scope\":\"lab\",\"name\":\"a/\"}",
		"{\"scope\":\"lab\",\"name\":7}",
		"{\"scope\":\"lab\",\"name\":\"a\\u0000b\"}",
		"{\"ExceptionClass\":\"DataIdentifierNotFound\",\"ExceptionMessage\":\"x\"}",
	};
	auto_arena struct arena mem = { 0 };
	char line[400], name[300];
	struct rucio_file f;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err e = { 0 };

		assert_int_equal(rucio_file_parse(span_of(rows[i]), &mem, &f, &e), -1);
		assert_int_equal(e.code, ERR_PROTOCOL);
	}
	memset(name, 'n', 256);
	name[256] = 0;
	snprintf(line, sizeof(line), "{\"scope\":\"lab\",\"name\":\"%s\"}", name);
	assert_int_equal(rucio_file_parse(span_of(line), &mem, &f, &(struct err){ 0 }), -1);
}

static const char *const replicas = "{\"scope\":\"lab\",\"name\":\"a\",\"pfns\":{"
				    "\"root://r.example:1094//a\":{\"priority\":1},"
				    "\"https://b.example/a?sig=x\":{\"priority\":3},"
				    "\"davs://a.example:2880/lab/a\":{\"priority\":2},"
				    "\"http://plain.example/a\":{\"priority\":1},"
				    "\"https://no blank.example/a\":{\"priority\":1},"
				    "\"DAVS://last.example/a\":{}}}";

static void replicas_come_with_the_best_first(void **state unused_arg)
{
	auto_arena struct arena mem = { 0 };
	struct rucio_replicas r;
	struct err e = { 0 };

	assert_int_equal(rucio_replicas_parse(span_of(replicas), false, &mem, &r, &e), 0);
	assert_int_equal(r.n, 3);
	assert_int_equal(r.others, 3);
	assert_string_equal(r.url[0], "https://a.example:2880/lab/a");
	assert_string_equal(r.url[1], "https://b.example/a?sig=x");
	assert_string_equal(r.url[2], "https://last.example/a");
	// Plain HTTP only where Rucio itself is asked so.
	assert_int_equal(rucio_replicas_parse(span_of(replicas), true, &mem, &r, &e), 0);
	assert_int_equal(r.n, 4);
	assert_string_equal(r.url[0], "http://plain.example/a");
	assert_int_equal(rucio_replicas_parse(SPAN("{\"pfns\":{}}"), false, &mem, &r, &e), 0);
	assert_int_equal(r.n + r.others, 0);
	assert_int_equal(rucio_replicas_parse(SPAN("{\"pfns\":[]}"), false, &mem, &r, &e), -1);
}

static void the_best_scheme_for_writing_is_taken(void **state unused_arg)
{
	static const char *const protocols =
		"[{\"scheme\":\"root\",\"domains\":{\"wan\":{\"write\":1}}},"
		"{\"scheme\":\"http\",\"domains\":{\"wan\":{\"write\":2}}},"
		"{\"scheme\":\"https\",\"domains\":{\"wan\":{\"write\":4}}},"
		"{\"scheme\":\"davs\",\"domains\":{\"wan\":{\"write\":3}}},"
		"{\"scheme\":\"dav\",\"domains\":{\"wan\":{\"write\":0},\"lan\":{\"write\":1}}}]";
	const char *scheme;
	struct err e = { 0 };

	assert_int_equal(rucio_scheme_parse(span_of(protocols), false, &scheme, &e), 0);
	assert_string_equal(scheme, "davs");
	assert_int_equal(rucio_scheme_parse(span_of(protocols), true, &scheme, &e), 0);
	assert_string_equal(scheme, "http");
	assert_int_equal(rucio_scheme_parse(SPAN("[{\"scheme\":\"root\",\"domains\":{\"wan\":{"
						 "\"write\":1}}},{\"scheme\":7},[],null]"),
					    true, &scheme, &e),
			 -1);
	assert_int_equal(e.code, ERR_UNSUPPORTED);
	assert_int_equal(rucio_scheme_parse(SPAN("{}"), true, &scheme, &e), -1);
	assert_int_equal(rucio_scheme_parse(SPAN("["), true, &scheme, &e), -1);
}

static void places_of_other_kinds_are_refused(void **state unused_arg)
{
	auto_arena struct arena mem = { 0 };
	const char *url;
	struct err e = { 0 };

	assert_int_equal(rucio_place_parse(SPAN("{\"lab:a\":\"davs://s.example:443/lab/a\"}"),
					   false, &mem, &url, &e),
			 0);
	assert_string_equal(url, "https://s.example:443/lab/a");
	assert_int_equal(rucio_place_parse(SPAN("{\"lab:a\":\"root://s.example//a\"}"), false, &mem,
					   &url, &e),
			 -1);
	assert_int_equal(rucio_place_parse(SPAN("{\"lab:a\":null}"), false, &mem, &url, &e), -1);
	assert_int_equal(rucio_place_parse(SPAN("{}"), false, &mem, &url, &e), -1);
}

static void tokens_must_fit_into_a_header(void **state unused_arg)
{
	auto_arena struct arena mem = { 0 };
	struct rucio_token t;
	struct err e = { 0 };

	assert_int_equal(rucio_token_parse(SPAN("{\"access_token\":\"a.b.c\",\"expires_in\":3600,"
						"\"refresh_token\":\"next\"}"),
					   &mem, &t, &e),
			 0);
	assert_string_equal(t.access, "a.b.c");
	assert_string_equal(t.refresh, "next");
	assert_int_equal(t.lifetime_s, 3600);
	assert_int_equal(rucio_token_parse(SPAN("{\"access_token\":\"a\",\"expires_in\":\"1\"}"),
					   &mem, &t, &e),
			 0);
	assert_null(t.refresh);
	assert_int_equal(t.lifetime_s, 0);
	assert_int_equal(rucio_token_parse(SPAN("{\"access_token\":\"a\\r\\nX-Evil: 1\"}"), &mem,
					   &t, &e),
			 -1);
	assert_null(strstr(e.msg, "Evil"));
	assert_int_equal(rucio_token_parse(SPAN("{\"error\":\"invalid_grant\"}"), &mem, &t, &e),
			 -1);
}

static void refusals_say_their_name(void **state unused_arg)
{
	auto_arena struct arena mem = { 0 };
	const char *name, *why;

	rucio_refusal_parse(
		SPAN("{\"ExceptionClass\":\"DuplicateRule\",\"ExceptionMessage\":\"m\"}"), &mem,
		&name, &why);
	assert_string_equal(name, "DuplicateRule");
	assert_string_equal(why, "m");
	rucio_refusal_parse(SPAN("<html>"), &mem, &name, &why);
	assert_string_equal(name, "");
	assert_string_equal(why, "");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(files_are_read_with_their_sums),
		cmocka_unit_test(names_that_are_no_files_are_refused),
		cmocka_unit_test(replicas_come_with_the_best_first),
		cmocka_unit_test(the_best_scheme_for_writing_is_taken),
		cmocka_unit_test(places_of_other_kinds_are_refused),
		cmocka_unit_test(tokens_must_fit_into_a_header),
		cmocka_unit_test(refusals_say_their_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
