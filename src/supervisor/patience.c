// SPDX-License-Identifier: Apache-2.0
#include "supervisor/patience.h"

#include "base/clock.h"
#include "base/rand.h"

enum {
	TRIES = 6, // without progress
	WAIT_FIRST_MS = 200,
	WAIT_MAX_MS = 5000,
	RETRY_AFTER_MAX_S = 30,
};

void patience_heed(struct patience *p, const struct http_head *head)
{
	uint64_t seconds;

	if (span_to_u64(http_head_get(head, "retry-after"), &seconds))
		p->wait_ms =
			(int64_t)(seconds < RETRY_AFTER_MAX_S ? seconds : RETRY_AFTER_MAX_S) * 1000;
}

bool patience_again(struct patience *p, struct stop *stop, const struct report *report,
		    const char *what, struct err *e)
{
	int64_t ms = WAIT_FIRST_MS;
	struct err stopped = { 0 };

	if ((e->code != ERR_UNAVAILABLE && e->code != ERR_TIMEOUT) || ++p->failed >= TRIES)
		return false;
	for (unsigned i = 1; i < p->failed && ms < WAIT_MAX_MS; i++)
		ms *= 2;
	ms += (int64_t)(rand_u64() % (uint64_t)ms) /
	      2; // many jobs fail together and must not return together
	ms = ms > p->wait_ms ? ms : p->wait_ms;
	p->wait_ms = 0;
	report_at(report, REPORT_WARNING, "%s: %s; trying again in %d ms", what, e->msg, (int)ms);
	if (stop_wait(stop, -1, 0, clock_mono_ns() + ms * NS_PER_MS, &stopped) < 0) {
		*e = stopped;
		return false;
	}
	return true;
}
