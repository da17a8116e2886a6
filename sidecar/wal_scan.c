// SPDX-License-Identifier: Apache-2.0
#include "sidecar/wal_scan.h"

#include <assert.h>
#include <string.h>

#include "common/bytes.h"
#include "common/own.h"
#include "sidecar/crc32c.h"
#include "sidecar/lsn.h"

/* struct XLogPageHeaderData, and what struct XLogLongPageHeaderData adds to it in the first page of
 * a segment */
enum {
    PAGE_MAGIC = 0,
    PAGE_FLAGS = 2,
    PAGE_TIMELINE = 4,
    PAGE_LSN = 8,
    PAGE_LEFT = 16,
    PAGE_SHORT_BYTES = 24,
    PAGE_SYSTEM = 24,
    PAGE_SEGMENT_BYTES = 32,
    PAGE_BYTES = 36,
    PAGE_LONG_BYTES = 40,
};
enum {
    FLAG_CONTINUED = 1,   /* begins with the rest of a record */
    FLAG_LONG = 2,        /* the header is a long one */
    FLAG_OVERWRITTEN = 8, /* instead of that rest, which was lost in a crash, comes a new record */
    FLAGS_ALL = 15,
};
/* struct XLogRecord */
enum { RECORD_SIZE_BYTES = 4, RECORD_PREVIOUS = 8, RECORD_CRC = 20, RECORD_ALIGNMENT = 8 };

static const uint32_t RECORD_BYTES_MAX = 1 << 30;

static const uint16_t magics[] = {0xd110, 0xd113, 0xd116, 0xd118}; /* of 15, 16, 17 and 18 */

enum stage {
    STAGE_FIRST,  /* no page was seen: what it begins with is not known */
    STAGE_REST,   /* the rest of a record that began before */
    STAGE_SIZE,   /* a record's size */
    STAGE_HEADER, /* the rest of its header */
    STAGE_BODY,
    STAGE_SWITCHED, /* nothing comes in this segment */
    STAGE_ENDED,
};

static int corrupt(uint64_t lsn, struct error *err, const char *what)
{
    char text[LSN_TEXT_BYTES];
    lsn_format(lsn, text);
    return error_set(err, ERROR_CORRUPT, "WAL at %s: %s", text, what);
}

static size_t least(uint64_t a, size_t b)
{
    return a < b ? (size_t)a : b;
}

static void begin_record(struct wal_scan *scan)
{
    scan->stage = STAGE_SIZE;
    scan->header_size = 0;
}

/* Pages */

static uint32_t page_offset(const struct wal_scan *scan)
{
    return (uint32_t)(scan->at % WAL_SCAN_PAGE_BYTES);
}

static uint64_t page_lsn(const struct wal_scan *scan)
{
    return (scan->at - 1) / WAL_SCAN_PAGE_BYTES * WAL_SCAN_PAGE_BYTES;
}

static bool has_flag(const struct wal_scan *scan, uint16_t flag)
{
    return bytes_load16(scan->page + PAGE_FLAGS) & flag;
}

static bool is_known_magic(uint16_t magic)
{
    for (size_t i = 0; i < ARRAY_SIZE(magics); i++)
        if (magics[i] == magic)
            return true;
    return false;
}

static bool is_unwritten(const struct wal_scan *scan)
{
    static const uint8_t zeros[PAGE_SHORT_BYTES];
    return memcmp(scan->page, zeros, sizeof(zeros)) == 0;
}

/* What is wrong with the header, or NULL. */
static const char *check_page(const struct wal_scan *scan)
{
    const uint16_t magic = bytes_load16(scan->page + PAGE_MAGIC);
    const uint64_t lsn = page_lsn(scan);
    const bool begins_segment = lsn % scan->segment_bytes == 0;
    if (!is_known_magic(magic))
        return "no page of WAL of PostgreSQL 15 to 18";
    if (scan->magic != 0 && magic != scan->magic)
        return "a page of another version of PostgreSQL than those before";
    if (has_flag(scan, (uint16_t)~FLAGS_ALL) || has_flag(scan, FLAG_LONG) != begins_segment)
        return "a page with impossible flags";
    if (bytes_load64(scan->page + PAGE_LSN) != lsn)
        return "a page of other WAL";
    if (bytes_load32(scan->page + PAGE_TIMELINE) < scan->timeline)
        return "a page of an older timeline than those before";
    return NULL;
}

static const char *check_long_page(const struct wal_scan *scan)
{
    if (scan->system_identifier != 0 &&
        bytes_load64(scan->page + PAGE_SYSTEM) != scan->system_identifier)
        return "a page of another database system";
    if (bytes_load32(scan->page + PAGE_SEGMENT_BYTES) != scan->segment_bytes)
        return "a page of segments of another size";
    if (bytes_load32(scan->page + PAGE_BYTES) != WAL_SCAN_PAGE_BYTES)
        return "its pages are not of 8 KiB, which is not supported";
    return NULL;
}

/* Whether the page goes on with what was begun. */
static const char *go_on(struct wal_scan *scan)
{
    const uint32_t left = bytes_load32(scan->page + PAGE_LEFT);
    const bool continued = has_flag(scan, FLAG_CONTINUED);
    if (has_flag(scan, FLAG_OVERWRITTEN)) {
        begin_record(scan);
        return continued || left != 0 ? "a page with impossible flags" : NULL;
    }
    if (continued != (left != 0) || left > RECORD_BYTES_MAX)
        return "a page that goes on with a record of impossible size";
    if (scan->stage == STAGE_FIRST) {
        begin_record(scan);
        scan->stage = continued ? STAGE_REST : STAGE_SIZE;
        scan->left = left;
    }
    const bool inside = scan->stage != STAGE_SIZE;
    return left != (inside ? scan->left : 0) ? "a page that does not go on with the record before"
                                             : NULL;
}

static int take_page(struct wal_scan *scan, struct error *err)
{
    if (is_unwritten(scan)) {
        scan->stage = STAGE_ENDED;
        return 0;
    }
    const char *wrong = check_page(scan);
    if (!wrong && has_flag(scan, FLAG_LONG))
        wrong = check_long_page(scan);
    if (!wrong)
        wrong = go_on(scan);
    if (wrong)
        return corrupt(page_lsn(scan), err, wrong);
    scan->magic = bytes_load16(scan->page + PAGE_MAGIC);
    scan->timeline = bytes_load32(scan->page + PAGE_TIMELINE);
    return 0;
}

static bool in_page_header(const struct wal_scan *scan)
{
    return page_offset(scan) == 0 || page_offset(scan) < scan->page_header_bytes;
}

static int read_page_header(struct wal_scan *scan, struct reader *wal, struct error *err)
{
    const uint32_t offset = page_offset(scan);
    if (offset == 0)
        scan->page_header_bytes =
            scan->at % scan->segment_bytes == 0 ? PAGE_LONG_BYTES : PAGE_SHORT_BYTES;
    const size_t size = least(scan->page_header_bytes - offset, reader_left(wal));
    memcpy(scan->page + offset, reader_bytes(wal, size), size);
    scan->at += size;
    return offset + size == scan->page_header_bytes ? take_page(scan, err) : 0;
}

/* Records */

/* What comes of the page, at most max bytes of it. */
static const uint8_t *read_page(struct wal_scan *scan, struct reader *wal, size_t max,
                                size_t *ret_size)
{
    *ret_size = least(least(WAL_SCAN_PAGE_BYTES - page_offset(scan), max), reader_left(wal));
    scan->at += *ret_size;
    return reader_bytes(wal, *ret_size);
}

static size_t pass_over(struct wal_scan *scan, struct reader *wal, size_t max)
{
    size_t size;
    read_page(scan, wal, max, &size);
    return size;
}

static void read_rest(struct wal_scan *scan, struct reader *wal)
{
    scan->left -= (uint32_t)pass_over(scan, wal, scan->left);
    if (scan->left == 0)
        begin_record(scan);
}

/* Appends to the header until it has so many bytes. */
static bool read_header_up_to(struct wal_scan *scan, struct reader *wal, uint32_t bytes)
{
    size_t size;
    const uint8_t *data = read_page(scan, wal, bytes - scan->header_size, &size);
    memcpy(scan->header + scan->header_size, data, size);
    scan->header_size += (uint32_t)size;
    return scan->header_size == bytes;
}

/* A record's size never lies on two pages. */
static int read_size(struct wal_scan *scan, struct reader *wal, struct error *err)
{
    const size_t odd = scan->at % RECORD_ALIGNMENT;
    if (scan->header_size == 0 && odd != 0) {
        pass_over(scan, wal, RECORD_ALIGNMENT - odd);
        return 0;
    }
    if (scan->header_size == 0) {
        scan->record_lsn = scan->at;
        scan->record_timeline = scan->timeline;
    }
    if (!read_header_up_to(scan, wal, RECORD_SIZE_BYTES))
        return 0;
    const uint32_t bytes = bytes_load32(scan->header);
    scan->stage = bytes == 0 ? STAGE_ENDED : STAGE_HEADER;
    scan->left = bytes - RECORD_SIZE_BYTES;
    if (bytes != 0 && (bytes < WAL_RECORD_HEADER_BYTES || bytes > RECORD_BYTES_MAX))
        return corrupt(scan->record_lsn, err, "a record of impossible size");
    return 0;
}

/* Where the next record may begin, without the header of the page there. */
static uint64_t end_of(const struct wal_scan *scan)
{
    const uint64_t unit =
        scan->reader.record.kind == WAL_RECORD_SWITCH ? scan->segment_bytes : RECORD_ALIGNMENT;
    return (scan->at + unit - 1) / unit * unit;
}

static int finish_record(struct wal_scan *scan, struct wal_record *ret_record, struct error *err)
{
    struct wal_record record;
    struct error what;
    const uint32_t crc = crc32c_extend(scan->crc, scan->header, RECORD_CRC);
    if (crc != bytes_load32(scan->header + RECORD_CRC))
        return corrupt(scan->record_lsn, err, "a record whose checksum is wrong");
    if (wal_record_end(&scan->reader, &record, &what) < 0)
        return corrupt(scan->record_lsn, err, what.text);
    record.lsn = scan->record_lsn;
    record.end_lsn = end_of(scan);
    record.timeline = scan->record_timeline;
    scan->previous_lsn = record.lsn;
    begin_record(scan);
    if (record.kind == WAL_RECORD_SWITCH && scan->at < record.end_lsn)
        scan->stage = STAGE_SWITCHED;
    *ret_record = record;
    return 1;
}

static int read_header(struct wal_scan *scan, struct reader *wal, struct wal_record *ret_record,
                       struct error *err)
{
    const uint32_t before = scan->header_size;
    const bool complete = read_header_up_to(scan, wal, WAL_RECORD_HEADER_BYTES);
    scan->left -= scan->header_size - before;
    if (!complete)
        return 0;
    const uint64_t previous = bytes_load64(scan->header + RECORD_PREVIOUS);
    if (scan->previous_lsn ? previous != scan->previous_lsn : previous >= scan->record_lsn)
        return corrupt(scan->record_lsn, err, "a record that does not follow the one before");
    scan->crc = 0;
    scan->stage = STAGE_BODY;
    wal_record_begin(&scan->reader, scan->header, scan->magic);
    return scan->left == 0 ? finish_record(scan, ret_record, err) : 0;
}

static int read_body(struct wal_scan *scan, struct reader *wal, struct wal_record *ret_record,
                     struct error *err)
{
    size_t size;
    const uint8_t *data = read_page(scan, wal, scan->left, &size);
    scan->crc = crc32c_extend(scan->crc, data, size);
    wal_record_feed(&scan->reader, data, size);
    scan->left -= (uint32_t)size;
    return scan->left == 0 ? finish_record(scan, ret_record, err) : 0;
}

/* To the end of the segment, whatever its pages hold. */
static void read_switched(struct wal_scan *scan, struct reader *wal)
{
    pass_over(scan, wal, WAL_SCAN_PAGE_BYTES);
    if (scan->at % scan->segment_bytes == 0)
        begin_record(scan);
}

static int read_piece(struct wal_scan *scan, struct reader *wal, struct wal_record *ret_record,
                      struct error *err)
{
    switch ((enum stage)scan->stage) {
    case STAGE_REST:
        read_rest(scan, wal);
        return 0;
    case STAGE_SIZE:
        return read_size(scan, wal, err);
    case STAGE_HEADER:
        return read_header(scan, wal, ret_record, err);
    case STAGE_BODY:
        return read_body(scan, wal, ret_record, err);
    case STAGE_SWITCHED:
        read_switched(scan, wal);
        return 0;
    case STAGE_FIRST: /* a page's header comes first */
    case STAGE_ENDED:
        return 0;
    }
    return 0;
}

/* Public */

struct wal_scan wal_scan_from(uint64_t lsn, uint32_t segment_bytes, uint64_t system_identifier)
{
    assert(lsn % WAL_SCAN_PAGE_BYTES == 0 && wal_segment_bytes_valid(segment_bytes));
    return (struct wal_scan){
        .at = lsn,
        .segment_bytes = segment_bytes,
        .system_identifier = system_identifier,
        .stage = STAGE_FIRST,
    };
}

bool wal_scan_ended(const struct wal_scan *scan)
{
    return scan->stage == STAGE_ENDED;
}

bool wal_scan_awaits(const struct wal_scan *scan)
{
    switch ((enum stage)scan->stage) {
    case STAGE_SIZE:
        return scan->header_size > 0;
    case STAGE_HEADER:
        return true;
    case STAGE_BODY:
        return scan->reader.record.kind != WAL_RECORD_OTHER;
    default:
        return false;
    }
}

int wal_scan_next(struct wal_scan *scan, struct reader *wal, struct wal_record *ret_record,
                  struct error *err)
{
    int found = 0;
    while (found == 0 && reader_left(wal) > 0) {
        if (scan->stage == STAGE_ENDED)
            (void)reader_bytes(wal, reader_left(wal));
        else if (scan->stage != STAGE_SWITCHED && in_page_header(scan))
            found = read_page_header(scan, wal, err);
        else
            found = read_piece(scan, wal, ret_record, err);
    }
    if (found < 0)
        scan->stage = STAGE_ENDED;
    return found;
}
