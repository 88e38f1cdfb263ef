// image_cmds: images here and in registries, with the logins of the person who asks. Owner: struct cli. Threads: one.
// Errors: those of the server; ERR_INVALID (a reference, a login file of a wrong form).
// SPDX-License-Identifier: Apache-2.0
#include "cli/private.h"

#include "base/mem.h"
#include "base/rand.h"
#include "codec/reference.h"
#include "image/append.h"

#include <inttypes.h>

// A password goes to the server only where nobody can listen.
static bool is_private_way(const char *endpoint)
{
	return strncmp(endpoint, "https://", 8) == 0 || strncmp(endpoint, "http://127.", 11) == 0 ||
	       strncmp(endpoint, "http://localhost", 16) == 0 ||
	       strncmp(endpoint, "http://[::1]", 12) == 0;
}

// What to ask the server for, with the credentials where they may go along.
static int transfer(struct cli *c, const char *path, const char *reference, json_t *body,
		    json_t **out, struct err *e)
{
	auto_http_answer struct http_answer a = { 0 };
	const char *user = NULL, *password = NULL;
	auto_free char *text = NULL;
	struct reference ref;
	struct cli_request r = { .method = "POST", .path = path, .timeout_ms = -1, .once = true };
	struct cli_watch *watch;
	char id[17];
	int got;

	if (reference_parse(span_of(reference), &ref, e) < 0)
		return cli_usage(c, e, "%s", e->msg);
	if (cli_login_find(c, ref.registry, &user, &password, e) < 0 || cli_session(c, e) < 0)
		return -1;
	if (user && !is_private_way(c->endpoint))
		cli_note(c,
			 "oscar: warning: the credentials of %s are not sent to %s, which is "
			 "neither https nor this machine",
			 ref.registry, c->endpoint);
	else if (user && (json_object_set_new(body, "username", json_string(user)) < 0 ||
			  json_object_set_new(body, "password", json_string(password)) < 0))
		return err_set(e, ERR_INVALID, "the credentials are no UTF-8");
	rand_hex(id, 8);
	json_object_set_new(body, "progress", json_string(id));
	text = codec_json_text(body, CODEC_JSON_PLAIN);
	r.body = span_of(text);
	watch = cli_watch_start(c, id);
	got = cli_call(c, &r, &a, e);
	cli_watch_stop(watch);
	mem_wipe(text, strlen(text));
	if (got < 0)
		return -1;
	return codec_json_parse(buf_span(&a.body), 1 << 20, out, e) < 0
		       ? err_wrap(e, "the server's answer")
		       : 0;
}

int cli_image_fetch(struct cli *c, const char *reference, const char *name, json_t **image,
		    struct err *e)
{
	auto_json json_t *body = json_pack("{s:s,s:s*}", "reference", reference, "name", name);

	if (!body)
		return err_set(e, ERR_INVALID, "the reference is no UTF-8");
	return transfer(c, "/system/images/pull", reference, body, image, e);
}

int cli_image_pull(struct cli *c, struct err *e)
{
	auto_json json_t *image = NULL;
	int64_t layers;

	if (cli_image_fetch(c, c->words[0], cli_opt(c, "name"), &image, e) < 0)
		return -1;
	if (c->format == CLI_JSON) {
		cli_print_json(c, image);
		return 0;
	}
	fprintf(c->out, "%s  %s\n", cli_clean(c, cli_text(image, "name")),
		cli_clean(c, cli_text(image, "digest")));
	layers = cli_int(image, "layers");
	cli_note(c, "%" PRId64 " layer%s, %s fetched", layers, layers == 1 ? "" : "s",
		 cli_size(c, (uint64_t)cli_int(image, "transferred")));
	return 0;
}

int cli_image_push(struct cli *c, struct err *e)
{
	const char *to = c->word_count > 1 ? c->words[1] : c->words[0];
	auto_json json_t *image = NULL;
	auto_json json_t *body = json_pack("{s:s,s:s}", "name", c->words[0], "reference", to);

	if (!body)
		return err_set(e, ERR_INVALID, "the name is no UTF-8");
	if (transfer(c, "/system/images/push", to, body, &image, e) < 0)
		return -1;
	if (c->format == CLI_JSON) {
		cli_print_json(c, image);
		return 0;
	}
	fprintf(c->out, "%s  %s\n", to, cli_clean(c, cli_text(image, "digest")));
	cli_note(c, "%lld blobs, %s sent", (long long)cli_int(image, "blobs"),
		 cli_size(c, (uint64_t)cli_int(image, "transferred")));
	return 0;
}

// ---- here ----------------------------------------------------------------------------------------------

int cli_image_list(struct cli *c, struct err *e)
{
	auto_json json_t *answer = NULL;
	const json_t *list;
	struct cli_table t;
	json_t *image;
	size_t i;

	if (cli_get_json(c, "/system/images", &answer, e) < 0)
		return -1;
	if (c->format == CLI_JSON) {
		cli_print_json(c, answer);
		return 0;
	}
	list = json_is_array(answer) ? answer : json_object_get(answer, "images");
	cli_table_begin(&t, c, "NAME DIGEST SIZE CREATED");
	json_array_foreach(list, i, image)
	{
		cli_table_add(&t, cli_text(image, "name"));
		cli_table_addf(&t, "%.19s", cli_text(image, "digest"));
		cli_table_add(&t, json_object_get(image, "size")
					  ? cli_size(c, (uint64_t)cli_int(image, "size"))
					  : "");
		cli_table_add(&t, cli_text(image, "created"));
	}
	cli_table_end(&t);
	return 0;
}

int cli_image_remove(struct cli *c, struct err *e)
{
	for (size_t i = 0; i < c->word_count; i++) {
		auto_http_answer struct http_answer a = { 0 };
		struct cli_request r = { .method = "DELETE",
					 .path = cli_path(c, "/system/images/%s", c->words[i]) };

		if (cli_call(c, &r, &a, e) < 0)
			return -1; // it names the image
		fprintf(c->out, "%s removed\n", c->words[i]);
	}
	return 0;
}

int cli_image_inspect(struct cli *c, struct err *e)
{
	auto_json json_t *image = NULL;

	if (cli_get_json(c, cli_path(c, "/system/images/%s", c->words[0]), &image, e) < 0)
		return -1;
	if (c->format == CLI_JSON)
		cli_print_json(c, image);
	else
		cli_print_yaml(c, image);
	return 0;
}

// Own and shared bytes of each, as they are kept: packed.
int cli_image_du(struct cli *c, struct err *e)
{
	auto_json json_t *list = NULL;
	struct cli_table t;
	json_t *image;
	size_t i;

	if (cli_get_json(c, "/system/images?usage=1", &list, e) < 0)
		return -1;
	if (c->format == CLI_JSON) {
		cli_print_json(c, list);
		return 0;
	}
	cli_table_begin(&t, c, "NAME OWN SHARED UNPACKED");
	json_array_foreach(list, i, image)
	{
		if (!json_object_get(image, "own_bytes"))
			continue;
		cli_table_add(&t, cli_text(image, "name"));
		cli_table_add(&t, cli_size(c, (uint64_t)cli_int(image, "own_bytes")));
		cli_table_add(&t, cli_size(c, (uint64_t)cli_int(image, "shared_bytes")));
		cli_table_add(&t, cli_size(c, (uint64_t)cli_int(image, "size")));
	}
	cli_table_end(&t);
	return 0;
}

int cli_image_prune(struct cli *c, struct err *e)
{
	auto_http_answer struct http_answer a = { 0 };
	auto_json json_t *gone = NULL;
	struct cli_request r = { .method = "POST", .timeout_ms = -1 };

	r.path = arena_printf(&c->a, "/system/images/prune?untagged=%d&now=%d",
			      cli_opt(c, "untagged") != NULL, cli_opt(c, "now") != NULL);
	if (cli_call(c, &r, &a, e) < 0 ||
	    codec_json_parse(buf_span(&a.body), 1 << 20, &gone, e) < 0)
		return -1;
	if (c->format == CLI_JSON)
		cli_print_json(c, gone);
	else
		fprintf(c->out, "%lld manifests and %lld blobs removed, %s\n",
			(long long)cli_int(gone, "manifests"), (long long)cli_int(gone, "blobs"),
			cli_size(c, (uint64_t)cli_int(gone, "bytes")));
	return 0;
}

// ---- appending -----------------------------------------------------------------------------------------

static int login(void *owner, const char *registry, struct arena *mem unused_arg, const char **user,
		 const char **password, struct err *e)
{
	return cli_login_find(owner, registry, user, password, e);
}

static void show_step(void *owner, const struct image_append_step *s)
{
	struct cli *c = owner;

	if (s->count && s->number)
		cli_progress(c, "%s %zu/%zu %.19s %s", s->what, s->number, s->count, s->digest,
			     cli_size(c, s->bytes));
	else
		cli_progress(c, "%s %.19s", s->what, s->digest);
}

// SRC:DST, where DST begins with a slash.
static int read_files(struct cli *c, struct layer_file **out, size_t *n, struct err *e)
{
	const char **values = cli_opt_values(c, "file", n);

	*out = arena_alloc(&c->a, (*n + 1) * sizeof(**out));
	if (!*n)
		return cli_usage(c, e, "--file SRC:DST is wanted");
	for (size_t i = 0; i < *n; i++) {
		const char *colon = strstr(values[i], ":/");

		if (!colon || colon == values[i])
			return cli_usage(c, e, "--file %s: SRC:DST is wanted, DST from / on",
					 values[i]);
		(*out)[i] = (struct layer_file){
			.from = arena_strndup(&c->a, values[i], (size_t)(colon - values[i])),
			.to = colon + 1,
		};
	}
	return 0;
}

int cli_image_append(struct cli *c, struct err *e)
{
	size_t entries, insecure;
	const char **entrypoint = cli_opt_values(c, "entrypoint", &entries);
	const char **plain = cli_opt_values(c, "insecure-registry", &insecure);
	struct image_append a = { .base = c->words[0],
				  .to = c->words[1],
				  .entrypoint = entries ? entrypoint : NULL,
				  .insecure = plain,
				  .tmp = getenv("TMPDIR"),
				  .login = login,
				  .step = show_step,
				  .cancelled = cli_interrupted,
				  .owner = c };
	struct image_appended made;
	struct layer_file *files;

	if (read_files(c, &files, &a.count, e) < 0)
		return -1;
	a.files = files;
	if (image_append(&a, &made, e) < 0)
		return -1;
	cli_progress_end(c);
	if (c->format == CLI_JSON) {
		auto_json json_t *v =
			json_pack("{s:s,s:s,s:s,s:i,s:i,s:I}", "name", a.to, "digest", made.digest,
				  "layer", made.layer, "mounted", (int)made.mounted, "copied",
				  (int)made.copied, "sent_bytes", (json_int_t)made.sent_bytes);

		cli_print_json(c, v);
		return 0;
	}
	fprintf(c->out, "%s  %s\n", a.to, made.digest);
	cli_note(c, "%u layer%s mounted, %u copied, %s sent", made.mounted,
		 made.mounted == 1 ? "" : "s", made.copied,
		 cli_size(c, made.sent_bytes + made.copied_bytes));
	return 0;
}
