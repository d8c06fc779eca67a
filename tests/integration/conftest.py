# SPDX-License-Identifier: Apache-2.0
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import programs  # noqa: E402


@pytest.fixture
def workplace():
    with programs.Workplace() as place:
        yield place
