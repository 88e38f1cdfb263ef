// SPDX-License-Identifier: Apache-2.0
#include "s3/access.h"

#include "base/lock.h"
#include "base/map.h"
#include "base/mem.h"
#include "s3/request.h"

enum { CACHE_MAX = 4096 };

struct s3_access_cache {
	pthread_mutex_t lock; // guards the map and all counts
	struct map buckets;   // bucket number to struct s3_access
};

// ---- documents -----------------------------------------------------------------------------------------

static const char *const ownership_names[] = {
	[S3_OWNER_UNSET] = "",
	[S3_OWNER_WRITER] = "ObjectWriter",
	[S3_OWNER_PREFERRED] = "BucketOwnerPreferred",
	[S3_OWNER_ENFORCED] = "BucketOwnerEnforced",
};

enum s3_ownership s3_ownership_named(struct span name)
{
	for (unsigned i = S3_OWNER_WRITER; i < ARRAY_LEN(ownership_names); i++)
		if (span_is(name, ownership_names[i]))
			return (enum s3_ownership)i;
	return S3_OWNER_UNSET;
}

const char *s3_ownership_name(enum s3_ownership o)
{
	return ownership_names[o];
}

void s3_block_text(const struct s3_block *b, char out[static 5])
{
	snprintf(out, 5, "%d%d%d%d", b->acls, b->ignore_acls, b->policy, b->restrict_buckets);
}

static bool take_block(struct span doc, struct s3_access *a)
{
	if (doc.n != 4)
		return false;
	a->block_set = true;
	a->block = (struct s3_block){ doc.p[0] == '1', doc.p[1] == '1', doc.p[2] == '1',
				      doc.p[3] == '1' };
	return true;
}

static bool take(struct s3_access *a, const struct store_bucket *b, const struct store_config *c,
		 struct err *e)
{
	if (span_is(c->kind, S3_DOC_ACL))
		return a->has_acl = acl_parse(c->doc, &a->acl);
	if (span_is(c->kind, S3_DOC_POLICY))
		return policy_parse(&a->policy, c->doc, b->name, e) == 0;
	if (span_is(c->kind, S3_DOC_OWNERSHIP))
		return (a->ownership = s3_ownership_named(c->doc)) != S3_OWNER_UNSET;
	if (span_is(c->kind, S3_DOC_BLOCK))
		return take_block(c->doc, a);
	if (span_is(c->kind, S3_DOC_CORS))
		return s3_cors_parse(&a->mem, c->doc, &a->cors, e) == 0;
	return true;
}

static void drop(struct s3_access *a)
{
	policy_free(a->policy);
	arena_release(&a->mem);
	mem_free(a);
}

static int load(struct s3 *s, const struct store_bucket *b, struct s3_access **out, struct err *e)
{
	auto_arena struct arena mem = { 0 };
	struct s3_access *a = mem_zalloc(sizeof(*a));
	struct store_config *docs;
	size_t n;

	a->refs = 1;
	a->seq = store_config_seq(s->o.store);
	if (store_config_all(s->o.store, b->id, &mem, &docs, &n, e) < 0) {
		drop(a);
		return -1;
	}
	for (size_t i = 0; i < n; i++)
		if (!take(a, b, &docs[i], e)) {
			drop(a);
			return err_set(e, ERR_CORRUPT, "document " SPAN_FMT " of bucket %s",
				       SPAN_ARG(docs[i].kind), b->name);
		}
	*out = a;
	return 0;
}

// ---- the cache -----------------------------------------------------------------------------------------

struct s3_access_cache *s3_access_cache_new(void)
{
	struct s3_access_cache *c = mem_zalloc(sizeof(*c));

	pthread_mutex_init(&c->lock, NULL);
	return c;
}

static void forget(struct s3_access *a)
{
	if (a && --a->refs == 0)
		drop(a);
}

static void empty(struct s3_access_cache *c)
{
	size_t at = 0;
	struct span key;
	void *a;

	while (map_next(&c->buckets, &at, &key, &a))
		forget(a);
	map_release(&c->buckets);
	c->buckets = (struct map){ 0 };
}

void s3_access_cache_free(struct s3_access_cache *c)
{
	if (!c)
		return;
	empty(c);
	pthread_mutex_destroy(&c->lock);
	mem_free(c);
}

static struct s3_access *find(struct s3 *s, int64_t bucket)
{
	auto_lock held = lock_hold(&s->access->lock);
	struct s3_access *a = map_get(&s->access->buckets, span_make(&bucket, sizeof(bucket)));

	if (!a || a->seq != store_config_seq(s->o.store))
		return NULL;
	a->refs++;
	return a;
}

static void keep(struct s3 *s, int64_t bucket, struct s3_access *a)
{
	auto_lock held = lock_hold(&s->access->lock);

	if (s->access->buckets.count >= CACHE_MAX)
		empty(s->access);
	a->refs++;
	forget(map_put(&s->access->buckets, span_make(&bucket, sizeof(bucket)), a));
}

int s3_access_get(struct s3 *s, const struct store_bucket *b, struct s3_access **out, struct err *e)
{
	*out = find(s, b->id);
	if (*out)
		return 0;
	if (load(s, b, out, e) < 0)
		return -1;
	keep(s, b->id, *out);
	return 0;
}

void s3_access_put(struct s3 *s, struct s3_access *a)
{
	auto_lock held = lock_hold(&s->access->lock);

	forget(a);
}
