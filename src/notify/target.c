// SPDX-License-Identifier: Apache-2.0
// target: where events can go, as the administrator says it.
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "codec/json.h"
#include "notify/engine.h"

enum { CONFIG_MAX = 64 << 10, PURGE_CHUNK = 500 };

// ---- in memory -----------------------------------------------------------------------------------------

void target_free(struct target *t)
{
	if (!t)
		return;
	lane_close(t->lane);
	for (size_t i = 0; i < t->setting_count; i++)
		mem_wipe((char *)(uintptr_t)t->settings[i].value, strlen(t->settings[i].value));
	arena_release(&t->mem);
	mem_free(t);
}

static void free_target_ptr(struct target **t)
{
	target_free(*t);
}
#define auto_target at_scope_exit(free_target_ptr)

static void add_setting(struct target *t, const char *key, const char *value)
{
	t->settings[t->setting_count++] =
		(struct notify_setting){ arena_strdup(&t->mem, key), arena_strdup(&t->mem, value) };
}

static size_t key_count(const char *kind)
{
	size_t n = 0;

	for (const struct notify_key *k = notify_keys(kind); k->name; k++)
		n++;
	return n;
}

static struct target *target_new(const char *kind, const char *name)
{
	struct target *t = mem_zalloc(sizeof(*t));

	snprintf(t->kind, sizeof(t->kind), "%s", kind);
	snprintf(t->name, sizeof(t->name), "%s", name);
	t->local = strcmp(kind, "queue") == 0;
	t->settings = arena_alloc(&t->mem, key_count(kind) * sizeof(*t->settings));
	return t;
}

static bool is_enabled(const struct target *t)
{
	return strcmp(target_setting(t, "enable"), "on") == 0;
}

static const char *lane_setting(const void *owner, const char *key)
{
	return target_setting(owner, key);
}

// Numbers are taken over and, when it delivers, its lane is made.
static void target_ready(struct notify *n, struct target *t)
{
	uint64_t hours = 0, attempts = 0;
	struct err ignored = { 0 };
	struct lane_options o = {
		.db = n->db,
		.target = t->id,
		.created_ns = t->created_ns,
		.label = arena_printf(&t->mem, "%s %s", t->kind, t->name),
		.sender = { .kind = t->kind, .setting = lane_setting, .owner = t },
		.retry_ms = n->o.retry_ms,
		.retry_max_ms = n->o.retry_max_ms,
	};

	if (t->local || !is_enabled(t))
		return;
	(void)setting_number(t, "retry_hours", UINT64_MAX, &hours, &ignored);
	(void)setting_number(t, "retry_attempts", UINT64_MAX, &attempts, &ignored);
	o.attempts_max = (unsigned)attempts;
	o.age_max_ns = (int64_t)hours * 3600 * NS_PER_S;
	t->lane = lane_open(&o);
}

struct target *target_by_name(struct notify *n, const char *kind, const char *name)
{
	for (struct target *t = n->targets; t; t = t->next)
		if (strcmp(t->kind, kind) == 0 && strcmp(t->name, name) == 0)
			return t;
	return NULL;
}

struct target *target_by_id(struct notify *n, int64_t id)
{
	for (struct target *t = n->targets; t; t = t->next)
		if (t->id == id)
			return t;
	return NULL;
}

int64_t target_by_arn(struct notify *n, struct span arn)
{
	struct span region;
	char name[NOTIFY_NAME_MAX];
	struct span part;
	struct target *t;
	char kind[16];

	if (!span_starts(arn, SPAN("arn:minio:sqs:")))
		return 0;
	arn = span_from(arn, sizeof("arn:minio:sqs:") - 1);
	region = span_cut(&arn, ':');
	part = span_cut(&arn, ':');
	if ((region.n && !span_is(region, n->region)) || part.n >= sizeof(name) ||
	    arn.n >= sizeof(kind))
		return 0;
	snprintf(name, sizeof(name), SPAN_FMT, SPAN_ARG(part));
	snprintf(kind, sizeof(kind), SPAN_FMT, SPAN_ARG(arn));
	t = target_by_name(n, kind, name);
	return t ? t->id : 0;
}

char *target_arn(struct notify *n, struct arena *mem, const struct target *t)
{
	return arena_printf(mem, "arn:minio:sqs:%s:%s:%s", n->region, t->name, t->kind);
}

// In place of one of the same id, which is the caller's afterwards; in order of kind and name.
static struct target *list_put(struct notify *n, struct target *t, int64_t id)
{
	struct target **at = &n->targets, *old = NULL;

	while (*at) {
		if ((*at)->id == id) {
			old = *at;
			*at = old->next;
			break;
		}
		at = &(*at)->next;
	}
	for (at = &n->targets; t && *at; at = &(*at)->next) {
		int order = strcmp((*at)->kind, t->kind);

		if (order > 0 || (order == 0 && strcmp((*at)->name, t->name) > 0))
			break;
	}
	if (t) {
		t->next = *at;
		*at = t;
	}
	return old;
}

static struct target *swap(struct notify *n, struct target *t, int64_t id)
{
	struct target *old;

	pthread_rwlock_wrlock(&n->lock);
	old = list_put(n, t, id);
	pthread_rwlock_unlock(&n->lock);
	return old;
}

// ---- in the database -----------------------------------------------------------------------------------

static int parse_config(struct target *t, struct span text, struct err *e)
{
	auto_json json_t *v = NULL;
	const char *key;
	json_t *value;

	if (codec_json_parse(text, CONFIG_MAX, &v, e) < 0)
		return err_wrap(e, "%s %s", t->kind, t->name);
	json_object_foreach(v, key, value) if (json_is_string(value) && setting_key(t->kind, key))
		add_setting(t, key, json_string_value(value));
	return 0;
}

int targets_load(struct notify *n, struct err *e)
{
	struct db_conn *c = db_reader(n->db, e);
	auto_query struct db_stmt *q =
		c ? db_query(c, "SELECT id,kind,name,config,created_ns FROM notify_targets",
			     DB_NO_ARGS, e)
		  : NULL;
	int got = -1;

	while (q && (got = db_step(q, e)) > 0) {
		auto_target struct target *t = NULL;
		char kind[16], name[NOTIFY_NAME_MAX];

		snprintf(kind, sizeof(kind), SPAN_FMT, SPAN_ARG(db_col_span(q, 1)));
		snprintf(name, sizeof(name), SPAN_FMT, SPAN_ARG(db_col_span(q, 2)));
		if (!notify_keys(kind))
			continue; // of a newer program
		t = target_new(kind, name);
		t->id = db_col_int(q, 0);
		t->created_ns = db_col_int(q, 4);
		if (parse_config(t, db_col_span(q, 3), e) < 0)
			return -1;
		target_ready(n, t);
		list_put(n, mem_take(&t), -1);
	}
	return got;
}

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
			add_setting(t, k->name, v);
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
	if (is_enabled(t) && setting_number(t, "queue_limit", UINT64_MAX, &room, e))
		w.room = (int64_t)room;
	if (db_write(n->db, write_target, &w, e) < 0)
		return -1;
	mem_wipe(text, strlen(text));
	if (old) // one lane at a time, else a key's order is lost
		target_free(swap(n, NULL, t->id));
	target_ready(n, t);
	lane = t->lane;
	swap(n, mem_take(&t), -1);
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

static int no_target(const char *kind, const char *name, struct err *e)
{
	return err_set(e, ERR_NOT_FOUND, "no target %.16s %.64s", kind, name);
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
		return no_target(kind, name, e);
	id = t->id;
	rules_naming(n, id, bucket);
	if (bucket[0])
		return err_set(e, ERR_CONFLICT, "rules of bucket %s name this target", bucket);
	if (db_write(n->db, leave_in, &id, e) < 0)
		return -1;
	target_free(swap(n, NULL, id));
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

// ---- looking at them -----------------------------------------------------------------------------------

static int count_events(struct notify *n, int64_t id, struct notify_target *out, struct err *e)
{
	struct db_conn *c = db_reader(n->db, e);
	int64_t v[3] = { 0 };

	if (!c ||
	    db_get_int(c, "SELECT events FROM notify_targets WHERE id=?1", DB_ARGS(db_int(id)), 0,
		       &v[0], e) < 0 ||
	    db_get_int(c, "SELECT dropped FROM notify_targets WHERE id=?1", DB_ARGS(db_int(id)), 0,
		       &v[1], e) < 0 ||
	    db_get_int(c, "SELECT count(*) FROM notify_events WHERE target=?1 AND dead=1",
		       DB_ARGS(db_int(id)), 0, &v[2], e) < 0)
		return -1;
	out->events = (uint64_t)v[0];
	out->dropped = (uint64_t)v[1];
	out->dead = (uint64_t)v[2];
	return 0;
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
	return t ? count_events(n, id, out, e) : no_target(kind, name, e);
}
