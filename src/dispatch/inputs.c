// SPDX-License-Identifier: Apache-2.0
#include "dispatch/inputs.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/rand.h"
#include "dispatch/job.h"
#include "dispatch/view.h"
#include "fdl/event.h"
#include "store/store.h"

#include <fcntl.h>
#include <sys/stat.h>

const struct fdl_io *inputs_io(const struct job *j)
{
	const struct fdl_service *f = j->def->fdl;
	struct span name;

	for (size_t i = 0; j->row.version && i < f->input_count; i++)
		if (fdl_io_takes(&f->inputs[i], span_of(f->inputs[i].bucket), j->row.key, &name))
			return &f->inputs[i];
	return NULL;
}

// ---- a file --------------------------------------------------------------------------------------------

// An object that is not one file (joined parts) is copied to one of the job's own, which goes when the job is over.
static int copy_whole(struct dispatch *d, const char *name, struct store_reader *r,
		      struct arena *mem, struct exec_input *in, struct err *e)
{
	struct span inside;
	auto_fd int fd = -1;

	if (store_reader_inline(r, &inside)) {
		in->bytes = arena_span(mem, inside); // the reader is closed before the job begins
		return 0;
	}
	fd = file_open(d->tmp_dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600, e);
	if (fd < 0)
		return -1;
	if (store_reader_save(r, fd, e) < 0)
		return -1;
	in->content = arena_printf(mem, "tmp/%s", name);
	return 0;
}

static int missing(const char *bucket, const char *key, struct err *e)
{
	// A file that changed is another input: waiting would not bring this one back.
	if (e->code == ERR_BUSY)
		e->code = ERR_CONFLICT;
	return e->code == ERR_NOT_FOUND ? err_set(e, ERR_NOT_FOUND,
						  "the input %s/%s is gone: this version of it "
						  "was deleted or overwritten",
						  bucket, key)
					: err_wrap(e, "input %s/%s", bucket, key);
}

// The bytes of an open object, without copying where that can be. `copy`: where to, below tmp/.
static int take(struct dispatch *d, struct store_reader *r, uint64_t size, const char *copy,
		struct arena *mem, struct exec_input *in, int *file, struct err *e)
{
	char path[128];

	if (store_reader_path(r, path, sizeof(path))) {
		in->content = arena_strdup(mem, path);
	} else if (store_reader_whole(r, file, &in->file_mtime_ns)) {
		in->file = *file;
		in->file_size = size;
	}
	if (in->content || in->file)
		return store_reader_verify(r, e);
	return copy_whole(d, copy, r, mem, in, e);
}

static int object_input(struct dispatch *d, const struct job *j, const struct fdl_event *ev,
			struct arena *mem, struct exec_input *in, int *file, struct err *e)
{
	auto_reader struct store_reader *r = NULL;
	char copy[JOB_INPUT_NAME_MAX];
	struct store_object o;
	int bad;

	bad = j->row.version ? store_reader_open_version(d->o.store, j->row.bucket, j->row.key,
							 j->row.version, mem, &o, &r, e)
			     : store_reader_open(d->o.store, span_of(ev->bucket), span_of(ev->key),
						 0, mem, &o, &r, e);
	if (bad < 0)
		return missing(ev->bucket, ev->key, e);
	in->name = ev->file_name;
	return take(d, r, o.size, job_input_name(j, copy), mem, in, file, e) < 0
		       ? err_wrap(e, "input %s/%s", ev->bucket, ev->key)
		       : 0;
}

// ---- several files -------------------------------------------------------------------------------------

// A second file of the same name is called "2-NAME", or with the next number that is free.
static const char *name_in(const struct inputs *in, const char *name, struct arena *mem)
{
	const char *mine = name;
	unsigned number = 1;

	for (size_t i = 0; i < in->n; i++)
		if (strcmp(in->at[i].name, mine) == 0) {
			mine = arena_printf(mem, "%u-%s", ++number, name);
			i = (size_t)-1; // from the beginning
		}
	return mine;
}

static int add_record(struct dispatch *d, const struct job *j, const struct fdl_record *record,
		      struct arena *mem, struct inputs *out, struct err *e)
{
	auto_reader struct store_reader *r = NULL;
	struct exec_input *in = &out->at[out->n];
	char folder[VIEW_NAME_MAX];
	const char *copy = arena_printf(mem, "%s/%zu", view_name(j, VIEW_GROUP, folder), out->n);
	struct store_object o;

	if (store_reader_open_version(d->o.store, j->row.bucket, span_of(record->key),
				      record->version, mem, &o, &r, e) < 0)
		return missing(record->bucket, record->key, e);
	in->name = name_in(out, record->file_name, mem);
	if (strlen(in->name) > 255)
		return err_set(e, ERR_INVALID, "input %s/%s: its name is too long", record->bucket,
			       record->key);
	if (take(d, r, o.size, copy, mem, in, &out->files[out->n], e) < 0)
		return err_wrap(e, "input %s/%s", record->bucket, record->key);
	out->n++;
	return 0;
}

static int group_inputs(struct dispatch *d, const struct job *j, struct span payload,
			struct arena *mem, struct inputs *out, struct err *e)
{
	struct fdl_record records[FDL_GROUP_MAX];
	auto_fd int copies = -1;
	size_t n;

	if (fdl_event_records(payload, mem, FDL_GROUP_MAX, records, &n, e) < 0)
		return -1;
	copies = view_make(d, j, VIEW_GROUP, e); // of what has to be copied
	if (copies < 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		if (add_record(d, j, &records[i], mem, out, e) < 0)
			return -1;
	out->file = "";
	return 0;
}

// ---- a folder ------------------------------------------------------------------------------------------

// Where a folder stands, below /mnt, under its own name.
static int set_folder(struct inputs *out, const char *name, int fd, struct arena *mem)
{
	if (fd >= 0)
		out->folder = (struct exec_mount){ arena_printf(mem, "input/%s", name), fd };
	return fd < 0 ? -1 : 0;
}

// Below the last part of the input's path, each file by what follows that in its key.
static const char *folder_name(const struct fdl_io *io, size_t *skip)
{
	const char *slash = strrchr(io->folder, '/');

	*skip = strlen(io->folder) + (*io->folder ? 1 : 0);
	return slash ? slash + 1 : *io->folder ? io->folder : io->bucket;
}

// A manifest with the files that it names, as they are now.
static int manifest_input(struct dispatch *d, const struct job *j, const struct fdl_io *io,
			  struct arena *mem, struct inputs *out, struct err *e)
{
	struct fdl_member *members;
	size_t n, skip;
	const char *name = folder_name(io, &skip);

	if (service_manifest_files(d->o.store, io, j->row.bucket, j->row.key, j->row.version, mem,
				   &members, &n, e) < 0)
		return -1;
	out->manifest = arena_printf(mem, "input/%s/%s", name, members[0].key + skip);
	return set_folder(out, name, view_gather(d, j, members, n, skip, e), mem);
}

// All files of a run that came into the input's folder.
static int run_input(struct dispatch *d, const struct job *j, const struct fdl_io *io,
		     struct span payload, struct arena *mem, struct inputs *out, struct err *e)
{
	struct fdl_group g;
	size_t skip;
	const char *name = folder_name(io, &skip);

	if (fdl_event_group(payload, mem, &g, e) < 0)
		return -1;
	if (g.over)
		return err_set(e, ERR_LIMIT, "more than %d files of the run came to %s/%s",
			       FDL_GROUP_RUN_MAX, io->bucket, io->folder);
	out->run_files = g.n;
	out->run_failed = g.failed;
	return set_folder(out, name, view_gather(d, j, g.members, g.n, skip, e), mem);
}

// The one that the sentinel lies in, under its own name.
static int folder_input(struct dispatch *d, const struct job *j, const struct fdl_io *io,
			struct arena *mem, struct inputs *out, struct err *e)
{
	char *key = arena_strndup(mem, j->row.key.p, j->row.key.n), *slash = strrchr(key, '/');
	struct fdl_io folder = { .bucket = io->bucket, .folder = slash ? key : "" };
	const char *name = io->bucket;

	if (slash) {
		*slash = '\0';
		slash = strrchr(key, '/');
		name = slash ? slash + 1 : key;
	}
	if (strlen(name) > 255 || !*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return err_set(e, ERR_INVALID,
			       "no folder can have the name of that of %s/" SPAN_FMT, io->bucket,
			       SPAN_ARG(span_head(j->row.key, 120)));
	return set_folder(out, name, view_open(d, j, VIEW_GROUP, &folder, e), mem);
}

// ---- all of them ---------------------------------------------------------------------------------------

static void event_input(const struct fdl_event *ev, struct arena *mem, struct inputs *out)
{
	char uuid_text[RAND_UUID_TEXT];
	uint8_t uuid[16];

	rand_uuid(uuid);
	out->at[0] = (struct exec_input){
		.name = arena_printf(mem, "event-file-%s", rand_uuid_text(uuid, uuid_text)),
		.bytes = ev->body,
	};
	out->n = 1;
	out->file = out->at[0].name;
}

int inputs_build(struct dispatch *d, const struct job *j, const struct fdl_event *ev,
		 struct span payload, struct arena *mem, struct inputs *out, struct err *e)
{
	const struct fdl_io *io = inputs_io(j);

	if (ev->kind == FDL_EVENT_UNKNOWN) {
		event_input(ev, mem, out);
		return 0;
	}
	if (j->def->fdl->skip_stage_in)
		return 0;
	if (strcmp(ev->provider, "minio") != 0 || strcmp(ev->provider_id, "default") != 0)
		return err_set(
			e, ERR_UNSUPPORTED,
			"the event is of storage %s.%s, for which this cluster has no credentials",
			ev->provider, ev->provider_id);
	if (io && io->group_count)
		return group_inputs(d, j, payload, mem, out, e);
	if (io && io->manifest)
		return manifest_input(d, j, io, mem, out, e);
	if (io && io->group_run)
		return run_input(d, j, io, payload, mem, out, e);
	if (io && io->sentinel)
		return folder_input(d, j, io, mem, out, e);
	if (object_input(d, j, ev, mem, &out->at[0], &out->files[0], e) < 0)
		return -1;
	out->n = 1;
	out->file = out->at[0].name;
	return 0;
}

struct exec_mount inputs_folder(struct inputs *in)
{
	struct exec_mount folder = in->folder;

	in->folder.folder = -1;
	return folder;
}

void inputs_close(struct inputs *in)
{
	for (size_t i = 0; i < ARRAY_LEN(in->files); i++)
		if (in->files[i])
			file_close(in->files[i]);
	if (in->folder.target)
		file_close(in->folder.folder);
}
