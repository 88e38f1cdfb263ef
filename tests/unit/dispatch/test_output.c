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
#include "dispatch/job.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

struct place {
	char dir[32];
	int fd;
	struct arena mem;
};

static int setup(void **state)
{
	struct place *p = mem_zalloc(sizeof(*p));

	memcpy(p->dir, "/tmp/oscar-out-XXXXXX", 22);
	assert_non_null(mkdtemp(p->dir));
	p->fd = open(p->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;
	struct err e = { 0 };

	file_close(p->fd);
	arena_release(&p->mem);
	assert_int_equal(file_remove_tree(AT_FDCWD, p->dir, &e), 0);
	mem_free(p);
	return 0;
}

static void make_file(struct place *p, const char *name, mode_t mode)
{
	auto_fd int fd = openat(p->fd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, "data", 4), 4);
	assert_int_equal(fchmod(fd, mode), 0);
}

static int walk(struct place *p, unsigned max, struct output_file **out, size_t *n, struct err *e)
{
	*e = (struct err){ 0 };
	return output_walk(p->fd, max, &p->mem, out, n, e);
}

static void nothing_is_no_output(void **state)
{
	struct place *p = *state;
	struct output_file *f;
	struct err e;
	size_t n;

	assert_int_equal(walk(p, 10, &f, &n, &e), 0);
	assert_int_equal(n, 0);
	assert_null(f);
}

static void files_come_in_order_with_their_folders(void **state)
{
	static const char *const names[] = { "a", "b/c/d", "b/e", "z ä" };
	struct place *p = *state;
	struct output_file *f;
	struct err e;
	size_t n, i = 0;

	assert_int_equal(mkdirat(p->fd, "b", 0700), 0);
	assert_int_equal(mkdirat(p->fd, "b/c", 0700), 0);
	assert_int_equal(mkdirat(p->fd, "empty", 0700), 0);
	for (size_t k = ARRAY_LEN(names); k--;)
		make_file(p, names[k], 0600);
	assert_int_equal(walk(p, 4, &f, &n, &e), 0);
	assert_int_equal(n, ARRAY_LEN(names));
	for (; f; f = f->next, i++) {
		assert_string_equal(f->name, names[i]);
		assert_int_equal(f->size, 4);
	}
	assert_int_equal(i, n);
}

// A script may leave what its own user could not read; what matters is that it is there.
static void modes_do_not_hide_outputs(void **state)
{
	struct place *p = *state;
	struct output_file *f;
	struct err e;
	size_t n;

	assert_int_equal(mkdirat(p->fd, "closed", 0700), 0);
	make_file(p, "closed/inside", 0);
	make_file(p, "secret", 0);
	assert_int_equal(fchmodat(p->fd, "closed", 0, 0), 0);
	assert_int_equal(walk(p, 10, &f, &n, &e), 0);
	assert_int_equal(n, 2);
	for (; f; f = f->next) {
		auto_fd int fd = openat(p->fd, f->name, O_RDONLY | O_CLOEXEC);
		struct stat st;

		assert_true(fd >= 0);
		assert_int_equal(fstat(fd, &st), 0);
		assert_true(st.st_mode & S_IRUSR); // also where the test's user is root
	}
}

static void make_socket(struct place *p, const char *name)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	auto_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s/%s", p->dir, name);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
}

static void expect_refused(struct place *p, const char *in_text)
{
	struct output_file *f = NULL;
	struct err e;
	size_t n;

	assert_int_equal(walk(p, 10, &f, &n, &e), -1);
	assert_int_equal(e.code, ERR_INVALID);
	if (!strstr(e.msg, in_text))
		fail_msg("\"%s\" does not say \"%s\"", e.msg, in_text);
}

static void what_is_no_file_is_refused(void **state)
{
	struct place *p = *state;

	make_file(p, "good", 0600);
	assert_int_equal(symlinkat("/etc/passwd", p->fd, "link"), 0);
	expect_refused(p, "link is a symbolic link");
	assert_int_equal(unlinkat(p->fd, "link", 0), 0);

	assert_int_equal(symlinkat("/", p->fd, "root"), 0);
	expect_refused(p, "root is a symbolic link");
	assert_int_equal(unlinkat(p->fd, "root", 0), 0);

	assert_int_equal(mkdirat(p->fd, "d", 0700), 0);
	assert_int_equal(symlinkat("..", p->fd, "d/up"), 0);
	expect_refused(p, "d/up is a symbolic link");
	assert_int_equal(unlinkat(p->fd, "d/up", 0), 0);

	assert_int_equal(mkfifoat(p->fd, "pipe", 0600), 0); // opening it would wait for ever
	expect_refused(p, "pipe is not a regular file");
	assert_int_equal(unlinkat(p->fd, "pipe", 0), 0);

	make_socket(p, "sock");
	expect_refused(p, "sock is not a regular file");
}

static void names_that_cannot_be_keys_are_refused(void **state)
{
	static const struct {
		const char *name, *text;
	} bad[] = { { "a\nb", "control" },
		    { "\x7f", "control" },
		    { "\xff\xfe", "UTF-8" },
		    { "\xed\xa0\x80", "UTF-8" } };
	struct place *p = *state;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		make_file(p, bad[i].name, 0600);
		expect_refused(p, bad[i].text);
		assert_int_equal(unlinkat(p->fd, bad[i].name, 0), 0);
	}
}

static void paths_over_a_key_are_refused(void **state)
{
	auto_fd int at = dup(((struct place *)*state)->fd);
	struct place *p = *state;
	char part[251];

	memset(part, 'p', 250);
	part[250] = '\0';
	for (int i = 0; i < 5; i++) {
		assert_int_equal(mkdirat(at, part, 0700), 0);
		int below = openat(at, part, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		close(at);
		at = below;
	}
	expect_refused(p, "1024 bytes");
}

static void nesting_and_counts_are_bounded(void **state)
{
	struct place *p = *state;
	auto_fd int at = dup(p->fd);
	struct output_file *f;
	char name[16];
	struct err e;
	size_t n;

	for (int i = 0; i < 5; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		make_file(p, name, 0600);
	}
	assert_int_equal(walk(p, 5, &f, &n, &e), 0);
	assert_int_equal(walk(p, 4, &f, &n, &e), -1);
	assert_int_equal(e.code, ERR_LIMIT);

	for (int i = 0; i < 80; i++) {
		assert_int_equal(mkdirat(at, "d", 0700), 0);
		int below = openat(at, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		close(at);
		at = below;
	}
	assert_int_equal(walk(p, 10, &f, &n, &e), -1);
	assert_int_equal(e.code, ERR_LIMIT);
	assert_non_null(strstr(e.msg, "nested"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		CASE(nothing_is_no_output),
		CASE(files_come_in_order_with_their_folders),
		CASE(modes_do_not_hide_outputs),
		CASE(what_is_no_file_is_refused),
		CASE(names_that_cannot_be_keys_are_refused),
		CASE(paths_over_a_key_are_refused),
		CASE(nesting_and_counts_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
