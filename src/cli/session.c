// session: which server, as whom, and calls to it. Owner: struct cli. Threads: one. Errors: those of
// http/client.h, with the call in front.
// SPDX-License-Identifier: Apache-2.0
#include "cli/private.h"

#include "base/file.h"
#include "base/mem.h"
#include "codec/url.h"
#include "codec/yaml.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CONFIG_MAX = 64 * 1024, JSON_MAX = 64 << 20 };

static const char DEFAULT_ENDPOINT[] = "http://127.0.0.1:8080";

static const char *env_or_null(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? value : NULL;
}

// The folder NAME of the user's XDG folders, or NULL when there is no home.
static const char *xdg_path(struct cli *c, const char *variable, const char *below_home,
			    const char *name)
{
	const char *base = env_or_null(variable), *home = env_or_null("HOME");

	if (base && *base == '/')
		return arena_printf(&c->a, "%s/oscar/%s", base, name);
	return home ? arena_printf(&c->a, "%s/%s/oscar/%s", home, below_home, name) : NULL;
}

// Reads a small YAML or JSON object; NULL when the file is not there or cannot be read.
static json_t *read_settings(struct cli *c, const char *path)
{
	auto_buf struct buf text = { 0 };
	auto_arena struct arena a = { 0 };
	struct codec_yaml_node *node;
	struct err e = { 0 };

	buf_init(&text, CONFIG_MAX);
	if (!path || file_read_path(AT_FDCWD, path, &text, &e) < 0)
		return NULL;
	if (codec_yaml_parse(buf_span(&text), CONFIG_MAX, &a, &node, &e) < 0) {
		cli_note(c, "oscar: %s is left out: %s", path, e.msg);
		return NULL;
	}
	return codec_yaml_to_json(node);
}

static void take_setting(struct cli *c, const json_t *settings, const char *key, const char **into)
{
	const char *value = cli_text(settings, key);

	if (!*into && *value)
		*into = arena_strdup(&c->a, value);
}

static void warn_if_open(struct cli *c, const char *path)
{
	struct stat st;

	if (c->password && stat(path, &st) == 0 && (st.st_mode & 077))
		cli_note(c, "oscar: others can read the password in %s; chmod 600 it", path);
}

static void take_config_file(struct cli *c)
{
	const char *path = xdg_path(c, "XDG_CONFIG_HOME", ".config", "config.yaml");
	auto_json json_t *settings = NULL;

	if (env_or_null("OSCAR_CONFIG"))
		path = getenv("OSCAR_CONFIG");
	settings = read_settings(c, path);
	if (!settings)
		return;
	take_setting(c, settings, "endpoint", &c->endpoint);
	take_setting(c, settings, "username", &c->username);
	take_setting(c, settings, "password", &c->password);
	take_setting(c, settings, "token", &c->token);
	warn_if_open(c, path);
}

// A server of this user (or of root) on this machine leaves its address and, readable by nobody else, its
// credentials in its data folder.
static void take_local_server(struct cli *c)
{
	const char *data = env_or_null("OSCAR_DATA");
	auto_json json_t *ready = NULL;
	auto_json json_t *login = NULL;

	if (!data)
		data = geteuid() == 0 ? "/var/lib/oscar"
				      : xdg_path(c, "XDG_STATE_HOME", ".local/state", "");
	if (!data)
		return;
	ready = read_settings(c, arena_printf(&c->a, "%s/ready.json", data));
	login = read_settings(c, arena_printf(&c->a, "%s/credentials.json", data));
	take_setting(c, ready, "api", &c->endpoint);
	take_setting(c, login, "username", &c->username);
	take_setting(c, login, "password", &c->password);
}

static bool is_local(const char *endpoint)
{
	return !endpoint || strstr(endpoint, "://127.0.0.1") || strstr(endpoint, "://localhost") ||
	       strstr(endpoint, "://[::1]");
}

static void find_server(struct cli *c)
{
	size_t n;

	if (cli_opt(c, "endpoint"))
		c->endpoint = cli_opt(c, "endpoint");
	if (!c->endpoint)
		c->endpoint = env_or_null("OSCAR_ENDPOINT");
	if (!c->username)
		c->username = env_or_null("OSCAR_USERNAME");
	if (!c->password)
		c->password = env_or_null("OSCAR_PASSWORD");
	if (!c->token)
		c->token = env_or_null("OSCAR_TOKEN");
	take_config_file(c);
	if (is_local(c->endpoint) && !c->password && !c->token)
		take_local_server(c);
	if (!c->endpoint)
		c->endpoint = DEFAULT_ENDPOINT;
	if (!c->username)
		c->username = "oscar";
	n = strlen(c->endpoint);
	while (n > 0 && c->endpoint[n - 1] == '/')
		n--;
	c->endpoint = arena_strndup(&c->a, c->endpoint, n);
}

int cli_session_client(struct cli *c, struct http_client **out, struct err *e)
{
	struct http_client_options o = { .agent = "oscar-cli", .cancelled = cli_interrupted };

	if (c->token) {
		o.bearer = c->token;
	} else if (c->password) {
		o.user = c->username;
		o.password = c->password;
	}
	o.insecure = env_or_null("OSCAR_INSECURE") != NULL;
	o.ca_file = env_or_null("OSCAR_CA_FILE");
	return http_client_new(&o, out, e);
}

int cli_session(struct cli *c, struct err *e)
{
	if (c->http)
		return 0;
	find_server(c);
	return cli_session_client(c, &c->http, e);
}

void cli_session_close(struct cli *c)
{
	http_client_free(c->http);
	c->http = NULL;
	c->s3 = NULL;
}

static bool is_repeatable(const struct cli_request *r)
{
	return !r->once && strcmp(r->method, "POST") != 0 && (!r->send || r->rewind);
}

int cli_ask(struct cli *c, const struct cli_request *r, struct http_answer *out, struct err *e)
{
	const char *headers[4];
	struct http_call call = {
		.method = r->method,
		.headers = headers,
		.body = r->body,
		.send = r->send,
		.rewind = r->rewind,
		.send_size = r->send_size,
		.take = r->take,
		.owner = r->owner,
		.body_max = JSON_MAX,
		.timeout_ms = r->timeout_ms < 0 ? 0
			      : r->timeout_ms	? r->timeout_ms
						: 60000,
		.tries = is_repeatable(r) ? 4 : 1,
		.no_auth = r->bearer != NULL,
	};

	if (cli_session(c, e) < 0)
		return -1;
	call.url = arena_printf(&c->a, "%s%s", c->endpoint, r->path);
	if (r->body.n > 0 || r->send)
		headers[call.header_count++] =
			arena_printf(&c->a, "Content-Type: %s",
				     r->content_type ? r->content_type : "application/json");
	if (r->accept)
		headers[call.header_count++] = arena_printf(&c->a, "Accept: %s", r->accept);
	if (r->bearer)
		headers[call.header_count++] =
			arena_printf(&c->a, "Authorization: Bearer %s", r->bearer);
	if (r->extra_header)
		headers[call.header_count++] = r->extra_header;
	c->answered = http_client_call(c->http, &call, out, e) == 0;
	return c->answered ? 0 : err_wrap(e, "%s %s", r->method, call.url);
}

int cli_call(struct cli *c, const struct cli_request *r, struct http_answer *out, struct err *e)
{
	struct span warning;

	if (cli_ask(c, r, out, e) < 0 || http_answer_check(out, e) < 0)
		return -1;
	warning = http_answer_header(out, "Warning");
	if (warning.n > 0)
		cli_note(c, "oscar: warning: %s", cli_clean(c, warning.p));
	return 0;
}

int cli_get_json(struct cli *c, const char *path, json_t **out, struct err *e)
{
	auto_http_answer struct http_answer a = { 0 };
	struct cli_request r = { .method = "GET", .path = path };

	if (cli_call(c, &r, &a, e) < 0)
		return -1;
	if (codec_json_parse(buf_span(&a.body), JSON_MAX, out, e) < 0) {
		e->code = ERR_PROTOCOL;
		return err_wrap(e, "the answer to GET %s", path);
	}
	return 0;
}

const char *cli_path(struct cli *c, const char *fmt, ...)
{
	struct buf b;
	va_list ap;
	char *text;

	buf_init(&b, 1 << 20);
	va_start(ap, fmt);
	for (const char *p = fmt; *p; p++) {
		if (p[0] == '%' && p[1] == 's') {
			url_encode(&b, span_of(va_arg(ap, const char *)), "");
			p++;
		} else if (p[0] == '%' && p[1] == 'l' && p[2] == 'd') {
			buf_printf(&b, "%ld", va_arg(ap, long));
			p += 2;
		} else {
			buf_add_char(&b, *p);
		}
	}
	va_end(ap);
	text = arena_strndup(&c->a, b.p ? b.p : "", b.n);
	buf_release(&b);
	return text;
}
