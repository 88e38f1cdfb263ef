// dns: questions, answers that lie or end early, hosts files, resolv.conf.
// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "supervisor/dns.h"

#include <stdio.h>
#include <sys/socket.h>

// A question for a.b (A), and what follows in an answer to it.
static const char question[] = "\1a\1b\0\0\1\0\1";

static struct span packet(char *out, const char *head, const char *records, size_t n)
{
	memcpy(out, head, 12);
	memcpy(out + 12, question, 9);
	memcpy(out + 21, records, n);
	return span_make(out, 21 + n);
}

static void a_question_has_the_form_of_the_rfc(void **state unused_arg)
{
	uint8_t out[DNS_QUERY_MAX];
	static const char want[] = "\x12\x34\1\0\0\1\0\0\0\0\0\0\1a\1b\0\0\1\0\1";

	assert_int_equal(dns_query(0x1234, SPAN("a.b"), DNS_A, out), 21);
	assert_memory_equal(out, want, 21);
	assert_int_equal(dns_query(0x1234, SPAN("a.b."), DNS_A, out), 21);
}

static void names_that_cannot_be_asked_are_refused(void **state unused_arg)
{
	uint8_t out[DNS_QUERY_MAX];
	char label[70], name[300];

	memset(label, 'x', sizeof(label));
	memset(name, 'x', sizeof(name));
	for (size_t i = 50; i < sizeof(name); i += 50)
		name[i] = '.';
	assert_int_equal(dns_query(1, SPAN(""), DNS_A, out), -1);
	assert_int_equal(dns_query(1, SPAN("."), DNS_A, out), -1);
	assert_int_equal(dns_query(1, SPAN("a..b"), DNS_A, out), -1);
	assert_int_equal(dns_query(1, span_make(label, 64), DNS_A, out), -1);
	assert_int_equal(dns_query(1, span_make(label, 63), DNS_A, out), 12 + 65 + 4);
	assert_int_equal(dns_query(1, span_make(name, 254), DNS_A, out), -1);
	assert_int_equal(dns_query(1, span_make(name, 253), DNS_A, out), 12 + 255 + 4);
}

// An alias and the address behind it, names as pointers.
static void addresses_are_read_behind_an_alias(void **state unused_arg)
{
	static const char records[] = "\xc0\x0c\0\5\0\1\0\0\0\1\0\3\1c\0"
				      "\1c\0\0\1\0\1\0\0\0\1\0\4\x0a\1\2\3";
	char text[200];
	struct dns_addresses out = { 0 };
	struct err e = { 0 };
	struct span p =
		packet(text, "\x12\x34\x81\x80\0\1\0\2\0\0\0\0", records, sizeof(records) - 1);

	assert_int_equal(dns_answer(p, 0x1234, DNS_A, &out, &e), 0);
	assert_int_equal(out.n, 1);
	assert_int_equal(out.at[0].family, AF_INET);
	assert_memory_equal(out.at[0].bytes, "\x0a\1\2\3", 4);
	for (size_t n = 0; n < p.n; n++) { // cut anywhere: no address, no harm
		struct dns_addresses cut = { 0 };

		if (dns_answer(span_head(p, n), 0x1234, DNS_A, &cut, &e) == 0)
			assert_int_equal(cut.n, 0);
		else
			assert_int_equal(e.code, ERR_PROTOCOL);
	}
}

static void answers_to_other_questions_are_not_ours(void **state unused_arg)
{
	char text[200];
	struct dns_addresses out = { 0 };
	struct err e = { 0 };
	struct span p = packet(text, "\x12\x34\x81\x83\0\1\0\0\0\0\0\0", "", 0);

	assert_int_equal(dns_answer(p, 0x1235, DNS_A, &out, &e), -1);
	assert_int_equal(e.code, ERR_PROTOCOL);
	assert_int_equal(dns_answer(p, 0x1234, DNS_AAAA, &out, &e), -1);
	assert_int_equal(e.code, ERR_PROTOCOL);
	assert_int_equal(dns_answer(p, 0x1234, DNS_A, &out, &e), -1);
	assert_int_equal(e.code, ERR_NOT_FOUND);
	text[3] = (char)0x82;
	assert_int_equal(dns_answer(p, 0x1234, DNS_A, &out, &e), -1);
	assert_int_equal(e.code, ERR_UNAVAILABLE);
}

static void hosts_files_are_searched(void **state unused_arg)
{
	struct span hosts = SPAN("# 1.2.3.4 me\n10.0.0.1 other me # you\nbroken me\n"
				 "::1\tme\r\n10.0.0.2 other\n10.0.0.3 ME");
	struct dns_addresses out = { 0 };

	dns_hosts_find(hosts, SPAN("me"), &out);
	assert_int_equal(out.n, 3);
	assert_memory_equal(out.at[0].bytes, "\x0a\0\0\1", 4);
	assert_int_equal(out.at[1].family, AF_INET6);
	assert_memory_equal(out.at[2].bytes, "\x0a\0\0\3", 4);
	out.n = 0;
	dns_hosts_find(hosts, SPAN("you"), &out);
	assert_int_equal(out.n, 0);
}

static void resolv_conf_says_whom_to_ask(void **state unused_arg)
{
	struct dns_config c;

	dns_config_parse(SPAN("search old\nnameserver 10.96.0.10\nnameserver bad\n"
			      "search fn.svc.cluster.local svc.cluster.local\noptions ndots:5 x\n"),
			 &c);
	assert_int_equal(c.server_count, 1);
	assert_memory_equal(c.servers[0].bytes, "\x0a\x60\0\x0a", 4);
	assert_int_equal(c.search_count, 2);
	assert_true(span_is(c.search[1], "svc.cluster.local"));
	assert_int_equal(c.ndots, 5);
	dns_config_parse(SPAN(""), &c);
	assert_int_equal(c.server_count, 1);
	assert_memory_equal(c.servers[0].bytes, "\x7f\0\0\1", 4);
	assert_int_equal(c.ndots, 1);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_question_has_the_form_of_the_rfc),
		cmocka_unit_test(names_that_cannot_be_asked_are_refused),
		cmocka_unit_test(addresses_are_read_behind_an_alias),
		cmocka_unit_test(answers_to_other_questions_are_not_ours),
		cmocka_unit_test(hosts_files_are_searched),
		cmocka_unit_test(resolv_conf_says_whom_to_ask),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
