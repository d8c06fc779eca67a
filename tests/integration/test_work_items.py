# SPDX-License-Identifier: Apache-2.0
"""Work that is handed to coroutines, threads and callbacks, judged against the truth."""

import pytest

import apps
from programs import REQUESTS
from test_apps import check

# Calls that may be under way while the first 32 answers show whether what is handed over says whose work it is. As many are unknown
# that a busy machine reads beside a timer of libevent's.
LEARNING = 128

COROUTINES = [
    apps.App(f"{switch}{'-reuse' if reuse else ''}", f"coroutines_{switch}", ("--reuse",) if reuse else (),
             connections=64)
    for switch in ("ucontext", "switch", "boost") for reuse in (False, True)
]


@pytest.mark.parametrize("stamp", ["auto", "off"])
@pytest.mark.parametrize("app", COROUTINES, ids=lambda a: a.name)
def test_coroutines(app, stamp):
    requests = REQUESTS // 3
    result = apps.run(app, requests=requests, INTERSPAN_STAMP=stamp)
    check(app, result, requests)
    assert result.verdict.evidence["work_item"] > requests, result.verdict.summary()


QUEUES = [
    apps.App(f"{kind}-{connections}", "queues", (kind, "--workers", "8", "--reuse"),
             may_be_unknown=True, connections=connections)
    for kind in ("fifo", "lifo", "priority", "semaphore", "gate", "pool") for connections in (2, 12, 64)
]


@pytest.mark.parametrize("app", QUEUES, ids=lambda a: a.name)
def test_queues(app):
    """Four threads read, eight work: what comes out of a queue is known where nothing else can have been in it."""
    requests = REQUESTS // 3
    result = apps.run(app, requests=requests, INTERSPAN_STAMP="off")
    check(app, result, requests)
    assert result.verdict.evidence["thread"] == 0, result.verdict.summary()
    if app.connections == 2 and app.options[0] != "gate":
        assert result.verdict.evidence["work_item"] > 0, result.verdict.summary()


PIPES = [apps.App(f"{kind}-{connections}", "pipes", (kind, "--workers", "8", "--reuse"), connections=connections)
         for kind in ("pipe", "pair", "back") for connections in (2, 64)]
# What is read is no work, or not the work itself.
PIPES_OF_NOBODY = [apps.App(f"{kind}-{connections}", "pipes", (kind, "--workers", "8", "--reuse"), may_be_unknown=True,
                            connections=connections) for kind in ("tokens", "wake") for connections in (2, 64)]


@pytest.mark.parametrize("app", PIPES + PIPES_OF_NOBODY, ids=lambda a: a.name)
def test_pipes(app):
    """Labels go with the bytes, at rest and with more jobs than workers."""
    requests = REQUESTS // 3
    result = apps.run(app, requests=requests, INTERSPAN_STAMP="off")
    check(app, result, requests, most_unknown=LEARNING)
    if app in PIPES:
        assert result.verdict.evidence["work_item"] > requests, result.verdict.summary()


TIMERS = [apps.App(f"timer-{kind}-{connections}", "timers", ("--reuse", kind), may_be_unknown=kind != "own", connections=connections)
          for kind in ("own", "wheel", "timeout", "thread") for connections in (2, 64)]


@pytest.mark.parametrize("app", TIMERS, ids=lambda a: a.name)
def test_timers(app):
    """A timerfd of a request's own is that request's; what all wait for, and the end of a wait, is nobody's."""
    requests = REQUESTS // 3
    result = apps.run(app, requests=requests, INTERSPAN_STAMP="off")
    check(app, result, requests, most_unknown=LEARNING)
    if not app.may_be_unknown:
        assert result.verdict.evidence["work_item"] > requests, result.verdict.summary()


CALLBACKS = [
    apps.App("uv", "uv_server", ("--reuse",), connections=64),
    apps.App("uv-fresh", "uv_server", (), connections=64),
    *(apps.App(f"glib-{kind}", "glib_server", ("--reuse", kind), connections=64) for kind in ("pool", "task", "idle", "invoke")),
    apps.App("libevent-once", "event_server", ("--reuse", "once"), connections=64),
    apps.App("std-threads", "std_threads", (), connections=32),
]


@pytest.mark.parametrize("app", CALLBACKS, ids=lambda a: a.name)
def test_callbacks_and_threads(app):
    requests = REQUESTS // 3
    result = apps.run(app, requests=requests, INTERSPAN_STAMP="off")
    check(app, result, requests, most_unknown=0 if app.program in ("uv_server", "std_threads") else LEARNING)
    expected = "thread" if app.program == "std_threads" else "work_item"
    assert result.verdict.evidence[expected] > requests, result.verdict.summary()


NOBODYS = [
    # Whoever comes first adds an idle source, and what it runs works for all who have come until then.
    apps.App("glib-pump", "glib_server", ("--reuse", "pump"), may_be_unknown=True, connections=64),
    # Beside timers nobody knows what one reads in a turn of the loop.
    apps.App("libevent-later", "event_server", ("--reuse", "later"), may_be_unknown=True, connections=64),
    apps.App("libevent-threads", "event_server", ("--reuse", "threads"), may_be_unknown=True, connections=64),
]


@pytest.mark.parametrize("app", NOBODYS, ids=lambda a: a.name)
def test_what_cannot_be_told_is_not(app):
    requests = REQUESTS // 3
    check(app, apps.run(app, requests=requests, INTERSPAN_STAMP="off"), requests)
