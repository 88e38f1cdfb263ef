// SPDX-License-Identifier: Apache-2.0
// stage: from a leased job to a spec that a driver runs.
#include "base/file.h"
#include "base/mem.h"
#include "base/rand.h"
#include "dispatch/job.h"
#include "dispatch/view.h"
#include "fdl/event.h"
#include "fdl/fdl.h"
#include "image/image.h"
#include "store/store.h"

#include <fcntl.h>

enum { ENV_MAX = FDL_ENV_MAX * 2 + IMAGE_VARIABLES_MAX + 64, COPY_CHUNK = 1 << 20 };

struct env_list {
	struct exec_env *env;
	size_t n;
	struct arena *mem;
};

static void env_add(struct env_list *l, const char *name, const char *value)
{
	check(l->n < ENV_MAX);
	l->env[l->n++] = (struct exec_env){ name, value };
}

static void env_build(struct env_list *l, const struct job *j, const struct fdl_event *ev)
{
	const struct fdl_service *f = j->def->fdl;
	const char *threads = arena_printf(l->mem, "%u", (f->cpu_millis + 999) / 1000);
	static const char *const pools[] = { "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS",
					     "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS" };

	for (size_t i = 0; i < ARRAY_LEN(pools); i++) // libraries would count the machine's cores
		env_add(l, pools[i], threads);
	for (size_t i = 0; i < f->variable_count; i++)
		env_add(l, f->variables[i].name, f->variables[i].value);
	for (size_t i = 0; i < f->secret_count; i++)
		env_add(l, f->secrets[i].name, f->secrets[i].value);
	for (size_t i = 0; i < ev->var_count && l->n < ENV_MAX - 16; i++)
		env_add(l, ev->vars[i].name, ev->vars[i].value);
	env_add(l, "JOB_UUID", arena_strdup(l->mem, j->row.name));
	env_add(l, "RESOURCE_ID", "local");
	env_add(l, "OSCAR_SERVICE_NAME", f->name);
	env_add(l, "OSCAR_SERVICE_TOKEN", j->def->token);
	env_add(l, "OSCAR_SERVICE_BASE_PATH",
		arena_printf(l->mem, "/system/services/%s/exposed", f->name));
	if (ev->kind == FDL_EVENT_STORAGE && strcmp(ev->provider, "webdav") != 0 &&
	    strcmp(ev->provider, "rucio") != 0) {
		env_add(l, "STORAGE_OBJECT_KEY", ev->key);
		env_add(l, "EVENT_TIME", ev->time);
	}
}

// What the image says comes last and only where nothing else was said: a service may change its image's variables,
// an image may not change what the contract with scripts promises.
static void env_add_image(struct env_list *l, const struct image_runtime *image)
{
	static const char *const ours[] = { "TMP_INPUT_DIR", "TMP_OUTPUT_DIR", "INPUT_FILE_PATH",
					    "EVENT" };

	for (size_t i = 0; i < image->env_count; i++) {
		const char *name = image->env[i].name;
		bool known = !*name || l->n == ENV_MAX;

		for (size_t k = 0; k < ARRAY_LEN(ours) && !known; k++)
			known = strcmp(ours[k], name) == 0;
		for (size_t k = 0; k < l->n && !known; k++)
			known = strcmp(l->env[k].name, name) == 0;
		if (!known)
			env_add(l, name, image->env[i].value);
	}
}

// An object that is not one file (joined parts) is copied to one of the job's own, which goes when the job is over.
static int copy_whole(struct dispatch *d, const struct job *j, struct store_reader *r,
		      uint64_t size, struct arena *mem, struct exec_input *in, struct err *e)
{
	char name[JOB_INPUT_NAME_MAX];
	auto_free char *chunk = mem_alloc(COPY_CHUNK);
	struct span inside;
	auto_fd int fd = -1;

	if (store_reader_inline(r, &inside)) {
		in->bytes = arena_span(mem, inside); // the reader is closed before the job begins
		return 0;
	}
	fd = file_open(d->tmp_dir, job_input_name(j, name),
		       O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600, e);
	if (fd < 0)
		return -1;
	for (uint64_t at = 0; at < size;) {
		ssize_t k = store_reader_pread(r, at, chunk, COPY_CHUNK, e);

		if (k <= 0)
			return k ? -1
				 : err_set(e, ERR_CORRUPT, "the input is shorter than its record");
		if (file_write_all(fd, chunk, (size_t)k, e) < 0)
			return -1;
		at += (uint64_t)k;
	}
	in->content = arena_printf(mem, "tmp/%s", name);
	return 0;
}

static int object_input(struct dispatch *d, const struct job *j, const struct fdl_event *ev,
			struct arena *mem, struct exec_input *in, int *file, struct err *e)
{
	auto_reader struct store_reader *r = NULL;
	char path[128];
	struct store_object o;
	int bad;

	if (strcmp(ev->provider, "minio") != 0 || strcmp(ev->provider_id, "default") != 0)
		return err_set(
			e, ERR_UNSUPPORTED,
			"the event is of storage %s.%s, for which this cluster has no credentials",
			ev->provider, ev->provider_id);
	bad = j->row.version ? store_reader_open_version(d->o.store, j->row.bucket, j->row.key,
							 j->row.version, mem, &o, &r, e)
			     : store_reader_open(d->o.store, span_of(ev->bucket), span_of(ev->key),
						 0, mem, &o, &r, e);
	// A file that changed is another input: waiting would not bring this one back.
	if (bad < 0 && e->code == ERR_BUSY)
		e->code = ERR_CONFLICT;
	if (bad < 0)
		return e->code == ERR_NOT_FOUND
			       ? err_set(e, ERR_NOT_FOUND,
					 "the input %s/%s is gone: it was deleted or "
					 "overwritten before the job ran",
					 ev->bucket, ev->key)
			       : err_wrap(e, "input %s/%s", ev->bucket, ev->key);
	in->name = ev->file_name;
	if (store_reader_path(r, path, sizeof(path))) {
		in->content = arena_strdup(mem, path);
	} else if (store_reader_whole(r, file, &in->file_mtime_ns)) {
		in->file = *file;
		in->file_size = o.size;
	}
	if (in->content || in->file)
		return store_reader_verify(r, e) < 0
			       ? err_wrap(e, "input %s/%s", ev->bucket, ev->key)
			       : 0;
	return copy_whole(d, j, r, o.size, mem, in, e);
}

// *file is the caller's to close after the driver has the job.
static int input_build(struct dispatch *d, const struct job *j, const struct fdl_event *ev,
		       struct arena *mem, struct exec_input *in, size_t *n, int *file,
		       struct err *e)
{
	char uuid_text[RAND_UUID_TEXT];
	uint8_t uuid[16];

	*n = 0;
	if (ev->kind == FDL_EVENT_UNKNOWN) {
		rand_uuid(uuid);
		*n = 1;
		*in = (struct exec_input){
			.name = arena_printf(mem, "event-file-%s", rand_uuid_text(uuid, uuid_text)),
			.bytes = ev->body,
		};
		return 0;
	}
	if (j->def->fdl->skip_stage_in)
		return 0;
	*n = 1;
	*in = (struct exec_input){ 0 };
	return object_input(d, j, ev, mem, in, file, e);
}

struct folders {
	struct exec_mount at[EXEC_MOUNTS_MAX];
	size_t n;
};

static void folders_close(struct folders *f)
{
	for (size_t i = 0; i < f->n; i++)
		file_close(f->at[i].folder);
}
#define auto_folders at_scope_exit(folders_close)

static const char *mount_path(const struct dispatch *d, const char *name)
{
	for (unsigned i = 0; i < d->o.mount_count; i++)
		if (strcmp(d->o.mounts[i].name, name) == 0)
			return d->o.mounts[i].path;
	return NULL;
}

// What the service mounts, opened with the daemon's rights.
static int folders_open(const struct dispatch *d, const struct fdl_service *f, struct folders *out,
			struct err *e)
{
	for (size_t i = 0; i < f->mount_count; i++) {
		const char *path = mount_path(d, f->mounts[i].name);
		int fd;

		if (!path)
			return err_set(e, ERR_NOT_FOUND,
				       "mount %s: this server offers no such folder any more",
				       f->mounts[i].name);
		fd = file_open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, e);
		if (fd < 0)
			return err_wrap(e, "mount %s", f->mounts[i].name);
		out->at[out->n++] = (struct exec_mount){ f->mounts[i].target, fd };
	}
	return 0;
}

// And what it mounts of the store.
static int view_add(struct dispatch *d, const struct job *j, struct folders *out, struct err *e)
{
	const struct fdl_service *f = j->def->fdl;
	int fd = f->mount ? view_open(d, j, f->mount, e) : -1;

	if (fd >= 0)
		out->at[out->n++] = (struct exec_mount){ f->mount_target, fd };
	return f->mount && fd < 0 ? -1 : 0;
}

static uint64_t or_default(uint64_t value, uint64_t otherwise)
{
	return value ? value : otherwise;
}

int stage_job(struct dispatch *d, struct job *j, struct err *e)
{
	auto_arena struct arena mem = { 0 };
	const struct fdl_service *f = j->def->fdl;
	struct env_list env = { arena_alloc(&mem, ENV_MAX * sizeof(struct exec_env)), 0, &mem };
	struct image_runtime image = { .workdir = "" };
	const struct exec_keep keep = { .service = j->row.service,
					.revision = j->row.revision,
					.owner = j->row.owner,
					.count = f->keep_warm,
					.idle_ms = f->idle_stop_s * 1000 };
	struct exec_input input;
	struct exec_spec spec;
	struct fdl_event ev;
	struct span payload;
	auto_fd int file = -1;
	auto_folders struct folders folders = { .n = 0 };
	size_t inputs;

	if (job_payload(d, j, &mem, &payload, e) < 0 ||
	    fdl_event_parse(payload, &mem, &ev, e) < 0 || folders_open(d, f, &folders, e) < 0 ||
	    view_add(d, j, &folders, e) < 0 ||
	    input_build(d, j, &ev, &mem, &input, &inputs, &file, e) < 0 ||
	    (d->o.images && image_runtime(d->o.images, j->def->image_id, &mem, &image, e) < 0))
		return -1;
	env_build(&env, j, &ev);
	env_add_image(&env, &image);
	spec = (struct exec_spec){
		.job = j->id,
		.attempt = j->row.attempt,
		.service = f->name,
		.image = j->def->image_id,
		.workdir = image.workdir,
		.uid = image.user.uid,
		.gid = image.user.gid,
		.groups = image.user.groups,
		.group_count = image.user.group_count,
		.script = span_of(f->script),
		.event = payload,
		.env = env.env,
		.env_count = env.n,
		.inputs = &input,
		.input_count = inputs,
		.mounts = folders.at,
		.mount_count = folders.n,
		.input_file = inputs ? input.name : NULL,
		.memory_bytes = f->memory_bytes,
		.cpu_millis = f->cpu_millis,
		.pids_max = f->pids_max ? f->pids_max : d->o.pids_max,
		.output_bytes_max = or_default(f->output_bytes_max, d->o.output_bytes_max),
		.scratch_bytes_max = d->o.scratch_bytes_max < f->memory_bytes
					     ? d->o.scratch_bytes_max
					     : f->memory_bytes,
		.log_bytes_max = or_default(f->log_bytes_max, d->o.log_bytes_max),
		.timeout_ms = f->timeout_s ? f->timeout_s * 1000 : d->o.timeout_ms,
		.grace_ms = d->o.grace_ms,
		.network = f->network_host ? EXEC_NETWORK_HOST : EXEC_NETWORK_NONE,
	};
	// Whoever waits is served by a kept sandbox, of this revision and for this caller alone.
	// One that mounts a bucket would show the next call what the bucket was before.
	if (j->row.sync && f->keep_warm && !f->mount)
		spec.keep = &keep;
	return d->driver->ops->submit(d->driver, &spec, e);
}
