// manifest: a file that names others, which make one job with it. Owner: the caller's arena. Threads: no shared state.
// Errors: ERR_INVALID, ERR_LIMIT.
// SPDX-License-Identifier: Apache-2.0
#include "base/map.h"
#include "fdl/private.h"

struct reading {
	struct arena *mem;
	struct map seen;
	const char **keys;
	size_t n;
};

static int add(struct reading *r, const char *key, struct err *e)
{
	if (map_get(&r->seen, span_of(key)))
		return 0;
	if (r->n == FDL_GROUP_RUN_MAX)
		return err_set(e, ERR_LIMIT, "it names more than %d files", FDL_GROUP_RUN_MAX - 1);
	r->keys[r->n++] = key;
	map_put(&r->seen, span_of(key), r);
	return 0;
}

static int check_name(struct span name, struct err *e)
{
	struct span rest = name;

	if (!span_is_utf8(name))
		return err_set(e, ERR_INVALID, "a name that is not UTF-8");
	for (size_t i = 0; i < name.n; i++)
		if ((unsigned char)name.p[i] < 0x20 || name.p[i] == 0x7f)
			return err_set(e, ERR_INVALID, "a name with a control character");
	if (name.p[name.n - 1] == '/')
		return err_set(e, ERR_INVALID, "a folder; want files");
	while (rest.n) {
		struct span part = span_cut(&rest, '/');

		if (!part.n || span_is(part, ".") || span_is(part, ".."))
			return err_set(e, ERR_INVALID,
				       "a name with an empty part, \".\" or \"..\"");
	}
	return 0;
}

static int add_line(struct reading *r, const struct fdl_io *io, struct span folder,
		    struct span line, struct err *e)
{
	struct span below = folder;

	line = span_trim(line);
	if (!line.n || line.p[0] == '#')
		return 0;
	if (line.p[0] == '/') {
		below = span_of(io->folder);
		line = span_from(line, 1);
	} else if (span_starts(line, SPAN("./"))) {
		line = span_from(line, 2);
	}
	if (!line.n)
		return err_set(e, ERR_INVALID, "an empty name");
	if (check_name(line, e) < 0)
		return -1;
	if (below.n + 1 + line.n > FDL_KEY_MAX)
		return err_set(e, ERR_LIMIT, "a key of more than %d bytes", FDL_KEY_MAX);
	return add(r,
		   arena_printf(r->mem, SPAN_FMT "%s" SPAN_FMT, SPAN_ARG(below), below.n ? "/" : "",
				SPAN_ARG(line)),
		   e);
}

int fdl_manifest_read(const struct fdl_io *io, struct span key, struct span text, struct arena *mem,
		      const char ***out, size_t *n, struct err *e)
{
	ptrdiff_t slash = span_rfind(key, '/');
	struct span folder = slash < 0 ? span_head(key, 0) : span_head(key, (size_t)slash);
	struct reading r = { .mem = mem };
	unsigned line = 0;
	int bad;

	if (text.n > FDL_MANIFEST_MAX)
		return err_set(e, ERR_LIMIT, "a manifest of %zu bytes, allowed are %d", text.n,
			       FDL_MANIFEST_MAX);
	r.keys = arena_alloc(mem, FDL_GROUP_RUN_MAX * sizeof(*r.keys));
	bad = add(&r, arena_strndup(mem, key.p, key.n), e);
	while (text.n && !bad) {
		line++;
		bad = add_line(&r, io, folder, span_cut(&text, '\n'), e);
	}
	map_release(&r.seen);
	if (bad)
		return err_wrap(e, "line %u", line);
	if (r.n == 1)
		return err_set(e, ERR_INVALID, "it names no file");
	*out = r.keys;
	*n = r.n;
	return 0;
}
