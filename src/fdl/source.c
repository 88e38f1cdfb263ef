// source: a value of a document, in JSON or in YAML. Owner: see source.h. Threads: no shared state.
// SPDX-License-Identifier: Apache-2.0
#include "fdl/source.h"

#include "base/mem.h"

#include <stdlib.h>

bool fdl_source_is_unset(struct fdl_source v)
{
	return v.yaml ? codec_yaml_is_null(v.yaml) : !v.json || json_is_null(v.json);
}

bool fdl_source_is_object(struct fdl_source v)
{
	return v.yaml ? v.yaml->kind == CODEC_YAML_MAP : json_is_object(v.json);
}

bool fdl_source_is_list(struct fdl_source v)
{
	return v.yaml ? v.yaml->kind == CODEC_YAML_LIST : json_is_array(v.json);
}

const char *fdl_source_kind(struct fdl_source v)
{
	auto_json json_t *scalar = NULL;

	if (!v.yaml)
		return codec_json_kind(v.json);
	if (v.yaml->kind != CODEC_YAML_SCALAR)
		return v.yaml->kind == CODEC_YAML_MAP ? "an object" : "a list";
	scalar = codec_yaml_scalar(v.yaml);
	return codec_json_kind(scalar);
}

struct fdl_source fdl_source_get(struct fdl_source object, const char *name)
{
	if (object.yaml)
		return (struct fdl_source){ .yaml = codec_yaml_get(object.yaml, name) };
	return (struct fdl_source){ .json = codec_json_get(object.json, name) };
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

const char **fdl_source_names(struct fdl_source object, size_t *count)
{
	size_t n = object.yaml ? object.yaml->count : json_object_size(object.json), at = 0;
	const char **names = mem_zalloc((n + 1) * sizeof(*names)), *name;
	json_t *member;

	if (object.yaml) {
		for (; at < n; at++)
			names[at] = object.yaml->keys[at]->text.p;
	} else {
		json_object_foreach((json_t *)object.json, name, member)
		{
			names[at++] = name;
		}
	}
	qsort(names, n, sizeof(*names), compare_names);
	*count = n;
	return names;
}

size_t fdl_source_count(struct fdl_source list)
{
	return list.yaml ? list.yaml->count : json_array_size(list.json);
}

struct fdl_source fdl_source_item(struct fdl_source list, size_t i)
{
	if (list.yaml)
		return (struct fdl_source){ .yaml = list.yaml->items[i] };
	return (struct fdl_source){ .json = json_array_get(list.json, i) };
}

json_t *fdl_source_copy(struct fdl_source v)
{
	return v.yaml ? codec_yaml_to_json(v.yaml) : json_deep_copy(v.json);
}
