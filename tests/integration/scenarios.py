# SPDX-License-Identifier: Apache-2.0
"""The proxy matrix: each entry is one way in which a real proxy can lose track of which request it works for."""

import dataclasses
import typing

import programs
import servers
import truth


@dataclasses.dataclass(frozen=True)
class Scenario:
    name: str
    start: typing.Callable  # (workplace, backends, environment) -> Program
    backends: tuple = ((),)  # options of each backend
    load: tuple = ()  # options of the load generator
    # Without stamps the state that the rules consult cannot be complete: requests are parked, or handed to another
    # thread as objects. Unknown is the right answer then.
    hidden_work: bool = False
    fills: bool = False  # answers come from a cache: fewer calls than requests, and a call may outlive its request
    background: bool = False  # the program makes calls of its own


def _nginx(**options):
    return lambda w, b, e: servers.nginx(w, b, e, **options)


def _haproxy(**options):
    return lambda w, b, e: servers.haproxy(w, b, e, **options)


_FAILING = (("--fail-percent", "30"), ())
_CACHE = dict(http="proxy_cache_path cache levels=1 keys_zone=c:1m;",
              location="proxy_cache c; proxy_cache_valid 200 1s; proxy_cache_lock on;"
              " proxy_cache_use_stale updating; proxy_cache_background_update on;")
_CHECKS = dict(server="check inter 10ms fall 1000000", backend="option httpchk GET /health")

SCENARIOS = [
    Scenario("nginx-1-keepalive", _nginx()),
    Scenario("nginx-2-keepalive", _nginx(workers=2)),
    Scenario("nginx-1-fresh", _nginx(keepalive=False)),
    Scenario("nginx-2-fresh", _nginx(workers=2, keepalive=False)),
    Scenario("nginx-limit-req", _nginx(http="limit_req_zone $server_name zone=z:1m rate=2000r/s;",
                                       location="limit_req zone=z burst=1000;"), hidden_work=True),
    Scenario("nginx-next-upstream",
             _nginx(location="proxy_next_upstream error timeout http_503 non_idempotent;"),
             backends=_FAILING, hidden_work=True),
    Scenario("nginx-rewrite", _nginx(location="rewrite ^/(.*)$ /rewritten/$1 break;")),
    Scenario("nginx-cache-fill", _nginx(**_CACHE), load=("--no-echo",), fills=True, hidden_work=True),
    Scenario("haproxy-1", _haproxy()),
    # Without stamps: a connection may be handed to the other thread, and a request that is may look parked for long.
    Scenario("haproxy-2", _haproxy(threads=2), hidden_work=True),
    Scenario("haproxy-1-queue", _haproxy(server="maxconn 40"), hidden_work=True),
    Scenario("haproxy-2-queue", _haproxy(threads=2, server="maxconn 40"), hidden_work=True),
    # A check every 10 ms: without stamps, what runs near the time of a timer cannot be told from it.
    Scenario("haproxy-1-checks", _haproxy(**_CHECKS), background=True, hidden_work=True),
    Scenario("haproxy-2-checks", _haproxy(threads=2, **_CHECKS), background=True, hidden_work=True),
    Scenario("haproxy-1-reuse-always", _haproxy(backend="http-reuse always")),
    Scenario("lighttpd", servers.lighttpd),
    Scenario("apache-event", servers.apache),
    Scenario("varnish-pass", servers.varnish, hidden_work=True),
    Scenario("varnish-coalesce",
             lambda w, b, e: servers.varnish(w, b, e, recv="return (hash);",
                                             response="set beresp.ttl = 0.05s; set beresp.grace = 0s;"),
             load=("--no-echo",), fills=True, hidden_work=True),
]
BY_NAME = {s.name: s for s in SCENARIOS}


@dataclasses.dataclass
class Result:
    load: dict
    verdict: truth.Verdict = None
    spans: list = None
    backend_spans: list = None
    exit_status: int = None
    stderr: str = ""


def run(scenario, *, shim=True, requests=None, distinct=False, incoming="none", trace_backends=False, **settings):
    """Start the backends and the proxy, run the load, stop the proxy, judge. settings: environment of the proxy."""
    requests = requests or programs.REQUESTS
    with programs.Workplace() as workplace:
        backend_file = workplace.file("backend.jsonl")
        backend_environment = programs.shim_environment(workplace, backend_file) if trace_backends else None
        backends = [programs.start_backend(workplace, *options, environment=backend_environment)
                    for options in scenario.backends]
        spans_file = workplace.file("spans.jsonl")
        environment = programs.shim_environment(workplace, spans_file, **settings) if shim else None
        proxy = scenario.start(workplace, backends, environment)
        load = programs.run_load(proxy.port, requests, programs.CONNECTIONS, "--traceparent", incoming, *scenario.load,
                                 *(["--distinct"] if distinct else []))
        result = Result(load)
        if shim:
            spans = programs.SpanFile(spans_file, workplace.run)
            spans.wait_for(truth.SERVER, requests, deadline_s=10)
        result.exit_status = proxy.stop()
        result.stderr = proxy.stderr
        for backend in backends:
            backend.stop()
        if shim:
            result.spans = spans.refresh()
            result.verdict = truth.judge(result.spans, incoming=incoming)
        if trace_backends:
            result.backend_spans = programs.SpanFile(backend_file, workplace.run).refresh()
        return result
