// SPDX-License-Identifier: Apache-2.0
#include "base/mem.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static no_return void exhausted(void)
{
	static const char text[] = "oscar: out of memory\n";

	fwrite(text, 1, sizeof(text) - 1, stderr);
	abort();
}

void mem_need(const void *made)
{
	if (!made)
		exhausted();
}

void *mem_alloc(size_t size)
{
	void *p = (malloc)(size ? size : 1);

	if (!p)
		exhausted();
	return p;
}

void *mem_zalloc(size_t size)
{
	void *p = (calloc)(1, size ? size : 1);

	if (!p)
		exhausted();
	return p;
}

void *mem_realloc(void *p, size_t count, size_t size)
{
	if (size && count > SIZE_MAX / size)
		exhausted();
	size *= count;
	p = (realloc)(p, size > 0 ? size : 1);
	if (!p)
		exhausted();
	return p;
}

char *mem_strndup(const char *s, size_t n)
{
	char *p = mem_alloc(n + 1);

	if (n)
		memcpy(p, s, n);
	p[n] = '\0';
	return p;
}

char *mem_strdup(const char *s)
{
	return mem_strndup(s, strlen(s));
}

char *mem_printf(const char *fmt, ...)
{
	va_list ap;
	char *p = NULL;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&p, fmt, ap);
	va_end(ap);
	if (n < 0 || !p)
		exhausted();
	return p;
}

void mem_free(void *p)
{
	(free)(p);
}

void mem_wipe(void *p, size_t n)
{
	explicit_bzero(p, n);
}

int mem_equal_secret(const void *a, const void *b, size_t n)
{
	const volatile unsigned char *x = a, *y = b;
	unsigned char diff = 0;

	for (size_t i = 0; i < n; i++)
		diff |= (unsigned char)(x[i] ^ y[i]);
	return diff == 0;
}
