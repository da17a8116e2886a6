// SPDX-License-Identifier: Apache-2.0
#include "sidecar/policy.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "common/fields.h"
#include "common/own.h"
#include "common/text.h"
#include "sidecar/policy_operator.h"
#include "sidecar/syntax.h"

/* What the API server adds to a resource's metadata ("kubectl get -o yaml"). */
static const char *const server_metadata[] = {
    "creationTimestamp", "deletionGracePeriodSeconds",
    "deletionTimestamp", "finalizers",
    "generateName",      "managedFields",
    "ownerReferences",   "resourceVersion",
    "selfLink",
};

enum { LABELS_MAX = 64, ANNOTATIONS_MAX = 256, CLUSTER_MAX = 63, LOCK_DAYS_MAX = 36500 };
enum { KEEP_MAX = 10000 }; /* backups or days of retention */
enum { FLUSH_SECONDS = 10, FLUSH_SECONDS_MAX = 3600 };

/* Below it, requests would last longer than servers wait. */
enum { RATE_MIN = 64 * 1024 };

static unsigned read_count(struct fields *fields, const char *name, unsigned max, unsigned fallback)
{
    return (unsigned)fields_integer(fields, name, 1, max, fallback);
}

/* The operator adds it to the policy that its sidecars get. */
static const char *read_cluster(struct fields *metadata)
{
    static const char name[] = "lifeboat.dev/cluster";
    json_t *annotations = fields_string_map(metadata, "annotations", ANNOTATIONS_MAX);
    const char *cluster = json_string_value(json_object_get(annotations, name));
    if (cluster && (!*cluster || strlen(cluster) > CLUSTER_MAX))
        fields_fail(metadata, "annotations", "%s: expected 1 to %d bytes", name, CLUSTER_MAX);
    return cluster;
}

static int read_metadata(struct policy *policy, struct fields *root)
{
    struct fields metadata;
    fields_object(root, "metadata", &metadata);
    fields_require(&metadata, "name");
    policy->name = syntax_string(&metadata, "name", NULL, syntax_policy_name);
    policy->namespace = syntax_string(&metadata, "namespace", "default", syntax_label);
    policy->generation = fields_integer(&metadata, "generation", 0, INT64_MAX, 0);
    fields_string_map(&metadata, "labels", LABELS_MAX);
    policy->cluster = read_cluster(&metadata);
    for (size_t i = 0; i < ARRAY_SIZE(server_metadata); i++)
        fields_skip(&metadata, server_metadata[i]);
    policy->uid = fields_string(&metadata, "uid", NULL);
    return fields_end(&metadata);
}

static int read_connection(struct policy *policy, struct fields *spec)
{
    static const char *const ssl_modes[] = {"disable",   "allow",       "prefer", "require",
                                            "verify-ca", "verify-full", NULL};
    struct policy_connection *connection = &policy->connection;
    struct fields fields;
    fields_object(spec, "connection", &fields);
    connection->port = read_count(&fields, "port", 65535, 5432);
    connection->user = syntax_string(&fields, "user", "lifeboat", syntax_identifier);
    connection->database = syntax_string(&fields, "database", "postgres", syntax_identifier);
    connection->password_key = syntax_string(&fields, "passwordKey", NULL, syntax_secret_key);
    connection->ssl_mode = ssl_modes[fields_choice(&fields, "sslMode", ssl_modes, 2)];
    return fields_end(&fields);
}

static int read_source(struct policy *policy, struct fields *spec)
{
    static const char *const prefers[] = {"Replica", "Primary", NULL};
    static const char *const modes[] = {"Single", "PerRegion", NULL};
    struct fields source;
    fields_object(spec, "source", &source);
    policy->prefer =
        (enum policy_prefer)fields_choice(&source, "prefer", prefers, POLICY_PREFER_REPLICA);
    fields_bool(&source, "fallback", true);
    if (fields_choice(&source, "mode", modes, 0) != 0)
        fields_fail(&source, "mode", "PerRegion is not supported by this version: use Single");
    const char *region = syntax_string(&source, "region", NULL, syntax_label);
    struct error none;
    if (region && !policy_find_region(policy, region, &none))
        fields_fail(&source, "region", "'%s' is none of spec.regions", region);
    return fields_end(&source);
}

/* Classes whose objects must be thawed for hours before they can be read: a restore would fail. */
static void check_storage_class(struct fields *fields, const char *class)
{
    static const char *const frozen[] = {"GLACIER", "DEEP_ARCHIVE"};
    if (syntax_is_among(class, frozen, ARRAY_SIZE(frozen)))
        fields_fail(fields, "storageClass",
                    "objects of class '%s' cannot be read at once: use GLACIER_IR or STANDARD_IA",
                    class);
}

/* Who the requests come from. */
static void read_auth(struct policy_s3 *s3, struct fields *fields)
{
    static const char *const auths[] = {"Static", "WebIdentity", "Instance", NULL};
    s3->auth = (enum policy_s3_auth)fields_choice(fields, "auth", auths, POLICY_S3_STATIC);
    if (s3->auth == POLICY_S3_STATIC)
        fields_require(fields, "credentials");
    s3->credentials = syntax_string(fields, "credentials", NULL, syntax_secret_prefix);
    if (s3->auth != POLICY_S3_STATIC && s3->credentials)
        fields_fail(fields, "credentials",
                    "'%s' would not be used with auth: %s: remove it, or set auth: Static",
                    s3->credentials, auths[s3->auth]);
}

static int read_lock(struct policy_s3 *s3, struct fields *region)
{
    static const char *const modes[] = {"Governance", "Compliance", NULL};
    static const char *const headers[] = {"GOVERNANCE", "COMPLIANCE"};
    struct fields lock;
    bool wanted = fields_has(region, "objectLock");
    fields_object(region, "objectLock", &lock);
    if (!wanted)
        return 0;
    fields_require(&lock, "days");
    s3->lock_mode = headers[fields_choice(&lock, "mode", modes, 0)];
    s3->lock_days = read_count(&lock, "days", LOCK_DAYS_MAX, 1);
    return fields_end(&lock);
}

static void read_encryption_by_service(struct policy_s3 *s3, struct fields *fields)
{
    static const char *const encryptions[] = {"AES256", "aws:kms", "aws:kms:dsse", NULL};
    if (fields_has(fields, "serverSideEncryption"))
        s3->server_side_encryption =
            encryptions[fields_choice(fields, "serverSideEncryption", encryptions, 0)];
    else
        fields_skip(fields, "serverSideEncryption");
    s3->kms_key = syntax_string(fields, "kmsKey", NULL, syntax_kms_key);
    if (s3->kms_key &&
        (!s3->server_side_encryption || !text_starts_with(s3->server_side_encryption, "aws:kms")))
        fields_fail(fields, "kmsKey",
                    "'%s' would not be used: set serverSideEncryption: aws:kms, or remove it",
                    s3->kms_key);
}

static int read_s3(struct policy_s3 *s3, struct fields *region)
{
    struct fields fields;
    fields_object(region, "s3", &fields);
    fields_require(&fields, "bucket");
    s3->bucket = syntax_string(&fields, "bucket", NULL, syntax_bucket);
    s3->prefix = syntax_string(&fields, "prefix", "", syntax_prefix);
    s3->endpoint = syntax_string(&fields, "endpoint", NULL, syntax_endpoint);
    s3->region = syntax_string(&fields, "region", "us-east-1", syntax_s3_region);
    s3->path_style = fields_bool(&fields, "pathStyle", false);
    read_auth(s3, &fields);
    s3->ca_key = syntax_string(&fields, "caKey", NULL, syntax_secret_key);
    s3->storage_class = syntax_string(&fields, "storageClass", NULL, syntax_storage_class);
    check_storage_class(&fields, s3->storage_class);
    read_encryption_by_service(s3, &fields);
    if (read_lock(s3, &fields) < 0)
        return -1;
    return fields_end(&fields);
}

/* Credentials and what they are for go together: none is read and ignored. */
static void read_azure_auth(struct policy_azure *azure, struct fields *fields)
{
    static const char *const auths[] = {"Static", "WebIdentity", "Instance", NULL};
    azure->auth = (enum policy_azure_auth)fields_choice(fields, "auth", auths, POLICY_AZURE_STATIC);
    azure->credentials = syntax_string(fields, "credentials", NULL, syntax_secret_prefix);
    if (azure->auth == POLICY_AZURE_STATIC && !fields_has(fields, "credentials"))
        fields_fail(fields, "credentials",
                    "is missing: name the start of the key in the Secret; with 'eu' this is "
                    "eu.account-key or eu.sas-token");
    if (azure->auth != POLICY_AZURE_STATIC && azure->credentials)
        fields_fail(fields, "credentials",
                    "'%s' would not be used with auth: %s: remove it, or set auth: Static",
                    azure->credentials, auths[azure->auth]);
}

static int read_azure(struct policy_azure *azure, struct fields *region)
{
    struct fields fields;
    fields_object(region, "azure", &fields);
    fields_require(&fields, "container");
    fields_require(&fields, "account");
    azure->container = syntax_string(&fields, "container", NULL, syntax_container);
    azure->account = syntax_string(&fields, "account", NULL, syntax_account);
    azure->prefix = syntax_string(&fields, "prefix", "", syntax_prefix);
    azure->endpoint = syntax_string(&fields, "endpoint", NULL, syntax_endpoint);
    read_azure_auth(azure, &fields);
    azure->ca_key = syntax_string(&fields, "caKey", NULL, syntax_secret_key);
    return fields_end(&fields);
}

static int read_file(struct policy_region *region, struct fields *fields)
{
    struct fields file;
    fields_object(fields, "file", &file);
    fields_require(&file, "path");
    region->file_path = syntax_string(&file, "path", NULL, syntax_directory);
    return fields_end(&file);
}

/* Exactly one of s3, azure and file. */
static int read_store(struct policy_region *region, struct fields *fields)
{
    bool s3 = fields_has(fields, "s3"), azure = fields_has(fields, "azure"),
         file = fields_has(fields, "file");
    if (s3 + azure + file != 1)
        fields_fail(fields, NULL, "needs exactly one of s3, azure and file, but has %d",
                    s3 + azure + file);
    fields_skip(fields, "azure");
    fields_skip(fields, "s3");
    fields_skip(fields, "file");
    region->store = s3 ? POLICY_STORE_S3 : azure ? POLICY_STORE_AZURE : POLICY_STORE_FILE;
    switch (region->store) {
    case POLICY_STORE_S3:
        return read_s3(&region->s3, fields);
    case POLICY_STORE_AZURE:
        return read_azure(&region->azure, fields);
    case POLICY_STORE_FILE:
        break;
    }
    return read_file(region, fields);
}

static int read_region(struct policy *policy, struct fields *spec, size_t index)
{
    static const char *const accesses[] = {"ReadWrite", "ReadOnly", NULL};
    struct policy_region *region = &policy->regions[index];
    struct fields fields;
    struct error none;
    fields_array_object(spec, "regions", index, &fields);
    fields_require(&fields, "name");
    region->name = syntax_string(&fields, "name", NULL, syntax_label);
    if (region->name && policy_find_region(policy, region->name, &none))
        fields_fail(&fields, "name", "'%s' is there twice", region->name);
    region->read_only = fields_choice(&fields, "access", accesses, 0) == 1;
    if (read_store(region, &fields) < 0)
        return -1;
    policy->region_count++;
    return fields_end(&fields);
}

static int read_regions(struct policy *policy, struct fields *spec)
{
    fields_require(spec, "regions");
    size_t count = fields_array(spec, "regions", POLICY_REGIONS_MAX);
    if (count == 0 && fields_has(spec, "regions"))
        fields_fail(spec, "regions", "needs at least one region");
    unsigned writable = 0;
    for (size_t i = 0; i < count; i++) {
        if (read_region(policy, spec, i) < 0)
            return -1;
        writable += !policy->regions[i].read_only;
    }
    policy->quorum = read_count(spec, "quorum", POLICY_REGIONS_MAX, writable > 0);
    if (count > 0 && policy->quorum > writable)
        fields_fail(spec, "quorum", "%u is more than the %u regions with access: ReadWrite",
                    policy->quorum, writable);
    return spec->bad ? -1 : 0;
}

static void read_keys(struct policy_encryption *encryption, struct fields *fields)
{
    size_t count = fields_array(fields, "keys", POLICY_KEYS_MAX);
    for (size_t i = 0; i < count; i++) {
        char element[32];
        snprintf(element, sizeof(element), "keys[%zu]", i);
        const char *key = fields_array_string(fields, "keys", i);
        const char *expected = key ? syntax_secret_key(key) : NULL;
        if (expected)
            fields_fail(fields, element, "expected %s, not '%s'", expected, key);
        if (syntax_is_among(key, encryption->keys, i))
            fields_fail(fields, element, "'%s' is there twice", key);
        encryption->keys[encryption->key_count++] = key;
    }
}

static int read_encryption(struct policy *policy, struct fields *spec)
{
    static const char *const modes[] = {"AES256GCM", "None", NULL};
    struct policy_encryption *encryption = &policy->encryption;
    struct fields fields;
    fields_object(spec, "encryption", &fields);
    encryption->enabled = fields_choice(&fields, "mode", modes, 0) == 0;
    read_keys(encryption, &fields);
    if (encryption->enabled && encryption->key_count == 0)
        fields_fail(&fields, "keys",
                    "needs at least one key of the policy's Secret; make one with 'openssl rand "
                    "-base64 32', or set mode: None");
    const char *first = encryption->enabled ? encryption->keys[0] : NULL;
    encryption->active_key = fields_string(&fields, "activeKey", first);
    if (!encryption->enabled && encryption->active_key)
        fields_fail(&fields, "activeKey",
                    "'%s' would not be used with mode: None: remove it, or set mode: AES256GCM",
                    encryption->active_key);
    else if (!encryption->enabled && encryption->key_count > 0)
        fields_fail(&fields, "keys",
                    "would not be used with mode: None: remove them, or set mode: AES256GCM");
    else if (encryption->active_key &&
             !syntax_is_among(encryption->active_key, encryption->keys, encryption->key_count))
        fields_fail(&fields, "activeKey", "'%s' is none of keys: add it there",
                    encryption->active_key);
    return fields_end(&fields);
}

static int read_effort(struct policy *policy, struct fields *spec)
{
    struct fields compression, parallelism;
    fields_object(spec, "compression", &compression);
    policy->compression_level = (int)read_count(&compression, "level", 19, 1);
    if (fields_end(&compression) < 0)
        return -1;
    fields_object(spec, "parallelism", &parallelism);
    policy->workers = read_count(&parallelism, "workers", 64, 2);
    policy->uploads = read_count(&parallelism, "uploads", 64, 2);
    return fields_end(&parallelism);
}

static int read_retention(struct policy *policy, struct fields *spec)
{
    struct retention_rules *rules = &policy->retention;
    const struct {
        const char *name;
        unsigned *value;
    } members[] = {
        {"fulls", &rules->fulls},     {"windowDays", &rules->window_days},
        {"daily", &rules->daily},     {"weekly", &rules->weekly},
        {"monthly", &rules->monthly}, {"yearly", &rules->yearly},
        {"minimum", &rules->minimum},
    };
    struct fields retention;
    fields_object(spec, "retention", &retention);
    for (size_t i = 0; i < ARRAY_SIZE(members); i++)
        *members[i].value = (unsigned)fields_integer(&retention, members[i].name, 0, KEEP_MAX, 0);
    return fields_end(&retention);
}

/* 0 where it is not limited. */
static uint64_t read_rate(struct fields *limits, const char *name)
{
    return (uint64_t)fields_integer(limits, name, RATE_MIN, INT64_MAX, 0);
}

static int read_limits(struct policy *policy, struct fields *spec)
{
    static const char *const priorities[] = {
        [PRIORITY_NORMAL] = "Normal",
        [PRIORITY_LOW] = "Low",
        [PRIORITY_IDLE] = "Idle",
        NULL,
    };
    struct policy_limits *limits = &policy->limits;
    struct fields fields;
    fields_object(spec, "limits", &fields);
    limits->read_bytes_per_second = read_rate(&fields, "readBytesPerSecond");
    limits->upload_bytes_per_second = read_rate(&fields, "uploadBytesPerSecond");
    limits->fetch_bytes_per_second = read_rate(&fields, "fetchBytesPerSecond");
    limits->write_bytes_per_second = read_rate(&fields, "writeBytesPerSecond");
    limits->priority =
        (enum priority)fields_choice(&fields, "priority", priorities, PRIORITY_NORMAL);
    return fields_end(&fields);
}

static int read_wal(struct policy *policy, struct fields *spec)
{
    static const char *const modes[] = {"Stream", "BackupOnly", NULL};
    struct fields wal;
    fields_object(spec, "wal", &wal);
    const bool said = fields_has(&wal, "mode");
    const int mode = (int)fields_choice(&wal, "mode", modes, 0);
    policy->wal.mode = !said       ? POLICY_WAL_UNSAID
                       : mode == 0 ? POLICY_WAL_STREAM
                                   : POLICY_WAL_BACKUP_ONLY;
    policy->wal.flush_seconds = read_count(&wal, "flushSeconds", FLUSH_SECONDS_MAX, FLUSH_SECONDS);
    return fields_end(&wal);
}

static int read_spec(struct policy *policy, struct fields *root)
{
    struct fields spec;
    fields_object(root, "spec", &spec);
    if (read_regions(policy, &spec) < 0 || read_connection(policy, &spec) < 0 ||
        read_source(policy, &spec) < 0)
        return -1;
    if (read_encryption(policy, &spec) < 0 || read_effort(policy, &spec) < 0)
        return -1;
    if (read_retention(policy, &spec) < 0 || read_limits(policy, &spec) < 0 ||
        read_wal(policy, &spec) < 0)
        return -1;
    if (policy_operator_check(&spec, policy->quorum > 0) < 0)
        return -1;
    return fields_end(&spec);
}

static int read_document(struct policy *policy, struct error *err)
{
    static const char *const versions[] = {"lifeboat.dev/v1alpha1", NULL};
    static const char *const kinds[] = {"BackupPolicy", NULL};
    struct fields root;
    fields_init(&root, policy->document.root, &policy->document, ERROR_PERMANENT, err);
    fields_require(&root, "apiVersion");
    fields_choice(&root, "apiVersion", versions, 0);
    fields_require(&root, "kind");
    fields_choice(&root, "kind", kinds, 0);
    fields_require(&root, "spec");
    fields_skip(&root, "status");
    if (read_metadata(policy, &root) < 0 || read_spec(policy, &root) < 0)
        return -1;
    return fields_end(&root);
}

void policy_freep(struct policy **policy)
{
    if (*policy)
        yaml_done(&(*policy)->document);
    own_freep(policy);
}

const struct policy_region *policy_find_region(const struct policy *policy, const char *name,
                                               struct error *err)
{
    char names[POLICY_REGIONS_MAX * 66] = "";
    size_t used = 0;
    for (size_t i = 0; i < policy->region_count; i++) {
        const struct policy_region *region = &policy->regions[i];
        if (strcmp(region->name, name) == 0)
            return region;
        used += (size_t)snprintf(names + used, sizeof(names) - used, "%s%s", i > 0 ? ", " : "",
                                 region->name);
        assert(used < sizeof(names));
    }
    error_set(err, ERROR_PERMANENT, "no region '%s' in the policy, which has %s", name, names);
    return NULL;
}

int policy_parse(struct policy **ret_policy, const char *file, const char *text, size_t size,
                 struct error *err)
{
    CLEANUP(policy_freep) struct policy *policy = own_alloc(sizeof(*policy));
    if (yaml_parse(&policy->document, file, text, size, err) < 0 || read_document(policy, err) < 0)
        return -1;
    *ret_policy = TAKE(policy);
    return 0;
}

int policy_load(struct policy **ret_policy, const char *path, struct error *err)
{
    CLEANUP(policy_freep) struct policy *policy = own_alloc(sizeof(*policy));
    if (yaml_load(&policy->document, path, err) < 0 || read_document(policy, err) < 0)
        return -1;
    *ret_policy = TAKE(policy);
    return 0;
}
