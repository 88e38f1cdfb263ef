// SPDX-License-Identifier: Apache-2.0
#include "auth/auth.h"

#include "auth/state.h"
#include "base/clock.h"
#include "base/mem.h"

enum { USERS_MAX = 100000 };

// ---- memory --------------------------------------------------------------------------------------------

struct user *user_named(struct auth *a, struct span name)
{
	for (struct user *u = a->users; u; u = u->next)
		if (span_is(name, u->pub.name))
			return u;
	return NULL;
}

struct user *user_numbered(struct auth *a, int64_t id)
{
	for (struct user *u = a->users; u; u = u->next)
		if (u->pub.id == id)
			return u;
	return NULL;
}

static struct user *user_insert(struct auth *a, const struct auth_user *pub, const char *password)
{
	struct user *u = mem_zalloc(sizeof(*u)), **at = &a->users;

	u->pub = *pub;
	snprintf(u->password, sizeof(u->password), "%s", password ? password : "");
	while (*at && strcmp((*at)->pub.name, pub->name) < 0)
		at = &(*at)->next;
	u->next = *at;
	*at = u;
	a->count++;
	return u;
}

void key_insert(struct auth *a, struct span access, struct span secret, struct user *u)
{
	struct key *k = mem_zalloc(sizeof(*k)), *old;

	snprintf(k->secret, sizeof(k->secret), SPAN_FMT, SPAN_ARG(secret));
	k->user = u;
	old = map_put(&a->keys, access, k);
	if (old)
		mem_wipe(old, sizeof(*old));
	mem_free(old);
}

static void keys_drop_of(struct auth *a, const struct user *u)
{
	size_t at = 0;
	struct span access;
	void *value;

	while (map_next(&a->keys, &at, &access, &value)) {
		struct key *k = value;

		if (k->user != u)
			continue;
		map_remove(&a->keys, access);
		mem_wipe(k, sizeof(*k));
		mem_free(k);
	}
}

static int load(struct auth *a, struct err *e)
{
	struct db_conn *c = db_reader(a->db, e);
	struct db_stmt *s;
	int got;

	if (!c)
		return -1;
	s = db_query(c, "SELECT id,name,password,admin,enabled,email FROM users", DB_NO_ARGS, e);
	while ((got = s ? db_step(s, e) : -1) > 0) {
		struct auth_user u = { .id = db_col_int(s, 0),
				       .admin = db_col_int(s, 3),
				       .enabled = db_col_int(s, 4) };
		auto_free char *hash = mem_strndup(db_col_span(s, 2).p, db_col_span(s, 2).n);

		snprintf(u.name, sizeof(u.name), SPAN_FMT, SPAN_ARG(db_col_span(s, 1)));
		struct user *made = user_insert(a, &u, hash);

		snprintf(made->email, sizeof(made->email), SPAN_FMT, SPAN_ARG(db_col_span(s, 5)));
	}
	db_done(s);
	if (got < 0)
		return -1;
	s = db_query(c, "SELECT access,secret,user FROM keys WHERE enabled", DB_NO_ARGS, e);
	while ((got = s ? db_step(s, e) : -1) > 0) {
		struct user *u = user_numbered(a, db_col_int(s, 2));

		if (u)
			key_insert(a, db_col_span(s, 0), db_col_span(s, 1), u);
	}
	db_done(s);
	if (got < 0)
		return -1;
	s = db_query(c, "SELECT bucket,user,rights FROM grants", DB_NO_ARGS, e);
	while ((got = s ? db_step(s, e) : -1) > 0) {
		struct grant_key g = { db_col_int(s, 0), db_col_int(s, 1) };

		map_put(&a->grants, span_make(&g, sizeof(g)), (void *)(uintptr_t)db_col_int(s, 2));
	}
	db_done(s);
	return got;
}

static int first_users(struct db_conn *c, void *arg unused_arg, struct err *e)
{
	return db_exec(c,
		       "INSERT OR IGNORE INTO users(id,name,admin,created_ns) "
		       "VALUES(1,'oscar',1,?1),(2,'anonymous',0,?1)",
		       DB_ARGS(db_int(clock_wall_ns())), e) < 0
		       ? -1
		       : 0;
}

int auth_open(struct auth **out, struct db *d, struct err *e)
{
	struct auth *a = mem_zalloc(sizeof(*a));

	a->db = d;
	pthread_rwlock_init(&a->lock, NULL);
	a->passwords = password_cache_new();
	if (db_write(d, first_users, NULL, e) < 0 || load(a, e) < 0 || iam_load(a, e) < 0) {
		auth_close(a);
		return err_wrap(e, "users");
	}
	*out = a;
	return 0;
}

void auth_close(struct auth *a)
{
	if (!a)
		return;
	while (a->users) {
		struct user *u = a->users;

		a->users = u->next;
		keys_drop_of(a, u);
		mem_wipe(u, sizeof(*u));
		mem_free(u);
	}
	map_release(&a->keys);
	map_release(&a->grants);
	iam_free(a->iam);
	password_cache_free(a->passwords);
	pthread_rwlock_destroy(&a->lock);
	mem_free(a);
}

// ---- rules for names -----------------------------------------------------------------------------------

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

int key_check(const char *access, const char *secret, struct err *e)
{
	size_t n = access ? strlen(access) : 0, m = secret ? strlen(secret) : 0;

	if (!access && !secret)
		return 0;
	if (n < 3 || n >= AUTH_KEY_MAX || m < 8 || m >= AUTH_SECRET_MAX)
		return err_set(e, ERR_INVALID,
			       "an access key has 3 to 128 characters, its secret 8 to 128");
	for (size_t i = 0; i < n; i++)
		if (access[i] <= ' ' || access[i] > '~' || strchr("/=,&", access[i]))
			return err_set(e, ERR_INVALID,
				       "an access key holds printable characters without / = , &");
	return 0;
}

// ---- users ---------------------------------------------------------------------------------------------

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
	pthread_rwlock_wrlock(&a->lock);
	u = user_numbered(a, AUTH_ADMIN_ID);
	keys_drop_of(a, u);
	snprintf(u->pub.name, sizeof(u->pub.name), "%s", name);
	memcpy(u->password, hash, sizeof(hash));
	key_insert(a, span_of(access), span_of(secret), u);
	pthread_rwlock_unlock(&a->lock);
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
	pthread_rwlock_wrlock(&a->lock);
	u = user_insert(a, out, hash);
	if (access)
		key_insert(a, span_of(access), span_of(secret), u);
	pthread_rwlock_unlock(&a->lock);
	return 0;
}

static int remove_user(struct db_conn *c, void *arg, struct err *e)
{
	int64_t *id = arg;

	if (db_exec(c, "DELETE FROM keys WHERE user=?1", DB_ARGS(db_int(*id)), e) < 0 ||
	    db_exec(c, "DELETE FROM grants WHERE user=?1", DB_ARGS(db_int(*id)), e) < 0 ||
	    db_exec(c, "DELETE FROM policy_users WHERE user=?1", DB_ARGS(db_int(*id)), e) < 0 ||
	    db_exec(c, "DELETE FROM group_members WHERE user=?1", DB_ARGS(db_int(*id)), e) < 0)
		return -1;
	return db_exec(c, "DELETE FROM users WHERE id=?1", DB_ARGS(db_int(*id)), e) < 0 ? -1 : 0;
}

int auth_user_remove(struct auth *a, struct span name, struct err *e)
{
	struct auth_user found;
	struct user *u;

	if (auth_user_find(a, name, &found, e) < 0)
		return -1;
	if (found.id <= AUTH_ANONYMOUS_ID)
		return err_set(e, ERR_DENIED, "user %s is built in", found.name);
	if (db_write(a->db, remove_user, &found.id, e) < 0)
		return -1;
	pthread_rwlock_wrlock(&a->lock);
	u = user_numbered(a, found.id);
	if (u) {
		keys_drop_of(a, u);
		for (struct user **at = &a->users; *at; at = &(*at)->next)
			if (*at == u) {
				*at = u->next;
				break;
			}
		mem_wipe(u, sizeof(*u));
		mem_free(u);
		a->count--;
	}
	pthread_rwlock_unlock(&a->lock);
	return iam_load(a, e);
}

int auth_user_find(struct auth *a, struct span name, struct auth_user *out, struct err *e)
{
	struct user *u;

	pthread_rwlock_rdlock(&a->lock);
	u = user_named(a, name);
	if (u)
		*out = u->pub;
	pthread_rwlock_unlock(&a->lock);
	return u ? 0 : err_set(e, ERR_NOT_FOUND, "no user named " SPAN_FMT, SPAN_ARG(name));
}

int auth_user_by_id(struct auth *a, int64_t id, struct auth_user *out, struct err *e)
{
	struct user *u;

	pthread_rwlock_rdlock(&a->lock);
	u = user_numbered(a, id);
	if (u)
		*out = u->pub;
	pthread_rwlock_unlock(&a->lock);
	return u ? 0 : err_set(e, ERR_NOT_FOUND, "no user with number %lld", (long long)id);
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
	pthread_rwlock_wrlock(&a->lock);
	u = user_numbered(a, user);
	if (u)
		memcpy(u->email, email, n + 1);
	pthread_rwlock_unlock(&a->lock);
	return 0;
}

int auth_user_by_email(struct auth *a, struct span email, struct auth_user *out, struct err *e)
{
	struct user *u;

	pthread_rwlock_rdlock(&a->lock);
	for (u = a->users; u; u = u->next)
		if (u->email[0] && span_eq_nocase(email, span_of(u->email)))
			break;
	if (u)
		*out = u->pub;
	pthread_rwlock_unlock(&a->lock);
	return u ? 0 : err_set(e, ERR_NOT_FOUND, "no user with this address");
}

void auth_user_email(struct auth *a, int64_t user, char out[static AUTH_EMAIL_MAX])
{
	struct user *u;

	out[0] = '\0';
	pthread_rwlock_rdlock(&a->lock);
	u = user_numbered(a, user);
	if (u)
		memcpy(out, u->email, sizeof(u->email));
	pthread_rwlock_unlock(&a->lock);
}

int auth_user_list(struct auth *a, struct arena *mem, struct auth_user **out, size_t *n,
		   struct err *e unused_arg)
{
	*n = 0;
	pthread_rwlock_rdlock(&a->lock);
	*out = arena_alloc(mem, a->count * sizeof(**out));
	for (struct user *u = a->users; u; u = u->next)
		(*out)[(*n)++] = u->pub;
	pthread_rwlock_unlock(&a->lock);
	return 0;
}

// ---- who is it -----------------------------------------------------------------------------------------

int auth_key_find(struct auth *a, struct span access, struct auth_key *out, struct err *e)
{
	struct key *k;

	pthread_rwlock_rdlock(&a->lock);
	k = map_get(&a->keys, access);
	if (k && k->user->pub.enabled && access.n < AUTH_KEY_MAX) {
		memcpy(out->access, access.p, access.n);
		out->access[access.n] = '\0';
		memcpy(out->secret, k->secret, sizeof(out->secret));
		out->user = k->user->pub;
	} else {
		k = NULL;
	}
	pthread_rwlock_unlock(&a->lock);
	return k ? 0 : err_set(e, ERR_NOT_FOUND, "unknown access key");
}

int auth_key_of(struct auth *a, int64_t user, struct auth_key *out, struct err *e)
{
	size_t at = 0;
	struct span access;
	void *value;
	bool found = false;

	pthread_rwlock_rdlock(&a->lock);
	while (!found && map_next(&a->keys, &at, &access, &value)) {
		struct key *k = value;

		if (k->user->pub.id != user)
			continue;
		found = true;
		snprintf(out->access, sizeof(out->access), SPAN_FMT, SPAN_ARG(access));
		memcpy(out->secret, k->secret, sizeof(out->secret));
		out->user = k->user->pub;
	}
	pthread_rwlock_unlock(&a->lock);
	return found ? 0 : err_set(e, ERR_NOT_FOUND, "the user has no S3 key");
}

int auth_password(struct auth *a, struct span name, struct span password, struct auth_user *out,
		  struct err *e)
{
	char hash[PASSWORD_HASH_MAX] = "";
	struct user *u;

	pthread_rwlock_rdlock(&a->lock);
	u = user_named(a, name);
	if (u && u->pub.enabled) {
		memcpy(hash, u->password, sizeof(hash));
		*out = u->pub;
	}
	pthread_rwlock_unlock(&a->lock);
	if (!password_matches(a->passwords, hash, password))
		return err_set(e, ERR_UNAUTH, "wrong user name or password");
	return 0;
}

// ---- rights --------------------------------------------------------------------------------------------

int auth_may(struct auth *a, int64_t user, const struct auth_subject *s, unsigned rights,
	     struct err *e)
{
	struct grant_key g = { s->bucket, user };
	unsigned has = 0;
	struct user *u;

	if (user == AUTH_ADMIN_ID || (user == s->owner && user != AUTH_ANONYMOUS_ID))
		return 0;
	pthread_rwlock_rdlock(&a->lock);
	u = user_numbered(a, user);
	if (u && u->pub.enabled) {
		has = (unsigned)(uintptr_t)map_get(&a->grants, span_make(&g, sizeof(g)));
		if (u->pub.admin)
			has = ~0u;
		else if (s->visibility == AUTH_PUBLIC && user != AUTH_ANONYMOUS_ID)
			has |= AUTH_READ | AUTH_LIST;
	}
	pthread_rwlock_unlock(&a->lock);
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
	pthread_rwlock_wrlock(&a->lock);
	if (rights)
		map_put(&a->grants, span_make(&g.key, sizeof(g.key)), (void *)(uintptr_t)rights);
	else
		map_remove(&a->grants, span_make(&g.key, sizeof(g.key)));
	pthread_rwlock_unlock(&a->lock);
	return 0;
}
