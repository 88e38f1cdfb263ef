// SPDX-License-Identifier: Apache-2.0
// rules: lifecycle rules applied to what a bucket holds.
#include "base/clock.h"
#include "base/mem.h"
#include "store/hot.h"
#include "store/keeper.h"
#include "store/lifecycle.h"

enum { PAGE = 500 };
#define DAY_NS (INT64_C(86400) * NS_PER_S)

// ---- rules ---------------------------------------------------------------------------------------------

int64_t keeper_due(int64_t time_ns, unsigned days, unsigned day_s)
{
	int64_t due = time_ns + days * (day_s * NS_PER_S);

	return day_s == 86400 ? (due + DAY_NS - 1) / DAY_NS * DAY_NS : due;
}

int lifecycle_load(struct db_conn *c, int64_t bucket, struct arena *mem, struct lifecycle *out,
		   struct err *e)
{
	auto_query struct db_stmt *q =
		db_query(c, "SELECT doc FROM bucket_configs WHERE bucket=?1 AND kind='lifecycle'",
			 DB_ARGS(db_int(bucket)), e);
	int got = db_step(q, e);

	if (got > 0 && lifecycle_parse(mem, arena_span(mem, db_col_span(q, 0)), out, e) < 0)
		return -1;
	return got;
}

static int64_t when_due(const struct lifecycle_when *w, int64_t time_ns, unsigned day_s)
{
	return w->by_date ? w->date_ns : keeper_due(time_ns, w->days, day_s);
}

// ---- the rules of buckets that are asked for often ------------------------------------------------------

enum { CACHED = 64 };

struct cached {
	int64_t bucket;
	uint64_t seq; // store_config_seq() before they were read
	struct arena mem;
	struct lifecycle rules;
};

struct rules_cache {
	pthread_rwlock_t lock;
	struct cached *slots[CACHED]; // by bucket id
};

struct rules_cache *rules_cache_new(void)
{
	struct rules_cache *c = mem_zalloc(sizeof(*c));

	pthread_rwlock_init(&c->lock, NULL);
	return c;
}

static void cached_free(struct cached *x)
{
	if (!x)
		return;
	arena_release(&x->mem);
	mem_free(x);
}

void rules_cache_free(struct rules_cache *c)
{
	if (!c)
		return;
	for (int i = 0; i < CACHED; i++)
		cached_free(c->slots[i]);
	pthread_rwlock_destroy(&c->lock);
	mem_free(c);
}

// The earliest of the rules that will remove the object; false when none will.
static bool earliest(const struct lifecycle *l, const struct store_object *o, struct arena *mem,
		     int64_t *due_ns, struct span *rule)
{
	const struct lifecycle_rule *first = NULL;

	for (size_t i = 0; i < l->n; i++) {
		const struct lifecycle_rule *r = &l->rules[i];
		int64_t due;

		if (!r->expire.set || !lifecycle_fits(r, o->key, o->size, o->tags))
			continue;
		due = when_due(&r->expire, o->mtime_ns, 86400); // in days as people know them
		if (first && due >= *due_ns)
			continue;
		*due_ns = due;
		first = r;
	}
	if (first)
		*rule = arena_span(mem, first->id);
	return first != NULL;
}

int store_lifecycle_due(struct store *s, const struct store_bucket *b, const struct store_object *o,
			struct arena *mem, int64_t *due_ns, struct span *rule, struct err *e)
{
	uint64_t seq = store_config_seq(s);
	struct cached **slot = &s->rules->slots[b->id % CACHED], *x;
	struct db_conn *c;
	int found = -1;

	if (!b->lifecycle)
		return 0;
	pthread_rwlock_rdlock(&s->rules->lock);
	x = *slot;
	if (x && x->bucket == b->id && x->seq == seq)
		found = earliest(&x->rules, o, mem, due_ns, rule);
	pthread_rwlock_unlock(&s->rules->lock);
	if (found >= 0)
		return found;
	c = db_reader(s->db, e);
	x = mem_zalloc(sizeof(*x));
	x->bucket = b->id;
	x->seq = seq;
	if (!c || lifecycle_load(c, b->id, &x->mem, &x->rules, e) < 0) {
		cached_free(x);
		return -1;
	}
	found = earliest(&x->rules, o, mem, due_ns, rule);
	pthread_rwlock_wrlock(&s->rules->lock);
	struct cached *old = *slot;

	*slot = x;
	pthread_rwlock_unlock(&s->rules->lock);
	cached_free(old);
	return found;
}

int store_lifecycle_abort_due(struct store *s, const struct store_bucket *b, struct span key,
			      int64_t begun_ns, struct arena *mem, int64_t *due_ns,
			      struct span *rule, struct err *e)
{
	struct lifecycle l = { 0 };
	struct db_conn *c;
	unsigned days = 0;

	if (!b->lifecycle)
		return 0;
	c = db_reader(s->db, e);
	if (!c || lifecycle_load(c, b->id, mem, &l, e) < 0)
		return -1;
	for (size_t i = 0; i < l.n; i++) {
		const struct lifecycle_rule *r = &l.rules[i];

		if (!r->abort_days || (days && r->abort_days >= days) ||
		    !lifecycle_fits_key(r, key))
			continue;
		days = r->abort_days;
		*rule = r->id;
	}
	*due_ns = keeper_due(begun_ns, days, 86400);
	return days > 0;
}

// ---- what is to be done with a version -----------------------------------------------------------------

enum what { NOTHING, EXPIRE, REMOVE, REMOVE_MARKER, RELABEL };

struct action {
	enum what what;
	struct span key, class;
	int64_t version;
};

struct version {
	struct store_object o;
	bool latest, alone;  // alone: no other version of the key is known to follow
	int64_t replaced_ns; // when it stopped being the latest
	unsigned newer;	     // versions between it and the latest
};

struct walk {
	struct store *store;
	struct lifecycle rules;
	int64_t bucket, now;
	struct span key; // where it is
	int64_t version;
	bool any; // `key` is set
	int64_t mtime;
	unsigned seen; // versions of this key so far
	struct action actions[PAGE];
	size_t n;
	struct arena page; // of the versions read and the actions
};

static enum what for_latest(const struct walk *w, const struct lifecycle_rule *r,
			    const struct version *v)
{
	bool due =
		r->expire.set && when_due(&r->expire, v->o.mtime_ns, w->store->o.day_s) <= w->now;

	if (v->o.delete_marker)
		return v->alone && lifecycle_fits_key(r, v->o.key) && (r->expire_markers || due)
			       ? REMOVE_MARKER
			       : NOTHING;
	return due && lifecycle_fits(r, v->o.key, v->o.size, v->o.tags) ? EXPIRE : NOTHING;
}

static enum what for_older(const struct walk *w, const struct lifecycle_rule *r,
			   const struct version *v)
{
	if (!r->noncurrent_days || v->newer < r->noncurrent_keep ||
	    keeper_due(v->replaced_ns, r->noncurrent_days, w->store->o.day_s) > w->now ||
	    !lifecycle_fits(r, v->o.key, v->o.size, v->o.tags))
		return NOTHING;
	return REMOVE;
}

// The class that a version should have by now, if it is another one.
static struct span class_for(const struct walk *w, const struct lifecycle_rule *r,
			     const struct version *v)
{
	struct span class = SPAN("");
	int64_t best = 0;

	for (size_t i = 0; i < r->transition_count && !v->o.delete_marker; i++) {
		const struct lifecycle_transition *t = &r->transitions[i];
		int64_t due = when_due(&t->when, v->latest ? v->o.mtime_ns : v->replaced_ns,
				       w->store->o.day_s);

		if (t->noncurrent == v->latest || due > w->now || due < best ||
		    (t->noncurrent && v->newer < t->keep) ||
		    !lifecycle_fits(r, v->o.key, v->o.size, v->o.tags))
			continue;
		best = due;
		class = t->storage_class;
	}
	return span_eq(class, v->o.storage_class) ? SPAN("") : class;
}

static void decide(struct walk *w, const struct version *v)
{
	struct action a = { .what = NOTHING, .key = v->o.key, .version = v->o.version };

	for (size_t i = 0; i < w->rules.n && (a.what == NOTHING || a.what == RELABEL); i++) {
		const struct lifecycle_rule *r = &w->rules.rules[i];
		enum what what = v->latest ? for_latest(w, r, v) : for_older(w, r, v);
		struct span class = class_for(w, r, v);

		if (what != NOTHING) {
			a.what = what;
		} else if (class.n) {
			a.what = RELABEL;
			a.class = class;
		}
	}
	if (a.what != NOTHING)
		w->actions[w->n++] = a;
}

// ---- doing it ------------------------------------------------------------------------------------------

static int relabel(struct store *s, struct db_conn *c, int64_t bucket, const struct action *a,
		   struct err *e)
{
	hot_object_changes_in(s->hot, bucket, a->key);
	return db_exec(c, "UPDATE objects SET class=?4 WHERE bucket=?1 AND key=?2 AND version=?3",
		       DB_ARGS(db_int(bucket), db_text(a->key), db_int(a->version),
			       db_text(a->class)),
		       e) < 0
		       ? -1
		       : 0;
}

// Between reading and writing a client may have changed the key: then its turn comes at the next walk.
static int still_so(struct db_conn *c, int64_t bucket, const struct action *a, struct err *e)
{
	auto_arena struct arena mem = { 0 };
	struct store_object o;
	struct content at;
	int64_t versions = 1;
	int got = object_latest(c, bucket, a->key, &mem, &o, &at, e);

	if (got <= 0)
		return got;
	if (a->what == REMOVE_MARKER &&
	    db_get_int(c, "SELECT count(*) FROM objects WHERE bucket=?1 AND key=?2",
		       DB_ARGS(db_int(bucket), db_text(a->key)), 0, &versions, e) < 0)
		return -1;
	return (o.version == a->version) == (a->what != REMOVE) && versions == 1;
}

static int act(struct db_conn *c, struct walk *w, const struct store_bucket *b,
	       const struct action *a, struct err *e)
{
	bool marks = a->what == EXPIRE && b->versioning != STORE_UNVERSIONED;
	struct store_cause cause = { .event = marks ? "s3:LifecycleExpiration:DeleteMarkerCreated"
						    : "s3:LifecycleExpiration:Delete",
				     .user = b->owner };
	struct store_delete_item it = { .key = a->key,
					.version = a->what == EXPIRE ? 0 : a->version };
	int so;

	if (a->what == RELABEL)
		return relabel(w->store, c, b->id, a, e);
	so = still_so(c, b->id, a, e);
	return so > 0 ? delete_in(w->store, c, b, &it, &cause, e) : so; // what is locked stays
}

static int act_all(struct db_conn *c, void *arg, struct err *e)
{
	struct walk *w = arg;
	struct store_bucket b;
	char name[STORE_BUCKET_MAX];

	{
		auto_query struct db_stmt *q = db_query(c, "SELECT name FROM buckets WHERE id=?1",
							DB_ARGS(db_int(w->bucket)), e);
		int got = db_step(q, e);

		if (got <= 0)
			return got; // the bucket is gone, and all in it
		snprintf(name, sizeof(name), SPAN_FMT, SPAN_ARG(db_col_span(q, 0)));
	}
	if (bucket_find(c, span_of(name), &b, e) < 0)
		return -1;
	for (size_t i = 0; i < w->n; i++)
		if (act(c, w, &b, &w->actions[i], e) < 0)
			return -1;
	return 0;
}

// ---- walking -------------------------------------------------------------------------------------------

// The versions after the place of the walk: first those of the same key, then the next keys'.
static struct db_stmt *next_rows(struct db_conn *c, const struct walk *w, bool same_key,
				 struct err *e)
{
	if (same_key)
		return db_query(c,
				"SELECT " OBJECT_COLUMNS " FROM objects WHERE bucket=?1 AND key=?2 "
				"AND version<?3 ORDER BY version DESC LIMIT 500",
				DB_ARGS(db_int(w->bucket), db_text(w->key), db_int(w->version)), e);
	return db_query(c,
			"SELECT " OBJECT_COLUMNS " FROM objects WHERE bucket=?1 AND key>?2 "
			"ORDER BY key, version DESC LIMIT 500",
			DB_ARGS(db_int(w->bucket), db_text(w->any ? w->key : SPAN(""))), e);
}

// Reads up to a page; the number of rows, or -1. A version is decided on when the next row is known, for
// only then it is clear whether it is alone.
static int read_page(struct walk *w, struct db_conn *c, bool same_key, struct err *e)
{
	struct version before = { 0 };
	bool pending = false;
	int got, rows = 0;
	auto_query struct db_stmt *q = next_rows(c, w, same_key, e);

	while ((got = db_step(q, e)) > 0) {
		struct version v = { .alone = true };
		struct content at;

		object_from_row(q, &w->page, &v.o, &at);
		if (!w->any || !span_eq(v.o.key, w->key)) {
			w->seen = 0;
			w->any = true;
		} else {
			before.alone = false;
		}
		if (pending)
			decide(w, &before);
		v.latest = w->seen == 0;
		v.replaced_ns = w->mtime;
		v.newer = w->seen ? w->seen - 1 : 0;
		w->key = v.o.key;
		w->version = v.o.version;
		w->mtime = v.o.mtime_ns;
		w->seen++;
		before = v;
		pending = true;
		rows++;
	}
	if (pending)
		decide(w, &before); // writing looks again whether it is alone
	return got < 0 ? -1 : rows;
}

int64_t keeper_bucket(struct store *s, int64_t bucket, const atomic_bool *stop, struct err *e)
{
	struct db_conn *c = db_reader(s->db, e);
	auto_arena struct arena rules = { 0 };
	auto_arena struct arena place = { 0 };
	struct walk *w = arena_alloc(&rules, sizeof(*w));
	int64_t done = 0;
	int got = 1;
	bool same = false;

	*w = (struct walk){ .store = s, .bucket = bucket, .now = clock_wall_ns() };
	if (!c || lifecycle_load(c, bucket, &rules, &w->rules, e) < 0)
		return -1;
	while (w->rules.n && !*stop) {
		struct arena keep = { 0 };

		w->n = 0;
		got = read_page(w, c, same, e);
		if (got < 0 || (w->n && db_write(s->db, act_all, w, e) < 0)) {
			arena_release(&w->page);
			return -1;
		}
		done += (int64_t)w->n;
		if (got < PAGE && !same)
			break;
		same = got == PAGE; // a short page of one key: on to the next keys
		w->key = arena_span(&keep, w->key);
		arena_release(&place);
		place = keep;
		arena_release(&w->page);
	}
	arena_release(&w->page);
	return done;
}

// ---- setting -------------------------------------------------------------------------------------------

struct set_write {
	struct store *store;
	struct span bucket, xml;
};

static int set(struct db_conn *c, void *arg, struct err *e)
{
	struct set_write *w = arg;
	struct store_bucket b;

	hot_buckets_change_in(w->store->hot);
	if (bucket_find(c, w->bucket, &b, e) < 0 ||
	    db_exec(c, "UPDATE buckets SET lifecycle=?2 WHERE id=?1",
		    DB_ARGS(db_int(b.id), db_int(w->xml.p != NULL)), e) < 0)
		return -1;
	return config_set_in(c, b.id, "lifecycle", w->xml, e);
}

int store_lifecycle_set(struct store *s, struct span bucket, struct span xml, struct err *e)
{
	struct set_write w = { s, bucket, xml };
	int result = db_write(s->db, set, &w, e);

	atomic_fetch_add(&s->config_seq, 1);
	return result;
}

int store_lifecycle_get(struct store *s, struct span bucket, struct arena *mem, struct span *xml,
			struct err *e)
{
	return store_config_get(s, bucket, "lifecycle", mem, xml, e);
}
