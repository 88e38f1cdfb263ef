// backfill: jobs of a service for objects that are in its input already.
// Purpose: a backfill is a row; a thread goes through its bucket in pieces of a page, each with its jobs and how far it
//   came in one commit, so that a crash or a restart neither loses nor doubles any. A full queue makes it wait.
// Owner: struct services, which starts and stops the thread. Threads: safe.
// Errors: ERR_NOT_FOUND, ERR_DENIED, ERR_INVALID (text names the field), db's.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "service/service.h"

enum backfill_state { BACKFILL_WORKING, BACKFILL_DONE, BACKFILL_CANCELLED, BACKFILL_FAILED };
const char *backfill_state_name(enum backfill_state s);

enum { BACKFILL_TEXT_MAX = 1024 };

struct backfill {
	int64_t id, service, owner, since_ns, created_ns, ended_ns;
	size_t input;	    // which of the service's inputs
	const char *prefix; // of names below the input's folder
	const char *glob;   // of those names, as the shell's ("*" matches "/" too); "" = any
	bool changed; // leaves out what succeeded with the same script and image on the same version
	uint64_t limit;			  // ends after so many jobs, 0 = none
	const char *after;		  // the key it came to
	uint64_t looked, queued, skipped; // objects; skipped: by `changed`
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
// Ends one that works; what it queued stays. ERR_CONFLICT: it has ended.
must_check int backfill_cancel(struct services *s, const struct service_caller *who, int64_t id,
			       struct err *e);

// Works through one piece of the oldest backfill. 1 = there may be more to do at once, 0 = not now.
int backfill_step(struct services *s, struct err *e);

// The thread that does the above.
void backfill_run(struct services *s);
void backfill_halt(struct services *s);
