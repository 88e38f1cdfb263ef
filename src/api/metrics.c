// SPDX-License-Identifier: Apache-2.0
// metrics: what monitoring reads, in the text format of Prometheus (its "exposition formats", version 0.0.4).
#include "api/req.h"
#include "base/clock.h"
#include "db/db.h"
#include "dispatch/dispatch.h"
#include "expose/expose.h"
#include "queue/call.h"
#include "store/store.h"

#include <dirent.h>
#include <stdio.h>
#include <unistd.h>

enum { TEXT_MAX = 1 << 20 };

static void family(struct buf *b, const char *name, const char *type, const char *help)
{
	buf_printf(b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void one(struct buf *b, const char *name, const char *type, const char *help, double value)
{
	family(b, name, type, help);
	buf_printf(b, "%s %.17g\n", name, value);
}

static int add_jobs(struct req *q, struct buf *b, struct err *e)
{
	uint64_t counts[QUEUE_STATES];
	int64_t oldest_ns;

	if (queue_counts(q->api->o.queue, 0, 0, counts, e) < 0 ||
	    queue_head(q->api->o.queue, &oldest_ns, e) < 0)
		return -1;
	family(b, "oscar_jobs", "gauge", "Jobs that are kept, by state.");
	for (int s = 0; s < QUEUE_STATES; s++)
		buf_printf(b, "oscar_jobs{state=\"%s\"} %llu\n",
			   queue_state_name((enum queue_state)s), (unsigned long long)counts[s]);
	one(b, "oscar_calls_waiting", "gauge",
	    "Calls that wait for their turn and are too young to be among the queued jobs.",
	    (double)queue_calls_waiting(q->api->o.queue));
	one(b, "oscar_queue_head_age_seconds", "gauge",
	    "Age of the job that is next, 0 without one.",
	    oldest_ns ? (double)(clock_wall_ns() - oldest_ns) / (double)NS_PER_S : 0);
	return 0;
}

// The rows of one histogram; `label` is "" or "name=\"value\",".
static void add_rows(struct buf *b, const char *name, const char *label, const struct histogram *h)
{
	struct histogram_view v = histogram_look(h);
	uint64_t sum = 0;
	int n = *label ? (int)strlen(label) - 1 : 0; // without its comma

	for (size_t i = 0; i < HISTOGRAM_BOUNDS; i++) {
		sum += v.counts[i];
		buf_printf(b, "%s_bucket{%sle=\"%g\"} %llu\n", name, label, histogram_bounds_s[i],
			   (unsigned long long)sum);
	}
	sum += v.counts[HISTOGRAM_BOUNDS];
	buf_printf(b, "%s_bucket{%sle=\"+Inf\"} %llu\n", name, label, (unsigned long long)sum);
	buf_printf(b, "%s_sum%s%.*s%s %.17g\n", name, n ? "{" : "", n, label, n ? "}" : "",
		   v.sum_s);
	buf_printf(b, "%s_count%s%.*s%s %llu\n", name, n ? "{" : "", n, label, n ? "}" : "",
		   (unsigned long long)sum);
}

static void add_histogram(struct buf *b, const char *name, const char *help,
			  const struct histogram *h)
{
	family(b, name, "histogram", help);
	add_rows(b, name, "", h);
}

// Of each kind, in the order of the devices.
static void add_devices(struct req *q, struct buf *b)
{
	struct dispatch_device *x;
	size_t n = dispatch_devices(q->api->o.dispatch, http_arena(q->http), &x);

	family(b, "oscar_devices", "gauge", "Devices of the machine: all, and those in use.");
	for (size_t i = 0; i < n; i++) {
		unsigned all = 0, used = 0;
		bool had = false;

		for (size_t k = 0; k < n; k++) {
			if (strcmp(x[k].kind, x[i].kind) != 0)
				continue;
			had = had || k < i;
			all += x[k].there;
			used += x[k].held;
		}
		if (!had)
			buf_printf(b,
				   "oscar_devices{device=\"%s\",kind=\"total\"} %u\n"
				   "oscar_devices{device=\"%s\",kind=\"used\"} %u\n",
				   x[i].kind, all, x[i].kind, used);
	}
}

static void add_dispatch(struct req *q, struct buf *b)
{
	struct dispatch_usage u;
	const struct dispatch_figures *f = dispatch_figures(q->api->o.dispatch);

	dispatch_usage(q->api->o.dispatch, &u);
	family(b, "oscar_info", "gauge", "Version and driver of the jobs.");
	buf_printf(b, "oscar_info{version=\"%s\",driver=\"%s\"} 1\n", q->api->o.version, u.driver);
	one(b, "oscar_jobs_active", "gauge", "Jobs that hold a lease.", u.active);
	family(b, "oscar_cpu_cores", "gauge", "Cores: all, and those that active jobs asked for.");
	buf_printf(b, "oscar_cpu_cores{kind=\"total\"} %g\noscar_cpu_cores{kind=\"used\"} %g\n",
		   u.cpu_millis_total / 1000.0, u.cpu_millis_used / 1000.0);
	family(b, "oscar_memory_bytes", "gauge", "Memory: all, and what active jobs asked for.");
	buf_printf(
		b,
		"oscar_memory_bytes{kind=\"total\"} %llu\noscar_memory_bytes{kind=\"used\"} %llu\n",
		(unsigned long long)u.memory_total, (unsigned long long)u.memory_used);
	add_devices(q, b);
	family(b, "oscar_kept_sandboxes", "gauge",
	       "Sandboxes that stay for the next calls, and those that wait for the one call that "
	       "they serve.");
	buf_printf(
		b,
		"oscar_kept_sandboxes{state=\"busy\"} %u\noscar_kept_sandboxes{state=\"idle\"} %u\n"
		"oscar_kept_sandboxes{state=\"frozen\"} %u\noscar_kept_sandboxes{state=\"ahead\"} "
		"%u\n",
		u.kept.busy, u.kept.idle, u.kept.frozen, u.kept.ahead);
	add_histogram(b, "oscar_job_wait_seconds",
		      "From a job's event to its script's first instruction, since the start.",
		      &f->wait);
	add_histogram(b, "oscar_sandbox_start_seconds",
		      "From a job's being handed to its driver to its script's first instruction.",
		      &f->start);
	add_histogram(b, "oscar_job_run_seconds", "Run time of scripts, since the start.", &f->run);
}

static void add_servers(struct req *q, struct buf *b)
{
	struct expose_totals t;

	expose_totals(q->api->o.expose, &t);
	family(b, "oscar_servers", "gauge", "Instances of exposed services.");
	buf_printf(b, "oscar_servers{state=\"ready\"} %u\noscar_servers{state=\"starting\"} %u\n",
		   t.ready, t.starting);
	one(b, "oscar_servers_frozen", "gauge",
	    "Of those that are ready, frozen until their next request.", t.frozen);
	one(b, "oscar_server_requests_waiting", "gauge",
	    "Requests to exposed services that wait for an instance.", t.waiting);
	one(b, "oscar_server_requests_total", "counter",
	    "Requests to exposed services, since the start.", (double)t.requests);
}

static int add_store(struct req *q, struct buf *b, struct err *e)
{
	uint64_t buckets = 0, objects = 0, bytes = 0;
	struct span after = SPAN("");
	struct store_bucket *list;
	size_t n;

	do {
		if (store_bucket_list(q->api->o.store, http_arena(q->http), 0, after,
				      STORE_PAGE_MAX, &list, &n, e) < 0)
			return -1;
		for (size_t i = 0; i < n; i++) {
			objects += list[i].objects;
			bytes += list[i].bytes;
		}
		buckets += n;
		after = n ? span_of(list[n - 1].name) : after;
	} while (n == STORE_PAGE_MAX);
	one(b, "oscar_buckets", "gauge", "Buckets.", (double)buckets);
	one(b, "oscar_objects", "gauge", "Objects in all buckets.", (double)objects);
	one(b, "oscar_object_bytes", "gauge", "Bytes of all objects.", (double)bytes);
	return 0;
}

static void add_db(struct req *q, struct buf *b)
{
	const struct db_figures *f = db_figures(q->api->o.db);

	add_histogram(b, "oscar_db_commit_seconds", "Waits of the database for the disk.",
		      &f->commit);
	one(b, "oscar_db_requests_total", "counter", "Writes in all commits; many share one.",
	    (double)f->requests);
}

static void add_http(struct req *q, struct buf *b)
{
	const struct api *a = q->api;

	family(b, "oscar_http_requests_total", "counter",
	       "Answers by the first digit of their status; 0 are broken off.");
	for (unsigned i = 0; i < a->shown_count; i++)
		for (unsigned k = 0; k < 6; k++)
			if (k != 1)
				buf_printf(
					b,
					"oscar_http_requests_total{server=\"%s\",code=\"%uxx\"} "
					"%llu\n",
					a->shown[i].name, k,
					(unsigned long long)http_server_figures(a->shown[i].server)
						->answers[k]);
	family(b, "oscar_http_connections", "gauge", "Open connections.");
	for (unsigned i = 0; i < a->shown_count; i++)
		buf_printf(
			b, "oscar_http_connections{server=\"%s\"} %llu\n", a->shown[i].name,
			(unsigned long long)http_server_figures(a->shown[i].server)->connections);
	family(b, "oscar_http_request_seconds", "histogram",
	       "From a request's first line to its answer's last byte.");
	for (unsigned i = 0; i < a->shown_count; i++) {
		char label[64];

		snprintf(label, sizeof(label), "server=\"%s\",", a->shown[i].name);
		add_rows(b, "oscar_http_request_seconds", label,
			 &http_server_figures(a->shown[i].server)->took);
	}
}

static void add_process(struct buf *b)
{
	unsigned long long size = 0, resident = 0;
	FILE *f = fopen("/proc/self/statm", "re");
	DIR *fds = opendir("/proc/self/fd");
	unsigned open_fds = 0;

	if (f && fscanf(f, "%llu %llu", &size, &resident) == 2)
		one(b, "process_resident_memory_bytes", "gauge", "Resident memory of the daemon.",
		    (double)resident * (double)sysconf(_SC_PAGESIZE));
	if (f)
		fclose(f);
	while (fds && readdir(fds))
		open_fds++;
	if (fds) {
		closedir(fds);
		// Without ".", ".." and the one that reads them.
		one(b, "process_open_fds", "gauge", "Open descriptors of the daemon.",
		    open_fds - 3.0);
	}
}

void api_metrics(struct req *q)
{
	auto_buf struct buf b;
	struct err e = { 0 };

	buf_init(&b, TEXT_MAX);
	if (add_jobs(q, &b, &e) < 0 || add_store(q, &b, &e) < 0) {
		reply_error(q, &e);
		return;
	}
	add_dispatch(q, &b);
	add_servers(q, &b);
	add_db(q, &b);
	add_http(q, &b);
	add_process(&b);
	http_reply_buf(q->http, 200, "text/plain; version=0.0.4; charset=utf-8", &b);
}
