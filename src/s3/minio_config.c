// SPDX-License-Identifier: Apache-2.0
// MinIO's calls about configuration, of which notification targets are offered (notify_webhook, notify_nats and
// notify_queue), and about the server and the caller.
#include "s3/minio.h"

#include "base/clock.h"
#include "base/mem.h"
#include "notify/notify.h"
#include "s3/sealed.h"

enum { TEXT_MAX = 256 << 10, SETTINGS_MAX = 32 };

static struct notify *notify_of(struct s3_req *q)
{
	return q->s3->o.notify;
}

// ---- "notify_webhook:NAME key=value key="two words"" ------------------------------------------------------

struct line {
	const char *kind, *name; // name NULL: none was given
	struct notify_setting settings[SETTINGS_MAX];
	size_t n;
};

// " KEY=" of a setting that there is.
static bool begins_setting(const char *kind, struct span text)
{
	for (const struct notify_key *k = notify_keys(kind); k->name; k++) {
		struct span name = span_of(k->name);

		if (text.n > name.n + 1 && span_starts(span_from(text, 1), name) &&
		    text.p[name.n + 1] == '=')
			return true;
	}
	return false;
}

// mc joins its words by blanks, so a value without quotes goes on to the next setting. Inside quotes \" and \\ stand
// for themselves.
static bool take_value(struct arena *mem, const char *kind, struct span *rest, const char **out)
{
	char *to = arena_alloc(mem, rest->n + 1);
	bool quoted = rest->n && rest->p[0] == '"';
	size_t n = 0, i = quoted;

	for (; i < rest->n; i++) {
		char ch = rest->p[i];

		if (quoted ? ch == '"' : ch == ' ' && begins_setting(kind, span_from(*rest, i)))
			break;
		if (quoted && ch == '\\' && i + 1 < rest->n &&
		    (rest->p[i + 1] == '"' || rest->p[i + 1] == '\\'))
			ch = rest->p[++i];
		to[n++] = ch;
	}
	if (quoted && i == rest->n)
		return false;
	*out = arena_strndup(mem, to, n);
	*rest = span_trim(span_from(*rest, i + quoted));
	return true;
}

static bool parse_line(struct s3_req *q, struct span text, struct line *out)
{
	struct span rest = span_trim(text), head, name;
	size_t end = 0;

	while (end < rest.n && rest.p[end] != ' ' && rest.p[end] != '\t')
		end++;
	head = span_head(rest, end);
	rest = span_trim(span_from(rest, end));
	*out = (struct line){ .kind = "" };
	name = span_cut(&head, ':');
	if (!span_starts(name, SPAN("notify_")))
		return s3_failf(q, S3_ADMIN_INVALID,
				"only notify_webhook, notify_nats and notify_queue can be "
				"configured");
	name = span_from(name, sizeof("notify_") - 1);
	out->kind = arena_strndup(q->mem, name.p, name.n);
	out->name = head.n ? arena_strndup(q->mem, head.p, head.n) : NULL;
	if (!notify_keys(out->kind))
		return s3_failf(q, S3_ADMIN_INVALID, "no kind of target: notify_%.40s", out->kind);
	while (rest.n) {
		struct notify_setting *s = &out->settings[out->n];
		ptrdiff_t eq = span_find(rest, '=');

		if (eq < 1 || out->n == SETTINGS_MAX)
			return s3_failf(q, S3_ADMIN_INVALID, "settings are key=value, at most %d",
					SETTINGS_MAX);
		s->key = arena_strndup(q->mem, rest.p, (size_t)eq);
		rest = span_from(rest, (size_t)eq + 1);
		if (!take_value(q->mem, out->kind, &rest, &s->value))
			return s3_failf(q, S3_ADMIN_INVALID, "%.40s: a quote is not closed",
					s->key);
		out->n++;
	}
	return true;
}

static bool take_line(struct s3_req *q, struct line *out)
{
	struct span text;

	return minio_take_text(q, &text) && parse_line(q, text, out);
}

static void applied(struct s3_req *q)
{
	http_reply_header(q->http, "x-minio-config-applied", SPAN("true"));
	s3_empty(q, 200);
}

void minio_config_set(struct s3_req *q)
{
	struct line l;
	struct err e = { 0 };

	if (!take_line(q, &l))
		return;
	if (notify_target_set(notify_of(q), l.kind, l.name ? l.name : "_", l.settings, l.n, &e) < 0)
		minio_fail(q, S3_ADMIN_INVALID, &e);
	else
		applied(q);
}

void minio_config_delete(struct s3_req *q)
{
	struct line l;
	struct err e = { 0 };

	if (!take_line(q, &l))
		return;
	if (notify_target_remove(notify_of(q), l.kind, l.name ? l.name : "_", &e) < 0 &&
	    e.code != ERR_NOT_FOUND)
		minio_fail(q, S3_ADMIN_INVALID, &e);
	else
		applied(q);
}

static void add_value(struct buf *b, const char *value)
{
	bool quote = strpbrk(value, " \t\"\\") != NULL || !*value;

	if (!quote) {
		buf_add_str(b, value);
		return;
	}
	buf_add_char(b, '"');
	for (; *value; value++) {
		if (*value == '"' || *value == '\\')
			buf_add_char(b, '\\');
		buf_add_char(b, *value);
	}
	buf_add_char(b, '"');
}

static const char *setting_of(const struct notify_target *t, const struct notify_key *k)
{
	for (size_t i = 0; i < t->setting_count; i++)
		if (strcmp(t->settings[i].key, k->name) == 0)
			return k->secret ? "*redacted*" : t->settings[i].value;
	return k->missing;
}

static void add_target(struct buf *b, const struct notify_target *t)
{
	buf_printf(b, "notify_%s%s%s", t->kind, strcmp(t->name, "_") ? ":" : "",
		   strcmp(t->name, "_") ? t->name : "");
	for (const struct notify_key *k = notify_keys(t->kind); k->name; k++) {
		buf_printf(b, " %s=", k->name);
		add_value(b, setting_of(t, k));
	}
	buf_add_char(b, '\n');
}

// The targets of a kind, or one of them.
void minio_config_get(struct s3_req *q)
{
	struct notify_target *list;
	struct line l;
	struct err e = { 0 };
	size_t n, shown = 0;
	auto_buf struct buf b = { .max = TEXT_MAX };

	if (!parse_line(q, s3_param(q, "key"), &l))
		return;
	if (notify_target_list(notify_of(q), q->mem, &list, &n, &e) < 0) {
		s3_fail_store(q, &e);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		if (strcmp(list[i].kind, l.kind) != 0 ||
		    (l.name && strcmp(list[i].name, l.name) != 0))
			continue;
		add_target(&b, &list[i]);
		shown++;
	}
	if (!shown && l.name)
		s3_failf(q, S3_ADMIN_INVALID, "no target notify_%s:%s", l.kind, l.name);
	else if (!shown)
		buf_printf(&b, "notify_%s enable=off\n", l.kind);
	if (!http_replied(q->http))
		minio_send_sealed_text(q, buf_span(&b));
}

// What `mc admin config set ALIAS notify_webhook` shows.
void minio_config_help(struct s3_req *q)
{
	struct span sub = s3_param(q, "subSys"), want = s3_param(q, "key");
	json_t *keys = json_array();
	const struct notify_key *known = NULL;

	if (span_starts(sub, SPAN("notify_")))
		known = notify_keys(arena_strndup(q->mem, sub.p + 7, sub.n - 7));
	if (sub.n && !known) {
		json_decref(keys);
		s3_failf(q, S3_ADMIN_INVALID,
			 "only notify_webhook, notify_nats and notify_queue can be configured");
		return;
	}
	for (const char *const *kind = notify_kinds(); !sub.n && *kind; kind++)
		json_array_append_new(keys, json_pack("{s:o,s:s,s:b,s:s,s:b}", "key",
						      json_sprintf("notify_%s", *kind), "type", "",
						      "optional", 1, "description",
						      "target of bucket notifications",
						      "multipleTargets", 1));
	for (const struct notify_key *k = known; k && k->name; k++)
		if (!want.n || span_is(want, k->name))
			json_array_append_new(keys, json_pack("{s:s,s:s,s:b,s:s,s:b}", "key",
							      k->name, "type", "string", "optional",
							      !k->needed, "description", k->help,
							      "multipleTargets", 0));
	minio_send(q, json_pack("{s:s#,s:s,s:b,s:o}", "subSys", sub.p, (int)sub.n, "description",
				"targets of bucket notifications", "multipleTargets", known != NULL,
				"keysHelp", keys));
}

json_t *minio_arns(struct s3_req *q)
{
	json_t *v = json_array();
	struct notify_target *list;
	struct err ignored = { 0 };
	size_t n = 0;

	if (notify_target_list(notify_of(q), q->mem, &list, &n, &ignored) < 0)
		return v;
	for (size_t i = 0; i < n; i++)
		json_array_append_new(v, json_string(list[i].arn));
	return v;
}

// Settings take effect at once, so there is nothing that a restart would change; what asks for one after setting
// them (OSCAR's manager, mc) goes on.
void minio_service(struct s3_req *q)
{
	struct span action = s3_param(q, "action");

	if (!span_is(action, "restart")) {
		s3_fail(q, S3_NOT_IMPLEMENTED);
		return;
	}
	minio_send(q, json_pack("{s:s,s:b,s:[]}", "action", "restart", "dryRun", 0, "results"));
}

// ---- who asks ------------------------------------------------------------------------------------------

static void add_bucket(struct s3_req *q, json_t *list, const struct store_bucket *b)
{
	char time[CLOCK_TEXT_MAX];

	if (!s3_may(q, b, AUTH_LIST))
		return;
	json_array_append_new(list,
			      json_pack("{s:s,s:I,s:I,s:s,s:{s:b,s:b}}", "name", b->name, "size",
					(json_int_t)b->bytes, "objects", (json_int_t)b->objects,
					"created", clock_iso_ms(b->created_ns, time), "access",
					"read", 1, "write", s3_may(q, b, AUTH_WRITE)));
}

void minio_account(struct s3_req *q)
{
	struct span after = SPAN("");
	json_t *list = json_array();
	struct store_bucket *b;
	struct err e = { 0 };
	size_t n;

	do {
		if (store_bucket_list(q->s3->o.store, q->mem, 0, after, STORE_PAGE_MAX, &b, &n,
				      &e) < 0) {
			json_decref(list);
			s3_fail_store(q, &e);
			return;
		}
		for (size_t i = 0; i < n; i++)
			add_bucket(q, list, &b[i]);
		if (n)
			after = span_of(b[n - 1].name);
	} while (n == STORE_PAGE_MAX);
	minio_send(q, json_pack("{s:s,s:{s:s},s:{s:s,s:[]},s:o}", "AccountName", q->who.access,
				"Server", "backendType", "FS", "Policy", "Version", "2012-10-17",
				"Statement", "Buckets", list));
}
