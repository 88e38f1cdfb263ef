// SPDX-License-Identifier: Apache-2.0
// retry: what follows a failure.
#include "base/clock.h"
#include "dispatch/job.h"
#include "fdl/fdl.h"

enum { LOST_DELAY_MS = 200 };

static unsigned retry_bit(enum exec_outcome o)
{
	switch (o) {
	case EXEC_EXITED:
		return FDL_RETRY_EXIT;
	case EXEC_SIGNALED:
		return FDL_RETRY_SIGNAL;
	case EXEC_OOM:
		return FDL_RETRY_OOM;
	case EXEC_TIMEOUT:
		return FDL_RETRY_TIMEOUT;
	case EXEC_DISK:
		return FDL_RETRY_DISK;
	case EXEC_SETUP_FAILED:
		return FDL_RETRY_SETUP;
	case EXEC_LOST:
		return FDL_RETRY_LOST;
	case EXEC_CANCELLED:
	case EXEC_CHANGED: // the file does not become again what it was
		break;
	}
	return 0;
}

// Attempts that count: not those that were stopped with the daemon, nor those before it was sent again.
static unsigned attempts_used(struct dispatch *d, const struct job *j)
{
	auto_arena struct arena mem = { 0 };
	struct queue_attempt *a;
	struct err ignored;
	unsigned used = 0;
	size_t n;

	if (queue_attempts(d->o.queue, j->row.id, &mem, &a, &n, &ignored) < 0)
		n = 0;
	if (!n) // a call that has no row yet
		return j->row.attempt - j->row.attempts_before;
	for (size_t i = 0; i < n; i++)
		used += a[i].number > j->row.attempts_before &&
			strcmp(a[i].outcome, "stopped") != 0;
	return used;
}

static bool retried(const struct fdl_service *f, const struct exec_result *r,
		    enum exec_outcome outcome)
{
	unsigned code = (unsigned)r->exit_code;

	if (f->retry_on & retry_bit(outcome))
		return true;
	return (f->retry_on & FDL_RETRY_CODES) && outcome == EXEC_EXITED && code < 256 &&
	       f->retry_codes[code / 32] >> code % 32 & 1;
}

enum queue_state job_after_failure(struct dispatch *d, struct job *j, enum exec_outcome outcome,
				   int64_t *run_after_ns)
{
	const struct fdl_service *f = j->def->fdl;
	unsigned used, allowed, back;
	bool ours = outcome ==
		    EXEC_LOST; // not the script's doing: tried again unless the service says no

	*run_after_ns = 0;
	if (outcome == EXEC_CANCELLED || job_cancelled(d, j))
		return QUEUE_CANCELLED;
	used = attempts_used(d, j);
	allowed = f->retry_attempts ? f->retry_attempts : ours ? d->o.lost_attempts : 1;
	if (f->retry_on ? !retried(f, &j->result, outcome) : !ours && !f->retry_attempts)
		return QUEUE_FAILED;
	if (used >= allowed)
		return allowed > 1 ? QUEUE_DEAD : QUEUE_FAILED;
	back = used > 16 ? 16 : used - (used > 0);
	*run_after_ns = clock_wall_ns() +
			(f->retry_backoff_s ? ((int64_t)f->retry_backoff_s << back) * NS_PER_S
					    : LOST_DELAY_MS * NS_PER_MS);
	return QUEUE_QUEUED;
}
