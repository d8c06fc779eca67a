# SPDX-License-Identifier: Apache-2.0
"""What Python's queues and conditions look like to a program that looks closely: the same with the shim as without."""

import subprocess

import programs
import test_python_threads

PROGRAM = test_python_threads.APPS / "queue_objects.py"


def output(workplace, shim):
    environment = programs.shim_environment(workplace, workplace.file("spans.jsonl")) if shim else {}
    done = subprocess.run([test_python_threads.PYTHON, PROGRAM], env=programs.clean_environment() | environment, capture_output=True, text=True,
                          timeout=programs.DEADLINE_S, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def test_looks_the_same(workplace):
    plain = output(workplace, shim=False)
    assert plain[0].count("\n") > 40 and plain[1] == ""
    assert output(workplace, shim=True) == plain
