# SPDX-License-Identifier: Apache-2.0
PYTHON ?= python3
# Tests of what lies in scripts/: the launcher, the inspector, the tree printer, the adding up of test figures.

$(B)/tests/epoll_server: tests/apps/epoll_server.c
	$(call msg,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(BASE) -o $@ $<

# The inspector reads hostile files: its own tests run it with the sanitizers.
$(B)/tests/inspect-asan: $(wildcard scripts/inspect*.c) scripts/inspect.h shim/real.def
	$(call msg,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(BASE) -fsanitize=address,undefined -fno-sanitize-recover=all -o $@ $(filter %.c,$^)

scripts-test: $(B)/interspan-inspect $(B)/settings.txt $(B)/interspan.1 $(B)/tests/inspect-asan $(B)/tests/epoll_server
	$(Q)B=$(abspath $(B)) $(PYTHON) -m pytest -q -p no:cacheprovider tests/scripts

.PHONY: scripts-test
