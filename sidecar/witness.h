// SPDX-License-Identifier: Apache-2.0
/*
 * Witnesses against a rolled-back repository: a backup notes the newest manifest of every region,
 * by id and hash, in its own manifest.
 */
#pragma once

#include "common/error.h"

struct manifest;
struct repo;

/* Adds the witnesses to manifest. A manifest that cannot be read is logged and left out. */
MUST_CHECK int witness_collect(struct repo *repo, struct manifest *manifest, struct error *err);
