// SPDX-License-Identifier: Apache-2.0
#include "codec/cdi.h"

#include "codec/cdi_private.h"
#include "codec/yaml.h"

enum { LABEL_MAX = 63, PREFIX_MAX = 253, CLASS_MAX = 63, DEVICE_MAX = 128, KIND_MAX = 255 };

// ---- names ---------------------------------------------------------------------------------------------

static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

// Begins and ends with a letter or digit; between them also one of `more`.
static bool word_ok(struct span s, size_t max, const char *more)
{
	if (!s.n || s.n > max || !is_alnum(s.p[0]) || !is_alnum(s.p[s.n - 1]))
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!is_alnum(s.p[i]) && !(s.p[i] && strchr(more, s.p[i])))
			return false;
	return true;
}

static bool prefix_ok(struct span s)
{
	if (!s.n || s.n > PREFIX_MAX || s.p[s.n - 1] == '.')
		return false;
	while (s.n)
		if (!word_ok(span_cut(&s, '.'), LABEL_MAX, "-"))
			return false;
	return true;
}

struct span cdi_class(struct span kind)
{
	ptrdiff_t slash = span_rfind(kind, '/');

	return slash < 0 ? kind : span_from(kind, (size_t)slash + 1);
}

bool cdi_kind_ok(struct span kind)
{
	struct span rest = kind, prefix = span_cut(&rest, '/');

	return kind.n <= KIND_MAX - DEVICE_MAX && prefix.n < kind.n && prefix_ok(prefix) &&
	       word_ok(rest, CLASS_MAX, "-_.");
}

static bool device_ok(struct span name)
{
	return word_ok(name, DEVICE_MAX - 2, "-_.:");
}

bool cdi_name_ok(struct span name)
{
	struct span rest = name, kind = span_cut(&rest, '=');

	return kind.n < name.n && cdi_kind_ok(kind) && device_ok(rest);
}

// ---- reading typed values ------------------------------------------------------------------------------

int cdi_text_value(struct arena *a, const json_t *v, size_t max, const char **out, struct err *e)
{
	const char *p = json_string_value(v);
	size_t n = json_string_length(v);

	if (!p)
		return err_set(e, ERR_INVALID, "expected a string, got %s", codec_json_kind(v));
	if (!n)
		return err_set(e, ERR_INVALID, "it is empty");
	if (n >= max)
		return err_set(e, ERR_LIMIT, "%zu bytes, allowed are %zu", n, max - 1);
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)p[i] < 0x20 || p[i] == 0x7f)
			return err_set(e, ERR_INVALID, "it holds a control character");
	*out = arena_strndup(a, p, n);
	return 0;
}

int cdi_text(struct arena *a, const json_t *object, const char *key, size_t max, bool required,
	     const char **out, struct err *e)
{
	const json_t *v = codec_json_get(object, key);

	*out = NULL;
	if (!v && required)
		return err_set(e, ERR_INVALID, "%s: it is missing", key);
	if (!v || (!required && json_is_string(v) && !json_string_length(v)))
		return 0;
	return cdi_text_value(a, v, max, out, e) < 0 ? err_wrap(e, "%s", key) : 0;
}

int cdi_only(const json_t *object, const char *const *keys, struct err *e)
{
	const char *key;
	json_t *value;

	if (!json_is_object(object))
		return err_set(e, ERR_INVALID, "expected an object, got %s",
			       codec_json_kind(object));
	json_object_foreach((json_t *)object, key, value)
	{
		const char *const *k = keys;

		while (*k && !span_eq_nocase(span_of(*k), span_of(key)))
			k++;
		if (!*k)
			return err_set(e, ERR_UNSUPPORTED, "%.60s: a field that is not known", key);
	}
	return 0;
}

int cdi_list(const json_t *object, const char *key, json_t **out, size_t *n, struct err *e)
{
	*out = NULL;
	if (codec_json_get_array(object, key, out, e) < 0)
		return -1;
	*n = json_array_size(*out);
	if (*n > CDI_LIST_MAX)
		return err_set(e, ERR_LIMIT, "%s: %zu entries, allowed are %d", key, *n,
			       CDI_LIST_MAX);
	return 0;
}

int cdi_path_check(const char *path, struct err *e)
{
	struct span rest = span_of(path), part;

	if (path[0] != '/')
		return err_set(e, ERR_INVALID, "\"%.60s\": want an absolute path", path);
	rest = span_from(rest, 1);
	do {
		bool more = span_find(rest, '/') >= 0;

		part = span_cut(&rest, '/');
		if (!part.n || span_is(part, ".") || span_is(part, ".."))
			return err_set(e, ERR_INVALID,
				       "\"%.60s\": want a path without \"//\", \".\", \"..\" and a "
				       "slash at its end",
				       path);
		if (part.n > 255)
			return err_set(e, ERR_INVALID, "a name in it is longer than 255 bytes");
		if (more && !rest.n)
			return err_set(e, ERR_INVALID, "\"%.60s\": it ends with a slash", path);
	} while (rest.n);
	return 0;
}

int cdi_place_check(const char *path, struct err *e)
{
	static const char *const own[] = { "/dev", "/mnt", "/oscar", "/proc", "/sys", "/tmp" };

	if (cdi_path_check(path, e) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(own); i++)
		if (span_path_overlap(span_of(path), span_of(own[i])))
			return err_set(e, ERR_UNSUPPORTED, "\"%.60s\": a sandbox has %s of its own",
				       path, own[i]);
	return 0;
}

// ---- the document --------------------------------------------------------------------------------------

static int check_version(struct arena *a, const json_t *doc, struct err *e)
{
	const char *text;
	struct span rest, part[3];
	uint64_t n[3];

	if (cdi_text(a, doc, "cdiVersion", 32, true, &text, e) < 0)
		return -1;
	rest = span_of(text[0] == 'v' ? text + 1 : text);
	for (int i = 0; i < 3; i++) {
		part[i] = span_cut(&rest, '.');
		if (!span_to_u64(part[i], &n[i]))
			return err_set(e, ERR_INVALID,
				       "cdiVersion: \"%s\": want a version such as 0.6.0", text);
	}
	if (rest.n || n[0] > 1 || (n[0] == 0 && (n[1] < 3 || n[1] > 8)))
		return err_set(e, ERR_UNSUPPORTED,
			       "cdiVersion: %s is not known, only 0.3.0 to 0.8.0 and 1.x", text);
	return 0;
}

// Notes for people and other programs; of their form only.
static int check_annotations(const json_t *object, struct err *e)
{
	json_t *notes = NULL;

	return codec_json_get_object(object, "annotations", &notes, e);
}

static int read_device(struct arena *a, const json_t *v, struct cdi_device *out, struct err *e)
{
	static const char *const keys[] = { "name", "annotations", "containerEdits", NULL };

	if (cdi_only(v, keys, e) < 0 || check_annotations(v, e) < 0 ||
	    cdi_text(a, v, "name", DEVICE_MAX, true, &out->name, e) < 0)
		return -1;
	if (!device_ok(span_of(out->name)))
		return err_set(e, ERR_INVALID,
			       "name: \"%.60s\": want letters, digits and -_.: between them",
			       out->name);
	return cdi_edits_read(a, v, &out->edits, e);
}

static int read_devices(struct arena *a, const json_t *doc, struct cdi_spec *out, struct err *e)
{
	json_t *list;

	if (cdi_list(doc, "devices", &list, &out->device_count, e) < 0)
		return -1;
	if (!out->device_count)
		return err_set(e, ERR_INVALID, "devices: at least one is needed");
	if (out->device_count > CDI_DEVICES_MAX)
		return err_set(e, ERR_LIMIT, "devices: %zu entries, allowed are %d",
			       out->device_count, CDI_DEVICES_MAX);
	out->devices = arena_alloc(a, out->device_count * sizeof(*out->devices));
	for (size_t i = 0; i < out->device_count; i++) {
		if (read_device(a, json_array_get(list, i), &out->devices[i], e) < 0)
			return err_wrap(e, "devices[%zu]", i);
		for (size_t k = 0; k < i; k++)
			if (strcmp(out->devices[k].name, out->devices[i].name) == 0)
				return err_set(e, ERR_INVALID,
					       "devices[%zu].name: \"%.60s\" is there twice", i,
					       out->devices[i].name);
	}
	return 0;
}

// As the tree of JSON that both forms have.
static int parse_text(struct span text, json_t **out, struct err *e)
{
	auto_arena struct arena mem = { 0 };
	struct codec_yaml_node *root = NULL;

	if (span_starts(span_trim(text), SPAN("{")))
		return codec_json_parse(text, CDI_FILE_BYTES_MAX, out, e);
	if (codec_yaml_parse(text, CDI_FILE_BYTES_MAX, &mem, &root, e) < 0)
		return -1;
	*out = codec_yaml_to_json(root);
	return 0;
}

int cdi_parse(struct arena *a, struct span text, struct cdi_spec *out, struct err *e)
{
	static const char *const keys[] = { "cdiVersion", "kind",	    "annotations",
					    "devices",	  "containerEdits", NULL };
	auto_json json_t *doc = NULL;

	*out = (struct cdi_spec){ 0 };
	if (parse_text(text, &doc, e) < 0 || cdi_only(doc, keys, e) < 0 ||
	    check_version(a, doc, e) < 0 || check_annotations(doc, e) < 0 ||
	    cdi_text(a, doc, "kind", KIND_MAX, true, &out->kind, e) < 0)
		return -1;
	if (!cdi_kind_ok(span_of(out->kind)))
		return err_set(e, ERR_INVALID, "kind: \"%.60s\": want vendor.com/class", out->kind);
	return read_devices(a, doc, out, e) < 0 ? -1 : cdi_edits_read(a, doc, &out->edits, e);
}
