// SPDX-License-Identifier: Apache-2.0
// listeners: the two ports, and who answers there.
#include "api/api.h"
#include "app/daemon.h"
#include "authn/authn.h"
#include "expose/expose.h"
#include "image/image.h"
#include "registry/registry.h"
#include "s3/s3.h"

#include <stdio.h>
#include <unistd.h>

enum { S3_WORKERS = 32 }; // each takes part in the group commit

// "http://HOST:PORT" with the port that was really bound.
static void url_of(const struct daemon *d, const char *listen, unsigned port, char *out,
		   size_t size)
{
	struct span host = span_of(listen);
	ptrdiff_t colon = span_rfind(host, ':');

	host = colon < 0 ? host : span_head(host, (size_t)colon);
	if (!host.n || span_is(host, "0.0.0.0") || span_is(host, "[::]"))
		host = SPAN("127.0.0.1");
	snprintf(out, size, "%s://" SPAN_FMT ":%u", d->tls.cert ? "https" : "http", SPAN_ARG(host),
		 port);
}

// What people write in front of a name that they push here: this machine, and what the administrator says.
static void name_registry(struct daemon *d, unsigned port)
{
	char own[3][300], node[256] = "localhost";
	const char *names[REGISTRY_NAMES_MAX + 4];
	size_t n = 0;

	gethostname(node, sizeof(node) - 1);
	snprintf(own[0], sizeof(own[0]), "localhost:%u", port);
	snprintf(own[1], sizeof(own[1]), "127.0.0.1:%u", port);
	snprintf(own[2], sizeof(own[2]), "%s:%u", node, port);
	for (size_t i = 0; i < ARRAY_LEN(own); i++)
		names[n++] = own[i];
	for (size_t i = 0; i < REGISTRY_NAMES_MAX && d->o->registry_names[i]; i++)
		names[n++] = d->o->registry_names[i];
	names[n] = NULL;
	images_set_hosts(d->images, names);
}

// What both ports share.
static struct http_options listener(const struct daemon *d, const char *listen, const char *name)
{
	const struct serve_options *o = d->o;

	return (struct http_options){ .listen = listen,
				      .name = name,
				      .connections = o->connections,
				      .address_max = o->address_max,
				      .head_max = o->head_max,
				      .head_ms = o->head_s * 1000,
				      .body_rate = o->body_rate,
				      .tls_cert_pem = d->tls.cert_pem,
				      .tls_key_pem = d->tls.key_pem };
}

static int listen_s3(struct daemon *d, struct err *e)
{
	struct s3_options o = { .store = d->store,
				.auth = d->auth,
				.authn = d->authn,
				.notify = d->notify,
				.domains = d->o->s3_domains };
	struct http_options h = listener(d, d->o->s3_listen, "s3");

	s3_open(&d->s3, &o);
	h.handler = s3_handler(d->s3);
	h.workers = S3_WORKERS;
	if (http_server_open(&d->s3_server, &h, e) < 0)
		return err_wrap(e, "--s3-listen");
	url_of(d, d->o->s3_listen, http_server_port(d->s3_server), d->s3_url, sizeof(d->s3_url));
	return 0;
}

static int open_api(struct daemon *d, struct err *e)
{
	struct api_options o = { .db = d->db,
				 .auth = d->auth,
				 .authn = d->authn,
				 .store = d->store,
				 .notify = d->notify,
				 .queue = d->queue,
				 .services = d->services,
				 .dispatch = d->dispatch,
				 .images = d->images,
				 .expose = d->expose,
				 .s3_endpoint = d->s3_url,
				 .data_dir = d->o->data,
				 .directory_roots = d->o->directory_roots,
				 .shells_max = d->o->shells_max,
				 .shell_idle_s = d->o->shell_idle_s,
				 .shell_time_s = d->o->shell_time_s,
				 .version = OSCAR_VERSION };

	return api_open(&d->api, &o, e);
}

// Exposed services, the API and the registry, which share a port.
static int listen_api(struct daemon *d, struct err *e)
{
	struct registry_server_options ro = { .auth = d->auth,
					      .authn = d->authn,
					      .images = d->images };
	struct expose_options xo = { .services = d->services,
				     .dispatch = d->dispatch,
				     .authn = d->authn,
				     .instances_max = d->o->instances_max };
	struct http_options h = listener(d, d->o->listen, "api");

	if (expose_open(&d->expose, &xo, e) < 0 || open_api(d, e) < 0)
		return -1;
	registry_server_open(&d->registry, &ro);
	d->mux = (struct mux){ api_handler(d->api), registry_server_handler(d->registry),
			       expose_handler(d->expose) };
	h.handler = mux_handler(&d->mux);
	if (http_server_open(&d->api_server, &h, e) < 0)
		return err_wrap(e, "--listen");
	url_of(d, d->o->listen, http_server_port(d->api_server), d->api_url, sizeof(d->api_url));
	return 0;
}

int daemon_listen(struct daemon *d, struct err *e)
{
	struct authn_options o = { .auth = d->auth };

	authn_open(&d->authn, &o);
	if (listen_s3(d, e) < 0 || listen_api(d, e) < 0)
		return -1;
	api_attach(d->api, d->api_server);
	api_show(d->api, "api", d->api_server);
	api_show(d->api, "s3", d->s3_server);
	name_registry(d, http_server_port(d->api_server));
	return 0;
}
