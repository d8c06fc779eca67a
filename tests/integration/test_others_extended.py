# SPDX-License-Identifier: Apache-2.0
"""Runtimes that move work between threads in ways that no call shows: never a wrong parent, and unknown ones are counted."""

import os
import shutil
import subprocess

import pytest

import others
import programs
import truth
from test_others import check

REQUESTS = programs.REQUESTS // 5
# One after the other first: whatever learns from what it sees has then seen a program that does one thing at a time.
ALONE = [0, REQUESTS // 3]


def _make(argv, what, **more):
    """Run a tool; skip, by name, where it is not there or has not got what it needs."""
    if not shutil.which(argv[0]):
        pytest.skip(f"{what}: no {argv[0]} on this machine")
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, check=False, **more)
    if done.returncode != 0:
        pytest.skip(f"{what}: cannot be built here: {done.stderr.strip().splitlines()[-1:]}")


@pytest.fixture(scope="session", name="classes")
def _classes():
    others.CLASSES.mkdir(parents=True, exist_ok=True)
    _make(["javac", "-nowarn", "-d", others.CLASSES, "-cp", others.JARS, *sorted(others.APPS.glob("*.java"))], "Java")


@pytest.fixture(scope="session", name="tokio")
def _tokio(tmp_path_factory):
    place = tmp_path_factory.mktemp("tokio")
    shutil.copytree(others.APPS / "tokio", place / "source")
    _make(["cargo", "build", "--quiet", "--release", "--target-dir", place / "target"], "tokio", cwd=place / "source")
    others.NATIVE.mkdir(parents=True, exist_ok=True)
    shutil.copy(place / "target" / "release" / "tokio_server", others.NATIVE)


@pytest.fixture(scope="session", name="go")
def _go():
    others.NATIVE.mkdir(parents=True, exist_ok=True)
    _make(["go", "build", "-o", others.NATIVE / "go_server", others.APPS / "server.go"], "Go",
          cwd=others.APPS, env=os.environ | {"CGO_ENABLED": "1"})


def check_unknown(result):
    """Each call has its own span, the right parent or none, and links to open requests where there are any."""
    verdict = result.verdict
    clients = [s for s in result.spans if s.kind == truth.CLIENT]
    assert verdict.right + verdict.unknown + verdict.unknown_warm_up == len(clients), verdict.summary()
    servers = {(s.trace_id, s.span_id) for s in result.spans if s.kind == truth.SERVER}
    for span in clients:
        assert len(span.links) <= 4 and set(span.links) <= servers, span
        assert (span.evidence == "ambiguous") == (not span.parent_id), span


@pytest.mark.parametrize("alone", ALONE)
@pytest.mark.parametrize("app", others.JAVA, ids=lambda app: app.name)
def test_java(app, alone, classes):
    result = others.run(app, requests=REQUESTS, alone=alone)
    check(result, REQUESTS)
    check_unknown(result)


@pytest.mark.parametrize("name", ["tomcat-connection", "jdk-fixed-connection"])
def test_java_names_the_thread_that_reads(name, classes):
    """Where a thread serves what it has read, the request that it works for is among the links of each call."""
    result = others.run(others.BY_NAME[name], requests=REQUESTS)
    check(result, REQUESTS)
    assert all(s.links for s in result.spans if s.kind == truth.CLIENT and not s.parent_id)
    assert result.verdict.linked_elsewhere == 0, result.verdict.summary()


@pytest.mark.parametrize("alone", ALONE)
@pytest.mark.parametrize("app", others.STEALING, ids=lambda app: app.name)
def test_tokio(app, alone, tokio):
    result = others.run(app, requests=REQUESTS, alone=alone)
    check(result, REQUESTS)
    check_unknown(result)


def test_go(go):
    """Go calls the kernel itself, with libc in the process or without: nothing is seen, and nothing is said."""
    result = others.run(others.GO, requests=REQUESTS)
    assert result.load["answered"] == REQUESTS and result.load["mismatched"] == 0, result.load
    assert result.spans == []
