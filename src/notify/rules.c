// SPDX-License-Identifier: Apache-2.0
// rules: which buckets tell which targets what, in memory as in the database.
#include "base/log.h"
#include "base/mem.h"
#include "codec/xml.h"
#include "notify/engine.h"
#include "store/store.h"

enum { DOC_MAX = 512 << 10 };
static const char kind[] = "notification";

static void bucket_rules_free(struct bucket_rules *b)
{
	if (!b)
		return;
	arena_release(&b->mem);
	mem_free(b);
}

// Parses and finds the targets; what names none of ours is left out here (rules_set refuses it).
static struct bucket_rules *bucket_rules_new(struct notify *n, int64_t bucket, struct span doc,
					     struct err *e)
{
	struct bucket_rules *b = mem_zalloc(sizeof(*b));
	struct notification l;

	b->bucket = bucket;
	if (notification_parse(&b->mem, arena_span(&b->mem, doc), &l, e) < 0) {
		bucket_rules_free(b);
		return NULL;
	}
	b->rules = arena_alloc(&b->mem, (l.n + 1) * sizeof(*b->rules));
	pthread_rwlock_rdlock(&n->lock);
	for (size_t i = 0; i < l.n; i++) {
		int64_t target = target_by_arn(n, l.rules[i].arn);

		if (!target)
			continue;
		b->rules[b->n++] = (struct rule_target){ l.rules[i], target };
		b->events |= l.rules[i].events;
	}
	pthread_rwlock_unlock(&n->lock);
	return b;
}

static uint32_t all_events(const struct notify *n)
{
	uint32_t events = listeners_events(n);
	struct span key;
	size_t at = 0;
	void *value;

	while (map_next(&n->rules, &at, &key, &value))
		events |= ((struct bucket_rules *)value)->events;
	return events;
}

void rules_wanted(struct notify *n)
{
	atomic_store(&n->wanted, all_events(n));
}

// Rules of a bucket that is gone stay until the next start: no event names them.
static void put(struct notify *n, int64_t bucket, struct bucket_rules *b)
{
	uint64_t id = (uint64_t)bucket;
	struct bucket_rules *old;

	pthread_rwlock_wrlock(&n->lock);
	old = b && b->n ? map_put(&n->rules, map_key_u64(&id), b)
			: map_remove(&n->rules, map_key_u64(&id));
	rules_wanted(n);
	pthread_rwlock_unlock(&n->lock);
	bucket_rules_free(old);
	if (b && !b->n)
		bucket_rules_free(b);
}

int rules_load(struct notify *n, struct err *e)
{
	struct db_conn *c = db_reader(n->db, e);
	auto_query struct db_stmt *q =
		db_query(c, "SELECT bucket,doc FROM bucket_configs WHERE kind='notification'",
			 DB_NO_ARGS, e);
	int got = -1;

	while (q && (got = db_step(q, e)) > 0) {
		struct err why = { 0 };
		struct bucket_rules *b =
			bucket_rules_new(n, db_col_int(q, 0), db_col_span(q, 1), &why);

		if (b)
			put(n, b->bucket, b);
		else
			log_warn("notify", "rules of bucket %lld: %s", (long long)db_col_int(q, 0),
				 why.msg);
	}
	return got;
}

void rules_release(struct notify *n)
{
	struct span key;
	size_t at = 0;
	void *value;

	while (map_next(&n->rules, &at, &key, &value))
		bucket_rules_free(value);
	map_release(&n->rules);
}

void rules_naming(struct notify *n, int64_t target, char out[static 64])
{
	int64_t bucket = 0;
	struct span key;
	size_t at = 0;
	void *value;
	struct db_conn *c;
	struct err ignored = { 0 };

	*out = '\0';
	pthread_rwlock_rdlock(&n->lock);
	while (!bucket && map_next(&n->rules, &at, &key, &value)) {
		struct bucket_rules *b = value;

		for (size_t i = 0; i < b->n; i++)
			if (b->rules[i].target == target)
				bucket = b->bucket;
	}
	pthread_rwlock_unlock(&n->lock);
	c = bucket ? db_reader(n->db, &ignored) : NULL;
	if (!c)
		return;
	auto_query struct db_stmt *q = db_query(c, "SELECT name FROM buckets WHERE id=?1",
						DB_ARGS(db_int(bucket)), &ignored);

	if (q && db_step(q, &ignored) > 0)
		snprintf(out, 64, SPAN_FMT, SPAN_ARG(db_col_span(q, 0)));
}

// ---- setting -------------------------------------------------------------------------------------------

static int check_targets(struct notify *n, const struct notification *l, struct err *e)
{
	for (size_t i = 0; i < l->n; i++) {
		bool known;

		pthread_rwlock_rdlock(&n->lock);
		known = target_by_arn(n, l->rules[i].arn) != 0;
		pthread_rwlock_unlock(&n->lock);
		if (known)
			continue;
		err_set(e, ERR_INVALID,
			"A specified destination ARN does not exist or is not well-formed. Verify "
			"the destination ARN.");
		e->sys = NOTIFICATION_ARGUMENT;
		return -1;
	}
	return 0;
}

// `change` is held: of two who set rules, memory has those of the later.
static int set_rules(struct notify *n, struct span bucket, const struct notification *l,
		     struct err *e)
{
	struct bucket_rules *b = NULL;
	auto_buf struct buf doc = { .max = DOC_MAX };
	struct store_bucket of;

	xml_open(&doc, "NotificationConfiguration");
	notification_write(l, &doc);
	xml_close(&doc, "NotificationConfiguration");
	if (doc.over)
		return err_set(e, ERR_LIMIT, "the rules are over %d bytes", DOC_MAX);
	if (check_targets(n, l, e) < 0 || store_bucket_get(n->o.store, bucket, &of, e) < 0)
		return -1;
	if (l->n) {
		b = bucket_rules_new(n, of.id, buf_span(&doc), e);
		if (!b)
			return -1;
		if (store_config_set(n->o.store, bucket, kind, buf_span(&doc), e) < 0) {
			bucket_rules_free(b);
			return -1;
		}
	} else if (store_config_remove(n->o.store, bucket, kind, e) < 0 &&
		   e->sys != STORE_NO_CONFIG) {
		return -1;
	}
	put(n, of.id, b);
	return 0;
}

int notify_rules_set(struct notify *n, struct span bucket, struct span doc, struct err *e)
{
	auto_arena struct arena mem = { 0 };
	struct notification l;
	int got;

	if (notification_parse(&mem, doc, &l, e) < 0)
		return -1;
	pthread_mutex_lock(&n->change);
	got = set_rules(n, bucket, &l, e);
	pthread_mutex_unlock(&n->change);
	return got;
}

int notify_rules_get(struct notify *n, struct span bucket, struct arena *mem, struct span *doc,
		     struct err *e)
{
	struct err missing = { 0 };

	*doc = SPAN("");
	if (store_config_get(n->o.store, bucket, kind, mem, doc, &missing) == 0 ||
	    missing.sys == STORE_NO_CONFIG)
		return 0;
	*e = missing;
	return -1;
}
