// SPDX-License-Identifier: Apache-2.0
// token: where clients fetch the bearer token that the challenge tells them of. It says who asks; what they may is
// looked up at each request, so that the scopes they name need not be kept.
#include "base/clock.h"
#include "base/mem.h"
#include "codec/json.h"
#include "codec/url.h"
#include "registry/private.h"

enum { TOKEN_S = 900, FORM_MAX = 16384 };

bool reg_token_begin(struct reg_req *q)
{
	http_body_collect(q->http, FORM_MAX);
	return true;
}

// OAuth2's grant by password, as containerd and docker try it first.
static bool by_form(struct reg_req *q)
{
	struct arena *mem = http_arena(q->http);
	struct span form = http_body(q->http), name, password, grant;
	struct err e = { 0 };

	if (!url_query_get(mem, form, "grant_type", &grant) || !span_is(grant, "password") ||
	    !url_query_get(mem, form, "username", &name) ||
	    !url_query_get(mem, form, "password", &password))
		return reg_fail(q, 400, "UNSUPPORTED", "only the grant by password is offered");
	return authn_password(q->server->o.authn, name, password, &q->user, &e) == 0 ||
	       reg_unauthorized(q, e.msg);
}

static bool by_basic(struct reg_req *q)
{
	struct authn_api who;
	struct err e = { 0 };

	if (authn_api_request(q->server->o.authn, q->http, &who, &e) < 0)
		return reg_unauthorized(q, e.msg);
	if (who.scheme != AUTHN_BASIC)
		return reg_unauthorized(q, "user and password are wanted");
	q->user = who.user;
	return true;
}

void reg_token(struct reg_req *q)
{
	char token[AUTHN_TOKEN_MAX], issued[CLOCK_TEXT_MAX];
	auto_free char *text = NULL;
	auto_json json_t *v = NULL;

	if (!(http_method(q->http) == HTTP_POST ? by_form(q) : by_basic(q)))
		return;
	authn_token_make(q->server->o.authn, &q->user, TOKEN_S, token);
	v = json_pack("{s:s,s:s,s:i,s:s}", "token", token, "access_token", token, "expires_in",
		      TOKEN_S, "issued_at", clock_iso_s(clock_wall_ns(), issued));
	text = codec_json_text(v, CODEC_JSON_PLAIN);
	http_reply_header(q->http, "Cache-Control", SPAN("no-store"));
	http_reply(q->http, 200, "application/json", span_of(text));
}
