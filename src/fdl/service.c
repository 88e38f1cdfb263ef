// service: a service object checked field by field. Owner: see fdl.h. Threads: no shared state.
// Errors: ERR_INVALID, ERR_LIMIT, ERR_UNSUPPORTED with the field's name.
// SPDX-License-Identifier: Apache-2.0
#include "base/mem.h"
#include "fdl/private.h"
#include "fdl/quantity.h"
#include "fdl/schema.h"

#include <inttypes.h>

enum { IDLE_STOP_S = 300 };

// What the check needs in every step: whose fields, where it is, and where the error goes.
struct checker {
	struct fdl_service *s;
	struct arena *a;
	char *path; // FDL_PATH_MAX bytes: the field being looked at
	struct err *e;
};

static const char *text_at(struct checker *c, const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	snprintf(c->path, FDL_PATH_MAX, "%s", key);
	return arena_strdup(c->a, text ? text : "");
}

static const char *field(struct checker *c, const char *key)
{
	return text_at(c, c->s->doc, key);
}

static int check_name(struct checker *c)
{
	struct span name = span_of(c->s->name = field(c, "name"));

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

static int check_image(struct checker *c)
{
	const char *image = c->s->image = field(c, "image");

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
static int check_script(struct checker *c)
{
	char *script = (char *)field(c, "script"), *to = script;
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

// An unset or empty quantity becomes `unset` in the document, when one is given.
static const char *quantity_text(struct checker *c, const char *key, const char *unset)
{
	const char *text = field(c, key);

	if (*text || !unset)
		return text;
	json_object_set_new(c->s->doc, key, json_string(unset));
	return unset;
}

static int bytes_at(struct checker *c, const char *key, const char *unset, uint64_t *out)
{
	const char *text = quantity_text(c, key, unset);

	return *text ? fdl_quantity_units(span_of(text), out, c->e) : 0;
}

static int check_quantities(struct checker *c)
{
	struct fdl_service *s = c->s;
	uint64_t milli = 0, ignored;

	if (bytes_at(c, "memory", "256Mi", &s->memory_bytes) < 0)
		return -1;
	if (s->memory_bytes < 1024 * 1024)
		return err_set(c->e, ERR_INVALID,
			       "\"%s\" is less than 1Mi; nothing can run in that",
			       field(c, "memory"));
	if (fdl_quantity_milli(span_of(quantity_text(c, "cpu", "0.2")), &milli, c->e) < 0)
		return -1;
	if (milli < 1 || milli > 1000000)
		return err_set(c->e, ERR_INVALID, "\"%s\" is not between 1m and 1000 cores",
			       field(c, "cpu"));
	s->cpu_millis = (uint32_t)milli;
	if (bytes_at(c, "total_memory", NULL, &ignored) < 0)
		return -1;
	if (*quantity_text(c, "total_cpu", NULL) &&
	    fdl_quantity_milli(span_of(field(c, "total_cpu")), &ignored, c->e) < 0)
		return -1;
	return bytes_at(c, "ephemeral_storage_request", NULL, &s->output_bytes_max) < 0 ||
			       bytes_at(c, "log_limit", NULL, &s->log_bytes_max) < 0
		       ? -1
		       : 0;
}

static int range_at(struct checker *c, const json_t *object, const char *key, int64_t min,
		    int64_t max, int64_t *out)
{
	const json_t *v = json_object_get(object, key);

	if (!v)
		return 0;
	if (json_integer_value(v) < min || json_integer_value(v) > max)
		return err_set(c->e, ERR_INVALID,
			       "%" PRId64 " is not between %" PRId64 " and %" PRId64,
			       (int64_t)json_integer_value(v), min, max);
	*out = json_integer_value(v);
	return 0;
}

static int whole_at(struct checker *c, const json_t *object, const char *key, int64_t max,
		    int64_t *out)
{
	return range_at(c, object, key, 0, max, out);
}

static int number(struct checker *c, const char *key, int64_t max, int64_t *out)
{
	snprintf(c->path, FDL_PATH_MAX, "%s", key);
	return whole_at(c, c->s->doc, key, max, out);
}

static int check_queue(struct checker *c)
{
	const json_t *queue = json_object_get(c->s->doc, "queue");
	int64_t values[] = { 0, 0, 0, 1 };
	static const struct {
		const char *key;
		int64_t min, max;
	} bounds[ARRAY_LEN(values)] = {
		{ "max", 0, FDL_QUEUE_MAX },
		{ "concurrency", 0, FDL_QUEUE_MAX },
		{ "priority", -FDL_PRIORITY_MAX, FDL_PRIORITY_MAX },
		{ "weight", 1, FDL_WEIGHT_MAX },
	};

	for (size_t i = 0; i < ARRAY_LEN(values); i++) {
		snprintf(c->path, FDL_PATH_MAX, "queue.%s", bounds[i].key);
		if (range_at(c, queue, bounds[i].key, bounds[i].min, bounds[i].max, &values[i]) < 0)
			return -1;
	}
	c->s->queue_max = (uint64_t)values[0];
	c->s->concurrency = (uint32_t)values[1];
	c->s->priority = (int32_t)values[2];
	c->s->weight = (uint32_t)values[3];
	c->s->gpus = json_is_true(json_object_get(c->s->doc, "enable_gpu"));
	return 0;
}

static int check_warm(struct checker *c)
{
	int64_t count = 0, idle = IDLE_STOP_S;

	if (number(c, "keep_warm", FDL_KEEP_WARM_MAX, &count) < 0)
		return -1;
	snprintf(c->path, FDL_PATH_MAX, "idle_stop");
	if (range_at(c, c->s->doc, "idle_stop", 1, FDL_TIMEOUT_MAX_S, &idle) < 0)
		return -1;
	c->s->keep_warm = (uint32_t)count;
	c->s->idle_stop_s = idle;
	return 0;
}

// The value when it is one of the words (whatever its case), else an error that lists them. The last word
// is NULL. An unset value becomes the first word.
static int one_of(struct checker *c, const char *key, const char *const *words, const char **out)
{
	const char *text = field(c, key);
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
static void check_log_level(struct checker *c)
{
	static const char *const levels[] = { "INFO",  "CRITICAL", "ERROR", "WARNING",
					      "DEBUG", "NOTSET",   NULL };

	if (one_of(c, "log_level", levels, &c->s->log_level) < 0)
		c->s->log_level = levels[0];
	json_object_set_new(c->s->doc, "log_level", json_string(c->s->log_level));
}

static int check_words(struct checker *c)
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
static int check_refresh(struct checker *c)
{
	struct span text = span_of(field(c, "image_refresh"));
	static const struct {
		char unit;
		unsigned seconds;
	} units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 } };
	uint64_t n = 0;

	snprintf(c->path, FDL_PATH_MAX, "image_refresh");
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

static int check_ios(struct checker *c, const char *key, bool is_input, const struct fdl_io **out,
		     size_t *count)
{
	const json_t *list = json_object_get(c->s->doc, key);
	size_t n = json_array_size(list);
	struct fdl_io *ios = arena_alloc(c->a, (n + 1) * sizeof(*ios));
	char part[FDL_PATH_MAX];

	snprintf(c->path, FDL_PATH_MAX, "%s", key);
	if (n > FDL_IO_MAX)
		return err_set(c->e, ERR_LIMIT, "%zu entries, allowed are %d", n, FDL_IO_MAX);
	for (size_t i = 0; i < n; i++) {
		int got = fdl_io_read(c->a, json_array_get(list, i), c->s->name, is_input,
				      json_object_get(c->s->doc, "storage_providers"), &ios[i],
				      part, c->e);

		if (got < 0) {
			snprintf(c->path, FDL_PATH_MAX, "%s[%zu].%.40s", key, i, part);
			return -1;
		}
	}
	*out = ios;
	*count = n;
	return 0;
}

static bool is_variable_name(const char *name)
{
	if (!*name || (*name >= '0' && *name <= '9') || strcmp(name, ".") == 0 ||
	    strcmp(name, "..") == 0) // a secret is a file too
		return false;
	for (; *name; name++)
		if (!(*name >= 'a' && *name <= 'z') && !(*name >= 'A' && *name <= 'Z') &&
		    !(*name >= '0' && *name <= '9') && !strchr("_-.", *name))
			return false;
	return true;
}

static int check_environment(struct checker *c, const char *part, const struct fdl_word **out,
			     size_t *count)
{
	json_t *words = json_object_get(json_object_get(c->s->doc, "environment"), part), *value;
	size_t n = json_object_size(words), at = 0, bytes = 0;
	struct fdl_word *list = arena_alloc(c->a, (n + 1) * sizeof(*list));
	const char *name;

	snprintf(c->path, FDL_PATH_MAX, "environment.%s", part);
	if (n > FDL_ENV_MAX)
		return err_set(c->e, ERR_LIMIT, "%zu entries, allowed are %d", n, FDL_ENV_MAX);
	json_object_foreach(words, name, value)
	{
		list[at].name = arena_strdup(c->a, name);
		list[at++].value = arena_strdup(c->a, json_string_value(value));
		bytes += strlen(name) + json_string_length(value);
		if (!is_variable_name(name))
			return err_set(
				c->e, ERR_INVALID,
				"\"%.60s\" cannot be the name of a variable (letters, digits, "
				"_ - . and no digit first)",
				name);
	}
	if (bytes > FDL_ENV_BYTES_MAX)
		return err_set(c->e, ERR_LIMIT, "%zu bytes in all, allowed are %d", bytes,
			       FDL_ENV_BYTES_MAX);
	*out = list;
	*count = n;
	return 0;
}

static int check_mounts(struct checker *c)
{
	snprintf(c->path, FDL_PATH_MAX, "mounts");
	return fdl_mounts_read(c->a, json_object_get(c->s->doc, "mounts"), &c->s->mounts,
			       &c->s->mount_count, c->e);
}

static int check_mount(struct checker *c)
{
	struct fdl_service *s = c->s;

	snprintf(c->path, FDL_PATH_MAX, "mount");
	return fdl_mount_read(c->a, json_object_get(s->doc, "mount"),
			      json_object_get(s->doc, "storage_providers"), s->mounts,
			      s->mount_count, &s->mount, &s->mount_target, c->e);
}

static int check_expose(struct checker *c)
{
	snprintf(c->path, FDL_PATH_MAX, "expose");
	if (fdl_expose_read(c->a, json_object_get(c->s->doc, "expose"), &c->s->expose, c->e) < 0)
		return -1;
	if (c->s->expose.port && (c->s->network_host || c->s->network_nat))
		return err_set(c->e, ERR_UNSUPPORTED,
			       "api_port: only without \"network\": a server listens inside its "
			       "sandbox, where requests are passed to it");
	if (c->s->expose.default_command && c->s->expose.port && strcmp(c->s->image, "host") == 0)
		return err_set(
			c->e, ERR_INVALID,
			"default_command: this machine (image: host) has none; use a script");
	return 0;
}

// A folder that is the input stands at /mnt/input/NAME.
static int check_room(struct checker *c)
{
	const struct fdl_service *s = c->s;
	size_t n = s->mount_count + (s->mount != NULL);

	for (size_t i = 0; i < s->input_count; i++) {
		if (!s->inputs[i].sentinel && !s->inputs[i].group_run && !s->inputs[i].manifest)
			continue;
		snprintf(c->path, FDL_PATH_MAX, "input[%zu].group", i);
		if (n == FDL_MOUNTS_MAX)
			return err_set(c->e, ERR_LIMIT,
				       "beside a folder as input there may be %d mounts",
				       FDL_MOUNTS_MAX - 1);
		for (size_t k = 0; k < n; k++) {
			const char *other =
				k < s->mount_count ? s->mounts[k].target : s->mount_target;

			if (span_path_overlap(SPAN("input"), span_of(other)))
				return err_set(c->e, ERR_INVALID,
					       "the folder stands at /mnt/input, where /mnt/%.60s "
					       "is mounted",
					       other);
		}
	}
	return 0;
}

static int check_numbers(struct checker *c)
{
	int64_t pids = 0;

	if (number(c, "timeout", FDL_TIMEOUT_MAX_S, &c->s->timeout_s) < 0 ||
	    number(c, "wait_timeout", FDL_TIMEOUT_MAX_S, &c->s->wait_timeout_s) < 0 ||
	    number(c, "pids", 65536, &pids) < 0 || fdl_retry_read(c->s, c->path, c->e) < 0 ||
	    fdl_keep_read(c->s, c->path, c->e) < 0 || check_queue(c) < 0)
		return -1;
	c->s->pids_max = (uint32_t)pids;
	return check_warm(c);
}

static void read_plain(struct checker *c)
{
	struct fdl_service *s = c->s;

	s->cluster_id = field(c, "cluster_id");
	s->token = field(c, "token");
	s->owner = field(c, "owner");
	s->namespace_name = field(c, "namespace");
	s->vo = field(c, "vo");
	s->skip_stage_in = json_is_true(json_object_get(s->doc, "file_stage_in"));
	s->upload_on_failure = json_is_true(json_object_get(s->doc, "upload_on_failure"));
	s->allowed_users =
		fdl_strings(c->a, json_object_get(s->doc, "allowed_users"), &s->allowed_user_count);
}

int fdl_service_check(struct fdl_service *s, char path[static FDL_PATH_MAX], struct err *e)
{
	struct checker c = { .s = s, .a = &s->memory->a, .path = path, .e = e };

	read_plain(&c);
	check_log_level(&c);
	if (check_name(&c) < 0 || check_image(&c) < 0 || check_refresh(&c) < 0 ||
	    check_words(&c) < 0 || check_expose(&c) < 0 || check_script(&c) < 0 ||
	    check_quantities(&c) < 0 || check_numbers(&c) < 0 ||
	    check_ios(&c, "input", true, &s->inputs, &s->input_count) < 0 ||
	    check_ios(&c, "output", false, &s->outputs, &s->output_count) < 0 ||
	    check_mounts(&c) < 0 || check_mount(&c) < 0 || check_room(&c) < 0 ||
	    check_environment(&c, "variables", &s->variables, &s->variable_count) < 0 ||
	    check_environment(&c, "secrets", &s->secrets, &s->secret_count) < 0)
		return -1;
	return 0;
}

int fdl_service_make(json_t *doc, const char *file, const struct codec_yaml_node *node,
		     struct fdl_service **out, struct err *e)
{
	auto_fdl_service struct fdl_service *s = mem_zalloc(sizeof(*s));
	char path[FDL_PATH_MAX] = "";

	s->doc = doc;
	s->unknown = json_array();
	s->memory = mem_zalloc(sizeof(*s->memory));
	if (fdl_service_check(s, path, e) < 0) {
		err_wrap(e, "%s", path);
		fdl_schema_place(file, node, path, e);
		return -1;
	}
	*out = mem_take(&s);
	return 0;
}

int fdl_service_from(const json_t *object, struct fdl_service **out, struct err *e)
{
	auto_json json_t *unknown = json_array();
	struct fdl_reader r = { .unknown = unknown };
	struct fdl_service *s = NULL;
	json_t *doc = NULL;

	if (fdl_schema_read(&r, fdl_service_fields, (struct fdl_source){ .json = object }, &doc,
			    e) < 0 ||
	    fdl_service_make(doc, NULL, NULL, &s, e) < 0)
		return -1;
	check(s);
	json_array_extend(s->unknown, unknown);
	*out = s;
	return 0;
}

int fdl_service_parse(struct span json, struct fdl_service **out, struct err *e)
{
	auto_json json_t *object = NULL;

	if (codec_json_parse(json, FDL_DOCUMENT_MAX, &object, e) < 0)
		return -1;
	return fdl_service_from(object, out, e);
}

void fdl_service_free(struct fdl_service *s)
{
	if (!s)
		return;
	json_decref(s->doc);
	json_decref(s->unknown);
	arena_release(&s->memory->a);
	mem_free(s->memory);
	mem_free(s);
}
