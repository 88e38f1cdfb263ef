// SPDX-License-Identifier: Apache-2.0
// Inputs that the driver passes as open files: bound where they lie, whoever owns them. Each case with a runner that
// has the rights of root, when the test was started by root, and with one that has not.
#include "bed.h"

#include <sys/mman.h>

enum { BEDS = 2 };

struct beds {
	struct bed *at[BEDS];
	unsigned n;
};

static int setup(void **state)
{
	static struct beds all;
	bool root = geteuid() == 0;

	// The first leaves us as an ordinary user.
	for (unsigned i = 0; i < (root ? BEDS : 1); i++)
		if ((all.at[all.n] = bed_open(false)))
			all.n++;
	*state = all.n ? &all : NULL;
	return 0;
}

static int teardown(void **state)
{
	struct beds *all = *state;

	// The later helper has the earlier one's socket open.
	while (all && all->n)
		bed_close(all->at[--all->n]);
	return 0;
}

static struct beds *need(void **state)
{
	if (!*state)
		skip();
	return *state;
}

// A file below the data directory, but in no folder of the runner's.
static char *make(const struct bed *b, const char *name, const char *text, mode_t mode)
{
	char *path = mem_printf("%s/%s", b->data, name);
	struct err e = { 0 };
	auto_fd int fd = file_open(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, mode, &e);

	assert_true(fd >= 0 && fchmod(fd, mode) == 0);
	assert_int_equal(file_write_all(fd, text, strlen(text), &e), 0);
	return path;
}

static struct exec_input passed(int fd)
{
	struct stat st;

	assert_true(fd >= 0 && fstat(fd, &st) == 0);
	return (struct exec_input){ .name = "in",
				    .file = fd,
				    .file_size = (uint64_t)st.st_size,
				    .file_mtime_ns =
					    st.st_mtim.tv_sec * NS_PER_S + st.st_mtim.tv_nsec };
}

static struct exec_spec spec(const char *job, const char *script, const struct exec_input *in)
{
	struct exec_spec s = bed_spec(job, script);

	s.inputs = in;
	s.input_count = 1;
	s.input_file = "in";
	return s;
}

// What of the input lies in the job's own folder.
static off_t copied(const struct bed *b, const char *job)
{
	auto_free char *path = mem_printf("%s/jobs/%s.1/oscar/input/in", b->data, job);
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return st.st_size;
}

static void a_passed_file_is_bound_and_cannot_be_changed(void **state)
{
	struct beds *all = need(state);
	static const mode_t modes[] = { 0644, 0640, 0600, 0400, 0777 };
	static const char script[] =
		"cat $INPUT_FILE_PATH; echo x 2>/dev/null >>$INPUT_FILE_PATH && echo wrote; "
		"chmod 777 $INPUT_FILE_PATH 2>/dev/null && echo chmod; "
		"rm -f $INPUT_FILE_PATH 2>/dev/null && echo removed; "
		"$INPUT_FILE_PATH 2>/dev/null && echo ran; "
		"grep ' /oscar/input/in ' /proc/self/mountinfo | cut -d' ' -f6";

	for (unsigned i = 0; i < all->n; i++)
		for (size_t k = 0; k < ARRAY_LEN(modes); k++) {
			struct bed *b = all->at[i];
			auto_free char *job = mem_printf("passed-%zu", k);
			auto_free char *path = make(b, "elsewhere", "true\n", modes[k]);
			auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
			struct exec_input in = passed(fd);
			struct exec_spec s = spec(job, script, &in);
			struct exec_result r = bed_run(b, &s);
			auto_free char *out = bed_log(b, job, JOBLOG_STDOUT);

			assert_outcome(r, EXEC_EXITED);
			if (strncmp(out, "true\nro,nosuid,nodev,noexec", 27) != 0)
				fail_msg("mode %o: %s", modes[k], out);
			assert_int_equal(copied(b, job), 0);
			bed_forget(b, job);
			assert_int_equal(unlink(path), 0);
		}
}

// One that belongs to somebody else, and that everybody may read.
static void a_file_of_another_user_is_bound(void **state)
{
	struct beds *all = need(state);

	for (unsigned i = 0; i < all->n; i++) {
		auto_fd int fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
		struct exec_input in = passed(fd);
		struct exec_spec s = spec("other", "grep -c ^root: $INPUT_FILE_PATH", &in);
		struct exec_result r = bed_run(all->at[i], &s);
		auto_free char *out = bed_log(all->at[i], "other", JOBLOG_STDOUT);

		assert_outcome(r, EXEC_EXITED);
		assert_string_equal(out, "1\n");
		assert_int_equal(copied(all->at[i], "other"), 0);
		bed_forget(all->at[i], "other");
	}
}

// Its mount is in no namespace at all.
static void what_cannot_be_bound_is_copied(void **state)
{
	struct beds *all = need(state);
	const size_t size = 300000;

	for (unsigned i = 0; i < all->n; i++) {
		auto_fd int made = memfd_create("input", MFD_CLOEXEC);
		auto_free char *bytes = mem_zalloc(size);
		auto_free char *link = mem_printf("/proc/self/fd/%d", made);
		struct err e = { 0 };

		memset(bytes, 'x', size);
		assert_int_equal(file_write_all(made, bytes, size, &e), 0);
		auto_fd int fd = open(link, O_RDONLY | O_CLOEXEC);
		struct exec_input in = passed(fd);
		struct exec_spec s = spec("copied",
					  "tr -d x <$INPUT_FILE_PATH | wc -c; "
					  "wc -c <$INPUT_FILE_PATH; "
					  "echo y 2>/dev/null >>$INPUT_FILE_PATH",
					  &in);
		struct exec_result r = bed_run(all->at[i], &s);
		auto_free char *out = bed_log(all->at[i], "copied", JOBLOG_STDOUT);

		assert_outcome(r, EXEC_EXITED);
		assert_string_equal(out, "0\n300000\n");
		assert_int_equal(copied(all->at[i], "copied"), size);
		bed_forget(all->at[i], "copied");
	}
}

// A descriptor that can be had without the right to read, or of what is no file.
static void only_what_is_open_for_reading_is_shown(void **state)
{
	struct beds *all = need(state);

	for (unsigned i = 0; i < all->n; i++) {
		struct bed *b = all->at[i];
		auto_free char *path = make(b, "elsewhere", "text\n", 0600);
		const struct {
			const char *path;
			int flags;
		} cases[] = { { "/etc/shadow", O_PATH },
			      { path, O_PATH },
			      { path, O_RDWR },
			      { path, O_WRONLY },
			      { b->data, O_RDONLY | O_DIRECTORY },
			      { "/dev/null", O_RDONLY } };

		for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
			auto_free char *job = mem_printf("refused-%zu", k);
			auto_fd int fd = open(cases[k].path, cases[k].flags | O_CLOEXEC);
			struct exec_input in = passed(fd);
			struct exec_spec s = spec(job, "cat $INPUT_FILE_PATH", &in);
			struct exec_result r = bed_run(b, &s);

			assert_outcome(r, EXEC_SETUP_FAILED);
			assert_non_null(strstr(r.reason, "open for reading"));
			assert_int_equal(r.started_wall_ns, 0);
			bed_forget(b, job);
		}
	}
}

static void a_file_that_changed_ends_its_job_so(void **state)
{
	struct beds *all = need(state);

	for (unsigned i = 0; i < all->n; i++) {
		struct bed *b = all->at[i];
		auto_free char *path = make(b, "elsewhere", "before\n", 0644);
		auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
		struct exec_input in = passed(fd);
		struct exec_spec s =
			spec("during",
			     "until grep -q after $INPUT_FILE_PATH; do sleep .01; done; exit 5",
			     &in);
		struct bed_event ev;

		bed_submit(b, &s);
		bed_wait(b, "during", 1, false, &ev);
		mem_free(make(b, "elsewhere", "after!\n", 0644)); // in place, of the same size
		bed_wait(b, "during", 1, true, &ev);
		assert_outcome(ev.result, EXEC_CHANGED);
		assert_string_equal(ev.result.reason, "the input in changed while the job ran");
		assert_int_equal(ev.result.exit_code, 5);
		bed_forget(b, "during");

		s = spec("earlier", "true", &in); // what `in` says is of the past
		struct exec_result r = bed_run(b, &s);

		assert_outcome(r, EXEC_CHANGED);
		assert_int_equal(r.started_wall_ns, 0);
		assert_string_equal(r.reason, "input in: it changed");
		bed_forget(b, "earlier");
	}
}

// The job has the file that it was given, whatever its name leads to meanwhile.
static void a_name_that_goes_elsewhere_changes_nothing(void **state)
{
	struct beds *all = need(state);

	for (unsigned i = 0; i < all->n; i++) {
		struct bed *b = all->at[i];
		auto_free char *path = make(b, "elsewhere", "mine\n", 0644);
		auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
		struct exec_input in = passed(fd);
		struct exec_spec s = spec("gone", "cat $INPUT_FILE_PATH", &in);

		// Before the job begins, and without any place where the runner could find it.
		assert_int_equal(unlink(path), 0);
		assert_int_equal(symlink("/etc/passwd", path), 0);
		struct exec_result r = bed_run(b, &s);
		auto_free char *out = bed_log(b, "gone", JOBLOG_STDOUT);

		assert_outcome(r, EXEC_EXITED);
		assert_string_equal(out, "mine\n");
		bed_forget(b, "gone");
		assert_int_equal(unlink(path), 0);
	}
}

// How many files of such a name this process has open.
static unsigned still_open(const char *name)
{
	unsigned n = 0;

	for (int fd = 0; fd < 1024; fd++) {
		auto_free char *link = mem_printf("/proc/self/fd/%d", fd);
		char path[256];
		ssize_t k = readlink(link, path, sizeof(path) - 1);

		path[k > 0 ? k : 0] = '\0';
		n += strstr(path, name) != NULL;
	}
	return n;
}

// As many as there may be, and none stays open.
static void many_files_come_in_their_order(void **state)
{
	struct beds *all = need(state);

	for (unsigned i = 0; i < all->n; i++) {
		struct bed *b = all->at[i];
		struct exec_input in[PROTO_INPUTS_MAX];
		int fds[PROTO_INPUTS_MAX];
		struct exec_spec s = bed_spec("many", "cd /oscar/input; for f in *; do test "
						      "\"$(cat $f)\" = $f || echo $f; done");

		for (int k = 0; k < PROTO_INPUTS_MAX; k++) {
			auto_free char *name = mem_printf("in-%d", k);
			auto_free char *path = make(b, name, name, 0600);

			fds[k] = open(path, O_RDONLY | O_CLOEXEC);
			in[k] = passed(fds[k]);
			in[k].name = mem_take(&name);
		}
		s.inputs = in;
		s.input_count = PROTO_INPUTS_MAX;
		struct exec_result r = bed_run(b, &s);
		auto_free char *out = bed_log(b, "many", JOBLOG_STDOUT);

		assert_outcome(r, EXEC_EXITED);
		assert_string_equal(out, "");
		bed_forget(b, "many");
		for (int k = 0; k < PROTO_INPUTS_MAX; k++) {
			close(fds[k]);
			mem_free((void *)(uintptr_t)in[k].name);
		}
		assert_int_equal(still_open("/in-"), 0);
	}
}

static void folders_are_shown_and_cannot_be_changed(void **state)
{
	struct beds *all = need(state);
	static const char script[] =
		"cd /mnt; find . | sort | tr '\\n' ' '; cat a/b/file; "
		"(echo x >a/b/new) 2>/dev/null && echo wrote; rm -f a/b/file 2>/dev/null && echo "
		"removed; "
		"mkdir x 2>/dev/null && echo made; cat a/b/out 2>/dev/null && echo left; "
		"grep ' /mnt/a/b ' /proc/self/mountinfo | cut -d' ' -f6";

	for (unsigned i = 0; i < all->n; i++) {
		struct bed *b = all->at[i];
		auto_free char *folder = mem_printf("%s/offered", b->data);
		auto_free char *link = mem_printf("%s/offered/out", b->data);
		auto_free char *secret = make(b, "secret", "secret\n", 0644);

		assert_true(mkdir(folder, 0755) == 0 && symlink(secret, link) == 0);
		mem_free(make(b, "offered/file", "text\n", 0600));
		auto_fd int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		const struct exec_mount mounts[] = { { "a/b", fd }, { "other", fd } };
		struct exec_spec s = bed_spec("folders", script);

		s.mounts = mounts;
		s.mount_count = 2;
		struct exec_result r = bed_run(b, &s);
		auto_free char *out = bed_log(b, "folders", JOBLOG_STDOUT);
		static const char want[] =
			". ./a ./a/b ./a/b/file ./a/b/out ./other ./other/file ./other/out text\n"
			"ro,nosuid,nodev";

		assert_outcome(r, EXEC_EXITED);
		if (strncmp(out, want, sizeof(want) - 1) != 0)
			fail_msg("%s", out);
		bed_forget(b, "folders");
	}
}

// What the daemon may not read, it may not have shown either.
static void only_folders_that_are_open_for_reading_are_shown(void **state)
{
	struct beds *all = need(state);
	static const struct {
		const char *path;
		int flags;
	} cases[] = { { "/", O_PATH }, { "/root", O_PATH }, { "/etc/passwd", O_RDONLY } };

	for (unsigned i = 0; i < all->n; i++)
		for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
			struct bed *b = all->at[i];
			auto_free char *job = mem_printf("no-folder-%zu", k);
			auto_fd int fd = open(cases[k].path, cases[k].flags | O_CLOEXEC);
			const struct exec_mount mount = { "x", fd };
			struct exec_spec s = bed_spec(job, "ls /mnt/x");

			s.mounts = &mount;
			s.mount_count = 1;
			struct exec_result r = bed_run(b, &s);

			assert_outcome(r, EXEC_SETUP_FAILED);
			assert_non_null(strstr(r.reason, "open for reading"));
			bed_forget(b, job);
		}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_passed_file_is_bound_and_cannot_be_changed),
		cmocka_unit_test(a_file_of_another_user_is_bound),
		cmocka_unit_test(what_cannot_be_bound_is_copied),
		cmocka_unit_test(only_what_is_open_for_reading_is_shown),
		cmocka_unit_test(a_file_that_changed_ends_its_job_so),
		cmocka_unit_test(a_name_that_goes_elsewhere_changes_nothing),
		cmocka_unit_test(many_files_come_in_their_order),
		cmocka_unit_test(folders_are_shown_and_cannot_be_changed),
		cmocka_unit_test(only_folders_that_are_open_for_reading_are_shown),
	};

	if (bed_is_runner(argc, argv))
		return bed_runner(argc, argv);
	return cmocka_run_group_tests(tests, setup, teardown);
}
