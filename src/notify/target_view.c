// SPDX-License-Identifier: Apache-2.0
// target_view: what there is to see of the targets.
#include "notify/target.h"

int target_missing(const char *kind, const char *name, struct err *e)
{
	return err_set(e, ERR_NOT_FOUND, "no target %.16s %.64s", kind, name);
}

static int count_events(struct notify *n, int64_t id, struct notify_target *out, struct err *e)
{
	struct db_conn *c = db_reader(n->db, e);
	auto_query struct db_stmt *q =
		db_query(c,
			 "SELECT events,dropped,(SELECT count(*) FROM notify_events "
			 "WHERE target=?1 AND dead=1) FROM notify_targets WHERE id=?1",
			 DB_ARGS(db_int(id)), e);
	int got = db_step(q, e);

	if (got > 0) {
		out->events = (uint64_t)db_col_int(q, 0);
		out->dropped = (uint64_t)db_col_int(q, 1);
		out->dead = (uint64_t)db_col_int(q, 2);
	}
	return got < 0 ? -1 : 0;
}

static void describe(struct notify *n, const struct target *t, struct arena *mem,
		     struct notify_target *out)
{
	char fault[256] = "";

	*out = (struct notify_target){ .kind = arena_strdup(mem, t->kind),
				       .name = arena_strdup(mem, t->name),
				       .arn = target_arn(n, mem, t),
				       .setting_count = t->setting_count };
	out->settings = arena_alloc(mem, (t->setting_count + 1) * sizeof(*out->settings));
	for (size_t i = 0; i < t->setting_count; i++)
		out->settings[i] =
			(struct notify_setting){ arena_strdup(mem, t->settings[i].key),
						 arena_strdup(mem, t->settings[i].value) };
	if (t->lane)
		lane_fault(t->lane, fault);
	out->fault = arena_strdup(mem, fault);
}

int notify_target_list(struct notify *n, struct arena *mem, struct notify_target **out,
		       size_t *count, struct err *e)
{
	int64_t ids[NOTIFY_TARGETS_MAX];
	size_t i = 0;

	*out = arena_alloc(mem, NOTIFY_TARGETS_MAX * sizeof(**out));
	pthread_rwlock_rdlock(&n->lock);
	for (const struct target *t = n->targets; t && i < NOTIFY_TARGETS_MAX; t = t->next, i++) {
		ids[i] = t->id;
		describe(n, t, mem, &(*out)[i]);
	}
	pthread_rwlock_unlock(&n->lock);
	*count = i;
	while (i--)
		if (count_events(n, ids[i], &(*out)[i], e) < 0)
			return -1;
	return 0;
}

int notify_target_get(struct notify *n, const char *kind, const char *name, struct arena *mem,
		      struct notify_target *out, struct err *e)
{
	struct target *t;
	int64_t id = 0;

	pthread_rwlock_rdlock(&n->lock);
	t = target_by_name(n, kind, name);
	if (t) {
		id = t->id;
		describe(n, t, mem, out);
	}
	pthread_rwlock_unlock(&n->lock);
	return t ? count_events(n, id, out, e) : target_missing(kind, name, e);
}
