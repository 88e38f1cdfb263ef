// SPDX-License-Identifier: Apache-2.0
#include "base/buf.h"

#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>

void buf_init(struct buf *b, size_t max)
{
	*b = (struct buf){ .max = max };
}

void buf_release(struct buf *b)
{
	mem_free(b->p);
	*b = (struct buf){ .max = b->max };
}

void buf_clear(struct buf *b)
{
	b->n = 0;
	b->over = false;
	if (b->p)
		b->p[0] = '\0';
}

char *buf_room(struct buf *b, size_t n)
{
	if (n > b->max || b->n > b->max - n) {
		b->over = true;
		return NULL;
	}
	if (!b->p || b->n + n > b->cap) {
		size_t cap = b->cap ? b->cap : 256;

		while (cap < b->n + n)
			cap = cap < b->max / 2 ? cap * 2 : b->max;
		b->p = mem_realloc(b->p, cap + 1, 1);
		b->cap = cap;
	}
	return b->p + b->n;
}

void buf_grown(struct buf *b, size_t n)
{
	b->n += n;
	b->p[b->n] = '\0';
}

bool buf_add(struct buf *b, const void *p, size_t n)
{
	char *at = buf_room(b, n);

	if (!at)
		return false;
	if (n)
		memcpy(at, p, n);
	buf_grown(b, n);
	return true;
}

bool buf_add_span(struct buf *b, struct span s)
{
	return buf_add(b, s.p, s.n);
}

bool buf_add_str(struct buf *b, const char *s)
{
	return buf_add(b, s, strlen(s));
}

bool buf_add_char(struct buf *b, char c)
{
	return buf_add(b, &c, 1);
}

bool buf_printf(struct buf *b, const char *fmt, ...)
{
	size_t there = b->p ? b->cap - b->n + 1 : 0; // with the NUL; mostly enough
	char *end = b->p ? b->p + b->n : NULL, *at;
	va_list ap, again;
	int n;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(end, there, fmt, ap);
	va_end(ap);
	at = n < 0 ? NULL : buf_room(b, (size_t)n);
	if (at) {
		if ((size_t)n >= there)
			vsnprintf(at, (size_t)n + 1, fmt, again);
		buf_grown(b, (size_t)n);
	} else if (end) {
		*end = '\0';
	}
	va_end(again);
	return at;
}

void buf_drop(struct buf *b, size_t n)
{
	if (!n)
		return;
	memmove(b->p, b->p + n, b->n - n);
	b->n -= n;
	b->p[b->n] = '\0';
}

char *buf_take(struct buf *b)
{
	char *p = b->p ? b->p : mem_strdup("");

	b->p = NULL;
	buf_release(b);
	return p;
}
