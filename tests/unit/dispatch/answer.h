// answer: callers that wait, for tests of dispatch. Threads: the test's; the answer comes on another.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/lock.h"
#include "bed.h"

struct answer {
	pthread_mutex_t lock;
	pthread_cond_t came;
	unsigned calls;
	struct dispatch_answer got;
	char body[4096];
};

static inline void answer_came(void *owner, const struct dispatch_answer *got)
{
	struct answer *a = owner;
	auto_lock held = lock_hold(&a->lock);

	a->calls++;
	a->got = *got;
	memset(a->body, 0, sizeof(a->body));
	if (got->fd >= 0) {
		assert_int_equal(pread(got->fd, a->body, sizeof(a->body) - 1, 0), got->size);
		close(got->fd);
	}
	pthread_cond_signal(&a->came);
}

static inline void answer_init(struct answer *a)
{
	*a = (struct answer){ 0 };
	pthread_mutex_init(&a->lock, NULL);
	lock_cond_init(&a->came);
}

static inline int64_t answer_ask(struct bed *b, struct answer *a, const char *service,
				 const char *payload)
{
	answer_init(a);
	return bed_ask(b, service, payload, answer_came, a);
}

static inline void answer_wait(struct answer *a)
{
	int64_t deadline = clock_mono_ns() + BED_WAIT_S * NS_PER_S;

	pthread_mutex_lock(&a->lock);
	while (!a->calls && lock_wait(&a->came, &a->lock, deadline))
		;
	assert_int_equal(a->calls, 1);
	pthread_mutex_unlock(&a->lock);
}
