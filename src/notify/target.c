// SPDX-License-Identifier: Apache-2.0
// target: where events can go: the list in memory, as the database has it.
#include "notify/target.h"

#include "base/mem.h"
#include "codec/json.h"

enum { CONFIG_MAX = 64 << 10 };

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

void target_add_setting(struct target *t, const char *key, const char *value)
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

struct target *target_new(const char *kind, const char *name)
{
	struct target *t = mem_zalloc(sizeof(*t));

	snprintf(t->kind, sizeof(t->kind), "%s", kind);
	snprintf(t->name, sizeof(t->name), "%s", name);
	t->local = strcmp(kind, "queue") == 0;
	t->settings = arena_alloc(&t->mem, key_count(kind) * sizeof(*t->settings));
	return t;
}

bool target_enabled(const struct target *t)
{
	return strcmp(target_setting(t, "enable"), "on") == 0;
}

static const char *lane_setting(const void *owner, const char *key)
{
	return target_setting(owner, key);
}

void target_ready(struct notify *n, struct target *t)
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

	if (t->local || !target_enabled(t))
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

// In order of kind and name.
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

struct target *target_swap(struct notify *n, struct target *t, int64_t id)
{
	auto_rwlock held = lock_write(&n->lock);

	return list_put(n, t, id);
}

static int parse_config(struct target *t, struct span text, struct err *e)
{
	auto_json json_t *v = NULL;
	const char *key;
	json_t *value;

	if (codec_json_parse(text, CONFIG_MAX, &v, e) < 0)
		return err_wrap(e, "%s %s", t->kind, t->name);
	json_object_foreach(v, key, value)
	{
		if (json_is_string(value) && setting_key(t->kind, key))
			target_add_setting(t, key, json_string_value(value));
	}
	return 0;
}

int targets_load(struct notify *n, struct err *e)
{
	struct db_conn *c = db_reader(n->db, e);
	auto_query struct db_stmt *q = db_query(
		c, "SELECT id,kind,name,config,created_ns FROM notify_targets", DB_NO_ARGS, e);
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
