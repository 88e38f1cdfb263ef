// aws_chunked: takes the framing off bodies of type aws-chunked, piece by piece as they arrive, and checks
// the signature of each chunk. Three forms: signed chunks, signed chunks with a signed trailer, and unsigned
// chunks with a trailer.
// Purpose: a server that stores the framing as content loses data silently; hence nothing here is lenient
//   but line ends in the trailer, which clients write in several ways.
// Owner: the caller owns the struct; trailers live in its arena. Threads: one at a time.
// Errors: ERR_PROTOCOL (framing), ERR_UNAUTH (a signature), ERR_LIMIT, and what the sink fails with. Bytes
//   are handed on before their chunk's signature is known: commit only after aws_chunked_end().
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "codec/digest.h"
#include "codec/sigv4.h"

enum aws_chunked_form {
	AWS_CHUNKED_SIGNED,	    // STREAMING-AWS4-HMAC-SHA256-PAYLOAD
	AWS_CHUNKED_SIGNED_TRAILER, // STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER
	AWS_CHUNKED_TRAILER,	    // STREAMING-UNSIGNED-PAYLOAD-TRAILER
};

enum { AWS_CHUNKED_TRAILERS = 16 };

struct aws_chunked_options {
	enum aws_chunked_form form;
	uint64_t size; // x-amz-decoded-content-length; UINT64_MAX = not said
	struct arena *arena;
	// For the signed forms; borrowed until the end.
	struct span key;  // 32 bytes
	struct span time; // x-amz-date
	struct sigv4_scope scope;
	struct span seed; // the signature of the head
	int (*sink)(void *owner, struct span bytes, struct err *e);
	void *owner;
};

struct aws_chunked {
	struct aws_chunked_options o;
	enum {
		AWS_CHUNKED_HEAD,    // the line with the size
		AWS_CHUNKED_DATA,    // bytes of the chunk
		AWS_CHUNKED_DATA_CR, // its line end
		AWS_CHUNKED_DATA_LF,
		AWS_CHUNKED_TAIL, // lines after the last chunk
	} state;
	struct buf line;
	uint64_t left; // of the chunk
	uint64_t total;
	struct digest sum;	   // of the chunk
	char previous[SIGV4_HEX];  // signature
	char announced[SIGV4_HEX]; // signature of the current chunk
	bool ended;		   // an empty line followed the last chunk
	bool trailer_signed;	   // and verified
	struct buf trailer_text;   // canonical
	struct sigv4_header trailers[AWS_CHUNKED_TRAILERS];
	size_t trailer_count;
};

void aws_chunked_init(struct aws_chunked *c, const struct aws_chunked_options *o);
void aws_chunked_release(struct aws_chunked *c); // accepts a zeroed struct

must_check int aws_chunked_feed(struct aws_chunked *c, struct span bytes, struct err *e);
// All came, all sums and signatures are right.
must_check int aws_chunked_end(struct aws_chunked *c, struct err *e);
// The trailer of that name (lower case), or a span with p == NULL. After the end.
struct span aws_chunked_trailer(const struct aws_chunked *c, const char *name);
