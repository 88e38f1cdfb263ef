// schema: documents of strangers brought into the table's names, order and types. Owner: trees are new
// references. Threads: no shared state. Errors: ERR_INVALID, naming file, line and field where they are known.
// SPDX-License-Identifier: Apache-2.0
#include "fdl/schema.h"

#include "base/mem.h"

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

static int wrong_kind(const struct spot *s, enum fdl_type want)
{
	static const char *const words[] = {
		[FDL_STRING] = "a string",
		[FDL_BOOL] = "a boolean (true or false)",
		[FDL_INT] = "a whole number",
		[FDL_STRINGS] = "a list of strings",
		[FDL_WORDS] = "an object of strings",
		[FDL_OBJECT] = "an object",
		[FDL_OBJECTS] = "a list of objects",
		[FDL_NAMED] = "an object of objects",
		[FDL_PORTS] = "a whole number",
		[FDL_ANY] = "anything",
	};
	auto_buf struct buf path = { 0 };

	err_set(s->e, ERR_INVALID, "%s: expected %s, got %s", path_of(s, &path), words[want],
		fdl_source_kind(s->v));
	return place(s->r->file, s->v.yaml, s->e);
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
	const char *near = fdl_nearest(fields, name), *told;
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
		return wrong_kind(s, FDL_STRING);
	return 0;
}

static int read_bool(const struct spot *s, json_t **out)
{
	auto_json json_t *got = fdl_source_copy(s->v);

	if (!json_is_boolean(got))
		return wrong_kind(s, FDL_BOOL);
	*out = json_incref(got);
	return 0;
}

static int read_int(const struct spot *s, json_t **out)
{
	auto_json json_t *got = fdl_source_copy(s->v);

	if (!json_is_integer(got))
		return wrong_kind(s, FDL_INT);
	*out = json_incref(got);
	return 0;
}

static int read_field(const struct spot *s, const struct fdl_field *f, json_t **out);

// A list of `each`.
static int read_list(const struct spot *s, enum fdl_type type, const struct fdl_field *each,
		     json_t **out)
{
	auto_json json_t *list = json_array();

	if (!fdl_source_is_list(s->v))
		return wrong_kind(s, type);
	for (size_t i = 0; i < fdl_source_count(s->v); i++) {
		struct spot item = below_index(s, fdl_source_item(s->v, i), i);
		json_t *value = NULL;

		if (fdl_source_is_unset(item.v))
			return wrong_kind(&item, each->type);
		if (read_field(&item, each, &value) < 0)
			return -1;
		json_array_append_new(list, value);
	}
	*out = json_incref(list);
	return 0;
}

// An object of any keys, each of them `each`. One that is null is empty, as the peers' parser reads it.
static int read_map(const struct spot *s, enum fdl_type type, const struct fdl_field *each,
		    json_t **out)
{
	auto_json json_t *map = json_object();
	auto_free const char **names = NULL;
	size_t n;

	if (!fdl_source_is_object(s->v))
		return wrong_kind(s, type);
	names = fdl_source_names(s->v, &n);
	for (size_t i = 0; i < n; i++) {
		struct spot item = below(s, fdl_source_get(s->v, names[i]), names[i]);
		json_t *value = NULL;

		if (fdl_source_is_unset(item.v))
			value = each->type == FDL_STRING ? json_string("") : json_object();
		else if (read_field(&item, each, &value) < 0)
			return -1;
		json_object_set_new(map, names[i], value);
	}
	*out = json_incref(map);
	return 0;
}

static bool is_no_port(const json_t *v)
{
	return json_is_array(v) ? json_array_size(v) == 0 : json_integer_value(v) == 0;
}

static int read_object(const struct spot *s, const struct fdl_field *fields, json_t **out)
{
	auto_json json_t *object = json_object();

	if (!fdl_source_is_object(s->v))
		return wrong_kind(s, FDL_OBJECT);
	if (check_keys(s, fields) < 0)
		return -1;
	for (const struct fdl_field *f = fields; f->name; f++) {
		struct spot item = below(s, fdl_source_get(s->v, f->name), f->name);
		auto_json json_t *value = NULL;

		if (fdl_source_is_unset(item.v))
			continue;
		if (read_field(&item, f, &value) < 0)
			return -1;
		if (f->type != FDL_PORTS || !is_no_port(value))
			json_object_set(object, f->name, value);
	}
	*out = json_incref(object);
	return 0;
}

static int read_field(const struct spot *s, const struct fdl_field *f, json_t **out)
{
	static const struct fdl_field string = { .type = FDL_STRING }, number = { .type = FDL_INT };
	const struct fdl_field object = { .type = FDL_OBJECT, .fields = f->fields };

	switch (f->type) {
	case FDL_STRING:
		return read_string(s, out);
	case FDL_BOOL:
		return read_bool(s, out);
	case FDL_INT:
		return read_int(s, out);
	case FDL_STRINGS:
		return read_list(s, f->type, &string, out);
	case FDL_WORDS:
		return read_map(s, f->type, &string, out);
	case FDL_OBJECT:
		return read_object(s, f->fields, out);
	case FDL_OBJECTS:
		return read_list(s, f->type, &object, out);
	case FDL_NAMED:
		return read_map(s, f->type, &object, out);
	case FDL_PORTS:
		return fdl_source_is_list(s->v) ? read_list(s, f->type, &number, out)
						: read_int(s, out);
	case FDL_ANY:
		*out = fdl_source_copy(s->v);
		return 0;
	}
	return 0;
}

int fdl_schema_read(const struct fdl_reader *r, const struct fdl_field *fields,
		    struct fdl_source from, json_t **out, struct err *e)
{
	struct spot top = { .r = r, .v = from, .e = e };

	return read_object(&top, fields, out);
}
