// SPDX-License-Identifier: Apache-2.0
// registry_push: the half of the registry client that sends.
#include "base/file.h"
#include "base/mem.h"
#include "codec/url.h"
#include "image/registry_private.h"

#include <stdio.h>
#include <unistd.h>

enum { PIECE = 16 << 20, BYTES_PER_MS_MIN = 64 };

static int64_t patience_ms(uint64_t bytes)
{
	return 600000 + (int64_t)(bytes / BYTES_PER_MS_MIN);
}

int registry_blob_have(struct registry *r, const char *digest, bool *have, struct err *e)
{
	auto_free char *url = mem_printf("%s/blobs/%s", r->base, digest);
	auto_http_answer struct http_answer a = { 0 };
	struct http_call call = registry_short_call(r, "HEAD", url);
	struct err fault = { 0 };

	*have = registry_ask(r, &call, NULL, 0, &a, &fault) == 0;
	if (*have || fault.code == ERR_NOT_FOUND)
		return 0;
	*e = fault;
	return -1;
}

// ---- uploads -------------------------------------------------------------------------------------------

// Where the upload goes on, absolute. The registry may name another server.
static int keep_location(struct registry *r, const struct http_answer *a, struct err *e)
{
	struct span where = http_answer_header(a, "Location");

	mem_free(mem_take(&r->location));
	if (span_starts_nocase(where, SPAN("https://")) ||
	    (r->plain && span_starts_nocase(where, SPAN("http://"))))
		r->location = mem_strndup(where.p, where.n);
	else if (span_starts(where, SPAN("/")))
		r->location = mem_printf("%s" SPAN_FMT, r->origin, SPAN_ARG(where));
	else
		return err_set(e, ERR_PROTOCOL, "the registry does not say where the upload goes");
	return 0;
}

static int begin(struct registry *r, const char *query, int *status, struct err *e)
{
	auto_free char *url = mem_printf("%s/blobs/uploads/%s", r->base, query);
	auto_http_answer struct http_answer a = { 0 };
	struct http_call call = registry_short_call(r, "POST", url);

	if (registry_ask(r, &call, NULL, 0, &a, e) < 0)
		return -1;
	*status = a.status;
	return a.status == 201 ? 0 : keep_location(r, &a, e);
}

int registry_blob_mount(struct registry *r, const char *digest, bool *mounted, struct err *e)
{
	auto_buf struct buf query;
	int status;

	buf_init(&query, 2048);
	buf_add_str(&query, "?mount=");
	url_encode(&query, span_of(digest), ":");
	buf_add_str(&query, "&from=");
	url_encode(&query, span_of(r->from), "/");
	if (query.over)
		return err_set(e, ERR_INVALID, "the repository's name is too long");
	if (begin(r, query.p, &status, e) < 0)
		return err_wrap(e, "mount %.19s…", digest);
	*mounted = status == 201;
	return 0;
}

// A part of a file, as the client's body.
struct part {
	struct registry *r;
	int fd;
	uint64_t from, at, end;
};

static ssize_t read_part(void *owner, char *p, size_t n)
{
	struct part *s = owner;
	uint64_t left = s->end - s->at;
	struct err e = { 0 };
	ssize_t k = file_pread_full(s->fd, p, left < n ? (size_t)left : n, (off_t)s->at, &e);

	s->at += k > 0 ? (uint64_t)k : 0;
	if (k > 0 && s->r->moved)
		s->r->moved(s->r->moved_owner, (uint64_t)k);
	return k;
}

static bool rewind_part(void *owner)
{
	struct part *s = owner;

	s->at = s->from;
	return true;
}

static int send(struct registry *r, const char *method, const char *url, struct part *part,
		bool pieces, struct err *e)
{
	auto_http_answer struct http_answer a = { 0 };
	char range[80];
	const char *headers[3] = { "Content-Type: application/octet-stream", "Expect:", range };
	struct http_call call = { .method = method,
				  .url = url,
				  .send = part->end > part->from ? read_part : NULL,
				  .rewind = rewind_part,
				  .send_size = (int64_t)(part->end - part->from),
				  .owner = part,
				  .timeout_ms = patience_ms(part->end - part->from),
				  .idle_ms = r->idle_ms };

	snprintf(range, sizeof(range), "Content-Range: %llu-%llu", (unsigned long long)part->from,
		 (unsigned long long)part->end - 1);
	if (registry_ask(r, &call, headers, pieces ? 3 : 2, &a, e) < 0)
		return -1;
	return a.status == 201 ? 0 : keep_location(r, &a, e);
}

// "LOCATION?digest=…" or, when there is a query already, "LOCATION&digest=…".
static char *closing(const struct registry *r, const char *digest)
{
	return mem_printf("%s%cdigest=%s", r->location, strchr(r->location, '?') ? '&' : '?',
			  digest);
}

static int push_whole(struct registry *r, const struct descriptor *d, int fd, struct err *e)
{
	auto_free char *url = closing(r, d->digest);
	struct part all = { .r = r, .fd = fd, .end = d->size };

	return send(r, "PUT", url, &all, false, e);
}

static int push_pieces(struct registry *r, const struct descriptor *d, int fd, struct err *e)
{
	struct part none = { .r = r, .fd = fd };
	auto_free char *url = NULL;

	for (uint64_t at = 0; at < d->size; at += PIECE) {
		struct part p = { .r = r, .fd = fd, .from = at, .at = at };
		auto_free char *where = mem_strdup(r->location);

		p.end = d->size - at < PIECE ? d->size : at + PIECE;
		if (send(r, "PATCH", where, &p, true, e) < 0)
			return -1;
	}
	url = closing(r, d->digest);
	return send(r, "PUT", url, &none, false, e);
}

// What a registry, or a proxy before it, says that takes no large bodies.
static bool wants_pieces(const struct err *e)
{
	return e->code == ERR_LIMIT || e->code == ERR_UNSUPPORTED || e->code == ERR_PROTOCOL;
}

int registry_blob_push(struct registry *r, const struct descriptor *d, int fd, struct err *e)
{
	struct err fault = { 0 };
	int status = 202, bad = 0;

	if (!r->location)
		bad = begin(r, "", &status, e);
	if (!bad && push_whole(r, d, fd, &fault) < 0) {
		if (!wants_pieces(&fault)) {
			*e = fault;
			bad = -1;
		} else {
			bad = begin(r, "", &status, e);
			if (!bad)
				bad = push_pieces(r, d, fd, e);
		}
	}
	mem_free(mem_take(&r->location));
	return bad < 0 ? err_wrap(e, "send %.19s…", d->digest) : 0;
}

int registry_manifest_push(struct registry *r, const char *which, const char *media,
			   struct span text, struct err *e)
{
	auto_free char *url = mem_printf("%s/manifests/%s", r->base, which);
	auto_free char *type = mem_printf("Content-Type: %s", media);
	const char *header = type;
	auto_http_answer struct http_answer a = { 0 };
	struct http_call call = registry_short_call(r, "PUT", url);

	call.body = text;
	return registry_ask(r, &call, &header, 1, &a, e) < 0 ? err_wrap(e, "manifest") : 0;
}
