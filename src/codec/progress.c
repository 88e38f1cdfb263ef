// SPDX-License-Identifier: Apache-2.0
#include "codec/progress.h"

#include "codec/json.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const double just_over = 1.001; // sums of fractions end beside 1

static bool read_done(const json_t *v, double *out)
{
	double n = json_number_value(v);

	if (!json_is_number(v) || !isfinite(n) || n < 0 || n > just_over)
		return false;
	*out = n > 1 ? 1 : n;
	return true;
}

static void copy_message(struct progress *p, const char *text)
{
	size_t n = strnlen(text, PROGRESS_MESSAGE_MAX + 1);

	if (n > PROGRESS_MESSAGE_MAX)
		for (n = PROGRESS_MESSAGE_MAX; n && ((unsigned char)text[n] & 0xc0) == 0x80; n--)
			;
	memcpy(p->message, text, n);
	p->message[n] = '\0';
}

static bool read_line(struct span line, struct progress *out)
{
	auto_json json_t *v = NULL;
	struct err ignored = { 0 };
	const json_t *done, *message;

	// Most lines that are cut off are known by their first and last bytes.
	if (line.n < 2 || line.n > PROGRESS_LINE_MAX || line.p[0] != '{' ||
	    line.p[line.n - 1] != '}' ||
	    codec_json_parse(line, PROGRESS_LINE_MAX, &v, &ignored) < 0)
		return false;
	done = json_object_get(v, "progress");
	message = json_object_get(v, "message");
	*out = (struct progress){ .done = -1 };
	if ((!done && !message) || (done && !read_done(done, &out->done)) ||
	    (message && !json_is_string(message)))
		return false;
	if (message)
		copy_message(out, json_string_value(message));
	return true;
}

bool progress_last(struct span tail, struct progress *out)
{
	size_t end = tail.n;

	while (end) {
		size_t begin = end;

		while (begin && tail.p[begin - 1] != '\n')
			begin--;
		if (read_line(span_trim(span_make(tail.p + begin, end - begin)), out))
			return true;
		end = begin ? begin - 1 : 0;
	}
	return false;
}
