// SPDX-License-Identifier: Apache-2.0
#include "http/tls.h"

#include "base/mem.h"
#include "http/server.h"

#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>

enum { CHAIN_MAX = 16, KEY_ID_MAX = 64, REPLACED_MAX = 1000 };

struct certificate {
	struct certificate *next; // what it replaced
	unsigned count;		  // of those before it
	gnutls_pcert_st chain[CHAIN_MAX];
	unsigned n;
	gnutls_privkey_t key;
};

struct tls {
	_Atomic(struct certificate *) current;
};

static void certificate_free(struct certificate *c)
{
	if (!c)
		return;
	for (unsigned i = 0; i < c->n; i++)
		gnutls_pcert_deinit(&c->chain[i]);
	if (c->key)
		gnutls_privkey_deinit(c->key);
	mem_free(c);
}

static void certificate_free_ptr(struct certificate **c)
{
	certificate_free(*c);
}

static int fault(struct err *e, const char *what, int code)
{
	return err_set(e, ERR_INVALID, "%s: %s", what, gnutls_strerror(code));
}

static bool same_key(struct certificate *c)
{
	unsigned char a[KEY_ID_MAX], b[KEY_ID_MAX];
	size_t n = sizeof(a), m = sizeof(b);
	gnutls_pubkey_t public = NULL;
	bool same;

	same = gnutls_pubkey_init(&public) == 0 &&
	       gnutls_pubkey_import_privkey(public, c->key, 0, 0) == 0 &&
	       gnutls_pubkey_get_key_id(public, 0, a, &n) == 0 &&
	       gnutls_pubkey_get_key_id(c->chain[0].pubkey, 0, b, &m) == 0 && n == m &&
	       memcmp(a, b, n) == 0;
	if (public)
		gnutls_pubkey_deinit(public);
	return same;
}

static int load(const char *cert_pem, const char *key_pem, struct certificate **out, struct err *e)
{
	gnutls_datum_t cert = { (unsigned char *)(uintptr_t)cert_pem, (unsigned)strlen(cert_pem) };
	gnutls_datum_t key = { (unsigned char *)(uintptr_t)key_pem, (unsigned)strlen(key_pem) };
	at_scope_exit(certificate_free_ptr) struct certificate *c = mem_zalloc(sizeof(*c));
	unsigned n = CHAIN_MAX;
	int bad = gnutls_pcert_list_import_x509_raw(c->chain, &n, &cert, GNUTLS_X509_FMT_PEM, 0);

	if (bad < 0)
		return fault(e, "TLS certificate", bad);
	c->n = n;
	if (!n)
		return err_set(e, ERR_INVALID, "TLS certificate: none found");
	bad = gnutls_privkey_init(&c->key);
	if (bad == 0)
		bad = gnutls_privkey_import_x509_raw(c->key, &key, GNUTLS_X509_FMT_PEM, NULL, 0);
	if (bad < 0)
		return fault(e, "TLS key", bad);
	if (!same_key(c))
		return err_set(e, ERR_INVALID, "the TLS key is not that of the certificate");
	*out = mem_take(&c);
	return 0;
}

int tls_set(struct tls *t, const char *cert_pem, const char *key_pem, struct err *e)
{
	struct certificate *old = atomic_load(&t->current), *new;

	if (old && old->count >= REPLACED_MAX)
		return err_set(e, ERR_LIMIT, "the certificate was replaced too often, restart");
	if (load(cert_pem, key_pem, &new, e) < 0)
		return -1;
	new->next = old;
	new->count = old ? old->count + 1 : 0;
	atomic_store(&t->current, new);
	return 0;
}

int tls_open(struct tls **out, const char *cert_pem, const char *key_pem, struct err *e)
{
	struct tls *t = mem_zalloc(sizeof(*t));

	atomic_init(&t->current, NULL);
	if (tls_set(t, cert_pem, key_pem, e) < 0) {
		mem_free(t);
		return -1;
	}
	*out = t;
	return 0;
}

void tls_close(struct tls *t)
{
	struct certificate *c;

	if (!t)
		return;
	for (c = atomic_load(&t->current); c;) {
		struct certificate *next = c->next;

		certificate_free(c);
		c = next;
	}
	mem_free(t);
}

// The library keeps its connection in the session, and we our connection in that.
static int retrieve(gnutls_session_t session, const gnutls_datum_t *names unused_arg,
		    int name_count unused_arg, const gnutls_pk_algorithm_t *algorithms unused_arg,
		    int algorithm_count unused_arg, gnutls_pcert_st **chain, unsigned *n,
		    gnutls_privkey_t *key)
{
	struct MHD_Connection *mhd = gnutls_session_get_ptr(session);
	const union MHD_ConnectionInfo *info =
		mhd ? MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT) : NULL;
	struct http_conn *conn = info ? info->socket_context : NULL;
	struct certificate *c =
		conn && conn->req.server->tls ? atomic_load(&conn->req.server->tls->current) : NULL;

	if (!c)
		return -1;
	*chain = c->chain;
	*n = c->n;
	*key = c->key;
	return 0;
}

void *tls_callback(void)
{
	union {
		gnutls_certificate_retrieve_function2 *function;
		void *pointer;
	} u = { .function = retrieve };

	return u.pointer;
}
