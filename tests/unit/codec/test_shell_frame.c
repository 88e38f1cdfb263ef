// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "base/attr.h"
#include "codec/shell_frame.h"

#include <string.h>

static void put(struct shell_reader *r, const char *p, size_t n)
{
	size_t max;
	char *room = shell_reader_room(r, &max);

	assert_true(n <= max);
	memcpy(room, p, n);
	shell_reader_grew(r, n);
}

static void what_is_written_is_read(void **state unused_arg)
{
	static struct shell_reader client, server;
	static char out[SHELL_HEAD + SHELL_PAYLOAD_MAX];
	struct shell_frame f;
	struct err e = { 0 };

	put(&client, out, shell_frame_size(out, 24, 65535));
	memset(out + SHELL_HEAD, 'a', SHELL_PAYLOAD_MAX);
	put(&client, out, shell_frame_seal(out, SHELL_INPUT, SHELL_PAYLOAD_MAX));
	assert_int_equal(shell_reader_next(&client, true, &f, &e), 1);
	assert_int_equal(f.kind, SHELL_SIZE);
	assert_int_equal(f.rows, 24);
	assert_int_equal(f.columns, 65535);
	assert_int_equal(shell_reader_next(&client, true, &f, &e), 1);
	assert_int_equal(f.kind, SHELL_INPUT);
	assert_int_equal(f.payload.n, SHELL_PAYLOAD_MAX);
	assert_int_equal(shell_reader_next(&client, true, &f, &e), 0);
	put(&client, out, shell_frame_seal(out, SHELL_INPUT_END, 0));
	assert_int_equal(shell_reader_next(&client, true, &f, &e), 1);
	assert_int_equal(f.kind, SHELL_INPUT_END);

	put(&server, out, shell_frame_end(out, SHELL_KILLED, 255, "why"));
	assert_int_equal(shell_reader_next(&server, false, &f, &e), 1);
	assert_int_equal(f.kind, SHELL_END);
	assert_int_equal(f.how, SHELL_KILLED);
	assert_int_equal(f.code, 255);
	assert_true(span_is(f.payload, "why"));
}

static void a_long_reason_is_cut(void **state unused_arg)
{
	static struct shell_reader r;
	char out[SHELL_HEAD + 2 + SHELL_REASON_MAX], reason[1000];
	struct shell_frame f;
	struct err e = { 0 };

	memset(reason, 'r', sizeof(reason) - 1);
	reason[sizeof(reason) - 1] = '\0';
	put(&r, out, shell_frame_end(out, SHELL_BROKEN, 0, reason));
	assert_int_equal(shell_reader_next(&r, false, &f, &e), 1);
	assert_int_equal(f.payload.n, SHELL_REASON_MAX);
}

static void frames_come_in_pieces(void **state unused_arg)
{
	static const char bytes[] = "i\0\0\003abcs\0\0\004\0\030\0\120e\0\0\0";
	static struct shell_reader r;
	unsigned frames = 0;

	for (size_t i = 0; i < sizeof(bytes) - 1; i++) {
		struct shell_frame f;
		struct err e = { 0 };

		put(&r, bytes + i, 1);
		frames += shell_reader_next(&r, true, &f, &e) == 1;
	}
	assert_int_equal(frames, 3);
}

static void what_nobody_may_send_is_refused(void **state unused_arg)
{
	static const struct {
		bool from_client;
		struct span bytes;
	} wrong[] = {
		{ true, SPAN("o\0\0\1a") },	  { true, SPAN("r\0\0\1a") },
		{ true, SPAN("x\0\0\2\0\0") },	  { false, SPAN("i\0\0\1a") },
		{ false, SPAN("e\0\0\0") },	  { false, SPAN("s\0\0\4abcd") },
		{ true, SPAN("s\0\0\3abc") },	  { true, SPAN("e\0\0\1a") },
		{ true, SPAN("i\1\0\1a") },	  { true, SPAN("i\0\100\1") },
		{ false, SPAN("o\0\377\377") },	  { true, SPAN("\0\0\0\0") },
		{ false, SPAN("x\0\0\1\0") },	  { false, SPAN("x\0\0\2\3\0") },
		{ false, SPAN("x\0\0\2\377\0") },
	};

	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		static struct shell_reader r;
		struct shell_frame f;
		struct err e = { 0 };

		r.at = r.n = 0;
		put(&r, wrong[i].bytes.p, wrong[i].bytes.n);
		if (shell_reader_next(&r, wrong[i].from_client, &f, &e) != -1 ||
		    e.code != ERR_PROTOCOL)
			fail_msg("%zu", i);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_is_read),
		cmocka_unit_test(a_long_reason_is_cut),
		cmocka_unit_test(frames_come_in_pieces),
		cmocka_unit_test(what_nobody_may_send_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
