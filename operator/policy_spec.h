// SPDX-License-Identifier: Apache-2.0
/*
 * A BackupPolicy as the operator obeys it, read from an object of the API server, whose schema has
 * checked it; what got past it is an error that names path, value and what was expected. What only
 * the engine acts on (compression, parallelism, details of stores) is left to the sidecar, which
 * checks all of it. Fields that this version does not act on are told, never ignored. Reference:
 * docs/policy.md, docs/resources.md. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "common/error.h"

enum {
    POLICY_SPEC_REGIONS_MAX = 8,
    POLICY_SPEC_SCHEDULES_MAX = 16,
    POLICY_SPEC_KEYS_MAX = 16,
    POLICY_SPEC_GAPS_MAX = 24,
};

enum policy_spec_store { POLICY_SPEC_S3, POLICY_SPEC_AZURE, POLICY_SPEC_FILE };

struct policy_spec_region {
    const char *name;
    bool read_only;
    enum policy_spec_store store;
    const char *credentials, *ca_key; /* in the Secret; may be NULL */
};

struct policy_spec_schedule {
    const char *name, *type; /* "Full", "Differential", "Incremental" */
    const char *cron;        /* as written: see cron_parse */
    const char *time_zone;   /* as written: see zone_open; NULL: UTC */
    unsigned jitter_seconds;
    int64_t starting_deadline_seconds; /* 0: none */
};

/* A field that is set and that this version does not act on: Ready is False with Unsupported. */
struct policy_spec_gap {
    char field[64];    /* "spec.regions[1].azure" */
    const char *means; /* static: what that means, and the remedy */
    bool refused;      /* the engine refuses the whole policy */
};

/* Texts are lent from the object. */
struct policy_spec {
    const char *namespace, *name, *uid;
    int64_t generation, created_ms;
    bool deleted; /* is being deleted */

    bool suspend;
    struct policy_spec_schedule schedules[POLICY_SPEC_SCHEDULES_MAX]; /* names are unique */
    size_t schedule_count;

    struct {
        bool prefer_primary;
        bool fallback;      /* the other role will do */
        const char *region; /* only pods there; NULL: any */
    } source;

    struct policy_spec_region regions[POLICY_SPEC_REGIONS_MAX]; /* names are unique */
    size_t region_count, writable_count;
    unsigned quorum;          /* 1 to writable_count; 0 if that is 0 */
    int64_t deadline_seconds; /* of a run, at least 1 */

    struct {
        int64_t recovery_point_seconds, recovery_time_seconds, backup_seconds; /* 0: not set */
    } objectives;

    bool wal_stream; /* all WAL is stored; else only what a backup needs */

    const char *password_key; /* in the Secret; NULL: none */
    const char *keys[POLICY_SPEC_KEYS_MAX];
    size_t key_count;

    struct policy_spec_gap gaps[POLICY_SPEC_GAPS_MAX];
    size_t gap_count;
};

/* object is lent for the life of the result. PERMANENT. */
MUST_CHECK int policy_spec_read(struct policy_spec *ret_spec, json_t *object, struct error *err);
/* NULL if there is no region of that name. */
const struct policy_spec_region *policy_spec_find_region(const struct policy_spec *spec,
                                                         const char *name);
/* The first field because of which no run can succeed; NULL: none. */
const struct policy_spec_gap *policy_spec_refused(const struct policy_spec *spec);
/* The keys that its Secret must have, for a person: "password, eu.access-key-id, …"; own_freep. */
char *policy_spec_secret_keys(const struct policy_spec *spec);
