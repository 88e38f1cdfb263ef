// source: a value of a document, in JSON or in YAML, looked at in one way (private to fdl).
// Owner: a source borrows from its document. Threads: no shared state.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "codec/json.h"
#include "codec/yaml.h"

struct fdl_source { // exactly one is set, none for a value that is not there
	const json_t *json;
	const struct codec_yaml_node *yaml;
};

bool fdl_source_is_unset(struct fdl_source v); // not there, or null
bool fdl_source_is_object(struct fdl_source v);
bool fdl_source_is_list(struct fdl_source v);

// "a string", "an object", …
const char *fdl_source_kind(struct fdl_source v);

// The member of that name, exact first, then whatever the case of its letters.
struct fdl_source fdl_source_get(struct fdl_source object, const char *name);

// The members' names, sorted; the array is the caller's, the names are the document's.
returns_owned const char **fdl_source_names(struct fdl_source object, size_t *count);

size_t fdl_source_count(struct fdl_source list);
struct fdl_source fdl_source_item(struct fdl_source list, size_t i);

// All of it as a new tree.
json_t *fdl_source_copy(struct fdl_source v);
