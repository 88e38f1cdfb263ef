// tls: the certificate that a server shows, changed while it runs. Private to http.
// Owner: the server; a replaced certificate is kept until the server closes, for handshakes may still use it.
// Threads: tls_set() from any thread; handshakes read without a lock.
// Errors: ERR_INVALID (no certificate, no key, or they do not belong together).
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/err.h"

struct tls;

must_check int tls_open(struct tls **out, const char *cert_pem, const char *key_pem, struct err *e);
void tls_close(struct tls *t); // accepts NULL
must_check int tls_set(struct tls *t, const char *cert_pem, const char *key_pem, struct err *e);

// For MHD_OPTION_HTTPS_CERT_CALLBACK.
void *tls_callback(void);
