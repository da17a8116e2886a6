// SPDX-License-Identifier: Apache-2.0
#include "sidecar/cli.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "common/own.h"
#include "common/text.h"

enum { FOR_BACKUP = 1, FOR_LIST = 2, FOR_SHOW = 4, FOR_RESTORE = 8, FOR_VERIFY = 16, FOR_ALL = 31 };

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
    OPTION_TABLESPACE,
    OPTION_WORKERS,
    OPTION_SAMPLE,
    OPTION_SEED,
    OPTION_EXPECT,
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
    {"tablespace", required_argument, NULL, OPTION_TABLESPACE},
    {"workers", required_argument, NULL, OPTION_WORKERS},
    {"sample", required_argument, NULL, OPTION_SAMPLE},
    {"seed", required_argument, NULL, OPTION_SEED},
    {"expect", required_argument, NULL, OPTION_EXPECT},
    {0},
};
/* clang-format on */

static const struct {
    int option;
    unsigned commands;
} allowed[] = {
    {'f', FOR_ALL},
    {'o', FOR_ALL},
    {OPTION_SECRETS, FOR_ALL},
    {OPTION_PGDATA, FOR_BACKUP},
    {OPTION_HOST, FOR_BACKUP},
    {OPTION_PORT, FOR_BACKUP},
    {OPTION_USER, FOR_BACKUP},
    {OPTION_TYPE, FOR_BACKUP},
    {OPTION_REGION, FOR_LIST | FOR_SHOW | FOR_RESTORE | FOR_VERIFY},
    {OPTION_SYSTEM, FOR_LIST | FOR_SHOW | FOR_RESTORE | FOR_VERIFY},
    {OPTION_BACKUP, FOR_RESTORE | FOR_VERIFY},
    {OPTION_TO, FOR_RESTORE},
    {OPTION_TABLESPACE, FOR_RESTORE},
    {OPTION_WORKERS, FOR_RESTORE | FOR_VERIFY},
    {OPTION_SAMPLE, FOR_VERIFY},
    {OPTION_SEED, FOR_VERIFY},
    {OPTION_EXPECT, FOR_VERIFY},
};

static const char *const command_names[] = {
    [CLI_BACKUP] = "backup",   [CLI_LIST] = "list",     [CLI_SHOW] = "show",
    [CLI_RESTORE] = "restore", [CLI_VERIFY] = "verify", [CLI_HELP] = "help",
    [CLI_VERSION] = "version",
};

#define COMMON_HELP                                                                                \
    "  -f FILE                  the BackupPolicy (YAML)\n"                                         \
    "  --secrets DIR            the policy's Secret as a directory, one file a key\n"              \
    "  -o json                  print machine-readable output\n"
#define READ_HELP                                                                                  \
    "  --region NAME            use this region only\n"                                            \
    "  --system-identifier N    the database system, if the bucket has several\n"

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
        "  --port PORT --user USER  override spec.connection, as PGPORT and PGUSER do\n",
    [CLI_LIST] = "usage: lifeboat-sidecar list -f FILE [options]\n"
                 "\n"
                 "Lists the backups in the repository, newest first.\n"
                 "\n" COMMON_HELP READ_HELP,
    [CLI_SHOW] = "usage: lifeboat-sidecar show -f FILE [options] [ID]\n"
                 "\n"
                 "Shows one backup, the newest without ID.\n"
                 "\n" COMMON_HELP READ_HELP,
    [CLI_RESTORE] =
        "usage: lifeboat-sidecar restore -f FILE --to DIR [options]\n"
        "\n"
        "Restores a backup into an empty directory, ready for pg_ctl start.\n"
        "\n" COMMON_HELP "  --to DIR                 where to; made if it does not exist\n"
        "  --backup ID              which one; the newest without it\n" READ_HELP
        "  --tablespace OLD=NEW     put the tablespace from OLD into NEW; may be repeated\n"
        "  --workers N              parallel workers; else spec.parallelism.workers\n",
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
    [CLI_HELP] = "usage: lifeboat-sidecar COMMAND -f FILE [options]\n"
                 "\n"
                 "Backs up PostgreSQL: parallel, compressed, encrypted, to S3 or a directory.\n"
                 "\n"
                 "  backup     back up a running server\n"
                 "  list       list the backups in the repository\n"
                 "  show       show one backup\n"
                 "  restore    restore a backup into an empty directory\n"
                 "  verify     read the backups and list all that is wrong\n"
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

static int parse_output(struct cli_options *options, const char *text, struct error *err)
{
    if (strcmp(text, "json") != 0)
        return error_set(err, ERROR_PERMANENT, "-o '%s': expected json", text);
    options->json = true;
    return 0;
}

static int set_option(struct cli_options *options, int option, const char *value, struct error *err)
{
    uint64_t number;
    switch (option) {
    case 'f':
        options->policy = value;
        return 0;
    case 'o':
        return parse_output(options, value, err);
    case 'h':
        options->help_for = options->command;
        options->command = CLI_HELP;
        return 0;
    case OPTION_SECRETS:
        options->secrets = value;
        return 0;
    case OPTION_PGDATA:
        options->pgdata = value;
        return 0;
    case OPTION_HOST:
        options->host = value;
        return 0;
    case OPTION_PORT:
        options->port = value;
        return parse_number("port", value, 65535, &number, err);
    case OPTION_USER:
        options->user = value;
        return 0;
    case OPTION_TYPE:
        return parse_type(options, value, err);
    case OPTION_REGION:
        options->region = value;
        return 0;
    case OPTION_SYSTEM:
        return parse_number("system-identifier", value, UINT64_MAX, &options->system_identifier,
                            err);
    case OPTION_BACKUP:
        options->backup = value;
        return 0;
    case OPTION_TO:
        options->to = value;
        return 0;
    case OPTION_TABLESPACE:
        return parse_tablespace(options, value, err);
    case OPTION_SEED:
        return parse_number("seed", value, UINT64_MAX, &options->seed, err);
    case OPTION_EXPECT:
        return parse_expected(options, value, err);
    case OPTION_SAMPLE:
        if (parse_number("sample", value, 100, &number, err) < 0)
            return -1;
        options->sample_percent = (unsigned)number;
        return 0;
    default: /* OPTION_WORKERS */
        if (parse_number("workers", value, CLI_WORKERS_MAX, &number, err) < 0)
            return -1;
        options->workers = (size_t)number;
        return 0;
    }
}

static int check_allowed(const struct cli_options *options, int option, struct error *err)
{
    for (size_t i = 0; i < ARRAY_SIZE(allowed); i++)
        if (allowed[i].option == option && !(allowed[i].commands & 1u << options->command))
            return error_set(err, ERROR_PERMANENT, "%s does not know --%s: see '%s --help'",
                             cli_command_name(options->command), option_name(option),
                             cli_command_name(options->command));
    return 0;
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
        if (check_allowed(options, option, err) < 0 || set_option(options, option, optarg, err) < 0)
            return -1;
        if (options->command == CLI_HELP)
            return 0;
    }
    if (options->command == CLI_SHOW && optind < argc)
        options->backup = argv[optind++];
    if (optind < argc)
        return error_set(err, ERROR_PERMANENT, "unexpected argument '%s'", argv[optind]);
    return 0;
}

static int check_required(const struct cli_options *options, struct error *err)
{
    const char *name = cli_command_name(options->command);
    if (!options->policy)
        return error_set(err, ERROR_PERMANENT, "%s needs -f FILE, the BackupPolicy", name);
    if (options->command == CLI_RESTORE && !options->to)
        return error_set(err, ERROR_PERMANENT, "%s needs --to DIR, where to restore", name);
    return 0;
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
    struct cli_options options = {.help_for = CLI_HELP, .sample_percent = 100};
    if (argc < 2)
        return error_set(err, ERROR_PERMANENT, "no command: see 'lifeboat-sidecar --help'");
    if (find_command(argv[1], &options.command, err) < 0)
        return -1;
    bool runs = options.command < CLI_HELP;
    if (options.command == CLI_HELP && argc > 2 &&
        find_command(argv[2], &options.help_for, err) < 0)
        return -1;
    if (runs && (parse_options(&options, argc - 1, argv + 1, err) < 0 ||
                 (options.command != CLI_HELP && check_required(&options, err) < 0))) {
        cli_options_done(&options);
        return -1;
    }
    *ret_options = options;
    return 0;
}
