// SPDX-License-Identifier: Apache-2.0
// calls: from what happened (an object, a call by the API) to queued jobs.
#include "base/log.h"
#include "base/mem.h"
#include "codec/notification.h"
#include "db/db.h"
#include "db/feed.h"
#include "fdl/fdl.h"
#include "queue/queue.h"
#include "service/group.h"
#include "service/registry.h"
#include "store/event.h"
#include "store/store.h"

int service_call_describe(struct services *s, const struct service_def *d, int64_t user,
			  struct span payload, bool sync, const struct trace_context *trace,
			  struct queue_new *out, struct err *e)
{
	if (sync && service_flow_get(s, d->id).paused) // nobody would answer
		return err_set(e, ERR_UNAVAILABLE, "the service %s is paused", d->fdl->name);
	*out = (struct queue_new){ .service = d->id,
				   .revision = d->revision,
				   .owner = user,
				   .source = "api",
				   .payload = payload,
				   .sync = sync,
				   .priority = 2 * d->fdl->priority + sync,
				   .trace = trace,
				   .queued_max = d->fdl->queue_max };
	return 0;
}

int service_call(struct services *s, const struct service_def *d, int64_t user, struct span payload,
		 const struct trace_context *trace, int64_t *job, struct err *e)
{
	struct queue_new n;

	if (service_call_describe(s, d, user, payload, false, trace, &n, e) < 0)
		return -1;
	return queue_add(s->o.queue, &n, job, e);
}

static int trigger_in(struct services *s, struct db_conn *c, const struct trigger *t,
		      const struct store_event *ev, struct err *e)
{
	auto_buf struct buf record = { .max = STORE_EVENT_TEXT_MAX };
	struct queue_new n = { .service = t->def->id,
			       .revision = t->def->revision,
			       .owner = t->def->owner,
			       .trigger = t->id,
			       .source = "store",
			       .bucket = ev->bucket_id,
			       .key = ev->key,
			       .version = ev->version,
			       .priority = 2 * t->def->fdl->priority,
			       .queued_max = t->def->fdl->queue_max,
			       .unbounded = ev->cause && ev->cause->job };
	int64_t job;

	if (ev->cause) {
		n.run = ev->cause->run;
		n.depth = ev->cause->depth;
		n.trace = ev->cause->trace;
	}
	if (n.depth >= s->o.depth_max) {
		auto_free char *doc = mem_printf("{\"service\":\"%s\",\"change\":\"loop-stopped\"}",
						 t->def->fdl->name);

		log_warn("service",
			 "a chain of %u jobs is taken for an endless loop: " SPAN_FMT
			 " does not trigger %s",
			 n.depth, SPAN_ARG(ev->key), t->def->fdl->name);
		return feed_append(c, "service", t->def->owner, span_of(doc), e);
	}
	if (!store_event_write(ev, STORE_EVENT_POSTED, ev->version, &record))
		return err_set(e, ERR_LIMIT, "the event record is over %d bytes",
			       STORE_EVENT_TEXT_MAX);
	n.payload = buf_span(&record);
	if (fdl_io_groups(&t->def->fdl->inputs[t->input]))
		return group_take_in(s, c, t->def, t->input, &n, e);
	return queue_add_in(s->o.queue, c, &n, &job, e) < 0
		       ? err_wrap(e, "service %s", t->def->fdl->name)
		       : 0;
}

int service_object_changed(void *services, struct db_conn *c, const struct store_event *ev,
			   struct err *e)
{
	struct services *s = services;
	uint64_t bucket = (uint64_t)ev->bucket_id;
	auto_arena struct arena mem = { 0 };
	struct trigger *hit =
		NULL; // what the object triggers; the lock is not held while rows are written
	uint32_t what;
	int bad = 0;

	if (!notification_events(span_of(ev->name), &what) || !(what & NOTIFICATION_CREATED))
		return 0;
	pthread_rwlock_rdlock(&s->lock);
	for (struct trigger *t = map_get(&s->by_bucket, map_key_u64(&bucket)); t; t = t->next) {
		struct trigger *mine;
		struct span name;

		if (t->input >= t->def->fdl->input_count ||
		    !fdl_io_takes(&t->def->fdl->inputs[t->input], ev->bucket, ev->key, &name))
			continue;
		mine = arena_alloc(&mem, sizeof(*mine));
		*mine = *t;
		mine->def = service_def_ref(t->def);
		mine->next = hit;
		hit = mine;
	}
	pthread_rwlock_unlock(&s->lock);
	for (; hit; hit = hit->next) {
		if (!bad)
			bad = trigger_in(s, c, hit, ev, e);
		service_def_put(hit->def);
	}
	return bad;
}
