// SPDX-License-Identifier: Apache-2.0
// Files read ahead: what comes out, and the digest of what lies there.
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "codec/digest.h"
#include "codec/text.h"
#include "image/ahead.h"

#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

enum { LARGE = 9 << 20, ROOM = 32 << 20 }; // more than all slots hold

static void pack(struct buf *out, struct span bytes)
{
	size_t room = compressBound(bytes.n) + 64;
	auto_free char *p = mem_alloc(room);
	z_stream z = { 0 };

	assert_int_equal(deflateInit2(&z, 1, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
	z.next_in = (unsigned char *)bytes.p;
	z.avail_in = (unsigned)bytes.n;
	z.next_out = (unsigned char *)p;
	z.avail_out = (unsigned)room;
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	assert_true(buf_add(out, p, room - z.avail_out));
	deflateEnd(&z);
}

static char *large(void)
{
	char *p = mem_alloc(LARGE);
	uint32_t x = 1;

	for (size_t i = 0; i < LARGE; i++)
		p[i] = (char)((x = x * 1103515245 + 12345) >> 28);
	return p;
}

static int file_of(struct span bytes)
{
	int fd = memfd_create("ahead", MFD_CLOEXEC);
	struct err e = { 0 };

	assert_int_equal(file_write_all(fd, bytes.p, bytes.n, &e), 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

// Takes all of it; 0, or -1 with what came before the damage in `out`.
static int take_all(struct span file, struct buf *out, struct err *e)
{
	auto_fd int fd = file_of(file);
	auto_ahead struct ahead *a = ahead_open(fd);
	char digest[65], want[65];
	uint8_t sum[DIGEST_MAX];
	struct err none = { 0 };
	struct span piece;
	int bad;

	while ((bad = ahead_next(a, &piece, e)) == 0 && piece.n)
		assert_true(buf_add(out, piece.p, piece.n));
	assert_int_equal(ahead_finish(a, digest, &none), 0);
	digest_once(DIGEST_SHA256, file, sum);
	assert_string_equal(digest, text_hex(want, sum, 32));
	return bad;
}

static void expect(struct span file, struct span content)
{
	struct err e = { 0 };
	auto_buf struct buf out;

	buf_init(&out, ROOM);
	assert_int_equal(take_all(file, &out, &e), 0);
	assert_true(span_eq(buf_span(&out), content));
}

static void plain_files_come_as_they_are(void **state unused_arg)
{
	auto_free char *p = large();

	expect(span_make(p, LARGE), span_make(p, LARGE));
	expect(SPAN("x"), SPAN("x"));
	expect(SPAN(""), SPAN(""));
	expect(SPAN("\x1f\x8b"), SPAN("\x1f\x8b"));
}

static void gzip_is_unpacked_part_by_part(void **state unused_arg)
{
	auto_free char *p = large();
	auto_buf struct buf file;

	buf_init(&file, ROOM);
	pack(&file, span_make(p, LARGE / 2));
	pack(&file, SPAN(""));
	pack(&file, span_make(p + LARGE / 2, LARGE - LARGE / 2));
	expect(buf_span(&file), span_make(p, LARGE));
	assert_true(buf_add_str(&file, "what follows is not gzip, and not ours"));
	expect(buf_span(&file), span_make(p, LARGE));
}

static void damage_is_met_where_it_is(void **state unused_arg)
{
	auto_free char *p = large();
	auto_buf struct buf file, out;
	struct err e = { 0 };

	buf_init(&file, ROOM);
	buf_init(&out, ROOM);
	pack(&file, span_make(p, LARGE));
	assert_int_equal(take_all(span_head(buf_span(&file), file.n / 2), &out, &e), -1);
	assert_int_equal(e.code, ERR_INVALID);
	assert_non_null(strstr(e.msg, "cut off"));
	assert_true(out.n > 0 && memcmp(out.p, p, out.n) == 0);

	buf_clear(&out);
	memset(file.p + file.n / 2, 0xff, 4096);
	assert_int_equal(take_all(buf_span(&file), &out, &e), -1);
	assert_non_null(strstr(e.msg, "damaged"));
}

static void who_has_enough_leaves_at_once_and_still_gets_the_digest(void **state unused_arg)
{
	auto_free char *p = large();
	auto_buf struct buf file;
	struct err e = { 0 };
	struct span piece;
	char digest[65], want[65];
	uint8_t sum[DIGEST_MAX];

	buf_init(&file, ROOM);
	pack(&file, span_make(p, LARGE));
	for (unsigned finish = 0; finish < 2; finish++) {
		auto_fd int fd = file_of(buf_span(&file));
		auto_ahead struct ahead *a = ahead_open(fd);

		assert_int_equal(ahead_next(a, &piece, &e), 0);
		assert_true(piece.n > 0);
		if (finish) {
			assert_int_equal(ahead_finish(a, digest, &e), 0);
			digest_once(DIGEST_SHA256, buf_span(&file), sum);
			assert_string_equal(digest, text_hex(want, sum, 32));
		}
	}
}

static void a_descriptor_that_cannot_be_read_is_an_error(void **state unused_arg)
{
	auto_ahead struct ahead *a = ahead_open(-1);
	struct err e = { 0 };
	struct span piece;
	char digest[65];

	assert_int_equal(ahead_next(a, &piece, &e), -1);
	assert_int_equal(e.code, ERR_IO);
	assert_int_equal(ahead_finish(a, digest, &e), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_files_come_as_they_are),
		cmocka_unit_test(gzip_is_unpacked_part_by_part),
		cmocka_unit_test(damage_is_met_where_it_is),
		cmocka_unit_test(who_has_enough_leaves_at_once_and_still_gets_the_digest),
		cmocka_unit_test(a_descriptor_that_cannot_be_read_is_an_error),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
