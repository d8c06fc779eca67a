# SPDX-License-Identifier: Apache-2.0
"""Each program of tests/apps gives the same output, errors and status with the shim as without.

INTERSPAN_LIB is the shim (default build/libinterspan.so), INTERSPAN_APPS the directory of the built programs. The inert
double of the engine understands INTERSPAN_DOUBLE=watch; the product ignores it.
"""
# What can go wrong when a library is preloaded into other people's programs, and the test that would tell. Programs without a
# file are of tests/apps, run by this file; test_NAME.c is of tests/unit, other test_NAME.py of tests/integration.
#
#  1 calls before our constructor             early_calls, early_allocator; test_hooks.c: an_early_call_resolves_on_the_way
#  2 look-up that allocates                   early_allocator, lookups; test_real.c
#  3 re-entrancy                              signal_storm; test_engine_threads.c; test_helper.c
#  4 symbol versions                          conditions; test_real.c; make check-symbols (the version nodes)
#  5 variadic functions                       variadics; test_hooks_process.c: exec_takes_the_changed_environment
#  6 aliases and _chk twins                   transfers_fortified; test_hooks.c: other_names_of_a_function_are_hooked_too,
#                                             a_read_of_any_form_is_told; tests/scripts/test_project.py (numbers)
#  7 errno                                    errno_probes; every CALL() of test_hooks*.c
#  8 cancellation, longjmp, exceptions        cancellation, exceptions; last_thread (pthread_exit of the first thread)
#  9 vfork, posix_spawn, CLONE_VM             spawning; small_stacks (vfork on a small stack)
# 10 fork beside threads, fork behind libc    last_thread; test_exchanges.c: the_child_answers and its neighbours; test_helper.c;
#                                             test_apps.py: test_fork_and_exit_with_open_requests
# 11 daemon(), double fork                    last_thread
# 12 exec and its environment                 spawning; test_environment.c; test_hooks_process.c; below: children keep the
#                                             preload, many variables reach the child; test_loadable.c, test_robustness.py:
#                                             children that cannot load us are spared
# 13 close everything, descriptors 0 to 2     close_everything; below: standard streams closed; test_export.py: the helper takes
#                                             no descriptor from the program
# 14 chroot, namespaces, users                identity; test_robustness.py: Debian's haproxy.cfg, nginx's workers, first process
#                                             of a namespace; test_export.py: a chroot does no harm
# 15 seccomp, landlock, strict mode           identity; test_robustness.py: seccomp after listen
# 16 static TLS                               below: under an auditor; small_stacks; make check-symbols (1,024 bytes at most)
# 17 signals                                  signal_storm; test_helper.c (the helper's mask)
# 18 small stacks                             small_stacks
# 19 allocators                               early_allocator; nothing of ours calls malloc on the program's threads
# 20 sanitizers                               transfers_asan, below
# 21 symbols that leak                        make check-symbols
# 22 two copies                               below: under two copies
# 23 glibc versions, musl                     make check-symbols (GLIBC_2.28); tests/scripts/test_launcher.py, test_doctor.py
# 24 RTLD_NEXT, RUNPATH, plug-ins             loading, lookups; test_real.c; below: another preload keeps its place
# 25 exit                                     endings, last_thread; test_robustness.py: collectors; test_export.py: exit under TLS
# 26 locale, environment                      settings are read once (test_config.c); the helper has a locale of its own
# 27 descriptors reused, closed meanwhile     many_descriptors; test_fdtable.c; test_engine_threads.c; test_exchanges.c: a bound
#                                             socket is no connection
# 28 messages                                 test_log.c; every comparison here: nothing on the program's stderr
# 29 other languages' runtimes                exceptions; test_servers.py: Python's http.server
# 30 wake-ups                                 test_export.py: an idle program is left alone; below: same system calls
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


@pytest.mark.parametrize("program", ["close_everything", "transfers", "last_thread"])
def test_same_with_standard_streams_closed(program):
    """The numbers 0 and 2 are the program's to take, not ours."""
    status, out, _ = compare(["sh", "-c", 'exec 0<&- 2>&-; exec "$0"', app(program)], INTERSPAN_DOUBLE="watch")
    assert status == 0 and out


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


def follow(policy, before, *options):
    """LD_PRELOAD as the shell sees it that env starts."""
    argv = ["env", *options, "sh", "-c", "echo \"$LD_PRELOAD\""]
    return run(argv, environment(before, INTERSPAN_FOLLOW=policy))[1].strip()


if "inert" not in LIB:
    def test_children_keep_the_preload_as_the_operator_says():
        """auto: what the program makes of its environment; none: everything but us; all: us, too."""
        other = app("libpreloaded.so")
        assert follow("auto", f"{LIB}:{other}") == f"{LIB}:{other}"
        assert follow("auto", LIB, "-u", "LD_PRELOAD") == ""
        assert follow("none", f"{LIB}:{other}") == other
        assert follow("none", LIB) == ""
        assert follow("all", LIB, "-u", "LD_PRELOAD") == LIB
        assert follow("all", LIB, f"LD_PRELOAD={other}") == other  # its own list is its own

    def test_a_list_too_long_to_be_taken_apart_stays(tmp_path):
        others = ":".join([app("libpreloaded.so")] * 60)
        assert follow("none", f"{LIB}:{others}") == f"{LIB}:{others}"


if "inert" in LIB:  # the engine makes its segment where a program listens; hooks alone make no system call
    @pytest.mark.skipif(not shutil.which("strace"), reason="no strace")
    @pytest.mark.parametrize("program", ["close_everything", "streams", "transfers"])
    def test_same_system_calls(program):
        assert system_calls(program, LIB) == system_calls(program, None)
