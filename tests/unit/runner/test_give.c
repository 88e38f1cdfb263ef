// SPDX-License-Identifier: Apache-2.0
// Whose files become whose. Needs root, as the runner does.
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "base/file.h"
#include "base/mem.h"
#include "runner/give.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DAEMON = 1001, USER = 1002, GROUP = 1003 };

struct bed {
	char path[32];
	int folder;
};

static int setup(void **state)
{
	struct bed *b = mem_zalloc(sizeof(*b));
	struct err e = { 0 };

	memcpy(b->path, "/tmp/oscar-give-XXXXXX", 23);
	assert_non_null(mkdtemp(b->path));
	b->folder = file_open(AT_FDCWD, b->path, O_RDONLY | O_DIRECTORY, 0, &e);
	assert_true(b->folder >= 0);
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bed *b = *state;
	struct err e = { 0 };

	file_close(b->folder);
	assert_int_equal(file_remove_tree(AT_FDCWD, b->path, &e), 0);
	mem_free(b);
	return 0;
}

static struct bed *need_root(void **state)
{
	if (geteuid() != 0)
		skip();
	return *state;
}

static void folder_is(struct bed *b, uid_t uid, mode_t mode)
{
	assert_int_equal(fchown(b->folder, uid, GROUP), 0);
	assert_int_equal(fchmod(b->folder, mode), 0);
}

static void make(struct bed *b, const char *name, uid_t uid, mode_t mode)
{
	struct err e = { 0 };
	auto_fd int fd = file_open(b->folder, name, O_WRONLY | O_CREAT | O_EXCL, 0600, &e);

	assert_true(fd >= 0);
	assert_int_equal(fchown(fd, uid, uid), 0);
	assert_int_equal(fchmod(fd, mode), 0);
}

static struct stat look(struct bed *b, const char *name)
{
	struct stat st;

	assert_int_equal(fstatat(b->folder, name, &st, AT_SYMLINK_NOFOLLOW), 0);
	return st;
}

static void refused(struct bed *b, const char *name, enum err_code code)
{
	struct stat was = look(b, name), st;
	struct err e = { 0 };

	assert_int_equal(give_to_owner(b->folder, name, DAEMON, &e), -1);
	assert_int_equal(e.code, code);
	st = look(b, name);
	assert_int_equal(st.st_uid, was.st_uid);
	assert_int_equal(st.st_gid, was.st_gid);
}

static void files_and_folders_go_to_the_folders_owner(void **state)
{
	struct bed *b = need_root(state);
	struct err e = { 0 };
	struct stat st;

	folder_is(b, USER, 0775);
	make(b, "file", DAEMON, 0640);
	assert_int_equal(mkdirat(b->folder, "sub", 0775), 0);
	assert_int_equal(fchownat(b->folder, "sub", DAEMON, DAEMON, 0), 0);
	for (int i = 0; i < 2; i++) { // the second time there is nothing to do
		assert_int_equal(give_to_owner(b->folder, "file", DAEMON, &e), 0);
		assert_int_equal(give_to_owner(b->folder, "sub", DAEMON, &e), 0);
	}
	st = look(b, "file");
	assert_int_equal(st.st_uid, USER);
	assert_int_equal(st.st_gid, GROUP);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(look(b, "sub").st_uid, USER);
	assert_int_equal(give_to_owner(b->folder, "none", DAEMON, &e), -1);
	assert_int_equal(e.code, ERR_NOT_FOUND);
}

static void what_is_not_the_daemons_stays(void **state)
{
	struct bed *b = need_root(state);

	folder_is(b, USER, 0777);
	make(b, "other", 1004, 0644);
	make(b, "roots", 0, 0644);
	make(b, "setuid", DAEMON, 04755);
	make(b, "setgid", DAEMON, 02755);
	make(b, "two", DAEMON, 0644);
	assert_int_equal(linkat(b->folder, "two", b->folder, "names", 0), 0);
	assert_int_equal(symlinkat("/etc/passwd", b->folder, "link"), 0);
	assert_int_equal(fchownat(b->folder, "link", DAEMON, DAEMON, AT_SYMLINK_NOFOLLOW), 0);
	assert_int_equal(mkfifoat(b->folder, "pipe", 0600), 0);
	assert_int_equal(fchownat(b->folder, "pipe", DAEMON, DAEMON, 0), 0);
	refused(b, "other", ERR_DENIED);
	refused(b, "roots", ERR_DENIED);
	refused(b, "setuid", ERR_DENIED);
	refused(b, "setgid", ERR_DENIED);
	refused(b, "names", ERR_DENIED);
	refused(b, "link", ERR_DENIED);
	refused(b, "pipe", ERR_DENIED);
}

static void root_and_sticky_folders_get_nothing(void **state)
{
	struct bed *b = need_root(state);

	make(b, "file", DAEMON, 0644);
	folder_is(b, 0, 0777);
	refused(b, "file", ERR_DENIED);
	folder_is(b, USER, 01777);
	refused(b, "file", ERR_DENIED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(files_and_folders_go_to_the_folders_owner, setup,
						teardown),
		cmocka_unit_test_setup_teardown(what_is_not_the_daemons_stays, setup, teardown),
		cmocka_unit_test_setup_teardown(root_and_sticky_folders_get_nothing, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
