// run_cmds: what followed from one upload, drawn as a tree. Owner: struct cli. Threads: one.
// Errors: those of the server.
// SPDX-License-Identifier: Apache-2.0
#include "base/map.h"
#include "base/mem.h"
#include "cli/private.h"

#include <inttypes.h>

enum { PAGE = 500, JOBS_MAX = 100000, DEPTH_MAX = 64 };

// A job in the tree.
struct node {
	const json_t *job;
	struct node *next; // reads the same version
	bool child;	   // some job of the run made its input
};

struct tree {
	struct cli *c;
	struct node *nodes;
	size_t n;
	struct map readers; // "input\nversion" -> first struct node
	const char *indent[DEPTH_MAX];
};

static struct span version_key(struct cli *c, const char *path, const char *version)
{
	return span_of(arena_printf(&c->a, "%s\n%s", path, version));
}

static struct span output_key(struct cli *c, const json_t *output)
{
	return version_key(c,
			   arena_printf(&c->a, "%s/%s", cli_text(output, "bucket"),
					cli_text(output, "key")),
			   cli_text(output, "version"));
}

static void plant(struct tree *t, const json_t *jobs)
{
	t->n = json_array_size(jobs);
	t->nodes = arena_alloc(&t->c->a, (t->n + 1) * sizeof(*t->nodes));
	for (size_t i = 0; i < t->n;
	     i++) { // the newest first, so that lists end up with the oldest in front
		const json_t *job = json_array_get(jobs, i);
		struct span key =
			version_key(t->c, cli_text(job, "input"), cli_text(job, "input_version"));

		t->nodes[i] = (struct node){ .job = job };
		if (*cli_text(job, "input_version"))
			t->nodes[i].next = map_put(&t->readers, key, &t->nodes[i]);
	}
	for (size_t i = 0; i < t->n; i++) {
		const json_t *outputs = json_object_get(t->nodes[i].job, "outputs");
		json_t *output;
		size_t k;

		json_array_foreach(outputs, k, output)
		{
			struct node *reader = map_get(&t->readers, output_key(t->c, output));

			for (; reader; reader = reader->next)
				reader->child = true;
		}
	}
}

static void print_indent(const struct tree *t, size_t depth)
{
	for (size_t i = 0; i < depth; i++)
		fputs(t->indent[i], t->c->out);
}

static void draw_job(struct tree *t, const struct node *n, size_t depth, bool last);

static void draw_output(struct tree *t, const json_t *output, size_t depth, bool last)
{
	struct node *reader = map_get(&t->readers, output_key(t->c, output));

	print_indent(t, depth);
	fprintf(t->c->out, "%s%s/%s  %s\n", last ? "└─ " : "├─ ",
		cli_clean(t->c, cli_text(output, "bucket")),
		cli_clean(t->c, cli_text(output, "key")),
		cli_size(t->c, (uint64_t)cli_int(output, "size")));
	if (depth + 2 >= DEPTH_MAX)
		return;
	t->indent[depth] = last ? "   " : "│  ";
	for (; reader; reader = reader->next)
		draw_job(t, reader, depth + 1, !reader->next);
}

static void draw_job(struct tree *t, const struct node *n, size_t depth, bool last)
{
	const json_t *outputs = json_object_get(n->job, "outputs");
	const char *script = cli_text(n->job, "script_sha256"),
		   *reason = cli_text(n->job, "reason");
	const char *image = cli_text(n->job, "image_digest");
	int64_t files = cli_int(n->job, "inputs_count");
	size_t count = json_array_size(outputs);

	print_indent(t, depth);
	fprintf(t->c->out, "%s%s  %s%s, revision %" PRId64 ", script %.12s, image %.19s%s%s\n",
		last ? "└─ " : "├─ ", cli_clean(t->c, cli_text(n->job, "name")),
		files > 1 ? arena_printf(&t->c->a, "of %" PRId64 " files, ", files) : "",
		cli_text(n->job, "state"), cli_int(n->job, "revision"), *script ? script : "gone",
		*image ? image : cli_clean(t->c, cli_text(n->job, "image")), *reason ? ": " : "",
		cli_clean(t->c, reason));
	if (depth + 1 >= DEPTH_MAX)
		return;
	t->indent[depth] = last ? "   " : "│  ";
	for (size_t i = 0; i < count; i++)
		draw_output(t, json_array_get(outputs, i), depth + 1, i + 1 == count);
}

// Files that make a job yet.
static void draw_waiting(struct cli *c, const json_t *groups)
{
	json_t *g;
	size_t i;

	json_array_foreach(groups, i, g)
	{
		fprintf(c->out, "%" PRId64 " files wait for %s, which takes them %s\n",
			cli_int(g, "files"), cli_clean(c, cli_text(g, "service")),
			strcmp(cli_text(g, "kind"), "run") == 0 ? "when the run has ended"
								: "with others");
	}
}

static int get_run(struct cli *c, const char *run, json_t *all, json_t *groups, struct err *e)
{
	const char *after = "";

	do {
		auto_json json_t *page = NULL;

		if (cli_get_json(c,
				 cli_path(c, "/system/runs/%s?limit=%ld&after=%s", run, (long)PAGE,
					  after),
				 &page, e) < 0)
			return e->code == ERR_NOT_FOUND
				       ? err_set(e, ERR_NOT_FOUND, "there is no run \"%s\"", run)
				       : -1;
		json_array_extend(all, json_object_get(page, "jobs"));
		json_array_extend(groups, json_object_get(page, "groups"));
		after = arena_strdup(&c->a, cli_text(page, "next"));
	} while (*after && json_array_size(all) < JOBS_MAX);
	return 0;
}

// A run by its number, or the one that a job belongs to.
static int run_of(struct cli *c, const char *word, const char **run, struct err *e)
{
	auto_json json_t *job = NULL;

	*run = word;
	if (!strchr(word, '-') || word[0] == '-')
		return 0;
	if (cli_get_json(c, cli_path(c, "/system/jobs/%s", word), &job, e) < 0)
		return -1;
	*run = arena_strdup(&c->a, cli_text(job, "run"));
	return 0;
}

static int show_run(struct cli *c, const char *run, struct err *e)
{
	auto_json json_t *all = json_array(), *groups = json_array(), *out = NULL;
	struct tree t = { .c = c };
	const char *said = NULL;

	if (get_run(c, run, all, groups, e) < 0)
		return -1;
	if (c->format == CLI_JSON) {
		out = json_pack("{s:s,s:O,s:O}", "run", run, "jobs", all, "groups", groups);
		cli_print_json(c, out);
		return 0;
	}
	plant(&t, all);
	fprintf(c->out, "run %s, %zu jobs, trace %s\n", run, t.n,
		cli_text(json_array_get(all, 0), "trace"));
	for (size_t i = t.n; i > 0; i--) { // the oldest first
		const struct node *n = &t.nodes[i - 1];
		const char *input = cli_text(n->job, "input");

		if (n->child)
			continue;
		if (!said || strcmp(said, input) != 0)
			fprintf(c->out, "%s\n", *input ? cli_clean(c, input) : "(a call)");
		said = input;
		draw_job(&t, n, 0, true);
	}
	draw_waiting(c, groups);
	map_release(&t.readers);
	return 0;
}

static bool is_trace(const char *word)
{
	return strlen(word) == 32 && strspn(word, "0123456789abcdef") == 32;
}

// A trace that began elsewhere may have several.
static int show_trace(struct cli *c, const char *trace, struct err *e)
{
	auto_json json_t *found = NULL;
	json_t *run;
	size_t i;

	if (cli_get_json(c, cli_path(c, "/system/traces/%s", trace), &found, e) < 0)
		return -1;
	json_array_foreach(json_object_get(found, "runs"), i,
			   run) if (show_run(c, json_string_value(run), e) < 0) return -1;
	return 0;
}

int cli_run_show(struct cli *c, struct err *e)
{
	const char *run;

	if (is_trace(c->words[0]))
		return show_trace(c, c->words[0], e);
	return run_of(c, c->words[0], &run, e) < 0 ? -1 : show_run(c, run, e);
}
