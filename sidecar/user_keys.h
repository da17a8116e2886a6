// SPDX-License-Identifier: Apache-2.0
/*
 * The user's keys (KEKs) of spec.encryption.keys, in that order: what wraps the keys of a
 * repository.
 */
#pragma once

#include <stddef.h>

#include "common/error.h"

struct buf;
struct key;
struct policy;
struct secrets;

struct user_keys {
    struct key *keys;
    const char **names; /* lent from the policy */
    size_t count;
    const struct key *active; /* wraps new keys; NULL: encryption.mode None */
};

MUST_CHECK int user_keys_load(struct user_keys *ret_keys, const struct policy *policy,
                              const struct secrets *secrets, struct error *err);
void user_keys_done(struct user_keys *keys);

/* The name of a user key in spec.encryption.keys, by its id; NULL: it is none of them. */
const char *user_keys_name(const struct user_keys *users, const char *id);
/* Appends "'<name>' (id <kek-id>), …" of them all; a list that is too long is cut. */
void user_keys_list(const struct user_keys *users, struct buf *list);
