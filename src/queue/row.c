// SPDX-License-Identifier: Apache-2.0
#include "queue/row.h"

#include "base/buf.h"
#include "db/feed.h"

// Names of 25 characters and more are cut to 16, as OSCAR does.
void job_name_make(struct queue_job *j, const uint8_t uuid[static 16])
{
	char text[RAND_UUID_TEXT];
	int n = (int)strlen(j->service_name);

	snprintf(j->name, sizeof(j->name), "%.*s-%s", n >= 25 ? 16 : n, j->service_name,
		 rand_uuid_text(uuid, text));
}

static void job_from_row(struct db_stmt *s, struct arena *mem, struct queue_job *j)
{
	struct span uuid = db_col_span(s, 1);

	*j = (struct queue_job){
		.id = db_col_int(s, 0),
		.service = db_col_int(s, 3),
		.revision = db_col_int(s, 4),
		.owner = db_col_int(s, 5),
		.state = (enum queue_state)db_col_int(s, 6),
		.attempt = (unsigned)db_col_int(s, 7),
		.sync = db_col_int(s, 8),
		.priority = (int)db_col_int(s, 9),
		.run = db_col_int(s, 10),
		.depth = (unsigned)db_col_int(s, 11),
		.run_after_ns = db_col_int(s, 12),
		.created_ns = db_col_int(s, 13),
		.started_ns = db_col_int(s, 14),
		.ended_ns = db_col_int(s, 15),
		.exit_code = (int)db_col_int(s, 16),
		.outputs = (unsigned)db_col_int(s, 18),
		.trigger = db_col_int(s, 19),
		.bucket = db_col_int(s, 20),
		.version = db_col_int(s, 21),
		.key = arena_span(mem, db_col_span(s, 22)),
		.attempts_before = (unsigned)db_col_int(s, 23),
		.logs_gone = (unsigned)db_col_int(s, 24),
	};
	snprintf(j->service_name, sizeof(j->service_name), SPAN_FMT, SPAN_ARG(db_col_span(s, 2)));
	snprintf(j->reason, sizeof(j->reason), SPAN_FMT, SPAN_ARG(db_col_span(s, 17)));
	if (uuid.n == 16)
		job_name_make(j, (const uint8_t *)uuid.p);
}

int jobs_collect(struct db_stmt *s, size_t limit, struct arena *mem, struct queue_job **out,
		 size_t *n, struct err *e)
{
	int got = -1;

	*n = 0;
	*out = arena_alloc(mem, limit * sizeof(**out));
	while (*n < limit && (got = db_step(s, e)) > 0)
		job_from_row(s, mem, &(*out)[(*n)++]);
	return *n == limit ? 0 : got;
}

int job_find_in(struct db_conn *c, int64_t id, struct arena *mem, struct queue_job *out,
		struct err *e)
{
	auto_query struct db_stmt *s =
		db_query(c, JOB_SELECT "WHERE j.id=?1", DB_ARGS(db_int(id)), e);
	int got = db_step(s, e);

	if (got < 0)
		return -1;
	if (!got)
		return err_set(e, ERR_NOT_FOUND, "no such job");
	job_from_row(s, mem, out);
	return 0;
}

// ---- changing state ------------------------------------------------------------------------------------

int job_count_in(struct db_conn *c, int64_t service, enum queue_state s, int64_t by, struct err *e)
{
	return db_exec(c,
		       "INSERT INTO job_counts(service,state,n) VALUES(?1,?2,?3) "
		       "ON CONFLICT DO UPDATE SET n=n+?3",
		       DB_ARGS(db_int(service), db_int(s), db_int(by)), e) < 0
		       ? -1
		       : 0;
}

int job_lane_in(struct db_conn *c, const struct queue_job *j, int64_t by, struct err *e)
{
	return db_exec(c,
		       "INSERT INTO lanes(owner,service,priority,queued) VALUES(?1,?2,?3,?4) "
		       "ON CONFLICT DO UPDATE SET queued=queued+?4",
		       DB_ARGS(db_int(j->owner), db_int(j->service), db_int(j->priority),
			       db_int(by)),
		       e) < 0
		       ? -1
		       : 0;
}

int job_tell_in(struct db_conn *c, const struct queue_job *j, enum queue_state to,
		const char *reason, struct err *e)
{
	auto_buf struct buf doc;

	buf_init(&doc, 4096);
	buf_printf(
		&doc,
		"{\"job\":\"%s\",\"service\":\"%s\",\"state\":\"%s\",\"attempt\":%u,\"run\":%lld",
		j->name, j->service_name, queue_state_name(to), j->attempt, (long long)j->run);
	if (reason && *reason) {
		buf_add_str(&doc, ",\"reason\":\"");
		for (const char *p = reason; *p; p++)
			if (*p == '"' || *p == '\\')
				buf_printf(&doc, "\\%c", *p);
			else
				buf_add_char(&doc, (unsigned char)*p < 0x20 ? ' ' : *p);
		buf_add_char(&doc, '"');
	}
	buf_add_char(&doc, '}');
	return feed_append(c, "job", j->owner, buf_span(&doc), e);
}

int job_move_in(struct db_conn *c, struct queue_job *j, enum queue_state to, const char *reason,
		struct err *e)
{
	if (job_count_in(c, j->service, j->state, -1, e) < 0 ||
	    job_count_in(c, j->service, to, 1, e) < 0 ||
	    (j->state == QUEUE_QUEUED && job_lane_in(c, j, -1, e) < 0) ||
	    (to == QUEUE_QUEUED && job_lane_in(c, j, 1, e) < 0))
		return -1;
	return job_tell_in(c, j, to, reason, e);
}
