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

# Other versions, and packages, come from the npm registry; where it cannot be reached each that is missing is named.
NODE_VERSIONS ?= 18 20 22 24
NODE_DIR := $(abspath $(B))/node-versions

$(NODE_DIR)/%/ready:
	$(Q)mkdir -p $(@D) && cd $(@D) && echo '{}' >package.json && npm install --no-audit --no-fund --loglevel=error \
		$(if $(filter packages,$*),undici@6 redis ioredis,node@$*) >npm.log 2>&1 && touch $@ || \
		echo "node-test-extended: SKIPPED $*: $$(tail -n 1 $(@D)/npm.log)"

node-test-extended: all integration-apps $(APPS_DIR)/old_addon.node $(NODE_VERSIONS:%=$(NODE_DIR)/%/ready) $(NODE_DIR)/packages/ready ## the same with other versions of node, and with packages
	$(Q)status=0; [ -e $(NODE_DIR)/packages/ready ] && packages=$(NODE_DIR)/packages || packages=; \
	for version in $(NODE_VERSIONS); do \
		[ -e $(NODE_DIR)/$$version/ready ] || continue; \
		echo "node $$version:"; \
		$(INTEGRATION_ENV) INTERSPAN_TEST_NODE=$(NODE_DIR)/$$version/node_modules/node/bin/node \
			INTERSPAN_TEST_NODE_PACKAGES=$$packages $(PYTHON) -m pytest -q $(NODE_TESTS) || status=1; \
	done; exit $$status

node-bench: all integration-apps ## throughput that a Node.js proxy app keeps
	$(Q)$(INTEGRATION_ENV) $(PYTHON) tests/bench/bench_node.py

.PHONY: node-test-extended node-bench
