// SPDX-License-Identifier: Apache-2.0
// The hierarchies are found from the texts that the kernel shows; here from made-up ones that point into a
// temporary folder, where plain files stand for the kernel's. So the version 2 and mixed cases run everywhere.
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "base/file.h"
#include "base/mem.h"
#include "runner/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static char top[40];

static int setup(void **state unused_arg)
{
	snprintf(top, sizeof(top), "/tmp/oscar-cgroup-XXXXXX");
	return mkdtemp(top) ? 0 : -1;
}

static int teardown(void **state unused_arg)
{
	struct err e = { 0 };

	return file_remove_tree(AT_FDCWD, top, &e);
}

static void put(const char *path, const char *text)
{
	auto_free char *full = mem_printf("%s/%s", top, path);
	auto_free char *dir = mem_strndup(full, (size_t)(strrchr(full, '/') - full));
	struct err e = { 0 };

	assert_int_equal(file_mkdirs(dir, 0755, &e), 0);
	auto_fd int fd = file_open(AT_FDCWD, full, O_WRONLY | O_CREAT | O_TRUNC, 0644, &e);

	assert_int_equal(file_write_all(fd, text, strlen(text), &e), 0);
}

static void assert_text(const char *path, const char *want)
{
	auto_free char *full = mem_printf("%s/%s", top, path);
	auto_buf struct buf b;
	struct err e = { 0 };

	buf_init(&b, 4096);
	if (file_read_path(AT_FDCWD, full, &b, &e) < 0)
		fail_msg("%s", e.msg);
	assert_string_equal(b.p ? b.p : "", want);
}

static const struct cgroup_limits limits = { UINT64_C(64) << 20, 250, 33, true };

// In a real hierarchy the files come with the folder; here they are put there before.
static void version_2_gets_its_limits(void **state unused_arg)
{
	struct cgroup_base b;
	struct cgroup_job j;
	struct cgroup_usage u;
	struct err e = { 0 };
	char mounts[200];

	put("u/user/cgroup.controllers", "cpuset cpu io memory pids\n");
	put("u/user/cgroup.subtree_control", "");
	put("u/user/own/cgroup.subtree_control", "");
	put("u/user/own/cgroup.freeze", "0");
	for (int i = 0; i < 6; i++) {
		static const char *const files[] = { "memory.max",	 "memory.swap.max",
						     "memory.oom.group", "cpu.max",
						     "pids.max",	 "cgroup.freeze" };
		auto_free char *path = mem_printf("u/user/own/j.1/%s", files[i]);

		put(path, "");
	}
	put("u/user/own/j.1/memory.peak", "12345\n");
	put("u/user/own/j.1/memory.events", "low 0\nhigh 0\nmax 7\noom 1\noom_kill 3\n");
	put("u/user/own/j.1/cpu.stat", "usage_usec 777\nuser_usec 1\n");
	snprintf(mounts, sizeof(mounts),
		 "30 1 0:27 / %s/u rw,nosuid shared:4 - cgroup2 cgroup2 rw\n", top);
	cgroup_open(&b, "own", span_of(mounts), SPAN("0::/user\n"));
	for (int k = 0; k < CGROUP_KINDS; k++) {
		assert_true(b.at[k].dir >= 0 && b.at[k].v2);
		assert_int_equal(b.at[k].alias, CGROUP_MEMORY);
	}
	assert_int_equal(cgroup_job_make(&b, "j.1", &limits, &j, &e), 0);
	assert_true(j.unified >= 0);
	assert_int_equal(cgroup_job_enter(&j, &e), 0); // nothing to do: born inside
	assert_text("u/user/own/j.1/memory.max", "67108864");
	assert_text("u/user/own/j.1/memory.swap.max", "0");
	assert_text("u/user/own/j.1/memory.oom.group", "1");
	assert_text("u/user/own/j.1/cpu.max", "25000 100000");
	assert_text("u/user/own/j.1/pids.max", "33");
	cgroup_job_usage(&b, &j, &u);
	assert_int_equal(u.memory_peak_bytes, 12345);
	assert_int_equal(u.oom_kills, 3);
	assert_int_equal(u.cpu_us, 777);
	assert_int_equal(cgroup_job_freeze(&b, &j, &e), 0);
	assert_text("u/user/own/j.1/cgroup.freeze", "1");
	cgroup_job_thaw(&b, &j);
	assert_text("u/user/own/j.1/cgroup.freeze", "0");
	cgroup_job_close(&j);
	cgroup_close(&b);
}

static void a_mixed_machine_takes_each_where_it_is(void **state unused_arg)
{
	struct cgroup_base b;
	struct cgroup_job j;
	struct cgroup_usage u;
	struct err e = { 0 };
	char mounts[600];

	put("m/a/b/own/j.1/memory.limit_in_bytes", "");
	put("m/a/b/own/j.1/memory.memsw.limit_in_bytes", "");
	put("m/a/b/own/j.1/tasks", "");
	put("m/a/b/own/j.1/memory.max_usage_in_bytes", "4096\n");
	put("m/a/b/own/j.1/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n");
	put("c/own/j.1/cpu.cfs_quota_us", "");
	put("c/own/j.1/cpu.cfs_period_us", "");
	put("c/own/j.1/cpuacct.usage", "5000000\n");
	put("c/own/j.1/tasks", "");
	put("u/cgroup.controllers", "hugetlb pids\n");
	put("u/cgroup.subtree_control", "");
	put("u/own/cgroup.subtree_control", "");
	put("u/own/j.1/pids.max", "");
	snprintf(mounts, sizeof(mounts),
		 "35 31 0:32 /a %s/m rw,relatime - cgroup cgroup rw,memory\n"
		 "36 31 0:33 / %s/c rw,relatime shared:1 master:2 - cgroup cgroup rw,cpu,cpuacct\n"
		 "37 31 0:34 / %s/u rw,relatime - cgroup2 none rw\n",
		 top, top, top);
	put("m/b/unused", "");
	// The mount shows the part below /a of the tree, as in a container: /a/b is its /b.
	put("m/b/own/j.1/memory.limit_in_bytes", "");
	put("m/b/own/j.1/memory.memsw.limit_in_bytes", "");
	put("m/b/own/j.1/tasks", "");
	put("m/b/own/j.1/memory.max_usage_in_bytes", "4096\n");
	put("m/b/own/j.1/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n");
	cgroup_open(&b, "own", span_of(mounts),
		    SPAN("5:memory:/a/b\n4:cpu,cpuacct:/\n1:name=systemd:/x\n0::/\n"));
	assert_false(b.at[CGROUP_MEMORY].v2);
	assert_int_equal(b.at[CGROUP_CPUACCT].alias, CGROUP_CPU);
	assert_true(b.at[CGROUP_PIDS].v2);
	assert_int_equal(cgroup_job_make(&b, "j.1", &limits, &j, &e), 0);
	assert_int_equal(cgroup_job_enter(&j, &e), 0);
	assert_text("m/b/own/j.1/memory.limit_in_bytes", "67108864");
	assert_text("m/b/own/j.1/memory.memsw.limit_in_bytes", "67108864");
	assert_text("m/b/own/j.1/tasks", "0");
	assert_text("c/own/j.1/cpu.cfs_quota_us", "25000");
	assert_text("c/own/j.1/cpu.cfs_period_us", "100000");
	assert_text("u/own/j.1/pids.max", "33");
	cgroup_job_usage(&b, &j, &u);
	assert_int_equal(u.memory_peak_bytes, 4096);
	assert_int_equal(u.oom_kills, 2);
	assert_int_equal(u.cpu_us, 5000);
	assert_false(cgroup_job_reset(&b, &j)); // the pids are counted by version 2
	assert_int_equal(cgroup_job_freeze(&b, &j, &e), -1);
	assert_int_equal(e.code, ERR_UNSUPPORTED);
	cgroup_job_close(&j);
	cgroup_close(&b);
}

// In version 1 groups can serve again, unless their job left something in them.
static void clean_groups_serve_again(void **state unused_arg)
{
	static const struct {
		const char *usage, *oom, *tasks;
		bool clean;
	} rows[] = {
		{ "40960\n", "oom_kill 0\n", "", true },
		{ "40960\n", "oom_kill 1\n", "", false },
		{ "40960\n", "oom_kill 0\n", "77\n", false },
		{ "9000000\n", "oom_kill 0\n", "", false },
	};
	struct cgroup_base b;
	struct cgroup_job j, again;
	struct err e = { 0 };
	char mounts[200];

	put("m/own/j.1/memory.limit_in_bytes", "");
	put("m/own/j.1/memory.memsw.limit_in_bytes", "");
	put("m/own/j.1/memory.max_usage_in_bytes", "77");
	put("m/own/j.1/tasks", "");
	snprintf(mounts, sizeof(mounts), "35 31 0:32 / %s/m rw - cgroup cgroup rw,memory\n", top);
	cgroup_open(&b, "own", span_of(mounts), SPAN("5:memory:/\n"));
	assert_int_equal(cgroup_job_make(&b, "j.1", &limits, &j, &e), 0);
	assert_int_equal(cgroup_job_make(&b, "j.1", &limits, &again, &e), -1);
	assert_int_equal(e.code, ERR_BUSY);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		put("m/own/j.1/memory.usage_in_bytes", rows[i].usage);
		put("m/own/j.1/memory.oom_control", rows[i].oom);
		put("m/own/j.1/tasks", rows[i].tasks);
		assert_int_equal(cgroup_job_reset(&b, &j), rows[i].clean);
	}
	assert_text("m/own/j.1/memory.max_usage_in_bytes", "07"); // here the rest stays
	cgroup_job_close(&j);
	cgroup_close(&b);
}

// Only jobs that ask for it get the freezer's; beside version 1 that of version 2 needs no controller.
static void what_is_idle_can_be_frozen(void **state unused_arg)
{
	const struct cgroup_limits plain = { 0 }, freezer = { .freezer = true };
	struct cgroup_base b;
	struct cgroup_job j;
	struct err e = { 0 };
	char mounts[300];

	put("f/own/j.1/tasks", "");
	put("f/own/j.1/freezer.state", "");
	snprintf(mounts, sizeof(mounts), "35 31 0:32 / %s/f rw - cgroup cgroup rw,freezer\n", top);
	cgroup_open(&b, "own", span_of(mounts), SPAN("6:freezer:/\n"));
	assert_int_equal(cgroup_job_make(&b, "j.1", &plain, &j, &e), 0);
	assert_int_equal(cgroup_job_freeze(&b, &j, &e), -1);
	assert_int_equal(e.code, ERR_UNSUPPORTED);
	cgroup_job_close(&j);
	assert_int_equal(cgroup_job_make(&b, "j.1", &freezer, &j, &e), 0);
	assert_int_equal(cgroup_job_enter(&j, &e), 0);
	assert_text("f/own/j.1/tasks", "0");
	put("f/own/j.1/tasks", "");
	assert_int_equal(cgroup_job_freeze(&b, &j, &e), 0);
	assert_text("f/own/j.1/freezer.state", "FROZEN");
	cgroup_job_thaw(&b, &j);
	assert_text("f/own/j.1/freezer.state", "THAWED");
	assert_true(cgroup_job_reset(&b, &j));
	// What a dead shim left is thawed, or it could not be removed: here never, for a file is in it.
	put("f/own/j.1/freezer.state", "FROZEN");
	cgroup_job_close(&j);
	assert_false(cgroup_sweep(&b));
	assert_text("f/own/j.1/freezer.state", "THAWED");
	cgroup_close(&b);

	put("u/cgroup.controllers", "hugetlb\n");
	put("u/own/cgroup.freeze", "0");
	put("u/own/j.1/cgroup.freeze", "0");
	snprintf(mounts, sizeof(mounts), "37 31 0:34 / %s/u rw,relatime - cgroup2 none rw\n", top);
	cgroup_open(&b, "own", span_of(mounts), SPAN("0::/\n"));
	assert_true(b.at[CGROUP_FREEZER].v2);
	assert_int_equal(b.at[CGROUP_CPUACCT].dir, -1);
	assert_int_equal(cgroup_job_make(&b, "j.1", &plain, &j, &e), 0);
	assert_int_equal(j.unified, -1);
	cgroup_job_close(&j);
	assert_int_equal(cgroup_job_make(&b, "j.1", &freezer, &j, &e), 0);
	assert_true(j.unified >= 0); // born inside
	assert_int_equal(cgroup_job_freeze(&b, &j, &e), 0);
	assert_text("u/own/j.1/cgroup.freeze", "1");
	cgroup_job_close(&j);
	cgroup_close(&b);
}

static void a_machine_without_them_has_none(void **state unused_arg)
{
	struct cgroup_base b;
	struct cgroup_job j;
	struct cgroup_usage u;
	struct err e = { 0 };

	cgroup_open(&b, "own", SPAN("1 0 0:1 / / rw - ext4 /dev/vda rw\n"), SPAN("0::/\n"));
	for (int k = 0; k < CGROUP_KINDS; k++)
		assert_int_equal(b.at[k].dir, -1);
	assert_int_equal(cgroup_job_make(&b, "j.1", &limits, &j, &e), 0);
	assert_int_equal(cgroup_job_enter(&j, &e), 0);
	cgroup_job_usage(&b, &j, &u);
	assert_int_equal(u.cpu_us + u.oom_kills + u.memory_peak_bytes, 0);
	cgroup_job_close(&j);
	assert_true(cgroup_remove(&b, "j.1"));
	cgroup_close(&b);
	cgroup_open(&b, "own", SPAN("garbage\n\n - - -\n"), SPAN("::::\nx\n"));
	cgroup_close(&b);
}

static void leftovers_are_swept(void **state unused_arg)
{
	struct cgroup_base b;
	char mounts[200];

	put("s/own/gone.1/x", "");
	put("s/own/keep.1/x", "");
	for (int i = 0; i < 2; i++) {
		auto_free char *path = mem_printf("%s/s/own/%s/x", top, i ? "keep.1" : "gone.1");

		assert_int_equal(unlink(path), 0); // a cgroup goes with its files
	}
	snprintf(mounts, sizeof(mounts), "35 31 0:32 / %s/s rw - cgroup cgroup rw,pids\n", top);
	cgroup_open(&b, "own", span_of(mounts), SPAN("5:pids:/\n"));
	auto_free char *held = mem_printf("%s/s/own/keep.1", top);
	auto_fd int lock = open(held, O_RDONLY | O_DIRECTORY);

	assert_int_equal(flock(lock, LOCK_EX), 0);
	assert_true(cgroup_sweep(&b));
	auto_free char *gone = mem_printf("%s/s/own/gone.1", top);
	auto_free char *kept = mem_printf("%s/s/own/keep.1", top);

	assert_int_equal(access(gone, F_OK), -1);
	assert_int_equal(access(kept, F_OK), 0);
	cgroup_close(&b);
}

#define IN_PLACE(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_PLACE(version_2_gets_its_limits),
		IN_PLACE(a_mixed_machine_takes_each_where_it_is),
		IN_PLACE(clean_groups_serve_again),
		IN_PLACE(what_is_idle_can_be_frozen),
		IN_PLACE(a_machine_without_them_has_none),
		IN_PLACE(leftovers_are_swept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
