// backfill: jobs of a service for objects that are in its input already.
// Purpose: a backfill is a row; a thread goes through its bucket in pieces of a page, each with its jobs and how far it
//   came in one commit, so that a crash or a restart neither loses nor doubles any. A full queue makes it wait. With
//   `sample` only the first jobs are made, and what would follow is counted.
// Owner: struct services, which starts and stops the thread. Threads: safe.
// Errors: ERR_NOT_FOUND, ERR_DENIED, ERR_INVALID (text names the field), db's.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "service/service.h"

enum backfill_state { BACKFILL_WORKING, BACKFILL_DONE, BACKFILL_CANCELLED, BACKFILL_FAILED };
const char *backfill_state_name(enum backfill_state s);

enum { BACKFILL_TEXT_MAX = 1024, BACKFILL_SAMPLE_MAX = 100 };

struct backfill {
	int64_t id, service, owner, since_ns, created_ns, ended_ns;
	size_t input;	    // which of the service's inputs
	const char *prefix; // of names below the input's folder
	const char *glob;   // of those names, as the shell's ("*" matches "/" too); "" = any
	bool changed; // leaves out what succeeded with the same script and image on the same version
	uint64_t limit;	   // ends after so many jobs (with `sample`: objects), 0 = none
	uint64_t sample;   // makes jobs of so many only, and counts the rest; 0 = makes all
	const char *after; // the key it came to
	uint64_t looked, queued, skipped; // objects; skipped: by `changed`
	uint64_t rest, rest_bytes;	  // with `sample`: objects beyond it
	int64_t first_job, last_job;	  // 0 = none yet
	enum backfill_state state;
	const char *reason; // of a failed one
};

// Takes service's part from the name and what is asked for from `b`; *id = the new one's. [waits for the disk]
must_check int backfill_start(struct services *s, const struct service_caller *who,
			      struct span name, const struct backfill *b, int64_t *id,
			      struct err *e);
// Those of a service, the newest first, at most `limit`.
must_check int backfill_list(struct services *s, int64_t service, size_t limit, struct arena *mem,
			     struct backfill **out, size_t *n, struct err *e);
// One that the caller may see. ERR_NOT_FOUND.
must_check int backfill_get(struct services *s, const struct service_caller *who, int64_t id,
			    struct arena *mem, struct backfill *out, struct err *e);

// What the jobs of a sample that are over came to; sums.
struct backfill_sample {
	uint64_t ended, succeeded;
	int64_t run_ns; // of scripts, of those that succeeded
	uint64_t output_bytes;
};
must_check int backfill_sample(struct services *s, const struct backfill *b, struct arena *mem,
			       struct backfill_sample *out, struct err *e);

// Ends one that works; what it queued stays. ERR_CONFLICT: it has ended.
must_check int backfill_cancel(struct services *s, const struct service_caller *who, int64_t id,
			       struct err *e);

// Works through one piece of the oldest backfill. 1 = there may be more to do at once, 0 = not now.
int backfill_step(struct services *s, struct err *e);

// The thread that does the above.
void backfill_run(struct services *s);
void backfill_halt(struct services *s);
