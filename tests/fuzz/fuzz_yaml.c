// fuzz_yaml: YAML of a stranger. What is accepted must be writable and read back to an equal tree.
// SPDX-License-Identifier: Apache-2.0
#include "base/mem.h"
#include "codec/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_arena struct arena a = { 0 };
	auto_json json_t *v = NULL;
	auto_json json_t *again = NULL;
	auto_free char *text = NULL;
	auto_free char *text_again = NULL;
	auto_buf struct buf out = { 0 };
	struct codec_yaml_node *n = NULL;
	struct err e = { 0 };

	buf_init(&out, 1 << 26);
	if (codec_yaml_parse(span_make(data, size), 1 << 20, &a, &n, &e) < 0)
		return 0;
	v = codec_yaml_to_json(n);
	codec_yaml_find(n, "a[0].b");
	if (!codec_yaml_write(v, &out) || codec_yaml_parse(buf_span(&out), 1 << 26, &a, &n, &e) < 0)
		return 0; // deeper or larger than a reader takes
	again = codec_yaml_to_json(n);
	text = codec_json_text(v, CODEC_JSON_PLAIN); // 1.0 and 1 print alike
	text_again = codec_json_text(again, CODEC_JSON_PLAIN);
	check(strcmp(text, text_again) == 0);
	return 0;
}
