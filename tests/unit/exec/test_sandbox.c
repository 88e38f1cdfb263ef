// SPDX-License-Identifier: Apache-2.0
#include "bed.h"

#include <arpa/inet.h>
#include <netinet/in.h>

static int setup(void **state)
{
	*state = bed_open(false);
	return 0;
}

static int teardown(void **state)
{
	bed_close(*state);
	return 0;
}

static struct bed *need(void **state)
{
	if (!*state)
		skip();
	return *state;
}

static void a_script_that_succeeds_exits_0(void **state)
{
	struct bed *b = need(state);
	struct exec_spec s = bed_spec("ok", "echo out; echo err >&2");
	struct exec_result r = bed_run(b, &s);
	struct bed_event started;

	assert_outcome(r, EXEC_EXITED);
	assert_int_equal(r.exit_code, 0);
	assert_string_equal(r.reason, "");
	assert_true(r.started_wall_ns > 0 && r.ended_wall_ns >= r.started_wall_ns);
	assert_true(r.memory_peak_bytes > 0);
	assert_true(r.cpu_us > 0);
	bed_wait(b, "ok", 1, false, &started);
	assert_true(started.started_wall_ns == r.started_wall_ns);
	auto_free char *out = bed_log(b, "ok", JOBLOG_STDOUT);
	auto_free char *err = bed_log(b, "ok", JOBLOG_STDERR);

	assert_string_equal(out, "out\n");
	assert_string_equal(err, "err\n");
	bed_forget(b, "ok");
	struct err e = { 0 };

	assert_int_equal(b->driver->ops->open_log(b->driver, "ok", 1, &e), -1);
	assert_int_equal(e.code, ERR_NOT_FOUND);
}

// The script is whom its image says, and everything that is its own works as for root.
static void a_script_runs_as_the_user_it_is_given(void **state)
{
	struct bed *b = need(state);
	static const uint32_t groups[] = { 7, 0, 44 };
	static const struct {
		const char *job;
		uint32_t uid, gid;
		unsigned group_count;
		const char *out;  // as root, with ids enough
		const char *poor; // where a sandbox has one id only
	} users[] = {
		{ "as-root", 0, 0, 0, "0 0 0", "0 0 0" },
		{ "as-app", 1000, 100, 0, "1000 100 100", "1000 100 100" },
		{ "as-first", 1, 0, 0, "1 0 0", "1 0 0" },
		{ "as-last", INT32_MAX, INT32_MAX, 0, "2147483647 2147483647 2147483647",
		  "2147483647 2147483647 2147483647" },
		{ "as-groups", 65534, 12, 3, "65534 12 12 7 0 44", "65534 12 12" },
		{ "as-root-too", 0, 5, 3, "0 5 5 7 0 44", "0 5 5" },
	};
	static const char script[] =
		"echo $(id -u) $(id -g) $(id -G); cat /oscar/input/in >$TMP_OUTPUT_DIR/out || exit "
		"9; "
		"mkdir $TMP_OUTPUT_DIR/d && chmod 700 $TMP_OUTPUT_DIR/d && "
		"echo x >$TMP_OUTPUT_DIR/d/x || exit 10; test -O $TMP_OUTPUT_DIR/out || exit 11; "
		"echo t >/tmp/t && echo s >/dev/shm/s && echo >/dev/stdout || exit 12; "
		"touch /oscar/x /etc/x /oscar/config/x 2>/dev/null && exit 13; "
		"kill -9 1 2>/dev/null; cat /proc/1/environ >/dev/null 2>&1 && exit 14; "
		"grep -q '^CapEff:\t0*$' /proc/self/status || exit 15; "
		"chown 0:0 /tmp/t 2>/dev/null && test $(id -u) != 0 && exit 16; true";
	const struct exec_input in = { .name = "in", .bytes = SPAN("input\n") };

	for (size_t i = 0; i < ARRAY_LEN(users); i++) {
		struct exec_spec s = bed_spec(users[i].job, script);
		auto_free char *want = mem_printf("%s\n\n", b->root ? users[i].out : users[i].poor);
		auto_buf struct buf copy;
		struct err e = { 0 };
		struct stat st;

		s.uid = users[i].uid;
		s.gid = users[i].gid;
		s.groups = groups;
		s.group_count = users[i].group_count;
		s.inputs = &in;
		s.input_count = 1;
		struct exec_result r = bed_run(b, &s);
		auto_free char *out = bed_log(b, users[i].job, JOBLOG_STDOUT);
		auto_free char *err = bed_log(b, users[i].job, JOBLOG_STDERR);

		if (r.outcome != EXEC_EXITED || r.exit_code || strcmp(out, want) != 0)
			fail_msg("%s: outcome %d code %d (%s)\n%s%s", users[i].job, r.outcome,
				 r.exit_code, r.reason, out, err);
		// Outside everything is the daemon's own, whoever made it.
		auto_fd int dir = b->driver->ops->open_output(b->driver, users[i].job, 1, &e);

		buf_init(&copy, 100);
		assert_int_equal(file_read_path(dir, "d/x", &copy, &e), 0);
		assert_int_equal(file_read_path(dir, "out", &copy, &e), 0);
		assert_true(span_is(buf_span(&copy), "x\ninput\n"));
		assert_int_equal(fstatat(dir, "d", &st, 0), 0);
		assert_int_equal(st.st_uid, b->user);
		bed_forget(b, users[i].job);
	}
}

// A script, and what it must come to.
static const struct {
	const char *job, *script;
	enum exec_outcome outcome;
	int code;	 // exit code or signal
	const char *out; // standard output, NULL = any
} cases[] = {
	{ "code", "exit 7", EXEC_EXITED, 7, "" },
	{ "code-255", "exit 255", EXEC_EXITED, 255, "" },
	{ "kill-9", "kill -9 $$", EXEC_SIGNALED, 9, "" },
	{ "segv", "kill -SEGV $$", EXEC_SIGNALED, 11, "" },
	{ "no-such-command", "exec 2>&-; nonesuch", EXEC_EXITED, 127, "" },
	{ "syntax", "if", EXEC_EXITED, 2, NULL },
	{ "empty", "", EXEC_EXITED, 0, "" },
	{ "where", "pwd; echo $0; id -u; id -un; hostname", EXEC_EXITED, 0,
	  "/tmp\n/oscar/config/script.sh\n0\nroot\noscar\n" },
	{ "pid-1", "cat /proc/1/comm; ls /proc | grep -c '^[0-9]'", EXEC_EXITED, 0, NULL },
	{ "closes", "exec >&- 2>&-; sleep 0.1; exit 3", EXEC_EXITED, 3, "" },
	{ "orphans", "sleep 1000 & setsid sleep 1000 & exit 4", EXEC_EXITED, 4, "" },
	{ "daemon", "(setsid sh -c 'trap \"\" TERM HUP; sleep 1000' &) ; exit 5", EXEC_EXITED, 5,
	  "" },
	{ "tmp", "echo hi >/tmp/x && cat /tmp/x && echo y >$TMPDIR/y && touch /dev/shm/z",
	  EXEC_EXITED, 0, "hi\n" },
	{ "dev",
	  "echo a >/dev/null || exit 9; head -c 3 /dev/zero | wc -c; head -c 5 /dev/urandom | wc "
	  "-c; "
	  "echo b >/dev/full 2>/dev/null || echo full; cat /dev/stdin; echo; echo c >/dev/stdout; "
	  "echo d >/dev/stderr",
	  EXEC_EXITED, 0, "3\n5\nfull\n{}\nc\n" },
	{ "read-only",
	  "for f in / /usr /etc /bin/ /oscar /oscar/config /oscar/input /dev /sys /root /var; do "
	  "touch $f/x 2>/dev/null && echo wrote $f; done; "
	  "echo >/oscar/config/script.sh && echo changed; true",
	  EXEC_EXITED, 0, "" },
	{ "writable", "for f in /tmp /oscar/output /dev/shm; do touch $f/x || exit 1; done",
	  EXEC_EXITED, 0, "" },
	{ "host-files",
	  "for f in /etc/shadow /etc/sudoers /etc/ssh /etc/ssl/private /etc/fstab /home/* "
	  "/root/* /var/lib /run/* /srv/* /work /mnt/* /sys/*; do test -e $f && echo $f; done; "
	  "true",
	  EXEC_EXITED, 0, "" },
	{ "programs",
	  "python3 -c 'import ssl,json,random; print(1)'; perl -e 'print \"2\\n\"'; "
	  "awk 'BEGIN{print 3}'; printf x | sha256sum | head -c 4; echo",
	  EXEC_EXITED, 0, "1\n2\n3\n2d71\n" },
	{ "no-network",
	  "cat /proc/net/dev | grep -c :; cat /proc/net/route | wc -l; "
	  "python3 -c 'import socket; s=socket.socket(); s.bind((\"127.0.0.1\",0)); s.listen(); "
	  "c=socket.create_connection(s.getsockname()); print(\"loopback\")'; "
	  "python3 -c 'import socket; socket.create_connection((\"192.0.2.1\",80),2)' "
	  "2>&1 | grep -o unreachable",
	  EXEC_EXITED, 0, "1\n1\nloopback\nunreachable\n" },
	{ "names", "getent hosts localhost | wc -l; getent passwd root nobody | wc -l", EXEC_EXITED,
	  0, "1\n2\n" },
	{ "capabilities",
	  "grep -E 'Cap(Inh|Prm|Eff|Bnd|Amb)|NoNewPrivs|Seccomp:' /proc/self/status | "
	  "tr -d '\\t' | tr '\\n' ' '",
	  EXEC_EXITED, 0,
	  "CapInh:0000000000000000 CapPrm:0000000000000000 CapEff:0000000000000000 "
	  "CapBnd:0000000000000000 CapAmb:0000000000000000 NoNewPrivs:1 Seccomp:2 " },
	{ "descriptors", "ls /proc/self/fd | tr '\\n' ' '", EXEC_EXITED, 0, "0 1 2 3 " },
	{ "signals", "grep -E 'Sig(Blk|Ign)' /proc/self/status | tr -d '\\t\\n'", EXEC_EXITED, 0,
	  "SigBlk:0000000000000000SigIgn:0000000000000000" },
	{ "init-is-shut",
	  "cat /proc/1/environ /proc/1/maps /proc/1/stack /proc/1/fd/0 2>/dev/null | wc -c; "
	  "ls /proc/1/root/ 2>/dev/null | wc -l; kill -9 1; kill -TERM 1; echo on",
	  EXEC_EXITED, 0, "0\n0\non\n" },
	{ "masked",
	  "cat /proc/kcore /proc/keys /proc/timer_list 2>/dev/null | wc -c; "
	  "echo 1 2>/dev/null >/proc/sys/kernel/domainname && echo wrote; "
	  "echo h 2>/dev/null >/proc/sysrq-trigger && echo wrote; true",
	  EXEC_EXITED, 0, "0\n" },
};

static void scripts_end_as_they_should(void **state)
{
	struct bed *b = need(state);
	unsigned bad = 0;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct exec_spec s = bed_spec(cases[i].job, cases[i].script);
		struct exec_result r = bed_run(b, &s);
		auto_free char *out = bed_log(b, cases[i].job, JOBLOG_STDOUT);
		auto_free char *err = bed_log(b, cases[i].job, JOBLOG_STDERR);
		int code = r.outcome == EXEC_SIGNALED ? r.signal : r.exit_code;

		if (r.outcome != cases[i].outcome || code != cases[i].code ||
		    (cases[i].out && strcmp(out, cases[i].out) != 0)) {
			print_error("%s: outcome %d code %d (%s)\n--- stdout\n%s--- stderr\n%s",
				    cases[i].job, r.outcome, code, r.reason, out, err);
			bad++;
		}
		bed_forget(b, cases[i].job);
	}
	assert_int_equal(bad, 0);
}

// Each of them must be refused by the kernel; the script exits 0 only then.
static void hostile_calls_are_refused(void **state)
{
	static const char *const tries[] = {
		"mount -t tmpfs x /tmp",
		"mount --bind /tmp /oscar/output",
		"mount -o remount,rw /",
		"umount /proc",
		"unshare -U true",
		"unshare -m true",
		"unshare -n true",
		"chroot / true",
		"mknod /tmp/sda b 8 0",
		"nsenter -t 1 -m true",
		"hostname other",
		"date -s 2000-01-01",
		"python3 -c 'import socket; socket.socket(socket.AF_INET,socket.SOCK_RAW,1)'",
		"python3 -c 'import socket; socket.socket(17,3,0)'", // packet
		"python3 -c 'import socket; socket.socket(40,1,0)'", // vsock
		"python3 -c 'import socket; socket.socket(38,5,0)'", // kernel crypto
		"chown 1:1 /oscar/output",
		"chmod 777 /oscar/config/script.sh",
		"sh -c 'ulimit -c unlimited'",
		"nice -n -5 sh -c 'test $(nice) = -5'",
	};
	// System calls by number (x86-64 and arm64 differ, so Python asks libc by name).
	static const char *const calls[] = { "ptrace",
					     "keyctl",
					     "add_key",
					     "bpf",
					     "perf_event_open",
					     "unshare",
					     "setns",
					     "swapon",
					     "reboot",
					     "userfaultfd",
					     "init_module",
					     "kexec_load",
					     "process_vm_readv",
					     "name_to_handle_at",
					     "fsopen",
					     "acct",
					     "clone3",
					     "io_uring_setup",
					     "open_tree",
					     "pivot_root" };
	struct bed *b = need(state);
	auto_buf struct buf script;

	buf_init(&script, 65536);
	buf_add_str(&script, "( true ) >/dev/null 2>&1 && echo 'allowed: true'\n");
	for (size_t i = 0; i < ARRAY_LEN(tries); i++)
		buf_printf(&script, "( %s ) >/dev/null 2>&1 && echo 'allowed: %zu'\n", tries[i], i);
	buf_add_str(&script, "python3 - <<'END'\nimport ctypes, os\nlibc = ctypes.CDLL(None, "
			     "use_errno=True)\nnumbers = {");
#if defined(__x86_64__)
	static const int numbers[] = { 101, 250, 248, 321, 298, 272, 308, 167, 169, 323,
				       175, 246, 310, 303, 430, 163, 435, 425, 428, 155 };

	for (size_t i = 0; i < ARRAY_LEN(calls); i++)
		buf_printf(&script, "'%s': %d,", calls[i], numbers[i]);
#endif
	buf_add_str(&script, "}\nfor name, nr in numbers.items():\n"
			     "    ctypes.set_errno(0)\n"
			     "    r = libc.syscall(nr, 0, 0, 0, 0, 0, 0)\n"
			     "    e = ctypes.get_errno()\n"
			     "    if r != -1 or e not in (1, 38):\n"
			     "        print('allowed:', name, r, os.strerror(e))\nEND\ntrue\n");
	struct exec_spec s = bed_spec("hostile", script.p);
	struct exec_result r = bed_run(b, &s);
	auto_free char *out = bed_log(b, "hostile", JOBLOG_STDOUT);

	assert_outcome(r, EXEC_EXITED);
	assert_string_equal(out, "allowed: true\n");
	assert_int_equal(r.exit_code, 0);
	bed_forget(b, "hostile");
}

static void the_event_comes_byte_for_byte(void **state)
{
	enum { SIZE = 10 << 20 };
	struct bed *b = need(state);
	auto_free char *event = mem_alloc(SIZE);
	struct exec_spec s = bed_spec("event", "cat >$TMP_OUTPUT_DIR/copy; test -z \"$EVENT\"");

	for (size_t i = 0; i < SIZE; i++)
		event[i] = (char)(i * 7 + (i >> 11));
	s.event = span_make(event, SIZE);
	struct exec_result r = bed_run(b, &s);
	auto_free char *copy = bed_output(b, "event", "copy");

	assert_outcome(r, EXEC_EXITED);
	assert_int_equal(r.exit_code, 0);
	assert_non_null(copy);
	assert_memory_equal(copy, event, SIZE);
	bed_forget(b, "event");
}

static void the_environment_is_as_given(void **state)
{
	static const struct exec_env env[] = { { "A", "with  blanks and\nline $HOME `id`" },
					       { "EMPTY", "" },
					       { "PATH", "/usr/bin:/bin" } };
	struct bed *b = need(state);
	struct exec_spec s =
		bed_spec("env", "printf '%s|' \"$A\" \"$EMPTY\" \"$PATH\" \"$HOME\" \"$EVENT\" "
				"\"$TMP_INPUT_DIR\" \"$TMP_OUTPUT_DIR\" \"$INPUT_FILE_PATH\"; "
				"env | wc -l");

	s.env = env;
	s.env_count = ARRAY_LEN(env);
	s.event = SPAN("{\"a\": \"x  y * \\n\"}");
	s.input_file = "in.txt";
	struct exec_result r = bed_run(b, &s);
	auto_free char *out = bed_log(b, "env", JOBLOG_STDOUT);

	assert_outcome(r, EXEC_EXITED);
	assert_string_equal(out, "with  blanks and\nline $HOME `id`||/usr/bin:/bin|/tmp|"
				 "{\"a\": \"x  y * \\n\"}|/oscar/input|/oscar/output|"
				 "/oscar/input/in.txt|12\n");
	bed_forget(b, "env");
}

static void what_cannot_run_is_refused_at_once(void **state)
{
	struct bed *b = need(state);
	auto_free char *large = mem_alloc(131073);
	struct exec_env env = { "LARGE", large };
	struct exec_spec s = bed_spec("refused", "true");
	struct err e = { 0 };

	memset(large, 'x', 131072);
	large[131072] = '\0';
	s.env = &env;
	s.env_count = 1;
	assert_int_equal(b->driver->ops->submit(b->driver, &s, &e), -1);
	assert_int_equal(e.code, ERR_LIMIT);
	s.env_count = 0;
	for (int i = 0; i < 4; i++) {
		static const char *const jobs[] = { "Upper", "", "a/b", ".." };
		struct exec_spec bad = s;

		bad.job = jobs[i];
		assert_int_equal(b->driver->ops->submit(b->driver, &bad, &e), -1);
		assert_int_equal(e.code, ERR_INVALID);
	}
	struct exec_input out = { .name = "x", .content = "../etc/passwd" };
	struct exec_input up = { .name = "..", .bytes = SPAN("") };

	s.input_count = 1;
	s.inputs = &out;
	assert_int_equal(b->driver->ops->submit(b->driver, &s, &e), -1);
	assert_int_equal(e.code, ERR_INVALID);
	s.inputs = &up;
	assert_int_equal(b->driver->ops->submit(b->driver, &s, &e), -1);
	assert_int_equal(e.code, ERR_INVALID);
	s.input_count = 0;
	s.image = "no/such";
	assert_int_equal(b->driver->ops->submit(b->driver, &s, &e), -1);
	assert_int_equal(e.code, ERR_INVALID);
	s.image = "0123abc";
	struct exec_result r = bed_run(b, &s);

	assert_outcome(r, EXEC_SETUP_FAILED);
	assert_non_null(strstr(r.reason, "image 0123abc"));
	assert_int_equal(b->driver->ops->submit(b->driver, &s, &e), -1);
	assert_int_equal(e.code, ERR_EXISTS);
	bed_forget(b, "refused");
}

static void put(const struct bed *b, const char *path, const char *text)
{
	auto_free char *full = mem_printf("%s/%s", b->data, path);
	struct err e = { 0 };
	auto_fd int fd = file_open(AT_FDCWD, full, O_WRONLY | O_CREAT | O_TRUNC, 0600, &e);

	assert_true(fd >= 0);
	assert_int_equal(file_write_all(fd, text, strlen(text), &e), 0);
}

static void make_dir(const struct bed *b, const char *path)
{
	auto_free char *full = mem_printf("%s/%s", b->data, path);

	assert_true(mkdir(full, 0700) == 0 || errno == EEXIST);
}

static void inputs_are_there_and_cannot_be_changed(void **state)
{
	struct bed *b = need(state);
	struct exec_input in[] = { { .name = "stored file", .content = "content/ab12" },
				   { .name = "given", .bytes = SPAN("bytes") } };
	struct exec_spec s =
		bed_spec("inputs",
			 "cat \"$INPUT_FILE_PATH\" \"$TMP_INPUT_DIR/given\"; ls $TMP_INPUT_DIR; "
			 "echo x >>\"$INPUT_FILE_PATH\" 2>/dev/null || echo kept; "
			 "rm -f \"$INPUT_FILE_PATH\" 2>/dev/null || echo stays; stat -c %U "
			 "\"$INPUT_FILE_PATH\"");

	make_dir(b, "content");
	put(b, "content/ab12", "stored\n");
	s.inputs = in;
	s.input_count = 2;
	s.input_file = "stored file";
	struct exec_result r = bed_run(b, &s);
	auto_free char *out = bed_log(b, "inputs", JOBLOG_STDOUT);

	assert_outcome(r, EXEC_EXITED);
	assert_string_equal(out, "stored\nbytesgiven\nstored file\nkept\nstays\nroot\n");
	bed_forget(b, "inputs");
	auto_free char *full = mem_printf("%s/content/ab12", b->data);

	assert_int_equal(access(full, F_OK), 0);
}

// A daemon taken over by an attacker must not make the runner show what is not the daemon's.
static void the_runner_binds_only_files_of_its_data_directory(void **state)
{
	struct bed *b = need(state);
	static const char *const paths[] = { "content/link", "content/dir", "content/none",
					     "content/pipe", "linked/passwd" };
	auto_free char *link = mem_printf("%s/content/link", b->data);
	auto_free char *dir = mem_printf("%s/content/dir", b->data);
	auto_free char *pipe = mem_printf("%s/content/pipe", b->data);
	auto_free char *linked = mem_printf("%s/linked", b->data);

	make_dir(b, "content");
	assert_true(symlink("/etc/passwd", link) == 0 && mkdir(dir, 0700) == 0);
	assert_true(mkfifo(pipe, 0600) == 0 && symlink("/etc", linked) == 0);
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		char job[32];
		struct exec_input in = { .name = "x", .content = paths[i] };
		struct exec_spec s = bed_spec(job, "cat /oscar/input/x");

		snprintf(job, sizeof(job), "bind-%zu", i);
		s.inputs = &in;
		s.input_count = 1;
		struct exec_result r = bed_run(b, &s);

		assert_outcome(r, EXEC_SETUP_FAILED);
		assert_int_equal(r.started_wall_ns, 0);
		bed_forget(b, job);
	}
}

static void outputs_belong_to_the_daemon(void **state)
{
	struct bed *b = need(state);
	struct exec_spec s =
		bed_spec("outputs", "cd $TMP_OUTPUT_DIR; echo a >a; mkdir -p d/e; echo b >d/e/b; "
				    "ln -s /etc/passwd link; chmod 000 d; umask 077; echo c >c; "
				    "touch 'with blank'");
	struct exec_result r = bed_run(b, &s);
	struct err e = { 0 };
	struct stat st;

	assert_outcome(r, EXEC_EXITED);
	auto_fd int dir = b->driver->ops->open_output(b->driver, "outputs", 1, &e);

	assert_true(dir >= 0);
	assert_int_equal(fstatat(dir, "c", &st, 0), 0);
	assert_int_equal(st.st_uid, b->user);
	assert_int_equal(fstatat(dir, "link", &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_true(S_ISLNK(st.st_mode));
	auto_free char *to = mem_printf("%s/moved", b->data);

	assert_int_equal(renameat(dir, "a", AT_FDCWD, to), 0);
	bed_forget(b, "outputs");
	auto_free char *gone = mem_printf("%s/jobs/outputs.1", b->data);

	assert_int_equal(access(gone, F_OK), -1);
}

static void too_much_log_is_counted_and_dropped(void **state)
{
	struct bed *b = need(state);
	struct exec_spec s = bed_spec("log", "head -c 1073741824 /dev/zero; echo; echo late >&2; "
					     "echo done >$TMP_OUTPUT_DIR/done");
	int64_t began = clock_mono_ns();

	s.log_bytes_max = 100000;
	struct exec_result r = bed_run(b, &s);
	auto_fd int fd = -1;
	struct err e = { 0 };
	struct stat st;

	assert_outcome(r, EXEC_EXITED);
	assert_int_equal(r.exit_code, 0);
	printf("# 1 GiB of log in %lld ms\n", (long long)((clock_mono_ns() - began) / NS_PER_MS));
	assert_true(r.log_bytes_dropped == (UINT64_C(1) << 30) + 6 - 100000);
	fd = b->driver->ops->open_log(b->driver, "log", 1, &e);
	assert_true(fstat(fd, &st) == 0 && st.st_size < 110000);
	auto_free char *done = bed_output(b, "log", "done");

	assert_string_equal(done, "done\n");
	bed_forget(b, "log");
}

static void the_log_can_be_read_while_the_job_runs(void **state)
{
	struct bed *b = need(state);
	struct exec_spec s =
		bed_spec("follow",
			 "echo first; while ! read x </tmp/never 2>/dev/null; do sleep 0.05; done");
	struct bed_event ev;
	struct err e = { 0 };

	bed_submit(b, &s);
	for (int i = 0;; i++) {
		auto_free char *out = bed_log(b, "follow", JOBLOG_STDOUT);

		if (strcmp(out, "first\n") == 0)
			break;
		assert_true(i < 2000);
		bed_pause_ms(5);
	}
	assert_int_equal(b->driver->ops->cancel(b->driver, "follow", 1, &e), 0);
	bed_wait(b, "follow", 1, true, &ev);
	assert_outcome(ev.result, EXEC_CANCELLED);
	bed_forget(b, "follow");
}

static struct span said(struct bed *b, const char *job, char out[static EXEC_PROGRESS_MAX])
{
	struct err e = { 0 };
	int64_t wall_ns;
	ssize_t n = b->driver->ops->progress(b->driver, job, 1, out, &wall_ns, &e);

	if (n < 0 && e.code != ERR_NOT_FOUND)
		fail_msg("%s", e.msg);
	return span_make(out, n < 0 ? 0 : (size_t)n);
}

// Runs a script that goes on until it is cancelled, and waits until what it says ends so.
static void expect_said(struct bed *b, const char *job, const char *script, const char *end)
{
	auto_free char *text = mem_printf("%s\nwhile :; do sleep 0.05; done", script);
	struct exec_spec s = bed_spec(job, text);
	char out[EXEC_PROGRESS_MAX];
	struct bed_event ev;
	struct err e = { 0 };

	bed_submit(b, &s);
	for (int i = 0;; i++) {
		struct span tail = said(b, job, out);

		if (tail.n >= strlen(end) && span_is(span_from(tail, tail.n - strlen(end)), end))
			break;
		if (i > 4000)
			fail_msg("%s says \"" SPAN_FMT "\"", job, SPAN_ARG(tail));
		bed_pause_ms(5);
	}
	assert_int_equal(b->driver->ops->cancel(b->driver, job, 1, &e), 0);
	bed_wait(b, job, 1, true, &ev);
	assert_outcome(ev.result, EXEC_CANCELLED);
}

static void what_a_script_says_of_its_progress_is_known(void **state)
{
	struct bed *b = need(state);
	char out[EXEC_PROGRESS_MAX];
	auto_free char *log = NULL;

	expect_said(b, "p-one",
		    "echo '{\"progress\":0.1}' > $OSCAR_PROGRESS; echo x >> $OSCAR_PROGRESS",
		    "{\"progress\":0.1}\nx\n");
	// What it said last is in its log, for who looks why it ended.
	log = bed_log(b, "p-one", JOBLOG_SYSTEM);
	assert_non_null(strstr(log, "it last said: x\n"));
	bed_forget(b, "p-one");
	// A folder that served before.
	expect_said(b, "p-none", "printf '\\n' > $OSCAR_PROGRESS", "\n");
	assert_int_equal(said(b, "p-none", out).n, 1);
	bed_forget(b, "p-none");
}

static void hostile_words_of_progress_are_bounded(void **state)
{
	struct bed *b = need(state);
	char out[EXEC_PROGRESS_MAX];

	expect_said(b, "p-giant",
		    "head -c 50000000 /dev/zero | tr '\\0' y > $OSCAR_PROGRESS; echo end > "
		    "$OSCAR_PROGRESS",
		    "yyyend\n");
	assert_int_equal(said(b, "p-giant", out).n, EXEC_PROGRESS_MAX);
	bed_forget(b, "p-giant");
	expect_said(b, "p-many",
		    "yes 0123456789 | head -n 2000000 > $OSCAR_PROGRESS; echo 1 > $OSCAR_PROGRESS",
		    "0123456789\n1\n");
	bed_forget(b, "p-many");
	// It cannot be taken away, replaced, or changed; who reads it himself takes only his own words.
	expect_said(b, "p-link",
		    "rm -f $OSCAR_PROGRESS; ln -sf /etc/passwd $OSCAR_PROGRESS; mv $OSCAR_PROGRESS "
		    "/tmp/x;"
		    "chmod 000 $OSCAR_PROGRESS; cat < $OSCAR_PROGRESS > /dev/null & sleep 0.2; "
		    "kill $!; wait;"
		    "[ -p $OSCAR_PROGRESS ] && [ ! -L $OSCAR_PROGRESS ] && echo still > "
		    "$OSCAR_PROGRESS",
		    "still\n");
	bed_forget(b, "p-link");
}

// Runs a script that prints one word and forgets the job; a descriptor of its log, opened before.
static int log_of_forgotten(struct bed *b, const char *job, const char *script)
{
	struct exec_spec s = bed_spec(job, script);
	struct err e = { 0 };
	int fd;

	assert_outcome(bed_run(b, &s), EXEC_EXITED);
	fd = b->driver->ops->open_log(b->driver, job, 1, &e);
	assert_true(fd >= 0);
	bed_forget(b, job);
	return fd;
}

static void expect_log(int fd, const char *text)
{
	char data[JOBLOG_RECORD_MAX];
	struct joblog_record r;
	struct err e = { 0 };
	off_t at = 0;

	assert_int_equal(joblog_read(fd, &at, &r, data, &e), 1);
	assert_int_equal(r.size, strlen(text));
	assert_memory_equal(data, text, r.size);
	assert_int_equal(joblog_read(fd, &at, &r, data, &e), 0);
}

// Files of forgotten jobs serve the next ones.
static void a_log_that_somebody_reads_never_becomes_anothers(void **state)
{
	struct bed *b = need(state);
	struct stat first, second, third;
	int fd = log_of_forgotten(b, "read", "echo mine"), other;

	assert_int_equal(fstat(fd, &first), 0);
	other = log_of_forgotten(b, "next", "echo theirs, which is longer");
	assert_int_equal(fstat(other, &second), 0);
	assert_true(first.st_ino != second.st_ino);
	expect_log(fd, "mine\n");
	expect_log(other, "theirs, which is longer\n");
	close(fd);
	close(other);
	bed_forget(b, "read");
	for (int i = 0; i < 2; i++) { // nobody has the third one's log open when it is forgotten
		struct exec_spec s = bed_spec(i ? "fourth" : "third", "echo x");

		assert_outcome(bed_run(b, &s), EXEC_EXITED);
		fd = b->driver->ops->open_log(b->driver, s.job, 1, &(struct err){ 0 });
		expect_log(fd, "x\n");
		assert_int_equal(fstat(fd, i ? &third : &second), 0);
		close(fd);
		bed_forget(b, s.job);
	}
	assert_int_equal(second.st_ino, third.st_ino);
}

static void limits_end_the_job_with_their_reason(void **state)
{
	static const struct {
		const char *job, *script;
		enum exec_outcome outcome;
		const char *reason;
	} table[] = {
		{ "oom", "head -c 300m /dev/zero | tail | wc -c; sleep 1; exit 1", EXEC_OOM,
		  "killed: over the memory limit of 64 MiB" },
		{ "oom-self", "exec python3 -c 'x=b\"x\"*(500<<20)'", EXEC_OOM,
		  "killed: over the memory limit of 64 MiB" },
		{ "oom-tmp", "head -c 500m /dev/zero >/tmp/x; exit 1", EXEC_OOM,
		  "killed: over the memory limit of 64 MiB" },
		{ "timeout", "sleep 100", EXEC_TIMEOUT, "killed: over the time limit of 1.500 s" },
		{ "timeout-stubborn", "trap '' TERM; sleep 100; sleep 100; sleep 100", EXEC_TIMEOUT,
		  "killed: over the time limit of 1.500 s" },
		{ "timeout-polite", "trap 'echo bye; exit 0' TERM; while :; do sleep 0.1; done",
		  EXEC_TIMEOUT, "killed: over the time limit of 1.500 s" },
		{ "disk", "while :; do head -c 1m /dev/zero >>$TMP_OUTPUT_DIR/x || exit 1; done",
		  EXEC_DISK, "killed: over the output limit of 8 MiB" },
		{ "disk-quick", "head -c 9m /dev/zero >$TMP_OUTPUT_DIR/x; true", EXEC_DISK,
		  "killed: over the output limit of 8 MiB" },
		{ "disk-many", "i=0; while :; do : >$TMP_OUTPUT_DIR/$i; i=$((i+1)); done",
		  EXEC_DISK, "killed: over the output limit of 8 MiB" },
	};
	struct bed *b = need(state);

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct exec_spec s = bed_spec(table[i].job, table[i].script);

		s.memory_bytes = UINT64_C(64) << 20;
		s.scratch_bytes_max = UINT64_C(1) << 30;
		s.output_bytes_max = UINT64_C(8) << 20;
		s.grace_ms = 300;
		s.timeout_ms = strncmp(table[i].job, "timeout", 7) == 0 ? 1500 : 50000;
		if (strncmp(table[i].job, "disk", 4) == 0)
			s.scratch_bytes_max = UINT64_C(4) << 20;
		struct exec_result r = bed_run(b, &s);

		if (r.outcome != table[i].outcome || strcmp(r.reason, table[i].reason) != 0)
			fail_msg("%s: outcome %d: %s", table[i].job, r.outcome, r.reason);
		auto_free char *said = bed_log(b, table[i].job, JOBLOG_SYSTEM);

		assert_non_null(strstr(said, table[i].reason));
		bed_forget(b, table[i].job);
	}
}

static void a_fork_bomb_hurts_only_itself(void **state)
{
	struct bed *b = need(state);
	// The shell itself needs one process only, or it may end for want of another.
	struct exec_spec s = bed_spec("bomb", "f() { f | f & }; { f; } & while :; do :; done");
	int64_t began = clock_mono_ns();

	s.pids_max = 40;
	s.timeout_ms = 1500;
	s.grace_ms = 100;
	struct exec_result r = bed_run(b, &s);

	assert_outcome(r, EXEC_TIMEOUT);
	assert_true(clock_mono_ns() - began < 20 * NS_PER_S);
	bed_forget(b, "bomb");
}

static void cpu_time_is_held_back(void **state)
{
	struct bed *b = need(state);
	struct exec_spec s = bed_spec("cpu", "timeout 1.5 sh -c 'while :; do :; done'; true");

	s.cpu_millis = 200;
	struct exec_result r = bed_run(b, &s);

	assert_outcome(r, EXEC_EXITED);
	if (b->root) // with control groups
		assert_in_range(r.cpu_us, 100000, 700000);
	bed_forget(b, "cpu");
}

static void many_at_once_all_end(void **state)
{
	enum { MANY = 60 };
	struct bed *b = need(state);
	char job[MANY][16];

	for (int i = 0; i < MANY; i++) {
		snprintf(job[i], sizeof(job[i]), "many-%d", i);
		struct exec_spec s = bed_spec(job[i], "echo $EVENT; exit ${#EVENT}");

		s.event = span_make("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
				    (size_t)i);
		bed_submit(b, &s);
	}
	for (int i = 0; i < MANY; i++) {
		struct bed_event ev;

		bed_wait(b, job[i], 1, true, &ev);
		assert_outcome(ev.result, EXEC_EXITED);
		assert_int_equal(ev.result.exit_code, i);
		assert_int_equal(bed_find(b, job[i], 1, true, &ev), 1);
		assert_int_equal(bed_find(b, job[i], 1, false, &ev), 1);
		bed_forget(b, job[i]);
	}
}

static unsigned count_lines(const char *path, const char *word)
{
	auto_buf struct buf text;
	struct err e = { 0 };
	unsigned n = 0;

	buf_init(&text, 4 << 20);
	if (file_read_path(AT_FDCWD, path, &text, &e) < 0)
		return 0;
	for (char *p = text.p; p && (p = strstr(p, word)); p++)
		n++;
	return n;
}

// A small image: a shell, what it links to, and the folders that an import makes.
static bool make_image(const struct bed *b, const char *id, const char *but)
{
	auto_free char *script = mem_printf(
		"set -e; umask 022; r=%s/images/%s/rootfs; mkdir -p $r; cd $r; "
		"mkdir -p bin proc dev tmp oscar sys etc usr/bin; "
		": >etc/hosts; : >etc/resolv.conf; : >etc/hostname; echo image >etc/name; "
		"for p in /bin/sh /bin/cat /bin/ls /bin/touch; do cp -L $p bin/; "
		"for l in $(ldd $p | grep -o '/[^ ]*'); do mkdir -p .${l%%/*}; cp -Ln $l .$l; "
		"done; done; "
		"rm -rf ./%s",
		b->data, id, but);
	pid_t pid = fork();
	int status = -1;

	if (pid == 0) {
		execl("/bin/sh", "sh", "-c", script, (char *)NULL);
		_exit(1);
	}
	waitpid(pid, &status, 0);
	return status == 0;
}

static void an_image_is_the_root(void **state)
{
	struct bed *b = need(state);
	struct exec_spec s =
		bed_spec("image", "cat /etc/name; cat; touch /x 2>/dev/null || echo ro; "
				  "touch /tmp/x /oscar/output/x && ls /usr/bin /oscar; "
				  "cat /etc/hosts; echo /home* /root* /var*");

	assert_true(make_image(b, "a1", "nothing"));
	s.image = "a1";
	struct exec_result r = bed_run(b, &s);
	auto_free char *out = bed_log(b, "image", JOBLOG_STDOUT);

	assert_outcome(r, EXEC_EXITED);
	assert_string_equal(out,
			    "image\n{}ro\n/oscar:\nconfig\ninput\noutput\nprogress\n\n/usr/bin:\n"
			    "127.0.0.1 localhost oscar\n::1 localhost oscar\n"
			    "/home* /root* /var*\n");
	bed_forget(b, "image");
}

static void an_image_without_its_folders_says_so(void **state)
{
	static const char *const missing[][2] = { { "tmp", "/tmp" },
						  { "oscar", "/oscar" },
						  { "proc", "/proc" },
						  { "dev", "/dev" },
						  { "bin/sh", "no /bin/sh" } };
	struct bed *b = need(state);

	for (size_t i = 0; i < ARRAY_LEN(missing); i++) {
		char id[16];
		struct exec_spec s = bed_spec(id, "true");

		snprintf(id, sizeof(id), "lacks%zu", i);
		assert_true(make_image(b, id, missing[i][0]));
		s.image = id;
		struct exec_result r = bed_run(b, &s);

		assert_outcome(r, EXEC_SETUP_FAILED);
		if (!strstr(r.reason, "image") || !strstr(r.reason, missing[i][1]))
			fail_msg("%s", r.reason);
		bed_forget(b, id);
	}
}

static void the_hosts_network_is_there_on_request(void **state)
{
	struct bed *b = need(state);
	auto_fd int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t n = sizeof(a);
	char script[400];

	assert_int_equal(bind(fd, (struct sockaddr *)&a, n), 0);
	assert_int_equal(listen(fd, 4), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
	snprintf(script, sizeof(script),
		 "python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", %d), 2)' "
		 "2>/dev/null || exit 1; cat /etc/hosts /etc/resolv.conf >$TMP_OUTPUT_DIR/names",
		 ntohs(a.sin_port));
	struct exec_spec s = bed_spec("network", script);

	s.network = EXEC_NETWORK_HOST;
	struct exec_result r = bed_run(b, &s);
	auto_free char *names = bed_output(b, "network", "names");
	auto_buf struct buf want;
	struct err e = { 0 };

	assert_outcome(r, EXEC_EXITED);
	assert_int_equal(r.exit_code, 0);
	buf_init(&want, 1 << 20);
	if (file_read_path(AT_FDCWD, "/etc/hosts", &want, &e) < 0 ||
	    file_read_path(AT_FDCWD, "/etc/resolv.conf", &want, &e) < 0)
		printf("# %s\n", e.msg);
	assert_string_equal(names, want.p);
	bed_forget(b, "network");
	s.network = EXEC_NETWORK_NONE;
	s.job = "no-network-now";
	assert_int_equal(bed_run(b, &s).exit_code, 1); // and only on request
	bed_forget(b, s.job);
}

// As after a power loss: the record of an end may be there, and the output it speaks of may not.
static void what_an_earlier_boot_left_is_not_known(void **state)
{
	struct bed *b = need(state);
	struct exec_spec s = bed_spec("before-boot", "sleep 1000");
	auto_free char *boot = mem_printf("%s/jobs/.boot", b->data);
	struct bed_event seen;
	struct exec_spec over = bed_spec("over-before-boot", "echo done >\"$TMP_OUTPUT_DIR/f\"");
	struct err e = { 0 };

	bed_run(b, &over);
	bed_submit(b, &s);
	bed_wait(b, s.job, 1, false, &seen);
	bed_close_driver(b, false);
	assert_int_equal(file_replace(AT_FDCWD, boot, 0600, "another", 7, &e), 0);
	bed_open_driver(b);
	assert_int_equal(b->driver->ops->adopt(b->driver, over.job, 1, &e), -1);
	assert_int_equal(e.code, ERR_NOT_FOUND);
	// What runs is of this boot all the same.
	assert_int_equal(b->driver->ops->adopt(b->driver, s.job, 1, &e), 0);
	assert_int_equal(b->driver->ops->cancel(b->driver, s.job, 1, &e), 0);
	bed_wait(b, s.job, 1, true, &seen);
	bed_forget(b, s.job);
}

// Runs last: whatever the others did, the machine must look as if nothing had been.
static void nothing_stays_behind(void **state)
{
	static const char *const trees[] = { "memory", "cpu", "cpuacct", "pids", "unified", "" };
	struct bed *b = need(state);
	auto_free char *jobs = mem_printf("%s/jobs", b->data);
	auto_free char *boot = mem_printf("%s/.boot", jobs);
	auto_free char *find = NULL;

	assert_int_equal(count_lines("/proc/self/mountinfo", b->data), 0);
	bed_close_driver(b, false);
	assert_int_equal(unlink(boot), 0);
	assert_int_equal(rmdir(jobs), 0); // empty
	assert_int_equal(mkdir(jobs, 0700), 0);
	bed_open_driver(b);
	struct stat st;

	assert_int_equal(stat(b->data, &st), 0);
	bed_pause_ms(2 * BED_IDLE_MS); // what the runner pools goes when it is idle
	for (size_t i = 0; i < ARRAY_LEN(trees); i++) {
		find = mem_printf(
			"find /sys/fs/cgroup/%s -mindepth 1 -path '*oscar-%llx-%llx/*' -type d "
			"2>/dev/null | grep -q .",
			trees[i], (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
		pid_t pid = fork();

		if (pid == 0) {
			execl("/bin/sh", "sh", "-c", find, (char *)NULL);
			_exit(1);
		}
		int status;

		waitpid(pid, &status, 0);
		assert_int_equal(WEXITSTATUS(status), 1);
		mem_free(mem_take(&find));
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_script_that_succeeds_exits_0),
		cmocka_unit_test(a_script_runs_as_the_user_it_is_given),
		cmocka_unit_test(scripts_end_as_they_should),
		cmocka_unit_test(hostile_calls_are_refused),
		cmocka_unit_test(the_event_comes_byte_for_byte),
		cmocka_unit_test(the_environment_is_as_given),
		cmocka_unit_test(what_cannot_run_is_refused_at_once),
		cmocka_unit_test(inputs_are_there_and_cannot_be_changed),
		cmocka_unit_test(the_runner_binds_only_files_of_its_data_directory),
		cmocka_unit_test(outputs_belong_to_the_daemon),
		cmocka_unit_test(too_much_log_is_counted_and_dropped),
		cmocka_unit_test(the_log_can_be_read_while_the_job_runs),
		cmocka_unit_test(what_a_script_says_of_its_progress_is_known),
		cmocka_unit_test(hostile_words_of_progress_are_bounded),
		cmocka_unit_test(a_log_that_somebody_reads_never_becomes_anothers),
		cmocka_unit_test(limits_end_the_job_with_their_reason),
		cmocka_unit_test(a_fork_bomb_hurts_only_itself),
		cmocka_unit_test(cpu_time_is_held_back),
		cmocka_unit_test(many_at_once_all_end),
		cmocka_unit_test(an_image_is_the_root),
		cmocka_unit_test(an_image_without_its_folders_says_so),
		cmocka_unit_test(the_hosts_network_is_there_on_request),
		cmocka_unit_test(what_an_earlier_boot_left_is_not_known),
		cmocka_unit_test(nothing_stays_behind),
	};

	if (bed_is_runner(argc, argv))
		return bed_runner(argc, argv);
	return cmocka_run_group_tests(tests, setup, teardown);
}
