// SPDX-License-Identifier: Apache-2.0
// Changes of policies, groups and keys: checked, written, then read again as a whole.
#include "auth/iam_state.h"
#include "base/clock.h"
#include "base/mem.h"

enum { POLICIES_MAX = 1000, KEYS_OF_USER_MAX = 16 };

static int name_check(const char *what, const char *name, struct err *e)
{
	size_t n = strlen(name);

	for (size_t i = 0; i < n; i++)
		if ((unsigned char)name[i] <= ' ' || name[i] == ',' || name[i] == 0x7f)
			n = 0;
	return n && n < IAM_NAME_MAX && span_is_utf8(span_of(name))
		       ? 0
		       : err_set(e, ERR_INVALID,
				 "the name of a %s has 1 to %d characters without blanks and "
				 "commas",
				 what, IAM_NAME_MAX - 1);
}

// ---- policies ------------------------------------------------------------------------------------------

struct policy_write {
	const char *name;
	struct span text;
};

static int put_policy(struct db_conn *c, void *arg, struct err *e)
{
	struct policy_write *w = arg;
	int64_t n;

	if (db_get_int(c, "SELECT count(*) FROM policies", DB_NO_ARGS, 0, &n, e) < 0)
		return -1;
	if (n >= POLICIES_MAX)
		return err_set(e, ERR_LIMIT, "there are %d policies already", POLICIES_MAX);
	return db_exec(c, "INSERT OR REPLACE INTO policies(name,doc,changed_ns) VALUES(?1,?2,?3)",
		       DB_ARGS(db_str(w->name), db_text(w->text), db_int(clock_wall_ns())), e) < 0
		       ? -1
		       : 0;
}

int iam_policy_put(struct auth *a, const char *name, struct span text, struct err *e)
{
	struct policy_write w = { name, text };
	auto_policy struct policy *p = NULL;

	if (name_check("policy", name, e) < 0 || policy_parse(&p, text, NULL, e) < 0)
		return -1;
	if (iam_is_built_in(name))
		return err_set(e, ERR_DENIED, "policy %s is built in", name);
	return db_write(a->db, put_policy, &w, e) < 0 ? -1 : iam_load(a, e);
}

static int remove_policy(struct db_conn *c, void *arg, struct err *e)
{
	struct policy_write *w = arg;
	int64_t used;
	int n;

	if (db_get_int(c,
		       "SELECT EXISTS(SELECT 1 FROM policy_users WHERE policy=?1) OR "
		       "EXISTS(SELECT 1 FROM policy_groups WHERE policy=?1)",
		       DB_ARGS(db_str(w->name)), 0, &used, e) < 0)
		return -1;
	if (used)
		return err_set(e, ERR_CONFLICT, "policy %s is attached to somebody", w->name);
	n = db_exec(c, "DELETE FROM policies WHERE name=?1", DB_ARGS(db_str(w->name)), e);
	if (n == 0)
		return err_set(e, ERR_NOT_FOUND, "no policy of this name");
	return n < 0 ? -1 : 0;
}

int iam_policy_remove(struct auth *a, const char *name, struct err *e)
{
	struct policy_write w = { .name = name };

	if (iam_is_built_in(name))
		return err_set(e, ERR_DENIED, "policy %s is built in", name);
	return db_write(a->db, remove_policy, &w, e) < 0 ? -1 : iam_load(a, e);
}

// ---- who has which -------------------------------------------------------------------------------------

struct held_write {
	bool group;
	int64_t id;
	enum iam_change what;
	struct span policies;
};

static int change_held(struct db_conn *c, void *arg, struct err *e)
{
	struct held_write *w = arg;
	struct span rest = w->policies;

	if (w->what == IAM_SET && db_exec(c,
					  w->group ? "DELETE FROM policy_groups WHERE grp=?1"
						   : "DELETE FROM policy_users WHERE user=?1",
					  DB_ARGS(db_int(w->id)), e) < 0)
		return -1;
	while (rest.n) {
		struct span name = span_trim(span_cut(&rest, ','));
		const char *sql;

		if (!name.n)
			continue;
		if (w->what == IAM_DETACH)
			sql = w->group ? "DELETE FROM policy_groups WHERE grp=?1 AND policy=?2"
				       : "DELETE FROM policy_users WHERE user=?1 AND policy=?2";
		else
			sql = w->group ? "INSERT OR IGNORE INTO policy_groups VALUES(?1,?2)"
				       : "INSERT OR IGNORE INTO policy_users VALUES(?1,?2)";
		if (db_exec(c, sql, DB_ARGS(db_int(w->id), db_text(name)), e) < 0)
			return -1;
	}
	return 0;
}

int iam_policies_change(struct auth *a, const struct iam_holder *who, enum iam_change what,
			struct span policies, struct err *e)
{
	struct held_write w = { .group = who->group, .what = what, .policies = policies };
	struct span rest = policies;
	bool found, known = true;

	pthread_rwlock_rdlock(&a->lock);
	found = iam_holder_id(a, who, &w.id);
	while (rest.n) {
		struct span name = span_trim(span_cut(&rest, ','));

		known = known && (!name.n || iam_policy_find(a->iam, name));
	}
	pthread_rwlock_unlock(&a->lock);
	if (!found)
		return err_set(e, ERR_NOT_FOUND, "no such user or group");
	if (!known)
		return err_set(e, ERR_NOT_FOUND, "no policy of this name");
	return db_write(a->db, change_held, &w, e) < 0 ? -1 : iam_load(a, e);
}

// ---- groups --------------------------------------------------------------------------------------------

struct group_write {
	const char *name;
	const int64_t *members;
	size_t n;
	bool remove, enabled;
};

static int group_id(struct db_conn *c, const char *name, int64_t *id, struct err *e)
{
	if (db_get_int(c, "SELECT id FROM groups WHERE name=?1", DB_ARGS(db_str(name)), 0, id, e) <
	    0)
		return -1;
	return *id ? 0 : err_set(e, ERR_NOT_FOUND, "no group of this name");
}

static int remove_group(struct db_conn *c, int64_t id, struct err *e)
{
	int64_t used;

	if (db_get_int(c, "SELECT EXISTS(SELECT 1 FROM group_members WHERE grp=?1)",
		       DB_ARGS(db_int(id)), 0, &used, e) < 0)
		return -1;
	if (used)
		return err_set(e, ERR_CONFLICT, "the group has members");
	if (db_exec(c, "DELETE FROM policy_groups WHERE grp=?1", DB_ARGS(db_int(id)), e) < 0)
		return -1;
	return db_exec(c, "DELETE FROM groups WHERE id=?1", DB_ARGS(db_int(id)), e) < 0 ? -1 : 0;
}

static int change_group(struct db_conn *c, void *arg, struct err *e)
{
	struct group_write *w = arg;
	int64_t id;

	if (!w->remove && db_exec(c, "INSERT OR IGNORE INTO groups(name) VALUES(?1)",
				  DB_ARGS(db_str(w->name)), e) < 0)
		return -1;
	if (group_id(c, w->name, &id, e) < 0)
		return -1;
	if (w->remove && !w->n)
		return remove_group(c, id, e);
	for (size_t i = 0; i < w->n; i++)
		if (db_exec(c,
			    w->remove ? "DELETE FROM group_members WHERE grp=?1 AND user=?2"
				      : "INSERT OR IGNORE INTO group_members VALUES(?1,?2)",
			    DB_ARGS(db_int(id), db_int(w->members[i])), e) < 0)
			return -1;
	return 0;
}

int iam_group_change(struct auth *a, const char *name, const struct span *members, size_t n,
		     bool remove, struct err *e)
{
	auto_free int64_t *ids = mem_zalloc((n + 1) * sizeof(*ids));
	struct group_write w = { .name = name, .members = ids, .n = n, .remove = remove };

	if (name_check("group", name, e) < 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		struct auth_user u;

		if (auth_user_find(a, members[i], &u, e) < 0)
			return -1;
		ids[i] = u.id;
	}
	return db_write(a->db, change_group, &w, e) < 0 ? -1 : iam_load(a, e);
}

static int enable_group(struct db_conn *c, void *arg, struct err *e)
{
	struct group_write *w = arg;
	int64_t id;

	if (group_id(c, w->name, &id, e) < 0)
		return -1;
	return db_exec(c, "UPDATE groups SET enabled=?2 WHERE id=?1",
		       DB_ARGS(db_int(id), db_int(w->enabled)), e) < 0
		       ? -1
		       : 0;
}

int iam_group_enable(struct auth *a, const char *name, bool enabled, struct err *e)
{
	struct group_write w = { .name = name, .enabled = enabled };

	return db_write(a->db, enable_group, &w, e) < 0 ? -1 : iam_load(a, e);
}

// ---- keys ----------------------------------------------------------------------------------------------

struct key_write {
	int64_t user;
	const char *access, *secret;
	struct span gone;
	bool enabled;
};

static int put_key(struct db_conn *c, void *arg, struct err *e)
{
	struct key_write *w = arg;
	int64_t owner, n;

	if (db_get_int(c, "SELECT user FROM keys WHERE access=?1", DB_ARGS(db_str(w->access)), 0,
		       &owner, e) < 0 ||
	    db_get_int(c, "SELECT count(*) FROM keys WHERE user=?1", DB_ARGS(db_int(w->user)), 0,
		       &n, e) < 0)
		return -1;
	if (owner && owner != w->user)
		return err_set(e, ERR_EXISTS, "the access key %s is in use", w->access);
	if (!owner && n >= KEYS_OF_USER_MAX)
		return err_set(e, ERR_LIMIT, "the user has %d keys already", KEYS_OF_USER_MAX);
	return db_exec(c,
		       "INSERT OR REPLACE INTO keys(access,secret,user,created_ns) "
		       "VALUES(?1,?2,?3,?4)",
		       DB_ARGS(db_str(w->access), db_str(w->secret), db_int(w->user),
			       db_int(clock_wall_ns())),
		       e) < 0
		       ? -1
		       : 0;
}

int iam_key_put(struct auth *a, int64_t user, const char *access, const char *secret, struct err *e)
{
	struct key_write w = { .user = user, .access = access, .secret = secret };
	struct user *u;

	if (user == AUTH_ANONYMOUS_ID || user == AUTH_ADMIN_ID)
		return err_set(e, ERR_DENIED, "the keys of this user come from configuration");
	if (key_check(access, secret, e) < 0 || db_write(a->db, put_key, &w, e) < 0)
		return -1;
	pthread_rwlock_wrlock(&a->lock);
	u = user_numbered(a, user);
	if (u)
		key_insert(a, span_of(access), span_of(secret), u);
	pthread_rwlock_unlock(&a->lock);
	return 0;
}

static int remove_key(struct db_conn *c, void *arg, struct err *e)
{
	struct key_write *w = arg;
	int n = db_exec(c, "DELETE FROM keys WHERE access=?1 AND user=?2",
			DB_ARGS(db_text(w->gone), db_int(w->user)), e);

	return n > 0 ? 0 : n < 0 ? -1 : err_set(e, ERR_NOT_FOUND, "the user has no such key");
}

int iam_key_remove(struct auth *a, int64_t user, struct span access, struct err *e)
{
	struct key_write w = { .user = user, .gone = access };
	struct key *k;

	if (user == AUTH_ADMIN_ID)
		return err_set(e, ERR_DENIED, "the key of this user comes from configuration");
	if (db_write(a->db, remove_key, &w, e) < 0)
		return -1;
	pthread_rwlock_wrlock(&a->lock);
	k = map_remove(&a->keys, access);
	pthread_rwlock_unlock(&a->lock);
	if (k)
		mem_wipe(k, sizeof(*k));
	mem_free(k);
	return 0;
}

int iam_key_list(struct auth *a, int64_t user, struct arena *mem, const char ***access, size_t *n,
		 struct err *e unused_arg)
{
	struct span name;
	void *value;
	size_t at = 0;

	*n = 0;
	*access = arena_alloc(mem, KEYS_OF_USER_MAX * sizeof(**access));
	pthread_rwlock_rdlock(&a->lock);
	while (*n < KEYS_OF_USER_MAX && map_next(&a->keys, &at, &name, &value))
		if (((struct key *)value)->user->pub.id == user)
			(*access)[(*n)++] = arena_strndup(mem, name.p, name.n);
	pthread_rwlock_unlock(&a->lock);
	return 0;
}

static int enable_user(struct db_conn *c, void *arg, struct err *e)
{
	struct key_write *w = arg;

	return db_exec(c, "UPDATE users SET enabled=?2 WHERE id=?1",
		       DB_ARGS(db_int(w->user), db_int(w->enabled)), e) < 0
		       ? -1
		       : 0;
}

int iam_user_enable(struct auth *a, int64_t user, bool enabled, struct err *e)
{
	struct key_write w = { .user = user, .enabled = enabled };
	struct user *u;

	if (user <= AUTH_ANONYMOUS_ID)
		return err_set(e, ERR_DENIED, "this user is built in");
	if (db_write(a->db, enable_user, &w, e) < 0)
		return -1;
	pthread_rwlock_wrlock(&a->lock);
	u = user_numbered(a, user);
	if (u)
		u->pub.enabled = enabled;
	pthread_rwlock_unlock(&a->lock);
	return 0;
}
