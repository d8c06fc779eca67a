# SPDX-License-Identifier: Apache-2.0
# Java from Debian; Rust's tokio and Go where their tools are there. The small ones (PHP, CGI, Perl, Ruby) are part of integration-test.
others-test-extended: all integration-apps ## the JVM, tokio and Go: what hands work over where nobody sees it gets no wrong parent
	$(Q)scripts/setup extended
	$(Q)$(INTEGRATION_ENV) $(PYTHON) -m pytest -q -rs tests/integration/test_others_extended.py

.PHONY: others-test-extended
