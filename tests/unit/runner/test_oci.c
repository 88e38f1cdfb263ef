// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "base/mem.h"
#include "codec/json.h"
#include "runner/filter.h"
#include "runner/oci.h"
#include "runner/sandbox.h"

static struct world world_of(bool rootless)
{
	struct world w = { .base = rootless ? 0 : 1000000,
			   .count = rootless ? 1 : 65536,
			   .idmap = rootless ? -1 : 5,
			   .rootless = rootless,
			   .setup_id = 1065535,
			   .masks = { { "keys", WORLD_HIDE_FILE }, { "sys", WORLD_READ_ONLY } },
			   .mask_count = 2 };

	w.oci.seccomp = (char *)"{}";
	return w;
}

static json_t *config_of(const struct world *w, const struct proto_start *m)
{
	const struct sandbox s = { .world = w, .start = m };
	auto_buf struct buf text;
	struct err e = { 0 };
	json_t *v = NULL;

	buf_init(&text, 64 << 10);
	if (oci_config(&s, &text, &e) < 0 ||
	    codec_json_parse(buf_span(&text), 64 << 10, &v, &e) < 0)
		fail_msg("%s", e.msg);
	return v;
}

static json_t *at(json_t *v, const char *a, const char *b)
{
	return json_object_get(json_object_get(v, a), b);
}

// "containerID:hostID:size" of all entries.
static void assert_maps(json_t *list, const char *want)
{
	auto_buf struct buf got;
	size_t i;
	json_t *m;

	buf_init(&got, 4096);
	json_array_foreach(list, i, m)
		buf_printf(&got, "%s%lld:%lld:%lld", i ? " " : "",
			   (long long)json_integer_value(json_object_get(m, "containerID")),
			   (long long)json_integer_value(json_object_get(m, "hostID")),
			   (long long)json_integer_value(json_object_get(m, "size")));
	assert_string_equal(got.p ? got.p : "", want);
}

static void whoever_the_script_is_owns_the_daemons_files(void **state unused_arg)
{
	static const struct {
		uint32_t uid, gid, groups[2];
		unsigned group_count;
		bool rootless;
		const char *user_map, *group_map;
	} cases[] = {
		{ 0, 0, { 0 }, 0, false, "0:1000000:65536", "0:1000000:65536" },
		{ 1000,
		  100,
		  { 0 },
		  0,
		  false,
		  "1000:1000000:1 0:1065535:1",
		  "100:1000000:1 0:1065535:1" },
		{ 7,
		  8,
		  { 0, 9 },
		  2,
		  false,
		  "7:1000000:1 0:1065535:1",
		  "8:1000000:1 0:1000001:1 9:1000002:1" },
		{ 0, 0, { 0 }, 0, true, "0:0:1", "0:0:1" },
		{ 7, 8, { 5 }, 1, true, "7:0:1", "8:0:1" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct proto_start m = { .uid = cases[i].uid,
					       .gid = cases[i].gid,
					       .group_count = cases[i].group_count,
					       .groups = { cases[i].groups[0],
							   cases[i].groups[1] } };
		struct world w = world_of(cases[i].rootless);
		auto_json json_t *v = config_of(&w, &m);
		json_t *user = at(v, "process", "user");

		assert_maps(at(v, "linux", "uidMappings"), cases[i].user_map);
		assert_maps(at(v, "linux", "gidMappings"), cases[i].group_map);
		assert_int_equal(json_integer_value(json_object_get(user, "uid")), m.uid);
		assert_int_equal(json_array_size(json_object_get(user, "additionalGids")),
				 w.rootless ? 0 : m.group_count);
	}
}

static void a_container_has_no_rights(void **state unused_arg)
{
	static const char *const sets[] = { "bounding", "effective", "inheritable", "permitted",
					    "ambient" };
	const struct proto_start m = { 0 };
	struct world w = world_of(false);
	auto_json json_t *v = config_of(&w, &m);
	json_t *caps = at(v, "process", "capabilities");

	for (size_t i = 0; i < ARRAY_LEN(sets); i++) {
		json_t *set = json_object_get(caps, sets[i]);

		assert_true(json_is_array(set) && json_array_size(set) == 0);
	}
	assert_true(json_is_true(at(v, "process", "noNewPrivileges")));
	assert_int_equal(json_array_size(at(v, "linux", "namespaces")), 6);
	assert_string_equal(json_string_value(json_array_get(at(v, "linux", "maskedPaths"), 0)),
			    "/proc/keys");
	assert_string_equal(json_string_value(json_array_get(at(v, "linux", "readonlyPaths"), 0)),
			    "/proc/sys");
	assert_true(json_is_object(at(v, "linux", "seccomp")));
}

static void the_filter_is_one_of_the_specification(void **state unused_arg)
{
	auto_buf struct buf text;
	auto_json json_t *v = NULL;
	struct err e = { 0 };
	bool mount = false;
	json_t *rule, *list;
	size_t i;

	buf_init(&text, 64 << 10);
	assert_int_equal(filter_json(&text, &e), 0);
	assert_int_equal(codec_json_parse(buf_span(&text), 64 << 10, &v, &e), 0);
	assert_string_equal(json_string_value(json_object_get(v, "defaultAction")),
			    "SCMP_ACT_ALLOW");
	list = json_object_get(v, "syscalls");
	assert_true(json_array_size(list) > 50);
	json_array_foreach(list, i, rule)
	{
		json_t *names = json_object_get(rule, "names"), *name;
		size_t k;

		assert_string_equal(json_string_value(json_object_get(rule, "action")),
				    "SCMP_ACT_ERRNO");
		assert_true(json_array_size(names) > 0);
		json_array_foreach(names, k, name) mount =
			mount || strcmp(json_string_value(name), "mount") == 0;
	}
	assert_true(mount);
}

static void a_runtime_is_crun_or_runc(void **state unused_arg)
{
	static const struct {
		const char *name;
		enum err_code code;
	} bad[] = {
		{ "docker", ERR_INVALID },
		{ "", ERR_INVALID },
		{ "bin/crun", ERR_INVALID },
		{ "/usr/bin/podman", ERR_INVALID },
		{ "/nowhere/crun", ERR_NOT_FOUND },
		{ "crun-of-nowhere", ERR_NOT_FOUND },
		{ "/usr/bin/../crun/", ERR_INVALID },
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct err e = { 0 };

		assert_null(oci_find(bad[i].name, &e));
		assert_int_equal(e.code, bad[i].code);
	}
}

static void pid_1_must_be_a_static_program(void **state unused_arg)
{
	struct err e = { 0 };
	auto_free char *there = oci_find("crun", &e);
	struct oci o;

	if (!there)
		skip();
	assert_true(oci_open(&o, "crun", "/proc/self/exe", &e) < 0);
	assert_int_equal(e.code, ERR_UNSUPPORTED);
	oci_close(&o);
	assert_true(oci_open(&o, there, "/etc/passwd", &e) < 0);
	oci_close(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whoever_the_script_is_owns_the_daemons_files),
		cmocka_unit_test(a_container_has_no_rights),
		cmocka_unit_test(the_filter_is_one_of_the_specification),
		cmocka_unit_test(a_runtime_is_crun_or_runc),
		cmocka_unit_test(pid_1_must_be_a_static_program),
	};

	return cmocka_run_group_tests_name("oci", tests, NULL, NULL);
}
