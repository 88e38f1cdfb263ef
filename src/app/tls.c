// SPDX-License-Identifier: Apache-2.0
// The certificate and key of both ports: read at the start, and again on SIGHUP or when a file changed.
#include "app/app.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "http/http.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

enum { PEM_MAX = 256 * 1024 };

int tls_files_load(struct tls_files *t, struct err *e)
{
	struct buf texts[2];
	const char *const paths[] = { t->cert, t->key };
	int bad = 0;

	for (int i = 0; i < 2; i++)
		buf_init(&texts[i], PEM_MAX);
	for (int i = 0; i < 2 && !bad; i++) {
		struct stat st;

		bad = file_read_path(AT_FDCWD, paths[i], &texts[i], e);
		if (!bad && stat(paths[i], &st) < 0)
			bad = err_sys(e, ERR_IO, errno, "%s", paths[i]);
		if (!bad)
			t->seen[i] = (struct tls_seen){ st.st_mtim.tv_sec, st.st_mtim.tv_nsec,
							(uint64_t)st.st_ino, st.st_size };
	}
	if (!bad) {
		tls_files_wipe(t);
		t->cert_pem = buf_take(&texts[0]);
		t->key_pem = buf_take(&texts[1]);
	} else if (texts[1].p) {
		mem_wipe(texts[1].p, texts[1].n);
	}
	buf_release(&texts[0]);
	buf_release(&texts[1]);
	return bad;
}

void tls_files_wipe(struct tls_files *t)
{
	if (t->key_pem)
		mem_wipe(t->key_pem, strlen(t->key_pem));
	mem_free(t->cert_pem);
	mem_free(t->key_pem);
	t->cert_pem = t->key_pem = NULL;
}

bool tls_files_changed(const struct tls_files *t)
{
	const char *const paths[] = { t->cert, t->key };

	for (int i = 0; i < 2; i++) {
		const struct tls_seen *was = &t->seen[i];
		struct stat st;

		if (stat(paths[i], &st) == 0 &&
		    (st.st_mtim.tv_sec != was->s || st.st_mtim.tv_nsec != was->ns ||
		     (uint64_t)st.st_ino != was->inode || st.st_size != was->size))
			return true;
	}
	return false;
}

void tls_files_reload(struct tls_files *t, struct http_server *const *servers, size_t n)
{
	struct err e = { 0 };
	int bad = tls_files_load(t, &e);

	for (size_t i = 0; i < n && !bad; i++)
		bad = http_server_tls_set(servers[i], t->cert_pem, t->key_pem, &e);
	tls_files_wipe(t);
	if (bad)
		log_error("serve", "the TLS certificate stays as it was: %s", e.msg);
	else
		log_info("serve", "new TLS certificate from %s", t->cert);
}
