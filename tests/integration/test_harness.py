# SPDX-License-Identifier: Apache-2.0
"""The harness without the shim: every program must serve the load and return every truth id by itself."""

import pytest

import apps
import programs
import scenarios
import test_servers


def assert_served(load):
    assert (load["answered"], load["broken"], load["mismatched"], load["not_2xx"]) == (load["requests"], 0, 0, 0), load


@pytest.mark.parametrize("scenario", scenarios.SCENARIOS, ids=lambda s: s.name)
def test_scenario(scenario):
    result = scenarios.run(scenario, shim=False, requests=1000)
    assert_served(result.load)
    assert result.exit_status == 0, result.stderr


@pytest.mark.parametrize("app", apps.APPS, ids=lambda a: a.name)
def test_app(app):
    result = apps.run(app, shim=False, requests=500)
    assert_served(result.load)
    assert result.exit_status == 0, result.stderr


def test_load_generator_notices_a_wrong_answer(workplace):
    """A cache in between answers with other requests' ids: the load generator must say so."""
    backend = programs.start_backend(workplace)
    proxy = scenarios.BY_NAME["varnish-coalesce"].start(workplace, [backend], None)
    load = programs.run_load(proxy.port, 500)
    assert load["answered"] == 500 and load["mismatched"] > 0


def test_load_generator_counts_what_breaks(workplace):
    backend = programs.start_backend(workplace, "--fail-percent", "20")
    load = programs.run_load(backend.port, 500)
    assert load["broken"] > 0 and load["not_2xx"] > 0
    assert load["answered"] + load["broken"] == 500


@pytest.mark.parametrize("name", test_servers.PROXIES)
def test_two_plain_runs_look_the_same(name):
    """What the comparison with the shim rests on."""
    one, two = (test_servers.observe(test_servers.PROXIES[name], test_servers.CONVERSATIONS, False) for _ in range(2))
    assert one == two


@pytest.mark.parametrize("name", test_servers.PROXIES)
def test_two_plain_runs_answer_random_bytes_the_same(name):
    cases = test_servers.fuzz_cases(seed=name)[:300]
    one, two = (test_servers.answers_to(test_servers.PROXIES[name], cases, False)[0] for _ in range(2))
    assert [(c, a, b) for c, a, b in zip(cases, one, two) if a != b] == []
