// The database as its files share it. Private to db.
// Purpose: db.c opens and closes it; writer.c has the queue of requests and the two threads; wait.c the calls that wait
//   for their outcome; reader.c each thread's connection to read by.
// Owner: whoever opened it. Threads: as the fields say. Errors: as db.h says.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/lock.h"
#include "db/conn.h"
#include "db/reserve.h"

#include <stdatomic.h>

enum {
	DB_HOOKS_MAX = 8,
	DB_SEQUENCES_MAX = 8,
	DB_WAL_PASSIVE = 4 << 20, // the checkpoint thread starts above this
	DB_WAL_FRAME = 4096 + 24,
};

// Numbers of one sequence that this process may still hand out. Writer thread only.
struct db_sequence {
	char name[16];
	int64_t next, end;
};

// One of the two.
struct db_hook {
	void (*committed)(void *owner);
	void (*ended)(void *owner, uint64_t moment);
	void *owner;
};

struct db_reader {
	struct db_reader *next;
	struct db_conn conn;
};

struct db {
	struct db_options o;
	char *path;
	struct db_conn writer, checkpointer;
	struct db_sequence sequences[DB_SEQUENCES_MAX];
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

	struct db_hook hooks[DB_HOOKS_MAX];
	size_t hook_count;
	_Atomic uint64_t moment; // transactions that ended
	struct db_figures figures;

	pthread_key_t key; // this thread's struct db_reader
	pthread_mutex_t readers_lock;
	struct db_reader *readers;
	pthread_t writer_thread, checkpoint_thread;
};

// The threads, once the file is ready; stopping works off what waits.
void db_writer_start(struct db *d);
void db_writer_stop(struct db *d);

// The destructor of a thread's reader, and the end of those whose threads still live.
void db_reader_close(void *reader);
void db_readers_release(struct db *d);
