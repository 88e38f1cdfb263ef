// watch: how far the server is with a long work, drawn on standard error while the main thread waits for the answer.
// Owner: cli_watch_start's caller. Threads: one of its own, which has its own client and touches nothing of struct cli
// but the stream. Errors: none; what cannot be asked is not drawn.
// SPDX-License-Identifier: Apache-2.0
#include "cli/private.h"

#include "base/lock.h"
#include "base/mem.h"

enum { TICK_MS = 250, JOB_TICK_MS = 1000, ANSWER_MAX = 1 << 20 };

struct cli_watch {
	struct http_client *http;
	char *url;
	FILE *err;
	int64_t tick_ms;
	void (*draw)(struct cli_watch *w, const json_t *v);
	char *said; // what draw_job() printed last
	pthread_t thread;
	pthread_mutex_t lock; // guards `stop`
	pthread_cond_t wake;
	bool stop;
};

static void draw(struct cli_watch *w, const json_t *v)
{
	const char *step = cli_text(v, "step");
	double done = (double)cli_int(v, "done") / 1048576.0;
	double total = (double)cli_int(v, "total") / 1048576.0;

	fprintf(w->err, "\r\033[K%.16s", step);
	if (cli_int(v, "count"))
		fprintf(w->err, " %lld/%lld", (long long)cli_int(v, "number"),
			(long long)cli_int(v, "count"));
	if (total > 0)
		fprintf(w->err, "  %.1f of %.1f MiB", done, total);
	fflush(w->err);
}

static void draw_job(struct cli_watch *w, const json_t *v)
{
	struct cli c = { .a = { 0 } }; // for its arena
	const char *said = cli_clean(&c, cli_said(&c, v));

	if (*said && (!w->said || strcmp(w->said, said) != 0)) {
		mem_free(w->said);
		w->said = mem_strdup(said);
		fprintf(w->err, "-- %s\n", said);
	}
	arena_release(&c.a);
}

static void look(struct cli_watch *w)
{
	auto_http_answer struct http_answer a = { 0 };
	struct http_call call = { .method = "GET", .url = w->url, .timeout_ms = 5000 };
	auto_json json_t *v = NULL;
	struct err ignored = { 0 };

	if (http_client_call(w->http, &call, &a, &ignored) == 0 && a.status == 200 &&
	    codec_json_parse(buf_span(&a.body), ANSWER_MAX, &v, &ignored) == 0)
		w->draw(w, v);
}

static void *watch_main(void *arg)
{
	struct cli_watch *w = arg;

	pthread_mutex_lock(&w->lock);
	while (!w->stop) {
		lock_wait(&w->wake, &w->lock, clock_mono_ns() + w->tick_ms * NS_PER_MS);
		if (w->stop)
			break;
		pthread_mutex_unlock(&w->lock);
		look(w);
		pthread_mutex_lock(&w->lock);
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

static struct cli_watch *start(struct cli *c, const char *path, int64_t tick_ms,
			       void (*draw_it)(struct cli_watch *w, const json_t *v))
{
	struct cli_watch *w;
	struct err ignored = { 0 };

	if (!c->progress)
		return NULL;
	w = mem_zalloc(sizeof(*w));
	if (cli_session_client(c, &w->http, &ignored) < 0) {
		mem_free(w);
		return NULL;
	}
	w->url = mem_printf("%s%s", c->endpoint, path);
	w->err = c->err;
	w->tick_ms = tick_ms;
	w->draw = draw_it;
	pthread_mutex_init(&w->lock, NULL);
	lock_cond_init(&w->wake);
	lock_thread_start(&w->thread, "cli-watch", watch_main, w);
	return w;
}

struct cli_watch *cli_watch_start(struct cli *c, const char *id)
{
	return start(c, cli_path(c, "/system/images/progress/%s", id), TICK_MS, draw);
}

struct cli_watch *cli_watch_job(struct cli *c, const char *job)
{
	return start(c, cli_path(c, "/system/jobs/%s", job), JOB_TICK_MS, draw_job);
}

void cli_watch_stop(struct cli_watch *w)
{
	if (!w)
		return;
	pthread_mutex_lock(&w->lock);
	w->stop = true;
	pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&w->lock);
	pthread_join(w->thread, NULL);
	if (w->draw == draw)
		fputs("\r\033[K", w->err);
	http_client_free(w->http);
	pthread_mutex_destroy(&w->lock);
	mem_free(w->said);
	mem_free(w->url);
	mem_free(w);
}
