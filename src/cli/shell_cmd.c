// shell_cmd: a shell in the sandbox of a job that is over, in the user's terminal or between pipes.
// Owner: struct cli. Threads: one. Errors: those of the server; ERR_UNAVAILABLE when the connection is lost.
// SPDX-License-Identifier: Apache-2.0
#include "cli/private.h"
#include "cli/terminal.h"

#include "base/mem.h"
#include "codec/shell_frame.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

enum { PRINT_PIECE = 4096 /* less than a pipe that poll() calls writable takes without waiting */ };

struct session {
	struct http_wire *wire;
	struct terminal terminal;
	struct shell_reader reader;
	char sending[SHELL_HEAD + SHELL_PAYLOAD_MAX]; // a frame that is not sent yet
	size_t sending_at, sending_n;
	bool in_open, resized;
	int signal; // that wants us to end
	bool over;
	enum shell_end_how how;
	unsigned code;
	char reason[SHELL_REASON_MAX + 1];
};

// ---- what the shell prints -----------------------------------------------------------------------------

static void take_signals(struct session *s)
{
	int number;

	while ((number = terminal_signal(&s->terminal)))
		if (number == SIGWINCH)
			s->resized = true;
		else
			s->signal = number;
}

// A reader of ours that does not read holds us up, but not a signal.
static int print(struct session *s, int fd, struct span text, struct err *e)
{
	while (text.n && !s->signal) {
		struct pollfd p[] = { { .fd = fd, .events = POLLOUT },
				      { .fd = s->terminal.signals, .events = POLLIN } };
		ssize_t n;

		if (poll(p, ARRAY_LEN(p), -1) < 0 && errno != EINTR)
			return err_sys(e, ERR_IO, errno, "poll");
		take_signals(s);
		if (!p[0].revents)
			continue;
		n = write(fd, text.p, text.n < PRINT_PIECE ? text.n : PRINT_PIECE);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return err_sys(e, ERR_IO, errno, "what the shell prints cannot be written");
		text = span_from(text, n > 0 ? (size_t)n : 0);
	}
	return 0;
}

static int take_frame(struct session *s, const struct shell_frame *f, struct err *e)
{
	switch (f->kind) {
	case SHELL_OUTPUT:
		return print(s, STDOUT_FILENO, f->payload, e);
	case SHELL_ERRORS:
		return print(s, STDERR_FILENO, f->payload, e);
	case SHELL_END:
		s->over = true;
		s->how = f->how;
		s->code = f->code;
		snprintf(s->reason, sizeof(s->reason), SPAN_FMT, SPAN_ARG(f->payload));
		return 0;
	case SHELL_INPUT:
	case SHELL_INPUT_END:
	case SHELL_SIZE:
		break; // the reader refuses them
	}
	return 0;
}

// All that is there. False in *more when nothing came.
static int receive(struct session *s, bool *more, struct err *e)
{
	struct shell_frame f;
	size_t max;
	char *room = shell_reader_room(&s->reader, &max);
	ssize_t n = http_wire_recv(s->wire, room, max, e);
	int got;

	*more = n > 0;
	if (n < 0)
		return err_wrap(e, "before the shell ended");
	shell_reader_grew(&s->reader, (size_t)n);
	while (!s->over && !s->signal && (got = shell_reader_next(&s->reader, false, &f, e)) != 0)
		if (got < 0 || take_frame(s, &f, e) < 0)
			return -1;
	return 0;
}

// ---- what is typed -------------------------------------------------------------------------------------

static bool all_sent(const struct session *s)
{
	return s->sending_at == s->sending_n;
}

static int send_some(struct session *s, struct err *e)
{
	while (!all_sent(s)) {
		ssize_t n = http_wire_send(s->wire, s->sending + s->sending_at,
					   s->sending_n - s->sending_at, e);

		if (n <= 0)
			return (int)n;
		s->sending_at += (size_t)n;
	}
	return 0;
}

static void send_size(struct session *s)
{
	unsigned rows, columns;

	s->resized = false;
	terminal_size(&rows, &columns);
	s->sending_at = 0;
	s->sending_n = shell_frame_size(s->sending, rows, columns);
}

static void read_input(struct session *s)
{
	ssize_t n = read(STDIN_FILENO, s->sending + SHELL_HEAD, SHELL_PAYLOAD_MAX);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	s->in_open = n > 0;
	s->sending_at = 0;
	s->sending_n = shell_frame_seal(s->sending, n > 0 ? SHELL_INPUT : SHELL_INPUT_END,
					n > 0 ? (size_t)n : 0);
}

// ---- the command ---------------------------------------------------------------------------------------

static int wait_turn(struct session *s, struct err *e)
{
	const bool idle = all_sent(s);
	struct pollfd p[] = {
		{ .fd = s->terminal.signals, .events = POLLIN },
		{ .fd = http_wire_fd(s->wire), .events = (short)(POLLIN | (idle ? 0 : POLLOUT)) },
		{ .fd = idle && s->in_open ? STDIN_FILENO : -1, .events = POLLIN },
	};

	if (poll(p, ARRAY_LEN(p), -1) < 0 && errno != EINTR)
		return err_sys(e, ERR_IO, errno, "poll");
	take_signals(s);
	if (all_sent(s) && s->resized && s->terminal.raw)
		send_size(s);
	else if (idle && p[2].revents)
		read_input(s);
	return 0;
}

// Until it is over, or a signal comes.
static int carry(struct session *s, struct err *e)
{
	while (!s->over && !s->signal) {
		bool more = true;

		if (send_some(s, e) < 0)
			return err_wrap(e, "before the shell ended");
		while (more && !s->over && !s->signal)
			if (receive(s, &more, e) < 0)
				return -1;
		if (!s->over && !s->signal && wait_turn(s, e) < 0)
			return -1;
	}
	return 0;
}

static char *make_body(struct cli *c, const char *const *command, size_t n, bool terminal)
{
	auto_json json_t *body = json_object();
	const char *type = getenv("TERM");
	unsigned rows, columns;

	terminal_size(&rows, &columns);
	if (terminal)
		json_object_set_new(body, "terminal",
				    json_pack("{s:s,s:i,s:i}", "type",
					      type && *type ? type : "xterm", "rows", (int)rows,
					      "columns", (int)columns));
	if (n)
		json_object_set_new(body, "command", json_array());
	for (size_t i = 0; i < n; i++)
		json_array_append_new(json_object_get(body, "command"), json_string(command[i]));
	auto_free char *text = codec_json_text(body, CODEC_JSON_PLAIN);

	return arena_strdup(&c->a, text);
}

static int ask(struct cli *c, const char *job, const char *body, struct http_wire **wire,
	       struct err *e)
{
	static const char *const type = "Content-Type: application/json";
	auto_http_answer struct http_answer a = { 0 };
	struct http_call call = {
		.method = "POST", .headers = &type, .header_count = 1, .body = span_of(body)
	};

	if (cli_session(c, e) < 0)
		return -1;
	call.url =
		arena_printf(&c->a, "%s%s", c->endpoint, cli_path(c, "/system/jobs/%s/shell", job));
	if (http_client_switch(c->http, &call, SHELL_PROTOCOL, &a, wire, e) < 0)
		return err_wrap(e, "POST %s", call.url);
	c->answered = true;
	if (*wire)
		return 0;
	if (http_answer_check(&a, e) < 0)
		return -1;
	return err_set(e, ERR_PROTOCOL, "the server, or a proxy before it, does not open shells");
}

static int exit_status(struct cli *c, const struct session *s)
{
	if (s->signal)
		return 128 + s->signal;
	if (s->how == SHELL_EXITED)
		return (int)s->code;
	if (s->how == SHELL_KILLED)
		return 128 + (int)s->code;
	cli_note(c, "oscar: the shell ended: %s", cli_clean(c, s->reason));
	return CLI_FAILED;
}

int cli_shell(struct cli *c, const char *job, const char *const *command, size_t n, struct err *e)
{
	bool terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && !cli_opt(c, "no-terminal");
	struct session *s = arena_alloc(&c->a, sizeof(*s));
	int got;

	if (ask(c, job, make_body(c, command, n, terminal), &s->wire, e) < 0)
		return -1;
	fflush(c->out); // what was said before stands before what the shell says
	s->in_open = true;
	got = terminal_take(&s->terminal, terminal, e);
	if (got == 0) {
		got = carry(s, e);
		terminal_give_back(&s->terminal);
	}
	http_wire_close(s->wire);
	return got < 0 ? -1 : exit_status(c, s);
}

int cli_jobs_shell(struct cli *c, struct err *e)
{
	return cli_shell(c, c->words[0], c->words + 1, c->word_count - 1, e);
}
