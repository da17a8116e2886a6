// SPDX-License-Identifier: Apache-2.0
/*
 * Which pod makes the next backup: as source.prefer, fallback and region of the policy say, of
 * those whose sidecar is connected, has loaded this generation of the policy, reaches its database
 * and is idle; among equals the standby with the least lag, rather another one than the pod on
 * which the last attempt failed. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "operator/run.h"

enum {
    SOURCE_FALLBACK_GRACE_MS = 2 * 60000, /* for a standby that may still come */
    SOURCE_GRACE_MS = 10 * 60000,         /* for any pod that will do */
};

/* Texts are lent; lag_seconds is -1 where it is not known. */
struct source_candidate {
    const char *pod, *uid, *region; /* region may be "" */
    const char *unusable;           /* by what the API server says; NULL: nothing is wrong */
    bool connected, fresh;
    const char *config_error; /* NULL: none */
    int64_t generation;
    bool reachable, standby;
    const char *database_error; /* may be NULL */
    int64_t lag_seconds;
    const char *busy; /* the id of its job; NULL: idle */
};

struct source_facts {
    bool prefer_primary, fallback;
    const char *region; /* NULL: any */
    int64_t generation; /* of the policy */
    int64_t waited_ms;  /* since it is this backup's turn */
    const char *avoid;  /* uid of a pod that failed before; may be NULL */
    const struct source_candidate *candidates;
    size_t count;
};

struct source_choice {
    enum { SOURCE_WAIT, SOURCE_CHOSEN, SOURCE_GIVE_UP } verdict;
    size_t index;       /* CHOSEN */
    const char *reason; /* GIVE_UP: NoMember, NoPrimary, NoStandby */
    char message[RUN_MESSAGE_BYTES];
};

void source_choose(const struct source_facts *facts, struct source_choice *ret_choice);
