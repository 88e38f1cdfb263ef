// SPDX-License-Identifier: Apache-2.0
// trash: folders of images that nobody needs any more. They lose their place under the lock, which takes no time; what is
// in them goes outside of it, which takes as long as they are large. What a crash or the end of the daemon leaves of them
// is removed by the next one, in the background.
#include "base/file.h"
#include "base/log.h"
#include "base/rand.h"
#include "image/private.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

int trash_put(struct images *m, struct trash *t, const char *folder, struct err *e)
{
	char to[sizeof(t->name) + 16];

	if (!t->n) {
		memcpy(t->name, TRASH_PREFIX, sizeof(TRASH_PREFIX));
		rand_hex(t->name + strlen(TRASH_PREFIX), 8);
		if (mkdirat(m->dir, t->name, 0700) < 0)
			return err_sys(e, ERR_IO, errno, "mkdir images/%s", t->name);
	}
	snprintf(to, sizeof(to), "%s/%u", t->name, t->n++);
	return renameat(m->dir, folder, m->dir, to) == 0 || errno == ENOENT
		       ? 0
		       : err_sys(e, ERR_IO, errno, "remove images/%s", folder);
}

static void remove_folder(struct images *m, const char *name)
{
	struct err e = { 0 };

	if (file_remove_tree_unless(m->dir, name, &m->leaving, &e) < 0 && e.code != ERR_CANCELLED)
		log_warn("image", "images/%s is left behind for now: %s", name, e.msg);
}

void trash_empty(struct images *m, struct trash *t)
{
	if (t->n)
		remove_folder(m, t->name);
	t->n = 0;
}

void trash_empty_all(struct images *m)
{
	struct err ignored = { 0 };
	DIR *list = folder_list(m->dir, &ignored);
	struct dirent *d;

	while (list && !m->leaving && (d = readdir(list)))
		if (strncmp(d->d_name, TRASH_PREFIX, strlen(TRASH_PREFIX)) == 0)
			remove_folder(m, d->d_name);
	if (list)
		closedir(list);
}
