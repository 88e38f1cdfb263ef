// http_head: heads of answers, how long their bodies are, and addresses of servers.
// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "codec/range.h"
#include "supervisor/http.h"
#include "supervisor/http_head.h"

#include <stdio.h>

static int parse(const char *text, struct http_head *out)
{
	struct err e = { 0 };

	return http_head_parse(span_of(text), out, &e);
}

static void bodies_end_where_the_head_says(void **state unused_arg)
{
	struct http_head h;

	assert_int_equal(parse("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: \"x\" \r\n\r\n", &h),
			 0);
	assert_int_equal(h.status, 200);
	assert_int_equal(h.length, 5);
	assert_false(h.close);
	assert_true(span_is(http_head_get(&h, "etag"), "\"x\""));
	assert_null(http_head_get(&h, "date").p);
	assert_int_equal(parse("HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n", &h), 0);
	assert_true(h.chunked);
	assert_false(h.close);
	assert_int_equal(parse("HTTP/1.1 200 OK\r\n\r\n", &h), 0);
	assert_int_equal(h.length, -1);
	assert_true(h.close);
	assert_int_equal(parse("HTTP/1.0 200 OK\nContent-Length: 1\n\n", &h), 0);
	assert_true(h.close);
	assert_int_equal(parse("HTTP/1.1 204 No Content\r\n\r\n", &h), 0);
	assert_int_equal(h.length, 0);
	assert_false(h.close);
}

static void disputed_heads_are_refused(void **state unused_arg)
{
	static const char *const bad[] = {
		"",
		"HTTP/1.1 200 OK\r\n",
		"HTTP/2 200 OK\r\n\r\n",
		"HTTP/1.1 2x0 OK\r\n\r\n",
		"HTTP/1.1 2000\r\n\r\n",
		"HTTP/1.1 99 OK\r\n\r\n",
		"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
		"HTTP/1.1 200 OK\r\n: x\r\n\r\n",
		"HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
	};
	struct http_head h;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (parse(bad[i], &h) == 0)
			fail_msg("taken: %s", bad[i]);
}

static void chunk_sizes_and_ranges(void **state unused_arg)
{
	struct err e = { 0 };
	uint64_t n, last, total;

	assert_int_equal(http_chunk_size(SPAN("1aF;x=y\r\n"), &n, &e), 0);
	assert_int_equal(n, 0x1af);
	assert_int_equal(http_chunk_size(SPAN("\r\n"), &n, &e), -1);
	assert_int_equal(http_chunk_size(SPAN("-1"), &n, &e), -1);
	assert_int_equal(http_chunk_size(SPAN("ffffffffffffffff"), &n, &e), -1);
	assert_true(range_of_content(SPAN("bytes 5-9/10"), &n, &last, &total));
	assert_int_equal(n + last + total, 24);
	assert_true(range_of_content(SPAN("bytes 0-0/*"), &n, &last, &total));
	assert_false(range_of_content(SPAN("bytes 5-10/10"), &n, &last, &total));
	assert_false(range_of_content(SPAN("bytes 5-4/10"), &n, &last, &total));
	assert_false(range_of_content(SPAN("bytes */10"), &n, &last, &total));
}

static void addresses_of_servers(void **state unused_arg)
{
	static const struct {
		const char *text, *host, *authority, *path;
		unsigned port;
	} good[] = {
		{ "http://minio-service.minio:9000", "minio-service.minio",
		  "minio-service.minio:9000", "", 9000 },
		{ "https://s3.example.org/", "s3.example.org", "s3.example.org", "", 443 },
		{ "HTTPS://h:443/a/b/", "h", "h", "/a/b", 443 },
		{ "http://h:443", "h", "h:443", "", 443 },
		{ "http://[::1]:80/x", "::1", "[::1]", "/x", 80 },
	};
	static const char *const bad[] = { "ftp://h",	 "h:9000",	"http://",
					   "http://:80", "http://h:0",	"http://h:65536",
					   "http://h:x", "http://u@h",	"http://h?x",
					   "http://a b", "http://[::1", "http://h\r\nX: y" };
	struct http_url u;
	struct err e = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		assert_int_equal(http_url_parse(good[i].text, &u, &e), 0);
		assert_string_equal(u.host, good[i].host);
		assert_string_equal(u.authority, good[i].authority);
		assert_string_equal(u.path, good[i].path);
		assert_int_equal(u.port, good[i].port);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (http_url_parse(bad[i], &u, &e) == 0)
			fail_msg("taken: %s", bad[i]);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(bodies_end_where_the_head_says),
		cmocka_unit_test(disputed_heads_are_refused),
		cmocka_unit_test(chunk_sizes_and_ranges),
		cmocka_unit_test(addresses_of_servers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
