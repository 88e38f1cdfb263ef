// SPDX-License-Identifier: Apache-2.0
// admin: users, buckets.
#include "api/req.h"
#include "auth/iam.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/store.h"

// ---- users -----------------------------------------------------------------------------------------------

// canonical_id is how S3 names the user in access lists.
static json_t *user_json(struct req *q, const struct auth_user *u)
{
	char email[AUTH_EMAIL_MAX];
	json_t *v = json_pack("{s:s,s:b,s:b,s:o}", "name", u->name, "admin", u->admin, "enabled",
			      u->enabled, "canonical_id",
			      json_sprintf("%064llx", (unsigned long long)u->id));

	auth_user_email(q->api->o.auth, u->id, email);
	if (email[0])
		json_object_set_new(v, "email", json_string(email));
	return v;
}

void api_users_list(struct req *q)
{
	struct auth_user *list;
	json_t *v;
	struct err e = { 0 };
	size_t n;

	if (auth_user_list(q->api->o.auth, http_arena(q->http), &list, &n, &e) < 0) {
		reply_error(q, &e);
		return;
	}
	v = json_array();
	for (size_t i = 0; i < n; i++)
		if (list[i].id != AUTH_ANONYMOUS_ID)
			json_array_append_new(v, user_json(q, &list[i]));
	reply_json(q, 200, v);
}

void api_users_add(struct req *q)
{
	const char *name = NULL, *password = NULL, *key = NULL, *secret = NULL, *email = "";
	auto_json json_t *body = NULL;
	struct auth_user made;
	struct err e = { 0 };

	if (codec_json_parse(http_body(q->http), 65536, &body, &e) < 0 ||
	    codec_json_get_string(body, "name", &name, &e) < 0 ||
	    codec_json_get_string(body, "password", &password, &e) < 0 ||
	    codec_json_get_string(body, "s3_key", &key, &e) < 0 ||
	    codec_json_get_string(body, "s3_secret", &secret, &e) < 0 ||
	    codec_json_get_string(body, "email", &email, &e) < 0) {
		reply_error(q, &e);
		return;
	}
	if (!name) {
		reply_text(q, 400, "name: missing");
		return;
	}
	if (auth_user_add(q->api->o.auth, name, password, key, secret, &made, &e) < 0) {
		reply_error(q, &e);
		return;
	}
	if (*email && auth_user_set_email(q->api->o.auth, made.id, email, &e) < 0) {
		struct err ignored = { 0 };

		if (auth_user_remove(q->api->o.auth, span_of(name), &ignored) < 0)
			log_warn("api", "user %s stays: %s", name, ignored.msg);
		reply_error(q, &e);
		return;
	}
	reply_json(q, 201, user_json(q, &made));
}

// The user of the path; false when answered.
static bool path_user(struct req *q, struct auth_user *u)
{
	struct err e = { 0 };

	if (auth_user_find(q->api->o.auth, q->param[0], u, &e) == 0)
		return true;
	reply_error(q, &e);
	return false;
}

void api_keys_list(struct req *q)
{
	const char **names;
	struct auth_user u;
	struct err e = { 0 };
	json_t *v;
	size_t n;

	if (!path_user(q, &u))
		return;
	if (iam_key_list(q->api->o.auth, u.id, http_arena(q->http), &names, &n, &e) < 0) {
		reply_error(q, &e);
		return;
	}
	v = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(v, json_pack("{s:s}", "s3_key", names[i]));
	reply_json(q, 200, v);
}

// Rotation: add the new key, move the clients over, remove the old one.
void api_keys_put(struct req *q)
{
	const char *key = NULL, *secret = NULL;
	auto_json json_t *body = NULL;
	struct auth_user u;
	struct err e = { 0 };

	if (!path_user(q, &u))
		return;
	if (codec_json_parse(http_body(q->http), 65536, &body, &e) < 0 ||
	    codec_json_get_string(body, "s3_key", &key, &e) < 0 ||
	    codec_json_get_string(body, "s3_secret", &secret, &e) < 0)
		reply_error(q, &e);
	else if (!key || !secret)
		reply_text(q, 400, "s3_key and s3_secret: both are needed");
	else if (iam_key_put(q->api->o.auth, u.id, key, secret, &e) < 0)
		reply_error(q, &e);
	else
		reply_json(q, 201, json_pack("{s:s}", "s3_key", key));
}

void api_keys_remove(struct req *q)
{
	struct auth_user u;
	struct err e = { 0 };

	if (!path_user(q, &u))
		return;
	if (iam_key_remove(q->api->o.auth, u.id, q->param[1], &e) < 0)
		reply_error(q, &e);
	else
		reply_empty(q, 204);
}

// ---- buckets ---------------------------------------------------------------------------------------------

static const char *const visibilities[] = { "private", "restricted", "public" };

static json_t *bucket_json(struct req *q, const struct store_bucket *b)
{
	struct auth_user owner = { .name = "" };
	struct err e = { 0 };

	if (auth_user_by_id(q->api->o.auth, b->owner, &owner, &e) < 0)
		owner.name[0] = '\0';
	return json_pack("{s:s,s:s,s:n,s:s,s:{},s:{s:s},s:{s:o,s:I,s:I},s:s}", "bucket_name",
			 b->name, "visibility", visibilities[(unsigned)b->visibility % 3],
			 "allowed_users", "owner", owner.name, "metadata", "storage_quota",
			 "source", "unset", "storage_usage", "used",
			 json_sprintf("%llu", (unsigned long long)b->bytes), "used_bytes",
			 (json_int_t)b->bytes, "objects", (json_int_t)b->objects, "attribution",
			 "complete");
}

// "directory": what it is and how far the index is; of other buckets nothing. For administrators.
static void add_directory(struct req *q, json_t *v, const struct store_bucket *b)
{
	struct store_directory_state s;
	struct store_directory d;
	struct err ignored = { 0 };
	json_t *o;

	if (!b->directory || !q->who.admin ||
	    store_directory_get(q->api->o.store, b->id, http_arena(q->http), &d, &s, &ignored) < 0)
		return;
	o = json_pack("{s:s,s:s,s:i,s:i,s:s,s:b,s:b,s:s}", "path", d.path, "complete",
		      store_directory_complete_name(d.complete), "stable_s", (int)d.stable_s,
		      "interval_s", (int)d.interval_s, "sentinel", d.sentinel, "watching",
		      s.watching, "outputs", d.outputs, "fault", s.fault);
	json_object_update_new(o, json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "files",
					    (json_int_t)s.files, "incomplete",
					    (json_int_t)s.incomplete, "skipped_names",
					    (json_int_t)s.skipped_names, "skipped_kinds",
					    (json_int_t)s.skipped_kinds, "skipped_folders",
					    (json_int_t)s.skipped_folders, "scans",
					    (json_int_t)s.scans, "scan_ms", (json_int_t)s.took_ms));
	json_time(o, "scanned", s.scanned_ns);
	json_object_set_new(v, "directory", o);
}

void api_buckets_list(struct req *q)
{
	struct span after = SPAN("");
	json_t *v = json_array();
	struct store_bucket *b;
	struct err e = { 0 };
	size_t n;

	do {
		if (store_bucket_list(q->api->o.store, http_arena(q->http),
				      q->who.admin ? 0 : q->who.user, after, PAGE_MAX, &b, &n,
				      &e) < 0) {
			json_decref(v);
			reply_error(q, &e);
			return;
		}
		for (size_t i = 0; i < n; i++) {
			json_array_append_new(v, bucket_json(q, &b[i]));
			add_directory(q, json_array_get(v, json_array_size(v) - 1), &b[i]);
		}
		if (n)
			after = span_of(b[n - 1].name);
	} while (n == PAGE_MAX);
	reply_json(q, 200, v);
}

static int take_directory(const json_t *v, struct store_directory *d, struct err *e)
{
	const char *complete = "closed";
	int64_t stable = 0, interval = 0;

	if (codec_json_get_string(v, "path", &d->path, e) < 0 ||
	    codec_json_get_string(v, "complete", &complete, e) < 0 ||
	    codec_json_get_string(v, "sentinel", &d->sentinel, e) < 0 ||
	    codec_json_get_int(v, "stable_s", 1, 86400, &stable, e) < 0 ||
	    codec_json_get_int(v, "interval_s", 1, 86400, &interval, e) < 0 ||
	    codec_json_get_bool(v, "no_watch", &d->no_watch, e) < 0 ||
	    codec_json_get_bool(v, "outputs", &d->outputs, e) < 0)
		return -1;
	if (!d->path || d->path[0] != '/')
		return err_set(e, ERR_INVALID, "directory.path: an absolute path");
	if (!store_directory_complete_parse(complete, &d->complete))
		return err_set(e, ERR_INVALID, "directory.complete: closed, stable or sentinel");
	d->stable_s = (unsigned)stable;
	d->interval_s = (unsigned)interval;
	return 0;
}

static int create_bucket(struct req *q, const char *name, const json_t *body,
			 struct store_bucket *made, struct err *e)
{
	struct store_directory d = { 0 };
	json_t *directory = NULL;

	if (codec_json_get_object(body, "directory", &directory, e) < 0)
		return -1;
	if (!directory)
		return store_bucket_create(q->api->o.store, span_of(name), q->who.user, 0, made, e);
	if (!q->who.admin)
		return err_set(e, ERR_DENIED, "only the administrator may serve a directory");
	if (take_directory(directory, &d, e) < 0)
		return -1;
	return store_directory_create(q->api->o.store, span_of(name), q->who.user, &d,
				      q->api->o.directory_roots, made, e);
}

void api_buckets_create(struct req *q)
{
	const char *name = NULL, *visibility = "private";
	auto_json json_t *body = NULL;
	struct store_bucket made;
	struct err e = { 0 };
	int level = -1;

	if (codec_json_parse(http_body(q->http), 65536, &body, &e) < 0 ||
	    codec_json_get_string(body, "bucket_name", &name, &e) < 0 ||
	    codec_json_get_string(body, "visibility", &visibility, &e) < 0) {
		reply_error(q, &e);
		return;
	}
	for (int i = 0; i < 3; i++)
		if (strcmp(visibility, visibilities[i]) == 0)
			level = i;
	if (!name || level < 0) {
		reply_text(q, 400,
			   name ? "visibility: private, restricted or public"
				: "bucket_name: missing");
		return;
	}
	if (create_bucket(q, name, body, &made, &e) < 0 ||
	    (level && store_bucket_set_visibility(q->api->o.store, span_of(name), level, &e) < 0)) {
		if (e.code == ERR_EXISTS)
			reply_text(q, 400, e.msg);
		else
			reply_error(q, &e);
		return;
	}
	reply_empty(q, 201);
}

void api_buckets_remove(struct req *q)
{
	struct store_bucket b;
	struct auth_subject s;
	struct err e = { 0 };

	if (store_bucket_get(q->api->o.store, q->param[0], &b, &e) < 0) {
		reply_error(q, &e);
		return;
	}
	s = (struct auth_subject){ b.id, b.owner, (enum auth_visibility)b.visibility };
	if (auth_may(q->api->o.auth, q->who.user, &s, AUTH_OWN, &e) < 0 ||
	    store_bucket_delete(q->api->o.store, q->param[0], &e) < 0)
		reply_error(q, &e);
	else
		reply_empty(q, 204);
}
