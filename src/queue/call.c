// SPDX-License-Identifier: Apache-2.0
#include "queue/call.h"

#include "base/clock.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/mem.h"
#include "queue/row.h"

enum {
	NUMBERS = 4096, // reserved at a time; those that a life does not use are never used
	NUMBERS_LOW = NUMBERS / 2,
};

// ---- references ----------------------------------------------------------------------------------------

struct queue_call *queue_call_ref(struct queue_call *call)
{
	call->refs++;
	return call;
}

void queue_call_put(struct queue_call *call)
{
	if (!call || --call->refs)
		return;
	mem_free((char *)call->payload.p);
	mem_free(call);
}

// ---- numbers -------------------------------------------------------------------------------------------

// The numbers of jobs are those of their rows; a block is taken out of what SQLite will give the next rows.
static int reserve(struct db_conn *c, void *arg, struct err *e)
{
	struct reservation *r = arg;
	int n = db_exec(c, "UPDATE sqlite_sequence SET seq=seq+?1 WHERE name='jobs'",
			DB_ARGS(db_int(NUMBERS)), e);

	if (n == 0) // no job was ever made
		n = db_exec(c, "INSERT INTO sqlite_sequence(name,seq) VALUES('jobs',?1)",
			    DB_ARGS(db_int(NUMBERS)), e);
	return n < 0 ? -1
		     : db_get_int(c, "SELECT seq FROM sqlite_sequence WHERE name='jobs'",
				  DB_NO_ARGS, 0, &r->end, e);
}

static void reserved(struct db_request *request, int result, const struct err *e)
{
	struct reservation *r = (struct reservation *)request;

	if (result < 0)
		log_warn("queue", "no numbers for calls: %s", e->msg);
	pthread_mutex_lock(&r->queue->lock);
	r->under_way = false;
	r->ready = result == 0;
	pthread_mutex_unlock(&r->queue->lock);
}

// With the lock held.
static void ask_numbers(struct queue *q)
{
	struct reservation *r = &q->reservation;

	if (r->under_way || r->ready)
		return;
	*r = (struct reservation){ .request = { .fn = reserve, .arg = r, .done = reserved },
				   .queue = q,
				   .under_way = true };
	db_submit(q->db, &r->request);
}

// With the lock held: 0 when there is none for now.
static int64_t next_number(struct queue *q)
{
	if (q->number == q->numbers_end && q->reservation.ready) {
		q->numbers_end = q->reservation.end + 1;
		q->number = q->numbers_end - NUMBERS;
		q->reservation.ready = false;
	}
	if (q->numbers_end - q->number <= NUMBERS_LOW)
		ask_numbers(q);
	return q->number < q->numbers_end ? q->number++ : 0;
}

// ---- those that wait -----------------------------------------------------------------------------------

// Calls of one lane, the oldest first.
struct call_lane {
	struct queue_lane key;
	struct queue_call *first, **tail;
	uint64_t count;
};

static struct span lane_key(const struct queue_lane *l, int64_t key[static 3])
{
	key[0] = l->owner;
	key[1] = l->service;
	key[2] = l->priority;
	return span_make(key, 3 * sizeof(*key));
}

// With the lock held, as what follows.
static struct call_lane *lane_find(const struct queue *q, const struct queue_lane *l)
{
	int64_t key[3];

	return map_get(&q->waiting, lane_key(l, key));
}

static void enter_lane(struct queue *q, struct queue_call *call)
{
	struct queue_lane l = { .owner = call->row.owner,
				.service = call->row.service,
				.priority = call->row.priority };
	struct call_lane *lane = lane_find(q, &l);
	int64_t key[3];

	if (!lane) {
		lane = mem_zalloc(sizeof(*lane));
		lane->key = l;
		lane->tail = &lane->first;
		map_put(&q->waiting, lane_key(&l, key), lane);
	}
	call->lane = lane;
	call->next = NULL;
	call->at = lane->tail;
	*lane->tail = call;
	lane->tail = &call->next;
	lane->count++;
	q->waiting_count++;
}

static void leave_lane(struct queue *q, struct queue_call *call)
{
	struct call_lane *lane = call->lane;
	int64_t key[3];

	*call->at = call->next;
	if (call->next)
		call->next->at = call->at;
	else
		lane->tail = call->at;
	call->lane = NULL;
	q->waiting_count--;
	if (--lane->count)
		return;
	map_remove(&q->waiting, lane_key(&lane->key, key));
	mem_free(lane);
}

static void enter_young(struct queue *q, struct queue_call *call)
{
	queue_call_ref(call);
	call->younger = NULL;
	call->young_at = q->young_tail;
	*q->young_tail = call;
	q->young_tail = &call->younger;
}

static void leave_young(struct queue *q, struct queue_call *call)
{
	check(call->young_at);
	*call->young_at = call->younger;
	if (call->younger)
		call->younger->young_at = call->young_at;
	else
		q->young_tail = call->young_at;
	call->young_at = NULL;
}

void calls_start(struct queue *q)
{
	q->young_tail = &q->young;
	pthread_mutex_lock(&q->lock);
	ask_numbers(q);
	pthread_mutex_unlock(&q->lock);
	db_settle(q->db);
}

void calls_release(struct queue *q)
{
	db_settle(q->db);
	while (q->young) {
		struct queue_call *call = q->young;

		if (call->lane) {
			leave_lane(q, call);
			queue_call_put(call);
		}
		leave_young(q, call);
		queue_call_put(call);
	}
	map_release(&q->waiting);
}

uint64_t calls_count(struct queue *q, int64_t service, int64_t owner)
{
	auto_lock held = lock_hold(&q->lock);
	uint64_t n = 0;
	size_t at = 0;
	void *value;

	while (map_next(&q->waiting, &at, NULL, &value)) {
		const struct call_lane *l = value;

		if ((!service || l->key.service == service) && (!owner || l->key.owner == owner))
			n += l->count;
	}
	return n;
}

size_t calls_lanes(struct queue *q, struct arena *mem, struct queue_lane **out)
{
	auto_lock held = lock_hold(&q->lock);
	size_t at = 0, n = 0;
	void *value;

	*out = arena_alloc(mem, (q->waiting.count + 1) * sizeof(**out));
	while (map_next(&q->waiting, &at, NULL, &value)) {
		(*out)[n] = ((const struct call_lane *)value)->key;
		(*out)[n++].calls = true;
	}
	return n;
}

static void describe(struct queue_call *call, const struct queue_new *n, const char *service_name)
{
	call->row = (struct queue_job){ .id = call->row.id,
					.service = n->service,
					.revision = n->revision,
					.owner = n->owner,
					.state = QUEUE_QUEUED,
					.sync = true,
					.priority = n->priority,
					.run = n->run ? n->run : -call->row.id,
					.depth = n->depth,
					.created_ns = clock_wall_ns(),
					.exit_code = -1,
					.key = SPAN("") };
	snprintf(call->row.service_name, sizeof(call->row.service_name), "%s", service_name);
	rand_uuid(call->uuid);
	job_name_make(&call->row, call->uuid);
	call->source = n->source;
	if (n->trace)
		call->trace = *n->trace;
	call->payload = span_make(mem_strndup(n->payload.p, n->payload.n), n->payload.n);
	call->made_ns = clock_mono_ns();
}

int queue_call_new(struct queue *q, const struct queue_new *n, const char *service_name,
		   struct queue_call **out, struct err *e)
{
	struct db_conn *c;
	struct queue_call *call;
	int64_t id;

	if (n->queued_max || queue_limits_get(q, n->owner).queued) {
		c = db_reader(q->db, e);
		if (!c || job_room_in(q, c, n, e) < 0)
			return -1;
	}
	pthread_mutex_lock(&q->lock);
	id = next_number(q);
	pthread_mutex_unlock(&q->lock);
	if (!id)
		return err_set(e, ERR_UNAVAILABLE,
			       "the database takes no writes now: try again in a while");
	call = mem_zalloc(sizeof(*call));
	call->refs = 1;
	call->row.id = id;
	describe(call, n, service_name);
	*out = call;
	return 0;
}

void queue_call_wait(struct queue *q, struct queue_call *call)
{
	auto_lock held = lock_hold(&q->lock);

	enter_lane(q, call);
	enter_young(q, call);
}

struct queue_call *queue_call_first(struct queue *q, const struct queue_lane *l)
{
	auto_lock held = lock_hold(&q->lock);
	const struct call_lane *lane = lane_find(q, l);

	return lane ? queue_call_ref(lane->first) : NULL;
}

bool queue_call_take(struct queue *q, struct queue_call *call)
{
	auto_lock held = lock_hold(&q->lock);

	if (!call->lane)
		return false;
	leave_lane(q, call);
	return true;
}

struct queue_call *queue_call_pick(struct queue *q, const struct queue_filter *f, int64_t job)
{
	auto_lock held = lock_hold(&q->lock);

	for (struct queue_call *call = q->young; call; call = call->younger) {
		const struct queue_job *j = &call->row;

		if (call->lane && (!job || j->id == job) &&
		    (!f->service || j->service == f->service) && (!f->run || j->run == f->run) &&
		    (!f->owner || j->owner == f->owner)) {
			leave_lane(q, call);
			return call;
		}
	}
	return NULL;
}

uint64_t queue_calls_waiting(struct queue *q)
{
	auto_lock held = lock_hold(&q->lock);

	return q->waiting_count;
}

struct queue_call *queue_call_old(struct queue *q, int64_t made_ns, bool *waited, int64_t *next_ns)
{
	auto_lock held = lock_hold(&q->lock);
	struct queue_call *call = q->young;

	*waited = false;
	*next_ns = call ? call->made_ns : 0;
	if (!call || call->made_ns >= made_ns)
		return NULL;
	leave_young(q, call); // its reference goes to the caller
	if (call->lane) {
		leave_lane(q, call);
		*waited = true;
		call->refs--; // two of them are the caller's now; one is enough
	}
	return call;
}

void queue_call_settled(struct queue *q, struct queue_call *call)
{
	pthread_mutex_lock(&q->lock);
	bool mine = call->young_at;

	if (mine)
		leave_young(q, call);
	call->settled = true;
	pthread_mutex_unlock(&q->lock);
	if (mine)
		queue_call_put(call);
}

void queue_call_again(struct queue *q, struct queue_call *call)
{
	auto_lock held = lock_hold(&q->lock);

	if (call->settled || call->young_at)
		return;
	call->made_ns = clock_mono_ns();
	enter_young(q, call);
}
