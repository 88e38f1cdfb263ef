// SPDX-License-Identifier: Apache-2.0
// setting: what an administrator says of a target, by MinIO's names where it has them.
#include "notify/engine.h"

#define COMMON_KEYS                                                                                \
	{ "enable", "on", false, false, "off: no events are taken or sent" },                      \
		{ "queue_limit", "100000", false, false,                                           \
		  "events that may wait; what is over is dropped and counted" },                   \
	{                                                                                          \
		"comment", "", false, false, "a text"                                              \
	}

#define DELIVERY_KEYS                                                                              \
	{ "retry_hours", "72", false, false, "what was not delivered by then is dead" },           \
		{ "retry_attempts", "0", false, false, "or after so many tries; 0: no bound" },    \
	{                                                                                          \
		"queue_dir", "", false, false, "taken, not needed: every event is on disk"         \
	}

static const struct notify_key webhook_keys[] = {
	{ "endpoint", "", false, true, "URL that each event is posted to" },
	{ "auth_token", "", true, false, "one word: a bearer token; else the header's value" },
	{ "timeout", "10", false, false, "seconds for an answer" },
	{ "ca_file", "", false, false, "certificates to trust instead of the system's" },
	{ "skip_verify", "off", false, false, "on: any certificate will do" },
	DELIVERY_KEYS,
	COMMON_KEYS,
	{ 0 },
};
static const struct notify_key nats_keys[] = {
	{ "address", "", false, true, "HOST:PORT of the server" },
	{ "subject", "", false, true, "what the messages are published to" },
	{ "username", "", false, false, "of a login" },
	{ "password", "", true, false, "of a login" },
	{ "token", "", true, false, "instead of a login" },
	{ "jetstream", "off", false, false, "on: a stream must acknowledge" },
	{ "tls", "off", false, false, "on: encrypted" },
	{ "tls_skip_verify", "off", false, false, "on: any certificate will do" },
	{ "ca_file", "", false, false, "certificates to trust instead of the system's" },
	DELIVERY_KEYS,
	COMMON_KEYS,
	{ 0 },
};
static const struct notify_key queue_keys[] = {
	{ "users", "", false, false, "who may read it beside administrators, with commas" },
	COMMON_KEYS,
	{ 0 },
};

static const char *const kinds[] = { "nats", "queue", "webhook", NULL };

const char *const *notify_kinds(void)
{
	return kinds;
}

const struct notify_key *notify_keys(const char *kind)
{
	if (strcmp(kind, "webhook") == 0)
		return webhook_keys;
	if (strcmp(kind, "nats") == 0)
		return nats_keys;
	return strcmp(kind, "queue") == 0 ? queue_keys : NULL;
}

const struct notify_key *setting_key(const char *kind, const char *name)
{
	for (const struct notify_key *k = notify_keys(kind); k->name; k++)
		if (strcmp(k->name, name) == 0)
			return k;
	return NULL;
}

const char *setting_raw(const struct target *t, const char *key)
{
	for (size_t i = 0; i < t->setting_count; i++)
		if (strcmp(t->settings[i].key, key) == 0)
			return t->settings[i].value;
	return NULL;
}

const char *target_setting(const struct target *t, const char *key)
{
	const struct notify_key *k = setting_key(t->kind, key);
	const char *v = setting_raw(t, key);

	return v ? v : k ? k->missing : "";
}

bool setting_number(const struct target *t, const char *key, uint64_t max, uint64_t *out,
		    struct err *e)
{
	*out = 0;
	if (!setting_key(t->kind, key))
		return true;
	if (span_to_u64(span_of(target_setting(t, key)), out) && *out <= max)
		return true;
	err_set(e, ERR_INVALID, "%s: a number up to %llu", key, (unsigned long long)max);
	return false;
}

static int check_endpoint(const struct target *t, struct err *e)
{
	struct span url = span_of(target_setting(t, "endpoint"));

	if (!span_starts(url, SPAN("http://")) && !span_starts(url, SPAN("https://")))
		return err_set(e, ERR_INVALID, "endpoint: a URL of http or https");
	for (size_t i = 0; i < url.n; i++)
		if ((unsigned char)url.p[i] <= ' ' || url.p[i] == 0x7f)
			return err_set(e, ERR_INVALID, "endpoint: no URL");
	return 0;
}

static int check_values(const struct target *t, struct err *e)
{
	for (size_t i = 0; i < t->setting_count; i++) {
		const struct notify_setting *s = &t->settings[i];
		const struct notify_key *k = setting_key(t->kind, s->key);

		if (strlen(s->value) >= NOTIFY_VALUE_MAX)
			return err_set(e, ERR_LIMIT, "%s: at most %d characters", s->key,
				       NOTIFY_VALUE_MAX - 1);
		if (strpbrk(s->value, "\r\n"))
			return err_set(e, ERR_INVALID, "%s: one line", s->key);
		if (k && (strcmp(k->missing, "on") == 0 || strcmp(k->missing, "off") == 0) &&
		    strcmp(s->value, "on") != 0 && strcmp(s->value, "off") != 0)
			return err_set(e, ERR_INVALID, "%s: on or off", s->key);
	}
	return 0;
}

int setting_check(const struct target *t, struct err *e)
{
	uint64_t n;

	for (const struct notify_key *k = notify_keys(t->kind); k->name; k++)
		if (k->needed && !*target_setting(t, k->name))
			return err_set(e, ERR_INVALID, "%s: needed (%s)", k->name, k->help);
	if (check_values(t, e) < 0)
		return -1;
	if (!setting_number(t, "queue_limit", 100000000, &n, e) ||
	    !setting_number(t, "retry_hours", 24 * 366, &n, e) ||
	    !setting_number(t, "retry_attempts", 1000000, &n, e) ||
	    !setting_number(t, "timeout", 300, &n, e))
		return -1;
	if (strcmp(t->kind, "webhook") == 0)
		return check_endpoint(t, e);
	if (strpbrk(target_setting(t, "subject"), " \t*>"))
		return err_set(e, ERR_INVALID, "subject: no blanks and wildcards");
	return 0;
}
