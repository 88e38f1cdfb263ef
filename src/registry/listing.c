// SPDX-License-Identifier: Apache-2.0
// listing: tags, repositories, referrers. Pages follow each other by the Link field (RFC 8288).
#include "base/file.h"
#include "base/mem.h"
#include "codec/json.h"
#include "codec/url.h"
#include "image/manifest.h"
#include "registry/private.h"

enum { PAGE_MAX = 1000, REFERRERS_MAX = 1000, ANNOTATIONS_BYTES_MAX = 4 << 20 };

static void reply_json(struct reg_req *q, const char *type, json_t *v)
{
	auto_free char *text = codec_json_text(v, CODEC_JSON_PLAIN);

	json_decref(v);
	http_reply(q->http, 200, type, span_of(text));
}

void reg_base(struct reg_req *q)
{
	http_reply(q->http, 200, "application/json", SPAN("{}"));
}

static bool page_size(struct reg_req *q, size_t *out)
{
	struct span text;
	uint64_t n;

	*out = PAGE_MAX;
	if (!http_query(q->http, "n", &text))
		return true;
	if (!span_to_u64(text, &n))
		return reg_fail(q, 400, "PAGINATION_NUMBER_INVALID", "n is no number");
	*out = n < PAGE_MAX ? (size_t)n : PAGE_MAX;
	return true;
}

static void say_next(struct reg_req *q, size_t max, const char *last)
{
	struct span path = http_path_raw(q->http);
	struct span text = url_encode_arena(http_arena(q->http), span_of(last), "");

	http_reply_headerf(q->http, "Link", "<" SPAN_FMT "?n=%zu&last=" SPAN_FMT ">; rel=\"next\"",
			   SPAN_ARG(path), max, SPAN_ARG(text));
}

static struct span query_last(struct reg_req *q)
{
	struct span last;

	return http_query(q->http, "last", &last) ? last : SPAN("");
}

void reg_tags(struct reg_req *q)
{
	json_t *list = json_array();
	const char **tags;
	struct err e = { 0 };
	size_t max, n;

	if (!page_size(q, &max) || (catalog_tags(q->images, http_arena(q->http), q->repo,
						 query_last(q), max, &tags, &n, &e) < 0 &&
				    !reg_fail_err(q, &e, "NAME_UNKNOWN", "NAME_INVALID"))) {
		json_decref(list);
		return;
	}
	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, json_string(tags[i]));
	if (n && n == max)
		say_next(q, max, tags[n - 1]);
	reply_json(q, "application/json",
		   json_pack("{s:s%,s:o}", "name", q->repo.p, q->repo.n, "tags", list));
}

// Others' repositories are left out, so that a page may hold fewer than were asked for.
void reg_catalog(struct reg_req *q)
{
	json_t *list = json_array();
	const char **repos;
	struct err e = { 0 };
	size_t max, n;

	if (!page_size(q, &max) || (catalog_repos(q->images, http_arena(q->http), query_last(q),
						  max, &repos, &n, &e) < 0 &&
				    !reg_fail_err(q, &e, "NAME_UNKNOWN", "NAME_INVALID"))) {
		json_decref(list);
		return;
	}
	for (size_t i = 0; i < n; i++)
		if (registry_may(q->server->o.auth, &q->user, span_of(repos[i]), false))
			json_array_append_new(list, json_string(repos[i]));
	if (n && n == max)
		say_next(q, max, repos[n - 1]);
	reply_json(q, "application/json", json_pack("{s:o}", "repositories", list));
}

// ---- referrers -----------------------------------------------------------------------------------------

static json_t *annotations_of(struct reg_req *q, const struct catalog_manifest *m)
{
	struct err none = { 0 };
	auto_json json_t *v = NULL;
	auto_fd int fd = catalog_open(q->images, m->digest, &none);
	auto_buf struct buf text;
	char *room;

	buf_init(&text, MANIFEST_BYTES_MAX);
	room = fd < 0 ? NULL : buf_room(&text, (size_t)m->size);
	if (!room || file_pread_full(fd, room, (size_t)m->size, 0, &none) != (ssize_t)m->size)
		return NULL;
	buf_grown(&text, (size_t)m->size);
	if (codec_json_parse(buf_span(&text), MANIFEST_BYTES_MAX, &v, &none) < 0)
		return NULL;
	return json_incref(json_object_get(v, "annotations"));
}

static json_t *referrer(struct reg_req *q, const struct catalog_manifest *m, uint64_t *read)
{
	json_t *v = json_pack("{s:s,s:s,s:I,s:s}", "mediaType", m->media, "digest", m->digest,
			      "size", (json_int_t)m->size, "artifactType", m->artifact);
	json_t *notes = NULL;

	*read += m->size;
	if (*read <= ANNOTATIONS_BYTES_MAX)
		notes = annotations_of(q, m);
	if (notes)
		json_object_set_new(v, "annotations", notes);
	return v;
}

void reg_referrers(struct reg_req *q)
{
	json_t *list = json_array();
	struct catalog_manifest *m;
	struct err e = { 0 };
	struct span type;
	bool filtered = http_query(q->http, "artifactType", &type);
	uint64_t read = 0;
	size_t n;

	if ((!reference_digest_ok(q->ref) &&
	     !reg_fail(q, 400, "DIGEST_INVALID", "sha256: and 64 digits are wanted")) ||
	    (catalog_referrers(q->images, http_arena(q->http), q->repo, q->ref, REFERRERS_MAX, &m,
			       &n, &e) < 0 &&
	     !reg_fail_err(q, &e, "NAME_UNKNOWN", "NAME_INVALID"))) {
		json_decref(list);
		return;
	}
	for (size_t i = 0; i < n; i++)
		if (!filtered || span_is(type, m[i].artifact))
			json_array_append_new(list, referrer(q, &m[i], &read));
	if (filtered)
		http_reply_header(q->http, "OCI-Filters-Applied", SPAN("artifactType"));
	reply_json(q, MEDIA_OCI_INDEX,
		   json_pack("{s:i,s:s,s:o}", "schemaVersion", 2, "mediaType", MEDIA_OCI_INDEX,
			     "manifests", list));
}
