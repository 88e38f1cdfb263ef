// SPDX-License-Identifier: Apache-2.0
#include "db/db.h"

#include "base/lock.h"
#include "base/log.h"
#include "base/mem.h"
#include "db/conn.h"
#include "db/reserve.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

enum {
	WAL_SOFT = 64 << 20,
	WAL_HARD = 512 << 20,
	WAL_PASSIVE = 4 << 20, // the checkpoint thread starts above this
	BATCH_MAX = 512,
	LAZY_MS = 10,
	RESERVE = 64 << 20,
	HOOKS_MAX = 8,
	SEQUENCES_MAX = 8,
	SEQUENCE_BLOCK = 1024,
};

// Numbers of one sequence that this process may still hand out. Writer thread only.
struct sequence {
	char name[16];
	int64_t next, end;
};

// One of the two.
struct hook {
	void (*committed)(void *owner);
	void (*ended)(void *owner, uint64_t moment);
	void *owner;
};

struct reader {
	struct reader *next;
	struct db_conn conn;
};

struct db {
	struct db_options o;
	char *path;
	struct db_conn writer, checkpointer;
	struct sequence sequences[SEQUENCES_MAX];
	bool reserved; // the running request reserved a block
	struct reserve reserve;

	pthread_mutex_t lock; // guards what follows
	pthread_cond_t work;  // the queue got a request, or stop
	struct db_request *head, **tail;
	size_t waiting;	    // requests in the queue that are not lazy
	int64_t lazy_since; // arrival of the oldest lazy request
	bool stop, writer_done;
	_Atomic uint64_t wal_bytes;
	_Atomic bool damaged;
	pthread_cond_t checkpoint; // the log grew, or stop

	struct hook hooks[HOOKS_MAX];
	size_t hook_count;
	_Atomic uint64_t moment; // transactions that ended
	struct db_figures figures;

	pthread_key_t key; // this thread's struct reader
	pthread_mutex_t readers_lock;
	struct reader *readers;
	pthread_t writer_thread, checkpoint_thread;
};

// ---- opening -------------------------------------------------------------------------------------------

// SQLite needs working locks and shared memory; these kinds (linux/magic.h and the kernels' own) lack them.
static const struct {
	unsigned long magic;
	const char *name;
} network_kinds[] = {
	{ 0x6969, "NFS" },	{ 0xff534d42, "CIFS" },	  { 0xfe534d42, "SMB2" },
	{ 0x517b, "SMB" },	{ 0x5346414f, "AFS" },	  { 0x6b414653, "kAFS" },
	{ 0x00c36400, "Ceph" }, { 0x01021997, "9p" },	  { 0x0bd00bd0, "Lustre" },
	{ 0x73757245, "Coda" }, { 0x19830326, "BeeGFS" }, { 0x47504653, "GPFS" },
};

static int refuse_network(const char *path, struct err *e)
{
	const char *slash = strrchr(path, '/');
	auto_free char *dir =
		slash ? mem_strndup(path, (size_t)(slash - path) + 1) : mem_strdup(".");
	struct statfs st;

	if (statfs(dir, &st) < 0)
		return err_sys(e, ERR_IO, errno, "database folder %s", dir);
	for (size_t i = 0; i < ARRAY_LEN(network_kinds); i++)
		if ((unsigned long)st.f_type == network_kinds[i].magic)
			return err_set(
				e, ERR_INVALID,
				"%s is on %s, a network file system, where a database is not "
				"safe: give --db a folder on a local disk (content may stay)",
				dir, network_kinds[i].name);
	return 0;
}

static int run_script(struct db_conn *c, const char *sql, struct err *e)
{
	int rc = sqlite3_exec(c->sqlite, sql, NULL, NULL, NULL);

	return rc == SQLITE_OK ? 0 : db_conn_fail(c, rc, "database", e);
}

static int migrate(struct db *d, struct err *e)
{
	struct db_conn *c = &d->writer;
	int64_t version;

	if (db_get_int(c, "PRAGMA user_version", DB_NO_ARGS, 0, &version, e) < 0)
		return -1;
	if ((size_t)version > d->o.migration_count)
		return err_set(
			e, ERR_INVALID,
			"the database has schema %d, this program knows %zu: use a newer program",
			(int)version, d->o.migration_count);
	for (; (size_t)version < d->o.migration_count; version++) {
		auto_free char *sql =
			mem_printf("BEGIN IMMEDIATE; %s; PRAGMA user_version=%d; COMMIT",
				   d->o.migrations[version], (int)version + 1);

		if (run_script(c, sql, e) < 0) {
			sqlite3_exec(c->sqlite, "ROLLBACK", NULL, NULL, NULL);
			return err_wrap(e, "schema step %d", (int)version + 1);
		}
	}
	return 0;
}

static int wal_grew(void *arg, sqlite3 *s unused_arg, const char *name unused_arg, int frames)
{
	struct db *d = arg;
	bool was_small = d->wal_bytes < WAL_PASSIVE;

	d->wal_bytes = (uint64_t)frames * 4120;
	if (was_small && d->wal_bytes >= WAL_PASSIVE)
		pthread_cond_signal(&d->checkpoint);
	return SQLITE_OK;
}

static int prepare_file(struct db *d, struct err *e)
{
	struct db_conn *c = &d->writer;

	// auto_vacuum and page_size only take effect before the first table.
	if (run_script(
		    c,
		    "PRAGMA page_size=4096; PRAGMA auto_vacuum=INCREMENTAL;"
		    "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=0",
		    e) < 0)
		return -1;
	sqlite3_wal_hook(c->sqlite, wal_grew, d);
	return migrate(d, e);
}

static void close_reader(void *arg)
{
	struct reader *r = arg;
	struct db *d = r->conn.db;

	pthread_mutex_lock(&d->readers_lock);
	for (struct reader **at = &d->readers; *at; at = &(*at)->next)
		if (*at == r) {
			*at = r->next;
			break;
		}
	pthread_mutex_unlock(&d->readers_lock);
	db_conn_release(&r->conn);
	mem_free(r);
}

static pthread_once_t configured = PTHREAD_ONCE_INIT;

// Counting its memory costs SQLite a lock of the whole process for each allocation.
static void configure(void)
{
	sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

static void *writer_main(void *arg);
static void *checkpoint_main(void *arg);

int db_open(struct db **out, const struct db_options *o, struct err *e)
{
	struct db *d;

	pthread_once(&configured, configure);
	if (refuse_network(o->path, e) < 0)
		return -1;
	d = mem_zalloc(sizeof(*d));
	d->o = *o;
	d->o.wal_soft_bytes = o->wal_soft_bytes ? o->wal_soft_bytes : WAL_SOFT;
	d->o.wal_hard_bytes = o->wal_hard_bytes ? o->wal_hard_bytes : WAL_HARD;
	d->o.batch_max = o->batch_max ? o->batch_max : BATCH_MAX;
	d->o.lazy_delay_ms = o->lazy_delay_ms ? o->lazy_delay_ms : LAZY_MS;
	d->o.reserve_bytes = o->reserve_bytes ? o->reserve_bytes : RESERVE;
	d->path = mem_strdup(o->path);
	d->tail = &d->head;
	pthread_mutex_init(&d->lock, NULL);
	pthread_mutex_init(&d->readers_lock, NULL);
	lock_cond_init(&d->work);
	lock_cond_init(&d->checkpoint);
	check(pthread_key_create(&d->key, close_reader) == 0);
	mode_t mask = umask(0077);
	int bad = db_conn_open(&d->writer, d, d->path, true, e) < 0 || prepare_file(d, e) < 0 ||
		  db_conn_open(&d->checkpointer, d, d->path, true, e) < 0;

	d->reserve.fd = -1;
	if (!bad && !o->no_reserve)
		reserve_open(&d->reserve, d->path, d->o.reserve_bytes);
	umask(mask);
	if (bad) {
		db_conn_release(&d->writer);
		pthread_key_delete(d->key);
		mem_free(d->path);
		mem_free(d);
		return err_wrap(e, "database %s", o->path);
	}
	lock_thread_start(&d->writer_thread, "db-writer", writer_main, d);
	lock_thread_start(&d->checkpoint_thread, "db-checkpoint", checkpoint_main, d);
	*out = d;
	return 0;
}

void db_close(struct db *d)
{
	if (!d)
		return;
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
	pthread_key_delete(d->key);
	while (d->readers) {
		struct reader *r = d->readers;

		d->readers = r->next;
		db_conn_release(&r->conn);
		mem_free(r);
	}
	db_conn_release(&d->checkpointer);
	sqlite3_wal_checkpoint_v2(d->writer.sqlite, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
	db_conn_release(&d->writer);
	reserve_close(&d->reserve);
	pthread_cond_destroy(&d->work);
	pthread_cond_destroy(&d->checkpoint);
	pthread_mutex_destroy(&d->lock);
	pthread_mutex_destroy(&d->readers_lock);
	mem_free(d->path);
	mem_free(d);
}

static int copy_pages(struct db_conn *from, struct db_conn *to, struct err *e)
{
	sqlite3_backup *b = sqlite3_backup_init(to->sqlite, "main", from->sqlite, "main");
	int rc;

	if (!b)
		return db_conn_fail(to, sqlite3_errcode(to->sqlite), "copy", e);
	rc = sqlite3_backup_step(b, -1);
	sqlite3_backup_finish(b);
	return rc == SQLITE_DONE ? 0 : db_conn_fail(to, rc, "copy", e);
}

const struct db_figures *db_figures(const struct db *d)
{
	return &d->figures;
}

int db_snapshot(const char *path, const char *to, struct err *e)
{
	struct db_conn from = { 0 }, copy = { 0 };
	mode_t mask = umask(0077);
	int bad;

	pthread_once(&configured, configure);
	bad = db_conn_open(&from, NULL, path, false, e) < 0 ||
	      db_conn_open(&copy, NULL, to, true, e) < 0 || copy_pages(&from, &copy, e) < 0;
	umask(mask);
	db_conn_release(&copy);
	db_conn_release(&from);
	return bad ? err_wrap(e, "database %s", path) : 0;
}

const char *db_path(const struct db *d)
{
	return d->path;
}

struct db_conn *db_reader(struct db *d, struct err *e)
{
	struct reader *r = pthread_getspecific(d->key);

	if (r)
		return &r->conn;
	r = mem_zalloc(sizeof(*r));
	if (db_conn_open(&r->conn, d, d->path, false, e) < 0) {
		mem_free(r);
		return NULL;
	}
	pthread_mutex_lock(&d->readers_lock);
	r->next = d->readers;
	d->readers = r;
	pthread_mutex_unlock(&d->readers_lock);
	pthread_setspecific(d->key, r);
	return &r->conn;
}

static void section_begin(struct db_conn *c)
{
	c->moment = atomic_load(&c->db->moment);
	c->begun = false;
}

static void section_end(struct db_conn *c)
{
	struct err ignored = { 0 };

	if (c->begun && !sqlite3_get_autocommit(c->sqlite))
		db_exec(c, "COMMIT", DB_NO_ARGS, &ignored);
}

void db_read_begin(struct db *d)
{
	struct err ignored = { 0 };
	struct db_conn *c = db_reader(d, &ignored);

	if (c && c->sections++ == 0)
		section_begin(c);
}

void db_read_end(struct db *d)
{
	struct err ignored = { 0 };
	struct db_conn *c = db_reader(d, &ignored);

	if (c && c->sections && --c->sections == 0)
		section_end(c);
}

void db_read_renew(struct db *d)
{
	struct err ignored = { 0 };
	struct db_conn *c = db_reader(d, &ignored);

	if (!c || !c->sections)
		return;
	section_end(c);
	section_begin(c);
}

uint64_t db_moment(struct db_conn *c)
{
	return c->sections ? c->moment : atomic_load(&c->db->moment);
}

// ---- the writer ----------------------------------------------------------------------------------------

struct hooking {
	struct db *db;
	struct hook hook;
};

// On the writer thread, where hooks run.
static int hook(struct db_conn *c unused_arg, void *arg, struct err *e unused_arg)
{
	struct hooking *h = arg;

	check(h->db->hook_count < HOOKS_MAX);
	h->db->hooks[h->db->hook_count++] = h->hook;
	return 0;
}

// The request itself has no rows to write, so it fails only when the database takes no writes at all.
static void change_hooks(struct db *d, db_write_fn fn, struct hook what)
{
	struct hooking h = { d, what };
	struct err e = { 0 };

	if (db_write(d, fn, &h, &e) < 0)
		log_warn("db", "hooks: %s", e.msg);
}

void db_on_commit(struct db *d, void (*fn)(void *owner), void *owner)
{
	change_hooks(d, hook, (struct hook){ .committed = fn, .owner = owner });
}

void db_on_end(struct db *d, void (*fn)(void *owner, uint64_t moment), void *owner)
{
	change_hooks(d, hook, (struct hook){ .ended = fn, .owner = owner });
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
	change_hooks(d, unhook, (struct hook){ .owner = owner });
}

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

// The log outgrew what the checkpoint thread could copy beside the readers: wait for them once.
static void restart_log(struct db *d)
{
	// Stays -1 when it could not even begin, as beside a slow checkpoint of the other thread.
	int left = -1;

	sqlite3_wal_checkpoint_v2(d->writer.sqlite, NULL, SQLITE_CHECKPOINT_RESTART, &left, NULL);
	if (left >= 0 && d->wal_bytes > d->o.wal_soft_bytes)
		d->wal_bytes = (uint64_t)left * 4120;
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
		if (d->writer_done || d->wal_bytes < WAL_PASSIVE)
			continue;
		pthread_mutex_unlock(&d->lock);
		sqlite3_wal_checkpoint_v2(d->checkpointer.sqlite, NULL, SQLITE_CHECKPOINT_PASSIVE,
					  NULL, NULL);
		pthread_mutex_lock(&d->lock);
	}
	pthread_mutex_unlock(&d->lock);
	return NULL;
}

// ---- blocking calls ------------------------------------------------------------------------------------

struct waiter {
	struct db_request request; // first: `done` gets its address
	db_write_fn fn;
	void *arg;
	bool wait_run; // wake when it ran, not when it is on disk
	pthread_mutex_t lock;
	pthread_cond_t over;
	bool finished;
	int result;
	struct err *e;
};

static void finish(struct waiter *w, int result, const struct err *e)
{
	pthread_mutex_lock(&w->lock);
	if (!w->finished) {
		w->finished = true;
		w->result = result;
		if (result < 0)
			*w->e = *e;
		pthread_cond_signal(&w->over);
	}
	pthread_mutex_unlock(&w->lock);
}

static void waiter_done(struct db_request *r, int result, const struct err *e)
{
	finish((struct waiter *)r, result, e);
}

static void wait_for(struct waiter *w)
{
	pthread_mutex_lock(&w->lock);
	while (!w->finished)
		pthread_cond_wait(&w->over, &w->lock);
	pthread_mutex_unlock(&w->lock);
}

int db_write(struct db *d, db_write_fn fn, void *arg, struct err *e)
{
	struct waiter w = { .request = { .fn = fn, .arg = arg, .done = waiter_done }, .e = e };

	pthread_mutex_init(&w.lock, NULL);
	pthread_cond_init(&w.over, NULL);
	db_submit(d, &w.request);
	wait_for(&w);
	pthread_cond_destroy(&w.over);
	pthread_mutex_destroy(&w.lock);
	return w.result;
}

static int nothing(struct db_conn *c unused_arg, void *arg unused_arg, struct err *e unused_arg)
{
	return 0;
}

void db_settle(struct db *d)
{
	struct err e = { 0 };

	if (db_write(d, nothing, NULL, &e) < 0)
		return; // so did those before it
}

// The request outlives the caller (its commit comes later), so it lives on the heap; the caller's part is
// told apart by `waiting`.
struct lazy {
	struct db_request request;
	struct waiter *waiting;
	db_write_fn fn;
	void *arg;
};

static int lazy_run(struct db_conn *c, void *arg, struct err *e)
{
	struct lazy *z = arg;
	struct waiter *w = z->waiting;
	int result = z->fn(c, z->arg, e);

	z->waiting = NULL;
	finish(w, result, e);
	return result;
}

static void lazy_done(struct db_request *r, int result, const struct err *e)
{
	struct lazy *z = (struct lazy *)r;

	if (z->waiting) // the batch failed before it ran
		finish(z->waiting, result, e);
	else if (result < 0 && e->code != ERR_BUSY && e->code != ERR_NOT_FOUND &&
		 e->code != ERR_CONFLICT)
		log_warn("db", "a lazy write did not reach the disk: %s", e->msg);
	mem_free(z);
}

int db_write_lazy(struct db *d, db_write_fn fn, void *arg, struct err *e)
{
	struct waiter w = { .e = e };
	struct lazy *z = mem_zalloc(sizeof(*z));

	pthread_mutex_init(&w.lock, NULL);
	pthread_cond_init(&w.over, NULL);
	*z = (struct lazy){ .request = { .fn = lazy_run, .arg = z, .done = lazy_done },
			    .waiting = &w,
			    .fn = fn,
			    .arg = arg };
	db_submit(d, &z->request);
	wait_for(&w);
	pthread_cond_destroy(&w.over);
	pthread_mutex_destroy(&w.lock);
	return w.result;
}

// ---- sequences -----------------------------------------------------------------------------------------

int db_next(struct db_conn *c, const char *name, int64_t *out, struct err *e)
{
	struct db *d = c->db;
	struct sequence *s = d->sequences;

	while (s < d->sequences + SEQUENCES_MAX && s->name[0] && strcmp(s->name, name) != 0)
		s++;
	check(s < d->sequences + SEQUENCES_MAX);
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
