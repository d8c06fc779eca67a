# SPDX-License-Identifier: Apache-2.0
"""The whole proxy matrix as a table: wrong, unknown (after the first 100 requests) and evidence, by configuration.

Usage: exactness_table.py [NAME...]. INTERSPAN_TEST_REQUESTS sets the requests of each run. Exit status 1 when a parent
was wrong, decided by equal content, or unknown where it must be known.
"""

import sys

import scenarios

ROW = "{:24} {:9} {:6} {:>8} {:>6} {:>8} {:>8} {:>5}  {}"


def _runs(scenario):
    yield "same", "auto", scenarios.run(scenario)
    yield "distinct", "auto", scenarios.run(scenario, distinct=True)
    yield "same", "off", scenarios.run(scenario, INTERSPAN_STAMP="off")
    yield "distinct", "off", scenarios.run(scenario, distinct=True, INTERSPAN_STAMP="off")


def _is_bad(scenario, stamp, result):
    verdict, load = result.verdict, result.load
    if verdict.wrong or verdict.evidence["content"] or verdict.servers != load["requests"] or verdict.duplicates:
        return True
    if load["answered"] != load["requests"] or load["mismatched"] or load["not_2xx"]:
        return True
    if stamp == "auto":
        return verdict.unknown > 0 and not scenario.fills
    return verdict.unknown_share >= 0.01 and not scenario.hidden_work


def main(names):
    bad = 0
    print(ROW.format("configuration", "targets", "stamp", "right", "wrong", "unknown", "warm-up", "bg", "evidence"))
    for scenario in scenarios.SCENARIOS:
        if names and scenario.name not in names:
            continue
        for targets, stamp, result in _runs(scenario):
            v = result.verdict
            fails = _is_bad(scenario, stamp, result)
            bad += fails
            evidence = " ".join(f"{k}={n}" for k, n in sorted(v.evidence.items()))
            print(ROW.format(scenario.name, targets, stamp, v.right, v.wrong, v.unknown, v.unknown_warm_up, v.background,
                             evidence + ("  FAILS" if fails else "")), flush=True)
            if fails:
                print("   ", v.summary(), result.load, *v.examples[:3], sep="\n    ", flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
