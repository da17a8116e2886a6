// SPDX-License-Identifier: Apache-2.0
/*
 * Answers a recovering PostgreSQL that asks for WAL (wal_protocol) at a Unix socket, from the
 * repository, and fetches ahead of it. One at a time serves a socket. It does not outlive what it
 * serves: it ends when nobody asks any longer, when the server in its data directory is another
 * one, or none, and when its socket is gone. It also ends when it could not open the repository, or
 * lacks a region, once it said so to somebody: the next one has what changed meanwhile.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "sidecar/regions.h"

struct cancel;
struct policy;
struct secrets;

enum { WAL_SERVER_IDLE_MS = 60 * 1000 };

struct wal_server_options {
    const struct policy *policy;
    const struct secrets *secrets;
    struct regions_choice regions;
    uint64_t system_identifier; /* 0: the only one */
    uint32_t segment_bytes;
    const char *socket;        /* a path; beside it lies a lock, the same with ".lock" */
    const char *postmaster;    /* path of postmaster.pid; NULL: nobody's life is watched */
    unsigned idle_ms;          /* ends after so long without a question; 0: never */
    void (*listening)(void *); /* called with arg once questions are heard; may be NULL */
    void *arg;
    struct cancel *cancel; /* triggered also when it ends by itself */
};

/* 0: it ended as above, or on request. CONFLICT: another one serves this socket; PERMANENT: the
 * socket cannot be made. Why the repository cannot be opened is told to those that ask, and then
 * returned. */
MUST_CHECK int wal_server_run(const struct wal_server_options *options, struct error *err);
