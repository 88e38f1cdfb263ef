// SPDX-License-Identifier: Apache-2.0
// storage_rucio_put: a file into Rucio: its bytes to the storage element (RSE), then its name and its replica into the
// catalogue, then a rule that keeps it there. In this order nobody sees a name without bytes, and whoever was interrupted
// can do it again.
#include "base/file.h"
#include "base/mem.h"
#include "codec/adler.h"
#include "codec/digest.h"
#include "codec/json.h"
#include "codec/text.h"
#include "codec/url.h"
#include "supervisor/rucio.h"
#include "supervisor/storage_private.h"

enum { PIECE = 64 << 10 };

struct upload {
	struct storage *s;
	const char *name;
	int fd;
	uint64_t size;
	uint32_t adler32;
	char md5[TEXT_HEX_SIZE(16)];
	struct arena mem;
};

// Most servers of Rucio refuse names with slashes; those who write the folders into names use this.
static const char *flat(struct arena *mem, const char *name)
{
	auto_buf struct buf out = { 0 };
	struct span rest = span_of(name);

	buf_init(&out, 2 * rest.n + 1);
	while (rest.n) {
		struct span part = span_cut(&rest, '/');

		if (out.n)
			buf_add_str(&out, "__");
		buf_add_span(&out, part);
	}
	return arena_span(mem, buf_span(&out)).p;
}

static int read_sums(struct upload *u, struct err *e)
{
	auto_free char *piece = mem_alloc(PIECE);
	uint8_t sum[DIGEST_MAX];
	struct digest md5;

	digest_init(&md5, DIGEST_MD5);
	u->adler32 = ADLER_START;
	for (uint64_t at = 0; at < u->size;) {
		uint64_t left = u->size - at;
		ssize_t n = file_pread_full(u->fd, piece, left < PIECE ? (size_t)left : PIECE,
					    (off_t)at, e);

		if (n <= 0)
			return n ? -1 : err_set(e, ERR_CONFLICT, "the file became shorter");
		digest_update(&md5, span_make(piece, (size_t)n));
		u->adler32 = adler_update(u->adler32, span_make(piece, (size_t)n));
		at += (uint64_t)n;
	}
	digest_final(&md5, sum);
	text_hex(u->md5, sum, 16);
	return 0;
}

// 1 when Rucio has the file, 0 when the name is free. One of other bytes is in the way for ever.
static int is_known(struct upload *u, struct err *e)
{
	const char *scope = u->s->store->rucio.scope;
	struct rucio_call c = { .method = "GET", .to = -1 };
	auto_buf struct buf answer = { 0 };
	struct rucio_file f;
	int status;

	c.target = arena_printf(&u->mem, "/dids/%s/%s/meta",
				url_encode_arena(&u->mem, span_of(scope), "").p,
				url_encode_arena(&u->mem, span_of(u->name), "").p);
	status = storage_rucio_call(u->s, &c, &answer, e);
	if (status < 0 || status >= 300)
		return status < 0 ? -1 : 0;
	if (rucio_file_parse(buf_span(&answer), &u->mem, &f, e) < 0)
		return -1;
	if (!f.has_adler32 || f.adler32 != u->adler32 || f.size != u->size)
		return err_set(e, ERR_EXISTS,
			       "Rucio has other data called %s:%s, and names are for ever there",
			       scope, u->name);
	return 1;
}

// An answer about the storage element.
static int ask_element(struct upload *u, const char *question, struct buf *answer, struct err *e)
{
	const char *rse = u->s->store->rucio.rse;
	struct rucio_call c = { .method = "GET", .to = -1 };
	const char *name, *why;
	int status;

	c.target = arena_printf(&u->mem, "/rses/%s/%s",
				url_encode_arena(&u->mem, span_of(rse), "").p, question);
	status = storage_rucio_call(u->s, &c, answer, e);
	if (status < 0 || status < 300)
		return status < 0 ? -1 : 0;
	rucio_refusal_parse(buf_span(answer), &u->mem, &name, &why);
	return err_set(e, ERR_NOT_FOUND, "status %d, %.60s: %.120s", status, name, why);
}

// The address that the element wants the file at.
static int find_place(struct upload *u, const char **url, struct err *e)
{
	const struct config_rucio *c = &u->s->store->rucio;
	auto_buf struct buf protocols = { 0 }, place = { 0 };
	bool plain = !u->s->url.tls;
	const char *scheme;

	if (ask_element(u, "protocols", &protocols, e) < 0 ||
	    rucio_scheme_parse(buf_span(&protocols), plain, &scheme, e) < 0 ||
	    ask_element(u,
			arena_printf(&u->mem,
				     "lfns2pfns?lfn=%s%%3A%s&scheme=%s&domain=wan&operation=write",
				     url_encode_arena(&u->mem, span_of(c->scope), "").p,
				     url_encode_arena(&u->mem, span_of(u->name), "").p, scheme),
			&place, e) < 0 ||
	    rucio_place_parse(buf_span(&place), plain, &u->mem, url, e) < 0)
		return err_wrap(e, "storage element %.60s", c->rse);
	return 0;
}

static int send_bytes(struct upload *u, struct err *e)
{
	struct storage_request r = { .method = "PUT", .body = u->fd, .body_size = u->size };
	struct storage *at;
	const char *url;

	if (find_place(u, &url, e) < 0 || storage_rucio_replica(u->s, url, &at, &r.target, e) < 0)
		return -1;
	return storage_send_file(at, &r, u->name, e) < 0 ? err_wrap(e, "%s", at->store->name) : 0;
}

// Asks for a change of the catalogue. What is so already (`accepted` is what Rucio calls that) is fine: 409, and 0.
static int change(struct upload *u, const char *target, json_t *question, const char *accepted,
		  struct err *e)
{
	auto_json json_t *owned = question;
	auto_free char *body = owned ? codec_json_text(owned, CODEC_JSON_PLAIN) : NULL;
	struct rucio_call c = { .method = "POST", .target = target, .body = body, .to = -1 };
	auto_buf struct buf answer = { 0 };
	const char *name, *why;
	int status;

	if (!body)
		return err_set(e, ERR_INVALID, "a name that is no text");
	status = storage_rucio_call(u->s, &c, &answer, e);
	if (status < 0 || status < 300)
		return status < 0 ? -1 : 0;
	rucio_refusal_parse(buf_span(&answer), &u->mem, &name, &why);
	if (status == 409 && strcmp(name, accepted) == 0)
		return 0;
	return err_set(e, status == 404 ? ERR_NOT_FOUND : ERR_CONFLICT, "status %d, %.60s: %.120s",
		       status, name, why);
}

static int add_replica(struct upload *u, struct err *e)
{
	const struct config_rucio *c = &u->s->store->rucio;
	struct err fault = { 0 };
	int known;

	if (change(u, "/replicas/",
		   json_pack("{s:s,s:[{s:s,s:s,s:I,s:o,s:s,s:s}]}", "rse", c->rse, "files", "scope",
			     c->scope, "name", u->name, "bytes", (json_int_t)u->size, "adler32",
			     json_sprintf("%08x", u->adler32), "md5", u->md5, "state", "A"),
		   "", &fault) == 0)
		return 0;
	// An answer that was lost, or somebody who did the same at the same time.
	known = fault.code == ERR_CONFLICT ? is_known(u, e) : 0;
	if (known > 0)
		return 0;
	if (!known)
		*e = fault;
	return err_wrap(e, "replica");
}

static int add_rule(struct upload *u, struct err *e)
{
	const struct config_rucio *c = &u->s->store->rucio;

	return change(u, "/rules/",
		      json_pack("{s:[{s:s,s:s}],s:i,s:s,s:s}", "dids", "scope", c->scope, "name",
				u->name, "copies", 1, "rse_expression", c->rse, "account",
				c->account),
		      "DuplicateRule", e) < 0
		       ? err_wrap(e, "rule")
		       : 0;
}

int storage_rucio_put(struct storage *s, const char *name, int fd, uint64_t size, struct err *e)
{
	struct upload u = { .s = s, .fd = fd, .size = size };
	int known, bad = -1;

	u.name = flat(&u.mem, name);
	known = read_sums(&u, e) < 0 ? -1 : is_known(&u, e);
	if (known > 0)
		report_at(s->report, REPORT_INFO, "Rucio has %s already", u.name);
	if (known > 0 || (known == 0 && send_bytes(&u, e) == 0 && add_replica(&u, e) == 0))
		bad = add_rule(&u, e);
	arena_release(&u.mem);
	return bad;
}
