// SPDX-License-Identifier: Apache-2.0
// gone: deleting jobs that are over.
#include "base/mem.h"
#include "queue/row.h"

static int delete_in(struct db_conn *c, const struct queue_job *j, struct err *e)
{
	if (j->state < QUEUE_SUCCEEDED)
		return err_set(e, ERR_CONFLICT, "job %s is %s: cancel it first", j->name,
			       queue_state_name(j->state));
	if (db_exec(c, "DELETE FROM attempts WHERE job=?1", DB_ARGS(db_int(j->id)), e) < 0 ||
	    db_exec(c, "DELETE FROM payloads WHERE job=?1", DB_ARGS(db_int(j->id)), e) < 0 ||
	    db_exec(c, "DELETE FROM job_logs WHERE job=?1", DB_ARGS(db_int(j->id)), e) < 0 ||
	    db_exec(c, "DELETE FROM jobs WHERE id=?1", DB_ARGS(db_int(j->id)), e) < 0)
		return -1;
	// The event stays while its object version does, so that telling it again makes no second job.
	if (db_exec(c, "DELETE FROM events WHERE job=?1 AND version=0", DB_ARGS(db_int(j->id)), e) <
	    0)
		return -1;
	return trace_gone_in(c, j->run, e) < 0 ? -1 : job_count_in(c, j->service, j->state, -1, e);
}

int queue_purge_in(struct queue *q unused_arg, struct db_conn *c, int64_t service,
		   bool only_succeeded, size_t limit, int64_t *ids, size_t *deleted, struct err *e)
{
	auto_arena struct arena mem = { 0 };
	struct queue_job *jobs;
	size_t n;

	*deleted = 0;
	{
		auto_query struct db_stmt *s = db_query(
			c,
			JOB_SELECT "WHERE j.service=?1 AND j.state>=4 AND (?2=0 OR j.state=4) "
				   "ORDER BY j.id LIMIT ?3",
			DB_ARGS(db_int(service), db_int(only_succeeded), db_int((int64_t)limit)),
			e);

		if (jobs_collect(s, limit, &mem, &jobs, &n, e) < 0)
			return -1;
	}
	for (size_t i = 0; i < n; i++) {
		if (delete_in(c, &jobs[i], e) < 0)
			return -1;
		ids[(*deleted)++] = jobs[i].id;
	}
	return 0;
}

struct deletion {
	int64_t job;
};

static int delete_one(struct db_conn *c, void *arg, struct err *e)
{
	auto_arena struct arena mem = { 0 };
	const struct deletion *d = arg;
	struct queue_job j;

	return job_find_in(c, d->job, &mem, &j, e) < 0 ? -1 : delete_in(c, &j, e);
}

int queue_delete(struct queue *q, int64_t job, struct err *e)
{
	struct deletion d = { job };

	return db_write(q->db, delete_one, &d, e);
}

// ---- retention -----------------------------------------------------------------------------------------

struct queue_old queue_old_from_row(struct db_stmt *s)
{
	return (struct queue_old){ db_col_int(s, 0), (unsigned)db_col_int(s, 1), db_col_int(s, 2) };
}

// The oldest of one final state, at most `limit`.
static int oldest(struct db_conn *c, int64_t service, enum queue_state state, struct queue_old *out,
		  size_t limit, size_t *n, struct err *e)
{
	auto_query struct db_stmt *s = db_query(
		c,
		service ? "SELECT id,attempt,ended_ns FROM jobs WHERE state=?1 AND service=?3 "
			  "ORDER BY id LIMIT ?2"
			: "SELECT id,attempt,ended_ns FROM jobs WHERE state=?1 AND ?3=0 ORDER BY "
			  "id LIMIT "
			  "?2",
		DB_ARGS(db_int(state), db_int((int64_t)limit), db_int(service)), e);
	int got;

	while ((got = db_step(s, e)) > 0)
		out[(*n)++] = queue_old_from_row(s);
	return got;
}

static int by_id(const void *a, const void *b)
{
	const struct queue_old *x = a, *y = b;

	return (x->job > y->job) - (x->job < y->job);
}

int queue_old(struct queue *q, int64_t service, int64_t before_ns, uint64_t keep,
	      struct queue_old *out, size_t *n, struct err *e)
{
	auto_free struct queue_old *all =
		mem_zalloc((size_t)(QUEUE_STATES - QUEUE_SUCCEEDED) * QUEUE_OLD_MAX * sizeof(*all));
	struct db_conn *c = db_reader(q->db, e);
	int64_t over;
	size_t count = 0;

	*n = 0;
	if (!c || db_get_int(c,
			     service ? "SELECT sum(n) FROM job_counts WHERE state>=4 AND service=?1"
				     : "SELECT sum(n) FROM job_counts WHERE state>=4 AND ?1=0",
			     DB_ARGS(db_int(service)), 0, &over, e) < 0)
		return -1;
	over -= keep ? (int64_t)keep : over;
	for (int s = QUEUE_SUCCEEDED; s < QUEUE_STATES; s++)
		if (oldest(c, service, (enum queue_state)s, all, QUEUE_OLD_MAX, &count, e) < 0)
			return -1;
	qsort(all, count, sizeof(*all), by_id);
	for (size_t i = 0; i < count && *n < QUEUE_OLD_MAX; i++)
		if ((int64_t)i < over || all[i].ended_ns < before_ns)
			out[(*n)++] = all[i];
	return 0;
}

static int forget(struct db_conn *c, void *arg, struct err *e)
{
	const struct old_jobs *old = arg;

	for (size_t i = 0; i < old->n; i++) {
		auto_arena struct arena mem = { 0 };
		struct queue_job j;

		if (job_find_in(c, old->at[i].job, &mem, &j, e) < 0) {
			if (e->code != ERR_NOT_FOUND)
				return -1;
			continue;
		}
		if (j.state < QUEUE_SUCCEEDED)
			continue; // it was sent again meanwhile
		if (delete_in(c, &j, e) < 0 ||
		    db_exec(c, "DELETE FROM events WHERE job=?1", DB_ARGS(db_int(j.id)), e) < 0)
			return -1;
	}
	return 0;
}

int queue_forget(struct queue *q, const struct queue_old *jobs, size_t n, struct err *e)
{
	struct old_jobs old = { jobs, n };

	return db_write(q->db, forget, &old, e);
}
