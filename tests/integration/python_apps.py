# SPDX-License-Identifier: Apache-2.0
"""Unmodified Python services: started as a user would, with the interpreter that one names."""

import dataclasses
import os
import pathlib

import programs
import scenarios
import truth

APPS = pathlib.Path(__file__).resolve().parents[1] / "apps" / "python"
PYTHON = os.environ.get("INTERSPAN_TEST_PYTHON", "/usr/bin/python3")


@dataclasses.dataclass(frozen=True)
class App:
    name: str
    script: str
    options: tuple = ()
    calls: int = 3  # for each request
    connections: int = 100


def start(workplace, app, port, upstream_port, environment=None, python=PYTHON, **more):
    argv = [python, APPS / app.script, port, upstream_port, *app.options]
    return workplace.start(argv, port, environment, **more)


def run(app, *, requests=None, python=PYTHON, shim=True, load=(), connections=None, **settings):
    """Load the app and judge its spans."""
    requests = requests or programs.REQUESTS
    with programs.Workplace() as workplace:
        backend = programs.start_backend(workplace, "--delay-max", "5", "--bodies", "length", "--body-max", "0")
        spans_file = workplace.file("spans.jsonl")
        environment = programs.shim_environment(workplace, spans_file, **settings) if shim else None
        program = start(workplace, app, programs.free_port(), backend.port, environment, python)
        result = scenarios.Result(programs.run_load(program.port, requests, connections or app.connections, *load))
        spans = programs.SpanFile(spans_file, workplace.run)
        if shim:
            spans.wait_for(truth.SERVER, requests, deadline_s=10)
        result.exit_status = program.stop()
        result.stderr = program.stderr
        if shim:
            result.spans = spans.refresh()
            result.verdict = truth.judge(result.spans)
            result.log = pathlib.Path(str(spans_file) + ".log").read_text() if pathlib.Path(str(spans_file) + ".log").exists() else ""
        return result
