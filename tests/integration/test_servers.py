# SPDX-License-Identifier: Apache-2.0
"""The program must not be able to tell, nor its peers: everything that can be seen, with the shim and without."""

import dataclasses
import os
import random
import re
import signal
import subprocess
import sys
from concurrent import futures

import pytest

import apps
import programs
import servers
import stats
import truth
import wire

PROXIES = {
    "nginx": lambda w, b, e: servers.nginx(w, b, e, idle=2),
    "haproxy": lambda w, b, e: servers.haproxy(w, b, e, idle=2),
    "lighttpd": lambda w, b, e: servers.lighttpd(w, b, e, idle=2),
    "apache": lambda w, b, e: servers.apache(w, b, e, idle=2),
    "varnish": lambda w, b, e: servers.varnish(w, b, e, idle=2),
}
_LAST = b"Connection: close\r\n\r\n"
_LONG = b"Cookie: a=b\r\nAccept: */*\r\nX-Long: " + b"x" * 2000 + b"\r\n"
CONVERSATIONS = [
    b"GET /a?b=c&d=e HTTP/1.1\r\nHost: h\r\nX-Truth: 0-000000\r\n" + _LAST,
    b"HEAD / HTTP/1.1\r\nHost: h\r\nX-Truth: 0-000001\r\n" + _LAST,
    b"POST /p HTTP/1.1\r\nHost: h\r\nX-Truth: 0-000002\r\nContent-Length: 5\r\n" + _LAST + b"hello",
    b"POST /c HTTP/1.1\r\nHost: h\r\nX-Truth: 0-000003\r\nTransfer-Encoding: chunked\r\n"
    + _LAST + b"5\r\nhello\r\n0\r\n\r\n",
    b"GET / HTTP/1.0\r\nX-Truth: 0-000004\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: h\r\nX-Truth: 0-000005\r\n" + _LONG + _LAST,
    b"GET / HTTP/1.1\r\nHost: h\r\nX-Truth: 0-000006\r\n\r\n"
    b"GET /2 HTTP/1.1\r\nHost: h\r\nX-Truth: 0-000007\r\n" + _LAST,
    b"GET /t HTTP/1.1\r\nHost: h\r\nX-Truth: 0-000008\r\n"
    b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\ntracestate: v=1\r\n" + _LAST,
    b"NONSENSE\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: h\r\nBad Header\r\n" + _LAST,
]
APP_CONVERSATIONS = [c for c in CONVERSATIONS if c.startswith((b"GET /a", b"GET /t"))]


@dataclasses.dataclass
class Seen:
    """All that can be seen of a program from outside."""

    exit_status: int = None
    stdout: str = ""
    stderr: str = ""
    to_clients: list = None
    to_backend: list = None
    descriptors: list = None


def _connections():
    """The inodes of TCP sockets that are connections: which process holds one, and how long, is chance."""
    with open("/proc/net/tcp", encoding="ascii") as table:
        rows = [line.split() for line in table.readlines()[1:]]
    return {f"socket:[{row[9]}]" for row in rows if row[3] != "0A"}


def _descriptors_now(program):
    found = []
    for pid in programs.session_members(program.pid):
        connections, links = _connections(), []
        try:
            for number in os.listdir(f"/proc/{pid}/fd"):
                link = os.readlink(f"/proc/{pid}/fd/{number}")
                if link not in connections:
                    links.append((int(number), re.sub(r"interspan-test-\w+|\d+", "*", link)))
        except FileNotFoundError:
            continue
        found.append(sorted(links))
    return sorted(found)


def _descriptors(program):
    """What the descriptors of each of the program's processes point to, once that no longer changes."""
    readings = []

    def settled():
        readings.append(_descriptors_now(program))
        return len(readings) > 10 and all(r == readings[-1] for r in readings[-10:])
    programs.wait_until(settled, "the descriptors to settle")
    return readings[-1]


def _text(text):
    return re.sub(r"interspan-test-[\w]+|0x[0-9a-f]+|\d+", "*", text)


def observe(start, conversations, shim):
    with programs.Workplace() as workplace, wire.Recorder() as recorder:
        environment = programs.shim_environment(workplace, workplace.file("spans.jsonl")) if shim else None
        program = start(workplace, [recorder], environment)
        to_clients = [wire.converse(program.port, c) for c in conversations]
        seen = Seen(descriptors=_descriptors(program), exit_status=program.stop())
        ports = (program.port, recorder.port)
        seen.to_clients = [wire.comparable(b, *ports) for b in to_clients]
        seen.to_backend = [wire.comparable(wire.without_our_headers(r), *ports) for r in recorder.requests]
        seen.stdout, seen.stderr = _text(program.stdout), _text(program.stderr)
        return seen


def check_transparent(start, conversations):
    without, under = observe(start, conversations, False), observe(start, conversations, True)
    for field in dataclasses.fields(Seen):
        assert getattr(under, field.name) == getattr(without, field.name), field.name
    return under


@pytest.mark.parametrize("name", PROXIES)
def test_proxy_is_unchanged(name):
    seen = check_transparent(PROXIES[name], CONVERSATIONS)
    assert len(seen.to_backend) >= 5 and seen.to_clients[0].startswith(b"HTTP/1.1 200")


def _start_app(app):
    def start(workplace, backends, environment):
        return apps.start(workplace, app, programs.free_port(), backends[0].port, environment)
    return start


@pytest.mark.parametrize("app", [a for a in apps.APPS], ids=lambda a: a.name)
def test_app_is_unchanged(app):
    seen = check_transparent(_start_app(app), APP_CONVERSATIONS)
    assert seen.to_clients[0].startswith(b"HTTP/1.1 200") and len(seen.to_backend) >= 2


def test_headers_of_ours_are_seen_when_not_taken_out(workplace):
    """The comparison above leaves our headers out: make sure that they were there."""
    with wire.Recorder() as recorder:
        environment = programs.shim_environment(workplace, workplace.file("spans.jsonl"))
        proxy = servers.nginx(workplace, [recorder], environment)
        wire.converse(proxy.port, CONVERSATIONS[0])
        assert recorder.requests[0].lower().count(b"\r\ntraceparent: 00-") == 1


# ---- 1 MB of random and mutated bytes ----

FUZZ_BYTES = 1 << 20
_SEEDS = CONVERSATIONS + [
    b"PUT /x HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
    b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    b"GET http://h/x HTTP/1.1\r\nHost: h\r\n folded: yes\r\ntraceparent: zz\r\n\r\n",
    b"CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0",
    b"PROXY TCP4 1.2.3.4 5.6.7.8 9 10\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
]
_PIECES = [b"\r\n", b"\r\n\r\n", b"\0", b" ", b":", b"HTTP/1.1", b"traceparent: 00-", b"Content-Length: 9\r\n",
           b"\xff\xfe"]


def _mutate(rng, data):
    data = bytearray(data)
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(data) + 1)
        action = rng.randrange(5)
        if action == 0 and at < len(data):
            data[at] = rng.randrange(256)
        elif action == 1:
            del data[at:at + rng.randint(1, 8)]
        elif action == 2:
            data[at:at] = rng.choice(_PIECES)
        elif action == 3:
            data[at:at] = rng.randbytes(rng.randint(1, 20))
        elif at > 10:
            data[at:at] = data[rng.randrange(at):at]
    return bytes(data)


def fuzz_cases(seed):
    rng, cases, size = random.Random(seed), [], 0
    while size < FUZZ_BYTES:
        if rng.random() < 0.2:
            case = rng.randbytes(rng.randint(1, 4000))
        else:
            case = _mutate(rng, rng.choice(_SEEDS))
        # Whatever a server still waits for, this ends the connection.
        case += b"\r\n\r\nGET /last HTTP/1.1\r\nHost: h\r\n" + _LAST
        cases.append(case)
        size += len(case)
    return cases


def answers_to(start, cases, shim, settled=None):
    with programs.Workplace() as workplace:
        backend = programs.start_backend(workplace, "--delay-max", "0", "--bodies", "length", "--body-max", "0")
        environment = programs.shim_environment(workplace, workplace.file("spans.jsonl")) if shim else None
        program = start(workplace, [backend], environment)
        with futures.ThreadPoolExecutor(32) as pool:
            answers = list(pool.map(lambda case: wire.converse(program.port, case), cases))
        totals = stats.settled(program, settled) if shim else None
        ports = (program.port, backend.port)
        status = program.stop()
        return [wire.comparable(a, *ports) for a in answers], totals, status


@pytest.mark.parametrize("name", PROXIES)
def test_random_bytes(name):
    cases = fuzz_cases(seed=name)
    user = "www-data" if name == "apache" and servers.IS_ROOT else None
    without, _, status_without = answers_to(PROXIES[name], cases, False)
    under, totals, status = answers_to(PROXIES[name], cases, True, user)
    different = [(c, a, b) for c, a, b in zip(cases, without, under) if a != b]
    # A server under load answers some of these now so, now so: such a case gets a second run of its own, both ways.
    again = [c for c, _, _ in different]
    if again:
        pairs = zip(again, answers_to(PROXIES[name], again, False)[0], answers_to(PROXIES[name], again, True, user)[0])
        different = [(c, a, b) for c, a, b in pairs if a != b]
    assert different == [], f"{len(different)} of {len(cases)} differ; the first: {different[0]}"
    assert status == status_without
    assert totals["started"] > 100 and stats.dropped(totals) == {}


# ---- programs that are not HTTP proxies ----

def test_redis(workplace):
    commands = b"SET a 1\r\nGET a\r\nLPUSH l 1 2 3\r\nLRANGE l 0 -1\r\nECHO GET\r\nQUIT\r\n"
    answers = []
    for shim in (False, True):
        port = programs.free_port()
        environment = programs.shim_environment(workplace, workplace.file("spans.jsonl")) if shim else None
        argv = ["redis-server", "--port", port, "--save", "", "--bind", "127.0.0.1"]
        program = workplace.start(argv, port, environment)
        answers.append(wire.converse(port, commands))
        if shim:
            totals = stats.segments(program)[0]["counters"]
            assert totals["connections.opaque"] >= 1 and totals["started"] == 0, totals
        assert program.stop() == 0
    assert answers[0] == answers[1] and answers[0].startswith(b"+OK\r\n$1\r\n1\r\n")


def test_memcached(workplace):
    commands = b"set a 0 0 5\r\nhello\r\nget a\r\nget b\r\nquit\r\n"
    answers = []
    for shim in (False, True):
        port = programs.free_port()
        environment = programs.shim_environment(workplace, workplace.file("spans.jsonl")) if shim else None
        user = ["-u", "root"] if servers.IS_ROOT else []
        program = workplace.start(["memcached", "-l", "127.0.0.1", "-p", port, "-U", "0", *user], port, environment)
        answers.append(wire.converse(port, commands))
        if shim:
            totals = stats.segments(program)[0]["counters"]
            assert totals["connections.opaque"] >= 1 and totals["started"] == 0, totals
        assert program.stop() == 0
    assert answers[0] == answers[1] == b"STORED\r\nVALUE a 0 5\r\nhello\r\nEND\r\nEND\r\n"


def run_both(workplace, argv, **more):
    """Run a command without and with the shim: both results, and the spans of the second."""
    spans = programs.SpanFile(workplace.file("spans.jsonl"), workplace.run)
    results = []
    for environment in ({}, programs.shim_environment(workplace, spans.path)):
        results.append(subprocess.run(argv, env=programs.clean_environment() | environment, capture_output=True,
                                      timeout=programs.DEADLINE_S, check=False, cwd=workplace.path, **more))
    return *results, spans.refresh()


def test_curl(workplace):
    with wire.Recorder() as recorder:
        url = f"http://127.0.0.1:{recorder.port}/path"
        without, under, spans = run_both(workplace, ["curl", "-s", "-H", "X-Truth: 0-000000", url])
        assert (without.returncode, without.stdout, without.stderr) == (under.returncode, under.stdout, under.stderr)
        assert under.stdout == b"0-000000\n"
        (span,) = spans
        assert span.kind == truth.CLIENT and span.parent_id == "" and span.truth == "0-000000"
        assert span.attributes["http.response.status_code"] == 200
        assert re.search(rf"traceparent: 00-{span.trace_id}-{span.span_id}-0[13]\r\n".encode(), recorder.requests[1])


def test_bash(workplace):
    """Builtins only, over /dev/tcp. They write through stdio, which nobody sees: no span, and no harm done."""
    with wire.Recorder() as recorder:
        script = (f"exec 3<>/dev/tcp/127.0.0.1/{recorder.port}; "
                  "printf 'GET / HTTP/1.1\\r\\nHost: h\\r\\nX-Truth: 0-000000\\r\\n\\r\\n' >&3; while read -r line <&3; do echo \"$line\"; [ \"$line\" = 0-000000 ] && exit 7; done")
        without, under, spans = run_both(workplace, ["bash", "-c", script])
        assert (without.returncode, without.stdout, without.stderr) == (under.returncode, under.stdout, under.stderr)
        assert under.returncode == 7 and under.stdout.startswith(b"HTTP/1.1 200 OK")
        assert spans == []


def test_wrk(workplace):
    backend = programs.start_backend(workplace, "--delay-max", "0")
    environment = programs.shim_environment(workplace, workplace.file("spans.jsonl"))
    done = subprocess.run(["wrk", "-t1", "-c4", "-d1s", f"http://127.0.0.1:{backend.port}/"], capture_output=True,
                          text=True, env=programs.clean_environment() | environment, timeout=60, check=True)
    spans = programs.SpanFile(workplace.path / "spans.jsonl", workplace.run).refresh()
    requests = int(re.search(r"(\d+) requests in", done.stdout)[1])
    assert "Non-2xx" not in done.stdout and "Socket errors" not in done.stdout
    # wrk stops counting at the end of its time; up to one more request a connection was answered or open then.
    assert requests <= len(spans) <= requests + 8
    assert {s.parent_id for s in spans} == {""}


def test_http_server(workplace):
    workplace.file("page.html", "hello\n")
    seen = []
    for shim in (False, True):
        port = programs.free_port()
        spans = programs.SpanFile(workplace.file("spans.jsonl"), workplace.run)
        environment = programs.shim_environment(workplace, spans.path) if shim else None
        program = workplace.start([sys.executable, "-m", "http.server", port, "--bind", "127.0.0.1"], port, environment,
                                  signal.SIGINT)
        answers = [wire.comparable(wire.converse(port, b"GET /%s HTTP/1.0\r\n\r\n" % path), port)
                   for path in (b"page.html", b"missing")]
        seen.append((answers, program.stop(), _text(program.stdout), _text(program.stderr)))
        found = [(s.kind, s.attributes["http.response.status_code"]) for s in spans.refresh()]
        assert found == ([(truth.SERVER, 200), (truth.SERVER, 404)] if shim else [])
    assert seen[0] == seen[1]
