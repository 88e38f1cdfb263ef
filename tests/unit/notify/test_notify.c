// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "base/clock.h"
#include "base/file.h"
#include "base/lock.h"
#include "base/mem.h"
#include "db/db.h"
#include "db/schema.h"
#include "http/http.h"
#include "notify/notify.h"
#include "store/store.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { TRIES = 3000 };

// A store with a bucket "photos", its notifications, and a listener that takes posts.
struct place {
	char dir[32];
	struct db *db;
	struct store *store;
	struct notify *notify;
	struct http_server *server;
	char url[64];
	struct arena mem;
	pthread_mutex_t lock;
	char heard[64][32]; // the keys, in the order of arrival
	int sizes[64];
	_Atomic int heard_count;
	int size;		     // of what is put
	const char *_Atomic refused; // a key that the listener does not take
	_Atomic unsigned status;     // what the listener answers
};

static void posted(void *owner, struct http_req *r)
{
	struct place *p = owner;
	const char *no = atomic_load(&p->refused);
	unsigned status = atomic_load(&p->status);
	char *text = arena_strndup(http_arena(r), http_body(r).p, http_body(r).n);
	struct span key = span_of(strstr(text, "\"Key\":\"photos/")), size;
	int n;

	key = span_from(key, sizeof("\"Key\":\"photos/") - 1);
	key = span_cut(&key, '"');
	size = span_of(strstr(text, "\"size\":") + sizeof("\"size\":") - 1);
	if (no && span_is(key, no))
		status = 400;
	pthread_mutex_lock(&p->lock);
	n = atomic_load(&p->heard_count);
	if (status == 200 && n < 64) {
		snprintf(p->heard[n], sizeof(p->heard[n]), SPAN_FMT, SPAN_ARG(key));
		p->sizes[n] = (int)strtol(size.p, NULL, 10);
		atomic_store(&p->heard_count, n + 1);
	}
	pthread_mutex_unlock(&p->lock);
	http_reply_text(r, status, "");
}

static void begun(void *owner unused_arg, struct http_req *r)
{
	http_body_collect(r, 1 << 20);
}

static void open_all(struct place *p)
{
	auto_free char *path = mem_printf("%s/oscar.db", p->dir);
	struct db_options o = { .path = path,
				.migrations = schema_migrations,
				.migration_count = schema_migration_count };
	struct store_options so = { .data_dir = p->dir };
	struct notify_options no = { .retry_ms = 5, .retry_max_ms = 20 };
	struct store_sink sink = { .changed = notify_changed };
	struct err e = { 0 };

	assert_int_equal(db_open(&p->db, &o, &e), 0);
	so.db = no.db = p->db;
	assert_int_equal(store_open(&p->store, &so, &e), 0);
	no.store = p->store;
	assert_int_equal(notify_open(&p->notify, &no, &e), 0);
	sink.owner = p->notify;
	store_set_sink(p->store, &sink);
	notify_start(p->notify);
}

static void close_all(struct place *p)
{
	store_close(p->store);
	notify_close(p->notify);
	db_close(p->db);
}

static int setup(void **state)
{
	struct place *p = mem_zalloc(sizeof(*p));
	struct http_options ho = { .listen = "127.0.0.1:0", .loops = 2 };
	struct store_bucket b;
	struct err e = { 0 };

	snprintf(p->dir, sizeof(p->dir), "/tmp/oscar-notify-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	pthread_mutex_init(&p->lock, NULL);
	atomic_store(&p->status, 200);
	ho.handler = (struct http_handler){ .owner = p, .begin = begun, .finish = posted };
	assert_int_equal(http_server_open(&p->server, &ho, &e), 0);
	snprintf(p->url, sizeof(p->url), "http://127.0.0.1:%u/", http_server_port(p->server));
	open_all(p);
	assert_int_equal(store_bucket_create(p->store, SPAN("photos"), 1, 0, &b, &e), 0);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;
	struct err e = { 0 };

	close_all(p);
	http_server_close(p->server);
	arena_release(&p->mem);
	pthread_mutex_destroy(&p->lock);
	assert_int_equal(file_remove_tree(AT_FDCWD, p->dir, &e), 0);
	mem_free(p);
	return 0;
}

static void put(struct place *p, const char *key)
{
	struct store_put_options o = { .bucket = SPAN("photos"),
				       .key = span_of(key),
				       .owner = 1,
				       .size = p->size ? (uint64_t)p->size : 1 };
	struct store_object made;
	struct store_put *w;
	struct err e = { 0 };

	assert_int_equal(store_put_begin(p->store, &o, &w, &e), 0);
	for (uint64_t i = 0; i < o.size; i++)
		assert_int_equal(store_put_write(w, SPAN("x"), &e), 0);
	assert_int_equal(store_put_finish(w, &p->mem, &made, &e), 0);
}

static void target(struct place *p, const char *kind, const char *name, const char *key,
		   const char *value)
{
	struct notify_setting s[] = { { "endpoint", p->url }, { key, value } };
	size_t skip = strcmp(kind, "webhook") != 0;
	struct err e = { 0 };

	if (notify_target_set(p->notify, kind, name, s + skip, ARRAY_LEN(s) - skip, &e) < 0)
		fail_msg("%s", e.msg);
}

static void rule(struct place *p, const char *kind, const char *name, const char *event,
		 const char *prefix)
{
	auto_free char *doc = mem_printf(
		"<NotificationConfiguration><QueueConfiguration><Queue>arn:minio:sqs::%s:%s"
		"</Queue><Event>%s</Event><Filter><S3Key><FilterRule><Name>prefix</Name><Value>%s"
		"</Value></FilterRule></S3Key></Filter></QueueConfiguration>"
		"</NotificationConfiguration>",
		name, kind, event, prefix);
	struct err e = { 0 };

	if (notify_rules_set(p->notify, SPAN("photos"), span_of(doc), &e) < 0)
		fail_msg("%s", e.msg);
}

static void nap(void)
{
	struct timespec t = { .tv_nsec = 2 * NS_PER_MS };

	nanosleep(&t, NULL);
}

static void wait_heard(struct place *p, int n)
{
	for (int i = 0; i < TRIES && atomic_load(&p->heard_count) < n; i++)
		nap();
	assert_int_equal(atomic_load(&p->heard_count), n);
}

static size_t letters(struct place *p, const char *kind, const char *name, bool dead)
{
	struct notify_letter *l;
	struct err e = { 0 };
	size_t n;

	assert_int_equal(notify_letters(p->notify, kind, name, dead, 0, 1000, &p->mem, &l, &n, &e),
			 0);
	return n;
}

static void wait_letters(struct place *p, const char *kind, const char *name, bool dead, size_t n)
{
	for (int i = 0; i < TRIES && letters(p, kind, name, dead) != n; i++)
		nap();
	assert_int_equal(letters(p, kind, name, dead), n);
}

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
