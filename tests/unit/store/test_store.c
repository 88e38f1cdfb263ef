// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "place.h"

static void bytes_come_back_whatever_their_size(void **state)
{
	struct place *p = *state;
	static const size_t sizes[] = { 0, 1, 16384, 16385, 1000000 };

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		struct span bytes = pattern(p, sizes[i]);
		struct store_object o = put(p, "a", bytes);

		assert_int_equal(strlen(o.etag), 32);
		assert_content(p, "a", bytes);
	}
	assert_string_equal(put(p, "empty", SPAN("")).etag, "d41d8cd98f00b204e9800998ecf8427e");
	assert_int_equal(p->events, 6);
	wait_for_files(p, 1); // older contents are reaped
}

static void an_object_that_the_sink_refuses_is_not_there(void **state)
{
	struct place *p = *state;
	struct store_put_options o = { .bucket = SPAN("photos"), .key = SPAN("refuse"), .size = 3 };
	struct store_object out;
	struct store_put *w;
	struct err e = { 0 };

	assert_int_equal(store_put_begin(p->store, &o, &w, &e), 0);
	assert_int_equal(store_put_write(w, pattern(p, 20000), &e), 0);
	assert_int_equal(store_put_finish(w, &p->mem, &out, &e), -1);
	assert_int_equal(e.code, ERR_DENIED);
	assert_int_equal(store_object_get(p->store, SPAN("photos"), SPAN("refuse"), 0, &p->mem,
					  &out, &e),
			 -1);
	assert_int_equal(e.sys, STORE_NO_KEY);
	assert_int_equal(files_in_content(p), 0);
}

static void conditions_guard_writes(void **state)
{
	struct place *p = *state;
	struct store_put_options o = { .bucket = SPAN("photos"),
				       .key = SPAN("a"),
				       .size = 0,
				       .only_if.if_none_match = SPAN("*") };
	struct store_object out;
	struct store_put *w;
	struct err e = { 0 };

	put(p, "a", SPAN("x"));
	assert_int_equal(store_put_begin(p->store, &o, &w, &e), 0);
	assert_int_equal(store_put_finish(w, &p->mem, &out, &e), -1);
	assert_int_equal(e.code, ERR_CONFLICT);
	o.only_if = (struct store_conditions){ 0 };
	o.only_if.if_match = SPAN("9dd4e461268c8034f5c8564e155c67a6"); // of "x"
	assert_int_equal(store_put_begin(p->store, &o, &w, &e), 0);
	assert_int_equal(store_put_finish(w, &p->mem, &out, &e), 0);
	assert_int_equal(store_put_begin(p->store, &o, &w, &e), 0);
	assert_int_equal(store_put_finish(w, &p->mem, &out, &e), -1);
}

static void remove_if(struct place *p, struct store_conditions only_if, int result, int fault)
{
	struct store_delete_item it = { .key = SPAN("a"), .only_if = only_if };
	struct err e = { 0 };

	assert_int_equal(store_delete_many(p->store, SPAN("photos"), &it, 1, NULL, &e), 0);
	assert_int_equal(it.result, result);
	if (result < 0)
		assert_int_equal(it.err.code == ERR_NOT_FOUND ? it.err.sys : 0, fault);
}

static void conditions_guard_deletes(void **state)
{
	struct place *p = *state;
	const struct store_conditions any = { .if_match = SPAN("*") },
				      other = { .if_match = SPAN("0") },
				      size = { .check_size = true, .size = 1 };

	put(p, "a", SPAN("x"));
	remove_if(p, other, -1, 0);
	remove_if(p, any, 0, 0);
	remove_if(p, any, -1, STORE_NO_KEY); // what is gone matches nothing
	remove_if(p, other, -1, STORE_NO_KEY);
	remove_if(p, size, 0, 0); // yet has no size that is wrong
}

static void bad_names_and_keys_are_refused(void **state)
{
	struct place *p = *state;
	static const char *const bad[] = { "ab",   "Upper", "a_b",	   "-ab",   "ab-",
					   "a..b", "a.-b",  "192.168.1.1", "xn--a", "a b" };
	struct store_bucket b;
	struct err e;
	auto_free char *long_key = mem_printf("%01025d", 1);
	struct store_put_options o = { .bucket = SPAN("photos"), .key = span_of(long_key) };
	struct store_put *w;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(store_bucket_create(p->store, span_of(bad[i]), 1, 0, &b, &e), -1);
		assert_int_equal(e.code, ERR_INVALID);
	}
	assert_int_equal(store_bucket_create(p->store, SPAN("photos"), 1, 0, &b, &e), -1);
	assert_int_equal(e.code, ERR_EXISTS);
	assert_int_equal(store_put_begin(p->store, &o, &w, &e), -1);
	assert_int_equal(e.code, ERR_LIMIT);
	o.key = SPAN("bad\xff");
	assert_int_equal(store_put_begin(p->store, &o, &w, &e), -1);
	assert_int_equal(e.code, ERR_INVALID);
	o.bucket = SPAN("missing");
	o.key = SPAN("a");
	assert_int_equal(store_put_begin(p->store, &o, &w, &e), -1);
	assert_int_equal(e.sys, STORE_NO_BUCKET);
}

static void a_bucket_with_objects_is_not_deleted(void **state)
{
	struct place *p = *state;
	struct store_deleted done;
	struct store_bucket b;
	struct err e;

	put(p, "a", SPAN("x"));
	assert_int_equal(store_bucket_get(p->store, SPAN("photos"), &b, &e), 0);
	assert_int_equal(b.objects, 1);
	assert_int_equal(b.bytes, 1);
	assert_int_equal(store_bucket_delete(p->store, SPAN("photos"), &e), -1);
	assert_int_equal(e.code, ERR_CONFLICT);
	assert_int_equal(drop(p->store, SPAN("photos"), SPAN("a"), 0, &done, &e), 0);
	assert_true(done.existed);
	assert_string_equal(p->last_event, "s3:ObjectRemoved:Delete");
	assert_int_equal(drop(p->store, SPAN("photos"), SPAN("a"), 0, &done, &e), 0);
	assert_false(done.existed);
	assert_int_equal(store_bucket_delete(p->store, SPAN("photos"), &e), 0);
}

// Lists with pages of `limit` and joins what comes: "key|prefix/|…".
static char *list_all(struct place *p, const char *prefix, const char *delimiter, size_t limit)
{
	struct store_list_options o = { .bucket = SPAN("photos"),
					.prefix = span_of(prefix),
					.delimiter = span_of(delimiter),
					.limit = limit };
	struct store_list l;
	struct err e = { 0 };
	struct buf b;

	buf_init(&b, 1 << 20);
	do {
		assert_int_equal(store_list(p->store, &o, &p->mem, &l, &e), 0);
		assert_true(l.n <= limit);
		for (size_t i = 0; i < l.n; i++) {
			buf_add_span(&b, l.entries[i].object.key);
			buf_add_char(&b, '|');
		}
		o.after = l.next;
	} while (l.truncated);
	return buf_take(&b);
}

static void listing_is_in_byte_order_with_prefixes_and_pages(void **state)
{
	struct place *p = *state;
	static const char *const keys[] = { "ab",  "a/b", "a-b", "a/c/d",
					    "b/x", "b/y", "c",	 "a\xc3\xb1" };

	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		put(p, keys[i], SPAN("x"));
	for (size_t limit = 1; limit < 10; limit++) {
		auto_free char *all = list_all(p, "", "", limit);
		auto_free char *top = list_all(p, "", "/", limit);
		auto_free char *in_a = list_all(p, "a/", "/", limit);
		auto_free char *none = list_all(p, "zzz", "/", limit);

		assert_string_equal(all, "a-b|a/b|a/c/d|ab|a\xc3\xb1|b/x|b/y|c|");
		assert_string_equal(top, "a-b|a/|ab|a\xc3\xb1|b/|c|");
		assert_string_equal(in_a, "a/b|a/c/|");
		assert_string_equal(none, "");
	}
}

static void a_copy_shares_content_and_outlives_its_source(void **state)
{
	struct place *p = *state;
	struct store_put_options o = { .bucket = SPAN("photos"), .key = SPAN("copy"), .owner = 1 };
	struct span bytes = pattern(p, 100000);
	struct store_deleted done;
	struct store_object src, out;
	struct err e = { 0 };

	src = put(p, "src", bytes);
	assert_int_equal(store_copy(p->store,
				    &(struct store_source){ SPAN("photos"), SPAN("src"), 0 }, &o,
				    false, false, NULL, &p->mem, &out, &e),
			 0);
	assert_string_equal(out.etag, src.etag);
	assert_int_equal(files_in_content(p), 1);
	assert_int_equal(drop(p->store, SPAN("photos"), SPAN("src"), 0, &done, &e), 0);
	assert_content(p, "copy", bytes);
	assert_int_equal(drop(p->store, SPAN("photos"), SPAN("copy"), 0, &done, &e), 0);
	wait_for_files(p, 0);
}

static void parts_become_one_object(void **state)
{
	struct place *p = *state;
	struct store_put_options o = { .bucket = SPAN("photos"), .key = SPAN("big"), .owner = 1 };
	struct store_complete_part parts[3];
	struct span bytes = pattern(p, 5000);
	char id[STORE_UPLOAD_ID_MAX];
	struct store_object out;
	struct err e = { 0 };

	assert_int_equal(store_upload_create(p->store, &o, SPAN(""), id, &e), 0);
	for (unsigned i = 0; i < 3; i++) {
		struct store_object part;
		struct store_put *w;

		assert_int_equal(store_put_begin_part(p->store, SPAN("photos"), SPAN("big"),
						      span_of(id), i + 1, 2000, &w, &e),
				 0);
		assert_int_equal(
			store_put_write(w, span_head(span_from(bytes, i * 2000), 2000), &e), 0);
		assert_int_equal(store_put_finish(w, &p->mem, &part, &e), 0);
		parts[i] = (struct store_complete_part){ i + 1,
							 arena_span(&p->mem, span_of(part.etag)) };
	}
	struct store_complete_part wrong[2] = { parts[1], parts[0] };

	assert_int_equal(store_upload_complete(p->store, &o, span_of(id), wrong, 2, SPAN(""),
					       &p->mem, &out, &e),
			 -1);
	assert_int_equal(e.sys, STORE_PART_ORDER);
	assert_int_equal(store_upload_complete(p->store, &o, span_of(id), parts, 3, SPAN(""),
					       &p->mem, &out, &e),
			 0);
	assert_int_equal(out.parts, 3);
	assert_non_null(strstr(out.etag, "-3"));
	assert_content(p, "big", bytes);
	assert_int_equal(store_upload_abort(p->store, SPAN("photos"), SPAN("big"), span_of(id), &e),
			 -1);
	assert_int_equal(e.sys, STORE_NO_UPLOAD);
	o.key = SPAN("copy"); // a fresh etag, of the bytes
	assert_int_equal(store_copy(p->store,
				    &(struct store_source){ SPAN("photos"), SPAN("big"), 0 }, &o,
				    false, false, NULL, &p->mem, &out, &e),
			 0);
	assert_int_equal(strlen(out.etag), 32);
}

static void a_part_shares_content_and_outlives_its_source(void **state)
{
	struct place *p = *state;
	struct store_put_options o = { .bucket = SPAN("photos"), .key = SPAN("made"), .owner = 1 };
	struct store_source from = { SPAN("photos"), SPAN("src"), 0 };
	struct store_complete_part done[2];
	struct store_part parts[2], *kept;
	struct store_deleted gone;
	struct store_object made, again;
	struct span bytes = pattern(p, 400000);
	char id[STORE_UPLOAD_ID_MAX];
	struct err e = { 0 };
	size_t n;

	put(p, "src", bytes);
	assert_int_equal(store_upload_create(p->store, &o, SPAN(""), id, &e), 0);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(store_part_copy(p->store, o.bucket, o.key, span_of(id), i + 1,
						 &from, i * 1000, 399000, NULL, &parts[i], &e),
				 0);
		done[i] = (struct store_complete_part){ i + 1, span_of(parts[i].etag) };
	}
	assert_int_equal(store_part_copy(p->store, o.bucket, o.key, span_of(id), 3, &from, 1,
					 400000, NULL, &parts[1], &e),
			 -1);
	assert_int_equal(e.code, ERR_INVALID);
	assert_int_equal(files_in_content(p), 1);
	assert_int_equal(store_upload_complete(p->store, &o, span_of(id), done, 2, SPAN(""),
					       &p->mem, &made, &e),
			 0);
	assert_int_equal(store_upload_complete(p->store, &o, span_of(id), done, 2, SPAN(""),
					       &p->mem, &again, &e),
			 0);
	assert_int_equal(again.version, made.version);
	assert_int_equal(store_upload_complete(p->store, &o, span_of(id), done, 1, SPAN(""),
					       &p->mem, &again, &e),
			 -1);
	assert_int_equal(e.sys, STORE_NO_UPLOAD);
	assert_int_equal(store_object_parts(p->store, &made, &p->mem, &kept, &n, &e), 0);
	assert_true(n == 2 && kept[1].number == 2 && kept[1].size == 399000);
	assert_int_equal(drop(p->store, SPAN("photos"), SPAN("src"), 0, &gone, &e), 0);
	char *want = arena_alloc(&p->mem, 798000);

	memcpy(want, bytes.p, 399000);
	memcpy(want + 399000, bytes.p + 1000, 399000);
	assert_content(p, "made", span_make(want, 798000));
	assert_int_equal(drop(p->store, SPAN("photos"), SPAN("made"), 0, &gone, &e), 0);
	wait_for_files(p, 0);
}

static void unfinished_uploads_do_not_keep_a_bucket(void **state)
{
	struct place *p = *state;
	struct store_put_options o = { .bucket = SPAN("photos"), .key = SPAN("up"), .owner = 1 };
	char id[STORE_UPLOAD_ID_MAX];
	struct store_object part;
	struct store_put *w;
	struct err e = { 0 };

	for (int i = 0; i < 25; i++) {
		assert_int_equal(store_upload_create(p->store, &o, SPAN(""), id, &e), 0);
		assert_int_equal(store_put_begin_part(p->store, o.bucket, o.key, span_of(id), 1, 5,
						      &w, &e),
				 0);
		assert_int_equal(store_put_write(w, SPAN("12345"), &e), 0);
		assert_int_equal(store_put_finish(w, &p->mem, &part, &e), 0);
	}
	assert_int_equal(store_bucket_delete(p->store, SPAN("photos"), &e), 0);
	wait_for_files(p, 0);
}

static void an_aborted_upload_leaves_no_files(void **state)
{
	struct place *p = *state;
	struct store_put_options o = { .bucket = SPAN("photos"), .key = SPAN("big"), .owner = 1 };
	char id[STORE_UPLOAD_ID_MAX];
	struct store_object part;
	struct store_put *w;
	struct err e = { 0 };

	assert_int_equal(store_upload_create(p->store, &o, SPAN(""), id, &e), 0);
	for (int i = 0; i < 2; i++) { // the second replaces the first
		assert_int_equal(store_put_begin_part(p->store, SPAN("photos"), SPAN("big"),
						      span_of(id), 1, 10, &w, &e),
				 0);
		assert_int_equal(store_put_write(w, SPAN("0123456789"), &e), 0);
		assert_int_equal(store_put_finish(w, &p->mem, &part, &e), 0);
	}
	wait_for_files(p, 1);
	assert_int_equal(store_upload_abort(p->store, SPAN("photos"), SPAN("big"), span_of(id), &e),
			 0);
	wait_for_files(p, 0);
}

static void a_file_is_taken_by_link(void **state)
{
	struct place *p = *state;
	auto_free char *path = mem_printf("%s/out.bin", p->dir);
	struct store_put_options o = { .bucket = SPAN("photos"), .key = SPAN("out"), .owner = 1 };
	struct span bytes = pattern(p, 50000);
	struct store_object out;
	struct store_put *w;
	struct stat st;
	struct err e = { 0 };

	assert_int_equal(file_replace(AT_FDCWD, path, 0600, bytes.p, bytes.n, &e), 0);
	assert_int_equal(store_put_begin(p->store, &o, &w, &e), 0);
	assert_int_equal(store_put_take_file(w, AT_FDCWD, path, &e), 0);
	assert_int_equal(store_put_finish(w, &p->mem, &out, &e), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_nlink, 2);
	assert_int_equal(unlink(path), 0);
	assert_content(p, "out", bytes);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	assert_int_equal(store_put_begin(p->store, &o, &w, &e), 0);
	assert_int_equal(store_put_take_file(w, AT_FDCWD, path, &e), -1);
	store_put_abort(w);
}

// kill -9 with puts in every phase: what was acknowledged is whole, what was not is gone, no file is left over.
static void nothing_half_is_left_after_kill(void **state)
{
	struct place *p = *state;
	int status, pipefd[2], done = 0;
	char c;
	pid_t pid;

	close_all(p);
	assert_int_equal(pipe(pipefd), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		struct store_put_options o = { .bucket = SPAN("photos"), .owner = 1 };
		struct span bytes = pattern(p, 40000);
		struct store_put *half;
		struct err e;

		open_all(p);
		o.key = SPAN("half");
		if (store_put_begin(p->store, &o, &half, &e) < 0 ||
		    store_put_write(half, bytes, &e) < 0)
			_exit(1);
		for (int i = 0;; i++) {
			char key[16];

			snprintf(key, sizeof(key), "k%d", i);
			put(p, key, bytes);
			if (write(pipefd[1], "x", 1) != 1)
				_exit(1);
		}
	}
	close(pipefd[1]);
	while (done < 20 && read(pipefd[0], &c, 1) == 1)
		done++;
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	while (read(pipefd[0], &c, 1) == 1)
		done++;
	close(pipefd[0]);
	open_all(p);
	for (int i = 0; i < done; i++) {
		char key[16];

		snprintf(key, sizeof(key), "k%d", i);
		assert_content(p, key, pattern(p, 40000));
	}
	auto_free char *listed = list_all(p, "", "", 1000);
	size_t count = 0;

	for (char *s = listed; (s = strchr(s, '|')); s++)
		count++;
	assert_null(strstr(listed, "half"));
	assert_in_range(count, done, done + 1);
	assert_int_equal(files_in_content(p), count);
}

static void an_unversioned_key_keeps_its_newest_version_only(void **state)
{
	struct place *p = *state;
	struct store_deleted done;
	struct store_list l;
	struct store_list_options o = { .bucket = SPAN("photos"), .limit = 10, .versions = true };
	struct store_object first, second, got;
	struct err e = { 0 };

	first = put(p, "a", SPAN("1"));
	assert_true(first.null_version);
	second = put(p, "a", SPAN("2"));
	assert_true(second.version > first.version);
	assert_int_equal(store_object_get(p->store, SPAN("photos"), SPAN("a"), first.version,
					  &p->mem, &got, &e),
			 -1);
	assert_int_equal(e.sys, STORE_NO_VERSION);
	assert_int_equal(store_list(p->store, &o, &p->mem, &l, &e), 0);
	assert_int_equal(l.n, 1);
	assert_int_equal(drop(p->store, SPAN("photos"), SPAN("a"), second.version, &done, &e), 0);
	assert_true(done.existed);
}

static void access_lists_and_documents_are_kept(void **state)
{
	struct place *p = *state;
	struct store_put_options o = { .bucket = SPAN("photos"),
				       .key = SPAN("a"),
				       .owner = 1,
				       .acl = SPAN("one"),
				       .size = 1 };
	struct store_object got;
	struct store_config *docs;
	struct store_put *w;
	struct err e = { 0 };
	uint64_t before = store_config_seq(p->store);
	struct store_bucket b;
	size_t n;

	assert_int_equal(store_put_begin(p->store, &o, &w, &e), 0);
	assert_int_equal(store_put_write(w, SPAN("x"), &e), 0);
	assert_int_equal(store_put_finish(w, &p->mem, &got, &e), 0);
	assert_true(span_is(got.acl, "one"));
	assert_int_equal(
		store_acl_set(p->store, SPAN("photos"), SPAN("a"), 0, SPAN("two"), NULL, &e), 0);
	o.key = SPAN("b");
	o.acl = SPAN("copy");
	assert_int_equal(store_copy(p->store,
				    &(struct store_source){ SPAN("photos"), SPAN("a"), 0 }, &o,
				    false, false, NULL, &p->mem, &got, &e),
			 0);
	assert_true(span_is(got.acl, "copy")); // never the source's
	assert_int_equal(
		store_object_get(p->store, SPAN("photos"), SPAN("a"), 0, &p->mem, &got, &e), 0);
	assert_true(span_is(got.acl, "two"));

	assert_int_equal(store_bucket_get(p->store, SPAN("photos"), &b, &e), 0);
	assert_int_equal(store_config_set(p->store, SPAN("photos"), "policy", SPAN("{}"), &e), 0);
	assert_int_equal(store_config_set(p->store, SPAN("photos"), "acl", SPAN("x"), &e), 0);
	assert_true(store_config_seq(p->store) > before);
	assert_int_equal(store_config_all(p->store, b.id, &p->mem, &docs, &n, &e), 0);
	assert_int_equal(n, 2);
	assert_true(span_is(docs[0].kind, "acl") && span_is(docs[1].doc, "{}"));
}

static int old_rows(struct db_conn *c, void *arg unused_arg, struct err *e)
{
	if (db_exec(c, "INSERT INTO buckets(id,name,owner,created_ns) VALUES(7,'old-one',1,1)",
		    DB_NO_ARGS, e) < 0)
		return -1;
	return db_exec(c,
		       "INSERT INTO "
		       "objects(bucket,key,version,null_version,delete_marker,owner,size,"
		       "etag,mtime_ns,storage,content,parts,job,run,depth) "
		       "VALUES(7,'k',1,1,0,1,0,'e',1,1,0,0,0,1,0)",
		       DB_NO_ARGS, e) < 0
		       ? -1
		       : 0;
}

static void a_database_of_the_schema_before_access_lists_opens(void **state)
{
	struct place *p = *state;
	auto_free char *path = mem_printf("%s/oscar.db", p->dir);
	auto_free char *old = mem_printf("%s/old.db", p->dir);
	auto_free char *mark = mem_printf("%s/content/.oscar-content", p->dir);
	struct db_options o = { .path = old,
				.migrations = schema_migrations,
				.migration_count = 2 };
	struct store_object got;
	struct err e = { 0 };
	struct db *d;

	assert_int_equal(db_open(&d, &o, &e), 0);
	assert_int_equal(db_write(d, old_rows, NULL, &e), 0);
	db_close(d);
	close_all(p);
	assert_int_equal(rename(old, path), 0);
	assert_int_equal(unlink(mark), 0); // it is of the other database
	open_all(p);
	assert_int_equal(
		store_object_get(p->store, SPAN("old-one"), SPAN("k"), 0, &p->mem, &got, &e), 0);
	assert_int_equal(got.acl.n, 0);
	assert_true(got.lock.mode == STORE_LOCK_NONE && !got.storage_class.n);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(bytes_come_back_whatever_their_size),
		CASE(an_object_that_the_sink_refuses_is_not_there),
		CASE(conditions_guard_writes),
		CASE(conditions_guard_deletes),
		CASE(bad_names_and_keys_are_refused),
		CASE(a_bucket_with_objects_is_not_deleted),
		CASE(listing_is_in_byte_order_with_prefixes_and_pages),
		CASE(a_copy_shares_content_and_outlives_its_source),
		CASE(parts_become_one_object),
		CASE(a_part_shares_content_and_outlives_its_source),
		CASE(unfinished_uploads_do_not_keep_a_bucket),
		CASE(an_aborted_upload_leaves_no_files),
		CASE(a_file_is_taken_by_link),
		CASE(nothing_half_is_left_after_kill),
		CASE(an_unversioned_key_keeps_its_newest_version_only),
		CASE(access_lists_and_documents_are_kept),
		CASE(a_database_of_the_schema_before_access_lists_opens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
