// banned: calls that we do not make. Forced into every translation unit by the build.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#undef strcpy
#undef strcat
#undef sprintf
#undef vsprintf
#undef strtok
#undef strncpy
#define strcpy(...) banned_strcpy_use_span_or_buf
#define strcat(...) banned_strcat_use_buf
#define sprintf(...) banned_sprintf_use_snprintf
#define vsprintf(...) banned_vsprintf_use_vsnprintf
#define strtok(...) banned_strtok_use_span_cut
#define strncpy(...) banned_strncpy_use_memcpy
#define atoi(...) banned_atoi_use_span_to_u64
#define gets(...) banned_gets
#define malloc(...) banned_malloc_use_mem_alloc
#define calloc(...) banned_calloc_use_mem_zalloc
#define realloc(...) banned_realloc_use_mem_realloc
#define strdup(...) banned_strdup_use_mem_strdup
#define tmpnam(...) banned_tmpnam_use_mkstemp
#define system(...) banned_system
