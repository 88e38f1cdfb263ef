// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "codec/json.h"
#include "image/manifest.h"

#define HEX(c) c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c
#define DIGEST(c) "\"sha256:" HEX(c) HEX(c) "\""
#define CONFIG                                                                                     \
	"\"config\":{\"mediaType\":\"application/vnd.oci.image.config.v1+json\",\"size\":7,"       \
	"\"digest\":" DIGEST("c") "}"
#define LAYER(c) "{\"mediaType\":\"layer\",\"size\":9,\"digest\":" DIGEST(c) "}"

static void a_manifest_names_its_blobs(void **state unused_arg)
{
	auto_arena struct arena a = { 0 };
	struct manifest m;
	struct err e = { 0 };

	assert_int_equal(manifest_parse(SPAN("{\"schemaVersion\":2," CONFIG
					     ",\"layers\":[" LAYER("1") "," LAYER("2") "]}"),
					&a, &m, &e),
			 0);
	assert_false(m.is_index);
	assert_int_equal(m.count, 2);
	assert_string_equal(m.list[1].digest, "sha256:" HEX("2") HEX("2"));
	assert_int_equal(m.list[1].size, 9);
	assert_int_equal(m.config.size, 7);
}

static void documents_of_other_kinds_are_refused(void **state unused_arg)
{
	static const struct {
		const char *text;
		enum err_code code;
		const char *word;
	} cases[] = {
		{ "", ERR_INVALID, "manifest" },
		{ "[]", ERR_INVALID, "object" },
		{ "{}", ERR_INVALID, "neither" },
		{ "{\"schemaVersion\":1,\"fsLayers\":[]}", ERR_UNSUPPORTED, "schema 1" },
		{ "{" CONFIG ",\"layers\":[],\"manifests\":[]}", ERR_INVALID, "neither" },
		{ "{\"mediaType\":\"application/vnd.oci.image.index.v1+json\"," CONFIG
		  ",\"layers\":[]}",
		  ERR_INVALID, "neither" },
		{ "{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"manifests\":[]}",
		  ERR_INVALID, "neither" },
		{ "{" CONFIG ",\"layers\":[7]}", ERR_INVALID, "descriptor" },
		{ "{" CONFIG ",\"layers\":[{\"size\":1}]}", ERR_UNSUPPORTED, "SHA-256" },
		{ "{" CONFIG ",\"layers\":[{\"digest\":" DIGEST("1") "}]}", ERR_INVALID, "size" },
		{ "{" CONFIG ",\"layers\":[{\"size\":-1,\"digest\":" DIGEST("1") "}]}", ERR_INVALID,
		  "size" },
		{ "{" CONFIG ",\"layers\":[{\"size\":1,\"digest\":\"sha256:../../etc/passwd\"}]}",
		  ERR_UNSUPPORTED, "SHA-256" },
		{ "{\"config\":{\"mediaType\":\"application/vnd.cncf.helm.config.v1+json\","
		  "\"size\":1,\"digest\":" DIGEST("1") "},\"layers\":[]}",
		  ERR_UNSUPPORTED, "helm" },
		{ "{" CONFIG ",\"layers\":[{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar+"
		  "encrypted\",\"size\":1,\"digest\":" DIGEST("1") "}]}",
		  ERR_UNSUPPORTED, "encrypted" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		auto_arena struct arena a = { 0 };
		struct manifest m;
		struct err e = { 0 };

		assert_int_equal(manifest_parse(span_of(cases[i].text), &a, &m, &e), -1);
		if (e.code != cases[i].code || !strstr(e.msg, cases[i].word))
			fail_msg("%s: %s: %s", cases[i].text, err_name(e.code), e.msg);
	}
}

static void layers_are_counted(void **state unused_arg)
{
	auto_arena struct arena a = { 0 };
	struct manifest m;
	struct err e = { 0 };
	auto_buf struct buf b;

	buf_init(&b, 1 << 20);
	buf_add_str(&b, "{" CONFIG ",\"layers\":[" LAYER("1"));
	for (int i = 0; i < MANIFEST_LAYERS_MAX; i++)
		buf_add_str(&b, "," LAYER("1"));
	buf_add_str(&b, "]}");
	assert_int_equal(manifest_parse(buf_span(&b), &a, &m, &e), -1);
	assert_int_equal(e.code, ERR_LIMIT);
}

#define CHILD(c, more) "{\"size\":1,\"digest\":" DIGEST(c) more "}"
#define ON(os, arch) ",\"platform\":{\"os\":\"" os "\",\"architecture\":\"" arch "\"}"
#define VARIANT(v)                                                                                 \
	",\"platform\":{\"os\":\"linux\",\"architecture\":\"amd64\",\"variant\":\"" v "\"}"
#define NOTE(k, v) ",\"annotations\":{\"" k "\":\"" v "\"}"
#define REF "org.opencontainers.image.ref.name"
#define FULL "io.containerd.image.name"

static void the_child_for_this_machine_is_taken(void **state unused_arg)
{
	static const struct {
		const char *children, *name;
		char want; // the digit of its digest, 0 = none
		const char *word;
	} cases[] = {
		{ CHILD("1", ON("linux", "s390x")) "," CHILD("2", ON("linux", "amd64")), NULL, '2',
		  "" },
		{ CHILD("1", ON("linux", "amd64")) "," CHILD("2", ON("linux", "amd64")), NULL, '1',
		  "" },
		{ CHILD("1", VARIANT("v3")) "," CHILD("2", VARIANT("v1")), NULL, '2', "" },
		{ CHILD("1", VARIANT("v3")), NULL, '1', "" },
		{ CHILD("1", ""), NULL, '1', "" },
		{ CHILD("1", "") "," CHILD("2", ON("linux", "amd64")), NULL, '2', "" },
		{ CHILD("1", ON("unknown", "unknown")), NULL, 0, "not made" },
		{ CHILD("1", ON("windows", "amd64")), NULL, 0, "windows/amd64" },
		{ CHILD("1", ON("linux", "amd64")
				     NOTE("vnd.docker.reference.type", "attestation-manifest")),
		  NULL, 0, "not made" },
		{ "", NULL, 0, "not made" },
		{ CHILD("1", "") "," CHILD("2", ""), "x:1", 0, "several" },
		{ CHILD("1", "") "," CHILD("1", ""), "x:1", '1', "" },
		{ CHILD("1", NOTE(REF, "a")) "," CHILD("2", NOTE(REF, "b")), "x:b", '2', "" },
		{ CHILD("1", NOTE(REF, "a")) "," CHILD("2", NOTE(REF, "b")), "x:c", 0, "several" },
		{ CHILD("1", NOTE(REF, "lab/x:1")) "," CHILD("2", NOTE(REF, "1")), "lab/x:1", '1',
		  "" },
		{ CHILD("1", NOTE(FULL, "docker.io/lab/x:1")) "," CHILD(
			  "2", NOTE(FULL, "docker.io/lab/y:1")),
		  "lab/y:1", '2', "" },
		{ CHILD("1", NOTE(FULL, "docker.io/mylab/x:1")) "," CHILD("2", NOTE(FULL, "z:1")),
		  "lab/x:1", 0, "several" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		auto_arena struct arena a = { 0 };
		const char *text = arena_printf(&a, "{\"manifests\":[%s]}", cases[i].children);
		const struct descriptor *d = NULL;
		struct manifest m;
		struct err e = { 0 };

		assert_int_equal(manifest_parse(span_of(text), &a, &m, &e), 0);
		assert_true(m.is_index);
		if (manifest_select(&m, cases[i].name, &d, &e) < 0)
			d = NULL;
		if ((d ? d->digest[7] : 0) != cases[i].want || !strstr(e.msg, cases[i].word))
			fail_msg("case %zu: %s %s", i, d ? d->digest : "none", e.msg);
	}
}

static int config_of(const char *text, struct arena *a, struct image_config *c, struct err *e)
{
	json_t *v = NULL;
	int got;

	assert_int_equal(codec_json_parse(span_of(text), 1 << 20, &v, e), 0);
	got = manifest_config(v, a, c, e);
	json_decref(v); // nothing below looks at its arrays
	return got;
}

static void a_configuration_says_how_programs_run(void **state unused_arg)
{
	auto_arena struct arena a = { 0 };
	struct image_config c;
	struct err e = { 0 };

	assert_int_equal(config_of("{\"os\":\"linux\",\"architecture\":\"amd64\",\"config\":{"
				   "\"Env\":[\"A=1\",\"broken\",\"=x\",\"B=x=y\",7],"
				   "\"WorkingDir\":\"/w\",\"User\":\"app\",\"Cmd\":null},"
				   "\"rootfs\":{\"diff_ids\":[" DIGEST("d") "]}}",
				   &a, &c, &e),
			 0);
	assert_int_equal(c.env_count, 2);
	assert_string_equal(c.env[1], "B=x=y");
	assert_string_equal(c.workdir, "/w");
	assert_string_equal(c.user, "app");
	assert_int_equal(c.diff_count, 1);
	assert_int_equal(config_of("{}", &a, &c, &e), 0);
	assert_int_equal(c.env_count, 0);
	assert_string_equal(c.workdir, "");
}

static void configurations_we_cannot_run_are_refused(void **state unused_arg)
{
	static const struct {
		const char *text;
		enum err_code code;
	} cases[] = {
		{ "[]", ERR_INVALID },
		{ "{\"architecture\":\"s390x\"}", ERR_UNSUPPORTED },
		{ "{\"os\":\"windows\"}", ERR_UNSUPPORTED },
		{ "{\"config\":[]}", ERR_INVALID },
		{ "{\"config\":{\"Env\":\"A=1\"}}", ERR_INVALID },
		{ "{\"rootfs\":{\"diff_ids\":[\"sha256:12\"]}}", ERR_INVALID },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		auto_arena struct arena a = { 0 };
		struct image_config c;
		struct err e = { 0 };

		assert_int_equal(config_of(cases[i].text, &a, &c, &e), -1);
		assert_int_equal(e.code, cases[i].code);
	}
}

static void the_list_of_docker_save_is_read(void **state unused_arg)
{
	static const struct {
		const char *text, *name, *config, *word;
	} cases[] = {
		{ "[{\"Config\":\"c.json\",\"RepoTags\":null,\"Layers\":[\"a/layer.tar\"]}]", "x:1",
		  "c.json", "" },
		{ "[{\"Config\":\"a\",\"RepoTags\":[\"a:1\"],\"Layers\":[]},"
		  "{\"Config\":\"b\",\"RepoTags\":[\"b:1\",\"b:2\"],\"Layers\":[]}]",
		  "b:2", "b", "" },
		{ "[{\"Config\":\"a\",\"RepoTags\":[\"a:1\"],\"Layers\":[]},"
		  "{\"Config\":\"b\",\"RepoTags\":[\"b:1\"],\"Layers\":[]}]",
		  "c:1", NULL, "several" },
		{ "[]", "x:1", NULL, "Config" },
		{ "{}", "x:1", NULL, "Config" },
		{ "[7]", "x:1", NULL, "Config" },
		{ "[{\"Config\":\"c\"}]", "x:1", NULL, "Layers" },
		{ "[{\"Config\":\"c\",\"Layers\":[7]}]", "x:1", NULL, "Layers" },
		{ "nothing", "x:1", NULL, "manifest.json" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		auto_arena struct arena a = { 0 };
		struct saved_image s;
		struct err e = { 0 };
		int got = manifest_saved(span_of(cases[i].text), cases[i].name, &a, &s, &e);

		assert_int_equal(got, cases[i].config ? 0 : -1);
		if (cases[i].config)
			assert_string_equal(s.config, cases[i].config);
		else if (!strstr(e.msg, cases[i].word))
			fail_msg("%s: %s", cases[i].text, e.msg);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_manifest_names_its_blobs),
		cmocka_unit_test(documents_of_other_kinds_are_refused),
		cmocka_unit_test(layers_are_counted),
		cmocka_unit_test(the_child_for_this_machine_is_taken),
		cmocka_unit_test(a_configuration_says_how_programs_run),
		cmocka_unit_test(configurations_we_cannot_run_are_refused),
		cmocka_unit_test(the_list_of_docker_save_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
