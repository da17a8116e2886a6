// SPDX-License-Identifier: Apache-2.0
#include "operator/policy_windows.h"

#include "common/clock.h"
#include "common/text.h"
#include "operator/coarse.h"
#include "operator/lookup.h"
#include "operator/policy_archiving.h"
#include "operator/policy_gap.h"
#include "operator/policy_view.h"

static void set_text(json_t *object, const char *name, const char *text)
{
    if (text)
        json_object_set_new(object, name, json_string(text));
}

/* Never before from. */
static void set_coarse(json_t *object, const char *name, const char *from, const char *to)
{
    char text[CLOCK_TEXT_BYTES];
    int64_t from_ms = 0, to_ms;
    if (!to || !clock_parse(to, &to_ms) || (from && !clock_parse(from, &from_ms)))
        return;
    to_ms = coarse_time_ms(to_ms);
    clock_format(to_ms > from_ms ? to_ms : from_ms, text);
    json_object_set_new(object, name, json_string(text));
}

bool policy_windows_grow(const struct policy_view_region *region,
                         const struct message_archiving *archiving, const json_t *gap)
{
    const struct message_region *listing = region->listing;
    if (!listing || listing->window_count == 0 || policy_gap_open(gap) ||
        !policy_archiving_reaches(archiving, region->region->name))
        return false;
    const struct message_window *last = &listing->windows[listing->window_count - 1];
    return !last->ended && last->timeline == archiving->timeline;
}

static json_t *format_window(const struct message_window *window, bool grows)
{
    json_t *formatted = json_pack("{s:I, s:s}", "timeline", (json_int_t)window->timeline, "fromLSN",
                                  window->from_lsn);
    set_text(formatted, "from", window->from);
    if (grows)
        return formatted;
    set_text(formatted, "toLSN", window->to_lsn);
    set_text(formatted, "to", window->to);
    return formatted;
}

void policy_windows_format(json_t *formatted, const struct policy_view_region *region, bool grows)
{
    const struct message_region *listing = region->listing;
    json_t *windows = json_array();
    set_text(formatted, "recoverableFrom", listing->recoverable_from);
    if (grows)
        set_coarse(formatted, "recoverableTo", listing->recoverable_from, listing->recoverable_to);
    else
        set_text(formatted, "recoverableTo", listing->recoverable_to);
    for (size_t i = 0; i < listing->window_count; i++)
        json_array_append_new(
            windows, format_window(&listing->windows[i], grows && i + 1 == listing->window_count));
    if (listing->window_count > 0)
        json_object_set(formatted, "windows", windows);
    json_decref(windows);
}

void policy_windows_close(json_t *formatted)
{
    json_t *windows = json_object_get(formatted, "windows");
    const size_t count = json_array_size(windows);
    json_t *last = count > 0 ? json_array_get(windows, count - 1) : NULL;
    if (last && !json_object_get(last, "toLSN") && !json_object_get(last, "to"))
        set_coarse(last, "to", lookup_text(last, "from"), lookup_text(formatted, "recoverableTo"));
}

static const char *either(const char *time, const char *lsn)
{
    return time ? time : lsn;
}

bool policy_windows_tell(const struct policy_view_region *region, bool grows, char *text,
                         size_t capacity)
{
    const struct message_region *listing = region->listing;
    size_t count = listing ? listing->window_count : 0;
    if (count == 0)
        return false;
    text_append(text, capacity, "%sregion '%s': any time", *text ? "; " : "", listing->name);
    for (size_t i = 0; i < count; i++) {
        const struct message_window *window = &listing->windows[i];
        const char *from = either(window->from, window->from_lsn);
        const char *to = either(window->to, window->to_lsn);
        const char *and = i == 0 ? "" : i + 1 == count ? " and" : ",";
        if (grows && i + 1 == count)
            text_append(text, capacity, "%s since %s", and, from);
        else
            text_append(text, capacity, "%s from %s to %s", and, from, to);
    }
    return true;
}
