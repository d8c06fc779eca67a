# SPDX-License-Identifier: Apache-2.0
"""The exporter against a collector that misbehaves: nothing lost that should not be, every drop counted."""
import http.server
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests"))
import receiver  # noqa: E402
from receiver import Collector, wait_until  # noqa: E402

BUILD = ROOT / os.environ.get("B", "build")
WRITER = BUILD / "export-test" / "segment_writer"
PLUGIN = BUILD / "libinterspan-export.so"
AGENT = BUILD / "interspan-agent"
SEGMENTS = pathlib.Path(f"/dev/shm/interspan-{os.geteuid()}")
CONSUMER_DROPS = ("dropped.rejected", "dropped.invalid", "dropped.exporter_none")


@pytest.fixture(autouse=True)
def no_orphans():
    """Other tests' segments of dead processes would be drained into ours."""
    drained = environment("http://127.0.0.1:1", OTEL_TRACES_EXPORTER="none")
    subprocess.run([AGENT, "drain"], env=drained, check=True, stdout=subprocess.DEVNULL)


@pytest.fixture
def collector():
    with Collector() as made:
        yield made


def environment(url, **settings):
    """Short delays, and a log of our own."""
    base = {
        "PATH": os.environ["PATH"],
        "OTEL_EXPORTER_OTLP_ENDPOINT": url,
        "OTEL_BSP_SCHEDULE_DELAY": "20",
        "OTEL_SERVICE_NAME": "writer",
        "INTERSPAN_LOG_LEVEL": "info",
    }
    if "ASAN_OPTIONS" in os.environ:
        base["ASAN_OPTIONS"] = os.environ["ASAN_OPTIONS"]
    base.update({key: str(value) for key, value in settings.items()})
    return base


class Writer:
    """tests/apps/segment_writer.c, driven by commands."""

    def __init__(self, tmp_path, url="http://127.0.0.1:1", cwd=None, stdout_lines=None, **settings):
        self.log_path = tmp_path / "log"
        settings.setdefault("INTERSPAN_LOG_FILE", self.log_path)
        self.environment = environment(url, **settings)
        self.process = subprocess.Popen(
            [WRITER, PLUGIN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
            env=self.environment, cwd=cwd or tmp_path,
        )
        self.segment = pathlib.Path(self.process.stdout.readline().strip())

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def tell(self, command):
        self.process.stdin.write(command + "\n")

    def ask(self, command):
        self.tell(command)
        return self.process.stdout.readline().strip()

    def write(self, n):
        """Finish n spans; how many were taken in."""
        accepted, dropped = self.ask(f"write {n}").split()[1:]
        assert int(accepted) + int(dropped) == n
        return int(accepted)

    def start(self):
        assert self.ask("start") == "started"

    def stop(self, level=1):
        assert self.ask(f"stop {level}") == "stopped"

    def totals(self):
        return json.loads(self.ask("totals"))

    def log(self):
        return self.log_path.read_text().splitlines() if self.log_path.exists() else []

    def settled(self, n):
        """Wait until n spans are exported or dropped for good; the totals, which must add up."""

        def check():
            totals = self.totals()
            done = totals["exported"] + sum(totals[name] for name in CONSUMER_DROPS)
            return totals if done >= n else None

        totals = wait_until(check, f"{n} spans settled")
        assert totals["written"] == totals["exported"] + sum(totals[name] for name in CONSUMER_DROPS)
        assert totals["started"] == totals["written"] + totals["dropped.queue_full"]
        return totals

    def kill(self):
        self.process.kill()
        self.process.wait()


def ids(spans):
    return [span["trace_id"] + span["span_id"] for span in spans]


def assert_each_once(spans, n):
    assert len(spans) == n
    assert len(set(ids(spans))) == n


# ---- delivery ----


def test_spans_arrive_whole(tmp_path, collector):
    with Writer(tmp_path, collector.url) as writer:
        writer.start()
        writer.write(3)
        spans = collector.wait_for(3)
        before = time.time_ns()
        totals = writer.settled(3)
    assert_each_once(spans, 3)
    assert totals["exported"] == 3 and totals["export.failures"] == 0
    span = spans[0]
    assert span["name"] == "GET" and span["kind"] == 2 and span["parent_id"] == "" and span["flags"] == 0x101
    assert span["attributes"] == {
        "http.request.method": "GET", "url.path": "/some/path", "http.response.status_code": 200,
        "interspan.parent.evidence": "root",
    }
    assert span["scope"] == {
        "name": "interspan", "version": "0.1.0", "schema_url": "https://opentelemetry.io/schemas/1.44.0"
    }
    assert span["resource"]["service.name"] == "writer"
    assert span["resource"]["process.pid"] == writer.process.pid
    assert abs(before - span["end"]) < 60e9
    assert collector.errors == []
    request = collector.traces()[0]
    assert request["path"] == "/v1/traces"
    assert request["headers"]["traceparent"].endswith("-00")


def test_the_helper_takes_no_descriptor_from_the_program(tmp_path, collector):
    with Writer(tmp_path, collector.url) as writer:
        before = writer.ask("fds")
        writer.start()
        writer.write(10)
        collector.wait_for(10)
        assert writer.ask("fds") == before


def test_batches_are_no_larger_than_set(tmp_path, collector):
    with Writer(tmp_path, collector.url, OTEL_BSP_MAX_EXPORT_BATCH_SIZE=100) as writer:
        writer.write(1000)
        writer.start()
        assert_each_once(collector.wait_for(1000), 1000)
    assert max(r["spans"] for r in collector.traces()) == 100


def test_evidence_can_be_left_out(tmp_path, collector):
    with Writer(tmp_path, collector.url, INTERSPAN_EVIDENCE="false") as writer:
        writer.start()
        writer.write(1)
        assert "interspan.parent.evidence" not in collector.wait_for(1)[0]["attributes"]


def test_forked_children_have_resources_of_their_own(tmp_path, collector):
    with Writer(tmp_path, collector.url) as writer:
        writer.start()
        writer.write(5)
        child = int(writer.ask("child 7").split()[1])
        try:
            spans = collector.wait_for(12)
        finally:
            os.kill(child, signal.SIGKILL)
    by_pid = {}
    for span in spans:
        by_pid.setdefault(span["resource"]["process.pid"], []).append(span)
    assert {pid: len(list_) for pid, list_ in by_pid.items()} == {writer.process.pid: 5, child: 7}
    own, other = by_pid[writer.process.pid][0]["resource"], by_pid[child][0]["resource"]
    assert own["service.instance.id"] != other["service.instance.id"]
    assert other["process.parent_pid"] == writer.process.pid


def test_an_idle_program_is_left_alone_and_woken_later(tmp_path, collector):
    with Writer(tmp_path, collector.url) as writer:
        writer.start()
        writer.write(1)
        collector.wait_for(1)
        writer.settled(1)
        writer.write(1)
        collector.wait_for(2)


# ---- collectors that misbehave ----


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_retryable_answers_lose_nothing(tmp_path, status):
    with Collector(script=[{"status": status}, {"status": status}]) as collector:
        with Writer(tmp_path, collector.url) as writer:
            writer.start()
            writer.write(50)
            assert_each_once(collector.wait_for(50), 50)
            totals = writer.settled(50)
    assert totals["exported"] == 50
    assert totals["export.failures"] == 2 and totals["export.calls"] == 3
    assert len([line for line in writer.log() if str(status) in line]) == 1


def test_retry_after_is_obeyed(tmp_path):
    arrivals = []
    with Collector(script=[{"status": 503, "headers": {"Retry-After": "3"}}]) as collector:
        with Writer(tmp_path, collector.url) as writer:
            writer.start()
            writer.write(1)
            wait_until(lambda: len(collector.requests) == 1)
            arrivals.append(time.monotonic())
            collector.wait_for(1)
            arrivals.append(time.monotonic())
    assert arrivals[1] - arrivals[0] >= 2.9


@pytest.mark.parametrize("status", [400, 401, 404, 413, 500, 307])
def test_refused_for_good_is_dropped_counted_and_said_once(tmp_path, status):
    steps = [{"status": status, "body": b"because", "type": "text/plain"}] * 3
    with Collector(script=steps) as collector:
        with Writer(tmp_path, collector.url) as writer:
            writer.start()
            for n in range(1, 4):
                writer.write(10)
                writer.settled(10 * n)
            writer.write(5)
            assert_each_once(collector.wait_for(5), 5)
            totals = writer.settled(35)
    assert totals["dropped.rejected"] == 30 and totals["exported"] == 5
    said = [line for line in writer.log() if str(status) in line]
    assert len(said) == 1 and "because" in said[0] and "dropped" in said[0]


def test_partial_success_is_counted_and_not_sent_again(tmp_path):
    with Collector(script=[{"partial": (4, "too old")}]) as collector:
        with Writer(tmp_path, collector.url) as writer:
            writer.start()
            writer.write(10)
            totals = writer.settled(10)
            assert len(collector.traces()) == 1
    assert totals["exported"] == 6 and totals["dropped.rejected"] == 4
    assert len([line for line in writer.log() if "too old" in line]) == 1


def test_a_partial_success_cannot_reject_more_than_was_sent(tmp_path):
    with Collector(script=[{"partial": (1000000, "")}]) as collector:
        with Writer(tmp_path, collector.url) as writer:
            writer.start()
            writer.write(10)
            totals = writer.settled(10)
    assert totals["exported"] == 0 and totals["dropped.rejected"] == 10


@pytest.mark.parametrize("how", ["before", "middle"])
def test_connections_closed_without_an_answer_are_retried(tmp_path, how):
    with Collector(script=[{"close": how}]) as collector:
        with Writer(tmp_path, collector.url) as writer:
            writer.start()
            writer.write(20)
            assert_each_once(collector.wait_for(20), 20)
            assert writer.settled(20)["exported"] == 20


def test_a_kept_connection_that_the_collector_drops_costs_nothing(tmp_path):
    with Collector(script=[{"close": "after"}] * 3) as collector:
        with Writer(tmp_path, collector.url) as writer:
            writer.start()
            for n in range(1, 6):
                writer.write(10)
                writer.settled(10 * n)
            assert_each_once(collector.wait_for(50), 50)
            assert writer.totals()["export.failures"] == 0


def test_a_collector_that_comes_later_gets_everything_and_costs_one_line(tmp_path):
    with Collector() as first:
        port = first.port
    with Writer(tmp_path, f"http://127.0.0.1:{port}") as writer:
        writer.start()
        writer.write(1000)
        wait_until(lambda: writer.totals()["export.failures"] >= 2)
        with Collector(port=port) as collector:
            assert_each_once(collector.wait_for(1000), 1000)
            assert writer.settled(1000)["exported"] == 1000
    assert len(writer.log()) == 1


def test_a_slow_collector_does_not_hold_up_stop_or_flush(tmp_path):
    gate = threading.Event()
    with Collector(script=[{"hold": gate}]) as collector:
        with Writer(tmp_path, collector.url) as writer:
            writer.start()
            writer.write(10)
            wait_until(lambda: not collector.script, "the request")
            # Nobody waits for a collector that is known to be slow.
            assert writer.ask("flush 20000") == "down"
            writer.stop(1)  # although the request is still open
            gate.set()
            writer.start()
            spans = wait_until(lambda: len(set(ids(collector.spans))) == 10 and collector.spans)
            totals = writer.settled(10)
    # The request that was broken off may count as delivered on both sides: at least once.
    assert len(spans) in (10, 20)
    assert totals["exported"] == 10


def test_overflow_is_dropped_and_counted_by_the_writer(tmp_path):
    with Collector() as collector:
        with Writer(tmp_path, collector.url, OTEL_BSP_MAX_QUEUE_SIZE=1000) as writer:
            accepted = writer.write(100000)
            assert accepted < 100000
            writer.start()
            assert_each_once(collector.wait_for(accepted), accepted)
            totals = writer.settled(accepted)
    assert totals["dropped.queue_full"] == 100000 - accepted


def test_ids_of_zero_are_dropped_and_the_rest_goes_on(tmp_path, collector):
    with Writer(tmp_path, collector.url) as writer:
        writer.write(5)
        writer.ask("zero 3")
        writer.write(5)
        writer.start()
        assert_each_once(collector.wait_for(10), 10)
        totals = writer.settled(13)
    assert totals["dropped.invalid"] == 3
    assert collector.errors == []


def test_a_flood_through_a_flaky_collector_adds_up(tmp_path):
    script = [{"status": 503}, {"partial": (3, "x")}, {"close": "before"}, {"status": 400}, {}] * 2
    with Collector(script=script) as collector:
        with Writer(tmp_path, collector.url) as writer:
            writer.start()
            total = sum(writer.write(500) for _ in range(20))
            totals = writer.settled(total)
    assert totals["exported"] + totals["dropped.rejected"] == total
    assert_each_once(collector.spans, totals["exported"] + 6)  # 6 that the collector took in and said it had not


# ---- requests ----


def test_gzip(tmp_path, collector):
    with Writer(tmp_path, collector.url, OTEL_EXPORTER_OTLP_COMPRESSION="gzip") as writer:
        writer.write(600)
        writer.start()
        assert_each_once(collector.wait_for(600), 600)
    request = collector.traces()[0]
    assert request["headers"]["Content-Encoding"] == "gzip"
    assert int(request["headers"]["Content-Length"]) < request["size"] / 3


def test_headers_from_the_environment(tmp_path, collector):
    settings = {"OTEL_EXPORTER_OTLP_HEADERS": "api-key=s3cret%20x,Bad Name=hidden-value, x=y "}
    with Writer(tmp_path, collector.url, **settings) as writer:
        writer.start()
        writer.write(1)
        collector.wait_for(1)
    headers = collector.traces()[0]["headers"]
    assert headers["api-key"] == "s3cret x" and headers["x"] == "y"
    assert len(writer.log()) == 1
    assert "hidden" not in writer.log()[0]


def test_the_signal_s_own_endpoint_is_used_as_given(tmp_path, collector):
    settings = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": collector.url + "/custom"}
    with Writer(tmp_path, "http://127.0.0.1:1", **settings) as writer:
        writer.start()
        writer.write(1)
        collector.wait_for(1)
    assert collector.traces()[0]["path"] == "/custom"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """A private CA, and certificates of a server and of a client by it."""
    where = tmp_path_factory.mktemp("tls")

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=where, check=True, capture_output=True)

    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-days", "2",
            "-subj", "/CN=test CA", "-addext", "basicConstraints=critical,CA:TRUE")
    (where / "san").write_text("subjectAltName=DNS:localhost\n")
    for name in ("server", "client"):
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr",
                "-subj", f"/CN={name}")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
                "-days", "2", "-extfile", "san", "-out", f"{name}.pem")
    return where


def tls_collector(certificates, **options):
    return Collector(tls=(certificates / "server.pem", certificates / "server.key"), **options)


def test_tls_with_a_private_ca_and_a_client_certificate(tmp_path, certificates):
    settings = {
        "OTEL_EXPORTER_OTLP_CERTIFICATE": certificates / "ca.pem",
        "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": certificates / "client.pem",
        "OTEL_EXPORTER_OTLP_CLIENT_KEY": certificates / "client.key",
    }
    with tls_collector(certificates, client_ca=certificates / "ca.pem") as collector:
        with Writer(tmp_path, collector.url, **settings) as writer:
            writer.start()
            writer.write(10)
            assert_each_once(collector.wait_for(10), 10)


def test_tls_without_the_ca_sends_nothing(tmp_path, certificates):
    with tls_collector(certificates) as collector:
        with Writer(tmp_path, collector.url) as writer:
            writer.start()
            writer.write(10)
            wait_until(lambda: writer.totals()["export.failures"] >= 1)
            assert writer.totals()["exported"] == 0
            assert wait_until(writer.log)


def test_exit_under_tls_flushes_before_the_library_goes(tmp_path, certificates):
    settings = {"OTEL_EXPORTER_OTLP_CERTIFICATE": certificates / "ca.pem", "OTEL_BSP_SCHEDULE_DELAY": 60000}
    with tls_collector(certificates) as collector:
        with Writer(tmp_path, collector.url, **settings) as writer:
            writer.write(10)
            writer.start()
            writer.ask("flush 20000")
            writer.write(10)
            writer.tell("exit")
            assert writer.process.wait(timeout=receiver.DEADLINE) == 0
        assert_each_once(collector.wait_for(20), 20)


# ---- stop, flush, take-over, death ----


def test_flush_sends_at_once(tmp_path, collector):
    with Writer(tmp_path, collector.url, OTEL_BSP_SCHEDULE_DELAY=3600000) as writer:
        writer.start()
        writer.write(10)
        assert writer.ask("flush 20000") == "flushed"
        assert_each_once(collector.spans, 10)


def test_flush_of_nothing_returns(tmp_path, collector):
    with Writer(tmp_path, collector.url) as writer:
        writer.start()
        assert writer.ask("flush 20000") == "flushed"


def test_a_dead_collector_ends_a_flush(tmp_path):
    with Writer(tmp_path) as writer:
        writer.start()
        writer.write(1)
        assert writer.ask("flush 20000") == "down"


def test_stopped_and_started_again_nothing_is_lost(tmp_path, collector):
    with Writer(tmp_path, collector.url) as writer:
        total = 0
        for _ in range(10):
            writer.start()
            total += writer.write(300)
            writer.stop(1)
        writer.start()
        spans = wait_until(lambda: len(set(ids(collector.spans))) == total and list(collector.spans))
        assert_each_once(spans, total)
        assert writer.settled(total)["exported"] == total


@pytest.mark.parametrize("level", [1, 2])
def test_stop_keeps_what_the_collector_has_not_accepted(tmp_path, level):
    with Writer(tmp_path) as writer:
        writer.start()
        writer.write(100)
        wait_until(lambda: writer.totals()["export.failures"] >= 1)
        writer.stop(level)
        totals = writer.totals()
        assert totals["written"] == 100 and totals["exported"] == 0
        assert sum(totals[name] for name in CONSUMER_DROPS) == 0


def run_agent(*arguments, url, tmp_path, check=True, **settings):
    settings.setdefault("INTERSPAN_LOG_FILE", tmp_path / "agent-log")
    return subprocess.run([AGENT, *arguments], env=environment(url, **settings), cwd=tmp_path, check=check,
                          capture_output=True, text=True, timeout=60)


def test_killed_then_drained(tmp_path, collector):
    with Writer(tmp_path, collector.url) as writer:
        writer.write(1234)
        writer.kill()
        assert writer.segment.exists()
        result = run_agent("drain", url=collector.url, tmp_path=tmp_path)
    assert_each_once(collector.spans, 1234)
    assert collector.spans[0]["resource"]["process.pid"] == writer.process.pid
    assert collector.spans[0]["resource"]["service.name"] == "writer"
    assert "1 exported" in result.stdout
    assert not writer.segment.exists()


def test_drain_leaves_what_the_collector_does_not_take(tmp_path, collector):
    with Writer(tmp_path) as writer:
        writer.write(10)
        writer.kill()
        result = run_agent("drain", url="http://127.0.0.1:1", tmp_path=tmp_path, check=False)
        assert result.returncode == 1 and "1 left" in result.stdout
        assert len(result.stderr.splitlines()) == 1
        assert writer.segment.exists()
        run_agent("drain", url=collector.url, tmp_path=tmp_path)
    assert_each_once(collector.spans, 10)


def test_drain_does_not_touch_the_living(tmp_path, collector):
    with Writer(tmp_path) as writer:
        writer.write(10)
        run_agent("drain", url=collector.url, tmp_path=tmp_path)
        assert collector.spans == []
        assert writer.segment.exists()


def test_killed_in_mid_delivery_nothing_is_lost(tmp_path):
    gate = threading.Event()
    with Collector(script=[{"hold": gate, "close": "before"}]) as collector:
        with Writer(tmp_path, collector.url) as writer:
            writer.start()
            writer.write(1000)
            wait_until(lambda: not collector.script, "the request")
            writer.kill()
            gate.set()
            run_agent("drain", url=collector.url, tmp_path=tmp_path)
        assert_each_once(collector.spans, 1000)


def test_another_process_drains_what_a_dead_one_left(tmp_path, collector):
    with Writer(tmp_path, collector.url) as dead:
        dead.write(100)
        dead.kill()
    with Writer(tmp_path, collector.url) as writer:
        writer.start()
        writer.write(1)
        spans = collector.wait_for(101)
        wait_until(lambda: not dead.segment.exists())
    assert_each_once(spans, 101)


def test_a_forked_child_takes_over_with_a_connection_of_its_own(tmp_path, collector):
    # What the parent's exporter thread had in its hands is lost to the child, on purpose.
    with Writer(tmp_path, collector.url, ASAN_OPTIONS="detect_leaks=0") as writer:
        writer.start()
        writer.write(10)
        writer.settled(10)
        writer.write(10)
        child = int(writer.ask("become").split()[1])
        assert writer.process.wait() == -signal.SIGKILL
        fds = writer.ask("fds")
        writer.write(10)
        writer.start()
        spans = wait_until(lambda: len(set(ids(collector.spans))) == 30 and list(collector.spans))
        assert writer.ask("fds") == fds
        writer.tell("exit")
        wait_until(lambda: not pathlib.Path(f"/proc/{child}").exists())
    pids = {span["resource"]["process.pid"] for span in spans}
    assert pids == {writer.process.pid, child}


def test_orphans_do_not_go_into_a_living_program_s_file(tmp_path):
    with Writer(tmp_path) as dead:
        dead.write(100)
        dead.kill()
    out = tmp_path / "out.jsonl"
    with Writer(tmp_path, OTEL_TRACES_EXPORTER="file", INTERSPAN_FILE=out) as writer:
        writer.start()
        writer.write(1)
        writer.settled(1)
        assert writer.ask("flush 20000") == "flushed"
        assert len(file_spans(out)) == 1
        assert dead.segment.exists()


def test_what_dead_processes_leave_is_bounded(tmp_path):
    dead = []
    for _ in range(6):
        with Writer(tmp_path) as writer:
            writer.write(2000)  # some 300 KiB
            dead.append(writer)
            writer.kill()
    size = dead[0].segment.stat().st_blocks * 512
    with Writer(tmp_path, INTERSPAN_MAX_LEFTOVERS=4 * size) as writer:
        alive = writer.segment.stat().st_blocks * 512
        writer.start()
        gone = 2 + (alive > 0)
        wait_until(lambda: [d.segment.exists() for d in dead] == [False] * gone + [True] * (6 - gone))
        assert len(wait_until(writer.log)) == 1
        assert f"{gone} dead processes" in writer.log()[0] and f"{2000 * gone} spans" in writer.log()[0]
        assert writer.segment.exists()


def test_the_agent_serves_processes_that_do_not(tmp_path, collector):
    agent = subprocess.Popen([AGENT, "agent"], env=environment(collector.url), cwd=tmp_path)
    try:
        with Writer(tmp_path) as one, Writer(tmp_path) as two:
            one.write(10)
            two.write(20)
            collector.wait_for(30)
            one.settled(10)
            one.kill()
            wait_until(lambda: not one.segment.exists())
            two.write(5)
            assert_each_once(collector.wait_for(35), 35)
    finally:
        agent.send_signal(signal.SIGTERM)
        assert agent.wait(timeout=receiver.DEADLINE) == 0


def test_the_agent_outlives_its_collector(tmp_path):
    with Collector() as first:
        port = first.port
    url = f"http://127.0.0.1:{port}"
    agent = subprocess.Popen([AGENT, "agent"], env=environment(url), cwd=tmp_path)
    try:
        with Writer(tmp_path) as writer:
            writer.write(10)
            wait_until(lambda: writer.totals()["export.failures"] >= 1)
            with Collector(port=port) as collector:
                assert_each_once(collector.wait_for(10), 10)
    finally:
        agent.send_signal(signal.SIGTERM)
        assert agent.wait(timeout=receiver.DEADLINE) == 0


def descendants_named(name):
    """pids of processes of this name."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "comm").read_text().strip() == name[:15]:
                found.append(int(entry.name))
        except OSError:
            pass
    return found


def test_the_agent_of_a_process_ends_with_it(tmp_path, collector):
    with Writer(tmp_path) as writer:
        run_agent("agent", str(writer.process.pid), url=collector.url, tmp_path=tmp_path)
        writer.write(10)
        collector.wait_for(10)
        writer.write(10)
        writer.kill()
        assert_each_once(collector.wait_for(20), 20)
        wait_until(lambda: not writer.segment.exists())
        wait_until(lambda: not descendants_named("interspan-agent"))


def test_the_watcher_drains_when_the_last_writer_is_gone(tmp_path, collector):
    with Writer(tmp_path) as writer:
        writer.write(10)
        child = int(writer.ask("child 5").split()[1])
        run_agent("watch", str(writer.process.pid), url=collector.url, tmp_path=tmp_path)
        watcher = wait_until(lambda: descendants_named("interspan-agent"))[0]
        fds = {os.readlink(f"/proc/{watcher}/fd/{fd}") for fd in ("0", "1", "2")}
        wait_until(lambda: os.readlink(f"/proc/{watcher}/cwd") == "/")
        assert fds == {"/dev/null"}
        assert os.getsid(watcher) != os.getsid(0)
        wait_until(lambda: f"{child}" in (SEGMENTS / writer.segment.name).name or writer.totals()["written"] == 15)
        writer.kill()
        assert collector.spans == []
        os.kill(child, signal.SIGKILL)
        assert_each_once(collector.wait_for(15), 15)
        wait_until(lambda: not writer.segment.exists())
        wait_until(lambda: not descendants_named("interspan-agent"))


def test_the_watcher_of_a_clean_process_just_ends(tmp_path, collector):
    with Writer(tmp_path) as writer:
        run_agent("watch", str(writer.process.pid), url=collector.url, tmp_path=tmp_path)
        writer.tell("exit")
        writer.process.wait()
        wait_until(lambda: not descendants_named("interspan-agent"))
    assert collector.requests == []


def test_a_chroot_does_no_harm(tmp_path, collector):
    if os.geteuid() != 0:
        pytest.skip("chroot needs root")
    # The name is known to /etc/hosts, which the new root has not.
    name = next((n for n in ("ip4-loopback", os.uname().nodename) if resolves_to_loopback(n)), None)
    if not name:
        pytest.skip("no name for 127.0.0.1 but localhost")
    with Writer(tmp_path, f"http://{name}:{collector.port}", INTERSPAN_LOG_FILE="stderr") as writer:
        assert writer.ask("prepare") == "prepared 0"
        (tmp_path / "root").mkdir()
        writer.start()
        wait_until(lambda: writer.totals() is not None)
        assert writer.ask(f"chroot {tmp_path}/root") == "ok"
        writer.write(10)
        assert_each_once(collector.wait_for(10), 10)


def resolves_to_loopback(name):
    import socket

    try:
        return socket.gethostbyname(name) == "127.0.0.1"
    except OSError:
        return False


# ---- our own counters as metrics ----


def points(metrics, name):
    return {tuple(sorted(attributes.items())): value for value, attributes in metrics[name]}


def test_counters_are_exported_as_metrics(tmp_path, collector):
    with Writer(tmp_path, collector.url, OTEL_METRIC_EXPORT_INTERVAL=10) as writer:
        writer.start()

        def all_are_told():
            writer.write(1)
            return collector.metrics and points(collector.metrics[-1], "interspan.exported")[()] >= 10

        wait_until(all_are_told)
    metrics = collector.metrics[-1]
    exported = points(metrics, "otel.sdk.exporter.span.exported")
    assert exported[(("otel.component.type", "otlp_http_span_exporter"),)] >= 10
    assert exported[(("error.type", "rejected"),)] == 0
    started = points(metrics, "otel.sdk.span.started")
    assert started[(("otel.span.sampling_result", "RECORD_AND_SAMPLE"),)] >= 10
    assert points(metrics, "interspan.written")[()] >= 10
    assert collector.errors == []
    assert [r["path"] for r in collector.requests if "metrics" in r["path"]][0] == "/v1/metrics"


def exported(collector):
    """What the last metrics say, segment by segment: whose service instance has how many spans exported."""
    return {told["resource"]["service.instance.id"]: points(told["metrics"], "interspan.exported")[()]
            for told in collector.metrics_told}


def test_a_program_that_lives_shorter_than_the_interval_is_counted(tmp_path, collector):
    """Whoever waits for a flush may be about to exit: the counters go before it is told that all is sent."""
    with Writer(tmp_path, collector.url) as writer:
        writer.start()
        writer.write(3)
        assert writer.ask("flush 20000") == "flushed"
        assert list(exported(collector).values()) == [3]
        assert writer.ask("flush 20000") == "flushed"
        assert len(collector.metrics) == 1  # nothing has happened since
        writer.write(2)
        writer.settled(5)
        assert writer.ask("flush 20000") == "flushed"
        assert list(exported(collector).values()) == [5]


def test_a_killed_program_s_counters_are_told_by_who_drains(tmp_path, collector):
    with Writer(tmp_path, collector.url) as writer:
        writer.start()
        writer.write(10)
        writer.settled(10)
        writer.stop(2)
        writer.write(5)
        writer.kill()
        assert collector.metrics == []
        run_agent("drain", url=collector.url, tmp_path=tmp_path)
        assert list(exported(collector).values()) == [15]
        assert not writer.segment.exists()


CALLER = """
import sys, urllib.request
urllib.request.urlopen(sys.argv[1]).read()
sys.stdin.readline()
"""


@pytest.mark.parametrize("when", ["at-exit", "before-exit"])
def test_a_short_lived_program_is_counted(tmp_path, collector, when):
    """Also where its span has gone before and nothing else is left to send."""
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler) as server:
        threading.Thread(target=server.handle_request).start()
        settings = environment(collector.url, LD_PRELOAD=BUILD / "libinterspan.so", INTERSPAN_LOG_FILE=tmp_path / "log",
                               OTEL_BSP_SCHEDULE_DELAY=20 if when == "before-exit" else 60000)
        argv = [sys.executable, "-c", CALLER, f"http://127.0.0.1:{server.server_port}/"]
        program = subprocess.Popen(argv, stdin=subprocess.PIPE, env=settings)
        if when == "before-exit":
            collector.wait_for(1)
            assert collector.metrics == []
        program.communicate(b"\n", timeout=receiver.DEADLINE)
    assert program.returncode == 0 and len(collector.spans) == 1
    assert list(exported(collector).values()) == [1]


def test_the_agent_tells_counters(tmp_path, collector):
    """Of the living at every interval, of the dead when it lets go of them."""
    agent = subprocess.Popen([AGENT, "agent"], cwd=tmp_path,
                             env=environment(collector.url, OTEL_METRIC_EXPORT_INTERVAL=100))
    try:
        with Writer(tmp_path) as one, Writer(tmp_path) as two:
            one.write(10)
            two.write(20)
            two.settled(20)
            two.kill()
            wait_until(lambda: not two.segment.exists())
            assert 20 in exported(collector).values()

            def one_is_told():
                one.write(1)
                return max(exported(collector).values()) >= 30
            wait_until(one_is_told)
    finally:
        agent.send_signal(signal.SIGTERM)
        assert agent.wait(timeout=receiver.DEADLINE) == 0


@pytest.mark.parametrize("settings", [{"OTEL_METRICS_EXPORTER": "none"}, {}])
def test_no_metrics_where_none_are_wanted(tmp_path, collector, settings):
    """By setting, and where only traces were given an endpoint."""
    base = collector.url
    if not settings:
        settings = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": collector.url}
        base = ""
    with Writer(tmp_path, base, OTEL_METRIC_EXPORT_INTERVAL=1, **settings) as writer:
        writer.start()
        for n in range(1, 6):
            writer.write(1)
            writer.settled(n)
        assert writer.ask("flush 20000") == "flushed"
        assert writer.ask("flush 20000") == "flushed"
    assert collector.metrics == []


def test_a_collector_of_traces_only_is_asked_for_metrics_once(tmp_path):
    class TracesOnly(Collector):
        def take(self, handler, body):
            return {"status": 404} if handler.path.endswith("/v1/metrics") else {}

    with TracesOnly() as collector:
        with Writer(tmp_path, collector.url, OTEL_METRIC_EXPORT_INTERVAL=1) as writer:
            writer.start()
            for n in range(1, 11):
                writer.write(1)
                writer.settled(n)
            assert writer.ask("flush 20000") == "flushed"
        assert len([r for r in collector.requests if "metrics" in r["path"]]) == 1
    assert writer.log() == []


# ---- file and console ----


def file_spans(path):
    if not path.exists():
        return []
    return [span for line in path.read_text().splitlines() for span in receiver.spans_of_json(line)]


def test_the_file_exporter(tmp_path):
    out = tmp_path / "spans.jsonl"
    settings = {"OTEL_TRACES_EXPORTER": "file", "INTERSPAN_FILE": out, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": 50}
    with Writer(tmp_path, **settings) as writer:
        writer.write(120)
        writer.start()
        assert writer.settled(120)["exported"] == 120
        spans = file_spans(out)
        assert_each_once(spans, 120)
        assert spans[0]["resource"]["service.name"] == "writer"
        assert len(out.read_text().splitlines()) == 3
    assert out.stat().st_mode & 0o777 == 0o644


def test_the_file_s_default_name(tmp_path):
    with Writer(tmp_path, OTEL_TRACES_EXPORTER="file") as writer:
        writer.start()
        writer.write(1)
        writer.settled(1)
        assert len(file_spans(tmp_path / f"interspan-{writer.process.pid}.jsonl")) == 1


def test_two_processes_share_a_file(tmp_path):
    settings = {"OTEL_TRACES_EXPORTER": "file", "INTERSPAN_FILE": tmp_path / "shared.jsonl"}
    with Writer(tmp_path, **settings) as one, Writer(tmp_path, **settings) as two:
        one.start()
        two.start()
        for _ in range(20):
            one.write(50)
            two.write(50)
        one.settled(1000)
        two.settled(1000)
    assert_each_once(file_spans(tmp_path / "shared.jsonl"), 2000)


def test_a_file_that_cannot_be_written_yet(tmp_path):
    out = tmp_path / "later" / "spans.jsonl"
    with Writer(tmp_path, OTEL_TRACES_EXPORTER="file", INTERSPAN_FILE=out) as writer:
        writer.start()
        writer.write(5)
        wait_until(lambda: writer.totals()["export.failures"] >= 2)
        out.parent.mkdir()
        writer.settled(5)
        assert_each_once(file_spans(out), 5)
    assert len(writer.log()) == 1


def test_the_console_exporter_writes_to_the_program_s_output(tmp_path):
    with Writer(tmp_path, OTEL_TRACES_EXPORTER="console") as writer:
        assert writer.write(1) == 1
        writer.start()
        line = writer.process.stdout.readline()
    assert len(receiver.spans_of_json(line)) == 1


def test_no_exporter_counts_what_it_drops(tmp_path):
    with Writer(tmp_path, OTEL_TRACES_EXPORTER="none") as writer:
        writer.start()
        writer.write(10)
        totals = writer.settled(10)
    assert totals["dropped.exporter_none"] == 10 and totals["exported"] == 0


# ---- stat and usage ----


def test_stat(tmp_path, collector):
    with Writer(tmp_path, collector.url) as writer:
        writer.write(10)
        report = json.loads(run_agent("stat", "--json", url=collector.url, tmp_path=tmp_path).stdout)
        mine = [s for s in report["segments"] if s["name"] == writer.segment.name][0]
        assert mine["service"] == "writer" and mine["has_writers"] and mine["exporter"] == 0
        assert mine["processes"][0]["pid"] == writer.process.pid and mine["processes"][0]["alive"]
        assert mine["counters"]["written"] == 10 and mine["queued"] == 10 and mine["adds_up"]
        writer.start()
        writer.settled(10)
        report = json.loads(run_agent("stat", "--json", url=collector.url, tmp_path=tmp_path).stdout)
        mine = [s for s in report["segments"] if s["name"] == writer.segment.name][0]
        assert mine["exporter"] != 0 and mine["queued"] == 0 and mine["queued_bytes"] == 0 and mine["adds_up"]
        text = run_agent("stat", url=collector.url, tmp_path=tmp_path).stdout
        assert writer.segment.name in text and "exported 10" in text and "add up" in text


def test_stat_shows_the_log(tmp_path):
    with Writer(tmp_path) as writer:
        writer.start()
        writer.write(1)
        wait_until(writer.log)
        settings = {"INTERSPAN_LOG_FILE": writer.log_path}
        text = run_agent("stat", url="http://127.0.0.1:1", tmp_path=tmp_path, **settings).stdout
        assert "cannot be reached" in text
        report = json.loads(run_agent("stat", "--json", url="http://127.0.0.1:1", tmp_path=tmp_path, **settings).stdout)
        assert "cannot be reached" in report["log"]


@pytest.mark.parametrize("arguments", [[], ["--help"], ["stat", "--help"], ["drain", "--help"], ["agent", "--help"],
                                       ["watch", "--help"], ["watch"], ["watch", "x"], ["nonsense"]])
def test_usage(tmp_path, arguments):
    result = run_agent(*arguments, url="http://127.0.0.1:1", tmp_path=tmp_path, check=False)
    if "--help" in arguments:
        assert result.returncode == 0 and result.stdout.startswith("usage:")
    else:
        assert result.returncode == 2 and result.stderr.startswith("usage:")
