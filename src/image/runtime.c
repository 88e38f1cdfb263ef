// SPDX-License-Identifier: Apache-2.0
// runtime: what an unpacked image says about how its programs run.
#include "base/file.h"
#include "base/mem.h"
#include "codec/json.h"
#include "image/private.h"
#include "image/user.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *config_text(const json_t *v, const char *key, struct arena *mem)
{
	const char *text = json_string_value(json_object_get(v, key));

	return arena_strdup(mem, text ? text : "");
}

// A file of the image's own, whatever it is there: one that is missing or no file is empty.
static int read_inside(int root, const char *path, struct buf *out, struct err *e)
{
	auto_fd int fd = -1;
	struct err why = { 0 };
	char chunk[16384];
	struct stat st;
	ssize_t k;

	fd = file_open_in_root(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, &why);
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return 0;
	while ((k = file_read_full(fd, chunk, sizeof(chunk), e)) > 0)
		if (!buf_add(out, chunk, (size_t)k))
			return err_set(e, ERR_LIMIT, "the image's /%s is over %zu bytes", path,
				       out->max);
	return k < 0 ? -1 : 0;
}

static int find_user(struct images *m, const char *id, const char *who, struct image_user *out,
		     struct err *e)
{
	auto_free char *path = mem_printf("%s/rootfs", id);
	auto_buf struct buf passwd, group;
	auto_fd int root = -1;

	buf_init(&passwd, USER_FILE_MAX);
	buf_init(&group, USER_FILE_MAX);
	if (!*who)
		return 0;
	root = file_open(m->dir, path, O_RDONLY | O_DIRECTORY, 0, e);
	if (root < 0 || read_inside(root, "etc/passwd", &passwd, e) < 0 ||
	    read_inside(root, "etc/group", &group, e) < 0)
		return -1;
	return user_find(span_of(who), buf_span(&passwd), buf_span(&group), out, e);
}

static void take_env(const json_t *env, struct arena *mem, struct image_runtime *out)
{
	out->env_count = json_array_size(env) < IMAGE_VARIABLES_MAX ? json_array_size(env)
								    : IMAGE_VARIABLES_MAX;
	out->env = arena_alloc(mem, (out->env_count + 1) * sizeof(*out->env));
	for (size_t i = 0; i < out->env_count; i++) {
		const char *s = json_string_value(json_array_get(env, i));
		const char *equals = s ? strchr(s, '=') : NULL;

		out->env[i].name = equals ? arena_strndup(mem, s, (size_t)(equals - s)) : "";
		out->env[i].value = equals ? arena_strdup(mem, equals + 1) : "";
	}
}

// The words of the entry point, behind them those of the command.
static const char *const *take_command(const json_t *config, struct arena *mem)
{
	const json_t *lists[] = { json_object_get(config, "entrypoint"),
				  json_object_get(config, "cmd") };
	size_t n = 0, k = 0;
	const char **words;

	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		n += json_array_size(lists[i]);
	words = arena_alloc(mem, (n + 1) * sizeof(*words)); // zeroed
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		for (size_t at = 0; at < json_array_size(lists[i]); at++) {
			const char *word = json_string_value(json_array_get(lists[i], at));

			words[k++] = arena_strdup(mem, word ? word : "");
		}
	return words;
}

int image_runtime(struct images *m, const char *id, struct arena *mem, struct image_runtime *out,
		  struct err *e)
{
	auto_free char *path = mem_printf("%s/config.json", id);
	auto_json json_t *v = NULL;
	struct err missing = { 0 };
	auto_buf struct buf text;

	static const char *const nothing[] = { NULL };

	*out = (struct image_runtime){ .workdir = "", .command = nothing };
	buf_init(&text, IMAGE_CONFIG_MAX);
	if (strcmp(id, "host") == 0)
		return 0;
	if (file_read_path(m->dir, path, &text, &missing) < 0) {
		if (missing.code == ERR_NOT_FOUND) // a root file system says nothing
			return 0;
		*e = missing;
		return -1;
	}
	if (codec_json_parse(buf_span(&text), IMAGE_CONFIG_MAX, &v, e) < 0)
		return err_wrap(e, "images/%s", path);
	take_env(json_object_get(v, "env"), mem, out);
	out->workdir = config_text(v, "workdir", mem);
	out->command = take_command(v, mem);
	return find_user(m, id, config_text(v, "user", mem), &out->user, e);
}
