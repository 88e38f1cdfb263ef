// server: the structures that the files of http share. Private to http.
// A connection embeds its one current request (requests on it follow each other); it is made when the
// library reports a new connection and freed when the library reports its end.
// Threads: all of a request belongs to its loop, or while parked to whoever will resume it. Fields marked
// [lock] are guarded by the server's lock, [atomic] ones are read by the ticker too.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/lock.h"
#include "http/http.h"
#include "http/pool.h"
#include "http/tls.h"

#include <microhttpd.h>
#include <stdatomic.h>

enum req_stage {
	REQ_IDLE,	 // no request
	REQ_HEAD,	 // target seen, headers on their way
	REQ_BEGIN_WAIT,	 // parked by begin
	REQ_BODY,	 // body on its way, perhaps empty
	REQ_DRAIN,	 // answered; the body is read and dropped
	REQ_FINISH_WAIT, // parked by finish
	REQ_SENT,	 // the answer is with the library
};

struct req_header {
	struct span name, value;
};

struct http_req {
	struct http_conn *conn;
	struct http_server *server;
	struct MHD_Connection *mhd;
	struct arena arena;
	enum req_stage stage;
	bool begun;	// begin was called, gone is due
	bool malformed; // the target cannot be taken; see request_check()
	bool too_long;
	bool parked;	   // by the current callback
	_Atomic bool away; // [atomic] parked, and not resumed yet
	bool has_body, size_known;
	uint64_t body_size; // when size_known
	uint64_t received;
	uint64_t dropped; // body bytes read only to keep the connection
	struct span target, path_raw, query_raw, path;
	const char *wire; // where the target stood in the connection's buffer
	struct span method_name;
	enum http_method method;
	struct req_header *headers;
	size_t header_count, header_room;
	struct req_header *members; // of the query, decoded; made when first asked for
	size_t member_count;
	char id[17];
	char peer[48];
	void *app;
	bool collect;
	struct buf body;
	void (*deferred)(void *owner, struct http_req *r);
	void (*resumed)(void *owner, struct http_req *r); // to be called on the loop, or NULL
	int64_t begun_ns;
	// the answer
	struct req_reply_header {
		struct req_reply_header *next;
		const char *name, *value;
	} * reply_headers, **reply_tail;
	struct MHD_Response *response;
	unsigned status;
	uint64_t file_size; // 0 = the answer is no file
	bool uncorked;	    // by cork.c, which knows of it until its end
	struct req_stream *stream;
};

struct http_conn {
	struct http_conn *next, *prev; // [lock] all connections of the server
	int fd;
	_Atomic int64_t deadline_ns; // [atomic] shut down after this; 0 = no deadline
	int64_t gone_ns; // [lock] the deadline at which the peer was found gone; 0 = it was there
	struct http_conn *park_next, *park_prev; // [lock] parked streams
	uint64_t park_topic;			 // [lock]
	bool park_due;				 // [lock] a wake came while the reader ran
	int64_t park_ns;			 // [lock] when it was parked
	struct http_conn *cork_next;		 // [lock]
	bool corked;				 // [lock] sends a large file
	struct http_req req;
};

enum { WAKE_TOPICS = 32 };

struct http_server {
	struct MHD_Daemon *mhd;
	struct http_options o; // with the defaults filled in
	char name[9];
	struct tls *tls; // NULL = plain
	int listen_fd;
	unsigned port;
	struct pool *pool;
	pthread_t ticker;
	bool ticking;
	pthread_t uncorker;
	bool uncorking;

	pthread_mutex_t lock;
	pthread_cond_t wake;	      // something for the ticker
	pthread_cond_t calm;	      // suspended fell to zero
	pthread_cond_t corks;	      // something for the uncorker
	struct http_conn *corked;     // [lock]
	struct http_conn *conns;      // [lock]
	struct http_conn *parked;     // [lock]
	uint64_t topics[WAKE_TOPICS]; // [lock] woken since the last tick
	unsigned topic_count;	      // [lock] above WAKE_TOPICS: all
	bool pending;		      // [lock] a parked stream is to be resumed
	bool stopping;		      // [lock]
	int64_t sweep_ns;	      // between two looks at the deadlines
	uint64_t id_seed;
	_Atomic uint64_t id_next;
	_Atomic unsigned active;    // [atomic] requests between their first line and their end
	_Atomic uint64_t wake_seq;  // [atomic] counts wakes
	_Atomic unsigned suspended; // [atomic] requests parked in any way
	_Atomic bool closing;	    // [atomic] new requests get 503, streams end
	struct http_figures figures;
};

// request.c
void request_start(struct http_req *r, const char *target); // the request line is there
bool request_check(struct http_req *r, const char *method, const char *version); // false: answered
void request_end(struct http_req *r); // frees what the request holds
bool conn_peer_gone(const struct http_conn *c);

// reply.c: gives the answer to the library; false when the connection has to be broken off.
bool reply_send(struct http_req *r);
void reply_drop(struct http_req *r);

// cork.c
void cork_watch(struct http_req *r); // its answer is about to be sent
void cork_forget(struct http_req *r);
void *cork_thread(void *server);

// stream.c
void *stream_ticker(void *server);
void stream_end(struct http_req *r); // closes the stream's owner

// course.c
void server_park(struct http_req *r);	// counts and suspends
void server_unpark(struct http_req *r); // counts and resumes
// The library's callbacks; `server` is struct http_server.
void course_connection(void *server, struct MHD_Connection *mhd, void **slot,
		       enum MHD_ConnectionNotificationCode what);
void *course_target(void *server, const char *target, struct MHD_Connection *mhd);
enum MHD_Result course_request(void *server, struct MHD_Connection *mhd, const char *url,
			       const char *method, const char *version, const char *data,
			       size_t *size, void **slot);
void course_completed(void *server, struct MHD_Connection *mhd, void **slot,
		      enum MHD_RequestTerminationCode why);
