// file: FDL files. Owner: see fdl.h; a file owns its services. Threads: no shared state. Errors:
// ERR_INVALID with file, line, column and field; ERR_NOT_FOUND and ERR_IO for the file and its scripts.
// SPDX-License-Identifier: Apache-2.0
#include "base/file.h"
#include "base/mem.h"
#include "fdl/private.h"
#include "fdl/schema.h"

#include <fcntl.h>
#include <libgen.h>

enum { ENTRIES_MAX = 1000 };

static const struct fdl_field functions_fields[] = {
	{ "oscar", FDL_ANY, FDL_OMIT, NULL },
	{ "aws", FDL_ANY, FDL_OMIT, NULL }, // of another program that shares the format
	{ 0 },
};

static const struct fdl_field file_fields[] = {
	{ "functions", FDL_OBJECT, FDL_OMIT, functions_fields },
	{ "storage_providers", FDL_OBJECT, FDL_OMIT, fdl_provider_fields },
	{ "clusters", FDL_NAMED, FDL_OMIT, fdl_cluster_fields },
	{ 0 },
};

struct loader {
	const char *name; // of the file, in errors
	int dir;	  // of its scripts
	json_t *providers, *clusters;
	struct fdl_file *file;
	struct err *e;
};

static int fail_at(struct loader *l, const struct codec_yaml_node *n, const char *text)
{
	return err_set(l->e, ERR_INVALID, "%s:%u:%u: %s", l->name, n->line, n->column, text);
}

// Adds what `into` lacks.
static void merge(json_t *into, const json_t *from)
{
	const char *key;
	json_t *value, *there;

	json_object_foreach((json_t *)from, key, value)
	{
		there = json_object_get(into, key);
		if (!there)
			json_object_set_new(into, key, json_deep_copy(value));
		else if (json_is_object(there) && json_is_object(value))
			merge(there, value);
	}
}

static void merge_key(json_t *doc, const char *key, const json_t *from)
{
	if (json_object_size(from) == 0)
		return;
	if (!json_object_get(doc, key))
		json_object_set_new(doc, key, json_object());
	merge(json_object_get(doc, key), from);
}

// Replaces the script's path by the script.
static int load_script(struct loader *l, json_t *doc, const struct codec_yaml_node *node)
{
	const char *path = json_string_value(json_object_get(doc, "script"));
	auto_buf struct buf text = { 0 };
	json_t *script;

	if (!path || !*path || strchr(path, '\n'))
		return 0;
	buf_init(&text, FDL_SCRIPT_MAX);
	if (file_read_path(l->dir, path, &text, l->e) < 0) {
		err_wrap(l->e, "script");
		return fdl_schema_place(l->name, node, "script", l->e);
	}
	script = memchr(text.p ? text.p : "", 0, text.n)
			 ? NULL
			 : json_stringn(text.p ? text.p : "", text.n);
	if (!script) {
		err_set(l->e, ERR_INVALID, "script: %.100s is not a text in UTF-8", path);
		return fdl_schema_place(l->name, node, "script", l->e);
	}
	json_object_set_new(doc, "script", script);
	return 0;
}

static int load_service(struct loader *l, const struct codec_yaml_node *key,
			const struct codec_yaml_node *node)
{
	struct fdl_reader r = { .file = l->name, .strict = true };
	struct fdl_entry *entry = &l->file->entries[l->file->count];
	auto_json json_t *doc = NULL;

	if (fdl_schema_read(&r, fdl_service_fields, (struct fdl_source){ .yaml = node }, &doc,
			    l->e) < 0 ||
	    load_script(l, doc, node) < 0)
		return -1;
	merge_key(doc, "storage_providers", l->providers);
	merge_key(doc, "clusters", l->clusters);
	if (!json_object_get(doc, "cluster_id"))
		json_object_set_new(doc, "cluster_id", json_string(key->text.p));
	entry->cluster = arena_strdup(&l->file->memory->a, key->text.p);
	entry->line = key->line;
	if (fdl_service_make(json_incref(doc), l->name, node, &entry->service, l->e) < 0)
		return -1;
	l->file->count++;
	return 0;
}

static int load_entries(struct loader *l, const struct codec_yaml_node *list)
{
	if (list->kind != CODEC_YAML_LIST || list->count == 0)
		return fail_at(
			l, list,
			"functions.oscar: expected a list of services, each as CLUSTER: {…}");
	if (list->count > ENTRIES_MAX)
		return fail_at(l, list, "functions.oscar: more than 1000 services");
	l->file->entries = arena_alloc(&l->file->memory->a, list->count * sizeof(struct fdl_entry));
	for (size_t i = 0; i < list->count; i++) {
		const struct codec_yaml_node *item = list->items[i];

		if (item->kind != CODEC_YAML_MAP || item->count != 1)
			return fail_at(
				l, item,
				"functions.oscar: each entry is one key, the cluster's id, with "
				"the service below it");
		if (load_service(l, item->keys[0], item->items[0]) < 0)
			return -1;
	}
	return 0;
}

static int load_root(struct loader *l, const struct codec_yaml_node *root)
{
	struct fdl_reader r = { .file = l->name, .strict = true };
	const struct codec_yaml_node *list;
	auto_json json_t *doc = NULL;

	if (root->kind != CODEC_YAML_MAP)
		return fail_at(l, root, "not an FDL file: expected the key functions");
	if (fdl_schema_read(&r, file_fields, (struct fdl_source){ .yaml = root }, &doc, l->e) < 0)
		return -1;
	l->providers = json_object_get(doc, "storage_providers");
	l->clusters = json_object_get(doc, "clusters");
	list = codec_yaml_get(codec_yaml_get(root, "functions"), "oscar");
	if (!list)
		return fail_at(l, root, "not an FDL file: the list functions.oscar is missing");
	return load_entries(l, list);
}

int fdl_file_parse(struct span text, const char *name, int dir, struct fdl_file **out,
		   struct err *e)
{
	auto_fdl_file struct fdl_file *f = mem_zalloc(sizeof(*f));
	struct loader l = { .name = name, .dir = dir, .file = f, .e = e };
	auto_arena struct arena a = { 0 };
	struct codec_yaml_node *root;

	f->memory = mem_zalloc(sizeof(*f->memory));
	if (codec_yaml_parse(text, FDL_DOCUMENT_MAX, &a, &root, e) < 0)
		return err_wrap(e, "%s", name);
	if (load_root(&l, root) < 0)
		return -1;
	*out = mem_take(&f);
	return 0;
}

int fdl_file_read(const char *path, struct fdl_file **out, struct err *e)
{
	auto_free char *copy = mem_strdup(path);
	auto_buf struct buf text = { 0 };
	auto_fd int dir = -1;

	buf_init(&text, FDL_DOCUMENT_MAX);
	if (file_read_path(AT_FDCWD, path, &text, e) < 0)
		return -1;
	dir = file_open(AT_FDCWD, dirname(copy), O_RDONLY | O_DIRECTORY, 0, e);
	if (dir < 0)
		return -1;
	return fdl_file_parse(buf_span(&text), path, dir, out, e);
}

void fdl_file_free(struct fdl_file *f)
{
	if (!f)
		return;
	for (size_t i = 0; i < f->count; i++)
		fdl_service_free(f->entries[i].service);
	arena_release(&f->memory->a);
	mem_free(f->memory);
	mem_free(f);
}
