// SPDX-License-Identifier: Apache-2.0
// change: services made and replaced by a new revision.
#include "service/change.h"

#include "auth/auth.h"
#include "base/mem.h"
#include "base/rand.h"
#include "db/db.h"
#include "fdl/fdl.h"
#include "service/registry.h"
#include "store/store.h"

// A folder is an empty object whose key ends with a slash, so that browsers of buckets show it.
static int make_folder(struct service_change *w, const struct fdl_io *io, struct err *e)
{
	auto_arena struct arena mem = { 0 };
	struct store_put_options o = { .bucket = span_of(io->bucket),
				       .owner = w->owner,
				       .size = 0,
				       .only_if.if_none_match = SPAN("*") };
	struct store_object made;
	struct store_bucket b;
	struct store_put *p;

	if (!io->folder[0])
		return 0;
	if (store_bucket_get(w->s->o.store, o.bucket, &b, e) < 0)
		return -1;
	if (b.directory) // its folders are real ones
		return 0;
	o.key = span_of(arena_printf(&mem, "%s/", io->folder));
	o.cause.user = w->owner;
	if (store_put_begin(w->s->o.store, &o, &p, e) < 0)
		return -1;
	if (store_put_finish(p, &mem, &made, e) < 0 && e->code != ERR_CONFLICT)
		return -1;
	return 0;
}

static int make_folders(struct service_change *w, const struct fdl_io *io, size_t n, struct err *e)
{
	for (size_t i = 0; i < n; i++)
		if (make_folder(w, &io[i], e) < 0)
			return -1;
	return 0;
}

// The rows first, then what hangs on them, then the definition in memory.
static int commit(struct service_change *w, struct err *e)
{
	auto_service_def struct service_def *d = NULL;
	struct db_conn *c;

	if (db_write(w->s->o.db, service_change_in, w, e) < 0)
		return -1;
	if (make_folders(w, w->fdl->inputs, w->fdl->input_count, e) < 0 ||
	    make_folders(w, w->fdl->outputs, w->fdl->output_count, e) < 0)
		return -1;
	c = db_reader(w->s->o.db, e);
	if (!c || service_def_load(w->s, c, w->id, w->revision, &d, e) < 0)
		return -1;
	return registry_put(w->s, c, d, e);
}

static int no_twin(struct services *s, const struct fdl_service *fdl, struct err *e)
{
	auto_service_def struct service_def *old = registry_find(s, span_of(fdl->name));

	return old ? err_set(e, ERR_EXISTS, "A service with the provided name already exists") : 0;
}

// The image is looked for before the lock is taken: that may take minutes. What was right before is asked again then.
int service_create(struct services *s, const struct service_caller *who, struct fdl_service *fdl,
		   struct err *e)
{
	auto_fdl_service struct fdl_service *mine unused_arg = fdl;
	struct service_change w = {
		.s = s, .fdl = fdl, .owner = who->user, .revision = 1, .create = true
	};

	if (no_twin(s, fdl, e) < 0 || service_check(s, who, fdl, e) < 0 ||
	    image_find(s, w.owner, fdl, false, w.image, e) < 0)
		return -1;
	auto_lock held = lock_hold(&s->change);

	if (no_twin(s, fdl, e) < 0 || service_check(s, who, fdl, e) < 0)
		return -1;
	rand_hex(w.token, SERVICE_TOKEN_LEN / 2);
	fdl_service_set(fdl, "owner", who->user == AUTH_ADMIN_ID ? "cluster_admin" : who->name);
	fdl_service_set(fdl, "namespace", "oscar-svc");
	fdl_service_set_labels(fdl, who->name);
	return commit(&w, e);
}

int service_update(struct services *s, const struct service_caller *who, struct fdl_service *fdl,
		   struct err *e)
{
	auto_fdl_service struct fdl_service *mine unused_arg = fdl;
	auto_service_def struct service_def *old = NULL, *before = NULL;
	struct service_change w = { .s = s, .fdl = fdl };

	if (service_own(s, who, span_of(fdl->name), "modify", &before, e) < 0 ||
	    service_check(s, who, fdl, e) < 0 ||
	    image_find(s, who->user, fdl, false, w.image, e) < 0)
		return -1;
	auto_lock held = lock_hold(&s->change);

	if (service_own(s, who, span_of(fdl->name), "modify", &old, e) < 0 ||
	    service_check(s, who, fdl, e) < 0)
		return -1;
	w.id = old->id;
	w.owner = old->owner;
	w.revision = old->revision + 1;
	fdl_service_set(fdl, "owner", old->fdl->owner);
	fdl_service_set(fdl, "namespace", old->fdl->namespace_name);
	fdl_service_set_labels(fdl, who->name);
	if (!fdl_service_names_secrets(fdl))
		fdl_service_keep_secrets(fdl, old->fdl);
	return commit(&w, e);
}

int service_repin(struct services *s, const struct service_def *d, const char *image, struct err *e)
{
	auto_lock held = lock_hold(&s->change);
	auto_service_def struct service_def *now = registry_find(s, span_of(d->fdl->name));
	struct service_change w = {
		.s = s, .fdl = d->fdl, .id = d->id, .owner = d->owner, .repin = true
	};

	if (!now || now->id != d->id || now->revision != d->revision)
		return 0;
	w.revision = d->revision + 1;
	snprintf(w.image, sizeof(w.image), "%s", image);
	return commit(&w, e);
}
