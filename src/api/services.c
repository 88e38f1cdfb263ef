// SPDX-License-Identifier: Apache-2.0
// services: the service object in and out.
#include "api/req.h"
#include "base/buf.h"
#include "base/mem.h"
#include "dispatch/dispatch.h"
#include "fdl/fdl.h"

static json_t *json_of(struct req *q, const struct service_def *d)
{
	struct fdl_own_store own = { q->api->o.s3_endpoint, true, q->api->o.s3_region };
	json_t *v = fdl_service_json(d->fdl, FDL_PRINT_PUBLIC, &own);

	json_image_digest(q, v, d->image_id);
	json_image_state(q, v, d);
	return v;
}

void api_services_list(struct req *q)
{
	struct service_def **defs;
	json_t *list = json_array();
	struct err e = { 0 };
	size_t n;

	if (service_list(q->api->o.services, &q->who, http_arena(q->http), &defs, &n, &e) < 0) {
		json_decref(list);
		reply_error(q, &e);
		return;
	}
	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, json_of(q, defs[i]));
	service_list_put(defs, n);
	reply_json(q, 200, list);
}

void api_services_get(struct req *q)
{
	auto_service_def struct service_def *d = req_service(q);

	if (d)
		reply_json(q, 200, json_of(q, d));
}

// Unknown keys are ignored, as the clients expect, and named in a header.
static void warn_unknown(struct req *q, const struct fdl_service *f)
{
	auto_buf struct buf names;
	size_t i;
	json_t *v;

	buf_init(&names, 1000);
	json_array_foreach(f->unknown, i, v)
		buf_printf(&names, "%s%s", i ? ", " : "", json_string_value(v));
	if (names.n)
		http_reply_headerf(q->http, "Warning", "299 - \"unknown keys ignored: %s\"",
				   names.p);
}

static struct fdl_service *parse(struct req *q)
{
	struct fdl_service *f = NULL;
	struct err e = { 0 };

	if (fdl_service_parse(http_body(q->http), &f, &e) < 0) {
		reply_text(q, 400,
			   arena_printf(http_arena(q->http),
					"The service specification is not valid: %s", e.msg));
		return NULL;
	}
	warn_unknown(q, f);
	return f;
}

// The reference answers 400 for a name in use and for what it finds wrong while creating.
static void refuse(struct req *q, const struct err *e)
{
	if (e->code == ERR_EXISTS || e->code == ERR_CONFLICT || e->code == ERR_UNSUPPORTED)
		reply_text(q, 400, e->msg);
	else if (e->code == ERR_NOT_FOUND && q->route->method == HTTP_POST)
		reply_text(q, 400, e->msg); // an image
	else
		reply_error(q, e);
}

void api_services_create(struct req *q)
{
	struct fdl_service *f = parse(q);
	struct err e = { 0 };

	if (!f)
		return;
	if (service_create(q->api->o.services, &q->who, f, &e) < 0)
		refuse(q, &e);
	else
		reply_empty(q, 201);
}

void api_services_update(struct req *q)
{
	struct fdl_service *f = parse(q);
	auto_service_def struct service_def *old = NULL;
	struct err e = { 0 };

	if (!f)
		return;
	if (service_get(q->api->o.services, &q->who, span_of(f->name), &old, &e) < 0 &&
	    e.code == ERR_NOT_FOUND) {
		fdl_service_free(f);
		reply_empty(q, 404);
		return;
	}
	if (service_update(q->api->o.services, &q->who, f, &e) == 0) {
		if (old)
			dispatch_retire(q->api->o.dispatch, old->id);
		reply_empty(q, 204);
	} else if (e.code == ERR_NOT_FOUND)
		reply_text(q, 400, e.msg); // an image
	else
		refuse(q, &e);
}

void api_services_remove(struct req *q)
{
	auto_service_def struct service_def *d = NULL;
	struct err e = { 0 };

	if (service_get(q->api->o.services, &q->who, q->param[0], &d, &e) < 0) {
		reply_empty(q, 404); // also when it is there and not visible
		return;
	}
	if (!q->who.admin && q->who.user != d->owner) {
		reply_text(q, 403,
			   arena_printf(http_arena(q->http),
					"User %s doesn't have permision to delete this service",
					q->who.name));
		return;
	}
	if (dispatch_cancel_service(q->api->o.dispatch, d->id, &e) < 0 ||
	    purge_jobs(q->api, d->id, false, &e) < 0 ||
	    service_remove(q->api->o.services, &q->who, q->param[0], !query_flag(q, "keep_data"),
			   &e) < 0)
		reply_error(q, &e);
	else
		reply_empty(q, 204);
}
