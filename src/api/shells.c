// SPDX-License-Identifier: Apache-2.0
// shells: the call that opens one in a job's sandbox, and switches its connection.
#include "api/req.h"
#include "api/shell.h"
#include "codec/shell_frame.h"

static bool is_type(const char *type)
{
	for (const char *p = type; *p; p++)
		if (!((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
		      (*p >= '0' && *p <= '9') || strchr("+-._", *p)))
			return false;
	return *type && strlen(type) < SHELL_TERMINAL_MAX;
}

static int read_terminal(const json_t *body, struct shell_wish *w, struct err *e)
{
	int64_t rows = 24, columns = 80;
	const char *type = "xterm";
	json_t *v = NULL;

	if (codec_json_get_object(body, "terminal", &v, e) < 0)
		return -1;
	if (!v)
		return 0;
	if (codec_json_get_string(v, "type", &type, e) < 0 ||
	    codec_json_get_int(v, "rows", 0, UINT16_MAX, &rows, e) < 0 ||
	    codec_json_get_int(v, "columns", 0, UINT16_MAX, &columns, e) < 0)
		return err_wrap(e, "terminal");
	if (!is_type(type))
		return err_set(e, ERR_INVALID,
			       "terminal: type: 1 to %d letters, digits, '+', '-', '.' or '_'",
			       SHELL_TERMINAL_MAX - 1);
	snprintf(w->terminal, sizeof(w->terminal), "%s", type);
	w->rows = (uint16_t)rows;
	w->columns = (uint16_t)columns;
	return 0;
}

static int read_command(const json_t *body, struct shell_wish *w, struct err *e)
{
	json_t *list = NULL, *word;
	size_t i;

	if (codec_json_get_array(body, "command", &list, e) < 0)
		return -1;
	if (json_array_size(list) > SHELL_WORDS_MAX)
		return err_set(e, ERR_LIMIT, "command: more than %d words", SHELL_WORDS_MAX);
	json_array_foreach(list, i, word)
	{
		const char *text = json_string_value(word);

		if (!text || strlen(text) != json_string_length(word) || (!i && !*text))
			return err_set(e, ERR_INVALID,
				       "command: expected texts, of which the first is a program");
		w->command[w->command_count++] = text;
	}
	return 0;
}

// A shell shows what the service keeps from others: its secrets and its token.
static bool may_open(struct req *q, const struct queue_job *j)
{
	auto_service_def struct service_def *d = NULL;
	struct err e = { 0 };

	if (q->who.admin)
		return true;
	if (service_by_id(q->api->o.services, j->service, &d, &e) == 0 && d->owner == q->who.user)
		return true;
	reply_text(q, 403, "only the owner of its service may open a shell on a job");
	return false;
}

static bool asks_for_switch(struct req *q)
{
	if (span_eq_nocase(http_header(q->http, "Upgrade"), SPAN(SHELL_PROTOCOL)))
		return true;
	http_reply_header(q->http, "Upgrade", SPAN(SHELL_PROTOCOL));
	reply_text(q, 426, "a shell needs a connection that switches to " SHELL_PROTOCOL);
	return false;
}

void api_jobs_shell(struct req *q)
{
	struct shell_wish w = { .user = q->who.name };
	struct span text = http_body(q->http);
	auto_json json_t *body = NULL;
	struct queue_job j;
	struct err e = { 0 };

	if (!asks_for_switch(q) || !req_job(q, q->param[0], &j) || !may_open(q, &j))
		return;
	w.job = &j;
	if ((text.n && codec_json_parse(text, text.n, &body, &e) < 0) ||
	    (body && !json_is_object(body) &&
	     err_set(&e, ERR_INVALID, "expected an object, got %s", codec_json_kind(body)) < 0) ||
	    (body && (read_terminal(body, &w, &e) < 0 || read_command(body, &w, &e) < 0)) ||
	    shell_open(q->api, &w, &q->shell, &e) < 0) {
		reply_call_error(q, &e);
		return;
	}
	http_reply_header(q->http, "Upgrade", SPAN(SHELL_PROTOCOL));
	http_reply_switch(q->http, shell_switched, q->shell);
}
