// plan: how many instances a service shall have, and what becomes of those that it has: the decision alone. scale.c asks
// for it and does what it says. Private to expose.
// Owner, threads: no state, no lock, no clock; times are monotonic. SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct plan_service {
	bool off;			       // it shall have none
	unsigned min, max, calls;	       // instances, and requests at once in one of them
	unsigned waiting;		       // requests that have no instance yet
	int64_t idle_stop_ns, freeze_after_ns; // the latter 0 = never
	int64_t retry_ns;		       // after a failure none begins before
	int64_t changed_ago_ns;		       // since its newest revision
};

enum plan_state { PLAN_STARTS, PLAN_READY, PLAN_LEAVES };
enum plan_action { PLAN_KEEP, PLAN_FREEZE, PLAN_END };

struct plan_instance {
	enum plan_state state;
	bool old;   // of an earlier revision
	bool rests; // it is frozen, or cannot be
	unsigned active;
	int64_t idle_since_ns;	 // of no meaning while it is active
	enum plan_action action; // the answer
};

struct plan {
	unsigned start;	 // so many more
	int64_t look_ns; // when it may be different without any news
};

// `look_ns` is at most `latest_ns`.
struct plan plan_make(const struct plan_service *s, struct plan_instance *at, size_t n,
		      int64_t now_ns, int64_t latest_ns);
