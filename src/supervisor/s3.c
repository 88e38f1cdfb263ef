// SPDX-License-Identifier: Apache-2.0
#include "supervisor/s3.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/rand.h"
#include "codec/digest.h"
#include "codec/sigv4.h"
#include "codec/text.h"
#include "codec/url.h"
#include "codec/xml.h"
#include "supervisor/http.h"

#include <unistd.h>

enum {
	TRIES = 6, // without progress
	WAIT_FIRST_MS = 200,
	WAIT_MAX_MS = 5000,
	RETRY_AFTER_MAX_S = 30,
	CHUNK = 64 << 10,
	FAULT_BODY_MAX = 16 << 10,
	ETAG_MAX = 128,
};

struct s3 {
	struct stop *stop;
	const struct report *report;
	const struct config_store *store;
	struct http_url url;
	struct http *http;
	char *chunk; // CHUNK bytes
};

int s3_open(struct stop *stop, const struct report *report, const struct config_store *store,
	    struct s3 **out, struct err *e)
{
	struct s3 *s = mem_zalloc(sizeof(*s));

	s->stop = stop;
	s->report = report;
	s->store = store;
	s->chunk = mem_alloc(CHUNK);
	if (http_url_parse(store->endpoint, &s->url, e) < 0 ||
	    http_new(stop, &s->url, store->verify, &s->http, e) < 0) {
		s3_close(s);
		return err_wrap(e, "storage %s", store->name);
	}
	*out = s;
	return 0;
}

void s3_close(struct s3 *s)
{
	if (!s)
		return;
	http_free(s->http);
	mem_free(s->chunk);
	mem_free(s);
}

// ---- signed requests ---------------------------------------------------------------------------------

struct request {
	const char *method, *bucket, *key;
	struct span sha256; // of the body in hexadecimal, or a word of SigV4
	uint64_t from;	    // GET: the first byte wanted
	const char *etag;   // GET from > 0: of what was read so far
	int body;
	uint64_t body_size;
};

static void add_header(struct buf *b, struct sigv4_header *list, size_t *n, const char *name,
		       struct span value)
{
	buf_printf(b, "%s: " SPAN_FMT "\r\n", name, SPAN_ARG(value));
	list[(*n)++] = (struct sigv4_header){ span_of(name), value };
}

static int send_signed(struct s3 *s, const struct request *r, const struct http_head **head,
		       struct err *e)
{
	auto_arena struct arena mem = { 0 };
	auto_buf struct buf text = { 0 };
	int64_t now = clock_wall_ns();
	char date[CLOCK_TEXT_MAX];
	struct sigv4_header list[6];
	size_t n = 0;
	struct sigv4_client who = { span_of(s->store->access), span_of(s->store->secret),
				    span_of(s->store->region), now };
	struct sigv4_request sig = { .method = span_of(r->method), .payload = r->sha256 };
	struct http_request http = { .method = r->method,
				     .body = r->body,
				     .body_size = r->body_size };

	clock_basic(now, date);
	buf_init(&text, HTTP_HEAD_MAX / 2);
	list[n++] = (struct sigv4_header){ SPAN("host"), span_of(s->url.authority) };
	add_header(&text, list, &n, "x-amz-content-sha256", r->sha256);
	add_header(&text, list, &n, "x-amz-date", span_of(date));
	if (s->store->token[0])
		add_header(&text, list, &n, "x-amz-security-token", span_of(s->store->token));
	sig.path = span_of(arena_printf(&mem, "%s/%s/%s", s->url.path,
					url_encode_arena(&mem, span_of(r->bucket), "").p,
					url_encode_arena(&mem, span_of(r->key), "/").p));
	sig.headers = list;
	sig.header_count = n;
	sig.path_as_is = true;
	buf_printf(&text, "Authorization: " SPAN_FMT "\r\n",
		   SPAN_ARG(sigv4_authorization(&mem, &who, &sig)));
	if (r->from)
		buf_printf(&text, "Range: bytes=%llu-\r\nIf-Match: %s\r\n",
			   (unsigned long long)r->from, r->etag);
	buf_add_str(&text, "User-Agent: oscar-supervisor\r\nAccept-Encoding: identity\r\n");
	http.target = sig.path;
	http.headers = buf_span(&text);
	return http_send(s->http, &http, head, e);
}

// What the store says about a refusal, and whether asking again may help (ERR_UNAVAILABLE).
static int refused(struct s3 *s, const struct http_head *head, struct err *e)
{
	auto_arena struct arena mem = { 0 };
	auto_buf struct buf body = { 0 };
	struct xml_node *root = NULL;
	struct err ignored;
	struct span code, text;
	int status = head->status;
	enum err_code kind = status == 404		      ? ERR_NOT_FOUND
			     : status == 401 || status == 403 ? ERR_DENIED
			     : status == 412		      ? ERR_CONFLICT
			     : status == 507		      ? ERR_FULL
			     : status == 429 || status == 408 ? ERR_UNAVAILABLE
			     : status >= 500 && status != 501 ? ERR_UNAVAILABLE
							      : ERR_PROTOCOL;

	buf_init(&body, FAULT_BODY_MAX);
	http_finish(s->http, &body);
	if (xml_parse(&mem, buf_span(&body), NULL, &root, &ignored) < 0)
		return err_set(e, kind, "status %d", status);
	code = xml_text(root, "Code");
	text = xml_text(root, "Message");
	return err_set(e, kind, "status %d, " SPAN_FMT ": " SPAN_FMT, status,
		       SPAN_ARG(span_head(code, 60)), SPAN_ARG(span_head(text, 120)));
}

// ---- again -------------------------------------------------------------------------------------------

struct patience {
	unsigned failed; // in a row, without progress
	int64_t wait_ms; // the least, as the server asked
};

static void heed(struct patience *p, const struct http_head *head)
{
	uint64_t seconds;

	if (span_to_u64(http_head_get(head, "retry-after"), &seconds))
		p->wait_ms =
			(int64_t)(seconds < RETRY_AFTER_MAX_S ? seconds : RETRY_AFTER_MAX_S) * 1000;
}

// Waits before another try; false when it is enough, with *e as it was.
static bool once_more(struct s3 *s, struct patience *p, const char *what, struct err *e)
{
	int64_t ms = WAIT_FIRST_MS;
	struct err stopped = { 0 };

	if ((e->code != ERR_UNAVAILABLE && e->code != ERR_TIMEOUT) || ++p->failed >= TRIES)
		return false;
	for (unsigned i = 1; i < p->failed && ms < WAIT_MAX_MS; i++)
		ms *= 2;
	ms += (int64_t)(rand_u64() % (uint64_t)ms) /
	      2; // many jobs fail together and must not return together
	ms = ms > p->wait_ms ? ms : p->wait_ms;
	p->wait_ms = 0;
	report_at(s->report, REPORT_WARNING, "%s: %s; trying again in %d ms", what, e->msg,
		  (int)ms);
	if (stop_wait(s->stop, -1, 0, clock_mono_ns() + ms * NS_PER_MS, &stopped) < 0) {
		*e = stopped;
		return false;
	}
	return true;
}

// ---- fetch -------------------------------------------------------------------------------------------

struct fetch {
	int fd;
	uint64_t at;	   // bytes written
	uint64_t farthest; // the most there ever were: only more than that is progress
	uint64_t total;	   // of the object; UINT64_MAX = not said
	char etag[ETAG_MAX];
};

// Where the body of this answer begins, and how long the object is.
static int fetch_begin(struct fetch *f, const struct http_head *head, struct err *e)
{
	struct span etag = http_head_get(head, "etag");
	uint64_t first, last, total;

	if (head->status == 206) {
		if (!http_content_range(http_head_get(head, "content-range"), &first, &last,
					&total) ||
		    first != f->at || (f->total != UINT64_MAX && total != f->total))
			return err_set(e, ERR_PROTOCOL, "the answer is another range than asked");
		return 0;
	}
	if (ftruncate(f->fd, 0) < 0 || lseek(f->fd, 0, SEEK_SET) < 0)
		return err_set(e, ERR_IO, "input file");
	f->at = 0;
	f->total = head->length >= 0 ? (uint64_t)head->length : UINT64_MAX;
	f->etag[0] = 0;
	if (etag.n && etag.n < sizeof(f->etag))
		memcpy(f->etag, etag.p, etag.n);
	f->etag[etag.n < sizeof(f->etag) ? etag.n : 0] = 0;
	return 0;
}

static int fetch_body(struct s3 *s, struct fetch *f, struct patience *p, struct err *e)
{
	ssize_t n;

	while ((n = http_body(s->http, s->chunk, CHUNK, e)) > 0) {
		if (file_write_all(f->fd, s->chunk, (size_t)n, e) < 0)
			return -1;
		f->at += (uint64_t)n;
		if (f->at > f->farthest) {
			f->farthest = f->at;
			p->failed = 0;
		}
	}
	if (n < 0)
		return -1;
	if (f->total != UINT64_MAX && f->at != f->total)
		return err_set(e, ERR_UNAVAILABLE, "%llu bytes of %llu came",
			       (unsigned long long)f->at, (unsigned long long)f->total);
	http_finish(s->http, NULL);
	return 0;
}

static int fetch_once(struct s3 *s, const struct request *base, struct fetch *f, struct patience *p,
		      struct err *e)
{
	struct request r = *base;
	const struct http_head *head;

	// Without an entity tag nobody can say that the rest is of the same object.
	r.from = f->etag[0] ? f->at : 0;
	r.etag = f->etag;
	if (send_signed(s, &r, &head, e) < 0)
		return -1;
	if (head->status != 200 && (head->status != 206 || !r.from)) {
		heed(p, head);
		return refused(s, head, e);
	}
	return fetch_begin(f, head, e) < 0 ? -1 : fetch_body(s, f, p, e);
}

int s3_get(struct s3 *s, const char *bucket, const char *key, int fd, uint64_t *size, struct err *e)
{
	struct request r = { .method = "GET",
			     .bucket = bucket,
			     .key = key,
			     .sha256 = SPAN(SIGV4_EMPTY_SHA256),
			     .body = -1 };
	struct fetch f = { .fd = fd, .total = UINT64_MAX };
	struct patience p = { 0 };
	struct err fault = { 0 };

	while (fetch_once(s, &r, &f, &p, &fault) < 0)
		if (!once_more(s, &p, key, &fault)) {
			*e = fault;
			return err_wrap(e, "%s/%.100s from %s", bucket, key, s->store->name);
		}
	*size = f.at;
	return 0;
}

// ---- send --------------------------------------------------------------------------------------------

// Over plain HTTP nothing else guards the bytes, so the signature covers them; TLS does it by itself.
static int hash_body(struct s3 *s, int fd, uint64_t size, char out[static SIGV4_HEX], struct err *e)
{
	uint8_t sum[DIGEST_MAX];
	struct digest d;

	digest_init(&d, DIGEST_SHA256);
	for (uint64_t at = 0; at < size;) {
		uint64_t left = size - at;
		ssize_t n = file_pread_full(fd, s->chunk, left < CHUNK ? (size_t)left : CHUNK,
					    (off_t)at, e);

		if (n <= 0)
			return n ? -1 : err_set(e, ERR_CONFLICT, "the file became shorter");
		digest_update(&d, span_make(s->chunk, (size_t)n));
		at += (uint64_t)n;
	}
	digest_final(&d, sum);
	text_hex(out, sum, 32);
	return 0;
}

static int put_once(struct s3 *s, const struct request *r, struct patience *p, struct err *e)
{
	const struct http_head *head;

	if (send_signed(s, r, &head, e) < 0)
		return -1;
	if (head->status != 200) {
		heed(p, head);
		return refused(s, head, e);
	}
	http_finish(s->http, NULL);
	return 0;
}

int s3_put(struct s3 *s, const char *bucket, const char *key, int fd, uint64_t size, struct err *e)
{
	char sum[SIGV4_HEX];
	struct request r = { .method = "PUT",
			     .bucket = bucket,
			     .key = key,
			     .sha256 = SPAN(SIGV4_UNSIGNED),
			     .body = fd,
			     .body_size = size };
	struct patience p = { 0 };
	struct err fault = { 0 };

	if (!s->url.tls) {
		if (hash_body(s, fd, size, sum, e) < 0)
			return -1;
		r.sha256 = span_of(sum);
	}
	while (put_once(s, &r, &p, &fault) < 0)
		if (!once_more(s, &p, key, &fault)) {
			*e = fault;
			return err_wrap(e, "%s/%.100s to %s", bucket, key, s->store->name);
		}
	return 0;
}
