// SPDX-License-Identifier: Apache-2.0
#include "expose/expose.h"

#include "base/clock.h"
#include "base/mem.h"
#include "expose/private.h"

#include <unistd.h>

enum {
	INSTANCES_MAX = 64,
	WAITING_MAX = 1000,
	TIMEOUT_MS = 300000,
	START_MS = 60000,
	DRAIN_MS = 30000,
};

// ---- the handler ---------------------------------------------------------------------------------------

static void begin(void *owner, struct http_req *r)
{
	exchange_begin(owner, r);
}

static void body(void *owner unused_arg, struct http_req *r, struct span piece)
{
	exchange_body(http_app(r), piece);
}

static void finish(void *owner unused_arg, struct http_req *r)
{
	exchange_finish(http_app(r));
}

static void gone(void *owner unused_arg, struct http_req *r)
{
	exchange_gone(http_app(r));
}

struct http_handler expose_handler(struct expose *x)
{
	return (struct http_handler){ x, begin, body, finish, gone, NULL };
}

// ---- life ----------------------------------------------------------------------------------------------

int expose_open(struct expose **out, const struct expose_options *o, struct err *e)
{
	struct expose *x = mem_zalloc(sizeof(*x));

	x->o = *o;
#define DEFAULT(field, value) x->o.field = o->field ? o->field : (value)
	DEFAULT(instances_max, INSTANCES_MAX);
	DEFAULT(waiting_max, WAITING_MAX);
	DEFAULT(timeout_ms, TIMEOUT_MS);
	DEFAULT(start_ms, START_MS);
	DEFAULT(drain_ms, DRAIN_MS);
#undef DEFAULT
	x->epoll = x->wake = -1;
	x->refresh = true;
	pthread_mutex_init(&x->lock, NULL);
	lock_cond_init(&x->scale);
	if (upstream_open(x, e) < 0) {
		expose_close(x);
		return -1;
	}
	instance_dispatch_events(x);
	lock_thread_start(&x->upstream, "expose", upstream_main, x);
	lock_thread_start(&x->scaler, "expose-scale", scale_main, x);
	x->running = true;
	*out = x;
	return 0;
}

static void set_closing(struct expose *x, bool stop)
{
	uint64_t one = 1;
	ssize_t done;

	pthread_mutex_lock(&x->lock);
	x->closing = true;
	x->stop = x->stop || stop;
	pthread_cond_signal(&x->scale);
	pthread_mutex_unlock(&x->lock);
	done = write(x->wake, &one, sizeof(one));
	(void)done; // full means awake
}

void expose_detach(struct expose *x)
{
	if (x && x->running)
		set_closing(x, false);
}

void expose_close(struct expose *x)
{
	if (!x)
		return;
	if (x->running) {
		set_closing(x, true);
		pthread_join(x->scaler, NULL);
		pthread_join(x->upstream, NULL);
		dispatch_on_servers(x->o.dispatch, NULL);
	}
	upstream_close(x);
	pthread_cond_destroy(&x->scale);
	pthread_mutex_destroy(&x->lock);
	mem_free(x);
}

// ---- looking and ordering ------------------------------------------------------------------------------

static void count(const struct outlet *o, unsigned *ready, unsigned *starting, unsigned *frozen)
{
	for (const struct instance *i = o->instances; i; i = i->next) {
		*ready += i->state == I_READY && !i->ended;
		*starting += i->state == I_STARTS;
		*frozen += i->frozen && i->state == I_READY && !i->ended;
	}
}

void expose_totals(struct expose *x, struct expose_totals *out)
{
	auto_lock held = lock_hold(&x->lock);

	*out = (struct expose_totals){ .requests = x->requests };
	for (const struct outlet *o = x->outlets; o; o = o->next) {
		count(o, &out->ready, &out->starting, &out->frozen);
		out->waiting += o->waiting;
	}
}

void expose_look(struct expose *x, int64_t service, struct expose_state *out)
{
	auto_lock held = lock_hold(&x->lock);
	const struct outlet *o = scale_outlet(x, service);

	*out = (struct expose_state){ 0 };
	if (!o)
		return;
	*out = o->told;
	out->stopped = o->stopped;
	count(o, &out->ready, &out->starting, &out->frozen);
}

void expose_order(struct expose *x, const struct service_def *def, enum expose_order order)
{
	auto_lock held = lock_hold(&x->lock);
	struct outlet *o = scale_outlet_of(x, def);

	o->stopped = order == EXPOSE_STOP;
	o->failures = 0;
	o->retry_ns = 0;
	for (struct instance *i = o->instances; i && order == EXPOSE_RESTART; i = i->next)
		if (i->state == I_STARTS || i->state == I_READY)
			instance_end(i, x, false);
	pthread_cond_signal(&x->scale);
}

int expose_log(struct expose *x, int64_t service, struct err *e)
{
	char id[EXEC_JOB_ID_MAX] = "";

	pthread_mutex_lock(&x->lock);
	const struct outlet *o = scale_outlet(x, service);

	// Before one is ready, the one that ended is of more interest.
	for (const struct instance *i = o ? o->instances : NULL; i && !id[0]; i = i->next)
		if (i->state == I_READY || (i->submitted && i->state == I_STARTS && !o->last[0]))
			memcpy(id, i->id, sizeof(id));
	if (o && !id[0])
		memcpy(id, o->last, sizeof(id));
	pthread_mutex_unlock(&x->lock);
	return id[0] ? dispatch_server_log(x->o.dispatch, id, e)
		     : err_set(e, ERR_NOT_FOUND, "no instance has run yet");
}
