// SPDX-License-Identifier: Apache-2.0
#include "image/whiteout.h"

#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEPT_BYTES_MAX (UINT64_C(256) << 20)
enum { DEPTH_MAX = 500, NAME_BYTES_MAX = 255 };

struct key {
	uint64_t folder;
	char name[NAME_BYTES_MAX + 1];
};

// A folder may be reached by several paths (links), so its inode stands for it.
static int make_key(int dir, const char *name, struct key *k, struct span *out, struct err *e)
{
	size_t n = strlen(name);
	struct stat st;

	if (n > NAME_BYTES_MAX)
		return err_set(e, ERR_INVALID, "a name is too long");
	if (fstat(dir, &st) < 0)
		return err_sys(e, ERR_IO, errno, "stat");
	k->folder = st.st_ino;
	memcpy(k->name, name, n);
	*out = span_make(k, offsetof(struct key, name) + n);
	return 0;
}

int whiteout_keep(struct whiteout *w, int dir, const char *name, struct err *e)
{
	struct span text;
	struct key k;

	if (make_key(dir, name, &k, &text, e) < 0)
		return -1;
	w->bytes += text.n;
	if (w->bytes > KEPT_BYTES_MAX)
		return err_set(e, ERR_LIMIT, "a layer holds too many files");
	map_put(&w->made, text, w);
	return 0;
}

void whiteout_release(struct whiteout *w)
{
	map_release(&w->made);
}

static int prune(struct whiteout *w, int dir, unsigned depth, struct err *e);

// Removes a thing of the lower layers; of a folder, everything in it that is theirs, and the folder itself when it
// is theirs and nothing of this layer is left in it.
static int prune_one(struct whiteout *w, int dir, const char *name, unsigned depth, struct err *e)
{
	struct span text;
	struct stat st;
	struct key k;
	bool ours;

	if (make_key(dir, name, &k, &text, e) < 0)
		return -1;
	ours = map_get(&w->made, text) != NULL;
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : err_sys(e, ERR_IO, errno, "%s", name);
	if (S_ISDIR(st.st_mode)) {
		auto_fd int inside =
			file_open(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, e);

		if (inside < 0 || prune(w, inside, depth + 1, e) < 0)
			return -1;
	}
	if (ours || unlinkat(dir, name, S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0) == 0)
		return 0;
	return errno == ENOTEMPTY ? 0 : err_sys(e, ERR_IO, errno, "remove %s", name);
}

static int prune(struct whiteout *w, int dir, unsigned depth, struct err *e)
{
	int fd, bad = 0;
	struct dirent *d;
	DIR *list;

	if (depth > DEPTH_MAX)
		return err_set(e, ERR_INVALID, "the image's folders are over %d deep", DEPTH_MAX);
	fd = file_open(dir, ".", O_RDONLY | O_DIRECTORY, 0, e);
	if (fd < 0)
		return -1;
	list = fdopendir(fd);
	if (!list) {
		file_close(fd);
		return err_sys(e, ERR_IO, errno, "folder");
	}
	while (!bad && (d = readdir(list)))
		if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
			bad = prune_one(w, dir, d->d_name, depth, e);
	closedir(list);
	return bad;
}

int whiteout_apply(struct whiteout *w, int dir, const char *mark, struct err *e)
{
	const char *name = mark + 4; // after ".wh."

	if (strcmp(name, ".wh..opq") == 0)
		return prune(w, dir, 0, e);
	if (strncmp(name, ".wh.", 4) == 0)
		return 0; // aufs' own book-keeping
	if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return err_set(e, ERR_INVALID, "a layer removes nothing: %s", mark);
	return prune_one(w, dir, name, 0, e);
}
