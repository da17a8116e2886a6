// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/own.h"
#include "sidecar/policy.h"

/* Line 9 is "spec:". */
#define HEAD                                                                                       \
    "apiVersion: lifeboat.dev/v1alpha1\n"                                                          \
    "kind: BackupPolicy\n"                                                                         \
    "metadata:\n"                                                                                  \
    "  name: shop\n"                                                                               \
    "  namespace: web\n"                                                                           \
    "  labels: {team: shop}\n"                                                                     \
    "  annotations:\n"                                                                             \
    "    lifeboat.dev/cluster: c1\n"                                                               \
    "spec:\n"

/* Lines 10 to 27. */
#define BODY                                                                                       \
    "  regions:\n"                                                                                 \
    "  - name: eu\n"                                                                               \
    "    access: ReadWrite\n"                                                                      \
    "    s3:\n"                                                                                    \
    "      bucket: shop-backups\n"                                                                 \
    "      prefix: pg/prod\n"                                                                      \
    "      endpoint: https://s3.example.com:9000\n"                                                \
    "      credentials: eu\n"                                                                      \
    "  - name: here\n"                                                                             \
    "    file:\n"                                                                                  \
    "      path: /backups\n"                                                                       \
    "  quorum: 2\n"                                                                                \
    "  connection:\n"                                                                              \
    "    port: 5433\n"                                                                             \
    "    passwordKey: password\n"                                                                  \
    "  encryption:\n"                                                                              \
    "    activeKey: k2\n"                                                                          \
    "    keys: [k1, k2]\n"

#define GOOD HEAD BODY
#define DIRECTORY "    file:\n      path: /backups\n"

static struct policy *parse(const char *text)
{
    struct policy *policy = NULL;
    struct error err;
    if (policy_parse(&policy, "p.yaml", text, strlen(text), &err) < 0)
        fail_msg("%s", err.text);
    return policy;
}

static void expect_error(const char *text, const char *expected)
{
    struct policy *policy = NULL;
    struct error err = {.text = "no error"};
    int result = policy_parse(&policy, "p.yaml", text, strlen(text), &err);
    policy_freep(&policy);
    assert_string_equal(err.text, expected);
    assert_int_equal(result, -1);
    assert_int_equal(err.kind, ERROR_PERMANENT);
}

/* The good policy with one passage replaced (an empty one: appended). The caller's. */
static char *changed(const char *from, const char *to)
{
    static const char good[] = GOOD;
    const char *at = *from ? strstr(good, from) : strchr(good, '\0');
    assert_non_null(at);
    return own_format("%.*s%s%s", (int)(at - good), good, to, at + strlen(from));
}

struct change {
    const char *from, *to, *expected;
};

static void expect_errors(const struct change *changes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        CLEANUP(own_freep) char *text = changed(changes[i].from, changes[i].to);
        expect_error(text, changes[i].expected);
    }
}

static void a_policy_is_read_into_its_struct(void **state)
{
    (void)state;
    CLEANUP(policy_freep) struct policy *policy = parse(GOOD);
    assert_string_equal(policy->namespace, "web");
    assert_string_equal(policy->cluster, "c1");
    assert_string_equal(policy->name, "shop");
    assert_int_equal(policy->connection.port, 5433);
    assert_string_equal(policy->connection.password_key, "password");
    assert_int_equal(policy->region_count, 2);
    const struct policy_region *eu = &policy->regions[0], *here = &policy->regions[1];
    assert_string_equal(eu->name, "eu");
    assert_false(eu->read_only);
    assert_int_equal(eu->store, POLICY_STORE_S3);
    assert_string_equal(eu->s3.bucket, "shop-backups");
    assert_string_equal(eu->s3.prefix, "pg/prod");
    assert_string_equal(eu->s3.endpoint, "https://s3.example.com:9000");
    assert_string_equal(eu->s3.credentials, "eu");
    assert_int_equal(here->store, POLICY_STORE_FILE);
    assert_string_equal(here->file_path, "/backups");
    assert_int_equal(policy->quorum, 2);
    assert_true(policy->encryption.enabled);
    assert_string_equal(policy->encryption.active_key, "k2");
    assert_int_equal(policy->encryption.key_count, 2);
    assert_string_equal(policy->encryption.keys[0], "k1");
}

static void whose_key_signs_and_what_is_locked_is_read(void **state)
{
    (void)state;
    static const struct {
        const char *s3;
        enum policy_s3_auth auth;
        const char *credentials, *lock_mode;
        unsigned lock_days;
    } table[] = {
        {"credentials: eu", POLICY_S3_STATIC, "eu", NULL, 0},
        {"auth: WebIdentity", POLICY_S3_WEB_IDENTITY, NULL, NULL, 0},
        {"auth: Instance\n      objectLock: {days: 30}", POLICY_S3_INSTANCE, NULL, "GOVERNANCE",
         30},
        {"auth: Static\n      credentials: us\n      objectLock: {days: 36500, mode: Compliance}",
         POLICY_S3_STATIC, "us", "COMPLIANCE", 36500},
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        CLEANUP(own_freep) char *text = changed("credentials: eu", table[i].s3);
        CLEANUP(policy_freep) struct policy *policy = parse(text);
        const struct policy_s3 *s3 = &policy->regions[0].s3;
        assert_int_equal(s3->auth, table[i].auth);
        assert_int_equal(s3->lock_days, table[i].lock_days);
        assert_int_equal(s3->credentials == NULL, table[i].credentials == NULL);
        assert_int_equal(s3->lock_mode == NULL, table[i].lock_mode == NULL);
        if (s3->credentials)
            assert_string_equal(s3->credentials, table[i].credentials);
        if (s3->lock_mode)
            assert_string_equal(s3->lock_mode, table[i].lock_mode);
    }
}

static void a_container_of_azure_is_read(void **state)
{
    (void)state;
    CLEANUP(own_freep)
    char *text =
        changed(DIRECTORY, "    azure: {container: shop-backups, account: shop, prefix: pg, "
                           "credentials: eu, caKey: eu.ca.crt,\n"
                           "      endpoint: 'https://blob.example.com:10000'}\n");
    CLEANUP(own_freep)
    char *identity = changed(DIRECTORY, "    azure: {container: shop-backups, account: shop, "
                                        "auth: WebIdentity}\n");
    CLEANUP(policy_freep) struct policy *policy = parse(text), *other = parse(identity);
    const struct policy_azure *azure = &policy->regions[1].azure;
    assert_int_equal(policy->regions[1].store, POLICY_STORE_AZURE);
    assert_string_equal(azure->container, "shop-backups");
    assert_string_equal(azure->account, "shop");
    assert_string_equal(azure->prefix, "pg");
    assert_string_equal(azure->endpoint, "https://blob.example.com:10000");
    assert_string_equal(azure->credentials, "eu");
    assert_string_equal(azure->ca_key, "eu.ca.crt");
    assert_int_equal(azure->auth, POLICY_AZURE_STATIC);
    azure = &other->regions[1].azure;
    assert_int_equal(azure->auth, POLICY_AZURE_WEB_IDENTITY);
    assert_string_equal(azure->prefix, "");
    assert_null(azure->endpoint);
    assert_null(azure->credentials);
    assert_null(azure->ca_key);
}

static void what_is_left_out_has_its_default(void **state)
{
    (void)state;
    CLEANUP(policy_freep)
    struct policy *policy = parse("apiVersion: lifeboat.dev/v1alpha1\n"
                                  "kind: BackupPolicy\n"
                                  "metadata: {name: a}\n"
                                  "spec:\n"
                                  "  regions:\n"
                                  "  - {name: x, s3: {bucket: bbb, credentials: c}}\n"
                                  "  encryption: {keys: [k3, k1]}\n");
    assert_string_equal(policy->namespace, "default");
    assert_int_equal(policy->connection.port, 5432);
    assert_string_equal(policy->connection.user, "lifeboat");
    assert_string_equal(policy->connection.database, "postgres");
    assert_null(policy->connection.password_key);
    assert_string_equal(policy->connection.ssl_mode, "prefer");
    assert_int_equal(policy->prefer, POLICY_PREFER_REPLICA);
    const struct policy_s3 *s3 = &policy->regions[0].s3;
    assert_string_equal(s3->prefix, "");
    assert_null(s3->endpoint);
    assert_string_equal(s3->region, "us-east-1");
    assert_false(s3->path_style);
    assert_null(s3->ca_key);
    assert_null(s3->storage_class);
    assert_null(s3->server_side_encryption);
    assert_int_equal(policy->quorum, 1);
    assert_int_equal(policy->compression_level, 1);
    assert_true(policy->encryption.enabled);
    assert_string_equal(policy->encryption.active_key, "k3");
    assert_int_equal(policy->workers, 2);
    assert_int_equal(policy->uploads, 2);
    assert_int_equal(policy->retention.fulls, 0);
    assert_int_equal(policy->retention.minimum, 0);
}

static void every_field_of_the_example_is_obeyed_or_checked(void **state)
{
    (void)state;
    CLEANUP(own_freep)
    char *path = own_format("%.*s/docs/examples/policy.yaml",
                            (int)(strstr(__FILE__, "/sidecar/tests/") - __FILE__), __FILE__);
    CLEANUP(policy_freep) struct policy *policy = NULL;
    struct error err;
    if (policy_load(&policy, path, &err) < 0)
        fail_msg("%s", err.text);
    assert_string_equal(policy->regions[0].s3.ca_key, "eu.ca.crt");
    assert_string_equal(policy->regions[0].s3.storage_class, "STANDARD");
    assert_string_equal(policy->regions[0].s3.server_side_encryption, "AES256");
    assert_true(policy->regions[0].s3.path_style);
    assert_string_equal(policy->regions[1].azure.container, "shop-backups");
    assert_string_equal(policy->regions[1].azure.account, "shopbackups");
    assert_string_equal(policy->regions[1].azure.credentials, "us");
    assert_string_equal(policy->regions[1].azure.ca_key, "us.ca.crt");
    assert_string_equal(policy->regions[2].file_path, "/mnt/vault");
    assert_string_equal(policy->encryption.active_key, "k2");
    assert_int_equal(policy->quorum, 1);
    const struct retention_rules *rules = &policy->retention;
    assert_int_equal(rules->fulls, 4);
    assert_int_equal(rules->window_days, 30);
    assert_int_equal(rules->daily, 7);
    assert_int_equal(rules->weekly, 4);
    assert_int_equal(rules->monthly, 12);
    assert_int_equal(rules->yearly, 2);
    assert_int_equal(rules->minimum, 2);
}

static void every_policy_in_the_reference_is_accepted(void **state)
{
    (void)state;
    static const char fence[] = "```yaml\n";
    CLEANUP(own_freep)
    char *path = own_format("%.*s/docs/policy.md",
                            (int)(strstr(__FILE__, "/sidecar/tests/") - __FILE__), __FILE__);
    CLEANUP(buf_done) struct buf content = BUF(1 << 20);
    struct error err;
    if (buf_read_file(&content, AT_FDCWD, path, &err) < 0)
        fail_msg("%s", err.text);
    CLEANUP(own_freep) char *text = buf_string(&content);
    int count = 0;
    for (char *at = text; (at = strstr(at, fence)); count++) {
        at += strlen(fence);
        char *end = strstr(at, "```");
        assert_non_null(end);
        CLEANUP(own_freep) char *example = own_format("%.*s", (int)(end - at), at);
        CLEANUP(policy_freep) struct policy *policy = parse(example);
        assert_non_null(policy->name);
        at = end;
    }
    assert_true(count > 0);
}

static void what_kubectl_prints_is_accepted(void **state)
{
    (void)state;
    CLEANUP(own_freep)
    char *text = changed("  name: shop\n",
                         "  name: shop\n"
                         "  uid: 7d9f\n  resourceVersion: \"12\"\n  generation: 3\n"
                         "  creationTimestamp: \"2026-11-21T08:21:18Z\"\n"
                         "  finalizers: [lifeboat.dev/slots]\n"
                         "  managedFields:\n  - fieldsV1: {'f:spec': {.: {}, 'f:quorum': {}}}\n");
    CLEANUP(own_freep)
    char *all = own_format("%sstatus: {conditions: [{type: Ready, status: \"True\"}]}\n", text);
    CLEANUP(policy_freep) struct policy *policy = parse(all);
    assert_string_equal(policy->name, "shop");
}

static void without_writable_regions_there_is_no_quorum(void **state)
{
    (void)state;
    CLEANUP(policy_freep)
    struct policy *policy = parse("apiVersion: lifeboat.dev/v1alpha1\n"
                                  "kind: BackupPolicy\n"
                                  "metadata: {name: a}\n"
                                  "spec:\n"
                                  "  regions:\n"
                                  "  - {name: x, access: ReadOnly, file: {path: /b}}\n"
                                  "  encryption: {mode: None}\n");
    assert_int_equal(policy->quorum, 0);
    assert_true(policy->regions[0].read_only);
    assert_false(policy->encryption.enabled);
    assert_null(policy->encryption.active_key);
    assert_int_equal(policy->encryption.key_count, 0);
}

static void schedules_need_a_region_to_write_to_unless_they_are_suspended(void **state)
{
    (void)state;
    static const char format[] = "apiVersion: lifeboat.dev/v1alpha1\n"
                                 "kind: BackupPolicy\n"
                                 "metadata: {name: a}\n"
                                 "spec:\n"
                                 "  suspend: %s\n"
                                 "  regions:\n"
                                 "  - {name: x, access: ReadOnly, file: {path: /b}}\n"
                                 "  encryption: {mode: None}\n"
                                 "  schedules: [{name: a, cron: 0 3 * * *}]\n";
    CLEANUP(own_freep) char *active = own_format(format, "false");
    CLEANUP(own_freep) char *suspended = own_format(format, "true");
    CLEANUP(policy_freep) struct policy *policy = parse(suspended);
    assert_int_equal(policy->quorum, 0);
    expect_error(active, "p.yaml:9: spec.schedules: no region has access: ReadWrite, so no backup "
                         "can be made: remove the schedules, or set suspend: true");
}

static void a_region_is_found_by_its_name(void **state)
{
    (void)state;
    CLEANUP(policy_freep) struct policy *policy = parse(GOOD);
    struct error err;
    assert_ptr_equal(policy_find_region(policy, "here", &err), &policy->regions[1]);
    assert_null(policy_find_region(policy, "us", &err));
    assert_string_equal(err.text, "no region 'us' in the policy, which has eu, here");
    assert_int_equal(err.kind, ERROR_PERMANENT);
}

static void another_kind_of_document_is_refused(void **state)
{
    (void)state;
    static const struct change changes[] = {
        {"lifeboat.dev/v1alpha1", "lifeboat.dev/v2",
         "p.yaml:1: apiVersion: expected lifeboat.dev/v1alpha1, not \"lifeboat.dev/v2\""},
        {"BackupPolicy", "Backup", "p.yaml:2: kind: expected BackupPolicy, not \"Backup\""},
        {"kind: BackupPolicy\n", "", "p.yaml:1: kind: required, but missing"},
        {"", "extra: 1\n",
         "p.yaml:28: extra: unknown field; known here: apiVersion, kind, spec, status and "
         "metadata"},
    };
    expect_errors(changes, ARRAY_SIZE(changes));
    expect_error("- a\n", "p.yaml:1: expected an object, not a list");
    expect_error("", "p.yaml:1: the file is empty");
    expect_error("a: [\n",
                 "p.yaml:2: not YAML: did not find expected node content while parsing a flow "
                 "node");
}

static void bad_metadata_is_named(void **state)
{
    (void)state;
    static const struct change changes[] = {
        {"name: shop", "name: Shop",
         "p.yaml:4: metadata.name: expected a DNS label of at most 40 characters (a-z, 0-9 and "
         "'-' within), not \"Shop\""},
        {"name: shop", "name: a123456789a123456789a123456789a123456789x",
         "p.yaml:4: metadata.name: expected a DNS label of at most 40 characters (a-z, 0-9 and "
         "'-' within), not \"a123456789a123456789a123456789a123456789x\""},
        {"name: shop", "title: shop",
         "p.yaml:4: metadata.title: unknown field; known here: name, namespace, generation, "
         "labels, "
         "annotations, creationTimestamp, deletionGracePeriodSeconds, deletionTimestamp, "
         "finalizers, generateName, managedFields, ownerReferences, resourceVersion, "
         "selfLink and uid"},
        {"  name: shop\n", "", "p.yaml:3: metadata.name: required, but missing"},
        {"namespace: web", "namespace: -web",
         "p.yaml:5: metadata.namespace: expected a DNS label of at most 63 characters (a-z, 0-9 "
         "and '-' within), not \"-web\""},
        {"team: shop", "team: 5", "p.yaml:6: metadata.labels.team: expected a string, not 5"},
        {"cluster: c1", "cluster: true",
         "p.yaml:8: metadata.annotations.lifeboat.dev/cluster: expected a string, not true"},
    };
    expect_errors(changes, ARRAY_SIZE(changes));
}

static void bad_connections_are_named(void **state)
{
    (void)state;
    static const struct change changes[] = {
        {"port: 5433", "port: 0",
         "p.yaml:23: spec.connection.port: expected an integer from 1 to 65535, not 0"},
        {"port: 5433", "port: '5433'",
         "p.yaml:23: spec.connection.port: expected an integer from 1 to 65535, not \"5433\""},
        {"port: 5433", "user: ''",
         "p.yaml:23: spec.connection.user: expected a name of 1 to 63 bytes, not \"\""},
        {"port: 5433", "sslMode: verify",
         "p.yaml:23: spec.connection.sslMode: expected disable, allow, prefer, require, verify-ca "
         "or verify-full, not \"verify\""},
        {"port: 5433", "host: db",
         "p.yaml:23: spec.connection.host: unknown field; known here: port, user, database, "
         "passwordKey and sslMode"},
        {"passwordKey: password", "passwordKey: ../../etc/passwd",
         "p.yaml:24: spec.connection.passwordKey: expected a key of the policy's Secret (at most "
         "253 of A-Z, a-z, 0-9, '.', '_' and '-'), not \"../../etc/passwd\""},
    };
    expect_errors(changes, ARRAY_SIZE(changes));
}

static void bad_sources_are_named(void **state)
{
    (void)state;
    static const struct change changes[] = {
        {"", "  source: {prefer: Standby}\n",
         "p.yaml:28: spec.source.prefer: expected Replica or Primary, not \"Standby\""},
        {"", "  source: {fallback: 'true'}\n",
         "p.yaml:28: spec.source.fallback: expected true or false, not \"true\""},
        {"", "  source: {fallback: off}\n",
         "p.yaml:28: kubectl reads plain 'off' as a boolean: write false, or put it in quotes if "
         "it is text"},
        {"", "  source: {mode: PerRegion}\n",
         "p.yaml:28: spec.source.mode: PerRegion is not supported by this version: use Single"},
        {"", "  source:\n    region: us\n",
         "p.yaml:29: spec.source.region: 'us' is none of spec.regions"},
    };
    expect_errors(changes, ARRAY_SIZE(changes));
}

static void limits_are_read(void **state)
{
    (void)state;
    CLEANUP(own_freep)
    char *text = changed("", "  limits: {readBytesPerSecond: 65536, uploadBytesPerSecond: 100000,\n"
                             "    fetchBytesPerSecond: 200000, writeBytesPerSecond: 300000,\n"
                             "    priority: Idle}\n");
    CLEANUP(policy_freep) struct policy *policy = parse(text), *plain = parse(GOOD);
    assert_int_equal(policy->limits.read_bytes_per_second, 65536);
    assert_int_equal(policy->limits.upload_bytes_per_second, 100000);
    assert_int_equal(policy->limits.fetch_bytes_per_second, 200000);
    assert_int_equal(policy->limits.write_bytes_per_second, 300000);
    assert_int_equal(policy->limits.priority, PRIORITY_IDLE);
    assert_int_equal(plain->limits.read_bytes_per_second, 0);
    assert_int_equal(plain->limits.upload_bytes_per_second, 0);
    assert_int_equal(plain->limits.fetch_bytes_per_second, 0);
    assert_int_equal(plain->limits.write_bytes_per_second, 0);
    assert_int_equal(plain->limits.priority, PRIORITY_NORMAL);
}

static void what_becomes_of_the_log_is_read(void **state)
{
    (void)state;
    static const struct {
        const char *wal;
        enum policy_wal_mode mode;
        unsigned flush_seconds;
    } cases[] = {
        {"", POLICY_WAL_UNSAID, 10},
        {"  wal: {flushSeconds: 3600}\n", POLICY_WAL_UNSAID, 3600},
        {"  wal: {mode: Stream, flushSeconds: 1}\n", POLICY_WAL_STREAM, 1},
        {"  wal: {mode: BackupOnly}\n", POLICY_WAL_BACKUP_ONLY, 10},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(own_freep) char *text = own_format("%s%s", GOOD, cases[i].wal);
        CLEANUP(policy_freep) struct policy *policy = parse(text);
        assert_int_equal(policy->wal.mode, cases[i].mode);
        assert_int_equal(policy->wal.flush_seconds, cases[i].flush_seconds);
    }
}

static void bad_regions_are_named(void **state)
{
    (void)state;
    static const struct change changes[] = {
        {"  regions:\n", "  regoins:\n",
         "p.yaml:10: spec.regoins: unknown field; known here: regions, quorum, connection, source, "
         "encryption, compression, parallelism, retention, limits, wal, suspend, "
         "deadlineSeconds, schedules, objectives, verification, drills and sidecar"},
        {BODY, "  regions: []\n", "p.yaml:10: spec.regions: needs at least one region"},
        {BODY, "  regions: {}\n", "p.yaml:10: spec.regions: expected a list, not an object"},
        {BODY, "  regions: [1,2,3,4,5,6,7,8,9]\n",
         "p.yaml:10: spec.regions: expected at most 8 elements, not 9"},
        {BODY, "  encryption: {mode: None}\n", "p.yaml:9: spec.regions: required, but missing"},
        {"name: here", "name: eu", "p.yaml:18: spec.regions[1].name: 'eu' is there twice"},
        {"name: here", "name: Here",
         "p.yaml:18: spec.regions[1].name: expected a DNS label of at most 63 characters (a-z, 0-9 "
         "and '-' within), not \"Here\""},
        {"access: ReadWrite", "access: rw",
         "p.yaml:12: spec.regions[0].access: expected ReadWrite or ReadOnly, not \"rw\""},
        {"    file:\n      path: /backups\n", "",
         "p.yaml:18: spec.regions[1]: needs exactly one of s3, azure and file, but has 0"},
        {"    file:\n", "    s3: {bucket: bbb, credentials: c}\n    file:\n",
         "p.yaml:18: spec.regions[1]: needs exactly one of s3, azure and file, but has 2"},
        {DIRECTORY, "    azure: {account: abc, credentials: eu}\n",
         "p.yaml:19: spec.regions[1].azure.container: required, but missing"},
        {DIRECTORY, "    azure: {container: abc, credentials: eu}\n",
         "p.yaml:19: spec.regions[1].azure.account: required, but missing"},
        {DIRECTORY, "    azure: {container: a--b, account: abc, credentials: eu}\n",
         "p.yaml:19: spec.regions[1].azure.container: expected a container's name (3 to 63 of a-z, "
         "0-9 and single '-' within), not \"a--b\""},
        {DIRECTORY, "    azure: {container: abc, account: Shop, credentials: eu}\n",
         "p.yaml:19: spec.regions[1].azure.account: expected a storage account's name (3 to 24 of "
         "a-z and 0-9), not \"Shop\""},
        {DIRECTORY, "    azure: {container: abc, account: abc}\n",
         "p.yaml:19: spec.regions[1].azure.credentials: is missing: name the start of the key in "
         "the Secret; with 'eu' this is eu.account-key or eu.sas-token"},
        {DIRECTORY, "    azure: {container: abc, account: abc, auth: Instance, credentials: eu}\n",
         "p.yaml:19: spec.regions[1].azure.credentials: 'eu' would not be used with auth: "
         "Instance: "
         "remove it, or set auth: Static"},
        {"    file:\n", "    kind: x\n    file:\n",
         "p.yaml:19: spec.regions[1].kind: unknown field; known here: name, access, azure, s3 and "
         "file"},
        {"path: /backups", "path: backups",
         "p.yaml:20: spec.regions[1].file.path: expected the absolute path of a directory, without "
         "'..', not \"backups\""},
        {"path: /backups", "path: /backups/../etc",
         "p.yaml:20: spec.regions[1].file.path: expected the absolute path of a directory, without "
         "'..', not \"/backups/../etc\""},
        {"path: /backups", "{}", "p.yaml:19: spec.regions[1].file.path: required, but missing"},
        {"quorum: 2", "quorum: 3",
         "p.yaml:21: spec.quorum: 3 is more than the 2 regions with access: ReadWrite"},
        {"access: ReadWrite", "access: ReadOnly",
         "p.yaml:21: spec.quorum: 2 is more than the 1 regions with access: ReadWrite"},
        {"quorum: 2", "quorum: 0",
         "p.yaml:21: spec.quorum: expected an integer from 1 to 8, not 0"},
    };
    expect_errors(changes, ARRAY_SIZE(changes));
}

static void bad_buckets_are_named(void **state)
{
    (void)state;
    static const struct change changes[] = {
        {"bucket: shop-backups", "bucket: Shop_Backups",
         "p.yaml:14: spec.regions[0].s3.bucket: expected a bucket's name (3 to 63 of a-z, 0-9, '.' "
         "and '-'), not \"Shop_Backups\""},
        {"bucket: shop-backups", "bucket: 5",
         "p.yaml:14: spec.regions[0].s3.bucket: expected a string, not 5"},
        {"bucket: shop-backups", "bukcet: b",
         "p.yaml:14: spec.regions[0].s3.bukcet: unknown field; known here: bucket, prefix, "
         "endpoint, region, pathStyle, auth, credentials, caKey, storageClass, "
         "serverSideEncryption, kmsKey and objectLock"},
        {"      bucket: shop-backups\n", "",
         "p.yaml:13: spec.regions[0].s3.bucket: required, but missing"},
        {"prefix: pg/prod", "prefix: /pg",
         "p.yaml:15: spec.regions[0].s3.prefix: expected parts of A-Z, a-z, 0-9, '.', '_' and '-' "
         "between single slashes, none at either end, not \"/pg\""},
        {"prefix: pg/prod", "prefix: pg/../x",
         "p.yaml:15: spec.regions[0].s3.prefix: expected parts of A-Z, a-z, 0-9, '.', '_' and '-' "
         "between single slashes, none at either end, not \"pg/../x\""},
        {"https://s3.example.com:9000", "s3.example.com",
         "p.yaml:16: spec.regions[0].s3.endpoint: expected an endpoint such as "
         "https://s3.example.com:9000, not \"s3.example.com\""},
        {"https://s3.example.com:9000", "https://user@s3.example.com",
         "p.yaml:16: spec.regions[0].s3.endpoint: expected an endpoint such as "
         "https://s3.example.com:9000, not \"https://user@s3.example.com\""},
        {"https://s3.example.com:9000", "https://s3.example.com/bucket",
         "p.yaml:16: spec.regions[0].s3.endpoint: expected an endpoint such as "
         "https://s3.example.com:9000, not \"https://s3.example.com/bucket\""},
        {"      credentials: eu\n", "",
         "p.yaml:13: spec.regions[0].s3.credentials: required, but missing"},
        {"credentials: eu", "credentials: a/b",
         "p.yaml:17: spec.regions[0].s3.credentials: expected the start of keys of the policy's "
         "Secret (at most 230 of A-Z, a-z, 0-9, '.', '_' and '-'), not \"a/b\""},
        {"credentials: eu", "credentials: eu\n      auth: Instance",
         "p.yaml:17: spec.regions[0].s3.credentials: 'eu' would not be used with auth: Instance: "
         "remove it, or set auth: Static"},
        {"credentials: eu", "auth: None",
         "p.yaml:17: spec.regions[0].s3.auth: expected Static, WebIdentity or Instance, not "
         "\"None\""},
        {"credentials: eu", "credentials: eu\n      objectLock: {mode: Governance}",
         "p.yaml:18: spec.regions[0].s3.objectLock.days: required, but missing"},
        {"credentials: eu", "credentials: eu\n      objectLock: {days: 0}",
         "p.yaml:18: spec.regions[0].s3.objectLock.days: expected an integer from 1 to 36500, not "
         "0"},
        {"credentials: eu", "credentials: eu\n      objectLock: {days: 1, mode: GOVERNANCE}",
         "p.yaml:18: spec.regions[0].s3.objectLock.mode: expected Governance or Compliance, not "
         "\"GOVERNANCE\""},
        {"credentials: eu", "credentials: eu\n      objectLock: {days: 1, until: never}",
         "p.yaml:18: spec.regions[0].s3.objectLock.until: unknown field; known here: days and "
         "mode"},
        {"credentials: eu", "credentials: eu\n      storageClass: GLACIER",
         "p.yaml:18: spec.regions[0].s3.storageClass: objects of class 'GLACIER' cannot be read at "
         "once: use GLACIER_IR or STANDARD_IA"},
        {"credentials: eu", "credentials: eu\n      storageClass: cold",
         "p.yaml:18: spec.regions[0].s3.storageClass: expected a storage class such as "
         "STANDARD_IA, not \"cold\""},
        {"credentials: eu", "credentials: eu\n      serverSideEncryption: aws",
         "p.yaml:18: spec.regions[0].s3.serverSideEncryption: expected AES256, aws:kms or "
         "aws:kms:dsse, not \"aws\""},
        {"credentials: eu", "credentials: eu\n      kmsKey: k",
         "p.yaml:18: spec.regions[0].s3.kmsKey: 'k' would not be used: set "
         "serverSideEncryption: aws:kms, or remove it"},
        {"credentials: eu", "credentials: eu\n      serverSideEncryption: AES256\n      kmsKey: k",
         "p.yaml:19: spec.regions[0].s3.kmsKey: 'k' would not be used: set "
         "serverSideEncryption: aws:kms, or remove it"},
        {"credentials: eu",
         "credentials: eu\n      serverSideEncryption: aws:kms\n      kmsKey: the key",
         "p.yaml:19: spec.regions[0].s3.kmsKey: expected the ARN or the id of a key of AWS KMS, "
         "not \"the key\""},
        {"credentials: eu", "credentials: eu\n      pathStyle: 1",
         "p.yaml:18: spec.regions[0].s3.pathStyle: expected true or false, not 1"},
        {"credentials: eu", "credentials: eu\n      region: eu/1",
         "p.yaml:18: spec.regions[0].s3.region: expected a region such as eu-central-1, not "
         "\"eu/1\""},
    };
    expect_errors(changes, ARRAY_SIZE(changes));
}

static void bad_encryption_is_named(void **state)
{
    (void)state;
    static const struct change changes[] = {
        {"    activeKey: k2\n    keys: [k1, k2]\n", "    mode: AES256GCM\n",
         "p.yaml:25: spec.encryption.keys: needs at least one key of the policy's Secret; make one "
         "with 'openssl rand -base64 32', or set mode: None"},
        {"  encryption:\n    activeKey: k2\n    keys: [k1, k2]\n", "",
         "p.yaml:9: spec.encryption.keys: needs at least one key of the policy's Secret; make one "
         "with 'openssl rand -base64 32', or set mode: None"},
        {"activeKey: k2", "activeKey: k3",
         "p.yaml:26: spec.encryption.activeKey: 'k3' is none of keys: add it there"},
        {"activeKey: k2", "activeKey: k2\n    mode: None",
         "p.yaml:26: spec.encryption.activeKey: 'k2' would not be used with mode: None: remove it, "
         "or set mode: AES256GCM"},
        {"activeKey: k2", "mode: None",
         "p.yaml:27: spec.encryption.keys: would not be used with mode: None: remove them, or set "
         "mode: AES256GCM"},
        {"activeKey: k2", "mode: AES",
         "p.yaml:26: spec.encryption.mode: expected AES256GCM or None, not \"AES\""},
        {"[k1, k2]", "[k1, k1]", "p.yaml:27: spec.encryption.keys[1]: 'k1' is there twice"},
        {"[k1, k2]", "[k1, ..data]",
         "p.yaml:27: spec.encryption.keys[1]: expected a key of the policy's Secret (at most 253 "
         "of A-Z, a-z, 0-9, '.', '_' and '-'), not '..data'"},
        {"[k1, k2]", "[k1, 2]", "p.yaml:27: spec.encryption.keys[1]: expected a string, not 2"},
        {"[k1, k2]", "k2", "p.yaml:27: spec.encryption.keys: expected a list, not \"k2\""},
        {"[k1, k2]", "[a,b,c,d,e,f,g,h,i,j,k,l,m,o,p,q,r]",
         "p.yaml:27: spec.encryption.keys: expected at most 16 elements, not 17"},
    };
    expect_errors(changes, ARRAY_SIZE(changes));
}

static void bad_numbers_for_the_engine_are_named(void **state)
{
    (void)state;
    static const struct change changes[] = {
        {"", "  compression: {level: 20}\n",
         "p.yaml:28: spec.compression.level: expected an integer from 1 to 19, not 20"},
        {"", "  compression: {level: 1, type: lz4}\n",
         "p.yaml:28: spec.compression.type: unknown field; known here: level"},
        {"", "  parallelism: {workers: 65}\n",
         "p.yaml:28: spec.parallelism.workers: expected an integer from 1 to 64, not 65"},
        {"", "  parallelism: {uploads: 1.5}\n",
         "p.yaml:28: spec.parallelism.uploads: expected an integer from 1 to 64, not 1.5"},
        {"", "  limits: {readBytesPerSecond: 65535}\n",
         "p.yaml:28: spec.limits.readBytesPerSecond: expected an integer from 65536 to "
         "9223372036854775807, not 65535"},
        {"", "  limits:\n    uploadBytesPerSecond: 5M\n",
         "p.yaml:29: spec.limits.uploadBytesPerSecond: expected an integer from 65536 to "
         "9223372036854775807, not \"5M\""},
        {"", "  limits: {fetchBytesPerSecond: 0}\n",
         "p.yaml:28: spec.limits.fetchBytesPerSecond: expected an integer from 65536 to "
         "9223372036854775807, not 0"},
        {"", "  limits: {writeBytesPerSecond: -1}\n",
         "p.yaml:28: spec.limits.writeBytesPerSecond: expected an integer from 65536 to "
         "9223372036854775807, not -1"},
        {"", "  limits: {priority: low}\n",
         "p.yaml:28: spec.limits.priority: expected Normal, Low or Idle, not \"low\""},
        {"", "  limits: {bandwidth: 1}\n",
         "p.yaml:28: spec.limits.bandwidth: unknown field; known here: readBytesPerSecond, "
         "uploadBytesPerSecond, fetchBytesPerSecond, writeBytesPerSecond and priority"},
    };
    expect_errors(changes, ARRAY_SIZE(changes));
}

static void fields_of_the_operator_are_checked_too(void **state)
{
    (void)state;
    static const struct change changes[] = {
        {"", "  suspend: 1\n", "p.yaml:28: spec.suspend: expected true or false, not 1"},
        {"", "  deadlineSeconds: 0\n",
         "p.yaml:28: spec.deadlineSeconds: expected an integer from 1 to 2678400, not 0"},
        {"", "  schedules:\n  - {name: a, cron: '0 3 * *'}\n",
         "p.yaml:29: spec.schedules[0].cron: expected five cron fields (minute, hour, day of "
         "month, month, day of week) such as '0 3 * * *', or one of @hourly, @daily, @weekly, "
         "@monthly and @yearly, not '0 3 * *'"},
        {"", "  schedules:\n  - {name: a, cron: '0 3 * * SUN; rm'}\n",
         "p.yaml:29: spec.schedules[0].cron: day of week 'SUN;': expected '*' or a list of numbers "
         "from 0 to 7 or SUN to SAT, ranges as 1-5 and steps as */2"},
        {"", "  schedules:\n  - {name: a}\n",
         "p.yaml:29: spec.schedules[0].cron: required, but missing"},
        {"", "  schedules:\n  - {cron: 0 3 * * *}\n",
         "p.yaml:29: spec.schedules[0].name: required, but missing"},
        {"", "  schedules:\n  - {name: a, cron: 0 3 * * *}\n  - {name: a, cron: 0 4 * * *}\n",
         "p.yaml:30: spec.schedules[1].name: 'a' is there twice"},
        {"", "  schedules:\n  - {name: a, cron: 0 3 * * *, type: full}\n",
         "p.yaml:29: spec.schedules[0].type: expected Full, Differential or Incremental, not "
         "\"full\""},
        {"", "  schedules:\n  - {name: abcdefghijklmnopqrstu, cron: 0 3 * * *}\n",
         "p.yaml:29: spec.schedules[0].name: expected a DNS label of at most 20 characters (a-z, "
         "0-9 and '-' within), not \"abcdefghijklmnopqrstu\""},
        {"", "  schedules:\n  - {name: a, cron: 0 3 * * *, timeZone: /etc/passwd}\n",
         "p.yaml:29: spec.schedules[0].timeZone: expected a time zone such as Europe/Berlin, not "
         "\"/etc/passwd\""},
        {"", "  schedules: [0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]\n",
         "p.yaml:28: spec.schedules: expected at most 16 elements, not 17"},
        {"", "  retention: {fulls: -1}\n",
         "p.yaml:28: spec.retention.fulls: expected an integer from 0 to 10000, not -1"},
        {"", "  retention: {days: 1}\n",
         "p.yaml:28: spec.retention.days: unknown field; known here: fulls, windowDays, daily, "
         "weekly, monthly, yearly and minimum"},
        {"", "  verification: {mode: All, cron: 0 3 * * *}\n",
         "p.yaml:28: spec.verification.mode: expected Sample or Full, not \"All\""},
        {"", "  verification: {mode: Full}\n",
         "p.yaml:28: spec.verification.cron: required, but missing"},
        {"", "  drills:\n  - {name: d, cron: 0 3 * * *, template: {chekcs: {}}}\n",
         "p.yaml:29: spec.drills[0].template.chekcs: unknown field; known here: source, "
         "recoveryTarget, destination, database, pod, checks, objectives, parallelism, "
         "deadlineSeconds and ttlSecondsAfterFinished"},
        {"", "  drills:\n  - {name: d, cron: 0 3 * * *, template: {pod: 5}}\n",
         "p.yaml:29: spec.drills[0].template.pod: expected an object, not 5"},
        {"", "  drills: [0,1,2,3,4,5,6,7,8]\n",
         "p.yaml:28: spec.drills: expected at most 8 elements, not 9"},
        {"", "  objectives: {recoveryPointSeconds: x}\n",
         "p.yaml:28: spec.objectives.recoveryPointSeconds: expected an integer from 0 to 2678400, "
         "not \"x\""},
        {"", "  wal: {mode: Archive}\n",
         "p.yaml:28: spec.wal.mode: expected Stream or BackupOnly, not \"Archive\""},
        {"", "  wal: {flushSeconds: 0}\n",
         "p.yaml:28: spec.wal.flushSeconds: expected an integer from 1 to 3600, not 0"},
        {"", "  sidecar: {runAsUser: 0}\n",
         "p.yaml:28: spec.sidecar.runAsUser: expected an integer from 1 to 4294967294, not 0"},
        {"", "  sidecar: {image: 'a b'}\n",
         "p.yaml:28: spec.sidecar.image: expected a container image, not \"a b\""},
        {"", "  sidecar: {resources: {limit: {}}}\n",
         "p.yaml:28: spec.sidecar.resources.limit: unknown field; known here: limits, requests "
         "and claims"},
    };
    expect_errors(changes, ARRAY_SIZE(changes));
}

static void a_missing_file_is_not_found(void **state)
{
    (void)state;
    struct policy *policy = NULL;
    struct error err;
    assert_int_equal(policy_load(&policy, "/nonexistent/policy.yaml", &err), -1);
    assert_int_equal(err.kind, ERROR_NOT_FOUND);
    assert_string_equal(err.text, "open '/nonexistent/policy.yaml': No such file or directory");
    assert_null(policy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_policy_is_read_into_its_struct),
        cmocka_unit_test(whose_key_signs_and_what_is_locked_is_read),
        cmocka_unit_test(a_container_of_azure_is_read),
        cmocka_unit_test(what_is_left_out_has_its_default),
        cmocka_unit_test(every_field_of_the_example_is_obeyed_or_checked),
        cmocka_unit_test(every_policy_in_the_reference_is_accepted),
        cmocka_unit_test(what_kubectl_prints_is_accepted),
        cmocka_unit_test(without_writable_regions_there_is_no_quorum),
        cmocka_unit_test(schedules_need_a_region_to_write_to_unless_they_are_suspended),
        cmocka_unit_test(a_region_is_found_by_its_name),
        cmocka_unit_test(another_kind_of_document_is_refused),
        cmocka_unit_test(bad_metadata_is_named),
        cmocka_unit_test(bad_connections_are_named),
        cmocka_unit_test(bad_sources_are_named),
        cmocka_unit_test(limits_are_read),
        cmocka_unit_test(what_becomes_of_the_log_is_read),
        cmocka_unit_test(bad_regions_are_named),
        cmocka_unit_test(bad_buckets_are_named),
        cmocka_unit_test(bad_encryption_is_named),
        cmocka_unit_test(bad_numbers_for_the_engine_are_named),
        cmocka_unit_test(fields_of_the_operator_are_checked_too),
        cmocka_unit_test(a_missing_file_is_not_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
