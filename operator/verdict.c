// SPDX-License-Identifier: Apache-2.0
#include "operator/verdict.h"

#include <stdio.h>

void verdict_set_args(struct verdict *verdict, enum run_outcome outcome, const char *reason,
                      const char *format, va_list args)
{
    vsnprintf(verdict->message, sizeof(verdict->message), format, args);
    verdict->outcome = outcome;
    verdict->reason = reason;
}

void verdict_set(struct verdict *verdict, enum run_outcome outcome, const char *reason,
                 const char *format, ...)
{
    va_list args;
    va_start(args, format);
    verdict_set_args(verdict, outcome, reason, format, args);
    va_end(args);
}

void verdict_end_attempt(struct verdict *verdict, const struct run *run, const char *reason,
                         const char *error)
{
    if (!run_current(run))
        return;
    verdict->attempt_ends = true;
    verdict->attempt_reason = reason;
    snprintf(verdict->attempt_error, sizeof(verdict->attempt_error), "%s", error);
}

void verdict_fail_args(struct verdict *verdict, const struct run *run, const char *reason,
                       const char *format, va_list args)
{
    verdict_set_args(verdict, RUN_FAILED, reason, format, args);
    verdict_end_attempt(verdict, run, reason, verdict->message);
}
