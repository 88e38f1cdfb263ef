// reference: names of container images as people write them: [HOST[:PORT]/]PATH[:TAG][@DIGEST].
// Owner: the result holds copies. Threads: no state. Errors: ERR_INVALID with what to change, ERR_UNSUPPORTED (a
// digest other than SHA-256).
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/err.h"
#include "base/span.h"

enum { REFERENCE_HOST_MAX = 256, REFERENCE_PATH_MAX = 256, REFERENCE_TAG_MAX = 129 };
enum { REFERENCE_DIGEST_MAX = 72 }; // "sha256:", 64 digits and a NUL

struct reference {
	char registry[REFERENCE_HOST_MAX]; // "docker.io" when none is named
	char host[REFERENCE_HOST_MAX +
		  8];		       // where its API answers: "registry-1.docker.io", "lab:5000"
	char path[REFERENCE_PATH_MAX]; // "library/alpine" for "alpine"
	char tag[REFERENCE_TAG_MAX]; // "" with a digest and no tag; else "latest" when none is named
	char digest[REFERENCE_DIGEST_MAX]; // "" when none is named
	bool loopback;			   // the registry is this machine
};

must_check int reference_parse(struct span text, struct reference *out, struct err *e);

// "sha256:" and 64 lower-case digits.
bool reference_digest_ok(struct span digest);
