// hasher: MD5 of files while they are written, by threads of its own, so that who receives need not compute. It takes
// over the pieces that were written; when it has enough of them, because the disk is faster than MD5, it reads what
// follows from the file, through the page cache. Streams that are ready at the same time go side by side
// (digest_update_md5s), which is what makes parts of one upload cheap. Private to store.
// Owner: who writes a file owns its hash_job, and a piece until hasher_wrote() takes it. Threads: any; one writer a job.
// Bounds: 64 KiB a stream and eight streams a thread; one thread for four cores, four at most; 8 MiB of pieces.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/err.h"
#include "codec/digest.h"

struct hasher;
struct hasher *hasher_new(void);
void hasher_free(struct hasher *h); // no job may be left; accepts NULL

enum { HASH_PIECE_BYTES = 256 << 10 };
struct hash_piece {
	struct hash_piece *next; // private
	uint64_t at;		 // private: in the file
	size_t n;
	char bytes[HASH_PIECE_BYTES];
};
struct hash_piece *hasher_piece(struct hasher *h);		// an empty one
void hasher_piece_free(struct hasher *h, struct hash_piece *p); // accepts NULL

struct hash_job {
	// private
	struct hash_job *next; // in the queue
	int fd;
	struct digest md5;
	uint64_t written, done; // bytes
	struct hash_piece *pieces,
		**tail; // of what is written and not done, unless it is to be read
	bool queued, busy, ending, failed;
	// Of the thread that is busy with it: what it does now, and how that went.
	const char *bytes; // NULL: to be read
	uint64_t todo;
	bool bad;
	struct err err;
};

// An empty file, through a descriptor that can be read and stays open until the job ends.
void hasher_begin(struct hasher *h, struct hash_job *j, int fd);
// The bytes of a piece are in the file, after those before. True: the piece is the hasher's now. False: it is still the
// caller's, and the hasher will read the file.
must_check bool hasher_wrote(struct hasher *h, struct hash_job *j, struct hash_piece *p);
// Waits for all bytes written. ERR_IO when they could not be read.
must_check int hasher_end(struct hasher *h, struct hash_job *j, uint8_t out[static DIGEST_MAX],
			  struct err *e);
void hasher_drop(struct hasher *h,
		 struct hash_job *j); // once, at the end or when the sum is not wanted
