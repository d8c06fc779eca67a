# SPDX-License-Identifier: Apache-2.0
"""Raw bytes in, raw bytes out: what a peer of the program sees."""

import re
import socket
import threading

OURS = (b"traceparent:", b"tracestate:", b"baggage:")
TIMEOUT_S = 20
# What differs between any two runs.
_VARYING = [(rb"(?mi)^(Date|Last-Modified|Age|X-Varnish|ETag): [^\r\n]*", rb"\1: *"), (rb"XID: \d+", b"XID: *")]


def converse(port, payload):
    """Send payload over one connection; all that comes back until the server closes it."""
    with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S) as s:
        received = b""
        try:
            s.sendall(payload)
            while chunk := s.recv(65536):
                received += chunk
        except ConnectionError:
            received += b"<reset>"
        except TimeoutError:
            received += b"<timeout>"
        return received


def comparable(received, *ports):
    """Without dates, ids and the ports of this run."""
    for pattern, replacement in _VARYING:
        received = re.sub(pattern, replacement, received)
    for port in ports:
        received = received.replace(str(port).encode(), b"PORT")
    return received


def without_our_headers(head_and_body):
    lines = head_and_body.split(b"\r\n")
    return b"\r\n".join(line for line in lines if not line.lower().startswith(OURS))


class Recorder:
    """A backend that keeps the bytes of every request, in order, and answers each with its truth id."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.requests = []
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.listener.close()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with connection, connection.makefile("rb") as stream:
            try:
                while request := self._read(stream):
                    self.requests.append(request)
                    connection.sendall(self._answer(request))
                    if re.search(rb"(?mi)^connection: *close", request):
                        return
            except OSError:
                pass

    @staticmethod
    def _read(stream):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = stream.readline()
            if not line:
                return b""
            head += line
        if length := re.search(rb"(?mi)^content-length: *(\d+)", head):
            return head + stream.read(int(length[1]))
        if not re.search(rb"(?mi)^transfer-encoding: *chunked", head):
            return head
        while True:
            line = stream.readline()
            chunk = stream.read(int(line, 16) + 2)
            head += line + chunk
            if int(line, 16) == 0:
                return head

    @staticmethod
    def _answer(request):
        found = re.search(rb"(?mi)^x-truth: *([^\r\n]*)", request)
        truth = found[1] if found else b""
        body = b"" if request.startswith(b"HEAD ") else truth + b"\n"
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nX-Truth: %s\r\n\r\n%s" % (len(truth) + 1, truth, body)
