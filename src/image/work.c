// SPDX-License-Identifier: Apache-2.0
// work: an image is made in a folder that nobody else knows, then published at once; and removed.
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/rand.h"
#include "db/db.h"
#include "image/private.h"
#include "image/settle.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

struct change {
	const struct image *image;
	const struct image_work *work;
	char name[IMAGE_NAME_MAX];
	char old_id[IMAGE_ID_MAX]; // what the name stood for before, "" = nothing
	bool old_unused;	   // no service and no other name needs it
};

static int record(struct db_conn *c, void *arg, struct err *e)
{
	struct change *w = arg;
	struct image old = { 0 };
	struct span name = span_of(w->image->name), repo = catalog_repo_of(name);
	int got = image_find_in(c, name, &old, e);

	if (got < 0)
		return -1;
	if (got && !span_is(span_of(old.id), w->image->id))
		snprintf(w->old_id, sizeof(w->old_id), "%s", old.id);
	if (catalog_record_in(c, repo, w->image->digest, w->work->manifest_size, w->work->manifest,
			      w->image->owner, 0, e) < 0)
		return -1;
	if (db_exec(c,
		    "INSERT OR REPLACE INTO images(name,id,digest,size,config,owner,created_ns,"
		    "source) VALUES(?1,?2,?3,?4,?5,?6,?7,?8)",
		    DB_ARGS(db_str(w->image->name), db_str(w->image->id), db_str(w->image->digest),
			    db_int((int64_t)w->image->size), db_str(w->image->config),
			    db_int(w->image->owner), db_int(w->image->created_ns),
			    db_str(w->image->source)),
		    e) < 0)
		return -1;
	if (got && !span_is(span_of(old.digest), w->image->digest) &&
	    catalog_drop_in(c, repo, old.digest, e) < 0)
		return -1;
	return w->old_id[0] ? folder_unused(c, w->old_id, &w->old_unused, e) : 0;
}

int work_publish_folder(struct image_work *w, const struct image *out, struct err *e)
{
	struct images *m = w->m;

	if (w->known) {
		if (faccessat(m->dir, out->id, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
			return 0;
		return err_set(e, ERR_CONFLICT, "the image was removed just now: try again");
	}
	if (renameat(m->dir, w->folder, m->dir, out->id) < 0)
		return errno == EEXIST || errno == ENOTEMPTY // the same was made meanwhile
			       ? 0
			       : err_sys(e, ERR_IO, errno, "images/%s", out->id);
	w->folder[0] = '\0';
	if (file_sync(m->dir, e) < 0)
		return -1;
	settle_later(m);
	return 0;
}

int image_folder_drop(struct images *m, struct trash *t, const char *id, struct err *e)
{
	struct db_conn *c = db_reader(m->db, e);
	bool unused;

	if (!*id)
		return 0;
	if (!c || folder_unused(c, id, &unused, e) < 0)
		return -1;
	return unused ? trash_put(m, t, id, e) : 0;
}

int work_begin(struct images *m, struct image_work *w, struct err *e)
{
	auto_free char *rootfs = NULL;

	*w = (struct image_work){ .m = m, .folder = "new-", .dir = -1 };
	rand_hex(w->folder + 4, 8);
	rootfs = mem_printf("%s/rootfs", w->folder);
	if (mkdirat(m->dir, w->folder, 0711) < 0)
		return err_sys(e, ERR_IO, errno, "mkdir images/%s", w->folder);
	if (mkdirat(m->dir, rootfs, 0755) < 0 ||
	    (w->dir = openat(m->dir, w->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0) {
		err_sys(e, ERR_IO, errno, "mkdir images/%s", rootfs);
		unlinkat(m->dir, rootfs, AT_REMOVEDIR);
		unlinkat(m->dir, w->folder, AT_REMOVEDIR);
		return -1;
	}
	auto_lock held = lock_hold(&m->lock);

	m->busy++;
	return 0;
}

unsigned work_count(struct images *m)
{
	auto_lock held = lock_hold(&m->lock);

	return m->busy;
}

int work_digest(const struct image_work *w, const struct image *out, struct err *e)
{
	return file_replace(w->dir, "digest", 0600, out->digest, strlen(out->digest), e);
}

int work_publish(struct image_work *w, struct image *out, struct err *e)
{
	struct change change = { .image = out, .work = w };
	struct images *m = w->m;
	auto_lock held = lock_hold(&m->lock);

	if (work_publish_folder(w, out, e) < 0 || db_write(m->db, record, &change, e) < 0)
		return -1; // a folder without a name is dropped at the next start
	if (change.old_unused && trash_put(m, &w->trash, change.old_id, e) < 0)
		return err_wrap(e, "the older image of that name");
	return 0;
}

static int end_locked(struct image_work *w, int result, struct err *e)
{
	struct images *m = w->m;
	struct image_pruned gone;
	struct err fault = { 0 };
	auto_lock held = lock_hold(&m->lock);

	m->busy--;
	if (w->folder[0] && trash_put(m, &w->trash, w->folder, &fault) < 0 && result < 0)
		return err_wrap(e, "images/%s could not be removed, and before that", w->folder);
	// What cannot be swept now is swept after the next change.
	if (!m->busy && sweep_blobs(m, false, &gone, &fault) < 0)
		return result;
	return result;
}

int work_end(struct image_work *w, int result, struct err *e)
{
	file_close(w->dir);
	result = end_locked(w, result, e);
	trash_empty(w->m, &w->trash);
	return result;
}

int image_import(struct images *m, const char *name, int fd, int64_t owner, struct image *out,
		 struct err *e)
{
	struct image_work w;
	int bad;

	*out = (struct image){ .owner = owner, .created_ns = clock_wall_ns() };
	snprintf(out->name, sizeof(out->name), "%s", name);
	if (work_begin(m, &w, e) < 0)
		return -1;
	bad = archive_take(&w, fd, out, e);
	if (!bad)
		bad = work_publish(&w, out, e);
	return work_end(&w, bad, e) < 0 ? err_wrap(e, "image %s", name) : 0;
}

static int forget(struct db_conn *c, void *arg, struct err *e)
{
	struct change *w = arg;
	struct image old;
	int got = image_find_in(c, span_of(w->name), &old, e);

	if (got < 0)
		return -1;
	if (!got)
		return err_set(e, ERR_NOT_FOUND, "no image named %s", w->name);
	snprintf(w->old_id, sizeof(w->old_id), "%s", old.id);
	if (db_exec(c, "DELETE FROM images WHERE name=?1", DB_ARGS(db_str(w->name)), e) < 0 ||
	    catalog_drop_in(c, catalog_repo_of(span_of(w->name)), old.digest, e) < 0 ||
	    folder_unused(c, w->old_id, &w->old_unused, e) < 0)
		return -1;
	int64_t service;

	if (db_get_int(c, "SELECT 1 FROM service_revisions WHERE image_id=?1",
		       DB_ARGS(db_str(w->old_id)), 0, &service, e) < 0)
		return -1;
	return service ? err_set(e, ERR_CONFLICT, "image %s is used by a service", w->name) : 0;
}

static int remove_locked(struct images *m, struct trash *t, struct span name, struct err *e)
{
	auto_lock held = lock_hold(&m->lock);
	struct image_pruned gone;
	struct change w = { 0 };

	if (image_name_check(name, w.name, e) < 0 || db_write(m->db, forget, &w, e) < 0)
		return -1;
	if (w.old_id[0] && w.old_unused && trash_put(m, t, w.old_id, e) < 0)
		return -1;
	return m->busy ? 0 : sweep_blobs(m, false, &gone, e);
}

int image_remove(struct images *m, struct span name, struct err *e)
{
	struct trash t = { 0 };
	int bad = remove_locked(m, &t, name, e);

	trash_empty(m, &t);
	return bad;
}
