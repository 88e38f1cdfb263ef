// Thousands of jobs on an engine full of accidents, over restarts: each accounted once.
// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "bed.h"

enum { FILES = 2000, LIVES = 4 };

static void put_files(struct bed *b, int from, int to)
{
	char key[32];

	for (int i = from; i < to; i++) {
		snprintf(key, sizeof(key), "in/f%05d", i);
		place_put(&b->place, "one", key, span_of(key));
	}
}

static void expect_each_once(struct bed *b, const char *service, const char *bucket)
{
	uint64_t counts[QUEUE_STATES];
	char key[32], bytes[32];

	bed_wait_all(b, service, counts);
	assert_int_equal(counts[QUEUE_SUCCEEDED], FILES);
	assert_int_equal(place_jobs(&b->place, service, NULL), FILES);
	assert_int_equal(bed_objects(b, bucket, "out/"), FILES);
	for (int i = 0; i < FILES; i++) {
		snprintf(key, sizeof(key), "out/f%05d", i);
		snprintf(bytes, sizeof(bytes), "in/f%05d", i);
		if (!bed_object_is(b, bucket, key, bytes))
			fail_msg("%s is not what was put", key);
	}
}

static void every_file_of_a_chain_is_accounted_once(void **state)
{
	struct bed *b = *state;

	b->world = exec_fake_world_new();
	b->fake.delay_max_ms = 30;
	b->fake.lost_per_mille = 30;
	b->fake.busy_per_mille = 30;
	b->fake.down_per_mille = 10;
	b->fake.silent_per_mille = 50;
	b->o.lost_attempts = 100;
	bed_service(b, "one", "ok", "");
	place_create(&b->place, place_admin(),
		     "{'name':'two','image':'host','script':'ok','cpu':'0.1','memory':'16Mi',"
		     "'input':[{'path':'one/out','storage_provider':'minio.default'}],"
		     "'output':[{'path':'two/out','storage_provider':'minio.default'}]}");
	for (int life = 0; life < LIVES; life++) {
		b->fake.seed = 1000 + (uint64_t)life;
		if (life)
			bed_reopen(b);
		else
			bed_start(b);
		put_files(b, FILES / LIVES * life, FILES / LIVES * (life + 1));
		if (life < LIVES - 1)
			bed_stop(b, life % 2);
	}
	expect_each_once(b, "one", "one");
	expect_each_once(b, "two", "two");
	bed_wait_idle(b);
	// Nothing is due any more: what came later would be a second accounting.
	struct exec_fake_counts c;

	exec_fake_counts(b->driver, &c);
	assert_int_equal(c.running, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(every_file_of_a_chain_is_accounted_once, bed_setup,
						bed_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
