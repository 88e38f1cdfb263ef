// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "codec/docker_auth.h"
#include "codec/reference.h"

#define D "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define LONG_300                                                                                   \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" \
	"aa"                                                                                       \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" \
	"aa"                                                                                       \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" \
	"aa"                                                                                       \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static void references_are_taken_apart(void **state unused_arg)
{
	static const struct {
		const char *text, *registry, *host, *path, *tag, *digest;
		bool loopback;
	} good[] = {
		{ "alpine", "docker.io", "registry-1.docker.io", "library/alpine", "latest", "",
		  0 },
		{ "alpine:3.19", "docker.io", "registry-1.docker.io", "library/alpine", "3.19", "",
		  0 },
		{ "lab/tool:1", "docker.io", "registry-1.docker.io", "lab/tool", "1", "", 0 },
		{ "docker.io/alpine", "docker.io", "registry-1.docker.io", "library/alpine",
		  "latest", "", 0 },
		{ "index.docker.io/lab/x", "docker.io", "registry-1.docker.io", "lab/x", "latest",
		  "", 0 },
		{ "docker://ghcr.io/a/b/c:v1.0_x-y", "ghcr.io", "ghcr.io", "a/b/c", "v1.0_x-y", "",
		  0 },
		{ "alpine@" D, "docker.io", "registry-1.docker.io", "library/alpine", "", D, 0 },
		{ "quay.io/x/y:1@" D, "quay.io", "quay.io", "x/y", "1", D, 0 },
		{ "localhost/x", "localhost", "localhost", "x", "latest", "", 1 },
		{ "localhost:5000/x/y:2", "localhost:5000", "localhost:5000", "x/y", "2", "", 1 },
		{ "127.0.0.1:5000/x", "127.0.0.1:5000", "127.0.0.1:5000", "x", "latest", "", 1 },
		{ "127.1.2.3/x", "127.1.2.3", "127.1.2.3", "x", "latest", "", 1 },
		{ "[::1]:5000/x", "[::1]:5000", "[::1]:5000", "x", "latest", "", 1 },
		{ "[::1]/x", "[::1]", "[::1]", "x", "latest", "", 1 },
		{ "127.example.org/x", "127.example.org", "127.example.org", "x", "latest", "", 0 },
		{ "localhost.example.org/x", "localhost.example.org", "localhost.example.org", "x",
		  "latest", "", 0 },
		{ "Lab.example:443/a_b/c__d/e---f", "Lab.example:443", "Lab.example:443",
		  "a_b/c__d/e---f", "latest", "", 0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		struct reference r;
		struct err e = { 0 };

		if (reference_parse(span_of(good[i].text), &r, &e) < 0)
			fail_msg("%s: %s", good[i].text, e.msg);
		assert_string_equal(r.registry, good[i].registry);
		assert_string_equal(r.host, good[i].host);
		assert_string_equal(r.path, good[i].path);
		assert_string_equal(r.tag, good[i].tag);
		assert_string_equal(r.digest, good[i].digest);
		assert_int_equal(r.loopback, good[i].loopback);
	}
}

static void what_is_no_reference_is_refused(void **state unused_arg)
{
	static const char *const bad[] = {
		"",
		":",
		"@",
		"/",
		"a/",
		"/a",
		"a//b",
		"A",
		"a:",
		"a:.x",
		"a:-x",
		"a:b:c",
		"a b",
		"a\n",
		"a@",
		"a@sha256:12",
		"a@" D "0",
		"a@sha256:ABCDEF",
		"a@md5:0123",
		"http://a/b",
		"https://a/b",
		"a.b:0/x",
		"a.b:65536/x",
		"a.b:x/y",
		".a/x",
		"a./x",
		"[::1/x",
		"[]/x",
		"-a.b/x",
		"a._b",
		"a..b",
		"a___b",
		"a-",
		"_a",
		"a/../b",
		"x.y/",

		LONG_300,
		"a:" LONG_300,
		LONG_300 ".org/x",
		"user@host.org/x",
		"a.b/x\r\nEvil: 1",
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct reference r;
		struct err e = { 0 };

		if (reference_parse(span_of(bad[i]), &r, &e) == 0)
			fail_msg("'%s' was taken", bad[i]);
		assert_int_equal(e.code, ERR_INVALID);
		assert_true(e.msg[0]);
	}
}

static void logins_are_found_by_registry(void **state unused_arg)
{
	static const char config[] =
		"{\"auths\":{\"https://index.docker.io/v1/\":{\"auth\":\"aHViOnB3OjE=\"},"
		"\"ghcr.io\":{\"username\":\"u\",\"password\":\"p\"},"
		"\"https://lab:5000/v2/\":{\"auth\":\"dTpw\"},"
		"\"helper.org\":{},\"broken.org\":{\"auth\":\"%%%\"},\"nocolon.org\":{\"auth\":"
		"\"dTpw"
		"eA==x\"}},\"credsStore\":\"pass\"}";
	static const struct {
		const char *registry, *user, *password;
		int got;
	} cases[] = {
		{ "docker.io", "hub", "pw:1", 1 }, { "ghcr.io", "u", "p", 1 },
		{ "lab:5000", "u", "p", 1 },	   { "lab", NULL, NULL, 0 },
		{ "helper.org", NULL, NULL, 0 },   { "broken.org", NULL, NULL, -1 },
		{ "nocolon.org", NULL, NULL, -1 }, { "other.org", NULL, NULL, 0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		auto_arena struct arena a = { 0 };
		const char *user = NULL, *password = NULL;
		struct err e = { 0 };
		int got = docker_auth_find(span_of(config), cases[i].registry, &a, &user, &password,
					   &e);

		assert_int_equal(got, cases[i].got);
		if (got == 1) {
			assert_string_equal(user, cases[i].user);
			assert_string_equal(password, cases[i].password);
		}
	}
}

static void a_file_of_another_form_is_refused_without_its_text(void **state unused_arg)
{
	static const char *const bad[] = { "",
					   "secret",
					   "[]",
					   "{\"auths\":\"secret\"}",
					   "{\"auths\":{\"r\":\"secret\"}}",
					   "{\"auths\":{\"r\":{\"auth\":7}}}" };

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		auto_arena struct arena a = { 0 };
		const char *user, *password;
		struct err e = { 0 };

		assert_int_equal(docker_auth_find(span_of(bad[i]), "r", &a, &user, &password, &e),
				 -1);
		assert_int_equal(e.code, ERR_INVALID);
		assert_null(strstr(e.msg, "secret"));
	}
}

static void a_helper_is_named_by_registry_or_for_all(void **state unused_arg)
{
	static const struct {
		const char *config, *name;
		int got;
	} cases[] = {
		{ "{}", NULL, 0 },
		{ "{\"credsStore\":\"\"}", NULL, 0 },
		{ "{\"credsStore\":\"pass\"}", "pass", 1 },
		{ "{\"credsStore\":\"pass\",\"credHelpers\":{\"r.example\":\"lab\"}}", "lab", 1 },
		{ "{\"credHelpers\":{\"other\":\"lab\"}}", NULL, 0 },
		{ "{\"credsStore\":\"../evil\"}", NULL, -1 },
		{ "{\"credsStore\":\"a b\"}", NULL, -1 },
		{ "{\"credsStore\":7}", NULL, -1 },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		auto_arena struct arena a = { 0 };
		const char *name = NULL;
		struct err e = { 0 };

		assert_int_equal(docker_auth_helper(span_of(cases[i].config), "r.example", &a,
						    &name, &e),
				 cases[i].got);
		if (cases[i].name)
			assert_string_equal(name, cases[i].name);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(references_are_taken_apart),
		cmocka_unit_test(what_is_no_reference_is_refused),
		cmocka_unit_test(logins_are_found_by_registry),
		cmocka_unit_test(a_file_of_another_form_is_refused_without_its_text),
		cmocka_unit_test(a_helper_is_named_by_registry_or_for_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
