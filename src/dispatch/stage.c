// SPDX-License-Identifier: Apache-2.0
// stage: from a leased job to a spec that a driver runs; what its service says of it is in spec.c.
#include "base/file.h"
#include "base/mem.h"
#include "base/rand.h"
#include "dispatch/job.h"
#include "dispatch/spec.h"
#include "dispatch/view.h"
#include "fdl/event.h"
#include "fdl/fdl.h"
#include "store/store.h"

#include <fcntl.h>

enum { COPY_CHUNK = 1 << 20 };

// The variables that only a job has.
static void env_build(struct spec_draft *s, const struct job *j, const struct fdl_event *ev)
{
	for (size_t i = 0; i < ev->var_count && s->env_count < SPEC_ENV_MAX - 64; i++)
		spec_env(s, ev->vars[i].name, ev->vars[i].value);
	spec_env(s, "JOB_UUID", arena_strdup(&s->mem, j->row.name));
	if (ev->kind == FDL_EVENT_STORAGE && strcmp(ev->provider, "webdav") != 0 &&
	    strcmp(ev->provider, "rucio") != 0) {
		spec_env(s, "STORAGE_OBJECT_KEY", ev->key);
		spec_env(s, "EVENT_TIME", ev->time);
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

// What the service mounts of the store.
static int view_add(struct dispatch *d, const struct job *j, struct spec_draft *s, struct err *e)
{
	const struct fdl_service *f = j->def->fdl;
	int fd = f->mount ? view_open(d, j, f->mount, e) : -1;

	if (fd >= 0)
		s->mounts[s->mount_count++] = (struct exec_mount){ f->mount_target, fd };
	return f->mount && fd < 0 ? -1 : 0;
}

int stage_job(struct dispatch *d, struct job *j, struct err *e)
{
	const struct fdl_service *f = j->def->fdl;
	const struct exec_keep keep = { .service = j->row.service,
					.revision = j->row.revision,
					.owner = j->row.owner,
					.count = f->keep_warm,
					.idle_ms = f->idle_stop_s * 1000 };
	auto_spec struct spec_draft draft = { .env_count = 0 };
	struct exec_input input;
	struct exec_spec spec;
	struct fdl_event ev;
	struct span payload;
	auto_fd int file = -1;
	size_t inputs;

	if (job_payload(d, j, &draft.mem, &payload, e) < 0 ||
	    fdl_event_parse(payload, &draft.mem, &ev, e) < 0 ||
	    spec_begin(d, j->def, &draft, e) < 0 || view_add(d, j, &draft, e) < 0 ||
	    input_build(d, j, &ev, &draft.mem, &input, &inputs, &file, e) < 0)
		return -1;
	env_build(&draft, j, &ev);
	spec_fill(d, j->def, &draft, &spec);
	spec.job = j->id;
	spec.attempt = j->row.attempt;
	spec.script = span_of(f->script);
	spec.event = payload;
	spec.inputs = &input;
	spec.input_count = inputs;
	spec.input_file = inputs ? input.name : NULL;
	spec.timeout_ms = f->timeout_s ? f->timeout_s * 1000 : d->o.timeout_ms;
	// Whoever waits is served by a kept sandbox, of this revision and for this caller alone.
	// One that mounts a bucket would show the next call what the bucket was before.
	if (j->row.sync && f->keep_warm && !f->mount)
		spec.keep = &keep;
	return d->driver->ops->submit(d->driver, &spec, e);
}
