// SPDX-License-Identifier: Apache-2.0
// storage_rucio_get: a data set, file by file. Where a file lies is asked just before it is fetched, since addresses may
// be signed for some minutes only.
#include "base/file.h"
#include "base/mem.h"
#include "codec/adler.h"
#include "codec/json.h"
#include "codec/url.h"
#include "supervisor/rucio.h"
#include "supervisor/storage_private.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 16 << 10, PIECE = 64 << 10 };

static int list_files(struct storage *s, const char *scope, const char *name, int list,
		      struct err *e)
{
	auto_arena struct arena mem = { 0 };
	auto_buf struct buf answer = { 0 };
	struct rucio_call c = { .method = "GET", .to = list };
	int status;

	c.target = arena_printf(&mem, "/dids/%s/%s/files",
				url_encode_arena(&mem, span_of(scope), "").p,
				url_encode_arena(&mem, span_of(name), "").p);
	status = storage_rucio_call(s, &c, &answer, e);
	if (status < 0)
		return -1;
	return status < 300 ? 0 : err_set(e, ERR_NOT_FOUND, "Rucio knows no such data");
}

static int find_replicas(struct storage *s, const struct rucio_file *f, struct arena *mem,
			 struct rucio_replicas *out, struct err *e)
{
	auto_json json_t *question =
		json_pack("{s:[{s:s,s:s}]}", "dids", "scope", f->scope, "name", f->name);
	auto_free char *body = question ? codec_json_text(question, CODEC_JSON_PLAIN) : NULL;
	auto_buf struct buf answer = { 0 };
	struct rucio_call c = { .method = "POST", .target = "/replicas/list", .to = -1 };
	int status;

	if (!body)
		return err_set(e, ERR_PROTOCOL, "a name that is no text");
	c.body = body;
	status = storage_rucio_call(s, &c, &answer, e);
	if (status < 0)
		return -1;
	if (status >= 300 || rucio_replicas_parse(buf_span(&answer), !s->url.tls, mem, out, e) < 0)
		return status < 300 ? -1 : err_set(e, ERR_NOT_FOUND, "it is gone");
	if (out->n)
		return 0;
	return out->others ? err_set(e, ERR_UNSUPPORTED,
				     "none of its %zu replicas is reached by https or davs",
				     out->others)
			   : err_set(e, ERR_NOT_FOUND, "it has no replica that can be read now");
}

// Whether the bytes are those that Rucio knows.
static int check_bytes(const struct rucio_file *f, int fd, uint64_t size, struct err *e)
{
	auto_free char *piece = mem_alloc(PIECE);
	uint32_t sum = ADLER_START;
	ssize_t n = 1;

	if (f->size != UINT64_MAX && f->size != size)
		return err_set(e, ERR_CONFLICT, "%llu bytes came, in Rucio it has %llu",
			       (unsigned long long)size, (unsigned long long)f->size);
	if (!f->has_adler32)
		return 0;
	for (off_t at = 0; n > 0; at += n) {
		n = file_pread_full(fd, piece, PIECE, at, e);
		if (n < 0)
			return -1;
		sum = adler_update(sum, span_make(piece, (size_t)n));
	}
	return sum == f->adler32
		       ? 0
		       : err_set(e, ERR_CONFLICT, "the bytes are not those of Rucio's checksum");
}

static int fetch_replica(struct storage *s, const struct rucio_file *f, const char *url, int fd,
			 uint64_t *size, struct err *e)
{
	struct storage_request r = { .method = "GET", .body = -1 };
	struct storage *at;

	if (storage_rucio_replica(s, url, &at, &r.target, e) < 0)
		return -1;
	if (storage_fetch(at, &r, f->name, fd, size, e) < 0 || check_bytes(f, fd, *size, e) < 0)
		return err_wrap(e, "%s", at->store->name);
	return 0;
}

// Every replica has its turn.
static int fetch_file(struct storage *s, const struct rucio_file *f, int fd, uint64_t *size,
		      struct err *e)
{
	auto_arena struct arena mem = { 0 };
	struct rucio_replicas places;

	if (find_replicas(s, f, &mem, &places, e) < 0)
		return -1;
	for (size_t i = 0;; i++) {
		*e = (struct err){ 0 };
		if (fetch_replica(s, f, places.url[i], fd, size, e) == 0)
			return 0;
		if (i + 1 == places.n || e->code == ERR_CANCELLED || e->code == ERR_FULL ||
		    e->code == ERR_IO)
			return -1;
		report_at(s->report, REPORT_WARNING, "%s: %s; trying another replica", f->name,
			  e->msg);
	}
}

static int take_file(struct storage *s, struct span line, int dir, struct arena *mem,
		     struct storage_set *out, struct err *e)
{
	auto_arena struct arena of_line = { 0 };
	struct err fault = { 0 };
	struct rucio_file f;
	uint64_t size;
	auto_fd int fd = -1;

	if (rucio_file_parse(line, &of_line, &f, e) < 0)
		return -1;
	if (out->n == STORAGE_SET_MAX)
		return err_set(e, ERR_LIMIT, "the data set has over %d files", STORAGE_SET_MAX);
	fd = file_open(dir, f.file_name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600, &fault);
	if (fd < 0 && fault.code == ERR_EXISTS)
		return err_set(e, ERR_CONFLICT, "two files of the data set are called %.100s",
			       f.file_name);
	if (fd < 0 || fetch_file(s, &f, fd, &size, &fault) < 0) {
		*e = fault;
		return err_wrap(e, "%.60s:%.100s", f.scope, f.name);
	}
	if (!out->n++)
		out->first = arena_strdup(mem, f.file_name);
	out->size += size;
	return 0;
}

static int take_files(struct storage *s, int list, int dir, struct arena *mem,
		      struct storage_set *out, struct err *e)
{
	auto_free char *text = mem_alloc(LINE_MAX_BYTES);
	size_t n = 0;

	for (off_t at = 0;;) {
		ssize_t got = file_pread_full(list, text + n, LINE_MAX_BYTES - n, at, e);
		struct span rest;

		if (got < 0)
			return -1;
		at += got;
		n += (size_t)got;
		rest = span_make(text, n);
		// The last line may lack its end; any other without one goes on behind what was read.
		while (rest.n && (n < LINE_MAX_BYTES || span_find(rest, '\n') >= 0)) {
			struct span line = span_trim(span_cut(&rest, '\n'));

			if (line.n && take_file(s, line, dir, mem, out, e) < 0)
				return -1;
		}
		if (n < LINE_MAX_BYTES)
			return 0;
		if (rest.n == n)
			return err_set(e, ERR_LIMIT, "a line of the list is over %d bytes",
				       LINE_MAX_BYTES);
		memmove(text, rest.p, rest.n);
		n = rest.n;
	}
}

int storage_get_set(struct storage *s, const char *scope, const char *name, int dir, int list,
		    struct arena *mem, struct storage_set *out, struct err *e)
{
	*out = (struct storage_set){ 0 };
	if (list_files(s, scope, name, list, e) < 0 || take_files(s, list, dir, mem, out, e) < 0)
		return err_wrap(e, "%.60s:%.100s of %s", scope, name, s->store->name);
	return out->n ? 0
		      : err_set(e, ERR_NOT_FOUND, "%.60s:%.100s of %s has no files", scope, name,
				s->store->name);
}
