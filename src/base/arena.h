// arena: memory of one request or job, dropped whole at its end; nothing in it is freed singly.
// Threads: an arena belongs to one thread at a time. Sizes a peer chooses are bounded by the caller.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/attr.h"
#include "base/span.h"

struct arena_block;
struct arena {
	struct arena_block *head; // zeroed is an empty arena, ready for use
};

void arena_release(struct arena *a);

returns_owned void *arena_alloc(struct arena *a, size_t size); // zeroed, 16-byte aligned
returns_owned char *arena_strdup(struct arena *a, const char *s);
returns_owned char *arena_strndup(struct arena *a, const char *s, size_t n); // NUL added
struct span arena_span(struct arena *a, struct span s);			     // copy, NUL added
returns_owned char *arena_printf(struct arena *a, const char *fmt, ...) format_printf(2, 3);

#define auto_arena at_scope_exit(arena_release)
