# SPDX-License-Identifier: Apache-2.0
"""Stalls of event loops: who did it, whom it held up, and where in the code; and that nobody notices that we look."""
import ctypes
import json
import pathlib
import platform
import re
import shutil
import struct
import sys
import threading
import time
import urllib.error
import urllib.request

import pytest

import programs

STALL_S = 0.5
LIMIT_S = 0.1
VICTIMS = 3


def get(port, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=programs.DEADLINE_S) as answer:
        return answer.read()


class Requests:
    """Requests under way, each on a thread of its own."""

    def __init__(self, port):
        self.port = port
        self.threads = []
        self.failures = []
        self.took_s = {}

    def start(self, path):
        def run():
            begun = time.monotonic()
            try:
                get(self.port, path)
            except OSError as error:
                self.failures.append((path, error))
            self.took_s[path] = time.monotonic() - begun
        self.threads.append(threading.Thread(target=run))
        self.threads[-1].start()

    def join(self):
        for thread in self.threads:
            thread.join()
        assert not self.failures


def plain(attributes):
    return {item["key"]: next(iter(item["value"].values())) for item in attributes}


class Span:
    def __init__(self, raw):
        self.trace, self.id = raw["traceId"], raw["spanId"]
        self.path = plain(raw["attributes"]).get("url.path")
        self.status = raw.get("status", {}).get("code", 0)
        self.attributes = plain(raw["attributes"])
        self.events = [(event["name"], plain(event.get("attributes", ()))) for event in raw.get("events", ())]

    def named(self, name):
        return [attributes for event, attributes in self.events if event == name]


def spans_in(path):
    spans = []
    for line in pathlib.Path(path).read_text(encoding="utf-8").splitlines():
        for resource in json.loads(line)["resourceSpans"]:
            for scope in resource["scopeSpans"]:
                spans += [Span(raw) for raw in scope["spans"]]
    return spans


class Server:
    """A program under the shim, and the spans that it leaves."""

    def __init__(self, workplace, argv, preexec_fn=None, **settings):
        self.port = programs.free_port()
        self.file = workplace.file("spans.jsonl")
        self.log = pathlib.Path(str(self.file) + ".log")
        environment = programs.shim_environment(workplace, self.file, **settings)
        self.program = workplace.start([part if part != "PORT" else self.port for part in argv], self.port, environment,
                                       preexec_fn=preexec_fn)

    def disturb(self, path, victims=VICTIMS):
        """
        Victims are open when the loop is kept from its wait by a request for path; one more comes while it is away.
        Returns whether it did: its client had to wait.
        """
        requests = Requests(self.port)
        for _ in range(victims):
            requests.start("/wait")
        time.sleep(0.2)
        requests.start(path)
        time.sleep(STALL_S / 3)
        requests.start("/none")
        requests.join()
        return requests.took_s["/none"] > LIMIT_S

    def finish(self):
        assert self.program.stop() == 0, self.program.stderr
        self.spans = spans_in(self.file)
        return self.spans

    def of(self, path):
        return [span for span in self.spans if span.path == path]


def app(name="stalls"):
    return [programs.APPS / name, "--port", "PORT", "--ms", int(STALL_S * 1000)]


def assert_held_up_by(victims, culprit):
    """Each was held up once, and names the one that did it."""
    for victim in victims:
        events = victim.named("event_loop.blocked")
        assert len(events) == 1 and not victim.named("event_loop.stall")
        assert events[0]["event_loop.blocker.trace_id"] == culprit.trace
        assert events[0]["event_loop.blocker.span_id"] == culprit.id
        assert float(events[0]["event_loop.stall.duration"]) >= LIMIT_S
        assert "code.stacktrace" not in events[0]


def functions(stack):
    return [re.split(r"[+ ]", line)[0] for line in stack.split("\n")]


def may_sample():
    """Whether the kernel lets us sample a running thread: there is no stack of one otherwise."""
    try:
        level = int(pathlib.Path("/proc/sys/kernel/perf_event_paranoid").read_text(encoding="ascii"))
    except OSError:
        return False
    return level <= 2


@pytest.mark.parametrize("build", ["stalls", "stalls_frames"])
@pytest.mark.parametrize("path, function", [("/sleep", "app_sleeps"), ("/burn", "app_burns"), ("/lock", "app_locks"),
                                            ("/poll", "app_polls")])
def test_who_did_it_and_whom_it_held_up(workplace, path, function, build):
    server = Server(workplace, app(build))
    came_meanwhile = server.disturb(path)
    server.finish()
    culprit, = server.of(path)
    stall, = culprit.named("event_loop.stall")
    assert float(stall["event_loop.stall.duration"]) >= STALL_S * 0.99
    assert len(culprit.events) == 1
    if path != "/burn" or may_sample():
        stack = functions(stall["code.stacktrace"])
        assert function in stack
        assert stack.index(function) < stack.index("app_dispatches") < stack.index("main")
    assert len(server.of("/wait")) == VICTIMS
    assert_held_up_by(server.of("/wait"), culprit)
    assert_held_up_by(server.of("/none") if came_meanwhile else (), culprit)


def test_nobody_is_interrupted(workplace):
    """The threads that sleep and poll beside the loop, and the one that stalled, get what they would get without us."""
    server = Server(workplace, app())
    for path in ("/sleep", "/poll", "/lock", "/burn", "/sleep"):
        server.disturb(path, victims=1)
    server.finish()
    assert len([span for span in server.spans if span.named("event_loop.stall")]) == 5
    disturbed, undisturbed = map(int, re.match(r"disturbed (\d+) undisturbed (\d+)\n", server.program.stdout).groups())
    assert disturbed == 0 and undisturbed > 50


def test_no_stall_no_event(workplace):
    server = Server(workplace, app()[:-1] + [20])
    for path in ("/sleep", "/burn", "/free", "/sleep"):
        server.disturb(path)
    time.sleep(3 * LIMIT_S)
    server.disturb("/free")
    server.finish()
    assert len(server.spans) == 5 * (VICTIMS + 2)
    assert not [span for span in server.spans if span.events]


def test_switched_off(workplace):
    server = Server(workplace, app(), INTERSPAN_LOOP_STALL_MS=0)
    server.disturb("/sleep")
    threads = len(list(pathlib.Path(f"/proc/{server.program.pid}/task").iterdir()))
    server.finish()
    assert threads == 4  # three of its own, and the one that exports
    assert not [span for span in server.spans if span.events]


def test_without_the_plug_in(workplace):
    """A stall is a stall without a stack, too."""
    directory = workplace.directory("lib")
    for name in ("libinterspan.so", "libinterspan-export.so"):
        shutil.copy(programs.BUILD / name, directory)
    server = Server(workplace, app(), LD_PRELOAD=directory / "libinterspan.so")
    server.disturb("/sleep")
    server.disturb("/sleep")
    server.finish()
    for culprit in server.of("/sleep"):
        stall, = culprit.named("event_loop.stall")
        assert float(stall["event_loop.stall.duration"]) >= LIMIT_S
        assert "code.stacktrace" not in stall
    assert len(re.findall("libinterspan-unwind.so", server.log.read_text(encoding="utf-8"))) == 1


def forbid_debugging():
    """A filter as services and containers have it, inherited over exec: calls that debuggers make kill."""
    numbers = {"process_vm_readv": 310, "perf_event_open": 298}
    steps = [(0x20, 0, 0, 0)] + [step for n in numbers.values() for step in ((0x15, 0, 1, n), (0x06, 0, 0, 0x80000000))]
    code = b"".join(struct.pack("HBBI", *step) for step in steps + [(0x06, 0, 0, 0x7FFF0000)])
    buffer = ctypes.create_string_buffer(code)
    program = struct.pack("HxxxxxxQ", len(code) // 8, ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(38, 1, 0, 0, 0) != 0 or libc.prctl(22, 2, ctypes.create_string_buffer(program), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the numbers of its system calls")
def test_under_a_filter(workplace):
    """Nothing that it kills for is done; what a blocked thread does can be read all the same."""
    server = Server(workplace, app(), preexec_fn=forbid_debugging)
    server.disturb("/burn")
    server.disturb("/sleep")
    server.finish()
    burnt, = server.of("/burn")[0].named("event_loop.stall")
    slept, = server.of("/sleep")[0].named("event_loop.stall")
    assert "code.stacktrace" not in burnt
    assert "app_sleeps" in functions(slept["code.stacktrace"])


def test_stacks_of_errors(workplace):
    """On request, a span that fails says where the program was when that became known."""
    server = Server(workplace, app(), INTERSPAN_ERROR_STACKTRACE="true")
    with pytest.raises(urllib.error.HTTPError):
        get(server.port, "/fail")
    get(server.port, "/none")
    server.finish()
    failed, = server.of("/fail")
    stack = functions(failed.attributes["code.stacktrace"])
    assert stack.index("app_fails") < stack.index("main")
    assert not [name for name in stack if "engine_" in name]
    assert "code.stacktrace" not in server.of("/none")[0].attributes


def test_no_stacks_of_errors_unasked(workplace):
    server = Server(workplace, app())
    with pytest.raises(urllib.error.HTTPError):
        get(server.port, "/fail")
    server.finish()
    failed, = server.of("/fail")
    assert failed.status == 2
    assert "code.stacktrace" not in failed.attributes


ASYNCIO = """
import asyncio, sys, time

def blocks_the_loop():
    time.sleep(%f)

def burns():
    end = time.monotonic() + %f
    while time.monotonic() < end:
        pass

async def handle(reader, writer):
    while True:
        try:
            head = await reader.readuntil(b"\\r\\n\\r\\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            break
        path = head.split()[1]
        if path == b"/sleep":
            blocks_the_loop()
        elif path == b"/burn":
            burns()
        elif path == b"/wait":
            await asyncio.sleep(0.8)
        writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")
        await writer.drain()
    writer.close()

async def main():
    import signal
    server = await asyncio.start_server(handle, "127.0.0.1", int(sys.argv[1]))
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    await stopped.wait()
    server.close()

asyncio.run(main())
""" % (STALL_S, STALL_S)


def python_line(script, text):
    return next(i for i, line in enumerate(script.read_text(encoding="utf-8").split("\n"), 1) if text in line)


@pytest.mark.parametrize("path, function", [("/sleep", "blocks_the_loop"), ("/burn", "burns")])
def test_asyncio(workplace, path, function):
    """time.sleep() in a coroutine, which the guide warns of, and computing. The task itself says whose it is."""
    script = workplace.file("server.py", ASYNCIO)
    server = Server(workplace, [sys.executable, script, "PORT"])
    came_meanwhile = server.disturb(path)
    server.finish()
    culprit, = server.of(path)
    stall, = culprit.named("event_loop.stall")
    assert float(stall["event_loop.stall.duration"]) >= LIMIT_S
    native = stall.get("interspan.stacktrace.native", stall.get("code.stacktrace"))
    if path != "/burn" or may_sample():
        assert "_PyEval_EvalFrameDefault" in functions(native)
    if sys.version_info[:2] in ((3, 11), (3, 12), (3, 13)):
        frames = stall["code.stacktrace"].split("\n")
        innermost = next(frame for frame in reversed(frames) if str(script) in frame)
        assert innermost.endswith(f", in {function}")
        if path == "/sleep":
            assert frames[-1] == innermost == f'File "{script}", line {python_line(script, "time.sleep(")}, in {function}'
        assert frames[0].endswith(", in <module>")
    assert len(server.of("/wait")) == VICTIMS
    assert_held_up_by(server.of("/wait"), culprit)
    assert_held_up_by(server.of("/none") if came_meanwhile else (), culprit)
