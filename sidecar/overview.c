// SPDX-License-Identifier: Apache-2.0
#include "sidecar/overview.h"

#include <inttypes.h>
#include <string.h>

#include "common/cancel.h"
#include "common/crew.h"
#include "common/own.h"
#include "sidecar/overview_windows.h"
#include "sidecar/repo_names.h"
#include "sidecar/store.h"

/* One region; each has a thread, so that one that does not answer takes nobody's time. */
struct survey {
    const struct overview_options *options;
    const struct policy_region *policy_region;
    struct overview_region *region;
    struct repo_names names; /* of manifests and WAL, in the store, where windows are wanted */
};

/* The backup that an object commits: ".../manifests/<id>"; NULL for any other object. */
static const char *committed_id(const char *name)
{
    static const char directory[] = "/manifests/";
    const char *at = strstr(name, directory), *id = at ? at + strlen(directory) : NULL;
    enum backup_type type;
    int64_t start_ms;
    return id && backup_id_parse(id, &type, &start_ms) ? id : NULL;
}

static int count_object(void *arg, const struct store_object *object, struct error *err)
{
    struct survey *survey = arg;
    struct overview_region *region = survey->region;
    const char *id = committed_id(object->name);
    region->bytes += object->size;
    if (survey->options->windows && (id || strstr(object->name, "/wal/")) &&
        repo_names_add(&survey->names, object, 0, err) < 0)
        return -1;
    if (!id)
        return 0;
    region->backups++;
    if (strcmp(id, region->last_backup) > 0)
        memcpy(region->last_backup, id, strlen(id) + 1);
    return 0;
}

static int survey_main(void *arg, struct error *err)
{
    struct survey *survey = arg;
    const struct overview_options *options = survey->options;
    const struct policy *policy = options->policy;
    struct overview_region *region = survey->region;
    CLEANUP(own_freep) char *prefix = own_format("%s.%s/", policy->namespace, policy->name);
    CLEANUP(own_freep)
    char *system = own_format("%s%" PRIu64 "/", prefix, options->system_identifier);
    CLEANUP(store_closep) struct store *store = NULL;
    if (store_open(&store, survey->policy_region, options->secrets, options->cancel,
                   &region->error) < 0)
        return 0;
    store->retries = OVERVIEW_RETRIES;
    region->reachable = store_list(store, options->system_identifier ? system : prefix, STORE_DEEP,
                                   count_object, survey, &region->error) == 0;
    if (region->reachable || region->error.kind != ERROR_CANCELED)
        return 0;
    *err = region->error;
    return -1;
}

struct surveys {
    struct survey surveys[POLICY_REGIONS_MAX];
    size_t count;
};

static void surveys_done(struct surveys *surveys)
{
    for (size_t i = 0; i < surveys->count; i++)
        repo_names_done(&surveys->surveys[i].names);
}

static int survey_all(struct surveys *surveys, const struct overview_options *options,
                      struct overview *overview, struct error *err)
{
    const struct policy *policy = options->policy;
    CLEANUP(crew_freep) struct crew *crew = crew_new(options->cancel);
    for (size_t i = 0; i < policy->region_count; i++) {
        const struct policy_region *wanted = &policy->regions[i];
        if (options->region && strcmp(options->region, wanted->name) != 0)
            continue;
        struct overview_region *region = &overview->regions[overview->count++];
        struct survey *survey = &surveys->surveys[surveys->count++];
        region->name = wanted->name;
        *survey = (struct survey){.options = options, .policy_region = wanted, .region = region};
        if (crew_start(crew, "overview", survey_main, survey, err) < 0)
            return -1;
    }
    return crew_join(crew, err);
}

/* One region after the other: each takes the memory of a segment. */
static int find_windows(struct surveys *surveys, struct error *err)
{
    for (size_t i = 0; i < surveys->count; i++) {
        struct survey *survey = &surveys->surveys[i];
        if (survey->region->reachable &&
            overview_windows_find(survey->options, &survey->names, survey->region, err) < 0)
            return -1;
    }
    return 0;
}

int overview_run(const struct overview_options *options, struct overview *ret_overview,
                 struct error *err)
{
    struct overview overview = {0};
    CLEANUP(surveys_done) struct surveys surveys = {.count = 0};
    if (options->region && !policy_find_region(options->policy, options->region, err))
        return -1;
    if (survey_all(&surveys, options, &overview, err) < 0 ||
        (options->windows && find_windows(&surveys, err) < 0) ||
        cancel_check(options->cancel, err) < 0)
        return -1;
    *ret_overview = overview;
    return 0;
}
