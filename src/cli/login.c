// login: who we are to an image registry: what `docker login`, podman and skopeo have kept, in their files or with one of
// Docker's credential helpers (docker-credential-NAME: reads the registry, writes JSON).
// Owner: struct cli, whose arena holds what is found. Threads: one.
// SPDX-License-Identifier: Apache-2.0
#include "cli/private.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "codec/docker_auth.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { HELPER_OUTPUT_MAX = 64 << 10, HELPER_MS = 60000 };

extern char **environ;

struct helper {
	pid_t pid;
	int in, out;
};

static int start_helper(const char *program, struct helper *h, struct err *e)
{
	char *const argv[] = { (char *)program, "get", NULL };
	posix_spawn_file_actions_t files;
	int in[2], out[2], got;

	if (pipe2(in, O_CLOEXEC) < 0)
		return err_sys(e, ERR_IO, errno, "pipe");
	if (pipe2(out, O_CLOEXEC) < 0) {
		close(in[0]);
		close(in[1]);
		return err_sys(e, ERR_IO, errno, "pipe");
	}
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_adddup2(&files, in[0], STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&files, out[1], STDOUT_FILENO);
	got = posix_spawnp(&h->pid, program, &files, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&files);
	close(in[0]);
	close(out[1]);
	h->in = in[1];
	h->out = out[0];
	if (got == 0)
		return 0;
	close(in[1]);
	close(out[0]);
	return err_sys(e, got == ENOENT ? ERR_NOT_FOUND : ERR_IO, got, "start %s", program);
}

// All that it writes, until it is done or too slow.
static int read_helper(const struct helper *h, struct buf *out, struct err *e)
{
	int64_t until = clock_mono_ns() + HELPER_MS * NS_PER_MS;

	for (;;) {
		struct pollfd p = { h->out, POLLIN, 0 };
		int64_t left = (until - clock_mono_ns()) / NS_PER_MS;
		char *room = buf_room(out, 4096);
		ssize_t k;

		if (!room)
			return err_set(e, ERR_LIMIT, "it writes over %d bytes", HELPER_OUTPUT_MAX);
		if (left <= 0 || cli_interrupted(NULL))
			return err_set(e, ERR_TIMEOUT, "it does not answer");
		if (poll(&p, 1, left < 500 ? (int)left : 500) <= 0)
			continue;
		k = read(h->out, room, 4096);
		if (k == 0)
			return 0;
		if (k < 0 && errno != EINTR)
			return err_sys(e, ERR_IO, errno, "read");
		buf_grown(out, k > 0 ? (size_t)k : 0);
	}
}

static int talk(const struct helper *h, const char *registry, struct buf *out, int *status,
		struct err *e)
{
	int bad = file_write_all(h->in, registry, strlen(registry), e);

	close(h->in);
	if (!bad)
		bad = read_helper(h, out, e);
	close(h->out);
	if (bad)
		kill(h->pid, SIGKILL);
	while (waitpid(h->pid, status, 0) < 0 && errno == EINTR)
		;
	return bad;
}

// 1 = found, 0 = it knows nothing of that registry.
static int ask_helper(struct cli *c, const char *name, const char *registry, const char **user,
		      const char **password, struct err *e)
{
	const char *program = arena_printf(&c->a, "docker-credential-%s", name), *text = NULL;
	bool hub = strcmp(registry, "docker.io") == 0;
	auto_json json_t *v = NULL;
	auto_buf struct buf out;
	struct helper h;
	int status = 0;

	buf_init(&out, HELPER_OUTPUT_MAX);
	if (start_helper(program, &h, e) < 0)
		return -1;
	if (talk(&h, hub ? "https://index.docker.io/v1/" : registry, &out, &status, e) < 0)
		return err_wrap(e, "%s", program);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return 0;
	if (codec_json_parse(buf_span(&out), HELPER_OUTPUT_MAX, &v, e) < 0 ||
	    codec_json_get_string(v, "Username", &text, e) < 0)
		return err_set(e, ERR_INVALID, "%s writes no credentials", program);
	*user = text && *text ? arena_strdup(&c->a, text) : NULL;
	text = NULL;
	if (codec_json_get_string(v, "Secret", &text, e) < 0 || (*user && !text))
		return err_set(e, ERR_INVALID, "%s writes no credentials", program);
	if (*user && strcmp(*user, "<token>") == 0)
		return err_set(e, ERR_UNSUPPORTED,
			       "%s holds an identity token; log in with user and password",
			       program);
	*password = *user ? arena_strdup(&c->a, text) : NULL;
	mem_wipe(out.p, out.n);
	return *user ? 1 : 0;
}

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

static int in_file(struct cli *c, const char *path, const char *registry, const char **user,
		   const char **password, struct err *e)
{
	const char *helper = NULL;
	struct err missing = { 0 };
	auto_buf struct buf text;
	int got;

	buf_init(&text, DOCKER_AUTH_FILE_MAX);
	if (!*path || file_read_path(AT_FDCWD, path, &text, &missing) < 0)
		return 0; // of another user, or not there
	got = docker_auth_helper(buf_span(&text), registry, &c->a, &helper, e);
	if (got > 0)
		got = ask_helper(c, helper, registry, user, password, e);
	if (got == 0)
		got = docker_auth_find(buf_span(&text), registry, &c->a, user, password, e);
	mem_wipe(text.p, text.n);
	return got < 0 ? err_wrap(e, "%s", path) : got;
}

int cli_login_find(struct cli *c, const char *registry, const char **user, const char **password,
		   struct err *e)
{
	const char *path;
	int got = 0;

	for (unsigned i = 0; !got && (path = login_file(c, i)); i++)
		got = in_file(c, path, registry, user, password, e);
	return got < 0 ? -1 : 0;
}
