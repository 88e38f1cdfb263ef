// SPDX-License-Identifier: Apache-2.0
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/rand.h"
#include "codec/json.h"
#include "db/db.h"
#include "image/blob.h"
#include "image/catalog.h"
#include "image/manifest.h"
#include "image/private.h"
#include "image/progress.h"
#include "image/settle.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define SIZE_MAX_DEFAULT (UINT64_C(64) << 30)
enum { ENTRIES_MAX = 2000000, KEEP_MS = 3600000 };

// ---- opening -------------------------------------------------------------------------------------------

// Folders "new-…" are of imports that a crash cut off.
static int drop_unfinished(struct images *m, struct err *e)
{
	struct db_conn *c = db_reader(m->db, e);
	DIR *list = c ? folder_list(m->dir, e) : NULL;
	int bad = list ? 0 : -1;
	struct dirent *d;

	while (!bad && (d = readdir(list))) {
		bool drop = true;

		if (d->d_name[0] == '.' || strcmp(d->d_name, "blobs") == 0)
			continue;
		if (strncmp(d->d_name, "new-", 4) != 0)
			bad = folder_unused(c, d->d_name, &drop, e);
		if (!bad && drop)
			bad = file_remove_tree(m->dir, d->d_name, e);
	}
	if (list)
		closedir(list);
	return bad;
}

// Images of before the registry was there: what their folder tells of their manifest becomes the repository's.
struct adoption {
	struct images *m;
	char name[IMAGE_NAME_MAX], id[IMAGE_ID_MAX];
	struct span text;
	char digest[REFERENCE_DIGEST_MAX];
	struct manifest manifest;
	int64_t owner;
};

static int adopt_in(struct db_conn *c, void *arg, struct err *e)
{
	struct adoption *a = arg;

	return catalog_record_in(c, catalog_repo_of(span_of(a->name)), a->digest, a->text.n,
				 &a->manifest, a->owner, 0, e);
}

static int adopt(struct adoption *a, struct err *e)
{
	auto_free char *path = mem_printf("%s/manifest.json", a->id);
	auto_arena struct arena mem = { 0 };
	struct err missing = { 0 };
	auto_buf struct buf text;

	buf_init(&text, MANIFEST_BYTES_MAX);
	if (file_read_path(a->m->dir, path, &text, &missing) < 0)
		return 0; // a root file system
	a->text = buf_span(&text);
	if (manifest_parse(a->text, &mem, &a->manifest, e) < 0 ||
	    blob_put(a->m->blobs, a->text, a->digest, e) < 0)
		return err_wrap(e, "images/%s", path);
	return db_write(a->m->db, adopt_in, a, e);
}

enum { ADOPT_MAX = 100000 };

static int adopt_all(struct images *m, struct err *e)
{
	struct db_conn *c = db_reader(m->db, e);
	char last[IMAGE_NAME_MAX] = "";

	for (unsigned i = 0; c && i < ADOPT_MAX; i++) {
		struct adoption a = { .m = m };
		struct db_stmt *q = db_query(
			c,
			"SELECT name,id,owner FROM images WHERE name>?1 AND id<>'' AND config IS "
			"NOT NULL AND NOT EXISTS(SELECT 1 FROM manifests m WHERE "
			"m.digest=images.digest AND m.repo||':'=substr(name,1,length(m.repo)+1)) "
			"ORDER BY name LIMIT 1",
			DB_ARGS(db_str(last)), e);
		int got = q ? db_step(q, e) : -1;

		if (got > 0) {
			snprintf(a.name, sizeof(a.name), SPAN_FMT, SPAN_ARG(db_col_span(q, 0)));
			snprintf(a.id, sizeof(a.id), SPAN_FMT, SPAN_ARG(db_col_span(q, 1)));
			a.owner = db_col_int(q, 2);
		}
		db_done(q);
		if (got <= 0)
			return got;
		if (adopt(&a, e) < 0)
			return -1;
		memcpy(last, a.name, sizeof(last));
	}
	return c ? 0 : -1;
}

int images_open(struct images **out, const struct image_options *o, struct err *e)
{
	auto_free char *path = mem_printf("%s/images", o->data_dir);
	auto_free char *blobs = mem_printf("%s/images/blobs/sha256", o->data_dir);
	auto_fd int dir = -1, blob_dir = -1;
	struct image_pruned gone;
	struct images *m;

	if (file_mkdirs(path, 0711, e) < 0 || file_mkdirs(blobs, 0700, e) < 0)
		return -1;
	dir = file_open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0, e);
	blob_dir = dir < 0 ? -1 : file_open(AT_FDCWD, blobs, O_RDONLY | O_DIRECTORY, 0, e);
	if (blob_dir < 0)
		return -1;
	m = mem_zalloc(sizeof(*m));
	*m = (struct images){ .db = o->db,
			      .dir = file_take(&dir),
			      .blobs = file_take(&blob_dir),
			      .insecure = o->insecure_registries,
			      .docker_config = o->docker_config,
			      .keep_ns = (o->keep_ms ? o->keep_ms : KEEP_MS) * NS_PER_MS,
			      .limits = { o->size_max ? o->size_max : SIZE_MAX_DEFAULT,
					  o->entries_max ? o->entries_max : ENTRIES_MAX } };
	pthread_mutex_init(&m->lock, NULL);
	pthread_mutex_init(&m->uploads_lock, NULL);
	pthread_mutex_init(&m->progress_lock, NULL);
	sweeper_start(m);
	if (drop_unfinished(m, e) < 0 || adopt_all(m, e) < 0 || settle_open(m, e) < 0 ||
	    sweep_blobs(m, true, &gone, e) < 0) {
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
	sweeper_stop(m);
	settle_close(m);
	uploads_release(m);
	file_close(m->dir);
	file_close(m->blobs);
	for (char **h = m->hosts; h && *h; h++)
		mem_free(*h);
	mem_free(m->hosts);
	pthread_mutex_destroy(&m->progress_lock);
	pthread_mutex_destroy(&m->uploads_lock);
	pthread_mutex_destroy(&m->lock);
	mem_free(m);
}

void images_leave(struct images *m)
{
	if (m)
		m->leaving = true;
}

void images_set_hosts(struct images *m, const char *const *hosts)
{
	size_t n = 0;
	char **list;

	while (hosts[n])
		n++;
	list = mem_zalloc((n + 1) * sizeof(*list));
	for (size_t i = 0; i < n; i++)
		list[i] = mem_strdup(hosts[i]);
	m->hosts = list;
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

// What follows one of our registry's own names, or all of it.
static struct span after_host(const struct images *m, struct span name)
{
	for (char **h = m->hosts; h && *h; h++)
		if (span_starts(name, span_of(*h)) && name.n > strlen(*h) &&
		    name.p[strlen(*h)] == '/')
			return span_from(name, strlen(*h) + 1);
	return name;
}

bool image_is_own(const struct images *m, const char *name)
{
	return after_host(m, span_of(name)).n < strlen(name);
}

int image_local_name(const struct images *m, const char *name, char out[static IMAGE_NAME_MAX],
		     struct err *e)
{
	return image_name_check(after_host(m, span_of(name)), out, e);
}

static int publish_folder(struct image_work *w, const struct image *out, struct err *e)
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

// ---- pushed, and used for the first time ---------------------------------------------------------------

// From the tag's manifest down to the one for this machine.
static int unpack_named(struct image_work *w, struct image *out, struct err *e)
{
	char digest[REFERENCE_DIGEST_MAX];

	snprintf(digest, sizeof(digest), "%.71s", out->digest);
	for (unsigned depth = 0; depth <= NESTED_MAX; depth++) {
		auto_arena struct arena mem = { 0 };
		const struct descriptor *child;
		struct manifest man;
		auto_buf struct buf text;

		buf_init(&text, MANIFEST_BYTES_MAX);
		if (blob_read(w->m->blobs, digest, &text, e) < 0 ||
		    manifest_parse(buf_span(&text), &mem, &man, e) < 0)
			return -1;
		if (!man.is_index)
			return assemble_check(w->m, &man, e) < 0
				       ? -1
				       : assemble(w, buf_span(&text), out, e);
		if (manifest_select(&man, NULL, &child, e) < 0)
			return -1;
		memcpy(digest, child->digest, sizeof(digest));
	}
	return err_set(e, ERR_INVALID, "an index within an index, too often");
}

// Only the folder is new: the tag goes on naming what was pushed, an index for instance.
struct unpacked {
	const struct image *image;
	const char *tagged; // digest
};

static int unpacked_in(struct db_conn *c, void *arg, struct err *e)
{
	const struct unpacked *u = arg;
	int n = db_exec(c,
			"UPDATE images SET id=?2, size=?3, config=?4 WHERE name=?1 AND digest=?5",
			DB_ARGS(db_str(u->image->name), db_str(u->image->id),
				db_int((int64_t)u->image->size), db_str(u->image->config),
				db_str(u->tagged)),
			e);

	return n == 0 ? err_set(e, ERR_CONFLICT, "the image was changed just now: try again")
		      : (n < 0 ? -1 : 0);
}

static int publish_unpacked(struct image_work *w, const struct image *out, const char *tagged,
			    struct err *e)
{
	struct unpacked u = { out, tagged };
	auto_lock held = lock_hold(&w->m->lock);

	return publish_folder(w, out, e) < 0 ? -1 : db_write(w->m->db, unpacked_in, &u, e);
}

static int unpack_pushed(struct images *m, const struct image *found, const char *progress_id,
			 char *id, size_t id_size, struct err *e)
{
	auto_progress struct progress progress;
	auto_image struct image out = *found;
	struct image_work w;
	int bad;

	progress_begin(&progress, m, progress_id);
	if (work_begin(m, &w, e) < 0)
		return -1;
	w.progress = &progress;
	bad = unpack_named(&w, &out, e);
	if (!bad)
		bad = publish_unpacked(&w, &out, found->digest, e);
	if (work_end(&w, bad, e) < 0)
		return err_wrap(e, "image %.120s", found->name);
	snprintf(id, id_size, "%s", out.id);
	return 0;
}

int image_resolve(struct images *m, const char *name, const char *progress, char *id,
		  size_t id_size, struct err *e)
{
	struct db_conn *c = db_reader(m->db, e);
	auto_arena struct arena mem = { 0 };
	char full[IMAGE_NAME_MAX];
	struct image_runtime runs;
	struct image found;
	int got;

	if (strcmp(name, "host") == 0) {
		snprintf(id, id_size, "host");
		return 0;
	}
	if (!c || image_local_name(m, name, full, e) < 0)
		return -1;
	got = find(c, span_of(full), &found, e);
	if (got < 0)
		return -1;
	if (!got)
		return err_set(e, ERR_NOT_FOUND,
			       "image %s does not exist here: get it first (oscar image pull %s, "
			       "or oscar image import FILE.tar %s), or use host for the machine's "
			       "own programs",
			       full, full, full);
	if (found.id[0])
		snprintf(id, id_size, "%s", found.id);
	else if (unpack_pushed(m, &found, progress, id, id_size, e) < 0)
		return -1;
	// Whoever makes a service hears now that its jobs could never run.
	return image_runtime(m, id, &mem, &runs, e) < 0 ? err_wrap(e, "image %.120s", full) : 0;
}

int image_digest(struct images *m, const char *id, char out[static 80], struct err *e)
{
	auto_free char *path = mem_printf("%s/digest", id);
	struct err missing = { 0 };
	auto_buf struct buf text;

	out[0] = '\0';
	buf_init(&text, 79);
	if (strcmp(id, "host") == 0)
		return 0;
	if (file_read_path(m->dir, path, &text, &missing) < 0) {
		if (missing.code == ERR_NOT_FOUND)
			return 0;
		*e = missing;
		return -1;
	}
	snprintf(out, 80, SPAN_FMT, SPAN_ARG(span_trim(buf_span(&text))));
	return 0;
}

int image_get(struct images *m, struct span name, struct arena *mem, struct image *out,
	      struct err *e)
{
	struct db_conn *c = db_reader(m->db, e);
	auto_query struct db_stmt *q = NULL;
	char full[IMAGE_NAME_MAX];
	int got = c ? image_name_check(name, full, e) : -1;

	if (got < 0 || (got = find(c, span_of(full), out, e)) < 0)
		return -1;
	if (!got)
		return err_set(e, ERR_NOT_FOUND, "no image named %s", full);
	q = db_query(c, "SELECT config FROM images WHERE name=?1", DB_ARGS(db_str(full)), e);
	if (!q || (got = db_step(q, e)) < 0)
		return -1;
	if (got && !db_col_null(q, 0))
		out->config = arena_span(mem, db_col_span(q, 0)).p;
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

// ---- making and removing -------------------------------------------------------------------------------

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
	int got = find(c, name, &old, e);

	if (got < 0)
		return -1;
	if (got && !span_is(span_of(old.id), w->image->id))
		snprintf(w->old_id, sizeof(w->old_id), "%s", old.id);
	if (w->work->manifest &&
	    catalog_record_in(c, repo, w->image->digest, w->work->manifest_size, w->work->manifest,
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

int image_folder_drop(struct images *m, const char *id, struct err *e)
{
	struct db_conn *c = db_reader(m->db, e);
	bool unused;

	if (!*id)
		return 0;
	if (!c || folder_unused(c, id, &unused, e) < 0)
		return -1;
	return unused ? file_remove_tree(m->dir, id, e) : 0;
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

	if (publish_folder(w, out, e) < 0 || db_write(m->db, record, &change, e) < 0)
		return -1; // a folder without a name is dropped at the next start
	if (change.old_unused && file_remove_tree(m->dir, change.old_id, e) < 0)
		return err_wrap(e, "the older image of that name");
	return 0;
}

int work_end(struct image_work *w, int result, struct err *e)
{
	struct images *m = w->m;
	struct image_pruned gone;
	struct err fault = { 0 };

	file_close(w->dir);
	auto_lock held = lock_hold(&m->lock);

	m->busy--;
	if (w->folder[0] && file_remove_tree(m->dir, w->folder, &fault) < 0 && result < 0)
		return err_wrap(e, "images/%s could not be removed, and before that", w->folder);
	// What cannot be swept now is swept after the next change.
	if (!m->busy && sweep_blobs(m, false, &gone, &fault) < 0)
		return result;
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
	int got = find(c, span_of(w->name), &old, e);

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

int image_remove(struct images *m, struct span name, struct err *e)
{
	auto_lock held = lock_hold(&m->lock);
	struct image_pruned gone;
	struct change w = { 0 };

	if (image_name_check(name, w.name, e) < 0 || db_write(m->db, forget, &w, e) < 0)
		return -1;
	if (w.old_id[0] && w.old_unused && file_remove_tree(m->dir, w.old_id, e) < 0)
		return -1;
	return m->busy ? 0 : sweep_blobs(m, false, &gone, e);
}
