// auth: users, their keys and what they may do. Knows no HTTP (authn reads who it is from a request).
// Purpose: one table of rights for API and S3. The administrator has id AUTH_ADMIN_ID and every right.
// Owner: struct auth keeps all users and keys in memory (they are few) and writes through to the database.
// Threads: safe. Errors: ERR_NOT_FOUND, ERR_EXISTS, ERR_UNAUTH, ERR_DENIED, ERR_INVALID, and those of db.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/arena.h"
#include "base/err.h"
#include "base/span.h"

#include <stdint.h>

struct auth;
struct db;

enum {
	AUTH_ADMIN_ID = 1,
	AUTH_ANONYMOUS_ID = 2,
	AUTH_NAME_MAX = 65,
	AUTH_KEY_MAX = 129,
	AUTH_SECRET_MAX = 129,
	AUTH_EMAIL_MAX = 255,
};

struct auth_user {
	int64_t id;
	char name[AUTH_NAME_MAX];
	bool admin;
	bool enabled;
};

struct auth_key {
	char access[AUTH_KEY_MAX];
	char secret[AUTH_SECRET_MAX]; // wipe after use
	struct auth_user user;
};

must_check int auth_open(struct auth **out, struct db *d, struct err *e);
void auth_close(struct auth *a);

// Sets the administrator's name, password and S3 key, which come from configuration at every start.
must_check int auth_set_admin(struct auth *a, const char *name, const char *password,
			      const char *access, const char *secret, struct err *e);

// The key with its secret; ERR_NOT_FOUND when unknown or disabled.
must_check int auth_key_find(struct auth *a, struct span access, struct auth_key *out,
			     struct err *e);

// Who has this name and password (constant time in the password); ERR_UNAUTH otherwise.
must_check int auth_password(struct auth *a, struct span name, struct span password,
			     struct auth_user *out, struct err *e);

must_check int auth_user_find(struct auth *a, struct span name, struct auth_user *out,
			      struct err *e);
must_check int auth_user_by_id(struct auth *a, int64_t id, struct auth_user *out, struct err *e);

// password, access and secret may be NULL (no log-in / no key). ERR_EXISTS for a name or key in use.
must_check int auth_user_add(struct auth *a, const char *name, const char *password,
			     const char *access, const char *secret, struct auth_user *out,
			     struct err *e);
// How the user is named in grants by e-mail; "" = not at all. ERR_EXISTS when another user has it.
must_check int auth_user_set_email(struct auth *a, int64_t user, const char *email, struct err *e);
must_check int auth_user_by_email(struct auth *a, struct span email, struct auth_user *out,
				  struct err *e);
// Copies it, "" when there is none.
void auth_user_email(struct auth *a, int64_t user, char out[static AUTH_EMAIL_MAX]);
must_check int auth_user_remove(struct auth *a, struct span name, struct err *e);
// All users in order of their names.
must_check int auth_user_list(struct auth *a, struct arena *mem, struct auth_user **out, size_t *n,
			      struct err *e);

// An administrator's S3 key, for handing to clients by /system/config. ERR_NOT_FOUND when the user has none.
must_check int auth_key_of(struct auth *a, int64_t user, struct auth_key *out, struct err *e);

enum auth_right { AUTH_READ = 1, AUTH_WRITE = 2, AUTH_LIST = 4, AUTH_OWN = 8 };

// What a bucket's record says about who may use it.
enum auth_visibility { AUTH_PRIVATE, AUTH_RESTRICTED, AUTH_PUBLIC };
struct auth_subject {
	int64_t bucket; // 0 when it is not a bucket
	int64_t owner;
	enum auth_visibility visibility;
};

// 0 when `user` has all of `rights` on the thing, else ERR_DENIED. The one table of permissions:
// administrator everything; owner everything; granted users what their grant says; a public bucket reads and
// lists for every known user.
must_check int auth_may(struct auth *a, int64_t user, const struct auth_subject *s, unsigned rights,
			struct err *e);
must_check int auth_grant(struct auth *a, int64_t bucket, int64_t user, unsigned rights,
			  struct err *e); // rights 0 removes
