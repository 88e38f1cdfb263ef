// SPDX-License-Identifier: Apache-2.0
// folders: where the daemon keeps its data, made for its user.
#include "app/daemon.h"
#include "base/file.h"
#include "base/mem.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

static int make_folder(struct daemon *d, const char *path, mode_t mode, struct err *e)
{
	if (file_mkdirs(path, 0755, e) < 0 || rights_give(&d->rights, path, e) < 0)
		return -1;
	return chmod(path, mode) < 0 ? err_sys(e, ERR_IO, errno, "chmod %s", path) : 0;
}

int daemon_make_folders(struct daemon *d, struct err *e)
{
	static const char *const names[] = { "tmp", "logs", "jobs", "images", "run" };
	static const mode_t modes[] = { 0700, 0700, 0711, 0711, 0711 };

	if (make_folder(d, d->o->data, 0711, e) < 0 || data_lock(d->o->data, &d->lock, e) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		auto_free char *path = mem_printf("%s/%s", d->o->data, names[i]);

		if (make_folder(d, path, modes[i], e) < 0)
			return -1;
	}
	if (mounts_check(d->o, e) < 0)
		return -1;
	if (d->o->db && make_folder(d, d->o->db, 0700, e) < 0)
		return -1;
	for (unsigned i = 0; i < d->o->content_count; i++)
		if (make_folder(d, d->o->content[i], 0711, e) < 0)
			return -1;
	return 0;
}

int daemon_reachable(const struct daemon *d, struct err *e)
{
	if (access(d->o->data, R_OK | W_OK | X_OK) == 0)
		return 0;
	return err_set(
		e, ERR_DENIED,
		"user %d cannot reach %s: give the folders above it mode o+x, or choose another "
		"--data or --user",
		(int)d->rights.uid, d->o->data);
}
