// fdl: services as people describe them. Reads the service object of the REST API (JSON) and FDL files
// (YAML), checks every field, prints services with the keys in their fixed order, and knows which output
// can trigger which input.
// Owner: a service owns all that hangs on it; it does not change after it was made, but by fdl_service_set*().
// Threads: a service that nobody changes may be read from any thread.
// Errors: ERR_INVALID names the field ("input[0].path: …"; for FDL files "FILE:LINE:COLUMN: …" in front),
//   ERR_LIMIT (larger than allowed), ERR_UNSUPPORTED (understood, not offered), for files also those of
//   base/file.h.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/err.h"
#include "base/span.h"
#include "codec/json.h"

enum {
	FDL_NAME_MAX = 39,
	FDL_SCRIPT_MAX = 1 << 20,	      // bytes of a script
	FDL_DOCUMENT_MAX = (1 << 20) * 2,     // bytes of a service object or an FDL file
	FDL_IO_MAX = 32,		      // entries of input, of output
	FDL_FILTERS_MAX = 64,		      // entries of one prefix or suffix list
	FDL_ENV_MAX = 1000,		      // variables, secrets
	FDL_ENV_BYTES_MAX = 256 * 1024,	      // names and values of all of them
	FDL_MOUNTS_MAX = 16,		      // mounts
	FDL_GROUP_MAX = 64,		      // group.count
	FDL_GROUP_WAIT_MAX_S = 7 * 24 * 3600, // group.wait
	FDL_GROUP_RUN_MAX = 10000,	      // files of a run
	FDL_FOLDER_MAX = 512,		      // bytes of the part of a path after its bucket
	FDL_REFRESH_MIN_S = 10,		      // image_refresh
	FDL_TIMEOUT_MAX_S = 30 * 24 * 3600,   // timeout, wait_timeout
	FDL_KEEP_WARM_MAX = 64,
	FDL_INSTANCES_MAX = 64,		// expose.max_scale
	FDL_CALLS_MAX = 1000,		// expose.concurrency
	FDL_QUEUE_MAX = 1000000000,	// queue.max, queue.concurrency
	FDL_KEEP_JOBS_MAX = 1000000000, // keep.jobs
	FDL_KEEP_DAYS_MAX = 36500,	// keep.days, keep.logs
	FDL_PRIORITY_MAX = 100,
	FDL_WEIGHT_MAX = 1000,
};

struct arena;

// One entry of input or output.
struct fdl_io {
	const char *provider; // as `type.id`, lower-case type, never without id: "minio.default"
	const char *provider_type;   // "minio", "s3", "onedata", "webdav", "rucio"
	const char *provider_id;     // "default" for the cluster's own store
	const char *bucket;	     // first part of the path; "" where the provider has none
	const char *folder;	     // rest without slashes at its ends, "" = the whole bucket
	const char *const *prefixes; // a name must begin with one of them; none = any
	size_t prefix_count;
	const char *const *suffixes; // a name must end with one of them; none = any
	size_t suffix_count;
	// `group` of an input: so many files make one job, or fewer when the first has waited; 0 = each makes one.
	unsigned group_count;
	int64_t group_wait_s;
	// Or: all files of a run do, when nothing of it is active any more. While a job of it has failed they wait, at most
	// for group_wait_s, if `group_unfailed`.
	bool group_run, group_unfailed;
	// Or: a file whose name ends so names others, and makes a job with them when all are there, or it has waited for
	// group_wait_s; NULL = it does not.
	const char *manifest;
	// Or: a folder is the input when a file of this name comes in it; NULL = files are.
	const char *sentinel;
};

// One entry of mounts: a folder of the machine that its administrator offers by name.
struct fdl_mount {
	const char *name;
	const char *target; // where the script sees it, below /mnt; none within another
};

// One entry of devices: how many of a kind of the machine's (CDI) each job has for itself.
struct fdl_device {
	const char *kind; // "vendor.com/class"
	uint32_t count;
};
enum { FDL_DEVICES_MAX = 16 }; // of all kinds together

// A server that the service runs, to which requests are passed on.
struct fdl_expose {
	uint16_t port;		 // where it listens; 0 = the service runs none
	uint32_t min, max;	 // of its instances at once
	uint32_t calls;		 // requests at once in one of them
	bool rewrite_target;	 // it sees the whole path; else what is behind /exposed
	bool default_command;	 // it is the image's own command, not the script
	bool set_auth;		 // only who may use the service is let in
	const char *health_path; // answers 2xx or 3xx when it is ready; "" = its port answers
};

struct fdl_word {
	const char *name;
	const char *value;
};

// Ends of a job after which it may be tried again, as bits.
enum fdl_retry_on {
	FDL_RETRY_EXIT = 1 << 0,    // "exit": the script ended with a status other than 0
	FDL_RETRY_SIGNAL = 1 << 1,  // "signal"
	FDL_RETRY_OOM = 1 << 2,	    // "oom": over its memory
	FDL_RETRY_TIMEOUT = 1 << 3, // "timeout"
	FDL_RETRY_DISK = 1 << 4,    // "disk": over its output allowance
	FDL_RETRY_SETUP = 1 << 5,   // "setup": the sandbox could not be made
	FDL_RETRY_LOST = 1 << 6,    // "lost": its node or engine is gone
	FDL_RETRY_CODES = 1 << 7,   // "exit:75": with one of retry_codes
};

struct fdl_service {
	const char *name;
	const char *cluster_id;
	const char *image;
	const char *script; // line ends are LF
	const char *log_level;
	const char *token; // "" until set
	const char *owner;
	const char *namespace_name;
	const char *vo;
	const char *visibility;	     // "private", "restricted", "public"
	const char *isolation_level; // "", "SERVICE", "USER"
	const char *runtime;	     // exec driver by name, "" = the cluster's choice
	bool refresh_apply; // `image_refresh`: the registry is asked when the service is made or changed
	int64_t refresh_s;  // and every so many seconds; 0 = never
	bool skip_stage_in; // `file_stage_in`, whose meaning is inverted
	bool upload_on_failure;
	bool secrets_in_env; // `secrets_as: both`; else files alone
	bool network_host;   // `network: host`
	bool network_nat;    // `network: nat`; without both loopback only
	uint32_t cpu_millis; // 1000 = one core, at least 1
	uint64_t memory_bytes;
	uint64_t output_bytes_max; // `ephemeral_storage_request`, 0 = the cluster's default
	uint64_t log_bytes_max;	   // `log_limit`, 0 = the cluster's default
	uint32_t keep_warm;	   // sandboxes kept for calls, 0 = none
	uint32_t prepared;   // without those: sandboxes made ahead of calls, one for each, 0 = none
	int64_t idle_stop_s; // how long, without a call; at least 1
	int64_t freeze_after_s; // then nothing in an idle one runs; less than idle_stop_s; 0 = never
	struct fdl_expose expose;
	uint32_t pids_max; // 0 = the cluster's default
	uint32_t gpus;	   // `gpus`, or 1 by `enable_gpu`
	const struct fdl_device *devices;
	size_t device_count;
	uint64_t queue_max;   // `queue.max`: queued jobs, 0 = any number
	uint32_t concurrency; // `queue.concurrency`: jobs at once, 0 = any number
	int32_t priority;     // `queue.priority`, -100 to 100, among the services of one owner
	uint32_t weight;   // `queue.weight`: share beside services of the same priority, at least 1
	int64_t timeout_s; // run time, 0 = the cluster's default
	int64_t wait_timeout_s; // time in the queue, 0 = no bound
	// `keep`: of its jobs that are over, at most so many and for so long; 0 = as the server keeps them.
	uint64_t keep_jobs;
	int64_t keep_s;
	int64_t keep_logs_s;	  // and their logs only for so long
	uint32_t retry_attempts;  // attempts in all, 0 = the cluster's default, 1 = never again
	uint32_t retry_backoff_s; // before the second attempt, doubled for each further one
	unsigned retry_on;	  // bits of fdl_retry_on, 0 = the cluster's default
	uint32_t retry_codes[8];  // exit statuses as bits, with FDL_RETRY_CODES
	const struct fdl_io *inputs;
	size_t input_count;
	const struct fdl_io *outputs;
	size_t output_count;
	const struct fdl_mount *mounts;
	size_t mount_count;
	const struct fdl_io
		*mount;		  // `mount`: a folder of a bucket that the script sees; NULL = none
	const char *mount_target; // where, as targets of mounts: "BUCKET/FOLDER"
	const struct fdl_word *variables; // sorted by name
	size_t variable_count;
	const struct fdl_word *secrets; // sorted by name
	size_t secret_count;
	const char *const *allowed_users;
	size_t allowed_user_count;
	json_t *doc;	 // all of it under the table's names, unset keys absent; owned
	json_t *unknown; // paths of keys that nobody knows and that were dropped; owned list of strings
	struct fdl_memory *memory; // private
};

// Reads and checks a service object. Keys match whatever their case, null is unset, unknown keys are
// dropped and listed. `token`, `owner`, `namespace`, `labels` … are taken as they stand: whoever serves
// strangers sets them afterwards.
must_check int fdl_service_parse(struct span json, struct fdl_service **out, struct err *e);
must_check int fdl_service_from(const json_t *object, struct fdl_service **out, struct err *e);
void fdl_service_free(struct fdl_service *s);

static inline void fdl_service_free_ptr(struct fdl_service **s)
{
	fdl_service_free(*s);
}
#define auto_fdl_service at_scope_exit(fdl_service_free_ptr)

// Sets a text that the server decides: "token", "owner", "namespace", "cluster_id", "vo".
void fdl_service_set(struct fdl_service *s, const char *key, const char *value);

// Adds the server's labels (applicationId, oscar_service, owner_name, …) to those of the user.
void fdl_service_set_labels(struct fdl_service *s, const char *owner_name);

// Replaces the secrets, for an update that names none: `from` keeps its own.
void fdl_service_keep_secrets(struct fdl_service *s, const struct fdl_service *from);
bool fdl_service_names_secrets(const struct fdl_service *s);

enum fdl_print {
	FDL_PRINT_PUBLIC = 0, // secrets are empty; keys and passwords of storages are "hidden"
	FDL_PRINT_SECRETS = 1 << 0,	// with values of environment.secrets
	FDL_PRINT_CREDENTIALS = 1 << 1, // with keys of foreign storages and clusters
	FDL_PRINT_STORED = 3,		// everything: reads back as the same service
};

// The cluster's own store, printed as storage_providers.minio.default with hidden keys.
struct fdl_own_store {
	const char *endpoint; // NULL = do not print it
	bool verify;
	const char *region;
};

// The service object with every key that is printed, in the fixed order. New reference.
json_t *fdl_service_json(const struct fdl_service *s, unsigned print,
			 const struct fdl_own_store *own);

// Does the name, relative to the entry's folder, pass the entry's prefix and suffix lists?
bool fdl_io_matches(const struct fdl_io *io, struct span name);

// Is this object one that triggers the input (or belongs to the output)? *name becomes the part of its key
// after the folder. A folder's own marker ("folder/") is not.
bool fdl_io_takes(const struct fdl_io *io, struct span bucket, struct span key, struct span *name);

// Would `added` start itself again, directly or through services of `all` (one of the same name is taken
// as replaced)? 0 when not; else ERR_CONFLICT with the chain in words. Only objects of the cluster's own
// store count. Filters are taken for what they say: names that no file can have do not make a loop.
must_check int fdl_loop_check(const struct fdl_service *const *all, size_t count,
			      const struct fdl_service *added, struct err *e);
// May an output of the one start the other?
bool fdl_feeds(const struct fdl_service *from, const struct fdl_service *to);
// Several files of the input make one job.
static inline bool fdl_io_groups(const struct fdl_io *io)
{
	return io->group_count || io->group_run || io->manifest;
}

// The keys that a manifest names, a line each, with its own, each once. Names are relative to the manifest's folder, or
// with "/" in front to the input's; empty lines and lines with "#" in front are passed over. ERR_INVALID with the line's
// number: not a name below the input's folder; ERR_LIMIT. The keys live in mem.
enum {
	FDL_MANIFEST_MAX = 1 << 20,
	FDL_KEY_MAX = 1024
}; // bytes; it may name FDL_GROUP_RUN_MAX files
must_check int fdl_manifest_read(const struct fdl_io *io, struct span key, struct span text,
				 struct arena *mem, const char ***out, size_t *n, struct err *e);

// One service of an FDL file.
struct fdl_entry {
	const char *cluster; // the key it stands under
	unsigned line;
	struct fdl_service *service;
};

struct fdl_file {
	struct fdl_entry *entries;
	size_t count;
	struct fdl_memory *memory; // private
};

// Reads an FDL file strictly: an unknown field is an error with file, line, column and the nearest known
// name. `script` is a path relative to the file's folder, or the script itself when it has several lines.
// The file's storage_providers and clusters are merged into each service.
must_check int fdl_file_read(const char *path, struct fdl_file **out, struct err *e);

// As fdl_file_read for a text; `name` is what errors call it, `dir` the folder of its scripts.
must_check int fdl_file_parse(struct span text, const char *name, int dir, struct fdl_file **out,
			      struct err *e);
void fdl_file_free(struct fdl_file *f);

static inline void fdl_file_free_ptr(struct fdl_file **f)
{
	fdl_file_free(*f);
}
#define auto_fdl_file at_scope_exit(fdl_file_free_ptr)

// The name of a mount: 1 to 63 of a-z, 0-9, "-" and "_", with no sign first.
bool fdl_mount_name_ok(const char *name);

// S3's rule for names of buckets.
must_check int fdl_bucket_name_check(struct span name, struct err *e);
