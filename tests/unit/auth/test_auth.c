// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "auth/auth.h"
#include "base/file.h"
#include "base/mem.h"
#include "db/db.h"
#include "db/schema.h"

#include <fcntl.h>

struct place {
	char dir[32];
	struct db *db;
	struct auth *auth;
};

static void open_all(struct place *p)
{
	auto_free char *path = mem_printf("%s/oscar.db", p->dir);
	struct db_options o = { .path = path,
				.migrations = schema_migrations,
				.migration_count = schema_migration_count };
	struct err e = { 0 };

	assert_int_equal(db_open(&p->db, &o, &e), 0);
	assert_int_equal(auth_open(&p->auth, p->db, &e), 0);
	assert_int_equal(auth_set_admin(p->auth, "boss", "s3cret!", "ADMINKEY", "adminsecret", &e),
			 0);
}

static int setup(void **state)
{
	struct place *p = mem_zalloc(sizeof(*p));

	memcpy(p->dir, "/tmp/oscar-auth-XXXXXX", 23);
	assert_non_null(mkdtemp(p->dir));
	open_all(p);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;
	struct err e;

	auth_close(p->auth);
	db_close(p->db);
	assert_int_equal(file_remove_tree(AT_FDCWD, p->dir, &e), 0);
	mem_free(p);
	return 0;
}

static void the_administrator_logs_in_with_the_configured_password_only(void **state)
{
	struct place *p = *state;
	struct auth_user u;
	struct err e;

	assert_int_equal(auth_password(p->auth, SPAN("boss"), SPAN("s3cret!"), &u, &e), 0);
	assert_true(u.admin);
	assert_int_equal(auth_password(p->auth, SPAN("boss"), SPAN("s3cret!"), &u, &e), 0);
	assert_int_equal(auth_password(p->auth, SPAN("boss"), SPAN("s3cret"), &u, &e), -1);
	assert_int_equal(e.code, ERR_UNAUTH);
	assert_int_equal(auth_password(p->auth, SPAN("nobody"), SPAN("s3cret!"), &u, &e), -1);
	assert_int_equal(auth_password(p->auth, SPAN("anonymous"), SPAN(""), &u, &e), -1);
}

static void users_and_keys_survive_a_restart(void **state)
{
	struct place *p = *state;
	struct auth_user u;
	struct auth_key k;
	struct err e;

	assert_int_equal(auth_user_add(p->auth, "ana", "pw-of-ana", "AKANA", "secret-ana", &u, &e),
			 0);
	auth_close(p->auth);
	db_close(p->db);
	open_all(p);
	assert_int_equal(auth_key_find(p->auth, SPAN("AKANA"), &k, &e), 0);
	assert_string_equal(k.secret, "secret-ana");
	assert_int_equal(k.user.id, u.id);
	assert_int_equal(auth_password(p->auth, SPAN("ana"), SPAN("pw-of-ana"), &u, &e), 0);
	assert_int_equal(auth_user_remove(p->auth, SPAN("ana"), &e), 0);
	assert_int_equal(auth_key_find(p->auth, SPAN("AKANA"), &k, &e), -1);
	assert_int_equal(auth_user_remove(p->auth, SPAN("boss"), &e), -1);
}

static void users_are_found_by_mail(void **state)
{
	struct place *p = *state;
	struct auth_user ana, bob, u;
	char email[AUTH_EMAIL_MAX];
	struct err e;

	assert_int_equal(auth_user_add(p->auth, "ana", NULL, NULL, NULL, &ana, &e), 0);
	assert_int_equal(auth_user_add(p->auth, "bob", NULL, NULL, NULL, &bob, &e), 0);
	assert_int_equal(auth_user_set_email(p->auth, ana.id, "ana@example.org", &e), 0);
	assert_int_equal(auth_user_set_email(p->auth, bob.id, "ana@example.org", &e), -1);
	assert_int_equal(e.code, ERR_EXISTS);
	assert_int_equal(auth_user_set_email(p->auth, bob.id, "bob", &e), -1);
	assert_int_equal(e.code, ERR_INVALID);
	auth_close(p->auth);
	db_close(p->db);
	open_all(p);
	assert_int_equal(auth_user_by_email(p->auth, SPAN("Ana@Example.org"), &u, &e), 0);
	assert_int_equal(u.id, ana.id);
	assert_int_equal(auth_user_by_email(p->auth, SPAN(""), &u, &e), -1);
	auth_user_email(p->auth, ana.id, email);
	assert_string_equal(email, "ana@example.org");
	assert_int_equal(auth_user_set_email(p->auth, ana.id, "", &e), 0);
	auth_user_email(p->auth, ana.id, email);
	assert_string_equal(email, "");
}

static void clashes_and_bad_names_are_refused(void **state)
{
	struct place *p = *state;
	struct auth_user u;
	struct err e;

	assert_int_equal(auth_user_add(p->auth, "ana", NULL, "AKANA", "secret-ana", &u, &e), 0);
	assert_int_equal(auth_user_add(p->auth, "ana", NULL, "AK2", "secret-ana", &u, &e), -1);
	assert_int_equal(e.code, ERR_EXISTS);
	assert_int_equal(auth_user_add(p->auth, "bob", NULL, "AKANA", "secret-bob", &u, &e), -1);
	assert_int_equal(e.code, ERR_EXISTS);
	assert_int_equal(auth_user_find(p->auth, SPAN("bob"), &u, &e), -1);
	assert_int_equal(auth_user_add(p->auth, "a b", NULL, NULL, NULL, &u, &e), -1);
	assert_int_equal(e.code, ERR_INVALID);
	assert_int_equal(auth_user_add(p->auth, "c", NULL, "x/y", "secret-c", &u, &e), -1);
	assert_int_equal(e.code, ERR_INVALID);
}

static void rights_follow_owner_grant_and_visibility(void **state)
{
	struct place *p = *state;
	struct auth_user ana, bob;
	struct auth_subject s = { .bucket = 7 };
	struct err e;

	assert_int_equal(auth_user_add(p->auth, "ana", NULL, NULL, NULL, &ana, &e), 0);
	assert_int_equal(auth_user_add(p->auth, "bob", NULL, NULL, NULL, &bob, &e), 0);
	s.owner = ana.id;
	assert_int_equal(auth_may(p->auth, ana.id, &s, AUTH_OWN | AUTH_WRITE, &e), 0);
	assert_int_equal(auth_may(p->auth, AUTH_ADMIN_ID, &s, AUTH_OWN, &e), 0);
	assert_int_equal(auth_may(p->auth, bob.id, &s, AUTH_READ, &e), -1);
	assert_int_equal(auth_grant(p->auth, 7, bob.id, AUTH_READ, &e), 0);
	assert_int_equal(auth_may(p->auth, bob.id, &s, AUTH_READ, &e), 0);
	assert_int_equal(auth_may(p->auth, bob.id, &s, AUTH_READ | AUTH_WRITE, &e), -1);
	assert_int_equal(auth_grant(p->auth, 7, bob.id, 0, &e), 0);
	s.visibility = AUTH_PUBLIC;
	assert_int_equal(auth_may(p->auth, bob.id, &s, AUTH_LIST, &e), 0);
	assert_int_equal(auth_may(p->auth, bob.id, &s, AUTH_WRITE, &e), -1);
	assert_int_equal(auth_may(p->auth, AUTH_ANONYMOUS_ID, &s, AUTH_READ, &e), -1);
	s.owner = AUTH_ANONYMOUS_ID;
	assert_int_equal(auth_may(p->auth, AUTH_ANONYMOUS_ID, &s, AUTH_OWN, &e), -1);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(the_administrator_logs_in_with_the_configured_password_only),
		CASE(users_and_keys_survive_a_restart),
		CASE(users_are_found_by_mail),
		CASE(clashes_and_bad_names_are_refused),
		CASE(rights_follow_owner_grant_and_visibility),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
