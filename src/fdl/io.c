// io: where a service reads and writes: paths, providers, filters. Owner: everything lives in the
// service's arena. Threads: no shared state. Errors: ERR_INVALID, ERR_UNSUPPORTED.
// SPDX-License-Identifier: Apache-2.0
#include "fdl/private.h"

#include <limits.h>

enum { GROUP_WAIT_S = 60, MANIFEST_WAIT_S = 3600 };

static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_address(struct span name)
{
	unsigned dots = 0;

	for (size_t i = 0; i < name.n; i++) {
		if (name.p[i] == '.')
			dots++;
		else if (name.p[i] < '0' || name.p[i] > '9')
			return false;
	}
	return dots == 3;
}

int fdl_bucket_name_check(struct span name, struct err *e)
{
	if (name.n < 3 || name.n > 63)
		return err_set(e, ERR_INVALID,
			       "bucket name \"%.*s\" has %zu characters; S3 wants 3 to 63",
			       (int)(name.n < 63 ? name.n : 63), name.p, name.n);
	for (size_t i = 0; i < name.n; i++)
		if (!is_alnum(name.p[i]) && name.p[i] != '-' && name.p[i] != '.')
			return err_set(
				e, ERR_INVALID,
				"bucket name \"%.*s\": only a-z, 0-9, \"-\" and \".\" are allowed",
				SPAN_ARG(name));
	if (!is_alnum(name.p[0]) || !is_alnum(name.p[name.n - 1]))
		return err_set(e, ERR_INVALID,
			       "bucket name \"%.*s\" must begin and end with a letter or digit",
			       SPAN_ARG(name));
	for (size_t i = 1; i < name.n; i++)
		if (name.p[i] == '.' && name.p[i - 1] == '.')
			return err_set(e, ERR_INVALID,
				       "bucket name \"%.*s\" has two points in a row",
				       SPAN_ARG(name));
	if (is_address(name))
		return err_set(e, ERR_INVALID, "bucket name \"%.*s\" looks like an IP address",
			       SPAN_ARG(name));
	return 0;
}

static int check_folder(struct span folder, struct err *e)
{
	struct span rest = folder;

	if (folder.n > FDL_FOLDER_MAX)
		return err_set(e, ERR_LIMIT, "folder of %zu bytes, allowed are %d", folder.n,
			       FDL_FOLDER_MAX);
	while (rest.n > 0) {
		struct span part = span_cut(&rest, '/');

		if (part.n == 0)
			return err_set(e, ERR_INVALID, "a folder with an empty name");
		if (span_is(part, ".") || span_is(part, ".."))
			return err_set(e, ERR_INVALID, "a folder must not be named \"%.*s\"",
				       SPAN_ARG(part));
	}
	for (size_t i = 0; i < folder.n; i++)
		if ((unsigned char)folder.p[i] < 0x20 || folder.p[i] == 0x7f)
			return err_set(e, ERR_INVALID, "a folder with a control character");
	return 0;
}

static struct span trim_slashes(struct span s)
{
	for (;;) {
		struct span t = span_trim(s);

		while (t.n > 0 && t.p[0] == '/')
			t = span_from(t, 1);
		while (t.n > 0 && t.p[t.n - 1] == '/')
			t = span_head(t, t.n - 1);
		if (t.n == s.n)
			return t;
		s = t;
	}
}

const char *const *fdl_strings(struct arena *a, const json_t *list, size_t *count)
{
	size_t n = json_array_size(list);
	const char **out = arena_alloc(a, (n + 1) * sizeof(*out));

	for (size_t i = 0; i < n; i++)
		out[i] = arena_strdup(a, json_string_value(json_array_get(list, i)));
	*count = n;
	return out;
}

static int read_provider(struct arena *a, struct span text, const json_t *providers,
			 struct fdl_io *out, struct err *e)
{
	static const char *const types[] = { "minio", "s3", "onedata", "webdav", "rucio" };
	struct span id = text, type = span_cut(&id, '.');

	if (span_eq_nocase(type, SPAN("dcache")))
		type = SPAN("webdav");
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (span_eq_nocase(type, span_of(types[i])))
			out->provider_type = types[i];
	if (!out->provider_type)
		return err_set(e, ERR_INVALID,
			       "the StorageProvider \"%.*s\" is not defined (known are minio, s3, "
			       "onedata, webdav, rucio)",
			       (int)(text.n < 60 ? text.n : 60), text.p);
	out->provider_id = id.n > 0 ? arena_strndup(a, id.p, id.n) : "default";
	out->provider = arena_printf(a, "%s.%s", out->provider_type, out->provider_id);
	if (strcmp(out->provider, "minio.default") != 0 &&
	    !json_object_get(json_object_get(providers, out->provider_type), out->provider_id))
		return err_set(e, ERR_INVALID,
			       "the StorageProvider \"%.60s\" is not defined; add it to "
			       "storage_providers",
			       out->provider);
	return 0;
}

static int check_input_provider(const struct fdl_io *io, struct err *e)
{
	if (strcmp(io->provider, "minio.default") == 0)
		return 0;
	if (strcmp(io->provider_type, "webdav") == 0 || strcmp(io->provider_type, "rucio") == 0)
		return err_set(e, ERR_UNSUPPORTED,
			       "inputs of %s are not offered yet; use minio.default",
			       io->provider_type);
	return err_set(e, ERR_INVALID, "unrecognized input (valid inputs are MinIO and dCache)");
}

static int read_path(struct arena *a, struct span text, const char *service, bool is_input,
		     struct fdl_io *out, struct err *e)
{
	struct span folder = trim_slashes(text), bucket;
	bool is_store =
		strcmp(out->provider_type, "minio") == 0 || strcmp(out->provider_type, "s3") == 0;

	if (folder.n == 0)
		return err_set(e, ERR_INVALID, "%s path cannot be empty",
			       is_input ? "input" : "output");
	if (is_store && span_find(folder, '/') < 0)
		bucket = span_of(service); // as the peer reads a path of one part
	else
		bucket = span_cut(&folder, '/');
	folder = trim_slashes(folder);
	if (is_store && fdl_bucket_name_check(bucket, e) < 0)
		return -1;
	if (check_folder(folder, e) < 0)
		return -1;
	out->bucket = arena_strndup(a, bucket.p, bucket.n);
	out->folder = arena_strndup(a, folder.p, folder.n);
	return 0;
}

static int read_filter(struct arena *a, const json_t *list, const char *const **out, size_t *count,
		       struct err *e)
{
	if (json_array_size(list) > FDL_FILTERS_MAX)
		return err_set(e, ERR_LIMIT, "%zu entries, allowed are %d", json_array_size(list),
			       FDL_FILTERS_MAX);
	*out = fdl_strings(a, list, count);
	return 0;
}

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
	    strcmp(name, "..") == 0 || check_folder(span_of(name), e) < 0)
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
	    check_folder(span_of(ending), e) < 0)
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

// {count, wait}, {sentinel}, {run, failed, wait} or {manifest, wait}.
static int read_group(struct arena *a, const json_t *group, bool is_input, struct fdl_io *out,
		      struct err *e)
{
	const char *sentinel = json_string_value(json_object_get(group, "sentinel"));
	const json_t *count = json_object_get(group, "count"),
		     *wait = json_object_get(group, "wait");
	const char *failed = json_string_value(json_object_get(group, "failed"));
	const char *manifest = json_string_value(json_object_get(group, "manifest"));
	bool run = json_is_true(json_object_get(group, "run"));
	json_int_t n = json_integer_value(count);

	if (!json_object_size(group))
		return 0;
	if (!is_input)
		return err_set(e, ERR_INVALID, "outputs are not grouped");
	if (run + (count != NULL) + (sentinel && *sentinel) + (manifest && *manifest) > 1 ||
	    (failed && !run))
		return err_set(e, ERR_INVALID,
			       "want one of count, sentinel, manifest and run; \"failed\" goes "
			       "with run");
	if (run)
		return read_run(failed && *failed ? failed : "run", wait, out, e);
	if (manifest && *manifest)
		return read_manifest(a, manifest, wait, out, e);
	if ((sentinel && *sentinel) == (count != NULL) || (sentinel && *sentinel && wait))
		return err_set(e, ERR_INVALID, "want count (and wait), or the name of a sentinel");
	if (sentinel && *sentinel)
		return read_sentinel(a, sentinel, out, e);
	if (n < 2 || n > FDL_GROUP_MAX)
		return err_set(e, ERR_INVALID, "count: want 2 to %d files", FDL_GROUP_MAX);
	out->group_count = (unsigned)n;
	return read_wait(wait, GROUP_WAIT_S, out, e);
}

int fdl_io_read(struct arena *a, const json_t *io, const char *service, bool is_input,
		const json_t *providers, struct fdl_io *out, char field[static FDL_PATH_MAX],
		struct err *e)
{
	const char *provider = json_string_value(json_object_get(io, "storage_provider"));
	const char *path = json_string_value(json_object_get(io, "path"));

	*out = (struct fdl_io){ 0 };
	snprintf(field, FDL_PATH_MAX, "storage_provider");
	if (read_provider(a, span_of(provider && *provider ? provider : "minio"), providers, out,
			  e) < 0 ||
	    (is_input && check_input_provider(out, e) < 0))
		return -1;
	snprintf(field, FDL_PATH_MAX, "path");
	if (read_path(a, span_of(path ? path : ""), service, is_input, out, e) < 0)
		return -1;
	snprintf(field, FDL_PATH_MAX, "prefix");
	if (read_filter(a, json_object_get(io, "prefix"), &out->prefixes, &out->prefix_count, e) <
	    0)
		return -1;
	snprintf(field, FDL_PATH_MAX, "suffix");
	if (read_filter(a, json_object_get(io, "suffix"), &out->suffixes, &out->suffix_count, e) <
	    0)
		return -1;
	snprintf(field, FDL_PATH_MAX, "group");
	return read_group(a, json_object_get(io, "group"), is_input, out, e);
}

// Its first part is the bucket, also of a path with one part.
int fdl_mount_io_read(struct arena *a, const json_t *mount, const json_t *providers,
		      struct fdl_io *out, struct err *e)
{
	const char *provider = json_string_value(json_object_get(mount, "storage_provider"));
	const char *path = json_string_value(json_object_get(mount, "path"));
	struct span folder = trim_slashes(span_of(path)), bucket = span_cut(&folder, '/');

	*out = (struct fdl_io){ 0 };
	folder = trim_slashes(folder);
	if (read_provider(a, span_of(provider && *provider ? provider : "minio"), providers, out,
			  e) < 0 ||
	    fdl_bucket_name_check(bucket, e) < 0 || check_folder(folder, e) < 0)
		return -1;
	out->bucket = arena_strndup(a, bucket.p, bucket.n);
	out->folder = arena_strndup(a, folder.p, folder.n);
	return 0;
}

bool fdl_io_matches(const struct fdl_io *io, struct span name)
{
	bool begins = io->prefix_count == 0, ends = io->suffix_count == 0;

	for (size_t i = 0; i < io->prefix_count && !begins; i++)
		begins = span_starts(name, span_of(io->prefixes[i]));
	for (size_t i = 0; i < io->suffix_count && !ends; i++)
		ends = span_ends(name, span_of(io->suffixes[i]));
	return begins && ends;
}

static bool is_last_part(struct span name, const char *part)
{
	size_t n = strlen(part);

	return span_ends(name, span_of(part)) && (name.n == n || name.p[name.n - n - 1] == '/');
}

bool fdl_io_takes(const struct fdl_io *io, struct span bucket, struct span key, struct span *name)
{
	struct span folder = span_of(io->folder), rest = key;

	if (!span_is(bucket, io->bucket))
		return false;
	if (folder.n > 0) {
		if (!span_starts(key, folder) || key.n <= folder.n + 1 || key.p[folder.n] != '/')
			return false;
		rest = span_from(key, folder.n + 1);
	}
	if (rest.n == 0 || rest.p[rest.n - 1] == '/' || !fdl_io_matches(io, rest))
		return false;
	if ((io->sentinel && !is_last_part(rest, io->sentinel)) ||
	    (io->manifest && !span_ends(rest, span_of(io->manifest))))
		return false;
	*name = rest;
	return true;
}
