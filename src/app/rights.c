// SPDX-License-Identifier: Apache-2.0
#include "app/app.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

int rights_find(const char *user, struct rights *out, struct err *e)
{
	const struct passwd *pw;

	*out = (struct rights){ geteuid(), getegid(), false };
	if (geteuid() != 0) {
		if (!user)
			return 0;
		pw = getpwnam(user);
		return pw && pw->pw_uid == geteuid()
			       ? 0
			       : err_set(e, ERR_DENIED,
					 "--user %s: only root can become another user", user);
	}
	pw = getpwnam(user ? user : "oscar");
	if (!pw && !user)
		pw = getpwnam("nobody");
	if (!pw)
		return err_set(e, ERR_NOT_FOUND,
			       "--user %s: no such user; make it with `adduser --system "
			       "--group %s`",
			       user ? user : "oscar", user ? user : "oscar");
	if (pw->pw_uid == 0)
		return err_set(e, ERR_INVALID,
			       "--user %s: the daemon does not run as root; name an "
			       "ordinary user",
			       user);
	*out = (struct rights){ pw->pw_uid, pw->pw_gid, true };
	return 0;
}

int rights_give(const struct rights *r, const char *path, struct err *e)
{
	if (r->drop && lchown(path, r->uid, r->gid) < 0)
		return err_sys(e, ERR_IO, errno, "chown %s", path);
	return 0;
}

int rights_drop(const struct rights *r, struct err *e)
{
	struct rlimit none = { 0, 0 };

	if (r->drop && (setgroups(0, NULL) < 0 || setresgid(r->gid, r->gid, r->gid) < 0 ||
			setresuid(r->uid, r->uid, r->uid) < 0))
		return err_sys(e, ERR_DENIED, errno, "become user %d", (int)r->uid);
	if (r->drop && (setuid(0) == 0 || geteuid() == 0))
		return err_set(e, ERR_BUG, "the rights of root are still there");
	if (setrlimit(RLIMIT_CORE, &none) < 0)
		return err_sys(e, ERR_IO, errno, "core limit");
	// Not for a rootless daemon: its runner needs newuidmap and the like, should it start one later.
	if (r->drop && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_sys(e, ERR_IO, errno, "no_new_privs");
	return 0;
}
