# SPDX-License-Identifier: Apache-2.0
"""The checker itself: a check that cannot fail would prove nothing."""

import itertools
import json

import pytest

import programs
import truth
from truth import CLIENT, SERVER

_ids = itertools.count(1)


def span(kind, truth_id, parent=None, evidence="root", links=(), detached=False, start=None):
    number = next(_ids)
    attributes = {truth.EVIDENCE_ATTRIBUTE: evidence}
    if truth_id:
        attributes[truth.TRUTH_ATTRIBUTE] = [truth_id]
    if detached:
        attributes["interspan.detached"] = True
    return truth.Span(
        trace_id=parent.trace_id if parent else "%032x" % number, span_id="%016x" % number,
        parent_id=parent.span_id if parent else "", kind=kind, name="GET", start=start or number, end=number + 1,
        attributes=attributes, links=[(s.trace_id, s.span_id) for s in links], status=0, pid=1)


def server(truth_id, **more):
    return span(SERVER, truth_id, **more)


def client(truth_id, parent=None, evidence="stamp", **more):
    return span(CLIENT, truth_id, parent=parent, evidence=evidence, **more)


def test_right():
    a, b = server("0-000000"), server("1-000001")
    verdict = truth.judge([client("1-000001", b), a, client("0-000000", a), b])
    assert (verdict.right, verdict.wrong, verdict.unknown, verdict.clients) == (2, 0, 0, 2)
    assert verdict.evidence == {"stamp": 2}


def test_parents_swapped():
    a, b = server("0-000000"), server("1-000001")
    verdict = truth.judge([a, b, client("0-000000", b), client("1-000001", a)])
    assert (verdict.right, verdict.wrong) == (0, 2)
    assert "truth=0-000000" in verdict.examples[0]


def test_right_span_id_in_another_trace():
    a = server("0-000000")
    call = client("0-000000", a)
    call.trace_id = "f" * 32
    assert truth.judge([a, call]).wrong == 1


def test_the_callers_parent_is_not_the_server_span():
    remote = server("")
    a = server("0-000000", parent=remote)
    assert truth.judge([a, client("0-000000", remote)]).wrong >= 1


def test_root_without_saying_so_is_wrong():
    a = server("0-000000")
    verdict = truth.judge([a, client("0-000000", evidence="root")])
    assert (verdict.wrong, verdict.unknown) == (1, 0)


def test_detached_is_neither():
    a = server("0-000000")
    verdict = truth.judge([a, client("0-000000", evidence="root", detached=True, links=[a])])
    assert (verdict.wrong, verdict.unknown, verdict.detached) == (0, 0, 1)


def test_unknown_and_warm_up():
    early, late = server("0-000000", start=1), server("1-000001", start=2)
    spans = [early, late, client("0-000000", evidence="ambiguous", links=[early]),
             client("1-000001", evidence="ambiguous", links=[early])]
    verdict = truth.judge(spans, warm_up=1)
    assert (verdict.unknown, verdict.unknown_warm_up, verdict.wrong) == (1, 1, 0)
    assert verdict.linked_elsewhere == 1


def test_background_calls_are_roots():
    a = server("0-000000")
    verdict = truth.judge([a, client("", evidence="root")])
    assert (verdict.background, verdict.wrong) == (1, 0)
    assert truth.judge([a, client("", a, evidence="stimulus")]).wrong == 1


def test_a_program_may_call_itself_in_the_background():
    a, call = server("0-000000"), client("", evidence="root")
    inner, alone, wrong = server(""), server(""), server("")
    inner.trace_id, inner.parent_id = call.trace_id, call.span_id
    wrong.trace_id, wrong.parent_id = a.trace_id, a.span_id
    verdict = truth.judge([a, client("0-000000", a), call, inner, alone])
    assert (verdict.right, verdict.background, verdict.wrong, verdict.duplicates) == (1, 1, 0, 0)
    assert truth.judge([a, call, wrong]).wrong == 1


def test_retries_are_several_children():
    a = server("0-000000")
    assert truth.judge([a, client("0-000000", a), client("0-000000", a)]).right == 2


def test_missing_and_duplicate_server_spans():
    a = server("0-000000")
    verdict = truth.judge([client("7-000007", server("7-000007"))])
    assert (verdict.wrong, verdict.missing, verdict.right) == (0, 1, 0)
    verdict = truth.judge([a, client("7-000007", a)])  # whatever its own was, this one is another's
    assert (verdict.wrong, verdict.missing) == (1, 0)
    assert truth.judge([a, server("0-000000")]).duplicates == 1


@pytest.mark.parametrize("mode,sequence,good", [("none", 3, None), ("mixed", 3, None), ("mixed", 4, 5), ("all", 3, 4),
                                               ("shared", 3, 0)])
def test_incoming_context(mode, sequence, good):
    span_ = server("0-%06d" % sequence)
    if good is not None:
        span_.trace_id, span_.parent_id = truth.TRACE_ID_PREFIX + "%016x" % good, "%016x" % (good + 1)
    assert truth.judge([span_], incoming=mode).wrong == 0
    span_.parent_id = "%016x" % 999
    assert truth.judge([span_], incoming=mode).wrong == 1


def test_self_calls():
    outer = server("0-000000")
    call = client("0-000000.s", outer)
    inner = server("0-000000.s", parent=call)
    assert truth.judge([outer, call, inner, client("0-000000.s.b", inner)]).right == 2
    lost = server("0-000000.s")
    assert truth.judge([outer, call, lost]).wrong == 1
    verdict = truth.judge([outer, inner])
    assert (verdict.wrong, verdict.missing) == (0, 1)
    assert truth.judge([outer, call, inner, client("0-000000.s.b", outer)]).wrong == 1


def test_chain():
    a, b = server("0-000000"), server("1-000001")
    calls = [client("0-000000", a), client("1-000001", b)]
    good = [server("0-000000", parent=calls[0]), server("1-000001", parent=calls[1])]
    assert truth.judge_chain(calls, good) == []
    swapped = [server("0-000000", parent=calls[1]), server("1-000001", parent=calls[0])]
    assert truth.judge_chain(calls, swapped) == swapped
    twice = [good[0], server("0-000000", parent=calls[0])]
    assert truth.judge_chain(calls, twice) == [twice[1]]
    orphan = server("0-000000")
    assert truth.judge_chain(calls, [orphan]) == [orphan]


def line(**resource):
    item = {"traceId": "1" * 32, "spanId": "2" * 16, "parentSpanId": "3" * 16, "kind": 3, "name": "GET",
            "startTimeUnixNano": "5", "endTimeUnixNano": "9", "links": [{"traceId": "4" * 32, "spanId": "5" * 16}],
            "attributes": [{"key": truth.TRUTH_ATTRIBUTE,
                            "value": {"arrayValue": {"values": [{"stringValue": "a-1"}]}}},
                           {"key": truth.EVIDENCE_ATTRIBUTE, "value": {"stringValue": "stamp"}}]}
    attributes = [{"key": "process.pid", "value": {"intValue": "42"}}]
    attributes += [{"key": key, "value": {"stringValue": value}} for key, value in resource.items()]
    return json.dumps({"resourceSpans": [{"resource": {"attributes": attributes}, "scopeSpans": [{"spans": [item]}]}]})


def test_reading(workplace):
    path = workplace.file("spans.jsonl", line(**{truth.RUN_ATTRIBUTE: workplace.run}) + "\n")
    file = programs.SpanFile(path, workplace.run)
    (read,) = file.refresh()
    assert (read.truth, read.evidence, read.pid, read.start, read.kind) == ("a-1", "stamp", 42, 5, CLIENT)
    assert read.links == [("4" * 32, "5" * 16)]


def test_spans_of_other_runs_and_half_lines_are_left_out(workplace):
    mine, other = line(**{truth.RUN_ATTRIBUTE: workplace.run}), line(**{truth.RUN_ATTRIBUTE: "other"})
    path = workplace.file("spans.jsonl", f"{other}\n{line()}\n{mine[:60]}")
    file = programs.SpanFile(path, workplace.run)
    assert file.refresh() == []
    with open(path, "a", encoding="utf-8") as out:
        out.write(mine[60:] + "\n")
    assert len(file.refresh()) == 1
