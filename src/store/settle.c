// SPDX-License-Identifier: Apache-2.0
// settle: the renames that notes say are left, after the commit or at the next start.
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/claims.h"
#include "store/place.h"
#include "store/placing.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum { SETTLE_MAX = 256 };

struct note {
	int64_t bucket;
	struct span key;
};

static int forget_in(struct db_conn *c, void *arg, struct err *e)
{
	const struct note *n = arg;

	return db_exec(c, "DELETE FROM placings WHERE bucket=?1 AND key=?2",
		       DB_ARGS(db_int(n->bucket), db_text(n->key)), e) < 0
		       ? -1
		       : 0;
}

// What may be otherwise at another time.
static bool may_pass(int sys)
{
	return sys != ENOENT && sys != EISDIR && sys != ENOTDIR && sys != ENOTEMPTY &&
	       sys != EEXIST;
}

// 0: the note has done its work. A name that is taken by a folder meanwhile stays the folder's.
int placing_move(int folder, const char *part, const char *name, struct err *e)
{
	if (renameat(folder, part, folder, name) == 0)
		return file_sync(folder, e);
	if (may_pass(errno))
		return err_sys(e, ERR_IO, errno, "rename %s to %s", part, name);
	if (errno != ENOENT) { // else it was renamed before, or removed by somebody
		log_warn("store", "%s cannot become a file: %s", name, strerror(errno));
		unlinkat(folder, part, 0);
	}
	return 0;
}

int placing_forget(struct store *s, int64_t bucket, struct span key, struct err *e)
{
	struct note n = { bucket, key };

	return db_write_lazy(s->db, forget_in, &n, e);
}

int placings_load(struct store *s, struct err *e)
{
	struct db_conn *c = db_reader(s->db, e);
	auto_query struct db_stmt *q =
		db_query(c, "SELECT bucket,key,part FROM placings", DB_NO_ARGS, e);
	int got;

	while ((got = db_step(q, e)) > 0) {
		auto_free char *part = mem_strndup(db_col_span(q, 2).p, db_col_span(q, 2).n);
		struct span key = db_col_span(q, 1);

		if (key.n <= STORE_KEY_MAX && claim_take(s, db_col_int(q, 0), key, part))
			claim_end(s, db_col_int(q, 0), key, true);
	}
	return got;
}

// Is the note in the database? Not when its transaction failed after all.
static int noted(struct place *p, struct span key, int64_t *there, struct err *e)
{
	struct db_conn *c = db_reader(p->store->db, e);

	return c ? db_get_int(c, "SELECT EXISTS(SELECT 1 FROM placings WHERE bucket=?1 AND key=?2)",
			      DB_ARGS(db_int(p->bucket), db_text(key)), 0, there, e)
		 : -1;
}

static int settle_one(struct place *p, const struct claim_left *n, struct err *e)
{
	struct span folder = span_head(n->key, n->key.n - placing_last_part(n->key).n);
	auto_free char *path = mem_strndup(folder.p, folder.n ? folder.n - 1 : 0);
	auto_free char *part = mem_strndup(n->part.p + folder.n, n->part.n - folder.n);
	auto_free char *name = mem_strndup(n->key.p + folder.n, n->key.n - folder.n);
	struct note note = { p->bucket, n->key };
	auto_fd int fd = -1;
	int64_t there;

	if (noted(p, n->key, &there, e) < 0)
		return -1;
	if (!there)
		return 0;
	fd = folder.n ? file_open_beneath(p->root, path, O_RDONLY | O_DIRECTORY, e)
		      : fcntl(p->root, F_DUPFD_CLOEXEC, 3);
	if (fd < 0 && e->code != ERR_NOT_FOUND && e->code != ERR_DENIED)
		return -1;
	if (fd >= 0 && placing_move(fd, part, name, e) < 0)
		return -1;
	return db_write(p->store->db, forget_in, &note, e);
}

// How many of them are done; *found = how many there were.
static size_t settle_some(struct place *p, size_t *found)
{
	auto_arena struct arena mem = { 0 };
	struct claim_left *left = arena_alloc(&mem, SETTLE_MAX * sizeof(*left));
	size_t done = 0;

	*found = claims_left(p->store, p->bucket, &mem, left, SETTLE_MAX);
	for (size_t i = 0; i < *found; i++) {
		struct err e = { 0 };
		int bad;

		if (!claim_over(p->store, p->bucket, left[i].key))
			continue;
		bad = settle_one(p, &left[i], &e);
		if (bad < 0)
			log_warn("store", "bucket %s: %s: tried again", p->name, e.msg);
		claim_end(p->store, p->bucket, left[i].key, bad < 0);
		done += !bad;
	}
	return done;
}

void placings_settle(struct place *p)
{
	size_t found, done;

	do {
		done = settle_some(p, &found);
	} while (done && found == SETTLE_MAX && !atomic_load(&p->chore.stop));
}

void placing_sweep(struct place *p, int folder, const char *name, struct span key)
{
	struct stat st;

	if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode) ||
	    clock_wall_ns() / NS_PER_S - st.st_ctim.tv_sec < PLACING_STALE_S ||
	    claim_has_part(p->store, key))
		return;
	if (unlinkat(folder, name, 0) == 0)
		log_info("store", "bucket %s: removed " SPAN_FMT ", which nobody finished", p->name,
			 SPAN_ARG(key));
}
