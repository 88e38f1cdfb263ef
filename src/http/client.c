// client: an HTTP client over libcurl. Owner, threads, errors: see client.h.
// SPDX-License-Identifier: Apache-2.0
#include "http/client_private.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/rand.h"

#include <pthread.h>
#include <time.h>

enum { BODY_MAX = 1 << 20, HEADERS_MAX = 200, HEADER_BYTES_MAX = 64 * 1024, REDIRECTS_MAX = 5 };

// One try of one call.
struct attempt {
	struct http_client *c;
	const struct http_call *call;
	struct http_answer *answer;
	size_t header_bytes, sent;
	bool over, take_failed, send_failed, taken;
};

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;

static void init_curl(void)
{
	curl_global_init(CURL_GLOBAL_DEFAULT);
}

static char *copy_of(const char *s)
{
	return s ? mem_strdup(s) : NULL;
}

int http_client_new(const struct http_client_options *o, struct http_client **out, struct err *e)
{
	struct http_client *c = mem_zalloc(sizeof(*c));

	pthread_once(&curl_once, init_curl);
	c->curl = curl_easy_init();
	if (!c->curl) {
		mem_free(c);
		return err_set(e, ERR_LIMIT, "out of memory for an HTTP client");
	}
	if (o->user)
		c->userpwd = mem_printf("%s:%s", o->user, o->password ? o->password : "");
	c->bearer = o->bearer ? mem_printf("Authorization: Bearer %s", o->bearer) : NULL;
	c->agent = mem_strdup(o->agent ? o->agent : "oscar");
	c->ca_file = copy_of(o->ca_file);
	c->insecure = o->insecure;
	c->https_only = o->https_only;
	c->connect_timeout_ms = o->connect_timeout_ms ? o->connect_timeout_ms : 10000;
	c->cancelled = o->cancelled;
	c->owner = o->owner;
	*out = c;
	return 0;
}

static void free_secret(char *s)
{
	if (s)
		mem_wipe(s, strlen(s));
	mem_free(s);
}

void http_client_free(struct http_client *c)
{
	if (!c)
		return;
	curl_easy_cleanup(c->curl);
	free_secret(c->userpwd);
	free_secret(c->bearer);
	mem_free(c->agent);
	mem_free(c->ca_file);
	mem_free(c);
}

void http_answer_release(struct http_answer *a)
{
	buf_release(&a->body);
	arena_release(&a->mem);
	*a = (struct http_answer){ 0 };
}

static int status_of(struct http_client *c)
{
	long status = 0;

	curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &status);
	return (int)status;
}

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
	struct attempt *t = arg;
	struct span piece = span_make(p, size * n);
	int status = status_of(t->c);

	if (t->call->take && status >= 200 && status < 300) {
		if (!t->taken && t->call->begin)
			t->call->begin(t->call->owner, status);
		t->taken = true;
		t->take_failed = !t->call->take(t->call->owner, piece);
		return t->take_failed ? CURL_WRITEFUNC_ERROR : piece.n;
	}
	if (!buf_add_span(&t->answer->body, piece)) {
		t->over = true;
		return CURL_WRITEFUNC_ERROR;
	}
	return piece.n;
}

// A new status line (of a redirect's target, or after 100 Continue) begins the list again.
static size_t on_header(char *p, size_t size, size_t n, void *arg)
{
	struct attempt *t = arg;
	struct http_answer *a = t->answer;
	struct span line = span_make(p, size * n), value = line, name;

	t->header_bytes += line.n;
	if (t->header_bytes > HEADER_BYTES_MAX) {
		t->over = true;
		return 0;
	}
	if (span_starts(line, SPAN("HTTP/")))
		a->header_count = 0;
	name = span_cut(&value, ':');
	if (name.n == line.n || a->header_count == HEADERS_MAX)
		return line.n;
	if (!a->headers)
		a->headers = arena_alloc(&a->mem, HEADERS_MAX * sizeof(*a->headers));
	a->headers[a->header_count].name = arena_span(&a->mem, span_trim(name));
	a->headers[a->header_count++].value = arena_span(&a->mem, span_trim(value));
	return line.n;
}

static size_t on_send(char *p, size_t size, size_t n, void *arg)
{
	struct attempt *t = arg;
	size_t room = size * n;

	if (t->call->send) {
		ssize_t got = t->call->send(t->call->owner, p, room);

		t->send_failed = got < 0;
		return got < 0 ? CURL_READFUNC_ABORT : (size_t)got;
	}
	if (room > t->call->body.n - t->sent)
		room = t->call->body.n - t->sent;
	memcpy(p, t->call->body.p + t->sent, room);
	t->sent += room;
	return room;
}

// curl asks for this when it must send the body again (a redirect, a connection that was closed).
static int on_seek(void *arg, curl_off_t offset, int origin)
{
	struct attempt *t = arg;

	if (origin != SEEK_SET || offset != 0)
		return CURL_SEEKFUNC_CANTSEEK;
	t->sent = 0;
	if (!t->call->send)
		return CURL_SEEKFUNC_OK;
	return t->call->rewind && t->call->rewind(t->call->owner) ? CURL_SEEKFUNC_OK
								  : CURL_SEEKFUNC_FAIL;
}

static int on_progress(void *arg, curl_off_t down_total unused_arg, curl_off_t down unused_arg,
		       curl_off_t up_total unused_arg, curl_off_t up unused_arg)
{
	struct attempt *t = arg;

	return t->c->cancelled && t->c->cancelled(t->c->owner);
}

static bool is_loopback(const char *url)
{
	static const char *const hosts[] = { "://127.0.0.1", "://localhost", "://[::1]" };

	for (size_t i = 0; i < ARRAY_LEN(hosts); i++)
		if (strstr(url, hosts[i]))
			return true;
	return false;
}

static void set_body(struct attempt *t)
{
	CURL *h = t->c->curl;
	const char *method = t->call->method;
	bool has_body = t->call->send || t->call->body.n > 0;

	curl_easy_setopt(h, CURLOPT_CUSTOMREQUEST, method);
	if (strcmp(method, "HEAD") == 0)
		curl_easy_setopt(h, CURLOPT_NOBODY, 1L);
	if (!has_body && strcmp(method, "PUT") != 0 && strcmp(method, "POST") != 0)
		return;
	curl_easy_setopt(h, CURLOPT_UPLOAD, 1L);
	curl_easy_setopt(h, CURLOPT_READFUNCTION, on_send);
	curl_easy_setopt(h, CURLOPT_READDATA, t);
	curl_easy_setopt(h, CURLOPT_SEEKFUNCTION, on_seek);
	curl_easy_setopt(h, CURLOPT_SEEKDATA, t);
	curl_easy_setopt(h, CURLOPT_INFILESIZE_LARGE,
			 (curl_off_t)(t->call->send ? t->call->send_size
						    : (int64_t)t->call->body.n));
}

void client_transport(const struct http_client *c, const char *url, int64_t deadline_ns, CURL *h)
{
	curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, c->https_only ? "https" : "http,https");
	curl_easy_setopt(h, CURLOPT_REDIR_PROTOCOLS_STR, c->https_only ? "https" : "http,https");
	curl_easy_setopt(h, CURLOPT_FOLLOWLOCATION, 1L);
	curl_easy_setopt(h, CURLOPT_MAXREDIRS, (long)REDIRECTS_MAX);
	curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT_MS, (long)c->connect_timeout_ms);
	curl_easy_setopt(h, CURLOPT_BUFFERSIZE, 256L * 1024);
	curl_easy_setopt(h, CURLOPT_UPLOAD_BUFFERSIZE, 256L * 1024);
	if (deadline_ns) {
		int64_t left = (deadline_ns - clock_mono_ns()) / NS_PER_MS;

		curl_easy_setopt(h, CURLOPT_TIMEOUT_MS, (long)(left > 1 ? left : 1));
	}
	if (is_loopback(url))
		curl_easy_setopt(h, CURLOPT_NOPROXY, "*");
	if (c->ca_file)
		curl_easy_setopt(h, CURLOPT_CAINFO, c->ca_file);
	if (c->insecure) {
		curl_easy_setopt(h, CURLOPT_SSL_VERIFYPEER, 0L);
		curl_easy_setopt(h, CURLOPT_SSL_VERIFYHOST, 0L);
	}
}

static void set_callbacks(struct attempt *t)
{
	CURL *h = t->c->curl;

	curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(h, CURLOPT_WRITEDATA, t);
	curl_easy_setopt(h, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(h, CURLOPT_HEADERDATA, t);
	curl_easy_setopt(h, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(h, CURLOPT_XFERINFOFUNCTION, on_progress);
	curl_easy_setopt(h, CURLOPT_XFERINFODATA, t);
	if (t->call->idle_ms) {
		curl_easy_setopt(h, CURLOPT_LOW_SPEED_LIMIT, 1L);
		curl_easy_setopt(h, CURLOPT_LOW_SPEED_TIME,
				 (long)((t->call->idle_ms + 999) / 1000));
	}
}

static struct curl_slist *header_list(const struct attempt *t)
{
	struct curl_slist *list = NULL;

	for (size_t i = 0; i < t->call->header_count; i++)
		list = curl_slist_append(list, t->call->headers[i]);
	if (t->c->bearer && !t->call->no_auth)
		list = curl_slist_append(list, t->c->bearer);
	if (t->call->body.n > 0 && t->call->body.n <= 64 * 1024)
		list = curl_slist_append(list, "Expect:"); // not worth a round trip
	return list;
}

static void slist_release(struct curl_slist **list)
{
	curl_slist_free_all(*list);
}

int client_error(CURLcode code, const char *detail, struct err *e)
{
	const char *what = detail[0] ? detail : curl_easy_strerror(code);

	switch ((int)code) {
	case CURLE_ABORTED_BY_CALLBACK:
		return err_set(e, ERR_CANCELLED, "interrupted");
	case CURLE_OPERATION_TIMEDOUT:
		return err_set(e, ERR_TIMEOUT, "%s", what);
	case CURLE_URL_MALFORMAT:
	case CURLE_UNSUPPORTED_PROTOCOL:
		return err_set(e, ERR_INVALID, "not a URL of http or https: %s", what);
	case CURLE_COULDNT_CONNECT:
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
	case CURLE_SEND_ERROR:
	case CURLE_RECV_ERROR:
	case CURLE_GOT_NOTHING:
	case CURLE_PARTIAL_FILE:
		return err_set(e, ERR_UNAVAILABLE, "%s", what);
	default:
		return err_set(e, ERR_PROTOCOL, "%s", what);
	}
}

static int transport_error(const struct attempt *t, CURLcode code, const char *detail,
			   struct err *e)
{
	if (t->over)
		return err_set(e, ERR_LIMIT, "the answer is larger than %zu bytes",
			       t->answer->body.max);
	if (t->take_failed)
		return err_set(e, ERR_IO, "the answer could not be stored");
	if (t->send_failed)
		return err_set(e, ERR_IO, "what was to be sent could not be read");
	return client_error(code, detail, e);
}

static int try_once(struct attempt *t, int64_t deadline_ns, struct err *e)
{
	at_scope_exit(slist_release) struct curl_slist *headers = header_list(t);
	char detail[CURL_ERROR_SIZE] = "";
	CURL *h = t->c->curl;
	CURLcode code;

	curl_easy_reset(h); // keeps the connections
	client_transport(t->c, t->call->url, deadline_ns, h);
	set_callbacks(t);
	set_body(t);
	curl_easy_setopt(h, CURLOPT_ERRORBUFFER, detail);
	curl_easy_setopt(h, CURLOPT_URL, t->call->url);
	curl_easy_setopt(h, CURLOPT_USERAGENT, t->c->agent);
	curl_easy_setopt(h, CURLOPT_HTTPHEADER, headers);
	if (t->c->userpwd && !t->call->no_auth) {
		curl_easy_setopt(h, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
		curl_easy_setopt(h, CURLOPT_USERPWD, t->c->userpwd);
	}
	code = curl_easy_perform(h);
	if (code != CURLE_OK)
		return transport_error(t, code, detail, e);
	t->answer->status = status_of(t->c);
	return 0;
}

static bool is_temporary(int status)
{
	return status == 429 || status == 502 || status == 503;
}

// What the server asks for in whole seconds, else twice as long as before with some chance in it, so that
// many clients do not come back at once.
static int64_t wait_ms(const struct http_answer *a, unsigned tried)
{
	int64_t step = tried < 6 ? INT64_C(100) << tried : 5000;
	uint64_t asked;

	if (a->status && span_to_u64(http_answer_header(a, "Retry-After"), &asked) && asked <= 60)
		return (int64_t)asked * 1000 + 1;
	step = step > 5000 ? 5000 : step;
	return step + (int64_t)(rand_u64() % (uint64_t)(step / 4 + 1));
}

// False when the wait was interrupted or would pass the deadline.
static bool wait_for(struct http_client *c, int64_t ms, int64_t deadline_ns)
{
	int64_t until = clock_mono_ns() + ms * NS_PER_MS;

	if (deadline_ns && until > deadline_ns)
		return false;
	while (clock_mono_ns() < until) {
		struct timespec nap = { .tv_nsec = 50 * NS_PER_MS };

		if (c->cancelled && c->cancelled(c->owner))
			return false;
		nanosleep(&nap, NULL);
	}
	return true;
}

static bool may_repeat(const struct attempt *t)
{
	return !t->taken &&
	       (!t->call->send || (t->call->rewind && t->call->rewind(t->call->owner)));
}

int http_client_call(struct http_client *c, const struct http_call *call, struct http_answer *out,
		     struct err *e)
{
	int64_t deadline = call->timeout_ms ? clock_mono_ns() + call->timeout_ms * NS_PER_MS : 0;
	unsigned tries = call->tries ? call->tries : 1;

	for (unsigned tried = 1;; tried++) {
		struct attempt t = { .c = c, .call = call, .answer = out };
		struct err fault = { 0 };
		int got;

		buf_init(&out->body, call->body_max ? call->body_max : BODY_MAX);
		got = try_once(&t, deadline, &fault);
		out->tries = tried;
		if (tried < tries &&
		    (got < 0 ? fault.code == ERR_UNAVAILABLE : is_temporary(out->status)) &&
		    may_repeat(&t) && wait_for(c, wait_ms(out, tried), deadline)) {
			http_answer_release(out);
			continue;
		}
		if (got < 0) {
			http_answer_release(out);
			*e = fault;
		}
		return got;
	}
}

struct span http_answer_header(const struct http_answer *a, const char *name)
{
	for (size_t i = 0; i < a->header_count; i++)
		if (span_eq_nocase(a->headers[i].name, span_of(name)))
			return a->headers[i].value;
	return span_make(NULL, 0);
}

static enum err_code code_of(int status)
{
	switch (status) {
	case 401:
		return ERR_UNAUTH;
	case 403:
		return ERR_DENIED;
	case 404:
		return ERR_NOT_FOUND;
	case 408:
	case 504:
		return ERR_TIMEOUT;
	case 409:
	case 412:
		return ERR_CONFLICT;
	case 413:
		return ERR_LIMIT;
	case 429:
		return ERR_BUSY;
	case 501:
		return ERR_UNSUPPORTED;
	case 502:
	case 503:
		return ERR_UNAVAILABLE;
	case 507:
		return ERR_FULL;
	default:
		return status < 500 ? ERR_INVALID : ERR_IO;
	}
}

int http_answer_check(const struct http_answer *a, struct err *e)
{
	struct span rest = span_trim(buf_span(&a->body)), line = span_cut(&rest, '\n');
	char text[200];

	if (a->status >= 200 && a->status < 300)
		return 0;
	snprintf(text, sizeof(text), "%.*s", SPAN_ARG(span_trim(line)));
	for (char *p = text; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
	if (a->status == 401 && !*text)
		return err_set(e, ERR_UNAUTH, "wrong user or password");
	if (!*text)
		return err_set(e, code_of(a->status), "the server answered %d", a->status);
	return err_set(e, code_of(a->status), "%s", text);
}
