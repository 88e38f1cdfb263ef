// args: options and words of a command. Owner: values point into argv. Threads: no shared state.
// Errors: ERR_INVALID.
// SPDX-License-Identifier: Apache-2.0
#include "cli/private.h"

#include <inttypes.h>
#include <stdarg.h>

const struct cli_option cli_common_options[] = {
	{ 'h', "help", NULL, "this text" },
	{ 'o', "output", "table|json|yaml", "form of what is printed" },
	{ 0, "endpoint", "URL",
	  "the server; else OSCAR_ENDPOINT, the config file, or this machine's" },
	{ 0, "no-progress", NULL, "no progress line" },
	{ 0, NULL, NULL, NULL },
};

static const struct cli_option *find_in(const struct cli_option *table, struct span name)
{
	for (; table && table->name; table++)
		if (span_is(name, table->name))
			return table;
	return NULL;
}

static const struct cli_option *find_letter(const struct cli_option *table, char letter)
{
	for (; table && table->name; table++)
		if (table->letter == letter)
			return table;
	return NULL;
}

// The command's own options come first, so that one may give a letter another meaning.
static const struct cli_option *find_option(const struct cli *c, struct span name, char letter)
{
	const struct cli_option *own = c->command->options, *found;

	if (letter) {
		found = find_letter(own, letter);
		return found ? found : find_letter(cli_common_options, letter);
	}
	found = find_in(own, name);
	return found ? found : find_in(cli_common_options, name);
}

static int keep(struct cli *c, const struct cli_option *o, const char *value, struct err *e)
{
	if (c->given_count == CLI_OPTIONS_MAX)
		return err_set(e, ERR_INVALID, "too many options");
	c->given[c->given_count++] = (struct cli_given){ o, value };
	return 0;
}

// Takes the option at argv[*i] and, when it wants one, its value.
static int take_option(struct cli *c, int argc, char **argv, int *i, struct err *e)
{
	const char *arg = argv[*i];
	bool is_long = arg[1] == '-';
	struct span value = span_of(arg + (is_long ? 2 : 1)), name = value;
	const struct cli_option *o;
	bool joined = false;

	if (is_long) {
		name = span_cut(&value, '=');
		joined = name.p[name.n] == '=';
	} else {
		value = span_from(value, 1);
		joined = value.n > 0;
	}
	o = find_option(c, name, is_long ? 0 : arg[1]);
	if (!o)
		return err_set(e, ERR_INVALID, "unknown option %.40s", arg);
	if (!o->value)
		return joined ? err_set(e, ERR_INVALID, "--%s takes no value", o->name)
			      : keep(c, o, "", e);
	if (joined)
		return keep(c, o, value.p, e);
	if (*i + 1 >= argc)
		return err_set(e, ERR_INVALID, "--%s wants a value: %s", o->name, o->value);
	*i += 1;
	return keep(c, o, argv[*i], e);
}

static int check_words(const struct cli *c, struct err *e)
{
	int n = (int)c->word_count;

	if (n < c->command->min)
		return err_set(e, ERR_INVALID, "too few arguments: wanted %s", c->command->words);
	if (c->command->max >= 0 && n > c->command->max)
		return err_set(e, ERR_INVALID, "too many arguments, \"%.40s\" is not wanted",
			       c->words[c->command->max]);
	return 0;
}

static int read_format(struct cli *c, struct err *e)
{
	static const char *const names[] = { "table", "json", "yaml" };
	const char *given = NULL;

	for (size_t i = 0; i < c->given_count; i++)
		if (c->given[i].option == find_in(cli_common_options, SPAN("output")))
			given = c->given[i].value;
	if (!given)
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (strcmp(given, names[i]) != 0)
			continue;
		c->format = (enum cli_format)i;
		c->format_given = true;
		return 0;
	}
	return err_set(e, ERR_INVALID, "-o %.20s: known are table, json and yaml", given);
}

int cli_args_read(struct cli *c, int argc, char **argv, struct err *e)
{
	bool only_words = false;

	for (int i = 0; i < argc; i++) {
		const char *arg = argv[i];

		if (!only_words && strcmp(arg, "--") == 0) {
			only_words = true;
		} else if (!only_words && arg[0] == '-' && arg[1]) {
			if (take_option(c, argc, argv, &i, e) < 0)
				return -1;
		} else {
			if (c->word_count == CLI_WORDS_MAX)
				return err_set(e, ERR_INVALID, "too many arguments");
			c->words[c->word_count++] = arg;
		}
	}
	if (cli_opt(c, "help"))
		return 0;
	return check_words(c, e) < 0 ? -1 : read_format(c, e);
}

const char *cli_opt(const struct cli *c, const char *name)
{
	for (size_t i = c->given_count; i-- > 0;) // the last one counts
		if (strcmp(c->given[i].option->name, name) == 0)
			return c->given[i].value;
	return NULL;
}

int cli_usage(struct cli *c, struct err *e, const char *fmt, ...)
{
	char text[200];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	c->wrong_usage = true;
	return err_set(e, ERR_INVALID, "%s", text);
}

int cli_opt_number(struct cli *c, const char *name, int64_t max, int64_t *out, struct err *e)
{
	const char *text = cli_opt(c, name);
	uint64_t value;

	if (!text)
		return 0;
	if (!span_to_u64(span_of(text), &value) || value > (uint64_t)max)
		return cli_usage(c, e, "--%s %.20s: wanted a number up to %" PRId64, name, text,
				 max);
	*out = (int64_t)value;
	return 0;
}

int cli_opt_seconds(struct cli *c, const char *name, int64_t *out, struct err *e)
{
	const char *text = cli_opt(c, name);
	struct span digits = span_of(text);
	uint64_t value, unit = 1;

	if (!text)
		return 0;
	if (digits.n > 1) {
		char last = digits.p[digits.n - 1];

		unit = last == 'h' ? 3600 : last == 'm' ? 60 : 1;
		if (last == 'h' || last == 'm' || last == 's')
			digits = span_head(digits, digits.n - 1);
	}
	if (!span_to_u64(digits, &value) || value > 10000000)
		return cli_usage(c, e, "--%s %.20s: wanted a time such as 90s, 5m or 2h", name,
				 text);
	*out = (int64_t)(value * unit);
	return 0;
}

// ---- help ----------------------------------------------------------------------------------------------

static void print_options(FILE *out, const struct cli_option *table)
{
	for (; table && table->name; table++) {
		char left[64];

		snprintf(left, sizeof(left), "%c%c%s--%s%s%s", table->letter ? '-' : ' ',
			 table->letter ? table->letter : ' ', table->letter ? ", " : "  ",
			 table->name, table->value ? " " : "", table->value ? table->value : "");
		fprintf(out, "  %-34s %s\n", left, table->help);
	}
}

void cli_help_command(FILE *out, const struct cli_command *cmd)
{
	fprintf(out, "%s\n\nusage: oscar %s%s%s [options]\n", cmd->help, cmd->path,
		*cmd->words ? " " : "", cmd->words);
	if (cmd->alias)
		fprintf(out, "also:  oscar %s\n", cmd->alias);
	fputs("\noptions:\n", out);
	print_options(out, cmd->options);
	print_options(out, cli_common_options);
	if (cmd->examples)
		fprintf(out, "\nexamples:\n%s", cmd->examples);
}

static void print_command_line(FILE *out, const struct cli_command *cmd)
{
	char left[80];

	snprintf(left, sizeof(left), "%s %s", cmd->path, cmd->words);
	fprintf(out, "  %-44s %s\n", left, cmd->help);
}

void cli_help_noun(FILE *out, const char *noun)
{
	struct span word = span_of(noun);

	fprintf(out, "usage: oscar %s COMMAND\n\ncommands:\n", noun);
	for (const struct cli_command *cmd = cli_commands; cmd->path; cmd++)
		if (span_starts(span_of(cmd->path), word) &&
		    (cmd->path[word.n] == ' ' || !cmd->path[word.n]))
			print_command_line(out, cmd);
	fprintf(out, "\n`oscar %s COMMAND --help` shows options and examples.\n", noun);
}

void cli_help_all(FILE *out)
{
	fputs("oscar: files go in, your script runs on each, results come out\n\n"
	      "usage: oscar COMMAND [options]\n\ncommands of the server:\n"
	      "  serve [--data DIR] [--listen HOST:PORT] …    run the server\n"
	      "  stop                                         end it and its jobs\n"
	      "  check [--repair]                             is all that is stored right?\n"
	      "  backup DIR                                   copy all of it, also while it runs\n"
	      "  restore DIR                                  put a backup back\n"
	      "\ncommands that talk to a server:\n",
	      out);
	for (const struct cli_command *cmd = cli_commands; cmd->path; cmd++)
		print_command_line(out, cmd);
	fputs("\n`oscar COMMAND --help` shows options and examples.\n"
	      "Server and login: OSCAR_ENDPOINT, OSCAR_USERNAME, OSCAR_PASSWORD; without them a "
	      "server\n"
	      "of yours on this machine is found by itself.\n",
	      out);
}

const char **cli_opt_values(struct cli *c, const char *name, size_t *n)
{
	const char **list = arena_alloc(&c->a, (c->given_count + 1) * sizeof(*list));

	*n = 0;
	for (size_t i = 0; i < c->given_count; i++)
		if (strcmp(c->given[i].option->name, name) == 0)
			list[(*n)++] = c->given[i].value;
	return list;
}
