// SPDX-License-Identifier: Apache-2.0
#include "s3/checksum.h"

#include "base/attr.h"
#include "codec/crc.h"
#include "codec/text.h"

#include <stdio.h>

static const struct {
	const char *name, *header;
	size_t size;
} kinds[S3_SUM_KINDS] = {
	[S3_SUM_NONE] = { "", "", 0 },
	[S3_SUM_CRC32] = { "CRC32", "x-amz-checksum-crc32", 4 },
	[S3_SUM_CRC32C] = { "CRC32C", "x-amz-checksum-crc32c", 4 },
	[S3_SUM_CRC64NVME] = { "CRC64NVME", "x-amz-checksum-crc64nvme", 8 },
	[S3_SUM_SHA1] = { "SHA1", "x-amz-checksum-sha1", 20 },
	[S3_SUM_SHA256] = { "SHA256", "x-amz-checksum-sha256", 32 },
};

const char *s3_sum_name(enum s3_sum_kind kind)
{
	return kinds[kind].name;
}

const char *s3_sum_header(enum s3_sum_kind kind)
{
	return kinds[kind].header;
}

size_t s3_sum_size(enum s3_sum_kind kind)
{
	return kinds[kind].size;
}

enum s3_sum_kind s3_sum_named(struct span name)
{
	for (int k = S3_SUM_CRC32; k < S3_SUM_KINDS; k++)
		if (span_eq_nocase(name, span_of(kinds[k].name)))
			return (enum s3_sum_kind)k;
	return S3_SUM_NONE;
}

enum s3_sum_kind s3_sum_of_header(struct span header)
{
	for (int k = S3_SUM_CRC32; k < S3_SUM_KINDS; k++)
		if (span_eq_nocase(header, span_of(kinds[k].header)))
			return (enum s3_sum_kind)k;
	return S3_SUM_NONE;
}

static bool is_crc(enum s3_sum_kind kind)
{
	return kind >= S3_SUM_CRC32 && kind <= S3_SUM_CRC64NVME;
}

static enum crc_kind crc_of(enum s3_sum_kind kind)
{
	return kind == S3_SUM_CRC32 ? CRC_32 : kind == S3_SUM_CRC32C ? CRC_32C : CRC_64NVME;
}

void s3_sum_init(struct s3_sum *s, enum s3_sum_kind kind)
{
	s->kind = kind;
	s->crc = 0;
	if (kind == S3_SUM_SHA1 || kind == S3_SUM_SHA256)
		digest_init(&s->digest, kind == S3_SUM_SHA1 ? DIGEST_SHA1 : DIGEST_SHA256);
}

void s3_sum_update(struct s3_sum *s, struct span bytes)
{
	if (is_crc(s->kind))
		s->crc = crc_update(crc_of(s->kind), s->crc, bytes);
	else if (s->kind != S3_SUM_NONE)
		digest_update(&s->digest, bytes);
}

static void crc_text(enum s3_sum_kind kind, uint64_t crc, char out[static S3_SUM_TEXT])
{
	uint8_t bytes[8];
	size_t n = kinds[kind].size;

	for (size_t i = 0; i < n; i++)
		bytes[i] = (uint8_t)(crc >> 8 * (n - 1 - i));
	text_base64(out, bytes, n);
}

void s3_sum_final(struct s3_sum *s, char out[static S3_SUM_TEXT])
{
	uint8_t sum[DIGEST_MAX];

	out[0] = 0;
	if (is_crc(s->kind)) {
		crc_text(s->kind, s->crc, out);
	} else if (s->kind != S3_SUM_NONE) {
		digest_final(&s->digest, sum);
		text_base64(out, sum, kinds[s->kind].size);
	}
}

bool s3_sum_valid(enum s3_sum_kind kind, struct span text)
{
	uint8_t bytes[DIGEST_MAX];

	return text_unbase64(bytes, sizeof(bytes), text) == (ptrdiff_t)kinds[kind].size;
}

struct s3_sum_kept s3_sum_parse(struct span kept)
{
	struct s3_sum_kept k = { .value = SPAN(""), .type = SPAN("") };

	if (!kept.n)
		return k;
	k.kind = s3_sum_named(span_cut(&kept, ':'));
	k.value = span_cut(&kept, ':');
	k.type = span_cut(&kept, ':');
	return k;
}

bool s3_sum_composite(enum s3_sum_kind kind, const struct s3_sum_part *parts, size_t n,
		      char out[static S3_SUM_TEXT])
{
	uint8_t bytes[DIGEST_MAX];
	char text[S3_SUM_TEXT];
	struct s3_sum s;

	s3_sum_init(&s, kind);
	for (size_t i = 0; i < n; i++) {
		if (!parts[i].value.n || text_unbase64(bytes, sizeof(bytes), parts[i].value) !=
						 (ptrdiff_t)kinds[kind].size)
			return false;
		s3_sum_update(&s, span_make(bytes, kinds[kind].size));
	}
	s3_sum_final(&s, text);
	return snprintf(out, S3_SUM_TEXT, "%s-%zu", text, n) < S3_SUM_TEXT;
}

bool s3_sum_full(enum s3_sum_kind kind, const struct s3_sum_part *parts, size_t n,
		 char out[static S3_SUM_TEXT])
{
	uint64_t all = 0;

	if (!is_crc(kind))
		return false;
	for (size_t i = 0; i < n; i++) {
		uint8_t bytes[DIGEST_MAX];
		uint64_t crc = 0;

		if (!parts[i].value.n || text_unbase64(bytes, sizeof(bytes), parts[i].value) !=
						 (ptrdiff_t)kinds[kind].size)
			return false;
		for (size_t k = 0; k < kinds[kind].size; k++)
			crc = crc << 8 | bytes[k];
		all = crc_combine(crc_of(kind), all, crc, parts[i].size);
	}
	crc_text(kind, all, out);
	return true;
}
