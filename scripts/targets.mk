# SPDX-License-Identifier: Apache-2.0
# What one can ask for besides the build: tests, checks, the demo, figures, installation.

# Every target that a tests/*.mk calls NAME-test takes part in make test.
TESTS := $(shell sed -n 's/^\([a-z0-9-]*-test\):.*/\1/p' $(sort $(wildcard tests/*.mk)))
BENCHES := $(sort $(filter-out %.mk %.md,$(wildcard tests/bench/*)))

test: ## install what the tests need (Debian), run them all, print N passed, N failed
	$(Q)scripts/setup build test
	$(Q)MAKE="$(MAKE)" scripts/run-tests $(TESTS)

test-extended: ## the same, then what takes long: fuzzing, storms, other projects' own test suites
	$(Q)scripts/setup build test check
	$(Q)MAKE="$(MAKE)" scripts/run-tests $(TESTS) $(shell sed -n 's/^\([a-z0-9-]*-test-extended\):.*/\1/p' $(sort $(wildcard tests/*.mk)))

demo: ## trace curl, HAProxy, nginx and two backends, all unmodified, and print the traces
	$(Q)scripts/setup build demo
	$(Q)$(MAKE) --no-print-directory all $(B)/tests/epoll_server
	$(Q)B=$(B) scripts/demo

bench: all ## speed, memory and cost, each with the command that gives it
	$(Q)scripts/setup build test
	$(Q)for bench in $(BENCHES); do echo "== $$bench"; B=$(B) $$bench || exit 1; done

.PHONY: test test-extended demo bench
