// SPDX-License-Identifier: Apache-2.0
// ocibundle: config.json for an OCI runtime. No text of others is in it but names of device nodes: what a service says
// goes to pid 1.
#include "base/mem.h"
#include "codec/json.h"
#include "runner/oci.h"
#include "runner/sandbox.h"

// The id maps have one entry more than for our own sandboxes: runtimes become the container's root, so there must be
// one. Where the script is another user, root is an id outside that owns nothing.
static void put_maps(const struct sandbox *s, struct buf *b)
{
	const struct world *w = s->world;
	const struct proto_start *m = s->start;
	const uint32_t group = w->idmap < 0 ? w->group : w->base;
	const unsigned groups = sandbox_groups(s);
	const char *const entry = "{\"containerID\":%u,\"hostID\":%u,\"size\":%u}";
	bool root = m->gid == 0;

	buf_add_str(b, "\"uidMappings\":[");
	buf_printf(b, entry, m->uid, w->base, m->uid ? 1 : w->count);
	if (m->uid && !w->rootless) {
		buf_add_char(b, ',');
		buf_printf(b, entry, 0, w->setup_id, 1);
	}
	buf_add_str(b, "],\"gidMappings\":[");
	buf_printf(b, entry, m->gid, group, m->gid || groups ? 1 : w->count);
	for (unsigned i = 0; i < groups; i++) {
		buf_add_char(b, ',');
		buf_printf(b, entry, m->groups[i], group + 1 + i, 1);
		root = root || m->groups[i] == 0;
	}
	for (unsigned i = 0; i < s->devices.group_count; i++) {
		buf_add_char(b, ',');
		buf_printf(b, entry, s->devices.inside[i], s->devices.groups[i], 1);
	}
	if (!root && !w->rootless) {
		buf_add_char(b, ',');
		buf_printf(b, entry, 0, w->setup_id, 1);
	}
	buf_add_str(b, "]");
}

static void put_process(const struct sandbox *s, struct buf *b)
{
	static const char *const sets[] = { "bounding", "effective", "inheritable", "permitted",
					    "ambient" };
	const struct proto_start *m = s->start;

	buf_printf(b,
		   "\"process\":{\"terminal\":false,\"cwd\":\"/\",\"noNewPrivileges\":true,"
		   "\"args\":[\"/proc/self/fd/%d\",\"init\"],\"env\":[\"PATH=/usr/bin:/bin\"],"
		   "\"user\":{\"uid\":%u,\"gid\":%u,\"additionalGids\":[",
		   OCI_FD_SELF, m->uid, m->gid);
	for (unsigned i = 0; i < sandbox_groups(s); i++)
		buf_printf(b, "%s%u", i ? "," : "", m->groups[i]);
	for (unsigned i = 0; i < s->devices.group_count; i++)
		buf_printf(b, "%s%u", i || sandbox_groups(s) ? "," : "", s->devices.inside[i]);
	buf_add_str(b, "]},\"capabilities\":{");
	for (size_t i = 0; i < ARRAY_LEN(sets); i++)
		buf_printf(b, "%s\"%s\":[]", i ? "," : "", sets[i]);
	buf_add_str(b, "}}");
}

// What is below the root already needs no line here.
static void put_bind(struct buf *b, const char *where, const char *options)
{
	auto_free char *source = mem_printf(OCI_BUNDLE "%s", where);

	buf_add_str(b, ",{\"destination\":");
	codec_json_write_string(span_of(where), CODEC_JSON_PLAIN, b);
	buf_add_str(b, ",\"type\":\"bind\",\"source\":");
	codec_json_write_string(span_of(source), CODEC_JSON_PLAIN, b);
	buf_printf(b, ",\"options\":[%s]}", options);
}

// Without root rights the nodes in /dev are mounts themselves, and crun does not take along what is mounted
// below a folder.
static void put_nodes(const struct devices *d, struct buf *b)
{
	static const char *const names[] = { "/dev/null",   "/dev/zero",    "/dev/full",
					     "/dev/random", "/dev/urandom", "/dev/tty" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		put_bind(b, names[i], "\"bind\",\"nosuid\"");
	for (size_t i = 0; i < d->node_count; i++) {
		auto_free char *name = mem_printf("/dev/%s", d->nodes[i].name);

		put_bind(b, name, "\"bind\",\"nosuid\"");
	}
}

static void put_mounts(const struct sandbox *s, struct buf *b)
{
	buf_add_str(b,
		    "\"mounts\":[{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\","
		    "\"options\":[\"nosuid\",\"nodev\",\"noexec\"]}");
	put_bind(b, "/dev", "\"rbind\",\"ro\",\"nosuid\"");
	put_bind(b, "/dev/shm", "\"bind\",\"nosuid\",\"nodev\"");
	if (s->world->rootless)
		put_nodes(&s->devices, b);
	buf_add_str(b, "]");
}

static void put_masks(const struct world *w, bool read_only, struct buf *b)
{
	const char *comma = "";

	for (unsigned i = 0; i < w->mask_count; i++)
		if ((w->masks[i].how == WORLD_READ_ONLY) == read_only) {
			buf_printf(b, "%s\"/proc/%s\"", comma, w->masks[i].path);
			comma = ",";
		}
}

int oci_config(const struct sandbox *s, struct buf *b, struct err *e)
{
	buf_add_str(b, "{\"ociVersion\":\"1.0.2\",");
	put_process(s, b);
	buf_add_str(b, ",\"root\":{\"path\":\"rootfs\"},\"hostname\":\"oscar\",");
	put_mounts(s, b);
	// No network namespace: the runtime is in that of the job.
	buf_add_str(b, ",\"linux\":{\"namespaces\":[{\"type\":\"user\"},{\"type\":\"mount\"},"
		       "{\"type\":\"pid\"},{\"type\":\"ipc\"},{\"type\":\"uts\"},"
		       "{\"type\":\"cgroup\"}],");
	put_maps(s, b);
	buf_add_str(b, ",\"maskedPaths\":[");
	put_masks(s->world, false, b);
	buf_add_str(b, "],\"readonlyPaths\":[");
	put_masks(s->world, true, b);
	buf_printf(b, "],\"seccomp\":%s}}\n", s->world->oci.seccomp);
	return b->over ? err_set(e, ERR_BUG, "the container's configuration is too long") : 0;
}
