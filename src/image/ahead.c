// SPDX-License-Identifier: Apache-2.0
#include "image/ahead.h"

#include "base/file.h"
#include "base/lock.h"
#include "base/mem.h"
#include "codec/digest.h"
#include "codec/text.h"

#include <stdatomic.h>
#include <zlib.h>

enum { CHUNK = 256 << 10, SLOTS = 8, GZIP_BITS = 15 + 16 };

struct slot {
	char *bytes;
	size_t n;
};

struct ahead {
	int fd;
	pthread_t thread;
	pthread_mutex_t lock; // guards what follows
	pthread_cond_t wake;
	unsigned made, taken; // slots, ever
	bool over;	      // no more will be made
	struct err damage;    // … because what is packed is damaged
	bool ended;	      // the file was read; `err` tells whether that is well
	struct err err;
	bool holding; // the taker looks at slot `taken`
	// The taker's wishes:
	atomic_bool skim; // the digest is all that is wanted still
	atomic_bool stop; // nothing is
	// The thread's own:
	struct digest digest;
	z_stream z;
	// BETWEEN: one packed part has ended, another may follow.
	enum { PLAIN, GZIP, GZIP_BETWEEN, OVER } form;
	struct slot slots[SLOTS];
};

// ---- the thread ----------------------------------------------------------------------------------------

// A slot to fill, or NULL when nobody wants it.
static struct slot *free_slot(struct ahead *a)
{
	auto_lock held = lock_hold(&a->lock);

	while (a->made - a->taken == SLOTS && !a->skim)
		lock_wait(&a->wake, &a->lock, 0);
	return a->skim ? NULL : &a->slots[a->made % SLOTS];
}

static void hand_over(struct ahead *a, size_t n)
{
	auto_lock held = lock_hold(&a->lock);

	a->slots[a->made % SLOTS].n = n;
	a->made++;
	pthread_cond_broadcast(&a->wake);
}

// Whoever takes hears of damage when it gets there; the file's digest needs the rest all the same.
static void no_more(struct ahead *a, const char *damage)
{
	auto_lock held = lock_hold(&a->lock);

	if (damage)
		err_set(&a->damage, ERR_INVALID, "the archive cannot be read: %s", damage);
	a->over = true;
	a->form = OVER;
	pthread_cond_broadcast(&a->wake);
}

static void pass_plain(struct ahead *a, struct span bytes)
{
	struct slot *s = free_slot(a);

	if (!s)
		return;
	memcpy(s->bytes, bytes.p, bytes.n);
	hand_over(a, bytes.n);
}

// What follows a packed part is another one, or nothing of ours.
static bool begins_part(struct span rest)
{
	return (unsigned char)rest.p[0] == 0x1f;
}

static void begin_next(struct ahead *a)
{
	if (!begins_part(span_make(a->z.next_in, a->z.avail_in))) {
		no_more(a, NULL);
		return;
	}
	check(inflateReset(&a->z) == Z_OK);
	a->form = GZIP;
}

// Unpacks into one slot. False when it needs more bytes, or none of it is wanted.
static bool fill_slot(struct ahead *a)
{
	struct slot *s = free_slot(a);
	int rc;

	if (!s)
		return false;
	a->z.next_out = (unsigned char *)s->bytes;
	a->z.avail_out = CHUNK;
	rc = inflate(&a->z, Z_NO_FLUSH);
	if (a->z.avail_out < CHUNK)
		hand_over(a, CHUNK - a->z.avail_out);
	if (rc == Z_STREAM_END)
		a->form = GZIP_BETWEEN;
	else if (rc != Z_OK && rc != Z_BUF_ERROR)
		no_more(a, "damaged gzip");
	return a->z.avail_in || !a->z.avail_out;
}

static void pass_gzip(struct ahead *a, struct span bytes)
{
	bool more = true;

	a->z.next_in = (unsigned char *)bytes.p;
	a->z.avail_in = (unsigned)bytes.n;
	while (more && a->form != OVER) {
		if (a->form == GZIP)
			more = fill_slot(a);
		else if (a->z.avail_in)
			begin_next(a);
		else
			more = false;
	}
}

static void take_chunk(struct ahead *a, struct span bytes, bool first)
{
	digest_update(&a->digest, bytes);
	if (first && bytes.n > 2 && begins_part(bytes) && (unsigned char)bytes.p[1] == 0x8b)
		a->form = GZIP;
	if (a->form == PLAIN)
		pass_plain(a, bytes);
	else
		pass_gzip(a, bytes);
}

static int read_on(struct ahead *a, char *chunk, struct err *e)
{
	for (bool first = true; !a->stop; first = false) {
		ssize_t n = file_read_full(a->fd, chunk, CHUNK, e);

		if (n < 0)
			return err_wrap(e, "read archive");
		if (n == 0)
			break;
		take_chunk(a, span_make(chunk, (size_t)n), first);
	}
	if (a->form != OVER)
		no_more(a, a->form == GZIP ? "it is cut off" : NULL);
	return 0;
}

static void *thread_main(void *arg)
{
	struct ahead *a = arg;
	auto_free char *chunk = mem_alloc(CHUNK);
	struct err e = { 0 };
	int bad = read_on(a, chunk, &e);

	auto_lock held = lock_hold(&a->lock);

	a->ended = true;
	if (bad < 0)
		a->err = a->damage = e;
	a->over = true;
	pthread_cond_broadcast(&a->wake);
	return NULL;
}

// ---- who takes -----------------------------------------------------------------------------------------

struct ahead *ahead_open(int fd)
{
	struct ahead *a = mem_zalloc(sizeof(*a));

	a->fd = fd;
	for (size_t i = 0; i < SLOTS; i++)
		a->slots[i].bytes = mem_alloc(CHUNK);
	check(inflateInit2(&a->z, GZIP_BITS) == Z_OK);
	digest_init(&a->digest, DIGEST_SHA256);
	pthread_mutex_init(&a->lock, NULL);
	lock_cond_init(&a->wake);
	lock_thread_start(&a->thread, "image-ahead", thread_main, a);
	return a;
}

static void wish(struct ahead *a, atomic_bool *what)
{
	auto_lock held = lock_hold(&a->lock);

	a->skim = true;
	*what = true;
	pthread_cond_broadcast(&a->wake);
}

void ahead_close(struct ahead *a)
{
	if (!a)
		return;
	wish(a, &a->stop);
	pthread_join(a->thread, NULL);
	inflateEnd(&a->z);
	for (size_t i = 0; i < SLOTS; i++)
		mem_free(a->slots[i].bytes);
	pthread_cond_destroy(&a->wake);
	pthread_mutex_destroy(&a->lock);
	mem_free(a);
}

int ahead_next(struct ahead *a, struct span *out, struct err *e)
{
	const struct slot *s;
	auto_lock held = lock_hold(&a->lock);

	if (a->holding) {
		a->taken++;
		a->holding = false;
		pthread_cond_broadcast(&a->wake);
	}
	while (a->made == a->taken && !a->over)
		lock_wait(&a->wake, &a->lock, 0);
	*out = span_make("", 0);
	if (a->made == a->taken) {
		if (a->damage.code)
			*e = a->damage;
		return a->damage.code ? -1 : 0;
	}
	s = &a->slots[a->taken % SLOTS];
	*out = span_make(s->bytes, s->n);
	a->holding = true;
	return 0;
}

int ahead_finish(struct ahead *a, char digest[static 65], struct err *e)
{
	uint8_t sum[DIGEST_MAX];

	wish(a, &a->skim);
	auto_lock held = lock_hold(&a->lock);

	while (!a->ended)
		lock_wait(&a->wake, &a->lock, 0);
	if (a->err.code) {
		*e = a->err;
		return -1;
	}
	digest_final(&a->digest, sum);
	text_hex(digest, sum, 32);
	return 0;
}
