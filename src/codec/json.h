// json: bounded parsing, careful printing and typed reading of JSON, over jansson's tree.
// Owner: a json_t * from here is a new reference, dropped by json_decref() or `auto_json`.
// Threads: a tree belongs to one thread at a time (its reference counts may be shared).
// Errors: ERR_INVALID (not JSON, wrong type), ERR_LIMIT (larger, deeper or more crowded than allowed).
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include "base/span.h"

#include <jansson.h>

// A text of n bytes can become a tree of a hundred times as much, hence the bound on values.
enum { CODEC_JSON_DEPTH_MAX = 64, CODEC_JSON_VALUES_MAX = 100000 };

static inline void codec_json_drop(json_t **v)
{
	json_decref(*v);
}
#define auto_json at_scope_exit(codec_json_drop)

// Parses one JSON value of any kind that fills the whole text. Of equal keys the last one counts.
// The error names line and column.
must_check int codec_json_parse(struct span text, size_t size_max, json_t **out, struct err *e);

enum codec_json_style {
	CODEC_JSON_PLAIN = 0,
	CODEC_JSON_HTML = 1 << 0,   // <, > and & inside strings as \u003c, \u003e, \u0026
	CODEC_JSON_INDENT = 1 << 1, // two blanks a level, for people; else no blanks at all
};

// Appends the value's text, members in the order of their insertion. A number that is not finite is
// printed as null. False when the buffer is full.
bool codec_json_write(const json_t *v, unsigned style, struct buf *out);

// Appends one string with its quotes; bytes that are no UTF-8 become U+FFFD.
bool codec_json_write_string(struct span text, unsigned style, struct buf *out);

// The text of a value, owned by the caller. For trees of ours or trees that were parsed with a bound.
returns_owned char *codec_json_text(const json_t *v, unsigned style);

// The member of that name, else the last one whose name differs only in the case of ASCII letters.
// NULL when there is none; JSON null counts as none.
json_t *codec_json_get(const json_t *object, const char *key);

// "a string", "a number", "an object" …
const char *codec_json_kind(const json_t *v);

// Each reads one member as codec_json_get() finds it. Absent or null leaves *out as it is. Another type is
// ERR_INVALID: "cpu: expected a string, got a number".
must_check int codec_json_get_string(const json_t *object, const char *key, const char **out,
				     struct err *e);
must_check int codec_json_get_bool(const json_t *object, const char *key, bool *out, struct err *e);
must_check int codec_json_get_int(const json_t *object, const char *key, int64_t min, int64_t max,
				  int64_t *out, struct err *e);
must_check int codec_json_get_object(const json_t *object, const char *key, json_t **out,
				     struct err *e); // borrowed
must_check int codec_json_get_array(const json_t *object, const char *key, json_t **out,
				    struct err *e); // borrowed
