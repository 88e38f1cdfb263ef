// place: a store in a temporary folder with one bucket, "photos", for the tests of store. Threads: the test's.
// Include after cmocka.h.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "db/db.h"
#include "db/schema.h"
#include "store/store.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct place {
	char dir[32];
	struct db *db;
	struct store *store;
	_Atomic int events;
	char last_event[64];
	struct arena mem;
};

static inline int heard(void *owner, struct db_conn *c unused_arg, const struct store_event *ev,
			struct err *e)
{
	struct place *p = owner;

	if (span_is(ev->key, "refuse"))
		return err_set(e, ERR_DENIED, "the sink refuses");
	p->events++;
	snprintf(p->last_event, sizeof(p->last_event), "%s", ev->name);
	return 0;
}

static inline void open_all(struct place *p)
{
	auto_free char *path = mem_printf("%s/oscar.db", p->dir);
	struct db_options o = { .path = path,
				.migrations = schema_migrations,
				.migration_count = schema_migration_count };
	struct store_options so = { .data_dir = p->dir, .part_min = 1000 };
	struct store_sink sink = { p, heard };
	struct err e = { 0 };

	assert_int_equal(db_open(&p->db, &o, &e), 0);
	so.db = p->db;
	assert_int_equal(store_open(&p->store, &so, &e), 0);
	store_set_sink(p->store, &sink);
}

static inline void close_all(struct place *p)
{
	store_close(p->store);
	db_close(p->db);
}

static inline int setup(void **state)
{
	struct place *p = mem_zalloc(sizeof(*p));
	struct store_bucket b;
	struct err e;

	memcpy(p->dir, "/tmp/oscar-store-XXXXXX", 24);
	assert_non_null(mkdtemp(p->dir));
	open_all(p);
	assert_int_equal(store_bucket_create(p->store, SPAN("photos"), 1, 0, &b, &e), 0);
	*state = p;
	return 0;
}

static inline int teardown(void **state)
{
	struct place *p = *state;
	struct err e;

	close_all(p);
	arena_release(&p->mem);
	assert_int_equal(file_remove_tree(AT_FDCWD, p->dir, &e), 0);
	mem_free(p);
	return 0;
}

static inline int drop(struct store *s, struct span bucket, struct span key, int64_t version,
		       struct store_deleted *done, struct err *e)
{
	struct store_delete_item it = { .key = key, .version = version };
	int result = store_delete(s, bucket, &it, NULL, e);

	*done = it.done;
	return result;
}

static inline struct store_object put(struct place *p, const char *key, struct span bytes)
{
	struct store_put_options o = {
		.bucket = SPAN("photos"), .key = span_of(key), .owner = 1, .size = UINT64_MAX
	};
	struct store_object out;
	struct store_put *w;
	struct err e = { 0 };

	assert_int_equal(store_put_begin(p->store, &o, &w, &e), 0);
	while (bytes.n) {
		struct span piece = span_head(bytes, 7000);

		assert_int_equal(store_put_write(w, piece, &e), 0);
		bytes = span_from(bytes, piece.n);
	}
	assert_int_equal(store_put_finish(w, &p->mem, &out, &e), 0);
	return out;
}

static inline struct span pattern(struct place *p, size_t n)
{
	char *s = arena_alloc(&p->mem, n);

	for (size_t i = 0; i < n; i++)
		s[i] = (char)(i * 7 + i / 251);
	return span_make(s, n);
}

static inline void assert_content(struct place *p, const char *key, struct span want)
{
	auto_reader struct store_reader *r = NULL;
	auto_free char *got = mem_alloc(want.n + 1);
	struct store_object o;
	struct err e = { 0 };
	size_t n = 0;
	ssize_t k;

	assert_int_equal(store_reader_open(p->store, SPAN("photos"), span_of(key), 0, &p->mem, &o,
					   &r, &e),
			 0);
	assert_true(o.size == want.n);
	while (n <= want.n && (k = store_reader_pread(r, n, got + n, want.n + 1 - n, &e)) > 0)
		n += (size_t)k;
	assert_int_equal(n, want.n);
	if (n)
		assert_memory_equal(got, want.p, n);
}

static inline size_t files_in_content(struct place *p)
{
	size_t n = 0;

	for (int i = 0; i < 256; i++) {
		auto_free char *path = mem_printf("%s/content/%02x", p->dir, i);
		DIR *d = opendir(path);

		assert_non_null(d);
		for (struct dirent *f; (f = readdir(d));)
			n += f->d_name[0] != '.';
		closedir(d);
	}
	return n;
}

static inline void wait_for_files(struct place *p, size_t want)
{
	for (int i = 0; i < 500 && files_in_content(p) != want; i++)
		usleep(10000);
	assert_int_equal(files_in_content(p), want);
}
