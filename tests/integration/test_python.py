# SPDX-License-Identifier: Apache-2.0
"""asyncio services, unmodified: each way in which a task comes to work for a request, and what its calls have as parents."""

import collections
import http.client
import signal
import time
from concurrent import futures

import pytest

import programs
import python_apps
import stats
import truth
from programs import REQUESTS
from python_apps import App

LOOPS = ["asyncio", "uvloop"]
GATHER = [
    App("aiohttp", "aiohttp_gather.py"),
    App("aiohttp-uvloop", "aiohttp_gather.py", ("uvloop",)),
    App("fastapi-asyncio-h11", "fastapi_gather.py", ("asyncio", "h11")),
    App("fastapi-asyncio-httptools", "fastapi_gather.py", ("asyncio", "httptools")),
    App("fastapi-uvloop-h11", "fastapi_gather.py", ("uvloop", "h11")),
    App("fastapi-uvloop-httptools", "fastapi_gather.py", ("uvloop", "httptools")),
    App("streams", "streams_gather.py"),
    App("httpx-uvicorn", "httpx_gather.py"),
    App("httpx-gunicorn", "httpx_gather.py", ("-w", "2")),
]


def check_served(result, requests):
    load = result.load
    assert load["answered"] == requests and load["mismatched"] == 0 and load["not_2xx"] == 0, (load, result.stderr)


@pytest.mark.parametrize("app", GATHER, ids=lambda app: app.name)
def test_gather_makes_siblings(app):
    """gather fans out, children nest concurrently: n calls, n siblings under the one server span."""
    requests = REQUESTS // 10
    result = python_apps.run(app, requests=requests)
    check_served(result, requests)
    verdict = result.verdict
    assert verdict.wrong == 0 and verdict.unknown == 0 and verdict.unknown_warm_up == 0, \
        "\n".join([verdict.summary(), *verdict.examples])
    assert verdict.right == 3 * requests and verdict.missing == 0, verdict.summary()
    assert verdict.evidence == {"runtime": 3 * requests}, verdict.summary()
    children = collections.Counter(s.parent_id for s in result.spans if s.kind == truth.CLIENT)
    assert set(children.values()) == {3}


def test_calls_over_tls_confuse_nobody():
    """What goes over TLS is not seen; the calls beside it have their parents."""
    requests = REQUESTS // 10
    result = python_apps.run(App("tls", "tls_gather.py"), requests=requests)
    check_served(result, requests)
    verdict = result.verdict
    assert verdict.wrong == verdict.unknown == verdict.unknown_warm_up == 0, "\n".join([verdict.summary(), *verdict.examples])
    assert verdict.servers == requests and verdict.right == verdict.clients == 2 * requests, verdict.summary()


# ---- the rows of the guide ----

class Guide:
    """The service of guide.py, and what was recorded of it."""

    def __init__(self, workplace, *options, backend=("--delay-max", "5"), **settings):
        self.workplace = workplace
        self.backend = programs.start_backend(workplace, "--bodies", "length", *backend)
        self.spans = programs.SpanFile(workplace.file("spans.jsonl"), workplace.run)
        environment = programs.shim_environment(workplace, self.spans.path, **settings)
        self.program = python_apps.start(workplace, App("guide", "guide.py", options), programs.free_port(),
                                         self.backend.port, environment)

    def request(self, what, key):
        connection = http.client.HTTPConnection("127.0.0.1", self.program.port, timeout=programs.DEADLINE_S)
        connection.request("GET", f"/{what}/{key}", headers={"X-Truth": key})
        answer = connection.getresponse()
        assert (answer.status, answer.read().decode()) == (200, key + "\n")
        connection.close()

    def ask(self, what, n=30, at_once=15):
        with futures.ThreadPoolExecutor(at_once) as pool:
            list(pool.map(lambda i: self.request(what, f"{what}-{i:06d}"), range(n)))
        return n

    def requests(self, n, calls):
        """[(server span, {what: client span})] once all are there."""
        self.spans.wait_for(truth.CLIENT, n * calls)
        self.spans.wait_for(truth.SERVER, n)
        found = {s.truth: (s, {}) for s in self.spans.spans if s.kind == truth.SERVER}
        for span in self.spans.spans:
            if span.kind == truth.CLIENT:
                found[span.truth][1][span.attributes["url.full"].rpartition("/")[2]] = span
        assert len(found) == n and all(len(clients) == calls for _, clients in found.values()), found
        return list(found.values())


@pytest.fixture(name="guide", params=LOOPS)
def _guide(request, workplace):
    return Guide(workplace, request.param)


def is_child(span, parent):
    return (span.trace_id, span.parent_id) == (parent.trace_id, parent.span_id)


def is_root(span):
    return span.parent_id == "" and span.evidence == "root"


def check_children(guide, what, calls):
    for server, clients in guide.requests(guide.ask(what), calls):
        assert all(is_child(c, server) and c.evidence == "runtime" for c in clients.values()), clients


def test_create_task_copies_the_context_at_creation(guide):
    check_children(guide, "create_task", 4)


def test_gather(guide):
    check_children(guide, "gather", 3)


def test_to_thread_runs_under_the_submitters_context(guide):
    check_children(guide, "to_thread", 2)


def test_a_copied_context_is_the_requests(guide):
    check_children(guide, "copied", 2)


def test_a_task_created_before_the_request_does_not_join_it(guide):
    for server, clients in guide.requests(guide.ask("before"), 2):
        assert is_child(clients["direct"], server)
        assert is_root(clients["worker"]) and clients["worker"].links == []
        assert clients["worker"].trace_id != server.trace_id


def test_a_task_under_a_fresh_context_starts_a_new_trace(guide):
    for server, clients in guide.requests(guide.ask("fresh"), 2):
        assert is_child(clients["direct"], server)
        assert is_root(clients["fresh"]) and clients["fresh"].trace_id != server.trace_id


@pytest.mark.parametrize("loop", LOOPS)
def test_task_group_a_failing_child_cancels_its_siblings(workplace, loop):
    guide = Guide(workplace, loop, backend=("--delay-min", "900", "--delay-max", "1000"))
    for server, clients in guide.requests(guide.ask("task_group", 10), 3):
        assert all(is_child(c, server) for c in clients.values())
        for cancelled in (clients["slow0"], clients["slow1"]):
            assert cancelled.status == 2 and cancelled.attributes["error.type"] == "cancelled"
            assert cancelled.end <= server.end
        assert clients["after"].status == 0 and server.status == 0


def test_fire_and_forget_outlives_the_request(guide):
    for server, clients in guide.requests(guide.ask("forget"), 5):
        first = clients["first"]
        assert is_child(clients["direct"], server)
        assert is_root(first) and first.links == [(server.trace_id, server.span_id)]
        assert first.trace_id != server.trace_id and first.start > server.end
        for later in ("child0", "child1", "last"):
            assert is_child(clients[later], first), clients[later]


@pytest.mark.parametrize("loop", LOOPS)
def test_one_pooled_connection_gives_each_call_its_own_parent(workplace, loop):
    guide = Guide(workplace, loop, "one-connection", backend=("--delay-max", "0"))
    for server, clients in guide.requests(guide.ask("gather"), 3):
        assert all(is_child(c, server) for c in clients.values())
    connections = stats.segments(guide.program)[0]["counters"]["connections"]
    assert connections <= 30 + 10, connections  # those of the requests, and hardly more


@pytest.mark.parametrize("how", ["SIGTERM", "SIGINT", "exit", "os_exit", "unhandled"])
def test_flush_on_shutdown(workplace, how):
    guide = Guide(workplace, OTEL_BSP_SCHEDULE_DELAY="60000")
    guide.ask("gather", 10)
    if how.startswith("SIG"):
        guide.program.process.send_signal(getattr(signal, how))
    else:
        guide.request("leave", f"leave-{how}")
    if how == "unhandled":
        time.sleep(0.5)  # a callback's exception does not end the loop
        guide.program.process.send_signal(signal.SIGTERM)
    guide.program.process.wait(programs.DEADLINE_S)
    counts = collections.Counter(s.kind for s in guide.spans.refresh())
    more = 0 if how.startswith("SIG") else 1
    assert counts == {truth.SERVER: 10 + more, truth.CLIENT: 30 + more}


# ---- what must not go wrong ----

@pytest.mark.parametrize("app", GATHER[:4] + GATHER[5:], ids=lambda app: app.name)
def test_pipelining_gives_no_wrong_parent(app):
    requests = REQUESTS // 10
    result = python_apps.run(app, requests=requests, connections=20, load=("--pipeline", "3"))
    check_served(result, requests)
    verdict = result.verdict
    assert verdict.wrong == 0, "\n".join([verdict.summary(), *verdict.examples])
    assert verdict.right + verdict.unknown + verdict.unknown_warm_up + verdict.detached == 3 * requests, verdict.summary()


@pytest.mark.parametrize("app", GATHER[:1] + GATHER[5:], ids=lambda app: app.name)
def test_no_label_outlives_its_context(workplace, app):
    requests = REQUESTS // 10
    backend = programs.start_backend(workplace, "--delay-max", "0", "--bodies", "length")
    environment = programs.shim_environment(workplace, workplace.file("spans.jsonl"))
    program = python_apps.start(workplace, app, programs.free_port(), backend.port, environment)
    live = []
    for _ in range(3):
        programs.run_load(program.port, requests, 20)
        counters = stats.settled(program)
        assert counters["contexts.untracked"] == 0 and counters["contexts.labelled"] > 10 * requests
        live.append(counters["contexts.labelled"] - counters["contexts.forgotten"])
    # What is left belongs to what is still there: the listener, and pooled connections. It does not grow with the requests.
    assert max(live) < 1500 and live[-1] <= live[0] + 300, live
