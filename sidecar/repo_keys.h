// SPDX-License-Identifier: Apache-2.0
/*
 * The keys of a repository: which key objects lie in its regions, which of them the user's keys
 * open, and making those that a new repository or region lacks.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "sidecar/keys.h"

struct key_object;
struct repo;
struct user_keys;

/* Fills the repository's keyring with all keys that the user's keys open, in any region. The data
 * key that the last choice names becomes the active one, without any choice the newest; none does
 * if the user's keys do not open the chosen one. The id key is the one that the documents of the
 * regions name; where they disagree, the one that opens. If none names one yet, because whoever
 * began the repository was stopped, an id key that is there is taken and named; there may be none.
 * A key object that a user key should open, but is damaged, while no other holds that key, is a gap
 * in the keyring. Whoever writes loses the regions with such objects, and those whose document
 * names another id key; whoever reads is warned. PERMANENT: no user key opens the id key (names the
 * ids on both sides); CORRUPT: it is damaged; CONFLICT: two regions name two that both open. */
MUST_CHECK int repo_keys_load(struct repo *repo, const struct user_keys *users, bool writes,
                              struct error *err);
/* For a new repository, after repo_keys_load: a fresh id key, named in the document. */
MUST_CHECK int repo_keys_make_id(struct repo *repo, struct error *err);
/* Makes a data key unless there is one, and puts id key, data key and its choice, wrapped by the
 * active user key, into every writable region that lacks them; a region whose copy is damaged is
 * lost. PERMANENT: no user key opens the data key that was chosen. */
MUST_CHECK int repo_keys_spread(struct repo *repo, const struct user_keys *users,
                                struct error *err);
/* Puts one key, wrapped by a user key (NULL: not wrapped), into every writable region that lacks
 * it, and reads it back from each; a region whose copy is damaged is lost. */
MUST_CHECK int repo_keys_put(struct repo *repo, const struct key *key, const struct key *user,
                             struct error *err);
/* Puts all that the user's keys open, and the choices of data keys, into one region that lacks it,
 * and reads the key objects back from there. What is wrapped by other user keys stays away: it may
 * have been dropped. Counts in *ret_put; dry_run: only that. The region's errors; CORRUPT: one of
 * its key objects is damaged, or one that it lacks is so everywhere. */
MUST_CHECK int repo_keys_copy(struct repo *repo, const struct user_keys *users, size_t region,
                              bool dry_run, size_t *ret_put, struct error *err);
/* Chooses a data key of the keyring, which every region has, for all that is sealed from now on by
 * whoever opens the repository. */
MUST_CHECK int repo_keys_choose(struct repo *repo, const struct key *key, struct error *err);

/* What lies below "keys/", as one region has it. */
enum key_state {
    KEY_STATE_SOUND,   /* opened, or a choice that says what its name says */
    KEY_STATE_FOREIGN, /* wrapped by a user key that is none of ours: its form is right */
    KEY_STATE_STRANGE, /* neither key nor choice by its name */
};
/* CORRUPT: it is not what its name says, or damaged. Or the region's error. */
MUST_CHECK int repo_keys_check(struct repo *repo, const struct user_keys *users, size_t region,
                               const char *name, enum key_state *ret_state, struct error *err);

struct key_objects { /* sorted by name */
    struct key_object *objects;
    size_t count;
    uint32_t unlisted; /* bit mask of the regions that could not be listed */
};
void key_objects_done(struct key_objects *objects);
/* Those of user keys, of all regions that can be reached; what is not wrapped is left out. */
MUST_CHECK int key_objects_list(struct repo *repo, struct key_objects *ret_objects,
                                struct error *err);
