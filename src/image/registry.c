// SPDX-License-Identifier: Apache-2.0
#include "image/registry.h"

#include "base/clock.h"
#include "base/mem.h"
#include "codec/json.h"
#include "codec/range.h"
#include "codec/text.h"
#include "codec/url.h"
#include "image/challenge.h"
#include "image/registry_private.h"

#include <stdio.h>
#include <time.h>

enum {
	IDLE_MS = 30000,
	TOKEN_MAX = 60000, // a header line must hold it
	RESUMES_MAX = 10,
	BYTES_PER_MS_MIN = 64, // slower than 64 KB/s a blob need not be waited for
};

static void set_auth(struct registry *r, char *line)
{
	if (r->auth)
		mem_wipe(r->auth, strlen(r->auth));
	mem_free(r->auth);
	r->auth = line;
}

int registry_open(struct registry **out, const struct registry_options *o, struct err *e)
{
	struct http_client_options h = { .https_only = !o->plain,
					 .cancelled = o->cancelled,
					 .owner = o->owner };
	struct registry *r;
	struct http_client *http;

	if (http_client_new(&h, &http, e) < 0)
		return -1;
	r = mem_zalloc(sizeof(*r));
	*r = (struct registry){ .http = http,
				.ref = o->ref,
				.user = o->user,
				.password = o->password ? o->password : "",
				.idle_ms = o->idle_ms ? o->idle_ms : IDLE_MS,
				.plain = o->plain,
				.push = o->push,
				.from = o->from,
				.moved = o->moved,
				.moved_owner = o->moved_owner };
	r->origin = arena_printf(&r->mem, "%s://%s", o->plain ? "http" : "https", o->ref->host);
	r->base = arena_printf(&r->mem, "%s://%s/v2/%s", o->plain ? "http" : "https", o->ref->host,
			       o->ref->path);
	*out = r;
	return 0;
}

void registry_close(struct registry *r)
{
	if (!r)
		return;
	http_client_free(r->http);
	set_auth(r, NULL);
	mem_free(r->location);
	arena_release(&r->mem);
	mem_free(r);
}

// ---- credentials ---------------------------------------------------------------------------------------

static char *basic_line(const struct registry *r)
{
	char *plain = mem_printf("%s:%s", r->user, r->password), *line;
	size_t n = strlen(plain);
	char *text = mem_alloc(TEXT_BASE64_SIZE(n));

	line = mem_printf("Authorization: Basic %s", text_base64(text, plain, n));
	mem_wipe(plain, n);
	mem_wipe(text, TEXT_BASE64_SIZE(n));
	mem_free(plain);
	mem_free(text);
	return line;
}

static bool token_ok(const char *token)
{
	size_t n = token ? strlen(token) : 0;

	for (size_t i = 0; i < n; i++)
		if (token[i] <= ' ' || token[i] == 0x7f)
			return false;
	return n > 0 && n <= TOKEN_MAX;
}

static int read_token(struct registry *r, const struct http_answer *a, struct err *e)
{
	const char *token = NULL;
	auto_json json_t *v = NULL;

	if (a->status == 401 || a->status == 403)
		return err_set(e, ERR_UNAUTH,
			       r->user ? "the registry refuses user and password of %.60s"
				       : "the registry wants user and password%.0s",
			       r->user ? r->user : "");
	if (http_answer_check(a, e) < 0)
		return err_wrap(e, "token of the registry");
	if (codec_json_parse(buf_span(&a->body), 1 << 20, &v, e) < 0 || !json_is_object(v) ||
	    codec_json_get_string(v, "token", &token, e) < 0 ||
	    (!token && codec_json_get_string(v, "access_token", &token, e) < 0) || !token_ok(token))
		return err_set(e, ERR_PROTOCOL, "the registry's token service sent no token");
	set_auth(r, mem_printf("Authorization: Bearer %s", token));
	return 0;
}

// The token service is another server as a rule, so the address is held to what the registry itself is held to.
static int fetch_token(struct registry *r, const struct challenge *c, struct err *e)
{
	auto_http_answer struct http_answer a = { 0 };
	const char *headers[1];
	auto_free char *basic = r->user ? basic_line(r) : NULL;
	auto_buf struct buf url;
	int bad;
	struct http_call call = { .method = "GET",
				  .headers = headers,
				  .header_count = r->user ? 1 : 0,
				  .timeout_ms = DOCUMENT_MS,
				  .idle_ms = r->idle_ms,
				  .tries = TRIES };

	headers[0] = basic;
	buf_init(&url, 16384);
	if (!span_starts_nocase(c->realm, SPAN("https://")) &&
	    !(r->plain && span_starts_nocase(c->realm, SPAN("http://"))))
		return err_set(e, ERR_PROTOCOL,
			       "the registry asks for a token from a place that is not https");
	buf_add_span(&url, c->realm);
	buf_add_char(&url, span_find(c->realm, '?') >= 0 ? '&' : '?');
	buf_add_str(&url, "service=");
	url_encode(&url, c->service, "");
	buf_printf(&url, "&scope=repository:%s:%s", r->ref->path, r->push ? "pull,push" : "pull");
	if (r->from)
		buf_printf(&url, "&scope=repository:%s:pull", r->from);
	if (url.over || span_find(buf_span(&url), '\0') >= 0)
		return err_set(e, ERR_PROTOCOL, "the registry's realm is no address");
	call.url = url.p;
	bad = http_client_call(r->http, &call, &a, e);
	if (basic)
		mem_wipe(basic, strlen(basic));
	if (bad < 0)
		return err_wrap(e, "token of the registry");
	bad = read_token(r, &a, e);
	if (a.body.p)
		mem_wipe(a.body.p, a.body.n);
	return bad;
}

static int log_in(struct registry *r, const struct http_answer *a, struct err *e)
{
	auto_arena struct arena mem = { 0 };
	struct challenge best = { 0 }, c;

	for (size_t i = 0; i < a->header_count; i++) {
		if (!span_eq_nocase(a->headers[i].name, SPAN("WWW-Authenticate")))
			continue;
		challenge_parse(a->headers[i].value, &mem, &c);
		if (c.kind > best.kind)
			best = c;
	}
	if (best.kind == CHALLENGE_BEARER)
		return fetch_token(r, &best, e);
	if (best.kind == CHALLENGE_NONE)
		return err_set(e, ERR_UNAUTH, "the registry wants credentials of an unknown kind");
	if (!r->user)
		return err_set(e, ERR_UNAUTH, "the registry wants user and password");
	set_auth(r, basic_line(r));
	return 0;
}

// ---- asking --------------------------------------------------------------------------------------------

// {"errors":[{"code":…,"message":…}]} as the protocol has it, else the first line.
static int refused(const struct registry *r, const struct http_answer *a, struct err *e)
{
	auto_json json_t *v = NULL;
	struct err no_json = { 0 };
	const json_t *first;
	const char *text = NULL;
	struct err plain = { 0 };
	char clean[120];

	if (http_answer_check(a, &plain) == 0)
		return err_set(e, ERR_PROTOCOL, "the registry answered %d", a->status);
	if (codec_json_parse(buf_span(&a->body), 1 << 20, &v, &no_json) == 0) {
		first = json_array_get(json_object_get(v, "errors"), 0);
		text = json_string_value(json_object_get(first, "message"));
	}
	snprintf(clean, sizeof(clean), "%.119s", text ? text : plain.msg);
	for (char *p = clean; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
	if (a->status == 401)
		return err_set(e, ERR_UNAUTH,
			       r->user ? "the registry refuses user and password: %s"
				       : "the registry wants user and password: %s",
			       clean);
	if (plain.code == ERR_INVALID)
		plain.code = ERR_PROTOCOL;
	return err_set(e, plain.code, "the registry answered %d: %s", a->status, clean);
}

int registry_ask(struct registry *r, struct http_call *call, const char *const *extra, size_t n,
		 struct http_answer *out, struct err *e)
{
	bool ours = strncmp(call->url, r->origin, strlen(r->origin)) == 0 &&
		    call->url[strlen(r->origin)] == '/';

	for (int round = 0;; round++) {
		const char *headers[REGISTRY_HEADERS_MAX + 1];
		size_t count = 0;

		for (size_t i = 0; i < n; i++)
			headers[count++] = extra[i];
		if (r->auth && ours)
			headers[count++] = r->auth;
		call->headers = headers;
		call->header_count = count;
		if (http_client_call(r->http, call, out, e) < 0)
			return -1;
		if (out->status >= 200 && out->status < 300)
			return 0;
		if (out->status != 401 || round == 1 || !ours)
			return refused(r, out, e);
		if (log_in(r, out, e) < 0)
			return -1;
		http_answer_release(out);
		if (call->rewind && !call->rewind(call->owner))
			return err_set(e, ERR_IO, "what was sent cannot be sent again");
	}
}

int registry_manifest(struct registry *r, const char *which, struct buf *out, struct err *e)
{
	static const char accept[] = "Accept: " MEDIA_OCI_INDEX ", " MEDIA_DOCKER_LIST
				     ", " MEDIA_OCI_MANIFEST ", " MEDIA_DOCKER_MANIFEST;
	const char *header = accept;
	auto_free char *url = mem_printf("%s/manifests/%s", r->base, which);
	auto_http_answer struct http_answer a = { 0 };
	struct http_call call = registry_short_call(r, "GET", url);
	bool pinned = strchr(which, ':') != NULL;
	char digest[REFERENCE_DIGEST_MAX];
	struct span said;

	call.body_max = MANIFEST_BYTES_MAX;
	if (registry_ask(r, &call, &header, 1, &a, e) < 0)
		return -1;
	said = pinned ? span_of(which) : http_answer_header(&a, "Docker-Content-Digest");
	blob_digest(buf_span(&a.body), digest);
	if ((pinned || span_starts(said, SPAN("sha256:"))) && !span_is(said, digest))
		return err_set(e, ERR_PROTOCOL,
			       "the registry sent a manifest with the digest %.19s…, not %.19s…",
			       digest, said.n >= 19 ? said.p : "");
	if (!buf_add_span(out, buf_span(&a.body)))
		return err_set(e, ERR_LIMIT, "the manifest is over %d bytes", MANIFEST_BYTES_MAX);
	return 0;
}

// ---- blobs ---------------------------------------------------------------------------------------------

struct fetch {
	struct registry *r;
	struct blob_writer *b;
	const struct http_answer *a;
};

static bool on_piece(void *owner, struct span piece)
{
	struct fetch *f = owner;

	if (f->r->moved)
		f->r->moved(f->r->moved_owner, piece.n);
	return !f->b->err.code && blob_write(f->b, piece);
}

// A server that knows no ranges begins again, and so do we. One that says it goes on elsewhere is not believed.
static void on_begin(void *owner, int status)
{
	const struct fetch *f = owner;
	struct blob_writer *b = f->b;
	uint64_t first, last, total;

	if (status == 206) {
		if (range_of_content(http_answer_header(f->a, "Content-Range"), &first, &last,
				     &total) &&
		    first != b->size)
			err_set(&b->err, ERR_PROTOCOL,
				"the registry goes on at byte %llu where %llu was asked for",
				(unsigned long long)first, (unsigned long long)b->size);
	} else if (b->size && blob_restart(b, &b->err) < 0) {
		b->err.code = b->err.code ? b->err.code : ERR_IO;
	}
}

static int fetch_once(struct registry *r, const struct descriptor *d, const char *url,
		      struct blob_writer *b, struct err *e)
{
	auto_http_answer struct http_answer a = { 0 };
	char range[64] = "Accept: */*";
	const char *header = range;
	struct fetch f = { r, b, &a };
	struct http_call call = { .method = "GET",
				  .url = url,
				  .take = on_piece,
				  .begin = on_begin,
				  .owner = &f,
				  .timeout_ms = 600000 + (int64_t)(d->size / BYTES_PER_MS_MIN),
				  .idle_ms = r->idle_ms,
				  .tries = TRIES };

	if (b->size)
		snprintf(range, sizeof(range), "Range: bytes=%llu-", (unsigned long long)b->size);
	if (registry_ask(r, &call, &header, 1, &a, e) == 0)
		return 0;
	if (b->err.code)
		*e = b->err; // what the transport calls a failure to store
	return -1;
}

int registry_blob(struct registry *r, const struct descriptor *d, int dir, struct err *e)
{
	auto_free char *url = mem_printf("%s/blobs/%s", r->base, d->digest);
	auto_blob struct blob_writer b = { .fd = -1 };
	char digest[REFERENCE_DIGEST_MAX];

	if (blob_begin(&b, dir, d->size, e) < 0)
		return -1;
	for (unsigned resumes = 0;; resumes++) {
		struct timespec nap = { .tv_nsec = 100 * NS_PER_MS };
		uint64_t before = b.size;
		struct err fault = { 0 };
		int got = fetch_once(r, d, url, &b, &fault);
		bool more = b.size != before && resumes < RESUMES_MAX; // worth another try

		if (got < 0 &&
		    (!more || (fault.code != ERR_UNAVAILABLE && fault.code != ERR_TIMEOUT))) {
			*e = fault;
			return -1;
		}
		if (got == 0 && (b.size >= d->size || !more))
			break;
		nanosleep(&nap, NULL);
	}
	return blob_finish(&b, d, digest, e);
}
