// SPDX-License-Identifier: Apache-2.0
// feed: everything that happens as Server-Sent Events (WHATWG HTML 9.2), resumable by id. How far jobs are comes among it
// without an id: it is not kept.
#include "db/feed.h"
#include "api/req.h"
#include "base/buf.h"
#include "base/mem.h"
#include "dispatch/dispatch.h"

enum { PAGE = 64, TEXT_MAX = 1 << 20, KEEPALIVE_EVERY = 1 };

struct feed_stream {
	struct api *api;
	int64_t user, after;
	uint64_t progress; // the number of the last news that was sent
	bool admin;
	struct buf text;
	size_t sent;
	bool idle; // said nothing since it was parked
};

static void add_progress(struct feed_stream *f, struct arena *mem)
{
	struct dispatch_progress *list;
	size_t n = dispatch_progress_since(f->api->o.dispatch, f->admin ? 0 : f->user, &f->progress,
					   mem, &list);

	for (size_t i = 0; i < n; i++) {
		auto_json json_t *v = json_pack("{s:s,s:s,s:I,s:s}", "job", list[i].job, "service",
						list[i].service, "attempt",
						(json_int_t)list[i].attempt, "state", "running");

		json_object_set_new(v, "run", json_sprintf("%lld", (long long)list[i].run));
		json_progress(v, &list[i].said, list[i].wall_ns);
		auto_free char *text = codec_json_text(v, CODEC_JSON_PLAIN);

		buf_printf(&f->text, "event: progress\ndata: %s\n\n", text);
	}
}

static int fill(struct feed_stream *f)
{
	auto_arena struct arena mem = { 0 };
	struct feed_entry *list;
	struct err e = { 0 };
	size_t n;

	buf_clear(&f->text);
	f->sent = 0;
	if (feed_read(f->api->o.db, f->after, PAGE, &mem, &list, &n, &e) < 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		f->after = list[i].seq;
		if (f->admin || list[i].owner == f->user)
			buf_printf(&f->text,
				   "id: %lld\nevent: " SPAN_FMT "\ndata: " SPAN_FMT "\n\n",
				   (long long)list[i].seq, SPAN_ARG(list[i].kind),
				   SPAN_ARG(list[i].doc));
	}
	if (!n)
		add_progress(f, &mem);
	return n > 0 || f->text.n > 0;
}

static ssize_t feed_stream_read(void *owner, struct http_req *r unused_arg, uint64_t at unused_arg,
				char *out, size_t max)
{
	struct feed_stream *f = owner;
	int got = 1;

	while (f->sent == f->text.n && got > 0)
		got = fill(f);
	if (got < 0)
		return HTTP_STREAM_FAIL;
	if (f->sent == f->text.n) {
		if (f->idle) { // asked again with nothing new: a comment tells proxies that we live
			f->idle = false;
			buf_add_str(&f->text, ": alive\n\n");
		} else {
			f->idle = true;
			return HTTP_STREAM_PARK;
		}
	}
	return (ssize_t)http_text_take(&f->text, &f->sent, out, max);
}

static void feed_stream_close(void *owner)
{
	struct feed_stream *f = owner;

	{
		auto_lock held = lock_hold(&f->api->lock);

		f->api->watchers--;
	}
	buf_release(&f->text);
	mem_free(f);
}

void api_feed(struct req *q)
{
	struct http_stream s = { .read = feed_stream_read,
				 .block = 1024,
				 .close = feed_stream_close,
				 .topic = TOPIC_FEED };
	struct span last = http_header(q->http, "Last-Event-ID");
	struct feed_stream *f;
	struct err e = { 0 };
	int64_t newest;
	uint64_t from;

	if (feed_last(q->api->o.db, &newest, &e) < 0) {
		reply_error(q, &e);
		return;
	}
	f = mem_zalloc(sizeof(*f));
	*f = (struct feed_stream){ .api = q->api, .user = q->who.user, .admin = q->who.admin };
	buf_init(&f->text, TEXT_MAX);
	f->after = last.p && span_to_u64(last, &from) && from < INT64_MAX
			   ? (int64_t)from
			   : query_int(q, "after", newest, 0, INT64_MAX);
	s.owner = f;
	{
		auto_lock held = lock_hold(&q->api->lock);

		q->api->watchers++;
	}
	http_reply_header(q->http, "Cache-Control", SPAN("no-cache"));
	http_reply_stream(q->http, 200, "text/event-stream", UINT64_MAX, &s);
}
