// hasher: MD5 of files while they are written, by threads that follow the writers through the page cache, so that who
// receives need not compute. Streams that are ready at the same time go side by side (digest_update_md5s), which is what
// makes parts of one upload cheap. Private to store.
// Owner: who writes a file owns its hash_job. Threads: any; one writer a job.
// Bounds: 64 KiB a stream and eight streams a thread; one thread for four cores, four at most.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/err.h"
#include "codec/digest.h"

struct hasher;
struct hasher *hasher_new(void);
void hasher_free(struct hasher *h); // no job may be left; accepts NULL

struct hash_job {
	// private
	struct hash_job *next; // in the queue
	int fd;
	struct digest md5;
	uint64_t written, done; // bytes
	bool queued, busy, ending, failed;
	// Of the thread that is busy with it: what it does now, and how that went.
	uint64_t todo;
	bool bad;
	struct err err;
};

// The file, from its beginning, through a descriptor that can be read and stays open until the job ends.
void hasher_begin(struct hash_job *j, int fd);
void hasher_wrote(struct hasher *h, struct hash_job *j, size_t n); // more bytes are in the file
// Waits for all bytes written. ERR_IO when they could not be read.
must_check int hasher_end(struct hasher *h, struct hash_job *j, uint8_t out[static DIGEST_MAX],
			  struct err *e);
void hasher_drop(struct hasher *h, struct hash_job *j); // the sum is not wanted; also after the end
