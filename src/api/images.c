// SPDX-License-Identifier: Apache-2.0
// images: bringing them in, listing and removing them.
#include "api/req.h"
#include "base/mem.h"
#include "image/catalog.h"
#include "image/image.h"

#include <errno.h>
#include <unistd.h>

static json_t *image_json(const struct image *m)
{
	json_t *v = json_pack("{s:s,s:s,s:s,s:I}", "name", m->name, "id", m->id, "digest",
			      m->digest, "size", (json_int_t)m->size);

	json_time(v, "created", m->created_ns);
	return v;
}

void json_image_digest(struct req *q, json_t *v, const char *image_id)
{
	struct err none = { 0 };
	char digest[80];

	if (image_digest(q->api->o.images, image_id, digest, &none) == 0 && digest[0])
		json_object_set_new(v, "image_digest", json_string(digest));
}

// A registry's refusal is not ours: 401 would say that the caller's password is wrong.
static void image_error(struct req *q, const struct err *e)
{
	if (e->code == ERR_UNAUTH)
		reply_text(q, 403, e->msg);
	else if (e->code == ERR_UNSUPPORTED)
		reply_text(q, 400, e->msg);
	else
		reply_error(q, e);
}

// How much of it is kept here, packed: what others need as well, and what would go with it.
static void add_usage(struct req *q, json_t *v, const char *name)
{
	struct catalog_usage u;
	struct err e = { 0 };

	if (catalog_usage(q->api->o.images, span_of(name), &u, &e) < 0)
		return;
	json_object_set_new(v, "own_bytes", json_integer((json_int_t)u.own));
	json_object_set_new(v, "shared_bytes", json_integer((json_int_t)u.shared));
}

void api_images_list(struct req *q)
{
	struct image *list;
	json_t *v;
	struct err e = { 0 };
	size_t n;

	if (image_list(q->api->o.images, http_arena(q->http), &list, &n, &e) < 0) {
		reply_error(q, &e);
		return;
	}
	v = json_array();
	for (size_t i = 0; i < n; i++) {
		json_t *one = image_json(&list[i]);

		if (query_flag(q, "usage") && strcmp(list[i].id, "host") != 0)
			add_usage(q, one, list[i].name);
		json_array_append_new(v, one);
	}
	reply_json(q, 200, v);
}

static int import(struct req *q, const char *name, struct image *made, struct err *e)
{
	struct span prefix = query_text(q, "conda"), base = query_text(q, "base");
	struct arena *mem = http_arena(q->http);
	struct image_conda c = { .name = name, .fd = q->body_fd, .owner = q->who.user };

	if (!prefix.n)
		return image_import(q->api->o.images, name, q->body_fd, q->who.user, made, e);
	if (!base.n)
		return err_set(e, ERR_INVALID,
			       "base: an environment is put on top of an image: name one");
	c.prefix = arena_span(mem, prefix).p;
	c.base = arena_span(mem, base).p;
	return image_import_conda(q->api->o.images, &c, made, e);
}

void api_images_import(struct req *q)
{
	struct span name = query_text(q, "name");
	char text[IMAGE_NAME_MAX];
	auto_image struct image made = { 0 };
	struct err e = { 0 };

	if (!q->body_size) {
		reply_text(q, 400,
			   "the body must be a tar archive of a root file system, an OCI image "
			   "layout or what docker save writes");
		return;
	}
	if (lseek(q->body_fd, 0, SEEK_SET) < 0) {
		err_sys(&e, ERR_IO, errno, "archive");
		reply_error(q, &e);
	} else if (image_name_check(name, text, &e) < 0 || import(q, text, &made, &e) < 0) {
		if (e.code == ERR_PROTOCOL)
			e.code = ERR_INVALID;
		image_error(q, &e);
	} else {
		reply_json(q, 201, image_json(&made));
	}
}

static bool caller_gone(void *owner)
{
	struct req *q = owner;

	return http_peer_gone(q->http);
}

// What a pull and a push are told alike.
struct transfer {
	json_t *body;
	const char *reference, *name, *user, *password, *progress;
	int64_t idle_s;
};

static void transfer_release(struct transfer *t)
{
	json_decref(t->body);
}
#define auto_transfer at_scope_exit(transfer_release)

static bool read_transfer(struct req *q, struct transfer *t)
{
	struct err e = { 0 };

	if (codec_json_parse(http_body(q->http), 65536, &t->body, &e) == 0 &&
	    codec_json_get_string(t->body, "reference", &t->reference, &e) == 0 &&
	    codec_json_get_string(t->body, "name", &t->name, &e) == 0 &&
	    codec_json_get_string(t->body, "username", &t->user, &e) == 0 &&
	    codec_json_get_string(t->body, "password", &t->password, &e) == 0 &&
	    codec_json_get_string(t->body, "progress", &t->progress, &e) == 0 &&
	    codec_json_get_int(t->body, "idle_timeout_s", 1, 600, &t->idle_s, &e) == 0)
		return true;
	reply_error(q, &e);
	return false;
}

void api_images_pull(struct req *q)
{
	auto_transfer struct transfer t = { 0 };
	auto_image struct image made = { 0 };
	struct image_pull p;
	struct err e = { 0 };
	json_t *v;

	if (!read_transfer(q, &t))
		return;
	if (!t.reference) {
		reply_text(q, 400, "reference: missing");
		return;
	}
	p = (struct image_pull){ .reference = t.reference,
				 .name = t.name,
				 .user = t.user,
				 .password = t.password,
				 .idle_ms = t.idle_s * 1000,
				 .cancelled = caller_gone,
				 .owner = q,
				 .user_id = q->who.user,
				 .progress = t.progress };
	if (image_pull(q->api->o.images, &p, &made, &e) < 0) {
		image_error(q, &e);
		return;
	}
	v = image_json(&made);
	json_object_set_new(v, "layers", json_integer(made.layers));
	json_object_set_new(v, "transferred", json_integer((json_int_t)made.transferred));
	reply_json(q, 201, v);
}

void api_images_progress(struct req *q)
{
	struct image_progress p;
	struct err e = { 0 };

	if (image_progress(q->api->o.images, q->param[0], &p, &e) < 0)
		reply_error(q, &e);
	else
		reply_json(q, 200,
			   json_pack("{s:s,s:i,s:i,s:I,s:I}", "step", p.step, "number",
				     (int)p.number, "count", (int)p.count, "done",
				     (json_int_t)p.done, "total", (json_int_t)p.total));
}

void api_images_push(struct req *q)
{
	auto_transfer struct transfer t = { 0 };
	struct image_pushed done;
	struct image_push p;
	struct err e = { 0 };

	if (!read_transfer(q, &t))
		return;
	if (!t.name || !t.reference) {
		reply_text(q, 400, "name and reference are wanted");
		return;
	}
	p = (struct image_push){ .name = t.name,
				 .reference = t.reference,
				 .user = t.user,
				 .password = t.password,
				 .idle_ms = t.idle_s * 1000,
				 .cancelled = caller_gone,
				 .owner = q,
				 .progress = t.progress };
	if (image_push(q->api->o.images, &p, &done, &e) < 0)
		image_error(q, &e);
	else
		reply_json(q, 200,
			   json_pack("{s:s,s:s,s:i,s:I}", "reference", p.reference, "digest",
				     done.digest, "blobs", (int)done.blobs, "transferred",
				     (json_int_t)done.transferred));
}

void api_images_remove(struct req *q)
{
	struct err e = { 0 };

	if (image_remove(q->api->o.images, q->param[0], &e) < 0)
		reply_error(q, &e);
	else
		reply_empty(q, 204);
}

void api_images_get(struct req *q)
{
	struct image found;
	struct err e = { 0 };
	json_t *config, *v;

	if (image_get(q->api->o.images, q->param[0], http_arena(q->http), &found, &e) < 0) {
		reply_error(q, &e);
		return;
	}
	v = image_json(&found);
	add_usage(q, v, found.name);
	config = found.config ? json_loads(found.config, 0, NULL) : NULL;
	if (config) {
		json_object_del(config, "size");
		json_object_set_new(v, "config", config);
	}
	reply_json(q, 200, v);
}

void api_images_prune(struct req *q)
{
	struct image_pruned gone;
	struct err e = { 0 };

	if (image_prune(q->api->o.images, query_flag(q, "untagged"), query_flag(q, "now"), &gone,
			&e) < 0)
		reply_error(q, &e);
	else
		reply_json(q, 200,
			   json_pack("{s:i,s:i,s:I}", "manifests", (int)gone.manifests, "blobs",
				     (int)gone.blobs, "bytes", (json_int_t)gone.bytes));
}
