// SPDX-License-Identifier: Apache-2.0
// watch: notices what changes below a directory: by inotify where the file system tells, and by looking again after
// the interval, which also finds what inotify missed.
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "store/place.h"
#include "store/placing.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { EVENTS_SIZE = 64 << 10, AGAIN_S = 1, OPEN_AGAIN_S = 5 };
#define MASK                                                                                       \
	(IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_CREATE | IN_ATTRIB |        \
	 IN_ONLYDIR | IN_EXCL_UNLINK)

struct watch {
	struct place *place;
	int fd;		 // -1: nobody tells
	struct map keys; // of a watch descriptor, the folder's
	bool rescan;	 // what was told does not suffice
};

// ---- inotify -------------------------------------------------------------------------------------------

static void forget_keys(struct watch *w)
{
	struct span key;
	size_t at = 0;
	void *value;

	while (map_next(&w->keys, &at, &key, &value))
		mem_free(value);
	map_release(&w->keys);
}

static void set_watching(struct watch *w, bool on)
{
	pthread_mutex_lock(&w->place->lock);
	w->place->state.watching = on;
	pthread_mutex_unlock(&w->place->lock);
}

static void watch_close(struct watch *w)
{
	file_close(w->fd);
	w->fd = -1;
	forget_keys(w);
	set_watching(w, false);
}

// Changes made by other machines are not told on these (linux/magic.h, and Lustre's).
static bool tells(int fd)
{
	static const unsigned long silent[] = { 0x6969,	    0xff534d42, 0xfe534d42, 0x65735546,
						0x0bd00bd0, 0x00c36400, 0x01021997 };
	struct statfs fs;

	if (fstatfs(fd, &fs) < 0)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(silent); i++)
		if ((unsigned long)fs.f_type == silent[i])
			return false;
	return true;
}

static void watch_open(struct watch *w)
{
	watch_close(w);
	if (w->place->set.no_watch || !tells(w->place->root))
		return;
	w->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (w->fd < 0)
		log_warn("store", "bucket %s: no inotify (%s): new files are found every %u s",
			 w->place->name, strerror(errno), w->place->set.interval_s);
	set_watching(w, w->fd >= 0);
}

void watch_folder(struct watch *w, int fd, struct span key)
{
	char path[64], *old;
	uint64_t id;
	int wd;

	if (w->fd < 0)
		return;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	wd = inotify_add_watch(w->fd, path, MASK);
	if (wd < 0) {
		if (errno == ENOENT)
			return; // gone already
		log_warn("store",
			 "bucket %s: inotify takes no more folders (%s; fs.inotify."
			 "max_user_watches): new files are found every %u s",
			 w->place->name, strerror(errno), w->place->set.interval_s);
		watch_close(w);
		return;
	}
	id = (uint64_t)wd;
	old = map_put(&w->keys, map_key_u64(&id), mem_strndup(key.p, key.n));
	mem_free(old);
}

// A file that was linked is complete; one that was created will be closed. A link has no file to be named twice.
static bool was_linked(struct place *p, const char *key)
{
	struct err ignored;
	auto_fd int fd = file_open_beneath(p->root, key, O_PATH | O_NOFOLLOW, &ignored);
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink > 1;
}

static int told_sentinel(struct place *p, struct span key, struct err *e)
{
	struct span end = span_of(p->sentinel);

	if (span_ends(key, end))
		return place_look(p, span_head(key, key.n - end.n), false, e);
	return 0;
}

static int told(struct watch *w, const struct inotify_event *ev, struct err *e)
{
	uint64_t id = (uint64_t)ev->wd;
	const char *folder = map_get(&w->keys, map_key_u64(&id));
	auto_free char *key = NULL;

	if (ev->mask & IN_Q_OVERFLOW || (ev->mask & IN_ISDIR && !(ev->mask & IN_ATTRIB)))
		w->rescan = true; // folders come, go and change their names: all watches anew
	if (ev->mask & (IN_Q_OVERFLOW | IN_ISDIR | IN_IGNORED) || !folder || !ev->len)
		return 0;
	key = mem_printf("%s%s", folder, ev->name);
	if (placing_is_part(span_of(key)))
		return 0;
	// Another time of change is another version; one that is being written is no version yet.
	if (ev->mask & (IN_DELETE | IN_MOVED_FROM | IN_ATTRIB))
		return place_look(w->place, span_of(key), ev->mask & IN_ATTRIB, e);
	if (ev->mask & IN_CREATE && !was_linked(w->place, key))
		return 0;
	switch (w->place->set.complete) {
	case STORE_DIRECTORY_CLOSED:
		return place_look(w->place, span_of(key), false, e);
	case STORE_DIRECTORY_SENTINEL:
		return told_sentinel(w->place, span_of(key), e);
	case STORE_DIRECTORY_STABLE:
		break;
	}
	pthread_mutex_lock(&w->place->lock);
	w->place->state.incomplete++; // which makes the next scan come soon
	pthread_mutex_unlock(&w->place->lock);
	return 0;
}

static int read_events(struct watch *w, struct err *e)
{
	auto_free char *events = mem_alloc(EVENTS_SIZE);
	ssize_t n;

	while (!w->rescan && (n = read(w->fd, events, EVENTS_SIZE)) > 0)
		for (ssize_t at = 0; at < n;) {
			const struct inotify_event *ev = (const void *)(events + at);

			if (told(w, ev, e) < 0)
				return -1;
			at += (ssize_t)(sizeof(*ev) + ev->len);
		}
	return 0;
}

// ---- the thread ----------------------------------------------------------------------------------------

static void say_fault(struct place *p, const char *why)
{
	pthread_mutex_lock(&p->lock);
	if (strcmp(p->state.fault, why) != 0 && *why)
		log_warn("store", "bucket %s: %s", p->name, why);
	snprintf(p->state.fault, sizeof(p->state.fault), "%s", why);
	pthread_mutex_unlock(&p->lock);
}

// The root, which must be the directory that it was: an empty mount point would look as if all files were gone.
static bool open_root(struct place *p)
{
	struct err e = { 0 };
	struct stat st;
	int fd = file_open(AT_FDCWD, p->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, &e);

	if (fd < 0) {
		say_fault(p, e.msg);
		return false;
	}
	if (fstat(fd, &st) < 0 || (p->set.inode && (int64_t)st.st_ino != p->set.inode)) {
		file_close(fd);
		say_fault(p, "the directory is another one than before: is it mounted?");
		return false;
	}
	pthread_rwlock_wrlock(&p->store->places.lock);
	file_close(p->root);
	p->root = fd;
	pthread_rwlock_unlock(&p->store->places.lock);
	return true;
}

// Until something is told, somebody asks, or it is time to look again. False when a scan is due.
static bool rest(struct watch *w, int64_t until)
{
	struct place *p = w->place;
	struct pollfd fds[2] = { { .fd = p->wake, .events = POLLIN },
				 { .fd = w->fd, .events = POLLIN } };
	int64_t left = (until - clock_mono_ns() + NS_PER_MS - 1) / NS_PER_MS;
	uint64_t count;
	bool look;

	if (left <= 0)
		return false;
	if (poll(fds, w->fd < 0 ? 1 : 2, (int)(left < 60000 ? left : 60000)) > 0 &&
	    fds[0].revents && read(p->wake, &count, sizeof(count)) < 0)
		log_debug("store", "eventfd: %s", strerror(errno));
	pthread_mutex_lock(&p->lock);
	look = p->look;
	p->look = false;
	pthread_mutex_unlock(&p->lock);
	return !look;
}

// What is not complete yet is looked at soon.
static int64_t next_scan(struct place *p)
{
	auto_lock held = lock_hold(&p->lock);
	int64_t s = p->set.interval_s;

	if (p->state.incomplete && p->set.complete != STORE_DIRECTORY_SENTINEL &&
	    s > p->set.stable_s + AGAIN_S)
		s = p->set.stable_s + AGAIN_S;
	return clock_mono_ns() + s * NS_PER_S;
}

static int watch_until_due(struct watch *w, struct err *e)
{
	struct place *p = w->place;
	int64_t due = next_scan(p), soon;
	bool before;

	do {
		before = rest(w, due);
		if (w->fd >= 0 && read_events(w, e) < 0)
			return -1;
		soon = next_scan(p);
		due = soon < due ? soon : due;
	} while (before && !w->rescan && !atomic_load(&p->chore.stop));
	return 0;
}

void *place_main(void *arg)
{
	struct place *p = arg;
	struct watch w = { .place = p, .fd = -1, .rescan = true };

	while (!atomic_load(&p->chore.stop)) {
		struct err e = { 0 };
		int bad;

		if (!open_root(p)) {
			rest(&w, clock_mono_ns() + OPEN_AGAIN_S * NS_PER_S);
			continue;
		}
		if (w.rescan || w.fd < 0)
			watch_open(&w);
		w.rescan = false;
		placings_settle(p);
		bad = place_scan(p, &w, &e);
		if (!bad) {
			say_fault(p, "");
			bad = watch_until_due(&w, &e);
		}
		if (bad < 0 && e.code != ERR_CANCELLED) {
			say_fault(p, e.msg);
			w.rescan = true;
			rest(&w, clock_mono_ns() + OPEN_AGAIN_S * NS_PER_S);
		}
	}
	watch_close(&w);
	return NULL;
}
