# SPDX-License-Identifier: Apache-2.0
"""Node.js: calls are the children of the requests whose tasks make them, whatever runs in between."""

import pytest

import node
import programs
import truth
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
