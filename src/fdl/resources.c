// resources: how much a job may use and how long it may last, how many jobs there may be, and what is kept for them.
// Owner: the service that is checked. Threads: no shared state. Errors: ERR_INVALID.
// SPDX-License-Identifier: Apache-2.0
#include "fdl/check.h"
#include "fdl/quantity.h"

enum {
	MEMORY_MIN = 1024 * 1024,
	CPU_MILLIS_MAX = 1000 * 1000,
	PIDS_MAX = 65536,
	IDLE_STOP_S = 300,
	FREEZE_AFTER_S = 30
};

// An unset or empty quantity becomes `unset` in the document, when one is given.
static const char *quantity_text(struct fdl_check *c, const char *key, const char *unset)
{
	const char *text = fdl_check_text(c, key);

	if (*text || !unset)
		return text;
	json_object_set_new(c->s->doc, key, json_string(unset));
	return unset;
}

static int bytes_at(struct fdl_check *c, const char *key, const char *unset, uint64_t *out)
{
	const char *text = quantity_text(c, key, unset);

	return *text ? fdl_quantity_units(span_of(text), out, c->e) : 0;
}

static int millis_at(struct fdl_check *c, const char *key, const char *unset, uint64_t *out)
{
	const char *text = quantity_text(c, key, unset);

	return *text ? fdl_quantity_milli(span_of(text), out, c->e) : 0;
}

static int check_memory(struct fdl_check *c)
{
	if (bytes_at(c, "memory", "256Mi", &c->s->memory_bytes) < 0)
		return -1;
	if (c->s->memory_bytes < MEMORY_MIN)
		return err_set(c->e, ERR_INVALID,
			       "\"%s\" is less than 1Mi; nothing can run in that",
			       fdl_check_text(c, "memory"));
	return 0;
}

static int check_cpu(struct fdl_check *c)
{
	uint64_t millis = 0;

	if (millis_at(c, "cpu", "0.2", &millis) < 0)
		return -1;
	if (millis < 1 || millis > CPU_MILLIS_MAX)
		return err_set(c->e, ERR_INVALID, "\"%s\" is not between 1m and 1000 cores",
			       fdl_check_text(c, "cpu"));
	c->s->cpu_millis = (uint32_t)millis;
	return 0;
}

// What all jobs of a service may use together: checked for its form, kept for the peers that heed it.
static int check_totals(struct fdl_check *c)
{
	uint64_t ignored;

	return bytes_at(c, "total_memory", NULL, &ignored) < 0 ||
			       millis_at(c, "total_cpu", NULL, &ignored) < 0
		       ? -1
		       : 0;
}

int fdl_check_resources(struct fdl_check *c)
{
	struct fdl_service *s = c->s;
	int64_t pids = 0;

	if (check_memory(c) < 0 || check_cpu(c) < 0 || check_totals(c) < 0 ||
	    bytes_at(c, "ephemeral_storage_request", NULL, &s->output_bytes_max) < 0 ||
	    bytes_at(c, "log_limit", NULL, &s->log_bytes_max) < 0 ||
	    fdl_check_whole(c, NULL, "timeout", 0, FDL_TIMEOUT_MAX_S, &s->timeout_s) < 0 ||
	    fdl_check_whole(c, NULL, "wait_timeout", 0, FDL_TIMEOUT_MAX_S, &s->wait_timeout_s) <
		    0 ||
	    fdl_check_whole(c, NULL, "pids", 0, PIDS_MAX, &pids) < 0)
		return -1;
	s->pids_max = (uint32_t)pids;
	return fdl_check_devices(c);
}

// What would end anyway may as well stand still before; a server that is always there may be at work unasked.
static int64_t freezes_by_default(const struct fdl_service *s)
{
	if ((s->expose.port && s->expose.min) || s->idle_stop_s <= FREEZE_AFTER_S)
		return 0;
	return FREEZE_AFTER_S;
}

static int check_idle(struct fdl_check *c)
{
	struct fdl_service *s = c->s;
	int64_t warm = 0, prepared = 1, stop = IDLE_STOP_S, freeze;

	if (fdl_check_whole(c, NULL, "keep_warm", 0, FDL_KEEP_WARM_MAX, &warm) < 0 ||
	    fdl_check_whole(c, NULL, "prepared", 0, FDL_KEEP_WARM_MAX, &prepared) < 0 ||
	    fdl_check_whole(c, NULL, "idle_stop", 1, FDL_TIMEOUT_MAX_S, &stop) < 0)
		return -1;
	if (warm && (s->gpus || s->device_count)) {
		fdl_check_at(c, "keep_warm");
		return err_set(c->e, ERR_INVALID,
			       "a sandbox with devices is not kept for later calls: leave it out, "
			       "or let a "
			       "server keep them (expose)");
	}
	s->keep_warm = (uint32_t)warm;
	s->prepared = (uint32_t)prepared;
	s->idle_stop_s = stop;
	freeze = freezes_by_default(s);
	if (fdl_check_whole(c, NULL, "freeze_after", 0, FDL_TIMEOUT_MAX_S, &freeze) < 0)
		return -1;
	if (freeze >= stop)
		return err_set(c->e, ERR_INVALID, "must be less than idle_stop, which is %lld",
			       (long long)stop);
	s->freeze_after_s = freeze;
	return 0;
}

int fdl_check_queue(struct fdl_check *c)
{
	int64_t max = 0, concurrency = 0, priority = 0, weight = 1;

	if (fdl_check_whole(c, "queue", "max", 0, FDL_QUEUE_MAX, &max) < 0 ||
	    fdl_check_whole(c, "queue", "concurrency", 0, FDL_QUEUE_MAX, &concurrency) < 0 ||
	    fdl_check_whole(c, "queue", "priority", -FDL_PRIORITY_MAX, FDL_PRIORITY_MAX,
			    &priority) < 0 ||
	    fdl_check_whole(c, "queue", "weight", 1, FDL_WEIGHT_MAX, &weight) < 0)
		return -1;
	c->s->queue_max = (uint64_t)max;
	c->s->concurrency = (uint32_t)concurrency;
	c->s->priority = (int32_t)priority;
	c->s->weight = (uint32_t)weight;
	return check_idle(c);
}
