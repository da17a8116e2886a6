// SPDX-License-Identifier: Apache-2.0
/*
 * What the operator keeps in the ConfigMap lifeboat-<policy>, as it is mounted: policy.yaml,
 * endpoint and ca.crt. Any of it may be missing, wrong, or change at any time; the last policy that
 * was right stays until a better one comes, and so do endpoint and certificate. Kubernetes replaces
 * all files of a mount at once, by a symbolic link "..data", through which they are read.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"

struct policy;

struct configuration {
    /* as configuration_init was told */
    const char *directory, *secrets;
    struct policy *policy; /* the last good one; NULL: none yet */
    int64_t generation;    /* of policy; 0: none */
    int policy_file;       /* an open file that policy was read from and nobody changes; -1: none */
    struct error problem;  /* with the policy that is there now, or with its Secret; NONE: fine */
    bool usable;           /* policy is the one that is there now */
    char *endpoint;        /* "host:port"; NULL: none */
    char *ca;              /* PEM; NULL: none */
    uint64_t seen;         /* what the files looked like */
};

/* Texts are lent. Reads nothing yet. */
void configuration_init(struct configuration *ret_configuration, const char *directory,
                        const char *secrets);
void configuration_done(struct configuration *configuration);
/* Looks whether anything has changed, and reads it; true if it did. Cheap if not. */
bool configuration_refresh(struct configuration *configuration);
/* The file of the policy, for "-f"; own_freep. */
char *configuration_policy_path(const struct configuration *configuration);
