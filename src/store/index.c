// SPDX-License-Identifier: Apache-2.0
// index: the files of a directory and the rows of its bucket, walked side by side in the order of keys. Contents are
// never read: a file is its name, inode, size and time of change.
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "codec/digest.h"
#include "codec/text.h"
#include "store/claims.h"
#include "store/place.h"
#include "store/placing.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	BATCH = 256,	      // differences in one transaction
	ROWS = 1000,	      // of the index, read at a time
	FOLDER_MAX = 1000000, // names in one folder
	DEPTH_MAX = STORE_KEY_MAX / 2,
};

// ---- differences ---------------------------------------------------------------------------------------

struct change {
	struct span key;
	int64_t version; // of the row that it was compared with; 0 = none
	bool gone;
	int64_t inode;
	uint64_t size;
	int64_t mtime_ns;
};

struct batch {
	struct place *place;
	struct arena mem;
	struct change changes[BATCH];
	size_t n;
};

int64_t place_mtime(const struct stat *st)
{
	return st->st_mtim.tv_sec * NS_PER_S + st->st_mtim.tv_nsec;
}

// Not an MD5, and of the form that clients do not take for one.
static void make_etag(int64_t inode, uint64_t size, int64_t mtime_ns,
		      char out[static STORE_ETAG_MAX])
{
	uint64_t facts[3] = { (uint64_t)inode, size, (uint64_t)mtime_ns };
	uint8_t sum[DIGEST_MAX];
	char hex[TEXT_HEX_SIZE(16)];

	digest_once(DIGEST_SHA256, span_make(facts, sizeof(facts)), sum);
	snprintf(out, STORE_ETAG_MAX, "%s-1", text_hex(hex, sum, 16));
}

void place_etag(const struct stat *st, char out[static STORE_ETAG_MAX])
{
	make_etag((int64_t)st->st_ino, (uint64_t)st->st_size, place_mtime(st), out);
}

static int apply_one(struct place *p, struct db_conn *c, const struct store_bucket *b,
		     const struct change *x, struct err *e)
{
	static const struct store_cause cause = { .principal = "" };
	auto_arena struct arena mem = { 0 };
	struct store_object o = { .version = 0 };
	struct content at;
	int got = 0;

	if (p->set.outputs || x->gone)
		got = object_latest(c, b->id, x->key, &mem, &o, &at, e);
	if (got < 0)
		return -1;
	// A job's output was committed since it was compared: the row says how the file is now.
	if (p->set.outputs && (got ? o.version : 0) != x->version)
		return 0;
	if (!x->gone) {
		o = (struct store_object){
			.key = x->key, .owner = b->owner, .size = x->size, .mtime_ns = x->mtime_ns
		};
		make_etag(x->inode, x->size, x->mtime_ns, o.etag);
		at = (struct content){ STORE_EXTERNAL, x->inode };
		return object_insert_in(p->store, c, b, &o, at, &cause, e);
	}
	if (!got)
		return 0;
	if (object_remove_row_in(p->store, c, b->id, &o, at, e) < 0)
		return -1;
	o = (struct store_object){ .key = x->key,
				   .version = o.version,
				   .null_version = o.null_version };
	return object_tell_in(p->store, c, b, &o, "s3:ObjectRemoved:Delete", &cause, e);
}

static int apply(struct db_conn *c, void *arg, struct err *e)
{
	struct batch *w = arg;
	struct store_bucket b;

	if (bucket_find(c, span_of(w->place->name), &b, e) < 0)
		return -1;
	for (size_t i = 0; i < w->n; i++)
		if (apply_one(w->place, c, &b, &w->changes[i], e) < 0)
			return -1;
	return 0;
}

static int flush(struct batch *w, struct err *e)
{
	int bad = w->n ? db_write(w->place->store->db, apply, w, e) : 0;

	w->n = 0;
	arena_release(&w->mem);
	return bad;
}

// `version` of the row that differs from the file, 0 = there is none.
static int note(struct batch *w, struct span key, int64_t version, const struct stat *st,
		struct err *e)
{
	struct change *x = &w->changes[w->n++];

	*x = (struct change){ .key = arena_span(&w->mem, key), .version = version, .gone = !st };
	if (st) {
		x->inode = (int64_t)st->st_ino;
		x->size = (uint64_t)st->st_size;
		x->mtime_ns = place_mtime(st);
	}
	return w->n == BATCH ? flush(w, e) : 0;
}

// ---- the index, in order -------------------------------------------------------------------------------

struct row {
	struct span key;
	int64_t inode, mtime_ns, version;
	uint64_t size;
};

struct rows {
	struct place *place;
	struct arena mem;
	struct row at[ROWS];
	size_t n, next;
	bool end;
	char last[STORE_KEY_MAX + 1];
};

static int read_rows(struct rows *r, struct err *e)
{
	struct db_conn *c = db_reader(r->place->store->db, e);
	auto_query struct db_stmt *q = NULL;
	int got = -1;

	arena_release(&r->mem);
	r->n = r->next = 0;
	if (!c)
		return -1;
	q = db_query(
		c,
		"SELECT key,content,mtime_ns,size,version FROM objects WHERE bucket=?1 AND key>?2 "
		"ORDER BY key LIMIT 1000",
		DB_ARGS(db_int(r->place->bucket), db_str(r->last)), e);
	while ((got = q ? db_step(q, e) : -1) > 0)
		r->at[r->n++] = (struct row){ .key = arena_span(&r->mem, db_col_span(q, 0)),
					      .inode = db_col_int(q, 1),
					      .mtime_ns = db_col_int(q, 2),
					      .size = (uint64_t)db_col_int(q, 3),
					      .version = db_col_int(q, 4) };
	r->end = r->n < ROWS;
	if (r->n)
		snprintf(r->last, sizeof(r->last), SPAN_FMT, SPAN_ARG(r->at[r->n - 1].key));
	return got;
}

// The next row without taking it; NULL at the end. -1 on failure.
static int peek(struct rows *r, const struct row **out, struct err *e)
{
	if (r->next == r->n && !r->end && read_rows(r, e) < 0)
		return -1;
	*out = r->next < r->n ? &r->at[r->next] : NULL;
	return 0;
}

// ---- the walk ------------------------------------------------------------------------------------------

struct name {
	char *text; // of a folder with "/" at its end
	bool folder;
};

struct scan {
	struct place *place;
	struct watch *watch;
	struct rows rows;
	struct batch batch;
	struct store_directory_state seen;
	char key[STORE_KEY_MAX + 256 + 2]; // of the folder or file at hand
	int64_t now_ns;
	bool partly; // something could not be read: the rest of its keys stay
};

static int by_bytes(const void *a, const void *b)
{
	return strcmp(((const struct name *)a)->text, ((const struct name *)b)->text);
}

static void names_free(struct name *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		mem_free(names[i].text);
	mem_free(names);
}

static bool is_folder(int dir, const struct dirent *d)
{
	struct stat st;

	if (d->d_type != DT_UNKNOWN)
		return d->d_type == DT_DIR;
	return fstatat(dir, d->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

// The names of a folder in the order of their keys. Those that cannot be keys are counted.
static int read_names(struct scan *s, int fd, size_t prefix, struct name **out, size_t *count,
		      struct err *e)
{
	int again = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	DIR *d = again < 0 ? NULL : fdopendir(again);
	size_t cap = 0, n = 0;
	struct name *names = NULL;
	struct dirent *x;

	if (!d) {
		file_close(again);
		return err_sys(e, ERR_IO, errno, "read a folder");
	}
	for (errno = 0; n < FOLDER_MAX && (x = readdir(d)); errno = 0) {
		size_t len = strlen(x->d_name);

		if (strcmp(x->d_name, ".") == 0 || strcmp(x->d_name, "..") == 0)
			continue;
		if (prefix + len > STORE_KEY_MAX || !span_is_utf8(span_make(x->d_name, len))) {
			s->seen.skipped_names++;
			continue;
		}
		if (n == cap) {
			cap = cap ? cap * 2 : 64;
			names = mem_realloc(names, cap, sizeof(*names));
		}
		names[n].folder = is_folder(fd, x);
		names[n].text = mem_printf("%s%s", x->d_name, names[n].folder ? "/" : "");
		n++;
	}
	if (errno || n == FOLDER_MAX) {
		names_free(names, n);
		err_sys(e, ERR_IO, errno ? errno : EFBIG, "read a folder");
		closedir(d);
		return -1;
	}
	closedir(d);
	if (n)
		qsort(names, n, sizeof(*names), by_bytes);
	*out = names;
	*count = n;
	return 0;
}

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
	const struct row *r;

	for (;;) {
		if (peek(&s->rows, &r, e) < 0)
			return -1;
		if (!r || (key.p && span_cmp(r->key, key) >= 0))
			return 0;
		s->rows.next++;
		if (came_since(s->place, r->key))
			continue;
		s->seen.removed++;
		if (note(&s->batch, r->key, r->version, NULL, e) < 0)
			return -1;
	}
}

// Rows below a folder that could not be read stay as they are.
static int keep_below(struct scan *s, struct span prefix, struct err *e)
{
	const struct row *r;

	s->partly = true;
	if (pass(s, prefix, e) < 0)
		return -1;
	for (;;) {
		if (peek(&s->rows, &r, e) < 0)
			return -1;
		if (!r || !span_starts(r->key, prefix))
			return 0;
		s->rows.next++;
	}
}

bool place_settled(const struct place *p, const struct stat *st, int64_t now_ns)
{
	int64_t changed = st->st_ctim.tv_sec * NS_PER_S + st->st_ctim.tv_nsec;

	if (place_mtime(st) > changed)
		changed = place_mtime(st) < now_ns ? place_mtime(st) : changed;
	return now_ns - changed >= p->set.stable_s * NS_PER_S;
}

static bool is_sentinel(const struct place *p, struct span key)
{
	return p->set.complete == STORE_DIRECTORY_SENTINEL && span_ends(key, span_of(p->sentinel));
}

static bool has_sentinel(const struct place *p, int dir, const char *name)
{
	auto_free char *other = mem_printf("%s%s", name, p->sentinel);
	struct stat st;

	return fstatat(dir, other, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode);
}

static bool same(const struct row *r, const struct stat *st)
{
	return r->inode == (int64_t)st->st_ino && r->size == (uint64_t)st->st_size &&
	       r->mtime_ns == place_mtime(st);
}

// A file that was put there by us after its row was read, or is about to be. Row, claim and file are looked at in this
// order, so that what differs at the end differs for another reason.
static bool is_placed(struct scan *s, int dir, const char *name, const struct row *r,
		      struct stat *st)
{
	if (!s->place->set.outputs)
		return false;
	return claim_held(s->place->store, s->place->bucket, span_of(s->key)) ||
	       fstatat(dir, name, st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st->st_mode) ||
	       (r && same(r, st));
}

static int scan_file(struct scan *s, int dir, const char *name, struct err *e)
{
	struct span key = span_of(s->key);
	const struct row *r;
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
	if (is_sentinel(s->place, key))
		return 0;
	if (pass(s, key, e) < 0 || peek(&s->rows, &r, e) < 0)
		return -1;
	r = r && span_eq(r->key, key) ? r : NULL;
	if (r)
		s->rows.next++;
	s->seen.files++;
	if ((r && same(r, &st)) || is_placed(s, dir, name, r, &st))
		return 0;
	complete = s->place->set.complete == STORE_DIRECTORY_SENTINEL
			   ? has_sentinel(s->place, dir, name)
			   : place_settled(s->place, &st, s->now_ns);
	if (!complete) {
		s->seen.incomplete++;
		return 0;
	}
	s->seen.added++;
	return note(&s->batch, key, r ? r->version : 0, &st, e);
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
	struct name *names = NULL;
	struct err why = { 0 };
	size_t n = 0;
	int bad = 0;

	if (s->watch)
		watch_folder(s->watch, fd, span_make(s->key, prefix));
	if (read_names(s, fd, prefix, &names, &n, &why) < 0) {
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
	names_free(names, n);
	return bad;
}

int place_scan(struct place *p, struct watch *w, struct err *e)
{
	struct scan *s = mem_zalloc(sizeof(*s));
	int64_t begun = clock_mono_ns();
	int got;

	s->place = s->rows.place = s->batch.place = p;
	s->watch = w;
	s->now_ns = clock_wall_ns();
	got = scan_folder(s, p->root, 0, 0, e);
	if (got == 0)
		got = pass(s, span_make(NULL, 0), e);
	if (got == 0)
		got = flush(&s->batch, e);
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
	arena_release(&s->batch.mem);
	mem_free(s);
	return got;
}

// ---- one name ------------------------------------------------------------------------------------------

int place_look(struct place *p, struct span key, bool known_only, struct err *e)
{
	auto_arena struct arena mem = { 0 };
	struct batch *w;
	struct db_conn *c = db_reader(p->store->db, e);
	struct err missing = { 0 };
	auto_fd int fd = -1;
	struct store_object o;
	struct content at;
	struct stat st;
	bool there;
	int known, bad = 0;

	if (!c || !key.n || key.n > STORE_KEY_MAX || !span_is_utf8(key) || is_sentinel(p, key) ||
	    placing_is_part(key))
		return c ? 0 : -1;
	known = object_latest(c, p->bucket, key, &mem, &o, &at, e);
	if (known < 0 || (known_only && !known))
		return known;
	if (claim_held(p->store, p->bucket, key))
		return 0;
	fd = file_open_beneath(p->root, arena_strndup(&mem, key.p, key.n), O_PATH | O_NOFOLLOW,
			       &missing);
	if (fd < 0 && missing.code != ERR_NOT_FOUND && missing.code != ERR_DENIED)
		return 0; // cannot be looked at: the next scan will say
	there = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
	if (there ? known && at.id == (int64_t)st.st_ino && o.size == (uint64_t)st.st_size &&
			    o.mtime_ns == place_mtime(&st)
		  : !known)
		return 0;
	w = mem_zalloc(sizeof(*w));
	w->place = p;
	bad = note(w, key, known ? o.version : 0, there ? &st : NULL, e);
	if (!bad)
		bad = flush(w, e);
	arena_release(&w->mem);
	mem_free(w);
	return bad;
}
