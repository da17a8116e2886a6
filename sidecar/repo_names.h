// SPDX-License-Identifier: Apache-2.0
/*
 * The names of a repository's objects, over all regions that can be reached: sorted, each once.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "sidecar/store.h"

struct regions;

struct repo_name {
    char *name;
    uint64_t size;
    int64_t modified_ms; /* the latest, by the stores' clocks */
    uint32_t regions;    /* bit mask of where it is */
    bool sizes_differ;   /* between those regions */
};

struct repo_names {
    struct repo_name *names;
    size_t count;
    uint32_t unlisted;           /* bit mask of the regions that could not be listed … */
    struct error unlisted_error; /* … and why the first of them could not */
};

void repo_names_done(struct repo_names *names);
/* The index of the first name that is not before text. */
size_t repo_names_lower_bound(const struct repo_names *names, const char *text);
/* The one of exactly this name; lent, or NULL. */
struct repo_name *repo_names_find(const struct repo_names *names, const char *name);

/* Adds an object without the first skip bytes of its name; whoever adds them keeps them sorted.
 * CORRUPT: more than a repository can have. */
MUST_CHECK int repo_names_add(struct repo_names *names, const struct store_object *object,
                              size_t skip, struct error *err);

struct repo_names_below {
    const char *prefix; /* in a store; lent */
    enum store_depth depth;
    size_t skip;  /* so many bytes of the names are left out */
    bool opening; /* nobody else uses regions yet: those that lag behind one that has something
                     are doubted; else all are waited for, or, where they are strict, lost */
};
/* Asks all regions at once; one that did not answer lately only where no other can be asked, unless
 * regions are strict. TRANSIENT or PERMANENT when no region could be listed, or, where they are
 * strict, no quorum of those to write to; regions that could not are logged. */
MUST_CHECK int repo_names_list(struct repo_names *ret_names, struct regions *regions,
                               const struct repo_names_below *below, struct error *err);
