# SPDX-License-Identifier: Apache-2.0
"""PHP, CGI, Perl and Ruby, as Debian has them, at 64 concurrent connections: who caused this call?"""

import pytest

import others
import programs
import truth
from test_exactness import check_served

REQUESTS = programs.REQUESTS // 5
# Each request starts three programs or more. Every other one has a traceparent where "mixed" is asked for.
CGI_REQUESTS = programs.REQUESTS // 60 * 2


def check(result, requests):
    check_served(result, requests)
    verdict = result.verdict
    assert verdict.wrong == 0, "\n".join([verdict.summary(), *verdict.examples])
    servers = [s for s in result.spans if s.kind == truth.SERVER and s.truth]
    assert len(servers) == requests and verdict.duplicates == 0 and verdict.missing == 0, verdict.summary()
    assert verdict.clients - verdict.background == others.CALLS * requests, verdict.summary()
    assert verdict.evidence["content"] == 0, verdict.summary()
    return verdict


@pytest.mark.parametrize("name", ["mod_php", "perl-prefork", "starman"])
def test_processes(name):
    """One request at a time in each process: nothing to mistake it for."""
    verdict = check(others.run(others.BY_NAME[name], requests=REQUESTS), REQUESTS)
    assert verdict.unknown_share < 0.01, verdict.summary()


@pytest.mark.parametrize("name,processes", [("puma", 1), ("puma-cluster", 2)])
def test_puma(name, processes):
    """Known once its threads have shown that they answer what they asked for: 32 times in each process, with 16 at work."""
    verdict = check(others.run(others.BY_NAME[name], requests=2 * REQUESTS), 2 * REQUESTS)
    learning = processes * (32 + 2 * 16) * others.CALLS
    assert verdict.unknown + verdict.unknown_warm_up <= learning, verdict.summary()
    assert verdict.evidence["work_item"] >= verdict.clients - learning, verdict.summary()


@pytest.mark.parametrize("script", ["shell", "perl", "python"])
def test_cgi_of_lighttpd(script):
    """The server that forks the program has just read its request."""
    verdict = check(others.run(others.BY_NAME[f"lighttpd-cgi-{script}"], requests=CGI_REQUESTS), CGI_REQUESTS)
    assert verdict.right > verdict.clients / 2, verdict.summary()


def test_cgi_of_apache_prefork():
    verdict = check(others.run(others.BY_NAME["apache-mod-cgi"], requests=CGI_REQUESTS), CGI_REQUESTS)
    assert verdict.right == verdict.clients, verdict.summary()


@pytest.mark.parametrize("stamp", ["auto", "insert"])
def test_cgi_of_apache_threads(stamp):
    """mod_cgid's programs are started by a process that has seen no request: their environment must say it."""
    result = others.run(others.BY_NAME["apache-cgi-shell"], requests=CGI_REQUESTS, incoming="mixed", INTERSPAN_STAMP=stamp)
    verdict = check(result, CGI_REQUESTS)
    known = verdict.clients if stamp == "insert" else verdict.clients // 2
    assert verdict.right == known and verdict.unknown + verdict.unknown_warm_up == verdict.clients - known, verdict.summary()
