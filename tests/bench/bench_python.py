# SPDX-License-Identifier: Apache-2.0
"""What the library costs an asyncio service (aiohttp_gather.py): throughput kept, in interleaved pairs.

INTERSPAN_BENCH_PAIRS: pairs (10); INTERSPAN_BENCH_REQUESTS: requests of each measurement (2000).
"""

import os
import pathlib
import statistics
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))

import programs  # noqa: E402
import python_apps  # noqa: E402

PAIRS = int(os.environ.get("INTERSPAN_BENCH_PAIRS", "10"))
REQUESTS = int(os.environ.get("INTERSPAN_BENCH_REQUESTS", "2000"))
BAR = 0.93


def rate(program):
    load = programs.run_load(program.port, REQUESTS, 100)
    assert load["answered"] == REQUESTS and load["not_2xx"] == 0, load
    return load["rps"]


def kept(app):
    """The median of throughput with the library over throughput without, both up, measured in turns."""
    with programs.Workplace() as workplace:
        backend = programs.start_backend(workplace, "--delay-max", "0", "--bodies", "length", "--body-max", "0")
        collector = programs.start_backend(workplace, "--delay-max", "0", "--body-max", "0")
        settings = {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_BSP_SCHEDULE_DELAY": None,
                    "INTERSPAN_CAPTURE_REQUEST_HEADERS": None, "OTEL_TRACES_SAMPLER": "always_on",
                    "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.port}"}
        environment = programs.shim_environment(workplace, workplace.path / "unused", **settings)
        plain = python_apps.start(workplace, app, programs.free_port(), backend.port)
        under = python_apps.start(workplace, app, programs.free_port(), backend.port, environment)
        for program in (plain, under):
            rate(program)
        ratios = []
        for i in range(PAIRS):
            first, second = (plain, under) if i % 2 else (under, plain)
            rates = {first: rate(first), second: rate(second)}
            ratios.append(rates[under] / rates[plain])
        return statistics.median(ratios)


for name, options in (("asyncio", ()), ("uvloop", ("uvloop",))):
    share = kept(python_apps.App("aiohttp", "aiohttp_gather.py", options))
    print(f"{'aiohttp gather on ' + name + ', throughput kept, always_on':58} {share:>10.3f} of 1           bar >= {BAR}",
          flush=True)
