// span: a string as pointer and length, passed by value. Never owns, never needs a NUL.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct span {
	const char *p;
	size_t n;
};

#define SPAN(literal) ((struct span){ "" literal, sizeof(literal) - 1 })
#define SPAN_FMT "%.*s"
#define SPAN_ARG(s) (int)(s).n, (s).p

static inline struct span span_of(const char *s)
{
	return (struct span){ s, s ? strlen(s) : 0 };
}

static inline struct span span_make(const void *p, size_t n)
{
	return (struct span){ p, n };
}

static inline bool span_eq(struct span a, struct span b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool span_is(struct span a, const char *s)
{
	return span_eq(a, span_of(s));
}

static inline struct span span_from(struct span s, size_t start)
{
	return start >= s.n ? span_make(s.p + s.n, 0) : span_make(s.p + start, s.n - start);
}

// Of two paths without slashes at their ends: they are the same, or one lies below the other.
static inline bool span_path_overlap(struct span a, struct span b)
{
	struct span shorter = a.n < b.n ? a : b, longer = a.n < b.n ? b : a;

	return memcmp(shorter.p, longer.p, shorter.n) == 0 &&
	       (shorter.n == longer.n || longer.p[shorter.n] == '/');
}

static inline struct span span_head(struct span s, size_t n)
{
	return span_make(s.p, n < s.n ? n : s.n);
}

bool span_eq_nocase(struct span a, struct span b); // ASCII letters only
bool span_starts(struct span s, struct span prefix);
bool span_starts_nocase(struct span s, struct span prefix);
bool span_ends(struct span s, struct span suffix);
int span_cmp(struct span a, struct span b); // by bytes, shorter first; <0, 0, >0

// Index of the first `c`, or -1.
ptrdiff_t span_find(struct span s, char c);
ptrdiff_t span_rfind(struct span s, char c);

// Cuts *rest at the first `c`: returns what is before it, *rest becomes what is after it.
// Without `c`, returns all and leaves *rest empty.
struct span span_cut(struct span *rest, char c);

// Without blanks, tabs, CR and LF at both ends.
struct span span_trim(struct span s);

// Decimal digits only, no sign, no blanks; false on anything else and on overflow.
bool span_to_u64(struct span s, uint64_t *out);

// True when every byte sequence is well-formed UTF-8 (RFC 3629).
bool span_is_utf8(struct span s);
