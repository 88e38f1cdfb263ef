// SPDX-License-Identifier: Apache-2.0
// shell: somebody at work in the sandbox of a job that is over: staged as that job was, with room as a server has, and
// without a row.
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "dispatch/inputs.h"
#include "dispatch/spec.h"
#include "dispatch/view.h"

#include <unistd.h>

// What is made for its inputs below tmp/ is named as that of an attempt which no job reaches; so it goes with those of
// attempts that are not active when the next life begins.
enum { SHELL_PREFIX = 's', ATTEMPTS_FIRST = 1 << 30 };

struct dispatch_shell {
	struct job
		job; // the one that is over, as it would be staged again; its row's attempt is ours alone
	struct dispatch_shell_wish wish;
};

static struct dispatch_shell *shell_new(struct dispatch *d, const struct queue_job *row,
					struct service_def *def,
					const struct dispatch_shell_wish *w)
{
	struct dispatch_shell *s = mem_zalloc(sizeof(*s));

	s->wish = *w;
	s->wish.command = NULL;
	s->job.row = *row;
	s->job.row.key = arena_span(&s->job.mem, row->key);
	s->job.row.sync = false;
	s->job.def = def;
	s->job.size = job_size(def);
	server_id(d, SHELL_PREFIX, s->job.id);
	auto_lock held = lock_hold(&d->lock);

	s->job.row.attempt = ATTEMPTS_FIRST + d->server_serial++;
	map_put(&d->shells, span_of(s->job.id), s);
	return s;
}

static void shell_remove(struct dispatch *d, struct dispatch_shell *s)
{
	char input[JOB_INPUT_NAME_MAX];

	{
		auto_lock held = lock_hold(&d->lock);

		map_remove(&d->shells, span_of(s->job.id));
	}
	unlinkat(d->tmp_dir, job_input_name(&s->job, input), 0);
	view_remove(d, &s->job);
	service_def_put(s->job.def);
	arena_release(&s->job.mem);
	mem_free(s);
}

static struct dispatch_shell *shell_find(struct dispatch *d, const char *id)
{
	auto_lock held = lock_hold(&d->lock);

	return map_get(&d->shells, span_of(id));
}

// ---- what the driver says ------------------------------------------------------------------------------

// One of an earlier life is nobody's: strays.c ends it.
bool shell_started(struct dispatch *d, const char *id)
{
	struct dispatch_shell *s;

	if (id[0] != SHELL_PREFIX)
		return false;
	s = shell_find(d, id);
	if (s)
		s->wish.started(s->wish.owner);
	return true;
}

bool shell_ended(struct dispatch *d, const char *id, const struct exec_result *r)
{
	struct dispatch_shell *s;

	if (id[0] != SHELL_PREFIX)
		return false;
	s = shell_find(d, id);
	if (s && server_room_give_back(d, id))
		s->wish.ended(s->wish.owner, r);
	return true;
}

// ---- what runs in it -----------------------------------------------------------------------------------

static struct span welcome(struct spec_draft *draft, const struct dispatch_shell *s)
{
	const struct queue_job *row = &s->job.row;

	if (!s->wish.terminal)
		return SPAN("");
	return span_of(arena_printf(
		&draft->mem,
		"echo 'This is the sandbox of job %s, with its input%s.'\n"
		"echo 'Its script again: sh /oscar/config/script.sh </oscar/shell/event'\n"
		"echo 'What is written here is gone when you leave: outputs are not stored.'\n",
		row->name, row->version ? ", in the version that the job read" : ""));
}

static int start_script(struct spec_draft *draft, const struct dispatch_shell *s,
			const char *const *command, struct span *out, struct err *e)
{
	struct span hello = welcome(draft, s), run;

	if (!command)
		run = SPAN("[ -x /bin/bash ] && exec /bin/bash\nexec /bin/sh\n");
	else if (spec_command(draft, command, &run, e) < 0)
		return err_wrap(e, "the shell's command");
	*out = span_of(
		arena_printf(&draft->mem, SPAN_FMT SPAN_FMT, SPAN_ARG(hello), SPAN_ARG(run)));
	return 0;
}

static int submit(struct dispatch *d, struct dispatch_shell *s, const char *const *command,
		  struct err *e)
{
	auto_spec struct spec_draft draft = { .env_count = 0 };
	auto_inputs struct inputs inputs = { .n = 0 };
	struct exec_shell shell;
	struct exec_spec spec;

	memcpy(shell.streams, s->wish.streams, sizeof(shell.streams));
	if (stage_spec(d, &s->job, &draft, &inputs, &spec, e) < 0 ||
	    start_script(&draft, s, command, &shell.script, e) < 0)
		return -1;
	if (s->wish.terminal)
		spec_env(&draft, "TERM", s->wish.terminal);
	spec.env_count = draft.env_count;
	spec.attempt = 1;
	spec.timeout_ms = s->wish.time_ms;
	spec.grace_ms = 0;
	spec.shell = &shell;
	return d->driver->ops->submit(d->driver, &spec, e);
}

// ---- life ----------------------------------------------------------------------------------------------

int dispatch_shell_start(struct dispatch *d, const struct queue_job *row,
			 const struct dispatch_shell_wish *w, struct dispatch_shell **out,
			 struct err *e)
{
	auto_service_def struct service_def *def = NULL;
	struct dispatch_shell *s;

	if (row->state < QUEUE_SUCCEEDED)
		return err_set(e, ERR_CONFLICT,
			       "job %s is %s: a shell opens the sandbox of one that is over",
			       row->name, queue_state_name(row->state));
	if (!d->driver->ops->open_door)
		return err_set(e, ERR_UNSUPPORTED, "runtime %s opens no shells",
			       d->driver->ops->name);
	if (service_revision(d->o.services, row->service, row->revision, &def, e) < 0)
		return err_wrap(e, "the service that job %s ran", row->name);
	s = shell_new(d, row, mem_take(&def), w);
	if (server_room_take(d, s->job.def, s->job.id, e) < 0) {
		shell_remove(d, s);
		return -1;
	}
	if (submit(d, s, w->command, e) == 0) {
		*out = s;
		return 0;
	}
	server_room_give_back(d, s->job.id);
	shell_remove(d, s);
	return -1;
}

const char *dispatch_shell_id(const struct dispatch_shell *s)
{
	return s->job.id;
}

void dispatch_shell_forget(struct dispatch *d, struct dispatch_shell *s)
{
	dispatch_server_forget(d, s->job.id);
	shell_remove(d, s);
}
