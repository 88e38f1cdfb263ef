// SPDX-License-Identifier: Apache-2.0
#include "supervisor/rucio.h"

#include "codec/json.h"
#include "codec/text.h"

#include <stdlib.h>
#include <string.h>

enum { NAME_MAX_BYTES = 255, TOKEN_MAX = 16 << 10, LIFETIME_MAX_S = 365 * 86400 };

static int parse(struct span json, json_t **out, struct err *e)
{
	struct err why = { 0 };

	return codec_json_parse(json, RUCIO_ANSWER_MAX, out, &why) == 0
		       ? 0
		       : err_set(e, why.code == ERR_LIMIT ? ERR_LIMIT : ERR_PROTOCOL,
				 "the answer is no JSON: %s", why.msg);
}

static int parse_object(struct span json, json_t **out, struct err *e)
{
	if (parse(json, out, e) < 0)
		return -1;
	return json_is_object(*out) ? 0 : err_set(e, ERR_PROTOCOL, "the answer is no JSON object");
}

// Text without a NUL in it; NULL when it is none.
static const char *text_at(const json_t *object, const char *key)
{
	const json_t *v = json_object_get(object, key);
	const char *text = json_string_value(v);

	return text && strlen(text) == json_string_length(v) ? text : NULL;
}

// What goes into a request's head, or a target: printable ASCII without blanks.
static bool is_word(const char *text)
{
	if (!text || !*text)
		return false;
	for (const char *p = text; *p; p++)
		if ((unsigned char)*p <= ' ' || (unsigned char)*p >= 0x7f)
			return false;
	return true;
}

// ---- files ---------------------------------------------------------------------------------------------

// Eight hexadecimal digits; some writers leave leading zeros away.
static bool read_adler32(const char *text, uint32_t *out)
{
	uint8_t bytes[4];
	char digits[9] = "00000000";
	size_t n = text ? strlen(text) : 0;

	if (!n || n > 8)
		return false;
	memcpy(digits + 8 - n, text, n);
	if (!text_unhex(bytes, sizeof(bytes), span_make(digits, 8)))
		return false;
	*out = (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 |
	       bytes[3];
	return true;
}

static bool is_file_name(const char *name)
{
	return *name && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 &&
	       strlen(name) <= NAME_MAX_BYTES;
}

int rucio_file_parse(struct span json, struct arena *mem, struct rucio_file *out, struct err *e)
{
	auto_json json_t *root = NULL;
	const char *scope, *name, *slash;
	const json_t *size;

	*out = (struct rucio_file){ .size = UINT64_MAX };
	if (parse_object(json, &root, e) < 0)
		return -1;
	scope = text_at(root, "scope");
	name = text_at(root, "name");
	if (!scope || !*scope || !name || !*name)
		return err_set(e, ERR_PROTOCOL, "a file without scope and name is listed");
	slash = strrchr(name, '/');
	out->scope = arena_strdup(mem, scope);
	out->name = arena_strdup(mem, name);
	out->file_name = out->name + (slash ? slash + 1 - name : 0);
	if (!is_file_name(out->file_name))
		return err_set(e, ERR_PROTOCOL, "\"%.100s\" cannot be the name of a file", name);
	size = json_object_get(root, "bytes");
	if (json_is_integer(size) && json_integer_value(size) >= 0)
		out->size = (uint64_t)json_integer_value(size);
	out->has_adler32 = read_adler32(text_at(root, "adler32"), &out->adler32);
	return 0;
}

// ---- places --------------------------------------------------------------------------------------------

// WebDAV is HTTP under names of its own.
static const struct scheme {
	const char *name, *as;
	bool plain;
} schemes[] = {
	{ "davs", "https://", false },
	{ "https", "https://", false },
	{ "dav", "http://", true },
	{ "http", "http://", true },
};

// NULL when it is of another kind, or plain and that is not wanted.
static const struct scheme *find_scheme(struct span name, bool plain)
{
	for (size_t i = 0; i < ARRAY_LEN(schemes); i++)
		if (span_eq_nocase(name, span_of(schemes[i].name)))
			return schemes[i].plain && !plain ? NULL : &schemes[i];
	return NULL;
}

static const char *http_address(const char *pfn, bool plain, struct arena *mem)
{
	const char *rest = is_word(pfn) ? strstr(pfn, "://") : NULL;
	const struct scheme *s =
		rest ? find_scheme(span_make(pfn, (size_t)(rest - pfn)), plain) : NULL;

	return s ? arena_printf(mem, "%s%s", s->as, rest + 3) : NULL;
}

struct place {
	const char *url;
	int64_t priority; // 1 is the best
};

static int by_priority(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	if (x->priority != y->priority)
		return x->priority < y->priority ? -1 : 1;
	return strcmp(x->url, y->url);
}

int rucio_replicas_parse(struct span json, bool plain, struct arena *mem,
			 struct rucio_replicas *out, struct err *e)
{
	struct place places[RUCIO_REPLICAS_MAX];
	auto_json json_t *root = NULL;
	const char *pfn;
	json_t *about;

	*out = (struct rucio_replicas){ 0 };
	if (parse_object(json, &root, e) < 0)
		return -1;
	if (!json_is_object(json_object_get(root, "pfns")))
		return err_set(e, ERR_PROTOCOL, "the answer lists no replicas");
	json_object_foreach(json_object_get(root, "pfns"), pfn, about)
	{
		const char *url = http_address(pfn, plain, mem);
		const json_t *priority = json_object_get(about, "priority");

		if (!url)
			out->others++;
		else if (out->n < RUCIO_REPLICAS_MAX)
			places[out->n++] =
				(struct place){ url, json_is_integer(priority)
							     ? json_integer_value(priority)
							     : INT64_MAX };
	}
	qsort(places, out->n, sizeof(*places), by_priority);
	for (size_t i = 0; i < out->n; i++)
		out->url[i] = places[i].url;
	return 0;
}

// 0 = it cannot.
static int64_t write_priority(const json_t *protocol)
{
	const json_t *wan = json_object_get(json_object_get(protocol, "domains"), "wan");

	return json_integer_value(json_object_get(wan, "write"));
}

int rucio_scheme_parse(struct span json, bool plain, const char **scheme, struct err *e)
{
	auto_json json_t *list = NULL;
	int64_t best = INT64_MAX;

	*scheme = NULL;
	if (parse(json, &list, e) < 0)
		return -1;
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *protocol = json_array_get(list, i);
		const struct scheme *s = find_scheme(span_of(text_at(protocol, "scheme")), plain);
		int64_t priority = write_priority(protocol);

		if (s && priority > 0 && priority < best) {
			best = priority;
			*scheme = s->name;
		}
	}
	return *scheme ? 0 : err_set(e, ERR_UNSUPPORTED, "it cannot be written by https or davs");
}

int rucio_place_parse(struct span json, bool plain, struct arena *mem, const char **url,
		      struct err *e)
{
	auto_json json_t *root = NULL;
	const char *lfn;
	json_t *pfn;

	if (parse_object(json, &root, e) < 0)
		return -1;
	json_object_foreach(root, lfn, pfn)
	{
		*url = http_address(json_string_value(pfn), plain, mem);
		return *url ? 0
			    : err_set(e, ERR_PROTOCOL, "the place of %.100s is no address by https",
				      lfn);
	}
	return err_set(e, ERR_PROTOCOL, "the answer names no place");
}

void rucio_refusal_parse(struct span json, struct arena *mem, const char **name, const char **why)
{
	auto_json json_t *root = NULL;
	struct err ignored = { 0 };
	const char *class, *text;

	*name = *why = "";
	if (parse_object(json, &root, &ignored) < 0)
		return;
	class = text_at(root, "ExceptionClass");
	text = text_at(root, "ExceptionMessage");
	*name = class ? arena_strdup(mem, class) : "";
	*why = text ? arena_strdup(mem, text) : "";
}

// ---- tokens --------------------------------------------------------------------------------------------

int rucio_token_parse(struct span json, struct arena *mem, struct rucio_token *out, struct err *e)
{
	auto_json json_t *root = NULL;
	const char *access, *refresh;
	json_int_t lifetime;

	*out = (struct rucio_token){ 0 };
	if (parse_object(json, &root, e) < 0)
		return -1;
	access = text_at(root, "access_token");
	refresh = text_at(root, "refresh_token");
	if (!is_word(access) || strlen(access) > TOKEN_MAX)
		return err_set(e, ERR_PROTOCOL, "the answer holds no usable access token");
	if (refresh && *refresh && strlen(refresh) <= TOKEN_MAX)
		out->refresh = arena_strdup(mem, refresh);
	out->access = arena_strdup(mem, access);
	lifetime =
		json_integer_value(json_object_get(root, "expires_in")); // 0 unless it is a number
	out->lifetime_s = lifetime < 0 ? 0 : lifetime < LIFETIME_MAX_S ? lifetime : LIFETIME_MAX_S;
	return 0;
}
