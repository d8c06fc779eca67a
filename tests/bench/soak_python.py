# SPDX-License-Identifier: Apache-2.0
"""What stays of a million requests to an asyncio service: memory with and without the library, and contexts that are still known.

INTERSPAN_SOAK_REQUESTS: how many (1000000), told of in ten steps.
"""

import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))

import programs  # noqa: E402
import python_apps  # noqa: E402
import stats  # noqa: E402

REQUESTS = int(os.environ.get("INTERSPAN_SOAK_REQUESTS", "1000000"))
STEPS = 10
CONNECTIONS = 64


def private_kib(pid):
    """Memory of its own; that of the segment is shared, and bounded by its size."""
    lines = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(("Private_Dirty", "Private_Clean")))


def live_contexts(program):
    counters = stats.settled(program)
    return counters.get("contexts.labelled", 0) - counters.get("contexts.forgotten", 0)


def main():
    with programs.Workplace() as workplace:
        environment = programs.shim_environment(workplace, "/dev/null", INTERSPAN_CAPTURE_REQUEST_HEADERS=None,
                                                INTERSPAN_LOG_FILE=None)
        app = python_apps.App("tasks", "tasks.py")
        plain = python_apps.start(workplace, app, programs.free_port(), 0)
        under = python_apps.start(workplace, app, programs.free_port(), 0, environment)
        print(f"{'requests':>9} {'KiB without':>12} {'KiB with':>9} {'contexts known':>15}", flush=True)
        for step in range(1, STEPS + 1):
            for program in (plain, under):
                load = programs.run_load(program.port, REQUESTS // STEPS, CONNECTIONS, "--no-echo", deadline_s=1800)
                assert load["answered"] == REQUESTS // STEPS, load
            print(f"{step * (REQUESTS // STEPS):9} {private_kib(plain.pid):12} {private_kib(under.pid):9}"
                  f" {live_contexts(under):15}", flush=True)


main()
