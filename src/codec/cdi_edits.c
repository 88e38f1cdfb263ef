// SPDX-License-Identifier: Apache-2.0
// The `containerEdits` of a specification or of one of its devices.
#include "codec/cdi_private.h"

enum { GROUPS_MAX = 16 };

void cdi_skip(struct cdi_edits *out, const char *what)
{
	out->skipped[out->skipped_count++] = what;
}

static int read_env(struct arena *a, const json_t *edits, struct cdi_edits *out, struct err *e)
{
	json_t *list;

	if (cdi_list(edits, "env", &list, &out->env_count, e) < 0)
		return -1;
	out->env = arena_alloc(a, (out->env_count + 1) * sizeof(*out->env));
	for (size_t i = 0; i < out->env_count; i++) {
		const char *text;

		if (cdi_text_value(a, json_array_get(list, i), CDI_ENV_MAX, &text, e) < 0)
			return err_wrap(e, "env[%zu]", i);
		if (text[0] == '=' || !strchr(text, '='))
			return err_set(e, ERR_INVALID, "env[%zu]: \"%.60s\": want NAME=VALUE", i,
				       text);
		out->env[i] = text;
	}
	return 0;
}

static int read_permissions(struct arena *a, const json_t *v, struct cdi_node *out, struct err *e)
{
	const char *text;

	if (cdi_text(a, v, "permissions", 8, false, &text, e) < 0)
		return -1;
	out->read = out->write = !text; // as runtimes take it: all
	for (; text && *text; text++) {
		if (*text != 'r' && *text != 'w' && *text != 'm')
			return err_set(e, ERR_INVALID, "permissions: want letters of \"rwm\"");
		out->read = out->read || *text == 'r';
		out->write = out->write || *text == 'w';
	}
	return 0;
}

static int read_type(struct arena *a, const json_t *v, struct cdi_node *out, struct err *e)
{
	const char *text;

	if (cdi_text(a, v, "type", 8, false, &text, e) < 0)
		return -1;
	if (!text)
		return 0;
	if (text[1] || !strchr("cub", text[0]))
		return err_set(e, ERR_UNSUPPORTED, "type: \"%s\": want \"c\" or \"b\"", text);
	out->type = text[0] == 'b' ? 'b' : 'c';
	return 0;
}

static int read_node(struct arena *a, const json_t *v, struct cdi_node *out, struct err *e)
{
	static const char *const keys[] = { "path",	"hostPath",    "type", "major", "minor",
					    "fileMode", "permissions", "uid",  "gid",	NULL };
	int64_t unused = 0;

	*out = (struct cdi_node){ .major = -1, .minor = -1 };
	if (cdi_only(v, keys, e) < 0 ||
	    cdi_text(a, v, "path", CDI_PATH_MAX, true, &out->path, e) < 0 ||
	    cdi_text(a, v, "hostPath", CDI_PATH_MAX, false, &out->host_path, e) < 0)
		return -1;
	if (cdi_path_check(out->path, e) < 0)
		return err_wrap(e, "path");
	if (strncmp(out->path, "/dev/", 5) != 0)
		return err_set(e, ERR_UNSUPPORTED, "path: \"%.60s\": want one below /dev",
			       out->path);
	if (out->host_path && cdi_path_check(out->host_path, e) < 0)
		return err_wrap(e, "hostPath");
	if (!out->host_path)
		out->host_path = out->path;
	if (read_type(a, v, out, e) < 0 || read_permissions(a, v, out, e) < 0 ||
	    codec_json_get_int(v, "major", -1, UINT32_MAX, &out->major, e) < 0 ||
	    codec_json_get_int(v, "minor", -1, UINT32_MAX, &out->minor, e) < 0 ||
	    codec_json_get_int(v, "fileMode", 0, UINT32_MAX, &unused, e) < 0 ||
	    codec_json_get_int(v, "uid", 0, UINT32_MAX, &unused, e) < 0)
		return -1;
	if (out->major == 0 && out->minor == 0) // as programs write it that do not know it
		out->major = out->minor = -1;
	return codec_json_get_int(v, "gid", 0, UINT32_MAX, &unused, e);
}

static int read_nodes(struct arena *a, const json_t *edits, struct cdi_edits *out, struct err *e)
{
	json_t *list;

	if (cdi_list(edits, "deviceNodes", &list, &out->node_count, e) < 0)
		return -1;
	out->nodes = arena_alloc(a, (out->node_count + 1) * sizeof(*out->nodes));
	for (size_t i = 0; i < out->node_count; i++)
		if (read_node(a, json_array_get(list, i), &out->nodes[i], e) < 0)
			return err_wrap(e, "deviceNodes[%zu]", i);
	return 0;
}

static int read_options(struct arena *a, const json_t *v, struct cdi_mount *out, struct err *e)
{
	json_t *list;
	size_t n;

	if (cdi_list(v, "options", &list, &n, e) < 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		const char *text;

		if (cdi_text_value(a, json_array_get(list, i), 256, &text, e) < 0)
			return err_wrap(e, "options[%zu]", i);
		out->noexec = out->noexec || strcmp(text, "noexec") == 0;
	}
	return 0;
}

static int read_mount(struct arena *a, const json_t *v, struct cdi_mount *out, struct err *e)
{
	static const char *const keys[] = { "hostPath", "containerPath", "type", "options", NULL };
	const char *type;

	if (cdi_only(v, keys, e) < 0 ||
	    cdi_text(a, v, "hostPath", CDI_PATH_MAX, true, &out->host_path, e) < 0 ||
	    cdi_text(a, v, "containerPath", CDI_PATH_MAX, true, &out->path, e) < 0 ||
	    cdi_text(a, v, "type", 32, false, &type, e) < 0)
		return -1;
	if (type && strcmp(type, "bind") != 0 && strcmp(type, "none") != 0)
		return err_set(e, ERR_UNSUPPORTED,
			       "type: \"%s\": only what lies on the machine is mounted", type);
	if (cdi_path_check(out->host_path, e) < 0)
		return err_wrap(e, "hostPath");
	if (cdi_path_check(out->path, e) < 0)
		return err_wrap(e, "containerPath");
	return read_options(a, v, out, e);
}

static int read_mounts(struct arena *a, const json_t *edits, struct cdi_edits *out, struct err *e)
{
	json_t *list;
	size_t n;

	if (cdi_list(edits, "mounts", &list, &n, e) < 0)
		return -1;
	out->mounts = arena_alloc(a, (n + 1) * sizeof(*out->mounts));
	for (size_t i = 0; i < n; i++) {
		struct cdi_mount *m = &out->mounts[out->mount_count];
		struct err unused = { 0 };

		if (read_mount(a, json_array_get(list, i), m, e) < 0)
			return err_wrap(e, "mounts[%zu]", i);
		if (cdi_place_check(m->path, &unused) == 0)
			out->mount_count++;
		else
			cdi_skip(out, arena_printf(a, "the mount %s", m->path));
	}
	return 0;
}

static int read_groups(struct arena *a, const json_t *edits, struct cdi_edits *out, struct err *e)
{
	json_t *list;
	size_t n;

	if (cdi_list(edits, "additionalGids", &list, &n, e) < 0)
		return -1;
	if (n > GROUPS_MAX)
		return err_set(e, ERR_LIMIT, "additionalGids: %zu entries, allowed are %d", n,
			       GROUPS_MAX);
	out->groups = arena_alloc(a, (n + 1) * sizeof(*out->groups));
	for (size_t i = 0; i < n; i++) {
		const json_t *v = json_array_get(list, i);

		if (!json_is_integer(v) || json_integer_value(v) < 0 ||
		    json_integer_value(v) >= UINT32_MAX)
			return err_set(e, ERR_INVALID, "additionalGids[%zu]: want a group's number",
				       i);
		if (json_integer_value(v)) // the specification: 0 is ignored
			out->groups[out->group_count++] = (uint32_t)json_integer_value(v);
	}
	return 0;
}

int cdi_edits_read(struct arena *a, const json_t *object, struct cdi_edits *out, struct err *e)
{
	static const char *const keys[] = { "env",   "deviceNodes",    "mounts",
					    "hooks", "additionalGids", "intelRdt",
					    NULL };
	json_t *edits = NULL, *rdt = NULL;

	if (codec_json_get_object(object, "containerEdits", &edits, e) < 0)
		return -1;
	if (!edits)
		return 0;
	out->skipped = arena_alloc(a, (json_array_size(codec_json_get(edits, "mounts")) +
				       json_array_size(codec_json_get(edits, "hooks")) + 1) *
					      sizeof(*out->skipped));
	if (cdi_only(edits, keys, e) < 0 || read_env(a, edits, out, e) < 0 ||
	    read_nodes(a, edits, out, e) < 0 || read_mounts(a, edits, out, e) < 0 ||
	    read_groups(a, edits, out, e) < 0 ||
	    codec_json_get_object(edits, "intelRdt", &rdt, e) < 0 ||
	    cdi_hooks_read(a, edits, out, e) < 0)
		return err_wrap(e, "containerEdits");
	if (rdt)
		cdi_skip(out, "intelRdt");
	return 0;
}
