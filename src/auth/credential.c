// SPDX-License-Identifier: Apache-2.0
// credential: S3 keys and passwords, and whose they are.
#include "auth/state.h"
#include "base/mem.h"

int key_check(const char *access, const char *secret, struct err *e)
{
	size_t n = access ? strlen(access) : 0, m = secret ? strlen(secret) : 0;

	if (!access && !secret)
		return 0;
	if (n < 3 || n >= AUTH_KEY_MAX || m < 8 || m >= AUTH_SECRET_MAX)
		return err_set(e, ERR_INVALID,
			       "an access key has 3 to 128 characters, its secret 8 to 128");
	for (size_t i = 0; i < n; i++)
		if (access[i] <= ' ' || access[i] > '~' || strchr("/=,&", access[i]))
			return err_set(e, ERR_INVALID,
				       "an access key holds printable characters without / = , &");
	return 0;
}

static void copy_key(const struct key *k, struct span access, struct auth_key *out)
{
	snprintf(out->access, sizeof(out->access), SPAN_FMT, SPAN_ARG(access));
	memcpy(out->secret, k->secret, sizeof(out->secret));
	out->user = k->user->pub;
}

int auth_key_find(struct auth *a, struct span access, struct auth_key *out, struct err *e)
{
	auto_rwlock held = lock_read(&a->lock);
	struct key *k = map_get(&a->keys, access);

	if (!k || !k->user->pub.enabled || access.n >= AUTH_KEY_MAX)
		return err_set(e, ERR_NOT_FOUND, "unknown access key");
	copy_key(k, access, out);
	return 0;
}

int auth_key_of(struct auth *a, int64_t user, struct auth_key *out, struct err *e)
{
	auto_rwlock held = lock_read(&a->lock);
	struct span access;
	size_t at = 0;
	void *value;

	while (map_next(&a->keys, &at, &access, &value)) {
		struct key *k = value;

		if (k->user->pub.id == user) {
			copy_key(k, access, out);
			return 0;
		}
	}
	return err_set(e, ERR_NOT_FOUND, "the user has no S3 key");
}

int auth_password(struct auth *a, struct span name, struct span password, struct auth_user *out,
		  struct err *e)
{
	char hash[PASSWORD_HASH_MAX] = "";
	struct user *u;

	pthread_rwlock_rdlock(&a->lock);
	u = user_named(a, name);
	if (u && u->pub.enabled) {
		memcpy(hash, u->password, sizeof(hash));
		*out = u->pub;
	}
	pthread_rwlock_unlock(&a->lock);
	if (!password_matches(a->passwords, hash, password))
		return err_set(e, ERR_UNAUTH, "wrong user name or password");
	return 0;
}
