// SPDX-License-Identifier: Apache-2.0
/* Where this sidecar stands, as it is told to the operator: a MESSAGE_STATE of what the other
 * modules know. Pure. */
#pragma once

#include "common/message.h"

struct archiver;
struct configuration;
struct database_status;
struct inquiry;
struct results;
struct work;

struct report_facts {
    const struct configuration *configuration;
    const char *other_policy; /* why the loaded policy is not the assigned one; NULL: it is */
    const struct database_status *database;
    const struct work *work;
    const struct results *results;
    const struct inquiry *inquiry;
    const struct archiver *archiver;
};

struct report {
    struct message message; /* its texts are lent from here and from the facts */
    char *problem, *database_error;
    char system_identifier[24], lsn[24];
};

void report_init(struct report *ret_report, const struct report_facts *facts);
void report_done(struct report *report);
