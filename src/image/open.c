// SPDX-License-Identifier: Apache-2.0
// open: the images of a data directory: what a crash or an older version left is put right first.
#include "base/file.h"
#include "base/mem.h"
#include "db/db.h"
#include "image/blob.h"
#include "image/catalog.h"
#include "image/manifest.h"
#include "image/private.h"
#include "image/settle.h"

#include <fcntl.h>
#include <stdio.h>

#define SIZE_MAX_DEFAULT (UINT64_C(64) << 30)
enum { ENTRIES_MAX = 2000000, KEEP_MS = 3600000 };

// Folders "new-…" are of imports that a crash cut off. They may be large: the sweeper removes them.
static int drop_unfinished(struct images *m, struct err *e)
{
	struct db_conn *c = db_reader(m->db, e);
	DIR *list = c ? folder_list(m->dir, e) : NULL;
	int bad = list ? 0 : -1;
	struct trash t = { 0 };
	struct dirent *d;

	while (!bad && (d = readdir(list))) {
		bool drop = true;

		if (d->d_name[0] == '.' || strcmp(d->d_name, "blobs") == 0 ||
		    strncmp(d->d_name, TRASH_PREFIX, strlen(TRASH_PREFIX)) == 0)
			continue;
		if (strncmp(d->d_name, "new-", 4) != 0)
			bad = folder_unused(c, d->d_name, &drop, e);
		if (!bad && drop)
			bad = trash_put(m, &t, d->d_name, e);
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
		int got = db_step(q, e);

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
			      .limits = { .size_max = o->size_max ? o->size_max : SIZE_MAX_DEFAULT,
					  .entries_max =
						  o->entries_max ? o->entries_max : ENTRIES_MAX,
					  .stop = &m->leaving } };
	pthread_mutex_init(&m->lock, NULL);
	pthread_mutex_init(&m->uploads_lock, NULL);
	pthread_mutex_init(&m->progress_lock, NULL);
	if (drop_unfinished(m, e) < 0 || adopt_all(m, e) < 0 || settle_open(m, e) < 0 ||
	    sweep_blobs(m, true, &gone, e) < 0) {
		images_close(m);
		return -1;
	}
	sweeper_start(m);
	*out = m;
	return 0;
}

void images_close(struct images *m)
{
	if (!m)
		return;
	m->leaving = true;
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
