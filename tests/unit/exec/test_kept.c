// SPDX-License-Identifier: Apache-2.0
// Kept sandboxes as the driver sees them, with the test as their shim: what comes first does not matter.
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "exec/sandbox/kept.h"
#include "runner/warm.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cmocka.h>

#define CALL "call-1.1"

struct place {
	char path[20];
	int jobs, listener, shim;
	struct kept_pool pool;
	struct exec_keep key;
	struct exec_spec spec;
	char id[PROTO_JOB_MAX];
	char ended[JOBDIR_NAME_MAX];
	uint32_t outcome;
};

static void on_started(void *owner unused_arg, const char *name unused_arg, int64_t wall unused_arg)
{
}

static void on_ended(void *owner, const char *name, const struct jobdir_exit *x)
{
	struct place *p = owner;

	snprintf(p->ended, sizeof(p->ended), "%s", name);
	p->outcome = x->outcome;
}

static int setup(void **state)
{
	struct place *p = mem_zalloc(sizeof(*p));
	struct err e = { 0 };

	snprintf(p->path, sizeof(p->path), "/tmp/kept-XXXXXX");
	assert_non_null(mkdtemp(p->path));
	p->jobs = file_open(AT_FDCWD, p->path, O_RDONLY | O_DIRECTORY, 0, &e);
	p->listener = p->shim = -1;
	p->pool = (struct kept_pool){ .owner = p, .started = on_started, .ended = on_ended };
	kept_init(&p->pool, p->jobs);
	p->key = (struct exec_keep){ .service = 1, .revision = 1, .count = 1, .idle_ms = 60000 };
	p->spec = (struct exec_spec){ .job = "call-1", .attempt = 1, .keep = &p->key };
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;
	struct err e = { 0 };

	kept_release(&p->pool);
	file_close(p->listener);
	file_close(p->shim);
	file_close(p->jobs);
	assert_int_equal(file_remove_tree(AT_FDCWD, p->path, &e), 0);
	mem_free(p);
	return 0;
}

// A call takes a new one, whose folder and socket are there then.
static void begin(struct place *p)
{
	static const char *const folders[] = { "oscar", "oscar/input", "oscar/output" };
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	bool fresh;

	assert_true(kept_take(&p->pool, &p->spec, CALL, p->id, &fresh));
	assert_true(fresh);
	snprintf(a.sun_path, sizeof(a.sun_path), "%s/%s.1", p->path, p->id);
	assert_int_equal(mkdir(a.sun_path, 0700), 0);
	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		auto_free char *path = mem_printf("%s/%s.1/%s", p->path, p->id, folders[i]);

		assert_int_equal(mkdir(path, 0700), 0);
	}
	snprintf(a.sun_path, sizeof(a.sun_path), "%s/%s.1/" WARM_SOCKET, p->path, p->id);
	p->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(p->listener, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(p->listener, 1), 0);
}

static void prepare(struct place *p)
{
	struct err e = { 0 };

	if (kept_prepare(&p->pool, &p->spec, CALL, &e) < 0)
		fail_msg("%s", e.msg);
	assert_true(kept_send(&p->pool, CALL));
}

// A turn of the driver's thread.
static void turn(struct place *p)
{
	struct pollfd polled[KEPT_MAX];
	size_t n = kept_poll(&p->pool, polled);

	poll(polled, n, 0);
	kept_turn(&p->pool, polled, n);
}

static bool call_came(struct place *p)
{
	struct warm_message m;
	struct err e = { 0 };
	int fds[WARM_FDS_MAX];

	if (p->shim < 0)
		p->shim = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (p->shim < 0 || warm_receive(p->shim, &m, fds, 3, &e) <= 0)
		return false;
	assert_int_equal(m.kind, WARM_CALL);
	for (int i = 0; i < 3; i++)
		file_close(fds[i]);
	return true;
}

static void laid_out_before_it_is_ready(void **state)
{
	struct place *p = *state;

	begin(p);
	prepare(p);
	turn(p);
	assert_false(call_came(p));
	kept_ready(&p->pool, p->id);
	turn(p);
	assert_true(call_came(p));
}

static void ready_before_it_is_laid_out(void **state)
{
	struct place *p = *state;

	begin(p);
	kept_ready(&p->pool, p->id);
	turn(p);
	assert_false(call_came(p));
	prepare(p);
	turn(p);
	assert_true(call_came(p));
}

static bool came(struct place *p, enum warm_kind kind)
{
	struct warm_message m;
	struct err e = { 0 };

	return warm_receive(p->shim, &m, NULL, 0, &e) > 0 && m.kind == kind;
}

static void say(struct place *p, enum warm_kind kind)
{
	struct warm_message m = { .magic = WARM_MAGIC, .kind = kind, .reusable = 1 };
	struct err e = { 0 };

	assert_int_equal(warm_send(p->shim, &m, NULL, 0, &e), 0);
	turn(p);
}

static struct exec_kept counted(struct place *p)
{
	struct exec_kept n;

	kept_count(&p->pool, &n);
	return n;
}

// It is told so when it is due, once; the next call comes all the same.
static void an_idle_one_is_frozen(void **state)
{
	struct place *p = *state;
	char folder[JOBDIR_NAME_MAX], id[PROTO_JOB_MAX];
	bool fresh;

	p->key.freeze_ms = 40;
	begin(p);
	kept_ready(&p->pool, p->id);
	prepare(p);
	turn(p);
	assert_true(call_came(p));
	poll(NULL, 0, 60);
	turn(p);
	assert_false(came(p, WARM_FREEZE)); // it is busy
	say(p, WARM_ENDED);
	assert_string_equal(p->ended, CALL);
	assert_int_equal(counted(p).busy, 1); // its call is not collected yet
	assert_true(kept_forget(&p->pool, CALL, folder));
	assert_int_equal(counted(p).idle, 1);
	turn(p);
	assert_false(came(p, WARM_FREEZE));
	assert_true(kept_due(&p->pool) - clock_mono_ns() <= 40 * NS_PER_MS);
	poll(NULL, 0, 60);
	turn(p);
	assert_true(came(p, WARM_FREEZE));
	turn(p);
	assert_false(came(p, WARM_FREEZE));
	assert_true(kept_due(&p->pool) - clock_mono_ns() > 50 * NS_PER_S); // its end
	assert_int_equal(counted(p).frozen, 0);				   // not known yet
	say(p, WARM_FROZEN);
	assert_int_equal(counted(p).frozen, 1);
	assert_int_equal(counted(p).idle, 0);
	assert_true(kept_take(&p->pool, &p->spec, CALL, id, &fresh));
	assert_false(fresh);
	assert_string_equal(id, p->id);
	say(p, WARM_FROZEN); // too late
	assert_int_equal(counted(p).frozen, 0);
	prepare(p);
	turn(p);
	assert_true(call_came(p));
	assert_int_equal(counted(p).busy, 1);
}

static void call_with(struct place *p, const char *name, const char *bytes)
{
	struct exec_input in = { .name = name, .bytes = span_of(bytes) };
	struct exec_spec s = p->spec;
	struct err e = { 0 };
	char folder[JOBDIR_NAME_MAX], id[PROTO_JOB_MAX];
	bool fresh;

	s.inputs = &in;
	s.input_count = name[0] ? 1 : 0;
	assert_true(kept_take(&p->pool, &s, CALL, id, &fresh));
	assert_false(fresh);
	assert_string_equal(id, p->id);
	if (kept_prepare(&p->pool, &s, CALL, &e) < 0)
		fail_msg("%s", e.msg);
	assert_true(kept_send(&p->pool, CALL));
	turn(p);
	assert_true(call_came(p));
	say(p, WARM_ENDED);
	assert_true(kept_forget(&p->pool, CALL, folder));
}

static void assert_inputs(struct place *p, const char *name, const char *bytes)
{
	auto_free char *folder = mem_printf("%s/%s.1/oscar/input", p->path, p->id);
	auto_fd int dir = open(folder, O_RDONLY | O_DIRECTORY);
	auto_buf struct buf text;
	struct err e = { 0 };
	unsigned n = 0;
	DIR *list = opendir(folder);

	while (readdir(list))
		n++;
	closedir(list);
	assert_int_equal(n, name[0] ? 3 : 2);
	buf_init(&text, 100);
	if (name[0] && file_read_path(dir, name, &text, &e) < 0)
		fail_msg("%s", e.msg);
	assert_true(span_is(buf_span(&text), bytes));
}

// The one of the call before is never seen, whatever their names and sizes.
static void each_call_has_its_own_input(void **state)
{
	struct place *p = *state;
	char folder[JOBDIR_NAME_MAX];

	begin(p);
	kept_ready(&p->pool, p->id);
	prepare(p);
	turn(p);
	assert_true(call_came(p));
	say(p, WARM_ENDED);
	assert_true(kept_forget(&p->pool, CALL, folder));
	assert_inputs(p, "", "");
	call_with(p, "a", "long text");
	assert_inputs(p, "a", "long text");
	call_with(p, "a", "short");
	assert_inputs(p, "a", "short");
	call_with(p, "b", "");
	assert_inputs(p, "b", "");
	call_with(p, "", "");
	assert_inputs(p, "", "");
	call_with(p, "c", "again");
	assert_inputs(p, "c", "again");
}

// A shim that is not there: the sandbox is to be ended, and then its call is told.
static void nobody_listens(void **state)
{
	struct place *p = *state;
	const struct jobdir_exit stopped = { .outcome = JOBDIR_STOPPED };
	char id[PROTO_JOB_MAX], folder[JOBDIR_NAME_MAX];

	begin(p);
	file_close(p->listener);
	p->listener = -1;
	kept_ready(&p->pool, p->id);
	prepare(p);
	turn(p);
	assert_true(kept_ending(&p->pool, id));
	assert_string_equal(id, p->id);
	assert_string_equal(p->ended, "");
	assert_false(kept_gone(&p->pool, p->id, &stopped));
	assert_string_equal(p->ended, CALL);
	assert_int_equal(p->outcome, JOBDIR_LOST);
	assert_true(kept_forget(&p->pool, CALL, folder));
	assert_int_equal(strncmp(folder, p->id, strlen(p->id)), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(laid_out_before_it_is_ready, setup, teardown),
		cmocka_unit_test_setup_teardown(ready_before_it_is_laid_out, setup, teardown),
		cmocka_unit_test_setup_teardown(an_idle_one_is_frozen, setup, teardown),
		cmocka_unit_test_setup_teardown(each_call_has_its_own_input, setup, teardown),
		cmocka_unit_test_setup_teardown(nobody_listens, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
