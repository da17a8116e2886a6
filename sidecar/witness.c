// SPDX-License-Identifier: Apache-2.0
#include "sidecar/witness.h"

#include <stdint.h>
#include <string.h>

#include "common/buf.h"
#include "common/log.h"
#include "common/own.h"
#include "sidecar/manifest.h"
#include "sidecar/repo.h"

/* The manifest's object as this repository has it. */
static int add_witness(struct repo *repo, const char *name, struct manifest *manifest,
                       struct error *err)
{
    CLEANUP(buf_done) struct buf object = BUF(CONTAINER_BYTES_MAX);
    CLEANUP(container_done) struct container container = {0};
    if (repo_fetch(repo, CONTAINER_MANIFEST, name, &object, &container, err) < 0)
        return -1;
    manifest->witnesses = own_resize(manifest->witnesses, manifest->witness_count + 1,
                                     sizeof(manifest->witnesses[0]));
    struct manifest_witness *witness = &manifest->witnesses[manifest->witness_count++];
    *witness = (struct manifest_witness){0};
    memcpy(witness->backup, name + strlen("manifests/"), strlen(name) - strlen("manifests/"));
    digest_sha256(object.data, object.size, witness->sha256);
    return 0;
}

int witness_collect(struct repo *repo, struct manifest *manifest, struct error *err)
{
    CLEANUP(repo_names_done) struct repo_names names = {0};
    uint32_t seen = 0; /* regions whose newest manifest is among the witnesses */
    if (repo_list(repo, "manifests/", &names, err) < 0)
        return -1;
    for (size_t i = names.count; i > 0; i--) {
        const struct repo_name *name = &names.names[i - 1];
        enum backup_type type;
        int64_t start_ms;
        if ((name->regions & ~seen) == 0 ||
            !backup_id_parse(name->name + strlen("manifests/"), &type, &start_ms))
            continue;
        if (add_witness(repo, name->name, manifest, err) == 0)
            seen |= name->regions;
        else if (err->kind == ERROR_CANCELED)
            return -1;
        else
            log_warn("Left out a manifest as witness", S("object", name->name),
                     S("error", err->text));
    }
    return 0;
}
