// SPDX-License-Identifier: Apache-2.0
// serve_options: the words behind `oscar serve`, from one table.
#include "app/app.h"
#include "fdl/quantity.h"

#include <errno.h>
#include <getopt.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

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
	"  --cdi-dir DIR           specifications of devices (CDI: GPUs and others); may be "
	"repeated,\n"
	"                        the later wins (default: /etc/cdi and /var/run/cdi)\n"
	"  --gpu-kind KIND         which of them are GPUs for services (`enable_gpu`, `gpus`; "
	"default:\n"
	"                        the first kind of the class gpu)\n"
	"  --device-kind KIND      a kind that services may have besides (`devices`); may be "
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
	"  --keep-log-days N     their logs, when these shall go before (default: with them)\n"
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

struct parse {
	struct arena *mem;
	struct serve_options *o;
	const char *name; // of the option at hand, and what it says
	const char *text;
	size_t words; // on the command line
};

// What is wrong goes to stderr. Both return false.
static bool wrong(const struct parse *p, const char *what)
{
	fprintf(stderr, "oscar serve: --%s: %s\n", p->name, what);
	return false;
}

static bool wrong_value(const struct parse *p, const char *what)
{
	fprintf(stderr, "oscar serve: --%s %s: %s\n", p->name, p->text, what);
	return false;
}

// ---- what options hold ---------------------------------------------------------------------------------

// Puts a text behind those of a list that ends with NULL.
static bool add_text(const struct parse *p, const char **list, size_t max, const char *text)
{
	size_t n = 0;

	while (list[n])
		n++;
	if (n == max)
		return wrong(p, arena_printf(p->mem, "at most %zu", max));
	list[n] = text;
	return true;
}

static bool take_content(const struct parse *p)
{
	p->o->content_count++;
	return add_text(p, p->o->content, STORE_DIRS_MAX, absolute_path(p->mem, p->text));
}

static bool take_insecure(const struct parse *p)
{
	return add_text(p, p->o->insecure_registries, p->words, p->text);
}

static bool take_registry_name(const struct parse *p)
{
	return add_text(p, p->o->registry_names, REGISTRY_NAMES_MAX, p->text);
}

// Without links, as the paths of buckets are compared with it.
static bool take_directory_root(const struct parse *p)
{
	char *real = realpath(p->text, NULL);
	const char *kept = real ? arena_strdup(p->mem, real) : NULL;

	if (!kept)
		return wrong_value(p, strerror(errno));
	free(real);
	return add_text(p, p->o->directory_roots, DIRECTORY_ROOTS_MAX, kept);
}

static bool take_mount(const struct parse *p)
{
	return mounts_add(p->o, p->mem, p->text) == 0;
}

static bool take_cdi_folder(const struct parse *p)
{
	p->o->cdi_count++;
	return add_text(p, p->o->cdi, CDI_FOLDERS_MAX, absolute_path(p->mem, p->text));
}

static bool kind_ok(const struct parse *p)
{
	return cdi_kind_ok(span_of(p->text)) ||
	       wrong_value(p, "want a kind such as vendor.com/class");
}

static bool take_gpu_kind(const struct parse *p)
{
	p->o->gpu_kind = p->text;
	return kind_ok(p);
}

static bool take_device_kind(const struct parse *p)
{
	p->o->device_kind_count++;
	return kind_ok(p) && add_text(p, p->o->device_kinds, SERVE_KINDS_MAX, p->text);
}

static bool take_runtime(const struct parse *p)
{
	p->o->oci = strcmp(p->text, "oci") == 0;
	return p->o->oci || strcmp(p->text, "sandbox") == 0 ||
	       wrong_value(p, "want sandbox or oci");
}

static bool take_cores(const struct parse *p)
{
	uint64_t milli = 0;
	struct err e = { 0 };

	if (fdl_quantity_milli(span_of(p->text), &milli, &e) < 0 || !milli || milli > 100000000)
		return wrong(p, "a number of cores");
	p->o->cpu_millis_max = (uint32_t)milli;
	return true;
}

// ---- the table -----------------------------------------------------------------------------------------

enum kind { FLAG, TEXT, PATH, NUMBER, SIZE, OTHER };

static const struct rule {
	const char *name;
	enum kind kind;
	size_t at;	   // of its field
	unsigned min, max; // of a number
	bool (*take)(const struct parse *p);
} rules[] = {
#define AT(field) offsetof(struct serve_options, field)
	{ "data", PATH, AT(data), 0, 0, NULL },
	{ "db", PATH, AT(db), 0, 0, NULL },
	{ "content", OTHER, 0, 0, 0, take_content },
	{ "listen", TEXT, AT(listen), 0, 0, NULL },
	{ "s3-listen", TEXT, AT(s3_listen), 0, 0, NULL },
	{ "user", TEXT, AT(user), 0, 0, NULL },
	{ "log-level", TEXT, AT(log_level), 0, 0, NULL },
	{ "workers", NUMBER, AT(workers), 1, 256, NULL },
	{ "object-cache", NUMBER, AT(object_cache_mib), 1, 65536, NULL },
	{ "free-low", NUMBER, AT(free_low), 1, 99, NULL },
	{ "free-stop", NUMBER, AT(free_stop), 1, 99, NULL },
	{ "upload-days", NUMBER, AT(upload_days), 1, 36500, NULL },
	{ "lifecycle-day", NUMBER, AT(lifecycle_day_s), 1, 86400, NULL },
	{ "insecure-registry", OTHER, 0, 0, 0, take_insecure },
	{ "registry-name", OTHER, 0, 0, 0, take_registry_name },
	{ "directory-root", OTHER, 0, 0, 0, take_directory_root },
	{ "mount", OTHER, 0, 0, 0, take_mount },
	{ "cdi-dir", OTHER, 0, 0, 0, take_cdi_folder },
	{ "gpu-kind", OTHER, 0, 0, 0, take_gpu_kind },
	{ "device-kind", OTHER, 0, 0, 0, take_device_kind },
	{ "mount-objects", NUMBER, AT(mount_objects), 1, 10000000, NULL },
	{ "s3-domain", TEXT, AT(s3_domains), 0, 0, NULL },
	{ "tls-cert", PATH, AT(tls_cert), 0, 0, NULL },
	{ "tls-key", PATH, AT(tls_key), 0, 0, NULL },
	{ "max-connections", NUMBER, AT(connections), 1, 1000000, NULL },
	{ "max-per-address", NUMBER, AT(address_max), 1, 1000000, NULL },
	{ "max-header", NUMBER, AT(head_max), 1, 16 << 20, NULL },
	{ "header-timeout", NUMBER, AT(head_s), 1, 86400, NULL },
	{ "min-body-rate", NUMBER, AT(body_rate), 1, 1 << 30, NULL },
	{ "nat", FLAG, AT(nat), 0, 0, NULL },
	{ "host-network", FLAG, AT(host_network), 0, 0, NULL },
	{ "runtime", OTHER, 0, 0, 0, take_runtime },
	{ "oci-runtime", TEXT, AT(oci_runtime), 0, 0, NULL },
	{ "max-jobs", NUMBER, AT(jobs_max), 1, 100000, NULL },
	{ "max-instances", NUMBER, AT(instances_max), 1, 1000, NULL },
	{ "max-shells", NUMBER, AT(shells_max), 0, 1000, NULL },
	{ "shell-idle", NUMBER, AT(shell_idle_s), 1, 30 * 86400, NULL },
	{ "shell-time", NUMBER, AT(shell_time_s), 1, 30 * 86400, NULL },
	{ "max-cpu", OTHER, 0, 0, 0, take_cores },
	{ "max-memory", SIZE, AT(memory_bytes_max), 0, 0, NULL },
	{ "max-image-size", SIZE, AT(image_size_max), 0, 0, NULL },
	{ "max-image-files", NUMBER, AT(image_files_max), 1, 100000000, NULL },
	{ "keep-jobs", NUMBER, AT(keep_jobs), 0, 2000000000, NULL },
	{ "keep-job-days", NUMBER, AT(keep_job_days), 0, 36500, NULL },
	{ "keep-log-days", NUMBER, AT(keep_log_days), 0, 36500, NULL },
	{ "keep-feed", NUMBER, AT(keep_feed), 1, 2000000000, NULL },
#undef AT
};

enum { FIRST = 256, HELP = FIRST + ARRAY_LEN(rules) }; // codes of the long options

static bool take_number(const struct parse *p, const struct rule *r, unsigned *out)
{
	uint64_t n;

	if (!span_to_u64(span_of(p->text), &n) || n < r->min || n > r->max)
		return wrong(p, arena_printf(p->mem, "a number from %u to %u", r->min, r->max));
	*out = (unsigned)n;
	return true;
}

static bool take_size(const struct parse *p, uint64_t *out)
{
	struct err e = { 0 };

	if (fdl_quantity_units(span_of(p->text), out, &e) == 0 && *out)
		return true;
	return wrong(p, e.code ? e.msg : "more than 0");
}

static bool take(const struct parse *p, const struct rule *r)
{
	void *field = (char *)p->o + r->at;

	switch (r->kind) {
	case FLAG:
		*(bool *)field = true;
		return true;
	case TEXT:
		*(const char **)field = p->text;
		return true;
	case PATH:
		*(const char **)field = absolute_path(p->mem, p->text);
		return true;
	case NUMBER:
		return take_number(p, r, field);
	case SIZE:
		return take_size(p, field);
	case OTHER:
		return r->take(p);
	}
	return false;
}

// ---- reading -------------------------------------------------------------------------------------------

static struct serve_options defaults(struct arena *mem, size_t words)
{
	return (struct serve_options){
		.listen = "127.0.0.1:8080",
		.s3_listen = "127.0.0.1:9000",
		.log_level = "info",
		.keep_jobs = 1000000,
		.keep_job_days = 30,
		.shells_max = 16,
		.shell_idle_s = 1800,
		.shell_time_s = 14400,
		.insecure_registries = arena_alloc(mem, (words + 1) * sizeof(char *)),
		.registry_names = arena_alloc(mem, (REGISTRY_NAMES_MAX + 1) * sizeof(char *)),
		.directory_roots = arena_alloc(mem, (DIRECTORY_ROOTS_MAX + 1) * sizeof(char *)),
	};
}

static void make_longs(struct option longs[static ARRAY_LEN(rules) + 2])
{
	for (size_t i = 0; i < ARRAY_LEN(rules); i++)
		longs[i] = (struct option){ rules[i].name, rules[i].kind != FLAG, NULL,
					    FIRST + (int)i };
	longs[ARRAY_LEN(rules)] = (struct option){ "help", 0, NULL, HELP };
	longs[ARRAY_LEN(rules) + 1] = (struct option){ 0 };
}

// What options say of each other; 0, or -1 when it is wrong, which is on stderr.
static int settle(struct arena *mem, struct serve_options *o)
{
	if (!o->tls_cert != !o->tls_key) {
		fprintf(stderr, "oscar serve: --tls-cert and --tls-key go together\n");
		return -1;
	}
	if (o->oci_runtime && !o->oci) {
		fprintf(stderr, "oscar serve: --oci-runtime is for --runtime oci\n");
		return -1;
	}
	if (o->oci && !o->oci_runtime)
		o->oci_runtime = "crun";
	if (!o->cdi_count)
		o->cdi_count = default_cdi_folders(o->cdi);
	if (!o->data)
		o->data = default_data_dir(mem);
	return 0;
}

int serve_options_parse(int argc, char **argv, struct arena *mem, struct serve_options *out)
{
	struct option longs[ARRAY_LEN(rules) + 2];
	struct parse p = { .mem = mem, .o = out, .words = (size_t)argc };
	int c;

	make_longs(longs);
	*out = defaults(mem, p.words);
	optind = 0;
	while ((c = getopt_long(argc, argv, "h", longs, NULL)) >= 0) {
		if (c == 'h' || c == HELP) {
			fputs(serve_help, stdout);
			return 1;
		}
		if (c < FIRST) {
			fprintf(stderr, "Try `oscar serve --help`.\n");
			return -1;
		}
		p.name = rules[c - FIRST].name;
		p.text = optarg;
		if (!take(&p, &rules[c - FIRST]))
			return -1;
	}
	if (optind < argc) {
		fprintf(stderr, "oscar serve: %s: options only\n", argv[optind]);
		return -1;
	}
	return settle(mem, out);
}
