// SPDX-License-Identifier: Apache-2.0
// user: users made, changed, looked up and removed.
#include "auth/state.h"
#include "base/clock.h"
#include "base/mem.h"

enum { USERS_MAX = 100000 };

static int name_check(const char *name, struct err *e)
{
	size_t n = strlen(name);

	if (n < 1 || n >= AUTH_NAME_MAX)
		return err_set(e, ERR_INVALID, "a user name has 1 to %d characters",
			       AUTH_NAME_MAX - 1);
	for (size_t i = 0; i < n; i++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._@-",
			    name[i]))
			return err_set(e, ERR_INVALID,
				       "a user name holds letters, digits and . _ @ - only");
	return 0;
}

struct user_write {
	const char *name, *password, *access, *secret;
	int64_t id;
};

static int set_admin(struct db_conn *c, void *arg, struct err *e)
{
	struct user_write *w = arg;

	if (db_exec(c, "UPDATE users SET name=?1 WHERE id=1", DB_ARGS(db_str(w->name)), e) < 0 ||
	    db_exec(c, "DELETE FROM keys WHERE user=1", DB_NO_ARGS, e) < 0)
		return -1;
	return db_exec(c, "INSERT INTO keys(access,secret,user,created_ns) VALUES(?1,?2,1,?3)",
		       DB_ARGS(db_str(w->access), db_str(w->secret), db_int(clock_wall_ns())),
		       e) < 0
		       ? -1
		       : 0;
}

int auth_set_admin(struct auth *a, const char *name, const char *password, const char *access,
		   const char *secret, struct err *e)
{
	struct user_write w = { .name = name, .access = access, .secret = secret };
	char hash[PASSWORD_HASH_MAX];
	struct user *u;

	if (name_check(name, e) < 0 || key_check(access, secret, e) < 0)
		return err_wrap(e, "administrator");
	// The password comes from configuration at each start, so a fast salted form in memory is enough.
	if (password_hash(password, true, hash, e) < 0 || db_write(a->db, set_admin, &w, e) < 0)
		return err_wrap(e, "administrator %s", name);
	auto_rwlock held = lock_write(&a->lock);

	u = user_numbered(a, AUTH_ADMIN_ID);
	keys_drop_of(a, u);
	snprintf(u->pub.name, sizeof(u->pub.name), "%s", name);
	memcpy(u->password, hash, sizeof(hash));
	key_insert(a, span_of(access), span_of(secret), u);
	return 0;
}

static int add_user(struct db_conn *c, void *arg, struct err *e)
{
	struct user_write *w = arg;
	int64_t now = clock_wall_ns();

	if (db_exec(c, "INSERT INTO users(name,password,created_ns) VALUES(?1,?2,?3)",
		    DB_ARGS(db_str(w->name), db_str(w->password), db_int(now)), e) < 0)
		return e->code == ERR_EXISTS
			       ? err_set(e, ERR_EXISTS, "a user named %s exists", w->name)
			       : -1;
	w->id = db_last_id(c);
	if (w->access &&
	    db_exec(c, "INSERT INTO keys(access,secret,user,created_ns) VALUES(?1,?2,?3,?4)",
		    DB_ARGS(db_str(w->access), db_str(w->secret), db_int(w->id), db_int(now)),
		    e) < 0)
		return e->code == ERR_EXISTS
			       ? err_set(e, ERR_EXISTS, "the access key %s is in use", w->access)
			       : -1;
	return 0;
}

int auth_user_add(struct auth *a, const char *name, const char *password, const char *access,
		  const char *secret, struct auth_user *out, struct err *e)
{
	struct user_write w = { .name = name, .access = access, .secret = secret };
	char hash[PASSWORD_HASH_MAX] = "";
	struct user *u;

	if (name_check(name, e) < 0 || key_check(access, secret, e) < 0)
		return -1;
	if (a->count >= USERS_MAX)
		return err_set(e, ERR_LIMIT, "there are %d users already", USERS_MAX);
	if (password && password_hash(password, false, hash, e) < 0)
		return -1;
	w.password = password ? hash : NULL;
	if (db_write(a->db, add_user, &w, e) < 0)
		return -1;
	*out = (struct auth_user){ .id = w.id, .enabled = true };
	snprintf(out->name, sizeof(out->name), "%s", name);
	auto_rwlock held = lock_write(&a->lock);

	u = user_insert(a, out, hash);
	if (access)
		key_insert(a, span_of(access), span_of(secret), u);
	return 0;
}

static int remove_user(struct db_conn *c, void *arg, struct err *e)
{
	static const char *const statements[] = {
		"DELETE FROM keys WHERE user=?1",	  "DELETE FROM grants WHERE user=?1",
		"DELETE FROM policy_users WHERE user=?1", "DELETE FROM group_members WHERE user=?1",
		"DELETE FROM users WHERE id=?1",
	};
	int64_t *id = arg;

	for (size_t i = 0; i < ARRAY_LEN(statements); i++)
		if (db_exec(c, statements[i], DB_ARGS(db_int(*id)), e) < 0)
			return -1;
	return 0;
}

// Out of memory's tables.
static void forget(struct auth *a, int64_t id)
{
	auto_rwlock held = lock_write(&a->lock);
	struct user **at = &a->users, *u;

	while (*at && (*at)->pub.id != id)
		at = &(*at)->next;
	u = *at;
	if (!u)
		return;
	*at = u->next;
	a->count--;
	user_free(a, u);
}

int auth_user_remove(struct auth *a, struct span name, struct err *e)
{
	struct auth_user found;

	if (auth_user_find(a, name, &found, e) < 0)
		return -1;
	if (found.id <= AUTH_ANONYMOUS_ID)
		return err_set(e, ERR_DENIED, "user %s is built in", found.name);
	if (db_write(a->db, remove_user, &found.id, e) < 0)
		return -1;
	forget(a, found.id);
	return iam_load(a, e);
}

int auth_user_find(struct auth *a, struct span name, struct auth_user *out, struct err *e)
{
	auto_rwlock held = lock_read(&a->lock);
	struct user *u = user_named(a, name);

	if (!u)
		return err_set(e, ERR_NOT_FOUND, "no user named " SPAN_FMT, SPAN_ARG(name));
	*out = u->pub;
	return 0;
}

int auth_user_by_id(struct auth *a, int64_t id, struct auth_user *out, struct err *e)
{
	auto_rwlock held = lock_read(&a->lock);
	struct user *u = user_numbered(a, id);

	if (!u)
		return err_set(e, ERR_NOT_FOUND, "no user with number %lld", (long long)id);
	*out = u->pub;
	return 0;
}

struct email_write {
	int64_t user;
	const char *email;
};

static int set_email(struct db_conn *c, void *arg, struct err *e)
{
	struct email_write *w = arg;
	int n = db_exec(c, "UPDATE users SET email=?2 WHERE id=?1",
			DB_ARGS(db_int(w->user), db_str(*w->email ? w->email : NULL)), e);

	if (n < 0)
		return e->code == ERR_EXISTS
			       ? err_set(e, ERR_EXISTS, "another user has the address %s", w->email)
			       : -1;
	return n ? 0 : err_set(e, ERR_NOT_FOUND, "no such user");
}

int auth_user_set_email(struct auth *a, int64_t user, const char *email, struct err *e)
{
	struct email_write w = { user, email };
	size_t n = strlen(email);
	struct user *u;

	if (n >= AUTH_EMAIL_MAX || (n && (!strchr(email, '@') || !span_is_utf8(span_of(email)))))
		return err_set(e, ERR_INVALID, "this is no e-mail address");
	if (db_write(a->db, set_email, &w, e) < 0)
		return -1;
	auto_rwlock held = lock_write(&a->lock);

	u = user_numbered(a, user);
	if (u)
		memcpy(u->email, email, n + 1);
	return 0;
}

int auth_user_by_email(struct auth *a, struct span email, struct auth_user *out, struct err *e)
{
	auto_rwlock held = lock_read(&a->lock);

	for (struct user *u = a->users; u; u = u->next)
		if (u->email[0] && span_eq_nocase(email, span_of(u->email))) {
			*out = u->pub;
			return 0;
		}
	return err_set(e, ERR_NOT_FOUND, "no user with this address");
}

void auth_user_email(struct auth *a, int64_t user, char out[static AUTH_EMAIL_MAX])
{
	auto_rwlock held = lock_read(&a->lock);
	struct user *u = user_numbered(a, user);

	out[0] = '\0';
	if (u)
		memcpy(out, u->email, sizeof(u->email));
}

int auth_user_list(struct auth *a, struct arena *mem, struct auth_user **out, size_t *n,
		   struct err *e unused_arg)
{
	auto_rwlock held = lock_read(&a->lock);

	*n = 0;
	*out = arena_alloc(mem, a->count * sizeof(**out));
	for (struct user *u = a->users; u; u = u->next)
		(*out)[(*n)++] = u->pub;
	return 0;
}
