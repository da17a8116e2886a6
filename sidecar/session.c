// SPDX-License-Identifier: Apache-2.0
#include "sidecar/session.h"

#include "common/log.h"
#include "common/own.h"
#include "common/priority.h"
#include "sidecar/cli.h"
#include "sidecar/policy.h"
#include "sidecar/regions.h"
#include "sidecar/repo.h"
#include "sidecar/secrets.h"

void session_done(struct session *session)
{
    repo_closep(&session->repo);
    regions_closep(&session->regions);
    secrets_closep(&session->secrets);
    policy_freep(&session->policy);
}

void session_stand_back(const struct session *session)
{
    struct error err;
    if (priority_lower(session->policy->limits.priority, &err) < 0)
        log_warn("Could not lower the priority as spec.limits.priority wants it",
                 S("error", err.text));
}

int session_open_repo(struct session *session, const struct cli_options *options,
                      const struct cancel *cancel, struct error *err)
{
    const struct regions_choice choice = {.only = options->region};
    const struct repo_wish wish = {.system_identifier = options->system_identifier,
                                   .backup = options->backup};
    if (regions_open(&session->regions, session->policy, session->secrets, &choice, cancel, err) <
        0)
        return -1;
    return repo_open_read(&session->repo, session->policy, session->secrets, session->regions,
                          &wish, err);
}

int session_init(struct session *ret_session, const struct cli_options *options, struct error *err)
{
    CLEANUP(session_done) struct session session = {0};
    if (policy_load(&session.policy, options->policy, err) < 0)
        return err->kind == ERROR_NOT_FOUND ? error_wrap(err, "the policy (-f)") : -1;
    if (secrets_open(&session.secrets, options->secrets, err) < 0)
        return -1;
    *ret_session = session;
    session = (struct session){0};
    return 0;
}
