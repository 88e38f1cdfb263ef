// sse: Server-Sent Events read from a stream. Owner, threads, errors: see sse.h.
// SPDX-License-Identifier: Apache-2.0
#include "http/sse.h"

void sse_init(struct sse_reader *r, size_t event_max,
	      void (*event)(void *owner, const struct sse_event *ev), void *owner)
{
	*r = (struct sse_reader){ .event = event, .owner = owner };
	buf_init(&r->line, event_max);
	buf_init(&r->data, event_max);
	buf_init(&r->id, 1024);
	buf_init(&r->kind, 1024);
}

void sse_release(struct sse_reader *r)
{
	buf_release(&r->line);
	buf_release(&r->data);
	buf_release(&r->id);
	buf_release(&r->kind);
}

static void dispatch(struct sse_reader *r)
{
	if (r->has_data) {
		struct sse_event ev = {
			.id = buf_span(&r->id),
			.kind = r->kind.n ? buf_span(&r->kind) : SPAN("message"),
			.data = buf_span(&r->data),
		};

		r->event(r->owner, &ev);
	}
	buf_clear(&r->data);
	buf_clear(&r->kind);
	r->has_data = false;
}

static bool take_field(struct sse_reader *r, struct span name, struct span value)
{
	if (span_is(name, "data")) {
		if (r->has_data && !buf_add_char(&r->data, '\n'))
			return false;
		r->has_data = true;
		return buf_add_span(&r->data, value);
	}
	if (span_is(name, "event")) {
		buf_clear(&r->kind);
		return buf_add_span(&r->kind, value);
	}
	if (span_is(name, "id") && span_find(value, '\0') < 0) {
		buf_clear(&r->id);
		return buf_add_span(&r->id, value);
	}
	return true; // "retry" and names of later times
}

static bool take_line(struct sse_reader *r)
{
	struct span value = buf_span(&r->line), name;
	bool ok = true;

	if (value.n == 0) {
		dispatch(r);
		return true;
	}
	if (value.p[0] != ':') { // else a comment, sent to keep the connection alive
		name = span_cut(&value, ':');
		if (value.n > 0 && value.p[0] == ' ')
			value = span_from(value, 1);
		ok = take_field(r, name, value);
	}
	buf_clear(&r->line);
	return ok;
}

int sse_feed(struct sse_reader *r, struct span piece, struct err *e)
{
	for (size_t i = 0; i < piece.n; i++) {
		char c = piece.p[i];
		bool ok;

		if (c == '\n' && r->after_cr) {
			r->after_cr = false;
			continue;
		}
		r->after_cr = c == '\r';
		ok = c == '\r' || c == '\n' ? take_line(r) : buf_add_char(&r->line, c);
		if (!ok)
			return err_set(e, ERR_LIMIT, "an event of more than %zu bytes",
				       r->data.max);
	}
	return 0;
}
