// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "base/attr.h"
#include "base/buf.h"
#include "codec/cdi.h"

// As NVIDIA's generator writes it, shortened.
static const char nvidia[] =
	"---\n"
	"cdiVersion: 0.5.0\n"
	"kind: nvidia.com/gpu\n"
	"devices:\n"
	"    - name: \"0\"\n"
	"      containerEdits:\n"
	"        deviceNodes:\n"
	"            - path: /dev/nvidia0\n"
	"              hostPath: /run/nvidia/driver/dev/nvidia0\n"
	"            - path: /dev/dri/card1\n"
	"        hooks:\n"
	"            - hookName: createContainer\n"
	"              path: /usr/bin/nvidia-ctk\n"
	"              args: [nvidia-ctk, hook, chmod, --mode, \"755\", --path, /dev/dri]\n"
	"    - name: all\n"
	"      containerEdits:\n"
	"        deviceNodes:\n"
	"            - path: /dev/nvidia0\n"
	"containerEdits:\n"
	"    env:\n"
	"        - NVIDIA_VISIBLE_DEVICES=void\n"
	"    deviceNodes:\n"
	"        - path: /dev/nvidiactl\n"
	"          type: c\n"
	"          major: 195\n"
	"          minor: 255\n"
	"          permissions: r\n"
	"    additionalGids: [0, 109]\n"
	"    mounts:\n"
	"        - hostPath: /usr/lib/x86_64-linux-gnu/libcuda.so.550.54.14\n"
	"          containerPath: /usr/lib/x86_64-linux-gnu/libcuda.so.550.54.14\n"
	"          options: [ro, nosuid, nodev, bind]\n"
	"        - hostPath: /run/nvidia-persistenced/socket\n"
	"          containerPath: /run/nvidia-persistenced/socket\n"
	"          options: [ro, nosuid, nodev, bind, noexec]\n"
	"    hooks:\n"
	"        - hookName: createContainer\n"
	"          path: /usr/bin/nvidia-cdi-hook\n"
	"          args:\n"
	"            - nvidia-cdi-hook\n"
	"            - create-symlinks\n"
	"            - --link\n"
	"            - libcuda.so.1::/usr/lib/x86_64-linux-gnu/libcuda.so\n"
	"            - --link=../libx.so.1::/usr/lib/x86_64-linux-gnu/gbm/y.so\n"
	"        - hookName: createContainer\n"
	"          path: /usr/bin/nvidia-cdi-hook\n"
	"          args: [nvidia-cdi-hook, enable-cuda-compat, --host-driver-version=550.54.14]\n"
	"        - hookName: createContainer\n"
	"          path: /usr/bin/nvidia-ctk\n"
	"          args: [nvidia-ctk, hook, update-ldcache, --folder, /usr/lib/x86_64-linux-gnu]\n"
	"        - hookName: createRuntime\n"
	"          path: /opt/vendor/prepare\n";

static void what_nvidia_writes_is_understood(void **state unused_arg)
{
	auto_arena struct arena a = { 0 };
	const struct cdi_edits *all;
	struct cdi_spec s;
	struct err e = { 0 };

	if (cdi_parse(&a, span_of(nvidia), &s, &e) < 0)
		fail_msg("%s", e.msg);
	assert_string_equal(s.kind, "nvidia.com/gpu");
	assert_int_equal(s.device_count, 2);
	assert_string_equal(s.devices[0].name, "0");
	assert_int_equal(s.devices[0].edits.node_count, 2);
	assert_string_equal(s.devices[0].edits.nodes[0].host_path,
			    "/run/nvidia/driver/dev/nvidia0");
	assert_string_equal(s.devices[0].edits.nodes[1].host_path, "/dev/dri/card1");
	assert_int_equal(s.devices[0].edits.nodes[0].major, -1);
	assert_true(s.devices[0].edits.nodes[0].write);
	assert_int_equal(s.devices[0].edits.skipped_count, 0);

	all = &s.edits;
	assert_int_equal(all->env_count, 1);
	assert_string_equal(all->env[0], "NVIDIA_VISIBLE_DEVICES=void");
	assert_int_equal(all->nodes[0].major, 195);
	assert_int_equal(all->nodes[0].type, 'c');
	assert_true(all->nodes[0].read && !all->nodes[0].write);
	assert_int_equal(all->group_count, 1);
	assert_int_equal(all->groups[0], 109);
	assert_int_equal(all->mount_count, 2);
	assert_true(!all->mounts[0].noexec && all->mounts[1].noexec);
	assert_int_equal(all->link_count, 2);
	assert_string_equal(all->links[0].target, "libcuda.so.1");
	assert_string_equal(all->links[0].path, "/usr/lib/x86_64-linux-gnu/libcuda.so");
	assert_string_equal(all->links[1].target, "../libx.so.1");
	assert_int_equal(all->folder_count, 1);
	assert_string_equal(all->folders[0], "/usr/lib/x86_64-linux-gnu");
	assert_int_equal(all->skipped_count, 2);
	assert_string_equal(all->skipped[0],
			    "the hook /usr/bin/nvidia-cdi-hook enable-cuda-compat");
	assert_string_equal(all->skipped[1], "the hook /opt/vendor/prepare");
}

// As NVIDIA's generator has it where its MPS runs.
static void a_mount_in_a_place_of_the_sandboxs_is_left_out(void **state unused_arg)
{
	static const char text[] =
		"cdiVersion: 0.6.0\nkind: a.test/gpu\ndevices: [{name: '0'}]\ncontainerEdits:\n"
		"  intelRdt: {closID: x}\n"
		"  mounts: [{hostPath: /tmp/nvidia-mps, containerPath: /tmp/nvidia-mps},\n"
		"    {hostPath: /x, containerPath: /proc/x}, {hostPath: /x, containerPath: /x}]\n";
	auto_arena struct arena a = { 0 };
	struct cdi_spec s;
	struct err e = { 0 };

	if (cdi_parse(&a, span_of(text), &s, &e) < 0)
		fail_msg("%s", e.msg);
	assert_int_equal(s.edits.mount_count, 1);
	assert_string_equal(s.edits.mounts[0].path, "/x");
	assert_int_equal(s.edits.skipped_count, 3);
	assert_string_equal(s.edits.skipped[0], "the mount /tmp/nvidia-mps");
	assert_string_equal(s.edits.skipped[1], "the mount /proc/x");
	assert_string_equal(s.edits.skipped[2], "intelRdt");
}

#define JSON(version, kind, device)                                                                \
	"{\"cdiVersion\":\"" version "\",\"kind\":\"" kind "\",\"devices\":[" device "]}"
#define EDITS(edits) JSON("0.6.0", "a.test/gpu", "{\"name\":\"0\",\"containerEdits\":{" edits "}}")

static void json_of_each_version_is_understood(void **state unused_arg)
{
	static const char *const good[] = {
		JSON("0.3.0", "a.test/gpu", "{\"name\":\"0\"}"),
		JSON("0.8.0", "a.b-c.test/gpu.x_1", "{\"name\":\"GPU-1:0\",\"containerEdits\":{}}"),
		JSON("v1.0.0", "vendor/npu", "{\"name\":\"a.b\",\"annotations\":{\"k\":\"v\"}}"),
		EDITS("\"intelRdt\":{\"closID\":\"x\"},\"additionalGIDs\":[5]"),
		EDITS("\"mounts\":[{\"hostPath\":\"/x\",\"containerPath\":\"/x/y\",\"type\":"
		      "\"bind\"}]"),
	};

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		auto_arena struct arena a = { 0 };
		struct cdi_spec s;
		struct err e = { 0 };

		if (cdi_parse(&a, span_of(good[i]), &s, &e) < 0)
			fail_msg("%s: %s", good[i], e.msg);
	}
}

static void what_is_wrong_is_named(void **state unused_arg)
{
	static const struct {
		const char *text, *error;
	} bad[] = {
		{ "", "expected an object, got null" },
		{ "{\"cdiVersion\":", "line 1" },
		{ "[]", "expected an object, got a list" },
		{ JSON("0.2.0", "a.test/gpu", "{\"name\":\"0\"}"),
		  "cdiVersion: 0.2.0 is not known" },
		{ JSON("2.0.0", "a.test/gpu", "{\"name\":\"0\"}"),
		  "cdiVersion: 2.0.0 is not known" },
		{ JSON("0.6", "a.test/gpu", "{\"name\":\"0\"}"), "cdiVersion: \"0.6\": want" },
		{ "kind: a/b", "cdiVersion: it is missing" },
		{ JSON("0.6.0", "gpu", "{\"name\":\"0\"}"),
		  "kind: \"gpu\": want vendor.com/class" },
		{ JSON("0.6.0", "a.test/b/c", "{\"name\":\"0\"}"), "kind: " },
		{ JSON("0.6.0", ".test/gpu", "{\"name\":\"0\"}"), "kind: " },
		{ JSON("0.6.0", "a.test/gpu", ""), "devices: at least one" },
		{ JSON("0.6.0", "a.test/gpu", "{}"), "devices[0]: name: it is missing" },
		{ JSON("0.6.0", "a.test/gpu", "{\"name\":0}"),
		  "devices[0]: name: expected a string, got a number" },
		{ JSON("0.6.0", "a.test/gpu", "{\"name\":\"-\"}"), "devices[0]: name: \"-\"" },
		{ JSON("0.6.0", "a.test/gpu", "{\"name\":\"0\"},{\"name\":\"0\"}"),
		  "devices[1].name: \"0\" is there twice" },
		{ JSON("0.6.0", "a.test/gpu", "{\"name\":\"0\",\"nodes\":1}"),
		  "devices[0]: nodes: a field that is not known" },
		{ EDITS("\"netDevices\":[]"), "devices[0]: containerEdits: netDevices: a field" },
		{ EDITS("\"env\":[\"A\"]"), "containerEdits: env[0]: \"A\": want NAME=VALUE" },
		{ EDITS("\"env\":[\"=A\"]"), "want NAME=VALUE" },
		{ EDITS("\"env\":[\"A=\\u0001\"]"), "a control character" },
		{ EDITS("\"deviceNodes\":[{}]"), "deviceNodes[0]: path: it is missing" },
		{ EDITS("\"deviceNodes\":[{\"path\":\"/etc/x\"}]"), "want one below /dev" },
		{ EDITS("\"deviceNodes\":[{\"path\":\"/dev/../etc\"}]"), "deviceNodes[0]: path: " },
		{ EDITS("\"deviceNodes\":[{\"path\":\"/dev/x\",\"type\":\"p\"}]"), "type: \"p\"" },
		{ EDITS("\"deviceNodes\":[{\"path\":\"/dev/x\",\"permissions\":\"x\"}]"),
		  "permissions: want" },
		{ EDITS("\"deviceNodes\":[{\"path\":\"/dev/x\",\"hostPath\":\"dev/x\"}]"),
		  "hostPath: \"dev/x\": want an absolute path" },
		{ EDITS("\"deviceNodes\":[{\"path\":\"/dev/x\",\"minor\":-2}]"), "minor: -2" },
		{ EDITS("\"mounts\":[{\"hostPath\":\"/x\"}]"), "containerPath: it is missing" },
		{ EDITS("\"mounts\":[{\"hostPath\":\"/x\",\"containerPath\":\"/\"}]"), "\"/\"" },
		{ EDITS("\"mounts\":[{\"hostPath\":\"/x\",\"containerPath\":\"/a/\"}]"),
		  "\"/a/\"" },
		{ EDITS("\"mounts\":[{\"hostPath\":\"/x\",\"containerPath\":\"/a//b\"}]"), "//" },
		{ EDITS("\"mounts\":[{\"hostPath\":\"/x\",\"containerPath\":\"/a\",\"type\":"
			"\"tmpfs\"}]"),
		  "type: \"tmpfs\"" },
		{ EDITS("\"additionalGids\":[-1]"), "additionalGids[0]: want" },
		{ EDITS("\"hooks\":[{\"hookName\":\"createContainer\",\"path\":\"x\"}]"),
		  "hooks[0]: path: \"x\": want an absolute path" },
		{ EDITS("\"hooks\":[{\"hookName\":\"createContainer\",\"path\":\"/x\",\"timeout\":"
			"0}]"),
		  "timeout: 0" },
		{ EDITS("\"hooks\":[{\"hookName\":\"createContainer\",\"path\":\"/nvidia-ctk\","
			"\"args\":[\"\"]}]"),
		  "args[0]: it is empty" },
		{ EDITS("\"hooks\":[{\"hookName\":\"createContainer\",\"path\":\"/nvidia-ctk\","
			"\"args\":[\"x\",\"hook\",\"create-symlinks\",\"--link\",\"a::/sys/b\"]}]"),
		  "hooks[0]: --link: \"/sys/b\"" },
		{ EDITS("\"hooks\":[{\"hookName\":\"createContainer\",\"path\":\"/nvidia-ctk\","
			"\"args\":[\"x\",\"hook\",\"update-ldcache\",\"--folder\",\"/a:b\"]}]"),
		  "a colon" },
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		auto_arena struct arena a = { 0 };
		struct cdi_spec s;
		struct err e = { 0 };

		if (cdi_parse(&a, span_of(bad[i].text), &s, &e) == 0)
			fail_msg("taken: %s", bad[i].text);
		if (!strstr(e.msg, bad[i].error))
			fail_msg("%s: %s", bad[i].text, e.msg);
	}
}

// As many as a list may have, and one more.
static void lists_are_bounded(void **state unused_arg)
{
	for (size_t more = 0; more < 2; more++) {
		auto_arena struct arena a = { 0 };
		auto_buf struct buf b;
		struct cdi_spec s;
		struct err e = { 0 };
		int got;

		buf_init(&b, CDI_FILE_BYTES_MAX);
		buf_add_str(&b, "cdiVersion: 0.6.0\nkind: a.test/gpu\ndevices:\n");
		for (size_t i = 0; i < CDI_DEVICES_MAX + more; i++)
			buf_printf(&b, "- name: d%zu\n", i);
		got = cdi_parse(&a, buf_span(&b), &s, &e);
		assert_int_equal(got, more ? -1 : 0);
		assert_int_equal(e.code, more ? ERR_LIMIT : ERR_NONE);
	}
}

static void names_of_devices(void **state unused_arg)
{
	assert_true(cdi_name_ok(SPAN("nvidia.com/gpu=0")));
	assert_true(cdi_name_ok(SPAN("nvidia.com/gpu=GPU-6d1b-4a:1")));
	assert_false(cdi_name_ok(SPAN("nvidia.com/gpu")));
	assert_false(cdi_name_ok(SPAN("nvidia.com/gpu=")));
	assert_false(cdi_name_ok(SPAN("nvidia.com=0")));
	assert_false(cdi_name_ok(SPAN("nvidia.com/gpu=../x")));
	assert_false(cdi_name_ok(SPAN("nvidia.com/gpu=a/b")));
	assert_true(span_is(cdi_class(SPAN("nvidia.com/gpu")), "gpu"));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_nvidia_writes_is_understood),
		cmocka_unit_test(a_mount_in_a_place_of_the_sandboxs_is_left_out),
		cmocka_unit_test(json_of_each_version_is_understood),
		cmocka_unit_test(what_is_wrong_is_named),
		cmocka_unit_test(lists_are_bounded),
		cmocka_unit_test(names_of_devices),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
