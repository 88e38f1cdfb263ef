// mem: allocation that does not fail. Sizes here are ours and small: on exhaustion the process stops
// with a message. Sizes that a peer chooses are bounded by the caller first.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/attr.h"

#include <stddef.h>

returns_owned void *mem_alloc(size_t size);	       // uninitialised
returns_owned void *mem_zalloc(size_t size);	       // zeroed
void *mem_realloc(void *p, size_t count, size_t size); // checks count*size for overflow
returns_owned char *mem_strdup(const char *s);
returns_owned char *mem_strndup(const char *s, size_t n);
returns_owned char *mem_printf(const char *fmt, ...) format_printf(1, 2);
void mem_free(void *p); // NULL is fine
// What a library made for us, which it does unless there is no memory: stops likewise when it is NULL.
void mem_need(const void *made);

// Overwrites with zeros in a way the compiler keeps. For keys and passwords.
void mem_wipe(void *p, size_t n);

// Equal or not, in time that depends on n only. For keys, tokens, signatures.
int mem_equal_secret(const void *a, const void *b, size_t n);

static inline void mem_free_ptr(void *p)
{
	mem_free(*(void **)p);
}
#define auto_free at_scope_exit(mem_free_ptr)

// Moves a pointer out of a scope-exit variable: `return mem_take(&s);`
#define mem_take(pp) mem_take_ptr((void **)(pp))
static inline void *mem_take_ptr(void **pp)
{
	void *p = *pp;

	*pp = NULL;
	return p;
}
