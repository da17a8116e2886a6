// SPDX-License-Identifier: Apache-2.0
#include "operator/verdict.h"

#include <stdarg.h>
#include <stdio.h>

void verdict_set(struct verdict *verdict, enum run_outcome outcome, const char *reason,
                 const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(verdict->message, sizeof(verdict->message), format, args);
    va_end(args);
    verdict->outcome = outcome;
    verdict->reason = reason;
}
