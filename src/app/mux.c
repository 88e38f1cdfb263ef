// SPDX-License-Identifier: Apache-2.0
// mux: the API's port also answers for the image registry, whose clients insist on /v2/, and passes requests on to
// exposed services.
#include "app/app.h"
#include "expose/expose.h"
#include "registry/registry.h"

static const struct http_handler *pick(void *owner, struct http_req *r)
{
	const struct mux *m = owner;

	return registry_server_path(http_path_raw(r)) ? &m->registry
	       : expose_path(http_path_raw(r))	      ? &m->expose
						      : &m->api;
}

static void begin(void *owner, struct http_req *r)
{
	const struct http_handler *h = pick(owner, r);

	h->begin(h->owner, r);
}

static void body(void *owner, struct http_req *r, struct span piece)
{
	const struct http_handler *h = pick(owner, r);

	h->body(h->owner, r, piece);
}

static void finish(void *owner, struct http_req *r)
{
	const struct http_handler *h = pick(owner, r);

	h->finish(h->owner, r);
}

static void gone(void *owner, struct http_req *r)
{
	const struct http_handler *h = pick(owner, r);

	h->gone(h->owner, r);
}

static void busy(void *owner, struct http_req *r)
{
	const struct http_handler *h = pick(owner, r);

	if (h->busy)
		h->busy(h->owner, r);
}

struct http_handler mux_handler(struct mux *m)
{
	return (struct http_handler){ m, begin, body, finish, gone, busy };
}
