/* SPDX-License-Identifier: Apache-2.0 */
/* The least auditor. Under one, the space for static thread-local storage is at its smallest. */
unsigned int la_version(unsigned int version);

unsigned int la_version(unsigned int version)
{
	return version;
}
