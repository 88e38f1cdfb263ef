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
		for (size_t i = 0; i < n; i++)
			json_array_append_new(v, bucket_json(q, &b[i]));
		if (n)
			after = span_of(b[n - 1].name);
	} while (n == PAGE_MAX);
	reply_json(q, 200, v);
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
	if (store_bucket_create(q->api->o.store, span_of(name), q->who.user, 0, &made, &e) < 0 ||
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
