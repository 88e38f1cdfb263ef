// fuzz_fdl: service objects and FDL files of a stranger. A service that is accepted must print to a text
// that is accepted again and prints the same.
// SPDX-License-Identifier: Apache-2.0
#include "base/mem.h"
#include "fdl/fdl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *stored_text(const struct fdl_service *s)
{
	auto_json json_t *doc = fdl_service_json(s, FDL_PRINT_STORED, NULL);

	return codec_json_text(doc, CODEC_JSON_PLAIN);
}

static void check_round_trip(const struct fdl_service *s)
{
	auto_fdl_service struct fdl_service *again = NULL;
	auto_free char *text = stored_text(s);
	auto_free char *second = NULL;
	struct err e = { 0 };

	if (strlen(text) > FDL_DOCUMENT_MAX)
		return;
	check(fdl_service_parse(span_of(text), &again, &e) == 0);
	second = stored_text(again);
	check(strcmp(text, second) == 0);
	(void)(fdl_loop_check(&s, 1, again, &e) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_fdl_service struct fdl_service *s = NULL;
	auto_fdl_file struct fdl_file *f = NULL;
	struct err e = { 0 };

	if (fdl_service_parse(span_make(data, size), &s, &e) == 0)
		check_round_trip(s);
	if (fdl_file_parse(span_make(data, size), "f", -1, &f, &e) == 0)
		for (size_t i = 0; i < f->count; i++)
			check_round_trip(f->entries[i].service);
	return 0;
}
