# SPDX-License-Identifier: Apache-2.0
# Tests of the protocol parsers: transcripts under every split, unit tests, fuzz targets, instructions on the hot path.
PT := $(B)/protocols-test
PT_SAN := -fsanitize=address,undefined -fno-sanitize-recover=all
PT_UNITS := transcripts http1 http1_memo tracecontext proxy_preface
PT_SRC_transcripts := $(addprefix shim/protocols/,http1.c http1_head.c http1_field.c http1_memo.c) tests/unit/http1_runner.c
PT_SRC_http1 := $(PT_SRC_transcripts)
PT_SRC_http1_memo := $(PT_SRC_transcripts)
PT_SRC_tracecontext := shim/protocols/tracecontext.c
PT_SRC_proxy_preface := shim/protocols/proxy_preface.c
PT_DEPS := $(wildcard shim/protocols/*.[ch]) tests/unit/http1_runner.c tests/unit/http1_runner.h

$(PT)/%: tests/unit/test_%.c $(PT_DEPS)
	$(call msg,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(BASE) $(PT_SAN) -U_FORTIFY_SOURCE -o $@ $< $(PT_SRC_$*) -lcmocka

# What other machines than x86-64 would run.
$(PT)/http1_portable: tests/unit/test_http1.c $(PT_DEPS)
	$(call msg,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(BASE) $(PT_SAN) -U_FORTIFY_SOURCE -U__SSE2__ -o $@ $< $(PT_SRC_http1) -lcmocka

$(PT)/tracecontext_portable: tests/unit/test_tracecontext.c $(PT_DEPS)
	$(call msg,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(BASE) $(PT_SAN) -U_FORTIFY_SOURCE -U__SSE2__ -o $@ $< $(PT_SRC_tracecontext) -lcmocka

protocols-test: $(PT_UNITS:%=$(PT)/%) $(PT)/http1_portable $(PT)/tracecontext_portable ## unit tests and transcripts of the protocol parsers
	$(Q)status=0; for t in $^; do $$t || status=1; done; exit $$status

# Built as the shim is.
$(PT)/bench_http1: tests/bench/bench_http1.c $(PT_DEPS)
	$(call msg,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(SHIM_CFLAGS) -o $@ $< $(filter shim/%,$(PT_SRC_http1))

# A count, not a time: the same on every machine but for the variants of memchr() and what the compiler makes of the rest.
PT_INSTRUCTIONS_MAX ?= 1200
PT_INSTRUCTIONS_KNOWN_MAX ?= 600
protocols-bench: $(PT)/bench_http1 ## instructions that parsing a head costs
	$(Q)for kind in "request new" "response new" request response; do \
		valgrind --tool=callgrind --callgrind-out-file=/dev/null --toggle-collect=follow_one $< $$kind 2>&1 | awk -v kind="$$kind" \
		'/^[0-9]+ bytes/ { bytes = $$1 } /Collected/ { n = $$NF / 1000 } END { print kind " of " bytes " bytes: " n " instructions"; \
		exit !(n > 0 && n <= (kind ~ "new" ? $(PT_INSTRUCTIONS_MAX) : $(PT_INSTRUCTIONS_KNOWN_MAX))) }' || exit 1; done

$(PT)/fuzz_%: tests/fuzz/fuzz_%.c $(PT_DEPS)
	$(call msg,CC,$@)
	@mkdir -p $(@D)
	$(Q)clang $(BASE) -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -o $@ $< $(PT_SRC_$*)

# Heads seed the parsers of values, too: the fuzzer takes them apart.
$(PT)/corpus: $(PT)/transcripts $(wildcard tests/protocols/*.txt)
	$(Q)mkdir -p $@ && $< $@ && touch $@

PT_FUZZ := $(filter-out transcripts,$(PT_UNITS))
fuzz-protocols: FUZZ_SECONDS = 20
fuzz-protocols: $(PT_FUZZ:%=$(PT)/fuzz_%) $(PT)/corpus ## fuzz each protocol parser for FUZZ_SECONDS
	$(Q)for t in $(PT_FUZZ); do mkdir -p $(PT)/found_$$t && $(PT)/fuzz_$$t -max_total_time=$(FUZZ_SECONDS) -max_len=4096 \
		-verbosity=0 -print_final_stats=1 -artifact_prefix=$(PT)/ $(PT)/found_$$t $(PT)/corpus || exit 1; done

.PHONY: protocols-test protocols-bench fuzz-protocols
