// challenge: what a registry answers to a request without credentials (WWW-Authenticate, RFC 9110 11.6.1).
// Owner: the spans live in the caller's arena. Threads: no state. Errors: none; what is not understood is CHALLENGE_NONE.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/arena.h"

enum challenge_kind { CHALLENGE_NONE, CHALLENGE_BASIC, CHALLENGE_BEARER };

struct challenge {
	enum challenge_kind kind;
	struct span realm, service, scope; // empty when not given
};

// One field may hold several challenges; the strongest that we can answer is taken.
void challenge_parse(struct span field, struct arena *mem, struct challenge *out);
