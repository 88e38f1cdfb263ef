// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "base/attr.h"
#include "base/file.h"
#include "base/mem.h"
#include "codec/cdi_folder.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct bed {
	char top[32], first[48], second[48];
	const char *folders[3];
	char warnings[2048];
	struct cdi_from from;
	struct arena mem;
	struct cdi_set set;
};

static void note(void *owner, const char *text)
{
	struct bed *b = owner;

	strncat(b->warnings, text, sizeof(b->warnings) - strlen(b->warnings) - 1);
	strncat(b->warnings, "\n", sizeof(b->warnings) - strlen(b->warnings) - 1);
}

static void begin(struct bed *b)
{
	*b = (struct bed){ .top = "/tmp/cdi-XXXXXX" };
	assert_non_null(mkdtemp(b->top));
	snprintf(b->first, sizeof(b->first), "%s/1", b->top);
	snprintf(b->second, sizeof(b->second), "%s/2", b->top);
	assert_int_equal(mkdir(b->first, 0755) | mkdir(b->second, 0755), 0);
	b->folders[0] = "/nonexistent";
	b->folders[1] = b->first;
	b->folders[2] = b->second;
	b->from = (struct cdi_from){ b->folders, 3, true, note, b };
}

static void end(struct bed *b)
{
	struct err e = { 0 };

	arena_release(&b->mem);
	assert_int_equal(file_remove_tree(AT_FDCWD, b->top, &e), 0);
}

static void put(const char *folder, const char *name, const char *text)
{
	auto_free char *path = mem_printf("%s/%s", folder, name);
	struct err e = { 0 };
	auto_fd int fd = file_open(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, 0644, &e);

	assert_int_equal(file_write_all(fd, text, strlen(text), &e), 0);
}

static void look(struct bed *b)
{
	b->warnings[0] = '\0';
	cdi_read(&b->mem, &b->from, &b->set);
}

#define HEAD "cdiVersion: 0.6.0\nkind: a.test/gpu\n"

static void devices_of_all_folders_and_the_later_wins(void **state unused_arg)
{
	struct bed b;

	begin(&b);
	put(b.first, "a.yaml", HEAD "devices: [{name: '0'}, {name: '1'}]\n");
	put(b.first, "note.txt", "no specification");
	put(b.second, "b.yaml",
	    HEAD
	    "devices: [{name: '1', containerEdits: {env: [A=1]}}]\ncontainerEdits: {env: [B=2]}\n");
	look(&b);
	assert_string_equal(b.warnings, "");
	assert_int_equal(b.set.count, 2);
	assert_string_equal(b.set.at[0].name, "a.test/gpu=0");
	assert_string_equal(b.set.at[1].name, "a.test/gpu=1");
	assert_string_equal(b.set.at[1].file, "b.yaml");
	assert_ptr_equal(cdi_find(&b.set, "a.test/gpu=1"), &b.set.at[1]);
	assert_null(cdi_find(&b.set, "a.test/gpu=2"));
	end(&b);
}

static void a_name_twice_in_a_folder_is_nobodys(void **state unused_arg)
{
	struct bed b;

	begin(&b);
	put(b.first, "a.yaml", HEAD "devices: [{name: '0'}, {name: '1'}]\n");
	put(b.first, "b.yaml", HEAD "devices: [{name: '1'}]\n");
	look(&b);
	assert_int_equal(b.set.count, 1);
	assert_non_null(strstr(b.warnings, "1/b.yaml: a.test/gpu=1 is in a.yaml, too"));
	put(b.second, "c.yaml", HEAD "devices: [{name: '1'}]\n"); // which settles it
	look(&b);
	assert_int_equal(b.set.count, 2);
	end(&b);
}

static void what_cannot_be_used_is_named(void **state unused_arg)
{
	auto_free char *path = NULL;
	struct bed b;

	begin(&b);
	put(b.first, "bad.json", "{\"cdiVersion\":\"0.6.0\",\"kind\":\"gpu\"}");
	put(b.first, "good.yaml", HEAD "devices: [{name: '0'}]\n");
	put(b.second, "theirs.yaml", HEAD "devices: [{name: '7'}]\n");
	path = mem_printf("%s/theirs.yaml", b.second);
	assert_int_equal(chmod(path, 0666), 0);
	look(&b);
	assert_int_equal(b.set.count, 1);
	assert_non_null(strstr(b.warnings, "1/bad.json: kind: \"gpu\": want vendor.com/class"));
	assert_non_null(strstr(b.warnings, "2/theirs.yaml: others may write to it"));

	b.from.checked = false;
	look(&b);
	assert_int_equal(b.set.count, 2);

	b.from.checked = true;
	assert_int_equal(chmod(path, 0644), 0);
	assert_int_equal(chmod(b.second, 0777), 0);
	look(&b);
	assert_int_equal(b.set.count, 1);
	assert_non_null(strstr(b.warnings, "/2: others may write to it"));
	end(&b);
}

static void a_change_changes_the_stamp(void **state unused_arg)
{
	uint64_t before, after;
	struct bed b;

	begin(&b);
	before = cdi_stamp(&b.from);
	assert_true(before == cdi_stamp(&b.from));
	put(b.second, "a.yaml", HEAD "devices: [{name: '0'}]\n");
	after = cdi_stamp(&b.from);
	assert_true(before != after);
	put(b.second, "a.yaml", HEAD "devices: [{name: '00'}]\n");
	assert_true(after != cdi_stamp(&b.from));
	end(&b);
}

static void edits_of_a_specification_count_once(void **state unused_arg)
{
	const struct cdi_entry *devices[2];
	const struct cdi_edits *edits[4];
	struct bed b;

	begin(&b);
	put(b.first, "a.yaml", HEAD "devices: [{name: '0'}, {name: '1'}]\n");
	look(&b);
	devices[0] = &b.set.at[0];
	devices[1] = &b.set.at[1];
	assert_int_equal(cdi_edits_of(devices, 2, edits), 3);
	assert_ptr_equal(edits[0], &b.set.at[0].spec->edits);
	assert_ptr_equal(edits[2], &b.set.at[1].device->edits);
	end(&b);
}

#define NODES(...) ", containerEdits: {deviceNodes: [" __VA_ARGS__ "]}}"
#define NODE(name) "{path: /dev/" name "}"

// Names as NVIDIA's generator gives them: numbers, UUIDs, parts of one GPU (MIG), and all.
static void other_names_of_a_device_are_not_counted(void **state unused_arg)
{
	static const char *const want[] = { "a.test/gpu=0", "a.test/gpu=1:0", "a.test/gpu=1:1",
					    "a.test/npu=all" };
	const struct cdi_entry *units[CDI_ALL_MAX];
	struct bed b;
	size_t n;

	begin(&b);
	put(b.first, "a.yaml",
	    HEAD
	    "devices:\n"
	    "- {name: all" NODES(NODE("g0") "," NODE("g1") "," NODE("c0") "," NODE(
		    "c1")) "\n"
			   "- {name: '0'" NODES(NODE(
				   "g0")) "\n"
					  "- {name: GPU-1234" NODES(NODE(
						  "g0")) "\n"
							 "- {name: '1:0'" NODES(NODE("g1") "," NODE(
								 "c0")) "\n"
									"- {name: '1:1'" NODES(NODE("g1") "," NODE(
										"c1")) "\n"
										       "- {name: "
										       "MIG-"
										       "1" NODES(NODE("g1") "," NODE(
											       "c"
											       "1")) "\n");
	put(b.first, "b.yaml",
	    "cdiVersion: 0.6.0\nkind: a.test/npu\ndevices: [{name: all" NODES(NODE("g0")) "]\n");
	look(&b);
	assert_string_equal(b.warnings, "");
	n = cdi_units(&b.set, units);
	assert_int_equal(n, ARRAY_LEN(want));
	for (size_t i = 0; i < n; i++)
		assert_string_equal(units[i]->name, want[i]);
	end(&b);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(devices_of_all_folders_and_the_later_wins),
		cmocka_unit_test(a_name_twice_in_a_folder_is_nobodys),
		cmocka_unit_test(what_cannot_be_used_is_named),
		cmocka_unit_test(a_change_changes_the_stamp),
		cmocka_unit_test(other_names_of_a_device_are_not_counted),
		cmocka_unit_test(edits_of_a_specification_count_once),
	};
	umask(022);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
