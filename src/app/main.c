// SPDX-License-Identifier: Apache-2.0
#include "app/app.h"
#include "cli/cli.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

static int serve_main(int argc, char **argv)
{
	auto_arena struct arena mem = { 0 };
	struct serve_options o;
	int got = serve_options_parse(argc, argv, &mem, &o);

	if (got)
		return got < 0 ? 2 : 0;
	return serve(&o);
}

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
} own[] = {
	{ "serve", serve_main },      { "runner", runner_cmd }, { "check", check_run },
	{ "stop", stop_options_run }, { "backup", backup_run }, { "restore", restore_run },
};

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; argc > 1 && i < ARRAY_LEN(own); i++)
		if (strcmp(argv[1], own[i].name) == 0)
			return own[i].run(argc - 1, argv + 1);
	if (argc > 1 && (strcmp(argv[1], "version") == 0 || strcmp(argv[1], "--version") == 0)) {
		printf("oscar " OSCAR_VERSION "\n");
		return 0;
	}
	return cli_main(argc, argv);
}
