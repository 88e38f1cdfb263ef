// SPDX-License-Identifier: Apache-2.0
#include "service/service.h"

#include "auth/auth.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/rand.h"
#include "codec/digest.h"
#include "codec/json.h"
#include "codec/text.h"
#include "db/db.h"
#include "db/feed.h"
#include "fdl/fdl.h"
#include "service/backfill.h"
#include "service/group.h"
#include "service/registry.h"
#include "store/store.h"

enum {
	DEPTH_MAX = 64,
	PURGE_BATCH = 256,
	REPLACED_KEEP_S = 3600, // a revision that nobody needs any more
};

int services_open(struct services **out, const struct service_options *o, struct err *e)
{
	struct services *s = mem_zalloc(sizeof(*s));

	s->o = *o;
	s->o.depth_max = o->depth_max ? o->depth_max : DEPTH_MAX;
	pthread_rwlock_init(&s->lock, NULL);
	pthread_mutex_init(&s->change, NULL);
	image_notes_init(&s->notes);
	if (registry_load(s, e) < 0) {
		services_close(s);
		return err_wrap(e, "services");
	}
	*out = s;
	return 0;
}

void services_start(struct services *s)
{
	chore_start(&s->refresher, "image-refresh", image_refresher, s);
	backfill_run(s);
	group_run(s);
}

void services_close(struct services *s)
{
	if (!s)
		return;
	backfill_halt(s);
	group_halt(s);
	chore_stop(&s->refresher);
	image_notes_release(&s->notes);
	registry_release(s);
	pthread_rwlock_destroy(&s->lock);
	pthread_mutex_destroy(&s->change);
	mem_free(s);
}

// ---- looking up ----------------------------------------------------------------------------------------

static struct service_def *current(struct services *s, struct span name)
{
	struct service_def *d;

	pthread_rwlock_rdlock(&s->lock);
	d = map_get(&s->by_name, name);
	if (d)
		service_def_ref(d);
	pthread_rwlock_unlock(&s->lock);
	return d;
}

static bool visible(const struct service_caller *who, const struct service_def *d)
{
	if (who->admin || who->user == d->owner || strcmp(d->fdl->visibility, "public") == 0)
		return true;
	if (strcmp(d->fdl->visibility, "restricted") != 0)
		return false;
	for (size_t i = 0; i < d->fdl->allowed_user_count; i++)
		if (strcmp(d->fdl->allowed_users[i], who->name) == 0)
			return true;
	return false;
}

static int no_service(struct span name, struct err *e)
{
	return err_set(e, ERR_NOT_FOUND, "no service named " SPAN_FMT,
		       SPAN_ARG(span_head(name, FDL_NAME_MAX)));
}

int service_get(struct services *s, const struct service_caller *who, struct span name,
		struct service_def **out, struct err *e)
{
	auto_service_def struct service_def *d = current(s, name);

	if (!d)
		return no_service(name, e);
	if (!visible(who, d))
		return err_set(e, ERR_DENIED, "User %s doesn't have permision to get this service",
			       who->name);
	*out = mem_take(&d);
	return 0;
}

int service_by_id(struct services *s, int64_t id, struct service_def **out, struct err *e)
{
	uint64_t key = (uint64_t)id;
	struct service_def *d;

	pthread_rwlock_rdlock(&s->lock);
	d = map_get(&s->by_id, map_key_u64(&key));
	if (d)
		*out = service_def_ref(d);
	pthread_rwlock_unlock(&s->lock);
	return d ? 0 : err_set(e, ERR_NOT_FOUND, "the service was deleted");
}

int service_revision(struct services *s, int64_t id, int64_t revision, struct service_def **out,
		     struct err *e)
{
	auto_service_def struct service_def *d = NULL;
	struct db_conn *c;

	if (service_by_id(s, id, &d, e) < 0)
		return -1;
	if (d->revision == revision) {
		*out = mem_take(&d);
		return 0;
	}
	c = db_reader(s->o.db, e);
	return c ? service_def_load(s, c, id, revision, out, e) : -1;
}

int service_list(struct services *s, const struct service_caller *who, struct arena *mem,
		 struct service_def ***out, size_t *n, struct err *e unused_arg)
{
	size_t at = 0;
	void *value;

	*n = 0;
	pthread_rwlock_rdlock(&s->lock);
	*out = arena_alloc(mem, (s->by_name.count + 1) * sizeof(**out));
	while (map_next(&s->by_name, &at, NULL, &value)) {
		struct service_def *d = value;
		size_t i = *n;

		if (!visible(who, d))
			continue;
		for (; i && strcmp((*out)[i - 1]->fdl->name, d->fdl->name) > 0; i--)
			(*out)[i] = (*out)[i - 1];
		(*out)[i] = service_def_ref(d);
		++*n;
	}
	pthread_rwlock_unlock(&s->lock);
	return 0;
}

void service_list_put(struct service_def **list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		service_def_put(list[i]);
}

int service_by_token(struct services *s, struct span name, struct span token,
		     struct service_def **out, struct err *e)
{
	auto_service_def struct service_def *d = current(s, name);

	if (!d || token.n != SERVICE_TOKEN_LEN ||
	    !mem_equal_secret(d->token, token.p, SERVICE_TOKEN_LEN))
		return err_set(e, ERR_UNAUTH, "the token is not that of the service");
	*out = mem_take(&d);
	return 0;
}

// ---- checking ------------------------------------------------------------------------------------------

static int check_io(const struct fdl_service *f, struct err *e)
{
	for (size_t i = 0; i < f->input_count; i++)
		if (strcmp(f->inputs[i].provider, "minio.default") != 0)
			return err_set(e, ERR_UNSUPPORTED,
				       "input[%zu].storage_provider: %s is not offered yet; use "
				       "minio.default, the store of this cluster",
				       i, f->inputs[i].provider);
	for (size_t i = 0; i < f->output_count; i++)
		if (strcmp(f->outputs[i].provider, "minio.default") != 0)
			return err_set(e, ERR_UNSUPPORTED,
				       "output[%zu].storage_provider: %s is not offered yet; use "
				       "minio.default, the store of this cluster",
				       i, f->outputs[i].provider);
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

static int check_all(struct services *s, const struct service_caller *who,
		     const struct fdl_service *f, struct err *e)
{
	return check_io(f, e) < 0 || check_offers(s, f, e) < 0 || check_capacity(s, f, e) < 0 ||
			       check_loop(s, f, e) < 0 ||
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

// ---- writing -------------------------------------------------------------------------------------------

struct change {
	struct services *s;
	const struct service_caller *who;
	const struct fdl_service *fdl;
	char image[SERVICE_IMAGE_MAX];
	int64_t id, revision, owner;
	char token[SERVICE_TOKEN_LEN + 1];
	bool create, repin;
};

static void hash_script(const char *script, char out[static 65])
{
	uint8_t sum[DIGEST_MAX];

	digest_once(DIGEST_SHA256, span_of(script), sum);
	text_hex(out, sum, 32);
}

static int secrets_in(struct change *w, struct db_conn *c, struct err *e)
{
	if (db_exec(c, "DELETE FROM service_secrets WHERE service=?1", DB_ARGS(db_int(w->id)), e) <
	    0)
		return -1;
	for (size_t i = 0; i < w->fdl->secret_count; i++)
		if (db_exec(c, "INSERT INTO service_secrets VALUES(?1,?2,?3)",
			    DB_ARGS(db_int(w->id), db_str(w->fdl->secrets[i].name),
				    db_str(w->fdl->secrets[i].value)),
			    e) < 0)
			return -1;
	return 0;
}

static int bucket_in(struct change *w, struct db_conn *c, const char *name, int64_t service,
		     int64_t *id, struct err *e)
{
	struct store_bucket b;
	struct err none = { 0 };

	if (db_get_int(c, "SELECT id FROM buckets WHERE name=?1", DB_ARGS(db_str(name)), 0, id, e) <
	    0)
		return -1;
	if (*id)
		return 0;
	if (store_bucket_create_in(w->s->o.store, c, span_of(name), w->owner, service, &b, &none) <
	    0) {
		*e = none;
		return -1;
	}
	*id = b.id;
	return 0;
}

static int wire_in(struct change *w, struct db_conn *c, struct err *e)
{
	int64_t bucket;

	if (db_exec(c, "DELETE FROM triggers WHERE service=?1", DB_ARGS(db_int(w->id)), e) < 0 ||
	    (!w->repin && group_due_in(c, w->id, e) < 0))
		return -1;
	for (size_t i = 0; i < w->fdl->input_count; i++) {
		char index[24];

		snprintf(index, sizeof(index), "%zu", i);
		if (bucket_in(w, c, w->fdl->inputs[i].bucket, w->id, &bucket, e) < 0 ||
		    db_exec(c,
			    "INSERT INTO triggers(service,bucket,folder,filter) "
			    "VALUES(?1,?2,?3,?4)",
			    DB_ARGS(db_int(w->id), db_int(bucket), db_str(w->fdl->inputs[i].folder),
				    db_str(index)),
			    e) < 0)
			return -1;
	}
	for (size_t i = 0; i < w->fdl->output_count; i++)
		if (bucket_in(w, c, w->fdl->outputs[i].bucket, w->id, &bucket, e) < 0)
			return -1;
	// What is mounted stays when the service goes.
	return w->fdl->mount ? bucket_in(w, c, w->fdl->mount->bucket, 0, &bucket, e) : 0;
}

// Between finding the image and this transaction its name may have moved on, and its folder gone.
static int image_in(struct change *w, struct db_conn *c, struct err *e)
{
	int64_t there;

	if (strcmp(w->image, "host") == 0)
		return 0;
	if (db_get_int(c,
		       "SELECT EXISTS(SELECT 1 FROM images WHERE id=?1) OR "
		       "EXISTS(SELECT 1 FROM service_revisions WHERE image_id=?1)",
		       DB_ARGS(db_str(w->image)), 0, &there, e) < 0)
		return -1;
	return there ? 0 : err_set(e, ERR_CONFLICT, "image: it was changed just now: try again");
}

static int revision_in(struct change *w, struct db_conn *c, struct err *e)
{
	auto_json json_t *doc = fdl_service_json(w->fdl, FDL_PRINT_CREDENTIALS, NULL);
	auto_free char *text = NULL;
	char hash[65];

	json_object_del(doc, "token");
	text = codec_json_text(doc, CODEC_JSON_PLAIN);
	hash_script(w->fdl->script, hash);
	return db_exec(c,
		       "INSERT INTO service_revisions(service,revision,doc,script_hash,image_id,"
		       "created_ns) VALUES(?1,?2,?3,?4,?5,?6)",
		       DB_ARGS(db_int(w->id), db_int(w->revision), db_str(text), db_str(hash),
			       db_str(w->image), db_int(clock_wall_ns())),
		       e) < 0
		       ? -1
		       : 0;
}

static int tell_in(struct change *w, struct db_conn *c, const char *what, struct err *e)
{
	auto_free char *doc = mem_printf("{\"service\":\"%s\",\"revision\":%lld,\"change\":\"%s\"}",
					 w->fdl->name, (long long)w->revision, what);

	return feed_append(c, "service", w->owner, span_of(doc), e);
}

// Revisions that were replaced a while ago and that no job names any more, so that a service that follows its image
// does not keep every one of them. Whoever holds an older definition in memory has long made its job by then.
static int forget_old_in(struct change *w, struct db_conn *c, int64_t now, struct err *e)
{
	return db_exec(c,
		       "DELETE FROM service_revisions AS r WHERE service=?1 AND EXISTS(SELECT 1 "
		       "FROM service_revisions n WHERE n.service=?1 AND n.revision=r.revision+1 "
		       "AND n.created_ns<?2) AND NOT EXISTS(SELECT 1 FROM jobs j WHERE "
		       "j.service=?1 AND j.revision=r.revision)",
		       DB_ARGS(db_int(w->id), db_int(now - REPLACED_KEEP_S * NS_PER_S)), e) < 0
		       ? -1
		       : 0;
}

static int write_in(struct db_conn *c, void *arg, struct err *e)
{
	struct change *w = arg;
	int64_t now = clock_wall_ns();

	if (!w->create && forget_old_in(w, c, now, e) < 0)
		return -1;
	if (w->create) {
		if (db_exec(c,
			    "INSERT INTO services(name,owner,revision,token,created_ns,changed_ns) "
			    "VALUES(?1,?2,1,?3,?4,?4)",
			    DB_ARGS(db_str(w->fdl->name), db_int(w->owner), db_str(w->token),
				    db_int(now)),
			    e) < 0)
			return -1;
		w->id = db_last_id(c);
	} else if (db_exec(c, "UPDATE services SET revision=?2, changed_ns=?3 WHERE id=?1",
			   DB_ARGS(db_int(w->id), db_int(w->revision), db_int(now)), e) < 0) {
		return -1;
	}
	if (image_in(w, c, e) < 0 || revision_in(w, c, e) < 0 || secrets_in(w, c, e) < 0 ||
	    wire_in(w, c, e) < 0)
		return -1;
	return tell_in(w, c, w->create ? "created" : w->repin ? "image" : "changed", e);
}

// A folder is an empty object whose key ends with a slash, so that browsers of buckets show it.
static int make_folder(struct change *w, const struct fdl_io *io, struct err *e)
{
	auto_arena struct arena mem = { 0 };
	struct store_put_options o = { .bucket = span_of(io->bucket),
				       .owner = w->owner,
				       .size = 0,
				       .only_if.if_none_match = SPAN("*") };
	struct store_object made;
	struct store_bucket b;
	struct store_put *p;

	if (!io->folder[0])
		return 0;
	if (store_bucket_get(w->s->o.store, o.bucket, &b, e) < 0)
		return -1;
	if (b.directory) // its folders are real ones
		return 0;
	o.key = span_of(arena_printf(&mem, "%s/", io->folder));
	o.cause.user = w->owner;
	if (store_put_begin(w->s->o.store, &o, &p, e) < 0)
		return -1;
	if (store_put_finish(p, &mem, &made, e) < 0 && e->code != ERR_CONFLICT)
		return -1;
	return 0;
}

static int commit(struct change *w, struct err *e)
{
	auto_service_def struct service_def *d = NULL;
	struct db_conn *c;

	if (db_write(w->s->o.db, write_in, w, e) < 0)
		return -1;
	for (size_t i = 0; i < w->fdl->input_count; i++)
		if (make_folder(w, &w->fdl->inputs[i], e) < 0)
			return -1;
	for (size_t i = 0; i < w->fdl->output_count; i++)
		if (make_folder(w, &w->fdl->outputs[i], e) < 0)
			return -1;
	c = db_reader(w->s->o.db, e);
	if (!c || service_def_load(w->s, c, w->id, w->revision, &d, e) < 0)
		return -1;
	return registry_put(w->s, c, d, e);
}

static int no_twin(struct services *s, const struct fdl_service *fdl, struct err *e)
{
	auto_service_def struct service_def *old = current(s, span_of(fdl->name));

	return old ? err_set(e, ERR_EXISTS, "A service with the provided name already exists") : 0;
}

// The image is looked for before the lock is taken: that may take minutes. What was right before is asked again then.
int service_create(struct services *s, const struct service_caller *who, struct fdl_service *fdl,
		   struct err *e)
{
	auto_fdl_service struct fdl_service *mine unused_arg = fdl;
	struct change w = {
		.s = s, .who = who, .fdl = fdl, .owner = who->user, .revision = 1, .create = true
	};

	if (no_twin(s, fdl, e) < 0 || check_all(s, who, fdl, e) < 0 ||
	    image_find(s, w.owner, fdl, false, w.image, e) < 0)
		return -1;
	auto_lock held = lock_hold(&s->change);

	if (no_twin(s, fdl, e) < 0 || check_all(s, who, fdl, e) < 0)
		return -1;
	rand_hex(w.token, SERVICE_TOKEN_LEN / 2);
	fdl_service_set(fdl, "owner", who->user == AUTH_ADMIN_ID ? "cluster_admin" : who->name);
	fdl_service_set(fdl, "namespace", "oscar-svc");
	fdl_service_set_labels(fdl, who->name);
	return commit(&w, e);
}

static int find_own(struct services *s, const struct service_caller *who,
		    const struct fdl_service *fdl, struct service_def **out, struct err *e)
{
	auto_service_def struct service_def *old = current(s, span_of(fdl->name));

	if (!old)
		return no_service(span_of(fdl->name), e);
	if (!who->admin && who->user != old->owner)
		return err_set(e, ERR_DENIED,
			       "User %s doesn't have permision to modify this service", who->name);
	*out = mem_take(&old);
	return 0;
}

int service_update(struct services *s, const struct service_caller *who, struct fdl_service *fdl,
		   struct err *e)
{
	auto_fdl_service struct fdl_service *mine unused_arg = fdl;
	auto_service_def struct service_def *old = NULL, *before = NULL;
	struct change w = { .s = s, .who = who, .fdl = fdl };

	if (find_own(s, who, fdl, &before, e) < 0 || check_all(s, who, fdl, e) < 0 ||
	    image_find(s, who->user, fdl, false, w.image, e) < 0)
		return -1;
	auto_lock held = lock_hold(&s->change);

	if (find_own(s, who, fdl, &old, e) < 0 || check_all(s, who, fdl, e) < 0)
		return -1;
	w.id = old->id;
	w.owner = old->owner;
	w.revision = old->revision + 1;
	fdl_service_set(fdl, "owner", old->fdl->owner);
	fdl_service_set(fdl, "namespace", old->fdl->namespace_name);
	fdl_service_set_labels(fdl, who->name);
	if (!fdl_service_names_secrets(fdl))
		fdl_service_keep_secrets(fdl, old->fdl);
	return commit(&w, e);
}

int service_repin(struct services *s, const struct service_def *d, const char *image, struct err *e)
{
	auto_lock held = lock_hold(&s->change);
	auto_service_def struct service_def *now = current(s, span_of(d->fdl->name));
	struct change w = { .s = s, .fdl = d->fdl, .id = d->id, .owner = d->owner, .repin = true };

	if (!now || now->id != d->id || now->revision != d->revision)
		return 0;
	w.revision = d->revision + 1;
	snprintf(w.image, sizeof(w.image), "%s", image);
	return commit(&w, e);
}

// ---- removing ------------------------------------------------------------------------------------------

static int remove_in(struct db_conn *c, void *arg, struct err *e)
{
	struct change *w = arg;
	struct db_val id = db_int(w->id);

	if (db_exec(c, "DELETE FROM triggers WHERE service=?1", DB_ARGS(id), e) < 0 ||
	    db_exec(c, "DELETE FROM service_secrets WHERE service=?1", DB_ARGS(id), e) < 0 ||
	    db_exec(c, "DELETE FROM service_revisions WHERE service=?1", DB_ARGS(id), e) < 0 ||
	    db_exec(c, "DELETE FROM payloads WHERE job IN (SELECT id FROM jobs WHERE service=?1)",
		    DB_ARGS(id), e) < 0 ||
	    db_exec(c, "DELETE FROM job_logs WHERE job IN (SELECT id FROM jobs WHERE service=?1)",
		    DB_ARGS(id), e) < 0 ||
	    db_exec(c, "DELETE FROM attempts WHERE job IN (SELECT id FROM jobs WHERE service=?1)",
		    DB_ARGS(id), e) < 0 ||
	    db_exec(c, "DELETE FROM jobs WHERE service=?1", DB_ARGS(id), e) < 0 ||
	    db_exec(c, "DELETE FROM events WHERE service=?1", DB_ARGS(id), e) < 0 ||
	    db_exec(c, "DELETE FROM job_counts WHERE service=?1", DB_ARGS(id), e) < 0 ||
	    db_exec(c, "DELETE FROM lanes WHERE service=?1", DB_ARGS(id), e) < 0 ||
	    db_exec(c, "DELETE FROM backfills WHERE service=?1", DB_ARGS(id), e) < 0 ||
	    group_forget_in(c, w->id, e) < 0 ||
	    db_exec(c, "DELETE FROM services WHERE id=?1", DB_ARGS(id), e) < 0)
		return -1;
	return tell_in(w, c, "deleted", e);
}

// True when another service reads from, writes to or mounts the bucket.
static bool bucket_shared(struct services *s, const char *bucket)
{
	bool shared = false;
	size_t at = 0;
	void *value;

	pthread_rwlock_rdlock(&s->lock);
	while (!shared && map_next(&s->by_name, &at, NULL, &value)) {
		const struct fdl_service *f = ((struct service_def *)value)->fdl;

		for (size_t i = 0; i < f->input_count; i++)
			shared |= strcmp(f->inputs[i].bucket, bucket) == 0;
		for (size_t i = 0; i < f->output_count; i++)
			shared |= strcmp(f->outputs[i].bucket, bucket) == 0;
		shared |= f->mount && strcmp(f->mount->bucket, bucket) == 0;
	}
	pthread_rwlock_unlock(&s->lock);
	return shared;
}

static int empty_bucket(struct services *s, struct span bucket, struct err *e)
{
	static const struct store_cause nobody;

	for (;;) {
		auto_arena struct arena mem = { 0 };
		struct store_list_options o = { .bucket = bucket,
						.limit = STORE_PAGE_MAX,
						.versions = true };
		struct store_delete_item *items;
		struct store_list l;

		if (store_list(s->o.store, &o, &mem, &l, e) < 0)
			return -1;
		if (!l.n)
			return 0;
		items = arena_alloc(&mem, l.n * sizeof(*items));
		for (size_t i = 0; i < l.n; i++)
			items[i] = (struct store_delete_item){
				.key = l.entries[i].object.key,
				.version = l.entries[i].object.version,
			};
		if (store_delete_many(s->o.store, bucket, items, l.n, &nobody, e) < 0)
			return -1;
		for (size_t i = 0; i < l.n; i++)
			if (items[i].result < 0) { // locked: the bucket cannot go
				*e = items[i].err;
				return -1;
			}
	}
}

// A bucket goes when this service made it and no other one uses it.
static int drop_bucket(struct services *s, const struct service_def *d, const char *name,
		       struct err *e)
{
	struct store_bucket b;
	struct err gone = { 0 };

	if (store_bucket_get(s->o.store, span_of(name), &b, &gone) < 0 || b.service != d->id ||
	    bucket_shared(s, name))
		return 0;
	if (empty_bucket(s, span_of(name), e) < 0 ||
	    store_bucket_delete(s->o.store, span_of(name), e) < 0)
		return err_wrap(e, "delete bucket %s", name);
	return 0;
}

int service_remove(struct services *s, const struct service_caller *who, struct span name,
		   bool delete_buckets, struct err *e)
{
	auto_lock held = lock_hold(&s->change);
	auto_service_def struct service_def *d = current(s, name);
	struct change w = { .s = s, .who = who };

	if (!d || !visible(who, d))
		return no_service(name, e);
	if (!who->admin && who->user != d->owner)
		return err_set(e, ERR_DENIED,
			       "User %s doesn't have permision to delete this service", who->name);
	w.fdl = d->fdl;
	w.id = d->id;
	w.owner = d->owner;
	w.revision = d->revision;
	registry_remove(s, d->fdl->name); // no new jobs from here on
	image_notes_drop(&s->notes, d->fdl->name);
	if (db_write(s->o.db, remove_in, &w, e) < 0)
		return -1;
	flow_forget(s, w.id);
	for (size_t i = 0; delete_buckets && i < d->fdl->input_count; i++)
		if (drop_bucket(s, d, d->fdl->inputs[i].bucket, e) < 0)
			return -1;
	for (size_t i = 0; delete_buckets && i < d->fdl->output_count; i++)
		if (drop_bucket(s, d, d->fdl->outputs[i].bucket, e) < 0)
			return -1;
	return 0;
}
