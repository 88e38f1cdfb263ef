// SPDX-License-Identifier: Apache-2.0
// iam: the policies and groups in memory, and asking for them.
#include "auth/iam.h"

#include "auth/iam_state.h"
#include "base/buf.h"
#include "base/mem.h"

#define ALL_OF_S3 "\"Resource\":[\"arn:aws:s3:::*\"]}]}"
#define ALLOW "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":"

static const struct {
	const char *name, *text;
} built_in[] = {
	{ "consoleAdmin", ALLOW "[\"s3:*\"]," ALL_OF_S3 },
	{ "diagnostics", ALLOW "[\"s3:GetBucketLocation\"]," ALL_OF_S3 },
	{ "readonly",
	  ALLOW "[\"s3:GetBucketLocation\",\"s3:GetObject\",\"s3:ListBucket\"]," ALL_OF_S3 },
	{ "readwrite", ALLOW "[\"s3:*\"]," ALL_OF_S3 },
	{ "writeonly", ALLOW "[\"s3:PutObject\"]," ALL_OF_S3 },
};

bool iam_is_built_in(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(built_in); i++)
		if (strcmp(built_in[i].name, name) == 0)
			return true;
	return false;
}

// ---- memory --------------------------------------------------------------------------------------------

void iam_free(struct iam *i)
{
	if (!i)
		return;
	for (struct named *p = i->policies; p; p = p->next)
		policy_free(p->policy);
	arena_release(&i->mem);
	mem_free(i);
}

struct named *iam_policy_find(struct iam *i, struct span name)
{
	for (struct named *p = i->policies; p; p = p->next)
		if (span_is(name, p->name))
			return p;
	return NULL;
}

struct group *iam_group_find(struct iam *i, struct span name)
{
	for (struct group *g = i->groups; g; g = g->next)
		if (span_is(name, g->name))
			return g;
	return NULL;
}

// In order of names.
static int add_policy(struct iam *i, struct span name, struct span text, struct err *e)
{
	struct named *p = arena_alloc(&i->mem, sizeof(*p)), **at = &i->policies;

	p->name = arena_strndup(&i->mem, name.p, name.n);
	p->text = arena_span(&i->mem, text);
	if (policy_parse(&p->policy, text, NULL, e) < 0)
		return err_wrap(e, "policy %s", p->name);
	while (*at && strcmp((*at)->name, p->name) < 0)
		at = &(*at)->next;
	p->next = *at;
	*at = p;
	return 0;
}

static int load_policies(struct iam *i, struct db_conn *c, struct err *e)
{
	auto_query struct db_stmt *s =
		db_query(c, "SELECT name,doc FROM policies ORDER BY name", DB_NO_ARGS, e);
	int got;

	for (size_t k = 0; k < ARRAY_LEN(built_in); k++)
		if (add_policy(i, span_of(built_in[k].name), span_of(built_in[k].text), e) < 0)
			return -1;
	while ((got = db_step(s, e)) > 0)
		if (add_policy(i, db_col_span(s, 0), db_col_span(s, 1), e) < 0)
			return -1;
	return got;
}

static int load_groups(struct iam *i, struct db_conn *c, struct err *e)
{
	auto_query struct db_stmt *s =
		db_query(c, "SELECT id,name,enabled FROM groups ORDER BY name DESC", DB_NO_ARGS, e);
	int got;

	while ((got = db_step(s, e)) > 0) {
		struct group *g = arena_alloc(&i->mem, sizeof(*g));

		g->id = db_col_int(s, 0);
		g->name = arena_strndup(&i->mem, db_col_span(s, 1).p, db_col_span(s, 1).n);
		g->enabled = db_col_int(s, 2);
		g->next = i->groups;
		i->groups = g;
	}
	return got;
}

static int load_members(struct iam *i, struct db_conn *c, struct err *e)
{
	auto_query struct db_stmt *s =
		db_query(c, "SELECT grp,user FROM group_members", DB_NO_ARGS, e);
	int got;

	while ((got = db_step(s, e)) > 0)
		for (struct group *g = i->groups; g; g = g->next)
			if (g->id == db_col_int(s, 0)) {
				struct member *m = arena_alloc(&i->mem, sizeof(*m));

				*m = (struct member){ g->members, db_col_int(s, 1) };
				g->members = m;
			}
	return got;
}

static int load_held(struct iam *i, struct db_conn *c, struct err *e)
{
	auto_query struct db_stmt *s =
		db_query(c,
			 "SELECT 0,user,policy FROM policy_users UNION ALL "
			 "SELECT 1,grp,policy FROM policy_groups ORDER BY 1,2,3 DESC",
			 DB_NO_ARGS, e);
	int got;

	while ((got = db_step(s, e)) > 0) {
		struct held *h = arena_alloc(&i->mem, sizeof(*h));
		struct named *p = iam_policy_find(i, db_col_span(s, 2));

		if (!p)
			continue;
		*h = (struct held){ i->held, db_col_int(s, 0), db_col_int(s, 1), p };
		i->held = h;
	}
	return got;
}

int iam_load(struct auth *a, struct err *e)
{
	struct db_conn *c = db_reader(a->db, e);
	struct iam *i = mem_zalloc(sizeof(*i)), *old;

	if (!c || load_policies(i, c, e) < 0 || load_groups(i, c, e) < 0 ||
	    load_members(i, c, e) < 0 || load_held(i, c, e) < 0) {
		iam_free(i);
		return err_wrap(e, "policies");
	}
	pthread_rwlock_wrlock(&a->lock);
	old = a->iam;
	a->iam = i;
	pthread_rwlock_unlock(&a->lock);
	iam_free(old);
	return 0;
}

// ---- asking --------------------------------------------------------------------------------------------

static bool is_member(const struct group *g, int64_t user)
{
	for (const struct member *m = g->members; m; m = m->next)
		if (m->user == user)
			return true;
	return false;
}

static bool concerns(const struct iam *i, const struct held *h, int64_t user)
{
	if (!h->group)
		return h->id == user;
	for (const struct group *g = i->groups; g; g = g->next)
		if (g->id == h->id)
			return g->enabled && is_member(g, user);
	return false;
}

size_t iam_policies_of(struct auth *a, int64_t user, struct policy *out[static IAM_OF_USER_MAX])
{
	size_t n = 0;

	pthread_rwlock_rdlock(&a->lock);
	for (const struct held *h = a->iam->held; h && n < IAM_OF_USER_MAX; h = h->next)
		if (concerns(a->iam, h, user))
			out[n++] = policy_share(h->policy->policy);
	pthread_rwlock_unlock(&a->lock);
	return n;
}

int iam_policy_get(struct auth *a, struct span name, struct arena *mem, struct span *text,
		   struct err *e)
{
	struct named *p;

	pthread_rwlock_rdlock(&a->lock);
	p = iam_policy_find(a->iam, name);
	if (p)
		*text = arena_span(mem, p->text);
	pthread_rwlock_unlock(&a->lock);
	return p ? 0 : err_set(e, ERR_NOT_FOUND, "no policy of this name");
}

int iam_policy_list(struct auth *a, struct arena *mem, struct iam_policy **out, size_t *n,
		    struct err *e unused_arg)
{
	size_t count = 0;

	*n = 0;
	pthread_rwlock_rdlock(&a->lock);
	for (struct named *p = a->iam->policies; p; p = p->next)
		count++;
	*out = arena_alloc(mem, (count + 1) * sizeof(**out));
	for (struct named *p = a->iam->policies; p; p = p->next)
		(*out)[(*n)++] =
			(struct iam_policy){ arena_strdup(mem, p->name), arena_span(mem, p->text) };
	pthread_rwlock_unlock(&a->lock);
	return 0;
}

static void add_name(struct buf *b, const char *name)
{
	if (b->n)
		buf_add_char(b, ',');
	buf_add_str(b, name);
}

bool iam_holder_id(struct auth *a, const struct iam_holder *who, int64_t *id)
{
	struct user *u = who->group ? NULL : user_named(a, who->name);
	struct group *g = who->group ? iam_group_find(a->iam, who->name) : NULL;

	*id = u ? u->pub.id : g ? g->id : 0;
	return *id != 0;
}

int iam_policies_held(struct auth *a, const struct iam_holder *who, struct arena *mem,
		      struct span *out, struct err *e)
{
	auto_buf struct buf b = { 0 };
	int64_t id;
	bool found;

	buf_init(&b, 65536);
	pthread_rwlock_rdlock(&a->lock);
	found = iam_holder_id(a, who, &id);
	for (const struct held *h = a->iam->held; found && h; h = h->next)
		if (h->group == who->group && h->id == id)
			add_name(&b, h->policy->name);
	pthread_rwlock_unlock(&a->lock);
	*out = arena_span(mem, buf_span(&b));
	return found ? 0 : err_set(e, ERR_NOT_FOUND, "no such user or group");
}

int iam_group_get(struct auth *a, struct span name, struct arena *mem, struct iam_group *out,
		  struct err *e)
{
	struct group *g;
	size_t n = 0;

	pthread_rwlock_rdlock(&a->lock);
	g = iam_group_find(a->iam, name);
	if (g) {
		*out = (struct iam_group){ .name = arena_strdup(mem, g->name),
					   .enabled = g->enabled };
		for (struct member *m = g->members; m; m = m->next)
			n++;
		out->members = arena_alloc(mem, (n + 1) * sizeof(*out->members));
		for (struct member *m = g->members; m; m = m->next) {
			struct user *u = user_numbered(a, m->user);

			if (u)
				out->members[out->n++] = arena_strdup(mem, u->pub.name);
		}
	}
	pthread_rwlock_unlock(&a->lock);
	return g ? 0 : err_set(e, ERR_NOT_FOUND, "no group of this name");
}

int iam_group_list(struct auth *a, struct arena *mem, const char ***names, size_t *n,
		   struct err *e unused_arg)
{
	size_t count = 0;

	*n = 0;
	pthread_rwlock_rdlock(&a->lock);
	for (struct group *g = a->iam->groups; g; g = g->next)
		count++;
	*names = arena_alloc(mem, (count + 1) * sizeof(**names));
	for (struct group *g = a->iam->groups; g; g = g->next)
		(*names)[(*n)++] = arena_strdup(mem, g->name);
	pthread_rwlock_unlock(&a->lock);
	return 0;
}

int iam_groups_of(struct auth *a, int64_t user, struct arena *mem, struct span *out,
		  struct err *e unused_arg)
{
	auto_buf struct buf b = { 0 };

	buf_init(&b, 65536);
	pthread_rwlock_rdlock(&a->lock);
	for (struct group *g = a->iam->groups; g; g = g->next)
		if (is_member(g, user))
			add_name(&b, g->name);
	pthread_rwlock_unlock(&a->lock);
	*out = arena_span(mem, buf_span(&b));
	return 0;
}
