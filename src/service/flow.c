// SPDX-License-Identifier: Apache-2.0
// flow: services that are paused, kept in memory beside the definitions.
#include "base/mem.h"
#include "db/db.h"
#include "db/feed.h"
#include "fdl/fdl.h"
#include "service/registry.h"

static void put(struct services *s, int64_t service, struct service_flow flow)
{
	uint64_t key = (uint64_t)service;
	struct service_flow *mine = NULL;

	if (flow.paused) {
		mine = mem_zalloc(sizeof(*mine));
		*mine = flow;
	}
	pthread_rwlock_wrlock(&s->lock);
	mem_free(mine ? map_put(&s->flows, map_key_u64(&key), mine)
		      : map_remove(&s->flows, map_key_u64(&key)));
	pthread_rwlock_unlock(&s->lock);
}

int flow_load(struct services *s, struct db_conn *c, struct err *e)
{
	auto_query struct db_stmt *q =
		db_query(c, "SELECT id,drain_to FROM services WHERE paused<>0", DB_NO_ARGS, e);
	int got;

	while ((got = db_step(q, e)) > 0)
		put(s, db_col_int(q, 0), (struct service_flow){ true, db_col_int(q, 1) });
	return got;
}

void flow_forget(struct services *s, int64_t service)
{
	put(s, service, (struct service_flow){ 0 });
}

void flow_release(struct services *s)
{
	size_t at = 0;
	void *value;

	while (map_next(&s->flows, &at, NULL, &value))
		mem_free(value);
	map_release(&s->flows);
}

struct service_flow service_flow_get(struct services *s, int64_t service)
{
	uint64_t key = (uint64_t)service;
	struct service_flow flow = { 0 };
	const struct service_flow *mine;

	pthread_rwlock_rdlock(&s->lock);
	mine = map_get(&s->flows, map_key_u64(&key));
	if (mine)
		flow = *mine;
	pthread_rwlock_unlock(&s->lock);
	return flow;
}

struct turn {
	const struct service_def *def;
	enum service_flow_change change;
	struct service_flow flow;
};

static int turn_in(struct db_conn *c, void *arg, struct err *e)
{
	static const char *const words[] = { "paused", "draining", "resumed" };
	struct turn *t = arg;
	auto_free char *doc = mem_printf("{\"service\":\"%s\",\"change\":\"%s\"}",
					 t->def->fdl->name, words[t->change]);

	t->flow = (struct service_flow){ .paused = t->change != SERVICE_RESUME };
	// All numbers that were given to jobs, also to calls that are not written yet; new calls are refused.
	if (t->change == SERVICE_DRAIN &&
	    db_get_int(c, "SELECT seq FROM sqlite_sequence WHERE name='jobs'", DB_NO_ARGS, 0,
		       &t->flow.upto, e) < 0)
		return -1;
	if (db_exec(c, "UPDATE services SET paused=?2,drain_to=?3 WHERE id=?1",
		    DB_ARGS(db_int(t->def->id), db_int(t->flow.paused), db_int(t->flow.upto)),
		    e) < 0)
		return -1;
	return feed_append(c, "service", t->def->owner, span_of(doc), e);
}

int service_flow_set(struct services *s, const struct service_caller *who, struct span name,
		     enum service_flow_change change, struct err *e)
{
	auto_lock held = lock_hold(&s->change);
	auto_service_def struct service_def *d = NULL;
	struct turn t = { .change = change };

	if (service_get(s, who, name, &d, e) < 0)
		return -1;
	if (!who->admin && who->user != d->owner)
		return err_set(e, ERR_DENIED, "only the owner may pause and resume a service");
	t.def = d;
	if (db_write(s->o.db, turn_in, &t, e) < 0)
		return -1;
	put(s, d->id, t.flow);
	return 0;
}
