# SPDX-License-Identifier: Apache-2.0
"""The whole proxy matrix as a table: wrong, unknown (after the first 100 requests) and evidence, by configuration.

Usage: exactness_table.py [NAME...]. INTERSPAN_TEST_REQUESTS sets the requests of each run. Exit status 1 when a parent
was wrong, decided by equal content, or unknown where it must be known.
"""

import sys

import scenarios

ROW = "{:24} {:9} {:6} {:>8} {:>6} {:>8} {:>8} {:>5}  {}"


RUNS = [("same", "auto"), ("distinct", "auto"), ("same", "off"), ("distinct", "off")]


def _is_bad(scenario, stamp, result):
    verdict, load = result.verdict, result.load
    if verdict.wrong or verdict.evidence["content"] or verdict.servers != load["requests"] or verdict.duplicates:
        return True
    if load["answered"] != load["requests"] or load["mismatched"] or load["not_2xx"]:
        return True
    if stamp == "auto":
        return verdict.unknown > 0 and not scenario.fills
    return verdict.unknown_share >= 0.01 and not scenario.hidden_work


def _print_run(scenario, targets, stamp):
    """Run one configuration and print its row. True when it meets the bar."""
    try:
        result = scenarios.run(scenario, distinct=targets == "distinct", INTERSPAN_STAMP=stamp)
    except (RuntimeError, TimeoutError) as error:
        print(f"{scenario.name:24} {targets:9} {stamp:6} FAILS: {error}", flush=True)
        return False
    verdict, fails = result.verdict, _is_bad(scenario, stamp, result)
    evidence = " ".join(f"{name}={n}" for name, n in sorted(verdict.evidence.items()))
    print(ROW.format(scenario.name, targets, stamp, verdict.right, verdict.wrong, verdict.unknown,
                     verdict.unknown_warm_up, verdict.background, evidence + ("  FAILS" if fails else "")), flush=True)
    if fails:
        print("   ", verdict.summary(), result.load, *verdict.examples[:3], sep="\n    ", flush=True)
    return not fails


def main(names):
    print(ROW.format("configuration", "targets", "stamp", "right", "wrong", "unknown", "warm-up", "bg", "evidence"))
    chosen = [s for s in scenarios.SCENARIOS if not names or s.name in names]
    good = [_print_run(scenario, *run) for scenario in chosen for run in RUNS]
    return 0 if good and all(good) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
