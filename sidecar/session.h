// SPDX-License-Identifier: Apache-2.0
/* What every command starts with: the policy, its secrets and, to read, the repository. */
#pragma once

#include "common/error.h"

struct cancel;
struct cli_options;
struct policy;
struct regions;
struct repo;
struct secrets;

struct session {
    struct policy *policy;
    struct secrets *secrets;
    struct regions *regions; /* after session_open_repo */
    struct repo *repo;
};

/* Loads policy and secrets. */
MUST_CHECK int session_init(struct session *ret_session, const struct cli_options *options,
                            struct error *err);
/* Stands back behind others as the policy says; before threads are started. What the kernel refuses
 * is logged: the work is worth more. */
void session_stand_back(const struct session *session);
/* Opens the repository for reading. */
MUST_CHECK int session_open_repo(struct session *session, const struct cli_options *options,
                                 const struct cancel *cancel, struct error *err);
void session_done(struct session *session);
