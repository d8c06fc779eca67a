# SPDX-License-Identifier: Apache-2.0
"""interspan tree: OTLP JSON lines in, trees out."""
import itertools
import json
import subprocess
import sys

import pytest
from conftest import ROOT

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
START = 1_700_000_000_000_000_000
numbers = itertools.count(1)


def attribute(key, value):
    kind = {bool: "boolValue", int: "intValue", float: "doubleValue", list: "arrayValue"}.get(type(value), "stringValue")
    if kind == "intValue":
        value = str(value)
    if kind == "arrayValue":
        value = {"values": [{"stringValue": item} for item in value]}
    return {"key": key, "value": {kind: value}}


def span(name, parent=None, trace=TRACE, kind=2, at=0, took=1_000_000, error=False, links=(), id=None, **attributes):
    made = {"traceId": trace, "spanId": id or f"{next(numbers):016x}", "name": name, "kind": kind,
            "startTimeUnixNano": str(START + at), "endTimeUnixNano": str(START + at + took),
            "attributes": [attribute(key.replace("__", "."), value) for key, value in attributes.items()],
            "status": {"code": 2} if error else {}, "flags": 257}
    if parent:
        made["parentSpanId"] = parent if isinstance(parent, str) else parent["spanId"]
    if links:
        made["links"] = [{"traceId": to["traceId"], "spanId": to["spanId"]} for to in links]
    return made


def event(name, at, **attributes):
    return {"name": name, "timeUnixNano": str(START + at),
            "attributes": [attribute(key.replace("__", "."), value) for key, value in attributes.items()]}


def line(service, *spans):
    return json.dumps({"resourceSpans": [{"resource": {"attributes": [attribute("service.name", service)]},
                                          "scopeSpans": [{"scope": {"name": "interspan"}, "spans": list(spans)}]}]}) + "\n"


@pytest.fixture
def tree(tmp_path):
    def call(*texts, options=(), stdin=None, encoding="utf-8"):
        paths = []
        for i, text in enumerate(texts):
            paths.append(tmp_path / f"{i}.jsonl")
            paths[-1].write_text(text)
        return subprocess.run([sys.executable, ROOT / "scripts/interspan-tree", *options, *(paths or ["-"])], text=True,
                              input=stdin, capture_output=True, timeout=120, encoding="utf-8",
                              env={"PYTHONIOENCODING": encoding, "TZ": "UTC"})

    return call


def test_a_trace_over_several_files_is_one_tree(tree):
    client = span("GET", kind=3, took=5_000_000, interspan__parent__evidence="root", http__response__status_code=200,
                  server__address="127.0.0.1", server__port=8080)
    server = span("GET /a", client, at=1_000, took=4_000_000, interspan__parent__evidence="remote", http__response__status_code=200,
                  client__address="::1", client__port=999)
    call = span("GET", server, kind=3, at=2_000_000, took=1_500, interspan__parent__evidence="stamp")
    late = span("log", server, kind=1, at=3_000_000, took=999)
    result = tree(line("front", late, server, call), line("curl", client))
    assert result.stdout == f"""\
trace {TRACE}  4 spans  5 ms  2023-11-14 22:13:20.000
  curl: GET         client      5 ms  +0 ns  200  root    127.0.0.1:8080
  └─ front: GET /a  server      4 ms  +1 us  200  remote  [::1]:999
     ├─ front: GET  client    1.5 us  +2 ms  -    stamp
     └─ front: log  internal  999 ns  +3 ms  -    -

1 traces, 4 spans: 3 with their parent here, 1 roots, 0 ambiguous, 0 with a parent that is not in this file, 0 errors
"""
    assert result.returncode == 0


def test_the_path_is_shown_where_the_name_is_the_method_alone(tree):
    client = span("GET", kind=3, url__full="http://h:1/a/b?secret=1#f")
    out = tree(line("s", client, span("POST", client, url__path="/c"), span("GET /route/{id}", client, url__path="/route/7"))).stdout
    assert "s: GET /a/b " in out and "s: POST /c " in out and "s: GET /route/{id} " in out


def test_orphans_are_flagged(tree):
    out = tree(line("s", span("GET", "00000000000000aa", interspan__parent__evidence="remote"))).stdout
    assert "remote (parent not in this file)" in out
    assert "0 with their parent here, 0 roots" in out
    assert "1 with a parent that is not in this file" in out


def test_the_same_span_id_in_another_trace_is_no_parent(tree):
    parent = span("GET", trace="a" * 32)
    assert "1 with a parent that is not in this file" in tree(line("s", parent, span("GET", parent))).stdout


def test_links_are_named(tree):
    candidate = span("GET /x", trace="c" * 32)
    elsewhere = span("GET /y", trace="d" * 32)
    unknown = span("GET", kind=3, links=[candidate, elsewhere], interspan__parent__evidence="ambiguous")
    out = tree(line("proxy", candidate, unknown)).stdout
    assert f"link to {'c' * 32}/{candidate['spanId']} (proxy: GET /x)" in out
    assert f"link to {'d' * 32}/{elsewhere['spanId']} (not in this file)" in out
    assert "1 roots, 1 ambiguous" in out


def test_errors_are_shown_and_selected(tree):
    text = line("s", span("good", trace="a" * 32), span("bad", trace="b" * 32, error=True, error__type="cancelled"),
                span("worse", trace="c" * 32, error=True, error__type="500", http__response__status_code=500))
    out = tree(text, options=["--errors"]).stdout
    assert "good" not in out
    assert "ERROR cancelled" in out
    assert "500 ERROR" in out and "500 ERROR 500" not in out
    assert "2 errors" in out


def test_selection_by_trace_service_and_number(tree):
    text = line("one", span("first", trace="a1" * 16, at=1), span("second", trace="a2" * 16, at=2)) + line("two", span("third", trace="b1" * 16, at=3))
    assert tree(text, options=["--trace", "A2"]).stdout.count("trace a2") == 1
    out = tree(text, options=["--limit", "1"]).stdout
    assert "first" in out and "second" not in out and "(2 more traces not shown)" in out and "3 traces, 3 spans" in out
    assert "third" in tree(text, options=["--service", "two"]).stdout
    assert "first" not in tree(text, options=["--service", "two"]).stdout
    assert tree(text, options=["--summary"]).stdout.startswith("3 traces, 3 spans")


def test_selection_by_resource(tree):
    out = tree(line("one", span("first")) + line("two", span("second")), options=["--resource", "service.name=two"]).stdout
    assert "second" in out and "first" not in out and "1 traces, 1 spans" in out


def test_json_is_flat_and_in_the_order_of_the_tree(tree):
    root = span("a", at=0)
    child = span("b", root, at=5, kind=3, server__address="h", error=True, error__type="x", tags=["p", "q"], flag=True, ratio=0.5)
    out = tree(line("s", child, root, span("c", root, at=9)), options=["--json"]).stdout
    trace = json.loads(out)
    assert trace["trace_id"] == TRACE
    assert [(s["name"], s["depth"], s["offset_ns"]) for s in trace["spans"]] == [("a", 0, 0), ("b", 1, 5), ("c", 1, 9)]
    assert trace["spans"][1]["parent_span_id"] == root["spanId"]
    assert trace["spans"][1]["attributes"] == {"server.address": "h", "error.type": "x", "tags": ["p", "q"], "flag": True, "ratio": 0.5}


@pytest.mark.parametrize("text, problem", [
    ('{"resourceSpans": [{', "the line is cut off"),
    ("rubbish {} rubbish\n", "not JSON"),
    ("[1]\n", "not OTLP: it has no resourceSpans"),
    ('{"resourceMetrics": []}\n', "it holds resourceMetrics"),
    ('{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "a"}]}]}]}\n', "it has no 'spanId'"),
    ('{"resourceSpans": [7]}\n', "does not hold together"),
    ('{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "a", "spanId": "b", "startTimeUnixNano": "x"}]}]}]}\n', "invalid literal"),
])
def test_a_bad_line_is_told_with_its_place_and_skipped(tree, text, problem):
    result = tree(line("s", span("kept")) + text)
    assert result.returncode == 1
    assert "0.jsonl:2: " in result.stderr and problem in result.stderr
    assert "kept" in result.stdout and "1 lines skipped" in result.stdout


def test_blank_lines_are_nothing(tree):
    result = tree("\n" + line("s", span("a")) + "\n\n")
    assert (result.returncode, result.stderr) == (0, "")


def test_a_missing_file_is_said(tree):
    result = tree(options=["/nowhere/x.jsonl"], stdin="")
    assert result.returncode == 1
    assert result.stderr == ("interspan tree: /nowhere/x.jsonl: No such file or directory. "
                             "Name files that interspan run --file has written\n")


def test_standard_input(tree):
    assert "kept" in tree(stdin=line("s", span("kept"))).stdout


def test_a_span_that_was_delivered_twice_is_shown_once(tree):
    twice = line("s", span("GET"))
    assert "1 spans" in tree(twice, twice).stdout
    assert "1 delivered twice (shown once)" in tree(twice, twice).stdout


def test_parents_in_a_loop_and_own_parents_end(tree):
    spans = [span("a", "00000000000000b2", id="00000000000000a2"), span("b", "00000000000000a2", id="00000000000000b2"),
             span("below", "00000000000000b2"), span("self", "00000000000000c2", id="00000000000000c2")]
    out = tree(line("s", *spans)).stdout
    assert [out.count(f"s: {name} ") for name in ("a", "b", "below", "self")] == [1, 1, 1, 1]
    assert "parents form a loop" in out and "its own parent" in out


def test_a_very_deep_trace_is_printed(tree):
    spans = [span("n0")]
    for i in range(1, 20000):
        spans.append(span(f"n{i}", spans[-1], at=i))
    out = tree(line("s", *spans)).stdout
    assert "(19999) └─ s: n19999 " in out
    assert "20000 spans: 19999 with their parent here, 1 roots" in out


def test_names_cannot_move_the_cursor(tree):
    out = tree(line("s\x1b[2J", span("GET \r\n\u202e", error=True, error__type="\x07"))).stdout
    assert "\x1b" not in out and "\r" not in out and "\u202e" not in out and "\x07" not in out
    assert "s\\x1b[2J: GET \\x0d\\x0a\\x202e" in out


def test_ascii_where_the_terminal_knows_no_more(tree):
    root = span("a")
    out = tree(line("s", root, span("b", root, at=1), span("c", root, at=2)), encoding="ascii").stdout
    assert "|- s: b" in out and "`- s: c" in out


def test_a_closed_pipe_is_no_error(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text("".join(line("s", span("GET", trace=f"{i:032x}")) for i in range(5000)))
    result = subprocess.run(f"{sys.executable} {ROOT}/scripts/interspan-tree {path} | head -n 1", shell=True, text=True, capture_output=True)
    assert result.stderr == ""


STACK = """clock_nanosleep+0x65 (/usr/lib/x86_64-linux-gnu/libc.so.6+0xcf545) build-id 93ac
reads_a_file+0x6a (/srv/app+0x199a) build-id 51b2
handles+0x85 (/srv/app+0x1c25)
0x7fcdce28b24a"""


def test_stalls_stand_below_the_spans_that_they_befell(tree):
    culprit = span("GET /slow", took=400_000_000)
    culprit["events"] = [event("event_loop.stall", 50_000_000, event_loop__stall__duration=0.3, code__stacktrace=STACK)]
    victim = span("GET /quick", trace="1" * 32)
    victim["events"] = [event("event_loop.blocked", 0, event_loop__stall__duration=0.3, event_loop__blocker__trace_id=TRACE,
                              event_loop__blocker__span_id=culprit["spanId"]),
                        event("event_loop.blocked", 0, event_loop__blocker__trace_id=TRACE, event_loop__blocker__span_id="2" * 16)]
    text = tree(line("shop", culprit, victim))
    assert text.returncode == 0
    assert "      event_loop.stall +50 ms for 300 ms in reads_a_file < handles < 0x7fcdce28b24a\n" in text.stdout
    assert f"      event_loop.blocked +0 ns for 300 ms by {TRACE}/{culprit['spanId']} (shop: GET /slow)\n" in text.stdout
    assert f"by {TRACE}/{'2' * 16} (not in this file)\n" in text.stdout
    found = json.loads(tree(line("shop", culprit), options=["--json"]).stdout)
    assert found["spans"][0]["events"][0]["name"] == "event_loop.stall"
    assert found["spans"][0]["events"][0]["offset_ns"] == 50_000_000


def test_python_stacks_are_read_from_their_end(tree):
    culprit = span("GET /slow")
    culprit["events"] = [event("event_loop.stall", 0, code__stacktrace='File "/srv/a.py", line 3, in <module>\nFile "/srv/a.py", line 9, '
                               'in Shop.reads\nFile "/srv/b.py", line 7, in nap')]
    assert "event_loop.stall +0 ns in nap < Shop.reads < <module>\n" in tree(line("shop", culprit)).stdout


def test_odd_events_are_printed_all_the_same(tree):
    odd = span("GET /")
    odd["events"] = [{}, event("e\x1b[2J", 5, event_loop__stall__duration="long", code__stacktrace=7)]
    text = tree(line("shop", odd))
    assert text.returncode == 0
    assert "\x1b" not in text.stdout
    assert "e\\x1b[2J +5 ns" in text.stdout
