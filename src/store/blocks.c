// SPDX-License-Identifier: Apache-2.0
#include "store/blocks.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "codec/crc.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

enum { SUM_SIZE = 4 };

void blocks_init(struct blocks *b, uint64_t size_max)
{
	*b = (struct blocks){ 0 };
	buf_init(&b->sums, (size_t)(size_max / BLOCK_SIZE + 2) * SUM_SIZE);
}

static void put_sum(struct blocks *b)
{
	char bytes[SUM_SIZE];

	for (int i = 0; i < SUM_SIZE; i++)
		bytes[i] = (char)(b->crc >> 8 * i);
	check(buf_add(&b->sums, bytes, SUM_SIZE));
	b->crc = 0;
	b->fill = 0;
}

void blocks_add(struct blocks *b, struct span bytes)
{
	while (bytes.n) {
		struct span piece = span_head(bytes, BLOCK_SIZE - b->fill);

		b->crc = (uint32_t)crc_update(CRC_32C, b->crc, piece);
		b->fill += (uint32_t)piece.n;
		bytes = span_from(bytes, piece.n);
		if (b->fill == BLOCK_SIZE)
			put_sum(b);
	}
}

struct span blocks_end(struct blocks *b)
{
	if (b->fill)
		put_sum(b);
	return buf_span(&b->sums);
}

void blocks_release(struct blocks *b)
{
	buf_release(&b->sums);
}

// ---- reading them again --------------------------------------------------------------------------------

static uint32_t sum_at(struct span sums, size_t block)
{
	const unsigned char *p = (const unsigned char *)sums.p + block * SUM_SIZE;

	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

// Of a file that is open and has the right size.
static int compare(int fd, uint64_t size, struct span sums, bool (*pace)(void *owner), void *owner,
		   struct err *e)
{
	auto_free char *block = mem_alloc(BLOCK_SIZE);

	for (uint64_t at = 0, i = 0; at < size; at += BLOCK_SIZE, i++) {
		uint64_t left = size - at;
		size_t n = left < BLOCK_SIZE ? (size_t)left : BLOCK_SIZE;
		ssize_t got = file_pread_full(fd, block, n, (off_t)at, e);

		if (got < 0)
			return 0;
		if ((size_t)got < n ||
		    (uint32_t)crc_update(CRC_32C, 0, span_make(block, n)) != sum_at(sums, i)) {
			err_set(e, ERR_CORRUPT, "the MiB at %llu differs from what was written",
				(unsigned long long)at);
			return 0;
		}
		// What nobody asked for must not push out what others use.
		(void)posix_fadvise(fd, (off_t)at, (off_t)n, POSIX_FADV_DONTNEED);
		if (pace && !pace(owner))
			return err_set(e, ERR_CANCELLED, "stopped");
	}
	return 1;
}

int blocks_verify(struct store *s, int64_t file, uint64_t size, struct span sums,
		  bool (*pace)(void *owner), void *owner, struct err *e)
{
	auto_fd int fd = file_open_read(s, file, e);
	struct stat st;

	if (fd < 0)
		return 0;
	if (fstat(fd, &st) < 0) {
		err_sys(e, ERR_IO, errno, "stat");
		return 0;
	}
	if ((uint64_t)st.st_size != size) {
		err_set(e, ERR_CORRUPT, "the file has %lld bytes instead of %llu",
			(long long)st.st_size, (unsigned long long)size);
		return 0;
	}
	if (!sums.n)
		return 1; // written before sums were kept: its size is all that is known
	if (sums.n != (size + BLOCK_SIZE - 1) / BLOCK_SIZE * SUM_SIZE) {
		err_set(e, ERR_CORRUPT, "the checksums are not those of a file of this size");
		return 0;
	}
	return compare(fd, size, sums, pace, owner, e);
}

bool blocks_right(struct span block, uint64_t number, struct span sums)
{
	return !sums.n || ((number + 1) * SUM_SIZE <= sums.n &&
			   (uint32_t)crc_update(CRC_32C, 0, block) == sum_at(sums, number));
}

int blocks_verify_one(int fd, uint64_t block, uint64_t size, struct span sums, struct err *e)
{
	enum { CHUNK = 64 << 10 };
	auto_free char *chunk = mem_alloc(CHUNK);
	uint64_t at = block * BLOCK_SIZE;
	uint64_t end = size - at < BLOCK_SIZE ? size : at + BLOCK_SIZE;
	uint32_t crc = 0;

	if (!sums.n)
		return 1;
	if ((block + 1) * SUM_SIZE > sums.n)
		return err_set(e, ERR_CORRUPT,
			       "the checksums are not those of a file of this size");
	while (at < end) {
		size_t n = end - at < CHUNK ? (size_t)(end - at) : CHUNK;
		ssize_t got = file_pread_full(fd, chunk, n, (off_t)at, e);

		if (got < 0)
			return -1;
		if ((size_t)got < n)
			return err_set(e, ERR_CORRUPT, "a content file is shorter than its record");
		crc = (uint32_t)crc_update(CRC_32C, crc, span_make(chunk, n));
		at += n;
	}
	if (crc != sum_at(sums, block))
		return err_set(e, ERR_CORRUPT, "stored bytes differ from what was written");
	return 1;
}

// ---- what was seen -------------------------------------------------------------------------------------

enum { SEEN_WORDS = 1 << 20 }; // of 64 files each: 8 MiB, of which only touched pages exist

struct seen {
	_Atomic uint64_t words[SEEN_WORDS];
};

struct seen *seen_new(void)
{
	return mem_zalloc(sizeof(struct seen));
}

void seen_free(struct seen *s)
{
	mem_free(s);
}

bool seen_has(const struct seen *s, int64_t file)
{
	return atomic_load_explicit(&s->words[file / 64 % SEEN_WORDS], memory_order_relaxed) >>
		       file % 64 &
	       1;
}

void seen_add(struct seen *s, int64_t file)
{
	atomic_fetch_or_explicit(&s->words[file / 64 % SEEN_WORDS], UINT64_C(1) << file % 64,
				 memory_order_relaxed);
}

// ---- what is known to be damaged -----------------------------------------------------------------------

struct mark {
	int64_t file;
	bool bad;
	int changed;
};

static int mark_in(struct db_conn *c, void *arg, struct err *e)
{
	struct mark *m = arg;

	m->changed = db_exec(c, "UPDATE files SET bad=?2 WHERE id=?1 AND bad<>?2",
			     DB_ARGS(db_int(m->file), db_int(m->bad)), e);
	return m->changed < 0 ? -1 : 0;
}

static void name_victims(struct store *s, int64_t file)
{
	struct err e = { 0 };
	struct db_conn *c = db_reader(s->db, &e);
	auto_query struct db_stmt *q =
		db_query(c,
			 "SELECT b.name,o.key,o.version FROM objects o JOIN buckets b ON "
			 "b.id=o.bucket WHERE o.storage=1 AND o.content IN "
			 "(SELECT content FROM segments WHERE file=?1) LIMIT 10",
			 DB_ARGS(db_int(file)), &e);

	while (q && db_step(q, &e) > 0)
		log_error("store", "damaged: " SPAN_FMT "/" SPAN_FMT " (version %lld)",
			  SPAN_ARG(db_col_span(q, 0)), SPAN_ARG(db_col_span(q, 1)),
			  (long long)db_col_int(q, 2));
}

int blocks_mark(struct store *s, int64_t file, bool bad, struct err *e)
{
	struct mark m = { .file = file, .bad = bad };

	if (db_write(s->db, mark_in, &m, e) < 0)
		return -1;
	if (m.changed && bad) {
		atomic_fetch_add(&s->bad_files, 1);
		name_victims(s, file);
	} else if (m.changed) {
		atomic_fetch_sub(&s->bad_files, 1);
	}
	return m.changed;
}
