# SPDX-License-Identifier: Apache-2.0
# Tests of the protocol parsers: transcripts under every split, unit tests, fuzz targets, instructions on the hot path.
PT := $(B)/protocols-test
PT_SAN := -fsanitize=address,undefined -fno-sanitize-recover=all
PT_UNITS := transcripts http1 tracecontext proxy_preface
PT_SRC_transcripts := $(addprefix shim/protocols/,http1.c http1_head.c) tests/unit/http1_runner.c
PT_SRC_http1 := $(PT_SRC_transcripts)
PT_SRC_tracecontext := shim/protocols/tracecontext.c
PT_SRC_proxy_preface := shim/protocols/proxy_preface.c
PT_DEPS := $(wildcard shim/protocols/*.[ch]) tests/unit/http1_runner.c tests/unit/http1_runner.h

$(PT)/%: tests/unit/test_%.c $(PT_DEPS)
	$(call msg,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(BASE) $(PT_SAN) -U_FORTIFY_SOURCE -o $@ $< $(PT_SRC_$*) -lcmocka

protocols-test: $(PT_UNITS:%=$(PT)/%) ## unit tests and transcripts of the protocol parsers
	$(Q)status=0; for t in $^; do $$t || status=1; done; exit $$status
