// SPDX-License-Identifier: Apache-2.0
#include "sidecar/cli.h"

#include <errno.h>
#include <getopt.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "common/own.h"
#include "common/text.h"

/* bits of the commands, by their number */
enum {
    FOR_BACKUP = 1 << CLI_BACKUP,
    FOR_LIST = 1 << CLI_LIST,
    FOR_SHOW = 1 << CLI_SHOW,
    FOR_RESTORE = 1 << CLI_RESTORE,
    FOR_VERIFY = 1 << CLI_VERIFY,
    FOR_PRUNE = 1 << CLI_PRUNE,
    FOR_COPY = 1 << CLI_COPY,
    FOR_ROTATE_KEY = 1 << CLI_ROTATE_KEY,
    FOR_WAL_RECEIVE = 1 << CLI_WAL_RECEIVE,
    FOR_WAL_FETCH = 1 << CLI_WAL_FETCH,
    FOR_WAL = FOR_WAL_FETCH | 1 << CLI_WAL_SERVE,
    FOR_SERVE = 1 << CLI_SERVE,
    FOR_READING = FOR_LIST | FOR_SHOW | FOR_RESTORE | FOR_VERIFY | FOR_PRUNE,
    FOR_ONCE = FOR_BACKUP | FOR_READING | FOR_COPY | FOR_ROTATE_KEY | FOR_WAL_RECEIVE,
    FOR_JOBS = FOR_BACKUP | FOR_RESTORE | FOR_COPY,
};

enum { PERCENT_ALL = 100, DEADLINE_SECONDS_MAX = 366 * 24 * 60 * 60, PATIENCE_SECONDS = 600 };

enum {
    OPTION_SECRETS = 256,
    OPTION_PGDATA,
    OPTION_HOST,
    OPTION_PORT,
    OPTION_USER,
    OPTION_TYPE,
    OPTION_REGION,
    OPTION_SYSTEM,
    OPTION_BACKUP,
    OPTION_TO,
    OPTION_FROM,
    OPTION_DRY_RUN,
    OPTION_DROP,
    OPTION_NEW_DATA_KEY,
    OPTION_TABLESPACE,
    OPTION_WORKERS,
    OPTION_SAMPLE,
    OPTION_SEED,
    OPTION_EXPECT,
    OPTION_ID,
    OPTION_BACKUP_NAME,
    OPTION_BACKUP_UID,
    OPTION_POD,
    OPTION_SOURCE_REGION,
    OPTION_FIRST_REGION,
    OPTION_EXCLUDE_REGION,
    OPTION_PROGRESS,
    OPTION_DEADLINE,
    OPTION_REGIONS,
    OPTION_CONFIG,
    OPTION_TOKEN,
    OPTION_SUPERVISED,
    OPTION_DELTA,
    OPTION_WINDOWS,
    OPTION_PATIENCE,
    OPTION_STANDBY,
    OPTION_STOP_AT_GAPS,
    OPTION_HOLD,
    OPTION_DROP_SLOT,
    OPTION_TARGET_TIME,
    OPTION_TARGET_LSN,
    OPTION_TARGET_XID,
    OPTION_TARGET_NAME,
    OPTION_TARGET_IMMEDIATE,
    OPTION_TARGET_LATEST,
    OPTION_TARGET_TIMELINE,
    OPTION_TARGET_EXCLUSIVE,
    OPTION_TARGET_ACTION,
};

/* clang-format off */
static const struct option long_options[] = {
    {"file", required_argument, NULL, 'f'},
    {"output", required_argument, NULL, 'o'},
    {"help", no_argument, NULL, 'h'},
    {"secrets", required_argument, NULL, OPTION_SECRETS},
    {"pgdata", required_argument, NULL, OPTION_PGDATA},
    {"host", required_argument, NULL, OPTION_HOST},
    {"port", required_argument, NULL, OPTION_PORT},
    {"user", required_argument, NULL, OPTION_USER},
    {"type", required_argument, NULL, OPTION_TYPE},
    {"region", required_argument, NULL, OPTION_REGION},
    {"system-identifier", required_argument, NULL, OPTION_SYSTEM},
    {"backup", required_argument, NULL, OPTION_BACKUP},
    {"to", required_argument, NULL, OPTION_TO},
    {"from", required_argument, NULL, OPTION_FROM},
    {"dry-run", no_argument, NULL, OPTION_DRY_RUN},
    {"drop", required_argument, NULL, OPTION_DROP},
    {"new-data-key", no_argument, NULL, OPTION_NEW_DATA_KEY},
    {"tablespace", required_argument, NULL, OPTION_TABLESPACE},
    {"workers", required_argument, NULL, OPTION_WORKERS},
    {"sample", required_argument, NULL, OPTION_SAMPLE},
    {"seed", required_argument, NULL, OPTION_SEED},
    {"expect", required_argument, NULL, OPTION_EXPECT},
    {"id", required_argument, NULL, OPTION_ID},
    {"backup-name", required_argument, NULL, OPTION_BACKUP_NAME},
    {"backup-uid", required_argument, NULL, OPTION_BACKUP_UID},
    {"pod", required_argument, NULL, OPTION_POD},
    {"source-region", required_argument, NULL, OPTION_SOURCE_REGION},
    {"first-region", required_argument, NULL, OPTION_FIRST_REGION},
    {"exclude-region", required_argument, NULL, OPTION_EXCLUDE_REGION},
    {"progress", required_argument, NULL, OPTION_PROGRESS},
    {"deadline", required_argument, NULL, OPTION_DEADLINE},
    {"regions", no_argument, NULL, OPTION_REGIONS},
    {"config", required_argument, NULL, OPTION_CONFIG},
    {"token", required_argument, NULL, OPTION_TOKEN},
    {"supervised", required_argument, NULL, OPTION_SUPERVISED},
    {"delta", no_argument, NULL, OPTION_DELTA},
    {"windows", no_argument, NULL, OPTION_WINDOWS},
    {"patience", required_argument, NULL, OPTION_PATIENCE},
    {"standby", no_argument, NULL, OPTION_STANDBY},
    {"stop-at-gaps", no_argument, NULL, OPTION_STOP_AT_GAPS},
    {"hold", no_argument, NULL, OPTION_HOLD},
    {"drop-slot", no_argument, NULL, OPTION_DROP_SLOT},
    {"target-time", required_argument, NULL, OPTION_TARGET_TIME},
    {"target-lsn", required_argument, NULL, OPTION_TARGET_LSN},
    {"target-xid", required_argument, NULL, OPTION_TARGET_XID},
    {"target-name", required_argument, NULL, OPTION_TARGET_NAME},
    {"target-immediate", no_argument, NULL, OPTION_TARGET_IMMEDIATE},
    {"target-latest", no_argument, NULL, OPTION_TARGET_LATEST},
    {"target-timeline", required_argument, NULL, OPTION_TARGET_TIMELINE},
    {"target-exclusive", no_argument, NULL, OPTION_TARGET_EXCLUSIVE},
    {"target-action", required_argument, NULL, OPTION_TARGET_ACTION},
    {0},
};
/* clang-format on */

#define TEXT(member) (offsetof(struct cli_options, member) + 1)

/* Who knows an option, and, where its value is taken as it is, which text of cli_options it is. */
static const struct {
    int option;
    unsigned commands;
    size_t text; /* TEXT; 0: set_option knows what to do */
} known_options[] = {
    {'f', FOR_ONCE | FOR_WAL, TEXT(policy)},
    {'o', FOR_ONCE, 0},
    {OPTION_SECRETS, FOR_ONCE | FOR_WAL | FOR_SERVE, TEXT(secrets)},
    {OPTION_PGDATA, FOR_BACKUP | FOR_WAL_RECEIVE | FOR_SERVE, TEXT(pgdata)},
    {OPTION_HOST, FOR_BACKUP | FOR_WAL_RECEIVE | FOR_SERVE, TEXT(host)},
    {OPTION_PORT, FOR_BACKUP | FOR_WAL_RECEIVE, 0},
    {OPTION_USER, FOR_BACKUP | FOR_WAL_RECEIVE, TEXT(user)},
    {OPTION_TYPE, FOR_BACKUP, 0},
    {OPTION_REGION, FOR_READING | FOR_WAL, 0},
    {OPTION_SYSTEM, FOR_READING | FOR_COPY | FOR_ROTATE_KEY | FOR_WAL, 0},
    {OPTION_BACKUP, FOR_RESTORE | FOR_VERIFY, TEXT(backup)},
    {OPTION_TO, FOR_RESTORE | FOR_COPY, TEXT(to)},
    {OPTION_FROM, FOR_COPY, TEXT(from)},
    {OPTION_DRY_RUN, FOR_PRUNE | FOR_COPY | FOR_ROTATE_KEY, 0},
    {OPTION_DROP, FOR_ROTATE_KEY, 0},
    {OPTION_NEW_DATA_KEY, FOR_ROTATE_KEY, 0},
    {OPTION_TABLESPACE, FOR_RESTORE, 0},
    {OPTION_WORKERS, FOR_RESTORE | FOR_VERIFY | FOR_COPY, 0},
    {OPTION_SAMPLE, FOR_VERIFY, 0},
    {OPTION_SEED, FOR_VERIFY, 0},
    {OPTION_EXPECT, FOR_VERIFY, 0},
    {OPTION_ID, FOR_BACKUP, 0},
    {OPTION_BACKUP_NAME, FOR_BACKUP, TEXT(backup_name)},
    {OPTION_BACKUP_UID, FOR_BACKUP, TEXT(backup_uid)},
    {OPTION_POD, FOR_BACKUP, TEXT(pod)},
    {OPTION_SOURCE_REGION, FOR_BACKUP, TEXT(source_region)},
    {OPTION_FIRST_REGION, FOR_RESTORE, TEXT(first_region)},
    {OPTION_EXCLUDE_REGION, FOR_RESTORE, 0},
    {OPTION_PROGRESS, FOR_JOBS | FOR_WAL_RECEIVE, 0},
    {OPTION_DEADLINE, FOR_JOBS, 0},
    {OPTION_REGIONS, FOR_LIST, 0},
    {OPTION_WINDOWS, FOR_LIST, 0},
    {OPTION_DELTA, FOR_RESTORE, 0},
    {OPTION_PATIENCE, FOR_WAL_FETCH, 0},
    {OPTION_STANDBY, FOR_WAL_FETCH, 0},
    {OPTION_STOP_AT_GAPS, FOR_WAL_FETCH, 0},
    {OPTION_HOLD, FOR_WAL_RECEIVE, 0},
    {OPTION_DROP_SLOT, FOR_WAL_RECEIVE, 0},
    {OPTION_TARGET_TIME, FOR_RESTORE, TEXT(target_words.time)},
    {OPTION_TARGET_LSN, FOR_RESTORE, TEXT(target_words.lsn)},
    {OPTION_TARGET_XID, FOR_RESTORE, TEXT(target_words.xid)},
    {OPTION_TARGET_NAME, FOR_RESTORE, TEXT(target_words.name)},
    {OPTION_TARGET_IMMEDIATE, FOR_RESTORE, 0},
    {OPTION_TARGET_LATEST, FOR_RESTORE, 0},
    {OPTION_TARGET_TIMELINE, FOR_RESTORE, TEXT(target_words.timeline)},
    {OPTION_TARGET_EXCLUSIVE, FOR_RESTORE, 0},
    {OPTION_TARGET_ACTION, FOR_RESTORE, TEXT(target_words.action)},
    {OPTION_CONFIG, FOR_SERVE, TEXT(config)},
    {OPTION_TOKEN, FOR_SERVE, TEXT(token)},
    {OPTION_SUPERVISED, FOR_SERVE, TEXT(supervised)},
};

static const char *const command_names[] = {
    [CLI_BACKUP] = "backup",
    [CLI_LIST] = "list",
    [CLI_SHOW] = "show",
    [CLI_RESTORE] = "restore",
    [CLI_VERIFY] = "verify",
    [CLI_PRUNE] = "prune",
    [CLI_COPY] = "copy",
    [CLI_ROTATE_KEY] = "rotate-key",
    [CLI_WAL_FETCH] = "wal-fetch",
    [CLI_WAL_SERVE] = "wal-serve",
    [CLI_WAL_RECEIVE] = "wal-receive",
    [CLI_SERVE] = "serve",
    [CLI_HELP] = "help",
    [CLI_VERSION] = "version",
};

#define COMMON_HELP                                                                                \
    "  -f FILE                  the BackupPolicy (YAML)\n"                                         \
    "  --secrets DIR            the policy's Secret as a directory, one file a key\n"              \
    "  -o json                  print machine-readable output\n"
#define READ_HELP                                                                                  \
    "  --region NAME            use this region only\n"                                            \
    "  --system-identifier N    the database system, if the bucket has several\n"

#define WAL_HELP                                                                                   \
    "  -f FILE                  the BackupPolicy (YAML)\n"                                         \
    "  --secrets DIR            the policy's Secret as a directory, one file a key\n"              \
    "  --region NAME            read from this region only; several are asked in their order\n"    \
    "  --system-identifier N    the database system; else that of the data directory\n"

#define JOB_HELP                                                                                   \
    "  --deadline SECONDS       end with an error when it takes longer\n"                          \
    "  --progress json          print progress on stderr as JSON, a line a second\n"

static const char *const help_texts[] = {
    [CLI_BACKUP] =
        "usage: lifeboat-sidecar backup -f FILE [options]\n"
        "\n"
        "Backs up a running PostgreSQL server, primary or standby.\n"
        "\n" COMMON_HELP "  --type TYPE              full (the default): everything; differential: "
        "what changed since\n"
        "                           the newest full backup; incremental: since the newest\n"
        "  --pgdata DIR             the data directory (else PGDATA, else what the\n"
        "                           server says)\n"
        "  --host HOST              server, or directory of its Unix socket\n"
        "  --port PORT --user USER  override spec.connection, as PGPORT and PGUSER do\n"
        "  --id ID                  the backup's id, of the type that is asked for; else a\n"
        "                           new one\n"
        "  --backup-name NAME --backup-uid UID\n"
        "                           the Backup that it is made for, noted in the manifest\n"
        "  --pod NAME --source-region NAME\n"
        "                           where it is made, noted in the manifest\n" JOB_HELP,
    [CLI_LIST] = "usage: lifeboat-sidecar list -f FILE [options]\n"
                 "\n"
                 "Lists the backups in the repository, newest first, and what can be recovered\n"
                 "with them and the write-ahead log.\n"
                 "\n" COMMON_HELP
                 "  --windows                only what can be recovered: from when and where to\n"
                 "                           when and where, on which timeline, and the gaps\n"
                 "  --regions                say of each region whether it can be reached and\n"
                 "                           what it holds, instead; with --windows also what can\n"
                 "                           be recovered from it alone\n" READ_HELP,
    [CLI_SHOW] = "usage: lifeboat-sidecar show -f FILE [options] [ID]\n"
                 "\n"
                 "Shows one backup, the newest without ID.\n"
                 "\n" COMMON_HELP READ_HELP,
    [CLI_RESTORE] =
        "usage: lifeboat-sidecar restore -f FILE --to DIR [options]\n"
        "\n"
        "Restores a backup into an empty directory, ready for pg_ctl start. A restore that was\n"
        "ended half-way goes on when it is run again.\n"
        "\n" COMMON_HELP "  --to DIR                 where to; made if it does not exist\n"
        "  --delta                  DIR may have a database of the same system: it becomes\n"
        "                           the backup, and only what differs is fetched and written\n"
        "  --backup ID              which one; without it the newest, or the newest from which\n"
        "                           the target can be reached\n" READ_HELP
        "  --tablespace OLD=NEW     put the tablespace from OLD into NEW; may be repeated\n"
        "  --workers N              parallel workers; else spec.parallelism.workers\n"
        "  --first-region NAME      read from this region first; others have what it lacks\n"
        "  --exclude-region NAME    do not read from this region; may be repeated\n" JOB_HELP "\n"
        "Without a target the server recovers to the end of the backup. With one it recovers\n"
        "when it is started, and fails if it does not get there:\n"
        "\n"
        "  --target-time TIME       after the last transaction up to then, with a zone:\n"
        "                           2026-11-21T16:15:00Z\n"
        "  --target-lsn LSN         after the WAL record at this position\n"
        "  --target-xid ID          after the end of this transaction\n"
        "  --target-name NAME       at this restore point\n"
        "  --target-immediate       at the end of the backup\n"
        "  --target-latest          at the end of all WAL\n"
        "  --target-exclusive       before the transaction or record, not after it\n"
        "  --target-timeline T      along which timeline: latest (the default), current (the\n"
        "                           backup's), or a number\n"
        "  --target-action ACTION   what then: promote (the default), pause or shutdown\n",
    [CLI_VERIFY] =
        "usage: lifeboat-sidecar verify -f FILE [options]\n"
        "\n"
        "Reads what the backups consist of, in every region, and lists all that is wrong.\n"
        "\n" COMMON_HELP
        "  --backup ID              this one and its WAL only, or Latest\n" READ_HELP
        "  --sample PERCENT         read that share of the packs and of the WAL that no\n"
        "                           backup needs, chosen at random\n"
        "  --seed N                 choose the same ones again\n"
        "  --expect ID:HASH         this backup is there, its manifest has this SHA-256 (see\n"
        "                           show); may be repeated\n"
        "  --workers N              parallel workers; else spec.parallelism.workers\n"
        "\n"
        "Exit status 1 if anything is wrong; notes are no harm to any restore.\n",
    [CLI_PRUNE] =
        "usage: lifeboat-sidecar prune -f FILE [options]\n"
        "\n"
        "Removes the backups that spec.retention does not keep, and what crashes left behind, "
        "from\n"
        "every region that may be written to. Without retention no backup is removed.\n"
        "\n" COMMON_HELP
        "  --dry-run                remove nothing, but tell what would be, and why\n" READ_HELP,
    [CLI_COPY] =
        "usage: lifeboat-sidecar copy -f FILE --from REGION --to REGION [options]\n"
        "\n"
        "Copies the backups and the WAL that a region lacks from another one, sealed as they\n"
        "are. Copying again copies what is still missing.\n"
        "\n" COMMON_HELP
        "  --from REGION            where to copy from; what is missing or damaged there is\n"
        "                           taken from a third region\n"
        "  --to REGION              where to copy to\n"
        "  --system-identifier N    the database system, if the bucket has several\n"
        "  --workers N              parallel copies; else spec.parallelism.uploads\n"
        "  --dry-run                say what would be copied\n" JOB_HELP,
    [CLI_ROTATE_KEY] =
        "usage: lifeboat-sidecar rotate-key -f FILE [options]\n"
        "\n"
        "Wraps the repository's keys for spec.encryption.activeKey, in every region. No data is\n"
        "written anew. Stopped at any point, it can be run again.\n"
        "\n" COMMON_HELP "  --new-data-key           make a new data key for the backups to come\n"
        "  --drop KEY               then remove what is wrapped by this user key, given by its\n"
        "                           name in spec.encryption.keys or by its id; may be repeated\n"
        "  --system-identifier N    the database system, if the bucket has several\n"
        "  --dry-run                say what would be done\n",
    [CLI_WAL_RECEIVE] =
        "usage: lifeboat-sidecar wal-receive -f FILE [options]\n"
        "\n"
        "Streams the write-ahead log of a running server, primary or standby, into the regions,\n"
        "until it is stopped: complete segments at once, what there is of the next one every\n"
        "spec.wal.flushSeconds. A replication slot keeps on the server what is not stored yet.\n"
        "\n" COMMON_HELP "  --host HOST              server, or directory of its Unix socket\n"
        "  --port PORT --user USER  override spec.connection, as PGPORT and PGUSER do\n"
        "  --pgdata DIR             the data directory (else PGDATA), so that room for WAL on\n"
        "                           its volume is watched\n"
        "  --hold                   stream nothing: only keep the slot, and let it go on with\n"
        "                           what the regions have, on a server that may stream later\n"
        "  --drop-slot              only drop the slot\n"
        "  --progress json          print on stderr how it goes as JSON, a line for each change\n"
        "\n"
        "SIGTERM and SIGINT end it with status 0, within ten seconds, when what came is stored.\n",
    [CLI_WAL_FETCH] =
        "usage: lifeboat-sidecar wal-fetch -f FILE [options] NAME PATH\n"
        "\n"
        "PostgreSQL's restore_command: writes the file NAME (%f) of WAL or of a timeline's "
        "history\n"
        "to PATH (%p), whole or not at all. Runs in the data directory, as PostgreSQL does. "
        "Starts\n"
        "wal-serve there if nobody answers.\n"
        "\n" WAL_HELP "  --patience SECONDS       how long to ask while nobody can tell (600)\n"
        "  --standby                ask for ever\n"
        "  --stop-at-gaps           a gap in the WAL is its end, for a recovery that has a target\n"
        "                           and fails if it does not reach it\n"
        "\n"
        "Exit status: 0 written; 1 every region was asked and the WAL ends before it; 126 failed,\n"
        "also wrong usage, so that PostgreSQL stops and does not take it for the end.\n",
    [CLI_WAL_SERVE] =
        "usage: lifeboat-sidecar wal-serve -f FILE [options]\n"
        "\n"
        "Answers wal-fetch in the data directory that is the working directory, and fetches ahead\n"
        "of it, spec.parallelism.uploads segments at once. wal-fetch starts it. Ends when nobody\n"
        "has asked for a minute, and with the server in that directory.\n"
        "\n" WAL_HELP,
    [CLI_SERVE] =
        "usage: lifeboat-sidecar serve [options]\n"
        "\n"
        "The sidecar in a pod: does what the operator says. Never ends by itself, whatever is\n"
        "missing or wrong: it says so and waits.\n"
        "\n"
        "  --config DIR             the ConfigMap lifeboat-<policy>: policy.yaml, endpoint,\n"
        "                           ca.crt (" CLI_CONFIG ")\n"
        "  --secrets DIR            the Secret lifeboat-<policy> (" CLI_SECRETS ")\n"
        "  --token FILE             the service account token for the operator\n"
        "                           (" CLI_TOKEN ")\n"
        "  --pgdata DIR             the data directory (else PGDATA, else what the\n"
        "                           server says)\n"
        "  --host HOST              the server, or directory of its Unix socket (" CLI_HOST ")\n",
    [CLI_HELP] = "usage: lifeboat-sidecar COMMAND -f FILE [options]\n"
                 "\n"
                 "Backs up PostgreSQL: parallel, compressed, encrypted, to S3 or a directory.\n"
                 "\n"
                 "  backup     back up a running server\n"
                 "  list       list the backups in the repository\n"
                 "  show       show one backup\n"
                 "  restore    restore a backup into an empty directory\n"
                 "  verify     read the backups and list all that is wrong\n"
                 "  prune      remove the backups that spec.retention does not keep\n"
                 "  copy       copy what a region lacks from another one\n"
                 "  rotate-key change the user key that opens the repository\n"
                 "  wal-receive\n"
                 "             stream the write-ahead log until it is stopped\n"
                 "  wal-fetch  PostgreSQL's restore_command\n"
                 "  wal-serve  answer wal-fetch, which starts it\n"
                 "  serve      the sidecar in a pod, obeying the operator\n"
                 "\n"
                 "'lifeboat-sidecar COMMAND --help' tells more. Exit status: 0 done, 1 failed,\n"
                 "2 wrong usage.\n",
};

const char *cli_help(enum cli_command command)
{
    return help_texts[command < CLI_HELP ? command : CLI_HELP];
}

const char *cli_command_name(enum cli_command command)
{
    return command_names[command];
}

enum progress_mode cli_progress(const struct cli_options *options)
{
    if (options->progress)
        return PROGRESS_JSON;
    return options->json ? PROGRESS_LOG : PROGRESS_TERMINAL;
}

void cli_options_done(struct cli_options *options)
{
    for (size_t i = 0; i < options->tablespace_count; i++)
        free(options->texts[i]);
    options->tablespace_count = 0;
}

static const char *option_name(int option)
{
    for (const struct option *known = long_options; known->name; known++)
        if (known->val == option)
            return known->name;
    return "?";
}

static int parse_number(const char *name, const char *text, uint64_t max, uint64_t *ret_number,
                        struct error *err)
{
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || number == 0 || number > max)
        return error_set(err, ERROR_PERMANENT, "--%s '%s': expected a number from 1 to %llu", name,
                         text, (unsigned long long)max);
    *ret_number = number;
    return 0;
}

static int parse_type(struct cli_options *options, const char *text, struct error *err)
{
    for (int type = 0; backup_type_names[type]; type++) {
        if (strcmp(text, backup_type_names[type]) != 0)
            continue;
        options->type = (enum backup_type)type;
        options->type_given = true;
        return 0;
    }
    return error_set(err, ERROR_PERMANENT,
                     "--type '%s': expected full, differential or incremental", text);
}

static int parse_tablespace(struct cli_options *options, const char *text, struct error *err)
{
    const char *equals = strchr(text, '=');
    if (!equals || text[0] != '/' || equals[1] != '/')
        return error_set(err, ERROR_PERMANENT,
                         "--tablespace '%s': expected OLD=NEW, both absolute paths", text);
    if (options->tablespace_count == CLI_TABLESPACES_MAX)
        return error_set(err, ERROR_PERMANENT, "--tablespace: more than %d", CLI_TABLESPACES_MAX);
    char *old = own_strdup(text);
    old[equals - text] = '\0';
    options->texts[options->tablespace_count] = old;
    options->tablespaces[options->tablespace_count++] = (struct target_tablespace){
        .old_location = old,
        .new_location = old + (equals - text) + 1,
    };
    return 0;
}

/* "ID:HASH" */
static int parse_expected(struct cli_options *options, const char *text, struct error *err)
{
    const char *colon = strchr(text, ':');
    struct manifest_witness witness = {0};
    enum backup_type type;
    int64_t start_ms;
    if (colon && (size_t)(colon - text) < sizeof(witness.backup))
        memcpy(witness.backup, text, (size_t)(colon - text));
    if (!backup_id_parse(witness.backup, &type, &start_ms) ||
        !text_parse_hex(colon + 1, witness.sha256, sizeof(witness.sha256)))
        return error_set(err, ERROR_PERMANENT,
                         "--expect '%s': expected ID:HASH, a backup and the SHA-256 that 'show' "
                         "prints (64 hexadecimal digits)",
                         text);
    if (options->expected_count == CLI_EXPECTED_MAX)
        return error_set(err, ERROR_PERMANENT, "--expect: more than %d", CLI_EXPECTED_MAX);
    options->expected[options->expected_count++] = witness;
    return 0;
}

static int parse_id(struct cli_options *options, const char *text, struct error *err)
{
    int64_t start_ms;
    if (!backup_id_parse(text, &options->id_type, &start_ms))
        return error_set(err, ERROR_PERMANENT,
                         "--id '%s': expected a backup id like 20261121T082118Z-full-3fa2", text);
    options->id = text;
    return 0;
}

/* The only one, or one of several. */
static int add_region(struct cli_options *options, const char *text, struct error *err)
{
    if (!(FOR_WAL & 1u << options->command)) {
        options->region = text;
        return 0;
    }
    if (options->asked_count == POLICY_REGIONS_MAX)
        return error_set(err, ERROR_PERMANENT, "--region: more than %d", POLICY_REGIONS_MAX);
    options->asked[options->asked_count++] = text;
    return 0;
}

static int add_excluded(struct cli_options *options, const char *text, struct error *err)
{
    if (options->excluded_count == POLICY_REGIONS_MAX)
        return error_set(err, ERROR_PERMANENT, "--exclude-region: more than %d",
                         POLICY_REGIONS_MAX);
    options->excluded[options->excluded_count++] = text;
    return 0;
}

static int add_dropped(struct cli_options *options, const char *text, struct error *err)
{
    if (options->dropped_count == POLICY_KEYS_MAX)
        return error_set(err, ERROR_PERMANENT, "--drop: more than %d", POLICY_KEYS_MAX);
    options->dropped[options->dropped_count++] = text;
    return 0;
}

/* Options whose only value is "json". */
static int parse_json(const char *name, const char *text, bool *ret_json, struct error *err)
{
    if (strcmp(text, "json") != 0)
        return error_set(err, ERROR_PERMANENT, "%s '%s': expected json", name, text);
    *ret_json = true;
    return 0;
}

static int set_number(struct cli_options *options, int option, const char *value, struct error *err)
{
    static const struct {
        int option;
        uint64_t max;
    } numbers[] = {
        {OPTION_PORT, 65535},
        {OPTION_SYSTEM, UINT64_MAX},
        {OPTION_SEED, UINT64_MAX},
        {OPTION_SAMPLE, 100},
        {OPTION_WORKERS, CLI_WORKERS_MAX},
        {OPTION_DEADLINE, DEADLINE_SECONDS_MAX},
        {OPTION_PATIENCE, DEADLINE_SECONDS_MAX},
    };
    uint64_t number = 0, max = 0;
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
        if (numbers[i].option == option)
            max = numbers[i].max;
    if (parse_number(option_name(option), value, max, &number, err) < 0)
        return -1;
    if (option == OPTION_PORT)
        options->port = value;
    else if (option == OPTION_SYSTEM)
        options->system_identifier = number;
    else if (option == OPTION_SEED)
        options->seed = number;
    else if (option == OPTION_SAMPLE)
        options->sample_percent = (unsigned)number;
    else if (option == OPTION_WORKERS)
        options->workers = (size_t)number;
    else if (option == OPTION_PATIENCE)
        options->patience_seconds = (unsigned)number;
    else
        options->deadline_seconds = (unsigned)number;
    return 0;
}

/* Options without a value. */
static bool set_flag(struct cli_options *options, int option)
{
    const struct {
        int option;
        bool *flag;
    } flags[] = {
        {OPTION_REGIONS, &options->regions},
        {OPTION_WINDOWS, &options->windows},
        {OPTION_DELTA, &options->delta},
        {OPTION_DRY_RUN, &options->dry_run},
        {OPTION_NEW_DATA_KEY, &options->new_data_key},
        {OPTION_STANDBY, &options->standby},
        {OPTION_STOP_AT_GAPS, &options->stop_at_gaps},
        {OPTION_HOLD, &options->hold},
        {OPTION_DROP_SLOT, &options->drop_slot},
        {OPTION_TARGET_IMMEDIATE, &options->target_words.immediate},
        {OPTION_TARGET_LATEST, &options->target_words.latest},
        {OPTION_TARGET_EXCLUSIVE, &options->target_words.exclusive},
    };
    for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
        if (flags[i].option != option)
            continue;
        *flags[i].flag = true;
        return true;
    }
    return false;
}

static int set_option(struct cli_options *options, int option, const char *value, struct error *err)
{
    switch (option) {
    case 'h':
        options->help_for = options->command;
        options->command = CLI_HELP;
        return 0;
    case 'o':
        return parse_json("-o", value, &options->json, err);
    case OPTION_PROGRESS:
        return parse_json("--progress", value, &options->progress, err);
    case OPTION_DROP:
        return add_dropped(options, value, err);
    case OPTION_TYPE:
        return parse_type(options, value, err);
    case OPTION_TABLESPACE:
        return parse_tablespace(options, value, err);
    case OPTION_EXPECT:
        return parse_expected(options, value, err);
    case OPTION_ID:
        return parse_id(options, value, err);
    case OPTION_REGION:
        return add_region(options, value, err);
    case OPTION_EXCLUDE_REGION:
        return add_excluded(options, value, err);
    default:
        return set_number(options, option, value, err);
    }
}

/* Sets an option that the command knows. */
static int take_option(struct cli_options *options, int option, const char *value,
                       struct error *err)
{
    const char *command = cli_command_name(options->command);
    for (size_t i = 0; i < ARRAY_SIZE(known_options); i++) {
        if (known_options[i].option != option)
            continue;
        if (!(known_options[i].commands & 1u << options->command))
            return error_set(err, ERROR_PERMANENT, "%s does not know --%s: see '%s --help'",
                             command, option_name(option), command);
        if (known_options[i].text == 0)
            break;
        memcpy((char *)options + known_options[i].text - 1, &value, sizeof(value));
        return 0;
    }
    return set_flag(options, option) ? 0 : set_option(options, option, value, err);
}

static int parse_options(struct cli_options *options, int argc, char **argv, struct error *err)
{
    optind = 0; /* glibc: start anew, also when called twice */
    opterr = 0;
    for (int option; (option = getopt_long(argc, argv, ":f:o:h", long_options, NULL)) != -1;) {
        if (option == ':')
            return error_set(err, ERROR_PERMANENT, "'%s' needs a value", argv[optind - 1]);
        if (option == '?')
            return error_set(err, ERROR_PERMANENT, "unknown option '%s': see '%s --help'",
                             argv[optind - 1], cli_command_name(options->command));
        if (take_option(options, option, optarg, err) < 0)
            return -1;
        if (options->command == CLI_HELP)
            return 0;
    }
    if (options->command == CLI_SHOW && optind < argc)
        options->backup = argv[optind++];
    if (options->command == CLI_WAL_FETCH && optind < argc)
        options->wal_name = argv[optind++];
    if (options->command == CLI_WAL_FETCH && optind < argc)
        options->to = argv[optind++];
    if (optind < argc)
        return error_set(err, ERROR_PERMANENT, "unexpected argument '%s'", argv[optind]);
    return 0;
}

/* What a backup is told of itself must hold together. */
static int check_backup(struct cli_options *options, struct error *err)
{
    if (!options->backup_name != !options->backup_uid)
        return error_set(err, ERROR_PERMANENT,
                         "--backup-name and --backup-uid name one Backup: give both or neither");
    if (!options->id)
        return 0;
    if (!options->type_given)
        options->type = options->id_type;
    if (options->type != options->id_type)
        return error_set(err, ERROR_PERMANENT, "--id '%s' is not of --type %s", options->id,
                         backup_type_names[options->type]);
    return 0;
}

static int check_options(struct cli_options *options, struct error *err)
{
    const char *name = cli_command_name(options->command);
    if (options->command != CLI_SERVE && !options->policy)
        return error_set(err, ERROR_PERMANENT, "%s needs -f FILE, the BackupPolicy", name);
    if (options->command == CLI_RESTORE && !options->to)
        return error_set(err, ERROR_PERMANENT, "%s needs --to DIR, where to restore", name);
    if (options->command == CLI_WAL_FETCH && !options->to)
        return error_set(err, ERROR_PERMANENT, "%s needs NAME and PATH, \"%%f\" \"%%p\"", name);
    if (options->command == CLI_COPY && (!options->from || !options->to))
        return error_set(err, ERROR_PERMANENT, "%s needs --from REGION and --to REGION", name);
    if (options->command == CLI_COPY && strcmp(options->from, options->to) == 0)
        return error_set(err, ERROR_PERMANENT, "--from and --to name the same region '%s'",
                         options->to);
    if (options->hold && options->drop_slot)
        return error_set(err, ERROR_PERMANENT, "--hold and --drop-slot: keep the slot or drop it");
    if (options->command == CLI_RESTORE)
        return recovery_target_parse(&options->target_words, &options->target, err);
    return options->command == CLI_BACKUP ? check_backup(options, err) : 0;
}

static void set_defaults(struct cli_options *options)
{
    options->help_for = CLI_HELP;
    options->sample_percent = PERCENT_ALL;
    options->patience_seconds = PATIENCE_SECONDS;
    if (options->command != CLI_SERVE)
        return;
    options->config = CLI_CONFIG;
    options->secrets = CLI_SECRETS;
    options->token = CLI_TOKEN;
    options->host = CLI_HOST;
}

static int find_command(const char *name, enum cli_command *ret_command, struct error *err)
{
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        name = "help";
    if (strcmp(name, "--version") == 0)
        name = "version";
    for (size_t i = 0; i < ARRAY_SIZE(command_names); i++) {
        if (strcmp(name, command_names[i]) != 0)
            continue;
        *ret_command = (enum cli_command)i;
        return 0;
    }
    return error_set(err, ERROR_PERMANENT, "unknown command '%s': see 'lifeboat-sidecar --help'",
                     name);
}

int cli_parse(struct cli_options *ret_options, int argc, char **argv, struct error *err)
{
    struct cli_options options = {0};
    if (argc < 2)
        return error_set(err, ERROR_PERMANENT, "no command: see 'lifeboat-sidecar --help'");
    if (find_command(argv[1], &options.command, err) < 0)
        return -1;
    set_defaults(&options);
    bool runs = options.command < CLI_HELP;
    if (options.command == CLI_HELP && argc > 2 &&
        find_command(argv[2], &options.help_for, err) < 0)
        return -1;
    if (runs && (parse_options(&options, argc - 1, argv + 1, err) < 0 ||
                 (options.command != CLI_HELP && check_options(&options, err) < 0))) {
        cli_options_done(&options);
        return -1;
    }
    *ret_options = options;
    return 0;
}
