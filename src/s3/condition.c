// SPDX-License-Identifier: Apache-2.0
// Conditions (RFC 9110 13).
#include "base/clock.h"
#include "s3/request.h"

static struct span condition(struct s3_req *q, const char *prefix, const char *name)
{
	return http_header(q->http, arena_printf(q->mem, "%s%s", prefix, name));
}

struct span s3_etag_bare(struct span etag)
{
	etag = span_trim(etag);
	if (span_starts(etag, SPAN("W/")))
		etag = span_from(etag, 2);
	if (etag.n >= 2 && etag.p[0] == '"' && etag.p[etag.n - 1] == '"')
		return span_make(etag.p + 1, etag.n - 2);
	return etag;
}

// A list of entity tags, with or without quotes and W/, or "*".
static bool tag_listed(struct span list, const char *etag)
{
	while (list.n) {
		struct span one = s3_etag_bare(span_cut(&list, ','));

		if (span_is(one, "*") || span_is(one, etag))
			return true;
	}
	return false;
}

// Whole seconds since 1970, or -1 when there is no such header or no date in it.
static int64_t condition_time(struct s3_req *q, const char *prefix, const char *name)
{
	struct span v = condition(q, prefix, name);
	int64_t ns = v.p ? clock_parse_http(arena_strndup(q->mem, v.p, v.n)) : -1;

	return ns < 0 ? -1 : ns / NS_PER_S;
}

enum s3_code s3_conditions(struct s3_req *q, const char *prefix, const struct store_object *o)
{
	struct span match = condition(q, prefix, "if-match");
	struct span none = condition(q, prefix, "if-none-match");
	int64_t since = condition_time(q, prefix, "if-modified-since");
	int64_t unless = condition_time(q, prefix, "if-unmodified-since");
	int64_t mtime = o->mtime_ns / NS_PER_S;
	enum s3_code unchanged = prefix[0] ? S3_PRECONDITION_FAILED : S3_NOT_MODIFIED;

	if (match.p && !tag_listed(match, o->etag))
		return S3_PRECONDITION_FAILED;
	if (!match.p && unless >= 0 && mtime > unless)
		return S3_PRECONDITION_FAILED;
	if (none.p && tag_listed(none, o->etag))
		return unchanged;
	if (!none.p && since >= 0 && mtime <= since)
		return unchanged;
	return S3_OK;
}

bool s3_condition_absent(struct s3_req *q, const char *name)
{
	return !http_header(q->http, name).p ||
	       s3_failf(q, S3_NOT_IMPLEMENTED,
			"A header you provided implies functionality that is not implemented: %s",
			name);
}

bool s3_write_conditions(struct s3_req *q, struct store_conditions *out)
{
	struct span match = http_header(q->http, "If-Match");
	struct span none = http_header(q->http, "If-None-Match");

	if (!s3_condition_absent(q, "If-Modified-Since") ||
	    !s3_condition_absent(q, "If-Unmodified-Since"))
		return false;
	if (match.p && none.p)
		return s3_failf(q, S3_INVALID_REQUEST, "Only one of If-Match and If-None-Match");
	*out = (struct store_conditions){ .if_match = s3_etag_bare(match),
					  .if_none_match = s3_etag_bare(none) };
	return true;
}
