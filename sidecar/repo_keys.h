// SPDX-License-Identifier: Apache-2.0
/*
 * The keys of a repository: which key objects lie in its regions, which of them the user's keys
 * open, and making those that a new repository or region lacks.
 */
#pragma once

#include "common/error.h"
#include "sidecar/keys.h"

struct policy;
struct repo;
struct secrets;

/* The user's keys (KEKs) of spec.encryption.keys, in that order. */
struct user_keys {
    struct key *keys;
    const char **names; /* lent from the policy */
    size_t count;
    const struct key *active; /* wraps new keys; NULL: encryption.mode None */
};

MUST_CHECK int user_keys_load(struct user_keys *ret_keys, const struct policy *policy,
                              const struct secrets *secrets, struct error *err);
void user_keys_done(struct user_keys *keys);

/* Fills the repository's keyring with all keys that the user's keys open, in any region. The newest
 * data key becomes the active one; the id key is the one that the repository's document names. If
 * it names none yet, because whoever began the repository was stopped, an id key that is there is
 * taken and named; there may be none. PERMANENT: no user key opens the id key (names the ids on
 * both sides); CORRUPT: a key object that a user key should open is damaged, and no other holds
 * that key. */
MUST_CHECK int repo_keys_load(struct repo *repo, const struct user_keys *users, struct error *err);
/* For a new repository, after repo_keys_load: a fresh id key, named in the document. */
MUST_CHECK int repo_keys_make_id(struct repo *repo, struct error *err);
/* Makes a data key unless there is one, and puts id key and data key, wrapped by the active user
 * key, into every writable region that lacks them; a region whose copy is damaged is lost. */
MUST_CHECK int repo_keys_spread(struct repo *repo, const struct user_keys *users,
                                struct error *err);
