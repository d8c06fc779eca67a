/* SPDX-License-Identifier: Apache-2.0 */
#include "hooks/runtimes/python_worker.h"

#include <stddef.h>

static void work_on(struct worker *w, const struct fetched *f, const void *context, bool known)
{
	w->what = WORKER_ITEM;
	w->label = known && f->known ? f->label : (struct label){.kind = LABEL_UNKNOWN};
	w->context = context;
	w->runs_item = f->executors;
}

/* The first item of a worker that was started for something. */
static void first_of_started(struct worker *w, const struct fetched *f, const void *context, const struct label *now)
{
	bool agrees = f->known && label_same(now, &f->label);

	if (agrees || f->executors || w->candidate == f->queue)
		w->home = f->queue;
	else
		w->candidate = f->queue; /* its queue, or where it borrows something? One item does not tell */
	work_on(w, f, context, w->home == f->queue);
}

void worker_fetched(struct worker *w, const struct fetched *f, const void *context, const struct label *now, bool serves)
{
	bool agrees = f->known && label_same(now, &f->label);

	w->last_queue = f->queue;
	w->last_item = f->item;
	if (f->queue == w->home) {
		/* With a request unanswered: has it turned to other work, or was it waiting for a result? */
		work_on(w, f, context, !serves || agrees);
		return;
	}
	if (serves || !f->item || (w->home && w->runs_item) || (f->returned && f->borrowed))
		return;
	if (!w->home && now->kind != LABEL_UNKNOWN) {
		first_of_started(w, f, context, now);
	} else if (!w->home) {
		w->home = f->queue;
		work_on(w, f, context, true);
	} else if (!agrees) {
		work_on(w, f, context, false); /* a second queue of its own, perhaps */
	}
}

void worker_missed(struct worker *w, const void *queue)
{
	w->last_queue = queue;
	w->last_item = NULL;
}

bool worker_returns(const struct worker *w, const void *queue, const void *item)
{
	return w->last_queue == queue && (w->last_item == item || w->last_item == NULL);
}
