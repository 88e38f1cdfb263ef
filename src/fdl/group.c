// group: several files, or a folder, as the input of one job. Owner: the service that is checked. Threads: no shared state.
// Errors: ERR_INVALID.
// SPDX-License-Identifier: Apache-2.0
#include "fdl/check.h"

#include <limits.h>

enum { GROUP_WAIT_S = 60, MANIFEST_WAIT_S = 3600 };

static int read_wait(const json_t *wait, int64_t otherwise_s, struct fdl_io *out, struct err *e)
{
	json_int_t s = wait ? json_integer_value(wait) : otherwise_s;

	if (s < 1 || s > FDL_GROUP_WAIT_MAX_S)
		return err_set(e, ERR_INVALID, "wait: want 1 to %d seconds", FDL_GROUP_WAIT_MAX_S);
	out->group_wait_s = s;
	return 0;
}

static int read_sentinel(struct arena *a, const char *name, struct fdl_io *out, struct err *e)
{
	if (strlen(name) > NAME_MAX || strchr(name, '/') || strcmp(name, ".") == 0 ||
	    strcmp(name, "..") == 0 || fdl_check_folder(span_of(name), e) < 0)
		return err_set(e, ERR_INVALID,
			       "sentinel: \"%.60s\": want the name of a file that is the last to "
			       "come into its folder",
			       name);
	if (out->prefix_count || out->suffix_count)
		return err_set(e, ERR_INVALID,
			       "sentinel: a folder is taken whole, so there can be no prefix or "
			       "suffix");
	out->sentinel = arena_strdup(a, name);
	return 0;
}

static int read_manifest(struct arena *a, const char *ending, const json_t *wait,
			 struct fdl_io *out, struct err *e)
{
	if (strlen(ending) > NAME_MAX || strchr(ending, '/') ||
	    fdl_check_folder(span_of(ending), e) < 0)
		return err_set(e, ERR_INVALID,
			       "manifest: \"%.60s\": want how the names of files end that name "
			       "others, as .manifest",
			       ending);
	if (out->prefix_count || out->suffix_count)
		return err_set(e, ERR_INVALID,
			       "manifest: its files may be called anything, so there can be no "
			       "prefix or suffix");
	out->manifest = arena_strdup(a, ending);
	return read_wait(wait, MANIFEST_WAIT_S, out, e);
}

static int read_run(const char *failed, const json_t *wait, struct fdl_io *out, struct err *e)
{
	if (strcmp(failed, "run") != 0 && strcmp(failed, "wait") != 0)
		return err_set(e, ERR_INVALID, "failed: \"%.20s\": want run (the default) or wait",
			       failed);
	if (wait && strcmp(failed, "wait") != 0)
		return err_set(e, ERR_INVALID,
			       "wait: a run is waited for as long as it lasts; only "
			       "\"failed: wait\" has a bound");
	out->group_run = true;
	out->group_unfailed = strcmp(failed, "wait") == 0;
	return read_wait(wait, FDL_GROUP_WAIT_MAX_S, out, e);
}

static int read_count(const json_t *count, const json_t *wait, struct fdl_io *out, struct err *e)
{
	json_int_t n = json_integer_value(count);

	if (n < 2 || n > FDL_GROUP_MAX)
		return err_set(e, ERR_INVALID, "count: want 2 to %d files", FDL_GROUP_MAX);
	out->group_count = (unsigned)n;
	return read_wait(wait, GROUP_WAIT_S, out, e);
}

// The text of a key, NULL when it says nothing.
static const char *text_of(const json_t *group, const char *key)
{
	const char *text = json_string_value(json_object_get(group, key));

	return text && *text ? text : NULL;
}

// {count, wait}, {sentinel}, {run, failed, wait} or {manifest, wait}.
int fdl_check_group(struct fdl_check *c, const json_t *group, bool is_input, struct fdl_io *out)
{
	const char *sentinel = text_of(group, "sentinel"), *manifest = text_of(group, "manifest");
	const char *failed = text_of(group, "failed");
	const json_t *count = json_object_get(group, "count");
	const json_t *wait = json_object_get(group, "wait");
	bool run = json_is_true(json_object_get(group, "run"));

	if (!json_object_size(group))
		return 0;
	if (!is_input)
		return err_set(c->e, ERR_INVALID, "outputs are not grouped");
	if (run + (count != NULL) + (sentinel != NULL) + (manifest != NULL) > 1 ||
	    (json_object_get(group, "failed") && !run))
		return err_set(c->e, ERR_INVALID,
			       "want one of count, sentinel, manifest and run; \"failed\" goes "
			       "with run");
	if (run)
		return read_run(failed ? failed : "run", wait, out, c->e);
	if (manifest)
		return read_manifest(c->a, manifest, wait, out, c->e);
	if (sentinel && !wait)
		return read_sentinel(c->a, sentinel, out, c->e);
	if (count)
		return read_count(count, wait, out, c->e);
	return err_set(c->e, ERR_INVALID, "want count (and wait), or the name of a sentinel");
}
