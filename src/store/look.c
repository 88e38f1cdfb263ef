// SPDX-License-Identifier: Apache-2.0
// look: one name of a directory compared with its row, when somebody asks for it.
#include "base/file.h"
#include "base/mem.h"
#include "store/claims.h"
#include "store/differences.h"
#include "store/indexed.h"
#include "store/placing.h"

#include <fcntl.h>

int place_look(struct place *p, struct span key, bool known_only, struct err *e)
{
	auto_arena struct arena mem = { 0 };
	struct differences *w;
	struct indexed row = { 0 };
	struct db_conn *c = db_reader(p->store->db, e);
	struct err missing = { 0 };
	auto_fd int fd = -1;
	struct store_object o;
	struct content at;
	struct stat st;
	bool there;
	int known, bad = 0;

	if (!c || !key.n || key.n > STORE_KEY_MAX || !span_is_utf8(key) ||
	    place_is_sentinel(p, key) || placing_is_part(key))
		return c ? 0 : -1;
	known = object_latest(c, p->bucket, key, &mem, &o, &at, e);
	if (known < 0 || (known_only && !known))
		return known;
	if (claim_held(p->store, p->bucket, key))
		return 0;
	fd = file_open_beneath(p->root, arena_strndup(&mem, key.p, key.n), O_PATH | O_NOFOLLOW,
			       &missing);
	if (fd < 0 && missing.code != ERR_NOT_FOUND && missing.code != ERR_DENIED)
		return 0; // cannot be looked at: the next scan will say
	there = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
	if (known)
		row = (struct indexed){ .inode = at.id, .mtime_ns = o.mtime_ns, .size = o.size };
	if (there ? known && indexed_same(&row, &st) : !known)
		return 0;
	w = mem_zalloc(sizeof(*w));
	w->place = p;
	bad = differences_note(w, key, known ? o.version : 0, there ? &st : NULL, e);
	if (!bad)
		bad = differences_flush(w, e);
	arena_release(&w->mem);
	mem_free(w);
	return bad;
}
