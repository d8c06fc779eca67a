# SPDX-License-Identifier: Apache-2.0
# Unit tests of the engine: one program per module, linked with the objects of the whole shim but the hooks and main. Finished
# spans go to the fixture: the linker puts it in the place of process_write().
ENGINE_TESTS := pool iov ids sampler filter endpoint ownership fdtable stamp inject rules rules_thread rules_handed rules_timers rules_stamp exchanges environment http_attributes engine_threads watch carrier coroutines minted relayed loadable

# Parts of the runtimes' adapters that are pure bookkeeping belong to it.
ENGINE_TESTS += python_items python_worker ruby
ENGINE_SRC := $(filter-out shim/main.c,$(wildcard shim/*.c shim/protocols/*.c)) $(addprefix hooks/runtimes/,python_items.c python_worker.c ruby.c)
ENGINE_SAN ?= -fsanitize=address,undefined -fno-sanitize-recover=all
ENGINE_B := $(B)/engine-test$(if $(ENGINE_VARIANT),-$(ENGINE_VARIANT))
ENGINE_FIXTURES := engine_fixture engine_hooks rules_fixture
ENGINE_OBJ := $(ENGINE_SRC:%.c=$(ENGINE_B)/%.o) $(ENGINE_FIXTURES:%=$(ENGINE_B)/tests/unit/%.o)

$(ENGINE_B)/%.o: %.c
	$(call msg,CC,$< (sanitized))
	@mkdir -p $(@D)
	$(Q)$(CC) $(BASE) $(ENGINE_SAN) -U_FORTIFY_SOURCE -MMD -MP -c -o $@ $<

$(ENGINE_B)/tests/engine_%: tests/unit/test_%.c $(ENGINE_OBJ)
	$(call msg,LINK,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(BASE) $(ENGINE_SAN) -Wl,--wrap=process_write -o $@ $< $(ENGINE_OBJ) -lcmocka -pthread

# Something to take for Ruby.
$(ENGINE_B)/tests/libruby-none.so:
	$(call msg,LINK,$@)
	@mkdir -p $(@D)
	$(Q)echo | $(CC) -x c -shared -fPIC -o $@ -

$(ENGINE_B)/tests/engine_ruby: | $(ENGINE_B)/tests/libruby-none.so

engine-test: $(ENGINE_TESTS:%=$(ENGINE_B)/tests/engine_%) ## unit tests of the engine
	$(Q)status=0; for t in $^; do $(ENGINE_RUN) $$t || status=1; done; exit $$status
.PHONY: engine-test

# The same under ThreadSanitizer (which does not know fences: what they guard is excepted by EXCHANGE_GLIMPSE) and under valgrind.
engine-test-tsan:
	$(Q)$(MAKE) --no-print-directory engine-test ENGINE_VARIANT=tsan ENGINE_SAN="-fsanitize=thread -Wno-tsan"
engine-test-valgrind:
	$(Q)$(MAKE) --no-print-directory engine-test ENGINE_VARIANT=plain ENGINE_SAN= \
		ENGINE_RUN="valgrind -q --error-exitcode=9 --trace-children=no"
.PHONY: engine-test-tsan engine-test-valgrind
.SECONDARY: $(ENGINE_OBJ)
-include $(ENGINE_OBJ:%.o=%.d)
