// SPDX-License-Identifier: Apache-2.0
// deployment: how far a service is on its way to run: here that is its image, which is fetched and unpacked when the
// service is made or refreshed. Services are otherwise ready at once and have no instances, which OSCAR calls
// "unavailable", unless they are exposed (exposed.c).
#include "api/req.h"
#include "base/mem.h"
#include "fdl/fdl.h"
#include "image/image.h"

#include <inttypes.h>

enum { TAIL_DEFAULT = 200, TAIL_MAX = 1000 };

static const char *work_text(struct arena *mem, const struct image_progress *p)
{
	const char *which = p->count ? arena_printf(mem, " %u of %u", p->number, p->count) : "";
	const char *bytes = p->total ? arena_printf(mem, ", %" PRIu64 " of %" PRIu64 " bytes",
						    p->done, p->total)
				     : "";

	return arena_printf(mem, "getting the image: %s%s%s", p->step, which, bytes);
}

// Why it is not ready yet; "" = nothing is going on.
static const char *busy_text(struct req *q, const struct service_image_state *s)
{
	struct image_progress p;
	struct err none = { 0 };

	if (!s->busy)
		return "";
	return image_progress(q->api->o.images, span_of(s->progress), &p, &none) < 0
		       ? "getting the image"
		       : work_text(http_arena(q->http), &p);
}

void json_image_state(struct req *q, json_t *v, const struct service_def *d)
{
	struct service_image_state s;
	struct err none = { 0 };
	const char *busy;

	if (service_image_state(q->api->o.services, &q->who, span_of(d->fdl->name),
				http_arena(q->http), &s, &none) < 0)
		return;
	busy = busy_text(q, &s);
	if (*busy)
		json_object_set_new(v, "image_state", json_string(busy));
	if (d->fdl->refresh_apply)
		json_time(v, "image_checked", s.checked_ns);
	if (*s.error)
		json_object_set_new(v, "image_error", json_string(s.error));
}

static bool find_state(struct req *q, struct service_image_state *out)
{
	struct err e = { 0 };

	if (service_image_state(q->api->o.services, &q->who, q->param[0], http_arena(q->http), out,
				&e) == 0)
		return true;
	reply_error(q, &e);
	return false;
}

// The definition when it runs servers and is there already, a reference; else NULL.
static struct service_def *find_exposed(struct req *q)
{
	auto_service_def struct service_def *d = NULL;
	struct err none = { 0 };

	if (service_get(q->api->o.services, &q->who, q->param[0], &d, &none) < 0 ||
	    !d->fdl->expose.port)
		return NULL;
	return mem_take(&d);
}

void api_deployment(struct req *q)
{
	auto_service_def struct service_def *d = find_exposed(q);
	struct service_image_state s;
	const char *busy;
	json_t *v;

	if (!find_state(q, &s))
		return;
	busy = busy_text(q, &s);
	if (d && !*busy) {
		reply_json(q, 200, exposed_json(q, d));
		return;
	}
	v = json_pack("{s:s,s:s,s:s,s:i,s:i,s:s}", "service_name",
		      arena_span(http_arena(q->http), q->param[0]).p, "namespace", "oscar-svc",
		      "state", *busy ? "pending" : "unavailable", "active_instances", 0,
		      "affected_instances", 0, "resource_kind", "unavailable");
	if (*busy || *s.error)
		json_object_set_new(v, "reason", json_string(*busy ? busy : s.error));
	if (s.line_count)
		json_time(v, "last_transition_time", s.lines[s.line_count - 1].time_ns);
	reply_json(q, 200, v);
}

void api_deployment_logs(struct req *q)
{
	auto_service_def struct service_def *d = find_exposed(q);
	struct span tail = query_text(q, "tailLines");
	struct service_image_state s;
	json_t *entries;
	uint64_t n = TAIL_DEFAULT;

	if (tail.n && (!span_to_u64(tail, &n) || !n || n > TAIL_MAX)) {
		reply_text(q, 400, "tailLines: a number from 1 to 1000");
		return;
	}
	if (!find_state(q, &s))
		return;
	entries = d ? exposed_log(q, d, (size_t)n) : json_array();
	for (size_t i = s.line_count > n ? s.line_count - n : 0; !d && i < s.line_count; i++) {
		json_t *one = json_object();

		if (query_flag(q, "timestamps"))
			json_time(one, "timestamp", s.lines[i].time_ns);
		json_object_set_new(one, "message", json_string(s.lines[i].text));
		json_array_append_new(entries, one);
	}
	reply_json(q, 200,
		   json_pack("{s:s,s:b,s:o}", "service_name",
			     arena_span(http_arena(q->http), q->param[0]).p, "available", 1,
			     "entries", entries));
}
