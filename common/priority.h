// SPDX-License-Identifier: Apache-2.0
/*
 * How a thread, and those that it starts from then on, stand back behind others on the machine: by
 * nice(2) for the processor and by ioprio_set(2) for disks (whose schedulers heed it: BFQ and
 * mq-deadline do, "none" does not).
 */
#pragma once

#include "common/error.h"

enum priority {
    PRIORITY_NORMAL, /* as it is */
    PRIORITY_LOW,    /* nice 10; the lowest level of the class "best effort" */
    PRIORITY_IDLE,   /* nice 19; the class "idle": only what nobody else wants */
};

/* Never raises what is lower already. PERMANENT: the kernel refuses, which a seccomp filter may
 * make it do; what could be lowered is. */
MUST_CHECK int priority_lower(enum priority priority, struct error *err);
