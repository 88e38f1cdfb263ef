// SPDX-License-Identifier: Apache-2.0
// route: from path and method to the operation. A repository's name may hold slashes, so paths are read from behind.
#include "registry/private.h"

static const struct reg_op ops[] = {
	{ REG_BASE, HTTP_GET, false, false, NULL, reg_base },
	{ REG_BASE, HTTP_HEAD, false, false, NULL, reg_base },
	{ REG_TOKEN, HTTP_GET, false, true, NULL, reg_token },
	{ REG_TOKEN, HTTP_POST, false, true, reg_token_begin, reg_token },
	{ REG_CATALOG, HTTP_GET, false, true, NULL, reg_catalog },
	{ REG_TAGS, HTTP_GET, false, true, NULL, reg_tags },
	{ REG_REFERRERS, HTTP_GET, false, true, NULL, reg_referrers },
	{ REG_MANIFEST, HTTP_GET, false, false, NULL, reg_manifest_get },
	{ REG_MANIFEST, HTTP_HEAD, false, false, NULL, reg_manifest_get },
	{ REG_MANIFEST, HTTP_PUT, true, true, reg_manifest_begin, reg_manifest_put },
	{ REG_MANIFEST, HTTP_DELETE, true, true, NULL, reg_manifest_delete },
	{ REG_BLOB, HTTP_GET, false, true, NULL, reg_blob_get },
	{ REG_BLOB, HTTP_HEAD, false, true, NULL, reg_blob_get },
	{ REG_BLOB, HTTP_DELETE, true, true, NULL, reg_blob_delete },
	{ REG_UPLOADS, HTTP_POST, true, true, reg_upload_post, reg_upload_start },
	{ REG_UPLOAD, HTTP_GET, true, false, NULL, reg_upload_get },
	{ REG_UPLOAD, HTTP_PATCH, true, false, reg_upload_begin, reg_upload_patch },
	{ REG_UPLOAD, HTTP_PUT, true, true, reg_upload_begin, reg_upload_put },
	{ REG_UPLOAD, HTTP_DELETE, true, true, NULL, reg_upload_delete },
};

bool registry_server_path(struct span path)
{
	return span_is(path, "/v2") || span_starts(path, SPAN("/v2/"));
}

// "NAME/tail/" before the last part; true when NAME is left in *repo.
static bool ends_in(struct span before, struct span tail, struct span *repo)
{
	if (!span_ends(before, tail) || before.n == tail.n)
		return false;
	*repo = span_head(before, before.n - tail.n);
	return true;
}

void reg_locate(struct reg_req *q)
{
	struct span path = span_from(http_path(q->http), 3), before, last;
	ptrdiff_t slash;

	path = span_from(path, path.n > 0);
	slash = span_rfind(path, '/');
	before = span_head(path, slash < 0 ? 0 : (size_t)slash);
	last = span_from(path, (size_t)(slash + 1));
	q->ref = last;
	q->kind = REG_NONE;
	if (!path.n)
		q->kind = REG_BASE;
	else if (span_is(path, "token"))
		q->kind = REG_TOKEN;
	else if (span_is(path, "_catalog"))
		q->kind = REG_CATALOG;
	else if (span_is(last, "list") && ends_in(before, SPAN("/tags"), &q->repo))
		q->kind = REG_TAGS;
	else if (ends_in(before, SPAN("/manifests"), &q->repo))
		q->kind = REG_MANIFEST;
	else if (ends_in(before, SPAN("/referrers"), &q->repo))
		q->kind = REG_REFERRERS;
	else if (ends_in(before, SPAN("/blobs/uploads"), &q->repo))
		q->kind = last.n ? REG_UPLOAD : REG_UPLOADS;
	else if (span_is(last, "uploads") && ends_in(before, SPAN("/blobs"), &q->repo))
		q->kind = REG_UPLOADS;
	else if (ends_in(before, SPAN("/blobs"), &q->repo))
		q->kind = REG_BLOB;
}

const struct reg_op *reg_route(const struct reg_req *q)
{
	for (size_t i = 0; i < ARRAY_LEN(ops); i++)
		if (ops[i].kind == q->kind && ops[i].method == http_method(q->http))
			return &ops[i];
	return NULL;
}
