# SPDX-License-Identifier: Apache-2.0
"""Python threads, executors, queues and greenlets: unmodified programs, judged against the truth.

Each way of spreading work is one of tests/apps/python/spread.py's; /mix takes them in turns, 64 requests at a time.
"""

import dataclasses
import os
import pathlib

import pytest

import programs
import stats
import truth
from programs import REQUESTS

APPS = pathlib.Path(__file__).resolve().parents[1] / "apps" / "python"
PYTHON = os.environ.get("INTERSPAN_TEST_PYTHON", "/usr/bin/python3")
GUNICORN = [PYTHON, "-m", "gunicorn", "--log-level", "warning", "-b", "127.0.0.1:PORT"]
PYWSGI = ("import sys; from gevent import monkey; monkey.patch_all(); from gevent.pywsgi import WSGIServer; import wsgi; "
          "WSGIServer(('127.0.0.1', int(sys.argv[1])), wsgi.application, log=None).serve_forever()")
FLASK = "import logging, sys; logging.disable(); import wsgi; wsgi.app.run(port=int(sys.argv[1]), threaded=True)"
CONNECTIONS = 64
SERVED = ("answered", "broken", "mismatched", "not_2xx")
# Pools of eight threads that take items from a queue, in the ways of /mix. Each is made in some request, and what its threads were
# started for is not what they work for; of the first item of each it cannot be told yet.
QUEUE_WORKERS = 5 * 8


@dataclasses.dataclass(frozen=True)
class Server:
    name: str
    argv: tuple
    connections: int = CONNECTIONS
    processes: int = 1
    status: int = 0  # at SIGTERM


SERVERS = {s.name: s for s in (
    Server("http.server", (PYTHON, APPS / "serve_http.py", "PORT")),
    Server("http.server-single", (PYTHON, APPS / "serve_http.py", "PORT", "single"), connections=8),
    Server("flask-threads", (PYTHON, "-c", FLASK, "PORT"), status=-15),
    Server("gunicorn-sync", (*GUNICORN, "-w", "4", "wsgi:application"), connections=8, processes=4),
    Server("gunicorn-gthread", (*GUNICORN, "-k", "gthread", "--threads", "32", "wsgi:app")),
    Server("gunicorn-gevent", (*GUNICORN, "-k", "gevent", "wsgi:app")),
    Server("pywsgi", (PYTHON, "-c", PYWSGI, "PORT"), status=-15),
)}
ASYNCIO = Server("asyncio", (PYTHON, APPS / "asyncio_threads.py", "PORT"))


@dataclasses.dataclass
class Result:
    load: dict
    verdict: truth.Verdict
    spans: list
    counters: dict


def run(server, way, requests, **settings):
    with programs.Workplace() as workplace:
        backend = programs.start_backend(workplace, "--delay-max", "5")
        spans_file = workplace.file("spans.jsonl")
        environment = programs.shim_environment(workplace, spans_file, **settings)
        environment |= {"UPSTREAM": str(backend.port), "PYTHONPATH": str(APPS)}
        port = programs.free_port()
        program = workplace.start([str(a).replace("PORT", str(port)) for a in server.argv], port, environment)
        load = programs.run_load(port, requests, server.connections, "--target", "/" + way)
        spans = programs.SpanFile(spans_file, workplace.run)
        spans.wait_for(truth.SERVER, requests, deadline_s=10)
        counters = stats.settled(program)
        status = program.stop()
        spans = spans.refresh()
        assert status == server.status, program.stderr
        assert [load[k] for k in SERVED] == [requests, 0, 0, 0], (load, program.stderr)
        return Result(load, truth.judge(spans, warm_up=0), spans, counters)


def check(result, requests, most_unknown=0):
    verdict = result.verdict
    assert verdict.wrong == 0, "\n".join([verdict.summary(), *verdict.examples])
    assert verdict.servers == requests and verdict.clients >= requests, verdict.summary()
    assert verdict.duplicates == verdict.missing == verdict.background == verdict.detached == 0, verdict.summary()
    assert verdict.unknown <= most_unknown, verdict.summary()


# ---- each row by name ----

@pytest.mark.parametrize("way", ["run_in_executor", "to_thread", "submit", "thread", "in_task"])
def test_run_in_executor_loses_context_it_does_not(way):
    requests = REQUESTS // 6
    check(run(ASYNCIO, way, requests), requests)


@pytest.mark.parametrize("way", ["direct", "submit", "map", "thread", "threads", "timer", "nested", "results", "raising",
                                 "cancelling", "session", "waiting"])
def test_known_to_the_last(way):
    requests = REQUESTS // 10
    check(run(SERVERS["http.server"], way, requests), requests)


@pytest.mark.parametrize("way", ["fifo", "lifo", "simple", "priority", "pool"])
def test_workers_started_by_a_request_work_for_all(way):
    """Where threads just kept what they were started for, 594 of 600 were wrong."""
    requests = REQUESTS // 10
    check(run(SERVERS["http.server"], way, requests), requests, most_unknown=8)


@pytest.mark.parametrize("server", ["http.server", "pywsgi"])
@pytest.mark.parametrize("way", ["own_condition", "own_event"])
def test_pools_of_the_programs_own_are_never_wrong(way, server):
    """Nothing shows which job such a thread has taken: that it no longer works for the request that started it is all we know."""
    requests = REQUESTS // 10
    check(run(SERVERS[server], way, requests), requests, most_unknown=requests)


@pytest.mark.parametrize("server", ["http.server", "pywsgi"])
@pytest.mark.parametrize("way", ["polling", "polling_event", "polling_lock", "sleeper"])
def test_what_sleeps_may_have_found_other_work(way, server):
    """Of threads that poll a list nothing is seen but their sleep."""
    requests = REQUESTS // 10
    check(run(SERVERS[server], way, requests), requests, most_unknown=requests)


def test_work_that_was_left_in_a_list_is_not_the_first_ones():
    """Its requests are over when it is done, as the one that started the thread is: no trace is continued."""
    verdict = run(SERVERS["http.server"], "leaving", REQUESTS // 10).verdict
    assert verdict.wrong == 0 and verdict.unknown > 0, "\n".join([verdict.summary(), *verdict.examples])


def test_what_sleeps_with_nobody_else_there_works_for_its_request():
    requests = 20
    result = run(dataclasses.replace(SERVERS["http.server"], connections=1), "sleeper", requests)
    check(result, requests)
    assert result.verdict.evidence["work_item"] == requests, result.verdict.summary()


@pytest.mark.parametrize("server", SERVERS.values(), ids=lambda s: s.name)
def test_mixed(server):
    requests = REQUESTS // 5
    result = run(server, "mix", requests)
    check(result, requests, most_unknown=QUEUE_WORKERS * server.processes)
    assert len({s.pid for s in result.spans}) <= server.processes


@pytest.mark.parametrize("server", ["flask-threads", "gunicorn-gthread", "gunicorn-gevent", "pywsgi"])
def test_without_stamps(server):
    requests = REQUESTS // 5
    check(run(SERVERS[server], "direct", requests, INTERSPAN_STAMP="off"), requests)


# ---- lifetime ----

@pytest.mark.parametrize("server", ["http.server", "pywsgi"])
def test_items_that_are_gone_are_forgotten(server):
    """Those that nobody fetched went with their queue; cancelled ones were fetched."""
    requests = REQUESTS // 10
    counters = run(SERVERS[server], "cancelling", requests).counters
    assert counters["items.labelled"] >= 18 * requests
    assert counters["items.forgotten"] == counters["items.labelled"], counters


def test_greenlets_that_are_gone_are_forgotten():
    requests = REQUESTS // 10
    counters = run(SERVERS["pywsgi"], "threads", requests).counters
    assert counters["greenlets.labelled"] >= 3 * requests
    # The hub, and what ends the connections that have just been closed.
    assert counters["greenlets.labelled"] - counters["greenlets.forgotten"] <= 2 + CONNECTIONS, counters


# ---- other processes ----

@pytest.mark.parametrize("way", ["spawned", "served", "pooled", "forked", "processes"])
def test_processes_of_a_pool_do_not_work_for_whoever_started_it(way):
    requests = 60
    result = run(dataclasses.replace(SERVERS["http.server"], connections=8), way, requests)
    check(result, requests, most_unknown=2 * requests)
    assert len({s.pid for s in result.spans}) >= 3
    assert not any(s.parent_id for s in result.spans if s.kind == truth.CLIENT)


def test_a_process_of_its_own_works_for_whoever_started_it():
    requests = 30
    result = run(dataclasses.replace(SERVERS["http.server"], connections=8), "process", requests)
    check(result, requests)
    assert result.verdict.right == requests, result.verdict.summary()
