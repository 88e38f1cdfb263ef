// checksum: the five additional checksums of S3. Private to s3.
// Kept with an object as "CRC32:base64:FULL_OBJECT", with a part as "CRC32:base64".
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/arena.h"
#include "codec/digest.h"

enum s3_sum_kind {
	S3_SUM_NONE,
	S3_SUM_CRC32,
	S3_SUM_CRC32C,
	S3_SUM_CRC64NVME,
	S3_SUM_SHA1,
	S3_SUM_SHA256
};
enum { S3_SUM_KINDS = S3_SUM_SHA256 + 1, S3_SUM_TEXT = 64 };

struct s3_sum {
	enum s3_sum_kind kind;
	uint64_t crc;
	struct digest digest;
};

const char *s3_sum_name(enum s3_sum_kind kind);	  // "CRC32"
const char *s3_sum_header(enum s3_sum_kind kind); // "x-amz-checksum-crc32"
size_t s3_sum_size(enum s3_sum_kind kind);	  // bytes
// S3_SUM_NONE when the name (any case) is unknown.
enum s3_sum_kind s3_sum_named(struct span name);
enum s3_sum_kind s3_sum_of_header(struct span header);

void s3_sum_init(struct s3_sum *s, enum s3_sum_kind kind);
void s3_sum_update(struct s3_sum *s, struct span bytes);
// The sum in base64 with a NUL.
void s3_sum_final(struct s3_sum *s, char out[static S3_SUM_TEXT]);

// True when the text is base64 of the right size.
bool s3_sum_valid(enum s3_sum_kind kind, struct span text);

struct s3_sum_kept {
	enum s3_sum_kind kind;
	struct span value; // base64, for a composite one with "-N"
	struct span type;  // "FULL_OBJECT" or "COMPOSITE", "" for a part
};
struct s3_sum_kept s3_sum_parse(struct span kept);

// Over the parts of a multipart upload: their base64 sums and sizes in order. False when a part has none.
struct s3_sum_part {
	struct span value;
	uint64_t size;
};
bool s3_sum_composite(enum s3_sum_kind kind, const struct s3_sum_part *parts, size_t n,
		      char out[static S3_SUM_TEXT]);
bool s3_sum_full(enum s3_sum_kind kind, const struct s3_sum_part *parts, size_t n,
		 char out[static S3_SUM_TEXT]); // CRCs only
