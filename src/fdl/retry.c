// retry: after which ends a job is tried again, and how often. Owner: the service that is being read. Threads: no shared
// state. Errors: ERR_INVALID.
// SPDX-License-Identifier: Apache-2.0
#include "fdl/check.h"

enum { ATTEMPTS_MAX = 100, BACKOFF_MAX_S = 24 * 3600 };

// "exit:75".
static bool retry_code(struct fdl_service *s, const char *word)
{
	struct span code = span_of(word);
	uint64_t n;

	if (!span_starts(code, SPAN("exit:")) || !span_to_u64(span_from(code, 5), &n) || n < 1 ||
	    n > 255)
		return false;
	s->retry_codes[n / 32] |= 1u << n % 32;
	s->retry_on |= FDL_RETRY_CODES;
	return true;
}

int fdl_check_retry(struct fdl_check *c)
{
	struct fdl_service *s = c->s;
	static const char *const words[] = { "exit", "signal", "oom", "timeout",
					     "disk", "setup",  "lost" };
	const json_t *on = json_object_get(json_object_get(s->doc, "retry"), "on");
	int64_t attempts = 0, backoff = 0;

	if (fdl_check_whole(c, "retry", "attempts", 0, ATTEMPTS_MAX, &attempts) < 0 ||
	    fdl_check_whole(c, "retry", "backoff_seconds", 0, BACKOFF_MAX_S, &backoff) < 0)
		return -1;
	s->retry_attempts = (uint32_t)attempts;
	s->retry_backoff_s = (uint32_t)backoff;
	for (size_t i = 0; i < json_array_size(on); i++) {
		const char *word = json_string_value(json_array_get(on, i));
		size_t w = 0;

		fdl_check_at(c, "retry.on[%zu]", i);
		while (w < ARRAY_LEN(words) && strcmp(word, words[w]) != 0)
			w++;
		if (w < ARRAY_LEN(words))
			s->retry_on |= 1u << w;
		else if (!retry_code(s, word))
			return err_set(
				c->e, ERR_INVALID,
				"\"%.40s\" is none of exit, exit:1 to exit:255, signal, oom, "
				"timeout, disk, setup, lost",
				word);
	}
	return 0;
}
