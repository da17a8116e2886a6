// SPDX-License-Identifier: Apache-2.0
/* The packs that some manifests refer to, as ranges, however many manifests there are. Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct manifest;
struct manifest_packs;

struct pack_set {
    struct manifest_packs *ranges; /* once sealed: sorted, and apart from each other */
    size_t count;
};

void pack_set_done(struct pack_set *set);
void pack_set_add(struct pack_set *set, const struct manifest *manifest);
void pack_set_seal(struct pack_set *set); /* after the last, before the first question */
bool pack_set_has(const struct pack_set *set, const char *backup, uint32_t number);
