// private_server: a server of one command's own. Owner, threads, errors: see the header.
// SPDX-License-Identifier: Apache-2.0
#include "cli/private_server.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/rand.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

enum { READY_MS = 30000, STOP_MS = 20000, PASSWORD_LEN = 32, ENV_ADDED = 4 };
enum {
	ARGS_MAX = 10 +
		   2 * (PRIVATE_SERVER_MOUNTS_MAX + PRIVATE_SERVER_CDI_MAX +
			PRIVATE_SERVER_KINDS_MAX) +
		   1
};

// A folder that lies on a disk, not in a memory file system: whole data sets pass through it.
static int make_folder(struct cli *c, const char *what, const char **out, struct err *e)
{
	const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
	const char *base = cache && *cache == '/' ? cache
			   : home && *home	  ? arena_printf(&c->a, "%s/.cache", home)
						  : "/var/tmp";
	char *dir;

	if (geteuid() == 0) // the server will be another user, who cannot enter root's home
		base = "/var/tmp";
	else if (file_mkdirs(base, 0700, e) < 0)
		return -1;
	dir = arena_printf(&c->a, "%s/oscar-%s-XXXXXX", base, what);
	if (!mkdtemp(dir))
		return err_sys(e, ERR_IO, errno, "create %s", dir);
	*out = dir;
	return 0;
}

// Our environment, with credentials that only this server and this command know.
static char **make_environment(struct cli *c)
{
	static const char *const names[ENV_ADDED] = { "OSCAR_USERNAME", "OSCAR_PASSWORD",
						      "MINIO_ACCESS_KEY", "MINIO_SECRET_KEY" };
	char password[PASSWORD_LEN + 1], secret[PASSWORD_LEN + 1], **env;
	const char *values[ENV_ADDED] = { "oscar", password, "oscar", secret };
	size_t n = 0, kept = 0;

	rand_alnum(password, PASSWORD_LEN);
	rand_alnum(secret, PASSWORD_LEN);
	while (environ[n])
		n++;
	env = arena_alloc(&c->a, (n + ENV_ADDED + 1) * sizeof(*env));
	for (size_t i = 0; i < n; i++)
		if (!span_starts(span_of(environ[i]), SPAN("OSCAR_")) &&
		    !span_starts(span_of(environ[i]), SPAN("MINIO_")))
			env[kept++] = environ[i];
	for (size_t i = 0; i < ENV_ADDED; i++)
		env[kept++] = arena_printf(&c->a, "%s=%s", names[i], values[i]);
	c->username = "oscar";
	c->password = arena_strdup(&c->a, password);
	mem_wipe(password, sizeof(password));
	mem_wipe(secret, sizeof(secret));
	return env;
}

static size_t add_each(char **argv, size_t n, const char *option, const char *const *values,
		       size_t count)
{
	for (size_t i = 0; i < count; i++) {
		argv[n++] = (char *)option;
		argv[n++] = (char *)values[i];
	}
	return n;
}

static int spawn(struct cli *c, struct private_server *s, int *ready, struct err *e)
{
	// Who runs this may use the machine's network anyway.
	char *argv[ARGS_MAX] = {
		"oscar",       "serve",	      "--data",	     (char *)s->dir,   "--listen",
		"127.0.0.1:0", "--s3-listen", "127.0.0.1:0", "--host-network",
	};
	const char *log = arena_printf(&c->a, "%s/server.log", s->dir);
	char **env = make_environment(c);
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attributes;
	sigset_t defaults;
	size_t n = 0;
	int ends[2], got;

	while (argv[n])
		n++;
	if (s->nat)
		argv[n++] = "--nat";
	n = add_each(argv, n, "--mount", s->mounts, s->mount_count);
	n = add_each(argv, n, "--cdi-dir", s->cdi, s->cdi_count);
	add_each(argv, n, "--device-kind", s->kinds, s->kind_count);
	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(e, ERR_IO, errno, "pipe");
	sigemptyset(&defaults);
	sigaddset(&defaults, SIGPIPE);
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&files, ends[1], STDOUT_FILENO);
	posix_spawn_file_actions_addopen(&files, STDERR_FILENO, log, O_WRONLY | O_CREAT | O_APPEND,
					 0600);
	posix_spawnattr_init(&attributes);
	// A group of its own: Ctrl-C is for us, and we end the server in order.
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setsigdefault(&attributes, &defaults);
	got = posix_spawn(&s->pid, "/proc/self/exe", &files, &attributes, argv, env);
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&attributes);
	close(ends[1]);
	*ready = ends[0];
	if (got != 0) {
		s->pid = 0;
		return err_sys(e, ERR_IO, got, "start a server");
	}
	return 0;
}

// The last line that the server logged, to tell why it did not start.
static const char *last_words(struct cli *c, const struct private_server *s)
{
	auto_buf struct buf text = { 0 };
	struct span rest, last = SPAN("it said nothing");
	struct err ignored;

	buf_init(&text, 1 << 20);
	if (file_read_path(AT_FDCWD, arena_printf(&c->a, "%s/server.log", s->dir), &text,
			   &ignored) < 0)
		return last.p;
	rest = buf_span(&text);
	while (rest.n > 0) {
		struct span line = span_cut(&rest, '\n');

		if (line.n > 0)
			last = line;
	}
	return arena_strndup(&c->a, last.p, last.n < 180 ? last.n : 180);
}

// Reads the line that says where the server listens.
static int read_ready(struct cli *c, const struct private_server *s, int fd, struct err *e)
{
	int64_t deadline = clock_mono_ns() + READY_MS * NS_PER_MS;
	auto_json json_t *line = NULL;
	char text[4096] = "";
	size_t n = 0;

	while (n < sizeof(text) - 1 && !memchr(text, '\n', n)) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		ssize_t got = 1;

		if (cli_interrupted(NULL))
			return err_set(e, ERR_CANCELLED, "interrupted");
		if (clock_mono_ns() > deadline)
			return err_set(e, ERR_UNAVAILABLE, "the server did not start in %d s",
				       READY_MS / 1000);
		if (poll(&p, 1, 100) > 0)
			got = read(fd, text + n, sizeof(text) - 1 - n);
		else
			continue;
		if (got <= 0)
			return err_set(e, ERR_UNAVAILABLE, "the server did not start: %s",
				       last_words(c, s));
		n += (size_t)got;
	}
	if (codec_json_parse(span_trim(span_make(text, n)), sizeof(text), &line, e) < 0)
		return err_wrap(e, "the server's first line");
	c->endpoint = arena_strdup(&c->a, cli_text(line, "api"));
	return 0;
}

int private_server_start(struct cli *c, struct private_server *s, struct err *e)
{
	auto_fd int ready = -1;

	if (make_folder(c, s->what, &s->dir, e) < 0)
		return -1;
	if (spawn(c, s, &ready, e) < 0 || read_ready(c, s, ready, e) < 0) {
		private_server_stop(c, s, false);
		return -1;
	}
	return 0;
}

static bool wait_end(pid_t pid, int64_t ms)
{
	int64_t deadline = clock_mono_ns() + ms * NS_PER_MS;

	while (waitpid(pid, NULL, WNOHANG) == 0) {
		struct timespec nap = { .tv_nsec = 20 * NS_PER_MS };

		if (clock_mono_ns() > deadline)
			return false;
		nanosleep(&nap, NULL);
	}
	return true;
}

void private_server_stop(struct cli *c, struct private_server *s, bool keep)
{
	struct err e = { 0 };

	if (s->pid) {
		kill(s->pid, SIGINT); // everything ends, its jobs too
		if (!wait_end(s->pid, STOP_MS)) {
			cli_note(c, "oscar: the server did not end in time; it is killed");
			kill(s->pid, SIGKILL);
			waitpid(s->pid, NULL, 0);
		}
		s->pid = 0;
	}
	if (s->dir && !keep && file_remove_tree(AT_FDCWD, s->dir, &e) < 0)
		cli_note(c, "oscar: %s is left behind: %s", s->dir, e.msg);
	s->dir = NULL;
}
