# SPDX-License-Identifier: Apache-2.0
# Structural checks of the shim. SYMBOLS_OF checks another library than the product.
SYMBOLS_OF ?= $(B)/libinterspan.so

check-symbols: $(SYMBOLS_OF) $(SHIM_OBJ) ## the library's exports, needs and memory are as they must be
	$(Q)scripts/check-symbols $(SYMBOLS_OF) shim/real.def $(SHIM_OBJ)

check-includes: ## includes point in the directions of the design
	$(Q)scripts/check-includes

.PHONY: check-symbols check-includes
