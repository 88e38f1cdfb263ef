// SPDX-License-Identifier: Apache-2.0
// service: the definitions, looked up by those who may see them.
#include "service/service.h"

#include "base/mem.h"
#include "db/db.h"
#include "fdl/fdl.h"
#include "service/backfill.h"
#include "service/group.h"
#include "service/registry.h"

enum { DEPTH_MAX = 64 };

int services_open(struct services **out, const struct service_options *o, struct err *e)
{
	struct services *s = mem_zalloc(sizeof(*s));

	s->o = *o;
	s->o.depth_max = o->depth_max ? o->depth_max : DEPTH_MAX;
	pthread_rwlock_init(&s->lock, NULL);
	pthread_mutex_init(&s->change, NULL);
	image_notes_init(&s->notes);
	if (registry_load(s, e) < 0) {
		services_close(s);
		return err_wrap(e, "services");
	}
	*out = s;
	return 0;
}

void services_start(struct services *s)
{
	chore_start(&s->refresher, "image-refresh", image_refresher, s);
	backfill_run(s);
	group_run(s);
}

void services_close(struct services *s)
{
	if (!s)
		return;
	backfill_halt(s);
	group_halt(s);
	chore_stop(&s->refresher);
	image_notes_release(&s->notes);
	registry_release(s);
	pthread_rwlock_destroy(&s->lock);
	pthread_mutex_destroy(&s->change);
	mem_free(s);
}

bool service_visible(const struct service_caller *who, const struct service_def *d)
{
	if (who->admin || who->user == d->owner || strcmp(d->fdl->visibility, "public") == 0)
		return true;
	if (strcmp(d->fdl->visibility, "restricted") != 0)
		return false;
	for (size_t i = 0; i < d->fdl->allowed_user_count; i++)
		if (strcmp(d->fdl->allowed_users[i], who->name) == 0)
			return true;
	return false;
}

int service_missing(struct span name, struct err *e)
{
	return err_set(e, ERR_NOT_FOUND, "no service named " SPAN_FMT,
		       SPAN_ARG(span_head(name, FDL_NAME_MAX)));
}

int service_own(struct services *s, const struct service_caller *who, struct span name,
		const char *verb, struct service_def **out, struct err *e)
{
	auto_service_def struct service_def *d = registry_find(s, name);

	if (!d)
		return service_missing(name, e);
	if (!who->admin && who->user != d->owner)
		return err_set(e, ERR_DENIED, "User %s doesn't have permision to %s this service",
			       who->name, verb);
	*out = mem_take(&d);
	return 0;
}

int service_get(struct services *s, const struct service_caller *who, struct span name,
		struct service_def **out, struct err *e)
{
	auto_service_def struct service_def *d = registry_find(s, name);

	if (!d)
		return service_missing(name, e);
	if (!service_visible(who, d))
		return err_set(e, ERR_DENIED, "User %s doesn't have permision to get this service",
			       who->name);
	*out = mem_take(&d);
	return 0;
}

int service_by_id(struct services *s, int64_t id, struct service_def **out, struct err *e)
{
	uint64_t key = (uint64_t)id;
	struct service_def *d;

	pthread_rwlock_rdlock(&s->lock);
	d = map_get(&s->by_id, map_key_u64(&key));
	if (d)
		*out = service_def_ref(d);
	pthread_rwlock_unlock(&s->lock);
	return d ? 0 : err_set(e, ERR_NOT_FOUND, "the service was deleted");
}

int service_revision(struct services *s, int64_t id, int64_t revision, struct service_def **out,
		     struct err *e)
{
	auto_service_def struct service_def *d = NULL;
	struct db_conn *c;

	if (service_by_id(s, id, &d, e) < 0)
		return -1;
	if (d->revision == revision) {
		*out = mem_take(&d);
		return 0;
	}
	c = db_reader(s->o.db, e);
	return c ? service_def_load(s, c, id, revision, out, e) : -1;
}

int service_list(struct services *s, const struct service_caller *who, struct arena *mem,
		 struct service_def ***out, size_t *n, struct err *e unused_arg)
{
	size_t at = 0;
	void *value;

	*n = 0;
	pthread_rwlock_rdlock(&s->lock);
	*out = arena_alloc(mem, (s->by_name.count + 1) * sizeof(**out));
	while (map_next(&s->by_name, &at, NULL, &value)) {
		struct service_def *d = value;
		size_t i = *n;

		if (!service_visible(who, d))
			continue;
		for (; i && strcmp((*out)[i - 1]->fdl->name, d->fdl->name) > 0; i--)
			(*out)[i] = (*out)[i - 1];
		(*out)[i] = service_def_ref(d);
		++*n;
	}
	pthread_rwlock_unlock(&s->lock);
	return 0;
}

void service_list_put(struct service_def **list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		service_def_put(list[i]);
}

int service_by_token(struct services *s, struct span name, struct span token,
		     struct service_def **out, struct err *e)
{
	auto_service_def struct service_def *d = registry_find(s, name);

	if (!d || token.n != SERVICE_TOKEN_LEN ||
	    !mem_equal_secret(d->token, token.p, SERVICE_TOKEN_LEN))
		return err_set(e, ERR_UNAUTH, "the token is not that of the service");
	*out = mem_take(&d);
	return 0;
}
