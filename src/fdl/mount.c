// mount: folders of the machine, and of a bucket, that a service wants to see. Owner: everything lives in the service's
// arena. Threads: no shared state. Errors: ERR_INVALID, ERR_LIMIT.
// SPDX-License-Identifier: Apache-2.0
#include "fdl/check.h"

enum { NAME_BYTES_MAX = 63, TARGET_MAX = 255 };
#define TOP "/mnt/"

bool fdl_mount_name_ok(const char *name)
{
	size_t n = strlen(name);

	if (!n || n > NAME_BYTES_MAX || name[0] == '-' || name[0] == '_')
		return false;
	for (; *name; name++)
		if (!(*name >= 'a' && *name <= 'z') && !(*name >= '0' && *name <= '9') &&
		    *name != '-' && *name != '_')
			return false;
	return true;
}

static bool parts_ok(struct span path)
{
	while (path.n) {
		struct span part = span_cut(&path, '/');

		if (!part.n || span_is(part, ".") || span_is(part, ".."))
			return false;
		for (size_t i = 0; i < part.n; i++)
			if ((unsigned char)part.p[i] < 0x20 || part.p[i] == 0x7f)
				return false;
	}
	return true;
}

// What is below /mnt, without slashes at its end. NULL when the path is none that can be made there.
static const char *target_of(struct arena *a, const char *path)
{
	struct span rest = span_of(path);

	if (strncmp(path, TOP, sizeof(TOP) - 1) != 0)
		return NULL;
	rest = span_from(rest, sizeof(TOP) - 1);
	while (rest.n && rest.p[rest.n - 1] == '/')
		rest.n--;
	if (!rest.n || rest.n > TARGET_MAX || !parts_ok(rest))
		return NULL;
	return arena_strndup(a, rest.p, rest.n);
}

static int read_one(struct arena *a, const json_t *entry, struct fdl_mount *out, struct err *e)
{
	const char *name = json_string_value(json_object_get(entry, "name"));
	const char *path = json_string_value(json_object_get(entry, "path"));

	if (!name || !fdl_mount_name_ok(name))
		return err_set(e, ERR_INVALID,
			       "name: want a word of a-z, 0-9, - and _ by which the administrator "
			       "offers a folder (oscar serve --mount NAME=/FOLDER)");
	out->name = arena_strdup(a, name);
	out->target = path && *path ? target_of(a, path) : out->name;
	if (!out->target)
		return err_set(e, ERR_INVALID,
			       "path: \"%.60s\": want a place below /mnt, as /mnt/%s", path, name);
	return 0;
}

static int check_mounts(struct fdl_check *c)
{
	const json_t *list = json_object_get(c->s->doc, "mounts");
	size_t n = json_array_size(list);
	struct fdl_mount *mounts = arena_alloc(c->a, (n + 1) * sizeof(*mounts));

	fdl_check_at(c, "mounts");
	if (n > FDL_MOUNTS_MAX)
		return err_set(c->e, ERR_LIMIT, "%zu entries, allowed are %d", n, FDL_MOUNTS_MAX);
	for (size_t i = 0; i < n; i++) {
		if (read_one(c->a, json_array_get(list, i), &mounts[i], c->e) < 0)
			return err_wrap(c->e, "[%zu]", i);
		for (size_t k = 0; k < i; k++)
			if (span_path_overlap(span_of(mounts[i].target), span_of(mounts[k].target)))
				return err_set(c->e, ERR_INVALID,
					       "[%zu]: /mnt/%.60s and /mnt/%.60s lie in one "
					       "another: give them paths apart",
					       i, mounts[k].target, mounts[i].target);
	}
	c->s->mounts = mounts;
	c->s->mount_count = n;
	return 0;
}

static int check_mount(struct fdl_check *c)
{
	const json_t *mount = json_object_get(c->s->doc, "mount");
	const char *path = json_string_value(json_object_get(mount, "path"));
	struct fdl_service *s = c->s;
	struct fdl_io *io;

	fdl_check_at(c, "mount");
	if (!path || !*path) // as clients say that there is none
		return 0;
	s->mount = io = arena_alloc(c->a, sizeof(*io));
	if (fdl_check_mount_place(c, mount, io) < 0)
		return -1;
	s->mount_target =
		arena_printf(c->a, "%s%s%s", io->bucket, io->folder[0] ? "/" : "", io->folder);
	if (strlen(s->mount_target) > TARGET_MAX)
		return err_set(c->e, ERR_LIMIT, "a path of %zu bytes, allowed are %d",
			       strlen(s->mount_target), TARGET_MAX);
	if (s->mount_count == FDL_MOUNTS_MAX)
		return err_set(c->e, ERR_LIMIT, "beside it there may be %d mounts",
			       FDL_MOUNTS_MAX - 1);
	for (size_t i = 0; i < s->mount_count; i++)
		if (span_path_overlap(span_of(s->mount_target), span_of(s->mounts[i].target)))
			return err_set(c->e, ERR_INVALID,
				       "/mnt/%.60s and /mnt/%.60s of mounts lie in one another: "
				       "give the latter another path",
				       s->mount_target, s->mounts[i].target);
	return 0;
}

// A folder that is the input stands at /mnt/input/NAME.
static int check_room(struct fdl_check *c)
{
	const struct fdl_service *s = c->s;
	size_t n = s->mount_count + (s->mount != NULL);

	for (size_t i = 0; i < s->input_count; i++) {
		if (!s->inputs[i].sentinel && !s->inputs[i].group_run && !s->inputs[i].manifest)
			continue;
		fdl_check_at(c, "input[%zu].group", i);
		if (n == FDL_MOUNTS_MAX)
			return err_set(c->e, ERR_LIMIT,
				       "beside a folder as input there may be %d mounts",
				       FDL_MOUNTS_MAX - 1);
		for (size_t k = 0; k < n; k++) {
			const char *other =
				k < s->mount_count ? s->mounts[k].target : s->mount_target;

			if (span_path_overlap(SPAN("input"), span_of(other)))
				return err_set(c->e, ERR_INVALID,
					       "the folder stands at /mnt/input, where /mnt/%.60s "
					       "is mounted",
					       other);
		}
	}
	return 0;
}

int fdl_check_mounts(struct fdl_check *c)
{
	return check_mounts(c) < 0 || check_mount(c) < 0 || check_room(c) < 0 ? -1 : 0;
}
