// SPDX-License-Identifier: Apache-2.0
/*
 * The rotation of user keys: wraps the repository's keys for the active user key, in all regions,
 * makes a new data key on request, and drops what other user keys had wrapped. No data is written
 * anew. It may be stopped at any point and run again: nothing is removed before every writable
 * region has every key wrapped by the active user key, read back and unwrapped, so that at any time
 * the old user key opens everything or the new one does.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "sidecar/keys.h"
#include "sidecar/policy.h"

struct cancel;
struct secrets;

enum { KEY_ROTATION_USERS_MAX = 64 };

struct key_rotation_options { /* all lent */
    const struct policy *policy;
    const struct secrets *secrets;
    uint64_t system_identifier; /* 0: the only one */
    const char *const *dropped; /* names in spec.encryption.keys, or ids of user keys */
    size_t dropped_count;
    bool new_data_key;
    bool dry_run; /* says what would be done */
    const struct cancel *cancel;
};

/* A user key that opens something in the repository, or did. */
struct key_rotation_user {
    char id[KEY_ID_TEXT_BYTES];
    const char *name; /* in spec.encryption.keys; NULL: it is not there. Lent from the policy */
    size_t keys;      /* that it opens, in any region */
    size_t removed;   /* key objects of it, in all regions together */
    bool dropped;
    uint32_t left; /* bit mask of the regions that keep its key objects though it is dropped: they
                      are ReadOnly */
};

struct key_rotation_result {
    bool dry_run;
    struct key_rotation_user active;                         /* the new one */
    struct key_rotation_user others[KEY_ROTATION_USERS_MAX]; /* by id */
    size_t other_count;
    size_t keys;                          /* data keys and the id key */
    size_t wrapped;                       /* key objects that were put, in all regions together */
    char new_data_key[KEY_ID_TEXT_BYTES]; /* "": none was made */
    bool wants_data_key;                  /* one was asked for */
    const char *regions[POLICY_REGIONS_MAX]; /* their names, by the bits of masks; lent */
    size_t region_count;
};

/* PERMANENT: encryption is off, what is to be dropped is unknown, active, or alone opens a key;
 * else the errors of the store. Where a writable region cannot be reached the others get the new
 * wrappings, nothing is dropped, and its error is given. */
MUST_CHECK int key_rotation_run(const struct key_rotation_options *options,
                                struct key_rotation_result *ret_result, struct error *err);
