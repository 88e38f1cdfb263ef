// SPDX-License-Identifier: Apache-2.0
#include "base/map.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/rand.h"

#include <pthread.h>

struct map_slot {
	char *key; // NULL = never used; &tomb = removed
	size_t n;
	uint64_t hash;
	void *value;
};

static char tomb;
static uint64_t seed[2];
static pthread_once_t seeded = PTHREAD_ONCE_INIT;

static void make_seed(void)
{
	rand_bytes(seed, sizeof(seed));
}

static uint64_t rotl(uint64_t x, int b)
{
	return (x << b) | (x >> (64 - b));
}

#define SIP_ROUND                                                                                  \
	do {                                                                                       \
		v0 += v1, v1 = rotl(v1, 13) ^ v0, v0 = rotl(v0, 32);                               \
		v2 += v3, v3 = rotl(v3, 16) ^ v2;                                                  \
		v0 += v3, v3 = rotl(v3, 21) ^ v0;                                                  \
		v2 += v1, v1 = rotl(v1, 17) ^ v2, v2 = rotl(v2, 32);                               \
	} while (0)

// SipHash-2-4 (Aumasson, Bernstein: "SipHash: a fast short-input PRF").
uint64_t map_hash(struct span s)
{
	uint64_t v0, v1, v2, v3, last = (uint64_t)s.n << 56;

	pthread_once(&seeded, make_seed);
	v0 = seed[0] ^ 0x736f6d6570736575;
	v1 = seed[1] ^ 0x646f72616e646f6d;
	v2 = seed[0] ^ 0x6c7967656e657261;
	v3 = seed[1] ^ 0x7465646279746573;
	for (; s.n >= 8; s = span_from(s, 8)) {
		uint64_t m;

		memcpy(&m, s.p, 8);
		v3 ^= m;
		SIP_ROUND;
		SIP_ROUND;
		v0 ^= m;
	}
	for (size_t i = 0; i < s.n; i++)
		last |= (uint64_t)(unsigned char)s.p[i] << (8 * i);
	v3 ^= last;
	SIP_ROUND;
	SIP_ROUND;
	v0 ^= last;
	v2 ^= 0xff;
	for (int i = 0; i < 4; i++)
		SIP_ROUND;
	return v0 ^ v1 ^ v2 ^ v3;
}

static bool live(const struct map_slot *s)
{
	return s->key && s->key != &tomb;
}

void map_release(struct map *m)
{
	for (size_t i = 0; i < m->cap; i++)
		if (live(&m->slots[i]))
			mem_free(m->slots[i].key);
	mem_free(m->slots);
	*m = (struct map){ 0 };
}

static struct map_slot *find(const struct map *m, struct span key, uint64_t h)
{
	if (!m->cap)
		return NULL;
	for (size_t i = h & (m->cap - 1);; i = (i + 1) & (m->cap - 1)) {
		struct map_slot *s = &m->slots[i];

		if (!s->key)
			return NULL;
		if (s->key != &tomb && s->hash == h && span_eq(span_make(s->key, s->n), key))
			return s;
	}
}

static void place(struct map *m, struct map_slot entry)
{
	size_t i = entry.hash & (m->cap - 1);

	while (live(&m->slots[i]))
		i = (i + 1) & (m->cap - 1);
	if (m->slots[i].key == &tomb)
		m->dead--;
	m->slots[i] = entry;
}

static void grow(struct map *m)
{
	struct map old = *m;

	if (m->cap && (m->count + m->dead + 1) * 4 < m->cap * 3)
		return;
	m->cap = 16;
	while (m->cap < (old.count + 1) * 2)
		m->cap *= 2;
	m->slots = mem_zalloc(m->cap * sizeof(*m->slots));
	m->dead = 0;
	for (size_t i = 0; i < old.cap; i++)
		if (live(&old.slots[i]))
			place(m, old.slots[i]);
	mem_free(old.slots);
}

void *map_get(const struct map *m, struct span key)
{
	struct map_slot *s = find(m, key, map_hash(key));

	return s ? s->value : NULL;
}

void *map_put(struct map *m, struct span key, void *value)
{
	uint64_t h = map_hash(key);
	struct map_slot *s = find(m, key, h);

	if (s) {
		void *was = s->value;

		s->value = value;
		return was;
	}
	grow(m);
	place(m, (struct map_slot){ mem_strndup(key.p, key.n), key.n, h, value });
	m->count++;
	return NULL;
}

void *map_remove(struct map *m, struct span key)
{
	struct map_slot *s = find(m, key, map_hash(key));
	void *was;

	if (!s)
		return NULL;
	was = s->value;
	mem_free(s->key);
	*s = (struct map_slot){ .key = &tomb };
	m->count--;
	m->dead++;
	return was;
}

bool map_next(const struct map *m, size_t *at, struct span *key, void **value)
{
	for (; *at < m->cap; ++*at)
		if (live(&m->slots[*at])) {
			if (key)
				*key = span_make(m->slots[*at].key, m->slots[*at].n);
			if (value)
				*value = m->slots[*at].value;
			++*at;
			return true;
		}
	return false;
}
