// expose: what a service says about the server that it runs. Owner: everything lives in the service's arena. Threads: no
// shared state. Errors: ERR_INVALID, ERR_UNSUPPORTED.
// SPDX-License-Identifier: Apache-2.0
#include "fdl/private.h"

#include <inttypes.h>

enum { PATH_BYTES_MAX = 1024, MAX_SCALE = 10, CALLS = 100 };

static int range(const json_t *object, const char *key, int64_t min, int64_t max, uint32_t *out,
		 struct err *e)
{
	const json_t *v = json_object_get(object, key);
	int64_t n = json_integer_value(v);

	if (!v)
		return 0;
	if (n < min || n > max)
		return err_set(e, ERR_INVALID,
			       "%s: %" PRId64 " is not between %" PRId64 " and %" PRId64, key, n,
			       min, max);
	*out = (uint32_t)n;
	return 0;
}

// A number or a list of them; calls go to the first.
static int port(const json_t *v, uint16_t *out, struct err *e)
{
	int64_t n = json_integer_value(json_is_array(v) ? json_array_get(v, 0) : v);

	if (!v)
		return 0;
	if (n < 1 || n > 65535)
		return err_set(e, ERR_INVALID, "api_port: %" PRId64 " is not between 1 and 65535",
			       n);
	*out = (uint16_t)n;
	return 0;
}

static bool is_path(const char *text)
{
	size_t n = strlen(text);

	for (size_t i = 0; i < n; i++)
		if (text[i] <= ' ' || text[i] > '~' || text[i] == '#')
			return false;
	return !n || (text[0] == '/' && n <= PATH_BYTES_MAX);
}

int fdl_expose_read(struct arena *a, const json_t *v, struct fdl_expose *out, struct err *e)
{
	const char *health = json_string_value(json_object_get(v, "health_path"));
	const char *auth = json_string_value(json_object_get(v, "auth_type"));

	*out = (struct fdl_expose){ .health_path = arena_strdup(a, health ? health : ""),
				    .rewrite_target =
					    json_is_true(json_object_get(v, "rewrite_target")),
				    .default_command =
					    json_is_true(json_object_get(v, "default_command")),
				    .set_auth = json_is_true(json_object_get(v, "set_auth")),
				    .calls = CALLS };
	if (port(json_object_get(v, "api_port"), &out->port, e) < 0)
		return -1;
	if (!out->port) // clients send the other keys with every service
		return 0;
	if (range(v, "min_scale", 0, FDL_INSTANCES_MAX, &out->min, e) < 0 ||
	    range(v, "max_scale", 0, FDL_INSTANCES_MAX, &out->max, e) < 0 ||
	    range(v, "concurrency", 1, FDL_CALLS_MAX, &out->calls, e) < 0)
		return -1;
	if (!out->max) // as OSCAR has it
		out->max = out->min > MAX_SCALE ? out->min : MAX_SCALE;
	if (out->max < out->min)
		return err_set(e, ERR_INVALID, "max_scale: %u is less than min_scale", out->max);
	if (!is_path(out->health_path))
		return err_set(e, ERR_INVALID,
			       "health_path: want a path as it stands in a request, as /health");
	if (auth && *auth && !span_eq_nocase(span_of(auth), SPAN("basic")))
		return err_set(e, ERR_UNSUPPORTED, "auth_type: only basic is offered");
	return 0;
}
