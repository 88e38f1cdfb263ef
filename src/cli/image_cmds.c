// image_cmds: pulling an image with the logins of the person who asks. Owner: struct cli. Threads: one.
// Errors: those of the server; ERR_INVALID (a reference, a login file of a wrong form).
// SPDX-License-Identifier: Apache-2.0
#include "cli/private.h"

#include "base/file.h"
#include "base/mem.h"
#include "codec/docker_auth.h"
#include "codec/reference.h"

#include <fcntl.h>

// Where docker, podman and skopeo keep what `login` was told.
static const char *login_file(struct cli *c, unsigned i)
{
	const char *dir = getenv("DOCKER_CONFIG"), *run = getenv("XDG_RUNTIME_DIR"),
		   *home = getenv("HOME");

	switch (i) {
	case 0:
		return dir && *dir ? arena_printf(&c->a, "%s/config.json", dir) : "";
	case 1:
		return run && *run ? arena_printf(&c->a, "%s/containers/auth.json", run) : "";
	case 2:
		return home && *home && !(dir && *dir)
			       ? arena_printf(&c->a, "%s/.docker/config.json", home)
			       : "";
	default:
		return NULL;
	}
}

static int find_login(struct cli *c, const char *registry, const char **user, const char **password,
		      struct err *e)
{
	const char *path;
	int got = 0;

	for (unsigned i = 0; !got && (path = login_file(c, i)); i++) {
		struct err missing = { 0 };
		auto_buf struct buf text;

		buf_init(&text, DOCKER_AUTH_FILE_MAX);
		if (!*path || file_read_path(AT_FDCWD, path, &text, &missing) < 0)
			continue; // of another user, or not there
		got = docker_auth_find(buf_span(&text), registry, &c->a, user, password, e);
		mem_wipe(text.p, text.n);
		if (got < 0)
			return err_wrap(e, "%s", path);
	}
	return 0;
}

// A password goes to the server only where nobody can listen.
static bool is_private_way(const char *endpoint)
{
	return strncmp(endpoint, "https://", 8) == 0 || strncmp(endpoint, "http://127.", 11) == 0 ||
	       strncmp(endpoint, "http://localhost", 16) == 0 ||
	       strncmp(endpoint, "http://[::1]", 12) == 0;
}

static int print_pulled(struct cli *c, const struct http_answer *a, struct err *e)
{
	auto_json json_t *image = NULL;

	if (codec_json_parse(buf_span(&a->body), 1 << 20, &image, e) < 0)
		return err_wrap(e, "the server's answer");
	if (c->format == CLI_JSON) {
		cli_print_json(c, image);
		return 0;
	}
	fprintf(c->out, "%s  %s\n", cli_clean(c, cli_text(image, "name")),
		cli_clean(c, cli_text(image, "digest")));
	cli_note(c, "%lld layers, %s fetched", (long long)cli_int(image, "layers"),
		 cli_size(c, (uint64_t)cli_int(image, "transferred")));
	return 0;
}

int cli_image_pull(struct cli *c, struct err *e)
{
	auto_http_answer struct http_answer a = { 0 };
	const char *user = NULL, *password = NULL;
	auto_free char *text = NULL;
	auto_json json_t *body = NULL;
	struct reference ref;
	struct cli_request r = {
		.method = "POST", .path = "/system/images/pull", .timeout_ms = -1, .once = true
	};
	int got;

	if (reference_parse(span_of(c->words[0]), &ref, e) < 0)
		return cli_usage(c, e, "%s", e->msg);
	if (find_login(c, ref.registry, &user, &password, e) < 0 || cli_session(c, e) < 0)
		return -1;
	if (user && !is_private_way(c->endpoint)) {
		cli_note(c,
			 "oscar: warning: the credentials of %s are not sent to %s, which is "
			 "neither https nor this machine",
			 ref.registry, c->endpoint);
		user = password = NULL;
	}
	body = json_pack("{s:s,s:s*,s:s*,s:s*}", "reference", c->words[0], "name",
			 cli_opt(c, "name"), "username", user, "password", password);
	if (!body)
		return err_set(e, ERR_INVALID, "the reference or the credentials are no UTF-8");
	text = codec_json_text(body, CODEC_JSON_PLAIN);
	r.body = span_of(text);
	got = cli_call(c, &r, &a, e);
	mem_wipe(text, strlen(text));
	return got < 0 ? -1 : print_pulled(c, &a, e);
}
