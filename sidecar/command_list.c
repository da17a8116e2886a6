// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/own.h"
#include "sidecar/cli.h"
#include "sidecar/command.h"
#include "sidecar/manifest.h"
#include "sidecar/output.h"
#include "sidecar/overview.h"
#include "sidecar/policy.h"
#include "sidecar/recovery_survey.h"
#include "sidecar/repo.h"
#include "sidecar/session.h"

struct list_wish {
    bool only_windows, json;
    const struct cancel *cancel;
};

/* The regions of a bit mask. */
static json_t *region_names(const struct repo *repo, uint32_t mask)
{
    json_t *names = json_array();
    for (size_t i = 0; i < regions_count(repo->regions); i++)
        if (mask & 1u << i)
            json_array_append_new(names, json_string(regions_at(repo->regions, i)->name));
    return names;
}

/* Loads every manifest, newest first, into rows; the count of those that could not be read. */
static int load_rows(struct repo *repo, const struct repo_names *names, struct output_row *rows,
                     size_t *ret_damaged, struct error *err)
{
    *ret_damaged = 0;
    for (size_t i = 0; i < names->count; i++) {
        const struct repo_name *name = &names->names[names->count - 1 - i];
        const char *id = name->name + strlen("manifests/");
        rows[i].id = id;
        rows[i].regions = region_names(repo, name->regions);
        if (repo_load_manifest(repo, id, &rows[i].manifest, err) == 0)
            continue;
        if (err->kind == ERROR_CANCELED)
            return -1;
        rows[i].error = own_strdup(err->text);
        ++*ret_damaged;
    }
    return 0;
}

static void free_rows(struct output_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        manifest_done(&rows[i].manifest);
        json_decref(rows[i].regions);
        free(rows[i].error);
    }
    free(rows);
}

static int list_regions(const struct cli_options *options, struct cancel *cancel, struct error *err)
{
    CLEANUP(session_done) struct session session = {0};
    struct overview overview;
    if (session_init(&session, options, err) < 0)
        return -1;
    const struct overview_options wanted = {
        .policy = session.policy,
        .secrets = session.secrets,
        .region = options->region,
        .system_identifier = options->system_identifier,
        .windows = options->windows,
        .cancel = cancel,
    };
    if (overview_run(&wanted, &overview, err) < 0)
        return -1;
    return output_overview(&overview, options, err);
}

/* What the backups that can be read can be recovered to, with all WAL there is. */
static int list_windows(struct repo *repo, const struct output_row *rows, size_t count,
                        const struct list_wish *wish, struct error *err)
{
    CLEANUP(recovery_survey_done) struct recovery_survey survey = {0};
    CLEANUP(own_freep)
    const struct manifest **backups = own_alloc((count + 1) * sizeof(backups[0]));
    size_t readable = 0;
    for (size_t i = count; i > 0; i--) /* the oldest first */
        if (!rows[i - 1].error)
            backups[readable++] = &rows[i - 1].manifest;
    const struct recovery_survey_options options = {
        .repo = repo, .backups = backups, .backup_count = readable, .cancel = wish->cancel};
    if (recovery_survey_make(&survey, &options, err) < 0 ||
        recovery_survey_find_ends(&survey, SIZE_MAX, err) < 0)
        return error_wrap(err, "look at the WAL");
    return output_windows(&survey.windows, wish->json, err);
}

/* The backups, for people with what they can be recovered to below, or only that. */
static int print_rows(struct repo *repo, const struct output_row *rows, size_t count,
                      const struct list_wish *wish, struct error *err)
{
    if (!wish->only_windows && output_list(rows, count, wish->json, err) < 0)
        return -1;
    if (!wish->only_windows && (wish->json || count == 0))
        return 0;
    if (!wish->only_windows && output_text("\n", err) < 0)
        return -1;
    return list_windows(repo, rows, count, wish, err);
}

int command_list(const struct cli_options *options, struct cancel *cancel, struct error *err)
{
    CLEANUP(session_done) struct session session = {0};
    CLEANUP(repo_names_done) struct repo_names names = {0};
    const struct list_wish wish = {
        .only_windows = options->windows, .json = options->json, .cancel = cancel};
    if (options->regions)
        return list_regions(options, cancel, err);
    if (session_init(&session, options, err) < 0 ||
        session_open_repo(&session, options, cancel, err) < 0 ||
        repo_list(session.repo, "manifests/", &names, err) < 0)
        return -1;
    size_t damaged;
    struct output_row *rows = own_alloc((names.count + 1) * sizeof(*rows));
    int result = load_rows(session.repo, &names, rows, &damaged, err);
    if (result == 0)
        result = print_rows(session.repo, rows, names.count, &wish, err);
    free_rows(rows, names.count);
    if (result == 0 && damaged > 0)
        return error_set(err, ERROR_CORRUPT, "%zu of %zu manifests could not be read: see the list",
                         damaged, names.count);
    return result;
}

/* The writable regions that should have what those of the mask have. */
static json_t *missing_names(const struct repo *repo, uint32_t mask)
{
    uint32_t writable = 0;
    for (size_t i = 0; i < regions_count(repo->regions); i++)
        if (regions_at(repo->regions, i)->writable)
            writable |= 1u << i;
    return region_names(repo, writable & ~mask);
}

int command_show(const struct cli_options *options, struct cancel *cancel, struct error *err)
{
    uint32_t regions;
    CLEANUP(session_done) struct session session = {0};
    CLEANUP(manifest_done) struct manifest manifest = {0};
    char id[BACKUP_ID_BYTES];
    if (session_init(&session, options, err) < 0 ||
        session_open_repo(&session, options, cancel, err) < 0 ||
        repo_find_backup(session.repo, options->backup, id, &regions, err) < 0 ||
        repo_load_manifest(session.repo, id, &manifest, err) < 0)
        return -1;
    json_auto_t *names = region_names(session.repo, regions);
    json_auto_t *missing = missing_names(session.repo, regions);
    const struct output_backup backup = {
        .manifest = &manifest, .regions = names, .missing_regions = missing};
    return output_show(&backup, options->json, err);
}
