# SPDX-License-Identifier: Apache-2.0
"""Node.js: calls are the children of the requests whose tasks make them, whatever runs in between."""

import pytest

import node
import programs
import truth
import wire
from test_exactness import check_served

pytestmark = pytest.mark.skipif(not node.NODE, reason="there is no node here: scripts/setup test installs it")
needs_packages = pytest.mark.skipif(not node.PACKAGES, reason="needs packages of the npm registry: make node-test-extended")


def check(result, calls=3, requests=None, unknown=0):
    requests = requests or programs.REQUESTS // 10
    check_served(result, requests)
    verdict = result.verdict
    assert verdict.wrong == 0, "\n".join([verdict.summary(), *verdict.examples])
    assert (verdict.servers, verdict.clients) == (requests, calls * requests), verdict.summary()
    assert (verdict.missing, verdict.background, verdict.duplicates) == (0, 0, 0), verdict.summary()
    if unknown is not None:
        assert verdict.unknown == unknown, verdict.summary()


@pytest.mark.parametrize("mode", ["http", "fetch"])
def test_shards(mode):
    """Three calls with Promise.all, 100 requests in flight."""
    check(node.run_front(mode, requests=programs.REQUESTS, connections=100), requests=programs.REQUESTS)


@pytest.mark.parametrize("mode", ["queue", "fresh", "array", "late"])
def test_whoever_writes(mode):
    """Agents that make calls wait, and requests that others end: the call belongs to who made it."""
    check(node.run_front(mode))


def test_callbacks():
    check(node.run_front("nested"), calls=6)


@pytest.mark.parametrize("at", ["data", "end", "timer", "immediate", "pipeline"])
def test_moments(at):
    """Calls made from body events, timers, ticks, microtasks and async generators."""
    check(node.run_front("queue", at=at, load=("--post-max", "4000")))


@pytest.mark.parametrize("mode", ["netFresh", "netShared"])
def test_plain_sockets(mode):
    """A client of the program's own: whoever writes on a socket that nobody else uses at the time."""
    check(node.run_front(mode))


@pytest.mark.parametrize("mode", ["netBatch", "netTurns"])
def test_sockets_written_for_others(mode):
    """Clients that collect what their callers want: unknown, never wrong."""
    check(node.run_front(mode), unknown=None)


@needs_packages
@pytest.mark.parametrize("mode", ["undici", "undiciPool", "undiciFetch", "undiciGlobal"])
def test_undici(mode):
    check(node.run_front(mode, "--package", node.PACKAGES))


@needs_packages
@pytest.mark.parametrize("mode", ["redis", "ioredis", "ioredisBatch"])
def test_redis(workplace, mode):
    """What such clients write for others is nobody's call; what comes after their answers is the right one's."""
    port = programs.free_port()
    workplace.start(["redis-server", "--port", port, "--save", "", "--dir", workplace.path], port)
    check(node.run_front(mode, "--package", node.PACKAGES, "--redis", str(port)))


def test_incoming_traces_go_on():
    check(node.run_front("http", incoming="all"))


def test_pipelined_requests():
    """Several requests of a connection at once, each with calls of its own."""
    result = node.run_front("http", load=("--pipeline", "4"))
    check(result, unknown=None)


def test_a_forwarders_stamps_stay():
    """What goes out has one traceparent, whoever put it there."""
    result = node.run_front("http", incoming="all", INTERSPAN_STAMP="insert")
    check(result)
    assert {s.evidence for s in result.spans if s.kind == truth.CLIENT} == {"stamp"}


@pytest.mark.parametrize("mode", ["thread", "execArgv", "environment", "shared"])
def test_worker_threads(mode):
    """Also those whose options node makes anew."""
    check(node.run_front(mode, app="workers.js"))


@pytest.mark.parametrize("mode", ["cluster", "none"])
def test_cluster(mode):
    """Connections that the first process accepts and hands over, and those that each accepts itself."""
    check(node.run_front(mode, app="workers.js"))


def test_modules():
    check(node.run_front("http", app="front.mjs"))


def test_own_options():
    """Of the program: all of them hold, and calls have their parents."""
    check(node.run_front("http", environment={"NODE_OPTIONS": "--max-http-header-size=9000 --no-warnings"}))


def test_options_that_forbid_the_adapter():
    """Then parents come from what is seen from outside: unknown where that does not tell."""
    check(node.run_front("http", node_options=["--no-addons"]), unknown=None)


@pytest.mark.parametrize("mode", ["http", "fetch", "netFresh"])
def test_detached(mode):
    """Calls after the answer: a new trace, linked to where it came from, that the next ones join; a timer's are nobody's."""
    result = node.run_front(mode, app="detached.js", requests=50, connections=4)
    servers = {s.truth: s for s in result.spans if s.kind == truth.SERVER}
    calls = {}
    for span in sorted((s for s in result.spans if s.kind == truth.CLIENT), key=lambda s: s.start):
        calls.setdefault(span.truth, []).append(span)
    nobodys = calls.pop("")
    assert {s.parent_id for s in nobodys} == {""} and not any(s.links for s in nobodys)
    if mode != "netFresh":
        assert {s.evidence for s in nobodys} == {"root"}
    assert len(calls) > 40
    for name, (first, *others) in calls.items():
        assert (first.parent_id, first.evidence) == ("", "root") and first.trace_id != servers[name].trace_id
        assert first.links == [(servers[name].trace_id, servers[name].span_id)]
        assert {(s.trace_id, s.parent_id) for s in others} <= {(first.trace_id, first.span_id)}


REFUSED = {
    "expectation": b"Expect: a-miracle\r\n",
    "continue": b"Expect: 100-continue\r\nContent-Length: 0\r\n",
}


def converse(workplace, payload, *options):
    """Payload on one connection to a server that refuses things, with the spans of it."""
    upstream = programs.start_backend(workplace, "--delay-max", "1", "--bodies", "length")
    spans = programs.SpanFile(workplace.file("spans.jsonl"), workplace.run)
    port = programs.free_port()
    server = workplace.start([node.NODE, node.APPS / "refusing.js", "--port", port, "--upstream", upstream.port, *options], port,
                             programs.shim_environment(workplace, spans.path))
    received = wire.converse(port, payload)
    spans.wait_for(truth.SERVER, payload.count(b"X-Truth"), deadline_s=5)
    server.stop()
    return received, truth.judge(spans.refresh(), warm_up=0)


def request(number, path=b"/same", more=b""):
    return b"GET %s HTTP/1.1\r\nHost: h\r\nX-Truth: 0-%06d\r\n%s\r\n" % (path, number, more)


@pytest.mark.parametrize("refused", REFUSED)
def test_a_refused_request_does_not_shift_the_next(workplace, refused):
    """The same method and target in one packet, the first of them answered by node itself."""
    payload = request(0, more=REFUSED[refused]) + request(1) + request(2, more=b"Connection: close\r\n")
    received, verdict = converse(workplace, payload)
    assert b"0-000001" in received and b"0-000002" in received
    assert verdict.wrong == 0 and verdict.clients == (2 if refused == "expectation" else 3), verdict.summary()
    if refused == "continue":
        assert verdict.unknown == 0, verdict.summary()


def test_requests_beyond_the_limit_do_not_shift(workplace):
    payload = request(0) + request(1, b"/other") + request(2) + request(3)
    received, verdict = converse(workplace, payload, "--most", "2")
    assert b"503" in received
    assert (verdict.wrong, verdict.unknown, verdict.right) == (0, 0, 2), verdict.summary()


def test_a_bad_request_does_not_shift(workplace):
    received, verdict = converse(workplace, request(0) + b"GET /same HTTP/1.1\r\nbad header\r\n\r\n" + request(1))
    assert verdict.wrong == 0, verdict.summary()


@pytest.mark.parametrize("mode", ["http", "fetch"])
def test_a_program_that_serves_nobody(workplace, mode):
    """Its calls are roots; or part of the trace that it was run in."""
    parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    with wire.Recorder() as recorder:
        for environment, expected in (({}, ""), ({"TRACEPARENT": parent}, "00f067aa0ba902b7")):
            done, spans = node.run_script(workplace, node.APPS / "client.js", "--mode", mode, "--port", recorder.port, environment=environment)
            assert node.told(done) == 200
            (span,) = spans
            assert (span.parent_id, span.evidence) == (expected, "remote" if expected else "root")


def test_where_nothing_may_go():
    """Our header is in no request that leaves."""
    with programs.Workplace() as workplace, wire.Recorder() as recorder:
        port = programs.free_port()
        workplace.start([node.NODE, node.APPS / "front.js", "--port", port, "--upstream", recorder.port, "--mode", "http", "--calls", "1"],
                        port, programs.shim_environment(workplace, workplace.file("s.jsonl"), INTERSPAN_PROPAGATE_TO="none"))
        received = wire.converse(port, request(0, more=b"Connection: close\r\n"))
        assert b"0-000000" in received
        assert recorder.requests and not any(b"traceparent" in r.lower() for r in recorder.requests)
