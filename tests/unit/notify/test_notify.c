// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "place.h"

// ---- cases ---------------------------------------------------------------------------------------------

static void a_queue_keeps_events_until_they_are_taken(void **state)
{
	struct place *p = *state;
	struct notify_letter *l;
	struct notify_target t;
	struct err e = { 0 };
	uint64_t taken;
	size_t n;

	target(p, "queue", "q", "queue_limit", "3");
	rule(p, "queue", "q", "s3:ObjectCreated:*", "in/");
	put(p, "in/1");
	put(p, "out/1");
	put(p, "in/2");
	assert_int_equal(notify_letters(p->notify, "queue", "q", false, 0, 10, &p->mem, &l, &n, &e),
			 0);
	assert_int_equal(n, 2);
	assert_true(l[0].seq < l[1].seq);
	assert_int_equal(notify_take(p->notify, "q", l[0].seq, &taken, &e), 0);
	assert_int_equal(taken, 1);
	close_all(p);
	open_all(p);
	for (int i = 0; i < 4; i++) // one that waits and four more: two are over
		put(p, "in/more");
	assert_int_equal(letters(p, "queue", "q", false), 3);
	assert_int_equal(notify_target_get(p->notify, "queue", "q", &p->mem, &t, &e), 0);
	assert_int_equal(t.events, 3);
	assert_int_equal(t.dropped, 2);
}

static void a_refused_change_leaves_no_event(void **state)
{
	struct place *p = *state;
	struct store_put_options o = { .bucket = SPAN("photos"),
				       .key = SPAN("a"),
				       .owner = 1,
				       .size = 0,
				       .only_if = { .if_match = SPAN("nothing") } };
	struct store_object made;
	struct store_put *w;
	struct err e = { 0 };

	target(p, "queue", "q", "comment", "");
	rule(p, "queue", "q", "s3:ObjectCreated:*", "");
	assert_int_equal(store_put_begin(p->store, &o, &w, &e), 0);
	assert_int_equal(store_put_finish(w, &p->mem, &made, &e), -1);
	assert_int_equal(letters(p, "queue", "q", false), 0);
}

// The listener hears keys; the order of one key is told by the sizes that its versions had, one more each time.
static void webhooks_hear_in_the_order_of_a_key(void **state)
{
	struct place *p = *state;
	int seen[3] = { 0 };

	target(p, "webhook", "w", "comment", "");
	rule(p, "webhook", "w", "s3:ObjectCreated:*", "");
	atomic_store(&p->status, 500); // what fails does not lose its place
	for (int i = 0; i < 30; i++) {
		const char *const keys[] = { "a", "b", "c" };

		p->size = i / 3 + 1;
		put(p, keys[i % 3]);
		if (i == 20)
			atomic_store(&p->status, 200);
	}
	wait_heard(p, 30);
	wait_letters(p, "webhook", "w", false, 0);
	for (int i = 0; i < 30; i++) {
		int *k = &seen[p->heard[i][0] - 'a'];

		assert_int_equal(p->sizes[i], ++*k);
	}
}

static void the_others_go_on_while_one_key_fails(void **state)
{
	struct place *p = *state;

	target(p, "webhook", "w", "comment", "");
	rule(p, "webhook", "w", "s3:ObjectCreated:*", "");
	p->refused = "bad";
	put(p, "bad");
	put(p, "a");
	put(p, "bad");
	put(p, "b");
	wait_heard(p, 2);
	wait_letters(p, "webhook", "w", false, 2);
	p->refused = NULL;
	wait_heard(p, 4);
	wait_letters(p, "webhook", "w", false, 0);
}

static void all_wait_while_the_target_is_away(void **state)
{
	struct place *p = *state;

	target(p, "webhook", "w", "comment", "");
	rule(p, "webhook", "w", "s3:ObjectCreated:*", "");
	atomic_store(&p->status, 503);
	put(p, "a");
	put(p, "b");
	wait_letters(p, "webhook", "w", false, 2);
	atomic_store(&p->status, 200);
	wait_heard(p, 2);
	wait_letters(p, "webhook", "w", false, 0);
}

static void what_is_never_taken_dies_and_can_be_sent_again(void **state)
{
	struct place *p = *state;
	struct notify_target t;
	struct err e = { 0 };
	uint64_t n;

	target(p, "webhook", "w", "retry_attempts", "3");
	rule(p, "webhook", "w", "s3:ObjectCreated:*", "");
	atomic_store(&p->status, 400);
	put(p, "a");
	put(p, "b");
	wait_letters(p, "webhook", "w", true, 2);
	assert_int_equal(letters(p, "webhook", "w", false), 0);
	assert_int_equal(notify_target_get(p->notify, "webhook", "w", &p->mem, &t, &e), 0);
	assert_int_equal(t.dead, 2);
	assert_non_null(strstr(t.fault, "400"));
	close_all(p); // the dead outlive the process
	open_all(p);
	atomic_store(&p->status, 200);
	assert_int_equal(notify_dead(p->notify, "webhook", "w", 0, true, &n, &e), 0);
	assert_int_equal(n, 2);
	wait_heard(p, 2);
	wait_letters(p, "webhook", "w", false, 0);
	assert_int_equal(letters(p, "webhook", "w", true), 0);
	assert_int_equal(notify_target_get(p->notify, "webhook", "w", &p->mem, &t, &e), 0);
	assert_int_equal(t.events, 0);
}

static void what_waits_is_sent_after_a_restart(void **state)
{
	struct place *p = *state;

	target(p, "webhook", "w", "comment", "");
	rule(p, "webhook", "w", "s3:ObjectCreated:*", "");
	atomic_store(&p->status, 503);
	put(p, "a");
	close_all(p);
	atomic_store(&p->status, 200);
	open_all(p);
	wait_heard(p, 1);
	assert_string_equal(p->heard[0], "a");
}

static void settings_are_looked_at(void **state)
{
	struct place *p = *state;
	static const struct {
		const char *kind, *name, *key, *value;
	} bad[] = {
		{ "smoke", "a", "endpoint", "http://a/" },
		{ "webhook", "", "endpoint", "http://a/" },
		{ "webhook", "a:b", "endpoint", "http://a/" },
		{ "webhook", "a", "endpoint", "" },
		{ "webhook", "a", "endpoint", "ftp://a/" },
		{ "webhook", "a", "endpoint", "http://a/ b" },
		{ "webhook", "a", "users", "ana" },
		{ "nats", "a", "address", "127.0.0.1:4222" },
		{ "queue", "a", "enable", "maybe" },
		{ "queue", "a", "queue_limit", "-1" },
		{ "queue", "a", "comment", "two\nlines" },
	};
	struct notify_setting change = { "comment", "kept" }, unset = { "endpoint", "" };
	struct notify_target t;
	struct err e = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct notify_setting s = { bad[i].key, bad[i].value };

		e = (struct err){ 0 };
		assert_int_equal(notify_target_set(p->notify, bad[i].kind, bad[i].name, &s, 1, &e),
				 -1);
		assert_int_equal(e.code, ERR_INVALID);
	}
	target(p, "webhook", "w", "auth_token", "secret");
	assert_int_equal(notify_target_set(p->notify, "webhook", "w", &change, 1, &e), 0);
	assert_int_equal(notify_target_set(p->notify, "webhook", "w", &unset, 1, &e), -1);
	assert_int_equal(notify_target_get(p->notify, "webhook", "w", &p->mem, &t, &e), 0);
	assert_int_equal(t.setting_count, 3);
	assert_string_equal(t.arn, "arn:minio:sqs:us-east-1:w:webhook");
}

static void a_named_target_stays(void **state)
{
	struct place *p = *state;
	struct err e = { 0 };

	target(p, "queue", "q", "comment", "");
	rule(p, "queue", "q", "s3:ObjectCreated:*", "");
	put(p, "a");
	assert_int_equal(notify_target_remove(p->notify, "queue", "q", &e), -1);
	assert_int_equal(e.code, ERR_CONFLICT);
	assert_int_equal(notify_rules_set(p->notify, SPAN("photos"),
					  SPAN("<NotificationConfiguration/>"), &e),
			 0);
	assert_int_equal(notify_target_remove(p->notify, "queue", "q", &e), 0);
	target(p, "queue", "q", "comment", ""); // a new one, without the old one's events
	assert_int_equal(letters(p, "queue", "q", false), 0);
	assert_int_equal(notify_target_remove(p->notify, "queue", "other", &e), -1);
	assert_int_equal(e.code, ERR_NOT_FOUND);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(a_queue_keeps_events_until_they_are_taken),
		CASE(a_refused_change_leaves_no_event),
		CASE(webhooks_hear_in_the_order_of_a_key),
		CASE(the_others_go_on_while_one_key_fails),
		CASE(all_wait_while_the_target_is_away),
		CASE(what_is_never_taken_dies_and_can_be_sent_again),
		CASE(what_waits_is_sent_after_a_restart),
		CASE(settings_are_looked_at),
		CASE(a_named_target_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
