// SPDX-License-Identifier: Apache-2.0
#include "expose/plan.h"

#include "base/clock.h"

enum { SUCCESSOR_S = 10 };

static bool counts(const struct plan_instance *i)
{
	return i->state != PLAN_LEAVES && !i->old;
}

static unsigned alive(const struct plan_instance *at, size_t n)
{
	unsigned sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += counts(&at[i]);
	return sum;
}

// Those that begin will take requests that wait.
static unsigned starting(const struct plan_instance *at, size_t n)
{
	unsigned sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += counts(&at[i]) && at[i].state == PLAN_STARTS;
	return sum;
}

static unsigned wanted(const struct plan_service *s, const struct plan_instance *at, size_t n)
{
	unsigned now = alive(at, n), begin = starting(at, n), more, sum;

	if (s->off)
		return 0;
	// As many more as those that wait would fill beside those that begin.
	more = (s->waiting + s->calls - 1) / s->calls;
	more = more > begin ? more - begin : 0;
	sum = now + more > s->min ? now + more : s->min;
	return sum < s->max ? sum : s->max;
}

// What replaces an old one shall be there first, unless that takes too long: there may be no room for both.
static bool has_successor(const struct plan_service *s, const struct plan_instance *at, size_t n)
{
	if (!s->min || s->changed_ago_ns > SUCCESSOR_S * NS_PER_S)
		return true;
	for (size_t i = 0; i < n; i++)
		if (!at[i].old && at[i].state == PLAN_READY && at[i].active < s->calls)
			return true;
	return false;
}

static void earlier(int64_t *look_ns, int64_t at_ns)
{
	if (at_ns < *look_ns)
		*look_ns = at_ns;
}

// Of an idle one: it ends when there are more than needed, and is frozen before.
static enum plan_action idle_action(const struct plan_service *s, const struct plan_instance *i,
				    bool spare, int64_t now_ns, int64_t *look_ns)
{
	const int64_t end_ns = i->idle_since_ns + s->idle_stop_ns;
	const int64_t freeze_ns = i->idle_since_ns + s->freeze_after_ns;
	const bool freezes = s->freeze_after_ns && !i->rests;

	if (spare && now_ns >= end_ns)
		return PLAN_END;
	if (freezes && now_ns >= freeze_ns)
		return PLAN_FREEZE;
	if (spare)
		earlier(look_ns, end_ns);
	if (freezes)
		earlier(look_ns, freeze_ns);
	return PLAN_KEEP;
}

struct plan plan_make(const struct plan_service *s, struct plan_instance *at, size_t n,
		      int64_t now_ns, int64_t latest_ns)
{
	unsigned there = alive(at, n), want = wanted(s, at, n);
	const bool replaced = has_successor(s, at, n);
	struct plan out = { .start = want > there ? want - there : 0, .look_ns = latest_ns };

	if (out.start && now_ns < s->retry_ns) {
		out.start = 0;
		earlier(&out.look_ns, s->retry_ns);
	}
	for (size_t i = 0; i < n; i++) {
		struct plan_instance *x = &at[i];

		x->action = PLAN_KEEP;
		if (x->state == PLAN_LEAVES)
			continue;
		if (s->off || (x->old && (x->state == PLAN_STARTS || replaced)))
			x->action = PLAN_END;
		else if (!x->old && x->state == PLAN_READY && !x->active && !s->waiting)
			x->action = idle_action(s, x, there > s->min, now_ns, &out.look_ns);
		there -= x->action == PLAN_END && !x->old;
	}
	return out;
}
