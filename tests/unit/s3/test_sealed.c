// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "base/mem.h"
#include "s3/sealed.h"

static const struct span secret = { "a-secret-key", 12 };

static enum err_code opened(struct span key, struct span body, struct buf *out)
{
	struct err e = { 0 };

	buf_release(out);
	buf_init(out, 1 << 20);
	return sealed_open(key, body, out, &e) < 0 ? e.code : ERR_NONE;
}

static void what_was_sealed_opens(void **state unused_arg)
{
	static const size_t sizes[] = { 0, 1, 16383, 16384, 16385, 40000 };
	static char plain[40000];

	for (size_t i = 0; i < sizeof(plain); i++)
		plain[i] = (char)(i * 7);
	for (unsigned kind = 0; kind <= SEALED_PBKDF2_AES; kind++)
		for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
			auto_buf struct buf body = { 0 };
			auto_buf struct buf out = { 0 };
			struct span text = span_make(plain, sizes[i]);
			struct err e = { 0 };

			if (kind != SEALED_PBKDF2_AES && i != 4)
				continue; // the slow ones once
			buf_init(&body, 1 << 20);
			assert_int_equal(
				sealed_make(secret, (enum sealed_kind)kind, text, &body, &e), 0);
			assert_int_equal(opened(secret, buf_span(&body), &out), ERR_NONE);
			assert_true(span_eq(buf_span(&out), text));
		}
}

static void changed_cut_and_foreign_bodies_do_not(void **state unused_arg)
{
	static char plain[40000];
	auto_buf struct buf body = { 0 };
	auto_buf struct buf out = { 0 };
	struct err e = { 0 };
	struct span all;

	buf_init(&body, 1 << 20);
	assert_int_equal(sealed_make(secret, SEALED_PBKDF2_AES, span_make(plain, sizeof(plain)),
				     &body, &e),
			 0);
	all = buf_span(&body);
	assert_int_equal(opened(SPAN("another-key"), all, &out), ERR_UNAUTH);
	// cut at a fragment's end, within one, within the head
	assert_int_equal(opened(secret, span_head(all, SEALED_HEAD + 16384 + 16), &out),
			 ERR_UNAUTH);
	assert_int_equal(opened(secret, span_head(all, all.n - 1), &out), ERR_UNAUTH);
	assert_int_equal(opened(secret, span_head(all, SEALED_HEAD + 3), &out), ERR_INVALID);
	assert_int_equal(opened(secret, span_head(all, SEALED_HEAD + 16384 + 16 + 5), &out),
			 ERR_INVALID);
	assert_int_equal(opened(secret, SPAN(""), &out), ERR_INVALID);
	body.p[SEALED_HEAD + 100] ^= 1;
	assert_int_equal(opened(secret, all, &out), ERR_UNAUTH);
	body.p[32] = 7; // no such algorithm
	assert_int_equal(opened(secret, all, &out), ERR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_sealed_opens),
		cmocka_unit_test(changed_cut_and_foreign_bodies_do_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
