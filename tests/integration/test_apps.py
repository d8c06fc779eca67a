# SPDX-License-Identifier: Apache-2.0
"""Programs that spread a request over threads and processes in every usual way, judged against the truth."""

import collections

import pytest

import apps
import truth
from programs import REQUESTS
from test_exactness import check_served


def expected_calls(app, requests):
    """The apps make 1 + n % 3 calls for request n; the server that calls itself makes one a hop."""
    if app.program == "serve_self":
        return 2 * requests
    return sum(1 + n % 3 for n in range(requests))


def check(app, result, requests, most_unknown=0):
    check_served(result, requests)
    verdict = result.verdict
    assert verdict.wrong == 0, "\n".join([verdict.summary(), *verdict.examples])
    assert verdict.servers == requests * (2 if app.program == "serve_self" else 1), verdict.summary()
    assert verdict.clients == expected_calls(app, requests), verdict.summary()
    assert verdict.duplicates == 0 and verdict.missing == 0 and verdict.background == 0, verdict.summary()
    assert verdict.evidence["content"] == 0, verdict.summary()
    if not app.may_be_unknown:
        assert verdict.unknown <= most_unknown, verdict.summary()


@pytest.mark.parametrize("stamp", ["auto", "off"])
@pytest.mark.parametrize("app", apps.APPS, ids=lambda a: a.name)
def test_exact(app, stamp):
    requests = REQUESTS // 3
    check(app, apps.run(app, requests=requests, INTERSPAN_STAMP=stamp), requests)


@pytest.mark.parametrize("app", apps.APPS, ids=lambda a: a.name)
def test_chain(app):
    requests = REQUESTS // 6
    result = apps.run(app, requests=requests, incoming="mixed", trace_backends=True)
    check(app, result, requests)
    assert truth.judge_chain(result.spans, result.backend_spans) == []


def test_fork_and_exit_with_open_requests(workplace):
    """A child that _exits with 100 requests open ends none of them, and counts none."""
    result = apps.run(apps.App("fork-exit", "serve_fork_exit", ("--workers", "100"), connections=100), requests=500)
    check_served(result, 500)
    servers = [s for s in result.spans if s.kind == truth.SERVER]
    assert len(servers) == 500 and len({s.truth for s in servers}) == 500
    assert collections.Counter(s.status for s in servers) == {0: 500}
    assert len({s.pid for s in servers}) == 1
