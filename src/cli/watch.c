// watch: how far the server is with a long work, drawn on standard error while the main thread waits for the answer.
// Owner: cli_watch_start's caller. Threads: one of its own, which has its own client and touches nothing of struct cli
// but the stream. Errors: none; what cannot be asked is not drawn.
// SPDX-License-Identifier: Apache-2.0
#include "cli/private.h"

#include "base/lock.h"
#include "base/mem.h"

enum { TICK_MS = 250 };

struct cli_watch {
	struct http_client *http;
	char *url;
	FILE *err;
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

static void look(struct cli_watch *w)
{
	auto_http_answer struct http_answer a = { 0 };
	struct http_call call = { .method = "GET", .url = w->url, .timeout_ms = 5000 };
	auto_json json_t *v = NULL;
	struct err ignored = { 0 };

	if (http_client_call(w->http, &call, &a, &ignored) == 0 && a.status == 200 &&
	    codec_json_parse(buf_span(&a.body), 1 << 16, &v, &ignored) == 0)
		draw(w, v);
}

static void *watch_main(void *arg)
{
	struct cli_watch *w = arg;

	pthread_mutex_lock(&w->lock);
	while (!w->stop) {
		lock_wait(&w->wake, &w->lock, clock_mono_ns() + TICK_MS * NS_PER_MS);
		if (w->stop)
			break;
		pthread_mutex_unlock(&w->lock);
		look(w);
		pthread_mutex_lock(&w->lock);
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

struct cli_watch *cli_watch_start(struct cli *c, const char *id)
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
	w->url = mem_printf("%s/system/images/progress/%s", c->endpoint, id);
	w->err = c->err;
	pthread_mutex_init(&w->lock, NULL);
	lock_cond_init(&w->wake);
	lock_thread_start(&w->thread, "cli-watch", watch_main, w);
	return w;
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
	fputs("\r\033[K", w->err);
	http_client_free(w->http);
	pthread_mutex_destroy(&w->lock);
	mem_free(w->url);
	mem_free(w);
}
