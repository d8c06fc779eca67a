# SPDX-License-Identifier: Apache-2.0
"""What the tests of scripts/ share: an installed tree with a stand-in library, and small programs made for the purpose."""
import os
import pathlib
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("B", ROOT / "build"))


def compile_c(path, source, *flags):
    subprocess.run([os.environ.get("CC", "gcc"), "-x", "c", "-", "-o", path, *flags], input=source, text=True, check=True)
    return path


def install(prefix):
    """interspan as make install lays it out, with a library that does nothing and an agent that only tells how it was called."""
    parts = prefix / "lib" / "interspan"
    parts.mkdir(parents=True)
    (prefix / "bin").mkdir()
    shutil.copy(ROOT / "scripts/interspan", prefix / "bin")
    shutil.copy(BUILD / "interspan-inspect", parts)
    shutil.copy(BUILD / "settings.txt", parts)
    shutil.copy(ROOT / "scripts/interspan-tree", parts)
    compile_c(parts / "libinterspan.so", "int interspan_stand_in;", "-shared", "-fPIC")
    agent = parts / "interspan-agent"
    agent.write_text('#!/bin/sh\necho "$@" >>"${0%/*}/agent-calls"\n')
    agent.chmod(0o755)
    return prefix


@pytest.fixture(scope="session")
def installed(tmp_path_factory):
    return install(tmp_path_factory.mktemp("prefix") / "usr")


@pytest.fixture(scope="session")
def programs(tmp_path_factory):
    """Programs of all kinds; the one that is not made on a machine is None."""
    where = tmp_path_factory.mktemp("programs")
    main = "int main(void) { return 0; }"
    made = {
        "plain": compile_c(where / "plain", main),
        "static": compile_c(where / "static", main, "-static"),
        "static-pie": compile_c(where / "static-pie", main, "-static-pie"),
        "musl": compile_c(where / "musl", main, "-Wl,--dynamic-linker=/lib/ld-musl-x86_64.so.1"),
        "other-libc": compile_c(where / "other-libc", main, "-Wl,--dynamic-linker=/lib/ld64-uClibc.so.0"),
        "no-loader": compile_c(where / "no-loader", main, "-Wl,--dynamic-linker=/nowhere/ld-linux.so.9"),
        "go": compile_c(where / "go", GO_NOTE + main, "-static"),
        "go-dynamic": compile_c(where / "go-dynamic", GO_NOTE + main),
        "go-pie": compile_c(where / "go-pie", GO_NOTE + "void _start(void) { for (;;) ; }", "-pie", "-nostdlib",
                            "-Wl,--dynamic-linker=/lib64/ld-linux-x86-64.so.2"),
    }
    for name, offset, value in (("class32", 4, 1), ("big-endian", 5, 2), ("arm", 18, 183)):
        image = bytearray(made["plain"].read_bytes())
        image[offset] = value
        made[name] = where / name
        made[name].write_bytes(image)
        made[name].chmod(0o755)
    return made


# What Go's linker leaves in each of its programs: a note with the build id, owner "Go".
GO_NOTE = """
__asm__(".section .note.go.buildid,\\"a\\",@note\\n.align 4\\n.long 4, 4, 4\\n.asciz \\"Go\\\\0\\"\\n.asciz \\"abc\\"\\n.text");
"""


@pytest.fixture
def run(installed):
    def call(*arguments, shell=None, env=None, prefix=installed, **more):
        command = ([shell] if shell else []) + [str(prefix / "bin/interspan"), *map(str, arguments)]
        return subprocess.run(command, env=env, text=True, capture_output=True, timeout=60, **more)

    return call
