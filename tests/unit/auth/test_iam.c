// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "auth/iam.h"
#include "base/file.h"
#include "base/mem.h"
#include "db/db.h"
#include "db/schema.h"

#include <fcntl.h>
#include <stdlib.h>

struct place {
	char dir[32];
	struct db *db;
	struct auth *auth;
	struct arena mem;
	struct auth_user ana, bob;
};

#define GET_ALL                                                                                    \
	"{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"s3:"        \
	"GetObject\","                                                                             \
	"\"Resource\":\"arn:aws:s3:::*\"}]}"

static void open_all(struct place *p)
{
	auto_free char *path = mem_printf("%s/oscar.db", p->dir);
	struct db_options o = { .path = path,
				.migrations = schema_migrations,
				.migration_count = schema_migration_count };
	struct err e = { 0 };

	assert_int_equal(db_open(&p->db, &o, &e), 0);
	assert_int_equal(auth_open(&p->auth, p->db, &e), 0);
}

static int setup(void **state)
{
	struct place *p = mem_zalloc(sizeof(*p));
	struct err e = { 0 };

	memcpy(p->dir, "/tmp/oscar-iam-XXXXXX", 22);
	assert_non_null(mkdtemp(p->dir));
	open_all(p);
	assert_int_equal(auth_user_add(p->auth, "ana", NULL, "ANAKEY", "ana-secret-1", &p->ana, &e),
			 0);
	assert_int_equal(auth_user_add(p->auth, "bob", NULL, "BOBKEY", "bob-secret-1", &p->bob, &e),
			 0);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;
	struct err e;

	auth_close(p->auth);
	db_close(p->db);
	arena_release(&p->mem);
	assert_int_equal(file_remove_tree(AT_FDCWD, p->dir, &e), 0);
	mem_free(p);
	return 0;
}

static size_t policies_of(struct place *p, int64_t user)
{
	struct policy *all[IAM_OF_USER_MAX];
	size_t n = iam_policies_of(p->auth, user, all);

	for (size_t i = 0; i < n; i++)
		policy_free(all[i]);
	return n;
}

static int change(struct place *p, bool group, const char *name, enum iam_change what,
		  const char *policies, struct err *e)
{
	struct iam_holder who = { group, span_of(name) };

	return iam_policies_change(p->auth, &who, what, span_of(policies), e);
}

static void policies_are_held_by_users(void **state)
{
	struct place *p = *state;
	struct iam_holder ana = { false, SPAN("ana") };
	struct span held;
	struct err e = { 0 };

	assert_int_equal(policies_of(p, p->ana.id), 0);
	assert_int_equal(iam_policy_put(p->auth, "get", SPAN(GET_ALL), &e), 0);
	assert_int_equal(change(p, false, "ana", IAM_ATTACH, "get,readonly", &e), 0);
	assert_int_equal(policies_of(p, p->ana.id), 2);
	assert_int_equal(policies_of(p, p->bob.id), 0);
	assert_int_equal(iam_policies_held(p->auth, &ana, &p->mem, &held, &e), 0);
	assert_true(span_is(held, "get,readonly"));
	auth_close(p->auth);
	db_close(p->db);
	open_all(p);
	assert_int_equal(policies_of(p, p->ana.id), 2);
	assert_int_equal(change(p, false, "ana", IAM_SET, "writeonly", &e), 0);
	assert_int_equal(change(p, false, "ana", IAM_DETACH, "get", &e), 0);
	assert_int_equal(iam_policies_held(p->auth, &ana, &p->mem, &held, &e), 0);
	assert_true(span_is(held, "writeonly"));
	assert_int_equal(change(p, false, "ana", IAM_ATTACH, "missing", &e), -1);
	assert_int_equal(e.code, ERR_NOT_FOUND);
	assert_int_equal(change(p, false, "eve", IAM_ATTACH, "get", &e), -1);
	assert_int_equal(e.code, ERR_NOT_FOUND);
	assert_int_equal(change(p, false, "ana", IAM_SET, "", &e), 0);
	assert_int_equal(policies_of(p, p->ana.id), 0);
}

static void policies_in_use_and_built_in_ones_stay(void **state)
{
	struct place *p = *state;
	struct span text;
	struct err e = { 0 };

	assert_int_equal(iam_policy_put(p->auth, "get", SPAN(GET_ALL), &e), 0);
	assert_int_equal(change(p, false, "ana", IAM_ATTACH, "get", &e), 0);
	assert_int_equal(iam_policy_remove(p->auth, "get", &e), -1);
	assert_int_equal(e.code, ERR_CONFLICT);
	assert_int_equal(auth_user_remove(p->auth, SPAN("ana"), &e), 0);
	assert_int_equal(iam_policy_remove(p->auth, "get", &e), 0);
	assert_int_equal(iam_policy_get(p->auth, SPAN("get"), &p->mem, &text, &e), -1);
	assert_int_equal(iam_policy_put(p->auth, "readonly", SPAN(GET_ALL), &e), -1);
	assert_int_equal(e.code, ERR_DENIED);
	assert_int_equal(iam_policy_remove(p->auth, "readonly", &e), -1);
	assert_int_equal(iam_policy_put(p->auth, "a,b", SPAN(GET_ALL), &e), -1);
	assert_int_equal(iam_policy_put(p->auth, "", SPAN(GET_ALL), &e), -1);
	assert_int_equal(iam_policy_put(p->auth, "bad", SPAN("{}"), &e), -1);
	assert_int_equal(e.code, ERR_INVALID);
}

static void groups_pass_policies_on(void **state)
{
	struct place *p = *state;
	struct span both[] = { SPAN("ana"), SPAN("bob") }, eve[] = { SPAN("eve") };
	struct iam_group g;
	struct err e = { 0 };

	assert_int_equal(iam_group_change(p->auth, "lab", both, 2, false, &e), 0);
	assert_int_equal(change(p, true, "lab", IAM_ATTACH, "readwrite", &e), 0);
	assert_int_equal(policies_of(p, p->bob.id), 1);
	assert_int_equal(iam_group_enable(p->auth, "lab", false, &e), 0);
	assert_int_equal(policies_of(p, p->bob.id), 0);
	assert_int_equal(iam_group_enable(p->auth, "lab", true, &e), 0);
	assert_int_equal(iam_group_change(p->auth, "lab", NULL, 0, true, &e), -1);
	assert_int_equal(e.code, ERR_CONFLICT);
	assert_int_equal(iam_group_change(p->auth, "lab", both, 1, true, &e), 0);
	assert_int_equal(policies_of(p, p->ana.id), 0);
	assert_int_equal(iam_group_get(p->auth, SPAN("lab"), &p->mem, &g, &e), 0);
	assert_true(g.n == 1 && strcmp(g.members[0], "bob") == 0);
	assert_int_equal(iam_group_change(p->auth, "lab", eve, 1, false, &e), -1);
	assert_int_equal(e.code, ERR_NOT_FOUND);
	assert_int_equal(iam_group_change(p->auth, "lab", both, 2, true, &e), 0);
	assert_int_equal(iam_group_change(p->auth, "lab", NULL, 0, true, &e), 0);
	assert_int_equal(iam_group_get(p->auth, SPAN("lab"), &p->mem, &g, &e), -1);
}

static void keys_are_many_and_can_be_changed(void **state)
{
	struct place *p = *state;
	const char **names;
	struct auth_key k;
	struct err e = { 0 };
	size_t n;

	assert_int_equal(iam_key_put(p->auth, p->ana.id, "ANAKEY2", "ana-secret-2", &e), 0);
	assert_int_equal(iam_key_put(p->auth, p->ana.id, "ANAKEY", "ana-secret-3", &e), 0);
	assert_int_equal(iam_key_put(p->auth, p->ana.id, "BOBKEY", "ana-secret-4", &e), -1);
	assert_int_equal(e.code, ERR_EXISTS);
	assert_int_equal(iam_key_put(p->auth, p->ana.id, "ANAKEY3", "short", &e), -1);
	auth_close(p->auth);
	db_close(p->db);
	open_all(p);
	assert_int_equal(auth_key_find(p->auth, SPAN("ANAKEY"), &k, &e), 0);
	assert_string_equal(k.secret, "ana-secret-3");
	assert_int_equal(iam_key_list(p->auth, p->ana.id, &p->mem, &names, &n, &e), 0);
	assert_int_equal(n, 2);
	assert_int_equal(iam_key_remove(p->auth, p->bob.id, SPAN("ANAKEY"), &e), -1);
	assert_int_equal(iam_key_remove(p->auth, p->ana.id, SPAN("ANAKEY"), &e), 0);
	assert_int_equal(auth_key_find(p->auth, SPAN("ANAKEY"), &k, &e), -1);
	assert_int_equal(iam_user_enable(p->auth, p->ana.id, false, &e), 0);
	assert_int_equal(auth_key_find(p->auth, SPAN("ANAKEY2"), &k, &e), -1);
	assert_int_equal(iam_key_put(p->auth, AUTH_ADMIN_ID, "ROOTKEY", "root-secret", &e), -1);
	assert_int_equal(e.code, ERR_DENIED);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(policies_are_held_by_users),
		CASE(policies_in_use_and_built_in_ones_stay),
		CASE(groups_pass_policies_on),
		CASE(keys_are_many_and_can_be_changed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
