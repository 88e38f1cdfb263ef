// SPDX-License-Identifier: Apache-2.0
// storage_plain: storages that are asked by plain HTTP methods: WebDAV (RFC 4918), Onedata's CDMI, and the WebDAV servers
// that Rucio names. A bucket is the first folder of a path there.
#include "base/mem.h"
#include "codec/text.h"
#include "codec/url.h"
#include "supervisor/storage_private.h"

enum { REPLICA_DEPTH_MAX = 64 };

static const char *path_of(struct arena *mem, const struct storage_request *r)
{
	const char *key = r->key;

	while (*key == '/')
		key++;
	if (!*r->bucket)
		return arena_strdup(mem, key);
	return *key ? arena_printf(mem, "%s/%s", r->bucket, key) : arena_strdup(mem, r->bucket);
}

static void who_asks(const struct storage *s, struct arena *mem, struct buf *lines)
{
	const struct config_store *who = s->store;
	const char *plain;
	size_t n;
	char *text;

	if (who->kind == CONFIG_ONEDATA) {
		buf_printf(lines, "X-Auth-Token: %s\r\n", who->token);
		return;
	}
	if (who->kind == CONFIG_REPLICA) {
		if (*who->token)
			buf_printf(lines, "Authorization: Bearer %s\r\n", who->token);
		return;
	}
	plain = arena_printf(mem, "%s:%s", who->access, who->secret);
	n = strlen(plain);
	text = arena_alloc(mem, TEXT_BASE64_SIZE(n));
	buf_printf(lines, "Authorization: Basic %s\r\n", text_base64(text, plain, n));
}

void storage_plain_head(struct storage *s, const struct storage_request *r, struct arena *mem,
			struct buf *lines, struct span *target)
{
	*target = r->target;
	if (s->store->kind != CONFIG_REPLICA)
		*target =
			span_of(arena_printf(mem, "%s/%s%s", s->url.path,
					     url_encode_arena(mem, span_of(path_of(mem, r)), "/").p,
					     r->folder ? "/" : ""));
	who_asks(s, mem, lines);
	if (r->folder && s->store->kind == CONFIG_ONEDATA)
		buf_add_str(lines, "X-CDMI-Specification-Version: 1.1.1\r\n"
				   "Content-Type: application/cdmi-container\r\n"
				   "Accept: application/cdmi-container\r\n");
	else if (strcmp(r->method, "PUT") == 0)
		buf_add_str(lines, "Content-Type: application/octet-stream\r\n");
}

// ---- folders -------------------------------------------------------------------------------------------

// Status of one request about a folder, whose body does not matter; -1 with *e.
static int ask(struct storage *s, const struct storage_request *r, struct err *e)
{
	const struct http_head *head;
	int status;

	if (storage_send(s, r, &head, e) < 0)
		return -1;
	status = head->status;
	// 405: WebDAV's word for "it is there"; 404 is an answer to the question.
	if ((status >= 200 && status < 300) || status == 405 || status == 404 || status == 409) {
		http_finish(s->last, NULL);
		return status;
	}
	return storage_refused(s, head, e);
}

static int about_folder(struct storage *s, const char *method, const char *path, struct err *e)
{
	struct storage_request r = {
		.method = method, .bucket = "", .key = path, .folder = true, .body = -1
	};

	return ask(s, &r, e);
}

static int make_folder(struct storage *s, const char *path, struct err *e)
{
	bool dav = s->store->kind == CONFIG_WEBDAV;
	int status = dav ? 404 : about_folder(s, "GET", path, e);

	if (status == 404)
		status = about_folder(s, dav ? "MKCOL" : "PUT", path, e);
	if (status < 0)
		return err_wrap(e, "folder %.100s", path);
	return (status >= 200 && status < 300) || status == 405
		       ? 0
		       : err_set(e, ERR_PROTOCOL, "folder %.100s cannot be made: status %d", path,
				 status);
}

// From the first level on: a WebDAV server makes one level at a time. Onedata's first one is the space, which is there.
int storage_plain_folders(struct storage *s, const struct storage_request *r, struct err *e)
{
	auto_arena struct arena mem = { 0 };
	char *path = arena_strdup(&mem, path_of(&mem, r)), *slash = strrchr(path, '/');
	char *at = path;

	if (!slash)
		return 0;
	*slash = '\0';
	if (s->folder && strcmp(s->folder, path) == 0)
		return 0;
	if (s->store->kind == CONFIG_ONEDATA)
		at = strchr(path, '/') ? strchr(path, '/') + 1 : path + strlen(path);
	while (*at) {
		char *end = at + strcspn(at, "/"), was = *end;

		*end = '\0';
		if (make_folder(s, path, e) < 0)
			return -1;
		*end = was;
		at = was ? end + 1 : end;
	}
	mem_free(s->folder);
	s->folder = mem_strdup(path);
	return 0;
}

// From the last level up, for a token is good for what lies below some folder only: nobody may ask above it. Whether it
// helped is what the next PUT tells.
int storage_replica_folders(struct storage *s, struct span target, struct err *e)
{
	struct storage_request r = { .method = "MKCOL", .folder = true, .body = -1 };
	struct span rest = target, path = span_cut(&rest, '?');
	size_t ends[REPLICA_DEPTH_MAX], n = 0;
	int status = 404;

	while ((status == 404 || status == 409) && n < REPLICA_DEPTH_MAX) {
		ptrdiff_t slash = span_rfind(path, '/');

		if (slash <= 0)
			break;
		path = span_head(path, (size_t)slash);
		ends[n++] = path.n;
		r.target = path;
		status = ask(s, &r, e);
		if (status < 0)
			return err_wrap(e, "folder %.*s", (int)(path.n < 100 ? path.n : 100),
					path.p);
	}
	for (size_t i = n; i-- > 1;) {
		r.target = span_head(target, ends[i - 1]);
		if (ask(s, &r, e) < 0)
			return -1;
	}
	return 0;
}
