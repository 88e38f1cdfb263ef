// SPDX-License-Identifier: Apache-2.0
#include "supervisor/answer.h"

#include "base/file.h"
#include "base/mem.h"
#include "codec/crc.h"
#include "codec/text.h"

#include <unistd.h>

enum {
	CHUNK = 48 << 10, // a multiple of 3, so that pieces join to one base64 text
	ZIP_FILES_MAX = 65535,
	ZIP_LOCAL = 30,
	ZIP_CENTRAL = 46,
	ZIP_END = 22,
	ZIP_VERSION = 20,	   // 2.0: folders
	ZIP_UTF8 = 1 << 11,	   // flag: names are UTF-8
	ZIP_DATE = (1 << 5) | 1,   // 1980-01-01: the same outputs make the same bytes
	ZIP_MADE_BY = 3 << 8 | 20, // Unix
};

struct writer {
	struct stop *stop;
	int to;
	size_t n; // raw bytes waiting in `raw`
	char raw[CHUNK];
	char text[TEXT_BASE64_SIZE(CHUNK)];
};

static int flush(struct writer *w, struct err *e)
{
	text_base64(w->text, w->raw, w->n);
	w->n = 0;
	return stop_write(w->stop, w->to, w->text, strlen(w->text), e);
}

static int add(struct writer *w, const void *p, size_t n, struct err *e)
{
	const char *from = p;

	while (n > 0) {
		size_t room = CHUNK - w->n, take = n < room ? n : room;

		memcpy(w->raw + w->n, from, take);
		w->n += take;
		from += take;
		n -= take;
		if (w->n == CHUNK && flush(w, e) < 0)
			return -1;
	}
	return 0;
}

static int add_file(struct writer *w, int fd, uint64_t size, struct err *e)
{
	char piece[16 << 10];

	for (uint64_t at = 0; at < size;) {
		uint64_t left = size - at;
		ssize_t n = file_pread_full(fd, piece,
					    left < sizeof(piece) ? (size_t)left : sizeof(piece),
					    (off_t)at, e);

		if (n <= 0)
			return n ? -1 : err_set(e, ERR_CONFLICT, "an output became shorter");
		if (add(w, piece, (size_t)n, e) < 0)
			return -1;
		at += (uint64_t)n;
	}
	return 0;
}

// ---- ZIP: stored, without extensions (PKWARE's APPNOTE 4.3) ------------------------------------------

struct entry {
	uint32_t crc, offset;
};

static uint8_t *le16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
	return p + 2;
}

static uint8_t *le32(uint8_t *p, uint32_t v)
{
	return le16(le16(p, v & 0xffff), v >> 16);
}

static int crc_of(int fd, uint64_t size, uint32_t *out, struct err *e)
{
	char piece[16 << 10];
	uint64_t crc = 0;

	for (uint64_t at = 0; at < size;) {
		ssize_t n = file_pread_full(fd, piece, sizeof(piece), (off_t)at, e);

		if (n <= 0)
			return n ? -1 : err_set(e, ERR_CONFLICT, "an output became shorter");
		crc = crc_update(CRC_32, crc, span_make(piece, (size_t)n));
		at += (uint64_t)n;
	}
	*out = (uint32_t)crc;
	return 0;
}

// What local and central headers share, from "version needed" on.
static uint8_t *zip_common(uint8_t *p, const struct entry *z, uint64_t size, size_t name)
{
	p = le16(p, ZIP_VERSION);
	p = le16(p, ZIP_UTF8);
	p = le16(p, 0); // stored
	p = le16(p, 0); // time
	p = le16(p, ZIP_DATE);
	p = le32(p, z->crc);
	p = le32(p, (uint32_t)size);
	p = le32(p, (uint32_t)size);
	p = le16(p, (unsigned)name);
	return le16(p, 0); // no extra field
}

static int zip_file(struct writer *w, const struct outputs *o, size_t i, struct entry *z,
		    struct err *e)
{
	auto_fd int fd = outputs_open(o, i, e);
	size_t name = strlen(o->files[i].name);
	uint8_t head[ZIP_LOCAL];

	if (fd < 0 || crc_of(fd, o->files[i].size, &z->crc, e) < 0)
		return -1;
	zip_common(le32(head, 0x04034b50), z, o->files[i].size, name);
	return add(w, head, sizeof(head), e) < 0 || add(w, o->files[i].name, name, e) < 0
		       ? -1
		       : add_file(w, fd, o->files[i].size, e);
}

static int zip_central(struct writer *w, const struct outputs *o, size_t i, const struct entry *z,
		       struct err *e)
{
	size_t name = strlen(o->files[i].name);
	uint8_t head[ZIP_CENTRAL], *p = le16(le32(head, 0x02014b50), ZIP_MADE_BY);

	p = zip_common(p, z, o->files[i].size, name);
	p = le16(p, 0); // no comment
	p = le16(p, 0); // first disk
	p = le16(p, 0); // bytes
	p = le32(p, (uint32_t)0100644 << 16);
	le32(p, z->offset);
	return add(w, head, sizeof(head), e) < 0 ? -1 : add(w, o->files[i].name, name, e);
}

static int zip_end(struct writer *w, size_t n, uint64_t at, uint64_t central, struct err *e)
{
	uint8_t end[ZIP_END], *p = le32(end, 0x06054b50);

	p = le32(p, 0); // one disk
	p = le16(p, (unsigned)n);
	p = le16(p, (unsigned)n);
	p = le32(p, (uint32_t)central);
	p = le32(p, (uint32_t)at);
	le16(p, 0);
	return add(w, end, sizeof(end), e);
}

static int write_zip(struct writer *w, const struct outputs *o, struct err *e)
{
	struct entry *entries; // owned below
	uint64_t at = 0, central = 0;
	int bad = 0;

	for (size_t i = 0; i < o->n; i++) {
		at += ZIP_LOCAL + strlen(o->files[i].name) + o->files[i].size;
		central += ZIP_CENTRAL + strlen(o->files[i].name);
	}
	if (o->n > ZIP_FILES_MAX || at + central > UINT32_MAX - ZIP_END)
		return err_set(e, ERR_LIMIT,
			       "the outputs are too many or too large for one answer");
	entries = mem_alloc(o->n * sizeof(*entries));
	at = 0;
	for (size_t i = 0; i < o->n && !bad; i++) {
		entries[i].offset = (uint32_t)at;
		bad = zip_file(w, o, i, &entries[i], e);
		at += ZIP_LOCAL + strlen(o->files[i].name) + o->files[i].size;
	}
	for (size_t i = 0; i < o->n && !bad; i++)
		bad = zip_central(w, o, i, &entries[i], e);
	mem_free(entries);
	return bad ? -1 : zip_end(w, o->n, at, central, e);
}

// ---- the whole ---------------------------------------------------------------------------------------

static int write_printed(struct stop *stop, int from, int to, struct err *e)
{
	char piece[16 << 10];
	off_t at = 0;
	ssize_t n;

	while ((n = file_pread_full(from, piece, sizeof(piece), at, e)) > 0) {
		if (stop_write(stop, to, piece, (size_t)n, e) < 0)
			return -1;
		at += n;
	}
	return n < 0 ? -1 : 0;
}

static int write_one(struct writer *w, const struct outputs *o, struct err *e)
{
	auto_fd int fd = outputs_open(o, 0, e);

	return fd < 0 ? -1 : add_file(w, fd, o->files[0].size, e);
}

int answer_write(struct stop *stop, const struct outputs *o, int printed, int to, struct err *e)
{
	auto_free struct writer *w = NULL;

	if (!o || !o->n)
		return write_printed(stop, printed, to, e);
	w = mem_alloc(sizeof(*w));
	w->stop = stop;
	w->to = to;
	w->n = 0;
	if ((o->n == 1 ? write_one(w, o, e) : write_zip(w, o, e)) < 0)
		return err_wrap(e, "answer");
	return flush(w, e) < 0 ? err_wrap(e, "answer") : 0;
}
