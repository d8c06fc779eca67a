# SPDX-License-Identifier: Apache-2.0
"""Each program of tests/apps gives the same output, errors and status with the shim as without.

INTERSPAN_LIB is the shim (default build/libinterspan.so), INTERSPAN_APPS the directory of the built programs. The inert
double of the engine understands INTERSPAN_DOUBLE=watch; the product ignores it.
"""
import os
import re
import shutil
import subprocess
import sys

import pytest

LIB = os.path.abspath(os.environ.get("INTERSPAN_LIB", "build/libinterspan.so"))
APPS = os.path.abspath(os.environ.get("INTERSPAN_APPS", "build/tests/apps"))
PROGRAMS = ["early_calls", "early_allocator", "lookups", "conditions", "spawning", "cancellation", "small_stacks",
            "signal_storm", "close_everything", "variadics", "errno_probes", "many_descriptors", "loading", "transfers",
            "transfers_fortified", "identity", "endings", "streams", "last_thread", "exceptions"]
# Nothing to export to, and nothing that waits for it.
SETTINGS = {"OTEL_TRACES_EXPORTER": "none", "INTERSPAN_LOG_LEVEL": "none"}
TIMEOUT_S = 60


def environment(preload, **more):
    env = {"PATH": os.environ["PATH"], "LC_ALL": "C", **SETTINGS, **more}
    if preload:
        env["LD_PRELOAD"] = preload
    return env


def run(argv, env):
    done = subprocess.run(argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=TIMEOUT_S, close_fds=True, check=False)
    return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")


def compare(argv, preload=LIB, without=None, **more):
    plain = run(argv, environment(without, **more))
    shimmed = run(argv, environment(preload, **more))
    assert shimmed == plain
    return plain


def app(name):
    return os.path.join(APPS, name)


@pytest.fixture(scope="session", autouse=True)
def library_is_there():
    assert os.path.exists(LIB), f"no {LIB}: build it, or set INTERSPAN_LIB"


@pytest.mark.parametrize("mode", ["idle", "watch"])
@pytest.mark.parametrize("program", PROGRAMS)
def test_same(program, mode):
    status, out, err = compare([app(program)], INTERSPAN_DOUBLE=mode)
    assert "cannot be preloaded" not in err
    assert out
    # The programs are written to succeed; one that dies both times proves nothing.
    assert status == (3 if program == "endings" else 0), err


@pytest.mark.parametrize("program", ["early_calls", "transfers", "loading", "spawning"])
def test_same_when_bound_at_once(program):
    compare([app(program)], LD_BIND_NOW="1")


@pytest.mark.parametrize("program", PROGRAMS)
def test_same_under_two_copies(program, tmp_path):
    copy = str(tmp_path / "libsecond.so")
    shutil.copy(LIB, copy)
    compare([app(program)], preload=f"{LIB}:{copy}", INTERSPAN_DOUBLE="watch")


@pytest.mark.parametrize("program", ["transfers", "lookups", "small_stacks"])
def test_same_under_an_auditor(program):
    status, _, err = compare([app(program)], LD_AUDIT=app("libauditor.so"))
    assert status == 0, err


@pytest.mark.parametrize("order", ["{other}:{lib}", "{lib}:{other}"])
def test_another_preload_keeps_its_place(order):
    """Before or behind us, it sees the calls as it would without us: write() of 5 bytes answers 1005."""
    other = app("libpreloaded.so")
    status, out, _ = compare([app("many_descriptors")], preload=order.format(other=other, lib=LIB), without=other)
    assert status == 0
    assert "write(from, \"12345\", 5) = 1005" in out


def test_same_under_address_sanitizer():
    """Its runtime must come first, which is for the operator to arrange."""
    asan = subprocess.run(["gcc", "-print-file-name=libasan.so"], stdout=subprocess.PIPE, check=True).stdout
    asan = os.path.realpath(asan.decode().strip())
    # libasan.so may be a linker script or a link; the loader wants the object itself.
    status, _, err = compare([app("transfers_asan")], preload=f"{asan}:{LIB}", without=asan,
                             ASAN_OPTIONS="detect_leaks=0", INTERSPAN_DOUBLE="watch")
    assert status == 0, err


def test_many_variables_reach_the_child():
    """An environment larger than the small scratch, and one larger than the large."""
    for count in (300, 2000):
        variables = {f"VARIABLE_{i}": str(i) for i in range(count)}
        status, out, _ = compare([sys.executable, "-c", "import os; os.execvp('env', ['env', '-u', 'LD_PRELOAD'])"],
                                 INTERSPAN_DOUBLE="watch", **variables)
        assert status == 0
        assert f"VARIABLE_{count - 1}={count - 1}" in out


SYSTEM_CALLS = "read,write,close,socket,connect,accept,accept4,dup,dup2,dup3,fcntl,pipe,pipe2,sendto,recvfrom,sendmsg," \
               "recvmsg,writev,readv,epoll_create1,epoll_wait,epoll_ctl,poll,select,execve,clone,vfork,exit_group," \
               "rt_sigaction,rt_sigprocmask,kill,setitimer,futex"


def system_calls(program, preload):
    done = subprocess.run(["strace", "-f", "-qq", "-e", "signal=none", "-e", f"trace={SYSTEM_CALLS}",
                           *([f"-ELD_PRELOAD={preload}"] if preload else []), app(program)],
                          env=environment(None), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, timeout=TIMEOUT_S, check=False)
    calls = re.findall(r"^(?:\[pid +\d+\] )?(\w+)\(", done.stderr.decode(errors="replace"), re.M)
    # Before main the loader opens, reads and closes one object more: start at the program's first socket.
    return calls[calls.index("socket"):] if "socket" in calls else calls


if "inert" in LIB:  # the engine makes its segment where a program listens; hooks alone make no system call
    @pytest.mark.skipif(not shutil.which("strace"), reason="no strace")
    @pytest.mark.parametrize("program", ["close_everything", "streams", "transfers"])
    def test_same_system_calls(program):
        assert system_calls(program, LIB) == system_calls(program, None)
