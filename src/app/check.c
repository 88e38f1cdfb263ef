// SPDX-License-Identifier: Apache-2.0
// check: `oscar check`: is all that is stored still there and right?
#include "store/check.h"

#include "app/app.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "db/db.h"
#include "db/schema.h"

#include <getopt.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static const char check_help[] =
	"Usage: oscar check [--repair] [OPTION]...\n"
	"Reads all that is stored and says what is damaged, lost, or belongs to nobody.\n"
	"No daemon may run on the data.\n"
	"\n"
	"  --repair       mark what is damaged, so that it is never handed out; take the mark off\n"
	"                 what is right again; move files that nobody owns to CONTENT/aside.\n"
	"                 Nothing is deleted\n"
	"  --data DIR, --db DIR, --content DIR, --user NAME\n"
	"                 as those of oscar serve\n"
	"\n"
	"Exit status: 0 all is well, 1 something was found, 2 wrong usage, 5 it could not be\n"
	"checked.\n";

struct check_options {
	struct place place;
	bool repair;
};

static int parse(int argc, char **argv, struct arena *mem, struct check_options *o)
{
	static const struct option longs[] = {
		PLACE_OPTIONS,
		{ "repair", 0, NULL, 'r' },
		{ "help", 0, NULL, 'h' },
		{ 0 },
	};
	int c;

	optind = 0;
	while ((c = getopt_long(argc, argv, "h", longs, NULL)) >= 0) {
		if (c == 'r')
			o->repair = true;
		else if (!place_option(&o->place, mem, c, optarg))
			return fputs(check_help, c == 'h' ? stdout : stderr), c == 'h' ? 1 : -1;
	}
	if (optind < argc)
		return fputs(check_help, stderr), -1;
	if (!o->place.data)
		o->place.data = default_data_dir(mem);
	return 0;
}

// Keys are others' text: what a terminal would act on does not reach it.
static void say(void *owner unused_arg, const char *text)
{
	for (; *text; text++)
		putchar((unsigned char)*text < ' ' || *text == 0x7f ? '?' : *text);
	putchar('\n');
}

static int check_all(const struct check_options *o, struct store_checked *found, struct err *e)
{
	auto_arena struct arena mem = { 0 };
	const char *path = place_database(&mem, &o->place);
	struct db_options dbo = { .path = path,
				  .migrations = schema_migrations,
				  .migration_count = schema_migration_count };
	struct store_options so = { .data_dir = o->place.data, .content_dirs = o->place.content };
	struct store_check_options co = { .repair = o->repair, .say = say };
	struct store *s = NULL;
	int result;

	if (must_exist(path, e) < 0)
		return -1;
	if (db_open(&so.db, &dbo, e) < 0)
		return -1;
	result = store_open(&s, &so, e) < 0 ? -1 : store_check(s, &co, found, e);
	store_close(s);
	db_close(so.db);
	return result;
}

// As root it becomes the daemon's user first, so that no file of the database ends up as root's.
static int prepare(const struct check_options *o, int *lock, struct err *e)
{
	struct rights r;

	if (rights_find(o->place.user, &r, e) < 0)
		return -1;
	if (must_exist(o->place.data, e) < 0)
		return -1;
	if (data_lock(o->place.data, lock, e) < 0 || rights_drop(&r, e) < 0)
		return -1;
	umask(0077);
	return 0;
}

int check_run(int argc, char **argv)
{
	auto_arena struct arena mem = { 0 };
	struct check_options o = { 0 };
	struct store_checked f = { 0 };
	struct err e = { 0 };
	auto_fd int lock = -1;
	int got = parse(argc, argv, &mem, &o);

	if (got)
		return got < 0 ? 2 : 0;
	log_set_level(LOG_ERROR);
	if (prepare(&o, &lock, &e) < 0 || check_all(&o, &f, &e) < 0) {
		fprintf(stderr, "oscar check: %s\n", e.msg);
		return 5;
	}
	printf("%llu objects, %llu content files of %llu bytes, %llu bodies in the database: "
	       "%llu damaged, %llu right again, %llu lost, %llu belong to nobody\n",
	       (unsigned long long)f.objects, (unsigned long long)f.files,
	       (unsigned long long)f.bytes, (unsigned long long)f.bodies,
	       (unsigned long long)f.damaged, (unsigned long long)f.mended,
	       (unsigned long long)f.missing, (unsigned long long)f.orphans);
	return f.damaged || f.missing || f.orphans || f.mended;
}
