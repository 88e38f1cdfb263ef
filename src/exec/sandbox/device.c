// SPDX-License-Identifier: Apache-2.0
// Devices of the machine, as the administrator's files describe them. Here only names and environment are taken from
// them; nodes and mounts are the runner's, which reads the same files.
#include "base/arena.h"
#include "base/log.h"
#include "base/mem.h"
#include "exec/sandbox/box.h"

#define LIBRARY_PATH "LD_LIBRARY_PATH"

static void warn(void *owner, const char *text)
{
	(void)owner;
	log_warn("exec", "devices: %s", text);
}

static struct cdi_from folders(const struct sandbox_driver *d, bool loud)
{
	return (struct cdi_from){ .folders = (const char *const *)d->cdi,
				  .count = d->cdi_count,
				  .checked = true,
				  .warn = loud ? warn : NULL };
}

static void name_skipped(const struct cdi_entry *x, const struct cdi_edits *edits)
{
	for (size_t i = 0; i < edits->skipped_count; i++)
		log_info("exec", "devices: %s: %s is left out", x->file, edits->skipped[i]);
}

static void name_all_skipped(const struct cdi_set *set)
{
	for (size_t i = 0; i < set->count; i++) {
		if (!i || set->at[i].spec != set->at[i - 1].spec)
			name_skipped(&set->at[i], &set->at[i].spec->edits);
		name_skipped(&set->at[i], &set->at[i].device->edits);
	}
}

bool box_devices(struct exec_driver *base, struct arena *a, uint64_t *stamp,
		 const char *const **names, size_t *n)
{
	struct sandbox_driver *d = (struct sandbox_driver *)base;
	const struct cdi_from from = folders(d, true);
	const uint64_t now = cdi_stamp(&from);
	auto_arena struct arena mem = { 0 };
	const struct cdi_entry **units;
	const char **out;
	struct cdi_set set;

	if (now == *stamp)
		return false;
	*stamp = now;
	cdi_read(&mem, &from, &set);
	name_all_skipped(&set);
	units = arena_alloc(&mem, (set.count + 1) * sizeof(const struct cdi_entry *));
	*n = cdi_units(&set, units);
	out = arena_alloc(a, (*n + 1) * sizeof(*out));
	for (size_t i = 0; i < *n; i++)
		out[i] = arena_strdup(a, units[i]->name);
	*names = out;
	return true;
}

// ---- the environment -----------------------------------------------------------------------------------

struct env {
	struct arena *a;
	struct exec_env *at;
	size_t n;
};

static void set(struct env *env, const char *name, const char *value)
{
	size_t i = 0;

	while (i < env->n && strcmp(env->at[i].name, name) != 0)
		i++;
	env->at[i] = (struct exec_env){ name, value };
	env->n += i == env->n;
}

static const char *get(const struct env *env, const char *name)
{
	for (size_t i = 0; i < env->n; i++)
		if (strcmp(env->at[i].name, name) == 0)
			return env->at[i].value;
	return "";
}

// Behind what the service or its image says: what they bring comes first.
static void add_folder(struct env *env, const char *folder)
{
	const char *had = get(env, LIBRARY_PATH);
	struct span rest = span_of(had);

	while (rest.n)
		if (span_is(span_cut(&rest, ':'), folder))
			return;
	set(env, LIBRARY_PATH, arena_printf(env->a, "%s%s%s", had, *had ? ":" : "", folder));
}

static void add_edits(struct env *env, const struct cdi_edits *x)
{
	for (size_t i = 0; i < x->env_count; i++) {
		const char *equals = strchr(x->env[i], '=');

		set(env, arena_strndup(env->a, x->env[i], (size_t)(equals - x->env[i])),
		    arena_strdup(env->a, equals + 1));
	}
	for (size_t i = 0; i < x->folder_count; i++)
		add_folder(env, x->folders[i]);
}

int box_device_env(struct sandbox_driver *d, struct arena *a, const struct exec_spec *s,
		   struct exec_spec *out, struct err *e)
{
	const struct cdi_entry *found[EXEC_DEVICES_MAX];
	const struct cdi_edits *edits[2 * EXEC_DEVICES_MAX];
	const struct cdi_from from = folders(d, false);
	struct env env = { .a = a };
	struct cdi_set all;
	size_t n, room = s->env_count + 1; // LD_LIBRARY_PATH

	if (s->device_count > EXEC_DEVICES_MAX)
		return err_set(e, ERR_LIMIT, "more than %d devices", EXEC_DEVICES_MAX);
	cdi_read(a, &from, &all);
	for (size_t i = 0; i < s->device_count; i++)
		if (!(found[i] = cdi_find(&all, s->devices[i])))
			return err_set(e, ERR_INVALID, "there is no device %s any more",
				       s->devices[i]);
	n = cdi_edits_of(found, s->device_count, edits);
	for (size_t i = 0; i < n; i++)
		room += edits[i]->env_count;
	env.at = arena_alloc(a, room * sizeof(*env.at));
	for (size_t i = 0; i < s->env_count; i++)
		set(&env, s->env[i].name, s->env[i].value);
	for (size_t i = 0; i < n; i++)
		add_edits(&env, edits[i]);
	*out = *s;
	out->env = env.at;
	out->env_count = env.n;
	return 0;
}
