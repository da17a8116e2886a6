// SPDX-License-Identifier: Apache-2.0
/*
 * The calling thread receives, seals and answers the server; what is sealed lies in flights until
 * the lanes have put it into the regions. While none is free, or the one tail is on its way,
 * nothing is read, but the server goes on being told where we are.
 */
#include "sidecar/wal_spell.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/cancel.h"
#include "common/clock.h"
#include "common/crew.h"
#include "common/fifo.h"
#include "common/log.h"
#include "common/own.h"
#include "common/text.h"
#include "sidecar/lanes.h"
#include "sidecar/lsn.h"
#include "sidecar/pg.h"
#include "sidecar/pg_replication.h"
#include "sidecar/policy.h"
#include "sidecar/progress.h"
#include "sidecar/repo.h"
#include "sidecar/timeline.h"
#include "sidecar/wal_archive.h"
#include "sidecar/wal_board.h"
#include "sidecar/wal_history.h"
#include "sidecar/wal_lookout.h"
#include "sidecar/wal_message.h"
#include "sidecar/wal_place.h"
#include "sidecar/wal_rivals.h"
#include "sidecar/wal_slot.h"
#include "sidecar/wal_stream.h"
#include "sidecar/wal_survey.h"
#include "sidecar/wal_tails.h"

enum {
    MESSAGE_BYTES_MAX = 2 << 20, /* servers send up to 16 WAL blocks at once */
    TICK_MS = 200,               /* how soon is noticed what does not come from the server */
    ANSWER_TICK_MS = 20,         /* … while it waits for an answer */
    LAG_MS = 5000, /* for a region that lacks what a quorum has, and does not answer */
    MS_IN_S = 1000,
    STALL_NAMES_BYTES = 256,
};

/* A sealed piece on its way. */
struct flight {
    struct lane_put put; /* first: the lanes give it back */
    struct wal_sealed sealed;
    struct wal_piece piece;
    struct wal_stream_piece range;
    char *full_name;
    bool busy;
    int64_t stored_ms; /* since when a quorum of regions has it; 0: not yet */
};

struct spell {
    const struct wal_spell_options *options;
    struct pg_options pg;
    struct pg_server server;
    struct pg_slot slot;
    struct regions *regions;
    struct repo *repo;
    struct lanes *lanes;
    struct crew *crew;
    struct wal_tails *tails;
    struct wal_lookout *lookout;
    struct pg_replication *replication;
    struct timeline history;
    uint32_t timeline; /* that is streamed */
    uint64_t begin_lsn, stored_lsn;
    bool from_gap; /* tries WAL that the slot does not keep */
    uint64_t gap_end_lsn;
    struct wal_rivals rivals;
    struct buf known; /* what the regions have from begin_lsn to stored_lsn; empty once compared */
    uint8_t *block;
    uint32_t block_bytes;
    struct wal_stream stream;
    struct flight *flights;
    size_t flight_count;
    struct fifo *done;
    struct buf message;
    struct wal_message data; /* what is left of the message; size 0: nothing */
    uint64_t server_lsn;
    uint32_t told; /* regions whose loss the board knows of, as bits of their indices there */
    bool timeline_ended, closed;
    struct wal_spell_end end;
};

/* Regions and server */

static int open_regions(struct spell *spell, struct error *err)
{
    const struct wal_spell_options *options = spell->options;
    const struct policy *policy = options->policy;
    const struct regions_choice choice = {.excluded = options->without,
                                          .excluded_count = options->without_count};
    if (regions_open(&spell->regions, policy, options->secrets, &choice, options->cancel, err) <
            0 ||
        repo_open_write(&spell->repo, policy, options->secrets, spell->regions,
                        spell->server.system_identifier, err) < 0)
        return -1;
    spell->end.opened = true;
    const struct lanes_options lanes = {
        .regions = spell->regions,
        .cancel = options->cancel,
        .threads = policy->uploads,
        .packs = policy->uploads,
    };
    if (lanes_new(&spell->lanes, &lanes, err) < 0)
        return -1;
    spell->repo->lanes = spell->lanes;
    return 0;
}

static struct wal_slot slot_of(struct spell *spell)
{
    return (struct wal_slot){spell->options->slot, &spell->pg, &spell->server};
}

static int open_replication(struct spell *spell, struct error *err)
{
    struct pg_system system;
    uint64_t stored_bytes = 0;
    const struct wal_slot slot = slot_of(spell);
    if (wal_slot_open(&slot, &spell->slot, &spell->replication, &system, err) < 0)
        return -1;
    const struct wal_history_source source = {spell->repo, spell->replication, system.timeline};
    spell->server_lsn = system.flushed_lsn;
    return wal_history_take(&source, &spell->history, &stored_bytes, err);
}

/* Finding the place */

static int behind(const struct spell *spell, struct error *err)
{
    char begin[LSN_TEXT_BYTES], server[LSN_TEXT_BYTES];
    lsn_format(spell->begin_lsn, begin);
    lsn_format(spell->server_lsn, server);
    return error_set(err, ERROR_TRANSIENT,
                     "the server's WAL ends at %s, and the regions have more, up to %s: a standby "
                     "that lags, or a server that went back in time",
                     server, begin);
}

static uint64_t block_start(const struct spell *spell, uint64_t lsn)
{
    return wal_segment_start(lsn, spell->block_bytes);
}

/* Where to begin: with the last block of which something is there, so that it can be compared and
 * becomes complete. */
static uint64_t first_lsn(const struct spell *spell)
{
    const uint64_t fork_lsn = timeline_find(&spell->history, spell->timeline)->begin_lsn;
    const uint64_t kept_lsn = spell->slot.restart_lsn;
    uint64_t at = spell->stored_lsn;
    if (at > kept_lsn && at > fork_lsn) /* the server has the byte before as well */
        at--;
    return block_start(spell, at);
}

/* What is missing before the block that the slot keeps is asked for first, unless it is known to be
 * gone. */
static void take_place(struct spell *spell, const struct wal_place *place)
{
    const uint64_t gap_end_lsn = block_start(spell, place->gap.to);
    spell->from_gap = gap_end_lsn > place->gap.from && gap_end_lsn > spell->end.past.gone_lsn;
    spell->gap_end_lsn = gap_end_lsn;
    spell->timeline = spell->from_gap ? place->gap.timeline : place->timeline;
    spell->stored_lsn = spell->from_gap ? place->gap.from : place->lsn;
    spell->begin_lsn = first_lsn(spell);
}

static struct wal_survey_options survey_of(const struct spell *spell)
{
    return (struct wal_survey_options){
        .repo = spell->repo,
        .history = &spell->history,
        .segment_bytes = spell->server.wal_segment_bytes,
        .kept_lsn = spell->slot.restart_lsn,
        .server_lsn = spell->server_lsn,
        .region_count = spell->options->policy->region_count,
    };
}

static void name_gap(struct spell *spell, const struct wal_span *gap)
{
    char from[LSN_TEXT_BYTES], to[LSN_TEXT_BYTES];
    lsn_format(gap->from, from);
    lsn_format(gap->to, to);
    wal_board_add_gap(spell->options->board, gap, spell->server.system_identifier);
    log_error(NULL, "Found a gap in the WAL, which the server has removed: take a full backup",
              S("from", from), S("to", to), U("timeline", gap->timeline));
}

/* Only when no region has what is missing: one that is out may have been the only one that took it,
 * and is waited for. */
static int tell_gap(struct spell *spell, struct error *err)
{
    const struct wal_survey_options survey = survey_of(spell);
    struct wal_span gap = spell->end.past.untold;
    char from[LSN_TEXT_BYTES], to[LSN_TEXT_BYTES];
    if (gap.to == 0)
        return 0;
    const int told = wal_survey_gap(&survey, &gap, err);
    if (told < 0)
        return -1;
    if (told == 0) {
        lsn_format(gap.from, from);
        lsn_format(gap.to, to);
        log_debug("Cannot tell whether WAL is missing, as a region is out", S("from", from),
                  S("to", to), U("timeline", gap.timeline));
        return 0;
    }
    spell->end.past.untold = (struct wal_span){0};
    while (gap.from < gap.to) {
        const struct wal_span part = wal_place_cut(&spell->history, &gap);
        name_gap(spell, &part);
    }
    return 0;
}

/* A directory of data may become that of another system, whose WAL begins anew. */
static void take_past(struct spell *spell)
{
    struct wal_spell_past *past = &spell->end.past;
    if (past->system_identifier != spell->server.system_identifier)
        *past = (struct wal_spell_past){.system_identifier = spell->server.system_identifier};
}

/* Once, for a gap that a process before this one found, which perhaps nobody heard of: what is
 * missing is asked for again, and told if it is gone. 1: it was looked for. */
static int look_back(struct spell *spell, struct wal_place *place, struct error *err)
{
    const struct wal_survey_options survey = survey_of(spell);
    if (spell->end.past.gone_lsn > 0 || place->gap.to > 0)
        return 0;
    return wal_survey_look_back(&survey, place->lsn, &place->gap, err);
}

static int choose_place(struct spell *spell, struct error *err)
{
    struct wal_place place;
    struct wal_survey_options survey = survey_of(spell);
    survey.tails = spell->tails;
    if (spell->slot.restart_lsn == 0)
        return error_set(err, ERROR_TRANSIENT, "replication slot '%s' keeps no WAL yet",
                         spell->options->slot);
    if (wal_survey_run(&survey, &place, err) < 0)
        return -1;
    const int looked = look_back(spell, &place, err);
    if (looked < 0)
        return -1;
    spell->block_bytes =
        survey.segment_bytes < WAL_STREAM_BLOCK_MAX ? survey.segment_bytes : WAL_STREAM_BLOCK_MAX;
    take_place(spell, &place);
    if (looked > 0 && !spell->from_gap)
        spell->end.past.gone_lsn = place.lsn;
    return spell->begin_lsn > spell->server_lsn ? behind(spell, err) : 0;
}

/* What the regions have of the block that we begin with, to be held against what the server says of
 * it. What cannot be read is put again. */
static int load_known(struct spell *spell, struct error *err)
{
    const uint32_t segment_bytes = spell->server.wal_segment_bytes;
    spell->known = BUF(segment_bytes);
    if (spell->stored_lsn == spell->begin_lsn || segment_bytes > WAL_STREAM_BLOCK_MAX)
        return 0;
    if (wal_archive_get(spell->repo, spell->timeline, spell->begin_lsn, spell->stored_lsn,
                        segment_bytes, &spell->known, err) == 0) {
        spell->known.size = (size_t)(spell->stored_lsn - spell->begin_lsn);
        return 0;
    }
    buf_done(&spell->known);
    spell->stored_lsn = spell->begin_lsn;
    return err->kind == ERROR_NOT_FOUND || err->kind == ERROR_CORRUPT ? 0 : -1;
}

/* Sealing and putting */

static struct flight *free_flight(struct spell *spell)
{
    for (size_t i = 0; i < spell->flight_count; i++)
        if (!spell->flights[i].busy)
            return &spell->flights[i];
    abort(); /* the stream seals no more than there are flights */
}

static void show_block(struct spell *spell)
{
    const struct wal_lookout_view view = {spell->stream.block_lsn, spell->stream.received_lsn,
                                          spell->block};
    wal_lookout_show(spell->lookout, &view);
}

static void hide_block(struct spell *spell)
{
    const struct wal_lookout_view none = {0};
    wal_lookout_show(spell->lookout, &none);
}

/* The memory of the block from there on, where nothing has come yet: a tail means that there is
 * time to get it again. */
static void give_back(struct spell *spell, uint64_t lsn)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t used = (lsn % spell->block_bytes + page - 1) & ~(page - 1);
    if (used < spell->block_bytes)
        madvise(spell->block + used, spell->block_bytes - used, MADV_DONTNEED);
}

static int seal(struct spell *spell, const struct wal_stream_piece *range, struct error *err)
{
    const uint32_t segment_bytes = spell->server.wal_segment_bytes;
    const uint64_t segment_lsn = wal_segment_start(range->from_lsn, segment_bytes);
    struct flight *flight = free_flight(spell);
    flight->range = *range;
    flight->piece = (struct wal_piece){
        .timeline = spell->timeline,
        .segment_lsn = segment_lsn,
        .segment_bytes = segment_bytes,
        .from = (uint32_t)(range->from_lsn - segment_lsn),
        .to = (uint32_t)(range->to_lsn - segment_lsn),
    };
    const uint8_t *data = spell->block + range->from_lsn % spell->block_bytes;
    if (wal_archive_seal(spell->repo, &flight->piece, data, &flight->sealed, err) < 0)
        return -1;
    wal_lookout_own(spell->lookout, flight->sealed.name);
    if (range->complete) {
        hide_block(spell);
    } else {
        give_back(spell, range->to_lsn);
        wal_tails_add(spell->tails, flight->sealed.name, &flight->piece);
    }
    flight->sealed.bytes.passing = !range->complete;
    flight->full_name = repo_full_name(spell->repo, flight->sealed.name);
    flight->put = (struct lane_put){
        .object = {flight->full_name, &flight->sealed.bytes, PUT_SAME,
                   range->complete ? &spell->rivals.guard : NULL},
        .done = spell->done,
    };
    flight->busy = true;
    flight->stored_ms = 0;
    lanes_submit(spell->lanes, &flight->put);
    return 0;
}

static void land(struct flight *flight)
{
    wal_sealed_done(&flight->sealed);
    own_freep(&flight->full_name);
    flight->busy = false;
}

/* The regions that failed since the last time: by their names, as not all need to have been opened.
 */
static void tell_losses(struct spell *spell)
{
    const struct policy *policy = spell->options->policy;
    uint32_t lost = 0;
    for (size_t i = 0; spell->regions && i < regions_count(spell->regions); i++)
        for (size_t j = 0; j < policy->region_count; j++)
            if (!regions_usable(spell->regions, i) &&
                strcmp(regions_at(spell->regions, i)->name, policy->regions[j].name) == 0)
                lost |= UINT32_C(1) << j;
    if (lost & ~spell->told)
        wal_board_lose(spell->options->board, lost & ~spell->told);
    spell->told |= lost;
}

static void tell_board(struct spell *spell)
{
    const struct wal_board_progress progress = {
        .server_lsn = spell->server_lsn,
        .received_lsn = spell->stream.received_lsn,
        .durable_lsn = wal_stream_report_lsn(&spell->stream),
    };
    wal_board_move(spell->options->board, &progress);
    tell_losses(spell);
}

static void note_stored(struct spell *spell, struct flight *flight)
{
    if (flight->stored_ms != 0)
        return;
    flight->stored_ms = clock_monotonic_ms();
    wal_stream_store(&spell->stream, &flight->range, flight->stored_ms);
    wal_lookout_store(spell->lookout, wal_stream_report_lsn(&spell->stream));
    tell_board(spell);
}

/* "'eu', 'us'": those that lack something that no quorum has. */
static void name_lacking(struct spell *spell, char *names, size_t capacity)
{
    uint32_t lacking = 0;
    *names = '\0';
    for (size_t i = 0; i < spell->flight_count; i++)
        if (spell->flights[i].busy && spell->flights[i].stored_ms == 0)
            lacking |= lanes_pending(spell->lanes, &spell->flights[i].put);
    for (size_t i = 0; i < regions_count(spell->regions); i++)
        if (lacking & UINT32_C(1) << i || !regions_usable(spell->regions, i))
            text_append(names, capacity, "%s'%s'", *names ? ", " : "",
                        regions_at(spell->regions, i)->name);
}

/* Regions that take connections and store nothing fail only after minutes. */
static void tell_stall(struct spell *spell, int64_t now_ms)
{
    char names[STALL_NAMES_BYTES];
    struct error err;
    if (!wal_stream_is_stalled(&spell->stream, now_ms))
        return;
    name_lacking(spell, names, sizeof(names));
    error_set(&err, ERROR_TRANSIENT,
              "the regions did not answer for %d s and more: WAL that came is not yet in %s",
              WAL_STREAM_PATIENCE_MS / MS_IN_S, *names ? names : "them");
    if (wal_board_stall(spell->options->board, &err))
        log_error(&err, "Got no WAL into the regions, trying on");
}

/* What a quorum has is stored. A region that lacks it is waited for while it is alive, as what it
 * does not get now it gets only by a copy; at the end not even that: soon all is cancelled. */
static void look_at_flights(struct spell *spell)
{
    const int64_t now_ms = clock_monotonic_ms();
    for (size_t i = 0; i < spell->flight_count; i++) {
        struct flight *flight = &spell->flights[i];
        if (!flight->busy)
            continue;
        if (lanes_has_quorum(spell->lanes, &flight->put))
            note_stored(spell, flight);
        if (flight->stored_ms != 0 && now_ms - flight->stored_ms >= LAG_MS)
            lanes_give_up(spell->lanes, &flight->put, spell->stream.ending ? 0 : LAG_MS);
    }
    tell_stall(spell, now_ms);
}

/* Takes in what is stored, and what has landed; waits for that at most so long. */
static int take_stored(struct spell *spell, int timeout_ms, struct error *err)
{
    void *item;
    int got;
    look_at_flights(spell);
    while ((got = timeout_ms > 0 ? repo_await(spell->repo, spell->done, timeout_ms, &item, err)
                                 : fifo_pop_within(spell->done, 0, &item, err)) > 0) {
        struct flight *flight = item;
        if (flight->put.error.kind != ERROR_NONE) {
            *err = flight->put.error;
            return -1;
        }
        note_stored(spell, flight);
        wal_stream_land(&spell->stream, clock_monotonic_ms());
        wal_tails_cover(spell->tails, flight->sealed.name, &flight->piece);
        land(flight);
        timeout_ms = 0;
    }
    return got < 0 ? lanes_explain(spell->lanes, err) : 0;
}

/* Receiving */

/* What comes is what the regions have of it, if they have it. */
static int compare_known(struct spell *spell, size_t size, struct error *err)
{
    char lsn[LSN_TEXT_BYTES];
    const uint64_t at = spell->stream.received_lsn - spell->begin_lsn;
    if (at >= spell->known.size)
        return 0;
    const size_t left = spell->known.size - at;
    const bool same =
        memcmp(spell->data.data, spell->known.data + at, size < left ? size : left) == 0;
    if (size >= left)
        buf_done(&spell->known);
    if (same)
        return 0;
    lsn_format(spell->stream.received_lsn, lsn);
    return error_set(err, ERROR_CONFLICT,
                     "the repository has other WAL than this server in the segment at %s of "
                     "timeline %" PRIu32 ": " WAL_RIVALS_REMEDY,
                     lsn, spell->timeline);
}

static int take_data(struct spell *spell, struct error *err)
{
    struct wal_stream *stream = &spell->stream;
    struct wal_message *data = &spell->data;
    const uint32_t room = wal_stream_room(stream);
    const uint32_t taken = data->size < room ? (uint32_t)data->size : room;
    if (taken == 0)
        return 0;
    if (compare_known(spell, taken, err) < 0)
        return -1;
    memcpy(spell->block + stream->received_lsn % spell->block_bytes, data->data, taken);
    wal_stream_take(stream, taken, clock_monotonic_ms());
    show_block(spell);
    data->data += taken;
    data->size -= taken;
    spell->end.streamed = true;
    progress_add(spell->options->progress, taken);
    return 0;
}

static int take_message(struct spell *spell, struct error *err)
{
    struct wal_message message;
    if (wal_message_parse(spell->message.data, spell->message.size, &message, err) < 0)
        return -1;
    spell->server_lsn = message.server_lsn;
    if (message.type == WAL_MESSAGE_KEEPALIVE) {
        if (message.reply_requested)
            wal_stream_ask(&spell->stream, clock_monotonic_ms());
        return 0;
    }
    if (message.lsn == spell->stream.received_lsn) {
        spell->data = message;
        return take_data(spell, err);
    }
    char came[LSN_TEXT_BYTES], wanted[LSN_TEXT_BYTES];
    lsn_format(message.lsn, came);
    lsn_format(spell->stream.received_lsn, wanted);
    return error_set(err, ERROR_CORRUPT, "the server sent WAL at %s where %s comes next", came,
                     wanted);
}

static int receive_one(struct spell *spell, struct error *err)
{
    const bool asked = spell->stream.asked_ms != WAL_STREAM_NEVER;
    const int came = pg_replication_receive(spell->replication, asked ? ANSWER_TICK_MS : TICK_MS,
                                            &spell->message, err);
    if (came > 0)
        return take_message(spell, err);
    if (came == 0 || err->kind == ERROR_NOT_FOUND) {
        spell->timeline_ended = came < 0;
        return 0;
    }
    char lsn[LSN_TEXT_BYTES];
    lsn_format(spell->stream.received_lsn, lsn);
    return error_wrap(err, "receive WAL at %s of timeline %" PRIu32, lsn, spell->timeline);
}

/* Lets the server go on; its slot keeps what is not stored yet. */
static void close_early(struct spell *spell)
{
    char durable[LSN_TEXT_BYTES];
    lsn_format(wal_stream_report_lsn(&spell->stream), durable);
    pg_replication_closep(&spell->replication);
    spell->closed = true;
    log_warn("Closed the connection, as the server may wait for regions that do not answer",
             S("durable", durable), I("seconds", WAL_STREAM_PATIENCE_MS / MS_IN_S));
}

/* Never before the slot's place, which PostgreSQL would move back. */
static int report(struct spell *spell, struct error *err)
{
    const uint64_t lsn = wal_stream_report_lsn(&spell->stream);
    const bool is_before = !spell->from_gap && lsn < spell->slot.restart_lsn;
    return pg_replication_report(spell->replication, is_before ? 0 : lsn, err);
}

/* Waits for whatever comes first. */
static int wait(struct spell *spell, struct error *err)
{
    if (wal_stream_room(&spell->stream) == 0)
        return take_stored(spell, TICK_MS, err);
    return spell->data.size > 0 ? take_data(spell, err) : receive_one(spell, err);
}

static int obey(struct spell *spell, enum wal_stream_deed deed,
                const struct wal_stream_piece *piece, struct error *err)
{
    switch (deed) {
    case WAL_STREAM_SEAL:
        return seal(spell, piece, err);
    case WAL_STREAM_REPORT:
        tell_board(spell);
        return report(spell, err);
    case WAL_STREAM_CLOSE:
        close_early(spell);
        return 0;
    case WAL_STREAM_WAIT:
        break;
    }
    return wait(spell, err);
}

static bool is_over(const struct spell *spell)
{
    return spell->closed || spell->timeline_ended ||
           (spell->from_gap && spell->stream.received_lsn >= spell->gap_end_lsn) ||
           wal_board_wants_end(spell->options->board);
}

/* Once somebody else is known to have been first: what was put beside his is taken away again. */
static void withdraw(struct spell *spell)
{
    struct error ignored;
    const int64_t begun_ms = clock_monotonic_ms();
    while (spell->stream.aloft > 0 && clock_monotonic_ms() - begun_ms < WAL_STREAM_PATIENCE_MS)
        if (take_stored(spell, TICK_MS, &ignored) < 0)
            return;
    wal_lookout_withdraw(spell->lookout);
}

static int stream_wal(struct spell *spell, struct error *err)
{
    struct wal_stream_piece piece;
    while (!is_over(spell)) {
        if (take_stored(spell, 0, err) < 0)
            return -1;
        if (wal_lookout_check(spell->lookout, err) < 0) {
            withdraw(spell);
            return -1;
        }
        const enum wal_stream_deed deed =
            wal_stream_next(&spell->stream, clock_monotonic_ms(), &piece);
        if (obey(spell, deed, &piece, err) < 0)
            return -1;
    }
    return 0;
}

/* Everything that came is put, whatever became of the server: it may be all that is left of it. One
 * that is there is not kept waiting. */
static int drain(struct spell *spell, struct error *err)
{
    struct wal_stream_piece piece;
    const int64_t begun_ms = clock_monotonic_ms();
    wal_stream_end(&spell->stream);
    while (!wal_stream_is_drained(&spell->stream)) {
        if (clock_monotonic_ms() - begun_ms >= WAL_STREAM_PATIENCE_MS)
            pg_replication_closep(&spell->replication);
        const enum wal_stream_deed deed =
            wal_stream_next(&spell->stream, clock_monotonic_ms(), &piece);
        if (deed == WAL_STREAM_SEAL ? seal(spell, &piece, err) < 0
                                    : take_stored(spell, TICK_MS, err) < 0)
            return -1;
    }
    tell_board(spell);
    return 0;
}

static int start_stream(struct spell *spell, struct error *err)
{
    const struct wal_spell_options *options = spell->options;
    /* a slot is moved by what is reported, also back to a place that it does not keep */
    const bool by_slot = !spell->slot.may_make_synchronous && !spell->from_gap;
    const struct wal_stream_options stream = {
        .block_bytes = spell->block_bytes,
        .flying = spell->flight_count,
        .flush_ms = (int64_t)options->policy->wal.flush_seconds * MS_IN_S,
        .stall_ms = options->stall_ms,
        .begin_lsn = spell->begin_lsn,
        .stored_lsn = spell->stored_lsn,
    };
    char lsn[LSN_TEXT_BYTES];
    if (wal_lookout_start(spell->lookout, spell->crew, options->cancel, err) < 0 ||
        pg_replication_start(spell->replication, by_slot ? options->slot : NULL, spell->timeline,
                             spell->begin_lsn, err) < 0)
        return -1;
    lsn_format(spell->stored_lsn, lsn);
    wal_stream_init(&spell->stream, &stream, clock_monotonic_ms());
    const struct wal_board_stream begun = {
        .timeline = spell->timeline,
        .lsn = spell->stored_lsn,
        .by_slot = by_slot,
        .synchronous = spell->slot.may_make_synchronous,
    };
    wal_board_begin(options->board, &begun);
    log_info("Began to stream WAL", S("slot", options->slot), U("timeline", spell->timeline),
             S("from", lsn), B("synchronous", begun.synchronous));
    return 0;
}

/* Life of a spell */

static void make_room(struct spell *spell)
{
    spell->block =
        mmap(NULL, spell->block_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (spell->block == MAP_FAILED)
        abort(); /* out of memory, as everywhere */
    spell->flight_count = spell->options->policy->uploads;
    spell->flights = own_alloc(spell->flight_count * sizeof(spell->flights[0]));
    spell->done = fifo_new(spell->flight_count, spell->options->cancel);
    spell->message = BUF(MESSAGE_BYTES_MAX);
    const struct wal_lookout_options lookout = {spell->repo, spell->timeline,
                                                spell->server.wal_segment_bytes};
    spell->lookout = wal_lookout_new(&lookout);
    spell->rivals = wal_rivals_new(spell->repo, spell->server.wal_segment_bytes);
}

/* Where the server does not have what is missing any more, the next spell tells it, and begins
 * behind it. */
static int stream_gap(struct spell *spell, const struct error *why)
{
    struct wal_span *untold = &spell->end.past.untold;
    if (!spell->from_gap || spell->end.streamed || !pg_replication_wal_is_gone(spell->replication))
        return -1;
    log_info("The server has removed WAL that is asked for", S("error", why->text));
    if (untold->to == 0)
        *untold = (struct wal_span){.timeline = spell->timeline, .from = spell->stored_lsn};
    untold->to = spell->gap_end_lsn;
    spell->end.past.gone_lsn = spell->gap_end_lsn;
    pg_replication_closep(&spell->replication);
    return 0;
}

static int stream_and_drain(struct spell *spell, struct error *err)
{
    struct error left = {0};
    int result = stream_wal(spell, err);
    if (result < 0 && spell->replication)
        result = stream_gap(spell, err);
    const bool may_put = result == 0 || !cancel_requested(spell->options->cancel);
    if (may_put && (result == 0 || err->kind != ERROR_CONFLICT) && drain(spell, &left) < 0) {
        *err = left;
        return -1;
    }
    return result == 0 && spell->replication && !spell->timeline_ended ? report(spell, err)
                                                                       : result;
}

static int run(struct spell *spell, struct error *err)
{
    const struct cancel *cancel = spell->options->cancel;
    const struct wal_slot slot = slot_of(spell);
    if (wal_slot_look(&slot, &spell->slot, err) < 0 || open_regions(spell, err) < 0 ||
        open_replication(spell, err) < 0)
        return -1;
    take_past(spell);
    if (wal_tails_new(&spell->tails, spell->repo, spell->crew, cancel, err) < 0 ||
        tell_gap(spell, err) < 0 || choose_place(spell, err) < 0 || load_known(spell, err) < 0)
        return -1;
    make_room(spell);
    return start_stream(spell, err) < 0 ? -1 : stream_and_drain(spell, err);
}

/* What still runs is cancelled: after a good end there is nothing left that matters. */
static void spell_done(struct spell *spell)
{
    pg_replication_closep(&spell->replication);
    tell_losses(spell);
    cancel_trigger(spell->options->cancel);
    crew_freep(&spell->crew);
    lanes_freep(&spell->lanes);
    for (size_t i = 0; i < spell->flight_count; i++)
        land(&spell->flights[i]);
    free(spell->flights);
    fifo_freep(&spell->done);
    wal_tails_freep(&spell->tails);
    wal_lookout_freep(&spell->lookout);
    buf_done(&spell->known);
    buf_done(&spell->message);
    if (spell->block)
        munmap(spell->block, spell->block_bytes);
    timeline_done(&spell->history);
    repo_closep(&spell->repo);
    regions_closep(&spell->regions);
}

int wal_spell_run(const struct wal_spell_options *options, struct wal_spell_end *ret_end,
                  struct error *err)
{
    struct spell spell = {.options = options, .pg = *options->pg};
    spell.pg.cancel = options->cancel;
    spell.crew = crew_new(options->cancel);
    spell.end.past = options->past;
    int result = run(&spell, err);
    if (result < 0 && spell.lanes)
        lanes_explain(spell.lanes, err);
    spell_done(&spell);
    *ret_end = spell.end;
    return result;
}
