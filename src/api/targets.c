// SPDX-License-Identifier: Apache-2.0
// targets: where bucket notifications can go, the queues of our own among them, and what could not be delivered.
#include "api/req.h"
#include "base/clock.h"
#include "base/mem.h"
#include "notify/notify.h"

enum { WAIT_MAX_S = 60, WAITERS_MAX = 256, PAGE_TEXT_MAX = 64 << 20, LETTERS_DEFAULT = 100 };

// A reader of a queue that was empty.
struct queue_waiter {
	struct queue_waiter *next;
	struct req *req;
	int64_t deadline_ns; // monotonic
};

static const char *param(struct req *q, int i)
{
	return arena_strndup(http_arena(q->http), q->param[i].p, q->param[i].n);
}

// ---- targets -------------------------------------------------------------------------------------------

static json_t *target_json(const struct notify_target *t)
{
	json_t *settings = json_object();

	for (size_t i = 0; i < t->setting_count; i++)
		for (const struct notify_key *k = notify_keys(t->kind); k->name; k++)
			if (strcmp(k->name, t->settings[i].key) == 0)
				json_object_set_new(settings, k->name,
						    json_string(k->secret ? "*redacted*"
									  : t->settings[i].value));
	return json_pack("{s:s,s:s,s:s,s:o,s:I,s:I,s:I,s:s}", "kind", t->kind, "name", t->name,
			 "arn", t->arn, "settings", settings, "waiting",
			 (json_int_t)(t->events - t->dead), "dead", (json_int_t)t->dead, "dropped",
			 (json_int_t)t->dropped, "fault", t->fault);
}

void api_targets_list(struct req *q)
{
	struct notify_target *list;
	json_t *v;
	struct err e = { 0 };
	size_t n;

	if (notify_target_list(q->api->o.notify, http_arena(q->http), &list, &n, &e) < 0) {
		reply_error(q, &e);
		return;
	}
	v = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(v, target_json(&list[i]));
	reply_json(q, 200, v);
}

static void send_target(struct req *q, unsigned status)
{
	struct notify_target t;
	struct err e = { 0 };

	if (notify_target_get(q->api->o.notify, param(q, 0), param(q, 1), http_arena(q->http), &t,
			      &e) < 0)
		reply_error(q, &e);
	else
		reply_json(q, status, target_json(&t));
}

void api_targets_get(struct req *q)
{
	send_target(q, 200);
}

// The body is an object of settings; those not named stay as they are.
void api_targets_put(struct req *q)
{
	struct notify_setting settings[32];
	auto_json json_t *body = NULL;
	struct err e = { 0 };
	const char *key;
	json_t *value;
	size_t n = 0;

	if (codec_json_parse(http_body(q->http), 65536, &body, &e) < 0) {
		reply_error(q, &e);
		return;
	}
	json_object_foreach(body, key, value)
	{
		if (!json_is_string(value) || n == ARRAY_LEN(settings)) {
			reply_text(q, 400, "settings are texts, at most 32 of them");
			return;
		}
		settings[n++] = (struct notify_setting){ key, json_string_value(value) };
	}
	if (notify_target_set(q->api->o.notify, param(q, 0), param(q, 1), settings, n, &e) < 0)
		reply_error(q, &e);
	else
		send_target(q, 200);
}

void api_targets_remove(struct req *q)
{
	struct err e = { 0 };

	if (notify_target_remove(q->api->o.notify, param(q, 0), param(q, 1), &e) < 0)
		reply_error(q, &e);
	else
		reply_empty(q, 204);
}

// ---- letters -------------------------------------------------------------------------------------------

// {"events":[{"id":1,…,"record":{…}}],"last":1}; `last` is what the next call gives as `after`.
static void reply_letters(struct req *q, const struct notify_letter *l, size_t n, int64_t after)
{
	char time[CLOCK_TEXT_MAX];
	auto_buf struct buf b = { .max = PAGE_TEXT_MAX };

	buf_add_str(&b, "{\"events\":[");
	for (size_t i = 0; i < n; i++) {
		// A page ends early rather than failing.
		if (b.n + l[i].record.n + 4096 > PAGE_TEXT_MAX)
			break;
		buf_printf(&b, "%s{\"id\":%lld,\"time\":\"%s\",\"attempts\":%u", i ? "," : "",
			   (long long)l[i].seq, clock_iso_ms(l[i].time_ns, time), l[i].attempts);
		if (l[i].dead_ns)
			buf_printf(&b, ",\"dead\":\"%s\"", clock_iso_ms(l[i].dead_ns, time));
		if (l[i].reason[0]) {
			buf_add_str(&b, ",\"reason\":");
			codec_json_write_string(span_of(l[i].reason), CODEC_JSON_PLAIN, &b);
		}
		buf_add_str(&b, ",\"record\":");
		buf_add_span(&b, l[i].record);
		buf_add_char(&b, '}');
		after = l[i].seq;
	}
	buf_printf(&b, "],\"last\":%lld}", (long long)after);
	http_reply_buf(q->http, 200, "application/json", &b);
}

static int read_letters(struct req *q, const char *kind, const char *name, bool dead,
			struct notify_letter **out, size_t *n, struct err *e)
{
	return notify_letters(q->api->o.notify, kind, name, dead,
			      query_int(q, "after", 0, 0, INT64_MAX),
			      (size_t)query_int(q, "limit", LETTERS_DEFAULT, 1, NOTIFY_PAGE_MAX),
			      http_arena(q->http), out, n, e);
}

void api_targets_dead(struct req *q)
{
	struct notify_letter *l;
	struct err e = { 0 };
	size_t n;

	if (read_letters(q, param(q, 0), param(q, 1), true, &l, &n, &e) < 0)
		reply_error(q, &e);
	else
		reply_letters(q, l, n, query_int(q, "after", 0, 0, INT64_MAX));
}

static void dead_ones(struct req *q, bool again)
{
	struct err e = { 0 };
	uint64_t n;

	if (notify_dead(q->api->o.notify, param(q, 0), param(q, 1),
			query_int(q, "id", 0, 0, INT64_MAX), again, &n, &e) < 0)
		reply_error(q, &e);
	else
		reply_json(q, 200, json_pack("{s:I}", "events", (json_int_t)n));
}

void api_targets_redrive(struct req *q)
{
	dead_ones(q, true);
}

void api_targets_drop(struct req *q)
{
	dead_ones(q, false);
}

// ---- queues of our own ---------------------------------------------------------------------------------

static bool listed(struct span users, const char *name)
{
	while (users.n)
		if (span_is(span_trim(span_cut(&users, ',')), name))
			return true;
	return false;
}

// Administrators, and the users that its settings name. False when answered.
static bool may_read(struct req *q)
{
	struct notify_target t;
	struct err e = { 0 };

	if (notify_target_get(q->api->o.notify, "queue", param(q, 0), http_arena(q->http), &t, &e) <
	    0) {
		reply_error(q, &e);
		return false;
	}
	if (q->who.admin)
		return true;
	for (size_t i = 0; i < t.setting_count; i++)
		if (strcmp(t.settings[i].key, "users") == 0 &&
		    listed(span_of(t.settings[i].value), q->who.name))
			return true;
	reply_text(q, 403, "only the administrator and the queue's users may read it");
	return false;
}

// Answers unless there is nothing and the reader may wait on.
static bool answer_queue(struct req *q, bool wait)
{
	struct notify_letter *l;
	struct err e = { 0 };
	size_t n;

	if (read_letters(q, "queue", param(q, 0), false, &l, &n, &e) < 0) {
		reply_error(q, &e);
		return true;
	}
	if (!n && wait)
		return false;
	reply_letters(q, l, n, query_int(q, "after", 0, 0, INT64_MAX));
	return true;
}

static bool enlist(struct api *a, struct queue_waiter *w)
{
	auto_lock held = lock_hold(&a->lock);
	unsigned n = 0;

	for (struct queue_waiter *x = a->queue_waiters; x; x = x->next)
		n++;
	if (n >= WAITERS_MAX || a->stop || !a->server)
		return false;
	w->next = a->queue_waiters;
	a->queue_waiters = w;
	a->queue_news = true; // what came in between is found at once
	pthread_cond_signal(&a->wake);
	return true;
}

void api_queue_read(struct req *q)
{
	int64_t wait_s = query_int(q, "wait", 0, 0, WAIT_MAX_S);
	struct queue_waiter *w;

	if (!may_read(q) || answer_queue(q, wait_s > 0))
		return;
	w = arena_alloc(http_arena(q->http), sizeof(*w));
	*w = (struct queue_waiter){ .req = q, .deadline_ns = clock_mono_ns() + wait_s * NS_PER_S };
	http_suspend(q->http);
	if (enlist(q->api, w))
		return;
	answer_queue(q, false);
	http_resume(q->http);
}

void api_queue_news(void *owner)
{
	struct api *a = owner;
	auto_lock held = lock_hold(&a->lock);

	if (!a->queue_waiters)
		return;
	a->queue_news = true;
	pthread_cond_signal(&a->wake);
}

static struct queue_waiter *take_waiters(struct api *a, bool *all)
{
	auto_lock held = lock_hold(&a->lock);
	struct queue_waiter *list = a->queue_waiters;

	*all = a->stop || !a->server;
	a->queue_waiters = NULL;
	return list;
}

void api_queue_tick(struct api *a)
{
	bool all;
	struct queue_waiter *w = take_waiters(a, &all), *next;
	int64_t now = clock_mono_ns();

	for (; w; w = next) {
		next = w->next;
		if (!answer_queue(w->req, !all && now < w->deadline_ns)) {
			auto_lock held = lock_hold(&a->lock);

			w->next = a->queue_waiters;
			a->queue_waiters = w;
			continue;
		}
		http_resume(w->req->http);
	}
}

void api_queue_take(struct req *q)
{
	struct err e = { 0 };
	int64_t through = query_int(q, "through", 0, 0, INT64_MAX);
	uint64_t n;

	if (!may_read(q))
		return;
	if (!through) {
		reply_text(q, 400, "through: the id of the last event that was taken");
		return;
	}
	if (notify_take(q->api->o.notify, param(q, 0), through, &n, &e) < 0)
		reply_error(q, &e);
	else
		reply_json(q, 200, json_pack("{s:I}", "events", (json_int_t)n));
}
