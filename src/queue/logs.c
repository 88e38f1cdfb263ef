// SPDX-License-Identifier: Apache-2.0
// logs: those of attempts that are over, while they are kept as rows; and whose are to go before their jobs do.
#include "queue/row.h"

int queue_log_put_in(struct db_conn *c, int64_t job, unsigned attempt, struct span log,
		     struct err *e)
{
	return db_exec(c, "INSERT OR REPLACE INTO job_logs(job,attempt,data) VALUES(?1,?2,?3)",
		       DB_ARGS(db_int(job), db_int(attempt), db_blob(log)), e) < 0
		       ? -1
		       : 0;
}

int queue_log_get(struct queue *q, int64_t job, unsigned attempt, struct arena *mem,
		  struct span *out, struct err *e)
{
	struct db_conn *c = db_reader(q->db, e);
	auto_query struct db_stmt *s = NULL;
	int got;

	if (!c)
		return -1;
	s = db_query(c, "SELECT data FROM job_logs WHERE job=?1 AND attempt=?2",
		     DB_ARGS(db_int(job), db_int(attempt)), e);
	got = db_step(s, e);
	if (got <= 0)
		return got ? -1 : err_set(e, ERR_NOT_FOUND, "no log of this attempt");
	*out = arena_span(mem, db_col_span(s, 0));
	return 0;
}

// ---- retention -----------------------------------------------------------------------------------------

// By the index jobs_logged: jobs that are over and whose logs are there. Of all: the services one after the other, so that
// it serves for each.
#define OLD_OF_ALL                                                                                 \
	"WITH RECURSIVE s(id) AS (SELECT min(service) FROM jobs WHERE state>=4 AND "               \
	"logs_gone<attempt UNION ALL SELECT (SELECT min(service) FROM jobs WHERE state>=4 AND "    \
	"logs_gone<attempt AND service>s.id) FROM s WHERE s.id IS NOT NULL) "                      \
	"SELECT j.id,j.attempt,j.ended_ns FROM s CROSS JOIN jobs j ON j.service=s.id "             \
	"WHERE ?1=0 AND j.state>=4 AND j.logs_gone<j.attempt AND j.ended_ns<?2 LIMIT ?3"
#define OLD_OF_ONE                                                                                 \
	"SELECT id,attempt,ended_ns FROM jobs WHERE state>=4 AND logs_gone<attempt "               \
	"AND service=?1 AND ended_ns<?2 ORDER BY ended_ns LIMIT ?3"

int queue_log_old(struct queue *q, int64_t service, int64_t before_ns,
		  struct queue_old out[static QUEUE_OLD_MAX], size_t *n, struct err *e)
{
	struct db_conn *c = db_reader(q->db, e);
	auto_query struct db_stmt *s = NULL;
	int got;

	*n = 0;
	if (!c)
		return -1;
	s = db_query(c, service ? OLD_OF_ONE : OLD_OF_ALL,
		     DB_ARGS(db_int(service), db_int(before_ns), db_int(QUEUE_OLD_MAX)), e);
	while ((got = db_step(s, e)) > 0)
		out[(*n)++] = queue_old_from_row(s);
	return got;
}

// Also of one that runs again meanwhile: of its attempts until then.
static int forget(struct db_conn *c, void *arg, struct err *e)
{
	const struct old_jobs *old = arg;

	for (size_t i = 0; i < old->n; i++) {
		const struct queue_old *o = &old->at[i];

		if (db_exec(c, "DELETE FROM job_logs WHERE job=?1 AND attempt<=?2",
			    DB_ARGS(db_int(o->job), db_int(o->attempts)), e) < 0 ||
		    db_exec(c, "UPDATE jobs SET logs_gone=?2 WHERE id=?1",
			    DB_ARGS(db_int(o->job), db_int(o->attempts)), e) < 0)
			return -1;
	}
	return 0;
}

int queue_log_forget(struct queue *q, const struct queue_old *jobs, size_t n, struct err *e)
{
	struct old_jobs old = { jobs, n };

	return db_write(q->db, forget, &old, e);
}
