// xml: small documents as a tree, and a writer. Reading is for request bodies of strangers: a document type,
// entities, and anything over the bounds are refused. Namespace prefixes are cut off.
// Owner: the tree lives in the caller's arena. Threads: no state. Errors: ERR_INVALID, ERR_LIMIT.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

struct xml_node {
	struct span name;
	struct span text; // of an element without children, blanks and all; else empty
	struct xml_attr {
		struct span name, value;
		struct xml_attr *next;
	} * attrs;
	struct xml_node *first, *next; // children, siblings
};

struct xml_limits {
	unsigned depth; // 0 = 16
	unsigned nodes; // 0 = 50000
	size_t text;	// bytes of one text; 0 = 8192
};
must_check int xml_parse(struct arena *a, struct span doc, const struct xml_limits *limits,
			 struct xml_node **out, struct err *e);

// The first child of that name, or NULL; accepts a NULL node.
struct xml_node *xml_child(const struct xml_node *n, const char *name);
// The next sibling of the same name, or NULL.
struct xml_node *xml_again(const struct xml_node *n);
// The first child's text, or a span with p == NULL when there is no such child.
struct span xml_text(const struct xml_node *n, const char *name);
struct span xml_attr(const struct xml_node *n, const char *name); // p == NULL when absent

// Writing: characters that XML 1.0 cannot hold, and bytes that are not UTF-8, become U+FFFD.
void xml_escape(struct buf *b, struct span text);
void xml_open(struct buf *b, const char *name);	 // <name>
void xml_close(struct buf *b, const char *name); // </name>
void xml_add(struct buf *b, const char *name, struct span text);
void xml_add_u64(struct buf *b, const char *name, uint64_t v);
void xml_add_bool(struct buf *b, const char *name, bool v);
