// admin_cmds: images, users, buckets, and how the server is. Owner: struct cli. Threads: one.
// Errors: those of the server and of base/file.h.
// SPDX-License-Identifier: Apache-2.0
#include "cli/private.h"

#include "base/file.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
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

static int send_image(struct cli *c, struct upload *u, int64_t size, struct http_answer *a,
		      struct err *e)
{
	struct cli_request r = {
		.method = "POST",
		.path = cli_path(c, "/system/images/import?name=%s", c->words[1]),
		.content_type = "application/x-tar",
		.send = send_upload,
		.send_size = size,
		.owner = u,
		.timeout_ms = -1,
		.once = true,
	};

	return cli_call(c, &r, a, e);
}

static int import_folder(struct cli *c, const char *dir, struct http_answer *a, struct err *e)
{
	struct upload u = { .c = c };
	auto_fd int fd = -1;
	int status = 0, got;
	pid_t tar = 0;

	if (spawn_tar(dir, &fd, &tar, e) < 0)
		return -1;
	u.fd = fd;
	got = send_image(c, &u, -1, a, e);
	file_close(file_take(&fd)); // tar ends by SIGPIPE when it is not done
	waitpid(tar, &status, 0);
	if (got == 0 && (!WIFEXITED(status) || WEXITSTATUS(status) != 0))
		return err_set(e, ERR_IO,
			       "tar could not read all of %s; the image may lack files: remove it",
			       dir);
	return got;
}

static int import_file(struct cli *c, const char *path, struct http_answer *a, struct err *e)
{
	struct upload u = { .c = c };
	auto_fd int fd = file_open(AT_FDCWD, path, O_RDONLY, 0, e);
	struct stat st;

	if (fd < 0)
		return -1;
	u.fd = fd;
	if (fstat(fd, &st) < 0)
		return err_sys(e, ERR_IO, errno, "%s", path);
	return send_image(c, &u, S_ISREG(st.st_mode) ? (int64_t)st.st_size : -1, a, e);
}

int cli_image_import(struct cli *c, struct err *e)
{
	auto_http_answer struct http_answer a = { 0 };
	auto_json json_t *image = NULL;
	const char *from = c->words[0];
	struct stat st;

	if (stat(from, &st) < 0)
		return err_sys(e, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno, "%s", from);
	if ((S_ISDIR(st.st_mode) ? import_folder : import_file)(c, from, &a, e) < 0)
		return -1;
	cli_progress_end(c);
	if (codec_json_parse(buf_span(&a.body), 1 << 20, &image, e) < 0)
		return err_wrap(e, "the server's answer");
	if (c->format == CLI_JSON)
		cli_print_json(c, image);
	else
		fprintf(c->out, "%s  %s\n", cli_clean(c, cli_text(image, "name")),
			cli_clean(c, cli_text(image, "id")));
	return 0;
}

int cli_image_list(struct cli *c, struct err *e)
{
	auto_json json_t *answer = NULL;
	const json_t *list;
	struct cli_table t;
	json_t *image;
	size_t i;

	if (cli_get_json(c, "/system/images", &answer, e) < 0)
		return -1;
	if (c->format == CLI_JSON) {
		cli_print_json(c, answer);
		return 0;
	}
	list = json_is_array(answer) ? answer : json_object_get(answer, "images");
	cli_table_begin(&t, c, "NAME ID SIZE CREATED");
	json_array_foreach(list, i, image)
	{
		cli_table_add(&t, cli_text(image, "name"));
		cli_table_add(&t, cli_text(image, "id"));
		cli_table_add(&t, json_object_get(image, "size")
					  ? cli_size(c, (uint64_t)cli_int(image, "size"))
					  : "");
		cli_table_add(&t, cli_text(image, "created"));
	}
	cli_table_end(&t);
	return 0;
}

int cli_image_remove(struct cli *c, struct err *e)
{
	for (size_t i = 0; i < c->word_count; i++) {
		auto_http_answer struct http_answer a = { 0 };
		struct cli_request r = { .method = "DELETE",
					 .path = cli_path(c, "/system/images/%s", c->words[i]) };

		if (cli_call(c, &r, &a, e) < 0)
			return err_wrap(e, "image %s", c->words[i]);
		fprintf(c->out, "%s removed\n", c->words[i]);
	}
	return 0;
}

// A secret of the command line is visible to others on this machine, so "-" reads it from standard input.
static int read_secret(struct cli *c, const char **out, struct err *e)
{
	char line[256];

	if (!*out || strcmp(*out, "-") != 0)
		return 0;
	if (!fgets(line, sizeof(line), stdin))
		return err_set(e, ERR_INVALID, "standard input has no secret");
	line[strcspn(line, "\r\n")] = 0;
	*out = arena_strdup(&c->a, line);
	mem_wipe(line, sizeof(line));
	return 0;
}

int cli_user_add(struct cli *c, struct err *e)
{
	auto_http_answer struct http_answer a = { 0 };
	auto_json json_t *user = json_pack("{s:s}", "name", c->words[0]);
	auto_json json_t *answer = NULL;
	auto_free char *text = NULL;
	const char *key = cli_opt(c, "s3-key"), *secret = cli_opt(c, "s3-secret");
	const char *email = cli_opt(c, "email");
	struct cli_request r = { .method = "POST", .path = "/system/users" };

	if (!key != !secret)
		return cli_usage(c, e, "--s3-key and --s3-secret go together");
	if (read_secret(c, &secret, e) < 0)
		return -1;
	if (key) {
		json_object_set_new(user, "s3_key", json_string(key));
		json_object_set_new(user, "s3_secret", json_string(secret));
	}
	if (email)
		json_object_set_new(user, "email", json_string(email));
	text = codec_json_text(user, CODEC_JSON_PLAIN);
	r.body = span_of(text);
	if (cli_call(c, &r, &a, e) < 0)
		return -1;
	if (a.body.n == 0) {
		fprintf(c->out, "%s added\n", c->words[0]);
		return 0;
	}
	if (codec_json_parse(buf_span(&a.body), 1 << 20, &answer, e) < 0)
		return err_wrap(e, "the server's answer");
	if (c->format == CLI_JSON)
		cli_print_json(c, answer);
	else
		cli_print_yaml(c, answer);
	return 0;
}

int cli_bucket_list(struct cli *c, struct err *e)
{
	auto_json json_t *answer = NULL;
	const json_t *list;
	struct cli_table t;
	json_t *b;
	size_t i;

	if (cli_get_json(c, "/system/buckets", &answer, e) < 0)
		return -1;
	list = json_is_array(answer) ? answer : json_object_get(answer, "buckets");
	if (c->format == CLI_JSON) {
		cli_print_json(c, list);
		return 0;
	}
	cli_table_begin(&t, c, "BUCKET VISIBILITY OWNER OBJECTS SIZE");
	json_array_foreach(list, i, b)
	{
		const json_t *usage = json_object_get(b, "storage_usage");

		cli_table_add(&t, cli_text(b, "bucket_name"));
		cli_table_add(&t, cli_text(b, "visibility"));
		cli_table_add(&t, cli_text(b, "owner"));
		cli_table_addf(&t, "%ld", (long)cli_int(usage, "objects"));
		cli_table_add(&t, cli_size(c, (uint64_t)cli_int(usage, "used_bytes")));
	}
	cli_table_end(&t);
	return 0;
}

int cli_info(struct cli *c, struct err *e)
{
	auto_json json_t *v = NULL;

	if (cli_get_json(c, "/system/info", &v, e) < 0)
		return -1;
	if (c->format == CLI_JSON)
		cli_print_json(c, v);
	else
		cli_print_yaml(c, v);
	return 0;
}

int cli_health(struct cli *c, struct err *e)
{
	auto_http_answer struct http_answer a = { 0 };
	struct cli_request r = { .method = "GET", .path = "/health", .once = true };

	if (cli_call(c, &r, &a, e) < 0)
		return -1;
	fprintf(c->out, "%s\n", cli_clean(c, a.body.p ? a.body.p : ""));
	return 0;
}
