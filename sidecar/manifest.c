// SPDX-License-Identifier: Apache-2.0
#include "sidecar/manifest.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/fields.h"
#include "common/own.h"
#include "common/text.h"
#include "sidecar/container.h"
#include "sidecar/document.h"
#include "sidecar/lsn.h"

static const char *const roles[] = {"primary", "standby", NULL};
static const char *const change_sources[] = {"all", "walSummaries", "pageLsn", "pageHash", NULL};

/* Takes both; NULL if one is, so that a text that is no JSON shows at the end. */
static json_t *append(json_t *array, json_t *item)
{
    if (array && json_array_append_new(array, item) == 0)
        return array;
    if (!array)
        json_decref(item);
    json_decref(array);
    return NULL;
}

static json_t *wal_to_json(const struct manifest *manifest)
{
    json_t *array = json_array();
    for (size_t i = 0; i < manifest->wal_count; i++) {
        const struct manifest_wal_range *range = &manifest->wal[i];
        char start[LSN_TEXT_BYTES], stop[LSN_TEXT_BYTES];
        lsn_format(range->start_lsn, start);
        lsn_format(range->stop_lsn, stop);
        array = append(array, json_pack("{s:I, s:s, s:s}", "timeline", (json_int_t)range->timeline,
                                        "start", start, "stop", stop));
    }
    return array;
}

static json_t *page_errors_to_json(const struct manifest *manifest)
{
    json_t *array = json_array();
    for (size_t i = 0; i < manifest->page_error_shown; i++) {
        const struct manifest_page_error *error = &manifest->page_errors[i];
        array = append(
            array, json_pack("{s:s, s:I}", "path", error->path, "block", (json_int_t)error->block));
    }
    return json_pack("{s:I, s:o}", "count", (json_int_t)manifest->page_error_count, "first", array);
}

static json_t *packs_to_json(const struct manifest *manifest)
{
    json_t *array = json_array();
    for (size_t i = 0; i < manifest->pack_count; i++) {
        const struct manifest_packs *packs = &manifest->packs[i];
        array = append(array, json_pack("{s:s, s:I, s:I}", "backup", packs->backup, "first",
                                        (json_int_t)packs->first, "last", (json_int_t)packs->last));
    }
    return array;
}

static json_t *index_to_json(const struct manifest *manifest)
{
    json_t *array = json_array();
    for (size_t i = 0; i < manifest->index_count; i++)
        array = append(array, json_pack("{s:I, s:I}", "pack", (json_int_t)manifest->index[i].pack,
                                        "frame", (json_int_t)manifest->index[i].frame));
    return array;
}

static json_t *witnesses_to_json(const struct manifest *manifest)
{
    json_t *array = json_array();
    for (size_t i = 0; i < manifest->witness_count; i++) {
        char sha256[2 * DIGEST_BYTES + 1];
        text_hex(manifest->witnesses[i].sha256, DIGEST_BYTES, sha256);
        array = append(array, json_pack("{s:s, s:s}", "backup", manifest->witnesses[i].backup,
                                        "sha256", sha256));
    }
    return array;
}

static json_t *backup_to_json(const struct manifest *manifest)
{
    if (!manifest->backup_name)
        return json_null();
    return json_pack("{s:s, s:s}", "name", manifest->backup_name, "uid", manifest->backup_uid);
}

static json_t *bytes_to_json(const struct manifest *manifest)
{
    return json_pack("{s:I, s:I, s:I, s:I}", "total", (json_int_t)manifest->bytes_total, "read",
                     (json_int_t)manifest->bytes_read, "stored", (json_int_t)manifest->bytes_stored,
                     "reused", (json_int_t)manifest->bytes_reused);
}

/* What the backup is of and where it comes from. */
static json_t *origin_to_json(const struct manifest *manifest)
{
    CLEANUP(own_freep)
    char *system_identifier = own_format("%" PRIu64, manifest->system_identifier);
    return json_pack(
        "{s:i, s:s, s:s, s:s?, s:{s:s, s:s}, s:s, s:{s:I, s:I, s:b, s:s}, s:{s:s?, s:s?, s:s}, "
        "s:o}",
        "format", DOCUMENT_FORMAT, "id", manifest->id, "type", backup_type_names[manifest->type],
        "parent", *manifest->parent ? manifest->parent : NULL, "policy", "namespace",
        manifest->policy_namespace, "name", manifest->policy_name, "systemIdentifier",
        system_identifier, "postgresql", "version", (json_int_t)manifest->version_num,
        "walSegmentBytes", (json_int_t)manifest->wal_segment_bytes, "checksums",
        manifest->checksums, "bootstrapSuperuser", manifest->bootstrap_superuser, "source", "pod",
        manifest->source_pod, "region", manifest->source_region, "role",
        roles[manifest->from_standby], "backup", backup_to_json(manifest));
}

/* When it was made, and what it holds. */
static json_t *content_to_json(const struct manifest *manifest)
{
    char started[CLOCK_TEXT_BYTES], finished[CLOCK_TEXT_BYTES];
    char start[LSN_TEXT_BYTES], stop[LSN_TEXT_BYTES];
    clock_format_ms(manifest->started_ms, started);
    clock_format_ms(manifest->finished_ms, finished);
    lsn_format(manifest->start_lsn, start);
    lsn_format(manifest->stop_lsn, stop);
    return json_pack("{s:s, s:s, s:s, s:s, s:o, s:I, s:o, s:o, s:s, s:s?, s:o, s:o, s:o}",
                     "started", started, "finished", finished, "startLSN", start, "stopLSN", stop,
                     "wal", wal_to_json(manifest), "files", (json_int_t)manifest->files, "bytes",
                     bytes_to_json(manifest), "pageErrors", page_errors_to_json(manifest),
                     "changeSource", manifest->change_source, "fallback", manifest->fallback,
                     "packs", packs_to_json(manifest), "index", index_to_json(manifest),
                     "witnesses", witnesses_to_json(manifest));
}

/* Each of the following reads a member that must be there. */

static const char *read_string(struct fields *fields, const char *name)
{
    fields_require(fields, name);
    return fields_string(fields, name, "");
}

static uint64_t read_number(struct fields *fields, const char *name, int64_t min, int64_t max)
{
    fields_require(fields, name);
    return (uint64_t)fields_integer(fields, name, min, max, min);
}

static uint64_t read_lsn(struct fields *fields, const char *name)
{
    uint64_t lsn = 0;
    if (!lsn_parse(read_string(fields, name), &lsn))
        fields_refuse(fields, name, "an LSN");
    return lsn;
}

static int64_t read_time(struct fields *fields, const char *name)
{
    int64_t ms = 0;
    if (!clock_parse(read_string(fields, name), &ms))
        fields_refuse(fields, name, "a time");
    return ms;
}

static enum backup_type read_id(struct fields *fields, const char *name,
                                char ret_id[BACKUP_ID_BYTES])
{
    enum backup_type type = BACKUP_FULL;
    int64_t start_ms;
    const char *id = read_string(fields, name);
    if (backup_id_parse(id, &type, &start_ms))
        memcpy(ret_id, id, strlen(id) + 1);
    else
        fields_refuse(fields, name, "a backup id");
    return type;
}

static size_t read_list(struct fields *fields, const char *name, size_t max)
{
    fields_require(fields, name);
    return fields_array(fields, name, max);
}

/* What is wrong in a child is wrong in its parents too: the root tells in the end. */
static void end(struct fields *child)
{
    int ignored = fields_end(child);
    (void)ignored;
}

static void parse_origin(struct fields *root, struct manifest *manifest)
{
    enum backup_type type = read_id(root, "id", manifest->id);
    fields_require(root, "type");
    manifest->type = (enum backup_type)fields_choice(root, "type", backup_type_names, BACKUP_FULL);
    if (type != manifest->type && manifest->type != BACKUP_FULL)
        fields_fail(root, "type", "expected full or the type that the id says");
    if (fields_has(root, "parent") != (manifest->type != BACKUP_FULL))
        fields_fail(root, "parent", "expected null in a full backup and an id in any other");
    fields_skip(root, "parent");
    if (fields_has(root, "parent"))
        read_id(root, "parent", manifest->parent);
    manifest->system_identifier = fields_decimal(root, "systemIdentifier", 0);
    fields_require(root, "systemIdentifier");

    struct fields policy;
    fields_require(root, "policy");
    fields_object(root, "policy", &policy);
    manifest->policy_namespace = own_strdup(read_string(&policy, "namespace"));
    manifest->policy_name = own_strdup(read_string(&policy, "name"));
    end(&policy);
}

static void parse_server(struct fields *root, struct manifest *manifest)
{
    struct fields server;
    fields_require(root, "postgresql");
    fields_object(root, "postgresql", &server);
    manifest->version_num = (uint32_t)read_number(&server, "version", 1, INT32_MAX);
    manifest->wal_segment_bytes = (uint32_t)read_number(&server, "walSegmentBytes", 1, UINT32_MAX);
    if (!wal_segment_bytes_valid(manifest->wal_segment_bytes))
        fields_refuse(&server, "walSegmentBytes", "a power of two from 1 MiB to 1 GiB");
    fields_require(&server, "checksums");
    manifest->checksums = fields_bool(&server, "checksums", false);
    manifest->bootstrap_superuser = own_strdup(read_string(&server, "bootstrapSuperuser"));
    end(&server);
}

static void parse_source(struct fields *root, struct manifest *manifest)
{
    struct fields source, backup;
    fields_require(root, "source");
    fields_object(root, "source", &source);
    manifest->source_pod = own_strdup(fields_string(&source, "pod", NULL));
    manifest->source_region = own_strdup(fields_string(&source, "region", NULL));
    fields_require(&source, "role");
    manifest->from_standby = fields_choice(&source, "role", roles, 0) == 1;
    end(&source);

    fields_skip(root, "backup");
    if (!fields_has(root, "backup"))
        return;
    fields_object(root, "backup", &backup);
    manifest->backup_name = own_strdup(read_string(&backup, "name"));
    manifest->backup_uid = own_strdup(read_string(&backup, "uid"));
    end(&backup);
}

static void parse_wal(struct fields *root, struct manifest *manifest)
{
    manifest->started_ms = read_time(root, "started");
    manifest->finished_ms = read_time(root, "finished");
    manifest->start_lsn = read_lsn(root, "startLSN");
    manifest->stop_lsn = read_lsn(root, "stopLSN");
    if (manifest->stop_lsn < manifest->start_lsn)
        fields_fail(root, "stopLSN", "expected no less than startLSN");
    size_t count = read_list(root, "wal", MANIFEST_LIST_MAX);
    manifest->wal = own_alloc(count * sizeof(*manifest->wal));
    manifest->wal_count = count;
    for (size_t i = 0; i < count; i++) {
        struct fields item;
        fields_array_object(root, "wal", i, &item);
        struct manifest_wal_range *range = &manifest->wal[i];
        range->timeline = (uint32_t)read_number(&item, "timeline", 1, UINT32_MAX);
        range->start_lsn = read_lsn(&item, "start");
        range->stop_lsn = read_lsn(&item, "stop");
        if (range->stop_lsn < range->start_lsn)
            fields_fail(&item, "stop", "expected no less than start");
        end(&item);
    }
}

static void parse_numbers(struct fields *root, struct manifest *manifest)
{
    struct fields bytes;
    manifest->files = read_number(root, "files", 0, INT64_MAX);
    fields_require(root, "bytes");
    fields_object(root, "bytes", &bytes);
    manifest->bytes_total = read_number(&bytes, "total", 0, INT64_MAX);
    manifest->bytes_read = read_number(&bytes, "read", 0, INT64_MAX);
    manifest->bytes_stored = read_number(&bytes, "stored", 0, INT64_MAX);
    manifest->bytes_reused = read_number(&bytes, "reused", 0, INT64_MAX);
    end(&bytes);
    fields_require(root, "changeSource");
    int change_source = fields_choice(root, "changeSource", change_sources, 0);
    manifest->change_source = own_strdup(change_sources[change_source]);
    manifest->fallback = own_strdup(fields_string(root, "fallback", NULL));
}

static void parse_page_errors(struct fields *root, struct manifest *manifest)
{
    struct fields errors;
    fields_require(root, "pageErrors");
    fields_object(root, "pageErrors", &errors);
    manifest->page_error_count = read_number(&errors, "count", 0, INT64_MAX);
    size_t count = read_list(&errors, "first", MANIFEST_PAGE_ERRORS_MAX);
    manifest->page_errors = own_alloc(count * sizeof(*manifest->page_errors));
    manifest->page_error_shown = count;
    for (size_t i = 0; i < count; i++) {
        struct fields item;
        fields_array_object(&errors, "first", i, &item);
        manifest->page_errors[i].path = own_strdup(read_string(&item, "path"));
        manifest->page_errors[i].block = (uint32_t)read_number(&item, "block", 0, UINT32_MAX);
        end(&item);
    }
    if (count > manifest->page_error_count)
        fields_fail(&errors, "count", "expected at least as many as are shown");
    end(&errors);
}

static void parse_packs(struct fields *root, struct manifest *manifest)
{
    size_t count = read_list(root, "packs", MANIFEST_LIST_MAX);
    manifest->packs = own_alloc(count * sizeof(*manifest->packs));
    manifest->pack_count = count;
    for (size_t i = 0; i < count; i++) {
        struct fields item;
        fields_array_object(root, "packs", i, &item);
        struct manifest_packs *packs = &manifest->packs[i];
        read_id(&item, "backup", packs->backup);
        packs->first = (uint32_t)read_number(&item, "first", 1, UINT32_MAX);
        packs->last = (uint32_t)read_number(&item, "last", 1, UINT32_MAX);
        if (packs->last < packs->first)
            fields_fail(&item, "last", "expected no less than first");
        end(&item);
    }
}

static void parse_index(struct fields *root, struct manifest *manifest)
{
    size_t count = read_list(root, "index", MANIFEST_LIST_MAX);
    manifest->index = own_alloc(count * sizeof(*manifest->index));
    manifest->index_count = count;
    for (size_t i = 0; i < count; i++) {
        struct fields item;
        fields_array_object(root, "index", i, &item);
        manifest->index[i].pack = (uint32_t)read_number(&item, "pack", 1, UINT32_MAX);
        manifest->index[i].frame =
            (uint32_t)read_number(&item, "frame", 0, CONTAINER_FRAMES_MAX - 1);
        end(&item);
    }
}

static void parse_witnesses(struct fields *root, struct manifest *manifest)
{
    size_t count = read_list(root, "witnesses", MANIFEST_LIST_MAX);
    manifest->witnesses = own_alloc(count * sizeof(*manifest->witnesses));
    manifest->witness_count = count;
    for (size_t i = 0; i < count; i++) {
        struct fields item;
        fields_array_object(root, "witnesses", i, &item);
        struct manifest_witness *witness = &manifest->witnesses[i];
        read_id(&item, "backup", witness->backup);
        if (!text_parse_hex(read_string(&item, "sha256"), witness->sha256, sizeof(witness->sha256)))
            fields_refuse(&item, "sha256", "64 hexadecimal digits");
        end(&item);
    }
}

void manifest_done(struct manifest *manifest)
{
    free(manifest->policy_namespace);
    free(manifest->policy_name);
    free(manifest->bootstrap_superuser);
    free(manifest->source_pod);
    free(manifest->source_region);
    free(manifest->backup_name);
    free(manifest->backup_uid);
    free(manifest->wal);
    for (size_t i = 0; i < manifest->page_error_shown; i++)
        free(manifest->page_errors[i].path);
    free(manifest->page_errors);
    free(manifest->change_source);
    free(manifest->fallback);
    free(manifest->packs);
    free(manifest->index);
    free(manifest->witnesses);
    *manifest = (struct manifest){0};
}

struct wal_span manifest_wal_span(const struct manifest *manifest, size_t index)
{
    const struct manifest_wal_range *range = &manifest->wal[index];
    return (struct wal_span){range->timeline,
                             wal_segment_start(range->start_lsn, manifest->wal_segment_bytes),
                             range->stop_lsn};
}

json_t *manifest_to_json(const struct manifest *manifest)
{
    json_auto_t *content = content_to_json(manifest);
    json_t *json = origin_to_json(manifest);
    if (json && json_object_update(json, content) == 0)
        return json;
    json_decref(json);
    return NULL;
}

int manifest_format(const struct manifest *manifest, char **ret_text, struct error *err)
{
    json_auto_t *json = manifest_to_json(manifest);
    CLEANUP(own_freep) char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    if (!text)
        return error_set(err, ERROR_PERMANENT, "manifest '%s': a text in it is not UTF-8",
                         manifest->id);
    if (strlen(text) > MANIFEST_BYTES_MAX)
        return error_set(err, ERROR_PERMANENT, "manifest '%s': larger than %d bytes", manifest->id,
                         MANIFEST_BYTES_MAX);
    *ret_text = TAKE(text);
    return 0;
}

int manifest_parse(const void *text, size_t size, struct manifest *ret_manifest, struct error *err)
{
    if (size > MANIFEST_BYTES_MAX)
        return error_set(err, ERROR_CORRUPT, "manifest: larger than %d bytes", MANIFEST_BYTES_MAX);
    json_auto_t *json = NULL;
    if (document_parse(text, size, &json, err) < 0)
        return error_wrap(err, "manifest");
    CLEANUP(manifest_done) struct manifest manifest = {0};
    struct fields root;
    fields_init(&root, json, NULL, ERROR_CORRUPT, err);
    fields_skip(&root, "format");
    parse_origin(&root, &manifest);
    parse_server(&root, &manifest);
    parse_source(&root, &manifest);
    parse_wal(&root, &manifest);
    parse_numbers(&root, &manifest);
    parse_page_errors(&root, &manifest);
    parse_packs(&root, &manifest);
    parse_index(&root, &manifest);
    parse_witnesses(&root, &manifest);
    if (fields_end(&root) < 0)
        return error_wrap(err, "manifest");
    *ret_manifest = manifest;
    manifest = (struct manifest){0};
    return 0;
}
