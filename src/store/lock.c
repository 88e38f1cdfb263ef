// SPDX-License-Identifier: Apache-2.0
// lock: object lock: what a version's and a bucket's lock look like in the database, and what they forbid.
// A version: "MODE UNTIL_NS HOLD"; a bucket: "" (no default) or "MODE d|y COUNT".
#include "base/clock.h"
#include "store/hot.h"

#include <stdio.h>
#include <time.h>

static const char mode_letters[] = "-GC";

// ---- in the database -----------------------------------------------------------------------------------

char *lock_text(const struct store_lock *l, char out[static LOCK_TEXT_MAX])
{
	if (l->mode == STORE_LOCK_NONE && l->hold == STORE_HOLD_UNSET)
		return NULL;
	snprintf(out, LOCK_TEXT_MAX, "%c %lld %d", mode_letters[l->mode],
		 l->mode ? (long long)l->until_ns : 0, (int)l->hold);
	return out;
}

static enum store_lock_mode mode_of(struct span letter)
{
	return span_is(letter, "G")   ? STORE_LOCK_GOVERNANCE
	       : span_is(letter, "C") ? STORE_LOCK_COMPLIANCE
				      : STORE_LOCK_NONE;
}

struct store_lock lock_parse(struct span text)
{
	struct store_lock l = { .mode = mode_of(span_cut(&text, ' ')) };
	uint64_t until = 0, hold = 0;

	if (span_to_u64(span_cut(&text, ' '), &until) && span_to_u64(text, &hold)) {
		l.until_ns = (int64_t)until;
		l.hold = (enum store_hold)hold;
	}
	return l;
}

struct store_lock_default retention_parse(struct span text)
{
	struct store_lock_default d = { .mode = mode_of(span_cut(&text, ' ')) };
	struct span unit = span_cut(&text, ' ');
	uint64_t n = 0;

	if (!span_to_u64(text, &n))
		return (struct store_lock_default){ 0 };
	if (span_is(unit, "y"))
		d.years = (unsigned)n;
	else
		d.days = (unsigned)n;
	return d;
}

// ---- what it forbids -----------------------------------------------------------------------------------

void lock_default(const struct store_bucket *b, struct store_lock *l, int64_t now_ns)
{
	const struct store_lock_default *d = &b->retention;
	time_t s = now_ns / NS_PER_S;
	struct tm t;

	if (l->mode != STORE_LOCK_NONE || d->mode == STORE_LOCK_NONE || !gmtime_r(&s, &t))
		return;
	l->mode = d->mode;
	t.tm_mday += (int)d->days;
	t.tm_year += (int)d->years;
	l->until_ns = timegm(&t) * NS_PER_S + now_ns % NS_PER_S;
}

static bool retained(const struct store_lock *l)
{
	return l->mode != STORE_LOCK_NONE && l->until_ns > clock_wall_ns();
}

int lock_check_delete(const struct store_object *o, bool bypass, struct err *e)
{
	if (o->lock.hold == STORE_HOLD_ON)
		return err_set(e, ERR_DENIED, "the version is under a legal hold");
	if (retained(&o->lock) && (o->lock.mode == STORE_LOCK_COMPLIANCE || !bypass))
		return err_set(e, ERR_DENIED, "the version is locked until its retention ends");
	return 0;
}

// A running retention may be made longer; shortened or changed only under governance, with the right to.
static int check_change(const struct store_lock *old, const struct store_lock *new, bool bypass,
			struct err *e)
{
	if (!retained(old) || (old->mode == new->mode &&new->until_ns >= old->until_ns))
		return 0;
	if (old->mode == STORE_LOCK_GOVERNANCE && bypass)
		return 0;
	return err_set(e, ERR_DENIED, "the version's retention cannot be weakened");
}

// ---- changing it ---------------------------------------------------------------------------------------

struct lock_write {
	struct store *store;
	struct span bucket, key;
	int64_t version;
	const struct store_lock *retention; // NULL: the hold
	bool bypass, hold;
	const struct store_cause *cause;
};

static int set_lock(struct db_conn *c, void *arg, struct err *e)
{
	auto_arena struct arena mem = { 0 };
	struct lock_write *w = arg;
	char text[LOCK_TEXT_MAX];
	struct store_bucket b;
	struct store_object o;
	struct content at;

	if (bucket_find(c, w->bucket, &b, e) < 0 ||
	    object_find(c, &b, w->key, w->version, &mem, &o, &at, e) < 0 ||
	    object_not_marker(&o, e) < 0)
		return -1;
	if (!b.lockable)
		return err_set(e, ERR_INVALID, "the bucket has no object lock");
	if (w->retention) {
		if (check_change(&o.lock, w->retention, w->bypass, e) < 0)
			return -1;
		o.lock.mode = w->retention->mode;
		o.lock.until_ns = w->retention->until_ns;
	} else {
		o.lock.hold = w->hold ? STORE_HOLD_ON : STORE_HOLD_OFF;
	}
	hot_object_changes_in(w->store->hot, b.id, w->key);
	if (db_exec(c, "UPDATE objects SET lock=?4 WHERE bucket=?1 AND key=?2 AND version=?3",
		    DB_ARGS(db_int(b.id), db_text(w->key), db_int(o.version),
			    db_str(lock_text(&o.lock, text))),
		    e) < 0)
		return -1;
	return object_tell_in(w->store, c, &b, &o,
			      w->retention ? "s3:ObjectCreated:PutRetention"
					   : "s3:ObjectCreated:PutLegalHold",
			      w->cause, e);
}

int store_retention_set(struct store *s, struct span bucket, struct span key, int64_t version,
			const struct store_lock *lock, bool bypass, const struct store_cause *cause,
			struct err *e)
{
	struct lock_write w = { s, bucket, key, version, lock, bypass, false, cause };

	return db_write(s->db, set_lock, &w, e);
}

int store_hold_set(struct store *s, struct span bucket, struct span key, int64_t version, bool on,
		   const struct store_cause *cause, struct err *e)
{
	struct lock_write w = { s, bucket, key, version, NULL, false, on, cause };

	return db_write(s->db, set_lock, &w, e);
}

// ---- buckets -------------------------------------------------------------------------------------------

struct default_write {
	struct store *store;
	struct span bucket;
	const struct store_lock_default *retention;
};

static int set_default(struct db_conn *c, void *arg, struct err *e)
{
	struct default_write *w = arg;
	const struct store_lock_default *d = w->retention;
	char text[LOCK_TEXT_MAX] = "";
	struct store_bucket b;

	if (bucket_find(c, w->bucket, &b, e) < 0)
		return -1;
	if (b.versioning != STORE_VERSIONED)
		return err_set(e, ERR_CONFLICT, "bucket %s keeps no versions", b.name);
	if (d->mode != STORE_LOCK_NONE)
		snprintf(text, sizeof(text), "%c %c %u", mode_letters[d->mode],
			 d->years ? 'y' : 'd', d->years ? d->years : d->days);
	hot_buckets_change_in(w->store->hot);
	return db_exec(c, "UPDATE buckets SET lock=?2 WHERE id=?1",
		       DB_ARGS(db_int(b.id), db_str(text)), e) < 0
		       ? -1
		       : 0;
}

int store_bucket_set_retention(struct store *s, struct span name,
			       const struct store_lock_default *retention, struct err *e)
{
	struct default_write w = { s, name, retention };

	return db_write(s->db, set_default, &w, e);
}
