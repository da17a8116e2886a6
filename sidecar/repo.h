// SPDX-License-Identifier: Apache-2.0
/*
 * The repository of one database system under one policy, in all regions of the job: its identity,
 * its keys, and its objects by their names below the repository. What is read is authenticated
 * before it is given out; when one region's object is missing or damaged the next region is asked.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "sidecar/backup_id.h"
#include "sidecar/container.h"
#include "sidecar/keys.h"
#include "sidecar/regions.h"
#include "sidecar/repo_document.h"
#include "sidecar/repo_names.h"

struct buf;
struct fifo;
struct frame_codec;
struct lanes;
struct manifest;
struct policy;
struct secrets;

struct repo {
    struct regions *regions;       /* lent */
    struct lanes *lanes;           /* into them; lent, NULL: each put is one of its own */
    const char *cluster;           /* that writes; lent, NULL: outside Kubernetes */
    struct repo_document document; /* what it belongs to */
    /* the id key as the document of each region names it; "": it has none that can be read */
    char id_keys[REGIONS_MAX][KEY_ID_TEXT_BYTES];
    uint8_t id[DIGEST_BYTES];
    int level;    /* of zstd, for what is put */
    char *prefix; /* "default.shop/7351234567890123456/" */
    struct keyring keyring;
    /* the last choice of a data key (repo_keys_choose); 0: there is none */
    uint32_t chosen_number;
    char chosen_key[KEY_ID_TEXT_BYTES];
};

/* For a backup: makes repository.json, id key and data key in every writable region where they are
 * missing. PERMANENT: the repository belongs to something else (names both), another cluster writes
 * to it, it is of a newer format, or no user key unwraps its keys. */
MUST_CHECK int repo_open_write(struct repo **ret_repo, const struct policy *policy,
                               const struct secrets *secrets, struct regions *regions,
                               uint64_t system_identifier, struct error *err);
/* Which of the repositories under a policy: one for each database system that it has had. */
struct repo_wish {
    uint64_t system_identifier; /* 0: the only one, or the one that has the backup */
    const char *backup;         /* lent; NULL, "Latest": says nothing */
    bool own;                   /* not one that another cluster writes to: PERMANENT */
};
/* For everything else. NOT_FOUND: there is none; PERMANENT: there are several (lists them), or as
 * above. */
MUST_CHECK int repo_open_read(struct repo **ret_repo, const struct policy *policy,
                              const struct secrets *secrets, struct regions *regions,
                              const struct repo_wish *wish, struct error *err);
void repo_closep(struct repo **repo);

struct container_identity repo_identity(const struct repo *repo, enum container_kind kind,
                                        const char *name);
char *repo_full_name(const struct repo *repo,
                     const char *name); /* the name in a store; own_freep */

/* Puts sealed bytes into every region. Errors as lanes_put; 0: a quorum has it, and so has every
 * region that is not lost. */
MUST_CHECK int repo_put(struct repo *repo, const char *name, const struct store_bytes *bytes,
                        enum put_rule rule, struct error *err);
/* The same beside the job, which goes on meanwhile: being slow at it is no reason to give a region
 * up. The object's name is that below the repository. Whoever is held back nevertheless says so
 * with repo_await, in the place of fifo_pop_within.
 */
MUST_CHECK int repo_put_beside(struct repo *repo, const struct region_object *object,
                               struct error *err);
MUST_CHECK int repo_await(struct repo *repo, struct fifo *fifo, int timeout_ms, void **ret_item,
                          struct error *err);
/* A small container in one piece, before it is sealed. */
struct repo_blob {
    enum container_kind kind;
    const char *name;
    const void *plain;
    size_t size;
    const void *footer;
    size_t footer_size;
    enum put_rule rule;
};
/* Seals it into object (cleared first, CONTAINER_BYTES_MAX); ret_bytes lends object. */
MUST_CHECK int repo_seal(struct repo *repo, const struct repo_blob *blob, struct buf *object,
                         struct store_bytes *ret_bytes, struct error *err);
/* Seals and puts it; ret_sha256 (may be NULL) is that of the object. */
MUST_CHECK int repo_put_sealed(struct repo *repo, const struct repo_blob *blob,
                               uint64_t *ret_stored_bytes, uint8_t ret_sha256[DIGEST_BYTES],
                               struct error *err);

/* Fetches a whole object from the first region where it is there and container_open accepts it.
 * object holds its bytes (cleared first), ret_container its frames. Errors of the last region,
 * NOT_FOUND only if every region said so. */
MUST_CHECK int repo_fetch(struct repo *repo, enum container_kind kind, const char *name,
                          struct buf *object, struct container *ret_container, struct error *err);
/* Opens an object of a known size (from a listing) by its tail alone: one request of at most
 * CONTAINER_TAIL_MAX bytes. tail is scratch. Regions and errors as in repo_fetch. */
MUST_CHECK int repo_fetch_tail(struct repo *repo, enum container_kind kind, const char *name,
                               uint64_t size, struct buf *tail, struct container *ret_container,
                               struct error *err);
/* Bytes of an object, size > 0 of them, as they lie there: only who opens frames from them knows
 * whether they are right. */
MUST_CHECK int repo_fetch_range(struct repo *repo, const char *name, uint64_t offset, uint64_t size,
                                struct buf *bytes, struct error *err);
/* One frame of an object that was opened so, into plain (room for its plain_bytes); sealed is
 * scratch. */
MUST_CHECK int repo_fetch_frame(struct repo *repo, struct container *container,
                                struct frame_codec *codec, uint32_t frame, struct buf *sealed,
                                void *plain, struct error *err);
/* The same, unpacked: plaintext and the footer's own data (may be NULL); plain is cleared first. */
MUST_CHECK int repo_fetch_plain(struct repo *repo, enum container_kind kind, const char *name,
                                struct buf *plain, struct buf *footer, struct error *err);
/* As repo_fetch, for an object whose SHA-256 may be wrong; see container_salvage. */
MUST_CHECK int repo_salvage(struct repo *repo, enum container_kind kind, const char *name,
                            struct buf *object, struct container *ret_container,
                            struct error *ret_damage, struct error *err);

/* Names below the repository. TRANSIENT or PERMANENT when no region could be listed; regions that
 * could not are logged. */
MUST_CHECK int repo_list(struct repo *repo, const char *prefix, struct repo_names *ret_names,
                         struct error *err);
/* Only what lies right below prefix: objects, and what others have in common up to the next '/',
 * with that at its end. */
MUST_CHECK int repo_list_level(struct repo *repo, const char *prefix, struct repo_names *ret_names,
                               struct error *err);

/* Whether a region answers at all, after something could not be fetched from it: if not, it is
 * given up, and nothing is asked of it again. */
bool repo_still_answers(struct repo *repo, size_t region);

/* "packs/<backup-id>/000001" and "manifests/<backup-id>" */
enum { REPO_NAME_MAX = 128 };
void repo_pack_name(const char *backup_id, uint32_t number, char ret_name[REPO_NAME_MAX]);
void repo_manifest_name(const char *backup_id, char ret_name[REPO_NAME_MAX]);
/* The number of a pack from its name, whichever backup it is of; false: it is none. Pure. */
bool repo_parse_pack_name(const char *name, uint32_t *ret_number);
/* Also notes the SHA-256 of its object. */
MUST_CHECK int repo_load_manifest(struct repo *repo, const char *backup_id,
                                  struct manifest *ret_manifest, struct error *err);
/* Finds a committed backup, by id or, with NULL or "Latest", the newest, and the regions that have
 * it (a bit mask; NULL: not wanted). NOT_FOUND lists what there is; TRANSIENT where a region that
 * could not be listed may have it. */
MUST_CHECK int repo_find_backup(struct repo *repo, const char *id, char ret_id[BACKUP_ID_BYTES],
                                uint32_t *ret_regions, struct error *err);
