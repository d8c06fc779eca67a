# SPDX-License-Identifier: Apache-2.0
# CPython's asyncio and uvloop: Debian's python3 and its packages. INTERSPAN_TEST_PYTHON names another interpreter.
$(B)/tests/label_table: tests/unit/test_label_table.c hooks/runtimes/label_table.c shim/reserve.c hooks/runtimes/label_table.h
	$(call msg,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(BASE) $(ENGINE_SAN) -o $@ $(filter %.c,$^) -lcmocka -pthread

python-test: all integration-apps $(B)/tests/label_table ## unmodified asyncio services: exactness, and each row of the guide
	$(Q)$(B)/tests/label_table
	$(Q)$(INTEGRATION_ENV) $(PYTHON) -m pytest -q tests/integration/test_python.py

python-test-extended: all integration-apps ## other Pythons, PyPI's newest packages, and CPython's own tests with and without
	$(Q)scripts/setup extended
	$(Q)$(INTEGRATION_ENV) $(PYTHON) -m pytest -q -rs tests/integration/test_python_extended.py

python-bench: all integration-apps ## an asyncio service: throughput kept
	$(Q)$(INTEGRATION_ENV) $(PYTHON) tests/bench/bench_python.py

python-soak: all integration-apps ## an asyncio service: what is left of a million requests
	$(Q)$(INTEGRATION_ENV) $(PYTHON) tests/bench/soak_python.py

.PHONY: python-soak python-test python-test-extended python-bench
