// SPDX-License-Identifier: Apache-2.0
#include "operator/policy_spec.h"

#include <stdio.h>
#include <string.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/fields.h"
#include "common/own.h"

enum {
    DAY_SECONDS = 24 * 60 * 60,
    MONTH_SECONDS = 31 * DAY_SECONDS,
    KEYS_TEXT_MAX = 8192,
};

static void add_gap(struct policy_spec *spec, bool refused, const char *field, const char *means)
{
    if (spec->gap_count == ARRAY_SIZE(spec->gaps))
        return; /* the first ones say enough */
    struct policy_spec_gap *gap = &spec->gaps[spec->gap_count++];
    *gap = (struct policy_spec_gap){.means = means, .refused = refused};
    snprintf(gap->field, sizeof(gap->field), "%s", field);
}

static bool is_among(const char *name, const char *other)
{
    return name && other && strcmp(name, other) == 0;
}

static int read_metadata(struct fields *root, struct policy_spec *spec)
{
    struct fields metadata;
    fields_object(root, "metadata", &metadata);
    spec->name = fields_string(&metadata, "name", "");
    spec->namespace = fields_string(&metadata, "namespace", "");
    spec->uid = fields_string(&metadata, "uid", "");
    spec->generation = fields_integer(&metadata, "generation", 0, INT64_MAX, 0);
    spec->deleted = fields_has(&metadata, "deletionTimestamp");
    const char *created = fields_string(&metadata, "creationTimestamp", NULL);
    if (created && !clock_parse(created, &spec->created_ms))
        fields_refuse(&metadata, "creationTimestamp", "a time");
    return metadata.bad ? -1 : 0; /* the API server's other members are its own */
}

static int read_schedules(struct fields *fields, struct policy_spec *spec)
{
    static const char *const types[] = {"Full", "Differential", "Incremental", NULL};
    size_t count = fields_array(fields, "schedules", POLICY_SPEC_SCHEDULES_MAX);
    for (size_t i = 0; i < count; i++) {
        struct policy_spec_schedule *schedule = &spec->schedules[i];
        struct fields child;
        fields_array_object(fields, "schedules", i, &child);
        fields_require(&child, "name");
        fields_require(&child, "cron");
        schedule->name = fields_string(&child, "name", "");
        schedule->type = types[fields_choice(&child, "type", types, 0)];
        schedule->cron = fields_string(&child, "cron", "");
        schedule->time_zone = fields_string(&child, "timeZone", NULL);
        schedule->jitter_seconds =
            (unsigned)fields_integer(&child, "jitterSeconds", 0, DAY_SECONDS, 0);
        schedule->starting_deadline_seconds =
            fields_integer(&child, "startingDeadlineSeconds", 1, MONTH_SECONDS, 0);
        for (size_t other = 0; other < i; other++)
            if (is_among(schedule->name, spec->schedules[other].name))
                fields_fail(&child, "name", "'%s' is there twice", schedule->name);
        if (fields_end(&child) < 0)
            return -1;
    }
    spec->schedule_count = count;
    return 0;
}

static int read_source(struct fields *fields, struct policy_spec *spec)
{
    static const char *const roles[] = {"Replica", "Primary", NULL};
    static const char *const modes[] = {"Single", "PerRegion", NULL};
    struct fields source;
    fields_object(fields, "source", &source);
    spec->source.prefer_primary = fields_choice(&source, "prefer", roles, 0) == 1;
    spec->source.fallback = fields_bool(&source, "fallback", true);
    spec->source.region = fields_string(&source, "region", NULL);
    if (fields_choice(&source, "mode", modes, 0) == 1)
        add_gap(spec, true, "spec.source.mode",
                "PerRegion is not supported by this version: use Single");
    return fields_end(&source);
}

static int read_s3(struct fields *region, struct policy_spec_region *spec_region)
{
    static const char *const skipped[] = {"bucket",       "prefix",     "endpoint",
                                          "region",       "pathStyle",  "auth",
                                          "storageClass", "objectLock", "serverSideEncryption",
                                          "kmsKey"};
    struct fields s3;
    fields_object(region, "s3", &s3);
    for (size_t i = 0; i < ARRAY_SIZE(skipped); i++)
        fields_skip(&s3, skipped[i]);
    spec_region->credentials = fields_string(&s3, "credentials", NULL);
    spec_region->ca_key = fields_string(&s3, "caKey", NULL);
    return fields_end(&s3);
}

static int read_azure(struct fields *region, struct policy_spec_region *spec_region)
{
    static const char *const skipped[] = {"container", "account", "prefix", "endpoint", "auth"};
    struct fields azure;
    fields_object(region, "azure", &azure);
    for (size_t i = 0; i < ARRAY_SIZE(skipped); i++)
        fields_skip(&azure, skipped[i]);
    spec_region->credentials = fields_string(&azure, "credentials", NULL);
    spec_region->ca_key = fields_string(&azure, "caKey", NULL);
    return fields_end(&azure);
}

static int read_region(struct fields *fields, struct policy_spec *spec, size_t index)
{
    static const char *const accesses[] = {"ReadWrite", "ReadOnly", NULL};
    struct policy_spec_region *region = &spec->regions[index];
    struct fields child;
    fields_array_object(fields, "regions", index, &child);
    fields_require(&child, "name");
    region->name = fields_string(&child, "name", "");
    region->read_only = fields_choice(&child, "access", accesses, 0) == 1;
    fields_skip(&child, "s3");
    fields_skip(&child, "azure");
    fields_skip(&child, "file");
    bool s3 = fields_has(&child, "s3"), azure = fields_has(&child, "azure"),
         file = fields_has(&child, "file");
    if (s3 + azure + file != 1)
        fields_fail(&child, NULL, "expected exactly one of s3, azure and file");
    region->store = azure ? POLICY_SPEC_AZURE : file ? POLICY_SPEC_FILE : POLICY_SPEC_S3;
    for (size_t other = 0; other < index; other++)
        if (is_among(region->name, spec->regions[other].name))
            fields_fail(&child, "name", "'%s' is there twice", region->name);
    if (s3 && read_s3(&child, region) < 0)
        return -1;
    if (azure && read_azure(&child, region) < 0)
        return -1;
    return fields_end(&child);
}

static int read_regions(struct fields *fields, struct policy_spec *spec)
{
    size_t count = fields_array(fields, "regions", POLICY_SPEC_REGIONS_MAX);
    for (size_t i = 0; i < count; i++) {
        if (read_region(fields, spec, i) < 0)
            return -1;
        spec->writable_count += !spec->regions[i].read_only;
    }
    spec->region_count = count;
    if (count == 0)
        fields_fail(fields, "regions", "expected at least one region");
    int64_t max = (int64_t)spec->writable_count;
    spec->quorum = (unsigned)fields_integer(fields, "quorum", 1, INT64_MAX, max > 0);
    if (spec->quorum > max)
        fields_fail(fields, "quorum",
                    "%u regions must have a backup, but only %zu have access: ReadWrite: lower it "
                    "or add a region",
                    spec->quorum, spec->writable_count);
    return fields->bad ? -1 : 0;
}

static int read_encryption(struct fields *fields, struct policy_spec *spec)
{
    struct fields encryption;
    fields_object(fields, "encryption", &encryption);
    fields_skip(&encryption, "mode");
    fields_skip(&encryption, "activeKey");
    spec->key_count = fields_array(&encryption, "keys", POLICY_SPEC_KEYS_MAX);
    for (size_t i = 0; i < spec->key_count; i++)
        spec->keys[i] = fields_array_string(&encryption, "keys", i);
    return fields_end(&encryption);
}

static int read_connection(struct fields *fields, struct policy_spec *spec)
{
    static const char *const skipped[] = {"port", "user", "database", "sslMode"};
    struct fields connection;
    fields_object(fields, "connection", &connection);
    for (size_t i = 0; i < ARRAY_SIZE(skipped); i++)
        fields_skip(&connection, skipped[i]);
    spec->password_key = fields_string(&connection, "passwordKey", NULL);
    return fields_end(&connection);
}

/* What adds to the backups, and is not done yet: they are made as if it were not there. */
static void read_later(struct fields *fields, struct policy_spec *spec)
{
    static const struct {
        const char *name, *field, *means;
    } later[] = {
        {"retention", "spec.retention",
         "this version's operator removes no backup ('lifeboat-sidecar prune' does)"},
        {"verification", "spec.verification",
         "this version verifies by hand only ('lifeboat-sidecar verify')"},
        {"drills", "spec.drills", "this version runs no drills"},
        {"objectives", "spec.objectives", "this version does not measure objectives"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(later); i++) {
        json_t *value = json_object_get(fields->object, later[i].name);
        bool empty = !value || json_is_null(value) ||
                     (json_is_array(value) && json_array_size(value) == 0) ||
                     (json_is_object(value) && json_object_size(value) == 0);
        fields_skip(fields, later[i].name);
        if (!empty)
            add_gap(spec, false, later[i].field, later[i].means);
    }
}

static int read_wal(struct fields *fields, struct policy_spec *spec)
{
    static const char *const modes[] = {"BackupOnly", "Stream", NULL};
    struct fields wal;
    fields_object(fields, "wal", &wal);
    fields_skip(&wal, "flushSeconds");
    spec->wal_stream = fields_choice(&wal, "mode", modes, 0) == 1;
    return fields_end(&wal);
}

static int read_spec(struct fields *fields, struct policy_spec *spec)
{
    fields_skip(fields, "compression");
    fields_skip(fields, "parallelism");
    fields_skip(fields, "limits");
    fields_skip(fields, "sidecar"); /* of pods that restore */
    spec->suspend = fields_bool(fields, "suspend", false);
    spec->deadline_seconds =
        fields_integer(fields, "deadlineSeconds", 1, MONTH_SECONDS, DAY_SECONDS);
    if (read_connection(fields, spec) < 0 || read_source(fields, spec) < 0 ||
        read_schedules(fields, spec) < 0 || read_regions(fields, spec) < 0 ||
        read_encryption(fields, spec) < 0 || read_wal(fields, spec) < 0)
        return -1;
    read_later(fields, spec);
    return fields_end(fields);
}

static int append_key(struct buf *text, const char *key, const char *suffix)
{
    struct error ignored; /* a text that is too long is cut */
    return !key ? 0 : buf_format(text, &ignored, "%s%s%s", text->size ? ", " : "", key, suffix);
}

char *policy_spec_secret_keys(const struct policy_spec *spec)
{
    CLEANUP(buf_done) struct buf text = BUF(KEYS_TEXT_MAX);
    int cut = append_key(&text, spec->password_key, "");
    for (size_t i = 0; i < spec->region_count; i++) {
        const struct policy_spec_region *region = &spec->regions[i];
        if (region->store == POLICY_SPEC_AZURE) {
            cut |= append_key(&text, region->credentials, ".account-key or .sas-token");
        } else {
            cut |= append_key(&text, region->credentials, ".access-key-id");
            cut |= append_key(&text, region->credentials, ".secret-access-key");
        }
        cut |= append_key(&text, region->ca_key, "");
    }
    for (size_t i = 0; i < spec->key_count; i++)
        cut |= append_key(&text, spec->keys[i], "");
    if (cut)
        buf_clear(&text);
    return buf_string(&text);
}

const struct policy_spec_gap *policy_spec_refused(const struct policy_spec *spec)
{
    for (size_t i = 0; i < spec->gap_count; i++)
        if (spec->gaps[i].refused)
            return &spec->gaps[i];
    return NULL;
}

const struct policy_spec_region *policy_spec_find_region(const struct policy_spec *spec,
                                                         const char *name)
{
    for (size_t i = 0; i < spec->region_count; i++)
        if (strcmp(spec->regions[i].name, name) == 0)
            return &spec->regions[i];
    return NULL;
}

int policy_spec_read(struct policy_spec *ret_spec, json_t *object, struct error *err)
{
    CLEANUP(own_freep) struct policy_spec *spec = own_alloc(sizeof(*spec));
    struct fields root, fields;
    fields_init(&root, object, NULL, ERROR_PERMANENT, err);
    if (read_metadata(&root, spec) < 0)
        return -1;
    fields_object(&root, "spec", &fields);
    if (read_spec(&fields, spec) < 0)
        return -1;
    *ret_spec = *spec;
    return 0;
}
