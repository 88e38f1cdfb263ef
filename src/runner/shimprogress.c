// SPDX-License-Identifier: Apache-2.0
// shimprogress: the script writes lines to a FIFO, /oscar/progress inside; the end of them is kept in the job's folder, as
// the bytes that they are: understanding them is the daemon's, which has no rights.
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "runner/bind.h"
#include "runner/shimbox.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	PROGRESS_PAUSE_MS = 50,
	PIECE_MAX = 64 << 10,
	PIECES_MAX = 32,
	PIPE_LARGE = 1 << 20,
	LAST_WORDS_MAX = 300
};

int shim_progress_open(struct shim *s, struct err *e)
{
	// With a writing end of its own: it never ends, and nobody waits for a reader.
	s->progress =
		bind_open_owned(s->job->world, s->job->jobdir, JOBDIR_PROGRESS, O_RDWR, S_IFIFO, e);
	return s->progress < 0 ? -1 : 0;
}

static void keep_end(struct jobdir_progress *said, const char *p, size_t n)
{
	size_t keep;

	if (n > sizeof(said->text)) {
		p += n - sizeof(said->text);
		n = sizeof(said->text);
	}
	keep = sizeof(said->text) - n;
	if (said->size > keep)
		memmove(said->text, said->text + said->size - keep, keep);
	else
		keep = said->size;
	memcpy(said->text + keep, p, n);
	said->size = (uint32_t)(keep + n);
}

// True when something came.
static bool take(struct shim *s)
{
	char piece[PIECE_MAX];
	ssize_t n;
	int i = 0;

	while (i < PIECES_MAX && (n = read(s->progress, piece, sizeof(piece))) > 0) {
		keep_end(&s->said, piece, (size_t)n);
		// It says a lot: more room lets it wait less. Without, it only waits more.
		if (n == PIECE_MAX && !i && fcntl(s->progress, F_SETPIPE_SZ, PIPE_LARGE) < 0)
			break;
		i++;
	}
	return i;
}

static void tell(struct shim *s)
{
	struct err e = { 0 };

	s->said.wall_ns = clock_wall_ns();
	if (jobdir_progress_write(s->job->alive, &s->said, &e) < 0)
		log_debug("shim", "progress: %s", e.msg); // a full disk: it is not missed
}

void shim_progress_rest(struct shim *s)
{
	s->progress_ns = 0;
	if (s->progress >= 0 && take(s))
		tell(s);
}

void shim_progress_turn(struct shim *s, struct pollfd *p)
{
	if (p->revents && take(s)) {
		tell(s);
		s->progress_ns = clock_mono_ns() + PROGRESS_PAUSE_MS * NS_PER_MS;
		p->fd = -1;
	} else if (s->progress_ns && clock_mono_ns() >= s->progress_ns) {
		s->progress_ns = 0;
		p->fd = s->progress;
	}
}

void shim_progress_log(struct shim *s)
{
	struct span all = span_trim(span_make(s->said.text, s->said.size));
	struct span line = span_from(all, (size_t)(span_rfind(all, '\n') + 1));
	char text[LAST_WORDS_MAX + sizeof("it last said: \n")];
	size_t n = (size_t)snprintf(text, sizeof(text), "it last said: ");

	if (!line.n)
		return;
	for (size_t i = 0; i < line.n && i < LAST_WORDS_MAX; i++)
		text[n++] = (unsigned char)line.p[i] >= ' ' && line.p[i] != 0x7f ? line.p[i] : '?';
	text[n++] = '\n';
	text[n] = '\0';
	shim_say(s, text);
}

void shim_progress_forget(struct shim *s)
{
	if (!s->said.size)
		return;
	s->said.size = 0;
	tell(s);
}
