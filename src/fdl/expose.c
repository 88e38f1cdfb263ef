// expose: what a service says about the server that it runs. Owner: everything lives in the service's arena. Threads: no
// shared state. Errors: ERR_INVALID, ERR_UNSUPPORTED.
// SPDX-License-Identifier: Apache-2.0
#include "fdl/check.h"

#include <inttypes.h>

enum { PATH_BYTES_MAX = 1024, MAX_SCALE = 10, CALLS = 100 };

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

// How many instances there may be, and how many requests at once each may have.
static int read_scale(const json_t *v, struct fdl_expose *out, struct err *e)
{
	int64_t min = 0, max = 0, calls = CALLS;

	if (codec_json_get_int(v, "min_scale", 0, FDL_INSTANCES_MAX, &min, e) < 0 ||
	    codec_json_get_int(v, "max_scale", 0, FDL_INSTANCES_MAX, &max, e) < 0 ||
	    codec_json_get_int(v, "concurrency", 1, FDL_CALLS_MAX, &calls, e) < 0)
		return -1;
	if (!max) // as OSCAR has it
		max = min > MAX_SCALE ? min : MAX_SCALE;
	if (max < min)
		return err_set(e, ERR_INVALID, "max_scale: %" PRId64 " is less than min_scale",
			       max);
	out->min = (uint32_t)min;
	out->max = (uint32_t)max;
	out->calls = (uint32_t)calls;
	return 0;
}

static int check_surroundings(const struct fdl_service *s, struct err *e)
{
	if (s->network_host || s->network_nat)
		return err_set(e, ERR_UNSUPPORTED,
			       "api_port: only without \"network\": a server listens inside its "
			       "sandbox, where requests are passed to it");
	if (s->expose.default_command && strcmp(s->image, "host") == 0)
		return err_set(
			e, ERR_INVALID,
			"default_command: this machine (image: host) has none; use a script");
	return 0;
}

int fdl_check_expose(struct fdl_check *c)
{
	const json_t *v = json_object_get(c->s->doc, "expose");
	const char *health = json_string_value(json_object_get(v, "health_path"));
	const char *auth = json_string_value(json_object_get(v, "auth_type"));
	struct fdl_expose *out = &c->s->expose;

	fdl_check_at(c, "expose");
	*out = (struct fdl_expose){
		.health_path = arena_strdup(c->a, health ? health : ""),
		.rewrite_target = json_is_true(json_object_get(v, "rewrite_target")),
		.default_command = json_is_true(json_object_get(v, "default_command")),
		.set_auth = json_is_true(json_object_get(v, "set_auth")),
		.calls = CALLS,
	};
	if (port(json_object_get(v, "api_port"), &out->port, c->e) < 0)
		return -1;
	if (!out->port) // clients send the other keys with every service
		return 0;
	if (read_scale(v, out, c->e) < 0)
		return -1;
	if (!is_path(out->health_path))
		return err_set(c->e, ERR_INVALID,
			       "health_path: want a path as it stands in a request, as /health");
	if (auth && *auth && !span_eq_nocase(span_of(auth), SPAN("basic")))
		return err_set(c->e, ERR_UNSUPPORTED, "auth_type: only basic is offered");
	return check_surroundings(c->s, c->e);
}
