// SPDX-License-Identifier: Apache-2.0
// collect: from a job that ended to its outcome: outputs, final state and feed in one commit.
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "db/db.h"
#include "dispatch/job.h"
#include "fdl/fdl.h"
#include "store/store.h"

#include <inttypes.h>

const char *outcome_name(enum exec_outcome o)
{
	static const char *const names[] = {
		[EXEC_EXITED] = "exited",
		[EXEC_SIGNALED] = "signaled",
		[EXEC_OOM] = "oom",
		[EXEC_TIMEOUT] = "timeout",
		[EXEC_DISK] = "disk",
		[EXEC_CANCELLED] = "cancelled",
		[EXEC_SETUP_FAILED] = "setup",
		[EXEC_LOST] = "lost",
		[EXEC_CHANGED] = "changed",
	};

	return (size_t)o < ARRAY_LEN(names) ? names[o] : "unknown";
}

struct collection {
	struct dispatch *d;
	struct job *j;
	struct arena mem;
	struct store_put **puts;
	size_t n, cap;
	struct queue_result result;
	struct span made; // what every output says of its making, packed
	struct span log;  // to be written with the outcome, "" = none
	enum queue_state to;
	int64_t run_after_ns;
	bool over;  // accounted before, or the job is gone
	bool later; // the disk takes nothing now: it is tried again with all outputs
};

static void puts_drop(struct collection *c)
{
	for (size_t i = 0; i < c->n; i++)
		store_put_abort(c->puts[i]);
	c->n = 0;
}

static const char *guess_type(const char *name)
{
	static const struct {
		const char *suffix, *type;
	} known[] = {
		{ ".json", "application/json" }, { ".jpg", "image/jpeg" },
		{ ".jpeg", "image/jpeg" },	 { ".png", "image/png" },
		{ ".gif", "image/gif" },	 { ".txt", "text/plain" },
		{ ".csv", "text/csv" },		 { ".html", "text/html" },
		{ ".pdf", "application/pdf" },	 { ".svg", "image/svg+xml" },
		{ ".mp4", "video/mp4" },	 { ".xml", "application/xml" },
		{ ".zip", "application/zip" },	 { ".gz", "application/gzip" },
	};

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (span_ends(span_of(name), span_of(known[i].suffix)))
			return known[i].type;
	return "application/octet-stream";
}

// What is put into somebody's directory becomes his.
static void give_away(struct exec_driver *drv, const struct store_put *put)
{
	const char *name, *later;
	int folder;

	if (!drv->ops->give)
		return;
	for (size_t i = 0; store_put_made_there(put, i, &folder, &name, &later); i++)
		drv->ops->give(drv, folder, name, later);
}

static int put_one(struct collection *c, int dir, const struct output_file *f,
		   const struct fdl_io *io, struct err *e)
{
	struct store_put_options o = { .bucket = span_of(io->bucket),
				       .owner = c->j->def->owner,
				       .size = f->size,
				       .by_link = true };
	auto_buf struct buf meta;

	o.key = span_of(io->folder[0] ? arena_printf(&c->mem, "%s/%s", io->folder, f->name)
				      : f->name);
	buf_init(&meta, STORE_META_MAX);
	store_meta_add(&meta, SPAN("content-type"), span_of(guess_type(f->name)));
	buf_add_span(&meta, c->made);
	o.meta.packed = buf_span(&meta);
	o.cause = (struct store_cause){ .principal = c->j->def->fdl->owner,
					.user_agent = "oscar",
					.user = c->j->def->owner,
					.job = c->j->row.id,
					.run = c->j->row.run,
					.depth = c->j->row.depth + 1 };
	if (c->n == c->cap) {
		c->cap = c->cap ? c->cap * 2 : 64;
		c->puts = mem_realloc(c->puts, c->cap, sizeof(struct store_put *));
	}
	if (store_put_begin(c->d->o.store, &o, &c->puts[c->n], e) < 0)
		return err_wrap(e, "output %s to %s", f->name, io->bucket);
	c->n++;
	if (store_put_take_file(c->puts[c->n - 1], dir, f->name, e) < 0 ||
	    store_put_stage(c->puts[c->n - 1], e) < 0)
		return err_wrap(e, "output %s", f->name);
	give_away(c->d->driver, c->puts[c->n - 1]);
	return 0;
}

// An earlier entry leads to the same place: one of them is enough.
static bool said_before(const struct fdl_service *f, size_t at, struct span name)
{
	for (size_t i = 0; i < at; i++)
		if (strcmp(f->outputs[i].bucket, f->outputs[at].bucket) == 0 &&
		    strcmp(f->outputs[i].folder, f->outputs[at].folder) == 0 &&
		    fdl_io_matches(&f->outputs[i], name))
			return true;
	return false;
}

static void say_how_made(struct collection *c)
{
	auto_buf struct buf b;

	buf_init(&b, STORE_META_MAX / 2);
	provenance_add(c->d, c->j, &b);
	if (!b.over)
		c->made = arena_span(&c->mem, buf_span(&b));
}

// A file goes to every output whose filters let it pass.
static int put_outputs(struct collection *c, int dir, struct err *e)
{
	const struct fdl_service *f = c->j->def->fdl;
	struct output_file *files;
	size_t n;

	if (output_walk(dir, c->d->o.outputs_max, &c->mem, &files, &n, e) < 0)
		return -1;
	say_how_made(c);
	for (struct output_file *file = files; file; file = file->next)
		for (size_t i = 0; i < f->output_count; i++)
			if (fdl_io_matches(&f->outputs[i], span_of(file->name)) &&
			    !said_before(f, i, span_of(file->name)) &&
			    put_one(c, dir, file, &f->outputs[i], e) < 0)
				return -1;
	c->result.outputs = (unsigned)c->n;
	return 0;
}

static int write_outcome(struct db_conn *conn, void *arg, struct err *e)
{
	struct collection *c = arg;

	// First the state: an attempt that was accounted before changes nothing.
	if (job_end_in(c->d, conn, c->j, c->to, c->run_after_ns, &c->result, e) < 0) {
		c->over = e->code == ERR_CONFLICT || e->code == ERR_NOT_FOUND;
		return -1;
	}
	if (c->log.n && queue_log_put_in(conn, c->j->row.id, c->j->row.attempt, c->log, e) < 0)
		return -1;
	for (size_t i = 0; i < c->n; i++)
		if (store_put_apply(c->puts[i], conn, e) < 0)
			return -1;
	return 0;
}

static int commit(struct collection *c, struct err *e)
{
	int bad;

	job_settle(c->d, c->j);
	bad = db_write(c->d->o.db, write_outcome, c, e);
	for (size_t i = 0; i < c->n; i++) {
		if (!bad)
			store_put_committed(c->puts[i]);
		else if (e->code == ERR_IO)
			store_put_unsure(c->puts[i]);
	}
	puts_drop(c);
	return bad;
}

static void fail(struct collection *c, const char *outcome, const char *reason)
{
	c->result.outcome = outcome;
	c->result.reason = arena_strdup(&c->mem, reason);
	c->result.outputs = 0;
}

// Outputs that cannot be stored make the job fail with that reason, unless that may change by itself.
static void refuse_outputs(struct collection *c, const struct err *e)
{
	puts_drop(c);
	// Busy: another job is putting a file of the same name into a directory.
	if (e->code == ERR_FULL || e->code == ERR_IO || e->code == ERR_UNAVAILABLE ||
	    e->code == ERR_BUSY) {
		if (e->code != ERR_BUSY)
			log_warn("dispatch", "job %s is not accounted yet: %s", c->j->row.name,
				 e->msg);
		c->later = true;
		return;
	}
	fail(c, "upload", e->msg);
	c->to = QUEUE_FAILED;
}

static void describe(struct collection *c)
{
	const struct exec_result *r = &c->j->result;

	c->result =
		(struct queue_result){ .outcome = outcome_name(r->outcome),
				       .exit_code = r->outcome == EXEC_EXITED ? r->exit_code : -1,
				       .signal = r->signal,
				       .reason = r->reason,
				       .memory_peak = r->memory_peak_bytes,
				       .cpu_us = r->cpu_us };
	if (c->j->stopped) {
		c->to = QUEUE_QUEUED;
		c->result.outcome = "stopped";
		c->result.reason = "the daemon was stopped";
		return;
	}
	if (r->outcome == EXEC_EXITED && r->exit_code == 0) {
		c->to = QUEUE_SUCCEEDED;
		c->result.reason = "";
		return;
	}
	if (r->outcome == EXEC_EXITED && !r->reason[0])
		c->result.reason =
			arena_printf(&c->mem, "the script ended with status %d", r->exit_code);
	else if (r->outcome == EXEC_SIGNALED && !r->reason[0])
		c->result.reason =
			arena_printf(&c->mem, "the script was killed by signal %d", r->signal);
	else if (!r->reason[0])
		c->result.reason = c->result.outcome;
	c->to = job_after_failure(c->d, c->j, r->outcome, &c->run_after_ns);
}

static void collect_outputs(struct collection *c, struct dispatch_answer *a)
{
	struct exec_driver *drv = c->d->driver;
	struct err e = { 0 };
	auto_fd int dir = drv->ops->open_output(drv, c->j->id, c->j->row.attempt, &e);

	if (c->j->row.sync && c->to != QUEUE_QUEUED && answer_wanted(c->d, c->j->row.id))
		answer_make(c->d, c->j, dir, a);
	if (dir < 0 || !(c->to == QUEUE_SUCCEEDED ||
			 (c->j->def->fdl->upload_on_failure && c->to != QUEUE_QUEUED))) {
		if (dir < 0 && c->to == QUEUE_SUCCEEDED && e.code != ERR_UNSUPPORTED)
			refuse_outputs(c, &e);
		return;
	}
	if (put_outputs(c, dir, &e) < 0)
		refuse_outputs(c, &e);
}

// -1: it could not be written down for now (a full disk); everything is as before.
static int account(struct collection *c)
{
	struct err e = { 0 };

	if (c->later)
		return -1;
	if (commit(c, &e) == 0 || c->over)
		return 0;
	// The outputs could not be committed (a bucket went away): account the failure alone.
	refuse_outputs(c, &e);
	if (c->later)
		return -1;
	log_warn("dispatch", "job %s: %s", c->j->row.name, e.msg);
	if (commit(c, &e) == 0 || c->over)
		return 0;
	log_warn("dispatch", "job %s is not accounted yet: %s", c->j->row.name, e.msg);
	return -1;
}

void collect_job(struct dispatch *d, struct job *j)
{
	struct collection c = { .d = d, .j = j };
	struct dispatch_answer answer = { .fd = -1 };
	struct exec_driver *drv = d->driver;
	struct err e = { 0 };

	if (job_has_row(d, j))
		queue_uploading(d->o.queue, j->row.id, j->row.attempt);
	describe(&c);
	if (joblog_keep(d, j, &c.mem, &c.log, &e) < 0)
		log_warn("dispatch", "log of job %s: %s", j->row.name, e.msg);
	collect_outputs(&c, &answer);
	if (account(&c) < 0) {
		file_close(answer.fd);
		mem_free(c.puts);
		arena_release(&c.mem);
		again_later(d, j->row.id, AGAIN_ACCOUNT);
		return;
	}
	figures_take(d, j);
	// Before the answer: its caller's next call shall find the sandbox free, if it is kept.
	if (drv->ops->forget(drv, j->id, j->row.attempt, &e) < 0)
		log_warn("dispatch", "job %s: %s", j->row.name, e.msg);
	if (j->row.sync && c.to != QUEUE_QUEUED) {
		answer.ok = c.to == QUEUE_SUCCEEDED;
		answer.timed_out = j->result.outcome == EXEC_TIMEOUT;
		snprintf(answer.reason, sizeof(answer.reason), "%s", c.result.reason);
		answer_deliver(d, j->row.id, &answer);
	}
	mem_free(c.puts);
	arena_release(&c.mem);
	job_release(d, j);
}
