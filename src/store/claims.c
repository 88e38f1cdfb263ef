// SPDX-License-Identifier: Apache-2.0
#include "store/claims.h"

#include "base/mem.h"

// What is known of a key that is claimed.
struct claim {
	bool busy;   // somebody works on it
	bool noted;  // a note of it may be in the database
	char part[]; // where its file lies until it is renamed, below the root
};

static struct span claim_key(char *out, int64_t bucket, struct span key)
{
	memcpy(out, &bucket, sizeof(bucket));
	memcpy(out + sizeof(bucket), key.p, key.n);
	return span_make(out, sizeof(bucket) + key.n);
}
enum { CLAIM_KEY_MAX = STORE_KEY_MAX + sizeof(int64_t) };

void claims_init(struct store *s)
{
	pthread_mutex_init(&s->claims_lock, NULL);
}

void claims_release(struct store *s)
{
	size_t at = 0;
	void *value;

	while (map_next(&s->claims, &at, NULL, &value))
		mem_free(value);
	map_release(&s->claims);
	pthread_mutex_destroy(&s->claims_lock);
}

static struct claim *claim_new(const char *part)
{
	struct claim *c = mem_zalloc(sizeof(*c) + strlen(part) + 1);

	memcpy(c->part, part, strlen(part) + 1);
	return c;
}

bool claim_take(struct store *s, int64_t bucket, struct span key, const char *part)
{
	char name[CLAIM_KEY_MAX];
	struct span k = claim_key(name, bucket, key);
	auto_lock held = lock_hold(&s->claims_lock);
	struct claim *c;

	if (map_get(&s->claims, k))
		return false;
	c = claim_new(part);
	c->busy = true;
	map_put(&s->claims, k, c);
	return true;
}

void claim_end(struct store *s, int64_t bucket, struct span key, bool noted)
{
	char name[CLAIM_KEY_MAX];
	struct span k = claim_key(name, bucket, key);
	auto_lock held = lock_hold(&s->claims_lock);
	struct claim *c = map_get(&s->claims, k);

	if (!c)
		return;
	c->busy = false;
	c->noted = noted;
	if (!noted)
		mem_free(map_remove(&s->claims, k));
}

void claim_noted(struct store *s, int64_t bucket, struct span key)
{
	char name[CLAIM_KEY_MAX];
	auto_lock held = lock_hold(&s->claims_lock);
	struct claim *c = map_get(&s->claims, claim_key(name, bucket, key));

	if (c)
		c->noted = true;
}

bool claim_held(struct store *s, int64_t bucket, struct span key)
{
	char name[CLAIM_KEY_MAX];
	auto_lock held = lock_hold(&s->claims_lock);

	return s->claims.count && map_get(&s->claims, claim_key(name, bucket, key));
}

char *claim_part(struct store *s, int64_t bucket, struct span key)
{
	char name[CLAIM_KEY_MAX];
	auto_lock held = lock_hold(&s->claims_lock);
	const struct claim *c = map_get(&s->claims, claim_key(name, bucket, key));

	return c ? mem_strdup(c->part) : NULL;
}

bool claim_over(struct store *s, int64_t bucket, struct span key)
{
	char name[CLAIM_KEY_MAX];
	auto_lock held = lock_hold(&s->claims_lock);
	struct claim *c = map_get(&s->claims, claim_key(name, bucket, key));

	if (!c || c->busy || !c->noted)
		return false;
	c->busy = true;
	return true;
}

size_t claims_left(struct store *s, int64_t bucket, struct arena *mem, struct claim_left *out,
		   size_t max)
{
	auto_lock held = lock_hold(&s->claims_lock);
	struct span name;
	size_t at = 0, n = 0;
	void *value;

	while (n < max && map_next(&s->claims, &at, &name, &value)) {
		const struct claim *c = value;

		if (c->busy || memcmp(name.p, &bucket, sizeof(bucket)) != 0)
			continue;
		out[n++] = (struct claim_left){ arena_span(mem, span_from(name, sizeof(bucket))),
						span_of(arena_strdup(mem, c->part)) };
	}
	return n;
}

bool claim_has_part(struct store *s, struct span path)
{
	auto_lock held = lock_hold(&s->claims_lock);
	size_t at = 0;
	void *value;

	while (map_next(&s->claims, &at, NULL, &value))
		if (span_is(path, ((const struct claim *)value)->part))
			return true;
	return false;
}
