// SPDX-License-Identifier: Apache-2.0
// webhook: one POST an event, as MinIO sends it, on a connection that is kept.
#include "base/mem.h"
#include "http/client.h"
#include "notify/sender.h"

enum { ANSWER_MAX = 4096 };

struct webhook {
	struct sender base;
	struct http_client *client;
	char *url;
	char *token; // the header's value, NULL = none
	int64_t timeout_ms;
};

static void webhook_close(struct sender *s)
{
	struct webhook *w = (struct webhook *)s;

	http_client_free(w->client);
	mem_free(w->url);
	if (w->token)
		mem_wipe(w->token, strlen(w->token));
	mem_free(w->token);
	mem_free(w);
}

static int judge(const struct http_answer *a, struct err *e)
{
	struct span line;
	struct span text = buf_span(&a->body);

	if (a->status >= 200 && a->status < 300)
		return 0;
	line = span_head(span_cut(&text, '\n'), 120);
	// These say that nobody is served at the moment.
	return err_set(e,
		       a->status == 429 || (a->status >= 502 && a->status <= 504) ? ERR_BUSY
										  : ERR_PROTOCOL,
		       "status %d: " SPAN_FMT, a->status, SPAN_ARG(line));
}

static int webhook_send(struct sender *s, const struct sender_letter *l, struct err *e)
{
	struct webhook *w = (struct webhook *)s;
	auto_free char *id = mem_printf("X-Oscar-Delivery: %s", l->id);
	auto_free char *attempt = mem_printf("X-Oscar-Attempt: %u", l->attempt);
	const char *headers[] = { "Content-Type: application/json", id, attempt, w->token };
	struct http_call call = { .method = "POST",
				  .url = w->url,
				  .headers = headers,
				  .header_count = w->token ? 4 : 3,
				  .no_auth = true,
				  .body = l->record,
				  .body_max = ANSWER_MAX,
				  .timeout_ms = w->timeout_ms };
	auto_http_answer struct http_answer a = { 0 };

	if (http_client_call(w->client, &call, &a, e) < 0)
		return e->code == ERR_LIMIT ? 0 : -1; // a long answer is one all the same
	return judge(&a, e);
}

// One word is a bearer token, more are sent as they are; as MinIO has it.
static char *token_header(const char *token)
{
	if (!*token)
		return NULL;
	return mem_printf(strchr(token, ' ') ? "Authorization: %s" : "Authorization: Bearer %s",
			  token);
}

int webhook_open(const struct sender_options *o, struct sender **out, struct err *e)
{
	const char *ca = o->setting(o->owner, "ca_file");
	struct http_client_options co = {
		.agent = "oscar",
		.ca_file = *ca ? ca : NULL,
		.insecure = strcmp(o->setting(o->owner, "skip_verify"), "on") == 0,
		.connect_timeout_ms = 5000,
		.cancelled = o->cancelled,
		.owner = o->cancel_owner,
	};
	struct webhook *w = mem_zalloc(sizeof(*w));
	uint64_t seconds = 10;

	w->base = (struct sender){ webhook_send, webhook_close };
	w->url = mem_strdup(o->setting(o->owner, "endpoint"));
	w->token = token_header(o->setting(o->owner, "auth_token"));
	(void)span_to_u64(span_of(o->setting(o->owner, "timeout")), &seconds);
	w->timeout_ms = (int64_t)seconds * 1000;
	if (http_client_new(&co, &w->client, e) < 0) {
		webhook_close(&w->base);
		return -1;
	}
	*out = &w->base;
	return 0;
}
