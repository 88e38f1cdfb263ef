// s3d: the S3 service alone on a free port, for tests with clients that others wrote.
// usage: s3d DIRECTORY [DOMAIN]. Prints "PORT"; ends when its standard input does. Keys: S3TEST / s3testsecret,
// and two users who are no administrators, OTHER / othersecret and MAIN / mainsecret, with the e-mail addresses
// other@example.org and main@example.org.
// SPDX-License-Identifier: Apache-2.0
#include "authn/authn.h"
#include "base/log.h"
#include "base/mem.h"
#include "db/db.h"
#include "db/schema.h"
#include "notify/notify.h"
#include "s3/s3.h"
#include "store/store.h"

#include <signal.h>
#include <unistd.h>

enum { WORKERS = 32 };

static int add_user(struct auth *a, const char *name, const char *key, const char *secret,
		    struct err *e)
{
	auto_free char *email = mem_printf("%s@example.org", name);
	struct auth_user u;

	if (auth_user_add(a, name, NULL, key, secret, &u, e) < 0)
		return e->code == ERR_EXISTS ? 0 : -1;
	return auth_user_set_email(a, u.id, email, e);
}

static int serve(const char *dir, const char *domain, struct err *e)
{
	auto_free char *path = mem_printf("%s/oscar.db", dir);
	struct db_options dbo = { .path = path,
				  .migrations = schema_migrations,
				  .migration_count = schema_migration_count };
	struct store_options so = { .data_dir = dir };
	const char *day = getenv("S3D_DAY"); // seconds that lifecycle rules count as a day
	struct authn_options ao = { 0 };
	struct s3_options s3o = { .domains = domain };
	struct http_options ho = { .listen = "127.0.0.1:0", .name = "s3", .workers = WORKERS };
	struct notify_options no = { .retry_ms = 50, .retry_max_ms = 400 };
	struct store_sink sink = { .changed = notify_changed };
	struct http_server *server = NULL;
	struct authn *authn = NULL;
	struct s3 *s3 = NULL;
	char byte;

	so.day_s = day ? (unsigned)strtoul(day, NULL, 10) : 0;
	if (db_open(&so.db, &dbo, e) < 0 || store_open(&s3o.store, &so, e) < 0 ||
	    auth_open(&s3o.auth, so.db, e) < 0 ||
	    auth_set_admin(s3o.auth, "admin", "password", "S3TEST", "s3testsecret", e) < 0)
		return -1;
	no.db = so.db;
	no.store = s3o.store;
	if (notify_open(&s3o.notify, &no, e) < 0)
		return -1;
	sink.owner = s3o.notify;
	store_set_sink(s3o.store, &sink);
	notify_start(s3o.notify);
	if (add_user(s3o.auth, "other", "OTHER", "othersecret", e) < 0 ||
	    add_user(s3o.auth, "main", "MAIN", "mainsecret", e) < 0)
		return -1;
	ao.auth = s3o.auth;
	authn_open(&authn, &ao);
	s3o.authn = authn;
	s3_open(&s3, &s3o);
	ho.handler = s3_handler(s3);
	if (http_server_open(&server, &ho, e) < 0)
		return -1;
	printf("%u\n", http_server_port(server));
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	http_server_close(server);
	s3_close(s3);
	authn_close(authn);
	auth_close(s3o.auth);
	store_close(s3o.store);
	notify_close(s3o.notify);
	db_close(so.db);
	return 0;
}

int main(int argc, char **argv)
{
	struct err e = { 0 };

	signal(SIGPIPE, SIG_IGN);
	if (getenv("S3D_DEBUG"))
		log_set_level(LOG_DEBUG);
	if (argc < 2)
		return 2;
	if (serve(argv[1], argc > 2 ? argv[2] : NULL, &e) == 0)
		return 0;
	fprintf(stderr, "s3d: %s\n", e.msg);
	return 1;
}
