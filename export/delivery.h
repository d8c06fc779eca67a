/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What became of one attempt to deliver a batch. */
enum delivery_outcome {
	DELIVERY_ACCEPTED, /* the receiver has it, perhaps but for `rejected` spans */
	DELIVERY_REFUSED,  /* it will never be taken: drop and count */
	DELIVERY_RETRY,    /* try again later */
	DELIVERY_STOPPED,  /* we were told to stop: nothing is known, the spans stay where they are */
};

struct delivery {
	enum delivery_outcome outcome;
	uint64_t rejected;       /* of an accepted batch */
	uint32_t retry_after_ms; /* what the receiver asked for; 0 = nothing */
	int kind;                /* of trouble; 0 = none. The same kind again is not logged again */
	char reason[320];        /* of trouble, for the log */
};

/*
 * What a delivery calls at least every 20 ms while it waits: keeps the heartbeat. False: stop now. elapsed_ms counts
 * from the attempt's start.
 */
struct patience {
	bool (*wait_on)(void *arg, uint64_t elapsed_ms);
	void *arg;
};

#define DELIVERY_SLICE_MS 20
