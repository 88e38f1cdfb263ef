// SPDX-License-Identifier: Apache-2.0
// change: deleting, tags, access lists.
#include "base/mem.h"
#include "store/hot.h"

// ---- deleting ------------------------------------------------------------------------------------------

static int remove_version(struct store *s, struct db_conn *c, const struct store_bucket *b,
			  const struct store_object *o, struct content at,
			  const struct store_cause *cause, struct store_deleted *out, struct err *e)
{
	struct store_object gone;

	*out = (struct store_deleted){ .existed = true,
				       .delete_marker = o->delete_marker,
				       .version = o->version,
				       .null_version = o->null_version };
	if (object_remove_row_in(s, c, b->id, o, at, e) < 0)
		return -1;
	// What is told is the key and the version; the rest is gone.
	gone = (struct store_object){ .key = o->key,
				      .version = o->version,
				      .null_version = o->null_version };
	return object_tell_in(s, c, b, &gone,
			      cause->event ? cause->event : "s3:ObjectRemoved:Delete", cause, e);
}

static int add_marker(struct store *s, struct db_conn *c, const struct store_bucket *b,
		      struct span key, bool existed, const struct store_cause *cause,
		      struct store_deleted *out, struct err *e)
{
	struct store_object marker = { .key = key, .delete_marker = true, .owner = cause->user };

	if (object_insert_in(s, c, b, &marker, (struct content){ 0 }, cause, e) < 0)
		return -1;
	*out = (struct store_deleted){ .existed = existed,
				       .delete_marker = true,
				       .version = marker.version,
				       .null_version = marker.null_version };
	return 0;
}

static int refuse(struct store_delete_item *it)
{
	it->result = -1;
	return 0;
}

int delete_in(struct store *s, struct db_conn *c, const struct store_bucket *b,
	      struct store_delete_item *it, const struct store_cause *cause, struct err *e)
{
	bool marks = !it->version && b->versioning != STORE_UNVERSIONED, found;
	auto_arena struct arena mem = { 0 };
	struct store_object o = { 0 };
	struct content at;

	it->result = 0;
	it->done = (struct store_deleted){ 0 };
	if (place_refuse(b, &it->err) < 0)
		return refuse(it);
	found = object_find(c, b, it->key, it->version, &mem, &o, &at, &it->err) == 0;
	if (!found && it->err.code != ERR_NOT_FOUND) {
		*e = it->err;
		return -1;
	}
	if (conditions_check(&it->only_if, found && !o.delete_marker ? &o : NULL, &it->err) < 0)
		return refuse(it);
	if (marks)
		return add_marker(s, c, b, it->key, found, cause, &it->done, e);
	if (!found) {
		o = (struct store_object){ .key = it->key };
		return object_tell_in(s, c, b, &o, "s3:ObjectRemoved:NoOP", cause, e);
	}
	if (lock_check_delete(&o, it->bypass, &it->err) < 0)
		return refuse(it);
	return remove_version(s, c, b, &o, at, cause, &it->done, e);
}

struct delete_write {
	struct store *store;
	struct span bucket;
	struct store_delete_item *items;
	size_t n;
	const struct store_cause *cause;
};

static int delete_items(struct db_conn *c, void *arg, struct err *e)
{
	static const struct store_cause nobody;
	struct delete_write *w = arg;
	struct store_bucket b;

	if (bucket_find(c, w->bucket, &b, e) < 0)
		return -1;
	for (size_t i = 0; i < w->n;
	     i++) // a failure is the database's: nothing of the request stands
		if (delete_in(w->store, c, &b, &w->items[i], w->cause ? w->cause : &nobody, e) < 0)
			return -1;
	return 0;
}

int store_delete_many(struct store *s, struct span bucket, struct store_delete_item *items,
		      size_t n, const struct store_cause *cause, struct err *e)
{
	struct delete_write w = { s, bucket, items, n, cause };

	if (n > STORE_PAGE_MAX)
		return err_set(e, ERR_LIMIT, "at most %d keys in one request", STORE_PAGE_MAX);
	return db_write(s->db, delete_items, &w, e);
}

int store_delete(struct store *s, struct span bucket, struct store_delete_item *item,
		 const struct store_cause *cause, struct err *e)
{
	if (store_delete_many(s, bucket, item, 1, cause, e) < 0)
		return -1;
	if (item->result < 0)
		*e = item->err;
	return item->result;
}

struct delete_later {
	struct db_request request;
	struct delete_write write;
	store_done_fn *done;
	void *owner;
};

static void delete_done(struct db_request *r, int result, const struct err *e)
{
	struct delete_later *l = (struct delete_later *)r;
	struct store_delete_item *item = l->write.items;

	if (result >= 0 && item->result < 0)
		l->done(l->owner, item->result, &item->err);
	else
		l->done(l->owner, result, e);
	mem_free(l);
}

void store_delete_submit(struct store *s, struct span bucket, struct store_delete_item *item,
			 const struct store_cause *cause, store_done_fn *done, void *owner)
{
	struct delete_later *l = mem_zalloc(sizeof(*l));

	l->write = (struct delete_write){ s, bucket, item, 1, cause };
	l->done = done;
	l->owner = owner;
	l->request =
		(struct db_request){ .fn = delete_items, .arg = &l->write, .done = delete_done };
	db_submit(s->db, &l->request);
}

// ---- tags and access lists -----------------------------------------------------------------------------

struct text_write {
	struct store *store;
	struct span bucket, key, text;
	int64_t version;
	bool acl;
	const struct store_cause *cause;
	struct store_object *changed;
};

static int set_text(struct db_conn *c, void *arg, struct err *e)
{
	auto_arena struct arena mem = { 0 };
	struct text_write *w = arg;
	struct store_bucket b;
	struct store_object o;
	struct content at;

	if (bucket_find(c, w->bucket, &b, e) < 0 || place_refuse(&b, e) < 0 ||
	    object_find(c, &b, w->key, w->version, &mem, &o, &at, e) < 0 ||
	    object_not_marker(&o, e) < 0)
		return -1;
	hot_object_changes_in(w->store->hot, b.id, w->key);
	*w->changed = (struct store_object){ .version = o.version, .null_version = o.null_version };
	if (db_exec(c,
		    w->acl ? "UPDATE objects SET acl=?4 WHERE bucket=?1 AND key=?2 AND "
			     "version=?3"
			   : "UPDATE objects SET tags=?4 WHERE bucket=?1 AND key=?2 AND "
			     "version=?3",
		    DB_ARGS(db_int(b.id), db_text(w->key), db_int(o.version),
			    w->text.n ? db_text(w->text) : db_null()),
		    e) < 0)
		return -1;
	return object_tell_in(w->store, c, &b, &o,
			      w->acl	  ? "s3:ObjectAcl:Put"
			      : w->text.n ? "s3:ObjectTagging:Put"
					  : "s3:ObjectTagging:Delete",
			      w->cause, e);
}

int store_tags_set(struct store *s, struct span bucket, struct span key, int64_t version,
		   struct span tags, const struct store_cause *cause, struct store_object *changed,
		   struct err *e)
{
	struct text_write w = { s, bucket, key, tags, version, false, cause, changed };

	return db_write(s->db, set_text, &w, e);
}

int store_acl_set(struct store *s, struct span bucket, struct span key, int64_t version,
		  struct span acl, const struct store_cause *cause, struct err *e)
{
	struct store_object ignored;
	struct text_write w = { s, bucket, key, acl, version, true, cause, &ignored };

	return db_write(s->db, set_text, &w, e);
}
