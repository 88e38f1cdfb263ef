// SPDX-License-Identifier: Apache-2.0
#include "service/registry.h"

#include "base/mem.h"
#include "codec/json.h"
#include "db/db.h"
#include "fdl/fdl.h"

#include <stdatomic.h>

enum { DOCUMENT_MAX = 4 << 20 };

struct service_def *service_def_ref(struct service_def *d)
{
	atomic_fetch_add(&d->refs, 1);
	return d;
}

void service_def_put(struct service_def *d)
{
	if (!d || atomic_fetch_sub(&d->refs, 1) > 1)
		return;
	fdl_service_free(d->fdl);
	mem_wipe(d->token, sizeof(d->token));
	mem_free(d);
}

// ---- from rows -----------------------------------------------------------------------------------------

static int add_secrets(struct db_conn *c, int64_t id, json_t *doc, struct err *e)
{
	auto_query struct db_stmt *q =
		db_query(c, "SELECT name,value FROM service_secrets WHERE service=?1",
			 DB_ARGS(db_int(id)), e);
	json_t *environment = json_object_get(doc, "environment"), *secrets;
	int got = db_step(q, e);

	if (got <= 0)
		return got;
	if (!json_is_object(environment)) {
		environment = json_object();
		json_object_set_new(doc, "environment", environment);
	}
	secrets = json_object();
	json_object_set_new(environment, "secrets", secrets);
	for (; got > 0; got = db_step(q, e)) {
		struct span name = db_col_span(q, 0), value = db_col_span(q, 1);
		auto_free char *key = mem_strndup(name.p, name.n);

		json_object_set_new(secrets, key, json_stringn_nocheck(value.p, value.n));
	}
	return got;
}

int service_def_load(struct services *s unused_arg, struct db_conn *c, int64_t id, int64_t revision,
		     struct service_def **out, struct err *e)
{
	auto_query struct db_stmt *q = db_query(
		c,
		"SELECT r.doc,r.script_hash,r.image_id,r.created_ns,s.owner,s.token,s.created_ns "
		"FROM service_revisions r JOIN services s ON s.id=r.service "
		"WHERE r.service=?1 AND r.revision=?2",
		DB_ARGS(db_int(id), db_int(revision)), e);
	auto_service_def struct service_def *d = NULL;
	auto_json json_t *doc = NULL;
	int got = db_step(q, e);

	if (got <= 0)
		return got ? -1 : err_set(e, ERR_NOT_FOUND, "no such service");
	d = mem_zalloc(sizeof(*d));
	*d = (struct service_def){ .id = id,
				   .revision = revision,
				   .owner = db_col_int(q, 4),
				   .changed_ns = db_col_int(q, 3),
				   .created_ns = db_col_int(q, 6),
				   .refs = 1 };
	snprintf(d->script_hash, sizeof(d->script_hash), SPAN_FMT, SPAN_ARG(db_col_span(q, 1)));
	snprintf(d->image_id, sizeof(d->image_id), SPAN_FMT, SPAN_ARG(db_col_span(q, 2)));
	snprintf(d->token, sizeof(d->token), SPAN_FMT, SPAN_ARG(db_col_span(q, 5)));
	if (codec_json_parse(db_col_span(q, 0), DOCUMENT_MAX, &doc, e) < 0 ||
	    add_secrets(c, id, doc, e) < 0 || fdl_service_from(doc, &d->fdl, e) < 0)
		return err_wrap(e, "stored service %lld", (long long)id);
	fdl_service_set(d->fdl, "token", d->token);
	*out = d;
	d = NULL;
	return 0;
}

// ---- in memory -----------------------------------------------------------------------------------------

static void triggers_remove(struct services *s, const struct service_def *d)
{
	size_t at = 0;
	struct span key;
	void *value;

	while (map_next(&s->by_bucket, &at, &key, &value)) {
		struct trigger *head = value, **link = &head;

		while (*link) {
			struct trigger *t = *link;

			if (t->def != d) {
				link = &t->next;
				continue;
			}
			*link = t->next;
			mem_free(t);
		}
		if (!head)
			map_remove(&s->by_bucket, key);
		else if (head != value)
			map_put(&s->by_bucket, key, head);
	}
}

static void take_out(struct services *s, const char *name)
{
	struct service_def *old = map_remove(&s->by_name, span_of(name));
	uint64_t id = old ? (uint64_t)old->id : 0;

	if (!old)
		return;
	map_remove(&s->by_id, map_key_u64(&id));
	triggers_remove(s, old);
	service_def_put(old);
}

static int triggers_read(struct db_conn *c, struct service_def *d, struct trigger **list,
			 struct err *e)
{
	auto_query struct db_stmt *q =
		db_query(c,
			 "SELECT id,bucket,CAST(filter AS INTEGER) FROM triggers WHERE service=?1",
			 DB_ARGS(db_int(d->id)), e);
	int got;

	while ((got = db_step(q, e)) > 0) {
		struct trigger *t = mem_zalloc(sizeof(*t));

		*t = (struct trigger){ *list, db_col_int(q, 0), db_col_int(q, 1),
				       (size_t)db_col_int(q, 2), d };
		*list = t;
	}
	return got;
}

int registry_put(struct services *s, struct db_conn *c, struct service_def *d, struct err *e)
{
	struct trigger *list = NULL;
	uint64_t id = (uint64_t)d->id;
	int bad = triggers_read(c, d, &list, e);

	pthread_rwlock_wrlock(&s->lock);
	if (!bad) {
		take_out(s, d->fdl->name);
		map_put(&s->by_name, span_of(d->fdl->name), service_def_ref(d));
		map_put(&s->by_id, map_key_u64(&id), d);
	}
	while (list) {
		struct trigger *t = list;
		uint64_t bucket = (uint64_t)t->bucket;

		list = t->next;
		if (bad) {
			mem_free(t);
			continue;
		}
		t->next = map_get(&s->by_bucket, map_key_u64(&bucket));
		map_put(&s->by_bucket, map_key_u64(&bucket), t);
	}
	pthread_rwlock_unlock(&s->lock);
	return bad;
}

void registry_remove(struct services *s, const char *name)
{
	pthread_rwlock_wrlock(&s->lock);
	take_out(s, name);
	pthread_rwlock_unlock(&s->lock);
}

struct service_def *registry_find(struct services *s, struct span name)
{
	struct service_def *d;

	pthread_rwlock_rdlock(&s->lock);
	d = map_get(&s->by_name, name);
	if (d)
		service_def_ref(d);
	pthread_rwlock_unlock(&s->lock);
	return d;
}

int registry_load(struct services *s, struct err *e)
{
	struct db_conn *c = db_reader(s->o.db, e);
	auto_query struct db_stmt *q = NULL;
	int got;

	if (!c || flow_load(s, c, e) < 0)
		return -1;
	q = db_query(c, "SELECT id,revision FROM services", DB_NO_ARGS, e);
	while ((got = db_step(q, e)) > 0) {
		auto_service_def struct service_def *d = NULL;

		if (service_def_load(s, c, db_col_int(q, 0), db_col_int(q, 1), &d, e) < 0 ||
		    registry_put(s, c, d, e) < 0)
			return -1;
	}
	return got;
}

void registry_release(struct services *s)
{
	size_t at = 0;
	struct span name;
	void *value;

	while (map_next(&s->by_name, &at, &name, &value)) {
		auto_free char *copy = mem_strndup(name.p, name.n);

		take_out(s, copy);
	}
	map_release(&s->by_name);
	map_release(&s->by_id);
	map_release(&s->by_bucket);
	flow_release(s);
}

void service_keeps(struct services *s, struct arena *mem, struct service_keep **out, size_t *n)
{
	size_t at = 0;
	void *value;

	*n = 0;
	pthread_rwlock_rdlock(&s->lock);
	*out = arena_alloc(mem, (s->by_name.count + 1) * sizeof(**out));
	while (map_next(&s->by_name, &at, NULL, &value)) {
		const struct service_def *d = value;

		const struct fdl_service *f = d->fdl;

		if (f->keep_jobs || f->keep_s || f->keep_logs_s)
			(*out)[(*n)++] = (struct service_keep){ d->id, f->keep_jobs, f->keep_s,
								f->keep_logs_s };
	}
	pthread_rwlock_unlock(&s->lock);
}
