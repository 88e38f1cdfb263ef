// SPDX-License-Identifier: Apache-2.0
// scale: how many instances each service has. One thread, which decides and never waits for an instance itself.
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "expose/plan.h"
#include "expose/private.h"

enum { LOOK_MS = 1000, FAILED_MAX = 64 };

// ---- outlets, with the lock held -----------------------------------------------------------------------

struct outlet *scale_outlet(struct expose *x, int64_t service)
{
	for (struct outlet *o = x->outlets; o; o = o->next)
		if (o->service == service)
			return o;
	return NULL;
}

static bool is_newer(const struct outlet *o, const struct service_def *def)
{
	return !o->def || o->def->revision < def->revision;
}

struct outlet *scale_outlet_of(struct expose *x, const struct service_def *def)
{
	struct outlet *o = scale_outlet(x, def->id);

	if (!o) {
		o = mem_zalloc(sizeof(*o));
		o->x = x;
		o->service = def->id;
		o->waiters_tail = &o->waiters;
		o->next = x->outlets;
		x->outlets = o;
	}
	if (is_newer(o, def)) {
		service_def_put(o->def);
		o->def = service_def_ref((struct service_def *)(uintptr_t)def);
		o->failures = 0; // what changed may have been what was wrong
		o->retry_ns = 0;
		pthread_cond_signal(&x->scale);
	}
	return o;
}

bool scale_takes(const struct instance *i)
{
	return i->state == I_READY && !i->end && !i->ended && i->active < i->def->fdl->expose.calls;
}

// One of an older revision serves until there is one of the newest. One that is frozen stays so if another is as idle.
static bool is_better(const struct instance *a, const struct instance *b)
{
	if (a->def->revision != b->def->revision)
		return a->def->revision > b->def->revision;
	return a->active != b->active ? a->active < b->active : !a->frozen && b->frozen;
}

struct instance *scale_pick(const struct outlet *o)
{
	struct instance *best = NULL;

	for (struct instance *i = o->instances; i; i = i->next)
		if (scale_takes(i) && (!best || is_better(i, best)))
			best = i;
	return best;
}

void scale_put_waiter(struct outlet *o, struct exchange *q)
{
	q->next = NULL;
	*o->waiters_tail = q;
	o->waiters_tail = &q->next;
	o->waiting++;
}

struct exchange *scale_take_waiter(struct outlet *o)
{
	struct exchange *q = o->waiters;

	if (!q)
		return NULL;
	o->waiters = q->next;
	if (!o->waiters)
		o->waiters_tail = &o->waiters;
	o->waiting--;
	return q;
}

void scale_drop_waiter(struct outlet *o, const struct exchange *q)
{
	for (struct exchange **at = &o->waiters; *at; at = &(*at)->next)
		if (*at == q) {
			*at = q->next;
			if (o->waiters_tail == &q->next)
				o->waiters_tail = at;
			o->waiting--;
			return;
		}
}

// ---- what the services say -----------------------------------------------------------------------------

static void refresh(struct expose *x)
{
	static const struct service_caller all = { .admin = true, .name = "" };
	auto_arena struct arena mem = { 0 };
	struct service_def **defs;
	struct err e = { 0 };
	bool *paused;
	size_t n;

	if (service_list(x->o.services, &all, &mem, &defs, &n, &e) < 0) {
		log_warn("expose", "%s", e.msg);
		return;
	}
	paused = arena_alloc(&mem, n + 1);
	for (size_t i = 0; i < n; i++)
		paused[i] = service_flow_get(x->o.services, defs[i]->id).paused;
	pthread_mutex_lock(&x->lock);
	for (struct outlet *o = x->outlets; o; o = o->next)
		o->seen = false;
	for (size_t i = 0; i < n; i++) {
		struct outlet *o = scale_outlet(x, defs[i]->id);

		if (!o && !defs[i]->fdl->expose.port)
			continue;
		o = scale_outlet_of(x, defs[i]);
		o->seen = true;
		o->paused = paused[i];
	}
	for (struct outlet *o = x->outlets; o; o = o->next)
		o->deleted = !o->seen;
	pthread_mutex_unlock(&x->lock);
	service_list_put(defs, n);
}

// ---- one service, with the lock held -------------------------------------------------------------------

static bool is_off(const struct outlet *o)
{
	return o->deleted || o->paused || o->stopped || !o->def->fdl->expose.port || o->x->closing;
}

static unsigned alive(const struct outlet *o)
{
	unsigned n = 0;

	for (const struct instance *i = o->instances; i; i = i->next)
		n += (i->state == I_STARTS || i->state == I_READY) && !i->end && !i->ended &&
		     i->def->revision == o->def->revision;
	return n;
}

static void start_more(struct expose *x, struct outlet *o, unsigned n)
{
	for (; n; n--) {
		if (x->instances >= x->o.instances_max) {
			snprintf(o->told.reason, sizeof(o->told.reason),
				 "there are %u instances already, and no more are allowed",
				 x->instances);
			return;
		}
		instance_start(o, x);
	}
}

static struct plan_instance view(const struct outlet *o, const struct instance *i)
{
	return (struct plan_instance){
		.state = i->end || i->ended || i->state == I_LEAVES || i->state == I_GONE
				 ? PLAN_LEAVES
			 : i->state == I_STARTS ? PLAN_STARTS
						: PLAN_READY,
		.old = i->def->revision != o->def->revision,
		.rests = i->freeze || i->frozen || i->unfreezable,
		.active = i->active,
		.idle_since_ns = i->idle_ns,
	};
}

// Looks at a service, and does what is planned for it.
static void adjust(struct expose *x, struct outlet *o, int64_t now, int64_t *next)
{
	const struct fdl_service *f = o->def->fdl;
	const struct plan_service s = {
		.off = is_off(o),
		.min = f->expose.min,
		.max = f->expose.max,
		.calls = f->expose.calls,
		.waiting = o->waiting,
		.idle_stop_ns = f->idle_stop_s * NS_PER_S,
		.freeze_after_ns = f->freeze_after_s * NS_PER_S,
		.retry_ns = o->retry_ns,
		.changed_ago_ns = clock_wall_ns() - o->def->changed_ns,
	};
	auto_free struct plan_instance *views = mem_alloc((o->count + 1) * sizeof(*views));
	struct plan plan;
	size_t n = 0;

	for (const struct instance *i = o->instances; i; i = i->next)
		views[n++] = view(o, i);
	plan = plan_make(&s, views, n, now, *next);
	*next = plan.look_ns;
	n = 0;
	for (struct instance *i = o->instances; i; i = i->next, n++)
		if (views[n].action == PLAN_END)
			instance_end(i, x, o->deleted || x->closing);
		else if (views[n].action == PLAN_FREEZE)
			instance_freeze(i);
	start_more(x, o, plan.start);
}

static const char *why_none(const struct outlet *o, int64_t now)
{
	if (o->deleted)
		return "the service is deleted";
	if (o->paused || o->stopped)
		return o->paused ? "the service is paused" : "the service is stopped";
	if (is_off(o))
		return "the service is not exposed any more";
	// What cannot begin now may soon; what failed is not waited for.
	return o->failures && now < o->retry_ns && !alive(o) ? o->told.reason : NULL;
}

struct failed {
	struct exchange *q;
	const char *why;
};

// Those for whom there will be nothing.
static size_t give_up(struct outlet *o, int64_t now, struct failed *out, size_t max)
{
	const char *why = why_none(o, now);
	size_t n = 0;

	while (why && n < max) {
		struct exchange *q = scale_take_waiter(o);

		if (!q)
			break;
		exchange_unpark(q);
		out[n++] = (struct failed){ q, arena_printf(http_arena(q->http),
							    "no instance: %s\n", why) };
	}
	return n;
}

static struct instance *reap(struct expose *x, struct outlet *o)
{
	for (struct instance **at = &o->instances; *at; at = &(*at)->next) {
		struct instance *i = *at;

		if (i->state != I_GONE || i->active)
			continue;
		*at = i->next;
		o->count--;
		x->instances--;
		return i;
	}
	return NULL;
}

// ---- the thread ----------------------------------------------------------------------------------------

static void drop_outlets(struct expose *x)
{
	char last[EXEC_JOB_ID_MAX];

	for (struct outlet **at = &x->outlets; *at;) {
		struct outlet *o = *at;

		if (!(o->deleted || x->closing) || o->instances || o->requests) {
			at = &o->next;
			continue;
		}
		*at = o->next;
		memcpy(last, o->last, sizeof(last));
		service_def_put(o->def);
		mem_free(o);
		if (last[0]) {
			pthread_mutex_unlock(&x->lock);
			dispatch_server_forget(x->o.dispatch, last);
			pthread_mutex_lock(&x->lock);
			at = &x->outlets;
		}
	}
}

// With the lock held, which is given up where something takes long. When to look again (monotonic).
static int64_t round_trip(struct expose *x)
{
	int64_t now = clock_mono_ns(), next = now + LOOK_MS * NS_PER_MS;
	struct failed failed[FAILED_MAX];
	struct instance *gone = NULL;
	size_t n = 0;

	for (struct outlet *o = x->outlets; o && !gone; o = o->next) {
		adjust(x, o, now, &next);
		n += give_up(o, now, failed + n, FAILED_MAX - n);
		gone = reap(x, o);
	}
	if (!gone && !n) {
		drop_outlets(x);
		return next;
	}
	pthread_mutex_unlock(&x->lock);
	for (size_t i = 0; i < n; i++)
		exchange_fail(failed[i].q, 503, failed[i].why, true);
	if (gone)
		instance_free(gone);
	pthread_mutex_lock(&x->lock);
	return 0;
}

void *scale_main(void *arg)
{
	struct expose *x = arg;
	int64_t listed = 0;

	pthread_mutex_lock(&x->lock);
	while (!x->stop || x->outlets) {
		int64_t next;

		if (!x->closing && (x->refresh || clock_mono_ns() - listed > LOOK_MS * NS_PER_MS)) {
			x->refresh = false;
			pthread_mutex_unlock(&x->lock);
			refresh(x);
			listed = clock_mono_ns();
			pthread_mutex_lock(&x->lock);
		}
		next = round_trip(x);
		if (next && !x->refresh)
			lock_wait(&x->scale, &x->lock, next);
	}
	pthread_mutex_unlock(&x->lock);
	return NULL;
}
