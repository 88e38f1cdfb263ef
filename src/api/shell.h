// shell: one shell in the sandbox of a job, from its start to its end: a thread that carries bytes between the sandbox's
// streams and a connection that has switched to codec/shell_frame.h. Private to api.
// Owner: a shell belongs to its thread, to its request until shell_request_gone(), and to dispatch until it has ended.
// Bounds (struct api_options): how many at once, how long in all, how long without a byte either way. When the client
// leaves, all processes of the sandbox are killed at once.
// Threads: safe. Errors: those of dispatch_shell_start(); ERR_BUSY: too many at once; ERR_IO: no terminal to be had.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/err.h"
#include "base/span.h"

#include <stdbool.h>
#include <stdint.h>

struct api;
struct http_switched;
struct queue_job;
struct shell;

enum { SHELL_WORDS_MAX = 64, SHELL_TERMINAL_MAX = 64 };

struct shell_wish {
	const struct queue_job *job; // borrowed, as all else
	const char *user;	     // who opens it, for the log
	const char *command[SHELL_WORDS_MAX + 1];
	size_t command_count;		   // 0 = a shell
	char terminal[SHELL_TERMINAL_MAX]; // its type; "" = pipes instead
	uint16_t rows, columns;
};

// The sandbox is started; the thread waits a while for its client.
must_check int shell_open(struct api *a, const struct shell_wish *w, struct shell **out,
			  struct err *e);
// For http_reply_switch(), with the shell as its owner.
void shell_switched(void *shell, struct http_switched *c, int fd, struct span early);
void shell_request_gone(struct shell *s);
// Ends all of them and waits until they are gone; no more are opened.
void shells_end(struct api *a);
