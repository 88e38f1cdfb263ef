// bed: dispatch over the fake driver, with a real database, store, queue and services. What a job does is said
// by its service's script: see bed_rule(). Threads: the test's, besides those of what is tested.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "../service/place.h"
#include "base/clock.h"
#include "dispatch/dispatch.h"
#include "exec/fake/fake.h"
#include "queue/call.h"

#include <stdatomic.h>
#include <unistd.h>

enum { BED_WAIT_S = 30 };

struct bed {
	struct place place;
	struct exec_fake_world *world; // NULL: one of each driver's own
	struct exec_driver *driver;
	char much[16385]; // a log
	struct dispatch *d;
	struct exec_fake_options fake;
	struct dispatch_options o;
	atomic_uint asked;		// jobs that came to the driver
	const struct exec_ops *ops;	// to be used in place of the driver's own, NULL = those
	const struct exec_ops *of_fake; // the driver's own
};

// The first word of the script: "ok" ends well and leaves the input as file "out"; "print" only prints a line, "print-much" 16,384
// bytes;
// "fail" exits with 7, "fail-once" the first time only; "oom", "timeout", "lost", "lost-once" say it themselves;
// "never" runs until it is cancelled, and says that a quarter is done; "bad-name" leaves an output that cannot be stored; "slow" takes 300 ms.
static inline void bed_rule(void *owner, const struct exec_spec *s, struct exec_fake_answer *out)
{
	struct bed *b = owner;
	struct span rest = s->script, word = span_cut(&rest, '\n');
	bool first = s->attempt == 1;

	atomic_fetch_add(&b->asked, 1);
	if (span_is(word, "ok") || span_is(word, "slow") || span_is(word, "fail-once") ||
	    span_is(word, "lost-once")) {
		out->output_name = s->input_count ? s->inputs[0].name : "out";
		out->output = s->input_count ? s->inputs[0].bytes : SPAN("nothing");
	}
	out->delay_ms = span_is(word, "slow") ? 300 : b->fake.delay_max_ms ? -1 : 0;
	out->log = span_is(word, "print") ? "printed\n" : NULL;
	if (span_is(word, "print-much")) // the log is copied; more than is kept as a row
		out->log = b->much;
	out->never = span_is(word, "never");
	out->progress = out->never ? "{\"progress\":0.25,\"message\":\"a quarter\"}\n" : NULL;
	if (span_is(word, "bad-name")) {
		out->output_name = "a\nb";
		out->output = SPAN("x");
	}
	if (span_is(word, "fail") || (span_is(word, "fail-once") && first)) {
		out->exit_code = 7;
		out->output_name = "half";
		out->output = SPAN("half");
	}
	if (span_is(word, "oom"))
		out->outcome = EXEC_OOM;
	if (span_is(word, "timeout"))
		out->outcome = EXEC_TIMEOUT;
	if (span_is(word, "lost") || (span_is(word, "lost-once") && first))
		out->outcome = EXEC_LOST;
}

static inline void bed_start(struct bed *b)
{
	struct exec_events ev;
	struct err e = { 0 };

	b->o.db = b->place.db;
	b->o.store = b->place.store;
	b->o.queue = b->place.queue;
	b->o.services = b->place.services;
	b->o.data_dir = b->place.dir;
	b->fake.world = b->world;
	b->fake.rule = bed_rule;
	b->fake.rule_owner = b;
	if (dispatch_open(&b->d, &b->o, &e) < 0)
		fail_msg("%s", e.msg);
	ev = dispatch_events(b->d);
	if (exec_fake_open(&b->driver, &b->fake, &ev, &e) < 0)
		fail_msg("%s", e.msg);
	b->of_fake = b->driver->ops;
	if (b->ops)
		b->driver->ops = b->ops;
	if (dispatch_start(b->d, b->driver, &e) < 0)
		fail_msg("%s", e.msg);
}

static inline void bed_stop(struct bed *b, bool end_jobs)
{
	if (b->d)
		dispatch_stop(b->d, end_jobs);
	dispatch_close(b->d);
	b->d = NULL;
}

// A new life of everything but the world of the driver.
static inline void bed_reopen(struct bed *b)
{
	place_close(&b->place);
	place_open(&b->place);
	bed_start(b);
}

static inline void bed_service(struct bed *b, const char *name, const char *script,
			       const char *more)
{
	auto_free char *text =
		mem_printf("{'name':'%s','image':'host','script':'%s','cpu':'0.1','memory':'16Mi',"
			   "'input':[{'path':'%s/in','storage_provider':'minio.default'}],"
			   "'output':[{'path':'%s/out','storage_provider':'minio.default'}]%s}",
			   name, script, name, name, more);

	place_create(&b->place, place_admin(), text);
}

static inline int64_t bed_call(struct bed *b, const char *service, const char *payload)
{
	struct service_caller admin = place_admin();
	auto_service_def struct service_def *def = NULL;
	struct err e = { 0 };
	int64_t job = 0;

	if (service_get(b->place.services, &admin, span_of(service), &def, &e) < 0 ||
	    service_call(b->place.services, def, AUTH_ADMIN_ID, span_of(payload), NULL, &job, &e) <
		    0)
		fail_msg("%s", e.msg);
	return job;
}

// A call whose caller waits.
static inline int64_t bed_ask(struct bed *b, const char *service, const char *payload,
			      dispatch_answer_fn fn, void *owner)
{
	struct service_caller admin = place_admin();
	auto_service_def struct service_def *def = NULL;
	struct queue_call *call = NULL;
	struct err e = { 0 };
	int64_t job;

	if (service_get(b->place.services, &admin, span_of(service), &def, &e) < 0 ||
	    dispatch_call_new(b->d, def, AUTH_ADMIN_ID, span_of(payload), NULL, &call, &e) < 0)
		fail_msg("%s", e.msg);
	job = call->row.id;
	if (dispatch_call(b->d, call, fn, owner, &e) < 0)
		fail_msg("%s", e.msg);
	return job;
}

static inline void bed_wait_active(struct bed *b, unsigned n)
{
	int64_t deadline = clock_mono_ns() + BED_WAIT_S * NS_PER_S;
	struct dispatch_usage u;

	for (dispatch_usage(b->d, &u); u.active != n; dispatch_usage(b->d, &u)) {
		if (clock_mono_ns() > deadline)
			fail_msg("%u jobs are active, not %u", u.active, n);
		usleep(2000);
	}
}

// Is there such a job in the database? A young call is not.
static inline bool bed_has_row(struct bed *b, int64_t id)
{
	struct queue_job j;
	struct err e = { 0 };
	int bad = queue_job_get(b->place.queue, id, &b->place.mem, &j, &e);

	if (bad && e.code != ERR_NOT_FOUND)
		fail_msg("%s", e.msg);
	return !bad;
}

static inline struct queue_job bed_job(struct bed *b, int64_t id)
{
	struct queue_job j;
	struct err e = { 0 };

	if (queue_job_get(b->place.queue, id, &b->place.mem, &j, &e) < 0)
		fail_msg("%s", e.msg);
	return j;
}

// Waits until the job is in the state, or in a final one.
static inline struct queue_job bed_wait(struct bed *b, int64_t id, enum queue_state state)
{
	int64_t deadline = clock_mono_ns() + BED_WAIT_S * NS_PER_S;

	while (!bed_has_row(b, id) && clock_mono_ns() < deadline)
		usleep(2000);
	for (;;) {
		struct queue_job j = bed_job(b, id);

		if (j.state == state)
			return j;
		if (j.state >= QUEUE_SUCCEEDED || clock_mono_ns() > deadline)
			fail_msg("job %lld is %s (%s), not %s", (long long)id,
				 queue_state_name(j.state), j.reason, queue_state_name(state));
		usleep(2000);
	}
}

// Waits until all jobs of a service are in final states and none is active.
static inline void bed_wait_all(struct bed *b, const char *service,
				uint64_t counts[static QUEUE_STATES])
{
	int64_t id = place_service_id(&b->place, service);
	int64_t deadline = clock_mono_ns() + 3 * BED_WAIT_S * NS_PER_S;
	struct dispatch_usage u;
	struct err e = { 0 };

	for (;;) {
		if (queue_counts(b->place.queue, id, 0, counts, &e) < 0)
			fail_msg("%s", e.msg);
		dispatch_usage(b->d, &u);
		if (!u.active && !(counts[QUEUE_QUEUED] + counts[QUEUE_STAGING] +
				   counts[QUEUE_RUNNING] + counts[QUEUE_UPLOADING]))
			return;
		if (clock_mono_ns() > deadline)
			fail_msg("%u active, %llu queued, %llu staging, %llu running, %llu "
				 "uploading",
				 u.active, (unsigned long long)counts[QUEUE_QUEUED],
				 (unsigned long long)counts[QUEUE_STAGING],
				 (unsigned long long)counts[QUEUE_RUNNING],
				 (unsigned long long)counts[QUEUE_UPLOADING]);
		usleep(5000);
	}
}

static inline void bed_wait_idle(struct bed *b)
{
	int64_t deadline = clock_mono_ns() + BED_WAIT_S * NS_PER_S;
	struct dispatch_usage u;

	for (dispatch_usage(b->d, &u); u.active; dispatch_usage(b->d, &u)) {
		if (clock_mono_ns() > deadline)
			fail_msg("%u jobs stay active", u.active);
		usleep(2000);
	}
	assert_int_equal(u.cpu_millis_used, 0);
	assert_int_equal(u.memory_used, 0);
}

// Objects with the prefix, without the folder's own.
static inline size_t bed_objects(struct bed *b, const char *bucket, const char *prefix)
{
	struct store_list_options o = { .bucket = span_of(bucket),
					.prefix = span_of(prefix),
					.limit = STORE_PAGE_MAX };
	struct store_list l;
	struct err e = { 0 };
	size_t n = 0;

	do {
		if (store_list(b->place.store, &o, &b->place.mem, &l, &e) < 0)
			fail_msg("%s", e.msg);
		for (size_t i = 0; i < l.n; i++)
			n += !span_is(l.entries[i].object.key, prefix);
		o.after = l.next;
	} while (l.truncated);
	return n;
}

static inline bool bed_object_is(struct bed *b, const char *bucket, const char *key,
				 const char *bytes)
{
	auto_reader struct store_reader *r = NULL;
	struct store_object o;
	struct err e = { 0 };
	char got[256];

	return store_reader_open(b->place.store, span_of(bucket), span_of(key), 0, &b->place.mem,
				 &o, &r, &e) == 0 &&
	       o.size == strlen(bytes) && o.size < sizeof(got) &&
	       store_reader_pread(r, 0, got, o.size, &e) == (ssize_t)o.size &&
	       memcmp(got, bytes, o.size) == 0;
}

static inline unsigned bed_attempts(struct bed *b, int64_t job, struct queue_attempt **out)
{
	struct err e = { 0 };
	size_t n;

	if (queue_attempts(b->place.queue, job, &b->place.mem, out, &n, &e) < 0)
		fail_msg("%s", e.msg);
	return (unsigned)n;
}

static inline int bed_setup(void **state)
{
	struct bed *b = mem_zalloc(sizeof(*b));

	memset(b->much, 'm', sizeof(b->much) - 1);
	place_init(&b->place);
	b->fake.seed = 20261123;
	*state = b;
	return 0;
}

static inline int bed_teardown(void **state)
{
	struct bed *b = *state;

	bed_stop(b, true);
	exec_fake_world_free(b->world);
	place_release(&b->place);
	mem_free(b);
	return 0;
}
