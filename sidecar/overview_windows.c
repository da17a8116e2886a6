// SPDX-License-Identifier: Apache-2.0
#include "sidecar/overview_windows.h"

#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/own.h"
#include "common/text.h"
#include "sidecar/overview.h"
#include "sidecar/recovery_survey.h"
#include "sidecar/regions.h"
#include "sidecar/repo.h"

/* Takes the names of other repositories out, and the prefix off the rest. */
static void keep_below(struct repo_names *names, const char *prefix)
{
    const size_t skip = strlen(prefix);
    size_t kept = 0;
    for (size_t i = 0; i < names->count; i++) {
        char *name = names->names[i].name;
        if (!text_starts_with(name, prefix)) {
            free(name);
            continue;
        }
        memmove(name, name + skip, strlen(name + skip) + 1);
        names->names[kept++] = names->names[i];
    }
    names->count = kept;
}

static void take_windows(struct overview_region *region, const struct recovery_windows *windows)
{
    const size_t count = windows->count;
    for (size_t i = 0; i < count; i++) {
        const int64_t from_us = windows->windows[i].from.time_us;
        const int64_t to_us = windows->windows[i].to.time_us;
        region->from_us = i == 0 || from_us < region->from_us ? from_us : region->from_us;
        region->to_us = i == 0 || to_us > region->to_us ? to_us : region->to_us;
        if (count - i > OVERVIEW_WINDOWS_MAX)
            continue;
        struct recovery_window *window = &region->windows[region->window_count++];
        *window = windows->windows[i];
        window->backups = NULL;
        window->backup_count = 0;
    }
}

static int find(const struct overview_options *options, struct repo_names *names,
                struct overview_region *region, struct error *err)
{
    const struct regions_choice choice = {.only = region->name};
    const struct repo_wish wish = {.system_identifier = options->system_identifier,
                                   .backup = region->last_backup};
    CLEANUP(regions_closep) struct regions *regions = NULL;
    CLEANUP(repo_closep) struct repo *repo = NULL;
    CLEANUP(recovery_survey_done) struct recovery_survey survey = {0};
    if (regions_open(&regions, options->policy, options->secrets, &choice, options->cancel, err) <
        0)
        return -1;
    if (regions_usable(regions, 0))
        regions_at(regions, 0)->store->retries = OVERVIEW_RETRIES;
    if (repo_open_read(&repo, options->policy, options->secrets, regions, &wish, err) < 0)
        return -1;
    keep_below(names, repo->prefix);
    const struct recovery_survey_options all = {
        .repo = repo, .names = names, .cancel = options->cancel};
    if (recovery_survey_make(&survey, &all, err) < 0 ||
        recovery_survey_find_ends(&survey, OVERVIEW_WINDOWS_MAX, err) < 0)
        return -1;
    take_windows(region, &survey.windows);
    return 0;
}

int overview_windows_find(const struct overview_options *options, struct repo_names *names,
                          struct overview_region *region, struct error *err)
{
    if (region->backups == 0 || find(options, names, region, err) == 0) {
        region->windows_known = true;
        return 0;
    }
    if (err->kind == ERROR_CANCELED)
        return -1;
    log_warn("Could not tell what can be recovered from a region", S("region", region->name),
             S("error", err->text));
    return 0;
}
