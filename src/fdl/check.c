// check: a service object checked field by field. Owner: see fdl.h. Threads: no shared state.
// Errors: ERR_INVALID, ERR_LIMIT, ERR_UNSUPPORTED with the field's name.
// SPDX-License-Identifier: Apache-2.0
#include "fdl/check.h"

#include <inttypes.h>
#include <stdarg.h>

void fdl_check_at(struct fdl_check *c, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(c->path, sizeof(c->path), format, args);
	va_end(args);
}

const char *fdl_check_text(struct fdl_check *c, const char *key)
{
	const char *text = json_string_value(json_object_get(c->s->doc, key));

	fdl_check_at(c, "%s", key);
	return arena_strdup(c->a, text ? text : "");
}

int fdl_check_whole(struct fdl_check *c, const char *part, const char *key, int64_t min,
		    int64_t max, int64_t *out)
{
	const json_t *object = part ? json_object_get(c->s->doc, part) : c->s->doc;
	const json_t *v = json_object_get(object, key);
	int64_t n = json_integer_value(v);

	fdl_check_at(c, "%s%s%s", part ? part : "", part ? "." : "", key);
	if (v && (n < min || n > max))
		return err_set(c->e, ERR_INVALID,
			       "%" PRId64 " is not between %" PRId64 " and %" PRId64, n, min, max);
	*out = v ? n : *out;
	return 0;
}

const char *const *fdl_check_strings(struct fdl_check *c, const json_t *list, size_t *count)
{
	size_t n = json_array_size(list);
	const char **out = arena_alloc(c->a, (n + 1) * sizeof(*out));

	for (size_t i = 0; i < n; i++)
		out[i] = arena_strdup(c->a, json_string_value(json_array_get(list, i)));
	*count = n;
	return out;
}

static int check_name(struct fdl_check *c)
{
	struct span name = span_of(c->s->name = fdl_check_text(c, "name"));

	if (name.n == 0)
		return err_set(c->e, ERR_INVALID, "a service needs a name");
	if (name.n > FDL_NAME_MAX)
		return err_set(c->e, ERR_INVALID, "\"%.60s\" has %zu characters, allowed are %d",
			       name.p, name.n, FDL_NAME_MAX);
	for (size_t i = 0; i < name.n; i++) {
		bool alnum = (name.p[i] >= 'a' && name.p[i] <= 'z') ||
			     (name.p[i] >= '0' && name.p[i] <= '9');

		if (!alnum && (name.p[i] != '-' || i == 0 || i == name.n - 1))
			return err_set(
				c->e, ERR_INVALID,
				"\"%s\": only a-z, 0-9 and \"-\" are allowed, and no \"-\" at "
				"the beginning or end",
				name.p);
	}
	return 0;
}

static int check_image(struct fdl_check *c)
{
	const char *image = c->s->image = fdl_check_text(c, "image");

	if (!*image)
		return err_set(
			c->e, ERR_INVALID,
			"a service needs an image (\"host\" for this machine's own programs)");
	if (strlen(image) > 255)
		return err_set(c->e, ERR_LIMIT, "a name of over 255 characters");
	for (const char *p = image; *p; p++)
		if ((unsigned char)*p <= 0x20 || (unsigned char)*p > 0x7e)
			return err_set(c->e, ERR_INVALID,
				       "blanks and signs beyond ASCII are not "
				       "allowed in the name of an image");
	return 0;
}

// CR LF becomes LF, in the document too, so that it is printed as it runs.
static int check_script(struct fdl_check *c)
{
	char *script = (char *)fdl_check_text(c, "script"), *to = script;
	size_t n = strlen(script);

	if (n > FDL_SCRIPT_MAX)
		return err_set(c->e, ERR_LIMIT, "%zu bytes, allowed are %d", n, FDL_SCRIPT_MAX);
	for (const char *from = script; *from; from++)
		if (from[0] != '\r' || from[1] != '\n')
			*to++ = *from;
	*to = 0;
	if (span_trim(span_of(script)).n == 0 &&
	    !(c->s->expose.port && c->s->expose.default_command))
		return err_set(c->e, ERR_INVALID, "a service needs a script; this one is empty");
	c->s->script = script;
	json_object_set_new(c->s->doc, "script", json_string(script));
	return 0;
}

// The value when it is one of the words (whatever its case), else an error that lists them. The last word
// is NULL. An unset value becomes the first word.
static int one_of(struct fdl_check *c, const char *key, const char *const *words, const char **out)
{
	const char *text = fdl_check_text(c, key);
	char list[160] = "";
	size_t used = 0;

	if (!*text) {
		*out = words[0];
		return 0;
	}
	for (size_t i = 0; words[i]; i++) {
		if (span_eq_nocase(span_of(text), span_of(words[i]))) {
			*out = words[i];
			json_object_set_new(c->s->doc, key, json_string(words[i]));
			return 0;
		}
		if (*words[i] && used < sizeof(list) - 24)
			used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s",
						 used ? ", " : "", words[i]);
	}
	return err_set(c->e, ERR_INVALID, "\"%.40s\" is none of %s", text, list);
}

// An unknown log level counts as INFO, as the peers have it.
static void check_log_level(struct fdl_check *c)
{
	static const char *const levels[] = { "INFO",  "CRITICAL", "ERROR", "WARNING",
					      "DEBUG", "NOTSET",   NULL };

	if (one_of(c, "log_level", levels, &c->s->log_level) < 0)
		c->s->log_level = levels[0];
	json_object_set_new(c->s->doc, "log_level", json_string(c->s->log_level));
}

static int check_words(struct fdl_check *c)
{
	static const char *const visibility[] = { "private", "restricted", "public", NULL };
	static const char *const isolation[] = { "", "SERVICE", "USER", NULL };
	static const char *const network[] = { "none", "host", "nat", NULL };
	static const char *const runtime[] = { "",	"sandbox", "oci",  "kubernetes",
					       "slurm", "lambda",  "fake", NULL };
	static const char *const secrets[] = { "both", "files", NULL };
	const char *net, *as;

	if (one_of(c, "visibility", visibility, &c->s->visibility) < 0 ||
	    one_of(c, "isolation_level", isolation, &c->s->isolation_level) < 0 ||
	    one_of(c, "runtime", runtime, &c->s->runtime) < 0 ||
	    one_of(c, "network", network, &net) < 0 || one_of(c, "secrets_as", secrets, &as) < 0)
		return -1;
	c->s->secrets_in_env = strcmp(as, "both") == 0;
	json_object_set_new(c->s->doc, "visibility", json_string(c->s->visibility));
	c->s->network_host = strcmp(net, "host") == 0;
	c->s->network_nat = strcmp(net, "nat") == 0;
	return 0;
}

// "never", "apply", or how often: "30s", "15m", "12h", "7d".
static int check_refresh(struct fdl_check *c)
{
	struct span text = span_of(fdl_check_text(c, "image_refresh"));
	static const struct {
		char unit;
		unsigned seconds;
	} units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 } };
	uint64_t n = 0;

	if (!text.n || span_eq_nocase(text, SPAN("never")))
		return 0;
	c->s->refresh_apply = true;
	if (span_eq_nocase(text, SPAN("apply")))
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(units); i++)
		if (text.p[text.n - 1] == units[i].unit &&
		    span_to_u64(span_head(text, text.n - 1), &n) && n <= FDL_TIMEOUT_MAX_S)
			c->s->refresh_s = (int64_t)n * units[i].seconds;
	if (c->s->refresh_s < FDL_REFRESH_MIN_S || c->s->refresh_s > 365 * 86400)
		return err_set(c->e, ERR_INVALID,
			       "\"" SPAN_FMT "\" is none of never, apply, or a time of 10s to 365d",
			       SPAN_ARG(span_head(text, 40)));
	return 0;
}

static void read_plain(struct fdl_check *c)
{
	struct fdl_service *s = c->s;

	s->cluster_id = fdl_check_text(c, "cluster_id");
	s->token = fdl_check_text(c, "token");
	s->owner = fdl_check_text(c, "owner");
	s->namespace_name = fdl_check_text(c, "namespace");
	s->vo = fdl_check_text(c, "vo");
	s->skip_stage_in = json_is_true(json_object_get(s->doc, "file_stage_in"));
	s->upload_on_failure = json_is_true(json_object_get(s->doc, "upload_on_failure"));
	s->allowed_users = fdl_check_strings(c, json_object_get(s->doc, "allowed_users"),
					     &s->allowed_user_count);
}

int fdl_check_service(struct fdl_check *c)
{
	read_plain(c);
	check_log_level(c);
	if (check_name(c) < 0 || check_image(c) < 0 || check_refresh(c) < 0 || check_words(c) < 0 ||
	    fdl_check_expose(c) < 0 || check_script(c) < 0 || fdl_check_resources(c) < 0 ||
	    fdl_check_retry(c) < 0 || fdl_check_keep(c) < 0 || fdl_check_queue(c) < 0 ||
	    fdl_check_ios(c) < 0 || fdl_check_mounts(c) < 0)
		return -1;
	return fdl_check_environment(c);
}
