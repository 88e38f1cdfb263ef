// SPDX-License-Identifier: Apache-2.0
// The hasher and the file that it follows.
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "base/file.h"
#include "base/mem.h"
#include "codec/crc.h"
#include "store/writing.h"

#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { LARGE = 5 * HASH_PIECE_BYTES + 77, THREADS = 12, HELD_MAX = 32 };

static int empty_file(void)
{
	int fd = memfd_create("content", MFD_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static char *bytes_like(unsigned seed, size_t n)
{
	char *p = mem_alloc(n);

	for (size_t i = 0; i < n; i++)
		p[i] = (char)((i * 2654435761u + seed) >> 13);
	return p;
}

static void assert_md5(const uint8_t sum[static DIGEST_MAX], const char *p, size_t n)
{
	uint8_t want[DIGEST_MAX];

	digest_once(DIGEST_MD5, span_make(p, n), want);
	assert_memory_equal(sum, want, 16);
}

static void add_in_steps(struct writing *w, const char *p, size_t n, size_t step)
{
	struct err e = { 0 };

	for (size_t at = 0; at < n; at += step)
		assert_int_equal(
			writing_add(w, span_make(p + at, n - at < step ? n - at : step), &e), 0);
	assert_int_equal(writing_flush(w, &e), 0);
}

static void assert_file(int fd, const char *p, size_t n)
{
	auto_free char *got = mem_alloc(n + 1);
	struct err e = { 0 };

	assert_int_equal(file_pread_full(fd, got, n + 1, 0, &e), n);
	assert_memory_equal(got, p, n);
}

static void whatever_the_steps_file_and_sums_are_right(void **state)
{
	static const size_t steps[] = { 1000, 16384, HASH_PIECE_BYTES, LARGE };
	struct hasher *h = *state;
	auto_free char *p = bytes_like(1, LARGE);
	uint8_t sum[DIGEST_MAX];
	struct err e = { 0 };

	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		struct writing w;
		struct span crcs;

		writing_init(&w, h, LARGE);
		writing_begin(&w, empty_file(), true);
		add_in_steps(&w, p, LARGE, steps[i]);
		assert_int_equal(w.written, LARGE);
		assert_file(w.fd, p, LARGE);
		assert_int_equal(hasher_end(h, &w.hash, sum, &e), 0);
		assert_md5(sum, p, LARGE);
		crcs = blocks_end(&w.blocks);
		assert_int_equal(crcs.n, 2 * 4);
		assert_true(blocks_right(span_make(p, BLOCK_SIZE), 0, crcs));
		assert_true(blocks_right(span_make(p + BLOCK_SIZE, LARGE - BLOCK_SIZE), 1, crcs));
		writing_release(&w);
	}
}

static void a_file_that_nobody_follows_is_written_alike(void **state)
{
	auto_free char *p = bytes_like(2, LARGE);
	struct writing w;

	writing_init(&w, *state, LARGE);
	writing_begin(&w, empty_file(), false);
	add_in_steps(&w, p, LARGE, 5000);
	assert_file(w.fd, p, LARGE);
	writing_release(&w);
}

static void one_that_never_began_is_released(void **state)
{
	struct writing w;

	writing_init(&w, *state, LARGE);
	writing_release(&w);
}

// The bytes of p from *at on, in the file and told to the hasher.
static bool wrote(struct hasher *h, struct hash_job *j, int fd, const char *p, size_t *at, size_t n)
{
	struct hash_piece *piece = hasher_piece(h);
	struct err e = { 0 };
	bool taken;

	assert_int_equal(piece->n, 0);
	memcpy(piece->bytes, p + *at, n);
	piece->n = n;
	*at += n;
	assert_int_equal(file_write_all(fd, piece->bytes, n, &e), 0);
	taken = hasher_wrote(h, j, piece);
	if (!taken)
		hasher_piece_free(h, piece);
	return taken;
}

// Pieces of one byte are not worth summing until the end, so those of a new job fill the hasher's hands.
static size_t fill_hands(struct hasher *h, struct hash_job *j, int fd, const char *p)
{
	size_t at = 0;

	hasher_begin(h, j, fd);
	for (int i = 0; i < HELD_MAX; i++)
		assert_true(wrote(h, j, fd, p, &at, 1));
	return at;
}

static void what_it_does_not_take_it_reads(void **state)
{
	struct hasher *h = *state;
	auto_free char *p = bytes_like(3, LARGE);
	auto_fd int fd = empty_file();
	uint8_t sum[DIGEST_MAX];
	struct err e = { 0 };
	struct hash_job j;
	size_t at;

	at = fill_hands(h, &j, fd, p);
	assert_false(wrote(h, &j, fd, p, &at, 1));
	for (int i = 0; i < 6; i++) // taken or not, as fast as it is
		(void)wrote(h, &j, fd, p, &at, 99999);
	assert_int_equal(hasher_end(h, &j, sum, &e), 0);
	assert_md5(sum, p, at);
	hasher_drop(h, &j);
}

static void a_file_that_became_shorter_is_an_error(void **state)
{
	struct hasher *h = *state;
	auto_free char *p = bytes_like(4, LARGE);
	auto_fd int fd = empty_file();
	uint8_t sum[DIGEST_MAX];
	struct err e = { 0 };
	struct hash_job j;
	size_t at;

	at = fill_hands(h, &j, fd, p);
	assert_false(wrote(h, &j, fd, p, &at, 1000));
	assert_int_equal(ftruncate(fd, 500), 0);
	assert_int_equal(hasher_end(h, &j, sum, &e), -1);
	assert_int_equal(e.code, ERR_IO);
	hasher_drop(h, &j);
}

static void who_is_dropped_gives_its_pieces_back(void **state)
{
	struct hasher *h = *state;
	auto_free char *p = bytes_like(5, LARGE);
	auto_fd int fd = empty_file();
	struct hash_job j;

	for (int i = 0; i < 3; i++) {
		fill_hands(h, &j, fd, p);
		hasher_drop(h, &j);
	}
}

static struct hasher *shared;

static void *write_some(void *arg)
{
	unsigned seed = *(unsigned *)arg;
	size_t n = LARGE + seed * 31337;
	auto_free char *p = bytes_like(seed, n);
	uint8_t sum[DIGEST_MAX];
	struct err e = { 0 };

	for (int i = 0; i < 4; i++) {
		struct writing w;

		writing_init(&w, shared, n);
		writing_begin(&w, empty_file(), true);
		add_in_steps(&w, p, n, 16384 + seed);
		if (i != 2) { // one of them gives up
			assert_int_equal(hasher_end(shared, &w.hash, sum, &e), 0);
			assert_md5(sum, p, n);
		}
		writing_release(&w);
	}
	return NULL;
}

static void many_at_a_time_do_not_mix(void **state)
{
	pthread_t threads[THREADS];
	unsigned seeds[THREADS];

	shared = *state;
	for (unsigned i = 0; i < THREADS; i++) {
		seeds[i] = i;
		assert_int_equal(pthread_create(&threads[i], NULL, write_some, &seeds[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
}

static int make(void **state)
{
	*state = hasher_new();
	return 0;
}

static int clear(void **state)
{
	hasher_free(*state);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whatever_the_steps_file_and_sums_are_right),
		cmocka_unit_test(a_file_that_nobody_follows_is_written_alike),
		cmocka_unit_test(one_that_never_began_is_released),
		cmocka_unit_test(what_it_does_not_take_it_reads),
		cmocka_unit_test(a_file_that_became_shorter_is_an_error),
		cmocka_unit_test(who_is_dropped_gives_its_pieces_back),
		cmocka_unit_test(many_at_a_time_do_not_mix),
	};

	return cmocka_run_group_tests(tests, make, clear);
}
