// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "image/challenge.h"

static void assert_span(struct span s, const char *text)
{
	if (!span_is(s, text))
		fail_msg("'" SPAN_FMT "' is not '%s'", SPAN_ARG(s), text);
}

static void fields_are_understood(void **state unused_arg)
{
	static const struct {
		const char *field;
		enum challenge_kind kind;
		const char *realm, *service, *scope;
	} cases[] = {
		{ "Bearer realm=\"https://auth.docker.io/token\",service=\"registry.docker.io\","
		  "scope=\"repository:library/alpine:pull\"",
		  CHALLENGE_BEARER, "https://auth.docker.io/token", "registry.docker.io",
		  "repository:library/alpine:pull" },
		{ "bearer  REALM = \"https://x/t\" , error=\"invalid_token\"", CHALLENGE_BEARER,
		  "https://x/t", "", "" },
		{ "Bearer realm=token,service=plain", CHALLENGE_BEARER, "token", "plain", "" },
		{ "Bearer realm=\"a\\\"b\\\\c\"", CHALLENGE_BEARER, "a\"b\\c", "", "" },
		{ "Basic realm=\"lab\"", CHALLENGE_BASIC, "lab", "", "" },
		{ "Basic", CHALLENGE_BASIC, "", "", "" },
		{ "Basic realm=\"lab\", Bearer realm=\"https://x\",service=\"s\"", CHALLENGE_BEARER,
		  "https://x", "s", "" },
		{ "Bearer realm=\"https://x\",service=\"s\", Basic realm=\"lab\"", CHALLENGE_BEARER,
		  "https://x", "s", "" },
		{ "Negotiate, Basic realm=\"lab\"", CHALLENGE_BASIC, "lab", "", "" },
		{ "Negotiate", CHALLENGE_NONE, "", "", "" },
		{ "Bearer service=\"without a realm\"", CHALLENGE_NONE, "", "", "" },
		{ "Bearer realm=\"never closed", CHALLENGE_NONE, "", "", "" },
		{ "Bearer realm=\"ends in an escape\\", CHALLENGE_NONE, "", "", "" },
		{ "", CHALLENGE_NONE, "", "", "" },
		{ ",,, ,", CHALLENGE_NONE, "", "", "" },
		{ "=\"x\"", CHALLENGE_NONE, "", "", "" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		auto_arena struct arena a = { 0 };
		struct challenge c;

		challenge_parse(span_of(cases[i].field), &a, &c);
		if (c.kind != cases[i].kind)
			fail_msg("%s: kind %d", cases[i].field, (int)c.kind);
		assert_span(c.realm, cases[i].realm);
		assert_span(c.service, cases[i].service);
		assert_span(c.scope, cases[i].scope);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(fields_are_understood) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
