/* SPDX-License-Identifier: Apache-2.0 */
#include "export/agent.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "export/retry.h"
#include "shim/clock.h"

#define MS_NS 1000000ull
/* How often segments are looked at. At the highest rate of spans that a segment of usual size holds, it is half full
 * after this long. */
#define LOOK_MS 50
/* How often the directory is read for new ones. */
#define SEARCH_NS (250 * MS_NS)
/* A process that exports by itself has begun to after this long; one that has not leaves it to us. */
#define GRACE_NS (1000 * MS_NS)
#define HEARTBEAT_NS (2000 * MS_NS)
#define SERVED_MAX 1024

struct served {
	struct served *next;
	struct consumer consumer;
	struct drain drain;
	bool claimed;
	bool seen;            /* in the directory, at the last look */
	uint64_t since_ns;    /* known since */
	uint64_t waiting_ns;  /* it has had something to export since; 0 = nothing */
	char name[SEGMENT_NAME_MAX];
};

struct serve {
	struct agent *agent;
	struct served *list;
	unsigned n;
	uint64_t beat_ns;
	struct retry retry;
	uint64_t quiet_until_ns; /* the collector is left alone until then */
};

static struct served *find(struct serve *serve, const char *name)
{
	for (struct served *s = serve->list; s; s = s->next)
		if (strcmp(s->name, name) == 0)
			return s;
	return NULL;
}

/* All claimed segments get their heartbeat while a slow collector holds us up at one of them. */
static bool meanwhile(void *arg)
{
	struct serve *serve = arg;
	uint64_t now = clock_monotonic_ns();

	if (now - serve->beat_ns < HEARTBEAT_NS)
		return true;
	serve->beat_ns = now;
	for (struct served *s = serve->list; s; s = s->next)
		if (s->claimed && !consumer_heartbeat(&s->consumer))
			s->claimed = false;
	return true;
}

static bool meet(void *arg, int dir, const char *name)
{
	struct serve *serve = arg;
	struct served *s = find(serve, name);

	if (s) {
		s->seen = true;
		return true;
	}
	s = serve->n < SERVED_MAX ? calloc(1, sizeof(*s)) : NULL;
	if (!s)
		return true;
	/* One of another namespace is not held on to: it is looked at again until nobody has it any more. */
	if (consumer_open(&s->consumer, dir, name) != 0 || consumer_is_foreign(&s->consumer)) {
		consumer_detach(&s->consumer);
		free(s);
		return true;
	}
	strncpy(s->name, name, sizeof(s->name) - 1);
	s->seen = true;
	s->since_ns = clock_monotonic_ns();
	s->drain = agent_drain(serve->agent);
	s->drain.consumer = &s->consumer;
	s->drain.meanwhile = meanwhile;
	s->drain.arg = serve;
	s->next = serve->list;
	serve->list = s;
	serve->n++;
	return true;
}

static void part(struct serve *serve, struct served **at)
{
	struct served *s = *at;

	*at = s->next;
	if (s->claimed)
		consumer_resign(&s->consumer);
	consumer_detach(&s->consumer);
	free(s);
	serve->n--;
}

/* Read the directory; let go of what is gone from it, or done with. */
static void look_around(struct serve *serve)
{
	for (struct served *s = serve->list; s; s = s->next)
		s->seen = false;
	segments_each(serve->agent->dir, meet, serve);
	for (struct served **at = &serve->list; *at;) {
		struct served *s = *at;

		if ((!s->seen && consumer_is_empty(&s->consumer) && !consumer_has_writers(&s->consumer)) ||
		    (s->claimed && segments_retire(&s->drain, serve->agent->dir, s->name)))
			part(serve, at);
		else
			at = &s->next;
	}
}

/* Ours to drain? Where live writers may yet start an exporter of their own, only after the grace. */
static bool is_ours(struct serve *serve, struct served *s, uint64_t now)
{
	if (s->claimed)
		return true;
	if (now - s->since_ns < GRACE_NS && consumer_has_writers(&s->consumer))
		return false;
	s->claimed = consumer_claim(&s->consumer) == 0;
	if (s->claimed)
		drain_begin(&s->drain, serve->agent->room);
	return s->claimed;
}

/* A full enough batch, one that has waited for the schedule delay, or a flush. */
static bool is_due(const struct serve *serve, struct served *s, uint64_t now)
{
	if (drain_is_urgent(&s->drain))
		return true;
	if (consumer_is_empty(&s->consumer)) {
		s->waiting_ns = 0;
		return false;
	}
	if (!s->waiting_ns)
		s->waiting_ns = now;
	return now - s->waiting_ns >= (uint64_t)serve->agent->config->bsp_schedule_delay_ms * MS_NS ||
	       !consumer_has_writers(&s->consumer);
}

/* One segment's turn. One collector serves them all: what it says to one holds for all. */
static void serve_one(struct serve *serve, struct served *s)
{
	if (drain_all(&s->drain)) {
		s->waiting_ns = 0;
		retry_begin(&serve->retry, clock_monotonic_ns());
	} else if (s->drain.lost) {
		s->claimed = false;
	} else {
		serve->quiet_until_ns = clock_monotonic_ns() +
					retry_next_ms(&serve->retry, s->drain.retry_after_ms, 0) * MS_NS;
	}
}

static void serve_all(struct serve *serve)
{
	for (struct served *s = serve->list; s; s = s->next) {
		uint64_t now = clock_monotonic_ns();

		if (is_ours(serve, s, now) && now >= serve->quiet_until_ns && is_due(serve, s, now))
			serve_one(serve, s);
	}
	meanwhile(serve);
}

/* Until stopped, or until the tree is gone (NULL: never). */
static void serve_until(struct agent *agent, struct tree *tree)
{
	struct serve serve = {.agent = agent};
	uint64_t looked_ns = 0;

	retry_begin(&serve.retry, clock_monotonic_ns());
	while (atomic_load(agent->stop) == 0) {
		if (clock_monotonic_ns() - looked_ns >= SEARCH_NS) {
			looked_ns = clock_monotonic_ns();
			look_around(&serve);
		}
		serve_all(&serve);
		if (!tree)
			poll(NULL, 0, LOOK_MS);
		else if (tree_wait(tree, agent->dir, LOOK_MS))
			break;
	}
	look_around(&serve);
	while (serve.list)
		part(&serve, &serve.list);
}

int agent_serve(struct agent *agent)
{
	serve_until(agent, NULL);
	return EXIT_SUCCESS;
}

int agent_serve_for(struct agent *agent, pid_t pid)
{
	struct tree tree;

	tree_begin(&tree, pid);
	serve_until(agent, &tree);
	tree_end(&tree);
	agent_drain_rest(agent);
	return EXIT_SUCCESS;
}
