// SPDX-License-Identifier: Apache-2.0
// trace: each run is a trace. One that began with a context of its caller's has a row; any other's id is computed from the
// run and the seed of this database, so that it costs nothing and can be turned back into the run.
#include "codec/digest.h"
#include "queue/row.h"

enum { HALF = 8 };

int trace_load(struct queue *q, struct err *e)
{
	struct db_conn *c = db_reader(q->db, e);
	auto_query struct db_stmt *s = db_query(c, "SELECT seed FROM trace_seed", DB_NO_ARGS, e);
	struct span seed;

	if (!s || db_step(s, e) <= 0)
		return s ? err_set(e, ERR_CORRUPT, "the database has no seed of traces") : -1;
	seed = db_col_span(s, 0);
	if (seed.n != sizeof(q->trace_seed))
		return err_set(e, ERR_CORRUPT, "the database's seed of traces has a wrong size");
	memcpy(q->trace_seed, seed.p, seed.n);
	return 0;
}

// Eight bytes of two numbers, for who knows the seed.
static void mix(const struct queue *q, int64_t a, int64_t b, uint8_t out[static HALF])
{
	uint8_t text[sizeof(q->trace_seed) + 2 * sizeof(a)], sum[DIGEST_MAX];

	memcpy(text, q->trace_seed, sizeof(q->trace_seed));
	memcpy(text + sizeof(q->trace_seed), &a, sizeof(a));
	memcpy(text + sizeof(q->trace_seed) + sizeof(a), &b, sizeof(b));
	digest_once(DIGEST_SHA256, span_make(text, sizeof(text)), sum);
	memcpy(out, sum, HALF);
	out[HALF - 1] |= !out[HALF - 1]; // never all zeros, which is no identity
}

static void computed(const struct queue *q, int64_t run, struct trace_context *out)
{
	uint64_t number = (uint64_t)run;

	for (int i = 0; i < HALF; i++)
		out->id[i] = (uint8_t)(number >> (56 - 8 * i)) ^ q->trace_seed[i];
	mix(q, run, 0, out->id + HALF);
	mix(q, run, 0, out->parent);
	out->flags = TRACE_SAMPLED;
}

int queue_trace(struct queue *q, int64_t run, struct trace_context *out, struct err *e)
{
	struct db_conn *c = db_reader(q->db, e);
	auto_query struct db_stmt *s = NULL;
	int got;

	if (!c)
		return -1;
	s = db_query(c, "SELECT id,parent,flags FROM traces WHERE run=?1", DB_ARGS(db_int(run)), e);
	got = db_step(s, e);
	if (got < 0)
		return -1;
	if (got == 0 || db_col_span(s, 0).n != TRACE_ID || db_col_span(s, 1).n != TRACE_PARENT) {
		computed(q, run, out);
		return 0;
	}
	memcpy(out->id, db_col_span(s, 0).p, TRACE_ID);
	memcpy(out->parent, db_col_span(s, 1).p, TRACE_PARENT);
	out->flags = (uint8_t)db_col_int(s, 2);
	return 0;
}

void queue_trace_job(const struct queue *q, const struct queue_job *j, struct trace_context *t)
{
	mix(q, j->id, j->attempt, t->parent);
}

int queue_trace_begin_in(struct db_conn *c, int64_t run, const struct trace_context *t,
			 struct err *e)
{
	if (!t || !trace_is(t))
		return 0;
	return db_exec(c, "INSERT OR IGNORE INTO traces(run,id,parent,flags) VALUES(?1,?2,?3,?4)",
		       DB_ARGS(db_int(run), db_blob(span_make(t->id, sizeof(t->id))),
			       db_blob(span_make(t->parent, sizeof(t->parent))), db_int(t->flags)),
		       e) < 0
		       ? -1
		       : 0;
}

int trace_gone_in(struct db_conn *c, int64_t run, struct err *e)
{
	return db_exec(c,
		       "DELETE FROM traces WHERE run=?1 AND NOT EXISTS(SELECT 1 FROM jobs WHERE "
		       "run=?1)",
		       DB_ARGS(db_int(run)), e) < 0
		       ? -1
		       : 0;
}

// The run whose computed trace it is, or 0.
static int64_t run_of(const struct queue *q, const uint8_t id[static TRACE_ID])
{
	struct trace_context t;
	uint64_t number = 0;

	for (int i = 0; i < HALF; i++)
		number = number << 8 | (uint8_t)(id[i] ^ q->trace_seed[i]);
	computed(q, (int64_t)number, &t);
	return memcmp(t.id, id, TRACE_ID) == 0 ? (int64_t)number : 0;
}

int queue_trace_runs(struct queue *q, const uint8_t id[static TRACE_ID], int64_t *runs, size_t max,
		     size_t *n, struct err *e)
{
	struct db_conn *c = db_reader(q->db, e);
	auto_query struct db_stmt *s = NULL;
	int64_t own = run_of(q, id);
	int got = 0;

	*n = 0;
	if (own && max) {
		runs[(*n)++] = own;
		return 0;
	}
	if (!c)
		return -1;
	s = db_query(c, "SELECT run FROM traces WHERE id=?1 ORDER BY run LIMIT ?2",
		     DB_ARGS(db_blob(span_make(id, TRACE_ID)), db_int((int64_t)max)), e);
	while (*n < max && (got = db_step(s, e)) > 0)
		runs[(*n)++] = db_col_int(s, 0);
	return s && got >= 0 ? 0 : -1;
}
