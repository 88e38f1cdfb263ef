// place: a store in a temporary folder with one bucket, "photos", its notifications, and a server that takes posts, for
// the tests of notify. Threads: the test's; the server's loops hear. Include after cmocka.h.
// SPDX-License-Identifier: Apache-2.0
#pragma once
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

static inline void posted(void *owner, struct http_req *r)
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

static inline void begun(void *owner unused_arg, struct http_req *r)
{
	http_body_collect(r, 1 << 20);
}

static inline void open_all(struct place *p)
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

static inline void close_all(struct place *p)
{
	store_close(p->store);
	notify_close(p->notify);
	db_close(p->db);
}

static inline int setup(void **state)
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

static inline int teardown(void **state)
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

static inline void put(struct place *p, const char *key)
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

static inline void target(struct place *p, const char *kind, const char *name, const char *key,
			  const char *value)
{
	struct notify_setting s[] = { { "endpoint", p->url }, { key, value } };
	size_t skip = strcmp(kind, "webhook") != 0;
	struct err e = { 0 };

	if (notify_target_set(p->notify, kind, name, s + skip, ARRAY_LEN(s) - skip, &e) < 0)
		fail_msg("%s", e.msg);
}

static inline void rule(struct place *p, const char *kind, const char *name, const char *event,
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

static inline void nap(void)
{
	struct timespec t = { .tv_nsec = 2 * NS_PER_MS };

	nanosleep(&t, NULL);
}

static inline void wait_heard(struct place *p, int n)
{
	for (int i = 0; i < TRIES && atomic_load(&p->heard_count) < n; i++)
		nap();
	assert_int_equal(atomic_load(&p->heard_count), n);
}

static inline size_t letters(struct place *p, const char *kind, const char *name, bool dead)
{
	struct notify_letter *l;
	struct err e = { 0 };
	size_t n;

	assert_int_equal(notify_letters(p->notify, kind, name, dead, 0, 1000, &p->mem, &l, &n, &e),
			 0);
	return n;
}

static inline void wait_letters(struct place *p, const char *kind, const char *name, bool dead,
				size_t n)
{
	for (int i = 0; i < TRIES && letters(p, kind, name, dead) != n; i++)
		nap();
	assert_int_equal(letters(p, kind, name, dead), n);
}
