// SPDX-License-Identifier: Apache-2.0
// remove: a service goes, with its jobs and the buckets it made.
#include "base/mem.h"
#include "db/db.h"
#include "fdl/fdl.h"
#include "service/change.h"
#include "service/group.h"
#include "service/registry.h"
#include "store/store.h"

static int remove_in(struct db_conn *c, void *arg, struct err *e)
{
	struct service_change *w = arg;
	static const char *const statements[] = {
		"DELETE FROM triggers WHERE service=?1",
		"DELETE FROM service_secrets WHERE service=?1",
		"DELETE FROM service_revisions WHERE service=?1",
		"DELETE FROM payloads WHERE job IN (SELECT id FROM jobs WHERE service=?1)",
		"DELETE FROM job_logs WHERE job IN (SELECT id FROM jobs WHERE service=?1)",
		"DELETE FROM attempts WHERE job IN (SELECT id FROM jobs WHERE service=?1)",
		"DELETE FROM jobs WHERE service=?1",
		"DELETE FROM events WHERE service=?1",
		"DELETE FROM job_counts WHERE service=?1",
		"DELETE FROM lanes WHERE service=?1",
		"DELETE FROM backfills WHERE service=?1",
		"DELETE FROM services WHERE id=?1",
	};

	if (group_forget_in(c, w->id, e) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(statements); i++)
		if (db_exec(c, statements[i], DB_ARGS(db_int(w->id)), e) < 0)
			return -1;
	return service_change_tell_in(w, c, "deleted", e);
}

static bool uses(const struct fdl_io *io, size_t n, const char *bucket)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(io[i].bucket, bucket) == 0)
			return true;
	return false;
}

// True when another service reads from, writes to or mounts the bucket.
static bool bucket_shared(struct services *s, const char *bucket)
{
	bool shared = false;
	size_t at = 0;
	void *value;

	pthread_rwlock_rdlock(&s->lock);
	while (!shared && map_next(&s->by_name, &at, NULL, &value)) {
		const struct fdl_service *f = ((struct service_def *)value)->fdl;

		shared = uses(f->inputs, f->input_count, bucket) ||
			 uses(f->outputs, f->output_count, bucket) ||
			 uses(f->mount, f->mount != NULL, bucket);
	}
	pthread_rwlock_unlock(&s->lock);
	return shared;
}

static int empty_bucket(struct services *s, struct span bucket, struct err *e)
{
	static const struct store_cause nobody;

	for (;;) {
		auto_arena struct arena mem = { 0 };
		struct store_list_options o = { .bucket = bucket,
						.limit = STORE_PAGE_MAX,
						.versions = true };
		struct store_delete_item *items;
		struct store_list l;

		if (store_list(s->o.store, &o, &mem, &l, e) < 0)
			return -1;
		if (!l.n)
			return 0;
		items = arena_alloc(&mem, l.n * sizeof(*items));
		for (size_t i = 0; i < l.n; i++)
			items[i] = (struct store_delete_item){
				.key = l.entries[i].object.key,
				.version = l.entries[i].object.version,
			};
		if (store_delete_many(s->o.store, bucket, items, l.n, &nobody, e) < 0)
			return -1;
		for (size_t i = 0; i < l.n; i++)
			if (items[i].result < 0) { // locked: the bucket cannot go
				*e = items[i].err;
				return -1;
			}
	}
}

// A bucket goes when this service made it and no other one uses it.
static int drop_bucket(struct services *s, const struct service_def *d, const char *name,
		       struct err *e)
{
	struct store_bucket b;
	struct err gone = { 0 };

	if (store_bucket_get(s->o.store, span_of(name), &b, &gone) < 0 || b.service != d->id ||
	    bucket_shared(s, name))
		return 0;
	if (empty_bucket(s, span_of(name), e) < 0 ||
	    store_bucket_delete(s->o.store, span_of(name), e) < 0)
		return err_wrap(e, "delete bucket %s", name);
	return 0;
}

static int drop_buckets(struct services *s, const struct service_def *d, const struct fdl_io *io,
			size_t n, struct err *e)
{
	for (size_t i = 0; i < n; i++)
		if (drop_bucket(s, d, io[i].bucket, e) < 0)
			return -1;
	return 0;
}

int service_remove(struct services *s, const struct service_caller *who, struct span name,
		   bool delete_buckets, struct err *e)
{
	auto_lock held = lock_hold(&s->change);
	auto_service_def struct service_def *d = registry_find(s, name), *own = NULL;
	struct service_change w = { .s = s };

	if (d && !service_visible(who, d))
		return service_missing(name, e);
	if (service_own(s, who, name, "delete", &own, e) < 0)
		return -1;
	w.fdl = own->fdl;
	w.id = own->id;
	w.owner = own->owner;
	w.revision = own->revision;
	registry_remove(s, own->fdl->name); // no new jobs from here on
	image_notes_drop(&s->notes, own->fdl->name);
	if (db_write(s->o.db, remove_in, &w, e) < 0)
		return -1;
	flow_forget(s, own->id);
	if (!delete_buckets)
		return 0;
	return drop_buckets(s, own, own->fdl->inputs, own->fdl->input_count, e) < 0 ||
			       drop_buckets(s, own, own->fdl->outputs, own->fdl->output_count, e) <
				       0
		       ? -1
		       : 0;
}
