// SPDX-License-Identifier: Apache-2.0
#include "runner/layer.h"

#include "base/arena.h"
#include "base/file.h"
#include "runner/sys.h"

#include <limits.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>

#define LAYERS "/layers" // in the template

int layer_parent(int dir, const char *path, const char **name, struct err *e)
{
	auto_fd int at = openat(dir, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	const char *slash;

	for (; at >= 0 && (slash = strchr(path, '/')); path = slash + 1) {
		char part[NAME_MAX + 1];
		int next;

		snprintf(part, sizeof(part), "%.*s", (int)(slash - path), path);
		if (mkdirat(at, part, 0755) < 0 && errno != EEXIST)
			return err_sys(e, ERR_IO, errno, "make the folder %s", part);
		next = openat(at, part, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		close(at);
		at = next;
	}
	if (at < 0)
		return err_sys(e, ERR_IO, errno, "open the folder of %s", path);
	*name = path;
	return file_take(&at);
}

// ---- what is missing -----------------------------------------------------------------------------------

// The path of an open folder below the root; "" is the root.
static const char *path_below(struct arena *mem, int root, int dir)
{
	char link[40], top[PATH_MAX], path[PATH_MAX];
	ssize_t a, b;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", root);
	a = readlink(link, top, sizeof(top));
	snprintf(link, sizeof(link), "/proc/self/fd/%d", dir);
	b = readlink(link, path, sizeof(path));
	if (a < 1 || b < a || b == (ssize_t)sizeof(path) || memcmp(top, path, (size_t)a) != 0 ||
	    (b > a && path[a] != '/'))
		return NULL;
	return arena_strndup(mem, path + a, (size_t)(b - a));
}

// The deepest folder on the way that is there, whatever links lead to it.
static int find_base(struct arena *mem, int root, struct layer_entry *x, struct err *e)
{
	char *way = arena_strdup(mem, x->path);

	for (;;) {
		char *slash = strrchr(way, '/');
		auto_fd int dir = -1;
		struct err why = { 0 };

		*slash = '\0';
		dir = file_open_in_root(root, way, O_PATH | O_DIRECTORY, &why);
		if (dir < 0 && *way)
			continue;
		x->base = dir < 0 ? NULL : path_below(mem, root, dir);
		x->rest = x->path + (slash - way) + 1;
		return x->base ? 0 : err_set(e, ERR_IO, "%s: no place for it is found", x->path);
	}
}

static bool is_link_to(int root, const struct layer_entry *x)
{
	struct err unused = { 0 };
	char target[PATH_MAX];
	auto_fd int fd = file_open_in_root(root, x->path, O_PATH | O_NOFOLLOW, &unused);
	ssize_t n = fd < 0 ? -1 : readlinkat(fd, "", target, sizeof(target));

	return n > 0 && span_eq(span_make(target, (size_t)n), span_of(x->target));
}

// Leaves base NULL where nothing is missing.
static int look(struct arena *mem, int root, struct layer_entry *x, struct err *e)
{
	struct err unused = { 0 };
	auto_fd int fd = -1;
	struct stat st;

	x->base = x->rest = NULL;
	if (x->target)
		return is_link_to(root, x) ? 0 : find_base(mem, root, x, e);
	fd = file_open_in_root(root, x->path, O_PATH, &unused);
	if (fd < 0)
		return find_base(mem, root, x, e);
	if (fstat(fd, &st) < 0 || S_ISDIR(st.st_mode) != x->folder)
		return err_set(e, ERR_UNSUPPORTED, "%s: there is a %s where a %s would be mounted",
			       x->path, x->folder ? "file" : "folder",
			       x->folder ? "folder" : "file");
	return 0;
}

// Where one base lies below another, all is made at the upper one: no overlay covers another.
static const char *top_of(const struct layer_entry *entries, size_t n, const char *base)
{
	const char *best = base;

	for (size_t i = 0; i < n; i++) {
		const char *b = entries[i].base;

		if (b && strlen(b) < strlen(best) && span_path_overlap(span_of(b), span_of(best)))
			best = b;
	}
	return best;
}

// ---- the layers ----------------------------------------------------------------------------------------

static int make_entry(int layer, const struct layer_entry *x, const char *path, struct err *e)
{
	const char *name;
	auto_fd int dir = layer_parent(layer, path, &name, e);
	int bad;

	if (dir < 0)
		return err_wrap(e, "%s", x->path);
	if (x->target)
		bad = symlinkat(x->target, dir, name);
	else if (x->folder)
		bad = mkdirat(dir, name, 0755);
	else
		bad = mknodat(dir, name, S_IFREG | 0644, 0);
	return bad < 0 && (errno != EEXIST || !(x->folder || x->target))
		       ? err_sys(e, ERR_IO, errno, "make %s", x->path)
		       : 0;
}

static int fill(struct arena *mem, int layer, const struct layer_entry *entries, size_t n,
		const char *base, struct err *e)
{
	for (size_t i = 0; i < n; i++) {
		const struct layer_entry *x = &entries[i];
		const char *below;

		if (!x->base || strcmp(top_of(entries, n, x->base), base) != 0)
			continue;
		below = x->base + strlen(base);
		below += *below == '/';
		if (make_entry(layer, x,
			       *below ? arena_printf(mem, "%s/%s", below, x->rest) : x->rest,
			       e) < 0)
			return -1;
	}
	return 0;
}

// Over the folder `base` of the root.
static int cover(int root, const char *layer, const char *base, struct err *e)
{
	auto_fd int dir = file_open_in_root(root, base, O_PATH | O_DIRECTORY, e);
	char options[64];

	snprintf(options, sizeof(options), "lowerdir=%s:.", layer);
	if (dir < 0)
		return -1;
	if (fchdir(dir) < 0 ||
	    mount("overlay", ".", "overlay", MS_RDONLY | MS_NOSUID | MS_NODEV, options) < 0)
		return err_sys(e, ERR_UNSUPPORTED, errno,
			       "make places in %s: an overlay cannot be mounted there",
			       *base ? base : "/");
	return 0;
}

static int make_layers(struct arena *mem, int root, const struct layer_entry *entries, size_t n,
		       bool whole, struct err *e)
{
	unsigned count = 0;
	bool mounted = false;

	for (size_t i = 0; i < n; i++) {
		const struct layer_entry *x = &entries[i];
		char layer[32];
		auto_fd int fd = -1;
		bool done = false;

		if (!x->base || strcmp(top_of(entries, n, x->base), x->base) != 0)
			continue;
		for (size_t k = 0; k < i; k++)
			done = done || (entries[k].base && strcmp(entries[k].base, x->base) == 0);
		if (done)
			continue;
		if (!*x->base && !whole)
			return err_set(e, ERR_UNSUPPORTED, "%s: this image has no place for it",
				       x->path);
		if (!mounted && mount("tmpfs", LAYERS, "tmpfs", MS_NOSUID | MS_NODEV,
				      "mode=755,size=4m,nr_inodes=16384") < 0)
			return err_sys(e, ERR_IO, errno, "mount " LAYERS);
		mounted = true;
		snprintf(layer, sizeof(layer), LAYERS "/%u", count++);
		if (mkdir(layer, 0755) < 0)
			return err_sys(e, ERR_IO, errno, "make %s", layer);
		fd = file_open(AT_FDCWD, layer, O_PATH | O_DIRECTORY, 0, e);
		if (fd < 0 || fill(mem, fd, entries, n, x->base, e) < 0 ||
		    cover(root, layer, x->base, e) < 0)
			return -1;
	}
	return 0;
}

static int attach_trees(const struct layer_entry *entries, size_t n, struct err *e)
{
	auto_fd int root = file_open(AT_FDCWD, ".", O_PATH | O_DIRECTORY, 0, e);

	if (root < 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		auto_fd int fd = -1;

		if (entries[i].target)
			continue;
		fd = file_open_in_root(root, entries[i].path, O_PATH, e);
		if (fd < 0)
			return err_wrap(e, "find %s", entries[i].path);
		if (move_mount(entries[i].tree, "", fd, "",
			       MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
			return err_sys(e, ERR_IO, errno, "mount %s", entries[i].path);
	}
	return 0;
}

int layer_attach(struct layer_entry *entries, size_t n, bool whole, struct err *e)
{
	auto_arena struct arena mem = { 0 };
	char top[PATH_MAX];

	if (!n)
		return 0;
	if (!getcwd(top, sizeof(top)))
		return err_sys(e, ERR_IO, errno, "find the root");
	{
		auto_fd int root = file_open(AT_FDCWD, ".", O_PATH | O_DIRECTORY, 0, e);

		if (root < 0)
			return -1;
		for (size_t i = 0; i < n; i++)
			if (look(&mem, root, &entries[i], e) < 0)
				return -1;
		if (make_layers(&mem, root, entries, n, whole, e) < 0)
			return -1;
	}
	if (chdir(top) < 0) // where an overlay may lie now
		return err_sys(e, ERR_IO, errno, "enter the root");
	return attach_trees(entries, n, e);
}
