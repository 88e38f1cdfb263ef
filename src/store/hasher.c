// SPDX-License-Identifier: Apache-2.0
#include "store/hasher.h"

#include "base/file.h"
#include "base/lock.h"
#include "base/mem.h"

#include <unistd.h>

enum {
	CHUNK = 64 << 10,
	SIDE = DIGEST_SIDE_BY_SIDE,
	PIECES_MAX = 32,
	THREADS_MAX = 4,
	CORES_A_THREAD = 4
};

struct hasher {
	pthread_mutex_t lock; // guards what follows and the jobs, but for the md5 of busy ones
	pthread_cond_t work;  // the queue got a job, or stop
	pthread_cond_t done;  // a job is not busy any more
	struct hash_job *head, **tail;
	struct hash_piece *spare; // kept while there are jobs
	unsigned jobs, held;	  // begun and not dropped; pieces that they have
	bool stop;
	pthread_t threads[THREADS_MAX];
	unsigned thread_count;
};

static bool ready(const struct hash_job *j)
{
	uint64_t pending = j->written - j->done;

	return !j->failed && pending && (j->ending || pending >= CHUNK);
}

// With the lock held.
static void enqueue(struct hasher *h, struct hash_job *j)
{
	if (j->queued || j->busy || !ready(j))
		return;
	j->queued = true;
	j->next = NULL;
	*h->tail = j;
	h->tail = &j->next;
	pthread_cond_signal(&h->work);
}

// With the lock held: what comes next, from memory if it is there.
static void plan(struct hash_job *j)
{
	struct hash_piece *p = j->pieces;
	uint64_t end = !p ? j->written : j->done < p->at ? p->at : p->at + p->n;

	j->bytes = p && j->done >= p->at ? p->bytes + (j->done - p->at) : NULL;
	j->todo = end - j->done < CHUNK ? end - j->done : CHUNK;
}

// With the lock held.
static void spare_piece(struct hasher *h, struct hash_piece *p)
{
	if (!h->jobs) {
		mem_free(p);
		return;
	}
	p->n = 0;
	p->next = h->spare;
	h->spare = p;
}

// With the lock held.
static void drop_pieces(struct hasher *h, struct hash_job *j, uint64_t until)
{
	while (j->pieces && j->pieces->at + j->pieces->n <= until) {
		struct hash_piece *p = j->pieces;

		j->pieces = p->next;
		h->held--;
		spare_piece(h, p);
	}
	if (!j->pieces)
		j->tail = &j->pieces;
}

// With the lock held.
static size_t take(struct hasher *h, struct hash_job *out[static SIDE])
{
	size_t n = 0;

	for (; h->head && n < SIDE; n++) {
		struct hash_job *j = h->head;

		h->head = j->next;
		j->queued = false;
		j->busy = true;
		plan(j);
		out[n] = j;
	}
	if (!h->head)
		h->tail = &h->head;
	return n;
}

static bool read_chunk(struct hash_job *j, char *to)
{
	ssize_t got;

	if (j->bytes)
		return true;
	got = file_pread_full(j->fd, to, (size_t)j->todo, (off_t)j->done, &j->err);
	j->bytes = to;
	if (got >= 0 && (uint64_t)got < j->todo)
		err_set(&j->err, ERR_IO, "a file became shorter while it was written");
	return got >= 0 && (uint64_t)got == j->todo;
}

// Full chunks go side by side, the ends of files alone.
static void compute(struct hash_job *const jobs[], size_t n, char (*buf)[CHUNK])
{
	const unsigned char *bytes[SIDE];
	struct digest *sums[SIDE];
	size_t full = 0;

	for (size_t i = 0; i < n; i++) {
		struct hash_job *j = jobs[i];

		if (!read_chunk(j, buf[i])) {
			j->todo = 0;
			j->bad = true;
		} else if (j->todo == CHUNK) {
			bytes[full] = (const unsigned char *)j->bytes;
			sums[full++] = &j->md5;
		} else {
			digest_update(&j->md5, span_make(j->bytes, (size_t)j->todo));
		}
	}
	if (full)
		digest_update_md5s(sums, bytes, CHUNK, full);
}

static void *hasher_main(void *arg)
{
	struct hasher *h = arg;
	auto_free char(*buf)[CHUNK] = mem_alloc(SIDE * sizeof(*buf));
	struct hash_job *jobs[SIDE];
	size_t n;

	pthread_mutex_lock(&h->lock);
	while (!h->stop) {
		n = take(h, jobs);
		if (!n) {
			pthread_cond_wait(&h->work, &h->lock);
			continue;
		}
		pthread_mutex_unlock(&h->lock);
		compute(jobs, n, buf);
		pthread_mutex_lock(&h->lock);
		for (size_t i = 0; i < n; i++) {
			jobs[i]->done += jobs[i]->todo;
			drop_pieces(h, jobs[i], jobs[i]->done);
			jobs[i]->failed |= jobs[i]->bad;
			jobs[i]->busy = false;
			enqueue(h, jobs[i]);
		}
		pthread_cond_broadcast(&h->done);
	}
	pthread_mutex_unlock(&h->lock);
	return NULL;
}

struct hasher *hasher_new(void)
{
	struct hasher *h = mem_zalloc(sizeof(*h));
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	h->tail = &h->head;
	pthread_mutex_init(&h->lock, NULL);
	pthread_cond_init(&h->work, NULL);
	pthread_cond_init(&h->done, NULL);
	h->thread_count = cores / CORES_A_THREAD < 1		 ? 1
			  : cores / CORES_A_THREAD > THREADS_MAX ? THREADS_MAX
								 : (unsigned)cores / CORES_A_THREAD;
	for (unsigned i = 0; i < h->thread_count; i++)
		lock_thread_start(&h->threads[i], "store-hasher", hasher_main, h);
	return h;
}

void hasher_free(struct hasher *h)
{
	if (!h)
		return;
	pthread_mutex_lock(&h->lock);
	check(!h->head);
	h->stop = true;
	pthread_cond_broadcast(&h->work);
	pthread_mutex_unlock(&h->lock);
	for (unsigned i = 0; i < h->thread_count; i++)
		pthread_join(h->threads[i], NULL);
	pthread_cond_destroy(&h->work);
	pthread_cond_destroy(&h->done);
	pthread_mutex_destroy(&h->lock);
	mem_free(h);
}

struct hash_piece *hasher_piece(struct hasher *h)
{
	struct hash_piece *p;

	pthread_mutex_lock(&h->lock);
	p = h->spare;
	if (p)
		h->spare = p->next;
	pthread_mutex_unlock(&h->lock);
	if (!p) {
		p = mem_alloc(sizeof(*p));
		p->n = 0;
	}
	return p;
}

void hasher_piece_free(struct hasher *h, struct hash_piece *p)
{
	if (!p)
		return;
	auto_lock held = lock_hold(&h->lock);

	spare_piece(h, p);
}

void hasher_begin(struct hasher *h, struct hash_job *j, int fd)
{
	auto_lock held = lock_hold(&h->lock);

	*j = (struct hash_job){ .fd = fd, .tail = &j->pieces };
	digest_init(&j->md5, DIGEST_MD5);
	h->jobs++;
}

bool hasher_wrote(struct hasher *h, struct hash_job *j, struct hash_piece *p)
{
	auto_lock held = lock_hold(&h->lock);
	bool taken = h->held < PIECES_MAX;

	if (taken) {
		p->at = j->written;
		p->next = NULL;
		*j->tail = p;
		j->tail = &p->next;
		h->held++;
	}
	j->written += p->n;
	enqueue(h, j);
	return taken;
}

int hasher_end(struct hasher *h, struct hash_job *j, uint8_t out[static DIGEST_MAX], struct err *e)
{
	auto_lock held = lock_hold(&h->lock);

	j->ending = true;
	enqueue(h, j);
	while (j->busy || (!j->failed && j->done < j->written))
		pthread_cond_wait(&h->done, &h->lock);
	if (j->failed) {
		*e = j->err;
		return -1;
	}
	digest_final(&j->md5, out);
	return 0;
}

void hasher_drop(struct hasher *h, struct hash_job *j)
{
	auto_lock held = lock_hold(&h->lock);

	if (j->queued) {
		struct hash_job **at = &h->head;

		while (*at != j)
			at = &(*at)->next;
		*at = j->next;
		if (h->tail == &j->next)
			h->tail = at;
		j->queued = false;
	}
	j->failed = true; // nothing more is begun
	while (j->busy)
		pthread_cond_wait(&h->done, &h->lock);
	drop_pieces(h, j, UINT64_MAX);
	if (--h->jobs)
		return;
	while (h->spare) {
		struct hash_piece *p = h->spare;

		h->spare = p->next;
		mem_free(p);
	}
}
