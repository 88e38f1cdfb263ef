// storage_private: what the files of storage share. Private.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "supervisor/http.h"
#include "supervisor/storage.h"

struct storage {
	struct stop *stop;
	const struct report *report;
	const struct config_store *store;
	struct http_url url;
	struct http *http;
	struct http *pool; // where the last answer sent us; NULL = nowhere
	struct http *last; // whose answer is being read: one of the two
	char *chunk;
	char *folder;	     // the last one that is known to be there; NULL = none
	struct rucio *rucio; // CONFIG_RUCIO: storage_rucio.c's
};

struct storage_request {
	const char *method, *bucket, *key;
	struct span target; // CONFIG_REPLICA: instead of bucket and key, as it is sent
	struct span sha256; // S3: of the body in hexadecimal, or a word of SigV4
	uint64_t from;	    // GET: the first byte wanted
	const char *etag;   // GET from > 0: of what was read so far
	bool folder;	    // the path is a folder's
	int body;
	uint64_t body_size;
};

// One request and its answer's head.
must_check int storage_send(struct storage *s, const struct storage_request *r,
			    const struct http_head **head, struct err *e);
// The body of a GET into fd, or the bytes of a file, tried again while that may help. `what` is for people.
must_check int storage_fetch(struct storage *s, const struct storage_request *r, const char *what,
			     int fd, uint64_t *size, struct err *e);
must_check int storage_send_file(struct storage *s, const struct storage_request *r,
				 const char *what, struct err *e);
// What the storage says about a refusal, and whether asking again may help (ERR_UNAVAILABLE).
int storage_refused(struct storage *s, const struct http_head *head, struct err *e);

// storage_s3.c, storage_plain.c: the target and the lines of the head that say who asks. The target lives in `mem`.
void storage_s3_head(struct storage *s, const struct storage_request *r, struct arena *mem,
		     struct buf *lines, struct span *target);
void storage_plain_head(struct storage *s, const struct storage_request *r, struct arena *mem,
			struct buf *lines, struct span *target);
// Makes the folders above the object that are missing.
must_check int storage_plain_folders(struct storage *s, const struct storage_request *r,
				     struct err *e);
// Makes the folders above a replica that are missing, from the last one up.
must_check int storage_replica_folders(struct storage *s, struct span target, struct err *e);

// storage_rucio.c: a session with Rucio's server.
void storage_rucio_open(struct storage *s);
void storage_rucio_close(struct storage *s); // accepts one that is not Rucio's

struct rucio_call {
	const char *method, *target;
	const char *body; // JSON; NULL = none
	int to;		  // the answer's body goes into this file instead; -1 = not
};
// One exchange with the server, with a token that is good, tried again while that may help. The status is that of a
// success, or one of 404 and 409, whose meaning depends on the question. Of a body at most RUCIO_ANSWER_MAX bytes come.
must_check int storage_rucio_call(struct storage *s, const struct rucio_call *c, struct buf *answer,
				  struct err *e);
// The storage of an address that Rucio gave, valid until the next call; *target points into `url`.
must_check int storage_rucio_replica(struct storage *s, const char *url, struct storage **out,
				     struct span *target, struct err *e);

// storage_rucio_put.c.
must_check int storage_rucio_put(struct storage *s, const char *name, int fd, uint64_t size,
				 struct err *e);
