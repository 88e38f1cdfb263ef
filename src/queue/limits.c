// SPDX-License-Identifier: Apache-2.0
// limits: what users may have queued and running, read once and kept in memory.
#include "base/lock.h"
#include "base/mem.h"
#include "queue/row.h"

int limits_load(struct queue *q, struct err *e)
{
	struct db_conn *c = db_reader(q->db, e);
	auto_query struct db_stmt *s = NULL;
	int got;

	if (!c)
		return -1;
	s = db_query(c,
		     "SELECT user,running,queued,cpu_millis,memory_bytes,weight FROM user_limits",
		     DB_NO_ARGS, e);
	while ((got = db_step(s, e)) > 0) {
		uint64_t user = (uint64_t)db_col_int(s, 0);
		struct queue_limits *l = mem_zalloc(sizeof(*l));

		*l = (struct queue_limits){ .running = (uint32_t)db_col_int(s, 1),
					    .queued = (uint64_t)db_col_int(s, 2),
					    .cpu_millis = (uint32_t)db_col_int(s, 3),
					    .memory_bytes = (uint64_t)db_col_int(s, 4),
					    .weight = (uint32_t)db_col_int(s, 5) };
		mem_free(map_put(&q->limits, map_key_u64(&user), l));
	}
	return got;
}

void limits_release(struct queue *q)
{
	size_t at = 0;
	void *value;

	while (map_next(&q->limits, &at, NULL, &value))
		mem_free(value);
	map_release(&q->limits);
}

struct queue_limits queue_limits_get(struct queue *q, int64_t user)
{
	auto_lock held = lock_hold(&q->lock);
	uint64_t key = (uint64_t)user;
	const struct queue_limits *l = map_get(&q->limits, map_key_u64(&key));

	return l ? *l : (struct queue_limits){ 0 };
}

struct setting {
	int64_t user;
	const struct queue_limits *l;
};

static int set(struct db_conn *c, void *arg, struct err *e)
{
	const struct setting *s = arg;

	return db_exec(c,
		       "INSERT OR REPLACE INTO "
		       "user_limits(user,running,queued,cpu_millis,memory_bytes,weight) "
		       "VALUES(?1,?2,?3,?4,?5,?6)",
		       DB_ARGS(db_int(s->user), db_int(s->l->running),
			       db_int((int64_t)s->l->queued), db_int(s->l->cpu_millis),
			       db_int((int64_t)s->l->memory_bytes), db_int(s->l->weight)),
		       e) < 0
		       ? -1
		       : 0;
}

int queue_limits_set(struct queue *q, int64_t user, const struct queue_limits *l, struct err *e)
{
	struct setting s = { user, l };
	uint64_t key = (uint64_t)user;
	struct queue_limits *mine;

	if (l->weight > QUEUE_WEIGHT_MAX)
		return err_set(e, ERR_INVALID, "weight: 1 to %d", QUEUE_WEIGHT_MAX);
	if (l->queued > INT64_MAX || l->memory_bytes > INT64_MAX)
		return err_set(e, ERR_INVALID, "a limit is too large to be one");
	if (db_write(q->db, set, &s, e) < 0)
		return -1;
	mine = mem_zalloc(sizeof(*mine));
	*mine = *l;
	pthread_mutex_lock(&q->lock);
	mem_free(map_put(&q->limits, map_key_u64(&key), mine));
	q->added++; // what waited for room may find some
	pthread_mutex_unlock(&q->lock);
	return 0;
}
