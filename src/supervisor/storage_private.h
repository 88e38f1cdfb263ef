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
	char *folder; // the last one that is known to be there; NULL = none
};

struct storage_request {
	const char *method, *bucket, *key;
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
