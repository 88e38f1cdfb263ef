// file: FDL files as people write them, and the place that every fault names.
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
#include "fdl/fdl.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static char dir_name[] = "/tmp/oscar-fdl-XXXXXX";

static int setup(void **state unused_arg)
{
	return mkdtemp(dir_name) ? 0 : -1;
}

static int teardown(void **state unused_arg)
{
	struct err e;

	return file_remove_tree(AT_FDCWD, dir_name, &e);
}

static void put(const char *name, const char *text)
{
	auto_free char *path = mem_printf("%s/%s", dir_name, name);
	struct err e = { 0 };

	assert_int_equal(file_replace(AT_FDCWD, path, 0600, text, strlen(text), &e), 0);
}

static struct fdl_file *read_file(const char *text)
{
	auto_free char *path = mem_printf("%s/f.yaml", dir_name);
	struct fdl_file *f = NULL;
	struct err e = { 0 };

	put("f.yaml", text);
	if (fdl_file_read(path, &f, &e) < 0)
		fail_msg("%s", e.msg);
	return f;
}

static void assert_refused(const char *text, const char *want)
{
	auto_fdl_file struct fdl_file *f = NULL;
	struct err e = { 0 };

	if (fdl_file_parse(span_of(text), "f.yaml", AT_FDCWD, &f, &e) == 0)
		fail_msg("accepted: %s", text);
	if (strncmp(e.msg, want, strlen(want)) != 0)
		fail_msg("\"%s\" does not begin with \"%s\"", e.msg, want);
}

static void a_whole_file_is_read(void **state unused_arg)
{
	auto_fdl_file struct fdl_file *f = NULL;

	put("split.sh", "echo split\r\n");
	f = read_file("functions:\n"
		      "  oscar:\n"
		      "  - local:\n"
		      "      name: video-split\n"
		      "      cpu: 1.0\n"
		      "      memory: 1Gi\n"
		      "      image: host\n"
		      "      script: split.sh\n"
		      "      input: [{storage_provider: minio, path: video/in, suffix: [.mp4]}]\n"
		      "      environment: {Variables: {FPS: 1, ON: yes}}\n"
		      "  - lab:\n"
		      "      name: detect\n"
		      "      image: host\n"
		      "      cluster_id: mine\n"
		      "      script: |\n"
		      "        echo one\n"
		      "        echo two\n"
		      "      output:\n"
		      "      - storage_provider: s3.far\n"
		      "        path: bkt/out\n"
		      "      storage_providers: {s3: {far: {region: own}}}\n"
		      "  aws: [anything]\n"
		      "storage_providers: {s3: {far: {region: shared, access_key: AK}}}\n"
		      "clusters: {lab: {endpoint: 'http://lab', ssl_verify: false}}\n");
	assert_int_equal(f->count, 2);
	assert_string_equal(f->entries[0].cluster, "local");
	assert_int_equal(f->entries[0].line, 3);
	assert_string_equal(f->entries[0].service->cluster_id, "local");
	assert_string_equal(f->entries[0].service->script, "echo split\n");
	assert_int_equal(f->entries[0].service->cpu_millis, 1000);
	assert_string_equal(json_string_value(json_object_get(f->entries[0].service->doc, "cpu")),
			    "1.0");
	assert_string_equal(f->entries[0].service->variables[0].value, "1");
	assert_string_equal(f->entries[0].service->variables[1].value, "yes");
	assert_string_equal(f->entries[0].service->inputs[0].suffixes[0], ".mp4");
	assert_string_equal(f->entries[1].service->cluster_id, "mine");
	assert_string_equal(f->entries[1].service->script, "echo one\necho two\n");
	assert_non_null(json_object_get(f->entries[1].service->doc, "clusters"));
	{
		const json_t *far =
			json_object_get(json_object_get(json_object_get(f->entries[1].service->doc,
									"storage_providers"),
							"s3"),
					"far");

		assert_string_equal(json_string_value(json_object_get(far, "region")), "own");
		assert_string_equal(json_string_value(json_object_get(far, "access_key")), "AK");
	}
}

#define TOP                                                                                        \
	"functions:\n  oscar:\n  - c:\n      name: abc\n      image: host\n      script: |\n     " \
	"   a\n        b\n"

static void every_fault_names_file_line_and_field(void **state unused_arg)
{
	static const struct {
		const char *text, *want;
	} rows[] = {
		{ "", "f.yaml:1:1: not an FDL file" },
		{ "a: [", "f.yaml: line 2, column 1: " },
		{ "services: []\n", "f.yaml:1:1: unknown field \"services\"" },
		{ "functions:\n  oscr: []\n",
		  "f.yaml:2:3: unknown field \"functions.oscr\", did you mean \"oscar\"?" },
		{ "functions: {}\n", "f.yaml:1:1: not an FDL file: the list functions.oscar" },
		{ "functions: {oscar: []}\n", "f.yaml:1:20: functions.oscar: expected a list" },
		{ "functions:\n  oscar:\n  - {a: {}, b: {}}\n",
		  "f.yaml:3:5: functions.oscar: each entry" },
		{ "functions:\n  oscar:\n  - c: hello\n",
		  "f.yaml:3:8: document: expected an object, got a string" },
		{ TOP "      memroy: 1Gi\n",
		  "f.yaml:9:7: unknown field \"memroy\", did you mean \"memory\"?" },
		{ TOP "      zzzzzzzzzz: 1\n", "f.yaml:9:7: unknown field \"zzzzzzzzzz\"" },
		{ TOP "      output:\n      - path: bkt/x\n        sufix: [a]\n",
		  "f.yaml:11:9: unknown field \"output[0].sufix\", did you mean \"suffix\"?" },
		{ TOP "      cpu: lots\n", "f.yaml:9:12: cpu: \"lots\": quantities" },
		{ TOP "      cpu: [1]\n", "f.yaml:9:12: cpu: expected a string, got a list" },
		{ TOP "      alpine: maybe\n", "f.yaml:9:15: alpine: expected a boolean" },
		{ TOP "      timeout: 10s\n", "f.yaml:9:16: timeout: expected a whole number" },
		{ TOP "      input:\n      - path: bkt/x\n      - path: Bad/x\n",
		  "f.yaml:11:15: input[1].path: bucket name \"Bad\"" },
		{ TOP "      input:\n      - {storage_provider: minio}\n",
		  "f.yaml:10:9: input[0].path: input path cannot be empty" },
		{ TOP "      name: twice\n", "f.yaml: line 9, column 7: the key \"name\"" },
		{ TOP "      environment: {variables: {'a b': 1}}\n",
		  "f.yaml:9:32: environment.variables: \"a b\"" },
		{ "functions:\n  oscar:\n  - c:\n      image: host\n",
		  "f.yaml:4:7: name: a service needs a name" },
		{ "functions:\n  oscar:\n  - c:\n      name: a\n      image: host\n      script: "
		  "no.sh\n",
		  "f.yaml:6:15: script: " },
		{ "functions:\n  oscar:\n  - c:\n      name: a\n      image: host\n      script: "
		  "''\n",
		  "f.yaml:6:15: script: a service needs a script" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_refused(rows[i].text, rows[i].want);
}

static void an_empty_or_binary_script_file_is_refused(void **state unused_arg)
{
	static const char text[] =
		"functions:\n  oscar:\n  - c:\n      name: a\n      image: host\n"
		"      script: s.sh\n";
	auto_fd int dir = open(dir_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct fdl_file *f = NULL;
	struct err e = { 0 };

	put("s.sh", "");
	assert_int_equal(fdl_file_parse(span_of(text), "f.yaml", dir, &f, &e), -1);
	assert_non_null(strstr(e.msg, "f.yaml:6:15: script: a service needs a script"));
	put("s.sh", "\xff\xfe");
	assert_int_equal(fdl_file_parse(span_of(text), "f.yaml", dir, &f, &e), -1);
	assert_non_null(strstr(e.msg, "is not a text in UTF-8"));
}

static void a_missing_file_is_not_found(void **state unused_arg)
{
	struct fdl_file *f = NULL;
	struct err e = { 0 };

	assert_int_equal(fdl_file_read("/nowhere/f.yaml", &f, &e), -1);
	assert_int_equal(e.code, ERR_NOT_FOUND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_whole_file_is_read),
		cmocka_unit_test(every_fault_names_file_line_and_field),
		cmocka_unit_test(an_empty_or_binary_script_file_is_refused),
		cmocka_unit_test(a_missing_file_is_not_found),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
