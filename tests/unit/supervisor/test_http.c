// http: addresses of servers.
// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "supervisor/http.h"

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
		cmocka_unit_test(addresses_of_servers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
