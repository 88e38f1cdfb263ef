// reserve: room beside the database that is given back to it when the disk is full, because SQLite can delete
// nothing without writing first.
// Owner: the database's writer; its thread alone calls reserve_look(). No errors: without a reserve the database
//   works as well, until the disk is full.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdint.h>

struct reserve {
	char *path;
	int fd;	       // -1 = there is none
	uint64_t full; // bytes it shall have
	uint64_t held; // and has
};

// The file lies beside the database: "DB.reserve". At most a fiftieth of the disk; 0 bytes = no reserve.
void reserve_open(struct reserve *r, const char *db_path, uint64_t bytes);
void reserve_close(struct reserve *r);

// Before each transaction: gives back some of it when the disk is about to be full, takes it again when there is
// plenty of room. Costs one fstatvfs(2).
void reserve_look(struct reserve *r);
