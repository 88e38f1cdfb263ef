// client_private: what the files of the HTTP client share. Private to http. Owner, threads, errors: as client.h says.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "http/client.h"

#include <curl/curl.h>

struct http_client {
	CURL *curl;
	char *userpwd, *bearer, *agent, *ca_file;
	bool insecure, https_only;
	int64_t connect_timeout_ms;
	bool (*cancelled)(void *owner);
	void *owner;
};

// How the server is reached: certificates, proxies, times. deadline_ns: monotonic, 0 = none.
void client_transport(const struct http_client *c, const char *url, int64_t deadline_ns, CURL *h);
// What curl said, as an error; `detail` = the text of CURLOPT_ERRORBUFFER.
int client_error(CURLcode code, const char *detail, struct err *e);
