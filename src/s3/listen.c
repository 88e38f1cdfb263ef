// SPDX-License-Identifier: Apache-2.0
// Listening: a client holds a GET, and each event is a line of the answer. MinIO's extension (mc watch, minio-py's
// listen_bucket_notification); Amazon has no such call.
#include "base/mem.h"
#include "codec/url.h"
#include "notify/notify.h"
#include "s3/request.h"

enum { PAGE = 64, TEXT_MAX = 16 << 20, BLOCK = 1024 };

struct listening {
	struct notify_listener *listener;
	struct http_server *server;
	struct buf text;
	size_t sent;
	bool idle; // said nothing since it was parked
};

static uint64_t topic(const struct listening *l)
{
	return (uintptr_t)l;
}

static void news(void *owner)
{
	struct listening *l = owner;

	http_stream_wake(l->server, topic(l));
}

static int fill(struct listening *l)
{
	auto_arena struct arena mem = { 0 };
	struct notify_letter *list;
	struct err e = { 0 };
	size_t n;

	buf_clear(&l->text);
	l->sent = 0;
	if (notify_listen_next(l->listener, PAGE, &mem, &list, &n, &e) < 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		buf_add_span(&l->text, list[i].record);
		buf_add_char(&l->text, '\n');
	}
	return n > 0;
}

static ssize_t listening_read(void *owner, struct http_req *r unused_arg, uint64_t at unused_arg,
			      char *out, size_t max)
{
	struct listening *l = owner;
	int got = 1;

	if (l->sent == l->text.n)
		got = fill(l);
	if (got < 0)
		return HTTP_STREAM_FAIL;
	if (!got && !l->idle) {
		l->idle = true;
		return HTTP_STREAM_PARK;
	}
	l->idle = false;
	if (!got) // a blank between lines tells proxies that we live, as the peer's does
		buf_add_char(&l->text, ' ');
	return (ssize_t)http_text_take(&l->text, &l->sent, out, max);
}

static void listening_close(void *owner)
{
	struct listening *l = owner;

	notify_listen_end(l->listener);
	buf_release(&l->text);
	mem_free(l);
}

// Each member `events` names one.
static bool take_events(struct s3_req *q, uint32_t *out)
{
	struct span rest = http_query_raw(q->http), name, value;

	*out = 0;
	while (url_query_next(&rest, &name, &value)) {
		uint32_t events;

		if (!span_is(name, "events"))
			continue;
		value = url_decode(q->mem, value, URL_PLUS_BLANK);
		if (!notification_events(value, &events))
			return s3_failf(q, S3_INVALID_ARGUMENT, "There is no event " SPAN_FMT ".",
					SPAN_ARG(span_head(value, 100)));
		*out |= events;
	}
	return true;
}

static void listen_to(struct s3_req *q, int64_t bucket)
{
	struct notify_listen o = { .bucket = bucket,
				   .prefix = s3_param(q, "prefix"),
				   .suffix = s3_param(q, "suffix"),
				   .news = news };
	struct http_stream s = { .read = listening_read, .close = listening_close, .block = BLOCK };
	struct listening *l;
	struct err e = { 0 };

	if (!take_events(q, &o.events))
		return;
	l = mem_zalloc(sizeof(*l));
	buf_init(&l->text, TEXT_MAX);
	l->server = http_server_of(q->http);
	o.owner = l;
	if (notify_listen_begin(q->s3->o.notify, &o, &l->listener, &e) < 0) {
		mem_free(l);
		s3_failf(q, S3_SLOW_DOWN, "%s", e.msg);
		return;
	}
	s.owner = l;
	s.topic = topic(l);
	http_reply_header(q->http, "Cache-Control", SPAN("no-cache"));
	http_reply_stream(q->http, 200, "text/event-stream", UINT64_MAX, &s);
}

void s3_listen_bucket(struct s3_req *q)
{
	listen_to(q, q->bucket.id);
}

// All buckets, so for those who may read all.
void s3_listen(struct s3_req *q)
{
	if (s3_is_admin(q))
		listen_to(q, 0);
	else
		s3_fail(q, S3_ACCESS_DENIED);
}
