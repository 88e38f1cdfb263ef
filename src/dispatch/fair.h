// fair: who is next: weighted fair shares between users and between the services of one user.
// Purpose: each party's use of the machine (the largest of its shares of cores, memory, GPUs and places) is summed up
//   over time and divided by its weight; the one with the smallest sum is next, what it holds now counted as if it
//   kept it for another second. One that comes back from having nothing to do stands where the last of the others
//   stands: idleness saves up nothing.
// Owner: the dispatcher; a party lives while it holds or wants something and for a minute after.
// Threads: none of its own; dispatch's lock. Times are monotonic nanoseconds. Private to dispatch.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/map.h"

struct fair_size {
	uint32_t cpu_millis;
	uint64_t memory_bytes;
	uint32_t gpus;
};

struct fair_stand {
	double least, most;
	bool any;
};

struct fair_party {
	struct fair_party *user; // of a service; NULL for a user
	int64_t id;
	unsigned running;
	struct fair_size held;
	// private
	double served, share, weight;
	int64_t at_ns;
	bool waits, idle;
	struct fair_stand below; // of a user's services
};

struct fair {
	struct map users;    // id -> struct fair_party
	struct map services; // user, service -> struct fair_party
	struct fair_size all;
	unsigned slots;
};

void fair_init(struct fair *f, const struct fair_size *all, unsigned slots);
void fair_release(struct fair *f);

// The party of a service that runs for a user; made when it is new.
struct fair_party *fair_party(struct fair *f, int64_t user, int64_t service, int64_t now_ns);

// A job of the party begins or ends.
void fair_take(struct fair *f, struct fair_party *p, const struct fair_size *s, int64_t now_ns);
void fair_give_back(struct fair *f, struct fair_party *p, const struct fair_size *s,
		    int64_t now_ns);

// One round: begin, then fair_waits() for each party that has jobs in the queue, then settle; fair_before() holds until
// the next round.
void fair_begin(struct fair *f, int64_t now_ns);
void fair_waits(struct fair_party *p, unsigned user_weight, unsigned weight); // 0 counts as 1
void fair_settle(struct fair *f);

// Is it a's turn before b's? A user's parties are ordered among themselves only after their users.
bool fair_before(const struct fair_party *a, const struct fair_party *b);
