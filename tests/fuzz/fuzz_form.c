// SPDX-License-Identifier: Apache-2.0
// A form in pieces whose size the first byte says: no more comes out than went in.
#include "codec/form.h"

static int begin(void *owner unused_arg, const struct form_part *p, struct err *e unused_arg)
{
	check(p->name.n <= FORM_HEAD_MAX && p->filename.n <= FORM_HEAD_MAX);
	return 0;
}

static int bytes(void *owner, struct span piece, struct err *e unused_arg)
{
	*(size_t *)owner += piece.n;
	return 0;
}

static int end(void *owner unused_arg, struct err *e unused_arg)
{
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t out = 0, step = size ? data[0] + 1u : 1;
	struct span rest = span_make(data, size), type = span_cut(&rest, '\n');
	struct form_events ev = { &out, begin, bytes, end };
	struct form f = { 0 };
	struct err e = { 0 };
	int bad = form_init(&f, type, &ev, &e);

	while (!bad && rest.n) {
		bad = form_feed(&f, span_head(rest, step), &e);
		rest = span_from(rest, step);
	}
	if (!bad)
		bad = form_end(&f, &e);
	check(out <= size);
	form_release(&f);
	return 0;
}
