// SPDX-License-Identifier: Apache-2.0
#include "exec/sandbox/files.h"

#include "base/file.h"
#include "base/mem.h"
#include "runner/jobdir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	STRING_MAX = 131071,	// of one environment string without its NUL (kernel: 32 pages)
	EVENT_ENV_MAX = 131000, // larger events come on standard input only
	MEMORY_MIN = 4 << 20,	// less cannot even start a shell
};

static int copy_field(char *out, size_t max, const char *in, const char *what, struct err *e)
{
	size_t n = in ? strlen(in) : 0;

	if (!n || n >= max)
		return err_set(e, ERR_INVALID, "%s must have 1 to %zu characters", what, max - 1);
	memcpy(out, in, n);
	return 0;
}

static int set_limits(struct proto_start *m, const struct exec_spec *s, struct err *e)
{
	if (s->memory_bytes && s->memory_bytes < MEMORY_MIN)
		return err_set(e, ERR_INVALID, "a job needs at least %d MiB of memory",
			       MEMORY_MIN >> 20);
	m->cpu_millis = s->cpu_millis;
	m->pids_max = s->pids_max;
	m->memory_bytes = s->memory_bytes;
	m->output_bytes_max = s->output_bytes_max;
	m->scratch_bytes_max = s->scratch_bytes_max;
	m->log_bytes_max = s->log_bytes_max;
	m->timeout_ms = s->timeout_ms;
	m->grace_ms = s->grace_ms;
	m->warm = s->keep && !s->keep->once;
	m->ahead = s->keep && s->keep->once;
	m->port = s->port;
	m->freezer = m->warm ? s->keep->freeze_ms > 0 : s->freeze;
	m->shell = s->shell != NULL;
	m->network = s->network == EXEC_NETWORK_HOST  ? PROTO_NETWORK_HOST
		     : s->network == EXEC_NETWORK_NAT ? PROTO_NETWORK_NAT
						      : PROTO_NETWORK_NONE;
	return 0;
}

static bool name_ok(const char *name)
{
	return *name && strlen(name) < PROTO_NAME_MAX && !strchr(name, '/') &&
	       strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

// Else its bytes are written into the job's folder.
static bool bound(const struct exec_input *in)
{
	return in->content || in->file;
}

static int fill_devices(struct proto_start *m, const struct exec_spec *s, struct err *e)
{
	struct proto_device *out = (struct proto_device *)(const void *)proto_devices(m);

	for (size_t i = 0; i < s->device_count; i++)
		if (copy_field(out[i].name, sizeof(out[i].name), s->devices[i], "a device's name",
			       e) < 0)
			return -1;
	return 0;
}

bool files_only_written(const struct exec_spec *s)
{
	for (size_t i = 0; i < s->input_count; i++)
		if (bound(&s->inputs[i]))
			return false;
	return true;
}

// Behind the inputs, of which there are as many as are bound.
static int fill_mounts(struct proto_start *m, const struct exec_spec *s, struct err *e)
{
	struct proto_mount *out = (struct proto_mount *)(void *)(m->input + m->input_count);

	for (size_t i = 0; i < s->mount_count; i++)
		if (copy_field(out[i].target, sizeof(out[i].target), s->mounts[i].target,
			       "a mount's place", e) < 0)
			return -1;
	m->mount_count = (uint32_t)s->mount_count;
	m->device_count = (uint32_t)s->device_count;
	return fill_devices(m, s, e);
}

static int fill(struct proto_start *m, const struct exec_spec *s, struct err *e)
{
	m->head = proto_head(PROTO_START);
	m->attempt = s->attempt;
	if (copy_field(m->job, sizeof(m->job), s->job, "the job's id", e) < 0 ||
	    copy_field(m->image, sizeof(m->image), s->image, "the image's id", e) < 0 ||
	    set_limits(m, s, e) < 0)
		return -1;
	// "WORKDIR app" is what some tools make of it: from the root.
	if (s->workdir && s->workdir[0] &&
	    snprintf(m->workdir, sizeof(m->workdir), "%s%s", s->workdir[0] == '/' ? "" : "/",
		     s->workdir) >= (int)sizeof(m->workdir))
		return err_set(e, ERR_INVALID, "the image's working directory has too long a name");
	if (s->group_count > PROTO_GROUPS_MAX)
		return err_set(e, ERR_LIMIT, "more than %d groups", PROTO_GROUPS_MAX);
	m->uid = s->uid;
	m->gid = s->gid;
	m->group_count = s->group_count;
	for (unsigned i = 0; i < s->group_count; i++)
		m->groups[i] = s->groups[i];
	for (size_t i = 0; i < s->input_count; i++) {
		const struct exec_input *in = &s->inputs[i];
		struct proto_input *out = &m->input[m->input_count];

		if (!in->name || !name_ok(in->name))
			return err_set(e, ERR_INVALID, "wrong name of an input");
		if (!bound(in))
			continue;
		m->input_count++;
		if (copy_field(out->name, sizeof(out->name), in->name, "an input's name", e) < 0 ||
		    (in->content && copy_field(out->content, sizeof(out->content), in->content,
					       "a content path", e) < 0))
			return -1;
		if (in->content)
			continue;
		out->size = in->file_size;
		out->mtime_ns = in->file_mtime_ns;
	}
	return fill_mounts(m, s, e);
}

// The i-th of the inputs, mounts and streams, in this order; 0 = that one is none.
static int passed_file(const struct exec_spec *s, size_t i)
{
	if (i < s->input_count)
		return s->inputs[i].file;
	i -= s->input_count;
	return i < s->mount_count ? s->mounts[i].folder : s->shell->streams[i - s->mount_count];
}

static int copy_files(const struct exec_spec *s, int *files, struct err *e)
{
	size_t n = 0;

	for (size_t i = 0; i < s->input_count + s->mount_count + (s->shell ? PROTO_STREAMS : 0);
	     i++) {
		int file = passed_file(s, i);

		if (!file)
			continue;
		files[n] = fcntl(file, F_DUPFD_CLOEXEC, 3);
		if (files[n++] >= 0)
			continue;
		err_sys(e, ERR_BUSY, errno, "keep an input open");
		while (n--)
			file_close(files[n]);
		return -1;
	}
	return 0;
}

int files_message(const struct exec_spec *s, struct proto_start **out, size_t *size, int **files,
		  struct err *e)
{
	auto_free int *passed = NULL;
	size_t count = 0;
	auto_free struct proto_start *m = NULL;

	for (size_t i = 0; i < s->input_count; i++)
		count += bound(&s->inputs[i]);
	if (count > PROTO_INPUTS_MAX)
		return err_set(e, ERR_LIMIT, "more than %d inputs", PROTO_INPUTS_MAX);
	if (s->mount_count > PROTO_MOUNTS_MAX)
		return err_set(e, ERR_LIMIT, "more than %d mounts", PROTO_MOUNTS_MAX);
	if (s->device_count > PROTO_DEVICES_MAX)
		return err_set(e, ERR_LIMIT, "more than %d devices", PROTO_DEVICES_MAX);
	*size = sizeof(*m) + count * sizeof(m->input[0]) +
		s->mount_count * sizeof(struct proto_mount) +
		s->device_count * sizeof(struct proto_device);
	m = mem_zalloc(*size);
	if (fill(m, s, e) < 0)
		return -1;
	if (proto_check_start(m, *size, e) < 0) {
		e->code = ERR_INVALID;
		return err_wrap(e, "the job cannot be run");
	}
	if (proto_files(m))
		passed = mem_alloc(proto_files(m) * sizeof(*passed));
	if (passed && copy_files(s, passed, e) < 0)
		return -1;
	*files = mem_take(&passed);
	*out = mem_take(&m);
	return 0;
}

// In a spare folder the file may be there: it is cut to its new size only after it was written, since ext4 writes
// out at once what was emptied before.
int files_put(int dir, const char *name, mode_t mode, struct span text, struct err *e)
{
	auto_fd int fd = file_open(dir, name, O_WRONLY | O_CREAT | O_NOFOLLOW, mode, e);
	struct stat st;

	if (fd < 0 || file_write_all(fd, text.p, text.n, e) < 0)
		return err_wrap(e, "%s", name);
	if (fstat(fd, &st) < 0 || (st.st_size > (off_t)text.n && ftruncate(fd, (off_t)text.n) < 0))
		return err_sys(e, ERR_IO, errno, "cut %s", name);
	// Whatever our umask is: the script may open its standard input anew by name.
	return (st.st_mode & 07777) != mode && fchmod(fd, mode) < 0
		       ? err_sys(e, ERR_IO, errno, "chmod %s", name)
		       : 0;
}

static bool given(const struct exec_spec *s, const char *name)
{
	for (size_t i = 0; i < s->env_count; i++)
		if (strcmp(s->env[i].name, name) == 0)
			return true;
	return false;
}

static int add_env(struct buf *b, const char *name, struct span value, struct err *e)
{
	size_t n = strlen(name);

	if (!n || strchr(name, '=') || (value.n && memchr(value.p, '\0', value.n)))
		return err_set(e, ERR_INVALID, "wrong name or value of an environment variable");
	if (n + 1 + value.n > STRING_MAX)
		return err_set(e, ERR_LIMIT, "environment variable %.80s is larger than %d bytes",
			       name, STRING_MAX);
	if (!buf_add(b, name, n) || !buf_add_char(b, '=') || !buf_add_span(b, value) ||
	    !buf_add_char(b, '\0'))
		return err_set(e, ERR_LIMIT, "the environment is larger than %d bytes",
			       JOBDIR_ENV_BYTES_MAX);
	return 0;
}

static int add_default(struct buf *b, const struct exec_spec *s, const char *name,
		       const char *value, struct err *e)
{
	return given(s, name) ? 0 : add_env(b, name, span_of(value), e);
}

int files_env(struct buf *b, const struct exec_spec *s, struct err *e)
{
	static const char path[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

	for (size_t i = 0; i < s->env_count; i++)
		if (add_env(b, s->env[i].name, span_of(s->env[i].value), e) < 0)
			return -1;
	if (add_default(b, s, "PATH", path, e) < 0 || add_default(b, s, "HOME", "/tmp", e) < 0 ||
	    add_default(b, s, "TMPDIR", "/tmp", e) < 0 ||
	    add_default(b, s, "TMP_INPUT_DIR", "/oscar/input", e) < 0 ||
	    add_default(b, s, "TMP_OUTPUT_DIR", "/oscar/output", e) < 0 ||
	    add_default(b, s, "OSCAR_PROGRESS", "/" JOBDIR_PROGRESS, e) < 0)
		return -1;
	if (s->input_file || s->input_mount) {
		auto_free char *file = !s->input_file ? mem_printf("/mnt/%s", s->input_mount)
				       : *s->input_file
					       ? mem_printf("/oscar/input/%s", s->input_file)
					       : mem_strdup("/oscar/input");

		if (add_default(b, s, "INPUT_FILE_PATH", file, e) < 0)
			return -1;
	}
	// It comes on standard input in any case; so where it does not fit, it is left out.
	if (s->event.n < EVENT_ENV_MAX && !given(s, "EVENT") &&
	    b->n + s->event.n + sizeof("EVENT=") <= b->max &&
	    !(s->event.n && memchr(s->event.p, '\0', s->event.n)))
		return add_env(b, "EVENT", s->event, e);
	return 0;
}

// An attempt that never began may have left its own.
static int put_secrets(int dir, const struct exec_spec *s, struct err *e)
{
	auto_buf struct buf b = { .max = JOBDIR_ENV_BYTES_MAX };

	if (unlinkat(dir, JOBDIR_SECRETS, 0) < 0 && errno != ENOENT)
		return err_sys(e, ERR_IO, errno, "remove old secrets");
	if (!s->secret_count)
		return 0;
	for (size_t i = 0; i < s->secret_count; i++)
		if (add_env(&b, s->secrets[i].name, span_of(s->secrets[i].value), e) < 0)
			return -1;
	if (mkdirat(dir, "oscar/secrets", 0755) < 0 && errno != EEXIST)
		return err_sys(e, ERR_IO, errno, "mkdir oscar/secrets");
	return files_put(dir, JOBDIR_SECRETS, 0600, buf_span(&b), e);
}

static int put_inputs(int dir, const struct exec_spec *s, struct err *e)
{
	for (size_t i = 0; i < s->input_count; i++) {
		auto_free char *path = mem_printf("oscar/input/%s", s->inputs[i].name);
		if (!i && renameat(dir, SPARES_INPUT, dir, path) < 0 && errno != ENOENT)
			return err_sys(e, ERR_IO, errno, "%s", path);
		// The place where content will be bound is an empty file.
		struct span bytes = bound(&s->inputs[i]) ? SPAN("") : s->inputs[i].bytes;

		if (files_put(dir, path, 0644, bytes, e) < 0)
			return -1;
	}
	return 0;
}

static int put_shell(int dir, const struct exec_spec *s, struct err *e)
{
	if (!s->shell)
		return 0;
	if (mkdirat(dir, SPARES_SHELL, 0755) < 0)
		return err_sys(e, ERR_IO, errno, "mkdir " SPARES_SHELL);
	return files_put(dir, SPARES_SHELL "/start.sh", 0755, s->shell->script, e) < 0
		       ? -1
		       : files_put(dir, SPARES_SHELL "/event", 0644, s->event, e);
}

static int make_folders(int dir, struct err *e)
{
	static const char *const folders[] = { "oscar", "oscar/config", "oscar/input",
					       "oscar/output" };

	for (size_t i = 0; i < ARRAY_LEN(folders); i++)
		if (mkdirat(dir, folders[i], 0755) < 0)
			return err_sys(e, ERR_IO, errno, "mkdir %s", folders[i]);
	if (mkfifoat(dir, JOBDIR_PROGRESS, 0600) < 0)
		return err_sys(e, ERR_IO, errno, "make " JOBDIR_PROGRESS);
	return 0;
}

int files_put_job(int dir, const struct exec_spec *s, struct err *e)
{
	auto_buf struct buf env;

	buf_init(&env, JOBDIR_ENV_BYTES_MAX);
	if (files_env(&env, s, e) < 0 || files_put(dir, "event", 0644, s->event, e) < 0 ||
	    files_put(dir, "env", 0600, buf_span(&env), e) < 0)
		return -1;
	return put_inputs(dir, s, e);
}

static int fill_folder(int dir, const struct exec_spec *s, struct err *e)
{
	if (renameat(dir, SPARES_LOG, dir, "log") < 0 && errno != ENOENT)
		return err_sys(e, ERR_IO, errno, "log");
	if (files_put(dir, "oscar/config/script.sh", 0755, s->script, e) < 0 ||
	    files_put(dir, "log", 0600, SPAN(""), e) < 0 || put_secrets(dir, s, e) < 0 ||
	    put_shell(dir, s, e) < 0)
		return -1;
	return files_put_job(dir, s, e);
}

int files_make(struct spares *spares, const char *name, const struct exec_spec *s, struct err *e)
{
	int jobs = spares->jobs;
	struct err unused = { 0 };
	auto_fd int dir = -1;
	bool spare;

	if (spares_take(spares, name, &spare, e) < 0)
		return -1;
	if (!spare && mkdirat(jobs, name, 0700) < 0)
		return err_sys(e, errno == EEXIST ? ERR_EXISTS : ERR_IO, errno,
			       "make the job's folder");
	dir = file_open(jobs, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, e);
	if (dir >= 0 && (spare || make_folders(dir, e) == 0) && fill_folder(dir, s, e) == 0)
		return 0;
	if (file_remove_tree(jobs, name, &unused) < 0)
		return err_wrap(e, "%s; and then", unused.msg);
	return -1;
}
