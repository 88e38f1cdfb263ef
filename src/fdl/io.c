// io: where a service reads and writes: paths, providers, filters. Owner: everything lives in the
// service's arena. Threads: no shared state. Errors: ERR_INVALID, ERR_UNSUPPORTED.
// SPDX-License-Identifier: Apache-2.0
#include "fdl/check.h"

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

int fdl_check_folder(struct span folder, struct err *e)
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

static int read_provider(struct fdl_check *c, const json_t *io, struct fdl_io *out)
{
	static const char *const types[] = { "minio", "s3", "onedata", "webdav", "rucio" };
	const json_t *providers = json_object_get(c->s->doc, "storage_providers");
	const char *given = json_string_value(json_object_get(io, "storage_provider"));
	struct span text = span_of(given && *given ? given : "minio");
	struct span id = text, type = span_cut(&id, '.');

	if (span_eq_nocase(type, SPAN("dcache")))
		type = SPAN("webdav");
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (span_eq_nocase(type, span_of(types[i])))
			out->provider_type = types[i];
	if (!out->provider_type)
		return err_set(c->e, ERR_INVALID,
			       "the StorageProvider \"" SPAN_FMT
			       "\" is not defined (known are minio, s3, onedata, webdav, rucio)",
			       SPAN_ARG(span_head(text, 60)));
	out->provider_id = id.n > 0 ? arena_strndup(c->a, id.p, id.n) : "default";
	out->provider = arena_printf(c->a, "%s.%s", out->provider_type, out->provider_id);
	if (strcmp(out->provider, "minio.default") != 0 &&
	    !json_object_get(json_object_get(providers, out->provider_type), out->provider_id))
		return err_set(c->e, ERR_INVALID,
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

static int put_place(struct fdl_check *c, struct span bucket, struct span folder,
		     struct fdl_io *out)
{
	if (fdl_check_folder(folder, c->e) < 0)
		return -1;
	out->bucket = arena_strndup(c->a, bucket.p, bucket.n);
	out->folder = arena_strndup(c->a, folder.p, folder.n);
	return 0;
}

static int read_path(struct fdl_check *c, struct span text, bool is_input, struct fdl_io *out)
{
	struct span folder = trim_slashes(text), bucket;
	bool is_store =
		strcmp(out->provider_type, "minio") == 0 || strcmp(out->provider_type, "s3") == 0;

	if (folder.n == 0)
		return err_set(c->e, ERR_INVALID, "%s path cannot be empty",
			       is_input ? "input" : "output");
	if (is_store && span_find(folder, '/') < 0)
		bucket = span_of(c->s->name); // as the peer reads a path of one part
	else
		bucket = span_cut(&folder, '/');
	folder = trim_slashes(folder);
	if (is_store && fdl_bucket_name_check(bucket, c->e) < 0)
		return -1;
	return put_place(c, bucket, folder, out);
}

static int read_filter(struct fdl_check *c, const json_t *list, const char *const **out,
		       size_t *count)
{
	if (json_array_size(list) > FDL_FILTERS_MAX)
		return err_set(c->e, ERR_LIMIT, "%zu entries, allowed are %d",
			       json_array_size(list), FDL_FILTERS_MAX);
	*out = fdl_check_strings(c, list, count);
	return 0;
}

static int read_io(struct fdl_check *c, const char *list, size_t i, const json_t *io, bool is_input,
		   struct fdl_io *out)
{
	const char *path = json_string_value(json_object_get(io, "path"));

	*out = (struct fdl_io){ 0 };
	fdl_check_at(c, "%s[%zu].storage_provider", list, i);
	if (read_provider(c, io, out) < 0 || (is_input && check_input_provider(out, c->e) < 0))
		return -1;
	fdl_check_at(c, "%s[%zu].path", list, i);
	if (read_path(c, span_of(path ? path : ""), is_input, out) < 0)
		return -1;
	fdl_check_at(c, "%s[%zu].prefix", list, i);
	if (read_filter(c, json_object_get(io, "prefix"), &out->prefixes, &out->prefix_count) < 0)
		return -1;
	fdl_check_at(c, "%s[%zu].suffix", list, i);
	if (read_filter(c, json_object_get(io, "suffix"), &out->suffixes, &out->suffix_count) < 0)
		return -1;
	fdl_check_at(c, "%s[%zu].group", list, i);
	return fdl_check_group(c, json_object_get(io, "group"), is_input, out);
}

static int read_ios(struct fdl_check *c, const char *key, bool is_input, const struct fdl_io **out,
		    size_t *count)
{
	const json_t *list = json_object_get(c->s->doc, key);
	size_t n = json_array_size(list);
	struct fdl_io *ios = arena_alloc(c->a, (n + 1) * sizeof(*ios));

	fdl_check_at(c, "%s", key);
	if (n > FDL_IO_MAX)
		return err_set(c->e, ERR_LIMIT, "%zu entries, allowed are %d", n, FDL_IO_MAX);
	for (size_t i = 0; i < n; i++)
		if (read_io(c, key, i, json_array_get(list, i), is_input, &ios[i]) < 0)
			return -1;
	*out = ios;
	*count = n;
	return 0;
}

int fdl_check_ios(struct fdl_check *c)
{
	struct fdl_service *s = c->s;

	return read_ios(c, "input", true, &s->inputs, &s->input_count) < 0 ||
			       read_ios(c, "output", false, &s->outputs, &s->output_count) < 0
		       ? -1
		       : 0;
}

// Its first part is the bucket, also of a path with one part.
int fdl_check_mount_place(struct fdl_check *c, const json_t *mount, struct fdl_io *out)
{
	const char *path = json_string_value(json_object_get(mount, "path"));
	struct span folder = trim_slashes(span_of(path)), bucket = span_cut(&folder, '/');

	*out = (struct fdl_io){ 0 };
	folder = trim_slashes(folder);
	if (read_provider(c, mount, out) < 0 || fdl_bucket_name_check(bucket, c->e) < 0)
		return -1;
	return put_place(c, bucket, folder, out);
}
