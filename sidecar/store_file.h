// SPDX-License-Identifier: Apache-2.0
/*
 * A store in a directory: objects are files below it, read-only to us once they are there. An
 * object is written beside the others, made durable and only then given its name, which is refused
 * to a second one; so a crash leaves no object that is not whole. No symbolic link below the
 * directory is followed.
 */
#pragma once

#include "common/error.h"

struct cancel;
struct policy_region;
struct store;

/* PERMANENT: no such directory. */
MUST_CHECK int store_file_open(struct store **ret_store, const struct policy_region *region,
                               const struct cancel *cancel, struct error *err);
