// keep: what is kept of a service's jobs that are over. Owner: nothing. Threads: no shared state. Errors: ERR_INVALID.
// SPDX-License-Identifier: Apache-2.0
#include "fdl/check.h"

static int read_one(struct fdl_check *c, const char *name, int64_t max, int64_t *out)
{
	const json_t *v = json_object_get(json_object_get(c->s->doc, "keep"), name);

	if (!v)
		return 0;
	fdl_check_at(c, "keep.%s", name);
	*out = json_integer_value(v);
	if (*out >= 1 && *out <= max)
		return 0;
	return err_set(c->e, ERR_INVALID,
		       "want 1 to %lld; without it they are kept as long as the server keeps jobs",
		       (long long)max);
}

int fdl_check_keep(struct fdl_check *c)
{
	int64_t jobs = 0, days = 0, logs = 0;

	if (read_one(c, "jobs", FDL_KEEP_JOBS_MAX, &jobs) < 0 ||
	    read_one(c, "days", FDL_KEEP_DAYS_MAX, &days) < 0 ||
	    read_one(c, "logs", FDL_KEEP_DAYS_MAX, &logs) < 0)
		return -1;
	c->s->keep_jobs = (uint64_t)jobs;
	c->s->keep_s = days * 24 * 3600;
	c->s->keep_logs_s = logs * 24 * 3600;
	return 0;
}
