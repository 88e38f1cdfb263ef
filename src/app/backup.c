// SPDX-License-Identifier: Apache-2.0
// backup: `oscar backup` and `oscar restore`: objects and database (store/backup.h), images, logs, credentials.
#include "store/backup.h"

#include "app/app.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char backup_help[] =
	"Usage: oscar backup DIR [OPTION]...\n"
	"Copies all that is kept to DIR, beside a running daemon: objects and database of one\n"
	"moment, images, logs, credentials. What an earlier backup copied is not copied again.\n"
	"\n"
	"  --keep N       remove all but the newest N snapshots, and what only they needed\n"
	"  --data DIR, --db DIR, --content DIR\n"
	"                 as those of oscar serve\n"
	"\n"
	"Exit status: 0 done, 1 done but for objects that are damaged, 2 wrong usage, 5 failed.\n"
	"\n"
	"Example:\n"
	"  oscar backup /mnt/backup/oscar --keep 7\n";

static const char restore_help[] =
	"Usage: oscar restore DIR [OPTION]...\n"
	"Puts back what oscar backup copied to DIR, into an empty data folder. No daemon may run\n"
	"on it.\n"
	"\n"
	"  --snapshot NAME\n"
	"                 which one (default: the newest; they are the folders in DIR/snapshots)\n"
	"  --data DIR, --db DIR, --content DIR, --user NAME\n"
	"                 as those of oscar serve; as many --content as there were\n"
	"\n"
	"Exit status: 0 done, 1 done but for objects that are missing, 2 wrong usage, 5 failed.\n";

struct options {
	struct place place;
	const char *backup; // its folder
	const char *snapshot;
	unsigned keep;
};

static bool take_keep(const char *text, unsigned *out)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (*end || n < 1 || n > 100000)
		return fprintf(stderr, "--keep: a number from 1 to 100000\n"), false;
	*out = (unsigned)n;
	return true;
}

// 0 = go on, 1 = help was asked for, -1 = wrong usage.
static int parse(int argc, char **argv, const char *help, struct arena *mem, struct options *o)
{
	static const struct option longs[] = {
		PLACE_OPTIONS,
		{ "keep", 1, NULL, 'k' },
		{ "snapshot", 1, NULL, 's' },
		{ "help", 0, NULL, 'h' },
		{ 0 },
	};
	int c;

	optind = 0;
	while ((c = getopt_long(argc, argv, "h", longs, NULL)) >= 0) {
		if (c == 's')
			o->snapshot = optarg;
		else if (c == 'k' ? !take_keep(optarg, &o->keep)
				  : !place_option(&o->place, mem, c, optarg))
			return fputs(help, c == 'h' ? stdout : stderr), c == 'h' ? 1 : -1;
	}
	if (optind + 1 != argc)
		return fputs(help, stderr), -1;
	o->backup = absolute_path(mem, argv[optind]);
	if (!o->place.data)
		o->place.data = default_data_dir(mem);
	log_set_level(LOG_ERROR);
	umask(0077);
	return 0;
}

// Runs a program of the system to its end.
static int run(const char *const *argv, struct err *e)
{
	char *const *args = (char *const *)argv;
	int status, got;
	pid_t pid;

	got = posix_spawnp(&pid, argv[0], NULL, NULL, args, environ);
	if (got)
		return err_sys(e, ERR_IO, got, "%s", argv[0]);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return err_sys(e, ERR_IO, errno, "%s", argv[0]);
	return status ? err_set(e, ERR_IO, "%s failed, see above", argv[0]) : 0;
}

// Images and logs: files that are there and no older stay as they are. With hard links, owners and times.
static int copy_tree(const char *from, const char *to, const char *name, struct err *e)
{
	auto_free char *source = mem_printf("%s/%s", from, name);
	auto_free char *target = mem_printf("%s/%s", to, name);
	const char *const argv[] = {
		"cp",	"--archive", "--update", "--reflink=auto", "--no-target-directory", "--",
		source, target,	     NULL
	};

	return access(source, F_OK) < 0 ? 0 : run(argv, e);
}

static int copy_credentials(const char *from, const char *to, struct err *e)
{
	auto_free char *source = mem_printf("%s/credentials.json", from);
	auto_free char *target = mem_printf("%s/credentials.json", to);
	auto_buf struct buf b = { 0 };
	struct err why = { 0 };

	buf_init(&b, 64 << 10);
	if (file_read_path(AT_FDCWD, source, &b, &why) < 0) {
		if (why.code == ERR_NOT_FOUND) // they come from the environment
			return 0;
		*e = why;
		return -1;
	}
	return file_replace(AT_FDCWD, target, 0600, b.p, b.n, e);
}

static int copy_rest(const char *from, const char *to, struct err *e)
{
	if (copy_tree(from, to, "images", e) < 0 || copy_tree(from, to, "logs", e) < 0)
		return -1;
	return copy_credentials(from, to, e);
}

static void say(void *owner unused_arg, const char *text)
{
	puts(text);
}

static void tell(const char *what, const char *name, const struct backed_up *done)
{
	printf("%s %s: %llu files of %llu bytes, %llu of them (%llu bytes) copied now", what, name,
	       (unsigned long long)done->files, (unsigned long long)done->bytes,
	       (unsigned long long)done->copied, (unsigned long long)done->copied_bytes);
	if (done->damaged)
		printf(", %llu damaged", (unsigned long long)done->damaged);
	if (done->dropped)
		printf(", %u older snapshots removed", done->dropped);
	putchar('\n');
}

static int failed(const char *what, const struct err *e)
{
	fprintf(stderr, "oscar %s: %s\n", what, e->msg);
	return 5;
}

static struct backup_options describe(const struct options *o, struct arena *mem,
				      int (*rest)(void *owner, struct err *e))
{
	return (struct backup_options){ .data_dir = o->place.data,
					.db_path = place_database(mem, &o->place),
					.content_dirs = o->place.content,
					.to = o->backup,
					.keep = o->keep,
					.say = say,
					.rest = rest,
					.owner = (void *)o };
}

static int rest_there(void *owner, struct err *e)
{
	const struct options *o = owner;

	return copy_rest(o->place.data, o->backup, e);
}

static int rest_back(void *owner, struct err *e)
{
	const struct options *o = owner;

	return copy_rest(o->backup, o->place.data, e);
}

int backup_run(int argc, char **argv)
{
	auto_arena struct arena mem = { 0 };
	struct options o = { 0 };
	struct backup_options bo;
	struct backed_up done;
	struct err e = { 0 };
	int got = parse(argc, argv, backup_help, &mem, &o);

	if (got)
		return got < 0 ? 2 : 0;
	bo = describe(&o, &mem, rest_there);
	if (must_exist(bo.db_path, &e) < 0)
		return failed("backup", &e);
	if (span_starts(span_of(bo.to), span_of(bo.data_dir)) &&
	    (bo.to[strlen(bo.data_dir)] == '/' || !bo.to[strlen(bo.data_dir)])) {
		err_set(&e, ERR_INVALID, "%s lies in the data folder: choose another place", bo.to);
		return failed("backup", &e);
	}
	if (store_backup(&bo, &done, &e) < 0)
		return failed("backup", &e);
	tell("snapshot", done.name, &done);
	return done.damaged > 0;
}

// As root: what was put back is the daemon's.
static int hand_over(const struct place *p, const struct rights *r, struct err *e)
{
	auto_free char *owner = mem_printf("%u:%u", (unsigned)r->uid, (unsigned)r->gid);
	const char *argv[STORE_DIRS_MAX + 8] = { "chown", "-R", "-h", owner, "--", p->data };
	size_t n = 6;

	if (!r->drop)
		return 0;
	if (p->db)
		argv[n++] = p->db;
	for (unsigned i = 0; i < p->content_count; i++)
		argv[n++] = p->content[i];
	return run(argv, e);
}

int restore_run(int argc, char **argv)
{
	auto_arena struct arena mem = { 0 };
	struct options o = { 0 };
	const struct place *p = &o.place;
	struct backup_options bo;
	struct backed_up done;
	struct rights rights;
	struct err e = { 0 };
	auto_fd int lock = -1;
	int got = parse(argc, argv, restore_help, &mem, &o);

	if (got)
		return got < 0 ? 2 : 0;
	bo = describe(&o, &mem, rest_back);
	if (rights_find(p->user, &rights, &e) < 0 || file_mkdirs(p->data, 0711, &e) < 0 ||
	    data_lock(p->data, &lock, &e) < 0 || (p->db && file_mkdirs(p->db, 0700, &e) < 0) ||
	    store_restore(&bo, o.snapshot, &done, &e) < 0 || hand_over(p, &rights, &e) < 0)
		return failed("restore", &e);
	tell("restored", done.name, &done);
	return done.damaged > 0;
}
