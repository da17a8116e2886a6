// SPDX-License-Identifier: Apache-2.0
/*
 * An SQL session with a PostgreSQL server, 15 to 18. All SQL of the sidecar is in pg.c; everything
 * in it is qualified with pg_catalog, search_path is pg_catalog from the startup packet on, all
 * session time-outs are off, and values are parameters. Every wait can be cancelled. Errors say
 * what a person must do: the GRANT, the pg_hba.conf line, the field.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

struct buf;
struct cancel;
struct changes;
struct changes_range;
struct pg;

/* Empty or NULL values are left to libpq, which looks at PGHOST, PGPORT … and its defaults. */
struct pg_options {
    const char *host; /* name, address, or directory of the Unix socket */
    const char *port;
    const char *user;
    const char *database;
    const struct buf *password; /* lent, NULL: none; never logged */
    const char *ssl_mode;
    int connect_timeout_seconds; /* 0: 10 */
    const struct cancel *cancel; /* lent */
};

/* What the server says of itself. */
struct pg_server {
    uint32_t version_num; /* 170007 */
    uint64_t system_identifier;
    bool in_recovery;
    bool checksums;      /* data_checksums */
    bool summarizes_wal; /* summarize_wal, of PostgreSQL 17 and later */
    uint32_t block_bytes, segment_blocks, wal_segment_bytes;
    int64_t postmaster_started_ms; /* since the epoch */
    char data_directory[1024];
    char bootstrap_superuser[64];
};

/* TRANSIENT: cannot connect, starting up, shutting down; PERMANENT: password, pg_hba.conf, role or
 * database missing. After CANCELED from any call, the session is closed. */
MUST_CHECK int pg_open(struct pg **ret_pg, const struct pg_options *options, struct error *err);
void pg_closep(struct pg **pg); /* ends a backup that this session started */

/* Where the server stands now; of roles without our privileges too. */
struct pg_standing {
    uint32_t version_num;
    uint64_t system_identifier;
    bool in_recovery;
    uint32_t timeline;
    uint64_t lsn;        /* written, or replayed in recovery */
    int64_t lag_seconds; /* of a standby behind its source; -1: not known */
    int64_t postmaster_started_ms;
    char data_directory[1024]; /* "" if the role may not know it */
};
/* PERMANENT for an unsupported version. */
MUST_CHECK int pg_look(struct pg *pg, struct pg_standing *ret_standing, struct error *err);

/* PERMANENT for an unsupported version, a block size other than 8192, or a role that is a superuser
 * or lacks REPLICATION, pg_read_all_settings, pg_monitor, or EXECUTE on the backup functions: the
 * text names the statement that mends it. */
MUST_CHECK int pg_inspect(struct pg *pg, struct pg_server *ret_server, struct error *err);

/* pg_backup_start(label, fast => true): gives the redo LSN. Waits for a checkpoint; cancelling ends
 * it. The timeline of the LSN is found in the history of the server's; backup_label names it. */
MUST_CHECK int pg_backup_start(struct pg *pg, const char *label, uint64_t *ret_start_lsn,
                               struct error *err);

struct pg_backup_end {
    uint64_t consistent_lsn; /* what pg_backup_stop says: on a standby its minRecoveryPoint */
    uint64_t stop_lsn;       /* on a standby what it has replayed: often minutes of WAL further */
    char *backup_label;      /* the caller's (own_freep) */
    char *tablespace_map;    /* "" if there is none */
};
/* pg_backup_stop(wait_for_archive => false). PERMANENT when the standby was promoted meanwhile. */
MUST_CHECK int pg_backup_stop(struct pg *pg, struct pg_backup_end *ret_end, struct error *err);
void pg_backup_end_done(struct pg_backup_end *end);

/* The WAL that is summarized (pg_available_wal_summaries), the caller's array (own_freep). */
MUST_CHECK int pg_summaries(struct pg *pg, struct changes_range **ret_summaries, size_t *ret_count,
                            struct error *err);
/* Adds what a summary says of main forks (pg_wal_summary_contents). */
MUST_CHECK int pg_summary_read(struct pg *pg, const struct changes_range *summary,
                               struct changes *changes, struct error *err);
/* How far a standby has replayed; 0 if it has not begun. */
MUST_CHECK int pg_replayed_lsn(struct pg *pg, uint64_t *ret_lsn, struct error *err);
/* A physical replication slot, and what goes with it. */
struct pg_slot {
    bool found;
    bool lost;   /* max_slot_wal_keep_size was passed: it keeps nothing, and never will again */
    bool active; /* a connection uses it */
    uint64_t restart_lsn;      /* WAL from there on is kept */
    uint64_t left_bytes;       /* that may be written until it is lost; INT64_MAX: no limit */
    uint64_t server_lsn;       /* the end of the server's WAL: flushed, or received in recovery */
    bool may_make_synchronous; /* pg_replication_may_be_synchronous */
};
MUST_CHECK int pg_slot_look(struct pg *pg, const char *name, struct pg_slot *ret_slot,
                            struct error *err);
/* Lets go of the WAL before lsn, of a slot that no connection uses. */
MUST_CHECK int pg_slot_advance(struct pg *pg, const char *name, uint64_t lsn, struct error *err);
/* Whether the server is in recovery now; also tells that the session is alive. */
MUST_CHECK int pg_in_recovery(struct pg *pg, bool *ret_in_recovery, struct error *err);
