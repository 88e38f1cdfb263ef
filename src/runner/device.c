// SPDX-License-Identifier: Apache-2.0
#include "runner/device.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "codec/soname.h"
#include "runner/dev.h"
#include "runner/sys.h"
#include "runner/world.h"

#include <stdio.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>

#define LOCKS "run/devices"

enum { LOCK_MS = 5000, LOCK_AGAIN_MS = 5 };

// ---- whose it is ---------------------------------------------------------------------------------------

// The sandbox before this one may still be leaving.
static int lock(int fd, const char *name, struct err *e)
{
	const struct timespec pause = { 0, LOCK_AGAIN_MS * NS_PER_MS };
	const int64_t by = clock_mono_ns() + LOCK_MS * NS_PER_MS;

	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return err_sys(e, ERR_IO, errno, "lock the device %s", name);
		if (clock_mono_ns() > by)
			return err_set(e, ERR_BUSY, "the device %s is another job's", name);
		nanosleep(&pause, NULL);
	}
	return 0;
}

static int hold(const struct world *w, const char *name, struct err *e)
{
	auto_free char *path = mem_printf(LOCKS "/%s", name);
	auto_fd int fd = -1;

	*strchr(path + sizeof(LOCKS), '/') = '%'; // of the kind
	// It is the daemon's as all of its data is, so that it can be removed with that.
	if (mkdirat(w->data, LOCKS, 0755) < 0
		    ? errno != EEXIST
		    : fchownat(w->data, LOCKS, w->owner, w->group, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(e, ERR_IO, errno, "make " LOCKS);
	fd = sys_open_beneath(w->data, path, O_RDONLY | O_CREAT, 0600);
	if (fd < 0)
		return err_sys(e, ERR_IO, errno, "open the lock of the device %s", name);
	if (lock(fd, name, e) < 0)
		return -1;
	(void)file_take(&fd); // as long as the process lives
	return 0;
}

// ---- nodes ---------------------------------------------------------------------------------------------

static int check_node(const struct cdi_node *n, const struct stat *st, struct err *e)
{
	const bool block = S_ISBLK(st->st_mode);

	if (!block && !S_ISCHR(st->st_mode))
		return err_set(e, ERR_UNSUPPORTED, "%s is no device", n->host_path);
	if ((n->type && (n->type == 'b') != block) ||
	    (n->major >= 0 && n->major != major(st->st_rdev)) ||
	    (n->minor >= 0 && n->minor != minor(st->st_rdev)))
		return err_set(e, ERR_UNSUPPORTED,
			       "%s is device %u:%u, which is not what its specification says: "
			       "write that anew",
			       n->host_path, major(st->st_rdev), minor(st->st_rdev));
	return 0;
}

static int open_node(const struct world *w, const struct cdi_node *n, struct device_node *out,
		     struct err *e)
{
	auto_fd int fd = open(n->host_path, O_PATH | O_CLOEXEC);
	struct mount_attr a = { .attr_set = MOUNT_ATTR_NOSUID };
	auto_fd int tree = -1;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, ERR_UNSUPPORTED, errno, "the device node %s", n->host_path);
	if (check_node(n, &st, e) < 0)
		return -1;
	*out = (struct device_node){ .name = n->path + sizeof("/dev/") - 1,
				     .mode = (st.st_mode & S_IFMT) | (n->read ? 0400 : 0) |
					     (n->write ? 0200 : 0),
				     .number = st.st_rdev,
				     .tree = -1 };
	if (!w->rootless)
		return 0;
	tree = open_tree(fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
	if (tree < 0 || mount_setattr(tree, "", AT_EMPTY_PATH, &a, sizeof(a)) < 0)
		return err_sys(e, ERR_UNSUPPORTED, errno, "take the device node %s", n->host_path);
	out->tree = file_take(&tree);
	return 0;
}

static int add_nodes(struct devices *d, const struct world *w, const struct cdi_edits *x,
		     struct err *e)
{
	for (size_t i = 0; i < x->node_count; i++) {
		const char *name = x->nodes[i].path + sizeof("/dev/") - 1;
		bool had = false;

		for (size_t k = 0; k < d->node_count; k++)
			had = had || strcmp(d->nodes[k].name, name) == 0;
		if (had)
			continue;
		if (d->node_count == DEVICE_NODES_MAX)
			return err_set(e, ERR_LIMIT, "its devices have more than %d nodes",
				       DEVICE_NODES_MAX);
		if (open_node(w, &x->nodes[i], &d->nodes[d->node_count], e) < 0)
			return -1;
		d->node_count++;
	}
	return 0;
}

// ---- mounts and links ----------------------------------------------------------------------------------

static bool has_place(const struct devices *d, const char *path)
{
	for (size_t i = 0; i < d->place_count; i++)
		if (strcmp(d->places[i].path, path) == 0)
			return true;
	return false;
}

static int add_place(struct devices *d, const struct layer_entry *x, struct err *e)
{
	if (d->place_count == LAYER_ENTRIES_MAX)
		return err_set(e, ERR_LIMIT, "its devices have more than %d mounts and links",
			       LAYER_ENTRIES_MAX);
	d->places[d->place_count++] = *x;
	return 0;
}

static int add_mount(struct devices *d, const struct cdi_mount *m, struct err *e)
{
	const unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE;
	struct mount_attr a = { .attr_set =
					MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV };
	auto_fd int tree = -1;
	struct stat st;

	if (has_place(d, m->path))
		return 0;
	if (m->noexec)
		a.attr_set |= MOUNT_ATTR_NOEXEC;
	tree = open_tree(AT_FDCWD, m->host_path, flags);
	if (tree < 0 || fstat(tree, &st) < 0 ||
	    mount_setattr(tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &a, sizeof(a)) < 0)
		return err_sys(e, ERR_UNSUPPORTED, errno, "%s, which its devices need",
			       m->host_path);
	if (add_place(d,
		      &(struct layer_entry){
			      .path = m->path, .tree = tree, .folder = S_ISDIR(st.st_mode) },
		      e) < 0)
		return -1;
	(void)file_take(&tree);
	return 0;
}

static bool in_folder(const struct cdi_edits *x, const char *path)
{
	const char *slash = strrchr(path, '/');

	for (size_t i = 0; i < x->folder_count; i++)
		if (span_is(span_make(path, (size_t)(slash - path)), x->folders[i]))
			return true;
	return false;
}

// As ldconfig does it: programs look for a library by the name that it has in itself.
static int add_soname(struct devices *d, const struct cdi_mount *m, struct err *e)
{
	auto_fd int fd = open(m->host_path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	const char *slash = strrchr(m->path, '/');
	char name[SONAME_MAX];
	const char *path;

	if (fd < 0 || !soname_read(fd, name) || strcmp(name, slash + 1) == 0)
		return 0;
	path = arena_printf(&d->mem, "%.*s/%s", (int)(slash - m->path), m->path, name);
	return has_place(d, path)
		       ? 0
		       : add_place(d,
				   &(struct layer_entry){
					   .path = path, .target = slash + 1, .tree = -1 },
				   e);
}

static int add_places(struct devices *d, const struct cdi_edits *x, struct err *e)
{
	for (size_t i = 0; i < x->mount_count; i++)
		if (add_mount(d, &x->mounts[i], e) < 0)
			return -1;
	for (size_t i = 0; i < x->link_count; i++)
		if (!has_place(d, x->links[i].path) &&
		    add_place(d,
			      &(struct layer_entry){ .path = x->links[i].path,
						     .target = x->links[i].target,
						     .tree = -1 },
			      e) < 0)
			return -1;
	return 0;
}

// After all mounts and links, which come first. What one specification mounts may lie in a folder that another names.
static int add_sonames(struct devices *d, const struct cdi_edits *const *edits, size_t n,
		       struct err *e)
{
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < edits[i]->mount_count; k++)
			for (size_t j = 0; j < n; j++) {
				const struct cdi_mount *m = &edits[i]->mounts[k];

				if (in_folder(edits[j], m->path) && add_soname(d, m, e) < 0)
					return -1;
			}
	return 0;
}

// ---- all of it -----------------------------------------------------------------------------------------

// The highest number that runtimes take and the script does not have, nor another of them.
static uint32_t free_number(const struct devices *d, const struct proto_start *m)
{
	uint32_t n = INT32_MAX;
	bool free = false;

	for (; !free; n--) {
		free = n != m->gid;
		for (uint32_t i = 0; i < m->group_count; i++)
			free = free && m->groups[i] != n;
		for (unsigned i = 0; i < d->group_count; i++)
			free = free && d->inside[i] != n;
	}
	return n + 1;
}

static int add_groups(struct devices *d, const struct proto_start *m, const struct cdi_edits *x,
		      struct err *e)
{
	for (size_t i = 0; i < x->group_count; i++) {
		bool had = false;

		for (unsigned k = 0; k < d->group_count; k++)
			had = had || d->groups[k] == x->groups[i];
		if (had)
			continue;
		if (d->group_count == DEVICE_GROUPS_MAX)
			return err_set(e, ERR_LIMIT, "its devices have more than %d groups",
				       DEVICE_GROUPS_MAX);
		d->inside[d->group_count] = free_number(d, m);
		d->groups[d->group_count++] = x->groups[i];
	}
	return 0;
}

struct warning {
	char text[160]; // the first
};

static void keep_warning(void *owner, const char *text)
{
	struct warning *w = owner;

	if (!w->text[0])
		snprintf(w->text, sizeof(w->text), "%s", text);
}

// Without rights of its own a runner may believe any file that it can read.
static int find_all(struct devices *d, const struct world *w, const struct proto_start *m,
		    const struct cdi_entry **out, struct err *e)
{
	struct warning warning = { "" };
	const struct cdi_from from = { w->cdi, w->cdi_count, !w->rootless, keep_warning, &warning };
	struct cdi_set set;

	cdi_read(&d->mem, &from, &set);
	for (uint32_t i = 0; i < m->device_count; i++) {
		out[i] = cdi_find(&set, proto_devices(m)[i].name);
		if (!out[i])
			return err_set(e, ERR_NOT_FOUND, "the runner knows no device %.60s%s%s%s",
				       proto_devices(m)[i].name, warning.text[0] ? " (" : "",
				       warning.text, warning.text[0] ? ")" : "");
	}
	return 0;
}

int devices_open(struct devices *d, const struct world *w, const struct proto_start *m,
		 struct err *e)
{
	const struct cdi_entry *found[PROTO_DEVICES_MAX];
	const struct cdi_edits *edits[2 * PROTO_DEVICES_MAX];
	size_t n;

	if (!m->device_count)
		return 0;
	if (find_all(d, w, m, found, e) < 0)
		return -1;
	for (uint32_t i = 0; i < m->device_count; i++)
		if (hold(w, found[i]->name, e) < 0)
			return -1;
	d->nodes = arena_alloc(&d->mem, DEVICE_NODES_MAX * sizeof(*d->nodes));
	d->places = arena_alloc(&d->mem, LAYER_ENTRIES_MAX * sizeof(*d->places));
	n = cdi_edits_of(found, m->device_count, edits);
	for (size_t i = 0; i < n; i++)
		if (add_nodes(d, w, edits[i], e) < 0 || add_places(d, edits[i], e) < 0 ||
		    (!w->rootless && add_groups(d, m, edits[i], e) < 0))
			return -1;
	if (add_sonames(d, edits, n, e) < 0)
		return -1;
	return w->rootless ? 0 : dev_make(d, w, e);
}

void devices_release(struct devices *d)
{
	for (size_t i = 0; i < d->node_count; i++)
		file_close(d->nodes[i].tree);
	for (size_t i = 0; i < d->place_count; i++)
		file_close(d->places[i].tree);
	if (d->dev > 0)
		close(d->dev);
	arena_release(&d->mem);
	*d = (struct devices){ 0 };
}
