// SPDX-License-Identifier: Apache-2.0
// target_change: targets set and removed by the administrator.
#include "notify/target.h"

#include "base/clock.h"
#include "base/mem.h"
#include "codec/json.h"

enum { PURGE_CHUNK = 500 };

struct target_write {
	struct target *t;
	struct span config;
	int64_t room;
};

static int write_target(struct db_conn *c, void *arg, struct err *e)
{
	struct target_write *w = arg;
	struct target *t = w->t;

	if (t->id)
		return db_exec(c, "UPDATE notify_targets SET config=?2, room=?3 WHERE id=?1",
			       DB_ARGS(db_int(t->id), db_text(w->config), db_int(w->room)), e);
	t->created_ns = clock_wall_ns();
	if (db_exec(c,
		    "INSERT INTO notify_targets(kind,name,config,room,created_ns) "
		    "VALUES(?1,?2,?3,?4,?5)",
		    DB_ARGS(db_str(t->kind), db_str(t->name), db_text(w->config), db_int(w->room),
			    db_int(t->created_ns)),
		    e) < 0)
		return -1;
	t->id = db_last_id(c);
	return 0;
}

static int check_name(const char *kind, const char *name, struct err *e)
{
	size_t n = strlen(name);

	if (!notify_keys(kind))
		return err_set(e, ERR_INVALID, "no kind of target: webhook, nats or queue");
	if (!n || n >= NOTIFY_NAME_MAX)
		return err_set(e, ERR_INVALID, "a target's name has 1 to %d characters",
			       NOTIFY_NAME_MAX - 1);
	for (size_t i = 0; i < n; i++) {
		char ch = name[i];

		if (!(ch >= 'a' && ch <= 'z') && !(ch >= 'A' && ch <= 'Z') &&
		    !(ch >= '0' && ch <= '9') && !strchr("-_.", ch))
			return err_set(e, ERR_INVALID,
				       "a target's name has letters, digits, - _ and . only");
	}
	return 0;
}

// What was set before and now, in *t.
static int merge(struct target *t, const struct target *old, const struct notify_setting *settings,
		 size_t count, struct err *e)
{
	for (size_t i = 0; i < count; i++)
		if (!setting_key(t->kind, settings[i].key))
			return err_set(e, ERR_INVALID, "%.60s: a %s has no such setting",
				       settings[i].key, t->kind);
	for (const struct notify_key *k = notify_keys(t->kind); k->name; k++) {
		const char *v = old ? setting_raw(old, k->name) : NULL;

		for (size_t i = 0; i < count; i++)
			if (strcmp(settings[i].key, k->name) == 0)
				v = settings[i].value;
		if (v && *v)
			target_add_setting(t, k->name, v);
	}
	return setting_check(t, e);
}

static char *config_text(const struct target *t)
{
	auto_json json_t *v = json_object();

	for (size_t i = 0; i < t->setting_count; i++)
		if (json_object_set_new(v, t->settings[i].key, json_string(t->settings[i].value)) <
		    0)
			return NULL;
	return codec_json_text(v, CODEC_JSON_PLAIN);
}

static size_t target_count(const struct notify *n)
{
	size_t count = 0;

	for (const struct target *t = n->targets; t; t = t->next)
		count++;
	return count;
}

// `change` is held: nobody else replaces targets.
static int set_target(struct notify *n, const char *kind, const char *name,
		      const struct notify_setting *settings, size_t count, struct err *e)
{
	struct target *old = target_by_name(n, kind, name);
	auto_target struct target *t = target_new(kind, name);
	auto_free char *text = NULL;
	struct target_write w = { .t = t };
	struct lane *lane;
	uint64_t room;

	if (!old && target_count(n) >= NOTIFY_TARGETS_MAX)
		return err_set(e, ERR_LIMIT, "at most %d targets", NOTIFY_TARGETS_MAX);
	if (merge(t, old, settings, count, e) < 0)
		return -1;
	text = config_text(t);
	if (!text)
		return err_set(e, ERR_INVALID, "settings are UTF-8");
	t->id = old ? old->id : 0;
	t->created_ns = old ? old->created_ns : 0;
	w.config = span_of(text);
	if (target_enabled(t) && setting_number(t, "queue_limit", UINT64_MAX, &room, e))
		w.room = (int64_t)room;
	if (db_write(n->db, write_target, &w, e) < 0)
		return -1;
	mem_wipe(text, strlen(text));
	if (old) // one lane at a time, else a key's order is lost
		target_free(target_swap(n, NULL, t->id));
	target_ready(n, t);
	lane = t->lane;
	target_swap(n, mem_take(&t), -1);
	// What was committed meanwhile found no lane to wake.
	if (lane && n->started)
		lane_wake(lane);
	return 0;
}

int notify_target_set(struct notify *n, const char *kind, const char *name,
		      const struct notify_setting *settings, size_t count, struct err *e)
{
	int got;

	if (check_name(kind, name, e) < 0)
		return -1;
	pthread_mutex_lock(&n->change);
	got = set_target(n, kind, name, settings, count, e);
	pthread_mutex_unlock(&n->change);
	if (got == 0 && n->o.queued)
		n->o.queued(n->o.owner);
	return got;
}

// A target on its way out has another kind and takes nothing; its events go in chunks, and its row last.
#define LEAVING "leaving"

static int leave_in(struct db_conn *c, void *arg, struct err *e)
{
	int64_t *id = arg;

	return db_exec(c,
		       "UPDATE notify_targets SET kind='" LEAVING "', name=id, config='{}', room=0 "
		       "WHERE id=?1",
		       DB_ARGS(db_int(*id)), e);
}

struct purge {
	int64_t id;
	int done;
};

static int purge_in(struct db_conn *c, void *arg, struct err *e)
{
	struct purge *p = arg;

	p->done = db_exec(c,
			  "DELETE FROM notify_events WHERE seq IN (SELECT seq FROM notify_events "
			  "WHERE target=?1 LIMIT 500)",
			  DB_ARGS(db_int(p->id)), e);
	if (p->done == PURGE_CHUNK)
		return 0;
	return p->done < 0 ? -1
			   : db_exec(c, "DELETE FROM notify_targets WHERE id=?1",
				     DB_ARGS(db_int(p->id)), e);
}

static int purge(struct notify *n, int64_t id, struct err *e)
{
	struct purge p = { id, PURGE_CHUNK };

	while (p.done == PURGE_CHUNK)
		if (db_write(n->db, purge_in, &p, e) < 0)
			return -1;
	return 0;
}

int targets_purge(struct notify *n, struct err *e)
{
	struct db_conn *c = db_reader(n->db, e);
	int64_t id;

	for (;;) {
		if (!c || db_get_int(c, "SELECT id FROM notify_targets WHERE kind='" LEAVING "'",
				     DB_NO_ARGS, 0, &id, e) < 0)
			return -1;
		if (!id)
			return 0;
		if (purge(n, id, e) < 0)
			return -1;
	}
}

static int remove_target(struct notify *n, const char *kind, const char *name, struct err *e)
{
	struct target *t = target_by_name(n, kind, name);
	char bucket[64];
	int64_t id;

	if (!t)
		return target_missing(kind, name, e);
	id = t->id;
	rules_naming(n, id, bucket);
	if (bucket[0])
		return err_set(e, ERR_CONFLICT, "rules of bucket %s name this target", bucket);
	if (db_write(n->db, leave_in, &id, e) < 0)
		return -1;
	target_free(target_swap(n, NULL, id));
	return purge(n, id, e);
}

int notify_target_remove(struct notify *n, const char *kind, const char *name, struct err *e)
{
	int got;

	pthread_mutex_lock(&n->change);
	got = remove_target(n, kind, name, e);
	pthread_mutex_unlock(&n->change);
	if (got == 0 && n->o.queued)
		n->o.queued(n->o.owner);
	return got;
}
