// sender: one connection to a target. Private to notify. Owner: one thread at a time.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/err.h"
#include "base/span.h"

#include <stdint.h>

struct sender_options {
	const char *kind; // "webhook", "nats"
	// The value of a setting, its default when it was not set.
	const char *(*setting)(const void *owner, const char *key);
	const void *owner;
	bool (*cancelled)(void *owner); // asked while sending
	void *cancel_owner;
};

struct sender_letter {
	int64_t seq;
	char id[48]; // of this letter in all installations
	unsigned attempt;
	struct span record;
};

// ERR_UNAVAILABLE, ERR_TIMEOUT and ERR_BUSY say that the target as a whole is away; others concern the letter.
struct sender {
	int (*send)(struct sender *s, const struct sender_letter *l, struct err *e);
	void (*close)(struct sender *s);
};

must_check int sender_open(const struct sender_options *o, struct sender **out, struct err *e);

must_check int webhook_open(const struct sender_options *o, struct sender **out, struct err *e);
must_check int nats_open(const struct sender_options *o, struct sender **out, struct err *e);
