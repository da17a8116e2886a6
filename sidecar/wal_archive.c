// SPDX-License-Identifier: Apache-2.0
#include "sidecar/wal_archive.h"

#include <assert.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/bytes.h"
#include "common/log.h"
#include "common/own.h"
#include "common/text.h"
#include "sidecar/lsn.h"
#include "sidecar/repo.h"
#include "sidecar/timeline.h"
#include "sidecar/wal_cover.h"

enum {
    CONTENT_ID_LENGTH = KEY_ID_TEXT_BYTES - 1,
    SEGMENT_LENGTH = WAL_SEGMENT_NAME_BYTES - 1,
    DIRECTORY_LENGTH = sizeof("wal/00000001/00000000/") - 1,
    RANGE_LENGTH = sizeof(".00000000-00000000") - 1,
    WHOLE_LENGTH = DIRECTORY_LENGTH + SEGMENT_LENGTH + 1 + CONTENT_ID_LENGTH,
    PART_LENGTH = WHOLE_LENGTH + RANGE_LENGTH,
    FOOTER_MAX = 64,
    SEGMENT_BYTES_MIN = 1 << 20,
};

/* The objects that a segment or a history can be read from. */
struct search {
    struct repo *repo;
    enum container_kind kind;
    struct repo_names names;
    struct wal_candidate *candidates;
    size_t count;
};

struct wal_span wal_piece_span(const struct wal_piece *piece)
{
    return (struct wal_span){piece->timeline, piece->segment_lsn + piece->from,
                             piece->segment_lsn + piece->to};
}

/* Names */

static bool is_whole(const struct wal_piece *piece)
{
    return piece->from == 0 && piece->to == piece->segment_bytes;
}

static bool parse_offset(const char *digits, uint32_t *ret_offset)
{
    uint8_t bytes[4];
    char text[2 * sizeof(bytes) + 1] = "";
    memcpy(text, digits, sizeof(text) - 1);
    if (!text_parse_hex(text, bytes, sizeof(bytes)))
        return false;
    *ret_offset = (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 |
                  (uint32_t)bytes[3];
    return true;
}

void wal_archive_timeline_prefix(uint32_t timeline, char ret_prefix[WAL_ARCHIVE_NAME_MAX])
{
    snprintf(ret_prefix, WAL_ARCHIVE_NAME_MAX, "wal/%08" PRIX32 "/", timeline);
}

void wal_archive_log_prefix(uint32_t timeline, uint64_t log, char ret_prefix[WAL_ARCHIVE_NAME_MAX])
{
    snprintf(ret_prefix, WAL_ARCHIVE_NAME_MAX, "wal/%08" PRIX32 "/%08" PRIX64 "/", timeline, log);
}

void wal_archive_segment_prefix(const struct wal_piece *piece,
                                char ret_prefix[WAL_ARCHIVE_NAME_MAX])
{
    char segment[WAL_SEGMENT_NAME_BYTES];
    wal_segment_name(piece->timeline, piece->segment_lsn, piece->segment_bytes, segment);
    snprintf(ret_prefix, WAL_ARCHIVE_NAME_MAX, "wal/%.8s/%.8s/%s", segment, segment + 8, segment);
}

void wal_archive_history_prefix(uint32_t timeline, char ret_prefix[WAL_ARCHIVE_NAME_MAX])
{
    snprintf(ret_prefix, WAL_ARCHIVE_NAME_MAX, "wal/%08" PRIX32 ".history-", timeline);
}

void wal_archive_format_name(const struct wal_piece *piece, const char *content_id,
                             char ret_name[WAL_ARCHIVE_NAME_MAX])
{
    char prefix[WAL_ARCHIVE_NAME_MAX];
    wal_archive_segment_prefix(piece, prefix);
    if (is_whole(piece))
        snprintf(ret_name, WAL_ARCHIVE_NAME_MAX, "%.*s-%.*s", DIRECTORY_LENGTH + SEGMENT_LENGTH,
                 prefix, CONTENT_ID_LENGTH, content_id);
    else
        snprintf(ret_name, WAL_ARCHIVE_NAME_MAX, "%.*s.%08" PRIx32 "-%08" PRIx32 "-%.*s",
                 DIRECTORY_LENGTH + SEGMENT_LENGTH, prefix, piece->from, piece->to,
                 CONTENT_ID_LENGTH, content_id);
}

/* Reads what is at the places of a well-formed name; whether it is one is seen by formatting it
 * again. */
int wal_archive_parse_name(const char *name, uint32_t segment_bytes, struct wal_piece *ret_piece)
{
    size_t length = strlen(name);
    struct wal_piece piece = {.segment_bytes = segment_bytes, .to = segment_bytes};
    if (length != WHOLE_LENGTH && length != PART_LENGTH)
        return -1;
    char segment[WAL_SEGMENT_NAME_BYTES] = "";
    memcpy(segment, name + DIRECTORY_LENGTH, SEGMENT_LENGTH);
    if (!wal_segment_parse(segment, segment_bytes, &piece.timeline, &piece.segment_lsn))
        return -1;
    const char *range = name + DIRECTORY_LENGTH + SEGMENT_LENGTH;
    if (length == PART_LENGTH &&
        (!parse_offset(range + 1, &piece.from) || !parse_offset(range + 10, &piece.to)))
        return -1;
    const char *id = name + length - CONTENT_ID_LENGTH;
    char again[WAL_ARCHIVE_NAME_MAX];
    wal_archive_format_name(&piece, id, again);
    if (piece.from >= piece.to || piece.to > segment_bytes || strcmp(name, again) != 0 ||
        strspn(id, "0123456789abcdef") != CONTENT_ID_LENGTH)
        return -1;
    *ret_piece = piece;
    return 0;
}

int wal_archive_guess_name(const char *name, uint32_t segment_bytes, struct wal_piece *ret_piece)
{
    if (segment_bytes != 0 && wal_archive_parse_name(name, segment_bytes, ret_piece) == 0)
        return 0;
    for (uint32_t size = SEGMENT_BYTES_MIN; wal_segment_bytes_valid(size); size *= 2)
        if (wal_archive_parse_name(name, size, ret_piece) == 0)
            return 0;
    return -1;
}

bool wal_archive_parse_history_name(const char *name, uint32_t *ret_timeline)
{
    char prefix[WAL_ARCHIVE_NAME_MAX];
    uint32_t timeline;
    if (strlen(name) <= CONTENT_ID_LENGTH || !text_starts_with(name, "wal/") ||
        strlen(name) < strlen("wal/00000000") || !parse_offset(name + strlen("wal/"), &timeline))
        return false;
    wal_archive_history_prefix(timeline, prefix);
    const char *id = name + strlen(prefix);
    if (timeline == 0 || !text_starts_with(name, prefix) || strlen(id) != CONTENT_ID_LENGTH ||
        strspn(id, "0123456789abcdef") != CONTENT_ID_LENGTH)
        return false;
    *ret_timeline = timeline;
    return true;
}

/* Footers */

void wal_archive_format_footer(const struct wal_piece *piece, struct buf *footer)
{
    bytes_put_varint(footer, piece->timeline);
    bytes_put_varint(footer, piece->segment_lsn);
    bytes_put_varint(footer, piece->segment_bytes);
    bytes_put_varint(footer, piece->from);
    bytes_put_varint(footer, piece->to);
}

static bool is_possible(const struct wal_piece *piece)
{
    return piece->timeline > 0 && wal_segment_bytes_valid(piece->segment_bytes) &&
           piece->segment_lsn % piece->segment_bytes == 0 && piece->from < piece->to &&
           piece->to <= piece->segment_bytes;
}

int wal_archive_parse_footer(const void *footer, size_t size, struct wal_piece *ret_piece,
                             struct error *err)
{
    struct reader reader = READER(footer, size);
    struct wal_piece piece = {.timeline = (uint32_t)reader_varint_max(&reader, UINT32_MAX)};
    piece.segment_lsn = reader_varint(&reader);
    piece.segment_bytes = (uint32_t)reader_varint_max(&reader, UINT32_MAX);
    piece.from = (uint32_t)reader_varint_max(&reader, UINT32_MAX);
    piece.to = (uint32_t)reader_varint_max(&reader, UINT32_MAX);
    if (reader_end(&reader, "footer", err) < 0)
        return -1;
    if (!is_possible(&piece))
        return error_set(err, ERROR_CORRUPT, "footer: there is no such part of a segment");
    *ret_piece = piece;
    return 0;
}

int wal_archive_parse_history_footer(const void *footer, size_t size, uint32_t *ret_timeline,
                                     struct error *err)
{
    struct reader reader = READER(footer, size);
    const uint32_t timeline = (uint32_t)reader_varint_max(&reader, UINT32_MAX);
    if (reader_end(&reader, "footer", err) < 0)
        return -1;
    *ret_timeline = timeline;
    return 0;
}

/* Putting */

static int put(struct repo *repo, const struct repo_blob *blob, uint64_t *stored_bytes,
               struct error *err)
{
    uint64_t stored;
    if (repo_put_sealed(repo, blob, &stored, NULL, err) < 0)
        return -1;
    *stored_bytes += stored;
    return 0;
}

void wal_sealed_done(struct wal_sealed *sealed)
{
    buf_done(&sealed->object);
}

int wal_archive_seal(struct repo *repo, const struct wal_piece *piece, const void *data,
                     struct wal_sealed *ret_sealed, struct error *err)
{
    char id[KEY_ID_TEXT_BYTES];
    CLEANUP(buf_done) struct buf footer = BUF(FOOTER_MAX);
    CLEANUP(wal_sealed_done) struct wal_sealed sealed = {.object = BUF(CONTAINER_BYTES_MAX)};
    assert(piece->from < piece->to && piece->to <= piece->segment_bytes);
    key_content_id(&repo->keyring.id_key, data, piece->to - piece->from, id);
    wal_archive_format_name(piece, id, sealed.name);
    wal_archive_format_footer(piece, &footer);
    struct repo_blob blob = {
        .kind = CONTAINER_WAL,
        .name = sealed.name,
        .plain = data,
        .size = piece->to - piece->from,
        .footer = footer.data,
        .footer_size = footer.size,
    };
    if (repo_seal(repo, &blob, &sealed.object, &sealed.bytes, err) < 0)
        return -1;
    *ret_sealed = sealed;
    sealed.object = (struct buf){0};
    return 0;
}

int wal_archive_put_sealed(struct repo *repo, const struct wal_sealed *sealed,
                           const struct region_guard *guard, struct error *err)
{
    const struct region_object object = {sealed->name, &sealed->bytes, PUT_SAME, guard};
    return repo_put_beside(repo, &object, err);
}

int wal_archive_put(struct repo *repo, const struct wal_piece *piece, const void *data,
                    uint64_t *stored_bytes, struct error *err)
{
    CLEANUP(wal_sealed_done) struct wal_sealed sealed = {0};
    if (wal_archive_seal(repo, piece, data, &sealed, err) < 0 ||
        wal_archive_put_sealed(repo, &sealed, NULL, err) < 0)
        return -1;
    *stored_bytes += sealed.bytes.size;
    return 0;
}

int wal_archive_put_history(struct repo *repo, uint32_t timeline, const void *content, size_t size,
                            uint64_t *stored_bytes, struct error *err)
{
    char id[KEY_ID_TEXT_BYTES], prefix[WAL_ARCHIVE_NAME_MAX];
    CLEANUP(buf_done) struct buf footer = BUF(FOOTER_MAX);
    if (size > TIMELINE_HISTORY_MAX)
        return error_set(err, ERROR_PERMANENT, "the history of timeline %" PRIu32 " has %zu bytes",
                         timeline, size);
    key_content_id(&repo->keyring.id_key, content, size, id);
    wal_archive_history_prefix(timeline, prefix);
    CLEANUP(own_freep) char *name = own_format("%s%s", prefix, id);
    bytes_put_varint(&footer, timeline);
    struct repo_blob blob = {
        .kind = CONTAINER_HISTORY,
        .name = name,
        .plain = content,
        .size = size,
        .footer = footer.data,
        .footer_size = footer.size,
        .rule = PUT_SAME,
    };
    return put(repo, &blob, stored_bytes, err);
}

/* Reading one object */

/* The plaintext of an object, replacing what is in plain, and what its footer says of it. */
static int fetch(const struct search *search, const char *name, struct buf *plain,
                 struct wal_piece *ret_says, struct error *err)
{
    struct wal_piece says = {0};
    CLEANUP(buf_done) struct buf footer = BUF(CONTAINER_TAIL_MAX);
    buf_clear(plain);
    if (repo_fetch_plain(search->repo, search->kind, name, plain, &footer, err) < 0)
        return -1;
    const int result =
        search->kind == CONTAINER_WAL
            ? wal_archive_parse_footer(footer.data, footer.size, &says, err)
            : wal_archive_parse_history_footer(footer.data, footer.size, &says.timeline, err);
    if (result < 0)
        return error_wrap(err, "object '%s'", name);
    *ret_says = says;
    return 0;
}

static int belie(const char *name, struct error *err)
{
    return error_set(err, ERROR_CORRUPT,
                     "object '%s': its footer describes other WAL than its name", name);
}

/* The footer must say what the name says; of a history that is its timeline. */
static int check_says(const struct wal_candidate *candidate, const struct wal_piece *says,
                      struct error *err)
{
    const struct wal_piece *piece = &candidate->piece;
    if (says->timeline == piece->timeline && says->segment_lsn == piece->segment_lsn &&
        says->segment_bytes == piece->segment_bytes && says->from == piece->from &&
        says->to == piece->to)
        return 0;
    return belie(candidate->name, err);
}

static int check_size(const struct wal_candidate *candidate, size_t size, struct error *err)
{
    const struct wal_piece *piece = &candidate->piece;
    if (size == piece->to - piece->from)
        return 0;
    return error_set(err, ERROR_CORRUPT, "object '%s' holds %zu bytes instead of %" PRIu32,
                     candidate->name, size, piece->to - piece->from);
}

/* The plaintext of a candidate, replacing what is in plain. */
static int read_candidate(const struct search *search, const struct wal_candidate *candidate,
                          struct buf *plain, struct error *err)
{
    struct wal_piece says;
    if (fetch(search, candidate->name, plain, &says, err) < 0 ||
        check_says(candidate, &says, err) < 0)
        return -1;
    return search->kind == CONTAINER_WAL ? check_size(candidate, plain->size, err) : 0;
}

/* Holds an object of WAL against its name, which says all but the size of segments. */
static int check_segment(const char *name, const struct wal_piece *says, size_t size,
                         struct error *err)
{
    struct wal_candidate candidate = {.name = name};
    if (wal_archive_parse_name(name, says->segment_bytes, &candidate.piece) < 0)
        return belie(name, err);
    return check_says(&candidate, says, err) < 0 ? -1 : check_size(&candidate, size, err);
}

int wal_archive_read(struct repo *repo, const char *name, struct buf *plain,
                     struct wal_piece *ret_piece, struct error *err)
{
    struct wal_candidate history = {.name = name};
    const bool is_history = wal_archive_parse_history_name(name, &history.piece.timeline);
    const struct search search = {.repo = repo,
                                  .kind = is_history ? CONTAINER_HISTORY : CONTAINER_WAL};
    struct wal_piece says;
    char id[KEY_ID_TEXT_BYTES];
    if (fetch(&search, name, plain, &says, err) < 0 ||
        (is_history ? check_says(&history, &says, err)
                    : check_segment(name, &says, plain->size, err)) < 0)
        return -1;
    key_content_id(&repo->keyring.id_key, plain->data, plain->size, id);
    if (strcmp(id, name + strlen(name) - CONTENT_ID_LENGTH) != 0)
        return error_set(err, ERROR_CORRUPT, "'%s' holds other content than its name says", name);
    *ret_piece = says;
    return 0;
}

int wal_archive_check(struct repo *repo, const char *name, struct wal_piece *ret_piece,
                      struct error *err)
{
    CLEANUP(buf_done) struct buf plain = BUF(CONTAINER_BYTES_MAX);
    return wal_archive_read(repo, name, &plain, ret_piece, err);
}

int wal_archive_describe(struct repo *repo, const char *name, uint64_t size,
                         struct wal_piece *ret_piece, struct error *err)
{
    CLEANUP(buf_done) struct buf tail = BUF(CONTAINER_TAIL_MAX);
    CLEANUP(container_done) struct container container = {0};
    struct wal_candidate candidate = {.name = name};
    struct wal_piece says;
    if (repo_fetch_tail(repo, CONTAINER_WAL, name, size, &tail, &container, err) < 0)
        return -1;
    if (wal_archive_parse_footer(container.footer, container.footer_size, &says, err) < 0)
        return error_wrap(err, "object '%s'", name);
    if (wal_archive_parse_name(name, says.segment_bytes, &candidate.piece) < 0)
        return belie(name, err);
    if (check_says(&candidate, &says, err) < 0)
        return -1;
    *ret_piece = says;
    return 0;
}

int wal_archive_check_history(struct repo *repo, uint32_t timeline, const void *content,
                              size_t size, struct error *err)
{
    CLEANUP(buf_done) struct buf there = BUF(TIMELINE_HISTORY_MAX);
    if (wal_archive_get_history(repo, timeline, &there, err) < 0)
        return err->kind == ERROR_NOT_FOUND || err->kind == ERROR_CORRUPT ? 0 : -1;
    if (there.size == size && memcmp(there.data, content, size) == 0)
        return 0;
    return error_set(err, ERROR_CONFLICT,
                     "the repository has another history of timeline %" PRIu32
                     ": two servers were promoted; give the policy another prefix, or move "
                     "away what you do not want",
                     timeline);
}

/* 1 if it was read; 0 if it is of no use, which is noted, so that another may serve; -1: stop. */
static int try_candidate(const struct search *search, struct wal_candidate *candidate,
                         struct buf *plain, struct error *err)
{
    if (read_candidate(search, candidate, plain, err) == 0)
        return 1;
    if (err->kind == ERROR_CANCELED)
        return -1;
    candidate->failure = *err;
    if (err->kind != ERROR_NOT_FOUND) /* it was listed: see has_vanished */
        log_warn("Passed over an object of the WAL archive", S("object", candidate->name),
                 S("error", err->text));
    return 0;
}

static int conflict(const struct wal_candidate *one, const struct wal_candidate *other,
                    struct error *err)
{
    return error_set(err, ERROR_CONFLICT,
                     "objects '%s' and '%s' contradict each other: two servers wrote on the same "
                     "timeline; move away the one whose history you do not want",
                     one->name, other->name);
}

/* Names say their content, so intact objects for the same bytes with different names contradict
 * each other. */
static int check_rivals(const struct search *search, const struct wal_candidate *chosen,
                        struct error *err)
{
    for (size_t i = 0; i < search->count; i++) {
        struct wal_candidate *rival = &search->candidates[i];
        if (rival == chosen || rival->failure.kind != ERROR_NONE ||
            rival->piece.from != chosen->piece.from || rival->piece.to != chosen->piece.to)
            continue;
        CLEANUP(buf_done) struct buf plain = BUF(CONTAINER_BYTES_MAX);
        int read = try_candidate(search, rival, &plain, err);
        if (read != 0)
            return read < 0 ? -1 : conflict(chosen, rival, err);
    }
    return 0;
}

/* Finding candidates */

/* What is missing may be in a region that did not say what it has; who writes has done with such a
 * region. */
static void doubt_absence(const struct search *search, struct error *err)
{
    const struct error missing = *err;
    if (missing.kind == ERROR_NOT_FOUND && search->names.unlisted != 0 &&
        !regions_strict(search->repo->regions))
        error_set(err, ERROR_TRANSIENT, "%s, but not all regions could be listed: %s", missing.text,
                  search->names.unlisted_error.text);
}

static void search_done(struct search *search)
{
    repo_names_done(&search->names);
    free(search->candidates);
}

static int list_names(struct search *search, const char *prefix, struct error *err)
{
    if (repo_list(search->repo, prefix, &search->names, err) < 0)
        return -1;
    search->candidates = own_alloc((search->names.count + 1) * sizeof(search->candidates[0]));
    return 0;
}

static int find_pieces(struct search *search, const struct wal_piece *segment, struct error *err)
{
    char prefix[WAL_ARCHIVE_NAME_MAX];
    wal_archive_segment_prefix(segment, prefix);
    if (list_names(search, prefix, err) < 0)
        return -1;
    for (size_t i = 0; i < search->names.count; i++) {
        struct wal_candidate *next = &search->candidates[search->count];
        next->name = search->names.names[i].name;
        if (wal_archive_parse_name(next->name, segment->segment_bytes, &next->piece) == 0)
            search->count++;
    }
    return 0;
}

static int find_histories(struct search *search, uint32_t timeline, struct error *err)
{
    char prefix[WAL_ARCHIVE_NAME_MAX];
    wal_archive_history_prefix(timeline, prefix);
    if (list_names(search, prefix, err) < 0)
        return -1;
    for (size_t i = 0; i < search->names.count; i++)
        search->candidates[search->count++] = (struct wal_candidate){
            .name = search->names.names[i].name,
            .piece.timeline = timeline,
        };
    return 0;
}

/* Putting a segment together */

/* No candidate goes on from offset at: because one that would is damaged, or there is none. */
static int missing(const struct search *search, const struct wal_piece *wanted, size_t at,
                   struct error *err)
{
    char lsn[LSN_TEXT_BYTES];
    lsn_format(wanted->segment_lsn + at, lsn);
    for (size_t i = 0; i < search->count; i++) {
        const struct wal_candidate *candidate = &search->candidates[i];
        if (candidate->piece.from > at || candidate->piece.to <= at)
            continue;
        *err = candidate->failure;
        return error_wrap(err, "WAL from %s on", lsn);
    }
    return error_set(err, ERROR_NOT_FOUND, "no WAL from %s on is in the repository", lsn);
}

/* Appends what a candidate adds to the segment; what both have must be the same. The first is read
 * into its place: it is most often all of the segment. */
static int extend(const struct search *search, struct wal_candidate *candidate,
                  const struct wal_candidate *before, struct buf *segment, struct error *err)
{
    CLEANUP(buf_done) struct buf plain = BUF(CONTAINER_BYTES_MAX);
    const bool first = segment->size == 0;
    int read = try_candidate(search, candidate, first ? segment : &plain, err);
    if (read <= 0) {
        if (first)
            buf_clear(segment);
        return read;
    }
    size_t known = first ? 0 : segment->size - candidate->piece.from;
    if (known > 0 && memcmp(segment->data + candidate->piece.from, plain.data, known) != 0)
        return conflict(before, candidate, err);
    if (!first && buf_append(segment, plain.data + known, plain.size - known, err) < 0)
        return -1;
    return check_rivals(search, candidate, err) < 0 ? -1 : 1;
}

/* Appends pieces until the bytes [0, wanted->to) are there. */
static int assemble(const struct search *search, const struct wal_piece *wanted,
                    struct buf *segment, struct error *err)
{
    const struct wal_candidate *before = NULL;
    while (segment->size < wanted->to) {
        size_t next = wal_cover_next(search->candidates, search->count, (uint32_t)segment->size);
        if (next == search->count)
            return missing(search, wanted, segment->size, err);
        int extended = extend(search, &search->candidates[next], before, segment, err);
        if (extended < 0)
            return -1;
        if (extended > 0)
            before = &search->candidates[next];
    }
    return 0;
}

int wal_archive_pad(struct buf *segment, uint32_t segment_bytes, struct error *err)
{
    uint8_t *space;
    size_t left = segment_bytes - segment->size;
    if (left == 0)
        return 0;
    if (buf_reserve(segment, left, &space, err) < 0)
        return -1;
    memset(space, 0, left);
    segment->size += left;
    return 0;
}

/* Gives the first history that can be read. */
static int read_history(const struct search *search, struct buf *content, struct error *err)
{
    for (size_t i = 0; i < search->count; i++) {
        int read = try_candidate(search, &search->candidates[i], content, err);
        if (read != 0)
            return read < 0 ? -1 : check_rivals(search, &search->candidates[i], err);
    }
    if (search->count == 0)
        return error_set(err, ERROR_NOT_FOUND, "it is not in the repository");
    *err = search->candidates[0].failure;
    return -1;
}

int wal_archive_get_history(struct repo *repo, uint32_t timeline, struct buf *content,
                            struct error *err)
{
    CLEANUP(search_done) struct search search = {.repo = repo, .kind = CONTAINER_HISTORY};
    if (find_histories(&search, timeline, err) == 0 && read_history(&search, content, err) == 0)
        return 0;
    doubt_absence(&search, err);
    return error_wrap(err, "history of timeline %" PRIu32, timeline);
}

int wal_archive_load_history(struct repo *repo, uint32_t timeline, struct timeline *ret_history,
                             struct error *err)
{
    CLEANUP(buf_done) struct buf content = BUF(TIMELINE_HISTORY_MAX);
    if (timeline > 1 && wal_archive_get_history(repo, timeline, &content, err) < 0)
        return -1;
    return timeline_parse(timeline, content.data, content.size, ret_history, err);
}

/* A part that was listed is gone: because one that reaches further, or all of the segment, came to
 * stand for it. */
static bool has_vanished(const struct search *search)
{
    for (size_t i = 0; i < search->count; i++)
        if (search->candidates[i].failure.kind == ERROR_NOT_FOUND)
            return true;
    return false;
}

static int get_listed(struct repo *repo, const struct wal_piece *whole, struct buf *segment,
                      bool *ret_vanished, struct error *err)
{
    CLEANUP(search_done) struct search search = {.repo = repo, .kind = CONTAINER_WAL};
    buf_clear(segment);
    if (find_pieces(&search, whole, err) == 0 && assemble(&search, whole, segment, err) == 0)
        return 0;
    doubt_absence(&search, err);
    *ret_vanished = has_vanished(&search);
    return -1;
}

int wal_archive_get_whole(struct repo *repo, const struct wal_piece *whole, struct buf *segment,
                          struct error *err)
{
    char name[WAL_SEGMENT_NAME_BYTES];
    bool vanished = false;
    wal_segment_name(whole->timeline, whole->segment_lsn, whole->segment_bytes, name);
    if (get_listed(repo, whole, segment, &vanished, err) == 0 ||
        (vanished && get_listed(repo, whole, segment, &vanished, err) == 0))
        return 0;
    return error_wrap(err, "WAL segment '%s'", name);
}

int wal_archive_get(struct repo *repo, uint32_t timeline, uint64_t lsn, uint64_t lsn_end,
                    uint32_t segment_bytes, struct buf *segment, struct error *err)
{
    struct wal_piece wanted = {
        .timeline = timeline,
        .segment_lsn = wal_segment_start(lsn, segment_bytes),
        .segment_bytes = segment_bytes,
        .to = segment_bytes,
    };
    assert(wal_segment_bytes_valid(segment_bytes) && lsn_end > lsn);
    if (lsn_end - wanted.segment_lsn < segment_bytes)
        wanted.to = (uint32_t)(lsn_end - wanted.segment_lsn);
    if (wal_archive_get_whole(repo, &wanted, segment, err) < 0)
        return -1;
    return wal_archive_pad(segment, segment_bytes, err);
}
