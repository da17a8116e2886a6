// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/own.h"
#include "common/tests/helper_directory.h"
#include "sidecar/policy.h"
#include "sidecar/secrets.h"

#define CERTIFICATE "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"

struct fixture {
    char *directory;
    int fd;
    struct secrets *secrets;
};

static const struct policy_region s3_region = {
    .name = "eu",
    .store = POLICY_STORE_S3,
    .s3 = {.bucket = "bbb", .credentials = "eu", .ca_key = "ca.crt"},
};

static void write_key(const struct fixture *fixture, const char *key, const void *value,
                      size_t size)
{
    CLEANUP(own_closep)
    int fd = openat(fixture->fd, key, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, value, size), size);
}

static void write_text(const struct fixture *fixture, const char *key, const char *value)
{
    write_key(fixture, key, value, strlen(value));
}

static int make_directory(void **state)
{
    struct fixture *fixture = own_alloc(sizeof(*fixture));
    struct error err;
    fixture->directory = helper_directory_new();
    fixture->fd = open(fixture->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    *state = fixture;
    return secrets_open(&fixture->secrets, fixture->directory, &err);
}

static int remove_directory(void **state)
{
    struct fixture *fixture = *state;
    secrets_closep(&fixture->secrets);
    own_closep(&fixture->fd);
    helper_directory_remove(fixture->directory);
    own_freep(state);
    return 0;
}

static void expect_text(const struct fixture *fixture, const char *key, const char *expected)
{
    CLEANUP(buf_done) struct buf value = BUF_SECRET(SECRETS_VALUE_MAX);
    struct error err;
    if (secrets_get(fixture->secrets, "connection.passwordKey", key, &value, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(value.size, strlen(expected));
    assert_memory_equal(value.data, expected, value.size);
}

/* format: the message, with the directory for its only %s */
static void expect_message(const struct fixture *fixture, const struct error *err,
                           enum error_kind kind, const char *before, const char *after)
{
    CLEANUP(own_freep) char *expected = own_format("%s'%s'%s", before, fixture->directory, after);
    assert_string_equal(err->text, expected);
    assert_int_equal(err->kind, kind);
}

static void expect_failure(const struct fixture *fixture, const char *key, enum error_kind kind,
                           const char *before, const char *after)
{
    CLEANUP(buf_done) struct buf value = BUF_SECRET(100);
    struct error err;
    assert_int_equal(secrets_get(fixture->secrets, "connection.passwordKey", key, &value, &err),
                     -1);
    expect_message(fixture, &err, kind, before, after);
}

static void one_line_end_does_not_count(void **state)
{
    write_text(*state, "password", "secret\n");
    expect_text(*state, "password", "secret");
    write_text(*state, "password", "secret\r\n");
    expect_text(*state, "password", "secret");
    write_text(*state, "password", " sec ret \n\n");
    expect_text(*state, "password", " sec ret \n");
    write_text(*state, "password", "secret\r");
    expect_text(*state, "password", "secret\r");
}

static void a_value_is_read_anew_each_time(void **state)
{
    write_text(*state, "password", "old");
    expect_text(*state, "password", "old");
    write_text(*state, "password", "newer");
    expect_text(*state, "password", "newer");
}

static void the_links_of_a_kubernetes_volume_are_followed(void **state)
{
    const struct fixture *fixture = *state;
    assert_int_equal(mkdirat(fixture->fd, "..1", 0700), 0);
    assert_int_equal(mkdirat(fixture->fd, "..2", 0700), 0);
    write_text(fixture, "..1/key", "one");
    write_text(fixture, "..2/key", "two");
    assert_int_equal(symlinkat("..1", fixture->fd, "..data"), 0);
    assert_int_equal(symlinkat("..data/key", fixture->fd, "key"), 0);
    expect_text(fixture, "key", "one");
    assert_int_equal(unlinkat(fixture->fd, "..data", 0), 0);
    assert_int_equal(symlinkat("..2", fixture->fd, "..data"), 0);
    expect_text(fixture, "key", "two");
}

static void a_missing_key_is_named_with_its_remedy(void **state)
{
    const struct fixture *fixture = *state;
    expect_failure(
        fixture, "password", ERROR_NOT_FOUND,
        "connection.passwordKey 'password': no file 'password' in the secrets directory ",
        ": add it there, or to the policy's Secret");

    CLEANUP(buf_done) struct buf value = BUF_SECRET(SECRETS_VALUE_MAX);
    struct error err;
    assert_int_equal(secrets_get_user_key(fixture->secrets, 0, "k1", &value, &err), -1);
    expect_message(fixture, &err, ERROR_NOT_FOUND,
                   "spec.encryption.keys[0] 'k1': no file 'k1' in the secrets directory ",
                   ": make one with 'openssl rand -base64 32', or take the one that the backups "
                   "were made with");
}

static void values_that_cannot_be_used_are_named(void **state)
{
    write_text(*state, "password", "\n");
    expect_failure(*state, "password", ERROR_PERMANENT,
                   "connection.passwordKey 'password': the file 'password' in the secrets "
                   "directory ",
                   " is empty");
    write_key(*state, "password", "a\0b", 3);
    expect_failure(*state, "password", ERROR_PERMANENT,
                   "connection.passwordKey 'password': the file 'password' in the secrets "
                   "directory ",
                   " is not text, it holds a NUL byte");
    char large[101];
    memset(large, 'x', sizeof(large));
    write_key(*state, "password", large, sizeof(large));
    expect_failure(*state, "password", ERROR_PERMANENT,
                   "connection.passwordKey 'password': secrets directory ",
                   ": 'password' is larger than 100 bytes");
}

static void a_name_that_is_no_key_is_never_opened(void **state)
{
    const struct fixture *fixture = *state;
    static const char *const names[] = {"../password", "..", "..data", ".", "", "/etc/passwd"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        CLEANUP(buf_done) struct buf value = BUF_SECRET(SECRETS_VALUE_MAX);
        CLEANUP(own_freep)
        char *expected = own_format("f '%s': expected a key of the policy's Secret (at most 253 of "
                                    "A-Z, a-z, 0-9, '.', '_' and '-')",
                                    names[i]);
        struct error err;
        assert_false(secrets_key_valid(names[i]));
        assert_int_equal(secrets_get(fixture->secrets, "f", names[i], &value, &err), -1);
        assert_string_equal(err.text, expected);
        assert_int_equal(err.kind, ERROR_PERMANENT);
    }
}

static void without_a_directory_the_option_is_named(void **state)
{
    const struct fixture *fixture = *state;
    CLEANUP(secrets_closep) struct secrets *secrets = NULL;
    CLEANUP(buf_done) struct buf value = BUF_SECRET(SECRETS_VALUE_MAX);
    struct error err;
    assert_int_equal(secrets_open(&secrets, NULL, &err), 0);
    assert_int_equal(secrets_get_user_key(secrets, 1, "k1", &value, &err), -1);
    assert_string_equal(err.text,
                        "spec.encryption.keys[1] 'k1': no secrets directory was given: use "
                        "--secrets DIR with a file 'k1' in DIR");
    assert_int_equal(err.kind, ERROR_PERMANENT);

    CLEANUP(own_freep) char *missing = own_format("%s/missing", fixture->directory);
    CLEANUP(own_freep)
    char *expected = own_format("open secrets directory '%s' (--secrets): No such file or "
                                "directory",
                                missing);
    struct secrets *none;
    assert_int_equal(secrets_open(&none, missing, &err), -1);
    assert_string_equal(err.text, expected);
}

static void s3_credentials_are_three_files(void **state)
{
    const struct fixture *fixture = *state;
    write_text(fixture, "eu.access-key-id", "AKIA\n");
    write_text(fixture, "eu.secret-access-key", "s3cr3t/+=\n");
    CLEANUP(secrets_s3_done) struct secrets_s3 keys = {0};
    struct error err;
    assert_int_equal(secrets_get_s3(fixture->secrets, &s3_region, &keys, &err), 0);
    assert_int_equal(keys.access_key_id.size, 4);
    assert_memory_equal(keys.secret_access_key.data, "s3cr3t/+=", 9);
    assert_int_equal(keys.session_token.size, 0);
    assert_true(keys.secret_access_key.secret);
    secrets_s3_done(&keys);

    write_text(fixture, "eu.session-token", "token");
    assert_int_equal(secrets_get_s3(fixture->secrets, &s3_region, &keys, &err), 0);
    assert_memory_equal(keys.session_token.data, "token", 5);
}

static const struct policy_region azure_region = {
    .name = "eu",
    .store = POLICY_STORE_AZURE,
    .azure = {.container = "ccc", .account = "aaa", .credentials = "eu", .ca_key = "ca.crt"},
};

static void azure_credentials_are_one_of_two_files(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    CLEANUP(secrets_azure_done) struct secrets_azure keys = {0}, none = {0};
    assert_int_equal(secrets_get_azure(fixture->secrets, &azure_region, &none, &err), -1);
    assert_int_equal(err.kind, ERROR_NOT_FOUND);
    assert_non_null(strstr(err.text, "region 'eu': azure.credentials 'eu': neither a file "
                                     "'eu.account-key' nor 'eu.sas-token' in"));
    write_text(fixture, "eu.sas-token", "sv=1&sig=abc\n");
    assert_int_equal(secrets_get_azure(fixture->secrets, &azure_region, &keys, &err), 0);
    assert_int_equal(keys.account_key.size, 0);
    assert_int_equal(keys.sas_token.size, 12);
    write_text(fixture, "eu.account-key", "a2V5");
    assert_int_equal(secrets_get_azure(fixture->secrets, &azure_region, &none, &err), -1);
    assert_int_equal(err.kind, ERROR_PERMANENT);
    assert_non_null(strstr(err.text, "remove the one that shall not be used"));
    assert_int_equal(none.sas_token.size, 0);
}

static void the_ca_of_azure_is_named_by_its_field(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    char *path;
    assert_int_equal(secrets_ca_path(fixture->secrets, &azure_region, &path, &err), -1);
    assert_non_null(strstr(err.text, "region 'eu': azure.caKey 'ca.crt': no file 'ca.crt'"));
}

static void bad_s3_credentials_are_named_by_region_and_file(void **state)
{
    const struct fixture *fixture = *state;
    struct secrets_s3 keys;
    struct error err;
    assert_int_equal(secrets_get_s3(fixture->secrets, &s3_region, &keys, &err), -1);
    expect_message(fixture, &err, ERROR_NOT_FOUND,
                   "region 'eu': s3.credentials 'eu.access-key-id': no file 'eu.access-key-id' in "
                   "the secrets directory ",
                   ": add it there, or to the policy's Secret");
    write_text(fixture, "eu.access-key-id", "AKIA");
    write_text(fixture, "eu.secret-access-key", "a\r\nX-Evil: 1");
    assert_int_equal(secrets_get_s3(fixture->secrets, &s3_region, &keys, &err), -1);
    expect_message(fixture, &err, ERROR_PERMANENT,
                   "region 'eu': s3.credentials 'eu.secret-access-key': the file "
                   "'eu.secret-access-key' in the secrets directory ",
                   " holds white space or other characters that no credential has");
    assert_null(strstr(err.text, "Evil"));
}

static void a_ca_is_given_as_a_path(void **state)
{
    const struct fixture *fixture = *state;
    CLEANUP(own_freep) char *path = NULL;
    CLEANUP(own_freep) char *expected = own_format("%s/ca.crt", fixture->directory);
    struct error err;
    assert_int_equal(secrets_ca_path(fixture->secrets, &s3_region, &path, &err), -1);
    expect_message(fixture, &err, ERROR_NOT_FOUND,
                   "region 'eu': s3.caKey 'ca.crt': no file 'ca.crt' in the secrets directory ",
                   ": add it there, or to the policy's Secret");
    write_text(fixture, "ca.crt", "not a certificate");
    assert_int_equal(secrets_ca_path(fixture->secrets, &s3_region, &path, &err), -1);
    expect_message(fixture, &err, ERROR_PERMANENT,
                   "region 'eu': s3.caKey 'ca.crt': the file 'ca.crt' in the secrets directory ",
                   " has no PEM certificate ('-----BEGIN CERTIFICATE-----')");
    assert_null(path);
    write_text(fixture, "ca.crt", CERTIFICATE);
    assert_int_equal(secrets_ca_path(fixture->secrets, &s3_region, &path, &err), 0);
    assert_string_equal(path, expected);

    struct policy_region plain = {.name = "x", .store = POLICY_STORE_S3};
    own_freep(&path);
    assert_int_equal(secrets_ca_path(fixture->secrets, &plain, &path, &err), 0);
    assert_null(path);
}

#define WITH_DIRECTORY(test) cmocka_unit_test_setup_teardown(test, make_directory, remove_directory)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_DIRECTORY(one_line_end_does_not_count),
        WITH_DIRECTORY(a_value_is_read_anew_each_time),
        WITH_DIRECTORY(the_links_of_a_kubernetes_volume_are_followed),
        WITH_DIRECTORY(a_missing_key_is_named_with_its_remedy),
        WITH_DIRECTORY(values_that_cannot_be_used_are_named),
        WITH_DIRECTORY(a_name_that_is_no_key_is_never_opened),
        WITH_DIRECTORY(without_a_directory_the_option_is_named),
        WITH_DIRECTORY(s3_credentials_are_three_files),
        WITH_DIRECTORY(azure_credentials_are_one_of_two_files),
        WITH_DIRECTORY(the_ca_of_azure_is_named_by_its_field),
        WITH_DIRECTORY(bad_s3_credentials_are_named_by_region_and_file),
        WITH_DIRECTORY(a_ca_is_given_as_a_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
