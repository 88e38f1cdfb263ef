// config: descriptions of services, their outputs, and where credentials come from.
// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "base/file.h"
#include "base/mem.h"
#include "supervisor/outputs.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

struct bed {
	char dir[32];
	struct arena mem;
	struct config c;
	struct err e;
};

static int setup(void **state)
{
	struct bed *b = mem_zalloc(sizeof(*b));

	snprintf(b->dir, sizeof(b->dir), "/tmp/oscar-unit-XXXXXX");
	assert_non_null(mkdtemp(b->dir));
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bed *b = *state;

	config_release(&b->c);
	arena_release(&b->mem);
	assert_int_equal(file_remove_tree(AT_FDCWD, b->dir, &b->e), 0);
	mem_free(b);
	return 0;
}

static int parse(struct bed *b, const char *yaml)
{
	config_release(&b->c);
	b->e = (struct err){ 0 };
	return config_parse(span_of(yaml), b->dir, &b->mem, &b->c, &b->e);
}

static void secret(struct bed *b, const char *store, const char *name, const char *text)
{
	auto_free char *dir = mem_printf("%s/%s", b->dir, store);
	auto_free char *path = mem_printf("%s/%s", dir, name);

	assert_int_equal(file_mkdirs(dir, 0700, &b->e), 0);
	assert_int_equal(file_replace(AT_FDCWD, path, 0600, text, strlen(text), &b->e), 0);
}

static void outputs_are_read_with_their_defaults(void **state)
{
	struct bed *b = *state;

	assert_int_equal(parse(b, "name: n\nlog_level: critical\nfile_stage_in: true\ntimeout: 7\n"
				  "output:\n- {path: /bkt/a/b/, suffix: [.x]}\n"
				  "- {storage_provider: MinIO.Here, path: bkt}\n"),
			 0);
	assert_int_equal(b->c.level, REPORT_CRITICAL);
	assert_true(b->c.skip_stage_in);
	assert_int_equal(b->c.timeout_s, 7);
	assert_int_equal(b->c.output_count, 2);
	assert_string_equal(b->c.outputs[0].provider, "minio.default");
	assert_string_equal(b->c.outputs[0].bucket, "bkt");
	assert_string_equal(b->c.outputs[0].folder, "a/b");
	assert_string_equal(b->c.outputs[1].provider, "minio.Here");
	assert_string_equal(b->c.outputs[1].folder, "");
	assert_int_equal(parse(b, "name: n\n"), 0);
	assert_int_equal(b->c.level, REPORT_INFO);
	assert_false(b->c.skip_stage_in);
}

static void keys_of_files_follow_filters(void **state)
{
	struct bed *b = *state;
	const char *key;
	static const struct {
		const char *filters, *name, *key; // NULL = not for this output
	} rows[] = {
		{ "", "sub/f", "out/sub/f" },
		{ "prefix: [a, sub/]", "sub/f", "out/sub/f" },
		{ "prefix: [a]", "sub/a", NULL },
		{ "suffix: [.j, .p]", "x.p", "out/x.p" },
		{ "suffix: [.j]", "x.p", NULL },
		{ "prefix: [x], suffix: [.j]", "x.p", NULL },
		{ "prefix: [x], suffix: [.j]", "x.j", "out/x.j" },
		{ "prefix: [], suffix: []", "x", "out/x" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_free char *yaml = mem_printf("output: [{path: b/out, %s}]\n", rows[i].filters);

		assert_int_equal(parse(b, yaml), 0);
		assert_int_equal(outputs_key(&b->c.outputs[0], rows[i].name, &b->mem, &key),
				 rows[i].key != NULL);
		if (rows[i].key)
			assert_string_equal(key, rows[i].key);
	}
}

static void credentials_come_from_files_first(void **state)
{
	struct bed *b = *state;
	struct config_store s;
	const char *yaml = "storage_providers: {minio: {default: {access_key: hidden, secret_key: "
			   "hidden, endpoint: 'http://h:1', verify: false}, two: {access_key: A, "
			   "secret_key: S, region: r}}}\n";

	assert_int_equal(parse(b, yaml), 0);
	assert_int_equal(config_store(&b->c, "minio", "two", &s, &b->e), 0);
	assert_string_equal(s.access, "A");
	assert_string_equal(s.region, "r");
	assert_string_equal(s.endpoint, "http://minio-service.minio:9000");
	assert_true(s.verify);
	assert_int_equal(config_store(&b->c, "minio", "default", &s, &b->e), -1);
	assert_int_equal(b->e.code, ERR_NOT_FOUND);
	secret(b, "minio.default", "accessKey", "FA\n");
	secret(b, "minio.default", "secretKey", "FS");
	assert_int_equal(config_store(&b->c, "minio", "default", &s, &b->e), 0);
	assert_string_equal(s.access, "FA");
	assert_string_equal(s.secret, "FS");
	assert_string_equal(s.endpoint, "http://h:1");
	assert_false(s.verify);
	secret(b, "minio.default", "secretKey", "\n");
	assert_int_equal(config_store(&b->c, "minio", "default", &s, &b->e), -1);
	assert_int_equal(b->e.code, ERR_INVALID);
	assert_int_equal(config_store(&b->c, "minio", "../x", &s, &b->e), -1);
	assert_int_equal(b->e.code, ERR_INVALID);
}

static void rucio_is_read_with_its_defaults(void **state)
{
	struct bed *b = *state;
	struct config_store s;

	assert_int_equal(
		parse(b, "output: [{storage_provider: rucio.egi, path: any/folder}]\n"
			 "storage_providers: {rucio: {egi: {host: rucio.example, auth_host: h, "
			 "account: ana, rse: DISK, refresh_token: R}}}\n"),
		0);
	assert_string_equal(b->c.outputs[0].folder, ""); // names are flat there
	assert_string_equal(config_rucio_id(&b->c), "egi");
	assert_int_equal(config_store(&b->c, "rucio", "egi", &s, &b->e), 0);
	assert_int_equal(s.kind, CONFIG_RUCIO);
	assert_string_equal(s.endpoint, "https://rucio.example");
	assert_string_equal(s.rucio.scope, "ana");
	assert_string_equal(s.rucio.client, "token-portal");
	assert_non_null(strstr(s.rucio.token_endpoint, "https://aai.egi.eu/"));
	assert_int_equal(
		parse(b, "input: [{storage_provider: minio, path: a}, "
			 "{storage_provider: Rucio.two, path: b}]\n"
			 "storage_providers: {rucio: {one: {host: h, auth_host: h, account: a, "
			 "rse: R, access_token: T}, two: {host: h, auth_host: h, account: a, "
			 "rse: R, access_token: T, scope: user.a}}}\n"),
		0);
	assert_string_equal(config_rucio_id(&b->c), "two");
	assert_int_equal(config_store(&b->c, "rucio", "two", &s, &b->e), 0);
	assert_string_equal(s.rucio.scope, "user.a");
	assert_int_equal(parse(b, "name: none\n"), 0);
	assert_null(config_rucio_id(&b->c));
}

static void wrong_descriptions_are_refused(void **state)
{
	static const struct {
		const char *yaml, *word;
	} rows[] = {
		{ "- a\n", "expected keys" },
		{ "log_level: LOUD\n", "LOUD" },
		{ "timeout: x\n", "timeout" },
		{ "output: x\n", "output" },
		{ "output: [x]\n", "output[0]" },
		{ "output: [{path: /}]\n", "names no bucket" },
		{ "output: [{path: b, suffix: x}]\n", "suffix" },
		{ "storage_providers: {minio: {m: {secret_key: TOPSECRET}}}\n", "minio.m" },
		{ "storage_providers: {onedata: {o: {token: TOPSECRET}}}\n", "oneprovider_host" },
		{ "storage_providers: {webdav: {w: {hostname: h}}}\n", "login" },
		{ "storage_providers: {rucio: {r: {host: h, auth_host: h, account: a}}}\n", "rse" },
		{ "storage_providers: {rucio: {r: {host: h, auth_host: h, account: a, rse: R}}}\n",
		  "refresh_token" },
		{ "storage_providers: {rucio: {r: {host: h, auth_host: h, account: a, rse: R, "
		  "access_token: \"TOPSECRET x\"}}}\n",
		  "access_token" },
	};
	struct bed *b = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(parse(b, rows[i].yaml), -1);
		if (!strstr(b->e.msg, rows[i].word) || strstr(b->e.msg, "TOPSECRET"))
			fail_msg("%s: %s", rows[i].yaml, b->e.msg);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(outputs_are_read_with_their_defaults, setup,
						teardown),
		cmocka_unit_test_setup_teardown(keys_of_files_follow_filters, setup, teardown),
		cmocka_unit_test_setup_teardown(credentials_come_from_files_first, setup, teardown),
		cmocka_unit_test_setup_teardown(rucio_is_read_with_its_defaults, setup, teardown),
		cmocka_unit_test_setup_teardown(wrong_descriptions_are_refused, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
