// SPDX-License-Identifier: Apache-2.0
#include "registry/registry.h"

#include "base/mem.h"
#include "registry/private.h"

void registry_server_open(struct registry_server **out, const struct registry_server_options *o)
{
	*out = mem_zalloc(sizeof(**out));
	(*out)->o = *o;
}

void registry_server_close(struct registry_server *s)
{
	mem_free(s);
}

// ---- who may -------------------------------------------------------------------------------------------

bool registry_may(struct auth *a, const struct auth_user *user, struct span repo, bool write)
{
	struct span rest = repo, first = span_cut(&rest, '/');
	struct auth_user other;
	struct err none = { 0 };

	if (user->admin || user->id == AUTH_ADMIN_ID || span_is(first, user->name))
		return true;
	if (write)
		return false;
	return auth_user_find(a, first, &other, &none) < 0 || other.id == AUTH_ADMIN_ID;
}

static bool authenticate(struct reg_req *q)
{
	struct authn *authn = q->server->o.authn;
	struct authn_api who;
	struct err e = { 0 };

	if (authn_api_request(authn, q->http, &who, &e) < 0)
		return reg_unauthorized(q, e.msg);
	if (who.scheme == AUTHN_NONE)
		return reg_unauthorized(q, "user and password are wanted");
	q->user = who.user;
	if (who.scheme == AUTHN_BEARER && authn_token_user(authn, who.token, &q->user, &e) < 0)
		return reg_unauthorized(q, e.msg);
	return true;
}

static bool admit(struct reg_req *q)
{
	struct err e = { 0 };

	if (q->kind == REG_TOKEN)
		return true;
	if (!authenticate(q))
		return false;
	if (!q->repo.n)
		return true;
	if (catalog_repo_check(q->repo, &e) < 0)
		return reg_fail(q, 400, "NAME_INVALID", "%s", e.msg);
	if (!registry_may(q->server->o.auth, &q->user, q->repo, q->op->write))
		return reg_fail(q, 403, "DENIED",
				q->op->write ? "%s may write below %s/ only"
					     : "%s may not read what belongs to another user%.0s",
				q->user.name, q->user.name);
	return true;
}

// ---- callbacks of http ---------------------------------------------------------------------------------

static void begin(void *owner, struct http_req *r)
{
	struct reg_req *q = arena_alloc(http_arena(r), sizeof(*q));

	*q = (struct reg_req){ .server = owner, .http = r };
	q->images = q->server->o.images;
	http_app_set(r, q);
	http_reply_header(r, "Docker-Distribution-Api-Version", SPAN("registry/2.0"));
	reg_locate(q);
	q->op = reg_route(q);
	if (q->kind == REG_NONE)
		reg_fail(q, 404, "NAME_UNKNOWN", "no such thing");
	else if (!q->op)
		reg_fail(q, 405, "UNSUPPORTED", "this cannot be done here");
	else if (admit(q) && q->op->begin)
		q->op->begin(q);
}

static void body(void *owner unused_arg, struct http_req *r, struct span piece)
{
	struct reg_req *q = http_app(r);
	struct err e = { 0 };

	if (!q->takes_body || !q->upload)
		return;
	if (upload_write(q->upload, piece, &e) < 0) {
		reg_fail_err(q, &e, "BLOB_UPLOAD_UNKNOWN", "BLOB_UPLOAD_INVALID");
		upload_cancel(q->images, mem_take(&q->upload));
	}
}

static void run(void *owner unused_arg, struct http_req *r)
{
	struct reg_req *q = http_app(r);

	q->op->run(q);
}

static void finish(void *owner, struct http_req *r)
{
	struct reg_req *q = http_app(r);

	if (q->op->waits)
		http_defer(r, run);
	else
		run(owner, r);
}

static void gone(void *owner unused_arg, struct http_req *r)
{
	struct reg_req *q = http_app(r);

	// The client may go on with what has come.
	if (q)
		upload_give(q->images, q->upload);
}

static void busy(void *owner unused_arg, struct http_req *r)
{
	struct reg_req *q = http_app(r);

	http_reply_header(r, "Retry-After", SPAN("1"));
	if (q)
		reg_fail(q, 503, "UNAVAILABLE", "the server is busy: try again");
	else
		http_reply_text(r, 503, "the server is busy: try again");
}

struct http_handler registry_server_handler(struct registry_server *s)
{
	return (struct http_handler){ s, begin, body, finish, gone, busy };
}
