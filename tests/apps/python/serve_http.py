# SPDX-License-Identifier: Apache-2.0
"""The ways of spread.py behind the standard library's http.server: serve_http.py PORT [single]."""

import http.server
import signal
import socketserver
import sys

import spread


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        truth = self.headers.get("X-Truth", "")
        body = spread.serve(self.path, truth)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Truth", truth)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *unused):
        pass


class Threading(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 256


class Single(http.server.HTTPServer):
    request_queue_size = 256


def main():
    server = (Single if "single" in sys.argv else Threading)(("127.0.0.1", int(sys.argv[1])), Handler)
    if isinstance(server, Single):
        Handler.protocol_version = "HTTP/1.0"
    signal.signal(signal.SIGTERM, lambda *unused: sys.exit(0))
    server.serve_forever()


if __name__ == "__main__":
    main()
