# SPDX-License-Identifier: Apache-2.0
"""Node.js inside TLS and HTTP/2, where only the adapter sees: the same spans as over plain sockets."""

import subprocess

import pytest

import node
import programs
import truth

pytestmark = pytest.mark.skipif(not node.NODE, reason="there is no node here: scripts/setup test installs it")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificate")
    key, file = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", file, "-days", "2", "-subj",
                    "/CN=localhost"], check=True, capture_output=True)
    return ["--certificate", file, "--key", key]


VERSIONS = {"https": "1.1", "fetch": "1.1", "http2": "2", "h2c": "2", "compat": "2"}


@pytest.mark.parametrize("mode", VERSIONS)
def test_exchanges(certificate, mode):
    """A front that calls itself, and whose inner server calls on."""
    requests = programs.REQUESTS // 10
    result = node.run_front(mode, *certificate, app="secure.js", requests=requests, connections=16)
    verdict = result.verdict
    assert (verdict.wrong, verdict.unknown) == (0, 0), "\n".join([verdict.summary(), *verdict.examples])
    assert (verdict.servers, verdict.clients) == (3 * requests, 4 * requests), verdict.summary()
    inner = [s for s in result.spans if s.attributes.get("url.path", "").startswith("/secure/")]
    assert len(inner) == 2 * requests
    calls = {(s.trace_id, s.span_id): s for s in result.spans if s.kind == truth.CLIENT and "/secure/" in s.attributes["url.full"]
             and not s.truth.endswith(".b")}
    scheme = "http" if mode == "h2c" else "https"
    for span in inner:
        call = calls.pop((span.trace_id, span.parent_id))
        assert call.truth == span.truth
        for one in (span, call):
            assert one.attributes["network.protocol.version"] == VERSIONS[mode]
            assert one.attributes["http.response.status_code"] == 200 and one.status == 0
            assert one.attributes["network.peer.address"] == "127.0.0.1"
        assert span.attributes["url.scheme"] == scheme and span.attributes["url.query"] == "token=REDACTED"
        assert call.attributes["url.full"].startswith(f"{scheme}://127.0.0.1:")
        assert call.attributes["url.full"].endswith("?token=REDACTED")
    assert calls == {}


SERVER = """
const fs = require('fs');
require('https').createServer({ key: fs.readFileSync('%s'), cert: fs.readFileSync('%s') }, (request, response) => {
  if (request.url === '/slow') return;
  response.statusCode = 404;
  response.end('not here');
}).listen(%d, '127.0.0.1');
process.on('SIGTERM', () => process.exit(0));
"""


@pytest.fixture
def server(workplace, certificate):
    port = programs.free_port()
    spans = programs.SpanFile(workplace.file("server.jsonl"), workplace.run)
    script = workplace.file("server.js", SERVER % (certificate[3], certificate[1], port))
    program = workplace.start([node.NODE, script], port, programs.shim_environment(workplace, spans.path))

    def end():
        program.stop()
        return spans.refresh()
    return port, end


def call(workplace, port, mode):
    done, spans = node.run_script(workplace, node.APPS / "client.js", "--mode", mode, "--port", port)
    (span,) = spans
    return node.told(done), span


def test_failures_that_are_answers(workplace, server):
    port, end = server
    told, span = call(workplace, port, "https")
    assert told == 404
    assert (span.attributes["http.response.status_code"], span.attributes["error.type"], span.status) == (404, "404", 2)
    (answer,) = end()
    assert (answer.trace_id, answer.parent_id) == (span.trace_id, span.span_id)
    assert answer.attributes["http.response.status_code"] == 404 and answer.status == 0
    assert answer.attributes["url.query"] == "sig=REDACTED"


def test_calls_cut_off(workplace, server):
    port, end = server
    told, span = call(workplace, port, "cancelled")
    assert told == "ECONNRESET" and (span.attributes["error.type"], span.status) == ("cancelled", 2)
    (answer,) = end()
    assert (answer.attributes["error.type"], answer.status) == ("client_disconnected", 2)


def test_connections_that_fail(workplace, server):
    port, end = server
    told, span = call(workplace, port, "strict")
    assert told == span.attributes["error.type"] == "DEPTH_ZERO_SELF_SIGNED_CERT"
    end()
    told, span = call(workplace, port, "https")
    assert (told, span.attributes["error.type"]) == ("ECONNREFUSED", "connection_refused")
