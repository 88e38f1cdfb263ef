// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "auth/acl.h"
#include "auth/glob.h"
#include "auth/policy.h"
#include "base/mem.h"

// ---- patterns ------------------------------------------------------------------------------------------

static void patterns_match_like_the_shells(void **state unused_arg)
{
	static const struct {
		const char *pattern, *text;
		bool fits;
	} cases[] = {
		{ "", "", true },
		{ "", "a", false },
		{ "*", "", true },
		{ "*", "abc", true },
		{ "a*c", "abbc", true },
		{ "a*c", "ab", false },
		{ "?", "a", true },
		{ "?", "", false },
		{ "a?c", "abc", true },
		{ "*ab*ab", "aabab", true },
		{ "**a", "a", true },
		{ "*a?", "aaab", true },
		{ "a*b*c", "a-b-b-c", true },
		{ "a*b*c", "a-c-b", false },
		{ "\001*", "*", true },
		{ "\001*", "a", false },
		{ "a\001?b", "a?b", true },
		{ "a\001?b", "axb", false },
		{ "\001", "", false },
		{ "A*", "ab", false },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(glob_match(span_of(cases[i].pattern), span_of(cases[i].text)),
				 cases[i].fits);
	assert_true(glob_match_nocase(SPAN("S3:get*"), SPAN("s3:GetObject")));
}

static void a_pattern_of_stars_takes_no_time(void **state unused_arg)
{
	char pattern[1001], text[1001];

	for (int i = 0; i < 1000; i++) {
		pattern[i] = i % 2 ? 'a' : '*';
		text[i] = 'a';
	}
	pattern[999] = 'b';
	assert_false(glob_match(span_make(pattern, 1000), span_make(text, 1000)));
}

// ---- access lists --------------------------------------------------------------------------------------

static void lists_are_kept_as_text(void **state unused_arg)
{
	auto_arena struct arena mem = { 0 };
	struct acl a, b;

	assert_true(acl_canned(&a, SPAN("public-read-write"), 7, 7));
	assert_true(acl_add(&a, ACL_USER, 9, ACL_READ_ACP));
	assert_true(acl_add(&a, ACL_KNOWN, 0, ACL_WRITE_ACP));
	assert_true(span_is(acl_text(&mem, &a), "7;AR,AW,7F,9r,Uw"));
	assert_true(acl_parse(acl_text(&mem, &a), &b));
	assert_memory_equal(&a, &b, offsetof(struct acl, grants) + a.n * sizeof(a.grants[0]));
	assert_true(acl_parse(SPAN("7;"), &b));
	assert_int_equal(b.n, 0);
	static const char *const bad[] = { "",	    "x;",  "7;F",   "7;9",  "7;9X",
					   "7;-9F", "7;A", "7;,9F", "7;AAF" };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(acl_parse(span_of(bad[i]), &b));
	while (acl_add(&a, ACL_USER, 1, ACL_READ))
		;
	assert_int_equal(a.n, ACL_GRANTS_MAX);
	assert_true(acl_parse(acl_text(&mem, &a), &b));
	assert_false(acl_parse(
		span_of(arena_printf(&mem, SPAN_FMT ",1R", SPAN_ARG(acl_text(&mem, &a)))), &b));
}

static void lists_give_rights(void **state unused_arg)
{
	struct acl a;

	assert_false(acl_canned(&a, SPAN("public"), 7, 7));
	assert_true(acl_canned(&a, SPAN("private"), 7, 8));
	assert_true(acl_is_private(&a));
	assert_int_equal(acl_rights(&a, 7, false, true), ACL_FULL_CONTROL);
	assert_int_equal(acl_rights(&a, 8, false, true), 0);
	assert_int_equal(acl_rights(&a, 7, true, true), 0); // nobody is anonymous by number
	assert_true(acl_canned(&a, SPAN("authenticated-read"), 7, 8));
	assert_int_equal(acl_rights(&a, 9, false, true), ACL_READ);
	assert_int_equal(acl_rights(&a, 9, true, true), 0);
	assert_int_equal(acl_rights(&a, 9, false, false), 0);
	assert_true(acl_is_public(&a));
	assert_true(acl_canned(&a, SPAN("bucket-owner-read"), 7, 8));
	assert_int_equal(acl_rights(&a, 8, false, true), ACL_READ);
	assert_false(acl_is_public(&a));
	a.n = 0;
	assert_int_equal(acl_rights(&a, 7, false, true), ACL_READ_ACP | ACL_WRITE_ACP);
}

// ---- policies ------------------------------------------------------------------------------------------

struct value {
	const char *key, *value;
};

// The values of a request: a list that ends with NULL.
static size_t look_up(void *owner, struct span key, struct span *out, size_t max)
{
	size_t n = 0;

	for (const struct value *v = owner; v->key && n < max; v++)
		if (span_eq_nocase(span_of(v->key), key))
			out[n++] = span_of(v->value);
	return n;
}

static const struct policy_who ana = { false, SPAN("c0ffee"), SPAN("000000000003"), SPAN("ana") };
static const struct policy_who nobody = { .anonymous = true };

static enum policy_effect ask_as(const struct policy_who *who, const char *text, const char *action,
				 const char *resource, const struct value *values)
{
	static const struct value none[] = { { NULL, NULL } };
	struct policy_request r = { span_of(action), span_of(resource), *who, look_up,
				    (void *)(uintptr_t)(values ? values : none) };
	auto_policy struct policy *p = NULL;
	struct err e = { 0 };

	if (policy_parse(&p, span_of(text), "b", &e) < 0)
		fail_msg("%s: %s", e.msg, text);
	return policy_decide(p, &r);
}

static enum policy_effect with(const char *condition, const struct value *values)
{
	auto_free char *text = mem_printf(
		"{\"Version\":\"2012-10-17\",\"Statement\":{\"Effect\":\"Allow\",\"Principal\":\"*"
		"\","
		"\"Action\":\"s3:GetObject\",\"Resource\":\"arn:aws:s3:::b/*\",\"Condition\":%s}}",
		condition);

	return ask_as(&ana, text, "s3:GetObject", "arn:aws:s3:::b/k", values);
}

#define HEAD "{\"Version\":\"2012-10-17\",\"Statement\":["
#define ALLOW "{\"Effect\":\"Allow\",\"Principal\":\"*\","
#define DENY "{\"Effect\":\"Deny\",\"Principal\":\"*\","
#define GET "\"Action\":\"s3:GetObject\",\"Resource\":\"arn:aws:s3:::b/*\"}"

static void a_denial_outweighs(void **state unused_arg)
{
	const char *k = "arn:aws:s3:::b/k";

	assert_int_equal(ask_as(&ana, HEAD ALLOW GET "]}", "s3:GetObject", k, NULL), POLICY_ALLOW);
	assert_int_equal(ask_as(&nobody, HEAD ALLOW GET "]}", "s3:getobject", k, NULL),
			 POLICY_ALLOW);
	assert_int_equal(ask_as(&ana, HEAD ALLOW GET "]}", "s3:PutObject", k, NULL), POLICY_NONE);
	assert_int_equal(ask_as(&ana, HEAD ALLOW GET "]}", "s3:GetObject", "arn:aws:s3:::b", NULL),
			 POLICY_NONE);
	assert_int_equal(ask_as(&ana, HEAD ALLOW GET "," DENY GET "]}", "s3:GetObject", k, NULL),
			 POLICY_DENY);
	assert_int_equal(ask_as(&ana, HEAD DENY GET "," ALLOW GET "]}", "s3:GetObject", k, NULL),
			 POLICY_DENY);
}

static enum policy_effect for_principal(const struct policy_who *who, const char *principal)
{
	auto_free char *text =
		mem_printf(HEAD "{\"Effect\":\"Allow\",\"Principal\":%s," GET "]}", principal);

	return ask_as(who, text, "s3:GetObject", "arn:aws:s3:::b/k", NULL);
}

static void principals_are_known_by_all_their_names(void **state unused_arg)
{
	static const char *const hers[] = {
		"\"*\"",
		"{\"AWS\":\"*\"}",
		"{\"AWS\":\"c0ffee\"}",
		"{\"AWS\":[\"x\",\"000000000003\"]}",
		"{\"CanonicalUser\":\"c0ffee\"}",
		"{\"AWS\":\"arn:aws:iam::000000000003:root\"}",
		"{\"AWS\":\"arn:aws:iam:::user/ana\"}",
		"{\"AWS\":\"arn:aws:iam::ana:user/some/path/ana\"}",
	};
	static const char *const others[] = {
		"{\"AWS\":\"c0ffe\"}",
		"{\"AWS\":\"ana\"}",
		"{\"AWS\":\"arn:aws:iam::tenant:user/ana\"}",
		"{\"AWS\":\"arn:aws:iam:::user/anna\"}",
		"{\"AWS\":\"arn:aws:iam:::role/ana\"}",
		"{\"AWS\":\"arn:aws:iam:::user/\"}",
		"{\"AWS\":\"arn:aws:iam:::root\"}",
		"{\"AWS\":\"arn:\"}",
		"{\"Service\":\"ana\"}",
		"{\"Federated\":\"*\"}",
	};

	for (size_t i = 0; i < ARRAY_LEN(hers); i++) {
		assert_int_equal(for_principal(&ana, hers[i]), POLICY_ALLOW);
		assert_int_equal(for_principal(&nobody, hers[i]),
				 i < 2 ? POLICY_ALLOW : POLICY_NONE);
	}
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		assert_int_equal(for_principal(&ana, others[i]), POLICY_NONE);
		assert_int_equal(for_principal(&nobody, others[i]), POLICY_NONE);
	}
}

static void conditions_hold_or_do_not(void **state unused_arg)
{
	static const struct value v[] = {
		{ "s3:prefix", "photos/2026" },
		{ "s3:max-keys", "10" },
		{ "aws:SourceIp", "192.168.7.9" },
		{ "aws:CurrentTime", "2026-11-23T14:46:48Z" },
		{ "aws:SecureTransport", "true" },
		{ "aws:SourceArn", "arn:aws:sns:eu:1:topic" },
		{ "s3:RequestObjectTagKeys", "a" },
		{ "s3:RequestObjectTagKeys", "b" },
		{ NULL, NULL },
	};
	static const struct {
		const char *condition;
		bool holds;
	} cases[] = {
		{ "{}", true },
		{ "{\"StringEquals\":{\"S3:Prefix\":\"photos/2026\"}}", true },
		{ "{\"StringEquals\":{\"s3:prefix\":[\"x\",\"photos/2026\"]}}", true },
		{ "{\"StringEquals\":{\"s3:prefix\":\"photos/*\"}}", false },
		{ "{\"StringNotEquals\":{\"s3:prefix\":[\"x\",\"photos/2026\"]}}", false },
		{ "{\"StringNotEquals\":{\"s3:none\":\"x\"}}", true },
		{ "{\"StringEquals\":{\"s3:none\":\"x\"}}", false },
		{ "{\"StringEqualsIfExists\":{\"s3:none\":\"x\"}}", true },
		{ "{\"StringEqualsIfExists\":{\"s3:prefix\":\"x\"}}", false },
		{ "{\"StringEqualsIgnoreCase\":{\"s3:prefix\":\"PHOTOS/2026\"}}", true },
		{ "{\"StringNotEqualsIgnoreCase\":{\"s3:prefix\":\"PHOTOS/2026\"}}", false },
		{ "{\"StringLike\":{\"s3:prefix\":\"photos/20?6\"}}", true },
		{ "{\"StringNotLike\":{\"s3:prefix\":\"photos/*\"}}", false },
		{ "{\"NumericEquals\":{\"s3:max-keys\":10}}", true },
		{ "{\"NumericNotEquals\":{\"s3:max-keys\":\"10\"}}", false },
		{ "{\"NumericLessThan\":{\"s3:max-keys\":10}}", false },
		{ "{\"NumericLessThanEquals\":{\"s3:max-keys\":10.0}}", true },
		{ "{\"NumericGreaterThan\":{\"s3:max-keys\":9}}", true },
		{ "{\"NumericGreaterThanEquals\":{\"s3:max-keys\":11}}", false },
		{ "{\"NumericEquals\":{\"s3:prefix\":10}}", false },
		{ "{\"IpAddress\":{\"aws:SourceIp\":\"192.168.0.0/16\"}}", true },
		{ "{\"IpAddress\":{\"aws:SourceIp\":\"192.168.7.8/31\"}}", true },
		{ "{\"IpAddress\":{\"aws:SourceIp\":\"192.168.7.8\"}}", false },
		{ "{\"IpAddress\":{\"aws:SourceIp\":\"0.0.0.0/0\"}}", true },
		{ "{\"IpAddress\":{\"aws:SourceIp\":\"::/0\"}}", false },
		{ "{\"NotIpAddress\":{\"aws:SourceIp\":\"192.168.0.0/16\"}}", false },
		{ "{\"DateGreaterThan\":{\"aws:CurrentTime\":\"2026-11-23T14:46:47Z\"}}", true },
		{ "{\"DateLessThan\":{\"aws:CurrentTime\":\"2026-11-24\"}}", true },
		{ "{\"DateEquals\":{\"aws:CurrentTime\":1795445208}}", true },
		{ "{\"DateNotEquals\":{\"aws:CurrentTime\":\"2026-11-23\"}}", true },
		{ "{\"Bool\":{\"aws:SecureTransport\":true}}", true },
		{ "{\"Bool\":{\"aws:SecureTransport\":\"FALSE\"}}", false },
		{ "{\"ArnLike\":{\"aws:SourceArn\":\"arn:aws:sns:*:topic\"}}", true },
		{ "{\"ArnNotEquals\":{\"aws:SourceArn\":\"arn:aws:sns:*:topic\"}}", false },
		{ "{\"Null\":{\"s3:none\":\"true\"}}", true },
		{ "{\"Null\":{\"s3:prefix\":true}}", false },
		{ "{\"Null\":{\"s3:prefix\":\"false\"}}", true },
		{ "{\"ForAllValues:StringEquals\":{\"s3:RequestObjectTagKeys\":[\"a\",\"b\"]}}",
		  true },
		{ "{\"ForAllValues:StringEquals\":{\"s3:RequestObjectTagKeys\":[\"a\"]}}", false },
		{ "{\"ForAllValues:StringEquals\":{\"s3:none\":\"a\"}}", true },
		{ "{\"ForAnyValue:StringEquals\":{\"s3:RequestObjectTagKeys\":[\"b\"]}}", true },
		{ "{\"ForAnyValue:StringEquals\":{\"s3:none\":\"a\"}}", false },
		{ "{\"ForAnyValue:StringNotEquals\":{\"s3:none\":\"a\"}}", false },
		{ "{\"StringNotEquals\":{\"s3:RequestObjectTagKeys\":\"a\"}}", false },
		{ "{\"StringEquals\":{\"s3:max-keys\":\"10\",\"s3:prefix\":\"x\"}}", false },
		{ "{\"StringEquals\":{\"s3:max-keys\":\"10\"},\"Bool\":{\"aws:none\":\"true\"}}",
		  false },
		{ "{\"StringLike\":{\"s3:prefix\":\"photos/${s3:none, '2026'}\"}}", true },
		{ "{\"StringLike\":{\"s3:prefix\":\"photos/${s3:none}*\"}}", false },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if ((with(cases[i].condition, v) == POLICY_ALLOW) != cases[i].holds)
			fail_msg("%s", cases[i].condition);
}

static void variables_are_never_wildcards(void **state unused_arg)
{
	static const char mine[] = HEAD ALLOW
		"\"Action\":\"s3:*\",\"Resource\":\"arn:aws:s3:::b/${aws:username}/*\"}]}";
	static const struct value star[] = { { "aws:username", "*" }, { NULL, NULL } };
	static const struct value name[] = { { "aws:username", "ana" }, { NULL, NULL } };
	static const char plain[] =
		HEAD ALLOW "\"Action\":\"s3:*\",\"Resource\":\"arn:aws:s3:::b/${*}${$}${?}\"}]}";

	assert_int_equal(ask_as(&ana, mine, "s3:GetObject", "arn:aws:s3:::b/ana/k", name),
			 POLICY_ALLOW);
	assert_int_equal(ask_as(&ana, mine, "s3:GetObject", "arn:aws:s3:::b/bob/k", star),
			 POLICY_NONE);
	assert_int_equal(ask_as(&ana, mine, "s3:GetObject", "arn:aws:s3:::b/*/k", star),
			 POLICY_ALLOW);
	assert_int_equal(ask_as(&ana, mine, "s3:GetObject", "arn:aws:s3:::b//k", NULL),
			 POLICY_NONE);
	assert_int_equal(ask_as(&ana, plain, "s3:GetObject", "arn:aws:s3:::b/*$?", NULL),
			 POLICY_ALLOW);
	assert_int_equal(ask_as(&ana, plain, "s3:GetObject", "arn:aws:s3:::b/x$y", NULL),
			 POLICY_NONE);
}

static void users_policies_name_no_principals(void **state unused_arg)
{
	auto_policy struct policy *p = NULL;
	struct err e = { 0 };

	assert_int_equal(policy_parse(&p,
				      SPAN("{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":"
					   "\"Allow\",\"Action\":[\"s3:*\"],\"Resource\":"
					   "[\"arn:aws:s3:::*\"]}]}"),
				      NULL, &e),
			 0);
	assert_false(policy_is_public(p));
	policy_free(p);
	p = NULL;
	assert_int_equal(policy_parse(&p, SPAN(HEAD ALLOW GET "]}"), NULL, &e), -1);
	assert_int_equal(e.code, ERR_INVALID);
}

static bool is_public(const char *condition)
{
	auto_free char *text = mem_printf(HEAD ALLOW "\"Condition\":%s," GET "]}", condition);
	auto_policy struct policy *p = NULL;
	struct err e = { 0 };

	assert_int_equal(policy_parse(&p, span_of(text), "b", &e), 0);
	return policy_is_public(p);
}

static void public_is_what_strangers_can_use(void **state unused_arg)
{
	assert_true(is_public("{}"));
	assert_true(is_public("{\"StringLike\":{\"aws:Referer\":\"http://x/*\"}}"));
	assert_true(is_public("{\"IpAddress\":{\"aws:SourceIp\":\"0.0.0.0/0\"}}"));
	assert_true(is_public("{\"NotIpAddress\":{\"aws:SourceIp\":\"10.0.0.0/8\"}}"));
	assert_true(is_public("{\"StringLike\":{\"aws:SourceVpc\":\"vpc-*\"}}"));
	assert_false(is_public("{\"IpAddress\":{\"aws:SourceIp\":\"10.0.0.0/8\"}}"));
	assert_false(is_public("{\"StringEquals\":{\"aws:SourceVpc\":\"vpc-91237329\"}}"));
}

static bool is_ours(struct span key)
{
	return span_starts(key, SPAN("s3:"));
}

static void unknown_keys_are_named(void **state unused_arg)
{
	static const char statement[] =
		"{\"Effect\":\"Deny\",\"Principal\":\"*\",\"Action\":\"s3:"
		"GetObject\",\"Resource\":\"arn:aws:s3:::b/*\",\"Condition\":"
		"{\"StringEquals\":{\"s3:a\":\"x\",\"%s:b\":\"x\"}}}";

	for (int list = 0; list < 2; list++) { // one statement, or a list of them
		for (int unknown = 0; unknown < 2; unknown++) {
			auto_free char *one = mem_printf(statement, unknown ? "ec2" : "s3");
			auto_free char *text =
				mem_printf("{\"Version\":\"2012-10-17\",\"Statement\":%s%s%s}",
					   list ? "[" : "", one, list ? "]" : "");
			auto_policy struct policy *p = NULL;
			struct err e = { 0 };
			const char *key;

			assert_int_equal(policy_parse(&p, span_of(text), "b", &e), 0);
			key = policy_unknown_key(p, is_ours);
			if (unknown)
				assert_string_equal(key, "ec2:b");
			else
				assert_null(key);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(patterns_match_like_the_shells),
		cmocka_unit_test(a_pattern_of_stars_takes_no_time),
		cmocka_unit_test(lists_are_kept_as_text),
		cmocka_unit_test(lists_give_rights),
		cmocka_unit_test(a_denial_outweighs),
		cmocka_unit_test(principals_are_known_by_all_their_names),
		cmocka_unit_test(conditions_hold_or_do_not),
		cmocka_unit_test(variables_are_never_wildcards),
		cmocka_unit_test(users_policies_name_no_principals),
		cmocka_unit_test(public_is_what_strangers_can_use),
		cmocka_unit_test(unknown_keys_are_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
