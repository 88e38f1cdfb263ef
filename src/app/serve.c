// SPDX-License-Identifier: Apache-2.0
// serve: the daemon's life: started, looked after, and ended.
#include "api/api.h"
#include "app/daemon.h"
#include "auth/auth.h"
#include "authn/authn.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "db/db.h"
#include "expose/expose.h"
#include "image/image.h"
#include "notify/notify.h"
#include "queue/queue.h"
#include "registry/registry.h"
#include "runner/oci.h"
#include "runner/program.h"
#include "runner/runner.h"
#include "s3/s3.h"
#include "service/service.h"

#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

// Is everything there that the options ask for?
static int check_programs(const struct serve_options *o, struct err *e)
{
	auto_free char *nat = program_find("slirp4netns");
	auto_free char *runtime = o->oci_runtime ? oci_find(o->oci_runtime, e) : NULL;

	if (o->oci_runtime && !runtime)
		return err_wrap(e, "--oci-runtime");
	if (o->nat && !nat)
		return err_set(e, ERR_UNSUPPORTED,
			       "--nat needs the program slirp4netns, which is not installed");
	return 0;
}

// With all rights, which are dropped at its end.
static int start_privileged(struct daemon *d, struct err *e)
{
	struct runner_spawn_options ro = { .data_dir = d->o->data,
					   .oci_runtime = d->o->oci_runtime,
					   .cdi = d->o->cdi,
					   .cdi_count = d->o->cdi_count };

	if (rights_find(d->o->user, &d->rights, e) < 0 || daemon_make_folders(d, e) < 0)
		return -1;
	ro.user = d->rights.uid;
	if (runner_spawn(&ro, e) < 0)
		return err_wrap(e, "runner");
	// A key that only root may read is read now; later ones must be readable for the daemon's user.
	d->tls = (struct tls_files){ .cert = d->o->tls_cert, .key = d->o->tls_key };
	if (d->tls.cert && tls_files_load(&d->tls, e) < 0)
		return err_wrap(e, "--tls-cert, --tls-key");
	return rights_drop(&d->rights, e);
}

static int start(struct daemon *d, struct err *e)
{
	if (check_programs(d->o, e) < 0 || start_privileged(d, e) < 0 || daemon_reachable(d, e) < 0)
		return -1;
	umask(0077);
	if (credentials_load(d->o->data, &d->cred, e) < 0 || daemon_open_store(d, e) < 0 ||
	    daemon_open_jobs(d, e) < 0 || daemon_listen(d, e) < 0)
		return -1;
	notify_start(d->notify);
	store_directories_start(d->store);
	mem_wipe(d->cred.password, sizeof(d->cred.password));
	mem_wipe(d->cred.secret_key, sizeof(d->cred.secret_key));
	tls_files_wipe(&d->tls);
	return daemon_say_ready(d, e);
}

static void finish(struct daemon *d, bool end_jobs)
{
	auto_free char *ready = mem_printf("%s/ready.json", d->o->data);

	daemon_tell_systemd("STOPPING=1");
	images_leave(d->images);
	if (d->api)
		api_detach(d->api);
	expose_detach(d->expose);
	http_server_close(d->api_server);
	http_server_close(d->s3_server);
	expose_close(d->expose);
	if (d->store)
		store_directories_stop(d->store);
	if (d->dispatch)
		dispatch_stop(d->dispatch, end_jobs);
	dispatch_close(d->dispatch);
	api_close(d->api);
	s3_close(d->s3);
	registry_server_close(d->registry);
	authn_close(d->authn);
	services_close(d->services);
	images_close(d->images);
	mem_free(d->docker_config);
	queue_close(d->queue);
	store_close(d->store);
	notify_close(d->notify); // which the store tells of changes to its end
	auth_close(d->auth);
	db_close(d->db);
	tls_files_wipe(&d->tls);
	unlink(ready);
	file_close(d->lock);
}

enum { TLS_LOOK_S = 5 };

// Until SIGTERM or SIGINT, looking after the certificate's files meanwhile.
static int wait_for_end(struct daemon *d, const sigset_t *set)
{
	struct http_server *const servers[] = { d->s3_server, d->api_server };
	struct timespec look = { .tv_sec = TLS_LOOK_S };

	for (;;) {
		int got = sigtimedwait(set, NULL, &look);

		if (got == SIGTERM || got == SIGINT)
			return got;
		if (d->tls.cert && (got == SIGHUP || tls_files_changed(&d->tls)))
			tls_files_reload(&d->tls, servers, ARRAY_LEN(servers));
	}
}

int serve(const struct serve_options *o)
{
	struct daemon d = { .o = o, .lock = -1 };
	enum log_level level;
	struct err e = { 0 };
	sigset_t set;
	int got;

	if (!log_level_parse(o->log_level, &level)) {
		fprintf(stderr, "oscar serve: --log-level: debug, info, warn or error\n");
		return 2;
	}
	log_set_level(level);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	if (start(&d, &e) < 0) {
		fprintf(stderr, "oscar serve: %s\n", e.msg);
		finish(&d, false);
		return 1;
	}
	got = wait_for_end(&d, &set);
	log_info("serve",
		 got == SIGINT ? "stopping; jobs go back to the queue" : "leaving; jobs go on");
	finish(&d, got == SIGINT);
	return 0;
}
