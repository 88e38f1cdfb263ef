// SPDX-License-Identifier: Apache-2.0
// rerun: once more what a job did: the same revision of the service, the same event, the same version of the input.
#include "db/db.h"
#include "queue/row.h"

struct rerun {
	struct queue *q;
	int64_t job;
	uint64_t queued_max;
	int64_t *made;
};

static int rerun(struct db_conn *c, void *arg, struct err *e)
{
	auto_arena struct arena mem = { 0 };
	struct rerun *r = arg;
	auto_query struct db_stmt *s = NULL;
	struct queue_job j;
	struct queue_new n;
	int got;

	if (job_find_in(c, r->job, &mem, &j, e) < 0)
		return -1;
	if (j.state < QUEUE_SUCCEEDED)
		return err_set(e, ERR_CONFLICT, "job %s is %s: only one that is over runs again",
			       j.name, queue_state_name(j.state));
	s = db_query(c,
		     "SELECT e.source,p.data FROM events e JOIN payloads p ON p.job=e.job WHERE "
		     "e.job=?1",
		     DB_ARGS(db_int(j.id)), e);
	got = db_step(s, e);
	if (got <= 0)
		return got ? -1 : err_set(e, ERR_NOT_FOUND, "the event of job %s is gone", j.name);
	n = (struct queue_new){ .service = j.service,
				.revision = j.revision,
				.owner = j.owner,
				.source = arena_span(&mem, db_col_span(s, 0)).p,
				.bucket = j.bucket,
				.key = j.key,
				.version = j.version,
				.payload = arena_span(&mem, db_col_span(s, 1)),
				.priority = j.priority,
				.queued_max = r->queued_max,
				.again = true };
	return queue_add_in(r->q, c, &n, r->made, e);
}

int queue_rerun(struct queue *q, int64_t job, uint64_t queued_max, int64_t *made, struct err *e)
{
	struct rerun r = { q, job, queued_max, made };

	return db_write(q->db, rerun, &r, e);
}
