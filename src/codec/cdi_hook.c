// SPDX-License-Identifier: Apache-2.0
// Hooks are not run. Those that NVIDIA's generator writes say in their arguments what they would do.
#include "codec/cdi_private.h"

enum { ARGS_MAX = 4096 };

struct hook {
	const char *path;
	json_t *args;
	size_t count;
};

static const char *arg(const struct hook *h, size_t i)
{
	const char *text = i < h->count ? json_string_value(json_array_get(h->args, i)) : NULL;

	return text ? text : "";
}

// "nvidia-ctk hook NAME …" and "nvidia-cdi-hook NAME …": the name, and where its options begin. "" for any other.
static const char *nvidia_name(const struct hook *h, size_t *options)
{
	const char *slash = strrchr(h->path, '/');
	const bool ctk = strcmp(slash + 1, "nvidia-ctk") == 0;

	*options = 2;
	if (ctk && strcmp(arg(h, 1), "hook") == 0)
		*options = 3;
	return ctk || strcmp(slash + 1, "nvidia-cdi-hook") == 0 ? arg(h, *options - 1) : "";
}

// The next value of "--NAME VALUE" or "--NAME=VALUE" from *at on; NULL when there is no further one.
static const char *next_value(const struct hook *h, const char *option, size_t *at)
{
	const size_t n = strlen(option);

	while (*at < h->count) {
		const char *text = arg(h, (*at)++);

		if (strncmp(text, option, n) != 0)
			continue;
		if (text[n] == '=')
			return text + n + 1;
		if (!text[n] && *at < h->count)
			return arg(h, (*at)++);
	}
	return NULL;
}

// "TARGET::PATH"
static int add_link(struct arena *a, const char *text, struct cdi_edits *out, struct err *e)
{
	const char *colons = strstr(text, "::");
	struct cdi_link *l = &out->links[out->link_count];

	if (!colons || colons == text || (size_t)(colons - text) >= CDI_PATH_MAX ||
	    strlen(colons + 2) >= CDI_PATH_MAX)
		return err_set(e, ERR_INVALID, "--link %.60s: want TARGET::PATH", text);
	l->target = arena_strndup(a, text, (size_t)(colons - text));
	l->path = arena_strdup(a, colons + 2);
	if (cdi_place_check(l->path, e) < 0)
		return err_wrap(e, "--link");
	out->link_count++;
	return 0;
}

static int read_links(struct arena *a, const struct hook *h, size_t at, struct cdi_edits *out,
		      struct err *e)
{
	const char *text;

	while ((text = next_value(h, "--link", &at))) {
		if (out->link_count == CDI_LIST_MAX)
			return err_set(e, ERR_LIMIT, "more than %d links", CDI_LIST_MAX);
		if (add_link(a, text, out, e) < 0)
			return -1;
	}
	return 0;
}

static int read_folders(struct arena *a, const struct hook *h, size_t at, struct cdi_edits *out,
			struct err *e)
{
	const char *text;

	while ((text = next_value(h, "--folder", &at))) {
		if (out->folder_count == CDI_LIST_MAX)
			return err_set(e, ERR_LIMIT, "more than %d folders", CDI_LIST_MAX);
		if (strlen(text) >= CDI_PATH_MAX || cdi_path_check(text, e) < 0)
			return err_wrap(e, "--folder");
		if (strchr(text, ':'))
			return err_set(e, ERR_INVALID, "--folder %.60s: a colon in its name", text);
		out->folders[out->folder_count++] = arena_strdup(a, text);
	}
	return 0;
}

static int use_hook(struct arena *a, const struct hook *h, struct cdi_edits *out, struct err *e)
{
	size_t at;
	const char *name = nvidia_name(h, &at);

	if (strcmp(name, "create-symlinks") == 0)
		return read_links(a, h, at, out, e);
	if (strcmp(name, "update-ldcache") == 0)
		return read_folders(a, h, at, out, e);
	// Nothing is left to do: folders of ours can be entered by everybody, and nobody can change a node.
	if (strcmp(name, "chmod") == 0 || strcmp(name, "disable-device-node-modification") == 0)
		return 0;
	cdi_skip(out, arena_printf(a, "the hook %s%s%s", h->path, name[0] ? " " : "", name));
	return 0;
}

static int read_hook(struct arena *a, const json_t *v, struct cdi_edits *out, struct err *e)
{
	static const char *const keys[] = { "hookName", "path", "args", "env", "timeout", NULL };
	struct hook h = { 0 };
	const char *name, *unused;
	json_t *env;
	int64_t timeout = 1;
	size_t n;

	if (cdi_only(v, keys, e) < 0 || cdi_text(a, v, "hookName", 64, true, &name, e) < 0 ||
	    cdi_text(a, v, "path", CDI_PATH_MAX, true, &h.path, e) < 0 ||
	    cdi_list(v, "args", &h.args, &h.count, e) < 0 || cdi_list(v, "env", &env, &n, e) < 0 ||
	    codec_json_get_int(v, "timeout", 1, INT32_MAX, &timeout, e) < 0)
		return -1;
	if (cdi_path_check(h.path, e) < 0)
		return err_wrap(e, "path");
	for (size_t i = 0; i < h.count; i++)
		if (cdi_text_value(a, json_array_get(h.args, i), ARGS_MAX, &unused, e) < 0)
			return err_wrap(e, "args[%zu]", i);
	return use_hook(a, &h, out, e);
}

int cdi_hooks_read(struct arena *a, const json_t *edits, struct cdi_edits *out, struct err *e)
{
	json_t *list;
	size_t n;

	if (cdi_list(edits, "hooks", &list, &n, e) < 0)
		return -1;
	if (n) {
		out->links = arena_alloc(a, CDI_LIST_MAX * sizeof(*out->links));
		out->folders = arena_alloc(a, CDI_LIST_MAX * sizeof(*out->folders));
	}
	for (size_t i = 0; i < n; i++)
		if (read_hook(a, json_array_get(list, i), out, e) < 0)
			return err_wrap(e, "hooks[%zu]", i);
	return 0;
}
