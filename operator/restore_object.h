// SPDX-License-Identifier: Apache-2.0
/*
 * A RestoreJob as the API server has it: spec and what its status says of the run. Its schema has
 * checked it; what got past it is an error. Fields that this version does not act on are told,
 * never ignored. Pure. Reference: docs/resources.md.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "operator/run.h"

enum { RESTORE_OBJECT_REGIONS_MAX = 8, RESTORE_OBJECT_FIELD_BYTES = 96 };

/* Texts and objects are lent from the object; NULL if missing. */
struct restore_object {
    struct run run;
    const char *policy; /* of its namespace */
    const char *backup; /* id, or "Latest" */
    const char *region; /* to read from first */
    const char *exclude_regions[RESTORE_OBJECT_REGIONS_MAX];
    size_t exclude_count;
    struct {
        const char *name; /* spec's, else the RestoreJob's */
        const char *storage_class, *size, *volume_name;
        json_t *access_modes, *labels, *annotations;
    } claim;
    json_t *pod; /* spec.pod */
    unsigned workers;
    int64_t deadline_seconds;
    int64_t ttl_seconds;                          /* -1: for ever */
    char unsupported[RESTORE_OBJECT_FIELD_BYTES]; /* the first field that we cannot obey; "" */
    const char *claim_uid;                        /* status: of the claim that we made */
    bool began; /* status: the attempt under way was seen running */
};

/* object is lent for the life of the result. PERMANENT. */
MUST_CHECK int restore_object_read(struct restore_object *ret_restore, json_t *object,
                                   struct error *err);
enum { RESTORE_OBJECT_ID_BYTES = 80 };
/* "<name>-<n>" of the attempt after those that there are: the name of its pod. */
void restore_object_next_id(const struct restore_object *restore,
                            char ret_id[RESTORE_OBJECT_ID_BYTES]);
