// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "base/clock.h"
#include "place.h"

static int setup(void **state)
{
	struct place *p = mem_zalloc(sizeof(*p));

	place_init(p);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	place_release(*state);
	mem_free(*state);
	return 0;
}

#define PLANTS                                                                                     \
	"{'name':'plants','image':'host','script':'true','cpu':'1','memory':'64Mi',"               \
	"'input':[{'path':'plants/in','storage_provider':'minio.default'}],"                       \
	"'output':[{'path':'plants/out','storage_provider':'minio.default'}],"                     \
	"'environment':{'variables':{'A':'1'},'secrets':{'KEY':'hush'}}}"
// The same bucket, other folders.
#define SHARING                                                                                    \
	"{'name':'birds','image':'host','script':'true',"                                          \
	"'input':[{'path':'plants/birds','storage_provider':'minio.default'}],"                    \
	"'output':[{'path':'birds/out','storage_provider':'minio.default'}]}"

static void expect_create_fails(struct place *p, struct service_caller who, const char *text,
				enum err_code code)
{
	struct err e = { 0 };

	assert_int_equal(service_create(p->services, &who, place_fdl(p, text), &e), -1);
	if (e.code != code)
		fail_msg("%s: %s", err_name(e.code), e.msg);
}

static void creating_makes_buckets_folders_and_a_token(void **state)
{
	struct place *p = *state;
	struct service_caller ann = place_ann(p);
	auto_service_def struct service_def *d = NULL;
	auto_service_def struct service_def *by_token = NULL;
	struct store_object o;
	struct store_bucket b;
	struct err e = { 0 };

	place_create(p, ann, PLANTS);
	assert_int_equal(service_get(p->services, &ann, SPAN("plants"), &d, &e), 0);
	assert_int_equal(d->owner, p->ann.id);
	assert_int_equal(d->revision, 1);
	assert_string_equal(d->fdl->owner, "ann");
	assert_int_equal(strlen(d->token), SERVICE_TOKEN_LEN);
	assert_int_equal(strspn(d->token, "0123456789abcdef"), SERVICE_TOKEN_LEN);
	assert_int_equal(store_bucket_get(p->store, SPAN("plants"), &b, &e), 0);
	assert_int_equal(b.owner, p->ann.id);
	assert_int_equal(b.service, d->id);
	assert_int_equal(
		store_object_get(p->store, SPAN("plants"), SPAN("in/"), 0, &p->mem, &o, &e), 0);
	assert_int_equal(
		store_object_get(p->store, SPAN("plants"), SPAN("out/"), 0, &p->mem, &o, &e), 0);
	assert_int_equal(place_jobs(p, "plants", NULL), 0); // folders trigger nothing

	assert_int_equal(
		service_by_token(p->services, SPAN("plants"), span_of(d->token), &by_token, &e), 0);
	assert_ptr_equal(by_token, d);
	assert_int_equal(service_by_token(p->services, SPAN("plants"), SPAN("x"), &by_token, &e),
			 -1);
	assert_int_equal(e.code, ERR_UNAUTH);
	assert_int_equal(
		service_by_token(p->services, SPAN("none"), span_of(d->token), &by_token, &e), -1);
	assert_int_equal(e.code, ERR_UNAUTH);
}

static void what_cannot_be_is_refused_and_leaves_nothing(void **state)
{
	static const struct {
		const char *text;
		enum err_code code;
	} bad[] = {
		{ "{'name':'n','image':'nowhere','script':'s'}", ERR_NOT_FOUND },
		{ "{'name':'n','image':'host','script':'s','cpu':'4.1'}", ERR_INVALID },
		{ "{'name':'n','image':'host','script':'s','memory':'9Gi'}", ERR_INVALID },
		{ "{'name':'n','image':'host','script':'s','input':[{'path':'nbucket/in',"
		  "'storage_provider':'minio.default'}],'output':[{'path':'nbucket/in',"
		  "'storage_provider':'minio.default'}]}",
		  ERR_CONFLICT },
		{ "{'name':'n','image':'host','script':'s','input':[{'path':'nbucket/in',"
		  "'storage_provider':'minio.default'}],'output':[{'path':'nbucket/in/sub',"
		  "'storage_provider':'minio.default'}]}",
		  ERR_CONFLICT },
	};
	struct place *p = *state;
	struct service_caller admin = place_admin();
	auto_service_def struct service_def *d = NULL;
	struct err e = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		expect_create_fails(p, admin, bad[i].text, bad[i].code);
	assert_int_equal(service_get(p->services, &admin, SPAN("n"), &d, &e), -1);
	assert_int_equal(e.code, ERR_NOT_FOUND);
	assert_false(place_has_bucket(p, "nbucket"));
	place_create(p, admin, PLANTS);
	expect_create_fails(p, admin, PLANTS, ERR_EXISTS);
}

static void services_of_others_are_not_seen_nor_changed(void **state)
{
	struct place *p = *state;
	struct service_caller admin = place_admin(), ann = place_ann(p);
	auto_service_def struct service_def *d = NULL;
	struct service_def **list;
	struct err e = { 0 };
	size_t n;

	place_create(p, admin, PLANTS);
	assert_int_equal(service_get(p->services, &ann, SPAN("plants"), &d, &e), -1);
	assert_int_equal(e.code, ERR_DENIED);
	assert_int_equal(service_list(p->services, &ann, &p->mem, &list, &n, &e), 0);
	assert_int_equal(n, 0);
	assert_int_equal(service_update(p->services, &ann, place_fdl(p, PLANTS), &e), -1);
	assert_int_equal(e.code, ERR_DENIED);
	assert_int_equal(service_remove(p->services, &ann, SPAN("plants"), true, &e), -1);
	assert_int_equal(e.code, ERR_NOT_FOUND);
	// Nor can a service of ann read or write the bucket.
	expect_create_fails(p, ann, SHARING, ERR_DENIED);
	expect_create_fails(p, ann,
			    "{'name':'spy','image':'host','script':'s','output':[{'path':'plants/"
			    "in','storage_provider':'minio.default'}]}",
			    ERR_DENIED);
	assert_int_equal(service_list(p->services, &admin, &p->mem, &list, &n, &e), 0);
	assert_int_equal(n, 1);
	service_list_put(list, n);
}

static void visibility_is_as_the_definition_says(void **state)
{
	struct place *p = *state;
	struct service_caller ann = place_ann(p), bob = { .user = 99, .name = "bob" };
	auto_service_def struct service_def *d = NULL;
	auto_service_def struct service_def *d2 = NULL;
	struct service_def *none;
	struct err e = { 0 };

	place_create(p, place_admin(),
		     "{'name':'open','image':'host','script':'s','visibility':'public'}");
	place_create(p, place_admin(),
		     "{'name':'some','image':'host','script':'s','visibility':'restricted',"
		     "'allowed_users':['ann']}");
	assert_int_equal(service_get(p->services, &bob, SPAN("open"), &d, &e), 0);
	assert_int_equal(service_get(p->services, &ann, SPAN("some"), &d2, &e), 0);
	assert_int_equal(service_get(p->services, &bob, SPAN("some"), &none, &e), -1);
	assert_int_equal(e.code, ERR_DENIED);
	assert_int_equal(service_remove(p->services, &bob, SPAN("open"), false, &e), -1);
	assert_int_equal(e.code, ERR_DENIED);
}

static void an_update_is_a_new_revision(void **state)
{
	struct place *p = *state;
	struct service_caller admin = place_admin(), ann = place_ann(p);
	auto_service_def struct service_def *first = NULL;
	auto_service_def struct service_def *now = NULL;
	auto_service_def struct service_def *old = NULL;
	struct err e = { 0 };

	place_create(p, ann, PLANTS);
	assert_int_equal(service_get(p->services, &ann, SPAN("plants"), &first, &e), 0);
	// By the administrator: it stays ann's. No secrets are named: they stay.
	if (service_update(p->services, &admin,
			   place_fdl(p, "{'name':'plants','image':'host','script':'false',"
					"'input':[{'path':'plants/new','storage_provider':"
					"'minio.default'}]}"),
			   &e) < 0)
		fail_msg("%s", e.msg);
	assert_int_equal(service_get(p->services, &ann, SPAN("plants"), &now, &e), 0);
	assert_int_equal(now->id, first->id);
	assert_int_equal(now->revision, 2);
	assert_int_equal(now->owner, p->ann.id);
	assert_string_equal(now->token, first->token);
	assert_string_not_equal(now->script_hash, first->script_hash);
	assert_int_equal(now->fdl->secret_count, 1);
	assert_string_equal(now->fdl->secrets[0].value, "hush");
	assert_int_equal(service_revision(p->services, first->id, 1, &old, &e), 0);
	assert_string_equal(old->fdl->script, "true");
	// The old input does not trigger any more, the new one does.
	place_put(p, "plants", "in/a", SPAN("x"));
	assert_int_equal(place_jobs(p, "plants", NULL), 0);
	place_put(p, "plants", "new/a", SPAN("x"));
	assert_int_equal(place_jobs(p, "plants", NULL), 1);
}

// What a service was goes, when nobody can ask for it any more.
static void replaced_revisions_go_when_no_job_names_them(void **state)
{
	struct place *p = *state;
	struct service_caller admin = place_admin();
	int64_t id, left = 0;
	struct err e = { 0 };

	place_create(p, admin, PLANTS);
	id = place_service_id(p, "plants");
	for (int i = 0; i < 4; i++) { // revisions 2, 3, 4, 5; of 2 there is a job
		assert_int_equal(service_update(p->services, &admin, place_fdl(p, PLANTS), &e), 0);
		if (i == 0)
			place_put(p, "plants", "in/a", SPAN("x"));
	}
	for (int64_t r = 1; r <= 5; r++) { // as yet somebody may hold the older ones
		auto_service_def struct service_def *d = NULL;

		left += service_revision(p->services, id, r, &d, &e) == 0;
	}
	assert_int_equal(left, 5);
	clock_wall_shift(2 * 3600 * NS_PER_S);
	assert_int_equal(service_update(p->services, &admin, place_fdl(p, PLANTS), &e), 0);
	clock_wall_shift(0);
	for (int64_t r = 1; r <= 6; r++) {
		auto_service_def struct service_def *d = NULL;

		// 5 has been replaced just now.
		assert_int_equal(service_revision(p->services, id, r, &d, &e) == 0,
				 r == 2 || r >= 5);
	}
}

static void definitions_outlive_a_restart(void **state)
{
	struct place *p = *state;
	struct service_caller ann = place_ann(p);
	auto_service_def struct service_def *before = NULL;
	auto_service_def struct service_def *after = NULL;
	struct err e = { 0 };

	place_create(p, ann, PLANTS);
	assert_int_equal(service_get(p->services, &ann, SPAN("plants"), &before, &e), 0);
	place_close(p);
	place_open(p);
	assert_int_equal(service_get(p->services, &ann, SPAN("plants"), &after, &e), 0);
	assert_string_equal(after->token, before->token);
	assert_string_equal(after->script_hash, before->script_hash);
	assert_string_equal(after->fdl->secrets[0].value, "hush");
	assert_string_equal(after->fdl->variables[0].value, "1");
	place_put(p, "plants", "in/a", SPAN("x"));
	assert_int_equal(place_jobs(p, "plants", NULL), 1);
}

static void removing_keeps_data_unless_asked(void **state)
{
	struct place *p = *state;
	struct service_caller admin = place_admin();
	struct err e = { 0 };

	place_create(p, admin, PLANTS);
	place_put(p, "plants", "in/a", SPAN("x"));
	assert_int_equal(service_remove(p->services, &admin, SPAN("plants"), false, &e), 0);
	assert_true(place_has_bucket(p, "plants"));
	assert_int_equal(service_remove(p->services, &admin, SPAN("plants"), false, &e), -1);
	assert_int_equal(e.code, ERR_NOT_FOUND);
	// The bucket is there already, so a new service of that name did not make it: it stays.
	place_create(p, admin, PLANTS);
	assert_int_equal(place_jobs(p, "plants", NULL), 0); // of the old life
	assert_int_equal(service_remove(p->services, &admin, SPAN("plants"), true, &e), 0);
	assert_true(place_has_bucket(p, "plants"));
}

static void a_shared_bucket_stays_for_the_other_service(void **state)
{
	struct place *p = *state;
	struct service_caller admin = place_admin();
	struct err e = { 0 };

	place_create(p, admin, PLANTS);
	place_create(p, admin, SHARING);
	place_put(p, "plants", "birds/a", SPAN("x"));
	assert_int_equal(place_jobs(p, "plants", NULL), 0);
	assert_int_equal(place_jobs(p, "birds", NULL), 1);
	assert_int_equal(service_remove(p->services, &admin, SPAN("plants"), true, &e), 0);
	assert_true(place_has_bucket(p, "plants"));
	place_put(p, "plants", "birds/b", SPAN("x"));
	assert_int_equal(place_jobs(p, "birds", NULL), 2);
	assert_int_equal(service_remove(p->services, &admin, SPAN("birds"), true, &e), 0);
	assert_false(place_has_bucket(p, "birds"));
}

static void buckets_go_with_all_they_hold_when_asked(void **state)
{
	struct place *p = *state;
	struct service_caller admin = place_admin();
	struct err e = { 0 };
	char key[16];

	place_create(p, admin, PLANTS);
	for (int i = 0; i < 30; i++) {
		snprintf(key, sizeof(key), "in/%d", i);
		place_put(p, "plants", key, SPAN("x"));
	}
	assert_int_equal(service_remove(p->services, &admin, SPAN("plants"), true, &e), 0);
	assert_false(place_has_bucket(p, "plants"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		CASE(creating_makes_buckets_folders_and_a_token),
		CASE(what_cannot_be_is_refused_and_leaves_nothing),
		CASE(services_of_others_are_not_seen_nor_changed),
		CASE(visibility_is_as_the_definition_says),
		CASE(an_update_is_a_new_revision),
		CASE(replaced_revisions_go_when_no_job_names_them),
		CASE(definitions_outlive_a_restart),
		CASE(removing_keeps_data_unless_asked),
		CASE(a_shared_bucket_stays_for_the_other_service),
		CASE(buckets_go_with_all_they_hold_when_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
