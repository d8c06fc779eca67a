# SPDX-License-Identifier: Apache-2.0
"""What the library costs, with and without it in interleaved pairs; each line is a figure and its bar.

Usage: bench_servers.py [throughput|proxy|instructions|exec|memory|collectors ...].
INTERSPAN_BENCH_PAIRS: pairs per figure (10). Exits with 1 where a bar is missed. Instructions are counts, the same on a busy
machine; all other figures want a quiet one.
"""

import os
import pathlib
import re
import statistics
import subprocess
import sys
import time
import typing

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))

import apps  # noqa: E402
import programs  # noqa: E402
import servers  # noqa: E402

PAIRS = int(os.environ.get("INTERSPAN_BENCH_PAIRS", "10"))
SECONDS = os.environ.get("INTERSPAN_BENCH_SECONDS", "2")


missed = []


def report(what, value, unit, bar):
    relation, _, limit = bar.partition(" ")
    met = limit == "" or (float(value) <= float(limit) if relation == "<=" else float(value) >= float(limit))
    if not met:
        missed.append(what)
    print(f"{what:58} {value:>10} {unit:14} bar {bar}{'' if met else '   MISSED'}", flush=True)


# ---- throughput kept ----

def _wrk(port, path="/"):
    done = subprocess.run(["wrk", "-t1", "-c32", f"-d{SECONDS}s", f"http://127.0.0.1:{port}{path}"], check=True,
                          capture_output=True, text=True, env=programs.clean_environment())
    assert "Non-2xx" not in done.stdout, done.stdout
    return float(re.search(r"Requests/sec:\s*([\d.]+)", done.stdout)[1])


def _export_to(workplace, collector, **settings):
    return programs.shim_environment(
        workplace, workplace.path / "unused", OTEL_TRACES_EXPORTER="otlp", OTEL_BSP_SCHEDULE_DELAY=None,
        INTERSPAN_CAPTURE_REQUEST_HEADERS=None, OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{collector.port}",
        **settings)


def _kept(start, settings):
    """The median of throughput with the shim over throughput without, both servers up, measured in turns."""
    with programs.Workplace() as workplace:
        collector = programs.start_backend(workplace, "--delay-max", "0", "--body-max", "0")
        plain = start(workplace, None)
        under = start(workplace, _export_to(workplace, collector, **settings))
        for program in (plain, under):
            _wrk(program.port)
        ratios = []
        for i in range(PAIRS):
            first, second = (plain, under) if i % 2 else (under, plain)
            rates = {first: _wrk(first.port), second: _wrk(second.port)}
            ratios.append(rates[under] / rates[plain])
        return statistics.median(ratios)


def _static(workplace, environment):
    root = workplace.path / "www"
    if not root.exists():
        workplace.directory("www")
        (root / "index.html").write_text("x" * 1024)
    return servers.nginx(workplace, [], environment, server=f"root {root};")


def _proxy(workplace, environment):
    backend = _static(workplace, None)
    return servers.nginx(workplace, [backend], environment)


def throughput():
    for name, bar, settings in (
            ("idle (OTEL_SDK_DISABLED)", ">= 0.99", {"OTEL_SDK_DISABLED": "true"}),
            ("always_off", "-", {"OTEL_TRACES_SAMPLER": "always_off"}),
            ("ratio 0.01", ">= 0.98", {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.01"}),
            ("always_on", ">= 0.95", {"OTEL_TRACES_SAMPLER": "always_on"})):
        report(f"nginx static 1 KB, throughput kept, {name}", f"{_kept(_static, settings):.3f}", "of 1", bar)


def proxy():
    report("nginx proxy, throughput kept, always_on", f"{_kept(_proxy, {}):.3f}", "of 1", ">= 0.93")


# ---- instructions ----

class Cost(typing.NamedTuple):
    """Instructions of libinterspan.so: its own, and those of what it calls (libc, the program's own system calls too)."""
    own: float = 0
    called: float = 0

    def per(self, other, n):
        return Cost((self.own - other.own) / n, (self.called - other.called) / n)


def _dump_cost(path):
    """Of one callgrind output file: a line tells what a place costs by itself, or, after "calls=", what it calls does."""
    names, places, is_call, own, called = {}, {"": "", "c": ""}, False, 0, 0
    for line in path.read_text().splitlines():
        found = re.match(r"(c?)ob=\((\d+)\)(?: (.*))?$", line)
        if found:
            if found[3]:
                names[found[2]] = os.path.basename(found[3])
            places[found[1]] = names[found[2]]
        elif line.startswith("calls="):
            is_call = True
        elif re.match(r"[+\-*\d]", line):
            if places[""] == "libinterspan.so" and not is_call:
                own += int(line.split()[1])
            elif places[""] == "libinterspan.so" and places["c"] not in ("", "libinterspan.so"):
                called += int(line.split()[1])
            if is_call:
                places["c"] = ""  # named only where it is not the caller's own
            is_call = False
    return Cost(own, called)


def _callgrind(out):
    return ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", "--error-exitcode=99"]


def _cost(out):
    """Over all dumps of a run."""
    costs = [_dump_cost(p) for p in out.parent.glob(out.name + "*")]
    return Cost(sum(c.own for c in costs), sum(c.called for c in costs))


# With Host, User-Agent and X-Truth, which make 97 bytes: 350 bytes in 8 fields. The answer's head has 250 in 8.
_REQUEST_FIELDS = "\r\n".join(("Accept: text/html,*/*;q=0.8", "Accept-Encoding: gzip, deflate, br",
                               "Accept-Language: en-GB,en;q=0.5", "Connection: keep-alive", "Cookie: session=" + "c" * 110))
_ANSWER_FIELDS = "\r\n".join(("Content-Type: text/html; charset=utf-8", "Date: Mon, 05 Jan 2026 10:00:00 GMT",
                              "Server: bench/1.0", "Cache-Control: max-age=60", "Vary: Accept-Encoding",
                              'ETag: "0123456789abcdef0123456789"'))


def _server_cost(requests, *options, **settings):
    with programs.Workplace() as workplace:
        backend = programs.start_backend(workplace, "--delay-max", "0", "--body-max", "0")
        environment = programs.shim_environment(workplace, workplace.path / "unused", INTERSPAN_EXPORTER_MODE="agent",
                                                INTERSPAN_CAPTURE_REQUEST_HEADERS=None, **settings)
        out, port = workplace.path / "callgrind", programs.free_port()
        argv = [programs.APPS / "serve_loops", "--port", port, "--workers", "1", "--upstream", backend.port, "--reuse",
                "--header", _ANSWER_FIELDS]
        program = workplace.start([*_callgrind(out), *argv, *options], port, environment)
        load = programs.run_load(port, requests, 1, "--header", _REQUEST_FIELDS)
        assert load["answered"] == requests and load["not_2xx"] == 0, load
        program.stop()
        return _cost(out)


def _per_exchange(*options, **settings):
    few, many = 1200, 2200  # the first thousand are looked at more closely (shim/forwarder.c)
    return _server_cost(many, *options, **settings).per(_server_cost(few, *options, **settings), many - few)


def _per_plain_call():
    def cost(count):
        with programs.Workplace() as workplace:
            out = workplace.path / "callgrind"
            subprocess.run([*_callgrind(out), "dd", "if=/dev/zero", "of=/dev/null", "bs=1", f"count={count}"],
                           check=True, capture_output=True, cwd=workplace.path,
                           env=programs.clean_environment() | programs.shim_environment(workplace, "unused"))
            return _cost(out)
    few, many = 100, 10100
    return cost(many).per(cost(few), (many - few) * 2)  # dd reads and writes


def instructions():
    for name, bar, cost in (
            ("a read or write on an uninteresting fd", "<= 20", _per_plain_call()),
            ("one server exchange, keep-alive GET, 350-byte head", "<= 2500", _per_exchange("--calls", "0")),
            ("the same, not sampled", "-", _per_exchange("--calls", "0", OTEL_TRACES_SAMPLER="always_off")),
            ("server and client exchange with injection", "<= 4500", _per_exchange("--calls", "1"))):
        report(name, f"{cost.own:.0f}", "instructions", bar)
        report("  in the C library, called from there", f"{cost.called:.0f}", "instructions", "-")


# ---- exec ----

def _exec_seconds(environment):
    start = time.perf_counter()
    pid = os.posix_spawn("/bin/true", ["true"], environment)
    os.waitpid(pid, 0)
    return time.perf_counter() - start


def execution():
    with programs.Workplace() as workplace:
        plain = programs.clean_environment()
        under = plain | programs.shim_environment(workplace, "unused")
        times = {True: [], False: []}
        for _ in range(PAIRS * 50):
            times[True].append(_exec_seconds(under))
            times[False].append(_exec_seconds(plain))
        added = statistics.median(times[True]) - statistics.median(times[False])
        report("exec of /bin/true", f"{added * 1000:+.3f}", "ms", "<= +0.15")


# ---- memory ----

def _resident_kb(pid, shared_memory):
    """Resident kB of a process: of its segment, or of everything else."""
    total, in_segment = 0, False
    for line in pathlib.Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            in_segment = "/dev/shm/interspan-" in line
        elif line.startswith("Rss:") and in_segment == shared_memory:
            total += int(line.split()[1])
    return total


def memory():
    with programs.Workplace() as workplace:
        collector = programs.start_backend(workplace, "--delay-max", "0", "--body-max", "0")
        app = apps.App("loops", "serve_loops", ("--workers", "1", "--calls", "0"))
        plain = apps.start(workplace, app, programs.free_port(), 1)
        under = apps.start(workplace, app, programs.free_port(), 1, _export_to(workplace, collector))

        def added():
            return _resident_kb(under.pid, False) - _resident_kb(plain.pid, False)
        report("resident memory added before the first span", f"{added() / 1024:.2f}", "MB", "<= 1")
        for program in (plain, under):
            programs.run_load(program.port, 5000, 100, "--think-max", "200")  # 1,000 requests a second
        report("the same with the exporter, shared memory apart", f"{added() / 1024:.2f}", "MB", "<= 12")
        report("segment in steady state at 1,000 spans/s", f"{_resident_kb(under.pid, True) / 1024:.2f}", "MB", "<= 4")


# ---- collectors ----

_COLLECTORS = {
    "absent": None,
    "slow (30 s)": ("--delay-min", "30000"),
    "503 then 200": ("--fail-first", "3", "--fail-kind", "503"),
    "400": ("--status", "400"),
    "closing mid-answer": ("--fail-percent", "100", "--fail-kind", "cut"),
}


def _collector_pair(workplace, options, swapped):
    """p99 of a server without and with the collector, and how much longer its exit took."""
    port = programs.free_port()
    if options is not None:
        port = programs.start_backend(workplace, "--delay-max", "0", "--body-max", "0", *options).port
    app = apps.App("loops", "serve_loops", ("--workers", "1", "--calls", "0"))
    base = programs.shim_environment(workplace, workplace.path / "unused", OTEL_BSP_SCHEDULE_DELAY="500")
    found = {}
    turns = [("without", {"OTEL_TRACES_EXPORTER": "none"}),
             ("with", {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"})]
    for name, settings in reversed(turns) if swapped else turns:
        program = apps.start(workplace, app, programs.free_port(), 1, base | settings)
        p99 = programs.run_load(program.port, 6000, 50, "--think-max", "20")["p99_ms"]
        start = time.perf_counter()
        program.stop()
        found[name] = p99, time.perf_counter() - start
    return found["with"][0] / found["without"][0], found["with"][1] - found["without"][1]


def collectors():
    for name, options in _COLLECTORS.items():
        ratios, delays = [], []
        for i in range(PAIRS):
            with programs.Workplace() as workplace:
                ratio, delay = _collector_pair(workplace, options, i % 2)
                ratios.append(ratio)
                delays.append(delay)
        report(f"collector {name}: p99 against none", f"{statistics.median(ratios):.3f}", "of 1", "<= 1.05")
        report(f"collector {name}: exit delayed at most", f"{max(delays) * 1000:.0f}", "ms", "<= 500")


_PARTS = {"throughput": throughput, "proxy": proxy, "instructions": instructions, "exec": execution, "memory": memory,
          "collectors": collectors}

if __name__ == "__main__":
    for part in sys.argv[1:] or _PARTS:
        _PARTS[part]()
    sys.exit(f"{len(missed)} missed" if missed else 0)
