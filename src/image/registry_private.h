// registry_private: what the two halves of the registry client share.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "http/client.h"
#include "image/registry.h"

enum { DOCUMENT_MS = 120000, TRIES = 4, REGISTRY_HEADERS_MAX = 4 };

struct registry {
	struct http_client *http;
	const struct reference *ref;
	const char *origin, *base, *user, *password, *from;
	struct arena mem;
	char *auth;	// "Authorization: …"; NULL = none yet
	char *location; // of an upload that was begun and not used; NULL = none
	int64_t idle_ms;
	void (*moved)(void *owner, uint64_t bytes);
	void *moved_owner;
	bool plain, push;
};

// A call for something short: a document, a question.
static inline struct http_call registry_short_call(const struct registry *r, const char *method,
						   const char *url)
{
	return (struct http_call){ .method = method,
				   .url = url,
				   .timeout_ms = DOCUMENT_MS,
				   .idle_ms = r->idle_ms,
				   .tries = TRIES };
}

// One call with the credentials that it turns out to need; any 2xx is a success. They go to the registry itself only,
// not to where it sends a body. At most REGISTRY_HEADERS_MAX of `extra`.
must_check int registry_ask(struct registry *r, struct http_call *call, const char *const *extra,
			    size_t n, struct http_answer *out, struct err *e);
