// place: everything up to the services, opened in a temporary folder, for tests of service and of what is above
// it. One user besides the administrator: ann. Threads: the test's.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "auth/auth.h"
#include "base/file.h"
#include "base/mem.h"
#include "db/db.h"
#include "db/schema.h"
#include "fdl/fdl.h"
#include "queue/queue.h"
#include "service/service.h"
#include "store/store.h"

#include <fcntl.h>

struct place {
	char dir[40];
	struct db *db;
	struct auth *auth;
	struct store *store;
	struct queue *queue;
	struct services *services;
	struct arena mem;
	unsigned depth_max;
	struct auth_user ann;
};

static inline int place_image(void *owner unused_arg, const struct service_image_wish *wish,
			      char out[static SERVICE_IMAGE_MAX], struct err *e)
{
	if (strcmp(wish->name, "host") != 0)
		return err_set(e, ERR_NOT_FOUND, "image %s does not exist here", wish->name);
	snprintf(out, SERVICE_IMAGE_MAX, "host");
	return 0;
}

static inline void place_capacity(void *owner unused_arg, uint32_t *cpu, uint64_t *memory)
{
	*cpu = 4000;
	*memory = UINT64_C(8) << 30;
}

static inline void place_open(struct place *p)
{
	auto_free char *path = mem_printf("%s/oscar.db", p->dir);
	struct db_options dbo = { .path = path,
				  .migrations = schema_migrations,
				  .migration_count = schema_migration_count };
	struct store_options so = { .data_dir = p->dir };
	struct service_options svo = { .depth_max = p->depth_max,
				       .resolve_image = place_image,
				       .capacity = place_capacity };
	struct store_sink sink = { .changed = service_object_changed };
	struct err e = { 0 };

	if (db_open(&p->db, &dbo, &e) < 0)
		fail_msg("%s", e.msg);
	so.db = svo.db = p->db;
	if (auth_open(&p->auth, p->db, &e) < 0 ||
	    auth_set_admin(p->auth, "oscar", "secret-of-admin", "admin", "secret-of-admin", &e) <
		    0 ||
	    store_open(&p->store, &so, &e) < 0 || queue_open(&p->queue, p->db, &e) < 0)
		fail_msg("%s", e.msg);
	svo.auth = p->auth;
	svo.store = p->store;
	svo.queue = p->queue;
	if (services_open(&p->services, &svo, &e) < 0)
		fail_msg("%s", e.msg);
	sink.owner = p->services;
	store_set_sink(p->store, &sink);
	if (auth_user_find(p->auth, SPAN("ann"), &p->ann, &e) < 0 &&
	    auth_user_add(p->auth, "ann", "secret-of-ann", NULL, NULL, &p->ann, &e) < 0)
		fail_msg("%s", e.msg);
}

static inline void place_close(struct place *p)
{
	services_close(p->services);
	queue_close(p->queue);
	store_close(p->store);
	auth_close(p->auth);
	db_close(p->db);
}

static inline void place_init(struct place *p)
{
	snprintf(p->dir, sizeof(p->dir), "/tmp/oscar-place-XXXXXX");
	check(mkdtemp(p->dir));
	place_open(p);
}

static inline void place_release(struct place *p)
{
	struct err e = { 0 };

	place_close(p);
	arena_release(&p->mem);
	if (file_remove_tree(AT_FDCWD, p->dir, &e) < 0)
		fail_msg("%s", e.msg);
}

static inline struct service_caller place_admin(void)
{
	return (struct service_caller){ .user = AUTH_ADMIN_ID, .admin = true, .name = "oscar" };
}

static inline struct service_caller place_ann(const struct place *p)
{
	return (struct service_caller){ .user = p->ann.id, .name = "ann" };
}

// The definition of a JSON text with ' for ".
static inline struct fdl_service *place_fdl(struct place *p, const char *text)
{
	char *json = arena_strdup(&p->mem, text);
	struct fdl_service *f = NULL;
	struct err e = { 0 };

	for (char *c = json; *c; c++)
		*c = *c == '\'' ? '"' : *c;
	if (fdl_service_parse(span_of(json), &f, &e) < 0)
		fail_msg("%s", e.msg);
	return f;
}

static inline void place_create(struct place *p, struct service_caller who, const char *text)
{
	struct err e = { 0 };

	if (service_create(p->services, &who, place_fdl(p, text), &e) < 0)
		fail_msg("%s", e.msg);
}

static inline int64_t place_service_id(struct place *p, const char *name)
{
	struct service_caller admin = place_admin();
	auto_service_def struct service_def *d = NULL;
	struct err e = { 0 };

	if (service_get(p->services, &admin, span_of(name), &d, &e) < 0)
		fail_msg("%s", e.msg);
	return d->id;
}

static inline int place_try_put(struct place *p, const char *bucket, const char *key,
				struct span bytes, const struct store_cause *cause, struct err *e)
{
	struct store_put_options o = { .bucket = span_of(bucket),
				       .key = span_of(key),
				       .owner = AUTH_ADMIN_ID,
				       .size = bytes.n };
	struct store_object made;
	struct store_put *w;

	if (cause)
		o.cause = *cause;
	if (store_put_begin(p->store, &o, &w, e) < 0)
		return -1;
	if (store_put_write(w, bytes, e) < 0) {
		store_put_abort(w);
		return -1;
	}
	return store_put_finish(w, &p->mem, &made, e);
}

static inline void place_put(struct place *p, const char *bucket, const char *key,
			     struct span bytes)
{
	struct err e = { 0 };

	if (place_try_put(p, bucket, key, bytes, NULL, &e) < 0)
		fail_msg("%s", e.msg);
}

static inline bool place_has_bucket(struct place *p, const char *name)
{
	struct store_bucket b;
	struct err e = { 0 };

	return store_bucket_get(p->store, span_of(name), &b, &e) == 0;
}

// Jobs of a service in all states.
static inline size_t place_jobs(struct place *p, const char *service, struct queue_job **out)
{
	struct queue_filter f = { .service = place_service_id(p, service),
				  .state = -1,
				  .limit = 10000 };
	struct queue_job *jobs;
	struct err e = { 0 };
	size_t n;

	if (queue_list(p->queue, &f, &p->mem, out ? out : &jobs, &n, &e) < 0)
		fail_msg("%s", e.msg);
	return n;
}
