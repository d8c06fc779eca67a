# SPDX-License-Identifier: Apache-2.0
# CPython's asyncio and uvloop: Debian's python3 and its packages. INTERSPAN_TEST_PYTHON names another interpreter.
python-test: all integration-apps ## unmodified asyncio services: exactness, and each row of the guide
	$(Q)$(INTEGRATION_ENV) $(PYTHON) -m pytest -q tests/integration/test_python.py

.PHONY: python-test
