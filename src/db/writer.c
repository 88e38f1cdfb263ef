// SPDX-License-Identifier: Apache-2.0
// writer: requests of all threads, many to a transaction; and the log of changes, copied back beside them.
#include "base/clock.h"
#include "base/log.h"
#include "db/private.h"

enum { SEQUENCE_BLOCK = 1024 };

// ---- hooks ---------------------------------------------------------------------------------------------

struct hooking {
	struct db *db;
	struct db_hook hook;
};

// On the writer thread, where hooks run.
static int hook(struct db_conn *c unused_arg, void *arg, struct err *e unused_arg)
{
	struct hooking *h = arg;

	check(h->db->hook_count < DB_HOOKS_MAX);
	h->db->hooks[h->db->hook_count++] = h->hook;
	return 0;
}

// The request itself has no rows to write, so it fails only when the database takes no writes at all.
static void change_hooks(struct db *d, db_write_fn fn, struct db_hook what)
{
	struct hooking h = { d, what };
	struct err e = { 0 };

	if (db_write(d, fn, &h, &e) < 0)
		log_warn("db", "hooks: %s", e.msg);
}

void db_on_commit(struct db *d, void (*fn)(void *owner), void *owner)
{
	change_hooks(d, hook, (struct db_hook){ .committed = fn, .owner = owner });
}

void db_on_end(struct db *d, void (*fn)(void *owner, uint64_t moment), void *owner)
{
	change_hooks(d, hook, (struct db_hook){ .ended = fn, .owner = owner });
}

static int unhook(struct db_conn *c unused_arg, void *arg, struct err *e unused_arg)
{
	struct hooking *u = arg;
	struct db *d = u->db;
	size_t kept = 0;

	for (size_t i = 0; i < d->hook_count; i++)
		if (d->hooks[i].owner != u->hook.owner)
			d->hooks[kept++] = d->hooks[i];
	d->hook_count = kept;
	return 0;
}

void db_off_commit(struct db *d, void *owner)
{
	change_hooks(d, unhook, (struct db_hook){ .owner = owner });
}

// ---- batches -------------------------------------------------------------------------------------------

void db_submit(struct db *d, struct db_request *r)
{
	r->next = NULL;
	pthread_mutex_lock(&d->lock);
	check(!d->stop);
	*d->tail = r;
	d->tail = &r->next;
	if (!r->lazy)
		d->waiting++;
	else if (!d->lazy_since)
		d->lazy_since = clock_mono_ns();
	pthread_cond_signal(&d->work);
	pthread_mutex_unlock(&d->lock);
}

// Takes the next batch off the queue, waiting for it; NULL when stopped and empty. A batch holds at most
// batch_max requests. Lazy requests alone wait for company until lazy_delay_ms have passed.
static struct db_request *take_batch(struct db *d)
{
	struct db_request *first, *last;
	size_t n = 1;

	auto_lock held = lock_hold(&d->lock);
	for (;;) {
		int64_t due =
			d->head && !d->waiting ? d->lazy_since + d->o.lazy_delay_ms * NS_PER_MS : 0;

		if (d->head && (d->waiting || d->stop || clock_mono_ns() >= due))
			break;
		if (!d->head && d->stop)
			return NULL;
		lock_wait(&d->work, &d->lock, due);
	}
	first = last = d->head;
	for (;; last = last->next, n++) {
		if (!last->lazy)
			d->waiting--;
		if (!last->next || n == d->o.batch_max)
			break;
	}
	d->head = last->next;
	if (!d->head)
		d->tail = &d->head;
	d->lazy_since = d->head ? clock_mono_ns() : 0;
	last->next = NULL;
	return first;
}

// One request inside the batch's transaction; its failure leaves the others alone.
static void run_request(struct db_conn *c, struct db_request *r)
{
	struct err ignored = { 0 };

	r->err = (struct err){ 0 };
	c->db->reserved = false;
	if (db_exec(c, "SAVEPOINT request", DB_NO_ARGS, &r->err) < 0) {
		r->result = -1;
		return;
	}
	r->result = r->fn(c, r->arg, &r->err);
	if (r->result < 0)
		db_exec(c, "ROLLBACK TO request", DB_NO_ARGS, &ignored);
	if (db_exec(c, "RELEASE request", DB_NO_ARGS, &ignored) < 0 && r->result >= 0) {
		r->err = ignored;
		r->result = -1;
	}
	// A reservation that was rolled back did not happen: its numbers must not be used.
	if (r->result < 0 && c->db->reserved)
		memset(c->db->sequences, 0, sizeof(c->db->sequences));
}

void db_found_damage(struct db *d)
{
	if (d && !atomic_exchange(&d->damaged, true))
		log_error("db", "%s is damaged; writes are refused from now on", d->path);
}

static int may_write(struct db *d, struct err *e)
{
	if (d->damaged)
		return err_set(e, ERR_UNAVAILABLE,
			       "the database is damaged and read-only: restore a backup (oscar "
			       "restore), or run `sqlite3 oscar.db .recover` into a new file");
	if (d->wal_bytes > d->o.wal_hard_bytes)
		return err_set(e, ERR_UNAVAILABLE, "the log of changes is full: try again later");
	return 0;
}

// SQLite ends the whole transaction by itself when the disk is full or fails (sqlite3_get_autocommit(3)): then
// nothing of the batch is left, and what ran next would commit alone.
static int run_requests(struct db_conn *c, struct db_request *batch, struct err *e)
{
	struct db_figures *f = &c->db->figures;
	uint64_t n = 0;
	int64_t start;

	for (struct db_request *r = batch; r; r = r->next, n++) {
		run_request(c, r);
		if (!sqlite3_get_autocommit(c->sqlite))
			continue;
		if (r->result < 0)
			*e = r->err;
		else
			err_set(e, ERR_IO, "the database ended a transaction");
		return -1;
	}
	start = clock_mono_ns();
	if (db_exec(c, "COMMIT", DB_NO_ARGS, e) < 0)
		return -1;
	histogram_add(&f->commit, clock_mono_ns() - start);
	f->requests += n;
	return 0;
}

static int run_transaction(struct db *d, struct db_request *batch, struct err *e)
{
	struct db_conn *c = &d->writer;
	struct err ignored;

	reserve_look(&d->reserve);
	if (may_write(d, e) < 0 || db_exec(c, "BEGIN IMMEDIATE", DB_NO_ARGS, e) < 0)
		return -1;
	if (run_requests(c, batch, e) == 0)
		return 0;
	if (!sqlite3_get_autocommit(c->sqlite))
		db_exec(c, "ROLLBACK", DB_NO_ARGS, &ignored);
	memset(d->sequences, 0, sizeof(d->sequences));
	return -1;
}

static void tell_end(struct db *d)
{
	uint64_t moment = atomic_load(&d->moment) + 1;

	for (size_t i = 0; i < d->hook_count; i++)
		if (d->hooks[i].ended)
			d->hooks[i].ended(d->hooks[i].owner, moment);
	atomic_store(&d->moment, moment);
}

static void run_batch(struct db *d, struct db_request *batch)
{
	struct err e = { 0 };
	bool bad = run_transaction(d, batch, &e) < 0;

	tell_end(d);
	for (struct db_request *r = batch, *next; r; r = next) {
		next = r->next; // `done` may free the request
		if (bad) {
			r->result = -1;
			r->err = e;
		}
		if (r->done)
			r->done(r, r->result, &r->err);
	}
	for (size_t i = 0; !bad && i < d->hook_count; i++)
		if (d->hooks[i].committed)
			d->hooks[i].committed(d->hooks[i].owner);
}

// ---- the threads ---------------------------------------------------------------------------------------

// The log outgrew what the checkpoint thread could copy beside the readers: wait for them once.
static void restart_log(struct db *d)
{
	// Stays -1 when it could not even begin, as beside a slow checkpoint of the other thread.
	int left = -1;

	sqlite3_wal_checkpoint_v2(d->writer.sqlite, NULL, SQLITE_CHECKPOINT_RESTART, &left, NULL);
	if (left >= 0 && d->wal_bytes > d->o.wal_soft_bytes)
		d->wal_bytes = (uint64_t)left * DB_WAL_FRAME;
}

static void *writer_main(void *arg)
{
	struct db *d = arg;
	struct db_request *batch;

	while ((batch = take_batch(d))) {
		run_batch(d, batch);
		if (d->wal_bytes > d->o.wal_soft_bytes)
			restart_log(d);
	}
	return NULL;
}

static void *checkpoint_main(void *arg)
{
	struct db *d = arg;

	pthread_mutex_lock(&d->lock);
	while (!d->writer_done) {
		lock_wait(&d->checkpoint, &d->lock, clock_mono_ns() + NS_PER_S);
		if (d->writer_done || d->wal_bytes < DB_WAL_PASSIVE)
			continue;
		pthread_mutex_unlock(&d->lock);
		sqlite3_wal_checkpoint_v2(d->checkpointer.sqlite, NULL, SQLITE_CHECKPOINT_PASSIVE,
					  NULL, NULL);
		pthread_mutex_lock(&d->lock);
	}
	pthread_mutex_unlock(&d->lock);
	return NULL;
}

void db_writer_start(struct db *d)
{
	lock_thread_start(&d->writer_thread, "db-writer", writer_main, d);
	lock_thread_start(&d->checkpoint_thread, "db-checkpoint", checkpoint_main, d);
}

void db_writer_stop(struct db *d)
{
	pthread_mutex_lock(&d->lock);
	d->stop = true;
	pthread_cond_broadcast(&d->work);
	pthread_mutex_unlock(&d->lock);
	pthread_join(d->writer_thread, NULL);
	pthread_mutex_lock(&d->lock);
	d->writer_done = true;
	pthread_cond_broadcast(&d->checkpoint);
	pthread_mutex_unlock(&d->lock);
	pthread_join(d->checkpoint_thread, NULL);
}

// ---- sequences -----------------------------------------------------------------------------------------

int db_next(struct db_conn *c, const char *name, int64_t *out, struct err *e)
{
	struct db *d = c->db;
	struct db_sequence *s = d->sequences;

	while (s < d->sequences + DB_SEQUENCES_MAX && s->name[0] && strcmp(s->name, name) != 0)
		s++;
	check(s < d->sequences + DB_SEQUENCES_MAX);
	if (s->next == s->end) {
		int64_t reserved;

		if (db_get_int(c, "SELECT reserved FROM sequences WHERE name=?1",
			       DB_ARGS(db_str(name)), 1, &reserved, e) < 0 ||
		    db_exec(c,
			    "INSERT INTO sequences(name,reserved) VALUES(?1,?2) "
			    "ON CONFLICT(name) DO UPDATE SET reserved=excluded.reserved",
			    DB_ARGS(db_str(name), db_int(reserved + SEQUENCE_BLOCK)), e) < 0)
			return -1;
		snprintf(s->name, sizeof(s->name), "%s", name);
		s->next = reserved;
		s->end = reserved + SEQUENCE_BLOCK;
		d->reserved = true;
	}
	*out = s->next++;
	return 0;
}
