# SPDX-License-Identifier: Apache-2.0
"""Work that is handed to coroutines, threads and callbacks, judged against the truth."""

import pytest

import apps
from programs import REQUESTS
from test_apps import check

COROUTINES = [
    apps.App(f"{switch}{'-reuse' if reuse else ''}", f"coroutines_{switch}", ("--reuse",) if reuse else (),
             connections=64)
    for switch in ("ucontext", "switch", "boost") for reuse in (False, True)
]


@pytest.mark.parametrize("stamp", ["auto", "off"])
@pytest.mark.parametrize("app", COROUTINES, ids=lambda a: a.name)
def test_coroutines(app, stamp):
    requests = REQUESTS // 3
    result = apps.run(app, requests=requests, INTERSPAN_STAMP=stamp)
    check(app, result, requests)
    assert result.verdict.evidence["work_item"] > requests, result.verdict.summary()
