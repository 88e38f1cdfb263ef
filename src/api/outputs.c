// SPDX-License-Identifier: Apache-2.0
// outputs: what a service made that is there now, and whether it would come out otherwise today: by another script,
// another image, or from another version of its input. What made an object is in its metadata (dispatch/provenance.c).
#include "api/req.h"
#include "base/mem.h"
#include "codec/url.h"
#include "dispatch/dispatch.h"
#include "fdl/fdl.h"
#include "image/image.h"
#include "store/store.h"

struct outputs {
	struct req *q;
	const struct service_def *def;
	char image[80]; // as outputs name it
	bool stale_only;
	json_t *list;
};

// The version that the output was made from is not what its input is now.
static bool input_changed(struct req *q, const struct store_object *o)
{
	struct arena *mem = http_arena(q->http);
	struct span at = store_meta_get(o->meta, DISPATCH_META "input"), bucket;
	struct span version = store_meta_get(o->meta, DISPATCH_META "input-version");
	char now[STORE_VERSION_TEXT];
	struct store_object input;
	struct err e = { 0 };

	if (!at.n || !version.n) // made by a call, or of a name too long to be kept
		return false;
	bucket = span_cut(&at, '/');
	if (store_object_get(q->api->o.store, bucket, url_decode(mem, at, URL_PLUS_KEEP), 0, mem,
			     &input, &e) < 0)
		return e.code == ERR_NOT_FOUND;
	return !span_is(version, store_version_text(input.version, false, now));
}

// Why it would be another today; an empty list when it would not.
static json_t *why_stale(const struct outputs *s, const struct store_object *o)
{
	json_t *why = json_array();

	if (!span_is(store_meta_get(o->meta, DISPATCH_META "script-sha256"), s->def->script_hash))
		json_array_append_new(why, json_string("script"));
	if (!span_is(store_meta_get(o->meta, DISPATCH_META "image"), s->image))
		json_array_append_new(why, json_string("image"));
	if (input_changed(s->q, o))
		json_array_append_new(why, json_string("input"));
	return why;
}

static void add_object(struct outputs *s, const struct store_object *listed)
{
	struct span revision, job;
	struct store_object o;
	struct err e = { 0 };
	json_t *why;

	if (store_object_get(s->q->api->o.store, listed->bucket, listed->key, 0,
			     http_arena(s->q->http), &o, &e) < 0 ||
	    !span_is(store_meta_get(o.meta, DISPATCH_META "service"), s->def->fdl->name))
		return; // deleted meanwhile, or somebody else's
	why = why_stale(s, &o);
	if (s->stale_only && json_array_size(why) == 0) {
		json_decref(why);
		return;
	}
	revision = store_meta_get(o.meta, DISPATCH_META "revision");
	job = store_meta_get(o.meta, DISPATCH_META "job");
	json_array_append_new(s->list, json_pack("{s:s%,s:s%,s:I,s:s%,s:s%,s:o}", "bucket",
						 o.bucket.p, o.bucket.n, "key", o.key.p, o.key.n,
						 "size", (json_int_t)o.size, "revision", revision.p,
						 revision.n, "job", job.p, job.n, "stale", why));
}

// One page of the n-th output's folder; *next is empty when it was the last.
static int look(struct outputs *s, const struct fdl_io *io, struct span after, size_t limit,
		struct span *next, struct err *e)
{
	struct arena *mem = http_arena(s->q->http);
	struct store_list_options o = {
		.bucket = span_of(io->bucket),
		.prefix = *io->folder ? span_of(arena_printf(mem, "%s/", io->folder)) : SPAN(""),
		.after = after,
		.limit = limit,
	};
	struct store_list page;

	*next = SPAN("");
	if (store_list(s->q->api->o.store, &o, mem, &page, e) < 0)
		return e->code == ERR_NOT_FOUND ? 0 : -1; // its bucket was deleted
	for (size_t i = 0; i < page.n; i++) {
		page.entries[i].object.bucket = o.bucket;
		add_object(s, &page.entries[i].object);
	}
	if (page.truncated)
		*next = page.next;
	return 0;
}

// What comes after "N/KEY": the key in the folder of the N-th output.
static bool read_after(struct span text, size_t count, size_t *at, struct span *key)
{
	struct span number = span_cut(&text, '/');
	uint64_t n;

	*at = 0;
	*key = text;
	if (!number.n)
		return !text.n;
	if (!span_to_u64(number, &n) || n >= count)
		return false;
	*at = (size_t)n;
	return true;
}

static void what_is_now(struct outputs *s)
{
	struct err none = { 0 };

	if (image_digest(s->q->api->o.images, s->def->image_id, s->image, &none) < 0 ||
	    !s->image[0])
		snprintf(s->image, sizeof(s->image), "%s", s->def->image_id);
}

void api_outputs(struct req *q)
{
	auto_service_def struct service_def *d = req_service(q);
	struct outputs s = { .q = q, .def = d, .stale_only = query_flag(q, "stale") };
	size_t limit = (size_t)query_int(q, "limit", 100, 1, PAGE_MAX), at;
	struct span after, next = SPAN("");
	struct err e = { 0 };
	json_t *answer;

	if (!d)
		return;
	if (!req_sees_all(q, d)) {
		reply_text(q, 403, "only the owner may list the outputs of a service");
		return;
	}
	if (!read_after(query_text(q, "after"), d->fdl->output_count, &at, &after)) {
		reply_text(q, 400, "after: what the page before says as next");
		return;
	}
	what_is_now(&s);
	s.list = json_array();
	// A page is of one folder; folders without anything are passed over.
	for (bool some = false; at < d->fdl->output_count && !some; at += next.n == 0) {
		if (look(&s, &d->fdl->outputs[at], after, limit, &next, &e) < 0) {
			json_decref(s.list);
			reply_error(q, &e);
			return;
		}
		some = next.n > 0 || json_array_size(s.list) > 0;
		after = SPAN("");
	}
	answer = json_pack("{s:o}", "outputs", s.list);
	if (at < d->fdl->output_count)
		json_object_set_new(answer, "next",
				    json_sprintf("%zu/%.*s", at, (int)next.n,
						 next.n ? next.p : ""));
	reply_json(q, 200, answer);
}
