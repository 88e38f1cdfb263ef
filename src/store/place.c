// SPDX-License-Identifier: Apache-2.0
#include "store/place.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "codec/json.h"
#include "store/hot.h"
#include "store/placing.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { STABLE_S = 5, INTERVAL_S = 60, CONFIG_MAX = 4096 };
static const char config_kind[] = "directory";
static const char *const completes[] = { "closed", "stable", "sentinel" };

// ---- settings ------------------------------------------------------------------------------------------

const char *store_directory_complete_name(enum store_directory_complete c)
{
	return completes[c];
}

bool store_directory_complete_parse(const char *text, enum store_directory_complete *out)
{
	for (size_t i = 0; i < ARRAY_LEN(completes); i++)
		if (strcmp(text, completes[i]) == 0) {
			*out = (enum store_directory_complete)i;
			return true;
		}
	return false;
}

static void defaults(struct store_directory *d)
{
	d->stable_s = d->stable_s ? d->stable_s : STABLE_S;
	d->interval_s = d->interval_s ? d->interval_s : INTERVAL_S;
	d->sentinel = d->sentinel && *d->sentinel ? d->sentinel : ".done";
}

static char *config_text(const struct store_directory *d)
{
	auto_json json_t *v =
		json_pack("{s:s,s:i,s:i,s:s,s:b,s:b,s:I}", "complete", completes[d->complete],
			  "stable_s", (int)d->stable_s, "interval_s", (int)d->interval_s,
			  "sentinel", d->sentinel, "no_watch", d->no_watch, "outputs", d->outputs,
			  "inode", (json_int_t)d->inode);

	return codec_json_text(v, CODEC_JSON_PLAIN);
}

static int config_parse(struct span text, struct place *p, struct err *e)
{
	auto_json json_t *v = NULL;
	const char *complete = "closed", *sentinel = ".done";
	int64_t stable = STABLE_S, interval = INTERVAL_S;

	if (codec_json_parse(text, CONFIG_MAX, &v, e) < 0 ||
	    codec_json_get_string(v, "complete", &complete, e) < 0 ||
	    codec_json_get_string(v, "sentinel", &sentinel, e) < 0 ||
	    codec_json_get_int(v, "stable_s", 1, 86400, &stable, e) < 0 ||
	    codec_json_get_int(v, "interval_s", 1, 86400, &interval, e) < 0 ||
	    codec_json_get_bool(v, "no_watch", &p->set.no_watch, e) < 0 ||
	    codec_json_get_bool(v, "outputs", &p->set.outputs, e) < 0 ||
	    codec_json_get_int(v, "inode", INT64_MIN, INT64_MAX, &p->set.inode, e) < 0)
		return -1;
	if (!store_directory_complete_parse(complete, &p->set.complete))
		return err_set(e, ERR_INVALID, "complete: closed, stable or sentinel");
	p->set.stable_s = (unsigned)stable;
	p->set.interval_s = (unsigned)interval;
	snprintf(p->sentinel, sizeof(p->sentinel), "%s", sentinel);
	p->set.sentinel = p->sentinel;
	return 0;
}

// ---- the list ------------------------------------------------------------------------------------------

static void place_free(struct place *p)
{
	if (!p)
		return;
	file_close(p->root);
	file_close(p->wake);
	pthread_mutex_destroy(&p->lock);
	mem_free(p->path);
	mem_free(p);
}

static struct place *place_new(struct store *s, const struct store_bucket *b, const char *path)
{
	struct place *p = mem_zalloc(sizeof(*p));

	p->store = s;
	p->bucket = b->id;
	p->owner = b->owner;
	snprintf(p->name, sizeof(p->name), "%s", b->name);
	p->path = mem_strdup(path);
	p->set.path = p->path;
	p->root = -1;
	p->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	pthread_mutex_init(&p->lock, NULL);
	return p;
}

static void place_start(struct place *p)
{
	chore_start(&p->chore, "store-place", place_main, p);
}

static void place_poke(struct place *p)
{
	const uint64_t one = 1;

	if (write(p->wake, &one, sizeof(one)) < 0)
		log_debug("store", "eventfd: %s", strerror(errno));
}

static void place_stop(struct place *p)
{
	if (!p->chore.started)
		return;
	pthread_mutex_lock(&p->chore.lock);
	atomic_store(&p->chore.stop, true);
	pthread_mutex_unlock(&p->chore.lock);
	place_poke(p);
	chore_stop(&p->chore);
}

struct place *place_find(struct store *s, int64_t bucket)
{
	for (struct place *p = s->places.first; p; p = p->next)
		if (p->bucket == bucket)
			return p;
	return NULL;
}

int places_load(struct store *s, struct err *e)
{
	struct db_conn *c = db_reader(s->db, e);
	auto_query struct db_stmt *q =
		db_query(c,
			 "SELECT b.id,b.name,b.owner,b.directory,d.doc FROM buckets b JOIN "
			 "bucket_configs d ON d.bucket=b.id AND d.kind='directory' WHERE "
			 "b.directory<>''",
			 DB_NO_ARGS, e);
	int got = -1;

	while (q && (got = db_step(q, e)) > 0) {
		struct store_bucket b = { .id = db_col_int(q, 0), .owner = db_col_int(q, 2) };
		auto_free char *path = mem_strndup(db_col_span(q, 3).p, db_col_span(q, 3).n);
		struct place *p;

		snprintf(b.name, sizeof(b.name), SPAN_FMT, SPAN_ARG(db_col_span(q, 1)));
		p = place_new(s, &b, path);
		p->next = s->places.first;
		s->places.first = p;
		if (config_parse(db_col_span(q, 4), p, e) < 0)
			return -1;
	}
	return got;
}

void store_directories_start(struct store *s)
{
	pthread_rwlock_wrlock(&s->places.lock);
	s->places.started = true;
	for (struct place *p = s->places.first; p; p = p->next)
		place_start(p);
	pthread_rwlock_unlock(&s->places.lock);
}

void store_directories_stop(struct store *s)
{
	for (struct place *p = s->places.first; p; p = p->next)
		place_stop(p);
}

void places_free(struct store *s)
{
	struct place *p;

	while ((p = s->places.first)) {
		s->places.first = p->next;
		place_free(p);
	}
	pthread_rwlock_destroy(&s->places.lock);
}

// ---- making and forgetting -------------------------------------------------------------------------------

// The path without links, below one of the allowed roots and apart from our own data.
static char *check_path(struct store *s, const char *path, const char *const *roots, struct err *e)
{
	char *real = realpath(path, NULL);
	auto_free char *data = NULL;
	char *kept = NULL;

	if (!real) {
		err_sys(e, errno == EACCES ? ERR_DENIED : ERR_INVALID, errno, "%s", path);
		return NULL;
	}
	data = mem_printf("%s/", s->o.data_dir);
	for (size_t i = 0; roots && roots[i] && !kept; i++) {
		size_t n = strlen(roots[i]);

		if (strncmp(real, roots[i], n) == 0 && (!real[n] || real[n] == '/'))
			kept = mem_strdup(real);
	}
	free(real);
	if (!kept) {
		err_set(e, ERR_DENIED,
			"%s is below none of the directories that `oscar serve "
			"--directory-root` allows",
			path);
		return NULL;
	}
	if (strcmp(kept, s->o.data_dir) == 0 || strncmp(kept, data, strlen(data)) == 0 ||
	    (strncmp(data, kept, strlen(kept)) == 0 && data[strlen(kept)] == '/')) {
		err_set(e, ERR_INVALID, "%s holds, or lies in, the server's own data", path);
		mem_free(kept);
		return NULL;
	}
	return kept;
}

static int look_at(const char *path, int64_t *inode, struct err *e)
{
	auto_fd int fd = file_open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, e);
	struct stat st;

	if (fd < 0)
		return -1;
	if (fstat(fd, &st) < 0)
		return err_sys(e, ERR_IO, errno, "%s", path);
	*inode = (int64_t)st.st_ino;
	return 0;
}

struct directory_write {
	struct store *store;
	struct span name;
	int64_t owner;
	const char *path;
	struct span config;
	struct store_bucket *out;
};

static int create(struct db_conn *c, void *arg, struct err *e)
{
	struct directory_write *w = arg;
	int64_t n;

	if (db_get_int(c, "SELECT count(*) FROM buckets WHERE directory IS NOT NULL", DB_NO_ARGS, 0,
		       &n, e) < 0)
		return -1;
	if (n >= PLACES_MAX)
		return err_set(e, ERR_LIMIT, "at most %d directories are served", PLACES_MAX);
	if (store_bucket_create_in(w->store, c, w->name, w->owner, 0, w->out, e) < 0 ||
	    db_exec(c, "UPDATE buckets SET directory=?2 WHERE id=?1",
		    DB_ARGS(db_int(w->out->id), db_str(w->path)), e) < 0 ||
	    config_set_in(c, w->out->id, config_kind, w->config, e) < 0)
		return -1;
	w->out->directory = true;
	return 0;
}

int store_directory_create(struct store *s, struct span name, int64_t owner,
			   const struct store_directory *d, const char *const *roots,
			   struct store_bucket *out, struct err *e)
{
	auto_free char *path = check_path(s, d->path, roots, e);
	struct store_directory set = *d;
	auto_free char *text = NULL;
	struct directory_write w = {
		.store = s, .name = name, .owner = owner, .path = path, .out = out
	};
	struct place *p;

	if (!path || look_at(path, &set.inode, e) < 0)
		return -1;
	defaults(&set);
	if (strlen(set.sentinel) >= STORE_SENTINEL_MAX || strchr(set.sentinel, '/'))
		return err_set(e, ERR_INVALID, "sentinel: the end of a file's name");
	text = config_text(&set);
	w.config = span_of(text);
	if (db_write(s->db, create, &w, e) < 0)
		return -1;
	p = place_new(s, out, path);
	if (config_parse(w.config, p, e) < 0) { // what was just written
		place_free(p);
		return -1;
	}
	pthread_rwlock_wrlock(&s->places.lock);
	p->next = s->places.first;
	s->places.first = p;
	if (s->places.started)
		place_start(p);
	pthread_rwlock_unlock(&s->places.lock);
	return 0;
}

struct leaving {
	struct store *store;
	int64_t bucket;
};

static int leave(struct db_conn *c, void *arg, struct err *e)
{
	struct leaving *l = arg;

	hot_buckets_change_in(l->store->hot);
	return db_exec(c, "UPDATE buckets SET directory='' WHERE id=?1", DB_ARGS(db_int(l->bucket)),
		       e);
}

int place_leave(struct store *s, int64_t bucket, struct err *e)
{
	struct leaving l = { s, bucket };
	struct place **at, *p;

	if (db_write(s->db, leave, &l, e) < 0)
		return -1;
	pthread_rwlock_wrlock(&s->places.lock);
	p = place_find(s, bucket);
	for (at = &s->places.first; p && *at != p; at = &(*at)->next)
		;
	if (p)
		*at = p->next;
	pthread_rwlock_unlock(&s->places.lock);
	if (p)
		place_stop(p);
	place_free(p);
	return 0;
}

// ---- use -----------------------------------------------------------------------------------------------

int store_directory_get(struct store *s, int64_t bucket, struct arena *mem,
			struct store_directory *out, struct store_directory_state *state,
			struct err *e)
{
	struct place *p;

	pthread_rwlock_rdlock(&s->places.lock);
	p = place_find(s, bucket);
	if (p) {
		*out = p->set;
		out->path = arena_strdup(mem, p->path);
		out->sentinel = arena_strdup(mem, p->sentinel);
		pthread_mutex_lock(&p->lock);
		*state = p->state;
		pthread_mutex_unlock(&p->lock);
	}
	pthread_rwlock_unlock(&s->places.lock);
	return p ? 0 : err_set(e, ERR_NOT_FOUND, "the bucket is no directory");
}

int store_directory_folder(struct store *s, int64_t bucket, const char *folder, struct err *e)
{
	auto_fd int root = -1;
	struct place *p;

	pthread_rwlock_rdlock(&s->places.lock);
	p = place_find(s, bucket);
	if (p && p->root >= 0)
		root = fcntl(p->root, F_DUPFD_CLOEXEC, 3);
	pthread_rwlock_unlock(&s->places.lock);
	if (root < 0)
		return err_set(e, p ? ERR_UNAVAILABLE : ERR_NOT_FOUND,
			       "the directory is not there");
	return file_open_beneath(root, *folder ? folder : ".", O_RDONLY | O_DIRECTORY, e);
}

// The index is behind: the place's thread looks.
static void behind(struct place *p)
{
	pthread_mutex_lock(&p->lock);
	p->look = true;
	pthread_mutex_unlock(&p->lock);
	place_poke(p);
}

static bool is_indexed(int fd, const struct store_object *o, int64_t inode)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (int64_t)st.st_ino == inode &&
	       (uint64_t)st.st_size == o->size && place_mtime(&st) == o->mtime_ns;
}

// What a job made has its own name a moment after its commit; another one until then.
static int open_placed(struct place *p, const struct store_object *o, int64_t inode)
{
	auto_free char *name = mem_strndup(o->key.p, o->key.n);
	auto_fd int part = placing_open(p->store, p->root, o->bucket_id, o->key);
	auto_fd int fd = -1;
	struct err ignored;

	if (part >= 0 && is_indexed(part, o, inode))
		return file_take(&part);
	fd = file_open_beneath(p->root, name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW,
			       &ignored);
	return fd >= 0 && is_indexed(fd, o, inode) ? file_take(&fd) : -1;
}

static int open_now(struct place *p, const struct store_object *o, int64_t inode, struct err *e)
{
	auto_arena struct arena mem = { 0 };
	auto_fd int fd = -1;
	int placed;

	if (p->root < 0)
		return err_set(e, ERR_UNAVAILABLE, "the directory of bucket %s is not there",
			       p->name);
	fd = file_open_beneath(p->root, arena_strndup(&mem, o->key.p, o->key.n),
			       O_RDONLY | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW, e);
	if (fd >= 0 && is_indexed(fd, o, inode))
		return file_take(&fd);
	if (p->set.outputs && (placed = open_placed(p, o, inode)) >= 0)
		return placed;
	if (fd < 0) {
		if (e->code != ERR_NOT_FOUND && e->code != ERR_DENIED)
			return -1;
		behind(p);
		return err_set(e, ERR_BUSY,
			       SPAN_FMT " is no longer the file that was indexed: it is gone",
			       SPAN_ARG(span_head(o->key, 120)));
	}
	behind(p);
	return err_set(e, ERR_BUSY, SPAN_FMT " changed after it was indexed",
		       SPAN_ARG(span_head(o->key, 120)));
}

void place_wake(struct store *s, int64_t bucket)
{
	struct place *p;

	pthread_rwlock_rdlock(&s->places.lock);
	p = place_find(s, bucket);
	if (p)
		behind(p);
	pthread_rwlock_unlock(&s->places.lock);
}

int place_open_file(struct store *s, const struct store_object *o, int64_t inode, struct err *e)
{
	struct place *p;
	int fd;

	pthread_rwlock_rdlock(&s->places.lock);
	p = place_find(s, o->bucket_id);
	fd = p ? open_now(p, o, inode, e)
	       : object_missing(e, STORE_NO_KEY, "the bucket's directory is served no more");
	pthread_rwlock_unlock(&s->places.lock);
	return fd;
}

int place_refuse(const struct store_bucket *b, struct err *e)
{
	return b->directory ? err_set(e, ERR_DENIED,
				      "bucket %s is a directory served in place: it is changed "
				      "by changing its files",
				      b->name)
			    : 0;
}
