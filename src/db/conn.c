// SPDX-License-Identifier: Apache-2.0
#include "db/conn.h"

#include "base/mem.h"

enum { BUSY_MS = 5000 };

int db_conn_fail(struct db_conn *c, int rc, const char *what, struct err *e)
{
	const char *text = c->sqlite ? sqlite3_errmsg(c->sqlite) : sqlite3_errstr(rc);

	switch (rc & 0xff) {
	case SQLITE_CONSTRAINT:
		return err_set(e, ERR_EXISTS, "%s: %s", what, text);
	case SQLITE_FULL:
		return err_set(e, ERR_FULL, "%s: no space left for the database", what);
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		db_found_damage(c->db);
		return err_set(e, ERR_CORRUPT, "%s: the database is damaged: %s", what, text);
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return err_set(e, ERR_BUSY, "%s: %s", what, text);
	case SQLITE_READONLY:
		return err_set(e, ERR_UNAVAILABLE, "%s: %s", what, text);
	case SQLITE_IOERR: {
		int sys = sqlite3_system_errno(c->sqlite);

		return err_sys(e, ERR_IO, sys, "%s: %s", what, text);
	}
	case SQLITE_TOOBIG:
		return err_set(e, ERR_LIMIT, "%s: %s", what, text);
	default:
		return err_set(e, ERR_BUG, "%s: %s", what, text);
	}
}

int db_conn_open(struct db_conn *c, struct db *d, const char *path, bool write, struct err *e)
{
	int flags = SQLITE_OPEN_NOMUTEX |
		    (write ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY);
	int rc;

	*c = (struct db_conn){ .db = d };
	rc = sqlite3_open_v2(path, &c->sqlite, flags, NULL);
	if (rc != SQLITE_OK) {
		db_conn_fail(c, rc, path, e);
		db_conn_release(c);
		return -1;
	}
	sqlite3_busy_timeout(c->sqlite, BUSY_MS);
	sqlite3_extended_result_codes(c->sqlite, 1);
	if (db_exec(c, write ? "PRAGMA cache_size=-4096" : "PRAGMA cache_size=-1024", DB_NO_ARGS,
		    e) < 0 ||
	    db_exec(c, "PRAGMA foreign_keys=OFF", DB_NO_ARGS, e) < 0 ||
	    // Debian's SQLite writes zeros over all pages that become free; pages that are written anyway will do.
	    db_exec(c, "PRAGMA secure_delete=FAST", DB_NO_ARGS, e) < 0 ||
	    db_exec(c, "PRAGMA temp_store=MEMORY", DB_NO_ARGS, e) < 0) {
		db_conn_release(c);
		return -1;
	}
	return 0;
}

void db_conn_release(struct db_conn *c)
{
	for (size_t i = 0; i < CONN_CACHE; i++)
		if (c->cache[i]) {
			sqlite3_finalize(c->cache[i]->stmt);
			mem_free(c->cache[i]);
		}
	sqlite3_close(c->sqlite);
	*c = (struct db_conn){ 0 };
}

static struct db_stmt *prepare(struct db_conn *c, const char *sql, bool keep, struct err *e)
{
	struct db_stmt *s;
	sqlite3_stmt *stmt;
	int rc = sqlite3_prepare_v3(c->sqlite, sql, -1, keep ? SQLITE_PREPARE_PERSISTENT : 0, &stmt,
				    NULL);

	if (rc != SQLITE_OK) {
		db_conn_fail(c, rc, "prepare", e);
		return NULL;
	}
	s = mem_zalloc(sizeof(*s));
	*s = (struct db_stmt){ .conn = c, .stmt = stmt, .sql = keep ? sql : NULL };
	return s;
}

// The cached statement of this literal, prepared at first use; one in use already gets a twin for one use.
static struct db_stmt *statement(struct db_conn *c, const char *sql, struct err *e)
{
	size_t at = ((uintptr_t)sql * UINT64_C(0x9e3779b97f4a7c15)) >> 56;

	for (size_t i = 0; i < CONN_CACHE; i++) {
		struct db_stmt **slot = &c->cache[(at + i) % CONN_CACHE];

		if (!*slot)
			return *slot = prepare(c, sql, true, e);
		if ((*slot)->sql == sql)
			return (*slot)->busy ? prepare(c, sql, false, e) : *slot;
	}
	return prepare(c, sql, false, e);
}

static int bind(struct db_stmt *s, const struct db_val *v, int at)
{
	switch (v->type) {
	case DB_INT:
		return sqlite3_bind_int64(s->stmt, at, v->i);
	case DB_REAL:
		return sqlite3_bind_double(s->stmt, at, v->r);
	case DB_TEXT:
		return sqlite3_bind_text64(s->stmt, at, v->s.p ? v->s.p : "", v->s.n, SQLITE_STATIC,
					   SQLITE_UTF8);
	case DB_BLOB:
		return sqlite3_bind_blob64(s->stmt, at, v->s.p ? v->s.p : "", v->s.n,
					   SQLITE_STATIC);
	case DB_NULL:
		break;
	}
	return sqlite3_bind_null(s->stmt, at);
}

static void begin_section(struct db_conn *c)
{
	struct err ignored = { 0 };

	c->begun = true; // first: what begins it is a query too
	db_exec(c, "BEGIN", DB_NO_ARGS, &ignored);
}

struct db_stmt *db_query(struct db_conn *c, const char *sql, const struct db_val *args, size_t n,
			 struct err *e)
{
	struct db_stmt *s;

	if (!c)
		return NULL;
	if (c->sections && !c->begun)
		begin_section(c);
	s = statement(c, sql, e);
	if (!s)
		return NULL;
	s->busy = true;
	check((size_t)sqlite3_bind_parameter_count(s->stmt) == n);
	for (size_t i = 0; i < n; i++) {
		int rc = bind(s, &args[i], (int)i + 1);

		if (rc != SQLITE_OK) {
			db_conn_fail(c, rc, "bind", e);
			db_done(s);
			return NULL;
		}
	}
	return s;
}

int db_step(struct db_stmt *s, struct err *e)
{
	int rc;

	if (!s)
		return -1;
	rc = sqlite3_step(s->stmt);
	if (rc == SQLITE_ROW)
		return 1;
	return rc == SQLITE_DONE ? 0 : db_conn_fail(s->conn, rc, "database", e);
}

void db_done(struct db_stmt *s)
{
	if (!s)
		return;
	if (!s->sql) {
		sqlite3_finalize(s->stmt);
		mem_free(s);
		return;
	}
	sqlite3_reset(s->stmt);
	sqlite3_clear_bindings(s->stmt);
	s->busy = false;
}

int db_exec(struct db_conn *c, const char *sql, const struct db_val *args, size_t n, struct err *e)
{
	auto_query struct db_stmt *s = db_query(c, sql, args, n, e);
	int got;

	if (!s)
		return -1;
	while ((got = db_step(s, e)) > 0)
		;
	return got < 0 ? -1 : sqlite3_changes(c->sqlite);
}

int64_t db_col_int(struct db_stmt *s, int col)
{
	return sqlite3_column_int64(s->stmt, col);
}

double db_col_real(struct db_stmt *s, int col)
{
	return sqlite3_column_double(s->stmt, col);
}

struct span db_col_span(struct db_stmt *s, int col)
{
	const void *p = sqlite3_column_blob(s->stmt, col);

	return span_make(p ? p : "", (size_t)sqlite3_column_bytes(s->stmt, col));
}

bool db_col_null(struct db_stmt *s, int col)
{
	return sqlite3_column_type(s->stmt, col) == SQLITE_NULL;
}

int db_get_int(struct db_conn *c, const char *sql, const struct db_val *args, size_t n,
	       int64_t missing, int64_t *out, struct err *e)
{
	auto_query struct db_stmt *s = db_query(c, sql, args, n, e);
	int got = db_step(s, e);

	if (got < 0)
		return -1;
	*out = got && !db_col_null(s, 0) ? db_col_int(s, 0) : missing;
	return 0;
}

int64_t db_last_id(struct db_conn *c)
{
	return sqlite3_last_insert_rowid(c->sqlite);
}
