// SPDX-License-Identifier: Apache-2.0
// letters: what waits in a queue of our own, and what could not be delivered.
#include "base/clock.h"
#include "notify/engine.h"

enum { CHUNK = 500 };

// The target's id, 0 with *e set when there is none.
static int64_t find(struct notify *n, const char *kind, const char *name, struct err *e)
{
	struct target *t;
	int64_t id;

	pthread_rwlock_rdlock(&n->lock);
	t = target_by_name(n, kind, name);
	id = t ? t->id : 0;
	pthread_rwlock_unlock(&n->lock);
	if (!id)
		err_set(e, ERR_NOT_FOUND, "no target %.16s %.64s", kind, name);
	return id;
}

#define LETTER_COLUMNS "seq,time_ns,attempts,dead_ns,reason,record"

int letters_read(struct notify *n, int64_t target, bool dead, int64_t after, size_t limit,
		 struct arena *mem, struct notify_letter **out, size_t *count, struct err *e)
{
	struct db_conn *c = db_reader(n->db, e);
	struct db_val args[] = { db_int(target), db_int(after),
				 db_int(limit < NOTIFY_PAGE_MAX ? (int64_t)limit
								: NOTIFY_PAGE_MAX) };
	auto_query struct db_stmt *q = NULL;
	int got = -1;

	if (!c)
		return -1;
	q = dead ? db_query(c,
			    "SELECT " LETTER_COLUMNS " FROM notify_events WHERE target=?1 AND "
			    "dead=1 AND seq>?2 ORDER BY seq LIMIT ?3",
			    args, 3, e)
		 : db_query(c,
			    "SELECT " LETTER_COLUMNS " FROM notify_events WHERE target=?1 AND "
			    "dead=0 AND seq>?2 ORDER BY seq LIMIT ?3",
			    args, 3, e);
	*out = arena_alloc(mem, ((size_t)args[2].i + 1) * sizeof(**out));
	*count = 0;
	while (q && (got = db_step(q, e)) > 0) {
		struct span reason = db_col_span(q, 4);

		(*out)[(*count)++] = (struct notify_letter){
			.seq = db_col_int(q, 0),
			.time_ns = db_col_int(q, 1),
			.attempts = (unsigned)db_col_int(q, 2),
			.dead_ns = db_col_int(q, 3),
			.reason = arena_strndup(mem, reason.p, reason.n),
			.record = arena_span(mem, db_col_span(q, 5)),
		};
	}
	return got;
}

int notify_letters(struct notify *n, const char *kind, const char *name, bool dead, int64_t after,
		   size_t limit, struct arena *mem, struct notify_letter **out, size_t *count,
		   struct err *e)
{
	int64_t target = find(n, kind, name, e);

	return target ? letters_read(n, target, dead, after, limit, mem, out, count, e) : -1;
}

struct letters_write {
	int64_t target, seq;
	bool again;
	int64_t done; // of this chunk
};

// Works in chunks, so that other writers come in between; the number of all.
static int in_chunks(struct notify *n, db_write_fn fn, struct letters_write *w, uint64_t *count,
		     struct err *e)
{
	*count = 0;
	do {
		if (db_write(n->db, fn, w, e) < 0)
			return -1;
		*count += (uint64_t)w->done;
	} while (w->done == CHUNK);
	return 0;
}

static int count_down(struct db_conn *c, const struct letters_write *w, struct err *e)
{
	return db_exec(c, "UPDATE notify_targets SET events=events-?2 WHERE id=?1",
		       DB_ARGS(db_int(w->target), db_int(w->done)), e) < 0
		       ? -1
		       : 0;
}

static int take_in(struct db_conn *c, void *arg, struct err *e)
{
	struct letters_write *w = arg;

	w->done = db_exec(c,
			  "DELETE FROM notify_events WHERE seq IN (SELECT seq FROM notify_events "
			  "WHERE target=?1 AND dead=0 AND seq<=?2 ORDER BY seq LIMIT 500)",
			  DB_ARGS(db_int(w->target), db_int(w->seq)), e);
	return w->done < 0 ? -1 : count_down(c, w, e);
}

int notify_take(struct notify *n, const char *name, int64_t through, uint64_t *removed,
		struct err *e)
{
	struct letters_write w = { .target = find(n, "queue", name, e), .seq = through };

	return w.target ? in_chunks(n, take_in, &w, removed, e) : -1;
}

#define DEAD_ONES                                                                                  \
	"SELECT seq FROM notify_events WHERE target=?1 AND dead=1 AND "                            \
	"(?2=0 OR seq=?2) ORDER BY seq LIMIT 500"

// A letter that is sent again becomes a new one: it comes after what its key has by now.
static int dead_in(struct db_conn *c, void *arg, struct err *e)
{
	struct letters_write *w = arg;
	struct db_val args[] = { db_int(w->target), db_int(w->seq), db_int(clock_wall_ns()) };

	if (w->again &&
	    db_exec(c,
		    "INSERT INTO notify_events(target,bucket,key,time_ns,record) SELECT "
		    "target,bucket,key,?3,record FROM notify_events WHERE seq IN (" DEAD_ONES
		    ") ORDER BY seq",
		    args, 3, e) < 0)
		return -1;
	w->done = db_exec(c, "DELETE FROM notify_events WHERE seq IN (" DEAD_ONES ")", args, 2, e);
	if (w->done < 0)
		return -1;
	return w->again ? 0 : count_down(c, w, e);
}

int notify_dead(struct notify *n, const char *kind, const char *name, int64_t seq, bool again,
		uint64_t *count, struct err *e)
{
	struct letters_write w = { .target = find(n, kind, name, e), .seq = seq, .again = again };
	struct target *t;

	if (!w.target || in_chunks(n, dead_in, &w, count, e) < 0)
		return -1;
	pthread_rwlock_rdlock(&n->lock);
	t = target_by_id(n, w.target);
	if (t && t->lane && again && *count)
		lane_again(t->lane);
	pthread_rwlock_unlock(&n->lock);
	return 0;
}
