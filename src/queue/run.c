// SPDX-License-Identifier: Apache-2.0
// run: what of a run is still to be done, and what of it failed; without counts of its own, so that jobs of runs that nobody
// waits for cost nothing.
#include "base/mem.h"
#include "queue/row.h"

enum { PAGE = 500 };

uint64_t queue_redriven(struct queue *q)
{
	return q->redriven;
}

// One page, since no query may outlive that. 1 = there may be more.
static int pass(struct db_conn *c, int64_t run, int64_t *after, int64_t *active, struct err *e)
{
	auto_query struct db_stmt *s =
		db_query(c, "SELECT id,state FROM jobs WHERE run=?1 AND id>?2 ORDER BY id LIMIT ?3",
			 DB_ARGS(db_int(run), db_int(*after), db_int(PAGE)), e);
	int n = 0, got;

	while ((got = db_step(s, e)) > 0) {
		if (db_col_int(s, 1) < QUEUE_SUCCEEDED) {
			*active = db_col_int(s, 0);
			return 0;
		}
		*after = db_col_int(s, 0);
		n++;
	}
	return got < 0 ? -1 : n == PAGE;
}

int queue_run_active(struct db_conn *c, int64_t run, int64_t *after, int64_t *active, struct err *e)
{
	int more;

	*active = 0;
	while ((more = pass(c, run, after, active, e)) > 0)
		;
	return more;
}

int queue_run_failed(struct db_conn *c, int64_t run, size_t max, struct arena *mem,
		     struct queue_failed **out, size_t *n, uint64_t *all, struct err *e)
{
	auto_query struct db_stmt *s = NULL;
	struct queue_job *jobs;
	int64_t count;

	if (db_get_int(c, "SELECT count(*) FROM jobs WHERE run=?1 AND state>4",
		       DB_ARGS(db_int(run)), 0, &count, e) < 0)
		return -1;
	s = db_query(c, JOB_SELECT "WHERE j.run=?1 AND j.state>4 ORDER BY j.id LIMIT ?2",
		     DB_ARGS(db_int(run), db_int((int64_t)max)), e);
	if (jobs_collect(s, max, mem, &jobs, n, e) < 0)
		return -1;
	*all = (uint64_t)count;
	*out = arena_alloc(mem, (*n + 1) * sizeof(**out));
	for (size_t i = 0; i < *n; i++) {
		struct queue_failed *f = &(*out)[i];

		*f = (struct queue_failed){ .state = jobs[i].state, .key = jobs[i].key };
		memcpy(f->name, jobs[i].name, sizeof(f->name));
		memcpy(f->service_name, jobs[i].service_name, sizeof(f->service_name));
	}
	return 0;
}
