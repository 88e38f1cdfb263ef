// SPDX-License-Identifier: Apache-2.0
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "http/server.h"

#include <stdarg.h>

void http_reply_header(struct http_req *r, const char *name, struct span value)
{
	struct req_reply_header *h = arena_alloc(&r->arena, sizeof(*h));
	char *text = arena_strndup(&r->arena, value.p, value.n);

	for (size_t i = 0; i < value.n; i++)
		if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
			text[i] = ' ';
	h->name = name;
	h->value = text[0] ? text : " "; // the library refuses an empty value
	*r->reply_tail = h;
	r->reply_tail = &h->next;
}

void http_reply_headerf(struct http_req *r, const char *name, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	http_reply_header(r, name, span_of(text));
}

bool http_replied(const struct http_req *r)
{
	return r->response != NULL;
}

// True when this answer is to be dropped.
static bool second_answer(struct http_req *r, unsigned status)
{
	if (!r->response)
		return false;
	log_error(r->server->name, "request %s: answer %u after answer %u is dropped", r->id,
		  status, r->status);
	return true;
}

static void set_answer(struct http_req *r, unsigned status, const char *type,
		       struct MHD_Response *response)
{
	mem_need(response);
	r->response = response;
	r->status = status;
	if (type)
		http_reply_header(r, "Content-Type", span_of(type));
}

void http_reply_kept(struct http_req *r, unsigned status, const char *type, struct span body)
{
	if (second_answer(r, status))
		return;
	// The library does not write to a persistent buffer; its prototype only lacks the const.
	set_answer(r, status, type,
		   MHD_create_response_from_buffer(body.n, (void *)(uintptr_t)body.p,
						   MHD_RESPMEM_PERSISTENT));
}

void http_reply(struct http_req *r, unsigned status, const char *type, struct span body)
{
	if (r->response) {
		second_answer(r, status);
		return;
	}
	http_reply_kept(r, status, type, arena_span(&r->arena, body));
}

void http_reply_buf(struct http_req *r, unsigned status, const char *type, struct buf *body)
{
	size_t n = body->n;

	if (second_answer(r, status))
		return;
	set_answer(r, status, type,
		   MHD_create_response_from_buffer_with_free_callback(n, buf_take(body), mem_free));
}

void http_reply_text(struct http_req *r, unsigned status, const char *text)
{
	http_reply(r, status, "text/plain; charset=utf-8", span_of(text));
}

void http_reply_file(struct http_req *r, unsigned status, const char *type, int fd, uint64_t offset,
		     uint64_t size)
{
	if (second_answer(r, status)) {
		file_close(fd);
		return;
	}
	set_answer(r, status, type, MHD_create_response_from_fd_at_offset64(size, fd, offset));
	r->file_size = size;
}

static ssize_t read_nothing(void *arg unused_arg, uint64_t at unused_arg, char *buf unused_arg,
			    size_t max unused_arg)
{
	return MHD_CONTENT_READER_END_WITH_ERROR;
}

void http_reply_length(struct http_req *r, unsigned status, const char *type, uint64_t size)
{
	check(r->method == HTTP_HEAD);
	if (second_answer(r, status))
		return;
	if (!size) // the callback form takes an unknown length for a zero one
		set_answer(r, status, type,
			   MHD_create_response_from_buffer(0, (void *)(uintptr_t) "",
							   MHD_RESPMEM_PERSISTENT));
	else
		set_answer(r, status, type,
			   MHD_create_response_from_callback(size, 1024, read_nothing, NULL, NULL));
}

bool reply_send(struct http_req *r)
{
	for (struct req_reply_header *h = r->reply_headers; h; h = h->next)
		if (MHD_add_response_header(r->response, h->name, h->value) != MHD_YES)
			log_error(r->server->name, "request %s: header %s was not taken", r->id,
				  h->name);
	cork_watch(r);
	return MHD_queue_response(r->mhd, r->status, r->response) == MHD_YES;
}

void reply_drop(struct http_req *r)
{
	if (r->response)
		MHD_destroy_response(r->response);
	r->response = NULL;
}
