// db: the embedded metadata store: one SQLite database in WAL mode, one writer thread, readers per thread.
// Purpose: "object stored" and "event queued" are one transaction; many waiting writers share one commit.
// Owner: struct db owns its threads and connections. Lifetime: db_close() waits for running requests.
// Threads: db_write, db_submit and db_reader are safe from any thread. A connection handed to a callback
//   is valid inside that callback only; the one of db_reader() belongs to the calling thread.
// Errors: ERR_EXISTS (unique key), ERR_FULL (disk), ERR_CORRUPT, ERR_IO, ERR_BUSY, ERR_UNAVAILABLE
//   (read-only after damage, or the log of changes is over its bound). A request that failed changed nothing.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/err.h"
#include "base/histogram.h"
#include "base/span.h"

#include <stdint.h>

struct db;
struct db_conn;
struct db_stmt;

struct db_options {
	const char *path;
	const char *const *migrations; // script i brings user_version i to i+1
	size_t migration_count;
	uint64_t wal_soft_bytes; // above: the writer pauses for a checkpoint; 0 = 64 MiB
	uint64_t wal_hard_bytes; // above: writes answer ERR_UNAVAILABLE; 0 = 512 MiB
	unsigned batch_max;	 // requests in one commit; 0 = 512
	int64_t lazy_delay_ms; // a request that nobody waits for commits at the latest after this; 0 = 10
	// Held back on the disk for deletes when it is full; 0 = 64 MiB, at most a fiftieth of the disk.
	uint64_t reserve_bytes;
	bool no_reserve;
};

// Opens or makes the database and applies what migrations are missing. ERR_INVALID when the schema is newer
// than this program or the file lies on a network file system; the text says which.
must_check int db_open(struct db **out, const struct db_options *o, struct err *e);
void db_close(struct db *d);

// What was observed since db_open().
struct db_figures {
	struct histogram commit;   // the waits for the disk
	_Atomic uint64_t requests; // in all commits
};
const struct db_figures *db_figures(const struct db *d);

const char *db_path(const struct db *d);

// Copies a database, of one moment, into a new file; whoever writes to it goes on meanwhile.
must_check int db_snapshot(const char *path, const char *to, struct err *e);

// ---- writing -------------------------------------------------------------------------------------------

// Runs on the writer thread inside a transaction. Failing rolls back this request alone.
typedef int (*db_write_fn)(struct db_conn *c, void *arg, struct err *e);

// One request: the caller fills fn, arg and perhaps done, and keeps the struct alive until `done` (or until
// db_write returned).
struct db_request {
	db_write_fn fn;
	void *arg;
	// After the commit (or failure), on the writer thread; must be short. `e` is set when failed.
	void (*done)(struct db_request *r, int result, const struct err *e);
	bool lazy; // need not hurry the commit
	// private
	struct db_request *next;
	int result;
	struct err err;
};
void db_submit(struct db *d, struct db_request *r);

// Blocks until the request is committed and on disk.
must_check int db_write(struct db *d, db_write_fn fn, void *arg, struct err *e);

// Blocks until every request that was submitted before has ended, well or not, and its `done` returned.
void db_settle(struct db *d);

// Blocks until the request ran; its commit follows within lazy_delay_ms. For leases and progress, whose loss
// in a crash is harmless.
must_check int db_write_lazy(struct db *d, db_write_fn fn, void *arg, struct err *e);

// Called on the writer thread after each commit from now on. At most eight hooks of both kinds. Waits for the running
// batch.
void db_on_commit(struct db *d, void (*fn)(void *owner), void *owner);
// The same after each transaction, well or not, before anyone hears how it ended. `moment` is the new one: see
// db_moment().
void db_on_end(struct db *d, void (*fn)(void *owner, uint64_t moment), void *owner);
// Forgets an owner's hooks of both kinds; afterwards none of them runs. Waits for the running batch.
void db_off_commit(struct db *d, void *owner);

// ---- reading -------------------------------------------------------------------------------------------

// This thread's own read connection, opened at first use; NULL with *e set when it cannot be. Queries see the
// last commit before the first row; no query may outlive one page of results.
struct db_conn *db_reader(struct db *d, struct err *e);

// Between the two, this thread's queries see one state, that of the first, and take the database's locks once instead
// of each for itself. May be nested: the outermost counts. Short, as above. Failing to begin only means that each query
// stands alone.
void db_read_begin(struct db *d);
void db_read_end(struct db *d);
// Between the two: what is read from now on is of a later moment, for who met something that is gone since.
void db_read_renew(struct db *d);

// Numbers the ends of transactions, from 1. What this connection reads from now on holds everything that was committed
// up to the moment returned, perhaps more. For caches: what was read is good as long as nothing in it was changed at a
// later moment.
uint64_t db_moment(struct db_conn *c);

// ---- statements (both kinds of connection) ---------------------------------------------------------------

struct db_val {
	enum { DB_NULL, DB_INT, DB_TEXT, DB_BLOB, DB_REAL } type;
	int64_t i;
	double r;
	struct span s;
};
static inline struct db_val db_int(int64_t i)
{
	return (struct db_val){ .type = DB_INT, .i = i };
}
static inline struct db_val db_real(double r)
{
	return (struct db_val){ .type = DB_REAL, .r = r };
}
static inline struct db_val db_text(struct span s)
{
	return (struct db_val){ .type = DB_TEXT, .s = s };
}
static inline struct db_val db_str(const char *s) // NULL becomes null
{
	return (struct db_val){ .type = s ? DB_TEXT : DB_NULL, .s = span_of(s) };
}
static inline struct db_val db_blob(struct span s)
{
	return (struct db_val){ .type = DB_BLOB, .s = s };
}
static inline struct db_val db_null(void)
{
	return (struct db_val){ .type = DB_NULL };
}
#define DB_ARGS(...)                                                                               \
	(const struct db_val[]){ __VA_ARGS__ },                                                    \
		sizeof((const struct db_val[]){ __VA_ARGS__ }) / sizeof(struct db_val)
#define DB_NO_ARGS NULL, 0

// Runs a statement to its end; the number of rows changed, or -1. `sql` must be a string literal: its address
// is the key of the statement cache. The values are borrowed for the call.
int db_exec(struct db_conn *c, const char *sql, const struct db_val *args, size_t n, struct err *e);

// Starts a query; NULL on failure. The values are borrowed until db_done(). A failure is passed on: the query of a
// connection that is NULL is NULL, and a step of it -1, both with the error that is there already.
struct db_stmt *db_query(struct db_conn *c, const char *sql, const struct db_val *args, size_t n,
			 struct err *e);
must_check int db_step(struct db_stmt *s, struct err *e); // 1 = a row, 0 = the end, -1
void db_done(struct db_stmt *s);			  // accepts NULL
static inline void db_done_ptr(struct db_stmt **s)
{
	db_done(*s);
}
#define auto_query at_scope_exit(db_done_ptr)

// Columns of the current row, from 0; spans are valid until the next db_step() or db_done().
int64_t db_col_int(struct db_stmt *s, int col);
double db_col_real(struct db_stmt *s, int col);
struct span db_col_span(struct db_stmt *s, int col); // text or blob
bool db_col_null(struct db_stmt *s, int col);

// First column of the first row as a number, or `missing` when there is no row. -1 on failure.
int db_get_int(struct db_conn *c, const char *sql, const struct db_val *args, size_t n,
	       int64_t missing, int64_t *out, struct err *e);

int64_t db_last_id(struct db_conn *c);

// ---- numbers -------------------------------------------------------------------------------------------

// The next number of a named increasing sequence, inside a write. Numbers are reserved in blocks and never
// come twice, also after a crash; gaps are normal. Names: "file", "version", "content".
must_check int db_next(struct db_conn *c, const char *sequence, int64_t *out, struct err *e);
