// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "base/attr.h"
#include "base/buf.h"
#include "codec/progress.h"

#include <string.h>

static struct progress last(const char *tail)
{
	struct progress p;

	if (!progress_last(span_of(tail), &p))
		fail_msg("nothing in \"%s\"", tail);
	return p;
}

static void the_last_good_line_counts(void **state unused_arg)
{
	static const struct {
		const char *tail;
		double done;
		const char *message;
	} rows[] = {
		{ "{\"progress\":0.4,\"message\":\"frame 12\"}\n", 0.4, "frame 12" },
		{ "{\"progress\":0}", 0, "" },
		{ "{\"progress\":1}\r\n\n  \n", 1, "" },
		{ "{\"progress\":1.0000000002}", 1, "" },
		{ "{\"message\":\"only words\"}\n", -1, "only words" },
		{ "0.1}\n{\"progress\":0.2}\n{\"progress\":0.", 0.2, "" },
		{ "{\"progress\":0.3}\nTraceback (most recent call last)\n", 0.3, "" },
		{ "{\"progress\":0.3}\n{\"progress\":40}\n", 0.3, "" },
		{ "{\"progress\":0.3}\n{\"progress\":-0.1}\n{\"progress\":NaN}\n", 0.3, "" },
		{ "{\"progress\":0.3}\n{\"progress\":1e999}\n{\"progress\":\"0.4\"}\n", 0.3, "" },
		{ "{\"progress\":0.3}\n{\"message\":\"\xff\"}\n{\"message\":1}\n{}\n[1]\n", 0.3,
		  "" },
		{ "{\"progress\":0.3}\n{\"progress\":0.4}{\"progress\":0.5}\n", 0.3, "" },
		{ "{\"step\":[1,2],\"progress\":0.5,\"message\":\"a\\nb\"}", 0.5, "a\nb" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct progress p = last(rows[i].tail);

		assert_float_equal(p.done, rows[i].done, 1e-9);
		assert_string_equal(p.message, rows[i].message);
	}
}

static void what_is_no_report_is_none(void **state unused_arg)
{
	static const char *const rows[] = { "",
					    "\n\n",
					    "0.4\n",
					    "{}",
					    "{\"progress\":null}",
					    "{\"progress\":0.4",
					    "null",
					    "{\"progress\":2}" };
	struct progress p;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (progress_last(span_of(rows[i]), &p))
			fail_msg("\"%s\" passes", rows[i]);
}

static void long_messages_are_cut_between_characters(void **state unused_arg)
{
	struct buf b;

	buf_init(&b, PROGRESS_LINE_MAX * 2);
	buf_add_str(&b, "{\"message\":\"x");
	for (int i = 0; i < 150; i++)
		buf_add_str(&b, "ä");
	buf_add_str(&b, "\"}");
	buf_add_char(&b, '\0');
	assert_int_equal(strlen(last(b.p).message), PROGRESS_MESSAGE_MAX - 1);
	// A giant line is no line; the one before it counts.
	buf_clear(&b);
	buf_add_str(&b, "{\"progress\":0.5}\n{\"progress\":0.6,\"message\":\"");
	while (b.n < PROGRESS_LINE_MAX + 100)
		buf_add_char(&b, 'x');
	buf_add_str(&b, "\"}\n");
	buf_add_char(&b, '\0');
	assert_float_equal(last(b.p).done, 0.5, 1e-9);
	buf_release(&b);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_last_good_line_counts),
		cmocka_unit_test(what_is_no_report_is_none),
		cmocka_unit_test(long_messages_are_cut_between_characters),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
