# SPDX-License-Identifier: Apache-2.0
# Node.js. INTERSPAN_TEST_NODE: another binary than the system's.
node-test: all integration-apps ## the Node.js adapter, with the system's node
	$(Q)$(INTEGRATION_ENV) $(PYTHON) -m pytest -q tests/integration/test_node.py

.PHONY: node-test
