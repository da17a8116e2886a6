// SPDX-License-Identifier: Apache-2.0
#include "sidecar/wal_news.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/cancel.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/own.h"
#include "sidecar/lsn.h"
#include "sidecar/policy.h"
#include "sidecar/progress.h"
#include "sidecar/wal_board.h"
#include "sidecar/wal_lag.h"

enum {
    TICK_MS = 1000,
    URGENT_SECONDS = 60 * 60,
    URGENT_BYTES = 256 << 20,
    BEHIND_BYTES = 64 << 20, /* less is kept in good times, too */
    UNKNOWN = -1,
};

struct news {
    const struct wal_news_options *options;
    struct wal_lag lag;
    struct wal_news_calm calm;
    json_t *said;
    bool warned;
};

/* Room for the texts of a struct message_archiving. */
struct texts {
    char since[CLOCK_TEXT_BYTES];
    char server[LSN_TEXT_BYTES], received[LSN_TEXT_BYTES], durable[LSN_TEXT_BYTES];
    char gap_from[LSN_TEXT_BYTES], gap_to[LSN_TEXT_BYTES], gap_system[24];
};

static const char *known_lsn(uint64_t lsn, char text[LSN_TEXT_BYTES])
{
    lsn_format(lsn, text);
    return lsn > 0 ? text : NULL;
}

/* Bytes that may still be written to the volume of pg_wal. */
static int64_t free_bytes(const char *pgdata)
{
    struct statvfs volume;
    if (!pgdata)
        return UNKNOWN;
    CLEANUP(own_freep) char *path = own_format("%s/pg_wal", pgdata);
    if (statvfs(path, &volume) < 0)
        return UNKNOWN;
    return (int64_t)((uint64_t)volume.f_bavail * volume.f_frsize);
}

static int64_t left_bytes(const struct news *news, const struct wal_follow_state *state)
{
    const int64_t of_volume = free_bytes(news->options->pgdata);
    const int64_t of_slot =
        state->kept_lsn > 0 && state->left_bytes < INT64_MAX ? (int64_t)state->left_bytes : UNKNOWN;
    if (of_volume < 0 || of_slot < 0)
        return of_volume < 0 ? of_slot : of_volume;
    return of_volume < of_slot ? of_volume : of_slot;
}

static struct wal_news_room look_at_room(const struct news *news,
                                         const struct wal_follow_state *state)
{
    struct wal_news_room room = {.left_bytes = left_bytes(news, state)};
    if (state->kept_lsn > 0 && state->server_lsn > state->kept_lsn)
        room.kept_bytes = state->server_lsn - state->kept_lsn;
    room.left_seconds = wal_lag_lasts_seconds(&news->lag, room.left_bytes);
    return room;
}

bool wal_news_is_urgent(const struct wal_news_room *room)
{
    const bool short_time = room->left_seconds >= 0 && room->left_seconds < URGENT_SECONDS;
    const bool short_room = room->left_bytes >= 0 && room->left_bytes < URGENT_BYTES;
    return room->kept_bytes >= BEHIND_BYTES && (short_time || short_room);
}

static void warn(struct news *news, const struct wal_news_room *room)
{
    const bool urgent = wal_news_is_urgent(room);
    if (urgent && !news->warned)
        log_warn("Ran short of room on the server for WAL that the regions do not have",
                 U("keptBytes", room->kept_bytes), I("leftBytes", room->left_bytes),
                 I("leftSeconds", room->left_seconds));
    news->warned = urgent;
}

void wal_news_calm(struct wal_news_calm *calm, const struct wal_follow_state *state, int64_t now_ms)
{
    const bool failed_before = calm->error.kind != ERROR_NONE;
    const bool moves =
        state->durable_lsn > calm->durable_lsn || state->durable_lsn >= state->server_lsn;
    const bool streaming = state->streaming && (!failed_before || moves);
    if (calm->since_ms == 0)
        calm->since_ms = state->since_ms;
    if (streaming != calm->streaming)
        calm->since_ms = now_ms;
    if (!streaming && !failed_before)
        calm->durable_lsn = state->durable_lsn;
    if (streaming || !state->streaming)
        calm->error = state->error;
    calm->streaming = streaming;
}

static void add_lost(struct message_archiving *archiving, const struct policy *policy,
                     uint32_t lost)
{
    for (size_t i = 0; i < policy->region_count; i++)
        if (lost & UINT32_C(1) << i)
            archiving->lost_regions[archiving->lost_count++] = policy->regions[i].name;
}

static json_t *describe(const struct news *news, const struct wal_follow_state *state,
                        const struct wal_news_room *room)
{
    struct texts texts;
    const struct wal_news_calm *calm = &news->calm;
    const bool failed = calm->error.kind != ERROR_NONE;
    clock_format(calm->since_ms, texts.since);
    struct message_archiving archiving = {
        .mode = news->options->mode,
        .streaming = calm->streaming,
        .slot = state->slot,
        .since = texts.since,
        .error = failed ? calm->error.text : NULL,
        .error_kind = failed ? error_kind_name(calm->error.kind) : NULL,
        .timeline = state->timeline,
        .server_lsn = known_lsn(state->server_lsn, texts.server),
        .received_lsn = known_lsn(state->received_lsn, texts.received),
        .durable_lsn = known_lsn(state->durable_lsn, texts.durable),
        .lag_seconds = news->options->mode == MESSAGE_WAL_STREAM
                           ? wal_lag_seconds(&news->lag, clock_monotonic_ms(), state->durable_lsn)
                           : UNKNOWN,
        .kept_bytes = room->kept_bytes,
        .left_bytes = room->left_bytes,
        .left_seconds = room->left_seconds,
        .gap = {.timeline = state->gap.timeline},
    };
    if (state->gap.to > 0) {
        archiving.gap.from = texts.gap_from;
        archiving.gap.to = texts.gap_to;
        lsn_format(state->gap.from, texts.gap_from);
        lsn_format(state->gap.to, texts.gap_to);
        archiving.gap.system_identifier = texts.gap_system;
        snprintf(texts.gap_system, sizeof(texts.gap_system), "%" PRIu64,
                 state->gap_system_identifier);
    }
    add_lost(&archiving, news->options->policy, state->lost);
    return message_format_archiving(&archiving);
}

/* A whole line at once, as the log writes them. */
static void say(struct news *news, json_t *archiving)
{
    json_auto_t *line = json_pack("{s:O}", "archiving", archiving);
    CLEANUP(own_freep) char *text = json_dumps(line, JSON_COMPACT);
    dprintf(STDERR_FILENO, "%s\n", text);
    json_decref(news->said);
    news->said = json_incref(archiving);
}

/* "stored to 0/3A000148, 2 s behind" */
static void note_progress(const struct news *news, const struct wal_follow_state *state)
{
    char durable[LSN_TEXT_BYTES], note[PROGRESS_NOTE_BYTES];
    const int64_t lag_seconds =
        wal_lag_seconds(&news->lag, clock_monotonic_ms(), state->durable_lsn);
    lsn_format(state->durable_lsn, durable);
    if (state->durable_lsn == 0)
        snprintf(note, sizeof(note), "nothing stored yet");
    else if (lag_seconds < 0)
        snprintf(note, sizeof(note), "stored to %s", durable);
    else
        snprintf(note, sizeof(note), "stored to %s, %" PRId64 " s behind", durable, lag_seconds);
    progress_note(news->options->progress, note);
}

static void look(struct news *news)
{
    const struct wal_follow_state state = wal_board_state(news->options->board);
    if (state.server_lsn > 0)
        wal_lag_look(&news->lag, clock_monotonic_ms(), state.server_lsn, state.durable_lsn);
    wal_news_calm(&news->calm, &state, clock_now_ms());
    const struct wal_news_room room = look_at_room(news, &state);
    warn(news, &room);
    note_progress(news, &state);
    if (!news->options->json)
        return;
    json_auto_t *archiving = describe(news, &state, &room);
    if (!json_equal(archiving, news->said))
        say(news, archiving);
}

int wal_news_run(void *options, struct error *err)
{
    struct news news = {.options = options};
    do
        look(&news);
    while (cancel_sleep(news.options->cancel, TICK_MS, err) == 0);
    look(&news);
    json_decref(news.said);
    return err->kind == ERROR_CANCELED ? 0 : -1;
}
