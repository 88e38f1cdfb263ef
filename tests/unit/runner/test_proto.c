// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "base/mem.h"
#include "runner/proto.h"

enum { INPUTS = 2 };

static const size_t size = sizeof(struct proto_start) + INPUTS * sizeof(struct proto_input);

static struct proto_start *good(void)
{
	struct proto_start *m = mem_zalloc(PROTO_PACKET_MAX);

	m->head = proto_head(PROTO_START);
	snprintf(m->job, sizeof(m->job), "job-1");
	m->attempt = 1;
	snprintf(m->image, sizeof(m->image), "host");
	m->input_count = INPUTS;
	for (int i = 0; i < INPUTS; i++) {
		snprintf(m->input[i].name, sizeof(m->input[i].name), "file %d", i);
		snprintf(m->input[i].content, sizeof(m->input[i].content), "content/a/%d", i);
	}
	return m;
}

static void a_good_start_passes(void **state unused_arg)
{
	auto_free struct proto_start *m = good();
	struct err e = { 0 };

	assert_int_equal(proto_check_head(m, size, &e), 0);
	assert_int_equal(proto_check_start(m, size, &e), 0);
	m->warm = 1; // such a one has no inputs of its own
	assert_int_equal(proto_check_start(m, size, &e), -1);
	m->input_count = 0;
	assert_int_equal(proto_check_start(m, sizeof(*m), &e), 0);
	m->warm = 2;
	assert_int_equal(proto_check_start(m, sizeof(*m), &e), -1);
	m->warm = 0;
	assert_int_equal(proto_check_start(m, sizeof(*m), &e), 0);
	m->port = 65535;
	assert_int_equal(proto_check_start(m, sizeof(*m), &e), 0);
	m->port = 65536;
	assert_int_equal(proto_check_start(m, sizeof(*m), &e), -1);
	m->port = 80; // what may be frozen is a server or kept
	m->freezer = 1;
	assert_int_equal(proto_check_start(m, sizeof(*m), &e), 0);
	m->port = 0;
	assert_int_equal(proto_check_start(m, sizeof(*m), &e), -1);
	m->warm = 1;
	assert_int_equal(proto_check_start(m, sizeof(*m), &e), 0);
	m->freezer = 2;
	assert_int_equal(proto_check_start(m, sizeof(*m), &e), -1);
	m->freezer = m->warm = 0;
	m->port = 80; // a server is no kept sandbox, and never on the machine's own network
	m->warm = 1;
	assert_int_equal(proto_check_start(m, sizeof(*m), &e), -1);
	m->warm = 0;
	m->network = PROTO_NETWORK_HOST;
	assert_int_equal(proto_check_start(m, sizeof(*m), &e), -1);
	m->port = 0; // a shell is neither, wherever it is
	assert_int_equal(proto_files(m), 0);
	m->shell = 1;
	assert_int_equal(proto_check_start(m, sizeof(*m), &e), 0);
	assert_int_equal(proto_files(m), PROTO_STREAMS);
	m->shell = 2;
	assert_int_equal(proto_check_start(m, sizeof(*m), &e), -1);
	m->shell = 1;
	m->warm = 1;
	assert_int_equal(proto_check_start(m, sizeof(*m), &e), -1);
	m->warm = 0;
	m->network = PROTO_NETWORK_NONE;
	m->port = 80;
	assert_int_equal(proto_check_start(m, sizeof(*m), &e), -1);
}

static void gifts_have_names_of_one_part(void **state unused_arg)
{
	static const char *const wrong[] = { "", ".", "..", "a/b", "/" };
	struct proto_give m = { .head = proto_head(PROTO_GIVE), .name = "a" };
	struct err e = { 0 };

	assert_int_equal(proto_check_give(&m, sizeof(m), &e), 0);
	assert_int_equal(proto_check_give(&m, sizeof(m) - 1, &e), -1);
	snprintf(m.later, sizeof(m.later), "b");
	assert_int_equal(proto_check_give(&m, sizeof(m), &e), 0);
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		struct proto_give name = { .head = m.head },
				  later = { .head = m.head, .name = "a" };

		snprintf(name.name, sizeof(name.name), "%s", wrong[i]);
		assert_int_equal(proto_check_give(&name, sizeof(name), &e), -1);
		snprintf(later.later, sizeof(later.later), "%s", wrong[i]);
		assert_int_equal(proto_check_give(&later, sizeof(later), &e), i ? -1 : 0);
	}
	memset(m.name, 'a', sizeof(m.name)); // without its NUL
	assert_int_equal(proto_check_give(&m, sizeof(m), &e), -1);
}

static void taking_names_both(void **state unused_arg)
{
	struct proto_take m = {
		.head = proto_head(PROTO_TAKE), .from = "a1-0", .job = "j", .attempt = 2
	};
	struct err e = { 0 };

	assert_int_equal(proto_check_take(&m, sizeof(m), &e), 0);
	assert_int_equal(proto_check_take(&m, sizeof(m) - 1, &e), -1);
	m.attempt = 0;
	assert_int_equal(proto_check_take(&m, sizeof(m), &e), -1);
	m.attempt = 1;
	m.job[0] = '/';
	assert_int_equal(proto_check_take(&m, sizeof(m), &e), -1);
	m.job[0] = 'j';
	m.from[0] = '\0';
	assert_int_equal(proto_check_take(&m, sizeof(m), &e), -1);
}

static void ahead_of_a_job_there_is_nothing_of_it(void **state unused_arg)
{
	auto_free struct proto_start *m = good();
	struct err e = { 0 };

	m->ahead = 1;
	assert_int_equal(proto_check_start(m, size, &e), -1); // with inputs
	m->ahead = 2;
	assert_int_equal(proto_check_start(m, size, &e), -1);
}

static void sizes_must_agree(void **state unused_arg)
{
	auto_free struct proto_start *m = good();
	struct err e = { 0 };

	assert_int_equal(proto_check_start(m, size - 1, &e), -1);
	assert_int_equal(proto_check_start(m, size + 1, &e), -1);
	assert_int_equal(proto_check_start(m, 10, &e), -1);
	m->input_count = UINT32_MAX; // must not overflow into a small size
	assert_int_equal(proto_check_start(m, size, &e), -1);
	m->input_count = PROTO_INPUTS_MAX + 1;
	assert_int_equal(
		proto_check_start(m, sizeof(*m) + m->input_count * sizeof(m->input[0]), &e), -1);
	assert_int_equal(proto_check_head(m, 7, &e), -1);
	m->head.version++;
	assert_int_equal(proto_check_head(m, size, &e), -1);
	assert_non_null(strstr(e.msg, "version"));
}

static void wrong_fields_are_refused(void **state unused_arg)
{
	static const char *const jobs[] = { "", "A", "a_b", "a/b", "..", "a.b", "a b", "\xc3\xa4" };
	static const char *const images[] = { "", "a-b", "A", "../x", "a/b", "sha256:ab" };
	static const char *const names[] = { "", ".", "..", "a/b", "/" };
	static const char *const paths[] = { "/",   "/etc/passwd", "..", "a/../b", "a/..",
					     "./a", "a//b",	   "a/", "a/.",	   "../a" };
	struct err e = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(jobs); i++) {
		auto_free struct proto_start *m = good();

		memset(m->job, 0, sizeof(m->job));
		snprintf(m->job, sizeof(m->job), "%s", jobs[i]);
		if (proto_check_start(m, size, &e) == 0)
			fail_msg("job \"%s\" passes", jobs[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(images); i++) {
		auto_free struct proto_start *m = good();

		memset(m->image, 0, sizeof(m->image));
		snprintf(m->image, sizeof(m->image), "%s", images[i]);
		if (proto_check_start(m, size, &e) == 0)
			fail_msg("image \"%s\" passes", images[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		auto_free struct proto_start *m = good();

		memset(m->input[1].name, 0, sizeof(m->input[1].name));
		snprintf(m->input[1].name, sizeof(m->input[1].name), "%s", names[i]);
		if (proto_check_start(m, size, &e) == 0)
			fail_msg("name \"%s\" passes", names[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		auto_free struct proto_start *m = good();

		memset(m->input[1].content, 0, sizeof(m->input[1].content));
		snprintf(m->input[1].content, sizeof(m->input[1].content), "%s", paths[i]);
		if (proto_check_start(m, size, &e) == 0)
			fail_msg("path \"%s\" passes", paths[i]);
	}
}

static void an_input_is_a_path_or_a_passed_file(void **state unused_arg)
{
	auto_free struct proto_start *m = good();
	struct err e = { 0 };

	assert_int_equal(proto_files(m), 0);
	m->input[1].size = 7;
	assert_int_equal(proto_check_start(m, size, &e), -1);
	memset(m->input[1].content, 0, sizeof(m->input[1].content));
	assert_int_equal(proto_check_start(m, size, &e), 0);
	assert_int_equal(proto_files(m), 1);
	m->input[0].content[0] = '\0'; // something is left behind the end
	assert_int_equal(proto_check_start(m, size, &e), -1);
}

static void mounts_lie_below_mnt_and_apart(void **state unused_arg)
{
	static const struct {
		const char *a, *b;
		bool ok;
	} cases[] = {
		{ "a", "b", true },	{ "a/b", "a/c", true }, { "a", "ab", true },
		{ "a", "a", false },	{ "a", "a/b", false },	{ "a/b/c", "a/b", false },
		{ "a", "../b", false }, { "/a", "b", false },	{ "", "b", false },
		{ "a", "b/", false },
	};
	struct err e = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		auto_free struct proto_start *m = good();
		struct proto_mount *mounts;
		size_t n = size + 2 * sizeof(*mounts);

		m->mount_count = 2;
		mounts = (struct proto_mount *)(uintptr_t)proto_mounts(m);
		snprintf(mounts[0].target, sizeof(mounts[0].target), "%s", cases[i].a);
		snprintf(mounts[1].target, sizeof(mounts[1].target), "%s", cases[i].b);
		if ((proto_check_start(m, n, &e) == 0) != cases[i].ok)
			fail_msg("%s and %s", cases[i].a, cases[i].b);
		if (cases[i].ok)
			assert_int_equal(proto_files(m), 2);
		assert_int_equal(proto_check_start(m, size, &e), -1);
	}
}

static void ids_are_in_their_bounds(void **state unused_arg)
{
	auto_free struct proto_start *m = good();
	struct err e = { 0 };

	m->uid = m->gid = m->groups[0] = INT32_MAX;
	m->group_count = PROTO_GROUPS_MAX;
	assert_int_equal(proto_check_start(m, size, &e), 0);
	m->group_count = 0; // a group behind the last
	assert_int_equal(proto_check_start(m, size, &e), -1);
	m->group_count = PROTO_GROUPS_MAX + 1;
	assert_int_equal(proto_check_start(m, size, &e), -1);
	m->group_count = 1;
	m->groups[0] = UINT32_MAX;
	assert_int_equal(proto_check_start(m, size, &e), -1);
	m->groups[0] = 0;
	m->uid = (uint32_t)INT32_MAX + 1;
	assert_int_equal(proto_check_start(m, size, &e), -1);
	m->uid = 0;
	m->gid = UINT32_MAX;
	assert_int_equal(proto_check_start(m, size, &e), -1);
}

static void texts_end_inside_their_field(void **state unused_arg)
{
	auto_free struct proto_start *m = good();
	struct err e = { 0 };

	memset(m->job, 'a', sizeof(m->job));
	assert_int_equal(proto_check_start(m, size, &e), -1);
	memset(m->job, 0, sizeof(m->job));
	m->job[0] = 'a';
	m->job[5] = 'b'; // what stands behind the end is foreign, too
	assert_int_equal(proto_check_start(m, size, &e), -1);
	m->job[5] = 0;
	assert_int_equal(proto_check_start(m, size, &e), 0);
	memset(m->input[0].content, 'a', sizeof(m->input[0].content));
	assert_int_equal(proto_check_start(m, size, &e), -1);
}

static void amounts_are_bounded(void **state unused_arg)
{
	auto_free struct proto_start *m = good();
	struct err e = { 0 };

	m->timeout_ms = -1;
	assert_int_equal(proto_check_start(m, size, &e), -1);
	m->timeout_ms = INT64_MAX;
	assert_int_equal(proto_check_start(m, size, &e), -1);
	m->timeout_ms = 0;
	m->memory_bytes = UINT64_MAX;
	assert_int_equal(proto_check_start(m, size, &e), -1);
	m->memory_bytes = 0;
	m->network = PROTO_NETWORK_NAT + 1;
	assert_int_equal(proto_check_start(m, size, &e), -1);
	m->network = 0;
	m->attempt = 0;
	assert_int_equal(proto_check_start(m, size, &e), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_good_start_passes),
		cmocka_unit_test(gifts_have_names_of_one_part),
		cmocka_unit_test(taking_names_both),
		cmocka_unit_test(ahead_of_a_job_there_is_nothing_of_it),
		cmocka_unit_test(sizes_must_agree),
		cmocka_unit_test(wrong_fields_are_refused),
		cmocka_unit_test(an_input_is_a_path_or_a_passed_file),
		cmocka_unit_test(mounts_lie_below_mnt_and_apart),
		cmocka_unit_test(ids_are_in_their_bounds),
		cmocka_unit_test(texts_end_inside_their_field),
		cmocka_unit_test(amounts_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
