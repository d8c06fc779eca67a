# SPDX-License-Identifier: Apache-2.0
# What one can ask for besides the library: documents, tests, checks, the demo, figures, installation.

all: $(B)/settings.txt $(B)/interspan.1

$(B)/settings.txt: shim/config.def scripts/print-settings
	$(call msg,GEN,$@)
	@mkdir -p $(@D)
	$(Q)scripts/print-settings text <$< >$@

$(B)/interspan.1: scripts/interspan.1.in shim/config.def scripts/print-settings
	$(call msg,GEN,$@)
	@mkdir -p $(@D)
	$(Q)scripts/print-settings man <shim/config.def >$(B)/settings.man
	$(Q)sed -e 's,@VERSION@,$(VERSION),; s,@LIBDIR@,$(PREFIX)/lib/interspan,' -e '/@SETTINGS@/{r $(B)/settings.man' -e 'd}' $< >$@

# Every target that a tests/*.mk calls NAME-test takes part in make test, but for those that are part of another one.
targets_like = $(shell sed -n 's/^\($(1)\):.*/\1/p' $(sort $(wildcard tests/*.mk)))
TESTS := $(filter-out integration-harness-test hooks-unit-test,$(sort $(call targets_like,[a-z0-9-]*-test)))
LONG_TESTS := $(call targets_like,[a-z0-9-]*-test-extended)
BENCHES := $(call targets_like,bench-[a-z0-9-]*) $(call targets_like,[a-z0-9-]*-bench)

test: ## install what the tests need (Debian), run them all, print N passed, N failed
	$(Q)scripts/setup build test
	+$(Q)MAKE="$(MAKE)" scripts/run-tests $(TESTS)

test-extended: ## the same, then what takes long: fuzzing, storms, other projects' own test suites
	$(Q)scripts/setup build test check
	+$(Q)MAKE="$(MAKE)" scripts/run-tests $(TESTS) $(LONG_TESTS)

# Use all CPUs unless the user said how many.
PARALLEL = $(if $(findstring j,$(firstword -$(MAKEFLAGS)))$(findstring jobserver,$(MAKEFLAGS)),,-j$(shell nproc))

demo: ## trace curl, HAProxy, nginx and two backends, all unmodified, and print the traces
	$(Q)scripts/setup build demo
	+$(Q)$(MAKE) $(PARALLEL) --no-print-directory all $(B)/tests/epoll_server
	$(Q)B=$(B) scripts/demo

bench: ## speed, memory and cost, each with the command that gives it
	$(Q)scripts/setup build test
	+$(Q)bad=0; for bench in $(BENCHES); do echo "== $$bench"; $(MAKE) --no-print-directory $$bench || bad=1; done; exit $$bad

# ---- checks: each can be run alone; make -k check runs the rest after a failure ----
CHECKS := check-clang check-analyzer check-tidy check-shell check-docs check-paths check-symbols check-includes

check: ## everything that can be told without running: two compilers, analyzers, scripts, docs, exports, dependencies
	$(Q)scripts/setup build check
	+$(Q)$(MAKE) --no-print-directory $(CHECKS)

check-clang:
	+$(Q)$(MAKE) --no-print-directory B=$(B)-clang CC=clang all

# No code is made, so nothing is linked; -O0, because what the optimizer removes or inlines the analyzer does not see.
check-analyzer: $(B)/otlp.pb-c.h
	$(Q)for file in $(SHIM_SRC) $(EXPORT_SRC) $(wildcard scripts/*.c); do \
		$(CC) $(BASE) -O0 -fPIC -fanalyzer -c -o /dev/null $$file || exit 1; done

check-tidy: $(B)/otlp.pb-c.h
	$(Q)clang-tidy --quiet $(SHIM_SRC) $(EXPORT_SRC) $(wildcard scripts/*.c) -- $(BASE)

check-docs: $(B)/interspan.1
	$(Q)scripts/check-docs $<

check-shell check-paths:
	$(Q)scripts/$@

# ---- installation: the launcher finds the rest beside itself, so the tree can be moved as a whole ----
BIN_DIR = $(DESTDIR)$(PREFIX)/bin
LIB_DIR = $(DESTDIR)$(PREFIX)/lib
MAN_DIR = $(DESTDIR)$(PREFIX)/share/man/man1
LIBRARIES := libinterspan.so libinterspan-export.so libinterspan-unwind.so

install: all ## install under PREFIX (/usr/local), below DESTDIR
	install -d $(BIN_DIR) $(LIB_DIR)/interspan/node $(MAN_DIR)
	install -m 755 scripts/interspan $(BIN_DIR)/interspan
	install -m 755 $(addprefix $(B)/,$(LIBRARIES) interspan-agent interspan-inspect) $(LIB_DIR)/interspan
	install -m 755 scripts/interspan-tree $(LIB_DIR)/interspan
	install -m 644 $(NODE_FILES:%=$(B)/node/%) $(B)/node/interspan.node $(LIB_DIR)/interspan/node
	install -m 644 $(B)/settings.txt $(LIB_DIR)/interspan
	install -m 644 $(B)/interspan.1 $(MAN_DIR)
	for library in $(LIBRARIES); do ln -sf interspan/$$library $(LIB_DIR)/$$library; done

uninstall: ## remove what install put there
	rm -f $(BIN_DIR)/interspan $(MAN_DIR)/interspan.1 $(addprefix $(LIB_DIR)/,$(LIBRARIES))
	rm -rf $(LIB_DIR)/interspan

.PHONY: test test-extended demo bench check $(CHECKS) install uninstall
