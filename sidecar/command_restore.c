// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/own.h"
#include "sidecar/cli.h"
#include "sidecar/command.h"
#include "sidecar/output.h"
#include "sidecar/progress.h"
#include "sidecar/restore.h"
#include "sidecar/session.h"

/* Where this program, the one beside it and their files are for somebody who works in another
 * directory. */
struct places {
    char *program, *asker, *policy, *secrets; /* own_freep; NULL where there is none */
};

static void places_done(struct places *places)
{
    own_freep(&places->program);
    own_freep(&places->asker);
    own_freep(&places->policy);
    own_freep(&places->secrets);
}

static int find_place(const char *path, char **ret_place, struct error *err)
{
    *ret_place = path ? realpath(path, NULL) : NULL;
    return path && !*ret_place ? error_errno(err, errno, "find '%s'", path) : 0;
}

/* Beside this program, where it was installed. */
static char *find_asker(const char *program)
{
    const char *name = strrchr(program, '/') + 1;
    CLEANUP(own_freep)
    char *path = own_format("%.*slifeboat-wal-fetch", (int)(name - program), program);
    return access(path, X_OK) == 0 ? TAKE(path) : NULL;
}

static int find_places(struct places *places, const struct cli_options *options, struct error *err)
{
    if (find_place("/proc/self/exe", &places->program, err) < 0 ||
        find_place(options->policy, &places->policy, err) < 0)
        return -1;
    places->asker = find_asker(places->program);
    return find_place(options->secrets, &places->secrets, err);
}

int command_restore(const struct cli_options *options, struct cancel *cancel, struct error *err)
{
    CLEANUP(session_done) struct session session = {0};
    if (session_init(&session, options, err) < 0)
        return -1;
    CLEANUP(places_done) struct places places = {0};
    if (find_places(&places, options, err) < 0)
        return -1;
    CLEANUP(progress_freep)
    struct progress *progress = progress_new("Restoring", cli_progress(options));
    struct restore_options restore = {
        .policy = session.policy,
        .secrets = session.secrets,
        .to = options->to,
        .delta = options->delta,
        .backup = options->backup,
        .region = options->region,
        .first = options->first_region,
        .excluded = options->excluded,
        .excluded_count = options->excluded_count,
        .system_identifier = options->system_identifier,
        .tablespaces = options->tablespaces,
        .tablespace_count = options->tablespace_count,
        .target = &options->target,
        .fetch = {places.program, places.asker, places.policy, places.secrets},
        .workers = options->workers,
        .cancel = cancel,
        .progress = progress,
    };
    struct restore_result result;
    if (restore_run(&restore, &result, err) < 0)
        return -1;
    progress_freep(&progress);
    return output_restore_done(&result, options, err);
}
