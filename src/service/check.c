// SPDX-License-Identifier: Apache-2.0
// check: what a definition asks for that this server, or its buckets' owners, do not give.
#include "auth/auth.h"
#include "fdl/fdl.h"
#include "service/change.h"
#include "service/registry.h"
#include "store/store.h"

static int check_own_store(const char *list, const struct fdl_io *io, size_t n, struct err *e)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(io[i].provider, "minio.default") != 0)
			return err_set(e, ERR_UNSUPPORTED,
				       "%s[%zu].storage_provider: %s is not offered yet; use "
				       "minio.default, the store of this cluster",
				       list, i, io[i].provider);
	return 0;
}

static int check_storages(const struct fdl_service *f, struct err *e)
{
	if (check_own_store("input", f->inputs, f->input_count, e) < 0 ||
	    check_own_store("output", f->outputs, f->output_count, e) < 0)
		return -1;
	if (f->mount && strcmp(f->mount->provider, "minio.default") != 0)
		return err_set(e, ERR_UNSUPPORTED,
			       "mount.storage_provider: %s is not offered; use minio.default, the "
			       "store of this cluster",
			       f->mount->provider);
	return 0;
}

// What only an administrator may offer.
static int check_offers(const struct services *s, const struct fdl_service *f, struct err *e)
{
	if (f->network_nat && !s->o.offers_nat)
		return err_set(e, ERR_INVALID,
			       "network: nat: this server offers no network with a way out; its "
			       "administrator can: oscar serve --nat");
	if (f->network_host && !s->o.offers_host_network)
		return err_set(e, ERR_INVALID,
			       "network: host: this server does not let scripts use its own "
			       "network; its administrator can: oscar serve --host-network");
	for (size_t i = 0; i < f->mount_count; i++) {
		const char *name = f->mounts[i].name;

		if (!s->o.offers_mount || !s->o.offers_mount(s->o.owner, name))
			return err_set(e, ERR_INVALID,
				       "mounts[%zu].name: this server offers no folder \"%s\"; its "
				       "administrator can: oscar serve --mount %s=/FOLDER",
				       i, name, name);
	}
	return 0;
}

static int check_capacity(struct services *s, const struct fdl_service *f, struct err *e)
{
	uint32_t cpu = 0;
	uint64_t memory = 0;

	if (s->o.capacity)
		s->o.capacity(s->o.owner, &cpu, &memory);
	if (cpu && f->cpu_millis > cpu)
		return err_set(e, ERR_INVALID,
			       "cpu: the service asks for %.2f cores, the machine has %.2f",
			       f->cpu_millis / 1000.0, cpu / 1000.0);
	if (memory && f->memory_bytes > memory)
		return err_set(e, ERR_INVALID,
			       "memory: the service asks for %llu MiB, the machine has %llu MiB",
			       (unsigned long long)(f->memory_bytes >> 20),
			       (unsigned long long)(memory >> 20));
	return 0;
}

static int check_loop(struct services *s, const struct fdl_service *f, struct err *e)
{
	static const struct service_caller everybody = { .admin = true, .name = "" };
	auto_arena struct arena mem = { 0 };
	const struct fdl_service **all;
	struct service_def **defs;
	size_t n;
	int bad;

	if (service_list(s, &everybody, &mem, &defs, &n, e) < 0)
		return -1;
	all = arena_alloc(&mem, (n + 1) * sizeof(*all));
	for (size_t i = 0; i < n; i++)
		all[i] = defs[i]->fdl;
	bad = fdl_loop_check(all, n, f, e);
	service_list_put(defs, n);
	return bad;
}

static int check_buckets(struct services *s, const struct service_caller *who,
			 const struct fdl_io *io, size_t n, unsigned rights, struct err *e)
{
	for (size_t i = 0; i < n; i++) {
		struct err none = { 0 };
		struct store_bucket b;

		if (store_bucket_get(s->o.store, span_of(io[i].bucket), &b, &none) < 0) {
			if (none.code != ERR_NOT_FOUND) {
				*e = none;
				return -1;
			}
			if (store_bucket_name_check(span_of(io[i].bucket), e) < 0)
				return err_wrap(e, "bucket %s", io[i].bucket);
			continue;
		}
		struct auth_subject sub = { b.id, b.owner, (enum auth_visibility)b.visibility };

		if (auth_may(s->o.auth, who->user, &sub, rights, e) < 0)
			return err_wrap(e, "the bucket \"%s\" belongs to somebody else", b.name);
	}
	return 0;
}

// A directory that takes no files would fail each job at its end.
static int check_outputs(struct services *s, const struct fdl_service *f, struct err *e)
{
	for (size_t i = 0; i < f->output_count; i++) {
		auto_arena struct arena mem = { 0 };
		struct store_directory_state state;
		struct store_directory d;
		struct store_bucket b;
		struct err none = { 0 };

		if (store_bucket_get(s->o.store, span_of(f->outputs[i].bucket), &b, &none) == 0 &&
		    b.directory &&
		    store_directory_get(s->o.store, b.id, &mem, &d, &state, &none) == 0 &&
		    !d.outputs)
			return err_set(e, ERR_INVALID,
				       "output[%zu].path: the bucket \"%s\" is a directory that "
				       "takes no outputs; its administrator can allow them: oscar "
				       "bucket add --directory PATH --outputs",
				       i, b.name);
	}
	return 0;
}

int service_check(struct services *s, const struct service_caller *who, const struct fdl_service *f,
		  struct err *e)
{
	return check_storages(f, e) < 0 || check_offers(s, f, e) < 0 ||
			       check_capacity(s, f, e) < 0 || check_loop(s, f, e) < 0 ||
			       check_buckets(s, who, f->inputs, f->input_count,
					     AUTH_READ | AUTH_LIST, e) < 0 ||
			       check_buckets(s, who, f->outputs, f->output_count, AUTH_WRITE, e) <
				       0 ||
			       check_buckets(s, who, f->mount, f->mount != NULL,
					     AUTH_READ | AUTH_LIST, e) < 0 ||
			       check_outputs(s, f, e) < 0
		       ? -1
		       : 0;
}
