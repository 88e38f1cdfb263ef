// private: what the commands share. Owner: struct cli belongs to one cli_run(). Threads: one.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/arena.h"
#include "base/err.h"
#include "codec/json.h"
#include "http/client.h"

#include <stdio.h>

enum cli_exit {
	CLI_OK = 0,
	CLI_FAILED = 1,
	CLI_USAGE = 2,
	CLI_NOT_FOUND = 3,
	CLI_AUTH = 4,
	CLI_TIMEOUT = 5,
	CLI_UNREACHABLE = 6,
	CLI_INTERRUPTED = 130,
};

enum cli_format { CLI_TABLE, CLI_JSON, CLI_YAML };

struct cli_option {
	char letter;	   // 0 = none
	const char *name;  // without "--"; NULL ends a table
	const char *value; // what it wants, as help shows it; NULL = nothing
	const char *help;
};

enum { CLI_OPTIONS_MAX = 32, CLI_WORDS_MAX = 64 };

struct cli;
struct cli_command {
	const char *path;		  // "service list"
	const char *alias;		  // other words for the same, "|" between them; NULL = none
	const char *words;		  // what follows, as help shows it; "" = nothing
	int min, max;			  // how many words; max -1 = any number up to CLI_WORDS_MAX
	const char *help;		  // one line
	const char *examples;		  // lines, NULL = none
	const struct cli_option *options; // NULL = the common ones only
	int (*run)(struct cli *c, struct err *e); // 0, an exit status above 0, or negative with `e`
};

struct cli_given {
	const struct cli_option *option;
	const char *value;
};

struct cli {
	FILE *out, *err;
	struct arena a; // of the whole call
	const struct cli_command *command;
	struct cli_given given[CLI_OPTIONS_MAX];
	size_t given_count;
	const char *words[CLI_WORDS_MAX];
	size_t word_count;
	enum cli_format format;
	bool format_given;
	bool progress;	  // draw on `err`
	bool wrong_usage; // the error is about the words that were given
	bool answered;	  // the last thing that the server was asked

	// The server, found at the first call.
	const char *endpoint, *username, *password, *token; // endpoint without "/" at its end
	struct http_client *http;
	struct cli_s3 *s3;
};

// ---- arguments (args.c) --------------------------------------------------------------------------------

extern const struct cli_option cli_common_options[];

// Reads what follows the command's own words. ERR_INVALID says what is wrong.
must_check int cli_args_read(struct cli *c, int argc, char **argv, struct err *e);

// The option's value; "" for one without value; NULL when it was not given.
const char *cli_opt(const struct cli *c, const char *name);
// Every value of an option that may be repeated, in order; ends with NULL.
const char **cli_opt_values(struct cli *c, const char *name, size_t *n);
must_check int cli_opt_number(struct cli *c, const char *name, int64_t max, int64_t *out,
			      struct err *e); // *out stays when it was not given
// "90", "90s", "5m", "2h" as seconds.
must_check int cli_opt_seconds(struct cli *c, const char *name, int64_t *out, struct err *e);

// Fills `e` and returns -1; the exit status becomes that of wrong usage.
int cli_usage(struct cli *c, struct err *e, const char *fmt, ...) format_printf(3, 4);

extern const struct cli_command cli_commands[]; // path NULL ends it
void cli_help_all(FILE *out);
void cli_help_noun(FILE *out, const char *noun);
void cli_help_command(FILE *out, const struct cli_command *cmd);

// ---- output (output.c) ---------------------------------------------------------------------------------

struct cli_table {
	struct cli *c;
	size_t columns;
	const char **cells; // row by row, the first one is the head
	size_t count, cap;
};
// Heads: "NAME IMAGE CPU", separated by blanks.
void cli_table_begin(struct cli_table *t, struct cli *c, const char *heads);
void cli_table_add(struct cli_table *t, const char *cell); // copied; control characters become '?'
void cli_table_addf(struct cli_table *t, const char *fmt, ...) format_printf(2, 3);
void cli_table_end(struct cli_table *t); // prints; a table without rows prints its head only

void cli_print_json(struct cli *c, const json_t *v);
void cli_print_yaml(struct cli *c, const json_t *v);

// A text of the server's for a terminal.
const char *cli_clean(struct cli *c, const char *text);
const char *cli_size(struct cli *c, uint64_t bytes);	  // "1.5 MiB"
const char *cli_duration(struct cli *c, int64_t seconds); // "1:05"

// One line on `err` that is drawn over; nothing happens unless c->progress.
void cli_progress(struct cli *c, const char *fmt, ...) format_printf(2, 3);
void cli_progress_end(struct cli *c);
void cli_note(struct cli *c, const char *fmt, ...) format_printf(2, 3); // a line on `err`

// ---- interruption (interrupt.c) ------------------------------------------------------------------------

void cli_interrupt_catch(void);	  // SIGINT and SIGTERM set a flag from now on
void cli_interrupt_restore(void); // as they were
bool cli_interrupted(void *unused);

// Sleeps; ERR_CANCELLED when interrupted.
must_check int cli_sleep_ms(int64_t ms, struct err *e);

// ---- the server (session.c) ----------------------------------------------------------------------------

must_check int cli_session(struct cli *c, struct err *e);
// One more client for the same server with the same credentials, of a cli_session().
must_check int cli_session_client(struct cli *c, struct http_client **out, struct err *e);
void cli_session_close(struct cli *c);

struct cli_request {
	const char *method;
	const char *path; // from "/" on, encoded; see cli_path()
	struct span body;
	const char *content_type; // NULL = application/json when there is a body
	const char *bearer;	  // instead of the session's credentials
	ssize_t (*send)(void *owner, char *p, size_t n);
	bool (*rewind)(void *owner);
	int64_t send_size;
	bool (*take)(void *owner, struct span piece);
	void *owner;
	const char *accept;
	const char *extra_header;
	int64_t timeout_ms; // 0 = 60 s, negative = none
	bool once;	    // never asked twice
};

// Any status is a success.
must_check int cli_ask(struct cli *c, const struct cli_request *r, struct http_answer *out,
		       struct err *e);

// As cli_ask; a status that is not 2xx is an error.
must_check int cli_call(struct cli *c, const struct cli_request *r, struct http_answer *out,
			struct err *e);

// GET of a JSON document. *out is a new reference.
must_check int cli_get_json(struct cli *c, const char *path, json_t **out, struct err *e);

// `fmt` with every %s percent-encoded, so that names cannot change the path. Only %s and %ld are known.
const char *cli_path(struct cli *c, const char *fmt, ...) format_printf(2, 3);

// ---- files in the object store (s3.c) ------------------------------------------------------------------

struct cli_object {
	const char *key;
	uint64_t size;
	const char *modified;
	struct cli_object *next;
};

must_check int cli_s3_put(struct cli *c, const char *bucket, const char *key, int fd, uint64_t size,
			  void (*progress)(void *owner, uint64_t done), void *owner, struct err *e);
must_check int cli_s3_get(struct cli *c, const char *bucket, const char *key, const char *path,
			  void (*progress)(void *owner, uint64_t done), void *owner, struct err *e);
must_check int cli_s3_delete(struct cli *c, const char *bucket, const char *key, struct err *e);

// All objects below a prefix, in the order of their keys, into the cli's arena.
must_check int cli_s3_list(struct cli *c, const char *bucket, const char *prefix,
			   struct cli_object **out, size_t *count, struct err *e);

// The last part of a path.
const char *cli_base_name(struct cli *c, const char *path);

// The local name of a key below a folder, whose own folders are made. Keys are of strangers: ERR_INVALID
// when one would climb out of it.
must_check int cli_local_path(struct cli *c, const char *dir, const char *name, const char **out,
			      struct err *e);

// ---- progress of long works (watch.c) --------------------------------------------------------------------

// Draws how far the server is with the work of that id, from a thread of its own, until cli_watch_stop(). Does nothing
// unless c->progress.
struct cli_watch;
struct cli_watch *cli_watch_start(struct cli *c, const char *id);
// The same with a job whose log is printed meanwhile: a line for each thing that it says of how far it is.
struct cli_watch *cli_watch_job(struct cli *c, const char *job);
void cli_watch_stop(struct cli_watch *w); // accepts NULL

// ---- image registries (login.c) ------------------------------------------------------------------------

// User and password for a registry, from the files and helpers of docker, podman and skopeo; left as they are when
// there are none.
must_check int cli_login_find(struct cli *c, const char *registry, const char **user,
			      const char **password, struct err *e);

// ---- images (image_import.c, image_cmds.c) -------------------------------------------------------------

// Has the server fetch an image from its registry, as `name` (NULL = by its reference), with the logins of the
// person who asks; *image as below.
must_check int cli_image_fetch(struct cli *c, const char *reference, const char *name,
			       json_t **image, struct err *e);

// Sends what `oscar image import` takes; *image is what the server says of it, a new reference.
must_check int cli_image_send(struct cli *c, const char *from, const char *name, json_t **image,
			      struct err *e);

// ---- shells (shell_cmd.c) --------------------------------------------------------------------------------

// Opens a shell, or runs a command of n words, in the sandbox of the job; the exit status is what it ended with.
must_check int cli_shell(struct cli *c, const char *job, const char *const *command, size_t n,
			 struct err *e);

// ---- services (service_cmds.c) -------------------------------------------------------------------------

struct fdl_file;
// No service of the file starts itself, directly or through the others.
must_check int cli_fdl_loops(const struct fdl_file *f, struct err *e);
// Creates the service or updates it; *done says which.
struct fdl_service;
must_check int cli_apply_one(struct cli *c, const struct fdl_service *s, const char **done,
			     struct err *e);

// ---- shared by commands --------------------------------------------------------------------------------

// Counts by state, as GET /system/jobs/summary gives them.
struct cli_counts {
	int64_t queued, staging, running, uploading, succeeded, failed, cancelled, dead;
};
must_check int cli_counts_get(struct cli *c, const char *service, const char *run,
			      struct cli_counts *out, struct err *e);
int64_t cli_counts_active(const struct cli_counts *n);
int64_t cli_counts_bad(const struct cli_counts *n);

// Waits until nothing of the run (or of the service, without a run) is active. Returns 0, CLI_FAILED when
// a job failed, CLI_TIMEOUT, or negative with `e`.
must_check int cli_wait(struct cli *c, const char *service, const char *run, int64_t timeout_s,
			struct err *e);

// Waits for one job. As cli_wait.
// How far a job says it is: "40 %: frame 12", "" = it says nothing. (job_cmds.c)
const char *cli_said(struct cli *c, const json_t *job);
must_check int cli_wait_job(struct cli *c, const char *name, int64_t timeout_s, struct err *e);

// The newest job of the service whose input is this object; waits a moment for it. *out borrowed from the
// arena, NULL when there is none.
must_check int cli_job_of_input(struct cli *c, const char *service, const char *bucket,
				const char *key, const char **run, struct err *e);

// Prints the service's or run's failed jobs with their reasons, at most `max`.
must_check int cli_list_failures(struct cli *c, const char *service, const char *run, size_t max,
				 struct err *e);

const char *cli_text(const json_t *object, const char *key); // "" when it is no text
int64_t cli_int(const json_t *object, const char *key);	     // 0 when it is no number

int cli_apply(struct cli *c, struct err *e);
int cli_fdl_check(struct cli *c, struct err *e);
int cli_delete(struct cli *c, struct err *e);
int cli_service_list(struct cli *c, struct err *e);
int cli_service_get(struct cli *c, struct err *e);
int cli_service_deployment(struct cli *c, struct err *e);
int cli_service_remove(struct cli *c, struct err *e);
int cli_service_run(struct cli *c, struct err *e);
int cli_service_job(struct cli *c, struct err *e);
int cli_service_outputs(struct cli *c, struct err *e);
int cli_service_pause(struct cli *c, struct err *e);
int cli_service_resume(struct cli *c, struct err *e);
int cli_service_drain(struct cli *c, struct err *e);
int cli_service_stop(struct cli *c, struct err *e);
int cli_service_start(struct cli *c, struct err *e);
int cli_service_restart(struct cli *c, struct err *e);
int cli_service_queue(struct cli *c, struct err *e);
int cli_service_usage(struct cli *c, struct err *e);
int cli_user_limits(struct cli *c, struct err *e);
int cli_put_file(struct cli *c, struct err *e);
int cli_get_file(struct cli *c, struct err *e);
int cli_list_files(struct cli *c, struct err *e);
int cli_delete_file(struct cli *c, struct err *e);
int cli_jobs_list(struct cli *c, struct err *e);
int cli_jobs_get(struct cli *c, struct err *e);
int cli_jobs_cancel(struct cli *c, struct err *e);
int cli_backfill(struct cli *c, struct err *e);
int cli_run_show(struct cli *c, struct err *e);
int cli_jobs_redrive(struct cli *c, struct err *e);
int cli_jobs_rerun(struct cli *c, struct err *e);
int cli_jobs_shell(struct cli *c, struct err *e);
int cli_jobs_wait(struct cli *c, struct err *e);
int cli_logs(struct cli *c, struct err *e);
int cli_events(struct cli *c, struct err *e);
int cli_image_import(struct cli *c, struct err *e);
int cli_image_pull(struct cli *c, struct err *e);
int cli_image_list(struct cli *c, struct err *e);
int cli_image_remove(struct cli *c, struct err *e);
int cli_image_push(struct cli *c, struct err *e);
int cli_image_append(struct cli *c, struct err *e);
int cli_image_build(struct cli *c, struct err *e);
int cli_image_inspect(struct cli *c, struct err *e);
int cli_image_du(struct cli *c, struct err *e);
int cli_image_prune(struct cli *c, struct err *e);
int cli_user_add(struct cli *c, struct err *e);
int cli_bucket_list(struct cli *c, struct err *e);
int cli_info(struct cli *c, struct err *e);
int cli_health(struct cli *c, struct err *e);
int cli_bucket_add(struct cli *c, struct err *e);
int cli_bucket_remove(struct cli *c, struct err *e);
int cli_target_list(struct cli *c, struct err *e);
int cli_target_set(struct cli *c, struct err *e);
int cli_target_remove(struct cli *c, struct err *e);
int cli_target_dead(struct cli *c, struct err *e);
int cli_target_redrive(struct cli *c, struct err *e);
int cli_target_drop(struct cli *c, struct err *e);
int cli_queue_read(struct cli *c, struct err *e);
int cli_queue_take(struct cli *c, struct err *e);
int cli_map(struct cli *c, struct err *e);
int cli_local(struct cli *c, struct err *e);
