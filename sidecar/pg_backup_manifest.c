// SPDX-License-Identifier: Apache-2.0
#include "sidecar/pg_backup_manifest.h"

#include <jansson.h>
#include <string.h>

#include "common/buf.h"
#include "common/bytes.h"
#include "common/clock.h"
#include "common/digest.h"
#include "common/own.h"
#include "common/text.h"
#include "sidecar/lsn.h"
#include "sidecar/manifest.h"

enum { VERSION_2_SINCE = 170000 };

static const int64_t TIME_MAX_S = 253402300799; /* the last second of the year 9999 */

static int put_header(const struct manifest *manifest, struct buf *text, struct error *err)
{
    if (manifest->version_num < VERSION_2_SINCE)
        return buf_format(text, err, "{ \"PostgreSQL-Backup-Manifest-Version\": 1,\n\"Files\": [");
    return buf_format(text, err,
                      "{ \"PostgreSQL-Backup-Manifest-Version\": 2,\n"
                      "\"System-Identifier\": %ju,\n\"Files\": [",
                      (uintmax_t)manifest->system_identifier);
}

/* A path that is not UTF-8 cannot be a JSON string: PostgreSQL writes its bytes in hexadecimal. */
static int put_path(const char *path, struct buf *text, struct error *err)
{
    json_t *string = json_string(path);
    if (string) {
        CLEANUP(own_freep) char *quoted = json_dumps(string, JSON_ENCODE_ANY);
        json_decref(string);
        return buf_format(text, err, "\"Path\": %s", quoted);
    }
    size_t length = strlen(path);
    CLEANUP(own_freep) char *hex = own_alloc(2 * length + 1);
    text_hex(path, length, hex);
    return buf_format(text, err, "\"Encoded-Path\": \"%s\"", hex);
}

static int put_time(int64_t mtime_s, struct buf *text, struct error *err)
{
    char time[CLOCK_TEXT_BYTES]; /* "2026-11-21T08:21:18Z" */
    if (mtime_s < 0)
        mtime_s = 0;
    clock_format((mtime_s < TIME_MAX_S ? mtime_s : TIME_MAX_S) * 1000, time);
    return buf_format(text, err, "\"Last-Modified\": \"%.10s %.8s GMT\"", time, time + 11);
}

static int put_file(const struct pg_backup_manifest_file *file, struct buf *text, struct error *err)
{
    uint8_t crc[sizeof(file->crc32c)]; /* PostgreSQL prints the bytes as they lie in memory */
    char hex[2 * sizeof(crc) + 1];
    bytes_store32(crc, file->crc32c);
    text_hex(crc, sizeof(crc), hex);
    if (buf_format(text, err, "{ ") < 0 || put_path(file->path, text, err) < 0 ||
        buf_format(text, err, ", \"Size\": %ju, ", (uintmax_t)file->size) < 0 ||
        put_time(file->mtime_s, text, err) < 0)
        return -1;
    return buf_format(text, err, ", \"Checksum-Algorithm\": \"CRC32C\", \"Checksum\": \"%s\" }",
                      hex);
}

static int put_wal_range(const struct manifest_wal_range *range, struct buf *text,
                         struct error *err)
{
    char start[LSN_TEXT_BYTES], stop[LSN_TEXT_BYTES];
    lsn_format(range->start_lsn, start);
    lsn_format(range->stop_lsn, stop);
    return buf_format(text, err, "{ \"Timeline\": %u, \"Start-LSN\": \"%s\", \"End-LSN\": \"%s\" }",
                      range->timeline, start, stop);
}

/* Over everything before the last line. */
static int put_checksum(size_t start, struct buf *text, struct error *err)
{
    uint8_t hash[DIGEST_BYTES];
    char hex[2 * DIGEST_BYTES + 1];
    digest_sha256(text->data + start, text->size - start, hash);
    text_hex(hash, sizeof(hash), hex);
    return buf_format(text, err, "\"Manifest-Checksum\": \"%s\"}\n", hex);
}

int pg_backup_manifest_format(const struct manifest *manifest,
                              const struct pg_backup_manifest_file *files, size_t count,
                              struct buf *text, struct error *err)
{
    size_t start = text->size;
    if (put_header(manifest, text, err) < 0)
        return -1;
    for (size_t i = 0; i < count; i++) {
        if (buf_format(text, err, i > 0 ? ",\n" : "\n") < 0 || put_file(&files[i], text, err) < 0)
            return -1;
    }
    if (buf_format(text, err, "\n],\n\"WAL-Ranges\": [\n") < 0)
        return -1;
    for (size_t i = 0; i < manifest->wal_count; i++) {
        if ((i > 0 && buf_format(text, err, ",\n") < 0) ||
            put_wal_range(&manifest->wal[i], text, err) < 0)
            return -1;
    }
    if (buf_format(text, err, "\n],\n") < 0)
        return -1;
    return put_checksum(start, text, err);
}
