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
