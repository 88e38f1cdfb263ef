// SPDX-License-Identifier: Apache-2.0
#include "dispatch/spec.h"

#include "base/file.h"

#include <fcntl.h>

void spec_env(struct spec_draft *s, const char *name, const char *value)
{
	check(s->env_count < SPEC_ENV_MAX);
	s->env[s->env_count++] = (struct exec_env){ name, value };
}

static void env_begin(struct spec_draft *s, const struct fdl_service *f)
{
	const char *threads = arena_printf(&s->mem, "%u", (f->cpu_millis + 999) / 1000);
	static const char *const pools[] = { "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS",
					     "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS" };

	s->env = arena_alloc(&s->mem, SPEC_ENV_MAX * sizeof(*s->env));
	for (size_t i = 0; i < ARRAY_LEN(pools); i++) // libraries would count the machine's cores
		spec_env(s, pools[i], threads);
	for (size_t i = 0; i < f->variable_count; i++)
		spec_env(s, f->variables[i].name, f->variables[i].value);
	for (size_t i = 0; i < f->secret_count && f->secrets_in_env; i++)
		spec_env(s, f->secrets[i].name, f->secrets[i].value);
}

static void env_end(struct spec_draft *s, const struct service_def *def)
{
	spec_env(s, "RESOURCE_ID", "local");
	spec_env(s, "OSCAR_SERVICE_NAME", def->fdl->name);
	spec_env(s, "OSCAR_SERVICE_TOKEN", def->token);
	spec_env(s, "OSCAR_SERVICE_BASE_PATH",
		 arena_printf(&s->mem, "/system/services/%s/exposed", def->fdl->name));
}

// What the image says comes last and only where nothing else was said: a service may change its image's variables,
// an image may not change what the contract with scripts promises.
static void env_add_image(struct spec_draft *s)
{
	const struct image_runtime *image = &s->image;
	static const char *const ours[] = { "TMP_INPUT_DIR", "TMP_OUTPUT_DIR", "INPUT_FILE_PATH",
					    "EVENT", "OSCAR_PROGRESS" };

	for (size_t i = 0; i < image->env_count; i++) {
		const char *name = image->env[i].name;
		bool known = !*name || s->env_count == SPEC_ENV_MAX;

		for (size_t k = 0; k < ARRAY_LEN(ours) && !known; k++)
			known = strcmp(ours[k], name) == 0;
		for (size_t k = 0; k < s->env_count && !known; k++)
			known = strcmp(s->env[k].name, name) == 0;
		if (!known)
			spec_env(s, name, image->env[i].value);
	}
}

static const char *mount_path(const struct dispatch *d, const char *name)
{
	for (unsigned i = 0; i < d->o.mount_count; i++)
		if (strcmp(d->o.mounts[i].name, name) == 0)
			return d->o.mounts[i].path;
	return NULL;
}

// What the service mounts, opened with the daemon's rights.
static int folders_open(const struct dispatch *d, const struct fdl_service *f, struct spec_draft *s,
			struct err *e)
{
	for (size_t i = 0; i < f->mount_count; i++) {
		const char *path = mount_path(d, f->mounts[i].name);
		int fd;

		if (!path)
			return err_set(e, ERR_NOT_FOUND,
				       "mount %s: this server offers no such folder any more",
				       f->mounts[i].name);
		fd = file_open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, e);
		if (fd < 0)
			return err_wrap(e, "mount %s", f->mounts[i].name);
		s->mounts[s->mount_count++] = (struct exec_mount){ f->mounts[i].target, fd };
	}
	return 0;
}

int spec_begin(struct dispatch *d, const struct service_def *def, struct spec_draft *s,
	       struct err *e)
{
	s->image = (struct image_runtime){ .workdir = "" };
	env_begin(s, def->fdl);
	if (folders_open(d, def->fdl, s, e) < 0)
		return -1;
	return d->o.images ? image_runtime(d->o.images, def->image_id, &s->mem, &s->image, e) : 0;
}

static const struct exec_env *secrets_of(const struct fdl_service *f, struct arena *mem)
{
	struct exec_env *all = arena_alloc(mem, (f->secret_count + 1) * sizeof(*all));

	for (size_t i = 0; i < f->secret_count; i++)
		all[i] = (struct exec_env){ f->secrets[i].name, f->secrets[i].value };
	return all;
}

static uint64_t or_default(uint64_t value, uint64_t otherwise)
{
	return value ? value : otherwise;
}

void spec_fill(struct dispatch *d, const struct service_def *def, struct spec_draft *s,
	       struct exec_spec *out)
{
	const struct fdl_service *f = def->fdl;

	env_end(s, def);
	env_add_image(s);
	*out = (struct exec_spec){
		.service = f->name,
		.image = def->image_id,
		.workdir = s->image.workdir,
		.uid = s->image.user.uid,
		.gid = s->image.user.gid,
		.groups = s->image.user.groups,
		.group_count = s->image.user.group_count,
		.env = s->env,
		.env_count = s->env_count,
		.secrets = secrets_of(f, &s->mem),
		.secret_count = f->secret_count,
		.mounts = s->mounts,
		.mount_count = s->mount_count,
		.memory_bytes = f->memory_bytes,
		.cpu_millis = f->cpu_millis,
		.pids_max = f->pids_max ? f->pids_max : d->o.pids_max,
		.output_bytes_max = or_default(f->output_bytes_max, d->o.output_bytes_max),
		.scratch_bytes_max = d->o.scratch_bytes_max < f->memory_bytes
					     ? d->o.scratch_bytes_max
					     : f->memory_bytes,
		.log_bytes_max = or_default(f->log_bytes_max, d->o.log_bytes_max),
		.grace_ms = d->o.grace_ms,
		.network = f->network_host  ? EXEC_NETWORK_HOST
			   : f->network_nat ? EXEC_NETWORK_NAT
					    : EXEC_NETWORK_NONE,
	};
}

void spec_devices(struct dispatch *d, const char *id, struct spec_draft *s, struct exec_spec *out)
{
	const char **names = arena_alloc(&s->mem, EXEC_DEVICES_MAX * sizeof(*names));
	auto_lock held = lock_hold(&d->lock);
	struct span rest = span_of(devices_names(d, id, &s->mem));

	out->devices = names;
	for (out->device_count = 0; rest.n && out->device_count < EXEC_DEVICES_MAX;) {
		struct span name = span_cut(&rest, ' ');

		names[out->device_count++] = arena_strndup(&s->mem, name.p, name.n);
	}
}

// Each word in single quotes, so that the shell takes it as it is.
int spec_command(struct spec_draft *s, const char *const *words, struct span *out, struct err *e)
{
	auto_buf struct buf b;

	buf_init(&b, FDL_SCRIPT_MAX);
	buf_add_str(&b, "exec");
	for (const char *const *word = words; *word; word++) {
		buf_add_str(&b, " '");
		for (const char *c = *word; *c; c++)
			if (*c == '\'')
				buf_add_str(&b, "'\\''");
			else
				buf_add_char(&b, *c);
		buf_add_char(&b, '\'');
	}
	if (!buf_add_char(&b, '\n') || b.over)
		return err_set(e, ERR_LIMIT, "too long");
	*out = arena_span(&s->mem, buf_span(&b));
	return 0;
}

void spec_release(struct spec_draft *s)
{
	for (size_t i = 0; i < s->mount_count; i++)
		file_close(s->mounts[i].folder);
	arena_release(&s->mem);
}
