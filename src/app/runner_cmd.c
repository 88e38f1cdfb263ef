// SPDX-License-Identifier: Apache-2.0
#include "app/app.h"
#include "runner/runner.h"

#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

// Returns only when the program is not there.
static void become_program(struct arena *mem, const struct runner_options *o)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	self[n > 0 ? n : 0] = '\0';
	slash = strrchr(self, '/');
	if (!slash)
		return;
	*slash = '\0';
	char *argv[12 + 2 * RUNNER_CDI_MAX + 1] = {
		(char *)"oscar",     (char *)"runner",
		(char *)"--data",    (char *)o->data_dir,
		(char *)"--user",    arena_printf(mem, "%u", o->user),
		(char *)"--group",   arena_printf(mem, "%u", o->group),
		(char *)"--idle-ms", arena_printf(mem, "%lld", (long long)o->idle_ms)
	};
	size_t count = 10;

	if (o->oci_runtime) {
		argv[count++] = (char *)"--oci-runtime";
		argv[count++] = (char *)o->oci_runtime;
	}
	for (unsigned i = 0; i < o->cdi_count; i++) {
		argv[count++] = (char *)"--cdi-dir";
		argv[count++] = (char *)o->cdi[i];
	}
	execv(arena_printf(mem, "%s/oscar-runner", self), argv);
}

int runner_cmd(int argc, char **argv)
{
	const gid_t not_said = (gid_t)-1;
	struct runner_options o = { .user = geteuid(), .group = not_said, .supervise = true };
	auto_arena struct arena mem = { 0 };
	const struct passwd *pw;
	int got = runner_options(argc, argv, &o);

	if (got)
		return got < 0 ? 2 : 0;
	o.data_dir = o.data_dir ? absolute_path(&mem, o.data_dir) : default_data_dir(&mem);
	if (!o.data_dir) {
		fputs("oscar runner: no data directory: say --data DIR\n", stderr);
		return 2;
	}
	if (!o.cdi_count)
		o.cdi_count = default_cdi_folders(o.cdi);
	pw = o.group == not_said ? getpwuid(o.user) : NULL;
	if (o.group == not_said)
		o.group = pw ? pw->pw_gid : getegid();
	become_program(&mem, &o);
	return runner_main(&o);
}
