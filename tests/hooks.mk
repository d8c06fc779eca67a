# SPDX-License-Identifier: Apache-2.0
# Tests of shim/real.c and hooks/: against doubles of the engine, and of the shim's transparency.
HOOKS_SRC := $(wildcard hooks/*.c)
HOOKS_OBJ := $(HOOKS_SRC:%.c=$(B)/shim.o/%.o)

# The real hooks over an engine that does nothing: what is left must be invisible.
$(B)/tests/libhooks-inert.so: $(HOOKS_OBJ) $(B)/shim.o/shim/real.o $(B)/shim.o/shim/fdtable.o $(B)/shim.o/shim/reserve.o \
		$(B)/shim.o/tests/double/engine_inert.o $(B)/shim.map
	$(call msg,LINK,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) -shared -o $@ $(filter %.o,$^) -Wl,--version-script=$(B)/shim.map -Wl,-Bsymbolic $(LD_COMMON)

# Unit tests, with sanitizers. A hook of this program stands before the sanitizer's own interceptor, as it does in a
# program that is preloaded.
UNIT := $(B)/tests/unit
HOOKS_TEST_CFLAGS := $(BASE) -O1 -U_FORTIFY_SOURCE -fno-sanitize-recover=undefined -fsanitize=address,undefined
HOOKS_PROGRAMS := test_hooks test_hooks_descriptors test_hooks_process
HOOKS_TESTED := $(HOOKS_SRC) shim/real.c shim/fdtable.c shim/reserve.c tests/double/engine_recording.c

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

# Programs that are run with and without the shim and compared (tests/integration/test_transparency.py).
APPS := $(B)/tests/apps
APP_CFLAGS := -std=gnu11 -D_GNU_SOURCE $(WARN) -Wno-deprecated-declarations -Wno-unused-result -Wno-nonnull \
	-Wno-unknown-warning-option \
	-Wno-stringop-overread -Wno-stringop-overflow -Wno-use-after-free -g -O2
HOOKS_APPS := early_calls early_allocator lookups conditions spawning cancellation small_stacks signal_storm \
	close_everything variadics errno_probes many_descriptors loading transfers identity endings streams \
	last_thread
APP_FILES := $(HOOKS_APPS:%=$(APPS)/%) $(APPS)/exceptions $(APPS)/transfers_asan $(APPS)/transfers_fortified \
	$(addprefix $(APPS)/,libauditor.so libpreloaded.so plugins/libloading_plugin.so)

$(APPS)/early_calls: $(APPS)/libearly_calls_library.so
$(APPS)/loading: $(APPS)/libloading_library.so
$(APPS)/early_calls: private APP_LIBS := -Wl,--no-as-needed -L$(APPS) -learly_calls_library -Wl,-rpath,'$$ORIGIN'
# DT_RPATH would serve the whole chain of loaders; DT_RUNPATH serves its own object only, and that is what is tested.
$(APPS)/loading: private APP_LIBS := -L$(APPS) -lloading_library -Wl,--enable-new-dtags,-rpath,'$$ORIGIN'
$(APPS)/libloading_library.so: private APP_LIBS := -Wl,--enable-new-dtags,-rpath,'$$ORIGIN/plugins'

APP_LIBRARIES := $(addprefix $(APPS)/lib,early_calls_library.so loading_library.so auditor.so preloaded.so)

$(APP_LIBRARIES): $(APPS)/lib%.so: tests/apps/%.c tests/apps/app.h
	$(call msg,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(APP_CFLAGS) -fPIC -shared -o $@ $< $(APP_LIBS)

$(APPS)/plugins/lib%.so: tests/apps/%.c tests/apps/app.h
	$(call msg,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(APP_CFLAGS) -fPIC -shared -o $@ $<

$(HOOKS_APPS:%=$(APPS)/%): $(APPS)/%: tests/apps/%.c tests/apps/app.h
	$(call msg,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(APP_CFLAGS) -o $@ $< -pthread $(APP_LIBS)

$(APPS)/%_asan: tests/apps/%.c tests/apps/app.h
	$(call msg,CC,$<)
	@mkdir -p $(@D)
	$(Q)gcc $(APP_CFLAGS) -fsanitize=address -o $@ $<

$(APPS)/%_fortified: tests/apps/%.c tests/apps/app.h
	$(call msg,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(APP_CFLAGS) -D_FORTIFY_SOURCE=2 -o $@ $<

$(APPS)/exceptions: tests/apps/exceptions.cpp
	$(call msg,CXX,$<)
	@mkdir -p $(@D)
	$(Q)$(CXX) -Wall -Wextra -g -O2 -o $@ $< -pthread

hooks-apps: $(APP_FILES)

.PHONY: hooks-apps

# Over the inert engine here, over the real one in integration-test.
hooks-test: hooks-unit-test hooks-apps $(B)/tests/libhooks-inert.so ## the hooks: unit tests, and programs with and without
	$(Q)scripts/check-symbols $(B)/tests/libhooks-inert.so shim/real.def $(HOOKS_OBJ) $(B)/shim.o/shim/real.o
	$(Q)INTERSPAN_LIB=$(B)/tests/libhooks-inert.so INTERSPAN_APPS=$(APPS) python3 -m pytest -q -p no:cacheprovider \
		tests/integration/test_transparency.py

.PHONY: hooks-test
