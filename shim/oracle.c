/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/oracle.h"

#include "shim/loop.h"
#include "shim/stats.h"
#include "shim/thread.h"

void oracle_expect(struct thread *t, struct handle who, enum evidence rule)
{
	bool eliminated = rule != EVIDENCE_RUNTIME && rule != EVIDENCE_WORK_ITEM;

	if (eliminated && t->window.n + t->window.other == 1) {
		t->expected = who;
		t->expected_rule = (uint8_t)rule;
	}
}

void oracle_compare(struct thread *t, struct handle who)
{
	struct handle expected = t->expected;

	t->expected = HANDLE_NONE;
	if (t->window.n + t->window.other != 1)
		return; /* something else was handled as well: nothing can be concluded */
	if (handle_equal(expected, who)) {
		stats_count(STAT_ORACLE_HITS);
		return;
	}
	stats_count(STAT_ORACLE_MISSES);
	if (t->expected_rule != EVIDENCE_STAMP)
		loop_revoke(t->loop, (enum evidence)t->expected_rule);
}
