# SPDX-License-Identifier: Apache-2.0
"""What the project is kept in order with: the adding up of test figures, the package set-up, documents, installation."""
import os
import re
import shutil
import socket
import subprocess
import time

import pytest
from conftest import BUILD, ROOT

CMOCKA_GOOD = """[==========] Running 3 test(s).
[ RUN      ] a
[       OK ] a
[==========] 3 test(s) run.
[  PASSED  ] 3 test(s).
"""
CMOCKA_MIXED = """[==========] tests: Running 4 test(s).
[==========] tests: 4 test(s) run.
[  PASSED  ] 2 test(s).
[  SKIPPED ] tests: 1 test(s), listed below:
[  SKIPPED ] b
[  FAILED  ] tests: 1 test(s), listed below:
[  FAILED  ] a

 1 FAILED TEST(S)
"""
CMOCKA_CRASHED = "[==========] Running 9 test(s).\n[ RUN      ] a\nSegmentation fault\n"
PYTEST_GOOD = "....\n4 passed in 0.31s\n"
PYTEST_MIXED = "===== 1 failed, 5 passed, 2 skipped, 1 xfailed, 3 warnings, 1 error in 71.20s (0:01:11) =====\n"


def run_tests(tmp_path, **targets):
    """Each target prints a text and ends with a status."""
    rules = ""
    for name, (text, status) in targets.items():
        (tmp_path / f"{name}.txt").write_text(text)
        rules += f"{name}:\n\t@cat {name}.txt; exit {status}\n"
    (tmp_path / "Makefile").write_text(rules)
    env = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    result = subprocess.run([ROOT / "scripts/run-tests", *targets], cwd=tmp_path, env=env, text=True, capture_output=True, timeout=60)
    return result.returncode, result.stdout.splitlines()[-1], result.stdout


@pytest.mark.parametrize("targets, line", [
    ({"a": (CMOCKA_GOOD, 0)}, "3 passed, 0 failed"),
    ({"a": (CMOCKA_GOOD + CMOCKA_GOOD, 0), "b": (PYTEST_GOOD, 0)}, "10 passed, 0 failed"),
    ({"a": (CMOCKA_MIXED, 1), "b": (PYTEST_GOOD, 0)}, "6 passed, 1 failed, 1 skipped"),
    ({"a": (PYTEST_MIXED, 1)}, "5 passed, 2 failed, 3 skipped"),
    ({"a": (CMOCKA_CRASHED, 1)}, "0 passed, 1 failed"),
    ({"a": (CMOCKA_CRASHED + CMOCKA_GOOD, 0)}, "3 passed, 1 failed"),
    ({"a": (CMOCKA_GOOD, 1)}, "3 passed, 1 failed"),
    ({"a": ("compiler error\n", 2)}, "0 passed, 1 failed"),
    ({"a": ("nothing\n", 0)}, "0 passed, 1 failed"),
    ({"a": ("no tests ran in 0.01s\n", 5)}, "0 passed, 1 failed"),
    ({"a": ("\033[32m" + CMOCKA_GOOD + "\033[0m", 0)}, "3 passed, 0 failed"),
    ({"a": ("the request failed 3 passed in 2 s\n2 requests passed in 3.0s\n" + PYTEST_GOOD, 0)}, "4 passed, 0 failed"),
])
def test_figures_are_added_up(tmp_path, targets, line):
    status, last, _ = run_tests(tmp_path, **targets)
    assert last == line
    assert status == (0 if " 0 failed" in line else 1)


def test_a_failure_does_not_stop_the_rest_and_is_named(tmp_path):
    status, last, out = run_tests(tmp_path, first=(CMOCKA_CRASHED, 1), second=(PYTEST_GOOD, 0))
    assert (status, last) == (1, "4 passed, 1 failed")
    assert "failed: first\n" in out


# ---- hooks ----

def test_what_is_hooked_by_name_is_seen_by_number():
    """syscall(2) leads around every hook; its own knows the number of each call that has a hook of its name."""
    numbers = subprocess.run(["gcc", "-E", "-dM", "-include", "sys/syscall.h", "-x", "c", "/dev/null"], check=True, text=True,
                             capture_output=True).stdout
    defined = set(re.findall(r"#define SYS_(\w+) ", numbers))
    hooks = set(re.findall(r"^HOOK(?:_AT)?\((\w+)", (ROOT / "shim/real.def").read_text(), re.MULTILINE)) - {"syscall"}
    others = {"eventfd": "eventfd2", "pselect": "pselect6", "_exit": "exit_group"}  # names that differ
    wanted = {others.get(name, name) for name in hooks} & defined | hooks & defined
    told = set(re.findall(r"case SYS_(\w+):", (ROOT / "hooks/raw_syscall.c").read_text()))
    assert {"read", "epoll_pwait2", "pselect6", "exit_group", "execve"} <= wanted
    assert wanted - told == set()


# ---- scripts/demo ----

def test_the_demo_alone_says_what_to_do_first(tmp_path):
    result = subprocess.run([ROOT / "scripts/demo"], env=os.environ | {"B": str(tmp_path / "build")}, text=True,
                            capture_output=True, timeout=60)
    assert result.returncode == 1 and result.stdout == ""
    assert "is missing" in result.stderr and "Run: make demo" in result.stderr and len(result.stderr.splitlines()) == 1


# ---- scripts/setup ----

def tool(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def run_setup(tmp_path, *groups, installed):
    for name in ("bash", "sort", "tr", "mktemp", "rm", "tail", "env", "cat"):
        if not (tmp_path / name).exists():
            (tmp_path / name).symlink_to(shutil.which(name))
    tool(tmp_path / "dpkg-query", f"echo {'installed' if installed else 'not-installed'}")
    tool(tmp_path / "id", "echo 1000")
    return subprocess.run(["bash", ROOT / "scripts/setup", *groups], env={"PATH": str(tmp_path)}, text=True, capture_output=True, timeout=60)


def test_setup_is_silent_where_all_is_there(tmp_path):
    tool(tmp_path / "apt-get", "exit 1")
    result = run_setup(tmp_path, "build", "demo", "test", "check", installed=True)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_setup_says_what_to_do_without_root_and_sudo(tmp_path):
    tool(tmp_path / "apt-get", "exit 1")
    result = run_setup(tmp_path, "build", installed=False)
    assert result.returncode == 1
    assert "packages missing for build" in result.stdout
    assert re.search(r"As root, run: apt-get install -y .*libcurl4-openssl-dev", result.stderr)


def test_setup_says_what_to_do_where_there_is_no_apt(tmp_path):
    result = run_setup(tmp_path, "build", installed=False)
    assert result.returncode == 1
    assert "not a Debian system" in result.stderr and "libcurl4-openssl-dev" in result.stderr


@pytest.mark.parametrize("groups", [[], ["nonsense"]])
def test_setup_knows_its_groups(tmp_path, groups):
    result = run_setup(tmp_path, *groups, installed=True)
    assert result.returncode == 2
    assert "usage" in result.stderr


# ---- settings and documents ----

def settings():
    """NAME, help of each line of the table."""
    table = (ROOT / "shim/config.def").read_text()
    return re.findall(r'^SETTING\(\w+, "(\w+)".*, "(.*)"\)$', table, re.MULTILINE)


def test_help_settings_lists_every_setting(run):
    out = run("help", "settings").stdout
    for name, text in settings():
        assert re.search(rf"^{name}( \(.*\))?\n    {re.escape(text)}$", out, re.MULTILINE), name


def test_the_man_page_lists_every_setting():
    page = (BUILD / "interspan.1").read_text()
    assert "@" not in page
    for name, _ in settings():
        assert f"\n.B {name}\n" in page


def copy_for_docs(tmp_path):
    for name in ("scripts", "shim", "hooks", "export", "tests"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "README.md", tmp_path)
    return tmp_path


def check_docs(tree):
    return subprocess.run([tree / "scripts/check-docs"], text=True, capture_output=True, timeout=60)


def test_the_readme_agrees_with_the_code(tmp_path):
    result = check_docs(copy_for_docs(tmp_path))
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize("old, new, text", [
    ("| `OTEL_SERVICE_NAME` |", "| `OTEL_SERVICE_NOM` |", "settings table differs"),
    ("## ", "| `INTERSPAN_INVENTED` | `1` | nothing |\n## ", "settings table differs"),
    ("## ", "`shim/nowhere.c`\n## ", "names shim/nowhere.c"),
])
def test_a_readme_that_disagrees_is_found(tmp_path, old, new, text):
    tree = copy_for_docs(tmp_path)
    readme = tree / "README.md"
    readme.write_text(readme.read_text().replace(old, new, 1))
    result = check_docs(tree)
    assert result.returncode == 1
    assert text in result.stderr


def test_a_setting_that_the_printer_does_not_understand_is_found(tmp_path):
    tree = copy_for_docs(tmp_path)
    with open(tree / "shim/config.def", "a", encoding="utf-8") as table:
        table.write('SETTING(x, "NEW",\n\tBOOL, 0, 0, 1, "over two lines")\n')
    assert "does not understand every line" in check_docs(tree).stderr


def test_a_path_of_one_machine_is_found(tmp_path):
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts/check-paths", tmp_path / "scripts")
    check = [tmp_path / "scripts/check-paths"]
    (tmp_path / "a.c").write_text('"/tmp/x" "/usr/lib" "./work/x" "network/root/x"\n')
    assert subprocess.run(check, capture_output=True).returncode == 0
    (tmp_path / "b.c").write_text('open("/' + 'work/x");\n')
    result = subprocess.run(check, text=True, capture_output=True)
    assert result.returncode == 1
    assert "b.c:1:" in result.stdout


# ---- install ----

def test_install_and_uninstall(tmp_path):
    """All that install makes can be moved as a whole, works, and is gone after uninstall."""
    fake = tmp_path / "build"
    fake.mkdir()
    for name in ("libinterspan.so", "libinterspan-export.so", "libinterspan-unwind.so", "interspan-agent", "interspan-inspect",
                 "settings.txt", "interspan.1"):
        source = BUILD / name
        shutil.copy(source if source.exists() else BUILD / "settings.txt", fake / name)
    node = ["interspan.node", *(p.name for p in (ROOT / "hooks/runtimes/node").glob("*.js"))]
    (fake / "node").mkdir()
    for name in node:
        (fake / "node" / name).write_text("")
    make = ["make", "-s", "-C", ROOT, "-o", "all", f"B={fake}", "PREFIX=/opt/interspan", f"DESTDIR={tmp_path}/dest"]
    env = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    subprocess.run([*make, "install"], check=True, env=env, timeout=60)
    prefix = tmp_path / "dest/opt/interspan"
    assert sorted(str(p.relative_to(prefix)) for p in prefix.rglob("*") if not p.is_dir()) == [
        "bin/interspan", "lib/interspan/interspan-agent", "lib/interspan/interspan-inspect", "lib/interspan/interspan-tree",
        "lib/interspan/libinterspan-export.so", "lib/interspan/libinterspan-unwind.so", "lib/interspan/libinterspan.so",
        *sorted(f"lib/interspan/node/{name}" for name in node), "lib/interspan/settings.txt",
        "lib/libinterspan-export.so", "lib/libinterspan-unwind.so", "lib/libinterspan.so", "share/man/man1/interspan.1"]
    moved = prefix.rename(tmp_path / "moved")
    assert subprocess.run([moved / "bin/interspan", "version"], text=True, capture_output=True, check=True).stdout.startswith("interspan ")
    assert (moved / "lib/libinterspan.so").resolve() == moved / "lib/interspan/libinterspan.so"
    moved.rename(prefix)
    subprocess.run([*make, "uninstall"], check=True, env=env, timeout=60)
    assert [p for p in prefix.rglob("*") if not p.is_dir()] == []


# ---- the test server ----

def test_epoll_server_answers_pipelined_and_split_requests(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    server = subprocess.Popen([BUILD / "tests/epoll_server", str(port)])
    try:
        client = connect(port)
        client.sendall(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\nPOST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbodyGET /c HT")
        client.sendall(b"TP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = b""
        while chunk := client.recv(4096):
            answer += chunk
        assert [text for text in re.findall(rb"epoll_server: (.*)\n", answer)] == [b"GET /a", b"POST /b", b"GET /c"]
    finally:
        server.terminate()
        assert server.wait(timeout=60) == 0


def connect(port):
    deadline = time.monotonic() + 30
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=30)
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.01)
