// fuzz_layer: tar archives from strangers, over a tree that has files, folders and links out of it. Whatever they hold,
// nothing outside of the tree may change, and nothing in it may be more than a file, folder or link of ours.
// SPDX-License-Identifier: Apache-2.0
#include "base/file.h"
#include "image/unpack.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int check_one(const char *path unused_arg, const struct stat *st, int kind unused_arg,
		     struct FTW *at unused_arg)
{
	check(S_ISREG(st->st_mode) || S_ISDIR(st->st_mode) || S_ISLNK(st->st_mode));
	check(!(st->st_mode & (S_ISUID | S_ISGID)));
	return 0;
}

static int no_sync(int fd unused_arg)
{
	return 0;
}

static void put(int dir, const char *name, const char *text)
{
	struct err e = { 0 };

	check(file_replace(dir, name, 0644, text, strlen(text), &e) == 0);
}

static int make_bed(int bed)
{
	int root;

	check(mkdirat(bed, "root", 0755) == 0 && mkdirat(bed, "root/dir", 0755) == 0);
	put(bed, "outside", "kept");
	root = openat(bed, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	check(root >= 0);
	put(root, "dir/file", "lower");
	check(symlinkat("../outside", root, "out") == 0 && symlinkat("..", root, "up") == 0);
	return root;
}

static void check_bed(int bed, const char *path)
{
	auto_buf struct buf text;
	struct err e = { 0 };
	auto_fd int again = openat(bed, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = fdopendir(file_take(&again));
	int n = 0;

	buf_init(&text, 100);
	check(file_read_path(bed, "outside", &text, &e) == 0 && span_is(buf_span(&text), "kept"));
	while (readdir(list))
		n++;
	closedir(list);
	check(n == 4); // ".", "..", "outside", "root"
	check(nftw(path, check_one, 16, FTW_PHYS) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct unpack_limits limits = { .size_max = 1 << 20, .entries_max = 200 };
	struct unpack_total total = { 0 };
	// In memory where that can be had: some thousand trees a minute are made and removed.
	char path[] = "/dev/shm/oscar-fuzz-XXXXXX", digest[65];
	struct err e = { 0 };
	auto_fd int bed = -1, root = -1, fd = memfd_create("layer", MFD_CLOEXEC);

	if (access("/dev/shm", W_OK) < 0)
		snprintf(path, sizeof(path), "/tmp/oscar-fuzz-XXXXXX");
	file_ops.fsync = no_sync;
	check(fd >= 0 && mkdtemp(path));
	bed = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	root = make_bed(bed);
	check(file_write_all(fd, data, size, &e) == 0 && lseek(fd, 0, SEEK_SET) == 0);
	if (unpack_layer(fd, root, false, &limits, &total, digest, &e) == 0)
		check(total.entries <= limits.entries_max && total.size <= limits.size_max);
	check_bed(bed, path);
	check(file_remove_tree(AT_FDCWD, path, &e) == 0);
	return 0;
}
