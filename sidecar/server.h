// SPDX-License-Identifier: Apache-2.0
/*
 * The sidecar in a pod, below its supervisor: keeps the channel to the operator, does one job at a
 * time, watches the database so that it is never hurt, and says where it stands. Whatever is
 * missing, configuration, secrets, operator or database, it waits for and says so.
 */
#pragma once

#include "common/error.h"

struct cancel;

struct server_options {           /* all lent */
    const char *config, *secrets; /* directories */
    const char *token;            /* file */
    const char *host, *pgdata;    /* of the database; pgdata may be NULL */
    const char *namespace, *pod, *uid;
    const char *program; /* of jobs; NULL: ours */
    int ledger;          /* descriptor for results; negative: none */
    int tick_ms;         /* how soon is noticed what does not come from outside; 0: 1 s */
    struct cancel *cancel;
};

/* 0 after a cancel, which ends a job as well; -1 if it cannot go on. By the main thread. */
MUST_CHECK int server_run(const struct server_options *options, struct error *err);
