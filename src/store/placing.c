// SPDX-License-Identifier: Apache-2.0
#include "store/placing.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "codec/digest.h"
#include "codec/text.h"
#include "store/claims.h"
#include "store/place.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { COPY_CHUNK = 1 << 20 };

struct placing {
	struct store *store;
	int64_t bucket;
	char *key, *part; // below the root
	const char *name; // the last part of the key
	int folder, fd;
	bool own; // the directory is the server's user's
	bool made, committed;
	struct stat st; // of the file, once it is staged
	struct made *folders;
	size_t folder_count;
};

// A folder that was missing.
struct made {
	int parent;
	char *name;
};

// ---- names ---------------------------------------------------------------------------------------------

struct span placing_last_part(struct span key)
{
	size_t at = key.n;

	while (at && key.p[at - 1] != '/')
		at--;
	return span_from(key, at);
}

bool placing_is_part(struct span key)
{
	return span_starts(placing_last_part(key), SPAN(PLACING_PREFIX));
}

// A key that leads to one place below the root and nowhere else.
static int name_check(const struct place *p, struct span key, struct err *e)
{
	if (!file_path_is_plain(key))
		return err_set(e, ERR_INVALID, SPAN_FMT ": no file can have this name",
			       SPAN_ARG(span_head(key, 120)));
	if (!key.n || key.p[key.n - 1] == '/' || placing_is_part(key) ||
	    (p->set.complete == STORE_DIRECTORY_SENTINEL && span_ends(key, span_of(p->sentinel))))
		return err_set(e, ERR_INVALID, SPAN_FMT ": this name has a meaning in bucket %s",
			       SPAN_ARG(span_head(key, 120)), p->name);
	return 0;
}

// The same name whenever the same installation makes this file, so that what an attempt left is written over; other
// installations may write into the same directory.
static char *part_name(const struct place *p, struct span key)
{
	struct span folder = span_head(key, key.n - placing_last_part(key).n);
	auto_free char *text = mem_printf("%s %lld " SPAN_FMT, p->store->dirs.installation,
					  (long long)p->bucket, SPAN_ARG(key));
	char hex[TEXT_HEX_SIZE(8)];
	uint8_t sum[DIGEST_MAX];

	digest_once(DIGEST_SHA256, span_of(text), sum);
	return mem_printf(SPAN_FMT PLACING_PREFIX "%s", SPAN_ARG(folder), text_hex(hex, sum, 8));
}

// ---- folders -------------------------------------------------------------------------------------------

static int denied(struct err *e)
{
	if (e->sys == EACCES || e->sys == EPERM || e->sys == EROFS)
		e->code = ERR_DENIED;
	return -1;
}

// A new folder is as the one that it lies in, so that who may write there may write here.
static int folder_make(int parent, const char *name, struct err *e)
{
	auto_fd int fd = -1;
	struct stat st;

	if (fstat(parent, &st) < 0)
		return err_sys(e, ERR_IO, errno, "%s", name);
	if (mkdirat(parent, name, 0700) < 0) {
		if (errno == EEXIST)
			return 0;
		err_sys(e, ERR_IO, errno, "mkdir %s", name);
		return denied(e);
	}
	fd = file_open_beneath(parent, name, O_RDONLY | O_DIRECTORY, e);
	if (fd < 0)
		return -1;
	// Where the group may not be given, the folder keeps the server's.
	if (fchown(fd, (uid_t)-1, st.st_gid) < 0 && errno != EPERM)
		return err_sys(e, ERR_IO, errno, "chown %s", name);
	if (fchmod(fd, st.st_mode & 07777) < 0)
		return err_sys(e, ERR_IO, errno, "chmod %s", name);
	return file_sync(parent, e);
}

static void remember(struct placing *p, int parent, const char *name)
{
	int fd = fcntl(parent, F_DUPFD_CLOEXEC, 3);

	if (fd < 0)
		return; // it stays ours
	p->folders = mem_realloc(p->folders, p->folder_count + 1, sizeof(*p->folders));
	p->folders[p->folder_count++] = (struct made){ fd, mem_strdup(name) };
}

// The folder of a key below the root; the parts that are missing are made. Takes `root` over.
static int folder_open(struct placing *p, int root, struct span key, struct err *e)
{
	struct span rest = span_head(key, key.n - placing_last_part(key).n);
	auto_fd int at = root;

	while (rest.n) {
		struct span part = span_cut(&rest, '/');
		auto_free char *name = mem_strndup(part.p, part.n);
		int next = file_open_beneath(at, name, O_RDONLY | O_DIRECTORY, e);

		if (next < 0 && e->code == ERR_NOT_FOUND && e->sys == ENOENT) {
			if (folder_make(at, name, e) < 0)
				return -1;
			remember(p, at, name);
			next = file_open_beneath(at, name, O_RDONLY | O_DIRECTORY, e);
		}
		if (next < 0)
			return e->sys == ENOTDIR
				       ? err_set(e, ERR_INVALID, "%s is a file, not a folder", name)
				       : denied(e);
		file_close(at);
		at = next;
	}
	return file_take(&at);
}

// ---- the file ------------------------------------------------------------------------------------------

// *root is the caller's.
static int place_look_up(struct store *s, const struct store_bucket *b, struct span key, int *root,
			 char **part, struct err *e)
{
	struct place *p;
	int bad = 0;

	pthread_rwlock_rdlock(&s->places.lock);
	p = place_find(s, b->id);
	if (!p)
		bad = err_set(e, ERR_NOT_FOUND, "the directory of bucket %s is served no more",
			      b->name);
	else if (!p->set.outputs)
		bad = err_set(e, ERR_DENIED, "bucket %s is a directory that takes no outputs",
			      b->name);
	else if (p->root < 0)
		bad = err_set(e, ERR_UNAVAILABLE, "the directory of bucket %s is not there",
			      b->name);
	else
		bad = name_check(p, key, e);
	if (!bad) {
		*part = part_name(p, key);
		*root = fcntl(p->root, F_DUPFD_CLOEXEC, 3);
		if (*root < 0)
			bad = err_sys(e, ERR_IO, errno, "bucket %s", b->name);
	}
	pthread_rwlock_unlock(&s->places.lock);
	return bad;
}

int placing_begin(struct store *s, const struct store_bucket *b, struct span key,
		  struct placing **out, struct err *e)
{
	auto_free char *part = NULL;
	auto_fd int root = -1;
	struct placing *p;
	struct stat st;

	if (place_look_up(s, b, key, &root, &part, e) < 0)
		return -1;
	check(part);
	if (!claim_take(s, b->id, key, part))
		return err_set(e, ERR_BUSY, SPAN_FMT " is being written by another job",
			       SPAN_ARG(span_head(key, 120)));
	p = mem_zalloc(sizeof(*p));
	p->store = s;
	p->bucket = b->id;
	p->key = mem_strndup(key.p, key.n);
	p->name = p->key + (key.n - placing_last_part(key).n);
	p->part = mem_take(&part);
	p->fd = -1;
	p->own = fstat(root, &st) == 0 && st.st_uid == geteuid();
	p->folder = folder_open(p, file_take(&root), key, e);
	if (p->folder < 0) {
		placing_free(p);
		return -1;
	}
	*out = p;
	return 0;
}

static const char *part_of(const struct placing *p)
{
	return p->part + (strlen(p->key) - strlen(p->name));
}

static int create(struct placing *p, struct err *e)
{
	if (unlinkat(p->folder, part_of(p), 0) < 0 && errno != ENOENT) {
		err_sys(e, ERR_IO, errno, "remove %s", p->part);
		return denied(e);
	}
	p->fd = file_open(p->folder, part_of(p), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600, e);
	if (p->fd < 0)
		return denied(e);
	p->made = true;
	return 0;
}

static int copy_bytes(int from, int to, struct err *e)
{
	auto_free char *chunk = NULL;
	ssize_t k;

	if (ioctl(to, FICLONE, from) == 0)
		return 0;
	while ((k = copy_file_range(from, NULL, to, NULL, COPY_CHUNK, 0)) > 0)
		;
	if (k == 0)
		return 0;
	if (errno != EXDEV && errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP)
		return err_sys(e, ERR_IO, errno, "copy");
	chunk = mem_alloc(COPY_CHUNK);
	while ((k = file_read_full(from, chunk, COPY_CHUNK, e)) > 0)
		if (file_write_all(to, chunk, (size_t)k, e) < 0)
			return -1;
	return (int)k;
}

// Where all is the server's own a second name will do: there is no other owner to have.
static bool by_link(struct placing *p, int dir, const char *name, const struct stat *from)
{
	struct stat folder;
	struct err ignored;

	if (!p->own || fstat(p->folder, &folder) < 0 || folder.st_uid != from->st_uid ||
	    folder.st_gid != from->st_gid || folder.st_dev != from->st_dev || from->st_nlink != 1)
		return false;
	unlinkat(p->folder, part_of(p), 0);
	if (linkat(dir, name, p->folder, part_of(p), 0) < 0)
		return false;
	p->made = true;
	p->fd = file_open_beneath(p->folder, part_of(p), O_RDONLY | O_NOFOLLOW, &ignored);
	return p->fd >= 0;
}

int placing_take(struct placing *p, int dir, const char *name, uint64_t max, struct err *e)
{
	auto_fd int from = file_open(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0, e);
	struct stat st;

	if (from < 0)
		return -1;
	if (fstat(from, &st) < 0)
		return err_sys(e, ERR_IO, errno, "%s", name);
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_INVALID, "%s is not a regular file", name);
	if ((uint64_t)st.st_size > max)
		return err_set(e, ERR_LIMIT, "the object is over the limit of %llu bytes",
			       (unsigned long long)max);
	if (by_link(p, dir, name, &st))
		return 0;
	return create(p, e) < 0 || copy_bytes(from, p->fd, e) < 0 ? -1 : 0;
}

// Readable and writable for whom the folder is.
int placing_stage(struct placing *p, struct err *e)
{
	struct stat folder;

	if (fstat(p->folder, &folder) < 0)
		return err_sys(e, ERR_IO, errno, "%s", p->key);
	if (fchown(p->fd, (uid_t)-1, folder.st_gid) < 0 && errno != EPERM)
		return err_sys(e, ERR_IO, errno, "chown %s", p->key);
	if (fchmod(p->fd, (folder.st_mode & 0666) | S_IRUSR | S_IWUSR) < 0)
		return err_sys(e, ERR_IO, errno, "chmod %s", p->key);
	if (file_sync(p->fd, e) < 0 || file_sync(p->folder, e) < 0)
		return -1;
	if (fstat(p->fd, &p->st) < 0)
		return err_sys(e, ERR_IO, errno, "%s", p->key);
	file_close(p->fd); // a job may have very many
	p->fd = -1;
	return 0;
}

uint64_t placing_size(const struct placing *p)
{
	return (uint64_t)p->st.st_size;
}

bool placing_made(const struct placing *p, size_t i, int *folder, const char **name,
		  const char **later)
{
	*later = NULL;
	if (i < p->folder_count) {
		*folder = p->folders[i].parent;
		*name = p->folders[i].name;
		return true;
	}
	if (i > p->folder_count || !p->made)
		return false;
	*folder = p->folder;
	*name = part_of(p);
	*later = p->name;
	return true;
}

int placing_apply_in(struct placing *p, struct db_conn *c, const struct store_bucket *b,
		     struct store_object *o, const struct store_cause *cause, struct err *e)
{
	const struct content at = { STORE_EXTERNAL, (int64_t)p->st.st_ino };

	claim_noted(p->store, p->bucket, span_of(p->key));
	if (db_exec(c, "INSERT OR REPLACE INTO placings(bucket,key,part) VALUES(?1,?2,?3)",
		    DB_ARGS(db_int(p->bucket), db_str(p->key), db_str(p->part)), e) < 0)
		return -1;
	o->size = placing_size(p);
	o->mtime_ns = place_mtime(&p->st);
	place_etag(&p->st, o->etag);
	return object_insert_in(p->store, c, b, o, at, cause, e);
}

// ---- afterwards ----------------------------------------------------------------------------------------

void placing_committed(struct placing *p)
{
	struct span key = span_of(p->key);
	struct err e = { 0 };
	bool left = placing_move(p->folder, part_of(p), p->name, &e) < 0 ||
		    placing_forget(p->store, p->bucket, key, &e) < 0;

	p->committed = true;
	claim_end(p->store, p->bucket, key, left);
	if (!left)
		return;
	log_warn("store", "%s: %s: tried again", p->key, e.msg);
	place_wake(p->store, p->bucket);
}

void placing_unsure(struct placing *p)
{
	p->committed = true;
	claim_end(p->store, p->bucket, span_of(p->key), true);
	place_wake(p->store, p->bucket);
}

void placing_free(struct placing *p)
{
	if (!p)
		return;
	if (!p->committed) {
		if (p->made && unlinkat(p->folder, part_of(p), 0) < 0)
			log_warn("store", "%s: %s", p->part, strerror(errno));
		claim_end(p->store, p->bucket, span_of(p->key), false);
	}
	for (size_t i = 0; i < p->folder_count; i++) {
		file_close(p->folders[i].parent);
		mem_free(p->folders[i].name);
	}
	mem_free(p->folders);
	file_close(p->fd);
	file_close(p->folder);
	mem_free(p->key);
	mem_free(p->part);
	mem_free(p);
}

int placing_open(struct store *s, int root, int64_t bucket, struct span key)
{
	auto_free char *part = claim_part(s, bucket, key);
	struct err ignored;

	return part ? file_open_beneath(root, part, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW,
					&ignored)
		    : -1;
}
