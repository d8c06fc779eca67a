# SPDX-License-Identifier: Apache-2.0
"""The test apps: the ways in which programs spread a request over threads and processes."""

import dataclasses

import programs
import scenarios
import truth


@dataclasses.dataclass(frozen=True)
class App:
    name: str
    program: str
    options: tuple = ()
    may_be_unknown: bool = False
    calls: bool = True
    connections: int = 32


APPS = [
    App("threads", "serve_threads"),
    App("threads-reuse", "serve_threads", ("--reuse",)),
    App("fork", "serve_fork"),
    App("fork-reuse", "serve_fork", ("--reuse",)),
    App("read-fork", "serve_read_fork"),
    App("fd-pool", "serve_fd_pool", ("--workers", "8")),
    App("fd-pool-reuse", "serve_fd_pool", ("--workers", "8", "--reuse")),
    App("loops", "serve_loops", ("--workers", "3", "--reuse")),
    App("loops-1", "serve_loops", ("--workers", "1", "--reuse")),
    App("loops-fresh", "serve_loops", ("--workers", "2")),
    App("accept-workers", "serve_accept_workers", ("--workers", "64")),
    App("accept-workers-reuse", "serve_accept_workers", ("--workers", "64", "--reuse")),
    App("self-calls", "serve_self"),
    App("self-calls-reuse", "serve_self", ("--reuse",)),
    App("stealing", "serve_stealing", ("--workers", "8"), may_be_unknown=True),
    App("stealing-reuse", "serve_stealing", ("--workers", "8", "--reuse"), may_be_unknown=True),
]


def start(workplace, app, port, upstream_port, environment=None):
    argv = [programs.APPS / app.program, "--port", port, "--upstream", upstream_port, *app.options]
    return workplace.start(argv, port, environment)


def run(app, *, shim=True, requests=None, connections=None, incoming="none", trace_backends=False, **settings):
    """Like scenarios.run(), for a test app."""
    requests = requests or programs.REQUESTS
    with programs.Workplace() as workplace:
        backend_file = workplace.file("backend.jsonl")
        backend_environment = programs.shim_environment(workplace, backend_file) if trace_backends else None
        backend = programs.start_backend(workplace, "--delay-max", "5", environment=backend_environment)
        spans_file = workplace.file("spans.jsonl")
        environment = programs.shim_environment(workplace, spans_file, **settings) if shim else None
        port = programs.free_port()
        program = start(workplace, app, port, backend.port, environment)
        try:
            load = programs.run_load(port, requests, connections or app.connections, "--traceparent", incoming)
        except RuntimeError as error:
            raise RuntimeError(f"{error}; {app.program}: status {program.process.poll()}, it says {program.stderr!r}") from error
        result = scenarios.Result(load)
        if shim:
            spans = programs.SpanFile(spans_file, workplace.run)
            n_servers = requests * (2 if app.program == "serve_self" else 1)
            spans.wait_for(truth.SERVER, n_servers, deadline_s=10)
        result.exit_status = program.stop()
        result.stderr = program.stderr
        backend.stop()
        if shim:
            result.spans = spans.refresh()
            result.verdict = truth.judge(result.spans, incoming=incoming)
        if trace_backends:
            result.backend_spans = programs.SpanFile(backend_file, workplace.run).refresh()
        return result
