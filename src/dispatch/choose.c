// SPDX-License-Identifier: Apache-2.0
// choose: one round of admission: who is next by fair share and priority, and does it fit beside what runs. A round
// costs a look at each lane and the jobs it takes, however many wait behind them.
#include "base/clock.h"
#include "base/log.h"
#include "dispatch/job.h"
#include "fdl/fdl.h"
#include "store/store.h"

enum {
	TAKEN_MAX = 128, // jobs leased in one round
	UNRUN_MAX = 128, // failed in one round, since they waited too long
	FETCH_FIRST = 4, // jobs of a lane read at a time; twice as many each time after
	FETCH_MAX = 64,
	HOLD_MS =
		30000, // a job whose turn it is and that does not fit for so long holds up all others
};

// A lane in this round.
struct candidate {
	struct queue_lane lane;
	struct fair_party *party;
	struct queue_limits limits; // of the owner
	struct service_def *def;    // of the rows read last
	struct queue_job *rows;
	struct queue_call *call; // instead of a row: the first call that waits
	size_t n, at, fetch;
	int64_t after, upto;
	bool closed; // nothing more of it in this round
};

struct round {
	struct dispatch *d;
	struct arena mem;
	struct candidate *lanes;
	size_t lane_count;
	struct queue_lease_item items[TAKEN_MAX];
	struct job *jobs[TAKEN_MAX];
	size_t taken, called, unrun; // rows and calls that begin, and what failed
	int64_t blocked;	     // the first job whose turn it was and that did not fit
	bool over;
};

static bool within(const struct exec_capacity *all, const struct fair_size *used,
		   const struct fair_size *s)
{
	return (!all->cpu_millis || used->cpu_millis + s->cpu_millis <= all->cpu_millis) &&
	       (!all->memory_bytes || used->memory_bytes + s->memory_bytes <= all->memory_bytes) &&
	       (!all->gpus || used->gpus + s->gpus <= all->gpus);
}

bool choose_fits(const struct dispatch *d, const struct fair_size *s)
{
	return within(&d->capacity, &d->used, s);
}

// With the lock held.
static bool fits(const struct dispatch *d, const struct fair_size *s)
{
	if (d->active.count >= d->o.active_max)
		return false;
	if (!d->active.count && !d->servers.count)
		return true; // alone it may run even when the machine shrank below its request
	return choose_fits(d, s);
}

// With the lock held: jobs of the service at once, whoever they run for.
static unsigned running(const struct dispatch *d, int64_t service)
{
	unsigned n = 0;
	size_t at = 0;
	void *value;

	while (map_next(&d->active, &at, NULL, &value))
		n += ((const struct job *)value)->row.service == service;
	return n;
}

bool choose_allowed(const struct queue_limits *l, const struct fair_party *user,
		    const struct fair_size *s)
{
	return (!l->running || user->running < l->running) &&
	       (!l->cpu_millis || !user->running ||
		user->held.cpu_millis + s->cpu_millis <= l->cpu_millis) &&
	       (!l->memory_bytes || !user->running ||
		user->held.memory_bytes + s->memory_bytes <= l->memory_bytes);
}

// With the lock held: do the limits of the service and of the user allow one more?
static bool allowed(const struct dispatch *d, const struct candidate *c, const struct fair_size *s)
{
	const struct fdl_service *f = c->def->fdl;

	return (!f->concurrency || running(d, c->lane.service) < f->concurrency) &&
	       choose_allowed(&c->limits, c->party->user, s);
}

// A queued job that shall not run: it fails with the reason.
static void fail_unrun(struct round *r, struct queue_call *call, const struct queue_job *row,
		       const char *outcome, const struct err *why)
{
	struct dispatch *d = r->d;
	struct queue_result result = { .outcome = outcome, .exit_code = -1, .reason = why->msg };
	struct queue_lease_item it = { .job = row->id };
	struct dispatch_answer a = { .fd = -1, .timed_out = why->code == ERR_TIMEOUT };
	struct err e = { 0 };

	r->unrun++;
	if (call) {
		if (!queue_call_take(d->o.queue, call))
			return;
		call_end(d, call, QUEUE_FAILED, &result);
		queue_call_put(call);
	} else if (queue_lease(d->o.queue, &it, 1, d->driver->ops->name, d->o.lease_ms, &e) < 0 ||
		   !it.attempt ||
		   queue_end(d->o.queue, row->id, it.attempt, QUEUE_FAILED, 0, &result, &e) < 0)
		log_warn("dispatch", "job %s: %s", row->name, e.msg);
	if (row->sync) {
		snprintf(a.reason, sizeof(a.reason), "%s", why->msg);
		answer_deliver(d, row->id, &a);
	}
}

// The service's wait_timeout: a job that is still queued after it is not worth running.
static bool waited_too_long(const struct queue_job *row, const struct fdl_service *f, struct err *e)
{
	int64_t waited_s = (clock_wall_ns() - row->created_ns) / NS_PER_S;

	if (!f->wait_timeout_s || row->attempt || waited_s <= f->wait_timeout_s)
		return false;
	err_set(e, ERR_TIMEOUT, "waited %lld s in the queue, the service allows %lld s",
		(long long)waited_s, (long long)f->wait_timeout_s);
	return true;
}

// Cores and memory it gets alone, however many it asks for; devices that are not there nobody can give it.
static bool never_fits(struct dispatch *d, const struct fdl_service *f, struct err *e)
{
	auto_lock held = lock_hold(&d->lock);

	return devices_enough(d, f, e) < 0;
}

// ---- lanes ---------------------------------------------------------------------------------------------

static void enter_lane(struct round *r, const struct queue_lane *lane)
{
	struct dispatch *d = r->d;
	struct service_flow flow = service_flow_get(d->o.services, lane->service);
	struct candidate *c = &r->lanes[r->lane_count];
	struct err e = { 0 };

	if (flow.paused && !flow.upto)
		return;
	*c = (struct candidate){ .lane = *lane,
				 .limits = queue_limits_get(d->o.queue, lane->owner),
				 .fetch = FETCH_FIRST,
				 .upto = flow.paused ? flow.upto : INT64_MAX };
	// One whose service was deleted is kept: its jobs fail with that reason.
	if (service_by_id(d->o.services, lane->service, &c->def, &e) < 0)
		c->def = NULL;
	r->lane_count++;
}

static int enter_lanes(struct round *r, struct err *e)
{
	struct dispatch *d = r->d;
	int64_t now = clock_mono_ns();
	struct queue_lane *lanes;
	size_t n;

	if (queue_lanes(d->o.queue, &r->mem, &lanes, &n, e) < 0)
		return -1;
	r->lanes = arena_alloc(&r->mem, (n + 1) * sizeof(*r->lanes));
	for (size_t i = 0; i < n; i++)
		enter_lane(r, &lanes[i]);
	pthread_mutex_lock(&d->lock);
	fair_begin(&d->fair, now);
	for (size_t i = 0; i < r->lane_count; i++) {
		struct candidate *c = &r->lanes[i];

		c->party = fair_party(&d->fair, c->lane.owner, c->lane.service, now);
		fair_waits(c->party, c->limits.weight, c->def ? c->def->fdl->weight : 1);
	}
	fair_settle(&d->fair);
	pthread_mutex_unlock(&d->lock);
	return 0;
}

static void leave_lanes(struct round *r)
{
	for (size_t i = 0; i < r->lane_count; i++)
		service_def_put(r->lanes[i].def);
}

// Users by their shares; the lanes of one by priority, then by the shares of their services.
static bool before(const struct candidate *a, const struct candidate *b)
{
	if (a->party->user != b->party->user)
		return fair_before(a->party->user, b->party->user);
	if (a->lane.priority != b->lane.priority)
		return a->lane.priority > b->lane.priority;
	return fair_before(a->party, b->party);
}

// With the lock held.
static struct candidate *next_lane(struct round *r)
{
	struct candidate *best = NULL;

	for (size_t i = 0; i < r->lane_count; i++)
		if (!r->lanes[i].closed && (!best || before(&r->lanes[i], best)))
			best = &r->lanes[i];
	return best;
}

// The rows of a lane are older than its calls.
static const struct queue_job *next_row(struct round *r, struct candidate *c)
{
	struct queue *q = r->d->o.queue;
	struct err e = { 0 };

	if (c->at == c->n && c->lane.rows) {
		c->at = 0;
		if (queue_ready(q, &c->lane, c->after, c->upto, c->fetch, &r->mem, &c->rows, &c->n,
				&e) < 0)
			log_warn("dispatch", "looking for jobs: %s", e.msg);
		c->fetch = c->fetch * 2 < FETCH_MAX ? c->fetch * 2 : FETCH_MAX;
		c->lane.rows = c->n;
	}
	if (c->at < c->n) {
		c->after = c->rows[c->at].id;
		return &c->rows[c->at++];
	}
	c->call = c->lane.calls ? queue_call_first(q, &c->lane) : NULL;
	return c->call ? &c->call->row : NULL;
}

// The lane's next job with its definition in c->def; NULL: the lane is closed, or the job failed.
static const struct queue_job *next_job(struct round *r, struct candidate *c)
{
	const struct queue_job *row = next_row(r, c);
	struct err e = { 0 };

	if (!row) {
		c->closed = true;
		return NULL;
	}
	if (!c->def || c->def->revision != row->revision) {
		service_def_put(c->def);
		c->def = NULL;
		if (service_revision(r->d->o.services, row->service, row->revision, &c->def, &e) <
		    0) {
			c->def = NULL;
			fail_unrun(r, c->call, row, "stage", &e);
			return NULL;
		}
	}
	if (waited_too_long(row, c->def->fdl, &e)) {
		fail_unrun(r, c->call, row, "waited", &e);
		return NULL;
	}
	if (never_fits(r->d, c->def->fdl, &e)) {
		fail_unrun(r, c->call, row, "stage", &e);
		return NULL;
	}
	return row;
}

// With the lock held: a job begins, a call at once, one with a row when it is leased.
static void begin(struct round *r, struct candidate *c, const struct queue_job *row)
{
	struct dispatch *d = r->d;
	struct job *j;

	if (c->call && !queue_call_take(d->o.queue, c->call))
		return; // it was cancelled
	j = job_add(d, row, service_def_ref(c->def));
	devices_take(d, c->def->fdl, j->id);
	j->devices = devices_names(d, j->id, &j->mem);
	if (c->call) {
		r->called++;
		j->call = c->call; // the queue's reference
		j->row.attempt = 1;
		j->leased_ns = clock_wall_ns();
		job_give(d, j, JOB_STAGE);
	} else {
		r->items[r->taken] =
			(struct queue_lease_item){ .job = row->id, .devices = j->devices };
		r->jobs[r->taken++] = j;
	}
	if (row->id == d->held_job)
		d->held_job = 0;
}

// With the lock held: it is this job's turn.
static void take(struct round *r, struct candidate *c, const struct queue_job *row)
{
	struct dispatch *d = r->d;
	struct fair_size s = job_size(c->def);

	if (job_find(d, row->id))
		return;
	if (!allowed(d, c, &s)) {
		c->closed = true;
	} else if (!devices_free(d, c->def->fdl)) {
		// Nobody behind it gets one before, else one that needs several would wait for ever.
		devices_wait(d, c->def->fdl);
		c->closed = true;
	} else if (
		!fits(d,
		      &s)) { // a large one does not hold up smaller ones of others, but not for ever
		c->closed = true;
		if (!r->blocked)
			r->blocked = row->id;
		// Servers do not end for it: what has no room beside them holds up nothing.
		r->over = row->id == d->held_job && within(&d->capacity, &d->served, &s) &&
			  clock_mono_ns() > d->held_ns + HOLD_MS * NS_PER_MS;
	} else {
		begin(r, c, row);
	}
}

// It goes on with another round.
static bool full(const struct round *r)
{
	return r->taken + r->called >= TAKEN_MAX || r->unrun >= UNRUN_MAX;
}

static void choose(struct round *r)
{
	struct dispatch *d = r->d;

	while (!r->over && !full(r)) {
		const struct queue_job *row;
		struct candidate *c;

		pthread_mutex_lock(&d->lock);
		c = next_lane(r);
		pthread_mutex_unlock(&d->lock);
		if (!c)
			break;
		row = next_job(r, c);
		if (row) {
			pthread_mutex_lock(&d->lock);
			take(r, c, row);
			pthread_mutex_unlock(&d->lock);
		}
		queue_call_put(c->call);
		c->call = NULL;
	}
	pthread_mutex_lock(&d->lock);
	if (r->blocked && !d->held_job) {
		d->held_job = r->blocked;
		d->held_ns = clock_mono_ns();
	} else if (!r->blocked) {
		d->held_job = 0;
	}
	pthread_mutex_unlock(&d->lock);
}

static void lease(struct round *r)
{
	struct dispatch *d = r->d;
	struct err e = { 0 };
	bool bad = r->taken && queue_lease(d->o.queue, r->items, r->taken, d->driver->ops->name,
					   d->o.lease_ms, &e) < 0;

	if (bad)
		log_warn("dispatch", "lease: %s", e.msg);
	for (size_t i = 0; i < r->taken; i++) {
		struct job *j = r->jobs[i];

		if (bad || !r->items[i].attempt) {
			job_release(d, j);
			continue;
		}
		pthread_mutex_lock(&d->lock); // a cancel may look at the job already
		j->row.attempt = r->items[i].attempt;
		job_give(d, j, JOB_STAGE);
		pthread_mutex_unlock(&d->lock);
	}
}

// Nothing begins that would fill what is left of the disk; it is looked at again each tick.
static bool disk_has_room(struct dispatch *d)
{
	bool low = store_room(d->o.store) != STORE_ROOM_PLENTY;

	if (low != d->disk_low)
		log_warn("dispatch", low ? "the disk is nearly full: no new job starts"
					 : "the disk has room again: jobs start");
	d->disk_low = low;
	return !low;
}

bool choose_round(struct dispatch *d, int64_t *next_ns)
{
	struct round r = { .d = d };
	struct fair_size least = { .cpu_millis = 1 };
	struct err e = { 0 };
	bool more;

	*next_ns = 0;
	pthread_mutex_lock(&d->lock);
	d->added_seen = queue_added(d->o.queue);
	devices_round(&d->devices);
	bool room = fits(d, &least);
	pthread_mutex_unlock(&d->lock);
	if (room && !disk_has_room(d))
		return false;
	if (queue_wake(d->o.queue, clock_wall_ns(), next_ns, &e) < 0 ||
	    (room && enter_lanes(&r, &e) < 0)) {
		log_warn("dispatch", "looking for jobs: %s", e.msg);
		arena_release(&r.mem);
		return false;
	}
	if (room)
		choose(&r);
	lease(&r);
	more = full(&r);
	leave_lanes(&r);
	arena_release(&r.mem);
	return more;
}
