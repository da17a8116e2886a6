// SPDX-License-Identifier: Apache-2.0
/*
 * A store whose calls fail as a test tells them to, around a real one. Calls are counted at the
 * driver: each attempt is one.
 */
#pragma once

#include <stdatomic.h>

#include "sidecar/store.h"

enum store_fault {
    STORE_FAULT_TRANSIENT,   /* fails before anything is done */
    STORE_FAULT_PERMANENT,   /* the same, for good */
    STORE_FAULT_LOST_ANSWER, /* all is done, then the answer gets lost: TRANSIENT */
    STORE_FAULT_LOCKED,      /* retention until STORE_FAULT_LOCK_MS: asked for, it says so, and
                                removals are refused: CONFLICT; all else goes well */
    STORE_FAULT_LIE,         /* a put does nothing and says that all is done; other calls work */
    STORE_FAULT_PARTIAL,     /* half of the bytes go over the wire, then TRANSIENT; half of a put
                                lies where a directory has what is on its way, under no name */
    STORE_FAULT_HANG,        /* nothing comes back until the store is cancelled */
    STORE_FAULT_SLOW,        /* a put takes a while, and succeeds */
};

/* 9999-12-31T23:59:59Z */
#define STORE_FAULT_LOCK_MS INT64_C(253402300799000)

/* Takes inner, and lends its cancel; does not wait between attempts. */
struct store *store_fault_wrap(struct store *inner);
/* Calls first to first + count - 1 (from 1) fail so. */
void store_fault_set(struct store *store, unsigned first, unsigned count, enum store_fault fault);
/* Counts them in *calls from now on, which is there longer than the store. */
void store_fault_count(struct store *store, atomic_uint *calls);
/* Before each call, with its number; from any thread. */
void store_fault_watch(struct store *store, void (*watch)(unsigned call));
/* Before each put, with its name; from any thread. */
void store_fault_watch_puts(struct store *store, void (*watch)(const char *name));
/* How many there were. */
unsigned store_fault_calls(const struct store *store);
