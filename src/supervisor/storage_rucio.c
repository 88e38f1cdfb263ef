// SPDX-License-Identifier: Apache-2.0
// storage_rucio: a session with Rucio's server: who we are (an OpenID access token, got by a refresh token), its REST
// calls, and the servers where the files lie.
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "codec/url.h"
#include "supervisor/patience.h"
#include "supervisor/rucio.h"
#include "supervisor/storage_private.h"

#include <unistd.h>

enum {
	TOKEN_SPARE_S = 60,    // a token that ends within is not begun with
	TOKEN_UNKNOWN_S = 600, // how long one of an unsaid lifetime is believed in
	PIECE = 16 << 10,
	LINES_MAX = HTTP_HEAD_MAX / 2,
};

struct rucio {
	char *access, *refresh; // NULL = none
	int64_t until_ns;	// monotonic; 0 = we cannot know
	struct config_store replica_store;
	struct storage *replica; // the server that was asked last; NULL = none
	struct arena mem;	 // what `replica` names
};

void storage_rucio_open(struct storage *s)
{
	const struct config_store *store = s->store;

	s->rucio = mem_zalloc(sizeof(*s->rucio));
	if (*store->token)
		s->rucio->access = mem_strdup(store->token);
	if (*store->rucio.refresh)
		s->rucio->refresh = mem_strdup(store->rucio.refresh);
}

static void forget(char **secret)
{
	if (*secret)
		mem_wipe(*secret, strlen(*secret));
	mem_free(*secret);
	*secret = NULL;
}

static void close_replica(struct rucio *r)
{
	storage_close(r->replica);
	r->replica = NULL;
	arena_release(&r->mem);
}

void storage_rucio_close(struct storage *s)
{
	if (!s->rucio)
		return;
	close_replica(s->rucio);
	forget(&s->rucio->access);
	forget(&s->rucio->refresh);
	mem_free(s->rucio);
	s->rucio = NULL;
}

// ---- answers -------------------------------------------------------------------------------------------

// What the server says about a refusal (its headers name the exception), and whether asking again may help.
static int refused(const struct http_head *head, struct err *e)
{
	struct span class = http_head_get(head, "exceptionclass");
	struct span text = http_head_get(head, "exceptionmessage");
	int status = head->status;
	enum err_code code = status == 401 || status == 403   ? ERR_DENIED
			     : status == 404		      ? ERR_NOT_FOUND
			     : status == 429 || status >= 500 ? ERR_UNAVAILABLE
							      : ERR_PROTOCOL;

	return err_set(e, code, "status %d%s" SPAN_FMT "%s" SPAN_FMT, status, class.n ? ", " : "",
		       SPAN_ARG(span_head(class, 60)), text.n ? ": " : "",
		       SPAN_ARG(span_head(text, 120)));
}

// The body, bounded, to where the call wants it.
static int take_body(struct http *h, int to, struct buf *answer, struct err *e)
{
	char piece[PIECE];
	uint64_t size = 0;
	ssize_t n;

	while ((n = http_body(h, piece, sizeof(piece), e)) > 0) {
		size += (uint64_t)n;
		if (to < 0 ? !buf_add(answer, piece, (size_t)n) : size > STORAGE_SET_LIST_MAX)
			return err_set(e, ERR_LIMIT, "the answer is over %d bytes",
				       to < 0 ? RUCIO_ANSWER_MAX : STORAGE_SET_LIST_MAX);
		if (to >= 0 && file_write_all(to, piece, (size_t)n, e) < 0)
			return -1;
	}
	http_finish(h, NULL);
	return n < 0 ? -1 : 0;
}

// ---- tokens --------------------------------------------------------------------------------------------

static void add_field(struct buf *form, const char *name, const char *value)
{
	if (!*value)
		return;
	buf_printf(form, "%s%s=", form->n ? "&" : "", name);
	url_encode(form, span_of(value), "");
}

static int ask_for_token(struct storage *s, const struct http_url *url, struct http *h,
			 struct buf *answer, struct patience *p, struct err *e)
{
	const struct config_rucio *c = &s->store->rucio;
	auto_buf struct buf form = { 0 };
	struct http_request r = { .method = "POST",
				  .target = *url->path ? span_of(url->path) : SPAN("/"),
				  .headers =
					  SPAN("Content-Type: application/x-www-form-urlencoded\r\n"
					       "Accept: application/json\r\n"
					       "User-Agent: oscar-supervisor\r\n"),
				  .body = -1 };
	const struct http_head *head;
	int bad;

	buf_init(&form, 3 * RUCIO_ANSWER_MAX);
	add_field(&form, "grant_type", "refresh_token");
	add_field(&form, "client_id", c->client);
	add_field(&form, "audience", c->audience);
	add_field(&form, "refresh_token", s->rucio->refresh);
	r.text = buf_span(&form);
	bad = http_send(h, &r, &head, e);
	mem_wipe(form.p, form.n);
	if (bad < 0)
		return -1;
	if (head->status == 200)
		return take_body(h, -1, answer, e);
	patience_heed(p, head);
	if (head->status == 400 || head->status == 401)
		return err_set(e, ERR_DENIED, "the refresh token is not taken (status %d)",
			       head->status);
	return refused(head, e);
}

// A new access token. One that comes with a new refresh token makes the old one void (RFC 6749 6).
static int renew(struct storage *s, struct err *e)
{
	struct rucio *r = s->rucio;
	auto_arena struct arena mem = { 0 };
	auto_buf struct buf answer = { 0 };
	struct patience p = { 0 };
	struct err fault = { 0 };
	struct rucio_token token;
	struct http_url url;
	struct http *h;
	int bad;

	if (http_url_parse(s->store->rucio.token_endpoint, &url, e) < 0 ||
	    http_new(s->stop, &url, s->store->verify, &h, e) < 0)
		return err_wrap(e, "token_endpoint");
	buf_init(&answer, RUCIO_ANSWER_MAX);
	while ((bad = ask_for_token(s, &url, h, &answer, &p, &fault)) < 0 &&
	       patience_again(&p, s->stop, s->report, "token", &fault))
		buf_clear(&answer);
	http_free(h);
	if (bad < 0 || rucio_token_parse(buf_span(&answer), &mem, &token, &fault) < 0) {
		*e = fault;
		return err_wrap(e, "token from %.80s", url.authority);
	}
	forget(&r->access);
	r->access = mem_strdup(token.access);
	if (token.refresh) {
		forget(&r->refresh);
		r->refresh = mem_strdup(token.refresh);
	}
	r->until_ns = clock_mono_ns() +
		      (token.lifetime_s ? token.lifetime_s : TOKEN_UNKNOWN_S) * NS_PER_S;
	return 0;
}

// An access token that is good for a while, as far as we can know.
static int fresh_token(struct storage *s, struct err *e)
{
	struct rucio *r = s->rucio;
	int64_t soon = clock_mono_ns() + TOKEN_SPARE_S * NS_PER_S;

	return r->refresh && (!r->access || (r->until_ns && r->until_ns < soon)) ? renew(s, e) : 0;
}

// ---- calls ---------------------------------------------------------------------------------------------

// The status, or -1. A token that the server does not take is renewed once.
static int call_once(struct storage *s, const struct rucio_call *c, struct buf *answer,
		     struct patience *p, bool *renewed, struct err *e)
{
	auto_arena struct arena mem = { 0 };
	auto_buf struct buf lines = { 0 };
	struct http_request r = { .method = c->method, .body = -1 };
	const struct http_head *head;
	int status;

	if (fresh_token(s, e) < 0)
		return -1;
	buf_init(&lines, LINES_MAX);
	buf_printf(&lines,
		   "X-Rucio-Auth-Token: %s\r\nX-Rucio-Account: %s\r\n"
		   "Accept: application/json, application/x-json-stream\r\n"
		   "User-Agent: oscar-supervisor\r\n%s",
		   s->rucio->access, s->store->rucio.account,
		   c->body ? "Content-Type: application/json\r\n" : "");
	if (lines.over)
		return err_set(e, ERR_LIMIT, "the access token is over %d bytes", LINES_MAX);
	r.headers = buf_span(&lines);
	r.target = span_of(arena_printf(&mem, "%s%s", s->url.path, c->target));
	r.text = span_of(c->body);
	if (http_send(s->http, &r, &head, e) < 0)
		return -1;
	status = head->status;
	if (status == 401 && s->rucio->refresh && !*renewed) {
		*renewed = true;
		http_finish(s->http, NULL);
		return renew(s, e) < 0 ? -1 : call_once(s, c, answer, p, renewed, e);
	}
	if ((status >= 200 && status < 300) || status == 404 || status == 409)
		return take_body(s->http, status < 300 ? c->to : -1, answer, e) < 0 ? -1 : status;
	patience_heed(p, head);
	refused(head, e);
	http_finish(s->http, NULL);
	return -1;
}

int storage_rucio_call(struct storage *s, const struct rucio_call *c, struct buf *answer,
		       struct err *e)
{
	struct patience p = { 0 };
	struct err fault = { 0 };
	bool renewed = false;
	int status;

	buf_init(answer, RUCIO_ANSWER_MAX);
	while ((status = call_once(s, c, answer, &p, &renewed, &fault)) < 0) {
		if (!patience_again(&p, s->stop, s->report, s->store->name, &fault)) {
			*e = fault;
			return -1;
		}
		buf_clear(answer);
		if (c->to >= 0 && (ftruncate(c->to, 0) < 0 || lseek(c->to, 0, SEEK_SET) < 0))
			return err_set(e, ERR_IO, "list of files");
	}
	return status;
}

// ---- replicas ------------------------------------------------------------------------------------------

static bool same_server(const struct http_url *a, const struct http_url *b)
{
	return a->tls == b->tls && strcmp(a->authority, b->authority) == 0;
}

// The token is for our storages as well, if it is one that they can read (JWT, RFC 7519); an address that is signed
// says all that its server needs to know, and servers of S3 refuse what is said twice.
static const char *token_for(const struct rucio *r, struct span target)
{
	const char *first = r->access ? strchr(r->access, '.') : NULL;
	const char *second = first ? strchr(first + 1, '.') : NULL;

	return second && !strchr(second + 1, '.') && span_find(target, '?') < 0 ? r->access : "";
}

int storage_rucio_replica(struct storage *s, const char *url, struct storage **out,
			  struct span *target, struct err *e)
{
	struct rucio *r = s->rucio;
	struct http_url to;

	if (fresh_token(s, e) < 0 || http_redirect(&s->url, span_of(url), &to, target, e) < 0)
		return -1;
	if (r->replica && !same_server(&r->replica->url, &to))
		close_replica(r);
	r->replica_store.token = token_for(r, *target);
	if (!r->replica) {
		r->replica_store.kind = CONFIG_REPLICA;
		r->replica_store.verify = s->store->verify;
		r->replica_store.endpoint =
			arena_printf(&r->mem, "%s://%s", to.tls ? "https" : "http", to.authority);
		r->replica_store.name = arena_strdup(&r->mem, to.authority);
		if (storage_open(s->stop, s->report, &r->replica_store, &r->replica, e) < 0)
			return -1;
	}
	*out = r->replica;
	return 0;
}
