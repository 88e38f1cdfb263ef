// fuzz_manifest: an image's documents as a registry or an archive sends them: manifest, index, configuration, and
// the list of docker save. Whatever is taken must be safe as the name of a file.
// SPDX-License-Identifier: Apache-2.0
#include "image/manifest.h"

#include "codec/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_descriptor(const struct descriptor *d)
{
	check(reference_digest_ok(span_of(d->digest)));
	check(d->media && d->os && d->architecture && d->variant && d->tag && d->name);
}

static void try_manifest(struct span in)
{
	auto_arena struct arena a = { 0 };
	const struct descriptor *child;
	struct manifest m;
	struct err e = { 0 };

	if (manifest_parse(in, &a, &m, &e) < 0)
		return;
	check(m.count <= (m.is_index ? MANIFEST_CHILDREN_MAX : MANIFEST_LAYERS_MAX));
	for (size_t i = 0; i < m.count; i++)
		check_descriptor(&m.list[i]);
	if (!m.is_index)
		check_descriptor(&m.config);
	else if (manifest_select(&m, "lab/x:1", &child, &e) == 0)
		check(!child->attestation);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_arena struct arena a = { 0 };
	struct span in = span_make(data, size);
	auto_json json_t *tree = NULL;
	struct image_config c;
	struct saved_image s;
	struct err e = { 0 };

	try_manifest(in);
	if (manifest_saved(in, "lab/x:1", &a, &s, &e) == 0)
		check(s.config[0] && s.layer_count <= MANIFEST_LAYERS_MAX);
	if (codec_json_parse(in, 1 << 20, &tree, &e) == 0 && manifest_config(tree, &a, &c, &e) == 0)
		for (size_t i = 0; i < c.env_count; i++)
			check(strchr(c.env[i], '=') > c.env[i]);
	return 0;
}
