# SPDX-License-Identifier: Apache-2.0
"""Hold recorded spans against the truth.

Every request of the load generator carries an id of its own in the header X-Truth, and every program under test copies
it to the requests that it causes. With INTERSPAN_CAPTURE_REQUEST_HEADERS=x-truth both spans then show the id, and who
the parent must be is known without asking the library under test.

A program that calls itself adds a suffix at each hop ("17-000123.s"): the parent of a client span is the server span
whose id is the client's, or the client's without its last suffix where there is such a server span.
"""

import collections
import dataclasses
import json

SERVER, CLIENT = 2, 3
TRUTH_ATTRIBUTE = "http.request.header.x-truth"
EVIDENCE_ATTRIBUTE = "interspan.parent.evidence"
# A resource attribute: spans that dead processes of other runs left may be drained into a file.
RUN_ATTRIBUTE = "test.run"
WARM_UP = 100
TRACE_ID_PREFIX = "%016x" % 0x10ADCE  # the load generator's


@dataclasses.dataclass
class Span:
    trace_id: str
    span_id: str
    parent_id: str
    kind: int
    name: str
    start: int
    end: int
    attributes: dict
    links: list
    status: int
    pid: int
    run: str = ""

    @property
    def truth(self):
        values = self.attributes.get(TRUTH_ATTRIBUTE) or [""]
        return values[0]

    @property
    def evidence(self):
        return self.attributes.get(EVIDENCE_ATTRIBUTE, "")


def _value(any_value):
    kind, value = next(iter(any_value.items()), (None, None))
    if kind == "arrayValue":
        return [_value(v) for v in value.get("values", [])]
    return int(value) if kind == "intValue" else value


def _attributes(items):
    return {item["key"]: _value(item["value"]) for item in items}


def _span(item, resource):
    return Span(
        trace_id=item["traceId"],
        span_id=item["spanId"],
        parent_id=item.get("parentSpanId", ""),
        kind=item["kind"],
        name=item.get("name", ""),
        start=int(item["startTimeUnixNano"]),
        end=int(item["endTimeUnixNano"]),
        attributes=_attributes(item.get("attributes", [])),
        links=[(link["traceId"], link["spanId"]) for link in item.get("links", [])],
        status=item.get("status", {}).get("code", 0),
        pid=resource.get("process.pid", 0),
        run=resource.get(RUN_ATTRIBUTE, ""),
    )


def parse_lines(text):
    """The spans of complete OTLP JSON lines."""
    spans = []
    for line in text.splitlines():
        for group in json.loads(line)["resourceSpans"]:
            resource = _attributes(group.get("resource", {}).get("attributes", []))
            for scope in group["scopeSpans"]:
                spans.extend(_span(item, resource) for item in scope["spans"])
    return spans


@dataclasses.dataclass
class Verdict:
    servers: int = 0
    clients: int = 0
    right: int = 0
    wrong: int = 0
    unknown: int = 0  # after the warm-up
    unknown_warm_up: int = 0
    detached: int = 0  # began after its request had ended: a root, or a link, that is no claim
    background: int = 0  # calls that no request caused: roots
    missing: int = 0  # spans that must be there (another one says so) and are not: nothing to judge by
    duplicates: int = 0  # server spans beyond the first for one request
    linked_elsewhere: int = 0  # unknown, with links, and the truth is not among them
    evidence: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    examples: list = dataclasses.field(default_factory=list)

    def add_wrong(self, why, span):
        self.wrong += 1
        if len(self.examples) < 10:
            self.examples.append(f"{why}: {span.name} truth={span.truth} evidence={span.evidence} pid={span.pid} "
                                 f"trace={span.trace_id} span={span.span_id} parent={span.parent_id}")

    @property
    def unknown_share(self):
        return self.unknown / self.clients if self.clients else 0.0

    def summary(self):
        evidence = ",".join(f"{name}={n}" for name, n in sorted(self.evidence.items()))
        return (f"right={self.right} wrong={self.wrong} unknown={self.unknown} warm-up={self.unknown_warm_up} "
                f"detached={self.detached} background={self.background} servers={self.servers} "
                f"clients={self.clients} missing={self.missing} duplicates={self.duplicates} [{evidence}]")


def expected_remote_parent(sequence, mode):
    """(trace id, parent id) that the load generator sent with its request, or None."""
    if mode == "none" or (mode == "mixed" and sequence % 2 == 1):
        return None
    number = 0 if mode == "shared" else sequence + 1
    return TRACE_ID_PREFIX + "%016x" % number, "%016x" % (number + 1)


def _judge_servers(servers, incoming, callers, verdict):
    """Server spans: of the load generator's requests, or of requests that the same program made (callers)."""
    for span in servers:
        made_here = callers.get(span.truth)
        if made_here:
            is_child = any(c.span_id == span.parent_id and c.trace_id == span.trace_id for c in made_here)
            if not is_child and (span.truth or span.parent_id):
                verdict.add_wrong("server span of an own call has another parent", span)
            continue
        sequence = int(span.truth.split("-")[1].split(".")[0]) if "-" in span.truth else -1
        expected = expected_remote_parent(sequence, incoming) if sequence >= 0 else None
        if expected and (span.trace_id, span.parent_id) != expected:
            verdict.add_wrong("server span does not continue the caller's trace", span)
        elif not expected and span.parent_id and "." in span.truth:
            verdict.missing += 1  # the own call that it names
        elif not expected and span.parent_id:
            verdict.add_wrong("server span has a parent that nobody sent", span)


def _expected_server(truth, by_truth):
    shorter = truth.rpartition(".")[0]
    if shorter in by_truth:
        return by_truth[shorter]
    return by_truth.get(truth)


def _judge_client(span, server, in_warm_up, verdict):
    if span.parent_id:
        if server and (span.trace_id, span.parent_id) == (server.trace_id, server.span_id):
            verdict.right += 1
        else:
            verdict.add_wrong("client span has another parent", span)
    elif span.attributes.get("interspan.detached"):
        verdict.detached += 1
    elif span.evidence != "ambiguous":
        verdict.add_wrong("client span claims to have no parent", span)
    else:
        if in_warm_up:
            verdict.unknown_warm_up += 1
        else:
            verdict.unknown += 1
        if span.links and server and (server.trace_id, server.span_id) not in span.links:
            verdict.linked_elsewhere += 1


def judge(spans, incoming="none", warm_up=WARM_UP):
    """Judge the spans of one program. incoming: the load generator's --traceparent."""
    verdict = Verdict()
    servers = sorted((s for s in spans if s.kind == SERVER), key=lambda s: s.start)
    clients = [s for s in spans if s.kind == CLIENT]
    verdict.servers, verdict.clients = len(servers), len(clients)
    by_truth = {}
    for span in servers:
        if not span.truth:
            continue
        verdict.duplicates += span.truth in by_truth
        by_truth.setdefault(span.truth, span)
    early = {s.truth for s in servers[:warm_up]}
    ids = {s.span_id for s in spans}
    # Own calls are known by their suffix, or have none, in the background: a program that only forwards makes none.
    callers = collections.defaultdict(list)
    for span in clients:
        if not span.truth or ("." in span.truth and span.truth in by_truth):
            callers[span.truth].append(span)
    _judge_servers(servers, incoming, callers, verdict)
    for span in clients:
        verdict.evidence[span.evidence] += 1
        if not span.truth:
            verdict.background += 1
            if span.parent_id:
                verdict.add_wrong("a call that no request caused has a parent", span)
            continue
        server = _expected_server(span.truth, by_truth)
        if server or span.parent_id in ids:
            _judge_client(span, server, bool(server) and server.truth in early, verdict)
        else:
            verdict.missing += 1
    return verdict


def judge_chain(callers, callees):
    """Wrong parents among the callees' server spans: each must be the child of a call with its truth, one of each."""
    calls = {(s.trace_id, s.span_id): s for s in callers if s.kind == CLIENT}
    taken, wrong = set(), []
    for span in callees:
        if span.kind != SERVER:
            continue
        key = (span.trace_id, span.parent_id)
        if key not in calls or key in taken or calls[key].truth != span.truth:
            wrong.append(span)
        taken.add(key)
    return wrong
