// SPDX-License-Identifier: Apache-2.0
// Devices of the machine in sandboxes: nodes of our own that behave like /dev/zero and /dev/full, made where root may,
// with a runner that has the rights of root and with one that has not.
#include "bed.h"

#include "base/arena.h"

#include <sys/sysmacros.h>

enum { BEDS = 2 };

static char top[] = "/tmp/oscar-device-XXXXXX";

struct beds {
	struct bed *at[BEDS];
	unsigned n;
};

static const char spec_text[] =
	"cdiVersion: 0.6.0\n"
	"kind: example.test/gpu\n"
	"devices:\n"
	"- name: '0'\n"
	"  containerEdits:\n"
	"    deviceNodes: [{path: /dev/test/gpu0, hostPath: %1$s/%2$s-gpu0, permissions: rw}]\n"
	"    env: [GPU_0=yes]\n"
	"- name: '1'\n"
	"  containerEdits:\n"
	"    deviceNodes: [{path: /dev/test/gpu1, hostPath: %1$s/%2$s-gpu1, major: 1, minor: 7}]\n"
	"    env: [GPU_1=yes]\n"
	"- name: bad\n"
	"  containerEdits:\n"
	"    deviceNodes: [{path: /dev/test/bad, hostPath: %1$s/%2$s-gpu1, major: 7, minor: 7}]\n"
	"- name: gone\n"
	"  containerEdits:\n"
	"    deviceNodes: [{path: /dev/test/gone, hostPath: %1$s/gone}]\n"
	"- name: grouped\n"
	"  containerEdits:\n"
	"    mounts: [{hostPath: %1$s/grouped, containerPath: /opt/grouped}]\n"
	"    additionalGids: [4242]\n"
	"containerEdits:\n"
	"  env: [GPU_KIND=test, PATH=/usr/bin:/bin]\n"
	"  mounts:\n"
	"  - {hostPath: %1$s/library, containerPath: /usr/lib/oscar/test/libgpu.so.1.2, options: "
	"[ro]}\n"
	"  - {hostPath: %1$s/folder, containerPath: /opt/gpu}\n"
	"  hooks:\n"
	"  - hookName: createContainer\n"
	"    path: /usr/bin/nvidia-ctk\n"
	"    args: [nvidia-ctk, hook, create-symlinks, --link,\n"
	"      'libgpu.so.1.2::/usr/lib/oscar/test/libgpu.so', --link, "
	"'../oscar::/usr/lib/gpu/way']\n"
	"  - hookName: createContainer\n"
	"    path: /usr/bin/nvidia-ctk\n"
	"    args: [nvidia-ctk, hook, update-ldcache, --folder, /usr/lib/oscar/test]\n";

static void put(const char *path, const char *text)
{
	struct err e = { 0 };
	auto_fd int fd = file_open(AT_FDCWD, path, O_WRONLY | O_CREAT, 0644, &e);

	check(fd >= 0 && file_write_all(fd, text, strlen(text), &e) == 0);
}

static void make_nodes(const char *who, mode_t mode)
{
	for (unsigned i = 0; i < 2; i++) {
		auto_free char *path = mem_printf("%s/%s-gpu%u", top, who, i);

		check(mknod(path, S_IFCHR, makedev(1, i ? 7 : 5)) == 0 && chmod(path, mode) == 0);
	}
}

// A folder of specifications over nodes of its own. With the rights of root a job gets what nobody else may.
static char *make_specification(const char *who, mode_t mode)
{
	char *folder = mem_printf("%s/%s", top, who);
	auto_free char *file = mem_printf("%s/test.yaml", folder);
	auto_free char *text = mem_printf(spec_text, top, who);

	check(mkdir(folder, 0755) == 0);
	put(file, text);
	make_nodes(who, mode);
	return folder;
}

// What root made only root can remove: a child does, when we are gone.
static void remove_later(void)
{
	int pair[2];

	check(pipe2(pair, O_CLOEXEC) == 0);
	if (fork() == 0) {
		struct err e = { 0 };
		char c;

		close(pair[1]);
		setsid();
		_exit(read(pair[0], &c, 1) || file_remove_tree(AT_FDCWD, top, &e) < 0);
	}
	close(pair[0]); // the other end goes with us
}

static int setup(void **state)
{
	static struct beds all;

	*state = NULL;
	if (geteuid() != 0) {
		printf("# only root can make device nodes\n");
		return 0;
	}
	umask(022);
	check(mkdtemp(top) && chmod(top, 0755) == 0);
	remove_later();
	auto_free char *library = mem_printf("%s/library", top);
	auto_free char *folder = mem_printf("%s/folder", top);
	auto_free char *inside = mem_printf("%s/folder/name", top);
	auto_free char *grouped = mem_printf("%s/grouped", top);

	check(mkdir(folder, 0755) == 0);
	put(library, "a library");
	put(inside, "a folder");
	put(grouped, "of a group");
	check(chown(grouped, 0, 4242) == 0 && chmod(grouped, 0640) == 0);
	auto_free char *root = make_specification("root", 0600);
	auto_free char *user = make_specification("user", 0666);

	for (unsigned i = 0; i < BEDS; i++) { // the first leaves us as an ordinary user
		setenv("BED_CDI", i ? user : root, 1);
		if ((all.at[all.n] = bed_open(false))) {
			all.at[all.n]->cdi = mem_strdup(i ? user : root);
			all.n++;
		}
	}
	*state = all.n ? &all : NULL;
	return 0;
}

static int teardown(void **state)
{
	struct beds *all = *state;

	while (all && all->n) {
		mem_free((char *)all->at[all->n - 1]->cdi);
		bed_close(all->at[--all->n]);
	}
	return 0;
}

static struct beds *need(void **state)
{
	if (!*state)
		skip();
	return *state;
}

static struct exec_spec with(const char *job, const char *script, const char *const *devices,
			     size_t n)
{
	struct exec_spec s = bed_spec(job, script);

	s.devices = devices;
	s.device_count = n;
	return s;
}

static const char *const zero[] = { "example.test/gpu=0" };
static const char *const both[] = { "example.test/gpu=0", "example.test/gpu=1" };

static void expect(struct bed *b, const char *job, const char *script, const char *const *devices,
		   size_t n, const char *image)
{
	struct exec_spec s = with(job, script, devices, n);

	s.image = image;
	struct exec_result r = bed_run(b, &s);
	auto_free char *out = bed_log(b, job, JOBLOG_STDERR);

	if (r.outcome != EXEC_EXITED || r.exit_code)
		fail_msg("%s: %d %d %s: %s", b->cdi, r.outcome, r.exit_code, r.reason, out);
	bed_forget(b, job);
}

// What a job with the first device finds, and what not.
static const char looks[] =
	"set -ex\n"
	"test \"$(ls /dev/test)\" = gpu0\n"
	"test \"$(head -c 3 /dev/test/gpu0 | od -An -tx1)\" = ' 00 00 00'\n"
	"echo x > /dev/test/gpu0\n"
	"echo x > /dev/null; test -c /dev/urandom; test -L /dev/stdin; test -d /dev/shm\n"
	"! touch /dev/x; ! chmod 0777 /dev/test/gpu0; ! mknod /tmp/n c 1 5\n"
	"test \"$GPU_0$GPU_1$GPU_KIND\" = yestest; test \"$PATH\" = /usr/bin:/bin\n"
	"test \"$LD_LIBRARY_PATH\" = /usr/lib/oscar/test\n"
	"test \"$(cat /usr/lib/oscar/test/libgpu.so)\" = 'a library'\n"
	"test \"$(cat /usr/lib/gpu/way/test/libgpu.so.1.2)\" = 'a library'\n"
	"test \"$(cat /opt/gpu/name)\" = 'a folder'\n"
	"! touch /opt/gpu/y; ! echo y > /usr/lib/oscar/test/libgpu.so; ! touch /usr/lib/oscar/y\n"
	"test -e /usr/bin/env; test -d /usr/lib\n";

static void a_job_sees_its_device_and_no_other(void **state)
{
	struct beds *all = need(state);

	for (unsigned i = 0; i < all->n; i++) {
		struct bed *b = all->at[i];

		expect(b, "looks", looks, zero, 1, "host");
		expect(b, "two",
		       "set -e; test \"$(ls /dev/test)\" = \"$(printf 'gpu0\\ngpu1')\"\n"
		       "! echo x > /dev/test/gpu1; test $GPU_0$GPU_1 = yesyes",
		       both, 2, "host");
		expect(b, "none", "! ls /dev/test && ! ls /opt/gpu && test -z \"$GPU_KIND\"", NULL,
		       0, "host");
	}
}

// With links in the way of what will be mounted.
static bool make_image(const struct bed *b)
{
	auto_free char *script = mem_printf(
		"set -e; umask 022; r=%s/images/a1/rootfs; mkdir -p $r; cd $r\n"
		"mkdir -p bin dev proc tmp oscar etc opt/real usr/share usr/bin\n"
		"for p in sh cat head od ls touch chmod mknod env; do p=$(command -v $p)\n"
		"  cp -L $p bin/; for l in $(ldd $p | grep -o '/[^ ]*'); do\n"
		"    mkdir -p .${l%%/*}; cp -Ln $l .$l; done; done\n"
		"ln -s ../../bin/env usr/bin/env; ln -s /etc usr/lib; ln -s real opt/gpu\n",
		b->data);
	pid_t pid = fork();
	int status = -1;

	if (pid == 0) {
		execl("/bin/sh", "sh", "-c", script, (char *)NULL);
		_exit(1);
	}
	waitpid(pid, &status, 0);
	return status == 0;
}

// Where links in it lead to places in it alone.
static void an_image_gets_places_for_it(void **state)
{
	struct beds *all = need(state);

	for (unsigned i = 0; i < all->n; i++) {
		struct bed *b = all->at[i];

		assert_true(make_image(b));
		expect(b, "image", looks, zero, 1, "a1");
		expect(b, "linked",
		       "set -e; test -f /etc/oscar/test/libgpu.so.1.2\n"
		       "test -f /opt/real/name",
		       zero, 1, "a1");
	}
}

// Without root rights nobody can be given a group.
static void groups_of_the_machine_are_the_jobs(void **state)
{
	static const char *const grouped[] = { "example.test/gpu=grouped" };
	static const char *const user[] = { "cat /opt/grouped", "! cat /opt/grouped" };
	static const uint32_t own[] = { 7, 4242 };
	struct beds *all = need(state);

	for (unsigned i = 0; i < all->n; i++) {
		expect(all->at[i], "group", user[i], grouped, 1, "host");
		if (i) // not every runtime can have another user then
			continue;
		struct exec_spec s = with("groups", user[i], grouped, 1);

		s.uid = s.gid = 500;
		s.groups = own;
		s.group_count = 2;
		struct exec_result r = bed_run(all->at[i], &s);

		assert_outcome(r, EXEC_EXITED);
		assert_int_equal(r.exit_code, 0);
		bed_forget(all->at[i], "groups");
	}
	expect(all->at[0], "no-group", "! ls /opt/grouped", zero, 1, "host");
}

static void a_device_is_one_jobs_at_a_time(void **state)
{
	struct beds *all = need(state);

	for (unsigned i = 0; i < all->n; i++) {
		struct bed *b = all->at[i];
		struct exec_spec holds = with("holds", "sleep 100", zero, 1);
		struct exec_spec late = with("late", "true", both, 2);
		struct exec_spec next = with("next", "true", zero, 1);
		struct bed_event ev;
		struct err e = { 0 };

		bed_submit(b, &holds);
		bed_wait(b, "holds", 1, false, &ev);
		struct exec_result r = bed_run(b, &late);

		assert_outcome(r, EXEC_SETUP_FAILED);
		assert_non_null(strstr(r.reason, "the device example.test/gpu=0 is another job's"));

		bed_submit(b, &next); // waits until the other's sandbox is gone
		assert_int_equal(b->driver->ops->cancel(b->driver, "holds", 1, &e), 0);
		bed_wait(b, "next", 1, true, &ev);
		assert_outcome(ev.result, EXEC_EXITED);
		bed_wait(b, "holds", 1, true, &ev);
		bed_forget(b, "holds");
		bed_forget(b, "late");
		bed_forget(b, "next");
	}
}

static void what_is_wrong_with_a_device_is_said(void **state)
{
	static const struct {
		const char *device, *reason;
	} cases[] = {
		{ "example.test/gpu=bad", "-gpu1 is device 1:7, which is not what its" },
		{ "example.test/gpu=gone", "/gone: No such file" },
	};
	struct beds *all = need(state);

	for (unsigned i = 0; i < all->n; i++) {
		struct bed *b = all->at[i];
		const char *unknown = "example.test/gpu=7";
		struct exec_spec s = with("unknown", "true", &unknown, 1);
		struct err e = { 0 };

		assert_int_equal(b->driver->ops->submit(b->driver, &s, &e), -1);
		assert_int_equal(e.code, ERR_INVALID);
		assert_non_null(strstr(e.msg, "there is no device example.test/gpu=7"));
		for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
			auto_free char *job = mem_printf("bad-%zu", k);
			struct exec_spec bad = with(job, "true", &cases[k].device, 1);
			struct exec_result r = bed_run(b, &bad);

			assert_outcome(r, EXEC_SETUP_FAILED);
			if (!strstr(r.reason, cases[k].reason))
				fail_msg("%s", r.reason);
			bed_forget(b, job);
		}
	}
}

// A daemon that makes specifications of its own gets nothing by them.
static void only_what_the_runner_was_given_is_shown(void **state)
{
	struct beds *all = need(state);
	struct bed *b =
		all->at[all->n - 1]; // the first one's connection is open in the other's helper
	auto_free char *folder = mem_printf("%s/own", b->data);
	auto_free char *file = mem_printf("%s/own/own.yaml", b->data);
	const char *device = "example.test/own=0", *given = b->cdi;
	struct exec_spec s = with("own", "cat /etc/gshadow", &device, 1);

	assert_int_equal(mkdir(folder, 0755), 0);
	put(file, "cdiVersion: 0.6.0\nkind: example.test/own\ndevices: [{name: '0'}]\n"
		  "containerEdits: {mounts: [{hostPath: /etc/shadow, containerPath: "
		  "/etc/gshadow}]}\n");
	bed_close_driver(b, false);
	b->cdi = folder;
	bed_open_driver(b);
	struct exec_result r = bed_run(b, &s);

	assert_outcome(r, EXEC_SETUP_FAILED);
	assert_non_null(strstr(r.reason, "the runner knows no device example.test/own=0"));
	bed_forget(b, "own");
	bed_close_driver(b, false);
	b->cdi = given;
	bed_open_driver(b);
}

static void the_driver_tells_of_its_devices(void **state)
{
	struct beds *all = need(state);

	for (unsigned i = 0; i < all->n; i++) {
		struct bed *b = all->at[i];
		auto_arena struct arena mem = { 0 };
		const char *const *names;
		uint64_t stamp = 0;
		size_t n = 0;

		assert_true(b->driver->ops->devices(b->driver, &mem, &stamp, &names, &n));
		assert_int_equal(n, 4); // the bad one has the node of the second
		assert_string_equal(names[0], "example.test/gpu=0");
		assert_string_equal(names[1], "example.test/gpu=1");
		assert_string_equal(names[2], "example.test/gpu=gone");
		assert_string_equal(names[3], "example.test/gpu=grouped");
		assert_false(b->driver->ops->devices(b->driver, &mem, &stamp, &names, &n));
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_job_sees_its_device_and_no_other),
		cmocka_unit_test(an_image_gets_places_for_it),
		cmocka_unit_test(groups_of_the_machine_are_the_jobs),
		cmocka_unit_test(a_device_is_one_jobs_at_a_time),
		cmocka_unit_test(what_is_wrong_with_a_device_is_said),
		cmocka_unit_test(only_what_the_runner_was_given_is_shown),
		cmocka_unit_test(the_driver_tells_of_its_devices),
	};

	if (bed_is_runner(argc, argv))
		return bed_runner(argc, argv);
	return cmocka_run_group_tests(tests, setup, teardown);
}
