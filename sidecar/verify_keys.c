// SPDX-License-Identifier: Apache-2.0
#include "sidecar/verify_keys.h"

#include <string.h>

#include "sidecar/findings.h"
#include "sidecar/repo_keys.h"
#include "sidecar/verify_region.h"

static void note_state(const struct verify_region *region, const char *name, enum key_state state)
{
    if (state == KEY_STATE_STRANGE)
        findings_add(
            region->findings,
            FINDING(.kind = FINDING_ORPHAN, .note = true, .region = region->name, .object = name),
            "neither a key nor a choice of one has such a name");
    if (state == KEY_STATE_FOREIGN)
        findings_add(region->findings,
                     FINDING(.kind = FINDING_UNREADABLE, .note = true, .region = region->name,
                             .object = name),
                     "wrapped by user key %s, which is none of spec.encryption.keys: only the "
                     "form of the object was verified",
                     strrchr(name, '.') + 1);
}

static int check(struct verify_region *region, const struct user_keys *users,
                 const struct repo_name *name, struct error *err)
{
    enum key_state state;
    if (repo_keys_check(region->repo, users, 0, name->name, &state, err) == 0) {
        note_state(region, name->name, state);
        verify_region_count(region, name->size);
        return 0;
    }
    if (err->kind == ERROR_CANCELED)
        return -1;
    verify_region_tell(
        region, FINDING(.kind = finding_kind_of(err), .region = region->name, .object = name->name),
        err->text);
    return 0;
}

int verify_keys_run(struct verify_region *region, const struct user_keys *users, struct error *err)
{
    const struct verify_names names = verify_region_names(region, "keys/");
    for (size_t i = 0; i < names.count; i++)
        if (check(region, users, &names.names[i], err) < 0)
            return -1;
    return 0;
}
