// SPDX-License-Identifier: Apache-2.0
// exposed: services that run servers: how they are, what they print, and stopping and starting them.
#include "api/req.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "exec/joblog.h"
#include "expose/expose.h"
#include "fdl/fdl.h"

enum { LINE_MAX_BYTES = 4096 };

static const char *state_word(const struct expose_state *s, bool wants_some)
{
	if (s->stopped)
		return "stopped";
	if (s->ready)
		return "ready";
	if (s->starting)
		return "pending";
	if (s->reason[0])
		return "failed";
	return wants_some ? "pending" : "ready"; // the first request starts one
}

json_t *exposed_json(struct req *q, const struct service_def *d)
{
	struct expose_state s;
	json_t *v;

	expose_look(q->api->o.expose, d->id, &s);
	v = json_pack("{s:s,s:s,s:s,s:i,s:i,s:i,s:s}", "service_name", d->fdl->name, "namespace",
		      "oscar-svc", "state", state_word(&s, d->fdl->expose.min), "active_instances",
		      (int)s.ready, "frozen_instances", (int)s.frozen, "affected_instances",
		      (int)(s.ready + s.starting), "resource_kind", "exposed_service");
	if (!s.ready && s.reason[0])
		json_object_set_new(v, "reason", json_string(s.reason));
	json_time(v, "last_transition_time", s.changed_ns);
	return v;
}

// ---- what they print -----------------------------------------------------------------------------------

// The last lines of a log, each with the time at which it began.
struct tail {
	struct tail_line {
		int64_t wall_ns;
		struct buf text;
	} * lines;
	size_t max, count, first; // `count` of `max` places, the oldest at `first`
	bool open;		  // the newest has no end yet
};

static struct tail_line *line_at(struct tail *t, size_t i)
{
	size_t at = t->first + i;

	return &t->lines[at < t->max ? at : at - t->max];
}

static struct buf *begin_line(struct tail *t, int64_t wall_ns)
{
	struct tail_line *l;

	if (t->count < t->max)
		t->count++;
	else if (++t->first == t->max)
		t->first = 0;
	l = line_at(t, t->count - 1);
	l->wall_ns = wall_ns;
	if (!l->text.max)
		buf_init(&l->text, LINE_MAX_BYTES);
	buf_clear(&l->text);
	return &l->text;
}

// What is over a line's bound is left out.
static void add_text(struct tail *t, struct span text, int64_t wall_ns)
{
	while (text.n) {
		ptrdiff_t end = span_find(text, '\n');
		struct span piece = end < 0 ? text : span_head(text, (size_t)end);
		struct buf *line =
			t->open ? &line_at(t, t->count - 1)->text : begin_line(t, wall_ns);

		buf_add_span(line, span_head(piece, line->max - line->n));
		t->open = end < 0;
		text = span_from(text, piece.n + (end >= 0));
	}
}

static json_t *tail_json(struct tail *t, bool times)
{
	json_t *list = json_array();

	for (size_t i = 0; i < t->count; i++) {
		const struct tail_line *l = line_at(t, i);
		struct span text = buf_span(&l->text);
		json_t *one = json_object();

		if (times)
			json_time(one, "timestamp", l->wall_ns);
		json_object_set_new(one, "message",
				    span_is_utf8(text) ? json_stringn(text.p, text.n)
						       : json_string("(not UTF-8)"));
		json_array_append_new(list, one);
	}
	return list;
}

json_t *exposed_log(struct req *q, const struct service_def *d, size_t lines)
{
	struct tail t = { .max = lines };
	auto_free char *record = mem_alloc(JOBLOG_RECORD_MAX);
	struct joblog_record r;
	struct err e = { 0 };
	auto_fd int fd = expose_log(q->api->o.expose, d->id, &e);
	json_t *list;
	off_t at = 0;

	t.lines = mem_zalloc(lines * sizeof(*t.lines));
	while (fd >= 0 && joblog_read(fd, &at, &r, record, &e) > 0)
		add_text(&t, span_make(record, r.size), r.wall_ns);
	list = tail_json(&t, query_flag(q, "timestamps"));
	for (size_t i = 0; i < lines; i++)
		buf_release(&t.lines[i].text);
	mem_free(t.lines);
	return list;
}

// ---- orders --------------------------------------------------------------------------------------------

static void order(struct req *q, enum expose_order what)
{
	auto_service_def struct service_def *d = req_service(q);

	if (!d)
		return;
	if (!req_sees_all(q, d)) {
		reply_text(q, 403, "only its owner may do this");
	} else if (!d->fdl->expose.port) {
		reply_text(q, 400,
			   arena_printf(http_arena(q->http), "service \"%s\" is not exposed",
					d->fdl->name));
	} else {
		expose_order(q->api->o.expose, d, what);
		reply_json(q, 200, exposed_json(q, d));
	}
}

void api_services_stop(struct req *q)
{
	order(q, EXPOSE_STOP);
}

void api_services_start(struct req *q)
{
	order(q, EXPOSE_START);
}

void api_services_restart(struct req *q)
{
	order(q, EXPOSE_RESTART);
}
