// SPDX-License-Identifier: Apache-2.0
/* How a run stands, as its conditions say it, and how its attempt ended, if it did. Pure. */
#pragma once

#include <stdarg.h>
#include <stdbool.h>

#include "operator/run.h"

struct verdict {
    enum run_outcome outcome;
    const char *reason; /* static, of docs/resources.md */
    char message[RUN_MESSAGE_BYTES];
    bool attempt_ends;          /* the attempt under way is over: */
    const char *attempt_reason; /* … why, static; NULL: it succeeded */
    char attempt_error[RUN_MESSAGE_BYTES];
};

/* These leave the attempt as it is. */
void verdict_set(struct verdict *verdict, enum run_outcome outcome, const char *reason,
                 const char *format, ...) __attribute__((format(printf, 4, 5)));
void verdict_set_args(struct verdict *verdict, enum run_outcome outcome, const char *reason,
                      const char *format, va_list args) __attribute__((format(printf, 4, 0)));
/* The attempt that is under way, if one is, did not succeed. */
void verdict_end_attempt(struct verdict *verdict, const struct run *run, const char *reason,
                         const char *error);
/* The run failed, and with it its attempt. */
void verdict_fail_args(struct verdict *verdict, const struct run *run, const char *reason,
                       const char *format, va_list args) __attribute__((format(printf, 4, 0)));
