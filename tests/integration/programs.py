# SPDX-License-Identifier: Apache-2.0
"""Programs under test: started with or without the shim on free loopback ports, in a directory of their own, and
always stopped."""

import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import truth

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("INTERSPAN_BUILD", ROOT / "build"))
APPS = BUILD / "apps"
LIBRARY = BUILD / "libinterspan.so"
AGENT = BUILD / "interspan-agent"
REQUESTS = int(os.environ.get("INTERSPAN_TEST_REQUESTS", "3000"))
CONNECTIONS = 100
DEADLINE_S = 60  # for whatever must happen; nothing waits that long when all is well


def free_port():
    """A port that nobody listens on, from below the range that outgoing connections get theirs from."""
    while True:
        port = random.randrange(10000, 32000)
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def wait_until(condition, what, deadline_s=DEADLINE_S):
    """Poll until condition() is true; its value."""
    end = time.monotonic() + deadline_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError(f"waited {deadline_s} s for {what}")
        time.sleep(0.02)


def session_members(leader):
    """The processes of a session: those that a program started here consists of."""
    members = []
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[3]) == leader and fields[0] != "Z":
            members.append(int(stat.parent.name))
    return sorted(members)


def sockets_on(port):
    """The inodes of the sockets that listen on a port."""
    with open("/proc/net/tcp", encoding="ascii") as table:
        rows = [line.split() for line in table.readlines()[1:]]
    return {f"socket:[{row[9]}]" for row in rows if row[3] == "0A" and int(row[1].split(":")[1], 16) == port}


def listens(leader, port):
    """Does a process of the session listen on the port? Somebody else's server there would answer, too."""
    wanted = sockets_on(port)
    for pid in session_members(leader) if wanted else ():
        try:
            if any(os.readlink(link) in wanted for link in pathlib.Path(f"/proc/{pid}/fd").iterdir()):
                return True
        except (FileNotFoundError, ProcessLookupError):
            continue
    return False


def clean_environment():
    """Ours without anything that is about tracing or preloading."""
    return {k: v for k, v in os.environ.items()
            if not k.startswith(("OTEL_", "INTERSPAN_", "LD_")) and k not in ("TRACEPARENT", "TRACESTATE", "BAGGAGE")}


def shim_environment(workplace, spans_file, **settings):
    """The environment that traces a program into a file; settings add or (None) remove variables."""
    if not LIBRARY.exists():
        raise FileNotFoundError(f"{LIBRARY}: build it first (make all)")
    values = {
        "LD_PRELOAD": str(LIBRARY),
        "OTEL_TRACES_EXPORTER": "file",
        "INTERSPAN_FILE": str(spans_file),
        "INTERSPAN_CAPTURE_REQUEST_HEADERS": "x-truth",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "OTEL_RESOURCE_ATTRIBUTES": f"{truth.RUN_ATTRIBUTE}={workplace.run}",
        "INTERSPAN_LOG_FILE": str(spans_file) + ".log",
    }
    values.update(settings)
    return {k: str(v) for k, v in values.items() if v is not None}


class Workplace:
    """A directory that servers that give up root can use too, and all that was started in it."""

    def __init__(self):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="interspan-test-"))
        self.path.chmod(0o777)
        self.run = self.path.name
        self.programs = []

    def file(self, name, text=""):
        path = self.path / name
        path.write_text(text)
        path.chmod(0o666)
        return path

    def directory(self, name):
        path = self.path / name
        path.mkdir()
        path.chmod(0o777)
        return path

    def start(self, argv, port=None, environment=None, stop_signal=signal.SIGTERM, **more):
        program = Program(self, argv, port, environment or {}, stop_signal, **more)
        self.programs.append(program)
        program.wait_ready()
        return program

    def close(self):
        for program in reversed(self.programs):
            program.kill()
        shutil.rmtree(self.path, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()


class Program:
    def __init__(self, workplace, argv, port, environment, stop_signal, **more):
        self.name = os.path.basename(str(argv[0])) + f"-{len(workplace.programs)}"
        self.port = port
        self.stop_signal = stop_signal
        self.stdout_path = workplace.path / f"{self.name}.stdout"
        self.stderr_path = workplace.path / f"{self.name}.stderr"
        with open(self.stdout_path, "wb") as out, open(self.stderr_path, "wb") as err:
            self.process = subprocess.Popen([str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                                            env=clean_environment() | environment, cwd=workplace.path,
                                            start_new_session=True, **more)
        self.pid = self.process.pid

    @property
    def stdout(self):
        return self.stdout_path.read_text(errors="replace")

    @property
    def stderr(self):
        return self.stderr_path.read_text(errors="replace")

    def wait_ready(self):
        if self.port is None:
            return

        def ready():
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.name} ended with {self.process.returncode}: {self.stderr}{self.stdout}")
            return listens(self.pid, self.port)
        wait_until(ready, f"{self.name} to listen")

    def stop(self, deadline_s=DEADLINE_S):
        """Ask it to end, wait, and return its exit status (negative: the signal)."""
        if self.process.poll() is None:
            self.process.send_signal(self.stop_signal)
        return self.process.wait(deadline_s)

    def kill(self):
        """End it and its children (its process group: it was started as a session's leader)."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait(DEADLINE_S)


class SpanFile:
    """Spans of one run as they arrive in a file of OTLP JSON lines."""

    def __init__(self, path, run):
        self.path = path
        self.run = run
        self.spans = []
        self._offset = 0

    def refresh(self):
        with open(self.path, "rb") as file:
            file.seek(self._offset)
            added = file.read()
        added = added[: added.rfind(b"\n") + 1]
        self._offset += len(added)
        self.spans.extend(s for s in truth.parse_lines(added.decode()) if s.run == self.run)
        return self.spans

    def count(self, kind):
        return sum(s.kind == kind for s in self.spans)

    def wait_for(self, kind, n, deadline_s=DEADLINE_S):
        """Until n spans of a kind are there. What is missing then is the caller's to judge."""
        try:
            wait_until(lambda: self.refresh() and self.count(kind) >= n, "spans", deadline_s)
        except TimeoutError:
            pass
        return self.spans


def start_backend(workplace, *options, environment=None):
    port = free_port()
    return workplace.start([APPS / "truth_backend", "--port", port, *options], port, environment)


def run_load(port, requests=None, connections=CONNECTIONS, *options, deadline_s=DEADLINE_S):
    """Run the load generator. Its report (a dict); raises when it could not run."""
    argv = [APPS / "loadgen", "--port", port, "--requests", requests or REQUESTS, "--connections", connections,
            "--timeout", deadline_s, *options]
    done = subprocess.run([str(a) for a in argv], env=clean_environment(), capture_output=True, text=True, timeout=2 * deadline_s,
                          check=False)
    if done.returncode not in (0, 1) or not done.stdout:
        raise RuntimeError(f"loadgen: {done.returncode} {done.stderr}")
    return json.loads(done.stdout)
