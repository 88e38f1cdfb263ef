// SPDX-License-Identifier: Apache-2.0
#include "exec/sandbox/kept.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/mem.h"
#include "exec/sandbox/box.h"
#include "exec/sandbox/files.h"
#include "runner/warm.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define SERVES "serves" // in its folder: the name of the call that it serves

struct kept {
	struct kept *next;
	char id[PROTO_JOB_MAX];
	struct exec_keep key;
	char name[JOBDIR_NAME_MAX];  // of its call until that is forgotten, "" = idle
	char input[PROTO_NAME_MAX];  // of its call, "" = none
	int conn, dir;		     // -1 = not yet
	int fds[3];		     // of the call that is to be sent
	int64_t idle_ns;	     // since when, monotonic
	bool ready;		     // its sandbox takes a connection, and calls by it
	bool send, cancel;	     // the thread shall do so
	bool over;		     // its call has ended
	bool gone;		     // its sandbox has ended; stays until its call is forgotten
	bool retire, told, unusable; // shall end; the driver was told; serves no more
};

// With the lock held, as what follows.
static struct kept *of_call(const struct kept_pool *p, const char *name)
{
	for (struct kept *k = p->first; k; k = k->next)
		if (*name && strcmp(k->name, name) == 0)
			return k;
	return NULL;
}

static struct kept *of_id(const struct kept_pool *p, const char *id)
{
	for (struct kept *k = p->first; k; k = k->next)
		if (strcmp(k->id, id) == 0)
			return k;
	return NULL;
}

static void close_fds(struct kept *k)
{
	for (size_t i = 0; i < ARRAY_LEN(k->fds); i++) {
		file_close(k->fds[i]);
		k->fds[i] = -1;
	}
}

static void kept_remove(struct kept_pool *p, struct kept *k)
{
	for (struct kept **at = &p->first; *at; at = &(*at)->next)
		if (*at == k) {
			*at = k->next;
			break;
		}
	p->count--;
	close_fds(k);
	file_close(k->conn);
	file_close(k->dir);
	mem_free(k);
}

void kept_init(struct kept_pool *p, int jobs)
{
	p->jobs = jobs;
	pthread_mutex_init(&p->lock, NULL);
}

void kept_release(struct kept_pool *p)
{
	while (p->first)
		kept_remove(p, p->first);
	pthread_mutex_destroy(&p->lock);
}

// ---- a call begins -------------------------------------------------------------------------------------

static bool same(const struct exec_keep *a, const struct exec_keep *b)
{
	return a->service == b->service && a->revision == b->revision && a->owner == b->owner;
}

static struct kept *kept_new(struct kept_pool *p, const struct exec_keep *key)
{
	struct kept *k = mem_zalloc(sizeof(*k));

	*k = (struct kept){ .key = *key, .conn = -1, .dir = -1, .fds = { -1, -1, -1 } };
	// Never one of an earlier life, whose folder may be there still.
	snprintf(k->id, sizeof(k->id), KEPT_PREFIX "%llx-%u", (unsigned long long)clock_wall_ns(),
		 p->serial++);
	k->next = p->first;
	p->first = k;
	p->count++;
	return k;
}

// Only what can be laid out while the sandbox runs.
static bool suits(const struct exec_spec *s)
{
	for (size_t i = 0; i < s->input_count; i++)
		if (s->inputs[i].content || s->inputs[i].file)
			return false;
	return s->input_count <= 1;
}

bool kept_take(struct kept_pool *p, const struct exec_spec *s, const char *name,
	       char id[static PROTO_JOB_MAX], bool *fresh)
{
	auto_lock held = lock_hold(&p->lock);
	struct kept *idle = NULL;
	unsigned alike = 0;

	for (struct kept *k = p->first; k; k = k->next) {
		if (k->key.service == s->keep->service && k->key.revision < s->keep->revision)
			k->retire = true;
		if (k->retire || k->unusable || !same(&k->key, s->keep))
			continue;
		alike++;
		if (!k->name[0] && (!idle || k->idle_ns > idle->idle_ns))
			idle = k;
	}
	*fresh = !idle;
	if (!suits(s) || (!idle && (alike >= s->keep->count || p->count >= KEPT_MAX)))
		return false;
	if (!idle)
		idle = kept_new(p, s->keep);
	idle->over = false;
	snprintf(idle->name, sizeof(idle->name), "%s", name);
	memcpy(id, idle->id, PROTO_JOB_MAX);
	return true;
}

static int in_memory(struct span bytes, const char *what, struct err *e)
{
	auto_fd int fd = memfd_create(what, MFD_CLOEXEC);

	if (fd < 0)
		return err_sys(e, ERR_IO, errno, "%s", what);
	if (file_write_all(fd, bytes.p, bytes.n, e) < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return -1;
	return file_take(&fd);
}

static int lay_out(struct kept_pool *p, const struct exec_spec *s, struct kept *k, struct err *e)
{
	char folder[JOBDIR_NAME_MAX];
	auto_buf struct buf env;

	if (k->dir < 0)
		k->dir = file_open(p->jobs, jobdir_name(folder, k->id, 1), O_RDONLY | O_DIRECTORY,
				   0, e);
	buf_init(&env, JOBDIR_ENV_BYTES_MAX);
	if (k->dir < 0 || files_env(&env, s, e) < 0 ||
	    files_put(k->dir, SERVES, 0600, span_of(k->name), e) < 0)
		return -1;
	if (s->input_count) {
		auto_free char *path = mem_printf("oscar/input/%s", s->inputs[0].name);

		snprintf(k->input, sizeof(k->input), "%s", s->inputs[0].name);
		if (renameat(k->dir, SPARES_INPUT, k->dir, path) < 0 && errno != ENOENT)
			return err_sys(e, ERR_IO, errno, "%s", path);
		if (files_put(k->dir, path, 0644, s->inputs[0].bytes, e) < 0)
			return -1;
	}
	if (renameat(k->dir, SPARES_LOG, k->dir, "log") < 0 && errno != ENOENT)
		return err_sys(e, ERR_IO, errno, "log");
	k->fds[0] = in_memory(s->event, "event", e);
	k->fds[1] = k->fds[0] < 0 ? -1 : in_memory(buf_span(&env), "env", e);
	k->fds[2] = k->fds[1] < 0
			    ? -1
			    : file_open(k->dir, "log",
					O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK | O_NOFOLLOW,
					0600, e);
	return k->fds[2] < 0 ? -1 : 0;
}

// Until kept_send() nobody else touches what belongs to the call.
int kept_prepare(struct kept_pool *p, const struct exec_spec *s, const char *name, struct err *e)
{
	struct kept *k;

	pthread_mutex_lock(&p->lock);
	k = of_call(p, name);
	pthread_mutex_unlock(&p->lock);
	return k ? lay_out(p, s, k, e) : err_set(e, ERR_BUSY, "the kept sandbox has ended");
}

// With the lock held: it has no call any more. The folder of one that has ended is the caller's then.
static void let_go(struct kept_pool *p, struct kept *k, char folder[static JOBDIR_NAME_MAX])
{
	folder[0] = k->name[0] = k->input[0] = '\0';
	close_fds(k);
	k->idle_ns = clock_mono_ns();
	if (!k->gone)
		return;
	jobdir_name(folder, k->id, 1);
	unlinkat(k->dir, SERVES, 0);
	unlinkat(k->dir, WARM_SOCKET, 0);
	kept_remove(p, k);
}

void kept_drop(struct kept_pool *p, const char *name, char folder[static JOBDIR_NAME_MAX])
{
	auto_lock held = lock_hold(&p->lock);
	struct kept *k = of_call(p, name);

	folder[0] = '\0';
	if (!k)
		return;
	k->retire = k->unusable = true;
	let_go(p, k, folder);
}

bool kept_send(struct kept_pool *p, const char *name)
{
	auto_lock held = lock_hold(&p->lock);
	struct kept *k = of_call(p, name);

	if (!k || k->gone)
		return false;
	k->send = true;
	return true;
}

void kept_cancel(struct kept_pool *p, const char *name)
{
	auto_lock held = lock_hold(&p->lock);
	struct kept *k = of_call(p, name);

	if (k)
		k->cancel = true;
}

void kept_retire(struct kept_pool *p, int64_t service)
{
	auto_lock held = lock_hold(&p->lock);

	for (struct kept *k = p->first; k; k = k->next)
		k->retire = k->retire || k->key.service == service;
}

// ---- what a call leaves --------------------------------------------------------------------------------

// The lock is held over the opening, so that it is not the next call's.
int kept_open(struct kept_pool *p, const char *name, const char *path, int flags)
{
	auto_lock held = lock_hold(&p->lock);
	const struct kept *k = of_call(p, name);

	return k && k->dir >= 0 ? openat(k->dir, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | flags)
				: -1;
}

static bool clean(struct kept *k)
{
	auto_free char *input = mem_printf("oscar/input/%s", k->input);

	return (!k->input[0] || renameat(k->dir, input, k->dir, SPARES_INPUT) == 0) &&
	       spares_strip_log(k->dir) && spares_clear(k->dir, "oscar/output");
}

bool kept_forget(struct kept_pool *p, const char *name, char folder[static JOBDIR_NAME_MAX])
{
	struct kept *k;
	bool good = true;

	folder[0] = '\0';
	pthread_mutex_lock(&p->lock);
	k = of_call(p, name);
	if (k && !k->unusable) { // it is still its call's: nobody else touches it
		pthread_mutex_unlock(&p->lock);
		good = clean(k);
		pthread_mutex_lock(&p->lock);
	}
	if (k) {
		k->retire = k->retire || !good;
		k->unusable = k->unusable || !good;
		let_go(p, k, folder);
	}
	pthread_mutex_unlock(&p->lock);
	return k;
}

static bool serves(int jobs, const char *folder, const char *name)
{
	auto_free char *path = mem_printf("%s/" SERVES, folder);
	auto_fd int fd = openat(jobs, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	char text[JOBDIR_NAME_MAX] = "";

	return fd >= 0 && read(fd, text, sizeof(text) - 1) > 0 && strcmp(text, name) == 0;
}

bool kept_served(struct kept_pool *p, const char *name)
{
	int fd = openat(p->jobs, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	bool found = false;
	struct dirent *f;

	if (!list) {
		file_close(fd);
		return false;
	}
	while (!found && (f = readdir(list)))
		found = span_starts(span_of(f->d_name), SPAN(KEPT_PREFIX)) &&
			serves(p->jobs, f->d_name, name);
	closedir(list);
	return found;
}

// ---- the thread ----------------------------------------------------------------------------------------

void kept_ready(struct kept_pool *p, const char *id)
{
	auto_lock held = lock_hold(&p->lock);
	struct kept *k = of_id(p, id);

	if (k)
		k->ready = true;
}

// What came on a connection, told without the lock.
struct news {
	enum warm_kind kind;
	char name[JOBDIR_NAME_MAX];
	struct jobdir_exit exit;
};

// With the lock held: 1 = news, 0.
static int hear(struct kept *k, struct news *out)
{
	struct warm_message m;
	struct err e = { 0 };
	int got = warm_receive(k->conn, &m, NULL, 0, &e);

	if (got < 0) {
		file_close(k->conn); // then it ends, and tells so in its folder
		k->conn = -1;
		k->retire = k->unusable = true;
	}
	if (got <= 0 || k->over || !k->name[0] || (m.kind != WARM_STARTED && m.kind != WARM_ENDED))
		return 0;
	*out = (struct news){ .kind = (enum warm_kind)m.kind, .exit = m.exit };
	memcpy(out->name, k->name, sizeof(out->name));
	if (m.kind == WARM_ENDED) {
		k->over = true;
		k->cancel = false;
		k->unusable = k->unusable || !m.reusable;
		k->retire = k->retire || !m.reusable;
	}
	return 1;
}

static void tell_lost(struct kept_pool *p, const char *name, const struct jobdir_exit *x)
{
	struct jobdir_exit lost = { .outcome = JOBDIR_LOST, .ended_wall_ns = clock_wall_ns() };

	snprintf(lost.reason, sizeof(lost.reason), "lost: the kept sandbox ended");
	p->ended(p->owner, name, x->outcome == JOBDIR_SETUP_FAILED ? x : &lost);
}

static void tell(struct kept_pool *p, const struct news *news, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (news[i].kind == WARM_STARTED)
			p->started(p->owner, news[i].name, news[i].exit.started_wall_ns);
		else
			p->ended(p->owner, news[i].name, &news[i].exit);
}

bool kept_gone(struct kept_pool *p, const char *id, const struct jobdir_exit *x)
{
	char name[JOBDIR_NAME_MAX] = "", folder[JOBDIR_NAME_MAX] = "";
	struct news news[2]; // a start and an end
	size_t heard = 0;
	struct kept *k;

	pthread_mutex_lock(&p->lock);
	k = of_id(p, id);
	while (k && k->conn >= 0 && heard < ARRAY_LEN(news) && hear(k, &news[heard]))
		heard++; // it may have told the end of its call before its own
	if (k) {
		k->gone = k->retire = k->unusable = true;
		file_close(k->conn);
		k->conn = -1;
	}
	if (k && !k->name[0])
		let_go(p, k, folder);
	else if (k && !k->over) {
		memcpy(name, k->name, sizeof(name));
		k->over = true;
	}
	pthread_mutex_unlock(&p->lock);
	tell(p, news, heard);
	if (name[0])
		tell_lost(p, name, x);
	return folder[0];
}

size_t kept_poll(struct kept_pool *p, struct pollfd out[static KEPT_MAX])
{
	auto_lock held = lock_hold(&p->lock);
	size_t n = 0;

	for (const struct kept *k = p->first; k; k = k->next)
		if (k->conn >= 0)
			out[n++] = (struct pollfd){ .fd = k->conn, .events = POLLIN };
	return n;
}

// With the lock held. At the first call: that may be laid out before the sandbox is ready, or after.
static bool connected(struct kept *k, struct err *e)
{
	if (k->conn < 0)
		k->conn = box_connect(k->dir, WARM_SOCKET, e);
	return k->conn >= 0;
}

// With the lock held. The call of one that is not to be used any more is told when that has ended.
static void say(struct kept *k)
{
	struct warm_message m = { .magic = WARM_MAGIC, .kind = WARM_CALL };
	struct err e = { 0 };
	int bad = 0;

	if (k->ready && !k->unusable && k->send) {
		bad = connected(k, &e) ? warm_send(k->conn, &m, k->fds, 3, &e) : -1;
		k->send = false;
		close_fds(k);
	}
	if (!bad && k->conn >= 0 && k->cancel && !k->send && !k->over) {
		m.kind = WARM_CANCEL;
		bad = warm_send(k->conn, &m, NULL, 0, &e);
		k->cancel = false;
	}
	if (bad) {
		log_warn("exec", "%s: %s", k->id, e.msg);
		k->retire = k->unusable = true;
	}
}

static bool is_polled(const struct pollfd *polled, size_t n, int fd)
{
	for (size_t i = 0; i < n; i++)
		if (polled[i].fd == fd && polled[i].revents)
			return true;
	return false;
}

void kept_turn(struct kept_pool *p, const struct pollfd *polled, size_t n)
{
	struct news news[KEPT_MAX];
	size_t heard = 0;

	pthread_mutex_lock(&p->lock);
	for (struct kept *k = p->first; k; k = k->next) {
		say(k);
		if (k->conn >= 0 && is_polled(polled, n, k->conn))
			heard += (size_t)hear(k, &news[heard]);
	}
	pthread_mutex_unlock(&p->lock);
	tell(p, news, heard);
}

static int64_t due_of(const struct kept *k)
{
	return k->name[0] ? INT64_MAX : k->retire ? 0 : k->idle_ns + k->key.idle_ms * NS_PER_MS;
}

bool kept_ending(struct kept_pool *p, char id[static PROTO_JOB_MAX])
{
	auto_lock held = lock_hold(&p->lock);

	for (struct kept *k = p->first; k; k = k->next) {
		// One that lost its connection with a call in it has to end, or the call would never.
		bool stuck = k->unusable && !k->over;

		if (k->told || k->gone || (!stuck && due_of(k) > clock_mono_ns()))
			continue;
		k->told = k->retire = k->unusable = true;
		memcpy(id, k->id, PROTO_JOB_MAX);
		return true;
	}
	return false;
}

int64_t kept_due(struct kept_pool *p)
{
	auto_lock held = lock_hold(&p->lock);
	int64_t least = INT64_MAX;

	for (const struct kept *k = p->first; k; k = k->next)
		if (!k->told && !k->gone && due_of(k) < least)
			least = due_of(k);
	return least == INT64_MAX ? 0 : least ? least : 1;
}
