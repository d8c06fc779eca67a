# SPDX-License-Identifier: Apache-2.0
"""What the Node.js adapter costs: a proxy app with and without it in interleaved pairs, always_on, spans built and exported.

INTERSPAN_BENCH_PAIRS: pairs (10). INTERSPAN_TEST_NODE: the binary. The bar is stated, not enforced.
"""

import os
import pathlib
import statistics
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))

import bench_servers  # noqa: E402
import node  # noqa: E402
import programs  # noqa: E402


def cpu_seconds(program):
    fields = pathlib.Path(f"/proc/{program.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(program):
    """Requests a second, and requests a second of the program's own CPU time."""
    before = cpu_seconds(program)
    rate = bench_servers._wrk(program.port)
    return rate, rate * float(bench_servers.SECONDS) / max(cpu_seconds(program) - before, 0.01)


def start(workplace, upstream, environment):
    port = programs.free_port()
    return workplace.start([node.NODE, node.APPS / "proxy.js", "--port", port, "--upstream", upstream.port], port, environment)


def main():
    with programs.Workplace() as workplace:
        collector = programs.start_backend(workplace, "--delay-max", "0", "--body-max", "0")
        upstream = programs.start_backend(workplace, "--delay-max", "0", "--bodies", "length")
        settings = bench_servers._export_to(workplace, collector, OTEL_TRACES_SAMPLER="always_on")
        plain, under = start(workplace, upstream, None), start(workplace, upstream, settings)
        for program in (plain, under):
            measure(program)
        rates, costs = [], []
        for i in range(bench_servers.PAIRS):
            order = (plain, under) if i % 2 else (under, plain)
            got = {program: measure(program) for program in order}
            rates.append(got[under][0] / got[plain][0])
            costs.append(got[under][1] / got[plain][1])
        name = f"node {node.MAJOR} proxy app, always_on"
        bench_servers.report(f"{name}, throughput kept", f"{statistics.median(rates):.3f}", "of 1", ">= 0.85")
        bench_servers.report(f"{name}, requests per CPU second kept", f"{statistics.median(costs):.3f}", "of 1", "-")


if __name__ == "__main__":
    main()
