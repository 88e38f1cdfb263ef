// SPDX-License-Identifier: Apache-2.0
// scan: the files of a directory and the rows of its bucket, walked side by side in the order of keys. Contents are
// never read: a file is its name, inode, size and time of change.
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/claims.h"
#include "store/differences.h"
#include "store/folder.h"
#include "store/indexed.h"
#include "store/placing.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum { DEPTH_MAX = STORE_KEY_MAX / 2 };

struct scan {
	struct place *place;
	struct watch *watch;
	struct indexed_rows rows;
	struct differences differences;
	struct store_directory_state seen;
	char key[STORE_KEY_MAX + 256 + 2]; // of the folder or file at hand
	int64_t now_ns;
	bool partly; // something could not be read: the rest of its keys stay
};

// Where jobs' outputs come meanwhile, a name that was read before its row tells nothing: it is looked for again.
static bool came_since(struct place *p, struct span key)
{
	auto_free char *name = NULL;
	auto_fd int fd = -1;
	struct err ignored;

	if (!p->set.outputs)
		return false;
	if (claim_held(p->store, p->bucket, key))
		return true;
	name = mem_strndup(key.p, key.n);
	fd = file_open_beneath(p->root, name, O_PATH | O_NOFOLLOW, &ignored);
	return fd >= 0;
}

// Rows before this key are of files that are gone.
static int pass(struct scan *s, struct span key, struct err *e)
{
	const struct indexed *r;

	for (;;) {
		if (indexed_peek(&s->rows, &r, e) < 0)
			return -1;
		if (!r || (key.p && span_cmp(r->key, key) >= 0))
			return 0;
		indexed_take(&s->rows);
		if (came_since(s->place, r->key))
			continue;
		s->seen.removed++;
		if (differences_note(&s->differences, r->key, r->version, NULL, e) < 0)
			return -1;
	}
}

// Rows below a folder that could not be read stay as they are.
static int keep_below(struct scan *s, struct span prefix, struct err *e)
{
	const struct indexed *r;

	s->partly = true;
	if (pass(s, prefix, e) < 0)
		return -1;
	for (;;) {
		if (indexed_peek(&s->rows, &r, e) < 0)
			return -1;
		if (!r || !span_starts(r->key, prefix))
			return 0;
		indexed_take(&s->rows);
	}
}

bool place_settled(const struct place *p, const struct stat *st, int64_t now_ns)
{
	int64_t changed = st->st_ctim.tv_sec * NS_PER_S + st->st_ctim.tv_nsec;

	if (place_mtime(st) > changed)
		changed = place_mtime(st) < now_ns ? place_mtime(st) : changed;
	return now_ns - changed >= p->set.stable_s * NS_PER_S;
}

bool place_is_sentinel(const struct place *p, struct span key)
{
	return p->set.complete == STORE_DIRECTORY_SENTINEL && span_ends(key, span_of(p->sentinel));
}

static bool has_sentinel(const struct place *p, int dir, const char *name)
{
	auto_free char *other = mem_printf("%s%s", name, p->sentinel);
	struct stat st;

	return fstatat(dir, other, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode);
}

// A file that was put there by us after its row was read, or is about to be. Row, claim and file are looked at in this
// order, so that what differs at the end differs for another reason.
static bool is_placed(struct scan *s, int dir, const char *name, const struct indexed *r,
		      struct stat *st)
{
	if (!s->place->set.outputs)
		return false;
	return claim_held(s->place->store, s->place->bucket, span_of(s->key)) ||
	       fstatat(dir, name, st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st->st_mode) ||
	       (r && indexed_same(r, st));
}

static int scan_file(struct scan *s, int dir, const char *name, struct err *e)
{
	struct span key = span_of(s->key);
	const struct indexed *r;
	struct stat st;
	bool complete;

	if (placing_is_part(key)) {
		if (s->place->set.outputs)
			placing_sweep(s->place, dir, name, key);
		return 0;
	}
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 0; // gone meanwhile: its row goes when the next key is passed
	if (!S_ISREG(st.st_mode)) {
		s->seen.skipped_kinds++;
		return 0;
	}
	if (place_is_sentinel(s->place, key))
		return 0;
	if (pass(s, key, e) < 0 || indexed_peek(&s->rows, &r, e) < 0)
		return -1;
	r = r && span_eq(r->key, key) ? r : NULL;
	if (r)
		indexed_take(&s->rows);
	s->seen.files++;
	if ((r && indexed_same(r, &st)) || is_placed(s, dir, name, r, &st))
		return 0;
	complete = s->place->set.complete == STORE_DIRECTORY_SENTINEL
			   ? has_sentinel(s->place, dir, name)
			   : place_settled(s->place, &st, s->now_ns);
	if (!complete) {
		s->seen.incomplete++;
		return 0;
	}
	s->seen.added++;
	return differences_note(&s->differences, key, r ? r->version : 0, &st, e);
}

static int scan_folder(struct scan *s, int fd, size_t prefix, unsigned depth, struct err *e);

// The folder with the key in s->key, which ends with "/".
static int scan_below(struct scan *s, int dir, const char *name, size_t prefix, unsigned depth,
		      struct err *e)
{
	auto_free char *bare = mem_strndup(name, strlen(name) - 1);
	struct err why = { 0 };
	int fd = file_open_beneath(dir, bare, O_RDONLY | O_DIRECTORY, &why), got;

	if (fd < 0 && why.code == ERR_NOT_FOUND)
		return 0;
	if (fd < 0) {
		if (why.code ==
		    ERR_DENIED) { // another file system, or became a link: not of this place
			s->seen.skipped_kinds++;
			return 0;
		}
		s->seen.skipped_folders++;
		return keep_below(s, span_of(s->key), e);
	}
	got = depth < DEPTH_MAX ? scan_folder(s, fd, prefix, depth + 1, e) : 0;
	file_close(fd);
	return got;
}

static int scan_folder(struct scan *s, int fd, size_t prefix, unsigned depth, struct err *e)
{
	struct folder_name *names = NULL;
	struct err why = { 0 };
	size_t n = 0;
	int bad = 0;

	if (s->watch)
		watch_folder(s->watch, fd, span_make(s->key, prefix));
	if (folder_names_read(fd, prefix, &names, &n, &s->seen.skipped_names, &why) < 0) {
		s->seen.skipped_folders++;
		return prefix ? keep_below(s, span_make(s->key, prefix), e)
			      : err_set(e, ERR_IO, "%s", why.msg);
	}
	for (size_t i = 0; i < n && !bad; i++) {
		snprintf(s->key + prefix, sizeof(s->key) - prefix, "%s", names[i].text);
		if (atomic_load(&s->place->chore.stop))
			bad = err_set(e, ERR_CANCELLED, "stopping");
		else if (names[i].folder)
			bad = scan_below(s, fd, names[i].text, prefix + strlen(names[i].text),
					 depth, e);
		else
			bad = scan_file(s, fd, names[i].text, e);
	}
	folder_names_free(names, n);
	return bad;
}

int place_scan(struct place *p, struct watch *w, struct err *e)
{
	struct scan *s = mem_zalloc(sizeof(*s));
	int64_t begun = clock_mono_ns();
	int got;

	s->place = s->rows.place = s->differences.place = p;
	s->watch = w;
	s->now_ns = clock_wall_ns();
	got = scan_folder(s, p->root, 0, 0, e);
	if (got == 0)
		got = pass(s, span_make(NULL, 0), e);
	if (got == 0)
		got = differences_flush(&s->differences, e);
	pthread_mutex_lock(&p->lock);
	s->seen.watching = p->state.watching;
	s->seen.scans = p->state.scans + 1;
	s->seen.scanned_ns = clock_wall_ns();
	s->seen.took_ms = (clock_mono_ns() - begun) / NS_PER_MS;
	if (got == 0)
		p->state = s->seen;
	pthread_mutex_unlock(&p->lock);
	if (got == 0 && (s->seen.added || s->seen.removed))
		log_info("store", "bucket %s: %llu files, %llu new or changed, %llu gone", p->name,
			 (unsigned long long)s->seen.files, (unsigned long long)s->seen.added,
			 (unsigned long long)s->seen.removed);
	arena_release(&s->rows.mem);
	arena_release(&s->differences.mem);
	mem_free(s);
	return got;
}
