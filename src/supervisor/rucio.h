// rucio: what Rucio and an OpenID provider answer, read from their JSON as pure functions.
// Source: Rucio's REST interface (dids, replicas, rses), RFC 6749 5.1.
// Owner: what is read lives in the caller's arena. Threads: no state.
// Errors: ERR_PROTOCOL (not what was asked for), ERR_LIMIT.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/arena.h"
#include "base/err.h"

enum { RUCIO_ANSWER_MAX = 256 << 10, RUCIO_REPLICAS_MAX = 100 };

struct rucio_file {
	const char *scope, *name;
	const char *file_name; // the last part of the name; can be one of a file
	uint64_t size;	       // UINT64_MAX = not said
	uint32_t adler32;
	bool has_adler32;
};

// One line of a data set's list of files, or the metadata of one file.
must_check int rucio_file_parse(struct span json, struct arena *mem, struct rucio_file *out,
				struct err *e);

// Where a file lies, as https:// (or, when `plain`, http://) and a path, the best place first. A place that is reached
// by other protocols only is left out, and counted.
struct rucio_replicas {
	const char *url[RUCIO_REPLICAS_MAX];
	size_t n, others;
};
must_check int rucio_replicas_parse(struct span json, bool plain, struct arena *mem,
				    struct rucio_replicas *out, struct err *e);

// By which scheme files are written to a storage element from far away, of those that are HTTP: that of the best of its
// protocols. ERR_UNSUPPORTED when there is none.
must_check int rucio_scheme_parse(struct span json, bool plain, const char **scheme, struct err *e);

// Where a file shall go: the address of the answer to one LFN, as above.
must_check int rucio_place_parse(struct span json, bool plain, struct arena *mem, const char **url,
				 struct err *e);

// What Rucio calls a refusal ("DuplicateRule"), and why; "" when the answer does not say.
void rucio_refusal_parse(struct span json, struct arena *mem, const char **name, const char **why);

struct rucio_token {
	const char *access;  // fits into a line of a request's head
	const char *refresh; // NULL = the one that was used stays good
	int64_t lifetime_s;  // 0 = not said
};
must_check int rucio_token_parse(struct span json, struct arena *mem, struct rucio_token *out,
				 struct err *e);
