// SPDX-License-Identifier: Apache-2.0
// retain: finished jobs, their logs and events, and the feed do not grow without bound. The oldest go in pieces, each a
// write of its own between those of others; what is due is found anew each time, so a restart needs no memory of it.
// Log files go before their job's row: a crash between them leaves a job without log, which goes next.
#include "base/clock.h"
#include "base/log.h"
#include "db/db.h"
#include "db/feed.h"
#include "dispatch/job.h"

enum {
	PASS_MS = 5000,
	PAUSE_MS = 10,	   // between two pieces
	FEED_TRIM = 10000, // entries of the feed in one piece
	FEED_PIECES = 8,   // in one pass
};

static int trim_feed(struct db_conn *c, void *arg, struct err *e)
{
	const struct dispatch *d = arg;

	return feed_trim(c, d->o.keep_feed, FEED_TRIM, e);
}

static void remove_files(struct dispatch *d, const struct queue_old *old, size_t n)
{
	for (size_t i = 0; i < n; i++)
		dispatch_log_remove(d, old[i].job, old[i].attempts);
}

// True when there may be more.
static bool forget_some(struct dispatch *d, const struct service_keep *k, struct err *e)
{
	struct queue_old old[QUEUE_OLD_MAX];
	int64_t before = k->s ? clock_wall_ns() - k->s * NS_PER_S : 0;
	size_t n;

	if (queue_old(d->o.queue, k->service, before, k->jobs, old, &n, e) < 0)
		return false;
	remove_files(d, old, n);
	return n && queue_forget(d->o.queue, old, n, e) == 0;
}

// Logs that go before their jobs do, likewise.
static bool forget_some_logs(struct dispatch *d, const struct service_keep *k, struct err *e)
{
	struct queue_old old[QUEUE_OLD_MAX];
	size_t n;

	if (!k->logs_s || queue_log_old(d->o.queue, k->service,
					clock_wall_ns() - k->logs_s * NS_PER_S, old, &n, e) < 0)
		return false;
	remove_files(d, old, n);
	return n && queue_log_forget(d->o.queue, old, n, e) == 0;
}

static void forget_all(struct dispatch *d, const struct service_keep *k, struct err *e)
{
	while (forget_some(d, k, e) && chore_rest(&d->retain, PAUSE_MS * NS_PER_MS))
		;
	while (!e->code && !d->retain.stop && forget_some_logs(d, k, e) &&
	       chore_rest(&d->retain, PAUSE_MS * NS_PER_MS))
		;
}

// What services say keeps less than the server would.
static void forget_of_services(struct dispatch *d, struct err *e)
{
	auto_arena struct arena mem = { 0 };
	struct service_keep *list;
	size_t n;

	service_keeps(d->o.services, &mem, &list, &n);
	for (size_t i = 0; i < n && !d->retain.stop && !e->code; i++)
		forget_all(d, &list[i], e);
}

static void *retain_main(void *arg)
{
	struct dispatch *d = arg;

	while (chore_rest(&d->retain, (d->o.retain_ms ? d->o.retain_ms : PASS_MS) * NS_PER_MS)) {
		const struct service_keep all = { 0, d->o.keep_jobs, d->o.keep_jobs_s,
						  d->o.keep_logs_s };
		struct err e = { 0 };

		forget_all(d, &all, &e);
		if (!e.code)
			forget_of_services(d, &e);
		for (int i = 0; !e.code && i < FEED_PIECES; i++)
			if (db_write_lazy(d->o.db, trim_feed, d, &e) < 0)
				break;
		if (e.code)
			log_warn("dispatch", "deleting what is old: %s", e.msg);
	}
	return NULL;
}

void retain_start(struct dispatch *d)
{
	chore_start(&d->retain, "retain", retain_main, d);
}

void retain_stop(struct dispatch *d)
{
	chore_stop(&d->retain);
}
