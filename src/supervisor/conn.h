// conn: one connection to a server, plain or by TLS, with deadlines and the wish to stop in every wait.
// Owner: the caller. Threads: one.
// Errors: ERR_UNAVAILABLE (no address, refused, lost), ERR_TIMEOUT (silent for IDLE), ERR_PROTOCOL (TLS),
//   ERR_DENIED (the certificate is not one to trust), ERR_CANCELLED, ERR_INVALID (no CA bundle).
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "supervisor/stop.h"

#include <stdbool.h>
#include <sys/types.h>

struct conn;
struct tls; // what is shared by the connections to one server: the trusted certificates

// Trusts SSL_CERT_FILE, else the bundle of the image at one of its usual places; with verify = false
// anybody.
must_check int tls_new(bool verify, struct tls **out, struct err *e);
void tls_free(struct tls *t);

// `tls` NULL = plain.
must_check int conn_open(struct stop *stop, const char *host, uint16_t port, struct tls *tls,
			 struct conn **out, struct err *e);
void conn_close(struct conn *c);

// Whether something comes within that time; an error is for the next read to tell.
bool conn_comes(struct conn *c, int64_t ms);
// What has come, at least one byte; 0 at the end.
must_check ssize_t conn_read(struct conn *c, void *p, size_t n, struct err *e);
must_check int conn_write(struct conn *c, const void *p, size_t n, struct err *e);
