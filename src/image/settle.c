// SPDX-License-Identifier: Apache-2.0
#include "image/settle.h"

#include "base/boot.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "db/db.h"
#include "image/blob.h"
#include "image/manifest.h"
#include "image/private.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define MARK "unsynced"
enum { AT_ONCE = 64 };

int settle_mark(int dir, struct err *e)
{
	char boot[BOOT_ID_MAX];

	if (!boot_id(boot))
		return syncfs(dir) < 0 ? err_sys(e, ERR_IO, errno, "sync") : 0;
	return file_replace(dir, MARK, 0600, boot, strlen(boot), e);
}

// ---- the folders that have one -------------------------------------------------------------------------

// The boot that the mark is of; "" = no mark.
static int read_mark(int dir, char out[static BOOT_ID_MAX], struct err *e)
{
	struct err fault = { 0 };
	auto_buf struct buf text;

	out[0] = '\0';
	buf_init(&text, BOOT_ID_MAX - 1);
	if (file_read_path(dir, MARK, &text, &fault) == 0) {
		snprintf(out, BOOT_ID_MAX, SPAN_FMT, SPAN_ARG(span_trim(buf_span(&text))));
		if (!*out)
			memcpy(out, "?", 2);
	} else if (fault.code != ERR_NOT_FOUND) {
		*e = fault;
		return -1;
	}
	return 0;
}

// ---- to the disk ---------------------------------------------------------------------------------------

// Descriptors of the folders that wait, for a name may be another folder's a moment later.
static size_t find_waiting(struct images *m, int out[static AT_ONCE], struct err *e)
{
	DIR *list = folder_list(m->dir, e);
	const char *id;
	size_t n = 0;

	while (list && n < AT_ONCE && (id = folder_next_image(list))) {
		struct err gone = { 0 };
		int dir = file_open(m->dir, id, O_RDONLY | O_DIRECTORY, 0, &gone);

		if (dir >= 0 && faccessat(dir, MARK, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
			out[n++] = dir;
		else
			file_close(dir);
	}
	if (list)
		closedir(list);
	return n;
}

// The number of those that were waiting. What failed keeps its mark, and the next boot does not believe it.
static size_t settle_some(struct images *m)
{
	struct err e = { 0 };
	int dirs[AT_ONCE];
	size_t n = find_waiting(m, dirs, &e);

	if (n && syncfs(m->dir) < 0)
		err_sys(&e, ERR_IO, errno, "unpacked images could not be written to disk");
	for (size_t i = 0; i < n; i++) {
		if (!e.code && unlinkat(dirs[i], MARK, 0) < 0 && errno != ENOENT)
			err_sys(&e, ERR_IO, errno, "images");
		file_close(dirs[i]);
	}
	if (e.code)
		log_error("image", "%s", e.msg);
	return e.code ? 0 : n;
}

static bool wait_for_work(struct images *m)
{
	auto_lock held = lock_hold(&m->settler.lock);
	bool work;

	while (!m->unsettled && !m->settler.stop)
		lock_wait(&m->settler.wake, &m->settler.lock, 0);
	work = m->unsettled;
	m->unsettled = false;
	return work;
}

// What is waiting when it is told to stop is done still.
static void *settler_main(void *arg)
{
	struct images *m = arg;

	while (wait_for_work(m))
		while (settle_some(m) == AT_ONCE)
			;
	return NULL;
}

void settle_later(struct images *m)
{
	auto_lock held = lock_hold(&m->settler.lock);

	m->unsettled = true;
	pthread_cond_broadcast(&m->settler.wake);
}

void settle_close(struct images *m)
{
	chore_stop(&m->settler);
}

// ---- after the machine went down -----------------------------------------------------------------------

static int unpack_again(struct images *m, int dir, struct err *e)
{
	auto_arena struct arena mem = { 0 };
	auto_fd int root = -1;
	auto_buf struct buf text;
	struct manifest man;
	uint64_t size;

	buf_init(&text, MANIFEST_BYTES_MAX);
	if (file_read_path(dir, "manifest.json", &text, e) < 0 ||
	    manifest_parse(buf_span(&text), &mem, &man, e) < 0 ||
	    file_remove_tree(dir, "rootfs", e) < 0)
		return -1;
	if (mkdirat(dir, "rootfs", 0755) < 0)
		return err_sys(e, ERR_IO, errno, "mkdir rootfs");
	root = file_open(dir, "rootfs", O_RDONLY | O_DIRECTORY, 0, e);
	return root < 0 || assemble_root(m, &man, root, NULL, &size, e) < 0 ? -1
									    : settle_mark(dir, e);
}

static int forget_in(struct db_conn *c, void *arg, struct err *e)
{
	return db_exec(c, "UPDATE images SET id='' WHERE id=?1", DB_ARGS(db_str(arg)), e) < 0 ? -1
											      : 0;
}

static int restore(struct images *m, const char *id, struct err *e)
{
	char boot[BOOT_ID_MAX], was[BOOT_ID_MAX];
	struct err why = { 0 };
	auto_fd int dir = file_open(m->dir, id, O_RDONLY | O_DIRECTORY, 0, e);

	if (dir < 0 || read_mark(dir, was, e) < 0)
		return -1;
	if (!*was || (boot_id(boot) && strcmp(was, boot) == 0))
		return 0;
	log_info("image", "%s was not on disk when the machine went down: it is unpacked again",
		 id);
	if (unpack_again(m, dir, &why) == 0)
		return 0;
	// Half an image must not be taken for one. Its names stay; whoever uses one hears what is wrong.
	log_error("image", "%s cannot be unpacked again: %s", id, why.msg);
	return db_write(m->db, forget_in, (void *)(uintptr_t)id, e) < 0
		       ? -1
		       : trash_put(m, &(struct trash){ 0 }, id, e);
}

int settle_open(struct images *m, struct err *e)
{
	DIR *list = folder_list(m->dir, e);
	int bad = list ? 0 : -1;
	const char *id;

	while (!bad && (id = folder_next_image(list)))
		bad = restore(m, id, e);
	if (list)
		closedir(list);
	if (bad < 0)
		return err_wrap(e, "images that were not on disk");
	chore_start(&m->settler, "image-settle", settler_main, m);
	settle_later(m);
	return 0;
}
