// yaml: one YAML document as a tree that remembers where each node stood and how it was written, so that
// an error can name the line and `cpu: 1.0` can still be read as the text "1.0". Over libyaml's events.
// Owner: nodes live in the caller's arena. Threads: no shared state.
// Errors: ERR_INVALID (not YAML, duplicate key, unknown tag) with line and column, ERR_LIMIT (size, depth,
// or more nodes than allowed once aliases are expanded).
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "codec/json.h"

enum { CODEC_YAML_DEPTH_MAX = 32, CODEC_YAML_NODES_MAX = 50000 };

enum codec_yaml_kind { CODEC_YAML_SCALAR, CODEC_YAML_LIST, CODEC_YAML_MAP };

struct codec_yaml_node {
	enum codec_yaml_kind kind;
	unsigned line, column;		// of its first character, counted from 1
	struct span text;		// scalar: as written, after quotes and escapes
	bool plain;			// scalar: written without quotes and without a tag
	size_t count;			// list, map: children
	struct codec_yaml_node **keys;	// map: scalars, in the order of the text
	struct codec_yaml_node **items; // list, map
	size_t weight;			// nodes below and including it, aliases expanded
};

// Parses a text of exactly one document. An empty text is a null scalar. Merge keys (`<<`) are applied.
must_check int codec_yaml_parse(struct span text, size_t size_max, struct arena *a,
				struct codec_yaml_node **out, struct err *e);

// The value below `key`, exact first, then whatever the case of ASCII letters; NULL when there is none.
const struct codec_yaml_node *codec_yaml_get(const struct codec_yaml_node *map, const char *key);

// The node at a path such as "input[0].path"; where a step is missing, the last one that was found.
const struct codec_yaml_node *codec_yaml_find(const struct codec_yaml_node *root, const char *path);

// Plain scalars become null, booleans, integers and reals as in YAML's core schema; all else is text.
bool codec_yaml_is_null(const struct codec_yaml_node *n);
json_t *codec_yaml_scalar(const struct codec_yaml_node *n);  // new reference
json_t *codec_yaml_to_json(const struct codec_yaml_node *n); // new reference

// Appends the value as a YAML document of block style. False when the buffer is full.
bool codec_yaml_write(const json_t *v, struct buf *out);
