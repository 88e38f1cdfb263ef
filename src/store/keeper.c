// SPDX-License-Identifier: Apache-2.0
#include "store/keeper.h"

#include "base/chore.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

enum { PAGE = 100 };

struct keeper {
	struct store *store;
	struct chore chore;
};

// ---- uploads -------------------------------------------------------------------------------------------

struct stale {
	struct span bucket, key, id;
};

struct stale_page {
	struct store *store;
	struct stale all[PAGE];
	size_t n;
};

static int abort_page(struct db_conn *c, void *arg, struct err *e)
{
	struct stale_page *p = arg;

	for (size_t i = 0; i < p->n; i++) {
		struct err gone = { 0 };

		if (upload_abort_in(p->store, c, p->all[i].bucket, p->all[i].key, p->all[i].id,
				    &gone) < 0 &&
		    gone.code != ERR_NOT_FOUND) {
			*e = gone;
			return -1;
		}
	}
	return 0;
}

static void add_stale(struct stale_page *p, struct db_stmt *q, struct arena *mem)
{
	p->all[p->n++] = (struct stale){ arena_span(mem, db_col_span(q, 0)),
					 arena_span(mem, db_col_span(q, 1)),
					 arena_span(mem, db_col_span(q, 2)) };
}

// Those begun before a time, oldest first, a page at a time.
static int64_t drop_stale_uploads(struct store *s, const atomic_bool *stop, struct err *e)
{
	int64_t before = clock_wall_ns() - s->o.upload_days * (s->o.day_s * NS_PER_S), done = 0;
	struct stale_page p = { .store = s, .n = PAGE };

	while (p.n == PAGE && !*stop) {
		struct db_conn *c = db_reader(s->db, e);
		auto_arena struct arena mem = { 0 };
		int got;

		p.n = 0;
		{
			auto_query struct db_stmt *q =
				db_query(c,
					 "SELECT b.name,u.key,u.id FROM uploads u JOIN buckets "
					 "b ON b.id=u.bucket WHERE u.created_ns<?1 ORDER BY "
					 "u.created_ns LIMIT 100",
					 DB_ARGS(db_int(before)), e);

			while ((got = db_step(q, e)) > 0)
				add_stale(&p, q, &mem);
		}
		if (got < 0 || (p.n && db_write(s->db, abort_page, &p, e) < 0))
			return -1;
		done += (int64_t)p.n;
	}
	return done;
}

struct rule_walk {
	int64_t bucket;
	struct lifecycle rules;
	char key[STORE_KEY_MAX + 1], id[STORE_UPLOAD_ID_MAX]; // the last one of the page before
	char next_key[STORE_KEY_MAX + 1], next_id[STORE_UPLOAD_ID_MAX];
};

static bool upload_due(const struct rule_walk *w, struct span key, int64_t begun_ns, unsigned day_s)
{
	for (size_t i = 0; i < w->rules.n; i++) {
		const struct lifecycle_rule *r = &w->rules.rules[i];

		if (r->abort_days && lifecycle_fits_key(r, key) &&
		    keeper_due(begun_ns, r->abort_days, day_s) <= clock_wall_ns())
			return true;
	}
	return false;
}

// A page of the bucket's uploads, of which those that are due go into *p. The number of rows, or -1.
static int read_uploads(struct rule_walk *w, struct db_conn *c, struct stale_page *p,
			struct arena *mem, struct err *e)
{
	int got, rows = 0;
	auto_query struct db_stmt *q =
		db_query(c,
			 "SELECT b.name,u.key,u.id,u.created_ns FROM uploads u JOIN buckets b ON "
			 "b.id=u.bucket WHERE u.bucket=?1 AND (u.key>?2 OR (u.key=?2 AND u.id>?3)) "
			 "ORDER BY u.key,u.id LIMIT 100",
			 DB_ARGS(db_int(w->bucket), db_str(w->key), db_str(w->id)), e);

	while ((got = db_step(q, e)) > 0) {
		struct span key = db_col_span(q, 1), id = db_col_span(q, 2);

		if (upload_due(w, key, db_col_int(q, 3), p->store->o.day_s))
			add_stale(p, q, mem);
		// Apart, because the running query borrows the old place.
		snprintf(w->next_key, sizeof(w->next_key), SPAN_FMT, SPAN_ARG(key));
		snprintf(w->next_id, sizeof(w->next_id), SPAN_FMT, SPAN_ARG(id));
		rows++;
	}
	memcpy(w->key, w->next_key, sizeof(w->key));
	memcpy(w->id, w->next_id, sizeof(w->id));
	return got < 0 ? -1 : rows;
}

// Those of one bucket that a rule of it names: uploads are few, so all of them are looked at.
static int64_t drop_uploads_by_rule(struct store *s, int64_t bucket, const atomic_bool *stop,
				    struct err *e)
{
	auto_arena struct arena mem = { 0 };
	struct db_conn *c = db_reader(s->db, e);
	struct rule_walk w = { .bucket = bucket };
	int64_t done = 0;
	int rows = PAGE;

	if (!c || lifecycle_load(c, bucket, &mem, &w.rules, e) < 0)
		return -1;
	while (rows == PAGE && !*stop) {
		auto_arena struct arena page = { 0 };
		struct stale_page p = { .store = s };

		rows = read_uploads(&w, c, &p, &page, e);
		if (rows < 0 || (p.n && db_write(s->db, abort_page, &p, e) < 0))
			return -1;
		done += (int64_t)p.n;
	}
	return done;
}

static int drop_completed(struct db_conn *c, void *arg, struct err *e)
{
	struct store *s = arg;

	return db_exec(
		c,
		"DELETE FROM completed WHERE upload IN (SELECT upload FROM completed WHERE "
		"time_ns<?1 ORDER BY time_ns LIMIT 500)",
		DB_ARGS(db_int(clock_wall_ns() - s->o.upload_days * (s->o.day_s * NS_PER_S))), e);
}

// ---- buckets -------------------------------------------------------------------------------------------

static int64_t walk_buckets(struct store *s, const atomic_bool *stop, struct err *e)
{
	int64_t bucket = 0, done = 0, some;

	while (!*stop) {
		struct db_conn *c = db_reader(s->db, e);

		if (!c ||
		    db_get_int(c,
			       "SELECT id FROM buckets WHERE id>?1 AND lifecycle=1 ORDER BY id "
			       "LIMIT 1",
			       DB_ARGS(db_int(bucket)), 0, &bucket, e) < 0)
			return -1;
		if (!bucket)
			break;
		some = keeper_bucket(s, bucket, stop, e);
		if (some < 0)
			return err_wrap(e, "bucket %lld", (long long)bucket);
		done += some;
		some = drop_uploads_by_rule(s, bucket, stop, e);
		if (some < 0)
			return err_wrap(e, "bucket %lld", (long long)bucket);
		done += some;
	}
	return done;
}

int64_t keeper_walk(struct store *s, const atomic_bool *stop, struct err *e)
{
	int64_t uploads = drop_stale_uploads(s, stop, e), objects;
	struct db_conn *c = db_reader(s->db, e);
	int64_t old = 0;

	if (uploads < 0 || !c ||
	    db_get_int(
		    c, "SELECT EXISTS(SELECT 1 FROM completed WHERE time_ns<?1)",
		    DB_ARGS(db_int(clock_wall_ns() - s->o.upload_days * (s->o.day_s * NS_PER_S))),
		    0, &old, e) < 0 ||
	    (old && db_write_lazy(s->db, drop_completed, s, e) < 0))
		return -1;
	objects = walk_buckets(s, stop, e);
	return objects < 0 ? -1 : uploads + objects;
}

// ---- the thread ----------------------------------------------------------------------------------------

// A tenth of a day, at most an hour, at least a second.
static int64_t pause_ns(const struct store *s)
{
	int64_t s10 = s->o.day_s / 10;

	return (s10 < 1 ? 1 : s10 > 3600 ? 3600 : s10) * NS_PER_S;
}

static void *keeper_main(void *arg)
{
	struct keeper *k = arg;

	while (chore_rest(&k->chore, pause_ns(k->store))) {
		struct err e = { 0 };
		int64_t done = keeper_walk(k->store, &k->chore.stop, &e);

		if (done < 0)
			log_warn("store", "lifecycle: %s", e.msg);
		else if (done)
			log_info("store", "lifecycle: %lld objects and uploads were due",
				 (long long)done);
	}
	return NULL;
}

void keeper_start(struct keeper **out, struct store *s)
{
	struct keeper *k = mem_zalloc(sizeof(*k));

	k->store = s;
	chore_start(&k->chore, "store-keeper", keeper_main, k);
	*out = k;
}

void keeper_stop(struct keeper *k)
{
	if (!k)
		return;
	chore_stop(&k->chore);
	mem_free(k);
}
