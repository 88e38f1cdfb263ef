// keep: what is kept of a service's jobs that are over. Owner: nothing. Threads: no shared state. Errors: ERR_INVALID.
// SPDX-License-Identifier: Apache-2.0
#include "fdl/private.h"

static int read_one(const json_t *keep, const char *name, int64_t max, int64_t *out,
		    char path[static FDL_PATH_MAX], struct err *e)
{
	const json_t *v = json_object_get(keep, name);

	if (!v)
		return 0;
	snprintf(path, FDL_PATH_MAX, "keep.%s", name);
	*out = json_integer_value(v);
	if (*out >= 1 && *out <= max)
		return 0;
	return err_set(e, ERR_INVALID,
		       "want 1 to %lld; without it they are kept as long as the server keeps jobs",
		       (long long)max);
}

int fdl_keep_read(struct fdl_service *s, char path[static FDL_PATH_MAX], struct err *e)
{
	const json_t *keep = json_object_get(s->doc, "keep");
	int64_t jobs = 0, days = 0;

	if (read_one(keep, "jobs", FDL_KEEP_JOBS_MAX, &jobs, path, e) < 0 ||
	    read_one(keep, "days", FDL_KEEP_DAYS_MAX, &days, path, e) < 0)
		return -1;
	s->keep_jobs = (uint64_t)jobs;
	s->keep_s = days * 24 * 3600;
	return 0;
}
