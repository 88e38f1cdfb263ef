// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "place.h"

static void count_news(void *owner)
{
	atomic_fetch_add((_Atomic int *)owner, 1);
}

static struct notify_listener *listen_to(struct place *p, int64_t bucket, uint32_t events,
					 const char *prefix, _Atomic int *news)
{
	struct notify_listen o = { .bucket = bucket,
				   .events = events,
				   .prefix = span_of(prefix),
				   .suffix = SPAN(""),
				   .news = count_news,
				   .owner = news };
	struct notify_listener *l;
	struct err e = { 0 };

	assert_int_equal(notify_listen_begin(p->notify, &o, &l, &e), 0);
	return l;
}

static size_t next(struct place *p, struct notify_listener *l, struct notify_letter **out)
{
	struct err e = { 0 };
	size_t n;

	if (notify_listen_next(l, NOTIFY_PAGE_MAX, &p->mem, out, &n, &e) < 0)
		fail_msg("%s", e.msg);
	return n;
}

static int64_t rows(struct place *p)
{
	struct err e = { 0 };
	struct db_conn *c = db_reader(p->db, &e);
	int64_t n = -1;

	assert_non_null(c);
	assert_int_equal(db_get_int(c, "SELECT count(*) FROM notify_events", DB_NO_ARGS, 0, &n, &e),
			 0);
	return n;
}

static void wait_rows(struct place *p, int64_t n)
{
	for (int i = 0; i < TRIES && rows(p) != n; i++)
		nap();
	assert_int_equal(rows(p), n);
}

static void wait_news(_Atomic int *news, int n)
{
	for (int i = 0; i < TRIES && atomic_load(news) < n; i++)
		nap();
	assert_true(atomic_load(news) >= n);
}

static void who_listens_hears_what_he_asked_for(void **state)
{
	struct place *p = *state;
	_Atomic int news = 0, others = 0;
	struct notify_listener *l = listen_to(p, 0, NOTIFICATION_CREATED, "in/", &news);
	struct notify_listener *none = listen_to(p, 12345, NOTIFICATION_CREATED, "", &others);
	struct notify_letter *list;

	put(p, "out/1");
	put(p, "in/1");
	put(p, "in/2");
	wait_news(&news, 2);
	assert_int_equal(next(p, l, &list), 2);
	assert_non_null(strstr(list[0].record.p, "\"key\":\"in/1\""));
	assert_non_null(strstr(list[1].record.p, "\"key\":\"in/2\""));
	assert_true(span_starts(list[0].record, SPAN("{\"Records\":[{")));
	assert_int_equal(next(p, l, &list), 0);
	wait_rows(p, 0); // what was read goes
	assert_int_equal(next(p, none, &list), 0);
	assert_int_equal(atomic_load(&others), 0);
	notify_listen_end(none);
	notify_listen_end(l);
	put(p, "in/3");
	assert_int_equal(rows(p), 0);
}

static void what_nobody_read_goes_with_the_listener(void **state)
{
	struct place *p = *state;
	_Atomic int news = 0;
	struct notify_listener *l = listen_to(p, 0, NOTIFICATION_CREATED, "", &news);

	put(p, "a");
	assert_int_equal(rows(p), 1);
	notify_listen_end(l);
	wait_rows(p, 0);
}

static int leave_row(struct db_conn *c, void *arg unused_arg, struct err *e)
{
	return db_exec(c,
		       "INSERT INTO notify_events(target,bucket,key,time_ns,record) "
		       "VALUES(-7,1,'k',1,'{}')",
		       DB_NO_ARGS, e) < 0
		       ? -1
		       : 0;
}

static void what_a_crash_left_goes_at_the_start(void **state)
{
	struct place *p = *state;
	struct err e = { 0 };

	target(p, "queue", "q", "queue_limit", "10");
	rule(p, "queue", "q", "s3:ObjectCreated:*", "");
	put(p, "a");
	assert_int_equal(db_write(p->db, leave_row, NULL, &e), 0);
	assert_int_equal(rows(p), 2);
	close_all(p);
	open_all(p);
	assert_int_equal(rows(p), 1);
	assert_int_equal(letters(p, "queue", "q", false), 1);
}

static void what_was_rolled_back_is_not_told(void **state)
{
	struct place *p = *state;
	_Atomic int news = 0;
	struct notify_listener *l = listen_to(p, 0, NOTIFICATION_CREATED, "", &news);
	struct store_put_options o = { .bucket = SPAN("photos"),
				       .key = SPAN("a"),
				       .owner = 1,
				       .size = 1,
				       .only_if = { .if_match = SPAN("\"none\"") } };
	struct notify_letter *list;
	struct store_object made;
	struct store_put *w;
	struct err e = { 0 };

	assert_int_equal(store_put_begin(p->store, &o, &w, &e), 0);
	assert_int_equal(store_put_write(w, SPAN("x"), &e), 0);
	assert_int_equal(store_put_finish(w, &p->mem, &made, &e), -1);
	assert_int_equal(next(p, l, &list), 0);
	put(p, "b");
	assert_int_equal(next(p, l, &list), 1);
	assert_non_null(strstr(list[0].record.p, "\"key\":\"b\""));
	notify_listen_end(l);
}

static int tell_many(struct db_conn *c, void *arg, struct err *e)
{
	struct place *p = arg;
	struct store_event ev = { .name = "s3:ObjectCreated:Put",
				  .bucket_id = 1,
				  .bucket = SPAN("photos"),
				  .key = SPAN("k"),
				  .time_ns = 1 };

	for (int i = 0; i < NOTIFY_LISTEN_ROOM + 5; i++) {
		ev.version = i + 1;
		if (notify_changed(p->notify, c, &ev, e) < 0)
			return -1;
	}
	return 0;
}

static void who_is_too_slow_is_told_so(void **state)
{
	struct place *p = *state;
	_Atomic int news = 0;
	struct notify_listener *l = listen_to(p, 0, NOTIFICATION_CREATED, "", &news);
	struct notify_letter *list;
	struct err e = { 0 };
	size_t got = 0, n;

	assert_int_equal(db_write(p->db, tell_many, p, &e), 0);
	while (notify_listen_next(l, NOTIFY_PAGE_MAX, &p->mem, &list, &n, &e) == 0 && n)
		got += n;
	assert_int_equal(got, NOTIFY_LISTEN_ROOM);
	assert_int_equal(e.code, ERR_LIMIT);
	notify_listen_end(l);
}

static void there_is_a_bound(void **state)
{
	struct place *p = *state;
	_Atomic int news = 0;
	struct notify_listener *all[NOTIFY_LISTENERS_MAX], *more;
	struct notify_listen o = { .events = NOTIFICATION_PUT, .news = count_news, .owner = &news };
	struct notify_letter *list;
	struct err e = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		all[i] = listen_to(p, 0, NOTIFICATION_CREATED, "", &news);
	assert_int_equal(notify_listen_begin(p->notify, &o, &more, &e), -1);
	assert_int_equal(e.code, ERR_LIMIT);
	put(p, "a");
	wait_news(&news, NOTIFY_LISTENERS_MAX);
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		assert_int_equal(next(p, all[i], &list), 1);
		notify_listen_end(all[i]);
	}
	wait_rows(p, 0);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(who_listens_hears_what_he_asked_for),
		CASE(what_nobody_read_goes_with_the_listener),
		CASE(what_a_crash_left_goes_at_the_start),
		CASE(what_was_rolled_back_is_not_told),
		CASE(who_is_too_slow_is_told_so),
		CASE(there_is_a_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
