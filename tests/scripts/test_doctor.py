# SPDX-License-Identifier: Apache-2.0
"""interspan doctor and interspan-inspect: what is told of a program without running it, and that no file can hurt them."""
import os
import random
import re
import shutil
import subprocess

import pytest
from conftest import BUILD, ROOT, compile_c

HOOKS = re.findall(r"^HOOK\((\w+)\)", (ROOT / "shim/real.def").read_text(), re.MULTILINE)


def inspect(*words, program=BUILD / "tests/inspect-asan", **more):
    result = subprocess.run([program, *words], text=True, errors="replace", capture_output=True, timeout=60, **more)
    assert result.returncode == 0, result.stderr
    facts = {}
    for line in result.stdout.splitlines():
        key, value = line.split("=", 1)
        facts.setdefault(key, []).append(value)
    return facts


def used(facts):
    return {name for key, values in facts.items() if key.startswith("uses.") for name in values[0].split()}


def test_the_table_of_hooks_is_sorted():
    """The inspector searches it by halves."""
    assert HOOKS == sorted(HOOKS)


def test_every_hook_is_found_and_has_a_family(tmp_path):
    names = "".join(f"extern char {name}[]; " for name in HOOKS)
    source = f"{names} char *all[] = {{ {', '.join(HOOKS)} }}; int main(void) {{ return 0; }}"
    program = compile_c(tmp_path / "program", source, "-w", "-fno-builtin", "-fPIC", "-Wl,--unresolved-symbols=ignore-all")
    facts = inspect(program)
    assert used(facts) == set(HOOKS)
    assert "uses.other" not in facts


def test_what_a_library_imports_counts(tmp_path):
    (tmp_path / "lib").mkdir()
    compile_c(tmp_path / "lib/libinner.so", "int epoll_wait(); int inner(void) { return epoll_wait(); }", "-w", "-shared", "-fPIC")
    compile_c(tmp_path / "lib/libouter.so", "int inner(void); int outer(void) { return inner(); }", "-shared", "-fPIC",
              f"-L{tmp_path}/lib", "-linner", "-Wl,-rpath,$ORIGIN")
    program = compile_c(tmp_path / "program", "int outer(void); int main(void) { return outer(); }", f"-L{tmp_path}/lib", "-louter",
                        "-Wl,-rpath,$ORIGIN/lib", f"-Wl,-rpath-link,{tmp_path}/lib")
    assert inspect(program)["uses.waiting"] == ["epoll_wait"]
    (tmp_path / "link").symlink_to(program)
    assert inspect(tmp_path / "link")["uses.waiting"] == ["epoll_wait"]
    (tmp_path / "lib/libinner.so").unlink()
    facts = inspect(program)
    assert facts["missing"] == ["libinner.so"]
    assert "uses.waiting" not in facts


def test_the_old_rpath_and_the_environment_are_searched(tmp_path):
    (tmp_path / "lib").mkdir()
    compile_c(tmp_path / "lib/libx.so", "int epoll_wait(); int x(void) { return epoll_wait(); }", "-w", "-shared", "-fPIC")
    source = "int x(void); int main(void) { return x(); }"
    old = compile_c(tmp_path / "old", source, f"-L{tmp_path}/lib", "-lx", "-Wl,--disable-new-dtags,-rpath,${ORIGIN}/lib")
    bare = compile_c(tmp_path / "bare", source, f"-L{tmp_path}/lib", "-lx")
    assert "uses.waiting" in inspect(old)
    assert inspect(bare)["missing"] == ["libx.so"]
    assert "uses.waiting" in inspect(bare, env={**os.environ, "LD_LIBRARY_PATH": f"/nowhere:{tmp_path}/lib"})


def test_functions_that_the_program_defines_itself_are_told(tmp_path, run):
    source = "int close(int fd) { return fd; } static int read(void) { return 0; } int main(void) { return close(read()); }"
    program = compile_c(tmp_path / "program", source, "-w", "-fno-builtin", "-rdynamic")
    assert inspect(program)["shadows"] == ["close"]
    assert "go past interspan: close" in run("doctor", program).stdout


@pytest.mark.parametrize("library, symbol, key, text", [
    ("libssl.so.3", "SSL_read", "tls", "OpenSSL"), ("libgnutls.so.30", "gnutls_record_recv", "tls", "GnuTLS"),
    ("libpython3.11.so.1.0", "Py_BytesMain", "runtime", "python"), ("libnode.so.108", "napi_module_register", "runtime", "node"),
    ("libjvm.so", "JNI_CreateJavaVM", "runtime", "jvm"), ("libruby-3.1.so.3.1", "ruby_init", "runtime", "ruby"),
    ("libphp8.2.so", "php_module_startup", "runtime", "php"), ("libperl.so.5.36", "perl_construct", "runtime", "perl"),
])
def test_tls_and_runtimes_are_known_by_library_and_by_symbol(tmp_path, library, symbol, key, text):
    compile_c(tmp_path / library, "int x;", "-shared", "-fPIC")
    by_library = compile_c(tmp_path / "by-library", "int main(void) { return 0; }", "-Wl,--no-as-needed", f"-L{tmp_path}",
                           f"-l:{library}", f"-Wl,-rpath,{tmp_path}")
    by_symbol = compile_c(tmp_path / "by-symbol", f"void {symbol}(void) {{ }} int main(void) {{ return 0; }}", "-rdynamic")
    assert f"{text} ({library})" in inspect(by_library)[key]
    assert f"{text} (in the program itself)" in inspect(by_symbol)[key]


def test_io_uring_is_told(tmp_path, run):
    compile_c(tmp_path / "liburing.so", "int io_uring_queue_init(void) { return 0; }", "-shared", "-fPIC")
    source = "int io_uring_queue_init(void); int main(void) { return io_uring_queue_init(); }"
    program = compile_c(tmp_path / "program", source, f"-L{tmp_path}", "-luring", f"-Wl,-rpath,{tmp_path}")
    assert inspect(program)["io_uring"] == ["yes"]
    assert "it uses io_uring" in run("doctor", program).stdout


def test_doctor_puts_it_into_words_and_runs_nothing(run, tmp_path):
    program = tmp_path / "server"
    compile_c(program, """#include <sys/socket.h>
#include <sys/epoll.h>
#include <stdio.h>
#include <unistd.h>
int main(void) { fopen("ran", "w"); return socket(1, 1, 1) + (int)read(0, 0, 0) + epoll_wait(0, 0, 0, 0); }""")
    result = run("doctor", program, cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert f"{program} can be traced." in result.stdout
    assert re.search(r"connections +socket\n", result.stdout)
    assert re.search(r"reading +read\n", result.stdout)
    assert re.search(r"waiting +epoll_wait\n", result.stdout)
    assert "What will not be seen:" in result.stdout
    assert not (tmp_path / "ran").exists()


def test_doctor_of_a_program_without_sockets(run, programs):
    assert "it imports no socket function" in run("doctor", programs["plain"]).stdout


def test_doctor_of_a_script_speaks_of_its_interpreter(run, tmp_path):
    path = tmp_path / "script.py"
    path.write_text("#!/usr/bin/python3\n")
    path.chmod(0o755)
    out = run("doctor", path).stdout
    assert re.search(rf"script +{path}\n", out)
    assert re.search(r"program +/usr/bin/python3 ", out)
    assert re.search(r"runtime +python", out)


def test_control_characters_in_names_are_not_printed(tmp_path, programs):
    path = tmp_path / "a\nrefuse=setuid\x1b[31m"
    shutil.copy(programs["plain"], path)
    assert inspect("--brief", path)["program"] == [f"{tmp_path}/a\\x0arefuse=setuid\\x1b[31m"]


# ---- hostile files ----

def mutants(image, count, seed):
    """Truncated, with random bytes, and with extreme values in the headers and tables at its start."""
    chance = random.Random(seed)
    for i in range(count):
        mutant = bytearray(image)
        if i % 3 == 0:
            del mutant[chance.randrange(len(mutant)):]
        for _ in range(chance.randrange(1, 24)):
            if i % 3 == 1 and mutant:
                mutant[chance.randrange(len(mutant))] = chance.randrange(256)
            if i % 3 == 2:
                at = chance.randrange(16, 0x400) & ~7
                mutant[at:at + 8] = chance.choice([b"\xff" * 8, b"\0" * 8, b"\xff" * 7 + b"\x7f", b"\0" * 7 + b"\x80",
                                                   chance.randrange(1 << 20).to_bytes(8, "little")])
        yield bytes(mutant)


@pytest.mark.parametrize("kind", ["plain", "go-dynamic", "static"])
def test_no_file_can_hurt_the_inspector(tmp_path, programs, kind):
    image = programs[kind].read_bytes()[:200000]
    path = tmp_path / "mutant"
    path.touch(mode=0o755)
    for mutant in mutants(image, 90, kind):
        path.write_bytes(mutant)
        inspect(path)
    for beginning in range(4, 64):
        path.write_bytes(image[:beginning])
        assert "refuse" in inspect(path)


def test_tables_that_lie_about_the_dynamic_section(tmp_path, programs):
    """The dynamic section itself, all values, one after another."""
    image = programs["plain"].read_bytes()
    headers = subprocess.run(["readelf", "-lW", programs["plain"]], text=True, capture_output=True, check=True).stdout
    offset, size = (int(x, 16) for x in re.search(r"DYNAMIC +(0x\w+) +0x\w+ +0x\w+ +(0x\w+)", headers).groups())
    path = tmp_path / "mutant"
    path.touch(mode=0o755)
    for at in range(offset, offset + size, 8):
        for value in (b"\xff" * 8, b"\xf8" + b"\xff" * 6 + b"\x7f", (1 << 20).to_bytes(8, "little")):
            path.write_bytes(image[:at] + value + image[at + 8:])
            inspect(path)


def test_a_fifo_and_a_device_do_not_hold_it_up(tmp_path):
    os.mkfifo(tmp_path / "fifo", 0o755)
    assert inspect(tmp_path / "fifo")["refuse"] == ["permission"]
    assert inspect("/dev/zero")["refuse"] == ["permission"]
