# SPDX-License-Identifier: Apache-2.0
# Exactness and transparency against real programs. INTERSPAN_TEST_REQUESTS sets the size of each run.
PYTHON ?= python3
APPS_DIR := $(B)/apps
APPS_COMMON := tests/apps/http.c tests/apps/net.c
SERVE_APPS := $(patsubst tests/apps/serve_%.c,$(APPS_DIR)/serve_%,$(wildcard tests/apps/serve_*.c))
TRUTH_APPS := $(APPS_DIR)/loadgen $(APPS_DIR)/truth_backend
INTEGRATION_TESTS := $(addprefix tests/integration/test_,truth.py harness.py exactness.py apps.py servers.py robustness.py stalls.py python_threads.py python_queues.py others.py)
INTEGRATION_ENV = INTERSPAN_BUILD=$(abspath $(B))

$(TRUTH_APPS): $(APPS_DIR)/%: tests/apps/%.c $(APPS_COMMON) $(wildcard tests/apps/*.h)
	$(call msg,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(BASE) -o $@ $< $(APPS_COMMON)

$(SERVE_APPS): $(APPS_DIR)/%: tests/apps/%.c tests/apps/serve.c tests/apps/ways.c $(APPS_COMMON) $(wildcard tests/apps/*.h)
	$(call msg,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(BASE) -pthread -o $@ $< tests/apps/serve.c tests/apps/ways.c $(APPS_COMMON)

$(APPS_DIR)/stalls: tests/apps/stalls.c tests/apps/net.c $(wildcard tests/apps/*.h)
	$(call msg,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(BASE) -pthread -o $@ $< tests/apps/net.c

# Where every function keeps the frame pointer, it is the way up.
$(APPS_DIR)/stalls_frames: tests/apps/stalls.c tests/apps/net.c $(wildcard tests/apps/*.h)
	$(call msg,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(BASE) -O0 -fno-omit-frame-pointer -pthread -o $@ $< tests/apps/net.c

integration-apps: $(APPS_DIR)/stalls $(APPS_DIR)/stalls_frames $(TRUTH_APPS) $(SERVE_APPS)

integration-harness-test: integration-apps ## the exactness tests' own tests: no shim needed
	$(Q)$(INTEGRATION_ENV) $(PYTHON) -m pytest -q tests/integration/test_truth.py tests/integration/test_harness.py

integration-test: all integration-apps hooks-apps ## exactness and transparency against real servers
	$(Q)$(INTEGRATION_ENV) $(PYTHON) -m pytest -q $(INTEGRATION_TESTS)
	$(Q)INTERSPAN_LIB=$(B)/libinterspan.so INTERSPAN_APPS=$(APPS) $(PYTHON) -m pytest -q tests/integration/test_transparency.py

exactness-full: all integration-apps ## the proxy matrix at 20,000 requests each; prints a table
	$(Q)$(INTEGRATION_ENV) INTERSPAN_TEST_REQUESTS=20000 $(PYTHON) tests/integration/exactness_table.py

bench-servers: all integration-apps ## throughput, latency and memory, with and without the shim
	$(Q)$(INTEGRATION_ENV) $(PYTHON) tests/bench/bench_servers.py throughput proxy exec memory collectors

bench-instructions: all integration-apps ## instructions of one exchange, which no other load on the machine changes
	$(Q)$(INTEGRATION_ENV) $(PYTHON) tests/bench/bench_servers.py instructions

.PHONY: integration-apps integration-harness-test integration-test exactness-full bench-servers bench-instructions
