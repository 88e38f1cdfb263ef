// SPDX-License-Identifier: Apache-2.0
#include "image/manifest.h"

#include "codec/json.h"

#include <stdio.h>

#if defined(__x86_64__)
const char manifest_machine[] = "amd64";
static const char variant_ok[] = "v1";
#elif defined(__aarch64__)
const char manifest_machine[] = "arm64";
static const char variant_ok[] = "v8";
#else
#error "name this machine as image platforms do"
#endif

#define SIZE_LIMIT (INT64_C(1) << 50)

static int get_text(const json_t *o, const char *key, struct arena *mem, const char **out,
		    struct err *e)
{
	const char *text = "";

	if (codec_json_get_string(o, key, &text, e) < 0)
		return -1;
	*out = arena_strdup(mem, text);
	return 0;
}

// ---- index and manifest --------------------------------------------------------------------------------

static int read_platform(const json_t *o, struct arena *mem, struct descriptor *d, struct err *e)
{
	json_t *platform = NULL, *notes = NULL;
	const char *type = "";

	d->os = d->architecture = d->variant = d->tag = d->name = "";
	if (codec_json_get_object(o, "platform", &platform, e) < 0 ||
	    codec_json_get_object(o, "annotations", &notes, e) < 0)
		return -1;
	if (platform && (get_text(platform, "os", mem, &d->os, e) < 0 ||
			 get_text(platform, "architecture", mem, &d->architecture, e) < 0 ||
			 get_text(platform, "variant", mem, &d->variant, e) < 0))
		return -1;
	if (notes && (codec_json_get_string(notes, "vnd.docker.reference.type", &type, e) < 0 ||
		      get_text(notes, "org.opencontainers.image.ref.name", mem, &d->tag, e) < 0 ||
		      get_text(notes, "io.containerd.image.name", mem, &d->name, e) < 0))
		return -1;
	d->attestation = *type || strcmp(d->os, "unknown") == 0;
	return 0;
}

static int read_descriptor(const json_t *o, struct arena *mem, struct descriptor *d, struct err *e)
{
	const char *digest = "";
	int64_t size = -1;

	*d = (struct descriptor){ .media = "" };
	if (!json_is_object(o))
		return err_set(e, ERR_INVALID, "expected a descriptor, got %s", codec_json_kind(o));
	if (get_text(o, "mediaType", mem, &d->media, e) < 0 ||
	    codec_json_get_string(o, "digest", &digest, e) < 0 ||
	    codec_json_get_int(o, "size", 0, SIZE_LIMIT, &size, e) < 0)
		return -1;
	if (!reference_digest_ok(span_of(digest)))
		return err_set(e, ERR_UNSUPPORTED, "a digest that is not SHA-256: %.40s", digest);
	if (size < 0)
		return err_set(e, ERR_INVALID, "a descriptor without size");
	snprintf(d->digest, sizeof(d->digest), "%s", digest);
	d->size = (uint64_t)size;
	d->elsewhere = strstr(d->media, "foreign") || strstr(d->media, "nondistributable");
	return read_platform(o, mem, d, e);
}

static int read_list(const json_t *array, size_t max, struct arena *mem, struct manifest *m,
		     struct err *e)
{
	m->count = json_array_size(array);
	if (m->count > max)
		return err_set(e, ERR_LIMIT, "%zu entries, at most %zu are taken", m->count, max);
	m->list = arena_alloc(mem, (m->count + 1) * sizeof(*m->list));
	for (size_t i = 0; i < m->count; i++)
		if (read_descriptor(json_array_get(array, i), mem, &m->list[i], e) < 0)
			return err_wrap(e, "entry %zu", i + 1);
	return 0;
}

// An artefact (a chart, a signature) has the same form and another configuration.
static int check_kinds(const struct manifest *m, struct err *e)
{
	const char *c = m->config.media;

	if (m->is_index)
		return 0;
	if (strcmp(c, MEDIA_OCI_CONFIG) != 0 && strcmp(c, MEDIA_DOCKER_CONFIG) != 0)
		return err_set(e, ERR_UNSUPPORTED, "no container image but %.100s",
			       *c ? c : "something without a type");
	for (size_t i = 0; i < m->count; i++)
		if (strstr(m->list[i].media, "encrypted"))
			return err_set(e, ERR_UNSUPPORTED, "the image's layers are encrypted");
	return 0;
}

static int read_document(const json_t *v, struct arena *mem, struct manifest *out, struct err *e)
{
	json_t *children = NULL, *layers = NULL, *config = NULL, *history = NULL, *subject = NULL;
	const char *media = "";
	int64_t schema = 2;

	if (!json_is_object(v))
		return err_set(e, ERR_INVALID, "expected an object, got %s", codec_json_kind(v));
	if (codec_json_get_int(v, "schemaVersion", 0, 1000, &schema, e) < 0 ||
	    codec_json_get_string(v, "mediaType", &media, e) < 0 ||
	    codec_json_get_array(v, "manifests", &children, e) < 0)
		return -1;
	if (schema == 1)
		return err_set(e, ERR_UNSUPPORTED,
			       "the image is of the old form \"schema 1\": push it again with a "
			       "tool of the last ten years");
	if (codec_json_get_array(v, "layers", &layers, e) < 0 ||
	    codec_json_get_object(v, "config", &config, e) < 0 ||
	    codec_json_get_array(v, "fsLayers", &history, e) < 0)
		return -1;
	// A text that is both would be read differently by two readers (CVE-2021-41190).
	if (children ? layers || config || history || strstr(media, "manifest.v")
		     : !layers || !config || strstr(media, "index") || strstr(media, "list"))
		return err_set(e, ERR_INVALID, "neither an image's manifest nor an index of some");
	out->is_index = children != NULL;
	out->media = arena_strdup(mem, media);
	if (get_text(v, "artifactType", mem, &out->artifact, e) < 0 ||
	    codec_json_get_object(v, "subject", &subject, e) < 0)
		return -1;
	if (subject && read_descriptor(subject, mem, &out->subject, e) < 0)
		return err_wrap(e, "subject");
	if (children)
		return read_list(children, MANIFEST_CHILDREN_MAX, mem, out, e);
	if (read_descriptor(config, mem, &out->config, e) < 0)
		return err_wrap(e, "config");
	if (!*out->artifact)
		out->artifact = out->config.media;
	return read_list(layers, MANIFEST_LAYERS_MAX, mem, out, e) < 0 ? err_wrap(e, "layers") : 0;
}

int manifest_read(struct span text, struct arena *mem, struct manifest *out, struct err *e)
{
	auto_json json_t *v = NULL;

	*out = (struct manifest){ .media = "", .artifact = "" };
	if (codec_json_parse(text, MANIFEST_BYTES_MAX, &v, e) < 0 ||
	    read_document(v, mem, out, e) < 0)
		return err_wrap(e, "manifest");
	return 0;
}

int manifest_parse(struct span text, struct arena *mem, struct manifest *out, struct err *e)
{
	if (manifest_read(text, mem, out, e) < 0)
		return -1;
	return check_kinds(out, e) < 0 ? err_wrap(e, "manifest") : 0;
}

const char *manifest_media(const struct manifest *m)
{
	bool docker = strstr(m->is_index ? (m->count ? m->list[0].media : "") : m->config.media,
			     "docker") != NULL;

	if (*m->media)
		return m->media;
	if (m->is_index)
		return docker ? MEDIA_DOCKER_LIST : MEDIA_OCI_INDEX;
	return docker ? MEDIA_DOCKER_MANIFEST : MEDIA_OCI_MANIFEST;
}

// ---- the child for this machine ------------------------------------------------------------------------

// 0 = not for us, 1 = says nothing about machines, 2 = a variant of ours, 3 = ours.
static int fit(const struct descriptor *d)
{
	if (d->attestation)
		return 0;
	if (!*d->os && !*d->architecture)
		return 1;
	if (strcmp(d->os, "linux") != 0 || strcmp(d->architecture, manifest_machine) != 0)
		return 0;
	return !*d->variant || strcmp(d->variant, variant_ok) == 0 ? 3 : 2;
}

// 20 = its whole name is `name`, 10 = its tag is the one of `name`.
static int tagged(const struct descriptor *d, const char *name)
{
	const char *colon = name ? strrchr(name, ':') : NULL;
	struct span full = span_of(d->name), end;

	if (!name)
		return 0;
	end = span_from(full, full.n - (full.n < strlen(name) ? full.n : strlen(name)));
	if (strcmp(d->tag, name) == 0 ||
	    (span_is(end, name) && (end.n == full.n || end.p[-1] == '/')))
		return 20;
	return *d->tag && colon && strcmp(d->tag, colon + 1) == 0 ? 10 : 0;
}

static int none_fits(const struct manifest *m, struct err *e)
{
	char has[160] = "";
	size_t n = 0;

	for (size_t i = 0; i < m->count; i++) {
		const struct descriptor *d = &m->list[i];

		if (!d->attestation && *d->os && n + 1 < sizeof(has))
			n += (size_t)snprintf(has + n, sizeof(has) - n, "%s%.20s/%.20s",
					      n ? ", " : "", d->os, d->architecture);
	}
	return err_set(e, ERR_UNSUPPORTED,
		       "the image is not made for this machine (linux/%s)%s%s%s", manifest_machine,
		       *has ? "; it is made for " : "", has, "");
}

int manifest_select(const struct manifest *m, const char *name, const struct descriptor **out,
		    struct err *e)
{
	const struct descriptor *best = NULL;
	bool several = false;
	int score = 0;

	for (size_t i = 0; i < m->count; i++) {
		const struct descriptor *d = &m->list[i];
		int f = fit(d) ? fit(d) + tagged(d, name) : 0;

		if (f && f == score && strcmp(d->digest, best->digest) != 0)
			several = true;
		if (f <= score)
			continue;
		several = false;
		score = f;
		best = d;
	}
	if (!best)
		return none_fits(m, e);
	// In an index of one image the first that fits counts; a layout may hold images of different names.
	if (several && name)
		return err_set(e, ERR_INVALID,
			       "there are several images in it: name the one you mean by its tag, "
			       "for instance %.60s",
			       *best->tag ? best->tag : "NAME:TAG");
	*out = best;
	return 0;
}

// ---- configuration -------------------------------------------------------------------------------------

static int read_env(const json_t *array, struct arena *mem, struct image_config *out, struct err *e)
{
	size_t n = json_array_size(array), bytes = 0;

	if (n > IMAGE_VARIABLES_MAX)
		return err_set(e, ERR_LIMIT, "the image sets %zu variables, at most %d are taken",
			       n, IMAGE_VARIABLES_MAX);
	out->env = arena_alloc(mem, (n + 1) * sizeof(*out->env));
	for (size_t i = 0; i < n; i++) {
		const char *text = json_string_value(json_array_get(array, i)), *equals;

		equals = text ? strchr(text, '=') : NULL;
		if (!equals || equals == text)
			continue; // Docker ignores them too
		bytes += strlen(text);
		if (bytes > MANIFEST_ENV_BYTES_MAX)
			return err_set(e, ERR_LIMIT, "the image's variables are over %d bytes",
				       MANIFEST_ENV_BYTES_MAX);
		out->env[out->env_count++] = arena_strdup(mem, text);
	}
	return 0;
}

static int read_diffs(const json_t *rootfs, struct arena *mem, struct image_config *out,
		      struct err *e)
{
	json_t *ids = NULL;
	size_t n;

	if (codec_json_get_array(rootfs, "diff_ids", &ids, e) < 0)
		return -1;
	n = json_array_size(ids);
	if (n > MANIFEST_LAYERS_MAX)
		return err_set(e, ERR_LIMIT, "over %d layers", MANIFEST_LAYERS_MAX);
	out->diff_ids = arena_alloc(mem, (n + 1) * sizeof(*out->diff_ids));
	for (size_t i = 0; i < n; i++) {
		const char *id = json_string_value(json_array_get(ids, i));

		if (!id || !reference_digest_ok(span_of(id)))
			return err_set(e, ERR_INVALID, "diff_ids: not a SHA-256 digest");
		snprintf(out->diff_ids[out->diff_count++], REFERENCE_DIGEST_MAX, "%s", id);
	}
	return 0;
}

static int read_config(const json_t *v, struct arena *mem, struct image_config *out, struct err *e)
{
	json_t *config = NULL, *env = NULL, *rootfs = NULL;
	const char *os = "linux", *arch = manifest_machine;

	out->workdir = out->user = "";
	if (!json_is_object(v))
		return err_set(e, ERR_INVALID, "expected an object, got %s", codec_json_kind(v));
	if (codec_json_get_string(v, "os", &os, e) < 0 ||
	    codec_json_get_string(v, "architecture", &arch, e) < 0 ||
	    codec_json_get_object(v, "config", &config, e) < 0 ||
	    codec_json_get_object(v, "rootfs", &rootfs, e) < 0)
		return -1;
	if ((*os && strcmp(os, "linux") != 0) || (*arch && strcmp(arch, manifest_machine) != 0))
		return err_set(e, ERR_UNSUPPORTED,
			       "the image is made for %.20s/%.20s, this machine is linux/%s", os,
			       arch, manifest_machine);
	if (rootfs && read_diffs(rootfs, mem, out, e) < 0)
		return -1;
	if (!config)
		return 0;
	if (codec_json_get_array(config, "Env", &env, e) < 0 ||
	    codec_json_get_array(config, "Cmd", &out->cmd, e) < 0 ||
	    codec_json_get_array(config, "Entrypoint", &out->entrypoint, e) < 0 ||
	    get_text(config, "WorkingDir", mem, &out->workdir, e) < 0 ||
	    get_text(config, "User", mem, &out->user, e) < 0)
		return -1;
	return read_env(env, mem, out, e);
}

int manifest_config(const json_t *v, struct arena *mem, struct image_config *out, struct err *e)
{
	*out = (struct image_config){ 0 };
	return read_config(v, mem, out, e) < 0 ? err_wrap(e, "the image's configuration") : 0;
}

// ---- docker save ---------------------------------------------------------------------------------------

static bool has_tag(const json_t *image, const char *name)
{
	json_t *tags = json_object_get(image, "RepoTags"), *tag;
	size_t i;

	json_array_foreach(tags, i, tag)
	{
		if (json_is_string(tag) && strcmp(json_string_value(tag), name) == 0)
			return true;
	}
	return false;
}

static int read_saved(const json_t *o, struct arena *mem, struct saved_image *out, struct err *e)
{
	json_t *layers = NULL;

	if (!json_is_object(o) || get_text(o, "Config", mem, &out->config, e) < 0 ||
	    codec_json_get_array(o, "Layers", &layers, e) < 0 || !*out->config || !layers)
		return err_set(e, ERR_INVALID, "an image without Config or Layers");
	out->layer_count = json_array_size(layers);
	if (out->layer_count > MANIFEST_LAYERS_MAX)
		return err_set(e, ERR_LIMIT, "over %d layers", MANIFEST_LAYERS_MAX);
	out->layers = arena_alloc(mem, (out->layer_count + 1) * sizeof(*out->layers));
	for (size_t i = 0; i < out->layer_count; i++) {
		const char *file = json_string_value(json_array_get(layers, i));

		if (!file)
			return err_set(e, ERR_INVALID, "Layers: not the name of a file");
		out->layers[i] = arena_strdup(mem, file);
	}
	return 0;
}

int manifest_saved(struct span text, const char *name, struct arena *mem, struct saved_image *out,
		   struct err *e)
{
	auto_json json_t *v = NULL;
	const json_t *image = NULL;

	*out = (struct saved_image){ 0 };
	if (codec_json_parse(text, MANIFEST_BYTES_MAX, &v, e) < 0)
		return err_wrap(e, "manifest.json");
	for (size_t i = 0; i < json_array_size(v) && !image; i++)
		if (json_array_size(v) == 1 || has_tag(json_array_get(v, i), name))
			image = json_array_get(v, i);
	if (!image && json_array_size(v))
		return err_set(
			e, ERR_INVALID,
			"the archive holds several images and none is tagged %s: give it the "
			"name of the one you mean",
			name);
	return read_saved(image, mem, out, e) < 0 ? err_wrap(e, "manifest.json") : 0;
}
