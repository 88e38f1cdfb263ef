// SPDX-License-Identifier: Apache-2.0
// rights: what a user may do with a bucket, and grants.
#include "auth/state.h"

void grant_put(struct auth *a, const struct grant_key *key, unsigned rights)
{
	struct span of = span_make(key, sizeof(*key));

	if (rights)
		map_put(&a->grants, of, (void *)(uintptr_t)rights);
	else
		map_remove(&a->grants, of);
}

static unsigned rights_of(struct auth *a, int64_t user, const struct auth_subject *s)
{
	struct grant_key g = { s->bucket, user };
	auto_rwlock held = lock_read(&a->lock);
	struct user *u = user_numbered(a, user);
	unsigned has;

	if (!u || !u->pub.enabled)
		return 0;
	if (u->pub.admin)
		return ~0u;
	has = (unsigned)(uintptr_t)map_get(&a->grants, span_make(&g, sizeof(g)));
	if (s->visibility == AUTH_PUBLIC && user != AUTH_ANONYMOUS_ID)
		has |= AUTH_READ | AUTH_LIST;
	return has;
}

int auth_may(struct auth *a, int64_t user, const struct auth_subject *s, unsigned rights,
	     struct err *e)
{
	unsigned has;

	if (user == AUTH_ADMIN_ID || (user == s->owner && user != AUTH_ANONYMOUS_ID))
		return 0;
	has = rights_of(a, user, s);
	return (rights & ~has) ? err_set(e, ERR_DENIED, "access denied") : 0;
}

struct grant_write {
	struct grant_key key;
	unsigned rights;
};

static int set_grant(struct db_conn *c, void *arg, struct err *e)
{
	struct grant_write *g = arg;
	int n = g->rights ? db_exec(c,
				    "INSERT INTO grants(bucket,user,rights) VALUES(?1,?2,?3) "
				    "ON CONFLICT DO UPDATE SET rights=excluded.rights",
				    DB_ARGS(db_int(g->key.bucket), db_int(g->key.user),
					    db_int(g->rights)),
				    e)
			  : db_exec(c, "DELETE FROM grants WHERE bucket=?1 AND user=?2",
				    DB_ARGS(db_int(g->key.bucket), db_int(g->key.user)), e);

	return n < 0 ? -1 : 0;
}

int auth_grant(struct auth *a, int64_t bucket, int64_t user, unsigned rights, struct err *e)
{
	struct grant_write g = { { bucket, user }, rights };

	if (db_write(a->db, set_grant, &g, e) < 0)
		return err_wrap(e, "grant");
	auto_rwlock held = lock_write(&a->lock);

	grant_put(a, &g.key, rights);
	return 0;
}
