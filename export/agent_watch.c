/* SPDX-License-Identifier: Apache-2.0 */
#include "export/agent.h"

#include <poll.h>
#include <stdlib.h>

#include "export/retry.h"
#include "shim/clock.h"

/* The collector may be down, or only starting, when the program dies: try for this long. */
#define DRAIN_TRIES_NS (120 * 1000000000ull)

void agent_drain_rest(struct agent *agent)
{
	struct drain proto = agent_drain(agent);
	uint64_t until = clock_monotonic_ns() + DRAIN_TRIES_NS;
	struct retry retry;

	retry_begin(&retry, clock_monotonic_ns());
	while (segments_drain_orphans(agent->dir, &proto, agent->room).left && !atomic_load(agent->stop) &&
	       clock_monotonic_ns() < until)
		poll(NULL, 0, (int)retry_next_ms(&retry, 0, 0));
}

int agent_watch(struct agent *agent, pid_t pid)
{
	struct tree tree;

	tree_begin(&tree, pid);
	while (!atomic_load(agent->stop) && !tree_wait(&tree, agent->dir, -1))
		;
	tree_end(&tree);
	agent_drain_rest(agent);
	return EXIT_SUCCESS;
}
