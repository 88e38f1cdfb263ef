// state: what the files of auth share about users. Private to auth.
// Threads: everything in struct auth is guarded by its lock, but db and passwords.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "auth/auth.h"
#include "auth/iam.h"
#include "auth/password.h"
#include "base/lock.h"
#include "base/map.h"
#include "db/db.h"

struct user {
	struct user *next; // in order of names
	struct auth_user pub;
	char password[PASSWORD_HASH_MAX]; // "" = cannot log in
	char email[AUTH_EMAIL_MAX];	  // "" = none
};

struct key {
	char secret[AUTH_SECRET_MAX];
	struct user *user;
};

struct grant_key {
	int64_t bucket, user;
};

struct auth {
	struct db *db;
	pthread_rwlock_t lock; // guards what follows
	struct user *users;
	size_t count;
	struct map keys;   // access -> struct key
	struct map grants; // struct grant_key -> rights as a number in the pointer
	struct password_cache *passwords;
	struct iam *iam; // policies and groups; replaced as a whole
};

// Under the lock.
struct user *user_named(struct auth *a, struct span name);
struct user *user_numbered(struct auth *a, int64_t id);
struct user *user_insert(struct auth *a, const struct auth_user *pub, const char *password);
void user_free(struct auth *a, struct user *u); // with its keys; it is in no list any more
void keys_drop_of(struct auth *a, const struct user *u);
void grant_put(struct auth *a, const struct grant_key *key, unsigned rights); // 0 = none any more
void key_insert(struct auth *a, struct span access, struct span secret, struct user *u);
// No lock.
int key_check(const char *access, const char *secret, struct err *e);

// iam.c: read all of it from the database, outside the lock, and put it in place.
must_check int iam_load(struct auth *a, struct err *e);
void iam_free(struct iam *i);
