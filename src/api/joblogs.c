// SPDX-License-Identifier: Apache-2.0
// joblogs: what jobs print, as text, also while they print it.
#include "api/req.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "dispatch/dispatch.h"
#include "exec/joblog.h"
#include "queue/queue.h"

// A log on its way to a client: records become text, perhaps with a time before each line.
struct log_stream {
	struct api *api;
	int64_t job;
	unsigned attempt;
	int fd;
	off_t at;
	unsigned stream; // 0 = both
	bool times, follow, line_start;
	struct buf text; // not yet sent
	size_t sent;
};

static void add_text(struct log_stream *l, struct span rest, const struct joblog_record *r)
{
	char when[CLOCK_TEXT_MAX];

	if (!l->times) {
		buf_add_span(&l->text, rest);
		return;
	}
	while (rest.n) {
		ptrdiff_t nl = span_find(rest, '\n');
		size_t k = nl < 0 ? rest.n : (size_t)nl + 1;

		if (l->line_start) {
			clock_iso_s(r->wall_ns, when);
			when[strlen(when) - 1] = '\0';
			buf_printf(&l->text, "%s.%09lldZ ", when,
				   (long long)(r->wall_ns % NS_PER_S));
		}
		buf_add(&l->text, rest.p, k);
		l->line_start = nl >= 0;
		rest = span_from(rest, k);
	}
}

// Reads one more record into l->text; 0 = none there now.
static int next_record(struct log_stream *l, struct err *e)
{
	char record[JOBLOG_RECORD_MAX]; // not in the stream: thousands of them may wait
	struct joblog_record r;
	int got = joblog_read(l->fd, &l->at, &r, record, e);

	if (got > 0 && (!l->stream || r.stream == l->stream))
		add_text(l, span_make(record, r.size), &r);
	return got;
}

static bool attempt_over(struct log_stream *l)
{
	auto_arena struct arena mem = { 0 };
	struct queue_job j;
	struct err e = { 0 };

	if (dispatch_active(l->api->o.dispatch, l->job, l->attempt))
		return false; // thousands may ask five times a second
	if (queue_job_get(l->api->o.queue, l->job, &mem, &j, &e) < 0)
		return true;
	return j.state >= QUEUE_SUCCEEDED || j.attempt != l->attempt || j.state == QUEUE_QUEUED;
}

static ssize_t log_read(void *owner, struct http_req *r unused_arg, uint64_t at unused_arg,
			char *out, size_t max)
{
	struct log_stream *l = owner;
	struct err e = { 0 };
	bool over = false;

	while (l->sent == l->text.n) {
		int got;

		buf_clear(&l->text);
		l->sent = 0;
		got = next_record(l, &e);
		if (got < 0)
			return HTTP_STREAM_FAIL;
		if (got > 0)
			continue;
		if (!l->follow || over)
			return HTTP_STREAM_END;
		if (!attempt_over(l))
			return HTTP_STREAM_PARK;
		over = true; // one more look: the last record may have come in between
	}
	return (ssize_t)http_text_take(&l->text, &l->sent, out, max);
}

static void log_close(void *owner)
{
	struct log_stream *l = owner;

	if (l->follow) {
		pthread_mutex_lock(&l->api->lock);
		l->api->followers--;
		pthread_mutex_unlock(&l->api->lock);
	}
	file_close(l->fd);
	buf_release(&l->text);
	mem_free(l);
}

static void stream_log(struct req *q, const struct queue_job *j, bool follow, unsigned stream)
{
	struct http_stream s = { .read = log_read,
				 .close = log_close,
				 .topic = TOPIC_LOGS,
				 .block = follow ? 1024 : 0 };
	struct log_stream *l;
	struct err e = { 0 };
	int fd = dispatch_log(q->api->o.dispatch, j->id, j->attempt, &e);

	if (fd < 0) {
		if (j->attempt && j->attempt <= j->logs_gone)
			reply_text(q, 410,
				   "the log was removed: logs are kept for less time than jobs "
				   "(keep.logs of the service, --keep-log-days of the server)");
		else
			reply_text(q, 200, ""); // nothing was printed yet
		return;
	}
	l = mem_zalloc(sizeof(*l));
	*l = (struct log_stream){ .api = q->api,
				  .job = j->id,
				  .attempt = j->attempt,
				  .fd = fd,
				  .stream = stream,
				  .times = query_flag(q, "timestamps"),
				  .follow = follow,
				  .line_start = true };
	buf_init(&l->text, JOBLOG_RECORD_MAX * 40);
	if (follow) {
		pthread_mutex_lock(&q->api->lock);
		q->api->followers++;
		pthread_mutex_unlock(&q->api->lock);
	}
	s.owner = l;
	http_reply_stream(q->http, 200, "text/plain; charset=utf-8", UINT64_MAX, &s);
}

void api_logs_get(struct req *q)
{
	struct queue_job j;

	if (req_job_of_service(q, &j))
		stream_log(q, &j, false, 0);
}

void api_jobs_log(struct req *q)
{
	struct span stream = query_text(q, "stream");
	struct queue_job j;

	if (!req_job(q, q->param[0], &j))
		return;
	if (stream.n && !span_is(stream, "stdout") && !span_is(stream, "stderr")) {
		reply_text(q, 400, "stream: stdout or stderr");
		return;
	}
	stream_log(q, &j, query_flag(q, "follow"),
		   !stream.n		       ? 0
		   : span_is(stream, "stdout") ? JOBLOG_STDOUT
					       : JOBLOG_STDERR);
}
