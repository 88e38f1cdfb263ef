// image_import: an image from a file, a folder, standard input, or a recipe that buildah reads. Owner: struct cli.
// Threads: one. Errors: those of the server and of base/file.h.
// SPDX-License-Identifier: Apache-2.0
#include "cli/private.h"

#include "base/file.h"
#include "base/mem.h"
#include "cli/sif.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

// A tar stream on its way up: a file, or what `tar` writes into a pipe.
struct upload {
	struct cli *c;
	int fd;
	uint64_t done, last;
};

static ssize_t send_upload(void *owner, char *p, size_t n)
{
	struct upload *u = owner;
	ssize_t got = read(u->fd, p, n);

	if (got > 0)
		u->done += (uint64_t)got;
	if (u->done - u->last > 4 << 20) {
		u->last = u->done;
		cli_progress(u->c, "%.0f MiB sent", (double)u->done / 1048576.0);
	}
	return got;
}

// Starts `tar` on a folder; *fd reads its archive.
static int spawn_tar(const char *dir, int *fd, pid_t *pid, struct err *e)
{
	char *const argv[] = {
		"tar", "--numeric-owner", "--sparse", "-C", (char *)dir, "-cf", "-", ".", NULL
	};
	posix_spawn_file_actions_t actions;
	int ends[2], got;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(e, ERR_IO, errno, "pipe");
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
	got = posix_spawnp(pid, "tar", &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	close(ends[1]);
	if (got != 0) {
		close(ends[0]);
		return err_sys(e, ERR_IO, got, "start tar");
	}
	*fd = ends[0];
	return 0;
}

static int send_image(struct cli *c, struct upload *u, int64_t size, const char *name,
		      struct http_answer *a, struct err *e)
{
	const char *base = cli_opt(c, "base"), *prefix = cli_opt(c, "prefix");
	struct cli_request r = {
		.method = "POST",
		.path = cli_opt(c, "conda")
				? cli_path(c, "/system/images/import?name=%s&base=%s&conda=%s",
					   name, base, prefix ? prefix : "/opt/env")
				: cli_path(c, "/system/images/import?name=%s", name),
		.content_type = "application/x-tar",
		.send = send_upload,
		.send_size = size,
		.owner = u,
		.timeout_ms = -1,
		.once = true,
	};

	return cli_call(c, &r, a, e);
}

static int import_folder(struct cli *c, const char *dir, const char *name, struct http_answer *a,
			 struct err *e)
{
	struct upload u = { .c = c };
	auto_fd int fd = -1;
	int status = 0, got;
	pid_t tar = 0;

	if (spawn_tar(dir, &fd, &tar, e) < 0)
		return -1;
	u.fd = fd;
	got = send_image(c, &u, -1, name, a, e);
	file_close(file_take(&fd)); // tar ends by SIGPIPE when it is not done
	waitpid(tar, &status, 0);
	if (got == 0 && (!WIFEXITED(status) || WEXITSTATUS(status) != 0))
		return err_set(e, ERR_IO,
			       "tar could not read all of %s; the image may lack files: remove it",
			       dir);
	return got;
}

// "-" is standard input, so that `docker save` may write into a pipe.
static int import_file(struct cli *c, const char *path, const char *name, struct http_answer *a,
		       struct err *e)
{
	struct upload u = { .c = c };
	auto_fd int fd = strcmp(path, "-") == 0 ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
						: file_open(AT_FDCWD, path, O_RDONLY, 0, e);
	struct stat st;

	if (fd < 0)
		return -1;
	u.fd = fd;
	if (fstat(fd, &st) < 0)
		return err_sys(e, ERR_IO, errno, "%s", path);
	return send_image(c, &u, S_ISREG(st.st_mode) ? (int64_t)st.st_size : -1, name, a, e);
}

// ---- from a SIF image ----------------------------------------------------------------------------------

// Runs a program with our own standard streams; its exit status.
static int run_program(char *const *argv, const char *package, int *status, struct err *e)
{
	posix_spawn_file_actions_t files;
	pid_t pid;
	int got;

	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_adddup2(&files, STDERR_FILENO,
					 STDOUT_FILENO); // ours is the result
	got = posix_spawnp(&pid, argv[0], &files, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&files);
	if (got == ENOENT)
		return err_set(e, ERR_NOT_FOUND,
			       "%s is not installed, which this needs: apt-get install %s", argv[0],
			       package);
	if (got != 0)
		return err_sys(e, ERR_IO, got, "start %s", argv[0]);
	while (waitpid(pid, status, 0) < 0)
		if (errno != EINTR)
			return err_sys(e, ERR_IO, errno, "wait for %s", argv[0]);
	if (cli_interrupted(NULL))
		return err_set(e, ERR_CANCELLED, "interrupted");
	return 0;
}

// Its squashfs is unpacked beside, then sent as a folder.
static int unsquash(struct cli *c, const char *path, const char *folder, uint64_t offset,
		    const char *name, struct http_answer *a, struct err *e)
{
	char *root = arena_printf(&c->a, "%s/root", folder);
	char *at = arena_printf(&c->a, "%llu", (unsigned long long)offset);
	char *argv[] = { "unsquashfs", "-no-progress", "-no-xattrs", "-quiet",	   "-o",
			 at,	       "-d",	       root,	     (char *)path, NULL };
	int status;

	if (run_program(argv, "squashfs-tools", &status, e) < 0)
		return -1;
	// 2 is its word for things that only root can make: devices, owners.
	if (!WIFEXITED(status) || (WEXITSTATUS(status) != 0 && WEXITSTATUS(status) != 2))
		return err_set(e, ERR_INVALID, "unsquashfs could not unpack %s", path);
	return import_folder(c, root, name, a, e);
}

// 1 = it was one and is sent, 0 = it is something else.
static int import_sif(struct cli *c, const char *path, const char *name, struct http_answer *a,
		      struct err *e)
{
	const char *tmp = getenv("TMPDIR");
	char *folder = arena_printf(&c->a, "%s/oscar-sif-XXXXXX", tmp && *tmp ? tmp : "/tmp");
	auto_fd int fd = file_open(AT_FDCWD, path, O_RDONLY, 0, e);
	struct err ignored = { 0 };
	uint64_t offset, size;
	int got = fd < 0 ? -1 : sif_find(fd, &offset, &size, e);

	if (got <= 0)
		return got;
	if (!mkdtemp(folder))
		return err_sys(e, ERR_IO, errno, "%s", folder);
	got = unsquash(c, path, folder, offset, name, a, e);
	if (file_remove_tree(AT_FDCWD, folder, &ignored) < 0)
		cli_note(c, "oscar: warning: %s is left behind", folder);
	return got < 0 ? -1 : 1;
}

int cli_image_send(struct cli *c, const char *from, const char *name, json_t **image, struct err *e)
{
	auto_http_answer struct http_answer a = { 0 };
	struct stat st = { .st_mode = S_IFREG };
	int got = 0;

	if (strcmp(from, "-") != 0 && stat(from, &st) < 0)
		return err_sys(e, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno, "%s", from);
	if (strcmp(from, "-") != 0 && S_ISREG(st.st_mode))
		got = import_sif(c, from, name, &a, e);
	if (got < 0 ||
	    (!got && (S_ISDIR(st.st_mode) ? import_folder : import_file)(c, from, name, &a, e) < 0))
		return -1;
	cli_progress_end(c);
	if (codec_json_parse(buf_span(&a.body), 1 << 20, image, e) < 0)
		return err_wrap(e, "the server's answer");
	return 0;
}

static int import(struct cli *c, const char *from, const char *name, struct err *e)
{
	auto_json json_t *image = NULL;

	if (cli_image_send(c, from, name, &image, e) < 0)
		return -1;
	if (c->format == CLI_JSON)
		cli_print_json(c, image);
	else
		fprintf(c->out, "%s  %s\n", cli_clean(c, cli_text(image, "name")),
			cli_clean(c, cli_text(image, "digest")));
	return 0;
}

int cli_image_import(struct cli *c, struct err *e)
{
	if (!cli_opt(c, "conda") != !cli_opt(c, "base") ||
	    (cli_opt(c, "prefix") && !cli_opt(c, "conda")))
		return cli_usage(c, e, "--conda and --base IMAGE belong together");
	return import(c, c->words[0], c->words[1], e);
}

// ---- building ------------------------------------------------------------------------------------------

static int buildah(char *const *argv, const char *what, struct err *e)
{
	int status;

	if (run_program(argv, "buildah", &status, e) < 0)
		return -1;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0
		       ? 0
		       : err_set(e, ERR_INVALID, "buildah could not %s the image", what);
}

static int build_into(struct cli *c, const char *folder, const char *name, struct err *e)
{
	const char *recipe = cli_opt(c, "recipe");
	char *id = arena_printf(&c->a, "%s/id", folder);
	char *archive = arena_printf(&c->a, "%s/image.tar", folder);
	char *build[12] = { "buildah", "build", "--layers", "--iidfile", id };
	size_t n = 5;
	auto_buf struct buf text;

	buf_init(&text, 256);
	if (recipe) {
		build[n++] = "--file";
		build[n++] = (char *)recipe;
	}
	build[n++] = (char *)c->words[0];
	if (buildah(build, "build", e) < 0 || file_read_path(AT_FDCWD, id, &text, e) < 0)
		return -1;
	char *built = arena_printf(&c->a, SPAN_FMT, SPAN_ARG(span_trim(buf_span(&text))));
	char *to = arena_printf(&c->a, "oci-archive:%s", archive);
	char *push[] = { "buildah", "push", "--quiet", built, to, NULL };

	if (buildah(push, "pack", e) < 0)
		return -1;
	return import(c, archive, name, e);
}

int cli_image_build(struct cli *c, struct err *e)
{
	const char *tmp = getenv("TMPDIR"), *name = cli_opt(c, "tag");
	char *folder = arena_printf(&c->a, "%s/oscar-build-XXXXXX", tmp && *tmp ? tmp : "/tmp");
	struct err fault = { 0 };
	int got;

	if (!name)
		return cli_usage(c, e, "--tag NAME:TAG is wanted");
	if (!mkdtemp(folder))
		return err_sys(e, ERR_IO, errno, "%s", folder);
	got = build_into(c, folder, name, e);
	if (file_remove_tree(AT_FDCWD, folder, &fault) < 0 && got == 0) {
		*e = fault;
		return -1;
	}
	return got;
}
