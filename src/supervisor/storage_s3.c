// SPDX-License-Identifier: Apache-2.0
#include "base/clock.h"
#include "codec/sigv4.h"
#include "codec/url.h"
#include "supervisor/storage_private.h"

static void add_header(struct buf *b, struct sigv4_header *list, size_t *n, const char *name,
		       struct span value)
{
	buf_printf(b, "%s: " SPAN_FMT "\r\n", name, SPAN_ARG(value));
	list[(*n)++] = (struct sigv4_header){ span_of(name), value };
}

void storage_s3_head(struct storage *s, const struct storage_request *r, struct arena *mem,
		     struct buf *lines, struct span *target)
{
	int64_t now = clock_wall_ns();
	char date[CLOCK_TEXT_MAX];
	struct sigv4_header list[6];
	size_t n = 0;
	struct sigv4_client who = { span_of(s->store->access), span_of(s->store->secret),
				    span_of(s->store->region), now };
	struct sigv4_request sig = { .method = span_of(r->method), .payload = r->sha256 };

	clock_basic(now, date);
	list[n++] = (struct sigv4_header){ SPAN("host"), span_of(s->url.authority) };
	add_header(lines, list, &n, "x-amz-content-sha256", r->sha256);
	add_header(lines, list, &n, "x-amz-date", span_of(date));
	if (s->store->token[0])
		add_header(lines, list, &n, "x-amz-security-token", span_of(s->store->token));
	sig.path = span_of(arena_printf(mem, "%s/%s/%s", s->url.path,
					url_encode_arena(mem, span_of(r->bucket), "").p,
					url_encode_arena(mem, span_of(r->key), "/").p));
	sig.headers = list;
	sig.header_count = n;
	sig.path_as_is = true;
	buf_printf(lines, "Authorization: " SPAN_FMT "\r\n",
		   SPAN_ARG(sigv4_authorization(mem, &who, &sig)));
	*target = sig.path;
}
