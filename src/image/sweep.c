// SPDX-License-Identifier: Apache-2.0
// sweep: what no image and no repository needs goes: blobs that no manifest names, once nobody asked for them for a
// while, uploads that were left alone. Never while an image is being made: its blobs have no name yet.
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "db/db.h"
#include "image/blob.h"
#include "image/private.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PASS_S = 600, PREFIX = 7 };

static void mark(struct map *used, const struct descriptor *d)
{
	map_put(used, span_of(d->digest + PREFIX), used);
}

// An unpacked image keeps its blobs, also when its name is gone and a service still runs it: they spare the next
// pull. One of a plain root file system has no manifest and needs none.
static int mark_image(struct images *m, const char *folder, struct map *used, struct err *e)
{
	auto_free char *path = mem_printf("%s/manifest.json", folder);
	auto_arena struct arena mem = { 0 };
	struct manifest man;
	auto_buf struct buf text;
	struct err missing = { 0 };
	struct descriptor self;

	buf_init(&text, MANIFEST_BYTES_MAX);
	if (file_read_path(m->dir, path, &text, &missing) < 0) {
		if (missing.code == ERR_NOT_FOUND)
			return 0;
		*e = missing;
		return -1;
	}
	if (manifest_parse(buf_span(&text), &mem, &man, e) < 0)
		return err_wrap(e, "images/%s", folder);
	blob_digest(buf_span(&text), self.digest);
	mark(used, &self);
	mark(used, &man.config);
	for (size_t i = 0; i < man.count; i++)
		mark(used, &man.list[i]);
	return 0;
}

DIR *folder_list(int dir, struct err *e)
{
	auto_fd int fd = file_open(dir, ".", O_RDONLY | O_DIRECTORY, 0, e);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);

	if (list)
		file_take(&fd);
	else if (fd >= 0)
		err_sys(e, ERR_IO, errno, "images");
	return list;
}

const char *folder_next_image(DIR *list)
{
	struct dirent *d;

	while ((d = readdir(list)))
		if (d->d_name[0] != '.' && strcmp(d->d_name, "blobs") != 0 &&
		    strncmp(d->d_name, "new-", 4) != 0 &&
		    strncmp(d->d_name, TRASH_PREFIX, strlen(TRASH_PREFIX)) != 0)
			return d->d_name;
	return NULL;
}

static int mark_all(struct images *m, struct map *used, struct err *e)
{
	DIR *list = folder_list(m->dir, e);
	int bad = list ? 0 : -1;
	const char *id;

	while (!bad && (id = folder_next_image(list)))
		bad = mark_image(m, id, used, e);
	if (list)
		closedir(list);
	return bad;
}

static int forget_in(struct db_conn *c, void *arg, struct err *e)
{
	const int64_t *before = arg;

	return db_exec(c,
		       "DELETE FROM repo_blobs WHERE seen_ns<?1 AND NOT EXISTS(SELECT 1 FROM "
		       "manifest_refs r WHERE r.digest=repo_blobs.digest AND "
		       "r.repo=repo_blobs.repo)",
		       DB_ARGS(db_int(*before)), e) < 0
		       ? -1
		       : 0;
}

static int is_garbage(struct db_conn *c, const struct map *used, const char *name, bool opening,
		      bool *garbage, struct err *e)
{
	auto_free char *digest = mem_printf("sha256:%s", name);
	int64_t needed;

	*garbage = false;
	if (strncmp(name, "new-", 4) == 0) { // somebody writes it, but for a crash's leavings
		*garbage = opening;
		return 0;
	}
	if (map_get(used, span_of(name)))
		return 0;
	if (db_get_int(c,
		       "SELECT EXISTS(SELECT 1 FROM repo_blobs WHERE digest=?1) OR "
		       "EXISTS(SELECT 1 FROM manifests WHERE digest=?1)",
		       DB_ARGS(db_str(digest)), 0, &needed, e) < 0)
		return -1;
	*garbage = !needed;
	return 0;
}

static int remove_blob(struct images *m, const char *name, struct image_pruned *out, struct err *e)
{
	struct stat st;

	if (fstatat(m->blobs, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
	    unlinkat(m->blobs, name, 0) < 0)
		return errno == ENOENT ? 0 : err_sys(e, ERR_IO, errno, "blob %s", name);
	out->blobs++;
	out->bytes += (uint64_t)st.st_size;
	return 0;
}

int folder_unused(struct db_conn *c, const char *id, bool *unused, struct err *e)
{
	int64_t used;

	if (db_get_int(c,
		       "SELECT EXISTS(SELECT 1 FROM images WHERE id=?1) OR "
		       "EXISTS(SELECT 1 FROM service_revisions WHERE image_id=?1)",
		       DB_ARGS(db_str(id)), 0, &used, e) < 0)
		return -1;
	*unused = !used;
	return 0;
}

// Unpacked images whose last service has gone after their name had moved on.
static int sweep_folders(struct images *m, struct trash *t, struct err *e)
{
	struct db_conn *c = db_reader(m->db, e);
	DIR *list = c ? folder_list(m->dir, e) : NULL;
	int bad = list ? 0 : -1;
	const char *id;

	while (!bad && (id = folder_next_image(list))) {
		bool unused = false;

		bad = folder_unused(c, id, &unused, e);
		if (!bad && unused)
			bad = trash_put(m, t, id, e);
	}
	if (list)
		closedir(list);
	return bad;
}

// Under the lock, so that nothing is named while it goes.
int sweep_blobs(struct images *m, bool opening, struct image_pruned *out, struct err *e)
{
	int64_t before = clock_wall_ns() - (opening ? 0 : m->keep_ns);
	struct map used = { 0 };
	struct dirent *d;
	DIR *list = NULL;
	struct db_conn *c = db_reader(m->db, e);
	int bad = c && db_write(m->db, forget_in, &before, e) == 0 ? mark_all(m, &used, e) : -1;

	*out = (struct image_pruned){ 0 };
	if (!bad && !(list = folder_list(m->blobs, e)))
		bad = -1;
	while (!bad && (d = readdir(list))) {
		bool garbage = false;

		if (d->d_name[0] == '.')
			continue;
		bad = is_garbage(c, &used, d->d_name, opening, &garbage, e);
		if (!bad && garbage)
			bad = remove_blob(m, d->d_name, out, e);
	}
	if (list)
		closedir(list);
	map_release(&used);
	return bad;
}

// ---- by hand -------------------------------------------------------------------------------------------

// Manifests that no tag and no other manifest names.
static int untagged_in(struct db_conn *c, void *arg, struct err *e)
{
	struct image_pruned *out = arg;
	int n, total = 0;

	do { // what only an index named is bare when that one has gone
		n = db_exec(c,
			    "DELETE FROM manifests WHERE subject IS NULL AND NOT EXISTS(SELECT 1 "
			    "FROM manifest_refs r WHERE r.repo=manifests.repo AND "
			    "r.digest=manifests.digest) AND NOT EXISTS(SELECT 1 FROM images i "
			    "WHERE i.name>manifests.repo||':' AND i.name<manifests.repo||';' AND "
			    "i.digest=manifests.digest)",
			    DB_NO_ARGS, e);
		if (n < 0 || db_exec(c,
				     "DELETE FROM manifest_refs WHERE NOT EXISTS(SELECT 1 FROM "
				     "manifests m WHERE m.repo=manifest_refs.repo AND "
				     "m.digest=manifest_refs.manifest)",
				     DB_NO_ARGS, e) < 0)
			return -1;
		total += n;
	} while (n > 0);
	out->manifests = (unsigned)total;
	return 0;
}

static int prune_locked(struct images *m, bool untagged, bool now, struct trash *t,
			struct image_pruned *out, struct err *e)
{
	struct image_pruned manifests = { 0 };
	int64_t keep = m->keep_ns;
	int bad;
	auto_lock held = lock_hold(&m->lock);

	*out = (struct image_pruned){ 0 };
	if (m->busy)
		return err_set(e, ERR_BUSY,
			       "images are on their way: try again when they are here");
	if (untagged && db_write(m->db, untagged_in, &manifests, e) < 0)
		return -1;
	m->keep_ns = now ? 0 : keep;
	bad = sweep_folders(m, t, e) < 0 ? -1 : sweep_blobs(m, false, out, e);
	m->keep_ns = keep;
	out->manifests = manifests.manifests;
	return bad;
}

int image_prune(struct images *m, bool untagged, bool now, struct image_pruned *out, struct err *e)
{
	struct trash t = { 0 };
	int bad;

	uploads_expire(m, clock_mono_ns() - m->keep_ns);
	bad = prune_locked(m, untagged, now, &t, out, e);
	trash_empty(m, &t);
	return bad;
}

// ---- in the background ---------------------------------------------------------------------------------

static void pass_locked(struct images *m, struct trash *t)
{
	struct image_pruned gone;
	struct err e = { 0 };
	auto_lock held = lock_hold(&m->lock);

	if (m->busy)
		return;
	if (sweep_folders(m, t, &e) < 0 || sweep_blobs(m, false, &gone, &e) < 0)
		log_warn("image", "blobs could not be swept: %s", e.msg);
	else if (gone.blobs)
		log_info("image", "%u blobs that nothing needs are gone, %llu bytes", gone.blobs,
			 (unsigned long long)gone.bytes);
}

static void *sweeper_main(void *arg)
{
	struct images *m = arg;

	trash_empty_all(m); // of the daemon before
	while (chore_rest(&m->sweeper, PASS_S * NS_PER_S)) {
		struct trash t = { 0 };

		uploads_expire(m, clock_mono_ns() - m->keep_ns);
		pass_locked(m, &t);
		trash_empty_all(m);
	}
	return NULL;
}

void sweeper_start(struct images *m)
{
	chore_start(&m->sweeper, "image-sweep", sweeper_main, m);
}

void sweeper_stop(struct images *m)
{
	chore_stop(&m->sweeper);
}
