// schema: documents of strangers brought into the table's names, order and types. Owner: trees are new
// references. Threads: no shared state. Errors: ERR_INVALID, naming file, line and field where they are known.
// SPDX-License-Identifier: Apache-2.0
#include "fdl/schema.h"

#include "base/mem.h"

#include <stdlib.h>

// A path is told in an error only; a name of a stranger is cut to 64 bytes in it.
enum { TOLD_MAX = 256, UNKNOWN_MAX = 50 };

struct spot {
	const struct fdl_reader *r;
	struct fdl_source v;
	const struct spot *parent;
	const char *name; // below an object; NULL for an item of a list
	size_t index;
	struct err *e;
};

static struct spot below(const struct spot *s, struct fdl_source v, const char *name)
{
	return (struct spot){ .r = s->r, .v = v, .parent = s, .name = name, .e = s->e };
}

static struct spot below_index(const struct spot *s, struct fdl_source v, size_t i)
{
	return (struct spot){ .r = s->r, .v = v, .parent = s, .index = i, .e = s->e };
}

// "input[0].path"; "document" for the whole.
static void tell_path(const struct spot *s, struct buf *out)
{
	if (!s->parent)
		return;
	tell_path(s->parent, out);
	if (s->name)
		buf_printf(out, "%s%.64s", out->n ? "." : "", s->name);
	else
		buf_printf(out, "[%zu]", s->index);
}

static const char *path_of(const struct spot *s, struct buf *out)
{
	buf_init(out, TOLD_MAX);
	tell_path(s, out);
	return out->n ? out->p : "document";
}

static int place(const char *file, const struct codec_yaml_node *n, struct err *e)
{
	if (n)
		err_wrap(e, "%s:%u:%u", file ? file : "line", n->line, n->column);
	return -1;
}

int fdl_schema_place(const char *file, const struct codec_yaml_node *root, const char *path,
		     struct err *e)
{
	return place(file, root ? codec_yaml_find(root, path) : NULL, e);
}

static const char *source_kind(struct fdl_source v)
{
	auto_json json_t *scalar = NULL;

	if (!v.yaml)
		return codec_json_kind(v.json);
	if (v.yaml->kind != CODEC_YAML_SCALAR)
		return v.yaml->kind == CODEC_YAML_MAP ? "an object" : "a list";
	scalar = codec_yaml_scalar(v.yaml);
	return codec_json_kind(scalar);
}

static int wrong_kind(const struct spot *s, const char *want)
{
	auto_buf struct buf path = { 0 };

	err_set(s->e, ERR_INVALID, "%s: expected %s, got %s", path_of(s, &path), want,
		source_kind(s->v));
	return place(s->r->file, s->v.yaml, s->e);
}

static bool is_unset(struct fdl_source v)
{
	return v.yaml ? codec_yaml_is_null(v.yaml) : !v.json || json_is_null(v.json);
}

static bool is_object(struct fdl_source v)
{
	return v.yaml ? v.yaml->kind == CODEC_YAML_MAP : json_is_object(v.json);
}

static bool is_list(struct fdl_source v)
{
	return v.yaml ? v.yaml->kind == CODEC_YAML_LIST : json_is_array(v.json);
}

static struct fdl_source member_of(struct fdl_source v, const char *name)
{
	if (v.yaml)
		return (struct fdl_source){ .yaml = codec_yaml_get(v.yaml, name) };
	return (struct fdl_source){ .json = codec_json_get(v.json, name) };
}

static size_t count_of(struct fdl_source v)
{
	return v.yaml ? v.yaml->count : json_array_size(v.json);
}

static struct fdl_source item_of(struct fdl_source v, size_t i)
{
	if (v.yaml)
		return (struct fdl_source){ .yaml = v.yaml->items[i] };
	return (struct fdl_source){ .json = json_array_get(v.json, i) };
}

// Letters to change, put in or leave out to make one word of the other; words over 40 bytes are far.
static unsigned distance(const char *a, const char *b)
{
	size_t an = strlen(a), bn = strlen(b);
	unsigned row[42];

	if (an > 40 || bn > 40)
		return 99;
	for (size_t j = 0; j <= bn; j++)
		row[j] = (unsigned)j;
	for (size_t i = 1; i <= an; i++) {
		unsigned corner = row[0];

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= bn; j++) {
			unsigned swap = corner + (a[i - 1] != b[j - 1]);

			corner = row[j];
			row[j] = row[j] + 1 < row[j - 1] + 1 ? row[j] + 1 : row[j - 1] + 1;
			row[j] = swap < row[j] ? swap : row[j];
		}
	}
	return row[bn];
}

static const char *nearest(const struct fdl_field *fields, const char *name)
{
	unsigned best = (unsigned)(strlen(name) / 3 + 2);
	const char *found = NULL;

	for (; fields->name; fields++) {
		unsigned d = distance(fields->name, name);

		if (d < best) {
			best = d;
			found = fields->name;
		}
	}
	return found;
}

static bool is_known(const struct fdl_field *fields, const char *name)
{
	for (; fields->name; fields++)
		if (span_eq_nocase(span_of(fields->name), span_of(name)))
			return true;
	return false;
}

static int unknown_key(const struct spot *s, const struct fdl_field *fields, const char *name,
		       const struct codec_yaml_node *key)
{
	struct spot here = below(s, s->v, name);
	const char *near = nearest(fields, name), *told;
	auto_buf struct buf path = { 0 };

	told = path_of(&here, &path);
	if (!s->r->strict) {
		if (s->r->unknown && json_array_size(s->r->unknown) < UNKNOWN_MAX)
			json_array_append_new(s->r->unknown, json_string(told));
		return 0;
	}
	if (near)
		err_set(s->e, ERR_INVALID, "unknown field \"%s\", did you mean \"%s\"?", told,
			near);
	else
		err_set(s->e, ERR_INVALID, "unknown field \"%s\"", told);
	return place(s->r->file, key, s->e);
}

static int check_keys(const struct spot *s, const struct fdl_field *fields)
{
	const char *name;
	json_t *member;

	if (s->v.yaml) {
		for (size_t i = 0; i < s->v.yaml->count; i++) {
			const struct codec_yaml_node *key = s->v.yaml->keys[i];

			if (!is_known(fields, key->text.p) &&
			    unknown_key(s, fields, key->text.p, key) < 0)
				return -1;
		}
		return 0;
	}
	json_object_foreach((json_t *)s->v.json, name, member)
	{
		if (!is_known(fields, name) && unknown_key(s, fields, name, NULL) < 0)
			return -1;
	}
	return 0;
}

// In YAML a plain word that looks like a number is text where text is wanted: `cpu: 1.0`.
static int read_string(const struct spot *s, json_t **out)
{
	if (s->v.yaml && s->v.yaml->kind == CODEC_YAML_SCALAR)
		*out = json_stringn(s->v.yaml->text.p, s->v.yaml->text.n);
	else if (s->v.json && json_is_string(s->v.json))
		*out = json_string(json_string_value(s->v.json));
	else
		return wrong_kind(s, "a string");
	return 0;
}

static int read_bool(const struct spot *s, json_t **out)
{
	auto_json json_t *got = NULL;

	if (s->v.yaml && s->v.yaml->kind == CODEC_YAML_SCALAR)
		got = codec_yaml_scalar(s->v.yaml);
	else if (s->v.json)
		got = json_incref((json_t *)s->v.json);
	if (!json_is_boolean(got))
		return wrong_kind(s, "a boolean (true or false)");
	*out = json_boolean(json_is_true(got));
	return 0;
}

static int read_int(const struct spot *s, json_t **out)
{
	auto_json json_t *got = NULL;

	if (s->v.yaml && s->v.yaml->kind == CODEC_YAML_SCALAR)
		got = codec_yaml_scalar(s->v.yaml);
	else if (s->v.json)
		got = json_incref((json_t *)s->v.json);
	if (!json_is_integer(got))
		return wrong_kind(s, "a whole number");
	*out = json_integer(json_integer_value(got));
	return 0;
}

static int read_strings(const struct spot *s, json_t **out)
{
	auto_json json_t *list = json_array();

	if (!is_list(s->v))
		return wrong_kind(s, "a list of strings");
	for (size_t i = 0; i < count_of(s->v); i++) {
		struct spot item = below_index(s, item_of(s->v, i), i);
		json_t *text;

		if (is_unset(item.v) || read_string(&item, &text) < 0)
			return is_unset(item.v) ? wrong_kind(&item, "a string") : -1;
		json_array_append_new(list, text);
	}
	*out = json_incref(list);
	return 0;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

// The members' names, sorted; the array is owned by the caller, the names by the source.
static const char **sorted_names(struct fdl_source v, size_t *count)
{
	size_t n = v.yaml ? v.yaml->count : json_object_size(v.json), at = 0;
	const char **names = mem_zalloc((n + 1) * sizeof(*names)), *name;
	json_t *member;

	if (v.yaml) {
		for (; at < n; at++)
			names[at] = v.yaml->keys[at]->text.p;
	} else {
		json_object_foreach((json_t *)v.json, name, member)
		{
			names[at++] = name;
		}
	}
	qsort(names, n, sizeof(*names), compare_names);
	*count = n;
	return names;
}

// The member of exactly this name.
static struct fdl_source exact_member(struct fdl_source v, const char *name)
{
	if (!v.yaml)
		return (struct fdl_source){ .json = json_object_get(v.json, name) };
	return (struct fdl_source){ .yaml = codec_yaml_get(v.yaml, name) };
}

static int read_words(const struct spot *s, json_t **out)
{
	auto_json json_t *words = json_object();
	auto_free const char **names = NULL;
	size_t n;

	if (!is_object(s->v))
		return wrong_kind(s, "an object of strings");
	names = sorted_names(s->v, &n);
	for (size_t i = 0; i < n; i++) {
		struct spot item = below(s, exact_member(s->v, names[i]), names[i]);
		json_t *text = NULL;

		if (is_unset(item.v))
			text = json_string(""); // as the peers' parser reads null
		else if (read_string(&item, &text) < 0)
			return -1;
		json_object_set_new(words, names[i], text);
	}
	*out = json_incref(words);
	return 0;
}

static int read_object(const struct spot *s, const struct fdl_field *fields, json_t **out);

static int read_objects(const struct spot *s, const struct fdl_field *fields, json_t **out)
{
	auto_json json_t *list = json_array();

	if (!is_list(s->v))
		return wrong_kind(s, "a list of objects");
	for (size_t i = 0; i < count_of(s->v); i++) {
		struct spot item = below_index(s, item_of(s->v, i), i);
		json_t *object;

		if (read_object(&item, fields, &object) < 0)
			return -1;
		json_array_append_new(list, object);
	}
	*out = json_incref(list);
	return 0;
}

static int read_named(const struct spot *s, const struct fdl_field *fields, json_t **out)
{
	auto_json json_t *all = json_object();
	auto_free const char **names = NULL;
	size_t n;

	if (!is_object(s->v))
		return wrong_kind(s, "an object of objects");
	names = sorted_names(s->v, &n);
	for (size_t i = 0; i < n; i++) {
		struct spot item = below(s, exact_member(s->v, names[i]), names[i]);
		json_t *object = NULL;

		if (is_unset(item.v))
			object = json_object();
		else if (read_object(&item, fields, &object) < 0)
			return -1;
		json_object_set_new(all, names[i], object);
	}
	*out = json_incref(all);
	return 0;
}

static int read_ports(const struct spot *s, json_t **out)
{
	auto_json json_t *list = json_array();

	if (!is_list(s->v))
		return read_int(s, out);
	for (size_t i = 0; i < count_of(s->v); i++) {
		struct spot item = below_index(s, item_of(s->v, i), i);
		json_t *port;

		if (read_int(&item, &port) < 0)
			return -1;
		json_array_append_new(list, port);
	}
	*out = json_incref(list);
	return 0;
}

static int read_field(const struct spot *s, const struct fdl_field *f, json_t **out)
{
	switch (f->type) {
	case FDL_STRING:
		return read_string(s, out);
	case FDL_BOOL:
		return read_bool(s, out);
	case FDL_INT:
		return read_int(s, out);
	case FDL_STRINGS:
		return read_strings(s, out);
	case FDL_WORDS:
		return read_words(s, out);
	case FDL_OBJECT:
		return read_object(s, f->fields, out);
	case FDL_OBJECTS:
		return read_objects(s, f->fields, out);
	case FDL_NAMED:
		return read_named(s, f->fields, out);
	case FDL_PORTS:
		return read_ports(s, out);
	case FDL_ANY:
		*out = s->v.yaml ? codec_yaml_to_json(s->v.yaml) : json_deep_copy(s->v.json);
		return 0;
	}
	return 0;
}

static bool is_no_port(const json_t *v)
{
	return json_is_array(v) ? json_array_size(v) == 0 : json_integer_value(v) == 0;
}

static int read_object(const struct spot *s, const struct fdl_field *fields, json_t **out)
{
	auto_json json_t *object = json_object();

	if (!is_object(s->v))
		return wrong_kind(s, "an object");
	if (check_keys(s, fields) < 0)
		return -1;
	for (const struct fdl_field *f = fields; f->name; f++) {
		struct spot item = below(s, member_of(s->v, f->name), f->name);
		auto_json json_t *value = NULL;

		if (is_unset(item.v))
			continue;
		if (read_field(&item, f, &value) < 0)
			return -1;
		if (f->type != FDL_PORTS || !is_no_port(value))
			json_object_set(object, f->name, value);
	}
	*out = json_incref(object);
	return 0;
}

int fdl_schema_read(const struct fdl_reader *r, const struct fdl_field *fields,
		    struct fdl_source from, json_t **out, struct err *e)
{
	struct spot top = { .r = r, .v = from, .e = e };

	return read_object(&top, fields, out);
}

static json_t *print_list(const struct fdl_field *fields, const json_t *list)
{
	json_t *out = json_array();

	for (size_t i = 0; i < json_array_size(list); i++)
		json_array_append_new(out, fdl_schema_print(fields, json_array_get(list, i)));
	return out;
}

static json_t *print_named(const struct fdl_field *fields, const json_t *all)
{
	json_t *out = json_object(), *member;
	const char *name;

	json_object_foreach((json_t *)all, name, member)
	{
		json_object_set_new(out, name, fdl_schema_print(fields, member));
	}
	return out;
}

static json_t *empty_of(enum fdl_type type)
{
	switch (type) {
	case FDL_STRING:
		return json_string("");
	case FDL_BOOL:
		return json_false();
	case FDL_INT:
	case FDL_PORTS:
		return json_integer(0);
	case FDL_STRINGS:
	case FDL_OBJECTS:
		return json_array();
	case FDL_WORDS:
	case FDL_OBJECT:
	case FDL_NAMED:
	case FDL_ANY:
		return json_object();
	}
	return json_null();
}

static json_t *print_field(const struct fdl_field *f, json_t *value)
{
	if (f->type == FDL_OBJECT)
		return fdl_schema_print(f->fields, value);
	if (!value)
		return empty_of(f->type);
	if (f->type == FDL_OBJECTS)
		return print_list(f->fields, value);
	if (f->type == FDL_NAMED)
		return print_named(f->fields, value);
	return json_deep_copy(value);
}

json_t *fdl_schema_print(const struct fdl_field *fields, const json_t *doc)
{
	json_t *out = json_object();

	for (const struct fdl_field *f = fields; f->name; f++) {
		json_t *value = json_object_get(doc, f->name);

		if (value || f->unset == FDL_EMPTY)
			json_object_set_new(out, f->name, print_field(f, value));
	}
	return out;
}
