// SPDX-License-Identifier: Apache-2.0
#include "runner/output.h"

#include "base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

static bool full(const struct output_size *o, uint64_t enough)
{
	return o->bytes > enough || o->entries >= OUTPUT_ENTRIES_MAX || o->too_deep;
}

static void measure(int at, const char *name, unsigned depth, uint64_t enough,
		    struct output_size *o)
{
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *d;

	if (!list) {
		file_close(fd);
		return;
	}
	while (!full(o, enough) && (d = readdir(list))) {
		struct stat st;
		uint64_t blocks;

		if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0 ||
		    fstatat(dirfd(list), d->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		o->entries++;
		o->bytes += OUTPUT_ENTRY_BYTES;
		blocks = (uint64_t)st.st_blocks * 512;
		if (S_ISREG(st.st_mode))
			o->bytes += (uint64_t)st.st_size > blocks ? (uint64_t)st.st_size : blocks;
		if (!S_ISDIR(st.st_mode))
			continue;
		o->bytes += blocks;
		if (depth == OUTPUT_DEPTH_MAX)
			o->too_deep = true;
		else
			measure(dirfd(list), d->d_name, depth + 1, enough, o);
	}
	closedir(list);
}

void output_measure(int dir, uint64_t enough, struct output_size *out)
{
	*out = (struct output_size){ 0 };
	measure(dir, ".", 0, enough, out);
}
