// SPDX-License-Identifier: Apache-2.0
#include "image/image.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/lock.h"
#include "base/mem.h"
#include "base/rand.h"
#include "db/db.h"
#include "image/unpack.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define SIZE_MAX_DEFAULT (UINT64_C(64) << 30)
enum { ENTRIES_MAX = 2000000, ID_DIGITS = 24 };

struct images {
	struct db *db;
	int dir; // DATA/images
	struct unpack_limits limits;
	pthread_mutex_t change; // one import or removal at a time
};

// Folders "new-…" are of imports that a crash cut off.
static int drop_unfinished(struct images *m, struct err *e)
{
	int fd = fcntl(m->dir, F_DUPFD_CLOEXEC, 3), bad = 0;
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *d;

	if (!list)
		return err_sys(e, ERR_IO, errno, "images");
	while (!bad && (d = readdir(list)))
		if (strncmp(d->d_name, "new-", 4) == 0)
			bad = file_remove_tree(m->dir, d->d_name, e);
	closedir(list);
	return bad;
}

int images_open(struct images **out, const struct image_options *o, struct err *e)
{
	auto_free char *path = mem_printf("%s/images", o->data_dir);
	struct images *m;
	int dir;

	if (file_mkdirs(path, 0711, e) < 0)
		return -1;
	dir = file_open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0, e);
	if (dir < 0)
		return -1;
	m = mem_zalloc(sizeof(*m));
	*m = (struct images){ .db = o->db,
			      .dir = dir,
			      .limits = { o->size_max ? o->size_max : SIZE_MAX_DEFAULT,
					  o->entries_max ? o->entries_max : ENTRIES_MAX } };
	pthread_mutex_init(&m->change, NULL);
	if (drop_unfinished(m, e) < 0) {
		images_close(m);
		return -1;
	}
	*out = m;
	return 0;
}

void images_close(struct images *m)
{
	if (!m)
		return;
	file_close(m->dir);
	pthread_mutex_destroy(&m->change);
	mem_free(m);
}

// ---- names ---------------------------------------------------------------------------------------------

// A reference as in the OCI distribution specification, narrowed: lower-case path parts, one tag.
int image_name_check(struct span name, char out[static IMAGE_NAME_MAX], struct err *e)
{
	ptrdiff_t colon = span_rfind(name, ':'), slash = span_rfind(name, '/');
	bool tagged = colon > slash;
	struct span repository = tagged ? span_head(name, (size_t)colon) : name;
	struct span tag = tagged ? span_from(name, (size_t)colon + 1) : SPAN("latest");

	if (!repository.n || !tag.n || repository.n + tag.n + 2 > IMAGE_NAME_MAX)
		return err_set(e, ERR_INVALID, "an image is named NAME:TAG, at most %d characters",
			       IMAGE_NAME_MAX - 2);
	for (size_t i = 0; i < repository.n; i++)
		if (!strchr("abcdefghijklmnopqrstuvwxyz0123456789._-/:", repository.p[i]) ||
		    (strchr("._-/:", repository.p[i]) && (i == 0 || i == repository.n - 1)))
			return err_set(
				e, ERR_INVALID,
				"an image's name holds lower-case letters, digits and . _ - / "
				"between them");
	for (size_t i = 0; i < tag.n; i++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-",
			    tag.p[i]) ||
		    (i == 0 && strchr(".-", tag.p[i])))
			return err_set(e, ERR_INVALID,
				       "an image's tag holds letters, digits, . _ and - only");
	if (span_is(repository, "host"))
		return err_set(e, ERR_INVALID, "host is the name of the machine's own programs");
	snprintf(out, IMAGE_NAME_MAX, SPAN_FMT ":" SPAN_FMT, SPAN_ARG(repository), SPAN_ARG(tag));
	return 0;
}

static int find(struct db_conn *c, struct span name, struct image *out, struct err *e)
{
	auto_query struct db_stmt *q =
		db_query(c, "SELECT name,id,digest,size,owner,created_ns FROM images WHERE name=?1",
			 DB_ARGS(db_text(name)), e);
	int got = q ? db_step(q, e) : -1;

	if (got <= 0)
		return got;
	*out = (struct image){ .size = (uint64_t)db_col_int(q, 3),
			       .owner = db_col_int(q, 4),
			       .created_ns = db_col_int(q, 5) };
	snprintf(out->name, sizeof(out->name), SPAN_FMT, SPAN_ARG(db_col_span(q, 0)));
	snprintf(out->id, sizeof(out->id), SPAN_FMT, SPAN_ARG(db_col_span(q, 1)));
	snprintf(out->digest, sizeof(out->digest), SPAN_FMT, SPAN_ARG(db_col_span(q, 2)));
	return 1;
}

int image_resolve(struct images *m, const char *name, char *id, size_t id_size, struct err *e)
{
	struct db_conn *c = db_reader(m->db, e);
	char full[IMAGE_NAME_MAX];
	struct image found;
	int got;

	if (strcmp(name, "host") == 0) {
		snprintf(id, id_size, "host");
		return 0;
	}
	if (!c || image_name_check(span_of(name), full, e) < 0)
		return -1;
	got = find(c, span_of(full), &found, e);
	if (got < 0)
		return -1;
	if (!got)
		return err_set(e, ERR_NOT_FOUND,
			       "image %s does not exist here: import it first (oscar image import "
			       "FILE.tar %s), or use host for the machine's own programs",
			       full, full);
	snprintf(id, id_size, "%s", found.id);
	return 0;
}

int image_list(struct images *m, struct arena *mem, struct image **out, size_t *n, struct err *e)
{
	struct db_conn *c = db_reader(m->db, e);
	auto_query struct db_stmt *q = NULL;
	int64_t count;
	int got;

	*n = 0;
	if (!c || db_get_int(c, "SELECT count(*) FROM images", DB_NO_ARGS, 0, &count, e) < 0)
		return -1;
	*out = arena_alloc(mem, ((size_t)count + 1) * sizeof(**out));
	(*out)[(*n)++] = (struct image){ .name = "host", .id = "host" };
	q = db_query(c, "SELECT name FROM images ORDER BY name", DB_NO_ARGS, e);
	while ((got = q ? db_step(q, e) : -1) > 0 && *n <= (size_t)count)
		if (find(c, db_col_span(q, 0), &(*out)[*n], e) > 0)
			++*n;
	return got < 0 ? -1 : 0;
}

// ---- importing -----------------------------------------------------------------------------------------

struct change {
	const struct image *image;
	char name[IMAGE_NAME_MAX];
	char old_id[IMAGE_ID_MAX]; // what the name stood for before, "" = nothing
	bool old_used;		   // a service or another name still needs it
};

static int still_used(struct db_conn *c, struct change *w, struct err *e)
{
	int64_t used;

	if (db_get_int(c,
		       "SELECT EXISTS(SELECT 1 FROM images WHERE id=?1) OR "
		       "EXISTS(SELECT 1 FROM service_revisions WHERE image_id=?1)",
		       DB_ARGS(db_str(w->old_id)), 0, &used, e) < 0)
		return -1;
	w->old_used = used;
	return 0;
}

static int record(struct db_conn *c, void *arg, struct err *e)
{
	struct change *w = arg;
	struct image old = { 0 };
	int got = find(c, span_make(w->image->name, strlen(w->image->name)), &old, e);

	if (got < 0)
		return -1;
	if (got && strcmp(old.id, w->image->id) != 0)
		snprintf(w->old_id, sizeof(w->old_id), "%s", old.id);
	if (db_exec(c,
		    "INSERT OR REPLACE INTO images(name,id,digest,size,owner,created_ns) "
		    "VALUES(?1,?2,?3,?4,?5,?6)",
		    DB_ARGS(db_str(w->image->name), db_str(w->image->id), db_str(w->image->digest),
			    db_int((int64_t)w->image->size), db_int(w->image->owner),
			    db_int(w->image->created_ns)),
		    e) < 0)
		return -1;
	return w->old_id[0] ? still_used(c, w, e) : 0;
}

static int unpack_new(struct images *m, const char *folder, int fd, struct image *out,
		      struct err *e)
{
	auto_free char *rootfs = mem_printf("%s/rootfs", folder);
	char digest[65];
	auto_fd int root = -1;

	if (mkdirat(m->dir, folder, 0711) < 0 || mkdirat(m->dir, rootfs, 0755) < 0)
		return err_sys(e, ERR_IO, errno, "mkdir images/%s", folder);
	root = file_open(m->dir, rootfs, O_RDONLY | O_DIRECTORY, 0, e);
	if (root < 0 || unpack_tar(fd, root, &m->limits, digest, &out->size, e) < 0 ||
	    unpack_mount_points(root, e) < 0)
		return -1;
	if (syncfs(root) < 0)
		return err_sys(e, ERR_IO, errno, "sync");
	snprintf(out->digest, sizeof(out->digest), "sha256:%s", digest);
	snprintf(out->id, sizeof(out->id), "%.*s", ID_DIGITS, digest);
	return 0;
}

int image_import_tar(struct images *m, const char *name, int fd, int64_t owner, struct image *out,
		     struct err *e)
{
	auto_lock held = lock_hold(&m->change);
	struct change w = { .image = out };
	char folder[32] = "new-";

	*out = (struct image){ .owner = owner, .created_ns = clock_wall_ns() };
	snprintf(out->name, sizeof(out->name), "%s", name);
	rand_hex(folder + 4, 8);
	if (unpack_new(m, folder, fd, out, e) < 0) {
		struct err ignored;

		if (file_remove_tree(m->dir, folder, &ignored) < 0)
			return err_wrap(e, "image %s (and images/%s could not be removed)", name,
					folder);
		return err_wrap(e, "image %s", name);
	}
	if (renameat(m->dir, folder, m->dir, out->id) < 0) {
		if (errno != EEXIST && errno != ENOTEMPTY)
			return err_sys(e, ERR_IO, errno, "images/%s", out->id);
		// The same bytes were imported before.
		if (file_remove_tree(m->dir, folder, e) < 0)
			return -1;
	}
	if (file_sync(m->dir, e) < 0 || db_write(m->db, record, &w, e) < 0)
		return err_wrap(e, "image %s", name);
	if (w.old_id[0] && !w.old_used && file_remove_tree(m->dir, w.old_id, e) < 0)
		return err_wrap(e, "the older image of that name");
	return 0;
}

static int forget(struct db_conn *c, void *arg, struct err *e)
{
	struct change *w = arg;
	struct image old;
	int got = find(c, span_of(w->name), &old, e);

	if (got < 0)
		return -1;
	if (!got)
		return err_set(e, ERR_NOT_FOUND, "no image named %s", w->name);
	snprintf(w->old_id, sizeof(w->old_id), "%s", old.id);
	if (db_exec(c, "DELETE FROM images WHERE name=?1", DB_ARGS(db_str(w->name)), e) < 0 ||
	    still_used(c, w, e) < 0)
		return -1;
	int64_t service;

	if (db_get_int(c, "SELECT 1 FROM service_revisions WHERE image_id=?1",
		       DB_ARGS(db_str(w->old_id)), 0, &service, e) < 0)
		return -1;
	return service ? err_set(e, ERR_CONFLICT, "image %s is used by a service", w->name) : 0;
}

int image_remove(struct images *m, struct span name, struct err *e)
{
	auto_lock held = lock_hold(&m->change);
	struct change w = { 0 };

	if (image_name_check(name, w.name, e) < 0 || db_write(m->db, forget, &w, e) < 0)
		return -1;
	return w.old_used ? 0 : file_remove_tree(m->dir, w.old_id, e);
}
