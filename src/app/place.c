// SPDX-License-Identifier: Apache-2.0
// place: where a command finds the data of a daemon.
#include "app/app.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>

const char *absolute_path(struct arena *mem, const char *path)
{
	char cwd[4096];

	if (path[0] == '/')
		return arena_strdup(mem, path);
	return getcwd(cwd, sizeof(cwd)) ? arena_printf(mem, "%s/%s", cwd, path) : NULL;
}

int must_exist(const char *path, struct err *e)
{
	if (access(path, F_OK) == 0)
		return 0;
	return errno == ENOENT ? err_set(e, ERR_NOT_FOUND, "%s does not exist", path)
			       : err_sys(e, ERR_IO, errno, "look for %s", path);
}

unsigned default_cdi_folders(const char *out[static 2])
{
	out[0] = "/etc/cdi";
	out[1] = "/var/run/cdi";
	return 2;
}

const char *default_data_dir(struct arena *mem)
{
	const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	const struct passwd *pw;

	if (geteuid() == 0)
		return "/var/lib/oscar";
	if (state && state[0] == '/')
		return arena_printf(mem, "%s/oscar", state);
	if (!home || !*home) {
		pw = getpwuid(geteuid());
		home = pw ? pw->pw_dir : "/tmp";
	}
	return arena_printf(mem, "%s/.local/state/oscar", home);
}

const char *place_database(struct arena *mem, const struct place *p)
{
	return arena_printf(mem, "%s/oscar.db", p->db ? p->db : p->data);
}

bool place_option(struct place *p, struct arena *mem, int option, const char *arg)
{
	switch (option) {
	case 'd':
		p->data = absolute_path(mem, arg);
		return true;
	case 'b':
		p->db = absolute_path(mem, arg);
		return true;
	case 'c':
		if (p->content_count == STORE_DIRS_MAX)
			return false;
		p->content[p->content_count++] = absolute_path(mem, arg);
		return true;
	case 'u':
		p->user = arg;
		return true;
	default:
		return false;
	}
}
