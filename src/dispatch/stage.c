// SPDX-License-Identifier: Apache-2.0
// stage: from a leased job to a spec that a driver runs; what its service says of it is in spec.c.
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "dispatch/inputs.h"
#include "dispatch/job.h"
#include "dispatch/spec.h"
#include "dispatch/view.h"
#include "fdl/event.h"
#include "fdl/fdl.h"

// The variables that only a job has.
static void env_build(struct spec_draft *s, const struct job *j, const struct fdl_event *ev,
		      const struct inputs *in, const char *parent)
{
	for (size_t i = 0; i < ev->var_count && s->env_count < SPEC_ENV_MAX - 64; i++)
		spec_env(s, ev->vars[i].name, ev->vars[i].value);
	spec_env(s, "JOB_UUID", arena_strdup(&s->mem, j->row.name));
	if (in->manifest)
		spec_env(s, "OSCAR_MANIFEST", arena_printf(&s->mem, "/mnt/%s", in->manifest));
	if (in->run_files) {
		spec_env(s, "OSCAR_RUN_FILES", arena_printf(&s->mem, "%zu", in->run_files));
		spec_env(s, "OSCAR_RUN_FAILED",
			 arena_printf(&s->mem, "%llu", (unsigned long long)in->run_failed));
	}
	spec_env(s, "TRACEPARENT", arena_strdup(&s->mem, parent));
	if (ev->kind == FDL_EVENT_STORAGE && strcmp(ev->provider, "webdav") != 0 &&
	    strcmp(ev->provider, "rucio") != 0) {
		spec_env(s, "STORAGE_OBJECT_KEY", ev->key);
		spec_env(s, "EVENT_TIME", ev->time);
	}
}

int job_trace(struct dispatch *d, const struct job *j, struct trace_context *out, struct err *e)
{
	if (!j->call || !trace_is(&j->call->trace))
		return queue_trace(d->o.queue, j->row.run, out, e);
	*out = j->call->trace; // which may not be written yet
	return 0;
}

// What the service mounts of the store.
static int view_add(struct dispatch *d, const struct job *j, struct spec_draft *s, struct err *e)
{
	const struct fdl_service *f = j->def->fdl;
	int fd = f->mount ? view_open(d, j, VIEW_MOUNT, f->mount, e) : -1;

	if (fd >= 0)
		s->mounts[s->mount_count++] = (struct exec_mount){ f->mount_target, fd };
	return f->mount && fd < 0 ? -1 : 0;
}

int stage_spec(struct dispatch *d, const struct job *j, struct spec_draft *draft,
	       struct inputs *inputs, struct exec_spec *out, struct err *e)
{
	const struct fdl_service *f = j->def->fdl;
	struct trace_context trace;
	char parent[TRACE_TEXT];
	struct fdl_event ev;
	struct span payload;

	if (job_payload(d, j, &draft->mem, &payload, e) < 0 || job_trace(d, j, &trace, e) < 0 ||
	    fdl_event_parse(payload, &draft->mem, &ev, e) < 0 ||
	    spec_begin(d, j->def, draft, e) < 0 || view_add(d, j, draft, e) < 0 ||
	    inputs_build(d, j, &ev, payload, &draft->mem, inputs, e) < 0)
		return -1;
	queue_trace_job(d->o.queue, &j->row, &trace);
	trace_text(&trace, parent);
	log_debug("dispatch", "job %s attempt %u of run %lld: trace %s", j->row.name,
		  j->row.attempt, (long long)j->row.run, parent);
	if (inputs->folder.target)
		draft->mounts[draft->mount_count++] = inputs_folder(inputs);
	env_build(draft, j, &ev, inputs, parent);
	spec_fill(d, j->def, draft, out);
	spec_devices(d, j->id, draft, out);
	out->job = j->id;
	out->attempt = j->row.attempt;
	out->script = span_of(f->script);
	out->event = payload;
	out->inputs = inputs->at;
	out->input_count = inputs->n;
	out->input_file = inputs->file;
	out->input_mount = inputs->folder.target;
	out->timeout_ms = f->timeout_s ? f->timeout_s * 1000 : d->o.timeout_ms;
	return 0;
}

int stage_job(struct dispatch *d, struct job *j, struct err *e)
{
	const struct fdl_service *f = j->def->fdl;
	const struct exec_keep keep = { .service = j->row.service,
					.revision = j->row.revision,
					.owner = j->row.owner,
					.count = f->keep_warm ? f->keep_warm : f->prepared,
					.once = !f->keep_warm,
					.idle_ms = f->idle_stop_s * 1000,
					.freeze_ms = f->freeze_after_s * 1000 };
	auto_spec struct spec_draft draft = { .env_count = 0 };
	auto_inputs struct inputs inputs = { .n = 0 };
	struct exec_spec spec;

	if (stage_spec(d, j, &draft, &inputs, &spec, e) < 0)
		return -1;
	// Whoever waits is served by a sandbox that was made ahead of the call, or by a kept one, of this revision
	// and for this caller alone. One that mounts a bucket would show the next call what the bucket was before.
	if (j->row.sync && keep.count && !f->mount)
		spec.keep = &keep;
	j->submitted_ns = clock_wall_ns();
	return d->driver->ops->submit(d->driver, &spec, e);
}
