// SPDX-License-Identifier: Apache-2.0
/*
 * What is to happen in the stores that are opened from now on, whoever opens them: for tests that
 * are linked with -Wl,--wrap=store_open.
 */
#pragma once

#include <stdatomic.h>

#include "sidecar/tests/helper_store_fault.h"

extern struct store_plan {
    const char *_Atomic region; /* in all stores of this one together; NULL: nothing */
    unsigned first, count;
    enum store_fault fault;
    void (*watch)(unsigned call);         /* NULL: none */
    void (*watch_puts)(const char *name); /* the same */
    atomic_uint calls;
} store_plan;

/* As store_fault_set, first 0: no call fails; calls are counted from 0 again, and nobody watches.
 */
void store_plan_fault(const char *region, unsigned first, unsigned count, enum store_fault fault);
/* While stores are opened by other threads, too. */
void store_plan_nothing(void);
