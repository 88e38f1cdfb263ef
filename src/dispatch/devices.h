// devices: which device of the machine is whose. Those that the driver tells of are given out one by one: a device is one
// job's, server's or shell's from its turn until it is over. Who holds which is in the attempts' rows, so that the next
// life knows it before it gives anything out.
// Owner: the dispatcher. Threads: its lock is held for every call, but for devices_look(). Private to dispatch.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/arena.h"
#include "base/err.h"

#include <stdint.h>

struct dispatch;
struct fdl_service;

enum { DEVICES_KINDS_MAX = 16 };

struct device;
struct devices {
	struct device **at; // those that there are, then those that are gone and still held
	size_t n;
	bool told;	// the driver tells of its devices; else it only counts GPUs, if that
	char *gpu_kind; // NULL = there is none
	uint32_t gpus;	// of that kind
	uint64_t stamp;
	int64_t look_ns, began_ns; // monotonic: the next look, the first one
	// Kinds that somebody waits for in this round: nobody behind may have one.
	struct span waited[DEVICES_KINDS_MAX]; // parts of names above
	size_t waited_count;
};

// Asks the driver, at the start and every few seconds. [reads files]
void devices_look(struct dispatch *d);
void devices_drop(struct devices *x);

void devices_round(struct devices *x); // begins
// Are there as many free ones as a job of the service needs?
bool devices_free(const struct dispatch *d, const struct fdl_service *f);
// Its turn came and they were not free.
void devices_wait(struct dispatch *d, const struct fdl_service *f);
// There are not so many, free or not, and a machine that has just been started will not tell of more: ERR_UNAVAILABLE.
must_check int devices_enough(const struct dispatch *d, const struct fdl_service *f, struct err *e);

// For who is to run under this id, once they are free.
void devices_take(struct dispatch *d, const struct fdl_service *f, const char *id);
void devices_retake(struct dispatch *d, const char *names, const char *id); // in an earlier life
void devices_give_back(struct dispatch *d, const char *id);
// Their names with blanks between, "" = none.
const char *devices_names(const struct dispatch *d, const char *id, struct arena *mem);
