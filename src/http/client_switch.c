// SPDX-License-Identifier: Apache-2.0
// client_switch: a request that asks for another protocol. curl makes the connection, with its proxies and certificates;
// the request and the answer are few lines, which it would not hand over for what follows them.
#include "http/client_private.h"

#include "base/clock.h"
#include "base/mem.h"
#include "codec/http_head.h"
#include "codec/text.h"

#include <poll.h>

enum { REQUEST_MAX = 256 * 1024, ANSWER_MAX = 64 * 1024, WAIT_MS = 30000, LOOK_MS = 100 };

struct http_wire {
	CURL *curl;
	curl_socket_t fd;
	char early[ANSWER_MAX]; // what came with the answer and stands behind it
	size_t early_at, early_n;
};

// ---- the connection ------------------------------------------------------------------------------------

int http_wire_fd(const struct http_wire *w)
{
	return w->fd;
}

static int ended(CURLcode code, struct err *e)
{
	return err_set(e, ERR_UNAVAILABLE, "the connection has ended%s%s",
		       code == CURLE_OK ? "" : ": ",
		       code == CURLE_OK ? "" : curl_easy_strerror(code));
}

ssize_t http_wire_recv(struct http_wire *w, void *p, size_t n, struct err *e)
{
	size_t got = w->early_n - w->early_at;
	CURLcode code;

	if (got) {
		got = got < n ? got : n;
		memcpy(p, w->early + w->early_at, got);
		w->early_at += got;
		return (ssize_t)got;
	}
	code = curl_easy_recv(w->curl, p, n, &got);
	if (code == CURLE_AGAIN)
		return 0;
	return code == CURLE_OK && got ? (ssize_t)got : ended(code, e);
}

ssize_t http_wire_send(struct http_wire *w, const void *p, size_t n, struct err *e)
{
	size_t sent = 0;
	CURLcode code = curl_easy_send(w->curl, p, n, &sent);

	if (code == CURLE_AGAIN)
		return 0;
	return code == CURLE_OK ? (ssize_t)sent : ended(code, e);
}

void http_wire_close(struct http_wire *w)
{
	if (!w)
		return;
	curl_easy_cleanup(w->curl);
	mem_free(w);
}

// ---- the request ---------------------------------------------------------------------------------------

static int part(CURLU *url, CURLUPart what, unsigned flags, char **out, struct err *e)
{
	CURLUcode code = curl_url_get(url, what, out, flags);

	if (code == CURLUE_OK || code == CURLUE_NO_QUERY)
		return 0;
	return err_set(e, ERR_INVALID, "not a URL of http or https: %s", curl_url_strerror(code));
}

static int add_target(struct buf *b, const char *text, struct err *e)
{
	CURLU *url = curl_url();
	char *host = NULL, *port = NULL, *path = NULL, *query = NULL;
	int bad = !url || curl_url_set(url, CURLUPART_URL, text, 0) != CURLUE_OK;

	if (bad)
		err_set(e, ERR_INVALID, "not a URL of http or https");
	else
		bad = part(url, CURLUPART_HOST, 0, &host, e) < 0 ||
		      part(url, CURLUPART_PORT, CURLU_DEFAULT_PORT, &port, e) < 0 ||
		      part(url, CURLUPART_PATH, 0, &path, e) < 0 ||
		      part(url, CURLUPART_QUERY, 0, &query, e) < 0;
	if (!bad)
		buf_printf(b, " %s%s%s HTTP/1.1\r\nHost: %s:%s\r\n", path, query ? "?" : "",
			   query ? query : "", host, port);
	curl_free(host);
	curl_free(port);
	curl_free(path);
	curl_free(query);
	curl_url_cleanup(url);
	return bad ? -1 : 0;
}

static void add_credentials(struct buf *b, const struct http_client *c)
{
	if (c->bearer) {
		buf_printf(b, "%s\r\n", c->bearer);
	} else if (c->userpwd) {
		size_t n = strlen(c->userpwd);
		auto_free char *text = mem_alloc(TEXT_BASE64_SIZE(n));

		buf_printf(b, "Authorization: Basic %s\r\n", text_base64(text, c->userpwd, n));
		mem_wipe(text, strlen(text));
	}
}

static int make_request(const struct http_client *c, const struct http_call *call,
			const char *protocol, struct buf *b, struct err *e)
{
	buf_add_str(b, call->method);
	if (add_target(b, call->url, e) < 0)
		return -1;
	buf_printf(b, "User-Agent: %s\r\nConnection: Upgrade\r\nUpgrade: %s\r\n", c->agent,
		   protocol);
	buf_printf(b, "Content-Length: %zu\r\n", call->body.n);
	if (!call->no_auth)
		add_credentials(b, c);
	for (size_t i = 0; i < call->header_count; i++)
		buf_printf(b, "%s\r\n", call->headers[i]);
	buf_add_str(b, "\r\n");
	return buf_add_span(b, call->body) && !b->over
		       ? 0
		       : err_set(e, ERR_LIMIT, "the request is larger than %d bytes", REQUEST_MAX);
}

// ---- the exchange --------------------------------------------------------------------------------------

static int wait_for(const struct http_client *c, const struct http_wire *w, short what,
		    int64_t deadline_ns, struct err *e)
{
	struct pollfd p = { .fd = w->fd, .events = what };

	if (c->cancelled && c->cancelled(c->owner))
		return err_set(e, ERR_CANCELLED, "interrupted");
	if (clock_mono_ns() > deadline_ns)
		return err_set(e, ERR_TIMEOUT, "the server does not answer");
	poll(&p, 1, LOOK_MS);
	return 0;
}

static int send_all(const struct http_client *c, struct http_wire *w, struct span text,
		    int64_t deadline_ns, struct err *e)
{
	while (text.n) {
		ssize_t n = http_wire_send(w, text.p, text.n, e);

		if (n < 0 || (n == 0 && wait_for(c, w, POLLOUT, deadline_ns, e) < 0))
			return -1;
		text = span_from(text, (size_t)n);
	}
	return 0;
}

static size_t head_end(const char *p, size_t n)
{
	const char *end = n < 4 ? NULL : memmem(p, n, "\r\n\r\n", 4);

	return end ? (size_t)(end - p) + 4 : 0;
}

// More bytes of the answer. 1, or 0 at its end.
static int more(const struct http_client *c, struct http_wire *w, int64_t deadline_ns,
		struct err *e)
{
	if (w->early_n == sizeof(w->early))
		return err_set(e, ERR_LIMIT, "the answer is larger than %d bytes", ANSWER_MAX);
	for (;;) {
		size_t got;
		CURLcode code = curl_easy_recv(w->curl, w->early + w->early_n,
					       sizeof(w->early) - w->early_n, &got);

		if (code == CURLE_OK) {
			w->early_n += got;
			return got > 0;
		}
		if (code != CURLE_AGAIN)
			return ended(code, e);
		if (wait_for(c, w, POLLIN, deadline_ns, e) < 0)
			return -1;
	}
}

static void keep_fields(struct http_answer *out, const struct http_head *h)
{
	out->headers = arena_alloc(&out->mem, (h->field_count + 1) * sizeof(*out->headers));
	for (size_t i = 0; i < h->field_count; i++)
		out->headers[out->header_count++] =
			(struct http_answer_header){ arena_span(&out->mem, h->fields[i].name),
						     arena_span(&out->mem, h->fields[i].value) };
}

// The answer's head, and unless it is 101 its body, which a server that refuses says in plain words.
static int read_answer(const struct http_client *c, struct http_wire *w, int64_t deadline_ns,
		       struct http_answer *out, struct err *e)
{
	struct http_head h;
	size_t head;
	int got = 1;

	while (!(head = head_end(w->early, w->early_n)))
		if ((got = more(c, w, deadline_ns, e)) <= 0)
			return got ? -1 : ended(CURLE_OK, e);
	if (http_head_parse(span_make(w->early, head), &h, e) < 0)
		return -1;
	out->status = h.status;
	out->tries = 1;
	keep_fields(out, &h);
	w->early_at = head;
	if (h.status == 101)
		return 0;
	while (got > 0 && (h.length < 0 || w->early_n - head < (size_t)h.length))
		if ((got = more(c, w, deadline_ns, e)) < 0)
			return -1;
	buf_init(&out->body, ANSWER_MAX);
	buf_add(&out->body, w->early + head, w->early_n - head);
	return 0;
}

static int connect_to(const struct http_client *c, const char *url, int64_t deadline_ns,
		      struct http_wire *w, struct err *e)
{
	char detail[CURL_ERROR_SIZE] = "";
	CURLcode code;

	w->curl = curl_easy_init();
	if (!w->curl)
		return err_set(e, ERR_LIMIT, "out of memory for an HTTP client");
	client_transport(c, url, deadline_ns, w->curl);
	curl_easy_setopt(w->curl, CURLOPT_TIMEOUT_MS, 0L); // of the connection, not of its use
	curl_easy_setopt(w->curl, CURLOPT_URL, url);
	curl_easy_setopt(w->curl, CURLOPT_CONNECT_ONLY, 1L);
	curl_easy_setopt(w->curl, CURLOPT_HTTPPROXYTUNNEL, 1L);
	curl_easy_setopt(w->curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(w->curl, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(w->curl, CURLOPT_ERRORBUFFER, detail);
	code = curl_easy_perform(w->curl);
	curl_easy_setopt(w->curl, CURLOPT_ERRORBUFFER, NULL);
	if (code == CURLE_OK)
		code = curl_easy_getinfo(w->curl, CURLINFO_ACTIVESOCKET, &w->fd);
	return code == CURLE_OK ? 0 : client_error(code, detail, e);
}

int http_client_switch(struct http_client *c, const struct http_call *call, const char *protocol,
		       struct http_answer *out, struct http_wire **wire, struct err *e)
{
	int64_t deadline =
		clock_mono_ns() + (call->timeout_ms ? call->timeout_ms : WAIT_MS) * NS_PER_MS;
	struct http_wire *w = mem_zalloc(sizeof(*w));
	auto_buf struct buf request;
	int bad;

	*wire = NULL;
	buf_init(&request, REQUEST_MAX);
	bad = make_request(c, call, protocol, &request, e) < 0 ||
	      connect_to(c, call->url, deadline, w, e) < 0 ||
	      send_all(c, w, buf_span(&request), deadline, e) < 0 ||
	      read_answer(c, w, deadline, out, e) < 0;
	if (request.p)
		mem_wipe(request.p, request.n);
	if (!bad && out->status == 101) {
		*wire = w;
		return 0;
	}
	http_wire_close(w);
	if (bad)
		http_answer_release(out);
	return bad ? -1 : 0;
}
