// SPDX-License-Identifier: Apache-2.0
#include "db/db.h"

#include "base/log.h"
#include "base/mem.h"
#include "db/private.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

enum {
	WAL_SOFT = 64 << 20,
	WAL_HARD = 512 << 20,
	BATCH_MAX = 512,
	LAZY_MS = 10,
	RESERVE = 64 << 20,
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
	bool was_small = d->wal_bytes < DB_WAL_PASSIVE;

	d->wal_bytes = (uint64_t)frames * DB_WAL_FRAME;
	if (was_small && d->wal_bytes >= DB_WAL_PASSIVE)
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

static pthread_once_t configured = PTHREAD_ONCE_INIT;

// Counting its memory costs SQLite a lock of the whole process for each allocation.
static void configure(void)
{
	sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

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
	check(pthread_key_create(&d->key, db_reader_close) == 0);
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
	db_writer_start(d);
	*out = d;
	return 0;
}

void db_close(struct db *d)
{
	if (!d)
		return;
	db_writer_stop(d);
	pthread_key_delete(d->key);
	db_readers_release(d);
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
