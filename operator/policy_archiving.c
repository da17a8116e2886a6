// SPDX-License-Identifier: Apache-2.0
#include "operator/policy_archiving.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/own.h"
#include "common/text.h"
#include "operator/coarse.h"
#include "operator/condition.h"
#include "operator/lookup.h"
#include "operator/member.h"
#include "operator/policy_gap.h"
#include "operator/policy_spec.h"
#include "operator/policy_view.h"

enum { SAID_BYTES = 224 }; /* of what a sidecar says, so that what is to be done has room */

struct told { /* facts, and what the pod says that counts */
    const struct policy_archiving_facts *facts;
    const struct policy_view_pod *pod;         /* NULL: none says anything */
    const struct message_archiving *archiving; /* its; NULL if pod is */
};

/* Each rule sets the condition and gives true if it applies; the first one that does wins. */
typedef bool (*rule)(const struct told *told, struct condition *archiving);

static bool is_streaming(const struct policy_view_pod *pod)
{
    return pod->state && pod->state->archiving.mode == MESSAGE_WAL_STREAM &&
           pod->state->archiving.streaming;
}

static const struct policy_view_pod *find_told(const struct policy_view *view,
                                               const struct policy_view_pod *streamer)
{
    if (streamer && is_streaming(streamer))
        return streamer;
    for (size_t i = 0; i < view->pod_count; i++)
        if (is_streaming(&view->pods[i]) && !view->pods[i].foreign)
            return &view->pods[i];
    bool told = streamer && streamer->state->archiving.mode == MESSAGE_WAL_STREAM;
    return told ? streamer : NULL;
}

const struct message_state *policy_archiving_teller(const struct policy_view *view,
                                                    const struct policy_view_pod *streamer)
{
    const struct policy_view_pod *pod = find_told(view, streamer);
    return pod ? pod->state : NULL;
}

const struct message_archiving *policy_archiving_told(const struct policy_view *view,
                                                      const struct policy_view_pod *streamer)
{
    const struct message_state *state = policy_archiving_teller(view, streamer);
    return state ? &state->archiving : NULL;
}

static bool is_lost(const struct message_archiving *archiving, const char *region)
{
    for (size_t i = 0; i < archiving->lost_count; i++)
        if (strcmp(archiving->lost_regions[i], region) == 0)
            return true;
    return false;
}

bool policy_archiving_reaches(const struct message_archiving *archiving, const char *region)
{
    return archiving && archiving->streaming && !is_lost(archiving, region);
}

/* The words of the sidecar, or what stands for them. */
static const char *said(const struct told *told, const char *otherwise, char ret_text[SAID_BYTES])
{
    const char *error = told->archiving->error;
    text_fit(error ? error : otherwise, ret_text, SAID_BYTES);
    return ret_text;
}

/* Names of the writable regions that are left out, or that are not: "eu, us"; gives how many. */
static size_t name_regions(const struct told *told, bool lost, char *names, size_t capacity)
{
    const struct policy_spec *spec = told->facts->spec;
    size_t count = 0;
    *names = '\0';
    for (size_t i = 0; i < spec->region_count; i++) {
        const struct policy_spec_region *region = &spec->regions[i];
        if (region->read_only || is_lost(told->archiving, region->name) != lost)
            continue;
        text_append(names, capacity, "%s'%s'", count > 0 ? ", " : "", region->name);
        count++;
    }
    return count;
}

/* What is on the server only, and how long that will do: "; the server keeps …". */
static void tell_kept(const struct told *told, char *text, size_t capacity)
{
    const struct message_archiving *archiving = told->archiving;
    char size[16], age[24];
    *text = '\0';
    if (archiving->durable_lsn)
        text_append(text, capacity, "; what is behind %s is on the server only",
                    archiving->durable_lsn);
    if (archiving->kept_bytes > 0) {
        text_size(coarse_bytes(archiving->kept_bytes), size);
        text_append(text, capacity, "; the server keeps at least %s of WAL", size);
    }
    if (archiving->left_bytes < 0)
        return;
    text_size(coarse_bytes((uint64_t)archiving->left_bytes), size);
    text_append(text, capacity, "; %s has room for %s more",
                archiving->kept_bytes > 0 ? "it" : "the server", size);
    if (archiving->left_seconds >= COARSE_FIRST_SECONDS) {
        text_age(coarse_seconds(archiving->left_seconds) * 1000, age);
        text_append(text, capacity, ", for at least %s as it goes now", age);
    } else if (archiving->left_seconds >= 0) {
        text_append(text, capacity, ", for less than a minute as it goes now");
    }
    text_append(text, capacity,
                ": raise max_slot_wal_keep_size or enlarge the volume if that is too little");
}

static bool is_unreadable(const struct told *told, struct condition *archiving)
{
    if (!told->facts->view)
        condition_set(archiving, CONDITION_UNKNOWN, "NotKnown", "the policy cannot be obeyed");
    return !told->facts->view;
}

/* What a sidecar that cannot be told will not remove names itself. */
static bool is_not_wanted(const struct told *told, struct condition *archiving)
{
    char slots[256] = "";
    if (told->facts->spec->wal_stream)
        return false;
    const struct policy_view *view = told->facts->view;
    for (size_t i = 0; i < view->pod_count; i++)
        if (view->pods[i].slot && !view->pods[i].connected)
            text_append(slots, sizeof(slots), "%s'%s' of pod '%s'", *slots ? ", " : "",
                        view->pods[i].slot, view->pods[i].member->name);
    condition_set(archiving, CONDITION_FALSE, "BackupOnly",
                  "only the WAL that backups need is stored: set spec.wal.mode: Stream for any "
                  "point in time%s%s%s",
                  *slots ? "; the sidecars are not connected that have to drop the replication "
                           "slots "
                         : "",
                  slots, *slots ? ": drop them if they do not come back" : "");
    return true;
}

static bool has_no_pods(const struct told *told, struct condition *archiving)
{
    if (told->facts->view->living == 0 && !told->pod)
        condition_set(archiving, CONDITION_FALSE, "NoStreamer",
                      "no pod has the label lifeboat.dev/policy: %s", told->facts->spec->name);
    return told->facts->view->living == 0 && !told->pod;
}

static bool is_unheard(const struct told *told, struct condition *archiving)
{
    if (told->facts->view->connected > 0 || told->pod)
        return false;
    condition_set(archiving, CONDITION_UNKNOWN, "NotKnown",
                  "no sidecar is connected, each goes on by itself");
    return true;
}

static bool is_refused(const struct told *told, struct condition *archiving)
{
    char text[SAID_BYTES];
    const char *kind = told->archiving ? told->archiving->error_kind : NULL;
    if (!kind || strcmp(kind, error_kind_name(ERROR_CONFLICT)) != 0)
        return false;
    condition_set(archiving, CONDITION_FALSE, "Conflict",
                  "pod '%s': %s; what the regions have stays as it is", told->pod->member->name,
                  said(told, "the regions have other WAL", text));
    return true;
}

/* A server that restarts, a connection that is made anew: back in a moment. */
static bool is_hiccup(const struct told *told, struct condition *archiving)
{
    const json_t *before = told->facts->before;
    const char *since = told->archiving ? told->archiving->since : NULL;
    const char *status = lookup_text(before, "status"), *reason = lookup_text(before, "reason");
    const char *message = lookup_text(before, "message");
    int64_t since_ms;
    if (!since || told->archiving->streaming || !clock_parse(since, &since_ms) || !status ||
        !reason || !message || strcmp(status, "True") != 0)
        return false;
    int64_t age_ms = told->facts->now_ms - since_ms;
    if (age_ms < 0 || age_ms >= POLICY_ARCHIVING_HICCUP_MS)
        return false;
    condition_set(archiving, CONDITION_TRUE, reason, "%s", message);
    return true;
}

static bool lacks_regions(const struct told *told, struct condition *archiving)
{
    char names[256], kept[512], text[SAID_BYTES];
    const struct policy_spec *spec = told->facts->spec;
    if (!told->archiving)
        return false;
    size_t lost = name_regions(told, true, names, sizeof(names));
    if (lost == 0 || spec->writable_count - lost >= spec->quorum)
        return false;
    tell_kept(told, kept, sizeof(kept));
    condition_set(archiving, CONDITION_FALSE, "RegionUnreachable",
                  "WAL does not get into %s, spec.quorum: %u regions must have it: %s%s", names,
                  spec->quorum, said(told, "no reason is known", text), kept);
    return true;
}

/* The chosen one is one that can, if any can. */
static bool has_no_streamer(const struct told *told, struct condition *archiving)
{
    const struct policy_view_pod *streamer = told->facts->streamer;
    const struct policy_view *view = told->facts->view;
    char lacks[CONDITION_MESSAGE_BYTES] = "";
    if ((streamer && streamer->state->database.reachable) ||
        (told->archiving && told->archiving->streaming))
        return false;
    for (size_t i = 0; i < view->pod_count; i++)
        text_append(lacks, sizeof(lacks), "%s'%s': %s", i > 0 ? "; " : "",
                    view->pods[i].member->name,
                    *view->pods[i].message ? view->pods[i].message : "has not said why");
    condition_set(archiving, CONDITION_FALSE, "NoStreamer", "no pod can stream WAL: %s", lacks);
    return true;
}

static bool has_not_begun(const struct told *told, struct condition *archiving)
{
    bool begun = told->archiving && (told->archiving->streaming || told->archiving->error);
    if (!begun)
        condition_set(archiving, CONDITION_UNKNOWN, "NotKnown",
                      "pod '%s' is to stream WAL, and has not said yet that it does",
                      told->facts->streamer->member->name);
    return !begun;
}

static bool is_not_streaming(const struct told *told, struct condition *archiving)
{
    char kept[512], text[SAID_BYTES];
    if (told->archiving->streaming)
        return false;
    tell_kept(told, kept, sizeof(kept));
    condition_set(archiving, CONDITION_FALSE, "NotStreaming", "pod '%s': %s%s",
                  told->pod->member->name, said(told, "no reason is known", text), kept);
    return true;
}

static bool has_gap(const struct told *told, struct condition *archiving)
{
    const json_t *gap = told->facts->gap;
    char text[POLICY_GAP_TEXT_BYTES];
    if (!policy_gap_open(gap))
        return false;
    policy_gap_text(gap, text);
    const char *backup = lookup_text(gap, "backup");
    condition_set(archiving, CONDITION_FALSE, "Gap",
                  "no region has the WAL from %s; what comes behind it can be recovered from the "
                  "next backup on: %s%s%s",
                  text, backup ? "'" : "create a Backup", backup ? backup : "",
                  backup ? "' was made for it, and another one will be if it fails"
                  : told->facts->spec->suspend
                      ? ", as spec.suspend: true keeps the operator from doing so"
                      : "");
    return true;
}

static bool is_fine(const struct told *told, struct condition *archiving)
{
    char names[256], lost[256], behind[64] = "", age[24];
    const struct message_archiving *archiver = told->archiving;
    name_regions(told, false, names, sizeof(names));
    size_t lost_count = name_regions(told, true, lost, sizeof(lost));
    if (archiver->lag_seconds >= COARSE_FIRST_SECONDS) {
        text_age(coarse_seconds(archiver->lag_seconds) * 1000, age);
        snprintf(behind, sizeof(behind), ", at least %s behind", age);
    }
    condition_set(archiving, CONDITION_TRUE, "Streaming",
                  "pod '%s' streams the WAL of timeline %" PRIu32 " into %s%s%s%s%s",
                  told->pod->member->name, archiver->timeline, names, behind,
                  lost_count > 0 ? "; without " : "", lost,
                  lost_count > 0 ? ", until that can be used again" : "");
    return true;
}

void policy_archiving(const struct policy_archiving_facts *facts, struct condition *ret_archiving)
{
    static const rule rules[] = {
        is_unreadable, is_not_wanted,   has_no_pods,   is_unheard,       is_refused, is_hiccup,
        lacks_regions, has_no_streamer, has_not_begun, is_not_streaming, has_gap,    is_fine,
    };
    struct told told = {.facts = facts};
    if (facts->view)
        told.pod = find_told(facts->view, facts->streamer);
    if (told.pod)
        told.archiving = &told.pod->state->archiving;
    for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
        if (rules[i](&told, ret_archiving))
            return;
}
