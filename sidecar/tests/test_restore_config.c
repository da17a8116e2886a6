// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/own.h"
#include "sidecar/pg_control.h"
#include "sidecar/restore_config.h"

static const struct pg_control control = {
    .demands.max_connections = 321,
    .demands.max_worker_processes = 9,
    .demands.max_wal_senders = 11,
    .demands.max_prepared_transactions = 5,
    .demands.max_locks_per_transaction = 65,
    .track_commit_timestamp = true,
    .wal_level = 2,
};

/* The content without its comments; own_freep. */
static char *settings_of(const char *path, const struct pg_control *from)
{
    size_t index = 0;
    while (strcmp(restore_config_paths[index], path) != 0)
        assert_true(++index < RESTORE_CONFIG_FILES);
    CLEANUP(own_freep) char *content = restore_config_format(index, from);
    char *settings = own_strdup("");
    for (char *line = content, *end; (end = strchr(line, '\n')); line = end + 1) {
        *end = '\0';
        char *longer = line[0] == '#' ? own_strdup(settings) : own_format("%s%s\n", settings, line);
        own_freep(&settings);
        settings = longer;
    }
    return settings;
}

static void postgresql_conf_has_what_the_wal_demands(void **state)
{
    (void)state;
    CLEANUP(own_freep) char *settings = settings_of("postgresql.conf", &control);
    assert_string_equal(settings, "max_connections = 321\n"
                                  "max_worker_processes = 9\n"
                                  "max_wal_senders = 11\n"
                                  "max_prepared_transactions = 5\n"
                                  "max_locks_per_transaction = 65\n"
                                  "track_commit_timestamp = on\n"
                                  "wal_level = logical\n");
}

static void every_wal_level_has_its_name(void **state)
{
    (void)state;
    static const char *const names[] = {"wal_level = minimal\n", "wal_level = replica\n",
                                        "wal_level = logical\n"};
    for (uint32_t level = 0; level < ARRAY_SIZE(names); level++) {
        struct pg_control other = control;
        other.wal_level = level;
        CLEANUP(own_freep) char *settings = settings_of("postgresql.conf", &other);
        assert_non_null(strstr(settings, names[level]));
    }
}

static void nobody_but_the_servers_user_gets_in(void **state)
{
    (void)state;
    CLEANUP(own_freep) char *hba = settings_of("pg_hba.conf", &control);
    CLEANUP(own_freep) char *ident = settings_of("pg_ident.conf", &control);
    assert_string_equal(hba, "local all all peer\n");
    assert_string_equal(ident, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(postgresql_conf_has_what_the_wal_demands),
        cmocka_unit_test(every_wal_level_has_its_name),
        cmocka_unit_test(nobody_but_the_servers_user_gets_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
