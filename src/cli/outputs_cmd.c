// outputs_cmd: what a service made that is there now, and what of it is stale. Owner: struct cli. Threads: one.
// Errors: those of the server.
// SPDX-License-Identifier: Apache-2.0
#include "cli/private.h"

enum { PAGE = 500 };

static const char *words_of(struct cli *c, const json_t *list)
{
	const char *text = "";
	json_t *word;
	size_t i;

	json_array_foreach(list, i, word)
	{
		text = i ? arena_printf(&c->a, "%s, %s", text, json_string_value(word))
			 : json_string_value(word);
	}
	return text;
}

static void print_table(struct cli *c, const json_t *all)
{
	struct cli_table t;
	json_t *o;
	size_t i;

	cli_table_begin(&t, c, "FILE SIZE REVISION STALE");
	json_array_foreach(all, i, o)
	{
		cli_table_addf(&t, "%s/%s", cli_text(o, "bucket"), cli_text(o, "key"));
		cli_table_add(&t, cli_size(c, (uint64_t)cli_int(o, "size")));
		cli_table_add(&t, cli_text(o, "revision"));
		cli_table_add(&t, words_of(c, json_object_get(o, "stale")));
	}
	cli_table_end(&t);
}

int cli_service_outputs(struct cli *c, struct err *e)
{
	auto_json json_t *all = json_array();
	const char *after = "", *name = c->words[0];

	do {
		auto_json json_t *page = NULL;

		if (cli_get_json(c,
				 cli_path(c,
					  "/system/services/%s/outputs?limit=%ld&stale=%s&after=%s",
					  name, (long)PAGE, cli_opt(c, "stale") ? "1" : "0", after),
				 &page, e) < 0)
			return e->code == ERR_NOT_FOUND
				       ? err_set(e, ERR_NOT_FOUND, "there is no service \"%s\"",
						 name)
				       : -1;
		json_array_extend(all, json_object_get(page, "outputs"));
		after = arena_strdup(&c->a, cli_text(page, "next"));
	} while (*after);
	if (c->format == CLI_TABLE)
		print_table(c, all);
	else
		(c->format == CLI_JSON ? cli_print_json : cli_print_yaml)(c, all);
	if (cli_opt(c, "stale") && json_array_size(all) > 0)
		cli_note(c,
			 "`oscar backfill --changed %s` makes them anew, but those whose input is "
			 "gone",
			 name);
	return 0;
}
