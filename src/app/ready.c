// SPDX-License-Identifier: Apache-2.0
// ready: telling that the daemon is there.
#include "app/daemon.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "codec/json.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

// sd_notify(3), the datagram itself: a library for one message is not worth its start-up.
void daemon_tell_systemd(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	auto_fd int fd = -1;

	if (!path || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof(a.sun_path))
		return;
	memcpy(a.sun_path, path, strlen(path));
	if (path[0] == '@')
		a.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 ||
	    sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&a,
		   (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path))) < 0)
		log_warn("serve", "systemd could not be told \"%s\"", state);
}

int daemon_say_ready(const struct daemon *d, struct err *e)
{
	auto_json json_t *v =
		json_pack("{s:b,s:s,s:s}", "ready", 1, "api", d->api_url, "s3", d->s3_url);
	auto_free char *text = codec_json_text(v, CODEC_JSON_PLAIN);
	auto_free char *path = mem_printf("%s/ready.json", d->o->data);

	if (file_replace(AT_FDCWD, path, 0644, text, strlen(text), e) < 0)
		return -1;
	printf("%s\n", text);
	fflush(stdout);
	if (d->cred.generated)
		log_info("serve", "new credentials are in %s", d->cred.path);
	daemon_tell_systemd("READY=1");
	return 0;
}
