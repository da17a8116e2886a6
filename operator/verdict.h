// SPDX-License-Identifier: Apache-2.0
/* How a run stands, as its conditions say it. Pure. */
#pragma once

#include "operator/run.h"

struct verdict {
    enum run_outcome outcome;
    const char *reason; /* static, of docs/resources.md */
    char message[RUN_MESSAGE_BYTES];
};

void verdict_set(struct verdict *verdict, enum run_outcome outcome, const char *reason,
                 const char *format, ...) __attribute__((format(printf, 4, 5)));
