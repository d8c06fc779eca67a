# SPDX-License-Identifier: Apache-2.0
# make help lists the targets. V=1 shows the commands. B=dir builds elsewhere.
CC ?= gcc
B ?= build
O ?= -O2
PREFIX ?= /usr/local
VERSION := 0.1.0
ifeq ($(V),1)
Q :=
msg :=
else
Q := @
msg = @printf '  %-8s %s\n' "$(1)" "$(2)";
endif

WARN := -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Werror
BASE := -std=gnu11 -D_GNU_SOURCE -iquote . -iquote $(B) $(WARN) -g $(O) -DINTERSPAN_VERSION='"$(VERSION)"' $(SAN)
# The shim lives in other people's processes: nothing visible but the hooks, no TLS but initial-exec, no fortified
# names (we interpose those), unwindable for thread cancellation.
SHIM_CFLAGS := $(BASE) -fPIC -fvisibility=hidden -ftls-model=initial-exec -fno-semantic-interposition -fdata-sections \
	-fno-stack-protector -U_FORTIFY_SOURCE -fno-plt
# The engine is many small files; gcc inlines across them when it links. Fat objects, for what links or inspects single ones.
# Its string instructions take long to start: what is too large for single stores is left to the C library.
LTO := $(if $(shell $(CC) --version | grep clang),,-flto=auto -ffat-lto-objects \
	-mmemset-strategy=libcall:-1:noalign -mmemcpy-strategy=libcall:-1:noalign)
PLUGIN_CFLAGS := $(BASE) -fPIC -fvisibility=hidden
LD_COMMON := -Wl,-z,now,-z,relro,-z,noexecstack,-z,nodelete -Wl,-z,defs -Wl,--exclude-libs,ALL

SHIM_SRC := $(wildcard shim/*.c shim/protocols/*.c hooks/*.c hooks/runtimes/*.c)
SHIM_OBJ := $(SHIM_SRC:%.c=$(B)/shim.o/%.o)
EXPORT_SRC := $(wildcard export/*.c)
AGENT_SRC := $(wildcard export/agent*.c)
UNWIND_SRC := $(wildcard export/unwind*.c)
PLUGIN_OBJ := $(patsubst %.c,$(B)/plugin.o/%.o,$(filter-out $(AGENT_SRC) $(UNWIND_SRC),$(EXPORT_SRC))) $(B)/plugin.o/otlp.pb-c.o
# What the plug-in and the agent share with the shim.
SHARED_SRC := $(addprefix shim/,record.c segment.c task.c rundir.c config.c log.c stats.c)
EXPORT_LIBS := -lcurl -lprotobuf-c -lz

all: $(B)/libinterspan.so $(B)/node/interspan.node $(B)/libinterspan-export.so $(B)/libinterspan-unwind.so $(B)/interspan-agent $(B)/interspan-inspect ## build everything

$(B)/libinterspan.so: $(SHIM_OBJ) $(B)/shim.map
	$(call msg,LINK,$@)
	$(Q)$(CC) $(SHIM_CFLAGS) $(LTO) -shared -o $@ $(SHIM_OBJ) -Wl,--version-script=$(B)/shim.map -Wl,-Bsymbolic -fdata-sections -Wl,--sort-section=name,-z,noseparate-code $(LD_COMMON)

# Node.js: the adapter's script, and the addon by which it reaches the library.
NODE_FILES := $(notdir $(wildcard hooks/runtimes/node/*.js))

$(B)/node/interspan.node: hooks/runtimes/node/addon.c hooks/runtimes/node/napi.h $(NODE_FILES:%=$(B)/node/%)
	$(call msg,LINK,$@)
	$(Q)$(CC) $(PLUGIN_CFLAGS) -shared -o $@ $< -Wl,-z,now -Wl,-z,relro -Wl,-z,noexecstack

$(B)/node/%.js: hooks/runtimes/node/%.js
	$(call msg,COPY,$@)
	@mkdir -p $(@D)
	$(Q)cp $< $@

# Version nodes for the names that need one. All other exports are unversioned, which no script can say beside named nodes:
# the hooks' own visibility makes them, and scripts/check-symbols compares the result with real.def.
$(B)/shim.map: shim/real.def
	@mkdir -p $(@D)
	$(Q)sed -n 's/^HOOK_AT(\([a-zA-Z0-9_]*\), \(.*\))$$/\2 \1/p' $< | sort | awk '$$1 != node { if (node) print "};"; \
		node = $$1; print node " {" } { print "\t" $$2 ";" } END { print "};" }' >$@

$(B)/libinterspan-export.so: $(PLUGIN_OBJ) $(SHARED_SRC:%.c=$(B)/plugin.o/%.o)
	$(call msg,LINK,$@)
	$(Q)$(CC) $(SAN) -shared -o $@ $^ -Wl,--version-script=export/plugin.map $(LD_COMMON) $(EXPORT_LIBS)

# A plug-in of its own: what needs no stacks is not to need libunwind.
$(B)/libinterspan-unwind.so: $(UNWIND_SRC:%.c=$(B)/plugin.o/%.o)
	$(call msg,LINK,$@)
	$(Q)$(CC) $(SAN) -shared -o $@ $^ -Wl,--version-script=export/unwind.map $(LD_COMMON) -lunwind-generic

$(B)/interspan-agent: $(AGENT_SRC:%.c=$(B)/plugin.o/%.o) $(PLUGIN_OBJ) $(SHARED_SRC:%.c=$(B)/plugin.o/%.o)
	$(call msg,LINK,$@)
	$(Q)$(CC) $(SAN) -o $@ $^ $(EXPORT_LIBS)

$(B)/interspan-inspect: $(wildcard scripts/inspect*.c) scripts/inspect.h shim/real.def
	$(call msg,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(BASE) -o $@ $(filter %.c,$^)

$(B)/shim.o/%.o: %.c
	$(call msg,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(SHIM_CFLAGS) $(LTO) -MMD -MP -c -o $@ $<

$(B)/plugin.o/%.o: %.c $(B)/otlp.pb-c.h
	$(call msg,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(PLUGIN_CFLAGS) -MMD -MP -c -o $@ $<

$(B)/otlp.pb-c.c $(B)/otlp.pb-c.h &: export/otlp.proto
	$(call msg,PROTOC,$<)
	@mkdir -p $(@D)
	$(Q)protoc-c --proto_path=export --c_out=$(B) otlp.proto

$(B)/plugin.o/otlp.pb-c.o: $(B)/otlp.pb-c.c
	$(call msg,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(PLUGIN_CFLAGS) -Wno-conversion -c -o $@ $<

-include $(shell find $(B) -name '*.d' 2>/dev/null)
include $(sort $(wildcard tests/*.mk scripts/*.mk))

clean: ## remove what was built
	rm -rf $(B)

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | sort | expand -t 16

.PHONY: all clean help
