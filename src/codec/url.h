// url: percent coding and query strings (RFC 3986), as bytes; no character set is assumed.
// Owner: results live in the caller's arena or buffer. Threads: no state. Errors: none; a malformed escape
// stays as it is, because S3 clients and servers agree on that.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/arena.h"
#include "base/buf.h"

enum url_plus { URL_PLUS_KEEP, URL_PLUS_BLANK }; // what '+' means when decoding

// Decodes %XX. Points into `s` when there is nothing to decode.
struct span url_decode(struct arena *a, struct span s, enum url_plus plus);

// Adds `s` with every byte as %XX (upper case) but A-Z a-z 0-9 - . _ ~ and those of `keep`.
void url_encode(struct buf *b, struct span s, const char *keep);
struct span url_encode_arena(struct arena *a, struct span s, const char *keep);

// As url_encode with ' ' as '+', as HTML forms and the peers' listings (encoding-type=url) write it.
void url_encode_form(struct buf *b, struct span s, const char *keep);

// True when a well-formed escape decodes to `byte`.
bool url_has_escaped(struct span s, unsigned char byte);

// Walks a query: takes the next non-empty member off *rest, undecoded. `value` is empty without '='.
bool url_query_next(struct span *rest, struct span *name, struct span *value);

// The first member of that decoded name ('+' is a blank), decoded; false when there is none.
bool url_query_get(struct arena *a, struct span query, const char *name, struct span *value);
