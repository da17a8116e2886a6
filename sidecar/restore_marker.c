// SPDX-License-Identifier: Apache-2.0
#include "sidecar/restore_marker.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/fields.h"
#include "common/own.h"
#include "common/text.h"
#include "sidecar/document.h"
#include "sidecar/target.h"

enum { FILE_MODE = 0600 };

char *restore_marker_format(const struct restore_marker *marker)
{
    char repository[2 * DIGEST_BYTES + 1];
    text_hex(marker->repository, sizeof(marker->repository), repository);
    json_auto_t *root = json_pack("{s:i, s:s, s:s}", "format", DOCUMENT_FORMAT, "backup",
                                  marker->backup, "repository", repository);
    char *text = root ? json_dumps(root, JSON_INDENT(2)) : NULL;
    if (!text)
        abort(); /* out of memory: the values are ASCII */
    return text;
}

static int read_fields(struct fields *fields, struct restore_marker *marker)
{
    fields_skip(fields, "format");
    fields_require(fields, "backup");
    fields_require(fields, "repository");
    const char *backup = fields_string(fields, "backup", "");
    const char *repository = fields_string(fields, "repository", "");
    enum backup_type type;
    int64_t start_ms;
    if (backup_id_parse(backup, &type, &start_ms))
        memcpy(marker->backup, backup, strlen(backup) + 1);
    else
        fields_refuse(fields, "backup", "the id of a backup");
    if (!text_parse_hex(repository, marker->repository, sizeof(marker->repository)))
        fields_refuse(fields, "repository", "the id of a repository");
    return fields_end(fields);
}

int restore_marker_parse(const void *text, size_t size, struct restore_marker *ret_marker,
                         struct error *err)
{
    json_auto_t *root = NULL;
    struct restore_marker marker = {0};
    struct fields fields;
    if (document_parse(text, size, &root, err) < 0)
        return -1;
    fields_init(&fields, root, NULL, ERROR_CORRUPT, err);
    if (read_fields(&fields, &marker) < 0)
        return -1;
    *ret_marker = marker;
    return 0;
}

static int parse(const struct buf *text, struct restore_marker *ret_marker, struct error *err)
{
    if (restore_marker_parse(text->data, text->size, ret_marker, err) < 0)
        return error_wrap(err, "'" RESTORE_MARKER_PATH "'");
    return 0;
}

int restore_marker_load(struct target *target, struct restore_marker *ret_marker, struct error *err)
{
    CLEANUP(buf_done) struct buf text = BUF(RESTORE_MARKER_MAX);
    if (target_read(target, RESTORE_MARKER_PATH, &text, err) < 0)
        return -1;
    return parse(&text, ret_marker, err);
}

int restore_marker_peek(const char *directory, struct restore_marker *ret_marker, struct error *err)
{
    CLEANUP(buf_done) struct buf text = BUF(RESTORE_MARKER_MAX);
    CLEANUP(own_freep) char *path = own_format("%s/" RESTORE_MARKER_PATH, directory);
    if (buf_read_file(&text, AT_FDCWD, path, err) < 0)
        return -1;
    return parse(&text, ret_marker, err);
}

int restore_marker_save(struct target *target, const struct restore_marker *marker,
                        struct error *err)
{
    CLEANUP(own_freep) char *text = restore_marker_format(marker);
    const struct target_attributes attributes = {
        .mode = FILE_MODE, .mtime_s = clock_now_ms() / 1000, .size = strlen(text)};
    return target_save_file(target, RESTORE_MARKER_PATH, &attributes, text, err);
}

int restore_marker_remove(struct target *target, struct error *err)
{
    return target_remove(target, RESTORE_MARKER_PATH, TARGET_FILE, err);
}
