// schema: the keys of a service object as one table (private to fdl). Reading brings a document from JSON
// or YAML into the table's names, order and types; print.c fills in what is unset.
// Owner: trees are new references. Threads: no shared state.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "fdl/source.h"

enum fdl_type {
	FDL_STRING,
	FDL_BOOL,
	FDL_INT,
	FDL_STRINGS, // list of strings
	FDL_WORDS,   // object of strings, kept sorted by key
	FDL_OBJECT,  // object of `fields`
	FDL_OBJECTS, // list of objects of `fields`
	FDL_NAMED,   // object of any keys, each an object of `fields`
	FDL_PORTS,   // a number or a list of numbers, kept as written; 0 and [] are unset
	FDL_ANY,     // stored as it stands
};

enum fdl_unset {
	FDL_OMIT,  // an unset value is not printed
	FDL_EMPTY, // printed as "", false, 0, [] or {}
};

struct fdl_field {
	const char *name; // NULL ends a table
	enum fdl_type type;
	enum fdl_unset unset;
	const struct fdl_field *fields;
};

extern const struct fdl_field fdl_service_fields[];
extern const struct fdl_field fdl_provider_fields[];
extern const struct fdl_field fdl_cluster_fields[];

struct fdl_reader {
	const char *file; // for errors; NULL when there is none
	bool strict;	  // an unknown key is an error; else it is listed in `unknown`
	json_t *unknown;  // list of paths, owned by the caller; NULL when not wanted
};

// A new object with the table's names in the table's order; keys that are unset are absent.
must_check int fdl_schema_read(const struct fdl_reader *r, const struct fdl_field *fields,
			       struct fdl_source from, json_t **out, struct err *e);

// Puts "FILE:LINE:COLUMN: " of the value at `path` in front of the error. Returns -1.
int fdl_schema_place(const char *file, const struct codec_yaml_node *root, const char *path,
		     struct err *e);

// The field whose name is so near to `name` that it may have been meant; NULL when none is.
const char *fdl_nearest(const struct fdl_field *fields, const char *name);
