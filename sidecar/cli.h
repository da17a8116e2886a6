// SPDX-License-Identifier: Apache-2.0
/*
 * The command line, parsed: one command and its options. An option that a command does not know is
 * an error, never ignored. Pure but for printing help.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "sidecar/backup_id.h"
#include "sidecar/manifest.h"
#include "sidecar/policy.h"
#include "sidecar/progress.h"
#include "sidecar/recovery_target.h"
#include "sidecar/target.h"

enum cli_command {
    CLI_BACKUP,
    CLI_LIST,
    CLI_SHOW,
    CLI_RESTORE,
    CLI_VERIFY,
    CLI_PRUNE,
    CLI_COPY,
    CLI_ROTATE_KEY,
    CLI_WAL_RECEIVE,
    CLI_WAL_FETCH,
    CLI_WAL_SERVE,
    CLI_SERVE,
    CLI_HELP,
    CLI_VERSION,
};

/* Where a pod of ours has what serve wants. */
#define CLI_CONFIG "/etc/lifeboat/config"
#define CLI_SECRETS "/etc/lifeboat/secrets"
#define CLI_TOKEN "/var/run/secrets/lifeboat/token"
#define CLI_HOST "127.0.0.1"

enum { CLI_TABLESPACES_MAX = 256, CLI_WORKERS_MAX = 64, CLI_EXPECTED_MAX = 256 };

struct cli_options {
    enum cli_command command;
    enum cli_command help_for; /* CLI_HELP: itself for all of it */
    const char *policy;        /* -f */
    const char *secrets;
    bool json;
    const char *pgdata, *host, *port, *user;
    enum backup_type type;
    bool type_given;
    const char *id; /* of the backup to be made; NULL: a new one */
    enum backup_type id_type;
    const char *backup_name, *backup_uid; /* both or neither */
    const char *pod, *source_region;
    unsigned deadline_seconds;                 /* 0: none */
    bool progress;                             /* as JSON */
    bool regions, windows;                     /* of list */
    bool delta;                                /* of restore, as are … */
    struct recovery_target_words target_words; /* … what was given of the target … */
    struct recovery_target target;             /* … and the target that it means */
    const char *region, *first_region;
    const char *excluded[POLICY_REGIONS_MAX]; /* of restore */
    size_t excluded_count;
    uint64_t system_identifier; /* 0: the only one */
    const char *backup;         /* of show and restore; NULL: the newest. Of verify; NULL: all */
    const char *to;   /* of restore: a directory; of copy: a region; of wal-fetch: a file */
    const char *from; /* of copy: a region */
    bool dry_run;
    bool new_data_key;                    /* of rotate-key */
    const char *dropped[POLICY_KEYS_MAX]; /* of rotate-key */
    size_t dropped_count;
    struct target_tablespace tablespaces[CLI_TABLESPACES_MAX];
    size_t tablespace_count;
    size_t workers;                                     /* 0: the policy's */
    unsigned sample_percent;                            /* 1 to 100 */
    uint64_t seed;                                      /* 0: a random one */
    struct manifest_witness expected[CLI_EXPECTED_MAX]; /* of verify */
    size_t expected_count;
    const char *asked[POLICY_REGIONS_MAX]; /* of wal-fetch and wal-serve */
    size_t asked_count;
    const char *wal_name;       /* of wal-fetch */
    unsigned patience_seconds;  /* of wal-fetch */
    bool standby, stop_at_gaps; /* of wal-fetch */
    bool hold, drop_slot;       /* of wal-receive */
    const char *config, *token; /* of serve */
    const char *supervised;     /* of serve: the number of the ledger's descriptor, given by the
                                   supervisor and by nobody else; NULL: be the supervisor */
    char *texts[CLI_TABLESPACES_MAX]; /* owned halves of OLD=NEW */
};

/* Texts are lent from argv. PERMANENT: wrong usage, which is exit status 2. */
MUST_CHECK int cli_parse(struct cli_options *ret_options, int argc, char **argv, struct error *err);
void cli_options_done(struct cli_options *options);
/* The help for a command, or all of it; static text. */
const char *cli_help(enum cli_command command);
const char *cli_command_name(enum cli_command command);
/* How progress is wanted. */
enum progress_mode cli_progress(const struct cli_options *options);
