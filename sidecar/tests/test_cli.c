// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/own.h"
#include "sidecar/cli.h"

enum { ARGUMENTS_MAX = 32 };

/* Parses a command line of words separated by single spaces; line is cut into them. */
static int parse(char *line, struct cli_options *ret_options, struct error *err)
{
    char *argv[ARGUMENTS_MAX + 1] = {(char[]){"lifeboat-sidecar"}};
    int argc = 1;
    char *rest = line;
    for (char *word; argc < ARGUMENTS_MAX && (word = strsep(&rest, " "));)
        argv[argc++] = word;
    return cli_parse(ret_options, argc, argv, err);
}

static void options_reach_their_command(void **state)
{
    (void)state;
    CLEANUP(cli_options_done) struct cli_options options;
    struct error err;
    char line[] = "restore -f p.yaml --secrets s --to /new --backup b --region eu --workers 4 "
                  "--tablespace /a=/b --tablespace /c=/d -o json";
    assert_int_equal(parse(line, &options, &err), 0);
    assert_int_equal(options.command, CLI_RESTORE);
    assert_string_equal(options.policy, "p.yaml");
    assert_string_equal(options.secrets, "s");
    assert_string_equal(options.to, "/new");
    assert_string_equal(options.backup, "b");
    assert_string_equal(options.region, "eu");
    assert_int_equal(options.workers, 4);
    assert_int_equal(options.tablespace_count, 2);
    assert_string_equal(options.tablespaces[1].old_location, "/c");
    assert_string_equal(options.tablespaces[1].new_location, "/d");
    assert_true(options.json);
}

static void backup_takes_connection_and_type(void **state)
{
    (void)state;
    CLEANUP(cli_options_done) struct cli_options options;
    struct error err;
    char line[] = "backup -f p --pgdata /d --host /run --port 5433 --user u --type incremental";
    assert_int_equal(parse(line, &options, &err), 0);
    assert_int_equal(options.command, CLI_BACKUP);
    assert_int_equal(options.type, BACKUP_INCREMENTAL);
    assert_string_equal(options.pgdata, "/d");
    assert_string_equal(options.host, "/run");
    assert_string_equal(options.port, "5433");
    assert_string_equal(options.user, "u");
}

static void a_backup_can_be_told_what_it_is(void **state)
{
    (void)state;
    CLEANUP(cli_options_done) struct cli_options options;
    struct error err;
    char line[] = "backup -f p --id 20261121T082118Z-incr-3fa2 --backup-name shop-daily-1 "
                  "--backup-uid 77aa --pod shop-0 --source-region eu --deadline 3600 "
                  "--progress json";
    assert_int_equal(parse(line, &options, &err), 0);
    assert_string_equal(options.id, "20261121T082118Z-incr-3fa2");
    assert_int_equal(options.type, BACKUP_INCREMENTAL);
    assert_string_equal(options.backup_name, "shop-daily-1");
    assert_string_equal(options.backup_uid, "77aa");
    assert_string_equal(options.pod, "shop-0");
    assert_string_equal(options.source_region, "eu");
    assert_int_equal(options.deadline_seconds, 3600);
    assert_int_equal(cli_progress(&options), PROGRESS_JSON);
}

static void a_restore_can_leave_regions_out(void **state)
{
    (void)state;
    CLEANUP(cli_options_done) struct cli_options options;
    struct error err;
    char line[] = "restore -f p --to /x --exclude-region eu --exclude-region us -o json";
    assert_int_equal(parse(line, &options, &err), 0);
    assert_int_equal(options.excluded_count, 2);
    assert_string_equal(options.excluded[1], "us");
    assert_int_equal(cli_progress(&options), PROGRESS_LOG);
}

static void a_restore_takes_a_target(void **state)
{
    (void)state;
    CLEANUP(cli_options_done) struct cli_options options;
    struct error err;
    char exclusive[] = "restore -f p --to /x --target-xid 4711 --target-exclusive "
                       "--target-timeline 3 --target-action pause";
    char latest[] = "restore -f p --to /x --target-latest", none[] = "restore -f p --to /x";
    char two[] = "restore -f p --to /x --target-latest --target-name n";
    assert_int_equal(parse(exclusive, &options, &err), 0);
    assert_int_equal(options.target.kind, RECOVERY_TARGET_XID);
    assert_int_equal(options.target.xid, 4711);
    assert_true(options.target.exclusive);
    assert_int_equal(options.target.timeline_number, 3);
    assert_int_equal(options.target.action, RECOVERY_PAUSE);
    assert_int_equal(parse(latest, &options, &err), 0);
    assert_int_equal(options.target.kind, RECOVERY_TARGET_LATEST);
    assert_int_equal(parse(none, &options, &err), 0);
    assert_int_equal(options.target.kind, RECOVERY_TARGET_NONE);
    assert_int_equal(parse(two, &options, &err), -1);
    assert_non_null(strstr(err.text, "recovery has one target"));
}

static void list_shows_backups_regions_or_what_can_be_recovered(void **state)
{
    (void)state;
    CLEANUP(cli_options_done) struct cli_options options;
    struct error err;
    char windows[] = "list -f p --windows", both[] = "list -f p --windows --regions";
    assert_int_equal(parse(windows, &options, &err), 0);
    assert_true(options.windows);
    assert_false(options.regions);
    assert_int_equal(parse(both, &options, &err), 0);
    assert_true(options.windows && options.regions);
}

static void wal_receive_takes_a_connection(void **state)
{
    (void)state;
    CLEANUP(cli_options_done) struct cli_options options;
    struct error err;
    char line[] = "wal-receive -f p --secrets s --host /run --port 5433 --user u";
    assert_int_equal(parse(line, &options, &err), 0);
    assert_int_equal(options.command, CLI_WAL_RECEIVE);
    assert_string_equal(options.host, "/run");
    assert_string_equal(options.port, "5433");
    assert_string_equal(options.user, "u");
    assert_false(options.hold || options.drop_slot || options.progress);
    cli_options_done(&options);
    char hold[] = "wal-receive -f p --hold --pgdata /data --progress json";
    assert_int_equal(parse(hold, &options, &err), 0);
    assert_true(options.hold && options.progress);
    assert_string_equal(options.pgdata, "/data");
    cli_options_done(&options);
    char drop[] = "wal-receive -f p --drop-slot";
    assert_int_equal(parse(drop, &options, &err), 0);
    assert_true(options.drop_slot);
}

static void serve_needs_no_option_in_a_pod(void **state)
{
    (void)state;
    CLEANUP(cli_options_done) struct cli_options options;
    struct error err;
    char bare[] = "serve", other[] = "serve --config /c --token /t --host /run --supervised 3";
    assert_int_equal(parse(bare, &options, &err), 0);
    assert_string_equal(options.config, "/etc/lifeboat/config");
    assert_string_equal(options.secrets, "/etc/lifeboat/secrets");
    assert_string_equal(options.token, "/var/run/secrets/lifeboat/token");
    assert_string_equal(options.host, "127.0.0.1");
    assert_null(options.pgdata);
    assert_null(options.supervised);
    assert_int_equal(parse(other, &options, &err), 0);
    assert_string_equal(options.config, "/c");
    assert_string_equal(options.host, "/run");
    assert_string_equal(options.supervised, "3");
}

static void wal_fetch_takes_a_name_and_a_path(void **state)
{
    (void)state;
    CLEANUP(cli_options_done) struct cli_options options;
    struct error err;
    char bare[] = "wal-fetch -f /p 00000002.history pg_wal/RECOVERYHISTORY",
         other[] = "wal-fetch -f /p --system-identifier 7 --region us --region eu "
                   "--patience 5 --standby --stop-at-gaps a b",
         half[] = "wal-fetch -f /p 00000002.history", more[] = "wal-fetch -f /p a b c";
    assert_int_equal(parse(bare, &options, &err), 0);
    assert_int_equal(options.command, CLI_WAL_FETCH);
    assert_string_equal(options.wal_name, "00000002.history");
    assert_string_equal(options.to, "pg_wal/RECOVERYHISTORY");
    assert_int_equal(options.patience_seconds, 600);
    assert_false(options.standby || options.stop_at_gaps);
    assert_int_equal(parse(other, &options, &err), 0);
    assert_int_equal(options.system_identifier, 7);
    assert_int_equal(options.asked_count, 2);
    assert_string_equal(options.asked[0], "us");
    assert_string_equal(options.asked[1], "eu");
    assert_int_equal(options.patience_seconds, 5);
    assert_true(options.standby && options.stop_at_gaps);
    assert_int_equal(parse(half, &options, &err), -1);
    assert_non_null(strstr(err.text, "needs NAME and PATH"));
    assert_int_equal(parse(more, &options, &err), -1);
}

static void show_takes_an_id(void **state)
{
    (void)state;
    CLEANUP(cli_options_done) struct cli_options options;
    struct error err;
    char line[] = "show -f p 20261121T082118Z-full-3fa2";
    assert_int_equal(parse(line, &options, &err), 0);
    assert_string_equal(options.backup, "20261121T082118Z-full-3fa2");
}

static void verify_takes_a_sample_and_what_is_expected(void **state)
{
    (void)state;
    CLEANUP(cli_options_done) struct cli_options options;
    struct error err;
    char line[] = "verify -f p --sample 10 --seed 7 --expect 20261121T082118Z-full-3fa2:"
                  "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    assert_int_equal(parse(line, &options, &err), 0);
    assert_int_equal(options.command, CLI_VERIFY);
    assert_null(options.backup);
    assert_int_equal(options.sample_percent, 10);
    assert_int_equal(options.seed, 7);
    assert_int_equal(options.expected_count, 1);
    assert_string_equal(options.expected[0].backup, "20261121T082118Z-full-3fa2");
    assert_int_equal(options.expected[0].sha256[31], 0xff);
    char all[] = "verify -f p";
    assert_int_equal(parse(all, &options, &err), 0);
    assert_int_equal(options.sample_percent, 100);
}

static void prune_can_be_tried_dry(void **state)
{
    (void)state;
    CLEANUP(cli_options_done) struct cli_options options;
    struct error err;
    char dry[] = "prune -f p --dry-run --region eu", wet[] = "prune -f p";
    assert_int_equal(parse(dry, &options, &err), 0);
    assert_int_equal(options.command, CLI_PRUNE);
    assert_true(options.dry_run);
    assert_string_equal(options.region, "eu");
    assert_int_equal(parse(wet, &options, &err), 0);
    assert_false(options.dry_run);
}

static void copy_goes_from_region_to_region(void **state)
{
    (void)state;
    CLEANUP(cli_options_done) struct cli_options options;
    struct error err;
    char line[] = "copy -f p --from eu --to us --workers 3 --dry-run --deadline 60";
    assert_int_equal(parse(line, &options, &err), 0);
    assert_int_equal(options.command, CLI_COPY);
    assert_string_equal(options.from, "eu");
    assert_string_equal(options.to, "us");
    assert_int_equal(options.workers, 3);
    assert_int_equal(options.deadline_seconds, 60);
    assert_true(options.dry_run);
}

static void rotate_key_drops_several_keys(void **state)
{
    (void)state;
    CLEANUP(cli_options_done) struct cli_options options;
    struct error err;
    char line[] = "rotate-key -f p --drop k1 --drop a3b4e454ec9e7885 --new-data-key";
    assert_int_equal(parse(line, &options, &err), 0);
    assert_int_equal(options.command, CLI_ROTATE_KEY);
    assert_int_equal(options.dropped_count, 2);
    assert_string_equal(options.dropped[1], "a3b4e454ec9e7885");
    assert_true(options.new_data_key);
    assert_false(options.dry_run);
}

static void help_is_for_the_command(void **state)
{
    (void)state;
    CLEANUP(cli_options_done) struct cli_options options;
    struct error err;
    char option[] = "restore --help", command[] = "help restore";
    assert_int_equal(parse(command, &options, &err), 0);
    assert_int_equal(options.help_for, CLI_RESTORE);
    assert_int_equal(parse(option, &options, &err), 0);
    assert_int_equal(options.command, CLI_HELP);
    assert_int_equal(options.help_for, CLI_RESTORE);
    assert_non_null(strstr(cli_help(options.help_for), "--tablespace OLD=NEW"));
}

static void wrong_usage_is_told_with_what_was_typed(void **state)
{
    (void)state;
    static const struct {
        const char *line, *text;
    } cases[] = {
        {"frobnicate", "unknown command 'frobnicate'"},
        {"list", "list needs -f FILE"},
        {"restore -f p", "restore needs --to DIR"},
        {"list -f p --to /x", "list does not know --to"},
        {"backup -f p --region eu", "backup does not know --region"},
        {"restore -f p --to /x --frob", "unknown option '--frob'"},
        {"list -f", "'-f' needs a value"},
        {"list -f p extra", "unexpected argument 'extra'"},
        {"backup -f p --type partial", "--type 'partial': expected full, differential"},
        {"backup -f p --port 0", "--port '0': expected a number from 1 to 65535"},
        {"restore -f p --to /x --workers 1000", "--workers '1000': expected a number"},
        {"restore -f p --to /x --workers -1", "--workers '-1': expected a number"},
        {"restore -f p --to /x --tablespace /a", "--tablespace '/a': expected OLD=NEW"},
        {"restore -f p --to /x --tablespace a=/b", "--tablespace 'a=/b': expected OLD=NEW"},
        {"verify -f p --sample 101", "--sample '101': expected a number from 1 to 100"},
        {"verify -f p --expect abc", "--expect 'abc': expected ID:HASH"},
        {"verify -f p --expect 20261121T082118Z-full-3fa2:00", "expected ID:HASH"},
        {"verify -f p --to /x", "verify does not know --to"},
        {"copy -f p --from eu", "copy needs --from REGION and --to REGION"},
        {"copy -f p --from eu --to eu", "the same region 'eu'"},
        {"copy -f p --from eu --to us --region eu", "copy does not know --region"},
        {"wal-receive -f p --hold --drop-slot", "keep the slot or drop it"},
        {"backup -f p --hold", "backup does not know --hold"},
        {"rotate-key -f p --to us", "rotate-key does not know --to"},
        {"backup -f p --dry-run", "backup does not know --dry-run"},
        {"list -f p -o xml", "-o 'xml': expected json"},
        {"backup -f p --progress xml", "--progress 'xml': expected json"},
        {"list -f p --progress json", "list does not know --progress"},
        {"backup -f p --id x", "--id 'x': expected a backup id"},
        {"backup -f p --type full --id 20261121T082118Z-incr-3fa2", "is not of --type full"},
        {"backup -f p --backup-name n", "give both or neither"},
        {"backup -f p --deadline 0", "--deadline '0': expected a number from 1"},
        {"backup -f p --exclude-region eu", "backup does not know --exclude-region"},
        {"backup -f p --regions", "backup does not know --regions"},
        {"verify -f p --dry-run", "verify does not know --dry-run"},
        {"prune -f p --backup x", "prune does not know --backup"},
        {"wal-receive", "wal-receive needs -f FILE"},
        {"wal-receive -f p --to /d", "wal-receive does not know --to"},
        {"serve -f p", "serve does not know --file"},
        {"serve extra", "unexpected argument 'extra'"},
        {"backup -f p --config /c", "backup does not know --config"},
        {"list -f p --system-identifier x", "--system-identifier 'x': expected a number"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct cli_options options;
        struct error err = {0};
        CLEANUP(own_freep) char *line = own_strdup(cases[i].line);
        assert_int_equal(parse(line, &options, &err), -1);
        if (!strstr(err.text, cases[i].text))
            fail_msg("'%s' gave: %s", cases[i].line, err.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_reach_their_command),
        cmocka_unit_test(backup_takes_connection_and_type),
        cmocka_unit_test(a_backup_can_be_told_what_it_is),
        cmocka_unit_test(a_restore_can_leave_regions_out),
        cmocka_unit_test(a_restore_takes_a_target),
        cmocka_unit_test(list_shows_backups_regions_or_what_can_be_recovered),
        cmocka_unit_test(wal_receive_takes_a_connection),
        cmocka_unit_test(serve_needs_no_option_in_a_pod),
        cmocka_unit_test(wal_fetch_takes_a_name_and_a_path),
        cmocka_unit_test(show_takes_an_id),
        cmocka_unit_test(verify_takes_a_sample_and_what_is_expected),
        cmocka_unit_test(prune_can_be_tried_dry),
        cmocka_unit_test(copy_goes_from_region_to_region),
        cmocka_unit_test(rotate_key_drops_several_keys),
        cmocka_unit_test(help_is_for_the_command),
        cmocka_unit_test(wrong_usage_is_told_with_what_was_typed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
