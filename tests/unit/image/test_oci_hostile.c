// SPDX-License-Identifier: Apache-2.0
// Archives that mean harm: what they ask for is refused or made harmless, and the limits hold before the disk does.
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "image/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

struct bed {
	char path[64];
	int root;
	struct archive *a;
	int fd;
};

static int setup(void **state)
{
	struct bed *b = mem_zalloc(sizeof(*b));
	char inside[80];

	snprintf(b->path, sizeof(b->path), "/tmp/oscar-hostile-XXXXXX");
	assert_non_null(mkdtemp(b->path));
	snprintf(inside, sizeof(inside), "%s/root", b->path);
	assert_int_equal(mkdir(inside, 0755), 0);
	b->root = open(inside, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	b->fd = memfd_create("archive", MFD_CLOEXEC);
	b->a = archive_write_new();
	archive_write_set_format_pax_restricted(b->a);
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bed *b = *state;
	struct err e = { 0 };

	close(b->root);
	close(b->fd);
	assert_int_equal(file_remove_tree(AT_FDCWD, b->path, &e), 0);
	mem_free(b);
	return 0;
}

static void begin(struct bed *b, bool packed)
{
	if (packed)
		archive_write_add_filter_gzip(b->a);
	archive_write_open_fd(b->a, b->fd);
}

static struct archive_entry *entry(const char *name, unsigned type, unsigned mode, size_t size)
{
	struct archive_entry *e = archive_entry_new();

	archive_entry_set_pathname(e, name);
	archive_entry_set_filetype(e, type);
	archive_entry_set_perm(e, (mode_t)mode);
	archive_entry_set_size(e, (la_int64_t)size);
	return e;
}

static void put(struct bed *b, struct archive_entry *e, const void *data, size_t n)
{
	assert_int_equal(archive_write_header(b->a, e), ARCHIVE_OK);
	if (n)
		assert_int_equal(archive_write_data(b->a, data, n), n);
	archive_entry_free(e);
}

static int unpack(struct bed *b, uint64_t size_max, uint64_t entries_max, struct err *e)
{
	const struct unpack_limits limits = { .size_max = size_max, .entries_max = entries_max };
	struct unpack_total total = { 0 };
	char digest[65];

	archive_write_free(b->a);
	lseek(b->fd, 0, SEEK_SET);
	return unpack_layer(b->fd, b->root, true, &limits, &total, digest, e);
}

static void names_that_climb_are_refused(void **state)
{
	static const char *const names[] = { "..", "../x", "a/../../x", "a/..", "/../x" };
	struct bed *b = *state;

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct err e = { 0 };

		if (i) {
			assert_int_equal(ftruncate(b->fd, 0), 0);
			lseek(b->fd, 0, SEEK_SET);
			b->a = archive_write_new();
			archive_write_set_format_pax_restricted(b->a);
		}
		begin(b, false);
		put(b, entry(names[i], AE_IFREG, 0644, 1), "x", 1);
		assert_int_equal(unpack(b, 1000, 10, &e), -1);
		assert_int_equal(e.code, ERR_INVALID);
	}
}

static void links_never_lead_out(void **state)
{
	struct bed *b = *state;
	struct archive_entry *out = entry("up", AE_IFLNK, 0777, 0),
			     *abs = entry("abs", AE_IFLNK, 0777, 0);
	char outside[80];
	struct err e = { 0 };
	struct stat st;

	begin(b, false);
	archive_entry_set_symlink(out, "../../../../../..");
	archive_entry_set_symlink(abs, b->path);
	put(b, out, NULL, 0);
	put(b, abs, NULL, 0);
	put(b, entry("up/evil", AE_IFREG, 0644, 1), "x", 1);
	put(b, entry("abs/evil", AE_IFREG, 0644, 1), "x", 1);
	// Links are read as the image's own programs would: the root is the top. What is missing there is made or refused.
	(void)unpack(b, 1000, 100, &e);
	snprintf(outside, sizeof(outside), "%s/evil", b->path);
	assert_int_equal(lstat(outside, &st), -1);
	assert_int_equal(lstat("/evil", &st), -1);
}

// Files of one folder come one after the other and the folder is opened once; not when its path changed meanwhile.
static void a_path_that_changes_between_files_is_followed_anew(void **state)
{
	struct bed *b = *state;
	struct archive_entry *link = entry("d/link", AE_IFLNK, 0777, 0),
			     *again = entry("e", AE_IFLNK, 0777, 0);
	struct err e = { 0 };
	struct stat st;

	begin(b, false);
	put(b, entry("d", AE_IFDIR, 0755, 0), NULL, 0);
	archive_entry_set_symlink(link, ".");
	put(b, link, NULL, 0);
	put(b, entry("f/one", AE_IFREG, 0644, 1), "1", 1);
	put(b, entry("f/two", AE_IFREG, 0644, 1), "2", 1);
	put(b, entry("e/one", AE_IFREG, 0644, 1), "1", 1);
	archive_entry_set_symlink(again, "f"); // a folder makes way for a link
	put(b, again, NULL, 0);
	put(b, entry("e/three", AE_IFREG, 0644, 1), "3", 1);
	put(b, entry("d/link/x", AE_IFREG, 0644, 1), "x", 1);	 // d/x
	put(b, entry("d/link/link", AE_IFREG, 0644, 1), "l", 1); // in the place of the link
	put(b, entry("d/link/y", AE_IFREG, 0644, 1), "y", 1);	 // below a file
	assert_int_equal(unpack(b, 1000, 20, &e), -1);
	assert_int_equal(e.code, ERR_INVALID);
	assert_int_equal(fstatat(b->root, "d/x", &st, 0), 0);
	assert_int_equal(fstatat(b->root, "d/y", &st, 0), -1);
	assert_int_equal(fstatat(b->root, "f/two", &st, 0), 0);
	assert_int_equal(fstatat(b->root, "f/three", &st, 0), 0);
}

static void hard_links_never_lead_out(void **state)
{
	struct bed *b = *state;
	struct archive_entry *link = entry("h", AE_IFREG, 0644, 0);
	struct err e = { 0 };
	struct stat st;

	begin(b, false);
	archive_entry_set_hardlink(link, "/etc/passwd");
	put(b, link, NULL, 0);
	assert_int_equal(unpack(b, 1000, 100, &e), -1);
	assert_int_equal(e.code, ERR_INVALID);
	assert_int_equal(fstatat(b->root, "h", &st, AT_SYMLINK_NOFOLLOW), -1);
}

static void devices_and_rights_are_dropped(void **state)
{
	struct bed *b = *state;
	struct archive_entry *disk = entry("sda", AE_IFBLK, 0666, 0),
			     *caps = entry("caps", AE_IFREG, 0755, 1);
	struct err e = { 0 };
	struct stat st;
	char value[64], path[120];

	begin(b, false);
	archive_entry_set_rdevmajor(disk, 8);
	put(b, disk, NULL, 0);
	put(b, entry("pipe", AE_IFIFO, 0666, 0), NULL, 0);
	put(b, entry("su", AE_IFREG, 06755, 1), "x", 1);
	archive_entry_xattr_add_entry(caps, "security.capability", "\1\0\0\2", 4);
	archive_entry_xattr_add_entry(caps, "user.note", "x", 1);
	put(b, caps, "x", 1);
	assert_int_equal(unpack(b, 1000, 100, &e), 0);
	assert_int_equal(fstatat(b->root, "sda", &st, 0), -1);
	assert_int_equal(fstatat(b->root, "pipe", &st, 0), -1);
	assert_int_equal(fstatat(b->root, "su", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
	assert_int_equal(st.st_uid, geteuid());
	snprintf(path, sizeof(path), "%s/root/caps", b->path);
	assert_int_equal(lgetxattr(path, "security.capability", value, sizeof(value)), -1);
	assert_int_equal(lgetxattr(path, "user.note", value, sizeof(value)), -1);
}

// 64 MiB of zeros in 64 KiB: given up as soon as the limit is passed.
static void a_bomb_is_given_up_at_the_limit(void **state)
{
	static const char zeros[1 << 20];
	struct bed *b = *state;
	struct archive_entry *big;
	int64_t start;
	struct err e = { 0 };

	begin(b, true);
	big = entry("z", AE_IFREG, 0644, (size_t)64 << 20);
	assert_int_equal(archive_write_header(b->a, big), ARCHIVE_OK);
	archive_entry_free(big);
	for (int i = 0; i < 64; i++)
		assert_int_equal(archive_write_data(b->a, zeros, sizeof(zeros)), sizeof(zeros));
	start = clock_mono_ns();
	assert_int_equal(unpack(b, 1 << 20, 100, &e), -1);
	assert_int_equal(e.code, ERR_LIMIT);
	assert_true(clock_mono_ns() - start < 2 * NS_PER_S);
}

// A file that says it is huge and has nothing in it must not pass the limit either.
static void holes_count_as_bytes(void **state)
{
	struct bed *b = *state;
	struct archive_entry *hole = entry("hole", AE_IFREG, 0644, (size_t)1 << 40);
	struct err e = { 0 };

	begin(b, false);
	archive_entry_sparse_add_entry(hole, 0, 1);
	archive_entry_sparse_add_entry(hole, ((la_int64_t)1 << 40) - 1, 1);
	assert_int_equal(archive_write_header(b->a, hole), ARCHIVE_OK);
	archive_write_data(b->a, "x", 1);
	archive_entry_free(hole);
	assert_int_equal(unpack(b, 1 << 20, 100, &e), -1);
}

static void many_entries_stop_at_the_limit(void **state)
{
	struct bed *b = *state;
	struct err e = { 0 };
	char name[32];

	begin(b, true);
	for (int i = 0; i < 50000; i++) {
		snprintf(name, sizeof(name), "%d", i);
		put(b, entry(name, AE_IFREG, 0644, 0), NULL, 0);
	}
	assert_int_equal(unpack(b, 1 << 20, 10000, &e), -1);
	assert_int_equal(e.code, ERR_LIMIT);
}

static void long_names_work_up_to_the_limit(void **state)
{
	struct bed *b = *state;
	char part[256], path[5000] = "";
	struct err e = { 0 };
	struct stat st;
	size_t n = 0;

	memset(part, 'n', 250);
	part[250] = '\0';
	for (int i = 0; i < 8; i++)
		n += (size_t)snprintf(path + n, sizeof(path) - n, "%s/", part);
	snprintf(path + n, sizeof(path) - n, "file");
	begin(b, false);
	put(b, entry(path, AE_IFREG, 0644, 1), "x", 1);
	assert_int_equal(unpack(b, 1000, 100, &e), 0);
	assert_int_equal(fstatat(b->root, path, &st, 0), 0);
}

// A disk of its own, of 64 KiB.
static void a_disk_that_fills_up_is_said(void **state)
{
	static const char bytes[256 << 10] = "x";
	struct bed *b = *state;
	char inside[80];
	struct err e = { 0 };

	snprintf(inside, sizeof(inside), "%s/root", b->path);
	if (mount("tmpfs", inside, "tmpfs", 0, "size=64k") < 0)
		skip(); // only root may
	close(b->root);
	b->root = open(inside, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	begin(b, false);
	put(b, entry("f", AE_IFREG, 0644, sizeof(bytes)), bytes, sizeof(bytes));
	int got = unpack(b, 1 << 20, 100, &e);

	close(b->root);
	assert_int_equal(umount2(inside, MNT_DETACH), 0);
	b->root = open(inside, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(got, -1);
	assert_int_equal(e.code, ERR_FULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(names_that_climb_are_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(a_path_that_changes_between_files_is_followed_anew,
						setup, teardown),
		cmocka_unit_test_setup_teardown(links_never_lead_out, setup, teardown),
		cmocka_unit_test_setup_teardown(hard_links_never_lead_out, setup, teardown),
		cmocka_unit_test_setup_teardown(devices_and_rights_are_dropped, setup, teardown),
		cmocka_unit_test_setup_teardown(a_bomb_is_given_up_at_the_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(holes_count_as_bytes, setup, teardown),
		cmocka_unit_test_setup_teardown(many_entries_stop_at_the_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(long_names_work_up_to_the_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(a_disk_that_fills_up_is_said, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
