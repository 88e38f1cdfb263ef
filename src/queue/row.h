// row: rows of jobs as the files of this module share them. Private to queue.
// Functions ending in _in run inside a write.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/map.h"
#include "db/db.h"
#include "queue/call.h"

#include <pthread.h>

struct queue {
	struct db *db;
	_Atomic uint64_t added, redriven;
	pthread_mutex_t lock; // guards what follows
	struct map limits;    // user -> struct queue_limits
	struct map waiting;   // lane -> struct call_lane, without empty ones
	uint64_t waiting_count;
	struct queue_call *young, **young_tail; // calls without a row, the oldest first
	int64_t number, numbers_end;		// for calls
	uint8_t trace_seed[TRACE_ID];
	struct reservation {
		struct db_request request;
		struct queue *queue;
		int64_t end; // the last one
		bool under_way, ready;
	} reservation; // of the block after this one
};

// call.c: the numbers for calls are there when start() returns, if the database takes writes.
void calls_start(struct queue *q);
void calls_release(struct queue *q);
// Those that wait of a service (0 = any) and an owner (0 = any); the lanes that have some.
uint64_t calls_count(struct queue *q, int64_t service, int64_t owner);
size_t calls_lanes(struct queue *q, struct arena *mem, struct queue_lane **out);

// trace.c: at the opening; after a job of the run has gone.
must_check int trace_load(struct queue *q, struct err *e);
must_check int trace_gone_in(struct db_conn *c, int64_t run, struct err *e);
must_check int limits_load(struct queue *q, struct err *e);
void limits_release(struct queue *q);

// The columns that jobs_collect() reads; a WHERE follows.
#define JOB_SELECT                                                                                 \
	"SELECT j.id,j.uuid,coalesce(s.name,'deleted'),j.service,j.revision,j.owner,j.state,"      \
	"j.attempt,j.sync,j.priority,j.run,j.depth,j.run_after_ns,j.created_ns,j.started_ns,"      \
	"j.ended_ns,coalesce(j.exit_code,-1),j.reason,j.outputs,v.trigger,v.bucket,v.version,v."   \
	"key,j.attempts_before,j.logs_gone "                                                       \
	"FROM jobs j LEFT JOIN services s ON s.id=j.service "                                      \
	"LEFT JOIN events v ON v.id=(SELECT min(id) FROM events WHERE job=j.id) "

// SERVICE-UUID, from the service's name.
void job_name_make(struct queue_job *j, const uint8_t uuid[static 16]);
// ERR_BUSY: the queue of the service or of the user is full.
must_check int job_room_in(struct queue *q, struct db_conn *c, const struct queue_new *n,
			   struct err *e);
// What made the job, and what its script shall read.
must_check int job_event_in(struct db_conn *c, const struct queue_job *j, const char *source,
			    struct span payload, struct err *e);
must_check int job_release_in(struct queue *q, struct db_conn *c, int64_t job, unsigned attempt,
			      int64_t run_after_ns, struct err *e);
// Reads at most `limit` rows.
must_check int jobs_collect(struct db_stmt *s, size_t limit, struct arena *mem,
			    struct queue_job **out, size_t *n, struct err *e);
must_check int job_find_in(struct db_conn *c, int64_t id, struct arena *mem, struct queue_job *out,
			   struct err *e);
// A queued job more or less in its lane.
must_check int job_lane_in(struct db_conn *c, const struct queue_job *j, int64_t by, struct err *e);
// What a write about old jobs gets.
struct old_jobs {
	const struct queue_old *at;
	size_t n;
};
// Of the columns id, attempt, ended_ns.
struct queue_old queue_old_from_row(struct db_stmt *s);
// Moves a job in the counts and lanes and tells the feed; the caller writes the row.
must_check int job_move_in(struct db_conn *c, struct queue_job *j, enum queue_state to,
			   const char *reason, struct err *e);
must_check int job_count_in(struct db_conn *c, int64_t service, enum queue_state s, int64_t by,
			    struct err *e);
must_check int job_tell_in(struct db_conn *c, const struct queue_job *j, enum queue_state to,
			   const char *reason, struct err *e);
