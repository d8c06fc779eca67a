# SPDX-License-Identifier: Apache-2.0
"""The library's own accounts, as interspan-agent stat --json tells them."""

import json
import subprocess

import programs


def all_segments(user=None):
    argv = ["setpriv", "--reuid", user, "--clear-groups"] if user else []
    done = subprocess.run([*argv, str(programs.AGENT), "stat", "--json"], capture_output=True, text=True, check=True,
                          env=programs.clean_environment())
    return json.loads(done.stdout)["segments"]


def segments(program, user=None):
    """The segments that the program's processes write to: ours, and those of the user it changes to."""
    members = set(programs.session_members(program.pid))
    found = all_segments(None) + (all_segments(user) if user else [])
    return [s for s in found if members & {p["pid"] for p in s["processes"]}]


def settled(program, user=None):
    """The counters, summed over the segments, once nothing is open or queued; raises when the accounts never add up."""
    def quiet():
        now = segments(program, user)
        if now and all(s["adds_up"] and s["open"] == 0 and s["queued"] == 0 for s in now):
            return now
        return None
    try:
        now = programs.wait_until(quiet, "the accounts to add up", 30)
    except TimeoutError:
        raise AssertionError(f"the accounts do not add up: {segments(program, user)}") from None
    totals = {}
    for segment in now:
        for name, value in segment["counters"].items():
            totals[name] = totals.get(name, 0) + value
    check_identity(totals)
    return totals


def dropped(totals):
    return {name: n for name, n in totals.items() if name.startswith("dropped.") and n}


def check_identity(totals):
    """shim/stats.def: nothing open, nothing queued, and every span accounted for."""
    at_consumer = ("dropped.rejected", "dropped.invalid", "dropped.exporter_none")
    by_writer = sum(n for name, n in dropped(totals).items() if name not in at_consumer)
    by_consumer = sum(totals[name] for name in at_consumer)
    assert totals["started"] == totals["sampled_out"] + totals["written"] + by_writer, totals
    assert totals["written"] == totals["exported"] + by_consumer, totals
