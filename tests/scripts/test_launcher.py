# SPDX-License-Identifier: Apache-2.0
"""interspan run: the program in place, its environment exact, and a clear refusal where nothing can be preloaded."""
import os
import pathlib
import shutil
import signal
import subprocess
import time

import pytest
from conftest import install

SHELLS = ["dash", "bash"]


def environment_of(text):
    return dict(item.split("=", 1) for item in text.split("\0") if item)


def wait_for(path):
    deadline = time.monotonic() + 30
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    return path.read_text()


def library(prefix):
    return str(prefix / "lib/interspan/libinterspan.so")


# ---- in place ----

@pytest.mark.parametrize("shell", SHELLS)
def test_the_program_has_the_pid_of_the_launcher(installed, shell):
    process = subprocess.Popen([shell, installed / "bin/interspan", "run", "--", "sh", "-c", "echo $$"],
                               stdout=subprocess.PIPE, text=True)
    out, _ = process.communicate(timeout=60)
    assert int(out) == process.pid


@pytest.mark.parametrize("status", [0, 1, 42, 125, 126, 255])
def test_the_exit_status_is_the_programs(run, status):
    assert run("run", "--", "sh", "-c", f"exit {status}").returncode == status


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_signals_reach_the_program_and_end_it(installed, tmp_path, number):
    ready = tmp_path / "ready"
    process = subprocess.Popen([installed / "bin/interspan", "run", "--", "sh", "-c", f"echo x >{ready}; exec sleep 600"],
                               preexec_fn=lambda: signal.signal(number, signal.SIG_DFL) if number != signal.SIGKILL else None)
    wait_for(ready)
    process.send_signal(number)
    assert process.wait(timeout=60) == -number


def test_ignored_signals_stay_ignored(installed):
    process = subprocess.run([installed / "bin/interspan", "run", "--", "grep", "SigIgn", "/proc/self/status"], text=True,
                             capture_output=True, preexec_fn=lambda: signal.signal(signal.SIGUSR1, signal.SIG_IGN), check=True)
    assert int(process.stdout.split()[1], 16) & 1 << (signal.SIGUSR1 - 1)


def test_standard_input_output_and_arguments_pass_through(run):
    result = run("run", "--", "sh", "-c", 'cat; printf "[%s]" "$@"; echo err >&2', "sh", "a b", "", "*", "--service",
                 input="in\n")
    assert result.stdout == "in\n[a b][][*][--service]"
    assert result.stderr == "err\n"


def test_no_descriptor_is_added(run):
    plain = subprocess.run(["ls", "/proc/self/fd"], text=True, capture_output=True, check=True).stdout
    assert run("run", "--", "ls", "/proc/self/fd").stdout == plain


def test_options_end_at_the_command(run):
    assert run("run", "echo", "--service", "x").stdout == "--service x\n"


# ---- environment ----

@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("given", [
    {},
    {"PWD": "/somewhere/else", "OLDPWD": "x", "SHLVL": "7", "_": "underscore"},
    {"a.b": "1", "with space": "2", "LINES": "a\nb", "EMPTY": "", "percent": "%41,+-=", "LATIN": "\udce9\udcff"},
])
def test_the_environment_is_the_callers_and_the_library(run, installed, shell, given):
    env = {"PATH": os.environ["PATH"], **given}
    result = run("run", "--no-watch", "--", "env", "-0", env=env, shell=shell, errors="surrogateescape")
    assert environment_of(result.stdout) == {**env, "LD_PRELOAD": library(installed)}


@pytest.mark.parametrize("options, expected", [
    (["--service", "a b"], {"OTEL_SERVICE_NAME": "a b"}),
    (["--service=a=b"], {"OTEL_SERVICE_NAME": "a=b"}),
    (["--ratio", "0.25"], {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.25"}),
    (["--ratio", "1.00"], {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "1.00"}),
    (["--sampler", "traceidratio", "--ratio", "0"], {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"}),
    (["--ratio", "1", "--sampler", "traceidratio"], {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "1"}),
    (["--endpoint", "http://c:4318"], {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_TRACES_EXPORTER": "otlp"}),
    (["--file", "/tmp/x y.jsonl"], {"INTERSPAN_FILE": "/tmp/x y.jsonl", "OTEL_TRACES_EXPORTER": "file"}),
    (["--file", "x.jsonl"], {"INTERSPAN_FILE": "/x.jsonl", "OTEL_TRACES_EXPORTER": "file"}),
    (["--log-level", "debug"], {"INTERSPAN_LOG_LEVEL": "debug"}),
    (["--log-file", "stderr"], {"INTERSPAN_LOG_FILE": "stderr"}),
    (["--log-file", "log"], {"INTERSPAN_LOG_FILE": "/log"}),
    (["--follow"], {"INTERSPAN_FOLLOW": "all"}),
    (["--agent"], {"INTERSPAN_EXPORTER_MODE": "agent"}),
    (["--no-watch"], {}),
    ([], {}),
])
def test_options_become_settings_and_nothing_else(run, installed, options, expected):
    env = {"PATH": os.environ["PATH"], "OTEL_SERVICE_NAME": "before"}
    result = run("run", *options, "--", "env", "-0", env=env, cwd="/")
    assert environment_of(result.stdout) == {**env, "LD_PRELOAD": library(installed), **expected}


def test_an_endpoint_beats_an_inherited_traces_endpoint(run):
    result = run("run", "--endpoint", "http://c:1", "--", "env", env={**os.environ, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://old"})
    assert "http://old" not in result.stdout


def test_an_existing_preload_comes_after_ours(run, installed):
    result = run("run", "--", "env", "-0", env={**os.environ, "LD_PRELOAD": "libc.so.6 libm.so.6"})
    assert environment_of(result.stdout)["LD_PRELOAD"] == library(installed) + ":libc.so.6 libm.so.6"


def test_a_library_that_is_already_preloaded_is_not_added_again(run, installed):
    given = "libc.so.6:" + library(installed)
    result = run("run", "--", "env", "-0", env={**os.environ, "LD_PRELOAD": given})
    assert environment_of(result.stdout)["LD_PRELOAD"] == given


def test_the_library_is_really_loaded(run, installed):
    assert library(installed) in run("run", "--", "cat", "/proc/self/maps").stdout


# ---- where it lies ----

def test_a_moved_tree_works_through_a_link(tmp_path):
    moved = install(tmp_path / "first").rename(tmp_path / "second")
    (tmp_path / "link").symlink_to(moved / "bin/interspan")
    result = subprocess.run([tmp_path / "link", "run", "--", "cat", "/proc/self/maps"], text=True, capture_output=True, check=True)
    assert library(moved) in result.stdout


def test_a_directory_with_blanks_works(tmp_path, run):
    prefix = install(tmp_path / "with two blanks")
    result = run("run", "--", "cat", "/proc/self/maps", prefix=prefix, env={**os.environ, "LD_LIBRARY_PATH": "/nowhere"})
    assert library(prefix) in result.stdout
    assert result.stderr == ""


def test_a_directory_with_a_colon_is_refused(tmp_path, run):
    result = run("run", "--", "true", prefix=install(tmp_path / "a:b"))
    assert result.returncode == 126
    assert "colon" in result.stderr


def test_a_missing_library_is_said(tmp_path, run):
    prefix = install(tmp_path / "broken")
    (prefix / "lib/interspan/libinterspan.so").unlink()
    result = run("run", "--", "true", prefix=prefix)
    assert result.returncode == 125
    assert "libinterspan.so is missing" in result.stderr


def test_a_minimal_container_is_enough(tmp_path, run, installed):
    """No python, no awk, no sed: a handful of coreutils, as busybox has them."""
    for tool in ("sh", "readlink", "dirname", "tr", "cat", "env"):
        (tmp_path / tool).symlink_to(shutil.which(tool))
    env = {"PATH": str(tmp_path)}
    assert run("run", "--service", "x", "--file", "f", "--", "env", "-0", env=env).returncode == 0
    for command in (["help"], ["help", "settings"], ["version"], ["doctor", "cat"], ["--help"]):
        result = run(*command, env=env)
        assert (result.returncode, result.stderr) == (0, ""), command


# ---- companions ----

def calls(prefix):
    path = prefix / "lib/interspan/agent-calls"
    return path.read_text().splitlines() if path.exists() else []


@pytest.mark.parametrize("options, expected", [([], "watch"), (["--agent"], "agent"), (["--agent", "--no-watch"], "agent"),
                                               (["--no-watch"], None)])
def test_the_companion_is_told_the_programs_pid(tmp_path, options, expected):
    prefix = install(tmp_path / "p")
    process = subprocess.Popen([prefix / "bin/interspan", "run", *options, "--", "true"])
    assert process.wait(timeout=60) == 0
    assert calls(prefix) == ([f"{expected} {process.pid}"] if expected else [])


@pytest.mark.skipif(os.geteuid() != 0, reason="a PID namespace needs root")
def test_pid_one_gets_no_watcher(tmp_path):
    prefix = install(tmp_path / "p")
    subprocess.run(["unshare", "--pid", "--fork", prefix / "bin/interspan", "run", "--", "true"], check=True, timeout=60)
    assert calls(prefix) == []


def test_stat_and_drain_are_the_agents(tmp_path, run):
    prefix = install(tmp_path / "p")
    run("stat", "--json", prefix=prefix)
    run("drain", prefix=prefix)
    assert calls(prefix) == ["stat --json", "drain"]


# ---- wrong use ----

@pytest.mark.parametrize("arguments, text", [
    (["run"], "which command"),
    (["run", "--"], "which command"),
    (["run", "--service"], "needs a value"),
    (["run", "--service", "--", "true"], "needs a value"),
    (["run", "--nonsense", "--", "true"], "unknown option --nonsense"),
    (["run", "--sampler", "sometimes", "--", "true"], "not one of always_on"),
    (["run", "--sampler", "always_on always_off", "--", "true"], "one of always_on"),
    (["run", "--ratio", "2", "--", "true"], "not a number from 0 to 1"),
    (["run", "--ratio", "1.01", "--", "true"], "not a number from 0 to 1"),
    (["run", "--ratio", "half", "--", "true"], "not a number from 0 to 1"),
    (["run", "--ratio", ".", "--", "true"], "not a number from 0 to 1"),
    (["run", "--log-level", "loud", "--", "true"], "not one of none"),
    (["run", "--endpoint", "collector:4318", "--", "true"], "not a URL"),
    (["nonsense"], "unknown command nonsense"),
    (["doctor"], "which command"),
])
def test_wrong_use_is_told_and_runs_nothing(run, arguments, text):
    result = run(*arguments)
    assert result.returncode == 125
    assert text in result.stderr
    assert "interspan help" in result.stderr
    assert result.stdout == ""


# ---- refusals ----

@pytest.mark.parametrize("name, text", [
    ("static", "statically linked"),
    ("static-pie", "statically linked"),
    ("musl", "built for musl"),
    ("other-libc", "another C library"),
    ("go", "Go program without libc"),
    ("go-pie", "Go program without libc"),
    ("class32", "32-bit x86-64 program"),
    ("big-endian", "64-bit machine number"),
    ("arm", "64-bit AArch64 program"),
    ("no-loader", "cannot start"),
])
@pytest.mark.parametrize("command", ["run", "doctor"])
def test_what_cannot_be_preloaded_is_refused(run, programs, command, name, text):
    result = run(command, programs[name])
    assert result.returncode == 126
    assert text in result.stderr
    assert "  why: " in result.stderr
    assert "  instead: " in result.stderr
    assert str(programs[name]) in result.stderr
    assert result.stdout == ""


def test_a_dynamic_go_program_is_not_refused(run, programs):
    assert run("run", programs["go-dynamic"]).returncode == 0
    assert "it is a Go program" in run("doctor", programs["go-dynamic"]).stdout


@pytest.mark.skipif(shutil.which("go") is None, reason="no Go tool chain")
def test_a_real_go_program_is_refused(run):
    result = run("run", "--", shutil.which("go"), "version")
    assert result.returncode == 126
    assert "Go program" in result.stderr


@pytest.mark.skipif(shutil.which("musl-gcc") is None, reason="no musl")
def test_a_real_musl_program_is_refused(run, tmp_path):
    program = tmp_path / "program"
    subprocess.run(["musl-gcc", "-x", "c", "-", "-o", program], input="int main(void){return 0;}", text=True, check=True)
    result = run("run", program)
    assert result.returncode == 126
    assert "built for musl" in result.stderr


@pytest.mark.parametrize("name", ["no-such-program-anywhere", "./no-such-file", "/nowhere/program", ""])
def test_what_is_not_there_is_127(run, name):
    result = run("run", "--", name)
    assert result.returncode == 127
    assert "there is no" in result.stderr


def test_the_search_in_path_is_the_shells(run, tmp_path):
    for directory, mode in (("first", 0o644), ("second", 0o755)):
        (tmp_path / directory).mkdir()
        (tmp_path / directory / "tool").write_text(f"#!/bin/sh\necho {directory}\n")
        (tmp_path / directory / "tool").chmod(mode)
    path = f"{tmp_path}/first:{tmp_path}/second:{os.environ['PATH']}"
    assert run("run", "tool", env={"PATH": path}).stdout == "second\n"


def test_what_is_not_executable_is_refused(run, tmp_path):
    (tmp_path / "file").write_text("#!/bin/sh\n")
    for path, text in ((tmp_path / "file", "not executable"), (tmp_path, "is a directory"), ("/dev/null", "not executable")):
        result = run("run", path)
        assert result.returncode == 126
        assert text in result.stderr


def test_binary_rubbish_is_refused(run, tmp_path):
    path = tmp_path / "rubbish"
    path.write_bytes(b"\x01\x02\0\x03" * 100)
    path.chmod(0o755)
    result = run("run", path)
    assert result.returncode == 126
    assert "is no program" in result.stderr


# ---- privileges ----

NOBODY = 65534
as_nobody = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make such files")


@pytest.fixture
def open_tree():
    """A tree that other users may read."""
    path = pathlib.Path(subprocess.run(["mktemp", "-d", "/var/tmp/interspan-test.XXXXXX"], text=True, capture_output=True,
                                       check=True).stdout.strip())
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@needs_root
@pytest.mark.parametrize("mode, text", [(0o4755, "the setuid bit"), (0o2755, "the setgid bit")])
def test_set_id_programs_are_refused_for_others_only(run, open_tree, programs, mode, text):
    prefix = install(open_tree / "usr")
    program = shutil.copy(programs["plain"], open_tree / "program")
    os.chmod(program, mode)
    assert run("run", program, prefix=prefix).returncode == 0
    result = run("run", program, prefix=prefix, **as_nobody)
    assert result.returncode == 126
    assert text in result.stderr
    assert "instead" in result.stderr


@needs_root
def test_file_capabilities_are_refused_for_others_only(run, open_tree, programs):
    prefix = install(open_tree / "usr")
    program = shutil.copy(programs["plain"], open_tree / "program")
    if subprocess.run(["setcap", "cap_net_raw+ep", program], capture_output=True).returncode != 0:
        pytest.skip("this file system has no capabilities")
    assert run("run", program, prefix=prefix).returncode == 0
    result = run("run", program, prefix=prefix, **as_nobody)
    assert result.returncode == 126
    assert "file capabilities" in result.stderr


@needs_root
def test_a_set_id_bit_that_the_kernel_ignores_is_no_reason(open_tree, programs):
    prefix = install(open_tree / "usr")
    program = shutil.copy(programs["plain"], open_tree / "program")
    os.chmod(program, 0o4755)
    subprocess.run(["setpriv", "--no-new-privs", prefix / "bin/interspan", "run", program], check=True, timeout=60, **as_nobody)


# ---- scripts ----

def script(path, text):
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("line", ["#!{}", "#! {} -x y", "#!/usr/bin/env -S {} -x", "#!/usr/bin/env -S A=1 {}",
                                  "#!/usr/bin/env --split-string={}", "#!{}\t"])
def test_the_interpreter_of_a_script_decides(run, programs, tmp_path, line):
    result = run("run", script(tmp_path / "script", line.format(programs["static"]) + "\n"))
    assert result.returncode == 126
    assert "statically linked" in result.stderr


def test_a_script_of_a_script_is_followed(run, programs, tmp_path):
    inner = script(tmp_path / "inner", f"#!{programs['static']}\n")
    assert run("run", script(tmp_path / "outer", f"#!{inner}\n")).returncode == 126


def test_env_finds_its_interpreter_in_path(run, programs, tmp_path):
    (tmp_path / "interpreter").symlink_to(programs["static"])
    path = script(tmp_path / "script", "#!/usr/bin/env interpreter\n")
    result = run("run", path, env={"PATH": f"{tmp_path}:{os.environ['PATH']}"})
    assert result.returncode == 126
    assert str(tmp_path / "interpreter") in result.stderr


def test_env_as_the_command_is_followed(run, programs):
    assert run("run", "env", "-i", "A=1", programs["static"]).returncode == 126
    assert run("run", "env", "-u", "A", programs["plain"]).returncode == 0


def test_a_missing_interpreter_is_refused(run, tmp_path):
    result = run("run", script(tmp_path / "script", "#!/nowhere/interpreter\n"))
    assert result.returncode == 126
    assert "interpreter that it names is missing" in result.stderr


def test_scripts_in_a_circle_are_refused(run, tmp_path):
    script(tmp_path / "a", f"#!{tmp_path}/b\n")
    result = run("run", script(tmp_path / "b", f"#!{tmp_path}/a\n"))
    assert result.returncode == 126
    assert "circle" in result.stderr


@pytest.mark.parametrize("shell", SHELLS)
def test_a_text_without_interpreter_line_runs_in_a_new_shell(run, installed, tmp_path, shell):
    """A shell that ran it itself would run it without the library."""
    result = run("run", script(tmp_path / "text", "cat /proc/$$/maps\n"), shell=shell)
    assert library(installed) in result.stdout


def test_a_script_is_run_as_given(run, tmp_path):
    path = script(tmp_path / "a script", '#!/bin/sh\necho "$0" "$@"\n')
    assert run("run", path, "x  y").stdout == f"{path} x  y\n"
