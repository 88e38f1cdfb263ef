// SPDX-License-Identifier: Apache-2.0
#include "supervisor/job.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/rand.h"
#include "codec/text.h"
#include "fdl/fdl.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define SCRIPT_FILE "/oscar/config/script.sh"

enum { VARIABLE_MAX = 128 << 10 }; // what execve takes as one string, with its NUL

static const char *make_below(struct job *j, const char *parent)
{
	char *path = parent && *parent ? arena_printf(&j->mem, "%s/oscar-XXXXXX", parent) : NULL;

	return path && mkdtemp(path) ? path : NULL;
}

int job_init(struct job *j, struct err *e)
{
	const char *places[] = { getenv("TMPDIR"), "/tmp", "/var/tmp", "/dev/shm" };

	*j = (struct job){ 0 };
	for (size_t i = 0; i < ARRAY_LEN(places) && !j->dir; i++)
		j->dir = make_below(j, places[i]);
	if (!j->dir)
		return err_sys(e, ERR_IO, errno, "no place for temporary files");
	j->input = arena_printf(&j->mem, "%s/input", j->dir);
	j->output = arena_printf(&j->mem, "%s/output", j->dir);
	if (mkdir(j->input, 0700) < 0 || mkdir(j->output, 0700) < 0)
		return err_sys(e, ERR_IO, errno, "temporary directory");
	return 0;
}

int job_release(struct job *j, struct err *e)
{
	int bad = j->dir ? file_remove_tree(AT_FDCWD, j->dir, e) : 0;

	buf_release(&j->payload);
	arena_release(&j->mem);
	return bad;
}

int job_read_event(struct job *j, struct stop *stop, int fd, struct err *e)
{
	ssize_t n = 1;

	buf_init(&j->payload, JOB_EVENT_MAX);
	while (n > 0) {
		size_t left = JOB_EVENT_MAX - j->payload.n, want = left < 65536 ? left : 65536;
		char *room, more = 0;

		if (stop_wait(stop, fd, POLLIN, 0, e) < 0)
			return -1;
		room = want ? buf_room(&j->payload, want) : &more;
		n = read(fd, room, want ? want : 1);
		if (n < 0)
			return err_sys(e, ERR_IO, errno, "standard input");
		if (n > 0 && !want)
			return err_set(e, ERR_LIMIT, "the event is over %d bytes", JOB_EVENT_MAX);
		if (want)
			buf_grown(&j->payload, (size_t)n);
	}
	return fdl_event_parse(buf_span(&j->payload), &j->mem, &j->event, e);
}

static int write_file(const char *path, struct span text, struct err *e)
{
	auto_fd int fd = file_open(AT_FDCWD, path, O_WRONLY | O_CREAT | O_EXCL, 0600, e);

	return fd < 0 ? -1 : file_write_all(fd, text.p, text.n, e);
}

int job_find_script(struct job *j, struct err *e)
{
	struct span text = span_trim(span_of(getenv("SCRIPT")));
	auto_free char *script = NULL;
	ptrdiff_t n;

	if (!text.n) {
		j->script = SCRIPT_FILE;
		return access(SCRIPT_FILE, R_OK) == 0
			       ? 0
			       : err_sys(e, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno,
					 "no SCRIPT, and " SCRIPT_FILE);
	}
	script = mem_alloc(text.n / 4 * 3 + 3);
	n = text_unbase64(script, text.n / 4 * 3 + 3, text);
	if (n < 0)
		return err_set(e, ERR_INVALID, "SCRIPT is no base64");
	j->script = arena_printf(&j->mem, "%s/script.sh", j->dir);
	return write_file(j->script, span_make(script, (size_t)n), e);
}

int job_input_create(struct job *j, const char **path, struct err *e)
{
	char text[RAND_UUID_TEXT];
	uint8_t uuid[16];
	const char *name = j->event.file_name;

	if (j->event.kind == FDL_EVENT_UNKNOWN) {
		rand_uuid(uuid);
		name = arena_printf(&j->mem, "event-file-%s", rand_uuid_text(uuid, text));
	}
	*path = arena_printf(&j->mem, "%s/%s", j->input, name);
	return file_open(AT_FDCWD, *path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600, e);
}

// What does not fit into one string of an environment, or holds a NUL, is left away: the script could not be
// started with it.
static void export_text(const char *name, struct span value)
{
	char *copy;

	if (!*name || strchr(name, '=') || strlen(name) + value.n + 2 > VARIABLE_MAX ||
	    span_find(value, 0) >= 0) {
		if (*name && !strchr(name, '='))
			unsetenv(name);
		return;
	}
	copy = mem_strndup(value.p, value.n);
	check(setenv(name, copy, 1) == 0);
	mem_free(copy);
}

void job_export(const struct job *j, const char *input_path)
{
	const struct fdl_event *ev = &j->event;

	// The description holds keys of storages, which are none of the script's business.
	unsetenv("FUNCTION_CONFIG");
	unsetenv("SCRIPT");
	for (size_t i = 0; i < ev->var_count; i++)
		export_text(ev->vars[i].name, span_of(ev->vars[i].value));
	export_text("TMP_INPUT_DIR", span_of(j->input));
	export_text("TMP_OUTPUT_DIR", span_of(j->output));
	if (input_path)
		export_text("INPUT_FILE_PATH", span_of(input_path));
	if (ev->kind != FDL_EVENT_STORAGE)
		return;
	export_text("EVENT", buf_span(&j->payload));
	// As the daemon's own runner has it: dCache and Rucio have no times, and names only.
	if (strcmp(ev->provider, "webdav") == 0 || strcmp(ev->provider, "rucio") == 0)
		return;
	export_text("STORAGE_OBJECT_KEY", span_of(ev->key));
	export_text("EVENT_TIME", span_of(ev->time));
}

int job_temp_file(const struct job *j, struct err *e)
{
	auto_free char *path = mem_printf("%s/kept-XXXXXX", j->dir);
	auto_fd int fd = mkostemp(path, O_CLOEXEC);

	if (fd < 0 || unlink(path) < 0)
		return err_sys(e, ERR_IO, errno, "temporary file");
	return file_take(&fd);
}
