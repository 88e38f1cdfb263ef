// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"
#include "base/mem.h"
#include "codec/json.h"
#include "registry/private.h"

#include <stdarg.h>
#include <stdio.h>

static bool answer(struct reg_req *q, unsigned status, const char *code, const char *text)
{
	auto_json json_t *v = json_pack("{s:[{s:s,s:s}]}", "errors", "code", code, "message", text);
	auto_free char *body = v ? codec_json_text(v, CODEC_JSON_PLAIN) : NULL;

	http_reply(q->http, status, "application/json",
		   body ? span_of(body) : SPAN("{\"errors\":[{\"code\":\"UNKNOWN\"}]}"));
	return false;
}

bool reg_fail(struct reg_req *q, unsigned status, const char *code, const char *fmt, ...)
{
	char text[300];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	return answer(q, status, code, text);
}

static const struct {
	enum err_code code;
	unsigned status;
	const char *word; // NULL = the caller's
} statuses[] = {
	{ ERR_NOT_FOUND, 404, NULL },
	{ ERR_INVALID, 400, NULL },
	{ ERR_UNSUPPORTED, 400, NULL },
	{ ERR_PROTOCOL, 400, "DIGEST_INVALID" },
	{ ERR_LIMIT, 413, "SIZE_INVALID" },
	{ ERR_BUSY, 429, "TOOMANYREQUESTS" },
	{ ERR_CONFLICT, 409, "DENIED" },
	{ ERR_DENIED, 403, "DENIED" },
	{ ERR_UNAUTH, 401, "UNAUTHORIZED" },
	{ ERR_FULL, 507, "UNAVAILABLE" },
	{ ERR_UNAVAILABLE, 503, "UNAVAILABLE" },
	{ ERR_TIMEOUT, 503, "UNAVAILABLE" },
};

bool reg_fail_err(struct reg_req *q, const struct err *e, const char *missing, const char *invalid)
{
	for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
		const char *word = statuses[i].word;

		if (statuses[i].code != e->code)
			continue;
		if (!word)
			word = e->code == ERR_NOT_FOUND ? missing : invalid;
		if (statuses[i].status == 429 || statuses[i].status == 503)
			http_reply_header(q->http, "Retry-After", SPAN("1"));
		return answer(q, statuses[i].status, word, e->msg);
	}
	log_error("registry", "request %s: %s: %s", http_id(q->http), err_name(e->code), e->msg);
	return answer(q, 500, "UNKNOWN", "something failed here; the log says what");
}

// The realm is where the client reached us: behind a proxy that ends TLS, as the proxy says.
bool reg_unauthorized(struct reg_req *q, const char *text)
{
	struct span proto = http_header(q->http, "X-Forwarded-Proto");
	bool tls = http_is_tls(q->http) || span_eq_nocase(proto, SPAN("https"));
	struct span host = http_header(q->http, "Host");

	if (q->kind == REG_TOKEN) {
		http_reply_header(q->http, "WWW-Authenticate", SPAN("Basic realm=\"oscar\""));
		return reg_fail(q, 401, "UNAUTHORIZED", "%s", text);
	}
	if (q->repo.n)
		http_reply_headerf(q->http, "WWW-Authenticate",
				   "Bearer realm=\"%s://" SPAN_FMT "/v2/token\",service=\"oscar\","
				   "scope=\"repository:" SPAN_FMT ":%s\"",
				   tls ? "https" : "http", SPAN_ARG(host), SPAN_ARG(q->repo),
				   q->op && q->op->write ? "pull,push" : "pull");
	else
		http_reply_headerf(q->http, "WWW-Authenticate",
				   "Bearer realm=\"%s://" SPAN_FMT "/v2/token\",service=\"oscar\"",
				   tls ? "https" : "http", SPAN_ARG(host));
	return reg_fail(q, 401, "UNAUTHORIZED", "%s", text);
}
