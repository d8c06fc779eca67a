#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
import http.client
import os
import sys

truth = os.environ.get("HTTP_X_TRUTH", "")
connection = http.client.HTTPConnection("127.0.0.1", int(os.environ["BACKEND_PORT"]))
body = b""
for path in ("/first", "/second"):
    connection.request("GET", path, headers={"X-Truth": truth})
    body += connection.getresponse().read()
sys.stdout.buffer.write(b"Content-Type: text/plain\r\nX-Truth: %s\r\n\r\n%s" % (truth.encode(), body))
