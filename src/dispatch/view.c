// SPDX-License-Identifier: Apache-2.0
#include "dispatch/view.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "dispatch/inputs.h"
#include "dispatch/job.h"
#include "fdl/event.h"
#include "fdl/fdl.h"
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

struct view {
	struct dispatch *d;
	const struct fdl_io *mount;
	int dir;
	unsigned objects;
	uint64_t copied;
	char *folder; // whose way was made last
};

static const char *const prefixes[VIEW_KINDS] = { "view-", "group-" };

char *view_name(const struct job *j, enum view_kind kind, char out[static VIEW_NAME_MAX])
{
	snprintf(out, VIEW_NAME_MAX, "%s%lld.%u", prefixes[kind], (long long)j->row.id,
		 j->row.attempt);
	return out;
}

bool view_name_is(struct span name, struct span *rest)
{
	for (size_t i = 0; i < VIEW_KINDS; i++)
		if (span_starts(name, span_of(prefixes[i]))) {
			*rest = span_from(name, strlen(prefixes[i]));
			return true;
		}
	return false;
}

// The folders that lead to a name. What is below `dir` was made here, so that its names can be trusted.
static int make_way(struct view *v, char *name, struct err *e)
{
	char *end = strrchr(name, '/');

	if (!end || (v->folder && (size_t)(end - name) == strlen(v->folder) &&
		     strncmp(v->folder, name, (size_t)(end - name)) == 0))
		return 0;
	for (char *p = strchr(name, '/'); p; p = strchr(p + 1, '/')) {
		int bad;

		*p = '\0';
		bad = mkdirat(v->dir, name, 0755) < 0 && errno != EEXIST;
		*p = '/';
		if (bad)
			return err_sys(e, ERR_IO, errno, "%s", name);
	}
	mem_free(v->folder);
	v->folder = mem_strndup(name, (size_t)(end - name));
	return 0;
}

// An object called "a" beside one called "a/b" cannot both be shown.
static int not_both(struct err *e, const char *name)
{
	if (e->sys == ENOTDIR || e->sys == EISDIR || e->sys == EEXIST)
		return err_set(e, ERR_INVALID, "%s is the name of an object and of a folder", name);
	return -1;
}

static int copy(struct view *v, struct store_reader *r, uint64_t size, const char *name,
		struct err *e)
{
	auto_fd int fd = -1;

	v->copied += size;
	if (v->copied > v->d->o.view_copy_max)
		return err_set(e, ERR_LIMIT,
			       "more than %llu MiB of it cannot be linked and would be copied",
			       (unsigned long long)(v->d->o.view_copy_max >> 20));
	fd = file_open(v->dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0644, e);
	return fd < 0 ? -1 : store_reader_save(r, fd, e);
}

// 1 = linked, 0 = must be copied.
static int try_link(struct view *v, struct store_reader *r, const char *name, struct err *e)
{
	auto_fd int fd = -1;
	int64_t mtime;
	char path[40];

	if (!store_reader_whole(r, &fd, &mtime))
		return 0;
	if (store_reader_verify(r, e) < 0)
		return -1;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (linkat(AT_FDCWD, path, v->dir, name, AT_SYMLINK_FOLLOW) == 0)
		return 1;
	if (errno == EXDEV || errno == EMLINK || errno == EPERM || errno == ENOENT)
		return 0;
	return err_sys(e, ERR_IO, errno, "%s", name);
}

// 1 = shown, 0 = that version is gone.
static int add(struct view *v, int64_t bucket, struct span key, int64_t version, struct span name,
	       struct err *e)
{
	struct span plain = name.p[name.n - 1] == '/' ? span_head(name, name.n - 1) : name;
	auto_free char *text = mem_strndup(name.p, name.n);
	auto_reader struct store_reader *r = NULL;
	auto_arena struct arena mem = { 0 };
	struct store_object now;
	int linked;

	if (!file_path_is_plain(plain))
		return err_set(e, ERR_INVALID, "no file can be called " SPAN_FMT,
			       SPAN_ARG(span_head(plain, 120)));
	if (make_way(v, text, e) < 0)
		return not_both(e, text);
	if (text[name.n - 1] == '/') // a folder's mark
		return 1;
	if (++v->objects > v->d->o.view_objects_max)
		return err_set(e, ERR_LIMIT,
			       "it holds more than %u objects: mount a folder with fewer, or serve "
			       "a directory in place",
			       v->d->o.view_objects_max);
	if (store_reader_open_version(v->d->o.store, bucket, key, version, &mem, &now, &r, e) < 0)
		return e->code == ERR_NOT_FOUND ? 0 : -1;
	linked = try_link(v, r, text, e);
	if (!linked)
		linked = copy(v, r, now.size, text, e);
	return linked < 0 ? not_both(e, text) : 1;
}

static int add_all(struct view *v, struct err *e)
{
	auto_free char *prefix =
		mem_printf("%s%s", v->mount->folder, v->mount->folder[0] ? "/" : "");
	auto_free char *after = mem_strdup("");
	size_t skip = strlen(prefix);

	for (;;) {
		auto_arena struct arena mem = { 0 };
		struct store_list_options o = { .bucket = span_of(v->mount->bucket),
						.prefix = span_of(prefix),
						.after = span_of(after),
						.limit = STORE_PAGE_MAX };
		struct store_list l;

		if (store_list(v->d->o.store, &o, &mem, &l, e) < 0)
			return -1;
		for (size_t i = 0; i < l.n; i++) {
			const struct store_object *found = &l.entries[i].object;

			// One that went since it was listed is left out.
			if (found->key.n > skip &&
			    add(v, found->bucket_id, found->key, found->version,
				span_from(found->key, skip), e) < 0)
				return -1;
		}
		if (!l.truncated)
			return 0;
		mem_free(after);
		after = mem_strndup(l.next.p, l.next.n);
	}
}

int view_make(struct dispatch *d, const struct job *j, enum view_kind kind, struct err *e)
{
	char name[VIEW_NAME_MAX];

	if (file_remove_tree(d->tmp_dir, view_name(j, kind, name), e) < 0)
		return -1;
	if (mkdirat(d->tmp_dir, name, 0755) < 0)
		return err_sys(e, ERR_IO, errno, "mkdir %s", name);
	return file_open(d->tmp_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, e);
}

static int make_all(struct dispatch *d, const struct job *j, enum view_kind kind,
		    const struct fdl_io *mount, struct err *e)
{
	auto_fd int dir = view_make(d, j, kind, e);
	struct view v = { .d = d, .mount = mount, .dir = dir };
	int bad = dir < 0 ? -1 : add_all(&v, e);

	mem_free(v.folder);
	return bad < 0 ? -1 : file_take(&dir);
}

int view_gather(struct dispatch *d, const struct job *j, const struct fdl_member *list, size_t n,
		size_t skip, struct err *e)
{
	auto_fd int dir = view_make(d, j, VIEW_GROUP, e);
	struct view v = { .d = d, .dir = dir };
	int got = dir < 0 ? -1 : 1;

	for (size_t i = 0; i < n && got > 0; i++) {
		struct span key = span_of(list[i].key);

		if (key.n <= skip)
			got = err_set(e, ERR_INVALID, "a file of the run has no name");
		else
			got = add(&v, j->row.bucket, key, list[i].version, span_from(key, skip), e);
		if (!got)
			err_set(e, ERR_NOT_FOUND,
				"the input %.120s is gone: it was deleted or overwritten before "
				"the "
				"job ran",
				list[i].key);
	}
	mem_free(v.folder);
	return got > 0 ? file_take(&dir) : -1;
}

int view_open(struct dispatch *d, const struct job *j, enum view_kind kind,
	      const struct fdl_io *mount, struct err *e)
{
	struct store_bucket b;
	int fd = -1;

	if (store_bucket_look(d->o.store, span_of(mount->bucket), &b, e) == 0)
		fd = b.directory ? store_directory_folder(d->o.store, b.id, mount->folder, e)
				 : make_all(d, j, kind, mount, e);
	return fd < 0 ? err_wrap(e, "%s %s%s%s", kind == VIEW_MOUNT ? "mount" : "input",
				 mount->bucket, mount->folder[0] ? "/" : "", mount->folder)
		      : fd;
}

void view_remove(struct dispatch *d, const struct job *j)
{
	const struct fdl_io *io = inputs_io(j);
	const bool used[VIEW_KINDS] = { j->def->fdl->mount,
					io && (fdl_io_groups(io) || io->sentinel) };

	for (int kind = 0; kind < VIEW_KINDS; kind++) {
		char name[VIEW_NAME_MAX];
		struct err e = { 0 };

		if (used[kind] &&
		    file_remove_tree(d->tmp_dir, view_name(j, (enum view_kind)kind, name), &e) < 0)
			log_warn("dispatch", "job %s: %s", j->row.name, e.msg);
	}
}
