// yaml: one YAML document as a tree with places. Owner: nodes live in the caller's arena. Threads: no
// shared state. Errors: ERR_INVALID with line and column, ERR_LIMIT.
// SPDX-License-Identifier: Apache-2.0
#include "codec/yaml.h"

#include "base/map.h"
#include "base/mem.h"

#include <errno.h>
#include <yaml.h>

struct reader {
	yaml_parser_t parser;
	struct arena *a;
	struct map anchors; // name -> finished node
	size_t weight;	    // nodes so far, with aliases expanded
	struct err *e;
};

static void reader_release(struct reader *r)
{
	yaml_parser_delete(&r->parser);
	map_release(&r->anchors);
}
#define auto_reader at_scope_exit(reader_release)

#define auto_event at_scope_exit(yaml_event_delete)

static int fail_at(struct reader *r, yaml_mark_t at, const char *text)
{
	return err_set(r->e, ERR_INVALID, "line %zu, column %zu: %s", at.line + 1, at.column + 1,
		       text);
}

static int next_event(struct reader *r, yaml_event_t *ev)
{
	const char *what;

	if (yaml_parser_parse(&r->parser, ev))
		return 0;
	if (r->parser.error == YAML_MEMORY_ERROR)
		return err_set(r->e, ERR_LIMIT, "out of memory while reading YAML");
	what = r->parser.problem ? r->parser.problem : "not YAML";
	return fail_at(r, r->parser.problem_mark, what);
}

static int add_weight(struct reader *r, size_t weight)
{
	r->weight += weight;
	if (r->weight > CODEC_YAML_NODES_MAX)
		return err_set(r->e, ERR_LIMIT, "YAML with more than %d values (aliases expanded)",
			       CODEC_YAML_NODES_MAX);
	return 0;
}

static struct codec_yaml_node *node_new(struct reader *r, enum codec_yaml_kind kind, yaml_mark_t at)
{
	struct codec_yaml_node *n = arena_alloc(r->a, sizeof(*n));

	n->kind = kind;
	n->line = (unsigned)at.line + 1;
	n->column = (unsigned)at.column + 1;
	n->weight = 1;
	return n;
}

static int check_tag(struct reader *r, const yaml_char_t *tag, yaml_mark_t at)
{
	static const char *const known[] = { "str", "int", "float", "bool", "null", "map", "seq" };
	struct span t = span_of((const char *)tag);

	if (!tag || span_is(t, "!"))
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (span_starts(t, SPAN("tag:yaml.org,2002:")) &&
		    span_is(span_from(t, sizeof("tag:yaml.org,2002:") - 1), known[i]))
			return 0;
	return fail_at(r, at, "a tag that is not of YAML's core is not accepted");
}

// Remembers a finished node under its anchor. A node that is still open is not there, so that nothing can
// contain itself.
static void keep_anchor(struct reader *r, const yaml_char_t *anchor, struct codec_yaml_node *n)
{
	if (anchor)
		map_put(&r->anchors, span_of((const char *)anchor), n);
}

static int read_scalar(struct reader *r, yaml_event_t *ev, struct codec_yaml_node **out)
{
	struct codec_yaml_node *n = node_new(r, CODEC_YAML_SCALAR, ev->start_mark);
	const char *tag = (const char *)ev->data.scalar.tag;
	struct span text = span_make((const char *)ev->data.scalar.value, ev->data.scalar.length);

	if (check_tag(r, ev->data.scalar.tag, ev->start_mark) < 0)
		return -1;
	if (memchr(text.p, 0, text.n))
		return fail_at(r, ev->start_mark, "a NUL character is not accepted");
	n->text = arena_span(r->a, text);
	n->plain = ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	if (tag && (strcmp(tag, "!") == 0 || span_ends(span_of(tag), SPAN(":str"))))
		n->plain = false;
	keep_anchor(r, ev->data.scalar.anchor, n);
	*out = n;
	return 0;
}

struct children {
	struct codec_yaml_node **keys, **items;
	size_t count, cap;
};

static void children_add(struct reader *r, struct children *c, struct codec_yaml_node *key,
			 struct codec_yaml_node *item)
{
	if (c->count == c->cap) {
		size_t cap = c->cap ? c->cap * 2 : 8;
		struct codec_yaml_node **keys = arena_alloc(r->a, cap * sizeof(*keys));
		struct codec_yaml_node **items = arena_alloc(r->a, cap * sizeof(*items));

		if (c->count) {
			memcpy(keys, c->keys, c->count * sizeof(*keys));
			memcpy(items, c->items, c->count * sizeof(*items));
		}
		c->keys = keys;
		c->items = items;
		c->cap = cap;
	}
	c->keys[c->count] = key;
	c->items[c->count++] = item;
}

static int read_node(struct reader *r, yaml_event_t *ev, unsigned depth,
		     struct codec_yaml_node **out);

static int read_list(struct reader *r, yaml_event_t *start, unsigned depth,
		     struct codec_yaml_node **out)
{
	struct codec_yaml_node *n = node_new(r, CODEC_YAML_LIST, start->start_mark);
	struct codec_yaml_node *item = NULL;
	struct children c = { 0 };

	if (check_tag(r, start->data.sequence_start.tag, start->start_mark) < 0)
		return -1;
	for (;;) {
		auto_event yaml_event_t ev = { 0 };

		if (next_event(r, &ev) < 0)
			return -1;
		if (ev.type == YAML_SEQUENCE_END_EVENT)
			break;
		if (read_node(r, &ev, depth + 1, &item) < 0)
			return -1;
		check(item);
		children_add(r, &c, NULL, item);
		n->weight += item->weight;
	}
	n->count = c.count;
	n->items = c.items;
	keep_anchor(r, start->data.sequence_start.anchor, n);
	*out = n;
	return 0;
}

// `<<: *other` adds what the other map has and this one has not.
static int merge_into(struct reader *r, struct children *c, struct map *seen,
		      const struct codec_yaml_node *from)
{
	if (from->kind == CODEC_YAML_LIST) {
		for (size_t i = 0; i < from->count; i++)
			if (merge_into(r, c, seen, from->items[i]) < 0)
				return -1;
		return 0;
	}
	if (from->kind != CODEC_YAML_MAP)
		return err_set(r->e, ERR_INVALID, "line %u, column %u: `<<` wants a map",
			       from->line, from->column);
	if (add_weight(r, from->weight) < 0)
		return -1;
	for (size_t i = 0; i < from->count; i++) {
		if (map_get(seen, from->keys[i]->text))
			continue;
		map_put(seen, from->keys[i]->text, from->keys[i]);
		children_add(r, c, from->keys[i], from->items[i]);
	}
	return 0;
}

static int read_entry(struct reader *r, yaml_event_t *key_ev, unsigned depth, struct map *seen,
		      struct children *c, struct children *merges)
{
	auto_event yaml_event_t ev = { 0 };
	struct codec_yaml_node *key = NULL, *item = NULL;

	if (read_node(r, key_ev, depth, &key) < 0)
		return -1;
	if (key->kind != CODEC_YAML_SCALAR)
		return fail_at(r, key_ev->start_mark, "a key must be a single word or text");
	if (next_event(r, &ev) < 0 || read_node(r, &ev, depth, &item) < 0)
		return -1;
	if (key->plain && span_is(key->text, "<<")) {
		children_add(r, merges, key, item);
		return 0;
	}
	if (map_get(seen, key->text))
		return err_set(r->e, ERR_INVALID,
			       "line %zu, column %zu: the key \"%.*s\" stands here twice",
			       key_ev->start_mark.line + 1, key_ev->start_mark.column + 1,
			       (int)(key->text.n < 60 ? key->text.n : 60), key->text.p);
	map_put(seen, key->text, key);
	children_add(r, c, key, item);
	return 0;
}

static int read_map(struct reader *r, yaml_event_t *start, unsigned depth,
		    struct codec_yaml_node **out)
{
	struct codec_yaml_node *n = node_new(r, CODEC_YAML_MAP, start->start_mark);
	at_scope_exit(map_release) struct map seen = { 0 };
	struct children c = { 0 }, merges = { 0 };

	if (check_tag(r, start->data.mapping_start.tag, start->start_mark) < 0)
		return -1;
	for (;;) {
		auto_event yaml_event_t ev = { 0 };

		if (next_event(r, &ev) < 0)
			return -1;
		if (ev.type == YAML_MAPPING_END_EVENT)
			break;
		if (read_entry(r, &ev, depth + 1, &seen, &c, &merges) < 0)
			return -1;
	}
	for (size_t i = 0; i < merges.count; i++)
		if (merge_into(r, &c, &seen, merges.items[i]) < 0)
			return -1;
	n->count = c.count;
	n->keys = c.keys;
	n->items = c.items;
	for (size_t i = 0; i < c.count; i++)
		n->weight += c.items[i]->weight + 1;
	keep_anchor(r, start->data.mapping_start.anchor, n);
	*out = n;
	return 0;
}

static int read_alias(struct reader *r, yaml_event_t *ev, struct codec_yaml_node **out)
{
	struct codec_yaml_node *n =
		map_get(&r->anchors, span_of((const char *)ev->data.alias.anchor));

	if (!n)
		return fail_at(r, ev->start_mark, "an alias (*name) without a finished anchor");
	if (add_weight(r, n->weight) < 0)
		return -1;
	*out = n;
	return 0;
}

static int read_node(struct reader *r, yaml_event_t *ev, unsigned depth,
		     struct codec_yaml_node **out)
{
	if (depth > CODEC_YAML_DEPTH_MAX)
		return err_set(r->e, ERR_LIMIT, "line %zu: YAML nested more than %d levels deep",
			       ev->start_mark.line + 1, CODEC_YAML_DEPTH_MAX);
	if (ev->type == YAML_ALIAS_EVENT)
		return read_alias(r, ev, out);
	if (add_weight(r, 1) < 0)
		return -1;
	if (ev->type == YAML_SCALAR_EVENT)
		return read_scalar(r, ev, out);
	if (ev->type == YAML_SEQUENCE_START_EVENT)
		return read_list(r, ev, depth, out);
	if (ev->type == YAML_MAPPING_START_EVENT)
		return read_map(r, ev, depth, out);
	return fail_at(r, ev->start_mark, "not YAML");
}

// The document's own node; an empty text gives a null scalar.
static int read_document(struct reader *r, struct codec_yaml_node **out)
{
	for (;;) {
		auto_event yaml_event_t ev = { 0 };

		if (next_event(r, &ev) < 0)
			return -1;
		if (ev.type == YAML_STREAM_START_EVENT || ev.type == YAML_DOCUMENT_START_EVENT)
			continue;
		if (ev.type == YAML_STREAM_END_EVENT) {
			*out = node_new(r, CODEC_YAML_SCALAR, ev.start_mark);
			(*out)->text = SPAN("");
			(*out)->plain = true;
			return 1;
		}
		return read_node(r, &ev, 0, out);
	}
}

static int read_end(struct reader *r)
{
	for (;;) {
		auto_event yaml_event_t ev = { 0 };

		if (next_event(r, &ev) < 0)
			return -1;
		if (ev.type == YAML_STREAM_END_EVENT)
			return 0;
		if (ev.type == YAML_DOCUMENT_START_EVENT)
			return fail_at(r, ev.start_mark, "only one document is accepted");
	}
}

int codec_yaml_parse(struct span text, size_t size_max, struct arena *a,
		     struct codec_yaml_node **out, struct err *e)
{
	auto_reader struct reader r = { .a = a, .e = e };
	struct codec_yaml_node *root = NULL;
	int got;

	if (!yaml_parser_initialize(&r.parser))
		return err_set(e, ERR_LIMIT, "out of memory");
	if (text.n > size_max)
		return err_set(e, ERR_LIMIT, "YAML of %zu bytes, allowed are %zu", text.n,
			       size_max);
	yaml_parser_set_input_string(&r.parser, (const unsigned char *)(text.p ? text.p : ""),
				     text.n);
	got = read_document(&r, &root);
	if (got < 0 || (got == 0 && read_end(&r) < 0))
		return -1;
	*out = root;
	return 0;
}

const struct codec_yaml_node *codec_yaml_get(const struct codec_yaml_node *map, const char *key)
{
	const struct codec_yaml_node *found = NULL;

	if (!map || map->kind != CODEC_YAML_MAP)
		return NULL;
	for (size_t i = 0; i < map->count; i++) {
		if (span_is(map->keys[i]->text, key))
			return map->items[i];
		if (!found && span_eq_nocase(map->keys[i]->text, span_of(key)))
			found = map->items[i];
	}
	return found;
}

static const struct codec_yaml_node *step_index(const struct codec_yaml_node *n, struct span index)
{
	uint64_t at;

	if (n->kind != CODEC_YAML_LIST || !span_to_u64(index, &at) || at >= n->count)
		return NULL;
	return n->items[at];
}

const struct codec_yaml_node *codec_yaml_find(const struct codec_yaml_node *root, const char *path)
{
	struct span rest = span_of(path);
	const struct codec_yaml_node *at = root, *next;

	while (rest.n > 0) {
		struct span step;
		char name[256];

		if (rest.p[0] == '[') {
			step = span_cut(&rest, ']');
			next = step_index(at, span_from(step, 1));
		} else {
			size_t n = 0;

			while (n < rest.n && rest.p[n] != '.' && rest.p[n] != '[')
				n++;
			snprintf(name, sizeof(name), "%.*s", (int)(n < 255 ? n : 255), rest.p);
			rest = span_from(rest, n);
			next = codec_yaml_get(at, name);
		}
		if (!next)
			return at;
		at = next;
		if (rest.n > 0 && rest.p[0] == '.')
			rest = span_from(rest, 1);
	}
	return at;
}

static bool is_one_of(struct span text, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (span_is(text, words[i]))
			return true;
	return false;
}

static bool text_is_null(struct span text)
{
	static const char *const words[] = { "", "~", "null", "Null", "NULL" };

	return is_one_of(text, words, ARRAY_LEN(words));
}

bool codec_yaml_is_null(const struct codec_yaml_node *n)
{
	return !n || (n->kind == CODEC_YAML_SCALAR && n->plain && text_is_null(n->text));
}

// A decimal integer without leading zeros that fits, or false.
static bool text_is_int(struct span text, int64_t *out)
{
	bool minus = text.n > 0 && text.p[0] == '-';
	struct span digits = span_from(text, minus || (text.n > 0 && text.p[0] == '+') ? 1 : 0);
	uint64_t value;

	if (digits.n == 0 || (digits.n > 1 && digits.p[0] == '0') || !span_to_u64(digits, &value) ||
	    value > INT64_MAX)
		return false;
	*out = minus ? -(int64_t)value : (int64_t)value;
	return true;
}

static bool text_is_real(struct span text, double *out)
{
	char copy[64], *end;
	bool digit = false, mark = false; // without a point or an exponent "0755" stays text

	if (text.n == 0 || text.n >= sizeof(copy))
		return false;
	for (size_t i = 0; i < text.n; i++) {
		if (!strchr("+-.eE0123456789", text.p[i]))
			return false;
		digit |= text.p[i] >= '0' && text.p[i] <= '9';
		mark |= text.p[i] == '.' || text.p[i] == 'e' || text.p[i] == 'E';
	}
	memcpy(copy, text.p, text.n);
	copy[text.n] = 0;
	errno = 0;
	*out = strtod(copy, &end);
	return digit && mark && *end == 0 && errno == 0;
}

static json_t *plain_value(struct span text)
{
	static const char *const yes[] = { "true", "True", "TRUE" };
	static const char *const no[] = { "false", "False", "FALSE" };
	int64_t whole;
	double real;

	if (text_is_null(text))
		return json_null();
	if (is_one_of(text, yes, ARRAY_LEN(yes)))
		return json_true();
	if (is_one_of(text, no, ARRAY_LEN(no)))
		return json_false();
	if (text_is_int(text, &whole))
		return json_integer(whole);
	if (text_is_real(text, &real))
		return json_real(real);
	return NULL;
}

json_t *codec_yaml_scalar(const struct codec_yaml_node *n)
{
	json_t *v = n->plain ? plain_value(n->text) : NULL;

	return v ? v : json_stringn(n->text.p, n->text.n);
}

json_t *codec_yaml_to_json(const struct codec_yaml_node *n)
{
	json_t *v;

	if (n->kind == CODEC_YAML_SCALAR)
		return codec_yaml_scalar(n);
	if (n->kind == CODEC_YAML_LIST) {
		v = json_array();
		for (size_t i = 0; i < n->count; i++)
			json_array_append_new(v, codec_yaml_to_json(n->items[i]));
		return v;
	}
	v = json_object();
	for (size_t i = 0; i < n->count; i++)
		json_object_set_new(v, n->keys[i]->text.p, codec_yaml_to_json(n->items[i]));
	return v;
}
