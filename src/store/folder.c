// SPDX-License-Identifier: Apache-2.0
// folder: the names in a folder, in the order of their keys.
#include "store/folder.h"

#include "base/file.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { FOLDER_MAX = 1000000 }; // names in one folder

static int by_bytes(const void *a, const void *b)
{
	return strcmp(((const struct folder_name *)a)->text, ((const struct folder_name *)b)->text);
}

void folder_names_free(struct folder_name *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		mem_free(names[i].text);
	mem_free(names);
}

static bool is_folder(int dir, const struct dirent *d)
{
	struct stat st;

	if (d->d_type != DT_UNKNOWN)
		return d->d_type == DT_DIR;
	return fstatat(dir, d->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

int folder_names_read(int fd, size_t prefix, struct folder_name **out, size_t *count,
		      uint64_t *skipped, struct err *e)
{
	int again = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	DIR *d = again < 0 ? NULL : fdopendir(again);
	size_t cap = 0, n = 0;
	struct folder_name *names = NULL;
	struct dirent *x;

	if (!d) {
		file_close(again);
		return err_sys(e, ERR_IO, errno, "read a folder");
	}
	for (errno = 0; n < FOLDER_MAX && (x = readdir(d)); errno = 0) {
		size_t len = strlen(x->d_name);

		if (strcmp(x->d_name, ".") == 0 || strcmp(x->d_name, "..") == 0)
			continue;
		if (prefix + len > STORE_KEY_MAX || !span_is_utf8(span_make(x->d_name, len))) {
			++*skipped;
			continue;
		}
		if (n == cap) {
			cap = cap ? cap * 2 : 64;
			names = mem_realloc(names, cap, sizeof(*names));
		}
		names[n].folder = is_folder(fd, x);
		names[n].text = mem_printf("%s%s", x->d_name, names[n].folder ? "/" : "");
		n++;
	}
	if (errno || n == FOLDER_MAX) {
		folder_names_free(names, n);
		err_sys(e, ERR_IO, errno ? errno : EFBIG, "read a folder");
		closedir(d);
		return -1;
	}
	closedir(d);
	if (n)
		qsort(names, n, sizeof(*names), by_bytes);
	*out = names;
	*count = n;
	return 0;
}
