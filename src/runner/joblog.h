// joblog: the format of a job's log file, written by the shim (or any driver), read by the daemon.
// A file is a sequence of records: this header in host byte order, then `size` bytes. A record that is cut
// short at the end of the file is still being written (or was cut by a crash) and is left for later.
// Changing the format: raise JOBLOG_MAGIC's last byte and keep reading the old one.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/attr.h"
#include "base/err.h"
#include "base/span.h"

#include <stdint.h>
#include <sys/types.h>

#define JOBLOG_MAGIC 0x4f4c4701u
enum joblog_stream { JOBLOG_STDOUT = 1, JOBLOG_STDERR = 2, JOBLOG_SYSTEM = 3 };
enum { JOBLOG_RECORD_MAX = 16384 };

struct joblog_record {
	uint32_t magic;
	uint16_t stream; // enum joblog_stream
	uint16_t size;	 // bytes that follow, 1 … JOBLOG_RECORD_MAX
	int64_t wall_ns; // when the bytes were read from the job
};

// Appends one record by one writev(). For the single writer of the file.
must_check int joblog_append(int fd, enum joblog_stream stream, const void *p, size_t n,
			     struct err *e);

// Reads the record at *at into `data` and advances *at. 1 = got one, 0 = no whole record there now,
// -1 = ERR_CORRUPT or ERR_IO.
must_check int joblog_read(int fd, off_t *at, struct joblog_record *r,
			   char data[static JOBLOG_RECORD_MAX], struct err *e);
