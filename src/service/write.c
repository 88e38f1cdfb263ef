// SPDX-License-Identifier: Apache-2.0
// write: the rows of a changed definition: revision, secrets, triggers, buckets.
#include "base/clock.h"
#include "base/mem.h"
#include "codec/digest.h"
#include "codec/json.h"
#include "codec/text.h"
#include "db/db.h"
#include "db/feed.h"
#include "fdl/fdl.h"
#include "service/change.h"
#include "service/group.h"
#include "service/registry.h"
#include "store/store.h"

enum { REPLACED_KEEP_S = 3600 }; // a revision that nobody needs any more

static void hash_script(const char *script, char out[static 65])
{
	uint8_t sum[DIGEST_MAX];

	digest_once(DIGEST_SHA256, span_of(script), sum);
	text_hex(out, sum, 32);
}

static int secrets_in(struct service_change *w, struct db_conn *c, struct err *e)
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

static int bucket_in(struct service_change *w, struct db_conn *c, const char *name, int64_t service,
		     int64_t *id, struct err *e)
{
	struct store_bucket b;

	if (db_get_int(c, "SELECT id FROM buckets WHERE name=?1", DB_ARGS(db_str(name)), 0, id, e) <
	    0)
		return -1;
	if (*id)
		return 0;
	if (store_bucket_create_in(w->s->o.store, c, span_of(name), w->owner, service, &b, e) < 0)
		return -1;
	*id = b.id;
	return 0;
}

static int wire_in(struct service_change *w, struct db_conn *c, struct err *e)
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
static int image_in(struct service_change *w, struct db_conn *c, struct err *e)
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

static int revision_in(struct service_change *w, struct db_conn *c, struct err *e)
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

int service_change_tell_in(struct service_change *w, struct db_conn *c, const char *what,
			   struct err *e)
{
	auto_free char *doc = mem_printf("{\"service\":\"%s\",\"revision\":%lld,\"change\":\"%s\"}",
					 w->fdl->name, (long long)w->revision, what);

	return feed_append(c, "service", w->owner, span_of(doc), e);
}

// Revisions that were replaced a while ago and that no job names any more, so that a service that follows its image
// does not keep every one of them. Whoever holds an older definition in memory has long made its job by then.
static int forget_old_in(struct service_change *w, struct db_conn *c, int64_t now, struct err *e)
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

int service_change_in(struct db_conn *c, void *arg, struct err *e)
{
	struct service_change *w = arg;
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
	return service_change_tell_in(w, c,
				      w->create	 ? "created"
				      : w->repin ? "image"
						 : "changed",
				      e);
}
