// loop: does a service, once added, start itself? Owner: nothing. Threads: no shared state. Errors:
// ERR_CONFLICT with the chain in words.
// SPDX-License-Identifier: Apache-2.0
#include "base/buf.h"
#include "base/mem.h"
#include "fdl/fdl.h"

#include <stdlib.h>

// The i-th beginning that an entry allows for keys in its bucket, written to `text`.
static struct span head_at(const struct fdl_io *io, size_t i, struct buf *text)
{
	buf_clear(text);
	if (*io->folder)
		buf_printf(text, "%s/", io->folder);
	if (io->prefix_count)
		buf_add_str(text, io->prefixes[i]);
	return buf_span(text);
}

static size_t at_least_one(size_t count)
{
	return count ? count : 1;
}

// Some key begins with both when one beginning is the beginning of the other.
static bool heads_meet(const struct fdl_io *a, const struct fdl_io *b)
{
	auto_buf struct buf a_text = { 0 };
	auto_buf struct buf b_text = { 0 };

	buf_init(&a_text, 1 << 22);
	buf_init(&b_text, 1 << 22);
	for (size_t i = 0; i < at_least_one(a->prefix_count); i++) {
		struct span head = head_at(a, i, &a_text);

		for (size_t j = 0; j < at_least_one(b->prefix_count); j++) {
			struct span other = head_at(b, j, &b_text);

			if (span_starts(head, other) || span_starts(other, head))
				return true;
		}
	}
	return false;
}

static bool tails_meet(const struct fdl_io *a, const struct fdl_io *b)
{
	if (a->suffix_count == 0 || b->suffix_count == 0)
		return true;
	for (size_t i = 0; i < a->suffix_count; i++)
		for (size_t j = 0; j < b->suffix_count; j++)
			if (span_ends(span_of(a->suffixes[i]), span_of(b->suffixes[j])) ||
			    span_ends(span_of(b->suffixes[j]), span_of(a->suffixes[i])))
				return true;
	return false;
}

// Beginning and end are chosen independently, and a long enough key has room for both.
static bool output_feeds(const struct fdl_io *output, const struct fdl_io *input)
{
	return strcmp(output->provider, "minio.default") == 0 &&
	       strcmp(input->provider, "minio.default") == 0 &&
	       strcmp(output->bucket, input->bucket) == 0 && tails_meet(output, input) &&
	       heads_meet(output, input);
}

static const struct fdl_io *feeding_output(const struct fdl_service *from,
					   const struct fdl_service *to)
{
	for (size_t i = 0; i < from->output_count; i++)
		for (size_t j = 0; j < to->input_count; j++)
			if (output_feeds(&from->outputs[i], &to->inputs[j]))
				return &from->outputs[i];
	return NULL;
}

bool fdl_feeds(const struct fdl_service *from, const struct fdl_service *to)
{
	return feeding_output(from, to) != NULL;
}

// A walk over the services, breadth first, so that the chain told is a shortest one.
struct walk {
	const struct fdl_service **nodes; // nodes[0] is the service that is added
	size_t *parent;
	bool *seen;
	size_t count;
	size_t *line, head, tail;
};

static void walk_release(struct walk *w)
{
	mem_free(w->nodes);
	mem_free(w->parent);
	mem_free(w->seen);
	mem_free(w->line);
}

static void walk_init(struct walk *w, const struct fdl_service *const *all, size_t count,
		      const struct fdl_service *added)
{
	*w = (struct walk){
		.nodes = mem_zalloc((count + 1) * sizeof(*w->nodes)),
		.parent = mem_zalloc((count + 1) * sizeof(*w->parent)),
		.seen = mem_zalloc((count + 1) * sizeof(*w->seen)),
		.line = mem_zalloc((count + 1) * sizeof(*w->line)),
	};
	w->nodes[w->count++] = added;
	for (size_t i = 0; i < count; i++)
		if (strcmp(all[i]->name, added->name) != 0)
			w->nodes[w->count++] = all[i];
	w->tail = 1;
}

static void tell_step(const struct fdl_service *from, const struct fdl_service *to,
		      struct buf *text)
{
	const struct fdl_io *out = feeding_output(from, to);

	buf_printf(text, "%s%s writes %s%s%s, which triggers %s", text->n ? "; " : "", from->name,
		   out->bucket, *out->folder ? "/" : "", out->folder, to->name);
}

static int tell_loop(const struct walk *w, size_t last, struct err *e)
{
	auto_buf struct buf text = { 0 };
	auto_free size_t *chain = mem_zalloc((w->count + 1) * sizeof(*chain));
	size_t n = 0;

	buf_init(&text, 4096);
	for (size_t at = last; at != 0; at = w->parent[at])
		chain[n++] = at;
	chain[n++] = 0;
	while (n-- > 0)
		tell_step(w->nodes[chain[n]], w->nodes[n ? chain[n - 1] : 0], &text);
	return err_set(e, ERR_CONFLICT, "this service would start itself: %s", buf_span(&text).p);
}

int fdl_loop_check(const struct fdl_service *const *all, size_t count,
		   const struct fdl_service *added, struct err *e)
{
	at_scope_exit(walk_release) struct walk w;

	walk_init(&w, all, count, added);
	while (w.head < w.tail) {
		size_t at = w.line[w.head++];

		if (feeding_output(w.nodes[at], added))
			return tell_loop(&w, at, e);
		for (size_t i = 1; i < w.count; i++) {
			if (w.seen[i] || !feeding_output(w.nodes[at], w.nodes[i]))
				continue;
			w.seen[i] = true;
			w.parent[i] = at;
			w.line[w.tail++] = i;
		}
	}
	return 0;
}
