# SPDX-License-Identifier: Apache-2.0
"""Node.js programs under test. INTERSPAN_TEST_NODE names the binary, INTERSPAN_TEST_NODE_PACKAGES a directory that
holds node_modules for what needs packages."""

import json
import os
import re
import shutil
import subprocess

import programs
import scenarios
import truth

NODE = os.environ.get("INTERSPAN_TEST_NODE") or shutil.which("node") or shutil.which("nodejs")
PACKAGES = os.environ.get("INTERSPAN_TEST_NODE_PACKAGES")
APPS = programs.ROOT / "tests" / "apps" / "node"


def major():
    """0: there is no node."""
    if not NODE:
        return 0
    told = subprocess.run([NODE, "--version"], capture_output=True, text=True, check=True, env=programs.clean_environment())
    return int(re.match(r"v(\d+)", told.stdout)[1])


MAJOR = major()


# A busy machine keeps every loop from its wait; what is told of that is not what these tests are about.
QUIET = {"INTERSPAN_LOOP_STALL_MS": 0}


def run_front(mode, *options, at="handler", app="front.js", requests=None, connections=32, load=(), backend=(), shim=True,
              node_options=(), incoming="none", environment=None, **settings):
    """Load a front that calls shards; the Result of scenarios."""
    requests = requests or programs.REQUESTS // 10
    with programs.Workplace() as workplace:
        upstream = programs.start_backend(workplace, "--delay-max", "5", "--bodies", "length", *backend)
        spans_file = workplace.file("spans.jsonl")
        shimmed = programs.shim_environment(workplace, spans_file, **QUIET, **settings) if shim else {}
        port = programs.free_port()
        argv = [NODE, *node_options, APPS / app, "--port", port, "--upstream", upstream.port, "--mode", mode, "--at", at, *options]
        program = workplace.start(argv, port, shimmed | (environment or {}))
        result = scenarios.Result(programs.run_load(port, requests, connections, "--traceparent", incoming, *load))
        spans = programs.SpanFile(spans_file, workplace.run)
        if shim:
            spans.wait_for(truth.SERVER, requests, deadline_s=10)
        result.exit_status = program.stop()
        result.stderr = program.stderr
        upstream.stop()
        if shim:
            result.spans = spans.refresh()
            result.verdict = truth.judge(result.spans, incoming=incoming, warm_up=0)
        return result


def run_script(workplace, script, *arguments, node_options=(), shim=True, environment=None, **settings):
    """Run a script to its end: (completed process, spans)."""
    spans = programs.SpanFile(workplace.file("spans.jsonl"), workplace.run)
    shimmed = programs.shim_environment(workplace, spans.path, **QUIET, **settings) if shim else {}
    done = subprocess.run([NODE, *node_options, str(script), *[str(a) for a in arguments]], capture_output=True, text=True,
                          timeout=programs.DEADLINE_S, check=False, cwd=workplace.path,
                          env=programs.clean_environment() | shimmed | (environment or {}))
    return done, spans.refresh()


def told(done):
    """What a script printed as its last line of JSON."""
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
