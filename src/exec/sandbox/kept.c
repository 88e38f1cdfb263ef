// SPDX-License-Identifier: Apache-2.0
#include "exec/sandbox/keptone.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/mem.h"
#include "exec/sandbox/files.h"
#include "runner/warm.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define SERVES "serves" // in its folder: the name of the call that it serves

static struct kept *of_call(const struct kept_pool *p, const char *name)
{
	for (struct kept *k = p->first; k; k = k->next)
		if (*name && strcmp(k->name, name) == 0)
			return k;
	return NULL;
}

struct kept *kept_of_id(const struct kept_pool *p, const char *id)
{
	for (struct kept *k = p->first; k; k = k->next)
		if (strcmp(k->id, id) == 0)
			return k;
	return NULL;
}

void kept_close_fds(struct kept *k)
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
	kept_close_fds(k);
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
	if (!files_only_written(s) || s->input_count > 1 ||
	    (!idle && (alike >= s->keep->count || p->count >= KEPT_MAX)))
		return false;
	if (!idle)
		idle = kept_new(p, s->keep);
	idle->over = idle->ordered = idle->frozen = false;
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

static char *input_path(const char *name)
{
	return *name ? mem_printf("oscar/input/%s", name) : mem_strdup(SPARES_INPUT);
}

// That of the call before gets the new name and is written over, so that a call costs one rename and not two.
static int put_input(struct kept *k, const struct exec_input *in, struct err *e)
{
	auto_free char *was = input_path(k->input), *path = input_path(in ? in->name : "");

	if (strcmp(was, path) != 0 && renameat(k->dir, was, k->dir, path) < 0 &&
	    (k->input[0] || errno != ENOENT))
		return err_sys(e, ERR_IO, errno, "%s", path);
	snprintf(k->input, sizeof(k->input), "%s", in ? in->name : "");
	return in ? files_put(k->dir, path, 0644, in->bytes, e) : 0;
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
	if (put_input(k, s->input_count ? &s->inputs[0] : NULL, e) < 0)
		return -1;
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
void kept_let_go(struct kept_pool *p, struct kept *k, char folder[static JOBDIR_NAME_MAX])
{
	folder[0] = k->name[0] = '\0';
	k->closed = false;
	kept_close_fds(k);
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
	kept_let_go(p, k, folder);
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

	return k && k->dir >= 0 && !k->closed
		       ? openat(k->dir, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | flags)
		       : -1;
}

static bool clean(struct kept *k)
{
	return spares_empty_log(k->dir) && spares_clear(k->dir, "oscar/output");
}

bool kept_forget(struct kept_pool *p, const char *name, char folder[static JOBDIR_NAME_MAX])
{
	struct kept *k;
	bool good = true;

	folder[0] = '\0';
	pthread_mutex_lock(&p->lock);
	k = of_call(p, name);
	if (k && !k->unusable) { // it is still its call's: nobody else touches it
		k->closed = true;
		pthread_mutex_unlock(&p->lock);
		good = clean(k);
		pthread_mutex_lock(&p->lock);
	}
	if (k) {
		k->retire = k->retire || !good;
		k->unusable = k->unusable || !good;
		kept_let_go(p, k, folder);
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
