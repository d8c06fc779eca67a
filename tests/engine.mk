# SPDX-License-Identifier: Apache-2.0
# Unit tests of the engine: one program per module, linked with the objects of the whole shim but the hooks and main.
ENGINE_TESTS := pool iov ids sampler filter endpoint ownership fdtable rules
ENGINE_SRC := $(filter-out shim/main.c,$(wildcard shim/*.c shim/protocols/*.c))
ENGINE_SAN := -fsanitize=address,undefined -fno-sanitize-recover=all
ENGINE_OBJ := $(ENGINE_SRC:%.c=$(B)/engine-test.o/%.o)

$(B)/engine-test.o/%.o: %.c
	$(call msg,CC,$< (sanitized))
	@mkdir -p $(@D)
	$(Q)$(CC) $(BASE) $(ENGINE_SAN) -U_FORTIFY_SOURCE -MMD -MP -c -o $@ $<

$(B)/tests/engine_%: tests/unit/test_%.c tests/unit/engine_fixture.c $(ENGINE_OBJ)
	$(call msg,LINK,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(BASE) $(ENGINE_SAN) -o $@ $< tests/unit/engine_fixture.c $(ENGINE_OBJ) -lcmocka

engine-test: $(ENGINE_TESTS:%=$(B)/tests/engine_%) ## unit tests of the engine
	$(Q)status=0; for t in $^; do $$t || status=1; done; exit $$status
.PHONY: engine-test
