// main: oscar-supervisor, the program inside the function's container. Reads one event on standard input,
// runs once, answers on standard output, logs on standard error.
// Owner: everything of the run. Threads: one. Errors: logged here and nowhere else; the exit status says
// what kind it was.
// SPDX-License-Identifier: Apache-2.0
#include "base/file.h"
#include "base/mem.h"
#include "supervisor/answer.h"
#include "supervisor/job.h"
#include "supervisor/script.h"

#include <fcntl.h>
#include <unistd.h>

// Beside the script's own status (128+signal when killed, 124 after its timeout); sysexits.h has the rest.
enum status {
	STATUS_OK = 0,
	STATUS_INPUT = 66,  // the event or its object cannot be had
	STATUS_OURS = 71,   // no place or process to run in
	STATUS_OUTPUT = 74, // outputs or the answer could not be delivered
	STATUS_CONFIG = 78,
	STATUS_NO_SCRIPT = 127,
};

struct run {
	struct stop stop;
	struct report report;
	struct job job;
	struct config config;
	struct storage *stores[FDL_IO_MAX]; // one per output; the same pointer for the same storage
	int status;
};

// The reason is logged, and the status is the first that went wrong.
static int fail(struct run *r, int status, const struct err *e)
{
	if (r->stop.signal)
		status = 128 + r->stop.signal;
	report_at(&r->report, REPORT_ERROR, "%s", e->msg);
	r->status = r->status ? r->status : status;
	return -1;
}

static int configure(struct run *r)
{
	struct err e = { 0 };

	if (config_load(&r->job.mem, &r->config, &e) < 0) {
		err_wrap(&e, "configuration");
		return fail(r, STATUS_CONFIG, &e);
	}
	r->report.level = r->config.level;
	return 0;
}

// The storage of that name among those of the first n outputs; NULL when it is none of them.
static struct storage *find_store(const struct run *r, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(r->config.outputs[i].provider, name) == 0)
			return r->stores[i];
	return NULL;
}

// Before the script runs, so that no hours are lost to a missing key.
static int open_stores(struct run *r)
{
	for (size_t i = 0; i < r->config.output_count; i++) {
		const struct fdl_io *io = &r->config.outputs[i];
		struct config_store *store = arena_alloc(&r->job.mem, sizeof(*store));
		struct err e = { 0 };

		r->stores[i] = find_store(r, i, io->provider);
		if (r->stores[i])
			continue;
		if (config_store(&r->config, io->provider_type, io->provider_id, store, &e) == 0 &&
		    storage_open(&r->stop, &r->report, store, &r->stores[i], &e) == 0)
			continue;
		// A call that is answered at once runs where the cluster's own keys are not mounted.
		if (e.code != ERR_NOT_FOUND || r->job.event.kind != FDL_EVENT_UNKNOWN ||
		    strcmp(io->provider, "minio.default") != 0)
			return fail(r, STATUS_CONFIG, &e);
		report_at(&r->report, REPORT_WARNING, "output[%zu] is left out: %s", i, e.msg);
	}
	return 0;
}

static void close_stores(struct run *r)
{
	for (size_t i = r->config.output_count; i-- > 0;)
		if (r->stores[i] && !find_store(r, i, r->config.outputs[i].provider))
			storage_close(r->stores[i]);
}

// Where the object of the event lies. dCache tells a file's name, below the path of the input that it is of; Onedata a
// path whose first part is the space, which tells the provider; Rucio a name, but not whose.
static int locate(struct run *r, struct fdl_event *ev, struct err *e)
{
	struct span path = span_of(ev->key);
	const char *folder, *id;

	while (path.n && path.p[0] == '/')
		path = span_from(path, 1);
	if (strcmp(ev->provider, "webdav") == 0) {
		folder = config_input_path(&r->config, "webdav", ev->provider_id);
		if (!folder)
			return err_set(e, ERR_NOT_FOUND, "no input is of storage webdav.%s",
				       ev->provider_id);
		ev->bucket = folder;
	} else if (strcmp(ev->provider, "onedata") == 0) {
		id = config_onedata_id(&r->config, span_cut(&path, '/'));
		if (!id)
			return err_set(e, ERR_NOT_FOUND,
				       "no storage of type onedata has the space of %.100s",
				       ev->key);
		ev->provider_id = id;
	} else if (strcmp(ev->provider, "rucio") == 0 && !ev->has_provider_id) {
		id = config_rucio_id(&r->config);
		if (!id)
			return err_set(e, ERR_NOT_FOUND, "no storage of type rucio is described");
		ev->provider_id = id;
	}
	return 0;
}

static int fetch_file(struct run *r, struct storage *from, const char **path, struct err *e)
{
	const struct fdl_event *ev = &r->job.event;
	auto_fd int to = job_input_create(&r->job, path, e);
	uint64_t size;

	if (to < 0 || storage_get(from, ev->bucket, ev->key, to, &size, e) < 0)
		return -1;
	report_at(&r->report, REPORT_INFO, "Downloaded %llu bytes", (unsigned long long)size);
	return 0;
}

// The script is told of the one file that came, or of the folder with several.
static int fetch_set(struct run *r, struct storage *from, const char **path, struct err *e)
{
	const struct fdl_event *ev = &r->job.event;
	auto_fd int dir = file_open(AT_FDCWD, r->job.input, O_RDONLY | O_DIRECTORY, 0, e);
	auto_fd int list = dir < 0 ? -1 : job_temp_file(&r->job, e);
	struct storage_set got;

	if (list < 0 ||
	    storage_get_set(from, ev->bucket, ev->key, dir, list, &r->job.mem, &got, e) < 0)
		return -1;
	*path = got.n == 1 ? arena_printf(&r->job.mem, "%s/%s", r->job.input, got.first)
			   : r->job.input;
	report_at(&r->report, REPORT_INFO, "Downloaded %zu files, %llu bytes", got.n,
		  (unsigned long long)got.size);
	return 0;
}

static int fetch_object(struct run *r, const char **path)
{
	struct fdl_event *ev = &r->job.event;
	auto_storage struct storage *opened = NULL;
	struct storage *from;
	struct config_store store;
	struct err e = { 0 };
	int bad;

	if (locate(r, ev, &e) < 0 ||
	    config_store(&r->config, ev->provider, ev->provider_id, &store, &e) < 0) {
		err_wrap(&e, "the event's object cannot be fetched");
		return fail(r, STATUS_CONFIG, &e);
	}
	// One session with a storage: tokens of Rucio are good for one of two only.
	from = find_store(r, r->config.output_count, store.name);
	if (!from && storage_open(&r->stop, &r->report, &store, &opened, &e) < 0) {
		err_wrap(&e, "the event's object cannot be fetched");
		return fail(r, STATUS_CONFIG, &e);
	}
	from = from ? from : opened;
	report_at(&r->report, REPORT_INFO, "Downloading %s/%s from %s", ev->bucket, ev->key,
		  store.name);
	if (!*ev->bucket && store.kind == CONFIG_S3) {
		err_set(&e, ERR_INVALID, "the event names no bucket");
		return fail(r, STATUS_INPUT, &e);
	}
	bad = store.kind == CONFIG_RUCIO ? fetch_set(r, from, path, &e)
					 : fetch_file(r, from, path, &e);
	if (bad < 0) {
		err_wrap(&e, "download");
		return fail(r, STATUS_INPUT, &e);
	}
	return 0;
}

// The payload of a call is its input.
static int keep_payload(struct run *r, const char **path)
{
	struct err e = { 0 };
	auto_fd int fd = job_input_create(&r->job, path, &e);

	if (fd >= 0 && file_write_all(fd, r->job.event.body.p, r->job.event.body.n, &e) == 0)
		return 0;
	err_wrap(&e, "input");
	return fail(r, STATUS_INPUT, &e);
}

// *path becomes NULL when the service wants no input.
static int stage_in(struct run *r, const char **path)
{
	*path = NULL;
	if (r->job.event.kind == FDL_EVENT_UNKNOWN)
		return keep_payload(r, path);
	return r->config.skip_stage_in ? 0 : fetch_object(r, path);
}

// The event as a file, for scripts that read it: any size, byte for byte.
static int event_file(struct run *r, struct err *e)
{
	auto_fd int fd = job_temp_file(&r->job, e);

	if (fd < 0 || file_pwrite_all(fd, r->job.payload.p, r->job.payload.n, 0, e) < 0)
		return -1;
	return file_take(&fd);
}

// A call's answer waits for the outputs, so what is printed meanwhile goes to the log; CRITICAL is what users
// set for a log that may be mixed into the answer. For other events what is printed is the answer.
static int run_script(struct run *r, int kept)
{
	bool is_call = r->job.event.kind == FDL_EVENT_UNKNOWN;
	int log = r->report.level < REPORT_CRITICAL ? STDERR_FILENO : -1;
	struct err e = { 0 };
	auto_fd int input = event_file(r, &e);
	struct script s = { .path = r->job.script,
			    .input = input,
			    .timeout_s = r->config.timeout_s,
			    .kept = is_call ? kept : -1,
			    .out = is_call ? log : STDOUT_FILENO,
			    .err = is_call ? log : STDERR_FILENO };
	struct script_end end;

	if (input < 0 || script_run(&r->stop, &s, &end, &e) < 0)
		return fail(r, STATUS_OURS, &e);
	if (end.cut)
		report_at(&r->report, REPORT_WARNING,
			  "the answer holds the first %d MiB of what "
			  "the script printed",
			  SCRIPT_KEPT_MAX >> 20);
	r->status = end.status;
	if (end.timed_out)
		report_at(&r->report, REPORT_ERROR, "the script ran over its %lld s and was ended",
			  (long long)r->config.timeout_s);
	else if (end.stopped)
		report_at(&r->report, REPORT_ERROR, "stopped by signal %d", r->stop.signal);
	else if (end.status)
		report_at(&r->report, REPORT_ERROR, "the script ended with status %d", end.status);
	return end.stopped ? -1 : 0;
}

static int deliver(struct run *r, int kept)
{
	bool is_call = r->job.event.kind == FDL_EVENT_UNKNOWN, failed = r->status != 0;
	struct outputs found = { .dir = -1 };
	struct err e = { 0 };
	auto_fd int dir = -1;

	if (!failed || r->config.upload_on_failure) {
		dir = file_open(AT_FDCWD, r->job.output, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0,
				&e);
		if (dir < 0 || outputs_find(dir, &r->job.mem, &found, &e) < 0 ||
		    outputs_send(&found, &r->config, r->stores, r->job.event.bucket, &r->report,
				 &r->job.mem, &e) < 0)
			return fail(r, STATUS_OUTPUT, &e);
	}
	if (is_call && answer_write(&r->stop, failed ? NULL : &found, kept, STDOUT_FILENO, &e) < 0)
		return fail(r, STATUS_OUTPUT, &e);
	return 0;
}

static int find_script(struct run *r)
{
	struct err e = { 0 };

	if (job_find_script(&r->job, &e) == 0)
		return 0;
	err_wrap(&e, "script");
	return fail(r, e.code == ERR_NOT_FOUND ? STATUS_NO_SCRIPT : STATUS_CONFIG, &e);
}

static int work(struct run *r)
{
	const char *input;
	struct err e = { 0 };
	auto_fd int kept = -1;

	if (job_init(&r->job, &e) < 0)
		return fail(r, STATUS_OURS, &e);
	if (configure(r) < 0)
		return -1;
	if (job_read_event(&r->job, &r->stop, STDIN_FILENO, &e) < 0) {
		err_wrap(&e, "event");
		return fail(r, STATUS_INPUT, &e);
	}
	if (find_script(r) < 0 || open_stores(r) < 0 || stage_in(r, &input) < 0)
		return -1;
	kept = job_temp_file(&r->job, &e);
	if (kept < 0)
		return fail(r, STATUS_OURS, &e);
	job_export(&r->job, input);
	return run_script(r, kept) < 0 ? -1 : deliver(r, kept);
}

int main(void)
{
	auto_free struct run *r = mem_zalloc(sizeof(*r));
	struct err e = { 0 };

	r->report.level = REPORT_INFO;
	if (stop_init(&r->stop, &e) < 0) {
		fail(r, STATUS_OURS, &e);
		return r->status;
	}
	if (work(r) < 0)
		r->status = r->status ? r->status : STATUS_OURS;
	close_stores(r);
	config_release(&r->config);
	if (job_release(&r->job, &e) < 0)
		report_at(&r->report, REPORT_WARNING, "temporary files are left behind: %s", e.msg);
	return r->status;
}
