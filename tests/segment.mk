# SPDX-License-Identifier: Apache-2.0
# Tests of the segment, its consumer, settings, messages, counters and the helper thread.
SG := $(B)/segment-test
SG_UNITS := record segment segment_threads segment_memory consumer consumer_kill config log stats resource helper
SG_SRC := $(addprefix shim/,record.c segment.c segment_file.c resource.c container.c task.c rundir.c config.c log.c stats.c) \
	export/consumer.c export/consumer_take.c tests/unit/segment_fixture.c
SG_SRC_helper := $(addprefix shim/,helper.c background.c plugin.c real.c self.c)
SG_SAN := -fsanitize=address,undefined -fno-sanitize-recover=all
SG_DEPS := $(wildcard shim/*.h shim/*.def export/consumer.h tests/unit/segment_fixture.h tests/double/export_double.h)

# Exported, for the plug-in's double; the doubles of main.c's variables are the test's own.
$(SG)/%: tests/unit/test_%.c $(SG_SRC) $(SG_DEPS) $(SG_SRC_helper)
	$(call msg,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(BASE) $(SG_SAN) -U_FORTIFY_SOURCE -rdynamic -o $@ $< $(SG_SRC) $(SG_SRC_$*) -lcmocka -lpthread -ldl

# The same under ThreadSanitizer, for what is about threads.
$(SG)/tsan/%: tests/unit/test_%.c $(SG_SRC) $(SG_DEPS)
	$(call msg,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(BASE) -fsanitize=thread -o $@ $< $(SG_SRC) -lcmocka -lpthread

# The helper looks for its plug-in beside the object that it is part of, here the test.
$(SG)/libinterspan-export.so: tests/double/export_double.c export/consumer.c export/consumer_take.c $(SG_DEPS)
	$(call msg,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(BASE) -fPIC -shared -o $@ tests/double/export_double.c export/consumer.c export/consumer_take.c \
		shim/record.c shim/task.c

segment-test: $(SG_UNITS:%=$(SG)/%) $(SG)/tsan/segment_threads $(SG)/libinterspan-export.so ## unit tests of the segment
	$(Q)status=0; for t in $(SG_UNITS:%=$(SG)/%) $(SG)/tsan/segment_threads; do $$t || status=1; done; exit $$status

# Arbitrary bytes as a segment.
$(SG)/fuzz_segment: tests/fuzz/fuzz_segment.c $(addprefix export/,consumer.c consumer_take.c span.c attributes.c utf8.c symbols.c elf.c) \
		$(addprefix shim/,record.c task.c) $(SG_DEPS)
	$(call msg,CC,$@)
	@mkdir -p $(@D)
	$(Q)clang $(BASE) -fsanitize=fuzzer,address,undefined -o $@ $(filter %.c,$^)

FUZZ_SECONDS ?= 60
segment-test-extended: $(SG)/fuzz_segment ## fuzz the segment's consumer for FUZZ_SECONDS
	$(Q)$< -max_total_time=$(FUZZ_SECONDS) -max_len=16384 -print_final_stats=1

$(SG)/bench_segment: tests/bench/bench_segment.c $(filter shim/%,$(SG_SRC)) $(SG_DEPS)
	$(call msg,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(BASE) -o $@ $(filter %.c,$^) -lpthread

segment-bench: $(SG)/bench_segment ## ns for one append
	$(Q)$<

.PHONY: segment-test segment-test-extended segment-bench
