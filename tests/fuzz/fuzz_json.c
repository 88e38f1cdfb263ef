// fuzz_json: JSON of a stranger. What is accepted must print to a text that is accepted again and equal.
// SPDX-License-Identifier: Apache-2.0
#include "base/mem.h"
#include "codec/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_json json_t *v = NULL;
	auto_json json_t *again = NULL;
	auto_free char *text = NULL;
	struct err e = { 0 };

	if (codec_json_parse(span_make(data, size), 1 << 20, &v, &e) < 0)
		return 0;
	text = codec_json_text(v, CODEC_JSON_HTML);
	check(codec_json_parse(span_of(text), SIZE_MAX, &again, &e) == 0);
	check(json_object_size(v) == json_object_size(again));
	check(json_array_size(v) == json_array_size(again));
	return 0;
}
