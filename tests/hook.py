"""A listener for webhooks: keeps what it was sent, and fails when a test wants it to."""
import http.server
import json
import ssl
import threading
import time


class Hook:
    """`posts` has (headers, body as JSON, time of arrival); `status` is what it answers."""

    def __init__(self, port=0, certificate=None):
        self.posts, self.status, self.lock = [], 200, threading.Lock()
        hook = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = hook.status
                with hook.lock:
                    if status < 300:
                        hook.posts.append((dict(self.headers), json.loads(body), time.monotonic()))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

        self.server = Server(("127.0.0.1", port), Handler)
        scheme = "http"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
            scheme = "https"
        self.port = self.server.server_port
        self.url = f"{scheme}://127.0.0.1:{self.port}/hook"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()

    def records(self):
        with self.lock:
            return [body["Records"][0] for _, body, _ in self.posts]

    def close(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def wait_until(what, condition, seconds=30):
    """Waits for a condition with a deadline; its value."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.005)
    raise AssertionError(f"{what} did not come within {seconds} s")
