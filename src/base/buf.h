// buf: a growing byte buffer that is made with its maximum. The bytes are always followed by a NUL.
// A write over the maximum is refused whole and marks the buffer; check once at the end.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/attr.h"
#include "base/span.h"

struct buf {
	char *p;    // NULL until the first byte
	size_t n;   // bytes held
	size_t cap; // bytes allocated, without the NUL
	size_t max; // bytes allowed
	bool over;  // a write was refused
};

void buf_init(struct buf *b, size_t max);
void buf_release(struct buf *b); // accepts a zeroed struct
void buf_clear(struct buf *b);	 // keeps the memory

bool buf_add(struct buf *b, const void *p, size_t n); // false when it would be over the maximum
bool buf_add_span(struct buf *b, struct span s);
bool buf_add_str(struct buf *b, const char *s);
bool buf_add_char(struct buf *b, char c);
bool buf_printf(struct buf *b, const char *fmt, ...) format_printf(2, 3);

// Room for n more bytes at the end, to be filled by the caller and then counted with buf_grown().
// NULL when over the maximum.
char *buf_room(struct buf *b, size_t n);
void buf_grown(struct buf *b, size_t n);

// Drops the first n bytes.
void buf_drop(struct buf *b, size_t n);

// The text with its NUL, owned by the caller from now on; the buffer is empty afterwards.
char *buf_take(struct buf *b);

static inline struct span buf_span(const struct buf *b)
{
	return span_make(b->p ? b->p : "", b->n);
}

#define auto_buf at_scope_exit(buf_release)
