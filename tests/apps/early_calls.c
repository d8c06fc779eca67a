/* SPDX-License-Identifier: Apache-2.0 */
/* Hooks are called before the shim's constructor has run. */
#include "app.h"

int early_calls(void);

int main(void)
{
	list_descriptors();
	return early_calls();
}
