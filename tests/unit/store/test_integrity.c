// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "codec/digest.h"
#include "codec/text.h"
#include "place.h"
#include "store/check.h"
#include "store/scrub.h"

#include <errno.h>
#include <pthread.h>

enum { BIG = (2 << 20) + 777 };

// The path of the only content file.
static char *only_file(struct place *p)
{
	for (int i = 0; i < 256; i++) {
		char *folder = arena_printf(&p->mem, "%s/content/%02x", p->dir, (unsigned)i);
		DIR *d = opendir(folder);

		for (struct dirent *x; d && (x = readdir(d));)
			if (x->d_name[0] != '.') {
				char *path = arena_printf(&p->mem, "%s/%s", folder, x->d_name);

				closedir(d);
				return path;
			}
		closedir(d);
	}
	fail();
	return NULL;
}

static void flip(const char *path, off_t at)
{
	auto_fd int fd = open(path, O_RDWR | O_CLOEXEC);
	char c;

	assert_int_equal(pread(fd, &c, 1, at), 1);
	c = (char)~c;
	assert_int_equal(pwrite(fd, &c, 1, at), 1);
}

static int64_t scrub(struct place *p)
{
	struct err e = { 0 };
	int64_t at = 0;

	return scrub_files(p->store, &at, NULL, NULL, &e);
}

static int open_reader(struct place *p, const char *key, struct err *e)
{
	auto_reader struct store_reader *r = NULL;
	struct store_object o;

	return store_reader_open(p->store, SPAN("photos"), span_of(key), 0, &p->mem, &o, &r, e);
}

static struct store_checked check_it(struct place *p, bool repair)
{
	struct store_check_options o = { .repair = repair };
	struct store_checked found;
	struct err e = { 0 };

	assert_int_equal(store_check(p->store, &o, &found, &e), 0);
	return found;
}

static void damage_is_found_and_never_handed_out(void **state)
{
	struct place *p = *state;
	struct store_checked found;
	struct err e = { 0 };

	put(p, "big", pattern(p, BIG));
	put(p, "small", SPAN("inline"));
	assert_int_equal(scrub(p), 0);
	flip(only_file(p), BIG - 1); // in the block that is not full
	assert_int_equal(scrub(p), 1);
	assert_int_equal(scrub(p), 0); // known
	assert_int_equal(open_reader(p, "big", &e), -1);
	assert_int_equal(e.code, ERR_CORRUPT);
	assert_content(p, "small", SPAN("inline"));
	close_all(p);
	open_all(p); // and after a restart
	assert_int_equal(open_reader(p, "big", &e), -1);
	flip(only_file(p), BIG - 1);
	found = check_it(p, true);
	assert_true(found.mended == 1 && found.damaged == 0 && found.objects == 2);
	assert_content(p, "big", pattern(p, BIG));
	assert_true(check_it(p, false).mended == 0);
}

static struct store_reader *reader_of(struct place *p, const char *key)
{
	struct store_reader *r = NULL;
	struct store_object o;
	struct err e = { 0 };

	assert_int_equal(store_reader_open(p->store, SPAN("photos"), span_of(key), 0, &p->mem, &o,
					   &r, &e),
			 0);
	return r;
}

static bool by_file(struct place *p, const char *key, uint64_t n)
{
	auto_reader struct store_reader *r = reader_of(p, key);
	uint64_t offset;
	int fd = -1;
	bool got = store_reader_file(r, 0, n, &fd, &offset);

	file_close(fd);
	return got;
}

static void the_first_reader_after_a_start_looks(void **state)
{
	struct place *p = *state;

	put(p, "big", pattern(p, BIG));
	put(p, "one block", pattern(p, 500000));
	assert_true(by_file(p, "big", BIG)); // we wrote it ourselves
	close_all(p);
	open_all(p);
	assert_true(by_file(p, "one block", 500000));
	assert_false(by_file(p, "big", BIG));
	assert_content(p, "big", pattern(p, BIG));
	assert_true(by_file(p, "big", BIG));
}

// A content that is the beginning of a longer file must not be mounted as that file.
static void a_slice_has_no_path(void **state)
{
	struct place *p = *state;
	struct store_put_options o = { .bucket = SPAN("photos"), .key = SPAN("cut"), .owner = 1 };
	struct store_source from = { SPAN("photos"), SPAN("big"), 0 };
	struct store_complete_part one = { 1, SPAN("") };
	char id[STORE_UPLOAD_ID_MAX], path[128];
	struct store_part part;
	struct store_object made;
	struct err e = { 0 };

	put(p, "big", pattern(p, BIG));
	assert_int_equal(store_upload_create(p->store, &o, SPAN(""), id, &e), 0);
	assert_int_equal(store_part_copy(p->store, o.bucket, o.key, span_of(id), 1, &from, 0,
					 1 << 20, NULL, &part, &e),
			 0);
	one.etag = span_of(part.etag);
	assert_int_equal(store_upload_complete(p->store, &o, span_of(id), &one, 1, SPAN(""),
					       &p->mem, &made, &e),
			 0);
	assert_int_equal(files_in_content(p), 1);
	{
		auto_reader struct store_reader *cut = reader_of(p, "cut");
		auto_reader struct store_reader *big = reader_of(p, "big");

		assert_false(store_reader_path(cut, path, sizeof(path)));
		assert_true(store_reader_path(big, path, sizeof(path)));
		assert_int_equal(store_reader_verify(big, &e), 0);
	}
	assert_content(p, "cut", span_head(pattern(p, BIG), 1 << 20));
	close_all(p);
	flip(only_file(p), BIG - 1);
	open_all(p);
	{
		auto_reader struct store_reader *cut = reader_of(p, "cut");
		auto_reader struct store_reader *big = reader_of(p, "big");

		assert_int_equal(store_reader_verify(cut, &e), 0); // its bytes are right
		assert_int_equal(store_reader_verify(big, &e), -1);
		assert_int_equal(e.code, ERR_CORRUPT);
	}
}

static void the_first_reader_finds_damage_before_it_goes_out(void **state)
{
	struct place *p = *state;
	struct err e = { 0 };
	char c[2];

	put(p, "big", pattern(p, BIG));
	close_all(p);
	flip(only_file(p), (1 << 20) + 5);
	open_all(p);
	{
		auto_reader struct store_reader *r = reader_of(p, "big");

		assert_int_equal(store_reader_pread(r, (1 << 20) - 1, c, 2, &e), 1);
		assert_int_equal(store_reader_pread(r, 1 << 20, c, 2, &e), -1);
		assert_int_equal(e.code, ERR_CORRUPT);
		assert_int_equal(store_reader_pread(r, 2 << 20, c, 2, &e), 2);
	}
	for (int i = 0; i < 1000 && open_reader(p, "big", &e) == 0; i++)
		usleep(10000); // the scrubber marks it
	assert_int_equal(open_reader(p, "big", &e), -1);
	assert_int_equal(e.code, ERR_CORRUPT);
}

static void a_short_or_lost_file_is_damage(void **state)
{
	struct place *p = *state;
	const char *path;

	put(p, "big", pattern(p, BIG));
	path = only_file(p);
	assert_int_equal(truncate(path, BIG - 1), 0);
	assert_int_equal(check_it(p, false).damaged, 1);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(scrub(p), 1);
	assert_int_equal(check_it(p, true).damaged, 1);
}

static void what_nobody_owns_is_moved_aside(void **state)
{
	struct place *p = *state;
	const char *foreign = arena_printf(&p->mem, "%s/content/07/readme", p->dir);
	const char *id = arena_printf(&p->mem, "%s/content/ff/fffff", p->dir);
	const char *const aside[] = { arena_printf(&p->mem, "%s/content/aside/readme", p->dir),
				      arena_printf(&p->mem, "%s/content/aside/fffff", p->dir) };
	struct err e = { 0 };

	put(p, "big", pattern(p, BIG));
	assert_int_equal(file_replace(AT_FDCWD, foreign, 0600, "x", 1, &e), 0);
	assert_int_equal(file_replace(AT_FDCWD, id, 0600, "x", 1, &e), 0);
	assert_int_equal(check_it(p, false).orphans, 2);
	assert_int_equal(check_it(p, true).orphans, 2);
	assert_int_equal(check_it(p, false).orphans, 0);
	for (size_t i = 0; i < ARRAY_LEN(aside); i++)
		assert_int_equal(access(aside[i], F_OK), 0);
	assert_content(p, "big", pattern(p, BIG));
}

static int spoil(struct db_conn *c, void *arg unused_arg, struct err *e)
{
	return db_exec(c, "UPDATE bodies SET data='other!'", DB_NO_ARGS, e) < 0 ? -1 : 0;
}

static int lose(struct db_conn *c, void *arg unused_arg, struct err *e)
{
	return db_exec(c, "DELETE FROM bodies", DB_NO_ARGS, e) < 0 ? -1 : 0;
}

static void bodies_in_the_database_are_checked(void **state)
{
	struct place *p = *state;
	struct err e = { 0 };

	put(p, "small", SPAN("inline"));
	assert_int_equal(check_it(p, false).damaged, 0);
	assert_int_equal(db_write(p->db, spoil, NULL, &e), 0);
	assert_int_equal(check_it(p, false).damaged, 1);
	assert_int_equal(open_reader(p, "small", &e), -1);
	assert_int_equal(e.code, ERR_CORRUPT);
	assert_int_equal(db_write(p->db, lose, NULL, &e), 0);
	assert_int_equal(check_it(p, false).missing, 1);
}

enum { WRITERS = 8, LIVES = 6 };

struct begun {
	struct place *place;
	pthread_barrier_t *together;
};

static void *begin_one(void *arg)
{
	static const char bytes[20000];
	struct begun *b = arg;
	struct store_put_options o = { .bucket = SPAN("photos"),
				       .key = SPAN("unfinished"),
				       .size = UINT64_MAX };
	struct store_put *w;
	struct err e = { 0 };

	pthread_barrier_wait(b->together);
	if (store_put_begin(b->place->store, &o, &w, &e) < 0 ||
	    store_put_write(w, span_make(bytes, sizeof(bytes)), &e) < 0)
		_exit(1);
	pthread_barrier_wait(b->together);
	return NULL;
}

// A life that ends in the middle of its first uploads.
static no_return void short_life(struct place *p)
{
	pthread_barrier_t together;
	struct begun b = { p, &together };
	pthread_t threads[WRITERS];

	pthread_barrier_init(&together, NULL, WRITERS + 1);
	open_all(p);
	for (int i = 0; i < WRITERS; i++)
		pthread_create(&threads[i], NULL, begin_one, &b);
	pthread_barrier_wait(&together);
	pthread_barrier_wait(&together);
	kill(getpid(), SIGKILL);
	_exit(1);
}

static unsigned content_files(struct place *p)
{
	unsigned n = 0;

	for (int i = 0; i < 256; i++) {
		auto_free char *folder = mem_printf("%s/content/%02x", p->dir, (unsigned)i);
		DIR *d = opendir(folder);

		for (struct dirent *x; d && (x = readdir(d));)
			n += x->d_name[0] != '.';
		closedir(d);
	}
	return n;
}

// All of them need their first id at the same moment.
static void uploads_that_a_crash_ended_leave_no_file(void **state)
{
	struct place *p = *state;

	for (int i = 0; i < LIVES; i++) {
		int status;

		close_all(p);
		pid_t pid = fork();

		if (pid == 0)
			short_life(p);
		waitpid(pid, &status, 0);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		assert_int_equal(content_files(p), WRITERS);
		open_all(p);
		assert_int_equal(content_files(p), 0);
	}
}

// Its MD5 is computed behind the writer.
static void a_large_object_has_its_md5_and_a_wrong_one_is_refused(void **state)
{
	struct place *p = *state;
	struct span bytes = pattern(p, (3 << 20) + 77);
	struct store_put_options o = {
		.bucket = SPAN("photos"), .key = SPAN("large"), .owner = 1, .size = bytes.n
	};
	uint8_t md5[DIGEST_MAX];
	char hex[TEXT_HEX_SIZE(16)];

	digest_once(DIGEST_MD5, bytes, md5);
	text_hex(hex, md5, 16);
	for (int wrong = 0; wrong < 2; wrong++) {
		struct store_object made;
		struct store_put *w;
		struct err e = { 0 };

		assert_int_equal(store_put_begin(p->store, &o, &w, &e), 0);
		for (struct span rest = bytes; rest.n;) {
			struct span piece = span_head(rest, 30000);

			assert_int_equal(store_put_write(w, piece, &e), 0);
			rest = span_from(rest, piece.n);
		}
		md5[0] ^= (uint8_t)wrong;
		assert_int_equal(store_put_expect_md5(w, md5, &e), 0);
		assert_int_equal(store_put_finish(w, &p->mem, &made, &e), wrong ? -1 : 0);
		if (wrong)
			assert_true(e.code == ERR_INVALID && e.sys == STORE_BAD_MD5);
		else
			assert_string_equal(made.etag, hex);
		assert_int_equal(files_in_content(p), 1);
	}
	{
		struct store_put *w;
		struct err e = { 0 };

		assert_int_equal(store_put_begin(p->store, &o, &w, &e), 0);
		assert_int_equal(store_put_write(w, bytes, &e), 0);
		store_put_abort(w); // while it is computed
	}
	assert_content(p, "large", bytes);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(damage_is_found_and_never_handed_out),
		CASE(the_first_reader_after_a_start_looks),
		CASE(a_slice_has_no_path),
		CASE(the_first_reader_finds_damage_before_it_goes_out),
		CASE(a_short_or_lost_file_is_damage),
		CASE(uploads_that_a_crash_ended_leave_no_file),
		CASE(what_nobody_owns_is_moved_aside),
		CASE(bodies_in_the_database_are_checked),
		cmocka_unit_test_setup_teardown(
			a_large_object_has_its_md5_and_a_wrong_one_is_refused, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
