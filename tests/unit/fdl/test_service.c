// service: defaults, the exact printed text, every rule that refuses, and what is kept.
// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "base/mem.h"
#include "fdl/fdl.h"

static struct fdl_service *parse(const char *json)
{
	struct fdl_service *s = NULL;
	struct err e = { 0 };

	if (fdl_service_parse(span_of(json), &s, &e) < 0)
		fail_msg("%s: %s", json, e.msg);
	return s;
}

#define WITH(more) "{\"name\":\"plants\",\"image\":\"host\",\"script\":\"true\"" more "}"

static void assert_refused(const char *json, const char *part)
{
	auto_fdl_service struct fdl_service *s = NULL;
	struct err e = { 0 };

	if (fdl_service_parse(span_of(json), &s, &e) == 0)
		fail_msg("accepted: %s", json);
	if (!strstr(e.msg, part))
		fail_msg("%s: \"%s\" does not contain \"%s\"", json, e.msg, part);
}

static void a_minimal_service_prints_every_key_in_order(void **state unused_arg)
{
	auto_fdl_service struct fdl_service *s = parse(WITH(""));
	const struct fdl_own_store own = { "http://127.0.0.1:9000", true, "us-east-1" };
	auto_json json_t *doc = NULL;
	auto_free char *text = NULL;

	fdl_service_set(s, "token", "0123");
	fdl_service_set(s, "owner", "cluster_admin");
	fdl_service_set(s, "namespace", "oscar-svc");
	fdl_service_set_labels(s, "a b");
	doc = fdl_service_json(s, FDL_PRINT_PUBLIC, &own);
	text = codec_json_text(doc, CODEC_JSON_HTML);
	assert_string_equal(
		text,
		"{\"name\":\"plants\",\"cluster_id\":\"\",\"memory\":\"256Mi\",\"cpu\":\"0.2\","
		"\"total_memory\":\"\",\"total_cpu\":\"\",\"ephemeral_storage_request\":\"\","
		"\"enable_gpu\":false,\"enable_sgx\":false,\"image_prefetch\":false,"
		"\"synchronous\":{\"min_scale\":0,\"max_scale\":0},\"log_level\":\"INFO\","
		"\"image\":\"host\",\"alpine\":false,\"token\":\"0123\",\"file_stage_in\":false,"
		"\"input\":[],\"output\":[],\"script\":\"true\","
		"\"expose\":{\"min_scale\":0,\"max_scale\":0,\"cpu_threshold\":0,"
		"\"rewrite_target\":false,\"default_command\":false,\"set_auth\":false,"
		"\"health_path\":\"\"},\"environment\":{\"variables\":{},\"secrets\":{}},"
		"\"annotations\":{},\"vo\":\"\",\"labels\":{\"applicationId\":\"plants\","
		"\"oscar.grycap/user-service\":\"true\",\"oscar_service\":\"plants\","
		"\"owner_name\":\"a_b\",\"queue\":\"root.oscar-queue.plants\"},"
		"\"storage_providers\":{\"minio\":{\"default\":{\"endpoint\":"
		"\"http://127.0.0.1:9000\",\"verify\":true,\"access_key\":\"hidden\","
		"\"secret_key\":\"hidden\",\"region\":\"us-east-1\"}}},"
		"\"owner\":\"cluster_admin\",\"namespace\":\"oscar-svc\","
		"\"interlink_node_name\":\"\",\"visibility\":\"private\",\"allowed_users\":[],"
		"\"isolation_level\":\"\",\"bucket_list\":[],"
		"\"mount\":{\"storage_provider\":\"\",\"path\":\"\"},"
		"\"volume_status\":{\"enabled\":false}}");
}

static void defaults_are_filled_in(void **state unused_arg)
{
	auto_fdl_service struct fdl_service *s = parse(WITH(",\"memory\":null,\"cpu\":\"\""));

	assert_int_equal(s->cpu_millis, 200);
	assert_int_equal(s->memory_bytes, 256 << 20);
	assert_string_equal(s->log_level, "INFO");
	assert_string_equal(s->visibility, "private");
	assert_int_equal(s->input_count, 0);
	assert_false(s->network_host);
	assert_int_equal(s->timeout_s, 0);
}

static void our_own_keys_have_their_fields(void **state unused_arg)
{
	auto_fdl_service struct fdl_service *s = parse(WITH(
		",\"timeout\":60,\"wait_timeout\":3600,\"retry\":{\"attempts\":3,"
		"\"backoff_seconds\":5,\"on\":[\"oom\",\"lost\"]},\"network\":\"host\","
		"\"ephemeral_storage_request\":\"1Gi\",\"pids\":64,\"runtime\":\"fake\","
		"\"log_limit\":\"1Mi\",\"upload_on_failure\":true,\"keep_warm\":3,\"prepared\":0,"
		"\"idle_stop\":9,\"freeze_after\":4"));
	auto_fdl_service struct fdl_service *plain = parse(WITH(""));
	auto_fdl_service struct fdl_service *nat = parse(WITH(",\"network\":\"nat\""));

	assert_true(nat->network_nat && !nat->network_host && !plain->network_nat);

	assert_int_equal(s->timeout_s, 60);
	assert_int_equal(s->wait_timeout_s, 3600);
	assert_int_equal(s->retry_attempts, 3);
	assert_int_equal(s->retry_backoff_s, 5);
	assert_int_equal(s->retry_on, FDL_RETRY_OOM | FDL_RETRY_LOST);
	assert_true(s->network_host && !s->network_nat);
	assert_int_equal(s->output_bytes_max, 1 << 30);
	assert_int_equal(s->pids_max, 64);
	assert_string_equal(s->runtime, "fake");
	assert_int_equal(s->log_bytes_max, 1 << 20);
	assert_true(s->upload_on_failure);
	assert_int_equal(s->keep_warm, 3);
	assert_int_equal(s->prepared, 0);
	assert_int_equal(plain->prepared, 1);
	assert_int_equal(s->idle_stop_s, 9);
	assert_int_equal(plain->keep_warm, 0);
	assert_int_equal(plain->idle_stop_s, 300);
	assert_int_equal(s->freeze_after_s, 4);
	assert_int_equal(plain->freeze_after_s, 30);
}

static void paths_are_trimmed_and_split(void **state unused_arg)
{
	auto_fdl_service struct fdl_service *s =
		parse(WITH(",\"input\":[{\"storage_provider\":\"minio\",\"path\":\" /bkt/a/b/ \"},"
			   "{\"storage_provider\":\"MinIO.default\",\"path\":\"onlyfolder\"},{"
			   "\"path\":\"bkt/\"}],"
			   "\"output\":[{\"path\":\"out/"
			   "x\",\"suffix\":[\".jpg\",\".png\"],\"prefix\":[\"p\"]}]"));

	assert_int_equal(s->input_count, 3);
	assert_string_equal(s->inputs[0].provider, "minio.default");
	assert_string_equal(s->inputs[0].bucket, "bkt");
	assert_string_equal(s->inputs[0].folder, "a/b");
	assert_string_equal(s->inputs[1].bucket, "plants");
	assert_string_equal(s->inputs[1].folder, "onlyfolder");
	assert_string_equal(s->inputs[2].bucket, "plants"); // one part, however many slashes
	assert_string_equal(s->inputs[2].folder, "bkt");
	assert_int_equal(s->outputs[0].suffix_count, 2);
	assert_string_equal(s->outputs[0].suffixes[1], ".png");
	assert_string_equal(s->outputs[0].prefixes[0], "p");
}

static void keys_match_whatever_their_case_and_unknown_ones_are_listed(void **state unused_arg)
{
	auto_fdl_service struct fdl_service *s =
		parse("{\"NAME\":\"plants\",\"Image\":\"host\",\"script\":\"true\",\"Environment\":"
		      "{\"Variables\":{\"B\":\"2\",\"A\":\"1\"}},\"bogus\":1,\"input\":[{\"path\":"
		      "\"bkt/f\","
		      "\"sufix\":[]}]}");
	auto_free char *unknown = codec_json_text(s->unknown, CODEC_JSON_PLAIN);

	assert_string_equal(s->name, "plants");
	assert_int_equal(s->variable_count, 2);
	assert_string_equal(s->variables[0].name, "A");
	assert_string_equal(s->variables[1].value, "2");
	assert_string_equal(unknown, "[\"bogus\",\"input[0].sufix\"]");
}

static void ports_are_numbers_or_lists(void **state unused_arg)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
		{ "80", "\"api_port\":80," },
		{ "[80,81]", "\"api_port\":[80,81]," },
		{ "[80]", "\"api_port\":[80]," },
		{ "0", NULL },
		{ "[]", NULL },
		{ "null", NULL },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_free char *json = mem_printf(
			WITH(",\"expose\":{\"api_port\":%s,\"nodePort\":0}"), rows[i].in);
		auto_fdl_service struct fdl_service *s = parse(json);
		auto_json json_t *doc = fdl_service_json(s, FDL_PRINT_PUBLIC, NULL);
		auto_free char *text = codec_json_text(doc, CODEC_JSON_PLAIN);

		assert_null(strstr(text, "nodePort"));
		if (rows[i].out)
			assert_non_null(strstr(text, rows[i].out));
		else
			assert_null(strstr(text, "api_port"));
	}
}

static void what_is_exposed_has_bounds(void **state unused_arg)
{
	auto_fdl_service struct fdl_service *none =
		parse(WITH(",\"expose\":{\"min_scale\":3,\"max_scale\":1,\"health_path\":\"x\"}"));
	auto_fdl_service struct fdl_service *plain =
		parse(WITH(",\"expose\":{\"api_port\":[81,80]}"));
	auto_fdl_service struct fdl_service *full = parse(
		"{\"name\":\"n\",\"image\":\"i\",\"expose\":{\"api_port\":80,\"min_scale\":12,"
		"\"default_command\":true,\"set_auth\":true,\"rewrite_target\":true,"
		"\"health_path\":\"/up\",\"concurrency\":7,\"auth_type\":\"Basic\"}}");

	assert_int_equal(none->expose.port, 0);
	assert_int_equal(plain->expose.port, 81);
	assert_int_equal(plain->expose.min, 0);
	assert_int_equal(plain->expose.max, 10);
	assert_int_equal(plain->expose.calls, 100);
	assert_string_equal(plain->expose.health_path, "");
	assert_false(plain->expose.set_auth);
	assert_int_equal(full->expose.max, 12);
	assert_int_equal(full->expose.calls, 7);
	assert_string_equal(full->expose.health_path, "/up");
	assert_true(full->expose.set_auth && full->expose.rewrite_target &&
		    full->expose.default_command);
}

static void what_breaks_a_rule_is_refused_with_the_field(void **state unused_arg)
{
	static const struct {
		const char *json, *part;
	} rows[] = {
		{ "[]", "expected an object, got a list" },
		{ "{\"image\":\"i\",\"script\":\"s\"}", "name: a service needs a name" },
		{ "{\"name\":\"n\",\"script\":\"s\"}", "image: a service needs an image" },
		{ "{\"name\":\"n\",\"image\":\"i\"}", "script: a service needs a script" },
		{ "{\"name\":\"n\",\"image\":\"i\",\"script\":\" \\n\"}",
		  "script: a service needs" },
		{ "{\"name\":\"Bad_6\",\"image\":\"i\",\"script\":\"s\"}", "name: \"Bad_6\"" },
		{ "{\"name\":\"-a\",\"image\":\"i\",\"script\":\"s\"}", "name: \"-a\"" },
		{ "{\"name\":\"a-\",\"image\":\"i\",\"script\":\"s\"}", "name: \"a-\"" },
		{ "{\"name\":\"a123456789b123456789c123456789d123456789\",\"image\":\"i\","
		  "\"script\":\"s\"}",
		  "40 characters" },
		{ "{\"name\":\"n\",\"image\":\"a b\",\"script\":\"s\"}", "image: blanks" },
		{ WITH(",\"cpu\":1"), "cpu: expected a string, got a number" },
		{ WITH(",\"cpu\":\"lots\""), "cpu: \"lots\": quantities must match the regular" },
		{ WITH(",\"cpu\":\"0\""), "cpu: \"0\" is not between" },
		{ WITH(",\"cpu\":\"1e6\""), "cpu: \"1e6\" is not between" },
		{ WITH(",\"memory\":\"12\""), "memory: \"12\" is less than 1Mi" },
		{ WITH(",\"memory\":\"99999Ei\""), "memory: \"99999Ei\": too large" },
		{ WITH(",\"total_cpu\":\"x\""), "total_cpu:" },
		{ WITH(",\"log_limit\":\"x\""), "log_limit:" },
		{ WITH(",\"enable_gpu\":\"true\""), "enable_gpu: expected a boolean" },
		{ WITH(",\"gpus\":17"), "gpus: 17 is not between 0 and 16" },
		{ WITH(",\"enable_gpu\":true,\"gpus\":0"), "gpus: 0, and enable_gpu wants one" },
		{ WITH(",\"gpus\":1,\"keep_warm\":1"), "keep_warm: a sandbox with devices" },
		{ WITH(",\"devices\":[{\"kind\":\"gpu\"}]"),
		  "devices[0]: kind: \"gpu\": want one" },
		{ WITH(",\"devices\":[{\"kind\":\"a.b/c\",\"count\":0}]"),
		  "devices[0]: count: want" },
		{ WITH(",\"input\":{}"), "input: expected a list of objects, got an object" },
		{ WITH(",\"input\":[5]"), "input[0]: expected an object, got a number" },
		{ WITH(",\"input\":[{}]"), "input[0].path: input path cannot be empty" },
		{ WITH(",\"input\":[{\"path\":\"/\"}]"), "input path cannot be empty" },
		{ WITH(",\"input\":[{\"path\":\"Big/x\"}]"), "input[0].path: bucket name \"Big\"" },
		{ WITH(",\"input\":[{\"path\":\"ab/x\"}]"), "3 to 63" },
		{ WITH(",\"input\":[{\"path\":\"1.2.3.4/x\"}]"), "IP address" },
		{ WITH(",\"input\":[{\"path\":\"a..b/x\"}]"), "two points" },
		{ WITH(",\"input\":[{\"path\":\"abc-/x\"}]"), "begin and end" },
		{ WITH(",\"input\":[{\"path\":\"abc/../x\"}]"), "must not be named" },
		{ WITH(",\"input\":[{\"path\":\"abc/x//y\"}]"), "empty name" },
		{ WITH(",\"input\":[{\"path\":\"abc/x\\u0001\"}]"), "control character" },
		{ WITH(",\"input\":[{\"storage_provider\":\"s3\",\"path\":\"abc/x\"}]"),
		  "StorageProvider \"s3.default\" is not defined" },
		{ WITH(",\"input\":[{\"storage_provider\":\"ftp\",\"path\":\"abc/x\"}]"),
		  "StorageProvider \"ftp\" is not defined" },
		{ WITH(",\"storage_providers\":{\"s3\":{\"a\":{}}},\"input\":[{\"storage_"
		       "provider\":"
		       "\"s3.a\",\"path\":\"abc/x\"}]"),
		  "unrecognized input (valid inputs are MinIO and dCache)" },
		{ WITH(",\"output\":[{\"storage_provider\":\"s3.x\",\"path\":\"abc/x\"}]"),
		  "output[0].storage_provider: the StorageProvider \"s3.x\" is not defined" },
		{ WITH(",\"output\":[{\"path\":\"abc/x\",\"suffix\":\".jpg\"}]"),
		  "output[0].suffix: expected a list of strings, got a string" },
		{ WITH(",\"output\":[{\"path\":\"abc/x\",\"suffix\":[1]}]"),
		  "output[0].suffix[0]: expected a string" },
		{ WITH(",\"environment\":{\"variables\":{\"A\":1}}"),
		  "environment.variables.A: expected a string, got a number" },
		{ WITH(",\"environment\":{\"variables\":{\"1A\":\"\"}}"),
		  "environment.variables:" },
		{ WITH(",\"environment\":{\"secrets\":{\"A=\":\"\"}}"), "environment.secrets:" },
		{ WITH(",\"visibility\":\"secret\""), "visibility: \"secret\" is none of private" },
		{ WITH(",\"isolation_level\":\"x\""), "isolation_level:" },
		{ WITH(",\"network\":\"bridge\""),
		  "network: \"bridge\" is none of none, host, nat" },
		{ WITH(",\"runtime\":\"x\""), "runtime:" },
		{ WITH(",\"timeout\":-1"), "timeout: -1 is not between" },
		{ WITH(",\"timeout\":1.5"), "timeout: expected a whole number" },
		{ WITH(",\"retry\":{\"attempts\":1000}"), "retry.attempts: 1000" },
		{ WITH(",\"retry\":{\"on\":[\"bad luck\"]}"), "retry.on[0]: \"bad luck\"" },
		{ WITH(",\"expose\":{\"api_port\":\"80\"}"),
		  "expose.api_port: expected a whole number" },
		{ WITH(",\"expose\":{\"api_port\":65536}"), "expose: api_port: 65536 is not" },
		{ WITH(",\"expose\":{\"api_port\":80,\"max_scale\":65}"), "max_scale: 65 is not" },
		{ WITH(",\"expose\":{\"api_port\":80,\"min_scale\":2,\"max_scale\":1}"),
		  "max_scale: 1 is less" },
		{ WITH(",\"expose\":{\"api_port\":80,\"concurrency\":0}"),
		  "concurrency: 0 is not" },
		{ WITH(",\"expose\":{\"api_port\":80,\"health_path\":\"a b\"}"),
		  "health_path: want" },
		{ WITH(",\"expose\":{\"api_port\":80,\"auth_type\":\"oidc\"}"), "auth_type: only" },
		{ WITH(",\"network\":\"host\",\"expose\":{\"api_port\":80}"),
		  "only without \"network" },
		{ "{\"name\":\"n\",\"image\":\"i\",\"expose\":{\"default_command\":true}}",
		  "script: a service needs" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_refused(rows[i].json, rows[i].part);
}

static void a_script_over_its_size_is_refused(void **state unused_arg)
{
	auto_free char *script = mem_zalloc(FDL_SCRIPT_MAX + 2);
	auto_free char *json = NULL;

	memset(script, 'x', FDL_SCRIPT_MAX + 1);
	json = mem_printf("{\"name\":\"n\",\"image\":\"i\",\"script\":\"%s\"}", script);
	assert_refused(json, "script: 1048577 bytes");
}

static void line_ends_of_a_script_become_lf(void **state unused_arg)
{
	auto_fdl_service struct fdl_service *s =
		parse("{\"name\":\"n\",\"image\":\"i\",\"script\":\"a\\r\\nb\\rc\\r\\n\"}");

	assert_string_equal(s->script, "a\nb\rc\n");
	assert_string_equal(json_string_value(json_object_get(s->doc, "script")), "a\nb\rc\n");
}

static void an_unknown_log_level_counts_as_info(void **state unused_arg)
{
	auto_fdl_service struct fdl_service *a = parse(WITH(",\"log_level\":\"debug\""));
	auto_fdl_service struct fdl_service *b = parse(WITH(",\"log_level\":\"loud\""));

	assert_string_equal(a->log_level, "DEBUG");
	assert_string_equal(b->log_level, "INFO");
	assert_string_equal(json_string_value(json_object_get(b->doc, "log_level")), "INFO");
}

static const char SECRETIVE[] =
	WITH(",\"environment\":{\"secrets\":{\"KEY\":\"geheim\"}},\"storage_providers\":{\"s3\":"
	     "{\"x\":{\"access_key\":\"AK\",\"secret_key\":\"SK\",\"region\":\"r\"}}},\"clusters\":"
	     "{\"c\":{\"endpoint\":\"http://c\",\"auth_user\":\"u\",\"auth_password\":\"PW\"}},"
	     "\"output\":[{\"storage_provider\":\"s3.x\",\"path\":\"bkt/"
	     "f\"}],\"retry\":{\"attempts\":2}");

static void secrets_are_blank_unless_asked_for(void **state unused_arg)
{
	auto_fdl_service struct fdl_service *s = parse(SECRETIVE);
	auto_json json_t *public = fdl_service_json(s, FDL_PRINT_PUBLIC, NULL);
	auto_free char *text = codec_json_text(public, CODEC_JSON_PLAIN);

	assert_non_null(strstr(text, "\"secrets\":{\"KEY\":\"\"}"));
	assert_non_null(strstr(text, "\"access_key\":\"hidden\",\"secret_key\":\"hidden\""));
	assert_non_null(strstr(text, "\"auth_user\":\"u\",\"auth_password\":\"hidden\""));
	assert_null(strstr(text, "geheim"));
	assert_null(strstr(text, "SK"));
	assert_null(strstr(text, "PW"));
}

static void the_stored_form_reads_back_as_the_same(void **state unused_arg)
{
	auto_fdl_service struct fdl_service *s = parse(SECRETIVE);
	auto_json json_t *stored = fdl_service_json(s, FDL_PRINT_STORED, NULL);
	auto_free char *text = codec_json_text(stored, CODEC_JSON_PLAIN);
	auto_fdl_service struct fdl_service *again = parse(text);
	auto_json json_t *stored_again = fdl_service_json(again, FDL_PRINT_STORED, NULL);

	assert_true(json_equal(stored, stored_again));
	assert_string_equal(again->secrets[0].value, "geheim");
	assert_int_equal(again->retry_attempts, 2);
	assert_int_equal(json_array_size(again->unknown), 0);
}

static void secrets_are_kept_over_an_update_without_them(void **state unused_arg)
{
	auto_fdl_service struct fdl_service *old = parse(SECRETIVE);
	auto_fdl_service struct fdl_service *new = parse(WITH(""));

	assert_true(fdl_service_names_secrets(old));
	assert_false(fdl_service_names_secrets(new));
	fdl_service_keep_secrets(new, old);
	assert_int_equal(new->secret_count, 1);
	assert_string_equal(new->secrets[0].value, "geheim");
	assert_true(fdl_service_names_secrets(new));
}

static void the_own_store_stands_beside_foreign_ones(void **state unused_arg)
{
	auto_fdl_service struct fdl_service *s = parse(
		WITH(",\"storage_providers\":{\"webdav\":{\"w\":{}},\"s3\":{\"x\":{}},\"minio\":"
		     "{\"default\":{\"endpoint\":\"http://evil\"},\"m\":{\"verify\":true}}}"));
	const struct fdl_own_store own = { "http://o", false, "r" };
	auto_json json_t *doc = fdl_service_json(s, FDL_PRINT_CREDENTIALS, &own);
	auto_free char *text =
		codec_json_text(json_object_get(doc, "storage_providers"), CODEC_JSON_PLAIN);

	assert_string_equal(
		text, "{\"s3\":{\"x\":{\"access_key\":\"\",\"secret_key\":\"\",\"region\":\"\"}},"
		      "\"minio\":{\"default\":{\"endpoint\":\"http://o\",\"verify\":false,"
		      "\"access_key\":\"hidden\",\"secret_key\":\"hidden\",\"region\":\"r\"},"
		      "\"m\":{\"endpoint\":\"\",\"verify\":true,\"access_key\":\"\","
		      "\"secret_key\":\"\",\"region\":\"\"}},"
		      "\"webdav\":{\"w\":{\"hostname\":\"\",\"login\":\"\",\"password\":\"\"}}}");
}

static void filters_compare_the_name_below_the_folder(void **state unused_arg)
{
	auto_fdl_service struct fdl_service *s =
		parse(WITH(",\"input\":[{\"path\":\"bkt/in\",\"prefix\":[\"a\",\"sub/"
			   "\"],\"suffix\":[\".jpg\"]}]"));
	const struct fdl_io *io = &s->inputs[0];
	static const struct {
		const char *bucket, *key, *name;
	} rows[] = {
		{ "bkt", "in/a.jpg", "a.jpg" }, { "bkt", "in/sub/x.jpg", "sub/x.jpg" },
		{ "bkt", "in/b.jpg", NULL },	{ "bkt", "in/a.png", NULL },
		{ "bkt", "inn/a.jpg", NULL },	{ "bkt", "in", NULL },
		{ "bkt", "in/", NULL },		{ "bkt", "a.jpg", NULL },
		{ "other", "in/a.jpg", NULL },	{ "bkt", "in/a.jpg/", NULL },
		{ "bkt", "x/in/a.jpg", NULL },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct span name = SPAN("");
		bool takes = fdl_io_takes(io, span_of(rows[i].bucket), span_of(rows[i].key), &name);

		if (takes != (rows[i].name != NULL))
			fail_msg("%s/%s", rows[i].bucket, rows[i].key);
		if (takes)
			assert_true(span_is(name, rows[i].name));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_minimal_service_prints_every_key_in_order),
		cmocka_unit_test(defaults_are_filled_in),
		cmocka_unit_test(our_own_keys_have_their_fields),
		cmocka_unit_test(paths_are_trimmed_and_split),
		cmocka_unit_test(keys_match_whatever_their_case_and_unknown_ones_are_listed),
		cmocka_unit_test(ports_are_numbers_or_lists),
		cmocka_unit_test(what_is_exposed_has_bounds),
		cmocka_unit_test(what_breaks_a_rule_is_refused_with_the_field),
		cmocka_unit_test(a_script_over_its_size_is_refused),
		cmocka_unit_test(line_ends_of_a_script_become_lf),
		cmocka_unit_test(an_unknown_log_level_counts_as_info),
		cmocka_unit_test(secrets_are_blank_unless_asked_for),
		cmocka_unit_test(the_stored_form_reads_back_as_the_same),
		cmocka_unit_test(secrets_are_kept_over_an_update_without_them),
		cmocka_unit_test(the_own_store_stands_beside_foreign_ones),
		cmocka_unit_test(filters_compare_the_name_below_the_folder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
