// pool: a bounded number of threads with a bounded queue of calls. Private to http.
// Owner: http_server. Threads: safe. pool_close() runs what is queued, then joins.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdbool.h>

struct pool;

struct pool *pool_open(const char *name, unsigned workers, unsigned queue);
void pool_close(struct pool *p); // NULL is fine

// Claims a place in the queue; false when it is full. Each claim is followed by one pool_run().
bool pool_claim(struct pool *p);
void pool_run(struct pool *p, void (*fn)(void *a, void *b), void *a, void *b);
