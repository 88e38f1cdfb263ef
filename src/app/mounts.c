// SPDX-License-Identifier: Apache-2.0
// mounts: the folders of the machine that services may have by name.
#include "app/app.h"
#include "base/arena.h"
#include "base/span.h"
#include "fdl/fdl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

const struct dispatch_mount *mounts_find(const struct serve_options *o, const char *name)
{
	for (unsigned i = 0; i < o->mount_count; i++)
		if (strcmp(o->mounts[i].name, name) == 0)
			return &o->mounts[i];
	return NULL;
}

int mounts_add(struct serve_options *o, struct arena *mem, const char *text)
{
	struct span rest = span_of(text), name = span_cut(&rest, '=');
	const char *kept = arena_strndup(mem, name.p, name.n), *path, *wrong = NULL;
	char *real = NULL;
	struct stat st;

	if (rest.n > 3 && memcmp(rest.p + rest.n - 3, ":ro", 3) == 0)
		rest.n -= 3;
	path = arena_strndup(mem, rest.p, rest.n);
	if (o->mount_count == SERVE_MOUNTS_MAX)
		wrong = "there may be at most 32";
	else if (!fdl_mount_name_ok(kept))
		wrong = "want NAME=/FOLDER[:ro], a name of a-z, 0-9, - and _";
	else if (mounts_find(o, kept))
		wrong = "the name is given twice";
	else if (path[0] != '/')
		wrong = "the folder must be an absolute path";
	else if (!(real = realpath(path, NULL)) || stat(real, &st) < 0)
		wrong = strerror(errno);
	else if (!S_ISDIR(st.st_mode))
		wrong = "it is no folder";
	if (wrong)
		fprintf(stderr, "oscar serve: --mount %s: %s\n", text, wrong);
	else
		o->mounts[o->mount_count++] =
			(struct dispatch_mount){ kept, arena_strdup(mem, real) };
	free(real);
	return wrong ? -1 : 0;
}

int mounts_check(const struct serve_options *o, struct err *e)
{
	auto_arena struct arena mem = { 0 };
	char *real = realpath(o->data, NULL);
	const char *data = arena_strdup(&mem, real ? real : o->data);

	free(real);
	for (unsigned i = 0; i < o->mount_count; i++)
		if (span_path_overlap(span_of(data), span_of(o->mounts[i].path)) ||
		    strcmp(o->mounts[i].path, "/") == 0)
			return err_set(e, ERR_INVALID,
				       "--mount %s=%s holds, or lies in, the server's own data",
				       o->mounts[i].name, o->mounts[i].path);
	return 0;
}
