# SPDX-License-Identifier: Apache-2.0
"""Other interpreters and newer packages than Debian's: whatever of python3.8 to python3.14 is on this machine (in the PATH, or in
INTERSPAN_TEST_PYTHONS, separated by colons), with what PyPI has for it."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

import programs
import python_apps
from python_apps import App
from test_python import check_served

VERSIONS = [f"3.{minor}" for minor in range(8, 15)]
PACKAGES = ["aiohttp", "fastapi", "h11", "httptools", "uvicorn", "uvloop"]
APPS = [
    App("streams", "streams_gather.py"),
    App("aiohttp", "aiohttp_gather.py"),
    App("aiohttp-uvloop", "aiohttp_gather.py", ("uvloop",)),
    App("fastapi-asyncio-h11", "fastapi_gather.py", ("asyncio", "h11")),
    App("fastapi-uvloop-httptools", "fastapi_gather.py", ("uvloop", "httptools")),
]


def _version_of(python):
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _find(version):
    places = [p for p in os.environ.get("INTERSPAN_TEST_PYTHONS", "").split(":") if p]
    for python in [*places, shutil.which(f"python{version}"), *map(str, pathlib.Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))]:
        if python and _version_of(python) == version:
            return python
    return None


@pytest.fixture(scope="session", name="interpreters")
def _interpreters(tmp_path_factory):
    """{version: an interpreter with the packages, or why there is none}, made when first asked for."""
    made = {}

    def get(version, needs_packages):
        python = _find(version)
        if not python:
            pytest.skip(f"no python{version} on this machine")
        if not needs_packages:
            return python
        if version not in made:
            place = tmp_path_factory.mktemp(f"python{version}")
            made[version] = place / "bin" / "python"
            for argv in ([python, "-m", "venv", place], [made[version], "-m", "pip", "install", "-q", *PACKAGES]):
                done = subprocess.run(argv, capture_output=True, text=True, check=False)
                if done.returncode != 0:
                    made[version] = None
                    break
        if made[version] is None:
            pytest.skip(f"python{version}: {' '.join(PACKAGES)} cannot be installed from PyPI here")
        return made[version]
    return get


@pytest.mark.parametrize("app", APPS, ids=lambda app: app.name)
@pytest.mark.parametrize("version", VERSIONS)
def test_exact(version, app, interpreters):
    python = interpreters(version, app.name != "streams")
    requests = programs.REQUESTS // 5
    result = python_apps.run(app, requests=requests, python=python)
    check_served(result, requests)
    verdict = result.verdict
    assert verdict.wrong == 0 and verdict.unknown == 0 and verdict.unknown_warm_up == 0, \
        "\n".join([verdict.summary(), *verdict.examples])
    assert verdict.right == 3 * requests and verdict.evidence == {"runtime": 3 * requests}, verdict.summary()


# ---- CPython's own tests ----

SUITE = ["test_asyncio", "test_context", "test_threading", "test_concurrent_futures", "test_socket", "test_ssl",
         "test_subprocess"]


def _outcome(name, workplace, shim):
    """How the tests of one file ended: the line that counts them, and those that failed."""
    environment = programs.shim_environment(workplace, workplace.file(f"{name}.jsonl")) if shim else {}
    # No other resources than the default, so nothing is asked of the network; VSOCK hangs where the machine has none of it.
    argv = [python_apps.PYTHON, "-m", "test", "-v", "--timeout", "900", "-i", "*VSOCK*", name]
    done = subprocess.run(argv, env=programs.clean_environment() | environment, capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, cwd=workplace.path, check=False)
    lines = done.stdout.splitlines()
    ran = [line.split(" in ")[0] for line in lines if line.startswith("Ran ")]
    failed = sorted(line for line in lines if line.startswith(("FAIL: ", "ERROR: ")))
    return done.returncode, ran, failed


@pytest.mark.parametrize("name", SUITE)
def test_cpythons_own_tests(name, workplace):
    probe = subprocess.run([python_apps.PYTHON, "-c", f"import test.{name}"], capture_output=True, check=False)
    if probe.returncode != 0:
        pytest.skip(f"{python_apps.PYTHON} has no {name} (libpython3.11-testsuite)")
    without, under = _outcome(name, workplace, False), _outcome(name, workplace, True)
    if without != under:  # some of them are flaky: once more, both ways
        print(f"differs, once more: {without} {under}", file=sys.stderr)
        without, under = _outcome(name, workplace, False), _outcome(name, workplace, True)
    assert under == without
    assert under[1], "no test ran"
