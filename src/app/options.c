// SPDX-License-Identifier: Apache-2.0
#include "app/app.h"
#include "base/file.h"
#include "base/mem.h"
#include "fdl/quantity.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

static const char serve_help[] =
	"Usage: oscar serve [OPTION]...\n"
	"Object store, event queue, runner and REST API in one process.\n"
	"\n"
	"  --data DIR            where everything is kept (root: /var/lib/oscar,\n"
	"                        else ~/.local/state/oscar)\n"
	"  --listen HOST:PORT    REST API and web (default 127.0.0.1:8080; port 0: any free one)\n"
	"  --s3-listen HOST:PORT S3 (default 127.0.0.1:9000)\n"
	"  --db DIR              the database apart from the data; not on a network file system\n"
	"  --content DIR         object contents apart from the data (repeatable: each new one\n"
	"                        goes where there is most room; folders may be added later)\n"
	"  --free-low PERCENT    below it no new job starts (default 5)\n"
	"  --free-stop PERCENT   below it nothing is stored; reading and deleting go on\n"
	"                        (default 2); of bytes and of inodes\n"
	"  --object-cache MIB    memory for small objects that are read often (default 8)\n"
	"  --user NAME           as root: the user the daemon becomes (default: oscar, else "
	"nobody)\n"
	"  --insecure-registry HOST[:PORT]\n"
	"                        ask this image registry by plain HTTP (repeatable; this "
	"machine's\n"
	"                        own always is)\n"
	"  --upload-days N       abort multipart uploads that are not completed after N days\n"
	"                        (default 7)\n"
	"  --lifecycle-day SECONDS\n"
	"                        for tests: what lifecycle rules count as a day (default 86400)\n"
	"  --directory-root DIR    buckets may be directories below it; may be repeated\n"
	"  --mount NAME=/FOLDER    services may see the folder, read-only (`mounts`); may be "
	"repeated\n"
	"  --mount-objects N       objects of a bucket that a service may mount (default 10000)\n"
	"  --registry-name HOST[:PORT]\n"
	"                        what this machine's own registry is called by others "
	"(repeatable)\n"
	"  --s3-domain DOMAIN[,DOMAIN]...\n"
	"                        S3 in virtual-host style: bucket.DOMAIN\n"
	"  --tls-cert FILE, --tls-key FILE\n"
	"                        HTTPS on both ports (PEM; the certificate may be a chain); read\n"
	"                        again on SIGHUP and when a file changed\n"
	"  --max-connections N   a port (default 8192)\n"
	"  --max-per-address N   connections from one address (default: no bound)\n"
	"  --max-header BYTES    request line and headers (default 65536)\n"
	"  --header-timeout S    a request's headers, once begun (default 30)\n"
	"  --min-body-rate N     bytes a second that a body must bring after its first minute\n"
	"                        (default 1024)\n"
	"  --nat                 services may say `network: nat`: a way out, but not to this "
	"machine\n"
	"  --host-network        services may say `network: host`: all that this machine reaches,\n"
	"                        its own services among it\n"
	"  --runtime RUNTIME     who makes sandboxes: sandbox (oscar itself, the default) or oci\n"
	"  --oci-runtime crun|runc|PATH\n"
	"                        which OCI runtime (default crun)\n"
	"  --max-jobs N          jobs at once (default 256)\n"
	"  --max-instances N     servers of exposed services at once (default 64)\n"
	"  --max-shells N        shells in jobs' sandboxes at once (default 16, 0: none)\n"
	"  --shell-idle S        they end when nothing was typed or printed for so long\n"
	"                        (default 1800)\n"
	"  --shell-time S        and after so long in any case (default 14400)\n"
	"  --max-cpu N           cores that running jobs may ask for (default: all)\n"
	"  --max-memory SIZE     memory likewise\n"
	"  --max-image-size SIZE an image, packed as well as unpacked (default 64Gi)\n"
	"  --max-image-files N   files and folders of an image (default 2000000)\n"
	"  --keep-jobs N         finished jobs that are kept with their logs (default 1000000,\n"
	"                        0: all)\n"
	"  --keep-job-days N     and for how long (default 30, 0: for ever)\n"
	"  --keep-feed N         entries of the event feed that are kept (default 1000000)\n"
	"  --log-level LEVEL     debug, info, warn or error (default info)\n"
	"\n"
	"Credentials come from OSCAR_USERNAME, OSCAR_PASSWORD, MINIO_ACCESS_KEY and\n"
	"MINIO_SECRET_KEY, else from DIR/credentials.json, made at the first start.\n"
	"Those of image registries come from DOCKER_CONFIG/config.json, when it is set.\n"
	"SIGTERM ends the daemon and leaves its jobs running; SIGINT (or `oscar stop`)\n"
	"ends the jobs as well: they go back to the queue.\n"
	"\n"
	"Examples:\n"
	"  oscar serve\n"
	"  oscar serve --data /srv/oscar --listen 0.0.0.0:8080 --s3-listen 0.0.0.0:9000\n";

const char *absolute_path(struct arena *mem, const char *path)
{
	char cwd[4096];

	if (path[0] == '/')
		return arena_strdup(mem, path);
	return getcwd(cwd, sizeof(cwd)) ? arena_printf(mem, "%s/%s", cwd, path) : NULL;
}

int must_exist(const char *path, struct err *e)
{
	if (access(path, F_OK) == 0)
		return 0;
	return errno == ENOENT ? err_set(e, ERR_NOT_FOUND, "%s does not exist", path)
			       : err_sys(e, ERR_IO, errno, "look for %s", path);
}

const char *default_data_dir(struct arena *mem)
{
	const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	const struct passwd *pw;

	if (geteuid() == 0)
		return "/var/lib/oscar";
	if (state && state[0] == '/')
		return arena_printf(mem, "%s/oscar", state);
	if (!home || !*home) {
		pw = getpwuid(geteuid());
		home = pw ? pw->pw_dir : "/tmp";
	}
	return arena_printf(mem, "%s/.local/state/oscar", home);
}

enum {
	OPT_DATA = 1,
	OPT_DB,
	OPT_CONTENT,
	OPT_LISTEN,
	OPT_S3,
	OPT_USER,
	OPT_LEVEL,
	OPT_WORKERS,
	OPT_INSECURE,
	OPT_UPLOAD_DAYS,
	OPT_DAY,
	OPT_FREE_LOW,
	OPT_OBJECT_CACHE,
	OPT_FREE_STOP,
	OPT_REGISTRY,
	OPT_DIRECTORY_ROOT,
	OPT_MOUNT,
	OPT_DOMAIN,
	OPT_TLS_CERT,
	OPT_TLS_KEY,
	OPT_CONNECTIONS,
	OPT_PER_ADDRESS,
	OPT_HEAD_MAX,
	OPT_HEAD_S,
	OPT_BODY_RATE,
	OPT_NAT,
	OPT_HOST_NETWORK,
	OPT_RUNTIME,
	OPT_OCI_RUNTIME,
	OPT_MAX_JOBS,
	OPT_MOUNT_OBJECTS,
	OPT_MAX_INSTANCES,
	OPT_MAX_SHELLS,
	OPT_SHELL_IDLE,
	OPT_SHELL_TIME,
	OPT_MAX_CPU,
	OPT_MAX_MEMORY,
	OPT_IMAGE_SIZE,
	OPT_IMAGE_FILES,
	OPT_KEEP_JOBS,
	OPT_KEEP_DAYS,
	OPT_KEEP_FEED,
	OPT_HELP
};

// The argument of the option at hand, from 1 on.
static bool take_number(const char *option, unsigned max, unsigned *out)
{
	uint64_t n;

	if (!span_to_u64(span_of(optarg), &n) || !n || n > max) {
		fprintf(stderr, "oscar serve: %s: a number from 1 to %u\n", option, max);
		return false;
	}
	*out = (unsigned)n;
	return true;
}

// The same from 0 on.
static bool take_count(const char *option, unsigned max, unsigned *out)
{
	if (strcmp(optarg, "0") != 0)
		return take_number(option, max, out);
	*out = 0;
	return true;
}

static bool take_size(const char *option, uint64_t *out)
{
	struct err e = { 0 };

	if (fdl_quantity_units(span_of(optarg), out, &e) == 0 && *out)
		return true;
	fprintf(stderr, "oscar serve: %s: %s\n", option, e.code ? e.msg : "more than 0");
	return false;
}

// Options of jobs and images; false as below.
static bool take_job_option(int c, struct serve_options *out)
{
	uint64_t milli = 0;
	struct err e = { 0 };

	switch (c) {
	case OPT_NAT:
		out->nat = true;
		return true;
	case OPT_HOST_NETWORK:
		out->host_network = true;
		return true;
	case OPT_RUNTIME:
		out->oci = strcmp(optarg, "oci") == 0;
		if (out->oci || strcmp(optarg, "sandbox") == 0)
			return true;
		fprintf(stderr, "oscar serve: --runtime %s: want sandbox or oci\n", optarg);
		return false;
	case OPT_OCI_RUNTIME:
		out->oci_runtime = optarg;
		return true;
	case OPT_MOUNT_OBJECTS:
		return take_number("--mount-objects", 10000000, &out->mount_objects);
	case OPT_MAX_JOBS:
		return take_number("--max-jobs", 100000, &out->jobs_max);
	case OPT_MAX_INSTANCES:
		return take_number("--max-instances", 1000, &out->instances_max);
	case OPT_MAX_SHELLS:
		return take_count("--max-shells", 1000, &out->shells_max);
	case OPT_SHELL_IDLE:
		return take_number("--shell-idle", 30 * 86400, &out->shell_idle_s);
	case OPT_SHELL_TIME:
		return take_number("--shell-time", 30 * 86400, &out->shell_time_s);
	case OPT_MAX_CPU:
		if (fdl_quantity_milli(span_of(optarg), &milli, &e) == 0 && milli &&
		    milli <= 100000000) {
			out->cpu_millis_max = (uint32_t)milli;
			return true;
		}
		fprintf(stderr, "oscar serve: --max-cpu: a number of cores\n");
		return false;
	case OPT_MAX_MEMORY:
		return take_size("--max-memory", &out->memory_bytes_max);
	case OPT_IMAGE_SIZE:
		return take_size("--max-image-size", &out->image_size_max);
	case OPT_IMAGE_FILES:
		return take_number("--max-image-files", 100000000, &out->image_files_max);
	case OPT_KEEP_JOBS:
		return take_count("--keep-jobs", 2000000000, &out->keep_jobs);
	case OPT_KEEP_DAYS:
		return take_count("--keep-job-days", 36500, &out->keep_job_days);
	case OPT_KEEP_FEED:
		return take_number("--keep-feed", 2000000000, &out->keep_feed);
	default:
		fprintf(stderr, "Try `oscar serve --help`.\n");
		return false;
	}
}

// Options of the listeners; false when it is none of them or its value is wrong, which is on stderr.
static bool take_listener_option(int c, struct arena *mem, struct serve_options *out)
{
	switch (c) {
	case OPT_DOMAIN:
		out->s3_domains = optarg;
		return true;
	case OPT_TLS_CERT:
		out->tls_cert = absolute_path(mem, optarg);
		return true;
	case OPT_TLS_KEY:
		out->tls_key = absolute_path(mem, optarg);
		return true;
	case OPT_CONNECTIONS:
		return take_number("--max-connections", 1000000, &out->connections);
	case OPT_PER_ADDRESS:
		return take_number("--max-per-address", 1000000, &out->address_max);
	case OPT_HEAD_MAX:
		return take_number("--max-header", 16 << 20, &out->head_max);
	case OPT_HEAD_S:
		return take_number("--header-timeout", 86400, &out->head_s);
	case OPT_BODY_RATE:
		return take_number("--min-body-rate", 1 << 30, &out->body_rate);
	default:
		return take_job_option(c, out);
	}
}

// Without links, as the paths of buckets are compared with it; NULL when it is none, which is on stderr.
static const char *real_directory(struct arena *mem, const char *path)
{
	char *real = realpath(path, NULL);
	const char *kept = real ? arena_strdup(mem, real) : NULL;

	if (!real)
		fprintf(stderr, "oscar serve: --directory-root %s: %s\n", path, strerror(errno));
	free(real);
	return kept;
}

int serve_options_parse(int argc, char **argv, struct arena *mem, struct serve_options *out)
{
	static const struct option longs[] = {
		{ "data", 1, NULL, OPT_DATA },
		{ "db", 1, NULL, OPT_DB },
		{ "content", 1, NULL, OPT_CONTENT },
		{ "listen", 1, NULL, OPT_LISTEN },
		{ "s3-listen", 1, NULL, OPT_S3 },
		{ "user", 1, NULL, OPT_USER },
		{ "log-level", 1, NULL, OPT_LEVEL },
		{ "workers", 1, NULL, OPT_WORKERS },
		{ "s3-domain", 1, NULL, OPT_DOMAIN },
		{ "tls-cert", 1, NULL, OPT_TLS_CERT },
		{ "tls-key", 1, NULL, OPT_TLS_KEY },
		{ "max-connections", 1, NULL, OPT_CONNECTIONS },
		{ "max-per-address", 1, NULL, OPT_PER_ADDRESS },
		{ "max-header", 1, NULL, OPT_HEAD_MAX },
		{ "header-timeout", 1, NULL, OPT_HEAD_S },
		{ "min-body-rate", 1, NULL, OPT_BODY_RATE },
		{ "nat", 0, NULL, OPT_NAT },
		{ "host-network", 0, NULL, OPT_HOST_NETWORK },
		{ "runtime", 1, NULL, OPT_RUNTIME },
		{ "oci-runtime", 1, NULL, OPT_OCI_RUNTIME },
		{ "max-jobs", 1, NULL, OPT_MAX_JOBS },
		{ "mount-objects", 1, NULL, OPT_MOUNT_OBJECTS },
		{ "max-instances", 1, NULL, OPT_MAX_INSTANCES },
		{ "max-shells", 1, NULL, OPT_MAX_SHELLS },
		{ "shell-idle", 1, NULL, OPT_SHELL_IDLE },
		{ "shell-time", 1, NULL, OPT_SHELL_TIME },
		{ "max-cpu", 1, NULL, OPT_MAX_CPU },
		{ "max-memory", 1, NULL, OPT_MAX_MEMORY },
		{ "max-image-size", 1, NULL, OPT_IMAGE_SIZE },
		{ "max-image-files", 1, NULL, OPT_IMAGE_FILES },
		{ "keep-jobs", 1, NULL, OPT_KEEP_JOBS },
		{ "keep-job-days", 1, NULL, OPT_KEEP_DAYS },
		{ "keep-feed", 1, NULL, OPT_KEEP_FEED },
		{ "help", 0, NULL, OPT_HELP },
		{ "insecure-registry", 1, NULL, OPT_INSECURE },
		{ "upload-days", 1, NULL, OPT_UPLOAD_DAYS },
		{ "lifecycle-day", 1, NULL, OPT_DAY },
		{ "free-low", 1, NULL, OPT_FREE_LOW },
		{ "object-cache", 1, NULL, OPT_OBJECT_CACHE },
		{ "free-stop", 1, NULL, OPT_FREE_STOP },
		{ "registry-name", 1, NULL, OPT_REGISTRY },
		{ "directory-root", 1, NULL, OPT_DIRECTORY_ROOT },
		{ "mount", 1, NULL, OPT_MOUNT },
		{ 0 },
	};
	const char **insecure = arena_alloc(mem, ((size_t)argc + 1) * sizeof(*insecure));
	const char **names = arena_alloc(mem, (REGISTRY_NAMES_MAX + 1) * sizeof(*names));
	const char **roots = arena_alloc(mem, (DIRECTORY_ROOTS_MAX + 1) * sizeof(*roots));
	size_t insecure_count = 0, name_count = 0, root_count = 0;
	int c;

	*out = (struct serve_options){ .listen = "127.0.0.1:8080",
				       .s3_listen = "127.0.0.1:9000",
				       .log_level = "info",
				       .keep_jobs = 1000000,
				       .shells_max = 16,
				       .shell_idle_s = 1800,
				       .shell_time_s = 14400,
				       .keep_job_days = 30,
				       .insecure_registries = insecure,
				       .registry_names = names,
				       .directory_roots = roots };
	optind = 0;
	while ((c = getopt_long(argc, argv, "h", longs, NULL)) >= 0) {
		switch (c) {
		case OPT_DATA:
			out->data = absolute_path(mem, optarg);
			break;
		case OPT_DB:
			out->db = absolute_path(mem, optarg);
			break;
		case OPT_CONTENT:
			if (out->content_count == STORE_DIRS_MAX) {
				fprintf(stderr, "oscar serve: --content: at most %d\n",
					STORE_DIRS_MAX);
				return -1;
			}
			out->content[out->content_count++] = absolute_path(mem, optarg);
			break;
		case OPT_LISTEN:
			out->listen = optarg;
			break;
		case OPT_S3:
			out->s3_listen = optarg;
			break;
		case OPT_USER:
			out->user = optarg;
			break;
		case OPT_LEVEL:
			out->log_level = optarg;
			break;
		case OPT_INSECURE:
			insecure[insecure_count++] = optarg;
			break;
		case OPT_DIRECTORY_ROOT:
			if (root_count == DIRECTORY_ROOTS_MAX ||
			    !(roots[root_count] = real_directory(mem, optarg)))
				return -1;
			root_count++;
			break;
		case OPT_MOUNT:
			if (mounts_add(out, mem, optarg) < 0)
				return -1;
			break;
		case OPT_REGISTRY:
			if (name_count == REGISTRY_NAMES_MAX) {
				fprintf(stderr, "oscar serve: --registry-name: at most %d\n",
					REGISTRY_NAMES_MAX);
				return -1;
			}
			names[name_count++] = optarg;
			break;
		case OPT_WORKERS:
			if (!take_number("--workers", 256, &out->workers))
				return -1;
			break;
		case OPT_UPLOAD_DAYS:
			if (!take_number("--upload-days", 36500, &out->upload_days))
				return -1;
			break;
		case OPT_OBJECT_CACHE:
			if (!take_number("--object-cache", 65536, &out->object_cache_mib))
				return -1;
			break;
		case OPT_FREE_LOW:
			if (!take_number("--free-low", 99, &out->free_low))
				return -1;
			break;
		case OPT_FREE_STOP:
			if (!take_number("--free-stop", 99, &out->free_stop))
				return -1;
			break;
		case OPT_DAY:
			if (!take_number("--lifecycle-day", 86400, &out->lifecycle_day_s))
				return -1;
			break;
		case OPT_HELP:
		case 'h':
			fputs(serve_help, stdout);
			return 1;
		default:
			if (!take_listener_option(c, mem, out))
				return -1;
			break;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "oscar serve: %s: options only\n", argv[optind]);
		return -1;
	}
	if (!out->tls_cert != !out->tls_key) {
		fprintf(stderr, "oscar serve: --tls-cert and --tls-key go together\n");
		return -1;
	}
	if (out->oci_runtime && !out->oci) {
		fprintf(stderr, "oscar serve: --oci-runtime is for --runtime oci\n");
		return -1;
	}
	if (out->oci && !out->oci_runtime)
		out->oci_runtime = "crun";
	if (!out->data)
		out->data = default_data_dir(mem);
	return 0;
}
