# SPDX-License-Identifier: Apache-2.0
# Tests of export/: unit tests under ASan and UBSan, then the plug-in and the agent against a scripted collector.
XT := $(B)/export-test
XT_CFLAGS := $(BASE) -fsanitize=address,undefined -fno-sanitize-recover=undefined
XT_UNITS := test_otlp test_symbols test_attributes test_json test_retry test_endpoint_settings test_http
XT_COMMON := export/buffer.c export/utf8.c export/attributes.c export/span.c export/symbols.c export/elf.c \
	export/resource.c shim/record.c shim/task.c
XT_SRC_test_otlp := $(XT_COMMON) export/otlp.c export/answer.c tests/unit/otlp_fixture.c
XT_SRC_test_attributes := $(XT_SRC_test_otlp)
XT_SRC_test_symbols := export/symbols.c export/elf.c shim/task.c
XT_SRC_test_json := $(XT_COMMON) export/json.c
XT_SRC_test_retry := export/retry.c
XT_SRC_test_endpoint_settings := export/endpoint.c export/headers.c export/buffer.c shim/config.c
XT_SRC_test_http := $(XT_COMMON) export/http.c export/endpoint.c export/headers.c export/gzip.c export/retry.c \
	export/otlp.c export/answer.c shim/config.c

XT_HEADERS := $(wildcard export/*.h shim/*.h shim/*.def tests/unit/*.h)

define XT_RULE
$(XT)/$(1): tests/unit/$(1).c $$(XT_SRC_$(1)) $(XT_HEADERS) $(B)/otlp.pb-c.c
	$$(call msg,CC,$$@)
	@mkdir -p $$(@D)
	$$(Q)$$(CC) $$(XT_CFLAGS) -Wno-missing-prototypes -o $$@ $$(filter %.c,$$^) -lcmocka $$(EXPORT_LIBS) -lpthread
endef
$(foreach t,$(XT_UNITS),$(eval $(call XT_RULE,$(t))))

XT_SEGMENT := $(patsubst %.c,$(B)/plugin.o/%.o, \
	$(sort $(SHARED_SRC) $(addprefix shim/,segment_file.c resource.c container.c)))
# Segments of dead processes are everybody's of that user: where we may, nobody else's are there.
XT_ALONE = $(shell unshare -m -p -f --mount-proc true 2>/dev/null && \
	echo "unshare -m -p -f --mount-proc --kill-child sh -c 'mount -t tmpfs none /dev/shm && \"\$$@\"' --")
XT_PY := /usr/bin/python3 -B -m pytest -q -p no:cacheprovider

$(XT)/segment_writer: tests/apps/segment_writer.c $(XT_SEGMENT) $(B)/plugin.o/export/consumer.o \
		$(B)/plugin.o/export/consumer_take.o
	$(call msg,LINK,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(BASE) -o $@ $^ -lpthread

$(B)/bench_export: tests/bench/bench_export.c $(PLUGIN_OBJ) $(XT_SEGMENT)
	$(call msg,LINK,$@)
	$(Q)$(CC) $(BASE) -o $@ $^ $(EXPORT_LIBS) -lpthread

$(XT)/test_drain: tests/unit/test_drain.c $(PLUGIN_OBJ) $(XT_SEGMENT)
	$(call msg,LINK,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(BASE) -o $@ $^ -lcmocka $(EXPORT_LIBS) -lpthread

export-unit: $(XT_UNITS:%=$(XT)/%) $(XT)/test_drain ## unit tests of the exporter
	$(Q)for t in $(abspath $^); do $$t || exit 1; done

export-integration: $(XT)/segment_writer $(B)/libinterspan.so $(B)/libinterspan-export.so $(B)/interspan-agent ## exporter, agent, collector
	$(Q)B=$(B) $(XT_ALONE) $(XT_PY) tests/integration/test_export.py

export-test: export-unit export-integration ## all tests of the exporter

export-bench: $(B)/bench_export ## what one exporter thread manages
	$(Q)$(XT_ALONE) $(abspath $<)
	$(Q)$(XT_ALONE) $(abspath $<) 2400000 300000

.PHONY: export-unit export-integration export-test export-bench
