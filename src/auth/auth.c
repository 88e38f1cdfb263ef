// SPDX-License-Identifier: Apache-2.0
// auth: the tables of users, keys and grants in memory, as the database has them.
#include "auth/auth.h"

#include "auth/state.h"
#include "base/clock.h"
#include "base/mem.h"

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

struct user *user_insert(struct auth *a, const struct auth_user *pub, const char *password)
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

void keys_drop_of(struct auth *a, const struct user *u)
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

void user_free(struct auth *a, struct user *u)
{
	keys_drop_of(a, u);
	mem_wipe(u, sizeof(*u));
	mem_free(u);
}

static int load_users(struct auth *a, struct db_conn *c, struct err *e)
{
	auto_query struct db_stmt *q = db_query(
		c, "SELECT id,name,password,admin,enabled,email FROM users", DB_NO_ARGS, e);
	int got;

	while ((got = db_step(q, e)) > 0) {
		struct auth_user pub = { .id = db_col_int(q, 0),
					 .admin = db_col_int(q, 3),
					 .enabled = db_col_int(q, 4) };
		auto_free char *hash = mem_strndup(db_col_span(q, 2).p, db_col_span(q, 2).n);
		struct user *u;

		snprintf(pub.name, sizeof(pub.name), SPAN_FMT, SPAN_ARG(db_col_span(q, 1)));
		u = user_insert(a, &pub, hash);
		snprintf(u->email, sizeof(u->email), SPAN_FMT, SPAN_ARG(db_col_span(q, 5)));
	}
	return got;
}

static int load_keys(struct auth *a, struct db_conn *c, struct err *e)
{
	auto_query struct db_stmt *q =
		db_query(c, "SELECT access,secret,user FROM keys WHERE enabled", DB_NO_ARGS, e);
	int got;

	while ((got = db_step(q, e)) > 0) {
		struct user *u = user_numbered(a, db_col_int(q, 2));

		if (u)
			key_insert(a, db_col_span(q, 0), db_col_span(q, 1), u);
	}
	return got;
}

static int load_grants(struct auth *a, struct db_conn *c, struct err *e)
{
	auto_query struct db_stmt *q =
		db_query(c, "SELECT bucket,user,rights FROM grants", DB_NO_ARGS, e);
	int got;

	while ((got = db_step(q, e)) > 0)
		grant_put(a, &(struct grant_key){ db_col_int(q, 0), db_col_int(q, 1) },
			  (unsigned)db_col_int(q, 2));
	return got;
}

static int load(struct auth *a, struct err *e)
{
	struct db_conn *c = db_reader(a->db, e);

	return !c || load_users(a, c, e) < 0 || load_keys(a, c, e) < 0 || load_grants(a, c, e) < 0
		       ? -1
		       : 0;
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
		user_free(a, u);
	}
	map_release(&a->keys);
	map_release(&a->grants);
	iam_free(a->iam);
	password_cache_free(a->passwords);
	pthread_rwlock_destroy(&a->lock);
	mem_free(a);
}
