// conn: one SQLite connection with its statement cache. Private to db.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "db/db.h"

#include <sqlite3.h>

enum { CONN_CACHE = 256 }; // slots; statements of one connection are fewer

struct db_stmt {
	struct db_conn *conn;
	sqlite3_stmt *stmt;
	const char *sql; // key in the cache, NULL when made for one use
	bool busy;
};

struct db_conn {
	sqlite3 *sqlite;
	struct db *db;
	struct db_stmt *cache[CONN_CACHE];
	unsigned sections; // begun by db_read_begin() and not ended
	bool begun;	   // their transaction, which is with the first query
	uint64_t moment;   // when they began
};

must_check int db_conn_open(struct db_conn *c, struct db *d, const char *path, bool write,
			    struct err *e);
void db_conn_release(struct db_conn *c);

// writer.c: a statement met damage: from now on nothing is written. NULL is fine.
void db_found_damage(struct db *d);

// Fills *e from the connection's last error.
int db_conn_fail(struct db_conn *c, int rc, const char *what, struct err *e);
