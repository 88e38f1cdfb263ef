// cli: finds the command, runs it, and turns errors into words and an exit status. Owner: see cli.h.
// SPDX-License-Identifier: Apache-2.0
#include "cli/cli.h"

#include "cli/private.h"

#include <stdlib.h>
#include <unistd.h>

// Words of the path that argv begins with, or 0.
static int path_matches(struct span path, int argc, char **argv)
{
	int n = 0;

	while (path.n > 0) {
		struct span word = span_cut(&path, ' ');

		if (n >= argc || !span_is(word, argv[n]))
			return 0;
		n++;
	}
	return n;
}

static const struct cli_command *find_command(int argc, char **argv, int *words)
{
	const struct cli_command *best = NULL;

	*words = 0;
	for (const struct cli_command *cmd = cli_commands; cmd->path; cmd++) {
		struct span paths = span_of(cmd->alias ? cmd->alias : "");
		int n = path_matches(span_of(cmd->path), argc, argv);

		while (n == 0 && paths.n > 0)
			n = path_matches(span_cut(&paths, '|'), argc, argv);
		if (n > *words) {
			*words = n;
			best = cmd;
		}
	}
	return best;
}

static bool is_noun(const char *word)
{
	struct span w = span_of(word);

	for (const struct cli_command *cmd = cli_commands; cmd->path; cmd++)
		if (span_starts(span_of(cmd->path), w) && cmd->path[w.n] == ' ')
			return true;
	return false;
}

static bool is_help(const char *word)
{
	return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0;
}

// No command was found: help, or what is wrong.
static int without_command(int argc, char **argv, FILE *out, FILE *err)
{
	if (argc == 0) {
		cli_help_all(err);
		return CLI_USAGE;
	}
	if (is_help(argv[0])) {
		if (argc > 1 && is_noun(argv[1]))
			cli_help_noun(out, argv[1]);
		else
			cli_help_all(out);
		return CLI_OK;
	}
	if (is_noun(argv[0])) {
		bool asked = argc > 1 && is_help(argv[1]);

		cli_help_noun(asked ? out : err, argv[0]);
		return asked ? CLI_OK : CLI_USAGE;
	}
	fprintf(err, "oscar: unknown command \"%.40s\"; `oscar --help` lists them\n", argv[0]);
	return CLI_USAGE;
}

static enum cli_exit exit_of(enum err_code code)
{
	switch ((int)code) {
	case ERR_NOT_FOUND:
		return CLI_NOT_FOUND;
	case ERR_UNAUTH:
	case ERR_DENIED:
		return CLI_AUTH;
	case ERR_UNAVAILABLE:
	case ERR_TIMEOUT:
		return CLI_UNREACHABLE;
	case ERR_CANCELLED:
		return CLI_INTERRUPTED;
	default:
		return CLI_FAILED;
	}
}

static void print_hint(const struct cli *c, enum err_code code)
{
	if (code == ERR_UNAVAILABLE && c->endpoint && !c->answered)
		fprintf(c->err,
			"  is the server running? `oscar serve` starts one here; "
			"OSCAR_ENDPOINT names another (now %s)\n",
			c->endpoint);
	else if (code == ERR_UNAUTH)
		fprintf(c->err, "  set OSCAR_USERNAME and OSCAR_PASSWORD to those of the server\n");
	else if (code == ERR_BUSY || code == ERR_FULL)
		fprintf(c->err, "  the server has no room for it now; try again later\n");
}

static int report(struct cli *c, const struct err *e)
{
	cli_progress_end(c);
	if (e->code == ERR_CANCELLED) {
		fprintf(c->err, "oscar: interrupted\n");
		return CLI_INTERRUPTED;
	}
	fprintf(c->err, "oscar: %s: %s\n", c->command->path, cli_clean(c, e->msg));
	print_hint(c, e->code);
	return c->wrong_usage ? CLI_USAGE : exit_of(e->code);
}

static bool wants_progress(const struct cli *c)
{
	const char *term = getenv("TERM");

	return isatty(fileno(c->err)) && (!term || strcmp(term, "dumb") != 0) &&
	       !cli_opt(c, "no-progress");
}

static int run_command(struct cli *c, int argc, char **argv)
{
	struct err e = { 0 };
	int got;

	if (cli_args_read(c, argc, argv, &e) < 0) {
		fprintf(c->err, "oscar: %s: %s\n  `oscar %s --help` shows how it is used\n",
			c->command->path, e.msg, c->command->path);
		return CLI_USAGE;
	}
	if (cli_opt(c, "help")) {
		cli_help_command(c->out, c->command);
		return CLI_OK;
	}
	c->progress = wants_progress(c);
	cli_interrupt_catch();
	got = c->command->run(c, &e);
	if (got < 0)
		got = report(c, &e);
	if (fflush(c->out) != 0 && got == 0) {
		fprintf(c->err, "oscar: %s: the output could not be written\n", c->command->path);
		got = CLI_FAILED;
	}
	cli_interrupt_restore();
	return got;
}

int cli_run(int argc, char **argv, FILE *out, FILE *err)
{
	struct cli c = { .out = out, .err = err };
	int words, got;

	argc--;
	argv++;
	c.command = find_command(argc, argv, &words);
	// Help for "jobs" is help for all that begins with it; for "run", which is a command too, it is that one's.
	if (!c.command || (words == 1 && argc > 1 && is_noun(argv[0]) && is_help(argv[1]) &&
			   strcmp(c.command->path, argv[0]) != 0))
		return without_command(argc, argv, out, err);
	got = run_command(&c, argc - words, argv + words);
	cli_session_close(&c);
	arena_release(&c.a);
	return got;
}

int cli_main(int argc, char **argv)
{
	return cli_run(argc, argv, stdout, stderr);
}
