# SPDX-License-Identifier: Apache-2.0
# Node.js. INTERSPAN_TEST_NODE: another binary than the system's.
NODE_TESTS := $(addprefix tests/integration/test_node,.py _start.py _secure.py)

$(APPS_DIR)/old_addon.node: tests/apps/node/old_addon.c hooks/runtimes/node/napi.h
	$(call msg,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(BASE) -fPIC -shared -o $@ $<

node-test: all integration-apps $(APPS_DIR)/old_addon.node ## the Node.js adapter, with the system's node
	$(Q)$(INTEGRATION_ENV) $(PYTHON) -m pytest -q $(NODE_TESTS)

.PHONY: node-test
