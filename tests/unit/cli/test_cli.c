// cli: words, options, exit statuses and printed forms, against a server that answers from a table.
// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "base/clock.h"
#include "base/file.h"
#include "base/lock.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "http/http.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

// ---- the server ----------------------------------------------------------------------------------------

struct canned {
	const char *request; // "GET /path?query"
	unsigned status;
	const char *body;
	const char *header; // "Name:value" or NULL
};

enum { ASKED_MAX = 16 * 1024 };

static struct {
	struct http_server *server;
	pthread_mutex_t lock;
	const struct canned *table; // the last row has no request
	char asked[ASKED_MAX];	    // "METHOD TARGET BODY\n", as they came
	size_t n;
} fake = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void on_begin(void *owner unused_arg, struct http_req *r)
{
	http_body_collect(r, 1 << 20);
}

static void on_finish(void *owner unused_arg, struct http_req *r)
{
	char line[1024];
	const struct canned *row;

	snprintf(line, sizeof(line), SPAN_FMT " " SPAN_FMT, SPAN_ARG(http_method_name(r)),
		 SPAN_ARG(http_target(r)));
	{
		auto_lock held = lock_hold(&fake.lock);
		int n = snprintf(fake.asked + fake.n, sizeof(fake.asked) - fake.n, "%s %.*s\n",
				 line, (int)http_body(r).n, http_body(r).p ? http_body(r).p : "");

		fake.n += n > 0 && (size_t)n < sizeof(fake.asked) - fake.n ? (size_t)n : 0;
		row = fake.table;
	}
	while (row && row->request && strcmp(row->request, line) != 0)
		row++;
	if (!row || !row->request) {
		http_reply_text(r, 404, "");
		return;
	}
	if (row->header) {
		struct span value = span_of(row->header), name = span_cut(&value, ':');
		const char *text = arena_strndup(http_arena(r), name.p, name.n);

		http_reply_header(r, text, value);
	}
	http_reply(r, row->status, "application/json", span_of(row->body));
}

static char folder[] = "/tmp/oscar-cli-XXXXXX";
static char endpoint[64];

static int setup(void **state unused_arg)
{
	struct http_options o = { .listen = "127.0.0.1:0",
				  .loops = 1,
				  .workers = 1,
				  .handler = { .begin = on_begin, .finish = on_finish } };
	struct err e = { 0 };

	if (!mkdtemp(folder) || http_server_open(&fake.server, &o, &e) < 0)
		return -1;
	snprintf(endpoint, sizeof(endpoint), "http://127.0.0.1:%u", http_server_port(fake.server));
	setenv("OSCAR_ENDPOINT", endpoint, 1);
	setenv("OSCAR_USERNAME", "oscar", 1);
	setenv("OSCAR_PASSWORD", "secret", 1);
	setenv("OSCAR_CONFIG", "/nowhere", 1);
	return 0;
}

static int teardown(void **state unused_arg)
{
	struct err e = { 0 };

	http_server_close(fake.server);
	return file_remove_tree(AT_FDCWD, folder, &e);
}

// ---- one run -------------------------------------------------------------------------------------------

static char out[64 * 1024], err[64 * 1024];

static void read_back(FILE *f, char *text, size_t max)
{
	size_t n;

	rewind(f);
	n = fread(text, 1, max - 1, f);
	text[n] = 0;
	fclose(f);
}

// Words separated by blanks.
static int run(const struct canned *table, const char *line)
{
	struct span rest = span_of(line);
	auto_arena struct arena a = { 0 };
	char *argv[40] = { "oscar" };
	FILE *o = tmpfile(), *e = tmpfile();
	int argc = 1, got;

	while (rest.n > 0) {
		struct span word = span_cut(&rest, ' ');

		argv[argc++] = arena_strndup(&a, word.p, word.n);
	}
	pthread_mutex_lock(&fake.lock);
	fake.table = table;
	fake.n = 0;
	fake.asked[0] = 0;
	pthread_mutex_unlock(&fake.lock);
	got = cli_run(argc, argv, o, e);
	read_back(o, out, sizeof(out));
	read_back(e, err, sizeof(err));
	return got;
}

static void assert_run(const struct canned *table, const char *line, int want)
{
	int got = run(table, line);

	if (got != want)
		fail_msg("oscar %s: %d instead of %d\n%s%s", line, got, want, out, err);
}

static void assert_has(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("\"%s\" is not in \"%s\"", part, text);
}

static const char *path_in(struct arena *a, const char *name)
{
	return arena_printf(a, "%s/%s", folder, name);
}

static const char *put(struct arena *a, const char *name, const char *text)
{
	const char *path = path_in(a, name);
	struct err e = { 0 };

	assert_int_equal(file_replace(AT_FDCWD, path, 0600, text, strlen(text), &e), 0);
	return path;
}

// ---- cases ---------------------------------------------------------------------------------------------

static void help_is_there_at_each_level(void **state unused_arg)
{
	static const char *const nouns[] = { "service", "jobs", "fdl", "image", "user", "bucket" };

	assert_run(NULL, "--help", 0);
	assert_has(out, "usage: oscar COMMAND");
	assert_string_equal(err, "");
	for (size_t i = 0; i < ARRAY_LEN(nouns); i++) {
		auto_free char *line = mem_printf("%s --help", nouns[i]);
		auto_free char *want = mem_printf("usage: oscar %s", nouns[i]);

		assert_run(NULL, line, 0);
		assert_has(out, want);
	}
	assert_run(NULL, "put-file --help", 0);
	assert_has(out, "usage: oscar put-file SERVICE FILE");
	assert_has(out, "examples:\n  oscar put-file video-split");
	assert_run(NULL, "service put-file -h", 0);
	assert_has(out, "also:  oscar service put-file");
}

static void wrong_usage_is_two_and_says_what(void **state unused_arg)
{
	static const struct {
		const char *line, *part;
	} rows[] = {
		{ "", "usage: oscar" },
		{ "dance", "unknown command \"dance\"" },
		{ "service", "usage: oscar service" },
		{ "apply", "too few arguments: wanted FILE" },
		{ "apply a b", "too many arguments, \"b\"" },
		{ "apply --bogus f", "unknown option --bogus" },
		{ "apply -x f", "unknown option -x" },
		{ "jobs --limit", "--limit wants a value" },
		{ "jobs --summary=1", "--summary takes no value" },
		{ "service list -o xml", "known are table, json and yaml" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_run(NULL, rows[i].line, 2);
		assert_has(err, rows[i].part);
		assert_string_equal(out, "");
	}
}

static void exit_statuses_tell_what_failed(void **state unused_arg)
{
	static const struct {
		unsigned status;
		int exit;
	} rows[] = { { 400, 1 }, { 401, 4 }, { 403, 4 }, { 404, 3 }, { 409, 1 }, { 500, 1 } };

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct canned table[] = {
			{ "GET /system/services/x", rows[i].status, "why not", NULL }, { 0 }
		};

		assert_run(table, "service get x", rows[i].exit);
		assert_has(err, rows[i].status == 404 ? "there is no service \"x\"" : "why not");
		assert_string_equal(out, "");
	}
	setenv("OSCAR_ENDPOINT", "http://127.0.0.1:1/", 1);
	assert_run(NULL, "health", 6);
	assert_has(err, "is the server running?");
	assert_run(NULL, "health --endpoint ftp://x", 1);
	setenv("OSCAR_ENDPOINT", endpoint, 1);
}

static void passwords_do_not_show(void **state unused_arg)
{
	assert_run(NULL, "info", 3);
	assert_null(strstr(err, "secret"));
}

#define SERVICE                                                                                    \
	"{\"name\":\"detect\",\"image\":\"host\",\"cpu\":\"1.0\",\"memory\":\"128Mi\","            \
	"\"script\":\"a\\nb\\n\",\"input\":[{\"storage_provider\":\"minio.default\","              \
	"\"path\":\"demo/in\"}],\"output\":[{\"storage_provider\":\"minio\",\"path\":\"res\"}]}"

static void services_are_shown_as_table_json_and_yaml(void **state unused_arg)
{
	static const struct canned table[] = {
		{ "GET /system/services", 200, "[" SERVICE "]", NULL },
		{ "GET /system/services/detect", 200, SERVICE, NULL },
		{ 0 },
	};

	assert_run(table, "service list", 0);
	assert_string_equal(out, "NAME    IMAGE  CPU  MEMORY  INPUT    OUTPUT\n"
				 "detect  host   1.0  128Mi   demo/in  res\n");
	assert_run(table, "service ls -o json", 0);
	assert_string_equal(out, "[" SERVICE "]\n");
	assert_run(table, "service get detect", 0);
	assert_has(out, "cpu: \"1.0\"\n");
	assert_has(out, "script: |\n  a\n  b\n");
	assert_run(table, "service get -o json detect", 0);
	assert_string_equal(out, SERVICE "\n");
}

static void names_cannot_change_the_path(void **state unused_arg)
{
	assert_run(NULL, "service get ../users?x=1#", 3);
	assert_has(fake.asked, "GET /system/services/..%2Fusers%3Fx%3D1%23 ");
}

static void control_characters_do_not_reach_the_terminal(void **state unused_arg)
{
	static const struct canned table[] = {
		{ "GET /system/services", 200,
		  "[{\"name\":\"a\\u001b[31mb\",\"image\":\"i\",\"input\":[],\"output\":[]}]",
		  NULL },
		{ 0 },
	};

	assert_run(table, "service list", 0);
	assert_null(strchr(out, '\x1b'));
	assert_has(out, "a?[31mb");
}

#define FDL_TWO                                                                                    \
	"functions:\n  oscar:\n  - c:\n      name: one\n      image: host\n      script: one.sh\n" \
	"  - d:\n      name: two\n      image: host\n      cpu: 1.0\n      script: one.sh\n"

static void apply_creates_what_is_new_and_updates_what_is_there(void **state unused_arg)
{
	static const struct canned table[] = {
		{ "GET /system/services/two", 200, SERVICE, NULL },
		{ "POST /system/services", 201, "", "Warning:299 - \"unknown keys ignored: x\"" },
		{ "PUT /system/services", 204, "", NULL },
		{ 0 },
	};
	auto_arena struct arena a = { 0 };
	const char *line;

	put(&a, "one.sh", "echo 1\n");
	line = arena_printf(&a, "apply %s", put(&a, "f.yaml", FDL_TWO));
	assert_run(table, line, 0);
	assert_string_equal(out, "SERVICE  RESULT\none      created\ntwo      updated\n");
	assert_has(err, "warning: 299 - \"unknown keys ignored: x\"");
	assert_has(fake.asked, "POST /system/services {\"name\":\"one\"");
	assert_has(fake.asked, "PUT /system/services {\"name\":\"two\"");
	assert_has(fake.asked, "\"cpu\":\"1.0\"");
	assert_has(fake.asked, "\"script\":\"echo 1\\n\"");
	line = arena_printf(&a, "apply -c d -o json %s", path_in(&a, "f.yaml"));
	assert_run(table, line, 0);
	assert_string_equal(out, "[{\"name\":\"two\",\"result\":\"updated\"}]\n");
}

static void apply_tells_what_was_done_before_a_failure(void **state unused_arg)
{
	static const struct canned table[] = {
		{ "GET /system/services/two", 200, SERVICE, NULL },
		{ "POST /system/services", 201, "", NULL },
		{ "PUT /system/services", 400, "image: no such image", NULL },
		{ 0 },
	};
	auto_arena struct arena a = { 0 };

	put(&a, "one.sh", "echo 1\n");
	assert_run(table, arena_printf(&a, "apply %s", put(&a, "f.yaml", FDL_TWO)), 1);
	assert_has(out, "one      created");
	assert_has(err, "apply: service two: image: no such image");
}

static void faults_of_an_fdl_file_name_the_line_and_nothing_is_sent(void **state unused_arg)
{
	auto_arena struct arena a = { 0 };
	const char *path = put(&a, "bad.yaml", "functions:\n  oscar:\n  - c:\n      nmae: x\n");

	assert_run(NULL, arena_printf(&a, "apply %s", path), 1);
	assert_has(err, "bad.yaml:4:7: unknown field \"nmae\", did you mean \"name\"?");
	assert_string_equal(fake.asked, "");
	assert_run(NULL, arena_printf(&a, "fdl check %s", path), 1);
	assert_run(NULL, "fdl check /nowhere.yaml", 3);
}

static void fdl_check_finds_loops_and_passes_good_files(void **state unused_arg)
{
	auto_arena struct arena a = { 0 };
	const char *loop = put(&a, "loop.yaml",
			       "functions:\n  oscar:\n  - c:\n      name: one\n      image: host\n"
			       "      script: one.sh\n      input: [{path: bkt/a}]\n"
			       "      output: [{path: bkt/a}]\n");

	put(&a, "one.sh", "echo 1\n");
	assert_run(NULL, arena_printf(&a, "fdl check %s", loop), 1);
	assert_has(err, "one writes bkt/a, which triggers one");
	assert_run(NULL, arena_printf(&a, "fdl check %s", put(&a, "f.yaml", FDL_TWO)), 0);
	assert_has(out, "2 services, no fault found");
}

static void delete_removes_all_and_tells_what_was_not_there(void **state unused_arg)
{
	static const struct canned table[] = { { "DELETE /system/services/two", 204, "", NULL },
					       { 0 } };
	auto_arena struct arena a = { 0 };

	put(&a, "one.sh", "echo 1\n");
	assert_run(table, arena_printf(&a, "delete %s", put(&a, "f.yaml", FDL_TWO)), 3);
	assert_string_equal(out, "SERVICE  RESULT\ntwo      removed\n");
	assert_has(err, "there is no service \"one\"");
}

static void run_sends_base64_and_decodes_the_answer(void **state unused_arg)
{
	static const struct canned coded[] = { { "POST /run/cow", 200, "aGFsbG8K", NULL }, { 0 } };
	static const struct canned plain[] = { { "POST /run/cow", 200, "a cow says hi\n", NULL },
					       { 0 } };
	static const struct canned failed[] = { { "POST /run/cow", 500, "exit status 3", NULL },
						{ 0 } };
	auto_arena struct arena a = { 0 };
	auto_buf struct buf got = { 0 };
	struct err e = { 0 };

	assert_run(coded, "service run cow -i hi", 0);
	assert_string_equal(out, "hallo\n");
	assert_has(fake.asked, "POST /run/cow aGk=\n");
	assert_run(plain, "service run cow -i hi", 0);
	assert_string_equal(out, "a cow says hi\n");
	assert_run(failed, "service run cow -i hi", 1);
	assert_has(err, "exit status 3");
	assert_run(coded, arena_printf(&a, "service run cow -i hi -o %s", path_in(&a, "res")), 0);
	buf_init(&got, 100);
	assert_int_equal(file_read_path(AT_FDCWD, path_in(&a, "res"), &got, &e), 0);
	assert_string_equal(got.p, "hallo\n");
	assert_run(coded, "service run cow", 2);
	assert_has(err, "either -f FILE or -i TEXT");
}

static void a_job_can_be_waited_for(void **state unused_arg)
{
	static const struct canned table[] = {
		{ "POST /job/cow", 201, "", "X-Oscar-Job:cow-1" },
		{ "POST /job/bad", 201, "", "X-Oscar-Job:bad-1" },
		{ "POST /job/old", 201, "", "X-Oscar-Job:old-1" },
		{ "GET /system/jobs/cow-1", 200, "{\"state\":\"succeeded\",\"reason\":\"\"}",
		  NULL },
		{ "GET /system/jobs/bad-1", 200, "{\"state\":\"failed\",\"reason\":\"exit 3\"}",
		  NULL },
		{ "GET /system/jobs/old-1", 200, "{\"state\":\"running\"}", NULL },
		{ 0 },
	};

	assert_run(table, "service job cow -i hi", 0);
	assert_string_equal(out, "cow-1\n");
	assert_run(table, "service job cow -i hi --wait", 0);
	assert_has(err, "cow-1: succeeded");
	assert_run(table, "service job bad -i hi --wait", 1);
	assert_has(err, "bad-1: failed: exit 3");
	assert_run(table, "service job old -i hi --wait --timeout 1s", 5);
	assert_has(err, "old-1 is still running after 1 s");
}

static void jobs_are_listed_page_by_page(void **state unused_arg)
{
	static const struct canned table[] = {
		{ "GET /system/jobs?service=detect&state=failed&run=&limit=3&after=", 200,
		  "{\"jobs\":[{\"name\":\"j3\",\"service\":\"detect\",\"state\":\"failed\","
		  "\"attempt\":2,\"created\":\"2026-01-01T10:00:00Z\",\"started\":"
		  "\"2026-01-01T10:00:01Z\",\"finished\":\"2026-01-01T10:02:04Z\",\"input\":\"b/"
		  "k\","
		  "\"reason\":\"exit 3\"}],\"next\":\"7\"}",
		  NULL },
		{ "GET /system/jobs?service=detect&state=failed&run=&limit=2&after=7", 200,
		  "{\"jobs\":[{\"name\":\"j2\",\"service\":\"detect\",\"state\":\"failed\","
		  "\"attempt\":1,\"created\":\"2026-01-01T09:00:00Z\"}]}",
		  NULL },
		{ 0 },
	};

	assert_run(table, "jobs --service detect --state failed -n 3", 0);
	assert_string_equal(out,
			    "JOB  SERVICE  STATE   TRY  CREATED               TIME  INPUT  REASON\n"
			    "j3   detect   failed  2    2026-01-01T10:00:00Z  2:03  b/k    exit 3\n"
			    "j2   detect   failed  1    2026-01-01T09:00:00Z  -            \n");
	assert_run(table, "jobs list -s detect --state failed -n 3 -o json", 0);
	assert_has(out, "{\"jobs\":[{\"name\":\"j3\"");
	assert_has(out, "{\"name\":\"j2\"");
}

#define COUNTS                                                                                     \
	"{\"queued\":1,\"staging\":0,\"running\":2,\"uploading\":0,\"succeeded\":3,"               \
	"\"failed\":4,\"cancelled\":0,\"dead\":0}"

static void the_summary_is_printed_as_it_came(void **state unused_arg)
{
	static const struct canned table[] = {
		{ "GET /system/jobs/summary?service=&run=", 200, COUNTS, NULL }, { 0 }
	};

	assert_run(table, "jobs --summary -o json", 0);
	assert_string_equal(out, COUNTS "\n");
	assert_run(table, "jobs --summary", 0);
	assert_has(out, "STATE      JOBS\nqueued     1\n");
}

static void waiting_ends_with_the_jobs_and_names_the_failed(void **state unused_arg)
{
	static const struct canned table[] = {
		{ "GET /system/jobs/summary?service=good&run=", 200, "{\"succeeded\":3}", NULL },
		{ "GET /system/jobs/summary?service=bad&run=", 200,
		  "{\"succeeded\":1,\"failed\":1}", NULL },
		{ "GET /system/jobs?service=bad&run=&state=failed&limit=20", 200,
		  "{\"jobs\":[{\"name\":\"j1\",\"input\":\"b/k\",\"reason\":\"out of memory\"}]}",
		  NULL },
		{ "GET /system/jobs?service=bad&run=&state=dead&limit=20", 200, "{\"jobs\":[]}",
		  NULL },
		{ "GET /system/jobs?service=bad&run=&state=cancelled&limit=20", 200,
		  "{\"jobs\":[]}", NULL },
		{ "GET /system/jobs/summary?service=slow&run=", 200, "{\"queued\":1}", NULL },
		{ 0 },
	};

	assert_run(table, "jobs wait --service good", 0);
	assert_run(table, "jobs wait --service bad", 1);
	assert_has(err, "j1 failed: b/k: out of memory");
	assert_run(table, "jobs wait --service slow --timeout 1", 5);
	assert_run(table, "jobs wait --timeout never", 2);
	assert_has(err, "wanted a time such as 90s, 5m or 2h");
}

static void logs_come_from_a_job_or_from_the_newest_of_a_service(void **state unused_arg)
{
	static const struct canned table[] = {
		{ "GET /system/jobs/j1", 200, "{\"name\":\"j1\"}", NULL },
		{ "GET /system/jobs/j1/log?follow=0", 200, "one\ntwo\n", NULL },
		{ "GET /system/jobs/j1/log?follow=1&stream=stderr&timestamps=1", 200, "t two\n",
		  NULL },
		{ "GET /system/jobs?service=detect&limit=500", 200,
		  "{\"jobs\":[{\"name\":\"j1\"},{\"name\":\"j0\"}]}", NULL },
		{ "GET /system/jobs?service=empty&limit=500", 200, "{\"jobs\":[]}", NULL },
		{ 0 },
	};

	assert_run(table, "logs j1", 0);
	assert_string_equal(out, "one\ntwo\n");
	assert_run(table, "logs -f j1 --stream stderr -t", 0);
	assert_string_equal(out, "t two\n");
	assert_run(table, "logs detect", 0);
	assert_string_equal(out, "one\ntwo\n");
	assert_run(table, "logs empty", 3);
	assert_run(table, "logs nothing", 3);
}

static void events_are_followed_and_end_after_the_limit(void **state unused_arg)
{
	static const struct canned table[] = {
		{ "GET /system/events?after=4", 200,
		  "id: 5\nevent: job\ndata: {\"a\":1}\n\nid: 6\nevent: object\ndata: {}\n\n",
		  NULL },
		{ 0 },
	};

	assert_run(table, "events --after 4 -n 2 -o json", 0);
	assert_string_equal(out, "{\"id\":\"5\",\"event\":\"job\",\"data\":{\"a\":1}}\n"
				 "{\"id\":\"6\",\"event\":\"object\",\"data\":{}}\n");
}

static void an_image_goes_up_as_a_tar_stream(void **state unused_arg)
{
	static const struct canned table[] = {
		{ "POST /system/images/import?name=tools%3A1", 201,
		  "{\"name\":\"tools:1\",\"digest\":\"sha256:abc\"}", NULL },
		{ 0 },
	};
	auto_arena struct arena a = { 0 };

	assert_run(table,
		   arena_printf(&a, "image import %s tools:1", put(&a, "root.tar", "not really")),
		   0);
	assert_string_equal(out, "tools:1  sha256:abc\n");
	assert_has(fake.asked, "not really");
	assert_int_equal(mkdir(path_in(&a, "root"), 0755), 0);
	put(&a, "root/hello.txt", "inside");
	assert_run(table, arena_printf(&a, "image import %s tools:1", path_in(&a, "root")), 0);
	assert_has(fake.asked, "POST /system/images/import?name=tools%3A1 ./");
	assert_run(table, "image import /nowhere tools:1", 3);
}

static void a_user_is_added_with_its_key(void **state unused_arg)
{
	static const struct canned table[] = {
		{ "POST /system/users", 201, "{\"name\":\"ana\"}", NULL }, { 0 }
	};

	assert_run(table, "user add ana --s3-key AK --s3-secret SK", 0);
	assert_has(fake.asked, "{\"name\":\"ana\",\"s3_key\":\"AK\",\"s3_secret\":\"SK\"}");
	assert_has(out, "name: ana");
	assert_run(table, "user add ana --s3-key AK", 2);
	assert_has(err, "go together");
}

// ---- files: the fake answers for the object store too --------------------------------------------------

static char config_json[400];

static const struct canned *store_table(void)
{
	static struct canned table[] = {
		{ "GET /system/config", 200, config_json, NULL },
		{ "GET /system/services/detect", 200, SERVICE, NULL },
		{ "PUT /demo/in/a%20b.txt", 200, "", NULL },
		{ "PUT /demo/in/x/y", 200, "", NULL },
		{ "GET /detect?encoding-type=url&list-type=2&prefix=res%2F", 200,
		  "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>t/1="
		  "</NextContinuationToken><Contents><Key>res/</Key><Size>0</Size></Contents>"
		  "<Contents><Key>res/sub/a+b%2B.txt</Key><Size>2048</Size><LastModified>"
		  "2026-01-01T10:00:00.000Z</LastModified></Contents></ListBucketResult>",
		  NULL },
		{ "GET "
		  "/detect?continuation-token=t%2F1%3D&encoding-type=url&list-type=2&prefix=res%2F",
		  200,
		  "<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>res/z</Key>"
		  "<Size>3</Size><LastModified>2026-01-02T10:00:00.000Z</LastModified></Contents>"
		  "</ListBucketResult>",
		  NULL },
		{ "GET /detect/res/sub/a%20b%2B.txt", 200, "first", NULL },
		{ "GET /detect/res/z", 200, "second", NULL },
		{ "GET /detect/none", 404,
		  "<Error><Code>NoSuchKey</Code><Message>There is no such object</Message></Error>",
		  NULL },
		{ "DELETE /detect/res/z", 204, "", NULL },
		{ "GET /evil?encoding-type=url&list-type=2&prefix=", 200,
		  "<ListBucketResult><Contents><Key>../../etc/x</Key></Contents></"
		  "ListBucketResult>",
		  NULL },
		{ 0 },
	};

	snprintf(config_json, sizeof(config_json),
		 "{\"minio_provider\":{\"endpoint\":\"%s\",\"verify\":true,\"access_key\":\"AK\","
		 "\"secret_key\":\"SK\",\"region\":\"us-east-1\"}}",
		 endpoint);
	return table;
}

static void a_file_goes_to_the_first_input(void **state unused_arg)
{
	auto_arena struct arena a = { 0 };
	const char *path = put(&a, "a-b.txt", "content");
	const char *blank = path_in(&a, "a b.txt");
	char *argv[] = { "oscar", "put-file", "detect", (char *)blank };
	FILE *o = tmpfile(), *e = tmpfile();

	assert_int_equal(rename(path, blank), 0);
	fake.table = store_table();
	fake.n = 0;
	assert_int_equal(cli_run(ARRAY_LEN(argv), argv, o, e), 0);
	read_back(o, out, sizeof(out));
	read_back(e, err, sizeof(err));
	assert_string_equal(out, "demo/in/a b.txt\n");
	assert_has(fake.asked, "PUT /demo/in/a%20b.txt content\n");
	put(&a, "c", "other");
	assert_run(store_table(),
		   arena_printf(&a, "service put-file detect minio.default %s demo/in/x/y",
				path_in(&a, "c")),
		   0);
	assert_has(fake.asked, "PUT /demo/in/x/y other\n");
	assert_run(store_table(), arena_printf(&a, "put-file detect %s", folder), 1);
	assert_has(err, "is not a file");
	assert_run(store_table(), "put-file absent /etc/hostname", 3);
}

static void files_are_listed_over_all_pages(void **state unused_arg)
{
	assert_run(store_table(), "list-files detect", 0);
	assert_string_equal(out, "FILE                     SIZE     MODIFIED\n"
				 "detect/res/sub/a b+.txt  2.0 KiB  2026-01-01T10:00:00.000Z\n"
				 "detect/res/z             3 B      2026-01-02T10:00:00.000Z\n");
}

static void results_come_down_with_their_names(void **state unused_arg)
{
	auto_arena struct arena a = { 0 };
	const char *to = path_in(&a, "results");
	auto_buf struct buf text = { 0 };
	struct err e = { 0 };

	buf_init(&text, 100);
	assert_run(store_table(), arena_printf(&a, "get-file detect %s", to), 0);
	assert_int_equal(file_read_path(AT_FDCWD, path_in(&a, "results/sub/a b+.txt"), &text, &e),
			 0);
	assert_string_equal(text.p, "first");
	assert_has(err, "2 files in");
	assert_run(store_table(), arena_printf(&a, "get-file --latest detect %s", to), 0);
	assert_has(out, "results/z\n");
	assert_run(store_table(), arena_printf(&a, "get-file detect detect/none %s", to), 3);
	assert_has(err, "NoSuchKey: There is no such object");
	assert_int_equal(access(path_in(&a, "results/none"), F_OK), -1);
	assert_run(store_table(), "delete-file detect detect/res/z", 0);
	assert_run(store_table(), "delete-file detect detect", 1);
}

static void a_key_cannot_climb_out_of_the_folder(void **state unused_arg)
{
	auto_arena struct arena a = { 0 };

	assert_run(store_table(),
		   arena_printf(&a, "get-file detect evil/ %s", path_in(&a, "results")), 1);
	assert_has(err, "cannot be a file name");
}

static void the_server_of_this_machine_is_found_by_its_files(void **state unused_arg)
{
	static const struct canned table[] = { { "GET /health", 200, "Ok", NULL }, { 0 } };
	auto_arena struct arena a = { 0 };

	unsetenv("OSCAR_ENDPOINT");
	unsetenv("OSCAR_PASSWORD");
	setenv("OSCAR_DATA", folder, 1);
	put(&a, "ready.json", arena_printf(&a, "{\"ready\":true,\"api\":\"%s\"}", endpoint));
	put(&a, "credentials.json", "{\"username\":\"oscar\",\"password\":\"pw\"}");
	assert_run(table, "health", 0);
	assert_string_equal(out, "Ok\n");
	setenv("OSCAR_ENDPOINT", endpoint, 1);
	setenv("OSCAR_PASSWORD", "secret", 1);
	unsetenv("OSCAR_DATA");
}

static void map_says_what_it_lacks(void **state unused_arg)
{
	auto_arena struct arena a = { 0 };
	const char *empty = path_in(&a, "empty");

	assert_run(NULL, "map a b", 2);
	assert_has(err, "--script FILE is needed");
	assert_int_equal(mkdir(empty, 0755), 0);
	assert_run(NULL, arena_printf(&a, "map --script /x %s %s", empty, path_in(&a, "map-out")),
		   3);
	assert_has(err, "there are no files in");
	assert_run(NULL, arena_printf(&a, "map --script /x /nowhere %s", path_in(&a, "map-out")),
		   3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(help_is_there_at_each_level),
		cmocka_unit_test(wrong_usage_is_two_and_says_what),
		cmocka_unit_test(exit_statuses_tell_what_failed),
		cmocka_unit_test(passwords_do_not_show),
		cmocka_unit_test(services_are_shown_as_table_json_and_yaml),
		cmocka_unit_test(names_cannot_change_the_path),
		cmocka_unit_test(control_characters_do_not_reach_the_terminal),
		cmocka_unit_test(apply_creates_what_is_new_and_updates_what_is_there),
		cmocka_unit_test(apply_tells_what_was_done_before_a_failure),
		cmocka_unit_test(faults_of_an_fdl_file_name_the_line_and_nothing_is_sent),
		cmocka_unit_test(fdl_check_finds_loops_and_passes_good_files),
		cmocka_unit_test(delete_removes_all_and_tells_what_was_not_there),
		cmocka_unit_test(run_sends_base64_and_decodes_the_answer),
		cmocka_unit_test(a_job_can_be_waited_for),
		cmocka_unit_test(jobs_are_listed_page_by_page),
		cmocka_unit_test(the_summary_is_printed_as_it_came),
		cmocka_unit_test(waiting_ends_with_the_jobs_and_names_the_failed),
		cmocka_unit_test(logs_come_from_a_job_or_from_the_newest_of_a_service),
		cmocka_unit_test(events_are_followed_and_end_after_the_limit),
		cmocka_unit_test(an_image_goes_up_as_a_tar_stream),
		cmocka_unit_test(a_user_is_added_with_its_key),
		cmocka_unit_test(a_file_goes_to_the_first_input),
		cmocka_unit_test(files_are_listed_over_all_pages),
		cmocka_unit_test(results_come_down_with_their_names),
		cmocka_unit_test(a_key_cannot_climb_out_of_the_folder),
		cmocka_unit_test(the_server_of_this_machine_is_found_by_its_files),
		cmocka_unit_test(map_says_what_it_lacks),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
