// SPDX-License-Identifier: Apache-2.0
#include "store/store.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/backup.h"
#include "store/blocks.h"
#include "store/claims.h"
#include "store/engine.h"
#include "store/hasher.h"
#include "store/hot.h"
#include "store/keeper.h"
#include "store/place.h"
#include "store/placing.h"
#include "store/scrub.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	INLINE_MAX = 16384,
	FREE_LOW_PERCENT = 5,
	FREE_STOP_PERCENT = 2,
	UPLOAD_DAYS = 7,
	DAY_S = 86400,
	SCRUB_DAYS = 30,
	SCRUB_MIB_S = 16,
	HOT_BYTES = 8 << 20,
	REAP_BATCH = 256,
	REAP_LATER = -2, // a backup is being made
};
#define OBJECT_MAX (UINT64_C(5) << 40)
#define PART_MIN (UINT64_C(5) << 20)

// ---- after a crash -------------------------------------------------------------------------------------

// Ids that were reserved and not yet known to be settled when the last life ended: their files exist, if at
// all, without a row. Nothing else needs looking at.
static int drop_unfinished(struct store *s, struct err *e)
{
	struct db_conn *c = db_reader(s->db, e);
	int64_t low, high, known;

	if (!c ||
	    db_get_int(c, "SELECT reserved FROM sequences WHERE name='file-clean'", DB_NO_ARGS, 1,
		       &low, e) < 0 ||
	    db_get_int(c, "SELECT reserved FROM sequences WHERE name='file'", DB_NO_ARGS, 1, &high,
		       e) < 0)
		return -1;
	for (int64_t number = low; number < high; number++)
		for (unsigned dir = 0; dir < s->dirs.n; dir++) {
			int64_t id = dirs_id(dir, number);

			if (db_get_int(c, "SELECT 1 FROM files WHERE id=?1", DB_ARGS(db_int(id)), 0,
				       &known, e) < 0 ||
			    (!known && file_unlink(s, id, e) < 0))
				return err_wrap(e, "unfinished content");
		}
	return 0;
}

// ---- content that nobody refers to ---------------------------------------------------------------------

struct reaped {
	int64_t ids[REAP_BATCH];
	size_t n;
};

static int forget_reaped(struct db_conn *c, void *arg, struct err *e)
{
	struct reaped *r = arg;

	for (size_t i = 0; i < r->n; i++)
		if (db_exec(c, "DELETE FROM garbage WHERE file=?1", DB_ARGS(db_int(r->ids[i])), e) <
		    0)
			return -1;
	return 0;
}

// Removes one batch of files; the number removed, or -1.
static int reap_batch(struct store *s, struct err *e)
{
	struct db_conn *c = db_reader(s->db, e);
	struct db_stmt *q;
	struct reaped r = { .n = 0 };
	int got;

	if (!c)
		return -1;
	q = db_query(c, "SELECT file FROM garbage LIMIT 256", DB_NO_ARGS, e);
	while ((got = db_step(q, e)) > 0)
		r.ids[r.n++] = db_col_int(q, 0);
	db_done(q);
	if (got < 0 || !r.n)
		return got;
	for (size_t i = 0; i < r.n; i++)
		if (file_unlink(s, r.ids[i], e) < 0)
			return -1;
	return db_write_lazy(s->db, forget_reaped, &r, e) < 0 ? -1 : (int)r.n;
}

static int reap_unless_held(struct store *s, struct err *e)
{
	int got;

	if (!backup_may_remove(s->backup_lock))
		return REAP_LATER;
	got = reap_batch(s, e);
	backup_removed(s->backup_lock);
	return got;
}

static void *reaper_main(void *arg)
{
	struct store *s = arg;

	pthread_mutex_lock(&s->lock);
	while (!s->stop) {
		struct err e = { 0 };
		int got;

		if (!s->garbage) {
			lock_wait(&s->reap, &s->lock, 0);
			continue;
		}
		s->garbage = false;
		pthread_mutex_unlock(&s->lock);
		while ((got = reap_unless_held(s, &e)) == REAP_BATCH)
			;
		if (got < 0 && got != REAP_LATER)
			log_warn("store", "cleaning up: %s", e.msg);
		pthread_mutex_lock(&s->lock);
		if (got == REAP_LATER && !s->stop) {
			lock_wait(&s->reap, &s->lock, clock_mono_ns() + NS_PER_S);
			s->garbage = true;
		}
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

static void wake_reaper(void *arg)
{
	struct store *s = arg;

	if (!s->freed)
		return;
	s->freed = false;
	pthread_mutex_lock(&s->lock);
	s->garbage = true;
	pthread_cond_signal(&s->reap);
	pthread_mutex_unlock(&s->lock);
}

// ---- opening -------------------------------------------------------------------------------------------

static int count_bad(struct store *s, struct err *e)
{
	struct db_conn *c = db_reader(s->db, e);
	int64_t n;

	if (!c || db_get_int(c, "SELECT count(*) FROM files WHERE bad=1", DB_NO_ARGS, 0, &n, e) < 0)
		return -1;
	if (n)
		log_warn("store", "%lld content files are known to be damaged", (long long)n);
	atomic_store(&s->bad_files, n);
	return 0;
}

int store_open(struct store **out, const struct store_options *o, struct err *e)
{
	struct store *s = mem_zalloc(sizeof(*s));

	s->db = o->db;
	s->o = *o;
	s->o.inline_max = o->inline_max ? o->inline_max : INLINE_MAX;
	s->o.object_max = o->object_max ? o->object_max : OBJECT_MAX;
	s->o.part_min = o->part_min ? o->part_min : PART_MIN;
	s->o.upload_days = o->upload_days ? o->upload_days : UPLOAD_DAYS;
	s->o.day_s = o->day_s ? o->day_s : DAY_S;
	s->o.scrub_days = o->scrub_days ? o->scrub_days : SCRUB_DAYS;
	s->o.scrub_mib_s = o->scrub_mib_s ? o->scrub_mib_s : SCRUB_MIB_S;
	s->dirs.low_percent = o->free_low_percent ? o->free_low_percent : FREE_LOW_PERCENT;
	s->dirs.stop_percent = o->free_stop_percent ? o->free_stop_percent : FREE_STOP_PERCENT;
	s->garbage = true;
	pthread_mutex_init(&s->lock, NULL);
	pthread_rwlock_init(&s->places.lock, NULL);
	claims_init(s);
	lock_cond_init(&s->reap);
	lock_cond_init(&s->reserved);
	if (dirs_open(&s->dirs, s->db, o->data_dir, o->content_dirs, e) < 0) {
		mem_free(s);
		return err_wrap(e, "store");
	}
	s->backup_lock = backup_lock_open(o->data_dir, e);
	if (s->backup_lock < 0 || drop_unfinished(s, e) < 0 || count_bad(s, e) < 0 ||
	    places_load(s, e) < 0 || placings_load(s, e) < 0) {
		places_free(s);
		claims_release(s);
		file_close(s->backup_lock);
		dirs_close(&s->dirs);
		mem_free(s);
		return err_wrap(e, "store");
	}
	s->hot = hot_new(s->db, o->hot_bytes ? o->hot_bytes : HOT_BYTES);
	db_on_commit(s->db, wake_reaper, s);
	lock_thread_start(&s->reaper, "store-reaper", reaper_main, s);
	s->rules = rules_cache_new();
	s->seen = seen_new();
	s->hasher = hasher_new();
	keeper_start(&s->keeper, s);
	scrub_start(&s->scrub, s);
	*out = s;
	return 0;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	store_directories_stop(s);
	keeper_stop(s->keeper);
	scrub_stop(s->scrub);
	pthread_mutex_lock(&s->lock);
	s->stop = true;
	pthread_cond_signal(&s->reap);
	pthread_mutex_unlock(&s->lock);
	pthread_join(s->reaper, NULL);
	db_off_commit(s->db, s);
	hot_free(s->hot);
	rules_cache_free(s->rules);
	seen_free(s->seen);
	hasher_free(s->hasher);
	pthread_cond_destroy(&s->reap);
	pthread_cond_destroy(&s->reserved);
	pthread_mutex_destroy(&s->lock);
	dirs_close(&s->dirs);
	file_close(s->backup_lock);
	places_free(s);
	claims_release(s);
	mem_free(s);
}

enum store_room store_room(const struct store *s)
{
	return dirs_room(&s->dirs);
}

void store_read_begin(struct store *s)
{
	db_read_begin(s->db);
}

void store_read_end(struct store *s)
{
	db_read_end(s->db);
}

void store_set_sink(struct store *s, const struct store_sink *sink)
{
	s->sink = *sink;
}
