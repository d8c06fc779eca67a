# SPDX-License-Identifier: Apache-2.0
"""Programs that lock themselves in, give up root, or have little: traced, and unharmed."""

import os
import pathlib
import shutil
import signal
import subprocess
import sys

import pytest

import apps
import programs
import scenarios
import servers
import stats
import truth
from test_exactness import check_served

needs_root = pytest.mark.skipif(not servers.IS_ROOT, reason="needs root")


@needs_root
def test_debian_haproxy():
    """Debian's own haproxy.cfg: chroot to /var/lib/haproxy, user and group haproxy."""
    pathlib.Path("/run/haproxy").mkdir(exist_ok=True)
    debian = ("-f", "/etc/haproxy/haproxy.cfg")
    scenario = scenarios.Scenario("debian", lambda w, b, e: servers.haproxy(w, b, e, config_before=debian))
    result = scenarios.run(scenario)
    check_served(result, programs.REQUESTS)
    assert result.verdict.servers == programs.REQUESTS and result.verdict.right >= programs.REQUESTS - 100
    assert result.verdict.wrong == 0 and result.verdict.unknown == 0, result.verdict.summary()


@needs_root
def child_of_a_traced_python(program, library):
    """What a child says and hears that a traced program starts, once the library's file is as it is to be by then."""
    script = "import os, sys; sys.argv[1] and os.unlink(sys.argv[1]); os.execvp(sys.argv[2], sys.argv[2:])"
    environment = {**programs.clean_environment(), "LD_PRELOAD": str(library), "OTEL_TRACES_EXPORTER": "none"}
    gone = str(library) if library != programs.LIBRARY else ""
    return subprocess.run([sys.executable, "-c", script, gone, *program], env=environment, capture_output=True, text=True,
                          timeout=60, check=True)


def test_children_that_can_load_us_do():
    done = child_of_a_traced_python(["env"], programs.LIBRARY)
    assert f"LD_PRELOAD={programs.LIBRARY}\n" in done.stdout and done.stderr == ""


def test_children_that_cannot_load_us_are_spared(tmp_path):
    """An update has removed the library, or the program has changed its root: the loader would complain of it to each child's user."""
    library = tmp_path / "libinterspan.so"
    shutil.copy(programs.LIBRARY, library)
    done = child_of_a_traced_python(["env"], library)
    assert "LD_PRELOAD" not in done.stdout and done.stderr == ""


@pytest.mark.parametrize("workers", [1, 2])
def test_nginx_with_unprivileged_workers(workers):
    scenario = scenarios.Scenario("www-data", lambda w, b, e: servers.nginx(w, b, e, workers=workers, user="www-data"))
    result = scenarios.run(scenario)
    check_served(result, programs.REQUESTS)
    assert result.verdict.servers == programs.REQUESTS, result.verdict.summary()
    assert result.verdict.wrong == 0 and result.verdict.unknown == 0, result.verdict.summary()


def test_seccomp_after_listen():
    """From then on a system call too many kills the process."""
    app = apps.App("seccomp", "serve_seccomp", connections=1)
    result = apps.run(app, requests=300)
    check_served(result, 300)
    assert result.verdict.servers == 300 and result.verdict.wrong == 0 and result.verdict.unknown == 0


def test_few_descriptors(workplace):
    """RLIMIT_NOFILE 64, and a program that comes close to it."""
    backend = programs.start_backend(workplace)
    spans = programs.SpanFile(workplace.file("spans.jsonl"), workplace.run)
    port = programs.free_port()
    environment = programs.shim_environment(workplace, spans.path)
    argv = ["prlimit", "--nofile=64", programs.APPS / "serve_threads", "--port", port, "--upstream", backend.port]
    program = workplace.start(argv, port, environment)
    load = programs.run_load(port, 600, 28)
    assert (load["answered"], load["broken"], load["mismatched"], load["not_2xx"]) == (600, 0, 0, 0), load
    verdict = truth.judge(spans.wait_for(truth.SERVER, 600))
    assert (verdict.servers, verdict.clients, verdict.wrong, verdict.unknown) == (600, 1200, 0, 0), verdict.summary()
    assert program.stop() == 0


def _children(pid):
    return [int(p) for p in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def start_in_namespace(workplace, spans, workers, **settings):
    """A traced server that is PID 1 of a pid namespace; what started it, and its port."""
    backend = programs.start_backend(workplace)
    port = programs.free_port()
    # --mount-proc sees to /proc's propagation, and the root directory may be no mount.
    argv = ["unshare", "--pid", "--fork", "--propagation", "unchanged", "--mount-proc", programs.APPS / "serve_loops", "--port", port, "--upstream",
            backend.port, "--workers", workers, "--reuse"]
    return workplace.start(argv, port, programs.shim_environment(workplace, spans.path, **settings)), port


@needs_root
def test_first_process_of_a_namespace(workplace):
    spans = programs.SpanFile(workplace.file("spans.jsonl"), workplace.run)
    program, port = start_in_namespace(workplace, spans, workers=2)
    load = programs.run_load(port, 600, 20)
    assert (load["answered"], load["broken"], load["mismatched"], load["not_2xx"]) == (600, 0, 0, 0), load
    verdict = truth.judge(spans.wait_for(truth.SERVER, 600))
    assert verdict.servers == 600 and verdict.wrong == 0 and verdict.unknown == 0, verdict.summary()
    (child,) = _children(program.pid)
    os.kill(child, signal.SIGTERM)
    assert program.process.wait(programs.DEADLINE_S) == 0


@needs_root
def test_other_pid_namespaces_are_left_alone(workplace):
    """The agent sees a segment whose processes it cannot see: it is no orphan, and its later spans arrive."""
    spans = programs.SpanFile(workplace.file("spans.jsonl"), workplace.run)
    program, port = start_in_namespace(workplace, spans, workers=1)

    environment = programs.clean_environment() | programs.shim_environment(workplace, workplace.file("drained.jsonl"))
    del environment["LD_PRELOAD"]
    for n in (300, 600):
        programs.run_load(port, 300, 20)
        assert spans.wait_for(truth.SERVER, n) and spans.count(truth.SERVER) == n
        foreign = [s for s in stats.all_segments() if s["foreign"]]
        assert foreign and all("alive" not in p for s in foreign for p in s["processes"])
        drain = programs.subprocess.run([programs.AGENT, "drain"], env=environment, check=False, capture_output=True,
                                        text=True, timeout=programs.DEADLINE_S)
        assert drain.returncode in (0, 1), drain.stderr
        names = {s["name"] for s in stats.all_segments()}
        assert {s["name"] for s in foreign} <= names
    (child,) = _children(program.pid)
    os.kill(child, signal.SIGTERM)
    assert program.process.wait(programs.DEADLINE_S) == 0


@needs_root
def test_dead_pid_namespaces_are_drained(workplace):
    """What a namespace that is gone left behind is found out to be nobody's: its spans are exported, its segment removed."""
    spans = programs.SpanFile(workplace.file("spans.jsonl"), workplace.run)
    program, port = start_in_namespace(workplace, spans, workers=1, OTEL_BSP_SCHEDULE_DELAY="600000")
    programs.run_load(port, 100, 10)
    (left,) = [s for s in stats.all_segments() if s["foreign"] and s["queued"]]
    (child,) = _children(program.pid)
    os.kill(child, signal.SIGKILL)
    program.process.wait(programs.DEADLINE_S)
    drained = programs.SpanFile(workplace.file("drained.jsonl"), workplace.run)
    environment = programs.clean_environment() | programs.shim_environment(workplace, drained.path)
    del environment["LD_PRELOAD"]
    programs.subprocess.run([programs.AGENT, "drain"], env=environment, check=True, timeout=programs.DEADLINE_S)
    assert len(drained.refresh()) + len(spans.refresh()) == left["counters"]["written"]
    assert left["name"] not in {s["name"] for s in stats.all_segments()}


# ---- collectors that do not do their part ----

def run_with_collector(workplace, collector_options, requests=600, **settings):
    """A traced server whose spans go to a collector; its accounts after the load, and how it ended.

    collector_options: None for a port where nobody listens.
    """
    endpoint = programs.free_port()
    collector = None
    if collector_options is not None:
        collector = programs.start_backend(workplace, *collector_options)
        endpoint = collector.port
    environment = programs.shim_environment(workplace, workplace.path / "unused", OTEL_TRACES_EXPORTER="otlp",
                                            OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{endpoint}", **settings)
    backend = programs.start_backend(workplace, "--delay-max", "5")
    app = apps.App("loops", "serve_loops", ("--workers", "2", "--reuse"))
    program = apps.start(workplace, app, programs.free_port(), backend.port, environment)
    load = programs.run_load(program.port, requests, 32)
    assert (load["answered"], load["broken"], load["mismatched"], load["not_2xx"]) == (requests, 0, 0, 0), load
    return program, collector


N_SPANS = 600 * 3  # a server span, and 1 + n % 3 calls


@pytest.mark.parametrize("options", [
    pytest.param(("--fail-first", "3", "--fail-kind", "503"), id="503-then-200"),
    pytest.param(("--fail-first", "2", "--fail-kind", "reset"), id="reset-then-200"),
    pytest.param(("--fail-first", "2", "--fail-kind", "cut"), id="closing-mid-answer"),
])
def test_collector_recovers(workplace, options):
    """Retryable failures: everything is delivered in the end."""
    program, collector = run_with_collector(workplace, ("--delay-max", "0", "--body-max", "0", *options))
    totals = stats.settled(program)
    assert totals["started"] == totals["exported"] == N_SPANS and stats.dropped(totals) == {}, totals
    assert program.stop() == 0
    collector.stop()


def test_collector_refuses(workplace):
    """400 is for good: every span is dropped, and counted."""
    program, collector = run_with_collector(workplace, ("--delay-max", "0", "--status", "400", "--body-max", "0"))
    totals = stats.settled(program)
    assert totals["exported"] == 0 and stats.dropped(totals) == {"dropped.rejected": N_SPANS}, totals
    assert program.stop() == 0
    collector.stop()


@pytest.mark.parametrize("options", [pytest.param(None, id="absent"),
                                     pytest.param(("--delay-min", "30000"), id="slow")])
def test_collector_is_no_help(workplace, options):
    """Nothing is lost and nobody waits: the spans are still in the segment, and the exit does not hang."""
    program, _ = run_with_collector(workplace, options)

    def counted():
        found = stats.segments(program)
        return found and found[0]["counters"]["written"] == N_SPANS and found
    (segment,) = programs.wait_until(counted, "all spans to be written")
    assert segment["queued"] == N_SPANS and segment["adds_up"] and stats.dropped(segment["counters"]) == {}
    assert program.stop(deadline_s=10) == 0  # far below the collector's 30 s


@pytest.mark.parametrize("options", [pytest.param(None, id="absent"),
                                     pytest.param(("--delay-min", "30000"), id="slow"),
                                     pytest.param(("--delay-max", "0", "--body-max", "0", "--status", "503"), id="503"),
                                     pytest.param(("--fail-percent", "100", "--fail-kind", "cut"), id="closing-mid-answer")])
def test_exit_is_the_first_to_learn_of_the_collector(workplace, options):
    """No batch was due before: only the exit finds out. It waits for a while and no longer, and the spans stay."""
    program, _ = run_with_collector(workplace, options, OTEL_BSP_SCHEDULE_DELAY=600000, OTEL_BSP_MAX_QUEUE_SIZE=262144)

    def all_written():
        found = stats.segments(program)
        return found if found and found[0]["counters"]["written"] == N_SPANS else None
    (before,) = programs.wait_until(all_written, "all spans to be written")
    assert before["counters"]["export.calls"] == 0 and before["queued"] == N_SPANS
    assert program.stop(deadline_s=10) == 0  # far below the collector's 30 s
    (after,) = [s for s in stats.all_segments() if s["name"] == before["name"]]
    assert after["queued"] == N_SPANS and after["adds_up"] and stats.dropped(after["counters"]) == {}


def test_leftovers_are_drained(workplace):
    """kill -9 loses no finished span: the next drain delivers what is in the segment."""
    program, _ = run_with_collector(workplace, None)
    programs.wait_until(lambda: (found := stats.segments(program)) and found[0]["counters"]["written"] == N_SPANS,
                        "all spans to be written")
    program.kill()
    spans = programs.SpanFile(workplace.file("drained.jsonl"), workplace.run)
    environment = programs.shim_environment(workplace, spans.path)
    del environment["LD_PRELOAD"]
    programs.subprocess.run([programs.AGENT, "drain"], env=programs.clean_environment() | environment, check=False,
                            timeout=programs.DEADLINE_S)
    drained = spans.refresh()
    assert len(drained) == N_SPANS and len({(s.trace_id, s.span_id) for s in drained}) == N_SPANS
