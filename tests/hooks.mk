# SPDX-License-Identifier: Apache-2.0
# Tests of shim/real.c and hooks/: against doubles of the engine, and of the shim's transparency.
HOOKS_SRC := $(wildcard hooks/*.c)
HOOKS_OBJ := $(HOOKS_SRC:%.c=$(B)/shim.o/%.o)

# The real hooks over an engine that does nothing: what is left must be invisible.
$(B)/tests/libhooks-inert.so: $(HOOKS_OBJ) $(B)/shim.o/shim/real.o $(B)/shim.o/shim/fdtable.o \
		$(B)/shim.o/tests/double/engine_inert.o $(B)/shim.map
	$(call msg,LINK,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) -shared -o $@ $(filter %.o,$^) -Wl,--version-script=$(B)/shim.map -Wl,-Bsymbolic $(LD_COMMON)

# Unit tests, with sanitizers. A hook of this program stands before the sanitizer's own interceptor, as it does in a
# program that is preloaded.
UNIT := $(B)/tests/unit
HOOKS_TEST_CFLAGS := $(BASE) -O1 -U_FORTIFY_SOURCE -fno-sanitize-recover=undefined -fsanitize=address,undefined
HOOKS_PROGRAMS := test_hooks test_hooks_descriptors test_hooks_process
HOOKS_TESTED := $(HOOKS_SRC) shim/real.c shim/fdtable.c tests/double/engine_recording.c

$(UNIT)/libreal_sysv.so: tests/unit/real/sysv.c
	$(call msg,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(BASE) -fPIC -shared -Wl,--hash-style=sysv -o $@ $<

$(UNIT)/libreal_versions.so: tests/unit/real/versions.c tests/unit/real/versions.map
	$(call msg,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(BASE) -fPIC -shared -Wl,--version-script=tests/unit/real/versions.map -o $@ $<

$(UNIT)/libreal_copy.so: tests/unit/real/copy.c shim/real.c
	$(call msg,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(BASE) -fPIC -fvisibility=hidden -shared -o $@ $^

# The order of the libraries is the order in which they are searched.
$(UNIT)/test_real: tests/unit/test_real.c shim/real.c $(UNIT)/libreal_sysv.so $(UNIT)/libreal_versions.so
	$(call msg,CC,$<)
	$(Q)$(CC) $(HOOKS_TEST_CFLAGS) -o $@ tests/unit/test_real.c shim/real.c -Wl,-rpath,'$$ORIGIN' -Wl,--no-as-needed \
		-L$(UNIT) -lreal_sysv -lreal_versions -lcmocka -ldl

$(HOOKS_PROGRAMS:%=$(UNIT)/%): $(UNIT)/%: tests/unit/%.c $(HOOKS_TESTED)
	$(call msg,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(HOOKS_TEST_CFLAGS) -o $@ $^ -lcmocka

HOOKS_UNIT := $(addprefix $(UNIT)/,test_real $(HOOKS_PROGRAMS))

hooks-unit-test: $(HOOKS_UNIT) $(UNIT)/libreal_copy.so
	$(Q)for test in $(HOOKS_UNIT); do REAL_COPY=$(UNIT)/libreal_copy.so $$test || exit 1; done

.PHONY: hooks-unit-test
