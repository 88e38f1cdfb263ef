// app: main() and what joins all parts: `oscar serve`, `oscar runner`, `oscar stop`; every other word is the
// command line's (cli). The only module that knows all others.
// Threads: the main one. Errors: what stops a start is one line on stderr; the exit status is 2 when words were wrong.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/arena.h"
#include "base/err.h"
#include "codec/cdi_folder.h"
#include "dispatch/dispatch.h"
#include "http/http.h"
#include "store/store.h"

#include <sys/types.h>

// ---- serve_options.c -----------------------------------------------------------------------------------

enum {
	DIRECTORY_ROOTS_MAX = 16,
	REGISTRY_NAMES_MAX = 16,
	SERVE_MOUNTS_MAX = 32,
	SERVE_KINDS_MAX = 16,
};

struct serve_options {
	const char *data; // absolute
	const char *db;	  // database folder, NULL = DATA
	const char *
		content[STORE_DIRS_MAX + 1]; // content folders, ends with NULL; none = DATA/content
	unsigned content_count;
	const char *listen, *s3_listen;
	const char *user; // the daemon's, when started as root; NULL = oscar or nobody
	const char *log_level;
	bool nat;			  // services may have a network with a way out
	bool host_network;		  // services may have the machine's network
	bool oci;			  // an OCI runtime makes the sandboxes:
	const char *oci_runtime;	  // its name or path, NULL without
	const char **insecure_registries; // ends with NULL
	const char **registry_names;  // what our own is called, beside this machine; ends with NULL
	const char **directory_roots; // where buckets may be directories; ends with NULL
	struct dispatch_mount mounts[SERVE_MOUNTS_MAX]; // folders that services may have
	unsigned mount_count;
	const char *cdi[CDI_FOLDERS_MAX + 1]; // absolute; ends with NULL, as the next list
	unsigned cdi_count;
	const char *gpu_kind; // NULL = as dispatch has it
	const char *device_kinds[SERVE_KINDS_MAX + 1];
	unsigned device_kind_count;
	unsigned mount_objects; // of a bucket that is mounted; 0 = as dispatch has it
	unsigned workers;
	const char *s3_domains;		// with commas; NULL = path style only
	const char *tls_cert, *tls_key; // absolute; both or none
	// Limits of both ports; 0 = as http has them.
	unsigned connections, address_max, head_s, body_rate;
	unsigned head_max;
	unsigned keep_jobs, keep_job_days; // 0 = all, for ever
	unsigned keep_log_days;		   // 0 = as long as their jobs
	unsigned keep_feed;		   // 0 = as dispatch has it
	unsigned jobs_max;		   // at once; 0 = as dispatch has it
	unsigned instances_max;		   // of exposed services; 0 = as expose has it
	unsigned shells_max, shell_idle_s, shell_time_s; // 0 shells: none may be opened
	uint32_t cpu_millis_max;
	uint64_t memory_bytes_max; // what running jobs may ask for; 0 = what the machine has
	uint64_t image_size_max;   // of images; 0 = as image has them
	unsigned image_files_max;
	unsigned upload_days, lifecycle_day_s; // 0 = as the store has them
	unsigned free_low, free_stop;	       // percent; 0 = as the store has them
	unsigned object_cache_mib;	       // likewise
	bool quiet;
};

// 0 = go on, 1 = done (help was asked for), -1 = wrong usage (the text is on stderr).
int serve_options_parse(int argc, char **argv, struct arena *mem, struct serve_options *out);

// ---- stop.c --------------------------------------------------------------------------------------------

// `oscar stop`
int stop_options_run(int argc, char **argv);

// ---- mounts.c ------------------------------------------------------------------------------------------

// Adds "NAME=/FOLDER[:ro]"; -1 with what is wrong on stderr.
int mounts_add(struct serve_options *o, struct arena *mem, const char *text);
// When all options are there: none of the folders touches the data folder. ERR_INVALID.
must_check int mounts_check(const struct serve_options *o, struct err *e);
const struct dispatch_mount *mounts_find(const struct serve_options *o,
					 const char *name); // or NULL

// ---- runner_cmd.c --------------------------------------------------------------------------------------

// `oscar runner`: becomes the program oscar-runner beside this one, a static one of a few pages, since every job
// begins with a copy of it; without it, this process is the runner.
int runner_cmd(int argc, char **argv);

// ---- credentials.c -------------------------------------------------------------------------------------

struct credentials {
	char username[65], password[129], access_key[129], secret_key[129];
	bool generated; // made now
	char path[4096];
};
// From the environment (OSCAR_USERNAME, OSCAR_PASSWORD, MINIO_ACCESS_KEY, MINIO_SECRET_KEY), else from
// DATA/credentials.json, which is made with random ones (mode 0600) when it is missing.
must_check int credentials_load(const char *data, struct credentials *out, struct err *e);

// ---- rights.c ------------------------------------------------------------------------------------------

struct rights {
	uid_t uid;
	gid_t gid;
	bool drop; // we are root and shall not stay it
};
must_check int rights_find(const char *user, struct rights *out, struct err *e);
// Hands a folder that the daemon must own to its user.
must_check int rights_give(const struct rights *r, const char *path, struct err *e);
// For good: user, group, no new privileges, no core files.
must_check int rights_drop(const struct rights *r, struct err *e);

// ---- mux.c ---------------------------------------------------------------------------------------------

// Three handlers behind one port, chosen by the path.
struct mux {
	struct http_handler api, registry, expose;
};
struct http_handler mux_handler(struct mux *m); // `m` outlives the server

// ---- tls.c ---------------------------------------------------------------------------------------------

struct http_server;
struct tls_seen {
	int64_t s, ns;
	uint64_t inode;
	int64_t size;
};
struct tls_files {
	const char *cert, *key; // paths
	char *cert_pem, *key_pem;
	struct tls_seen seen[2];
};
// Reads both; on failure the texts are as before.
must_check int tls_files_load(struct tls_files *t, struct err *e);
void tls_files_wipe(struct tls_files *t); // the texts
bool tls_files_changed(const struct tls_files *t);
// Reads both again and gives them to the servers; what fails is logged, and the old certificate stays.
void tls_files_reload(struct tls_files *t, struct http_server *const *servers, size_t n);

// ---- lock.c --------------------------------------------------------------------------------------------

// Takes the data folder for this process alone: a second daemon on it would ruin it. The descriptor is the
// caller's, also on failure (-1 when there is none); closing it gives the folder back.
must_check int data_lock(const char *data, int *fd, struct err *e);

// ---- check.c -------------------------------------------------------------------------------------------

int check_run(int argc, char **argv); // the exit status

// ---- place.c -------------------------------------------------------------------------------------------

// The data folder when none is named: /var/lib/oscar for root, else the XDG state folder.
const char *default_data_dir(struct arena *mem);
// Those with specifications of devices, likewise; the count.
unsigned default_cdi_folders(const char *out[static 2]);
// An absolute path without needing it to exist. NULL when the working directory is unknown.
const char *absolute_path(struct arena *mem, const char *path);
// ERR_NOT_FOUND, or ERR_IO with why it cannot be told.
must_check int must_exist(const char *path, struct err *e);

// The folders of an installation, for commands that work on them without a daemon; as `oscar serve` names them.
struct place {
	const char *data, *db, *user;		 // absolute; db NULL = data
	const char *content[STORE_DIRS_MAX + 1]; // ends with NULL
	unsigned content_count;
};
#define PLACE_OPTIONS                                                                              \
	{ "data", 1, NULL, 'd' }, { "db", 1, NULL, 'b' }, { "content", 1, NULL, 'c' },             \
	{                                                                                          \
		"user", 1, NULL, 'u'                                                               \
	}
// Takes one of PLACE_OPTIONS; false when it is none of them, or one --content too many.
bool place_option(struct place *p, struct arena *mem, int option, const char *arg);
const char *place_database(struct arena *mem, const struct place *p);

// ---- backup.c ------------------------------------------------------------------------------------------

int backup_run(int argc, char **argv); // the exit status
int restore_run(int argc, char **argv);

// ---- serve.c -------------------------------------------------------------------------------------------

int serve(const struct serve_options *o);
