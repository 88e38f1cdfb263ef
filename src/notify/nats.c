// SPDX-License-Identifier: Apache-2.0
// nats: events as messages of a subject. The library brings OpenSSL and threads of its own, so it is loaded when the
// first target wants it.
#include "base/lock.h"
#include "base/mem.h"
#include "notify/sender.h"

#include <dlfcn.h>
#include <nats/nats.h>

#define NATS_LIBRARY "libnats.so.3.4"
enum { CONNECT_MS = 5000, PUBLISH_MS = 10000 };

// What is used of it.
#define NATS_FUNCTIONS(X)                                                                          \
	X(natsOptions_Create)                                                                      \
	X(natsOptions_Destroy)                                                                     \
	X(natsOptions_SetURL)                                                                      \
	X(natsOptions_SetUserInfo)                                                                 \
	X(natsOptions_SetToken)                                                                    \
	X(natsOptions_SetName)                                                                     \
	X(natsOptions_SetTimeout)                                                                  \
	X(natsOptions_SetAllowReconnect)                                                           \
	X(natsOptions_SetSecure)                                                                   \
	X(natsOptions_SkipServerVerification)                                                      \
	X(natsOptions_LoadCATrustedCertificates)                                                   \
	X(natsConnection_Connect)                                                                  \
	X(natsConnection_Publish)                                                                  \
	X(natsConnection_FlushTimeout)                                                             \
	X(natsConnection_JetStream)                                                                \
	X(natsConnection_Destroy)                                                                  \
	X(jsPubOptions_Init)                                                                       \
	X(js_Publish)                                                                              \
	X(jsCtx_Destroy)                                                                           \
	X(natsStatus_GetText)

#define DECLARE(name) __typeof__(name) *name##_fn;
static struct {
	NATS_FUNCTIONS(DECLARE)
} api;
#undef DECLARE

static pthread_mutex_t load_lock = PTHREAD_MUTEX_INITIALIZER;
static bool loaded;

static int load(struct err *e)
{
	auto_lock held = lock_hold(&load_lock);
	void *lib;

	if (loaded)
		return 0;
	lib = dlopen(NATS_LIBRARY, RTLD_NOW | RTLD_LOCAL);
	if (!lib)
		return err_set(e, ERR_UNAVAILABLE, "NATS needs %s (Debian: libnats3.4): %s",
			       NATS_LIBRARY, dlerror());
#define RESOLVE(name)                                                                              \
	*(void **)&api.name##_fn = dlsym(lib, #name);                                              \
	if (!api.name##_fn)                                                                        \
		return err_set(e, ERR_UNAVAILABLE, "%s has no %s", NATS_LIBRARY, #name);
	NATS_FUNCTIONS(RESOLVE)
#undef RESOLVE
	loaded = true;
	return 0;
}

struct nats {
	struct sender base;
	char *subject;
	bool jetstream;
	natsConnection *connection; // NULL = to be made
	jsCtx *js;
	struct sender_options options;
};

static int bad(natsStatus s, const char *doing, struct err *e)
{
	return err_set(e, s == NATS_TIMEOUT ? ERR_TIMEOUT : ERR_UNAVAILABLE, "%s: %s", doing,
		       api.natsStatus_GetText_fn(s));
}

static void disconnect(struct nats *n)
{
	if (n->js)
		api.jsCtx_Destroy_fn(n->js);
	n->js = NULL;
	if (n->connection)
		api.natsConnection_Destroy_fn(n->connection);
	n->connection = NULL;
}

static const char *setting(const struct nats *n, const char *key)
{
	return n->options.setting(n->options.owner, key);
}

static bool is_on(const struct nats *n, const char *key)
{
	return strcmp(setting(n, key), "on") == 0;
}

static natsStatus set_tls(const struct nats *n, natsOptions *o)
{
	natsStatus s = api.natsOptions_SetSecure_fn(o, true);

	if (s == NATS_OK && *setting(n, "ca_file"))
		s = api.natsOptions_LoadCATrustedCertificates_fn(o, setting(n, "ca_file"));
	if (s == NATS_OK && is_on(n, "tls_skip_verify"))
		s = api.natsOptions_SkipServerVerification_fn(o, true);
	return s;
}

// Lost connections are ours to make again, after the waits of the lane.
static natsStatus set_options(const struct nats *n, natsOptions *o)
{
	const char *address = setting(n, "address");
	auto_free char *url =
		strstr(address, "://") ? mem_strdup(address) : mem_printf("nats://%s", address);
	natsStatus s = api.natsOptions_SetURL_fn(o, url);

	if (s == NATS_OK)
		s = api.natsOptions_SetName_fn(o, "oscar");
	if (s == NATS_OK)
		s = api.natsOptions_SetTimeout_fn(o, CONNECT_MS);
	if (s == NATS_OK)
		s = api.natsOptions_SetAllowReconnect_fn(o, false);
	if (s == NATS_OK && *setting(n, "username"))
		s = api.natsOptions_SetUserInfo_fn(o, setting(n, "username"),
						   setting(n, "password"));
	if (s == NATS_OK && *setting(n, "token"))
		s = api.natsOptions_SetToken_fn(o, setting(n, "token"));
	if (s == NATS_OK && is_on(n, "tls"))
		s = set_tls(n, o);
	return s;
}

static int connect_to(struct nats *n, struct err *e)
{
	natsOptions *o = NULL;
	natsStatus s = api.natsOptions_Create_fn(&o);

	if (s == NATS_OK)
		s = set_options(n, o);
	if (s == NATS_OK)
		s = api.natsConnection_Connect_fn(&n->connection, o);
	if (o)
		api.natsOptions_Destroy_fn(o);
	if (s == NATS_OK && n->jetstream)
		s = api.natsConnection_JetStream_fn(&n->js, n->connection, NULL);
	if (s == NATS_OK)
		return 0;
	disconnect(n);
	return bad(s, "connect", e);
}

// A stream acknowledges when it has stored the message, and drops one of an id that it has. Without one the server
// has read the message when it answers.
static natsStatus publish(struct nats *n, const struct sender_letter *l)
{
	jsPubOptions options;
	natsStatus s;

	if (!n->jetstream) {
		s = api.natsConnection_Publish_fn(n->connection, n->subject, l->record.p,
						  (int)l->record.n);
		return s == NATS_OK ? api.natsConnection_FlushTimeout_fn(n->connection, PUBLISH_MS)
				    : s;
	}
	s = api.jsPubOptions_Init_fn(&options);
	options.MsgId = l->id;
	options.MaxWait = PUBLISH_MS;
	return s == NATS_OK ? api.js_Publish_fn(NULL, n->js, n->subject, l->record.p,
						(int)l->record.n, &options, NULL)
			    : s;
}

static int nats_send(struct sender *s, const struct sender_letter *l, struct err *e)
{
	struct nats *n = (struct nats *)s;
	natsStatus got;

	if (!n->connection && connect_to(n, e) < 0)
		return -1;
	got = publish(n, l);
	if (got == NATS_OK)
		return 0;
	disconnect(n);
	return bad(got, "publish", e);
}

static void nats_close(struct sender *s)
{
	struct nats *n = (struct nats *)s;

	disconnect(n);
	mem_free(n->subject);
	mem_free(n);
}

int nats_open(const struct sender_options *o, struct sender **out, struct err *e)
{
	struct nats *n;

	if (load(e) < 0)
		return -1;
	n = mem_zalloc(sizeof(*n));
	n->base = (struct sender){ nats_send, nats_close };
	n->options = *o;
	n->subject = mem_strdup(setting(n, "subject"));
	n->jetstream = is_on(n, "jetstream");
	*out = &n->base;
	return 0;
}
