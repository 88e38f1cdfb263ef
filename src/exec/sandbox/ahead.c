// SPDX-License-Identifier: Apache-2.0
#include "exec/sandbox/ahead.h"

#include "base/clock.h"
#include "base/lock.h"
#include "base/mem.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

struct ahead {
	struct ahead *next;
	char id[PROTO_JOB_MAX]; // the list begins with the newest
	int64_t service, revision, idle_ms, since_ns;
	struct proto_start *start;
	size_t size;
	bool ready, retire, told;
};

// With the lock held, as what follows.
static void ahead_remove(struct ahead_pool *p, struct ahead *a)
{
	for (struct ahead **at = &p->first; *at; at = &(*at)->next)
		if (*at == a) {
			*at = a->next;
			break;
		}
	p->count--;
	mem_free(a->start);
	mem_free(a);
}

static struct ahead *of_id(const struct ahead_pool *p, const char *id)
{
	for (struct ahead *a = p->first; a; a = a->next)
		if (strcmp(a->id, id) == 0)
			return a;
	return NULL;
}

// Alike but for the job's name, which comes first.
static bool alike(const struct ahead *a, const struct exec_keep *keep, const struct proto_start *m,
		  size_t size)
{
	const size_t from = offsetof(struct proto_start, image);

	return !a->retire && a->service == keep->service && a->revision == keep->revision &&
	       a->size == size &&
	       memcmp((const char *)a->start + from, (const char *)m + from, size - from) == 0;
}

void ahead_init(struct ahead_pool *p)
{
	*p = (struct ahead_pool){ 0 };
	pthread_mutex_init(&p->lock, NULL);
}

void ahead_release(struct ahead_pool *p)
{
	while (p->first)
		ahead_remove(p, p->first);
	pthread_mutex_destroy(&p->lock);
}

bool ahead_take(struct ahead_pool *p, const struct exec_keep *keep, const struct proto_start *m,
		size_t size, char id[static PROTO_JOB_MAX])
{
	auto_lock held = lock_hold(&p->lock);
	struct ahead *oldest = NULL;

	for (struct ahead *a = p->first; a; a = a->next)
		if (a->ready && alike(a, keep, m, size))
			oldest = a;
	if (!oldest)
		return false;
	memcpy(id, oldest->id, PROTO_JOB_MAX);
	ahead_remove(p, oldest);
	return true;
}

bool ahead_add(struct ahead_pool *p, const struct exec_keep *keep, const struct proto_start *m,
	       size_t size, char id[static PROTO_JOB_MAX])
{
	auto_lock held = lock_hold(&p->lock);
	unsigned waiting = 0;
	struct ahead *a;

	for (a = p->first; a; a = a->next) {
		if (a->service == keep->service && a->revision < keep->revision)
			a->retire = true;
		waiting += alike(a, keep, m, size);
	}
	if (waiting >= keep->count || p->count >= AHEAD_MAX)
		return false;
	a = mem_zalloc(sizeof(*a));
	*a = (struct ahead){ .service = keep->service,
			     .revision = keep->revision,
			     .idle_ms = keep->idle_ms,
			     .since_ns = clock_mono_ns(),
			     .start = mem_alloc(size),
			     .size = size };
	memcpy(a->start, m, size);
	// Never one of an earlier life, whose folder may be there still.
	snprintf(a->id, sizeof(a->id), AHEAD_PREFIX "%llx-%u", (unsigned long long)clock_wall_ns(),
		 p->serial++);
	a->next = p->first;
	p->first = a;
	p->count++;
	memcpy(id, a->id, PROTO_JOB_MAX);
	return true;
}

void ahead_ready(struct ahead_pool *p, const char *id)
{
	auto_lock held = lock_hold(&p->lock);
	struct ahead *a = of_id(p, id);

	if (a)
		a->ready = true;
}

void ahead_gone(struct ahead_pool *p, const char *id)
{
	auto_lock held = lock_hold(&p->lock);
	struct ahead *a = of_id(p, id);

	if (a)
		ahead_remove(p, a);
}

void ahead_retire(struct ahead_pool *p, int64_t service)
{
	auto_lock held = lock_hold(&p->lock);

	for (struct ahead *a = p->first; a; a = a->next)
		a->retire = a->retire || !service || a->service == service;
}

static int64_t due_of(const struct ahead *a)
{
	return a->retire ? 1 : a->since_ns + a->idle_ms * NS_PER_MS;
}

bool ahead_ending(struct ahead_pool *p, char id[static PROTO_JOB_MAX])
{
	auto_lock held = lock_hold(&p->lock);

	for (struct ahead *a = p->first; a; a = a->next) {
		if (a->told || due_of(a) > clock_mono_ns())
			continue;
		a->told = a->retire = true;
		memcpy(id, a->id, PROTO_JOB_MAX);
		return true;
	}
	return false;
}

int64_t ahead_due(struct ahead_pool *p)
{
	auto_lock held = lock_hold(&p->lock);
	int64_t least = INT64_MAX;

	for (const struct ahead *a = p->first; a; a = a->next)
		if (!a->told && due_of(a) < least)
			least = due_of(a);
	return least == INT64_MAX ? 0 : least;
}

unsigned ahead_count(struct ahead_pool *p)
{
	auto_lock held = lock_hold(&p->lock);
	unsigned n = 0;

	for (const struct ahead *a = p->first; a; a = a->next)
		n += a->ready && !a->retire;
	return n;
}
