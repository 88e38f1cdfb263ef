// SPDX-License-Identifier: Apache-2.0
// reader: each thread's connection, and its view of one moment.
#include "base/mem.h"
#include "db/private.h"

void db_reader_close(void *reader)
{
	struct db_reader *r = reader;
	struct db *d = r->conn.db;

	pthread_mutex_lock(&d->readers_lock);
	for (struct db_reader **at = &d->readers; *at; at = &(*at)->next)
		if (*at == r) {
			*at = r->next;
			break;
		}
	pthread_mutex_unlock(&d->readers_lock);
	db_conn_release(&r->conn);
	mem_free(r);
}

void db_readers_release(struct db *d)
{
	while (d->readers) {
		struct db_reader *r = d->readers;

		d->readers = r->next;
		db_conn_release(&r->conn);
		mem_free(r);
	}
}

struct db_conn *db_reader(struct db *d, struct err *e)
{
	struct db_reader *r = pthread_getspecific(d->key);

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
