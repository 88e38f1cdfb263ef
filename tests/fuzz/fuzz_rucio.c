// fuzz_rucio: what a Rucio server or an OpenID provider may answer. Whatever is taken can be the name of a file, an
// address by HTTP, a line of a request's head.
// SPDX-License-Identifier: Apache-2.0
#include "supervisor/rucio.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_word(const char *text)
{
	check(*text);
	for (const char *p = text; *p; p++)
		check((unsigned char)*p > ' ' && (unsigned char)*p < 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_arena struct arena mem = { 0 };
	struct span in = span_make(data, size);
	struct err e = { 0 };
	struct rucio_file f;
	struct rucio_replicas r;
	struct rucio_token t;
	const char *url, *scheme, *name, *why;

	if (rucio_file_parse(in, &mem, &f, &e) == 0)
		check(*f.file_name && !strchr(f.file_name, '/') && strcmp(f.file_name, "..") != 0 &&
		      strlen(f.file_name) <= 255);
	if (rucio_replicas_parse(in, false, &mem, &r, &e) == 0)
		for (size_t i = 0; i < r.n; i++) {
			check_word(r.url[i]);
			check(strncmp(r.url[i], "https://", 8) == 0);
		}
	if (rucio_place_parse(in, true, &mem, &url, &e) == 0)
		check_word(url);
	if (rucio_scheme_parse(in, false, &scheme, &e) == 0)
		check(scheme[strlen(scheme) - 1] == 's');
	if (rucio_token_parse(in, &mem, &t, &e) == 0) {
		check_word(t.access);
		check(t.lifetime_s >= 0);
	}
	rucio_refusal_parse(in, &mem, &name, &why);
	return 0;
}
