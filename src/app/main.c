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

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	if (argc > 1 && strcmp(argv[1], "serve") == 0)
		return serve_main(argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "runner") == 0)
		return runner_cmd(argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "check") == 0)
		return check_run(argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "stop") == 0)
		return stop_options_run(argc - 1, argv + 1);
	if (argc > 1 && (strcmp(argv[1], "version") == 0 || strcmp(argv[1], "--version") == 0)) {
		printf("oscar " OSCAR_VERSION "\n");
		return 0;
	}
	return cli_main(argc, argv);
}
