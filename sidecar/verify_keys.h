// SPDX-License-Identifier: Apache-2.0
/*
 * The key objects of a region under verification. That the region opens proves little: one object
 * of each key is enough for that, and what another user key wraps is needed after the next
 * rotation.
 */
#pragma once

#include "common/error.h"

struct user_keys;
struct verify_region;

/* Every object below "keys/": those wrapped by the user's keys must open and hold what their names
 * say, choices say what theirs do; of keys wrapped by others the form is checked, with a note.
 * CANCELED only. */
MUST_CHECK int verify_keys_run(struct verify_region *region, const struct user_keys *users,
                               struct error *err);
