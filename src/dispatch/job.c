// SPDX-License-Identifier: Apache-2.0
// job: the active jobs in memory, the room that they take, and how they are let go.
#include "dispatch/job.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "dispatch/view.h"
#include "fdl/fdl.h"

#include <unistd.h>

char *job_id_text(int64_t job, char out[static EXEC_JOB_ID_MAX])
{
	snprintf(out, EXEC_JOB_ID_MAX, "j%lld", (long long)job);
	return out;
}

int64_t job_number(const char *id)
{
	return id[0] == 'j' ? strtoll(id + 1, NULL, 10) : 0;
}

struct job *job_find(struct dispatch *d, int64_t id)
{
	uint64_t key = (uint64_t)id;

	return map_get(&d->active, map_key_u64(&key));
}

struct fair_size job_size(const struct service_def *def)
{
	const struct fdl_service *f = def->fdl;

	return (struct fair_size){ f->cpu_millis, f->memory_bytes, f->gpus };
}

void room_count(struct fair_size *sum, const struct fair_size *s, bool more)
{
	uint32_t sign = more ? 1 : UINT32_MAX;

	sum->cpu_millis += sign * s->cpu_millis;
	sum->gpus += sign * s->gpus;
	sum->memory_bytes += more ? s->memory_bytes : -s->memory_bytes;
}

void room_take(struct dispatch *d, struct fair_party *p, const struct fair_size *s)
{
	room_count(&d->used, s, true);
	fair_take(&d->fair, p, s, clock_mono_ns());
}

void room_give_back(struct dispatch *d, struct fair_party *p, const struct fair_size *s)
{
	room_count(&d->used, s, false);
	fair_give_back(&d->fair, p, s, clock_mono_ns());
}

struct job *job_add(struct dispatch *d, const struct queue_job *row, struct service_def *def)
{
	struct job *j = mem_zalloc(sizeof(*j));
	uint64_t key = (uint64_t)row->id;

	j->row = *row;
	j->row.key = arena_span(&j->mem, row->key);
	j->def = def;
	j->size = job_size(def);
	j->party = fair_party(&d->fair, row->owner, row->service, clock_mono_ns());
	job_id_text(row->id, j->id);
	map_put(&d->active, map_key_u64(&key), j);
	room_take(d, j->party, &j->size);
	return j;
}

bool dispatch_active(struct dispatch *d, int64_t job, unsigned attempt)
{
	auto_lock held = lock_hold(&d->lock);
	const struct job *j = job_find(d, job);

	return j && j->row.attempt == attempt;
}

bool job_cancelled(struct dispatch *d, const struct job *j)
{
	auto_lock held = lock_hold(&d->lock);

	return j->cancel;
}

char *job_input_name(const struct job *j, char out[static JOB_INPUT_NAME_MAX])
{
	snprintf(out, JOB_INPUT_NAME_MAX, JOB_INPUT_PREFIX "%lld.%u", (long long)j->row.id,
		 j->row.attempt);
	return out;
}

void job_free(struct job *j)
{
	queue_call_put(j->call);
	service_def_put(j->def);
	arena_release(&j->mem);
	mem_free(j);
}

void job_release(struct dispatch *d, struct job *j)
{
	uint64_t key = (uint64_t)j->row.id;
	char input[JOB_INPUT_NAME_MAX];

	unlinkat(d->tmp_dir, job_input_name(j, input), 0);
	view_remove(d, j);
	pthread_mutex_lock(&d->lock);
	map_remove(&d->active, map_key_u64(&key));
	devices_give_back(d, j->id);
	room_give_back(d, j->party, &j->size);
	d->look = true;
	pthread_cond_signal(&d->wake);
	pthread_cond_broadcast(&d->idle);
	pthread_mutex_unlock(&d->lock);
	if (j->call)
		queue_call_settled(d->o.queue, j->call);
	job_free(j);
}

void job_ask_end(struct dispatch *d, const char *job_id, unsigned attempt)
{
	char id[EXEC_JOB_ID_MAX];
	struct err e = { 0 };

	memcpy(id, job_id, sizeof(id));
	pthread_mutex_unlock(&d->lock);
	if (d->driver->ops->cancel(d->driver, id, attempt, &e) < 0 && e.code != ERR_NOT_FOUND) {
		log_warn("dispatch", "ending job %s: %s", id, e.msg);
		again_later(d, job_number(id), AGAIN_CANCEL);
	}
	pthread_mutex_lock(&d->lock);
}

void job_end_if_cancelled(struct dispatch *d, int64_t id)
{
	struct job *j;

	pthread_mutex_lock(&d->lock);
	j = job_find(d, id);
	if (j && j->cancel && !j->ended)
		job_ask_end(d, j->id, j->row.attempt);
	pthread_mutex_unlock(&d->lock);
}
