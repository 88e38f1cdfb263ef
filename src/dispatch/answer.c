// SPDX-License-Identifier: Apache-2.0
// answer: what a call that waits gets back, kept in an unlinked file so that its size does not matter; a small one in
// memory, since making an inode costs more than the rest of it.
#include "base/file.h"
#include "base/mem.h"
#include "codec/text.h"
#include "dispatch/job.h"
#include "exec/joblog.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	CHUNK = 48 << 10,      // a multiple of 3, so that pieces join to one base64 text
	MEMORY_MAX = 64 << 10, // of what an answer is made of
};

static int temp_file(struct dispatch *d, struct err *e)
{
	int fd = openat(d->tmp_dir, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);

	return fd < 0 ? err_sys(e, ERR_IO, errno, "temporary file") : fd;
}

// The file of an answer made of so many bytes.
static int answer_file(struct dispatch *d, uint64_t size, struct err *e)
{
	int fd = size <= MEMORY_MAX ? memfd_create("answer", MFD_CLOEXEC) : -1;

	return fd < 0 ? temp_file(d, e) : fd;
}

// Everything the script printed, both streams in the order it came. The answer's file, or -1.
static int write_printed(struct dispatch *d, const struct job *j, struct err *e)
{
	auto_fd int log = dispatch_log(d, j->row.id, j->row.attempt, e);
	auto_fd int to = -1;
	char data[JOBLOG_RECORD_MAX];
	struct joblog_record r;
	struct stat st;
	off_t at = 0;
	int got;

	if (log < 0)
		return -1;
	to = answer_file(d, fstat(log, &st) == 0 ? (uint64_t)st.st_size : UINT64_MAX, e);
	if (to < 0)
		return -1;
	while ((got = joblog_read(log, &at, &r, data, e)) > 0)
		if (r.stream != JOBLOG_SYSTEM && file_write_all(to, data, r.size, e) < 0)
			return -1;
	return got < 0 ? -1 : file_take(&to);
}

static int write_base64(int from, int to, struct err *e)
{
	auto_free char *raw = mem_alloc(CHUNK);
	auto_free char *text = mem_alloc(TEXT_BASE64_SIZE(CHUNK));
	ssize_t k;

	while ((k = file_read_full(from, raw, CHUNK, e)) > 0) {
		text_base64(text, raw, (size_t)k);
		if (file_write_all(to, text, strlen(text), e) < 0)
			return -1;
	}
	return k < 0 ? -1 : 0;
}

static int zip_entry(struct archive *zip, int dir, const struct output_file *f, struct err *e)
{
	struct archive_entry *entry = archive_entry_new();
	auto_fd int fd = file_open(dir, f->name, O_RDONLY | O_NOFOLLOW, 0, e);
	auto_free char *raw = mem_alloc(CHUNK);
	ssize_t k = -1;

	archive_entry_set_pathname_utf8(entry, f->name);
	archive_entry_set_size(entry, (int64_t)f->size);
	archive_entry_set_filetype(entry, AE_IFREG);
	archive_entry_set_perm(entry, 0644);
	if (fd >= 0 && archive_write_header(zip, entry) == ARCHIVE_OK)
		while ((k = file_read_full(fd, raw, CHUNK, e)) > 0)
			if (archive_write_data(zip, raw, (size_t)k) != k) {
				k = -1;
				break;
			}
	archive_entry_free(entry);
	if (fd < 0)
		return -1;
	return k < 0 ? err_set(e, ERR_IO, "zip of the outputs: %s", archive_error_string(zip)) : 0;
}

static int write_zip(struct dispatch *d, int dir, const struct output_file *files, int to,
		     struct err *e)
{
	struct archive *zip = archive_write_new();
	auto_fd int fd = temp_file(d, e);
	int bad = fd < 0;

	archive_write_set_format_zip(zip);
	archive_write_zip_set_compression_store(zip);
	archive_write_set_bytes_per_block(zip, 0);
	if (!bad && archive_write_open_fd(zip, fd) != ARCHIVE_OK)
		bad = err_set(e, ERR_IO, "zip of the outputs: %s", archive_error_string(zip));
	for (const struct output_file *f = files; f && !bad; f = f->next)
		bad = zip_entry(zip, dir, f, e) < 0;
	if (archive_write_close(zip) != ARCHIVE_OK && !bad)
		bad = err_set(e, ERR_IO, "zip of the outputs: %s", archive_error_string(zip));
	archive_write_free(zip);
	if (!bad && lseek(fd, 0, SEEK_SET) < 0)
		bad = err_sys(e, ERR_IO, errno, "zip of the outputs");
	return bad ? -1 : write_base64(fd, to, e);
}

static int write_files(struct dispatch *d, int dir, const struct output_file *files, size_t n,
		       struct err *e)
{
	auto_fd int to = answer_file(d, n > 1 ? UINT64_MAX : files->size, e);
	auto_fd int only = -1;

	if (to < 0)
		return -1;
	if (n > 1)
		return write_zip(d, dir, files, to, e) < 0 ? -1 : file_take(&to);
	only = file_open(dir, files->name, O_RDONLY | O_NOFOLLOW, 0, e);
	return only < 0 || write_base64(only, to, e) < 0 ? -1 : file_take(&to);
}

void answer_make(struct dispatch *d, struct job *j, int output_dir, struct dispatch_answer *a)
{
	auto_arena struct arena mem = { 0 };
	struct output_file *files = NULL;
	struct err e = { 0 };
	struct stat st;
	size_t n = 0;
	bool ok = j->result.outcome == EXEC_EXITED && !j->result.exit_code;

	a->type = "text/plain; charset=utf-8";
	// A call is never of the store, so its event is of no storage: files first.
	if (ok && output_dir >= 0 &&
	    output_walk(output_dir, d->o.outputs_max, &mem, &files, &n, &e) < 0)
		return;
	a->encoded = n && j->row.version == 0 && ok;
	a->fd = a->encoded ? write_files(d, output_dir, files, n, &e) : write_printed(d, j, &e);
	a->size = a->fd >= 0 && fstat(a->fd, &st) == 0 ? (uint64_t)st.st_size : 0;
}

// ---- waiters -------------------------------------------------------------------------------------------

static struct waiter *waiter_find(struct dispatch *d, int64_t job)
{
	uint64_t key = (uint64_t)job;

	return map_get(&d->waiters, map_key_u64(&key));
}

static void waiter_drop(struct dispatch *d, int64_t job)
{
	uint64_t key = (uint64_t)job;

	mem_free(map_remove(&d->waiters, map_key_u64(&key)));
}

void waiter_add(struct dispatch *d, int64_t job, dispatch_answer_fn fn, void *owner)
{
	struct waiter *w = mem_zalloc(sizeof(*w));
	uint64_t key = (uint64_t)job;

	*w = (struct waiter){ .fn = fn, .owner = owner };
	map_put(&d->waiters, map_key_u64(&key), w);
}

bool answer_wanted(struct dispatch *d, int64_t job)
{
	auto_lock held = lock_hold(&d->lock);

	return waiter_find(d, job);
}

void answer_deliver(struct dispatch *d, int64_t job, struct dispatch_answer *a)
{
	struct waiter *w;

	pthread_mutex_lock(&d->lock);
	w = waiter_find(d, job);
	if (w && w->calling)
		w = NULL; // it has its answer
	if (w)
		w->calling = true;
	pthread_mutex_unlock(&d->lock);
	if (!w) {
		file_close(a->fd);
		return;
	}
	w->fn(w->owner, a);
	pthread_mutex_lock(&d->lock);
	waiter_drop(d, job);
	pthread_cond_broadcast(&d->idle);
	pthread_mutex_unlock(&d->lock);
}

void dispatch_call_forget(struct dispatch *d, int64_t job, bool cancel)
{
	struct waiter *w;
	struct err ignored;

	pthread_mutex_lock(&d->lock);
	while ((w = waiter_find(d, job)) && w->calling)
		pthread_cond_wait(&d->idle, &d->lock);
	cancel = cancel && w;
	waiter_drop(d, job);
	pthread_mutex_unlock(&d->lock);
	if (cancel && dispatch_cancel(d, job, &ignored) < 0)
		return; // it ended by itself meanwhile
}

void answers_drop(struct dispatch *d)
{
	size_t at = 0;
	void *value;

	while (map_next(&d->waiters, &at, NULL, &value))
		mem_free(value);
	map_release(&d->waiters);
}
