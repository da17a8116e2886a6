// SPDX-License-Identifier: Apache-2.0
#include "sidecar/repo.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/fifo.h"
#include "common/log.h"
#include "common/own.h"
#include "sidecar/lanes.h"
#include "sidecar/manifest.h"
#include "sidecar/policy.h"
#include "sidecar/repo_keys.h"
#include "sidecar/roll_call.h"
#include "sidecar/user_keys.h"

#define PACK_NUMBER "%06" PRIu32

static const char document_name[] = "repository.json";

/* Names */

char *repo_full_name(const struct repo *repo, const char *name)
{
    return own_format("%s%s", repo->prefix, name);
}

struct container_identity repo_identity(const struct repo *repo, enum container_kind kind,
                                        const char *name)
{
    struct container_identity identity = {.kind = kind, .name = name};
    memcpy(identity.repository_id, repo->id, sizeof(repo->id));
    return identity;
}

void repo_pack_name(const char *backup_id, uint32_t number, char ret_name[REPO_NAME_MAX])
{
    snprintf(ret_name, REPO_NAME_MAX, "packs/%s/" PACK_NUMBER, backup_id, number);
}

bool repo_parse_pack_name(const char *name, uint32_t *ret_number)
{
    const char *slash = strrchr(name, '/');
    const unsigned long number = slash ? strtoul(slash + 1, NULL, 10) : 0;
    char again[REPO_NAME_MAX];
    if (number == 0 || number >= UINT32_MAX)
        return false;
    snprintf(again, sizeof(again), PACK_NUMBER, (uint32_t)number);
    if (strcmp(slash + 1, again) != 0)
        return false;
    *ret_number = (uint32_t)number;
    return true;
}

void repo_manifest_name(const char *backup_id, char ret_name[REPO_NAME_MAX])
{
    snprintf(ret_name, REPO_NAME_MAX, "manifests/%s", backup_id);
}

/* Putting */

struct everywhere {
    struct regions *regions;
    const struct region_object *object;
};

static int ask_put(void *arg, size_t region, struct error *err)
{
    const struct everywhere *put = arg;
    return regions_put_one(put->regions, region, put->object, err);
}

/* Into all regions at once. */
static int put_everywhere(struct regions *regions, const struct region_object *object,
                          struct error *err)
{
    struct everywhere put = {regions, object};
    struct roll_call_answer answers[REGIONS_MAX];
    const struct roll_call call = roll_call_to_write(regions, ask_put, &put);
    if (roll_call_run(&call, answers, err) < 0)
        return -1;
    for (size_t i = 0; i < regions_count(regions); i++) {
        if (!answers[i].asked || answers[i].said >= 0)
            continue;
        *err = answers[i].error;
        return -1;
    }
    /* those that were lost before were not asked: a quorum must be left nevertheless */
    return regions_mask(regions, true) != 0 ? regions_check_quorum(regions, err) : 0;
}

static int put_object(struct repo *repo, const struct region_object *object, enum lanes_wait wait,
                      struct error *err)
{
    CLEANUP(own_freep) char *full = repo_full_name(repo, object->name);
    struct region_object in_store = *object;
    in_store.name = full;
    return repo->lanes ? lanes_put(repo->lanes, &in_store, wait, err)
                       : put_everywhere(repo->regions, &in_store, err);
}

int repo_put(struct repo *repo, const char *name, const struct store_bytes *bytes,
             enum put_rule rule, struct error *err)
{
    const struct region_object object = {.name = name, .bytes = bytes, .rule = rule};
    return put_object(repo, &object, LANES_HELD_BACK, err);
}

int repo_put_beside(struct repo *repo, const struct region_object *object, struct error *err)
{
    return put_object(repo, object, LANES_BESIDE, err);
}

int repo_await(struct repo *repo, struct fifo *fifo, int timeout_ms, void **ret_item,
               struct error *err)
{
    return repo->lanes ? lanes_await(repo->lanes, fifo, timeout_ms, ret_item, err)
                       : fifo_pop_within(fifo, timeout_ms, ret_item, err);
}

int repo_seal(struct repo *repo, const struct repo_blob *blob, struct buf *object,
              struct store_bytes *ret_bytes, struct error *err)
{
    struct container_identity identity = repo_identity(repo, blob->kind, blob->name);
    buf_clear(object);
    *ret_bytes = (struct store_bytes){0};
    if (container_pack(&identity, repo->keyring.active, repo->level, blob->plain, blob->size,
                       blob->footer, blob->footer_size, object, ret_bytes->sha256, err) < 0)
        return error_wrap(err, "seal '%s'", blob->name);
    ret_bytes->data = object->data;
    ret_bytes->size = object->size;
    return 0;
}

int repo_put_sealed(struct repo *repo, const struct repo_blob *blob, uint64_t *ret_stored_bytes,
                    uint8_t ret_sha256[DIGEST_BYTES], struct error *err)
{
    CLEANUP(buf_done) struct buf object = BUF(CONTAINER_BYTES_MAX);
    struct store_bytes bytes;
    if (repo_seal(repo, blob, &object, &bytes, err) < 0 ||
        repo_put(repo, blob->name, &bytes, blob->rule, err) < 0)
        return -1;
    if (ret_stored_bytes)
        *ret_stored_bytes = object.size;
    if (ret_sha256)
        memcpy(ret_sha256, bytes.sha256, DIGEST_BYTES);
    return 0;
}

/* Fetching */

/* What is wanted of an object: it opened, or one frame or some bytes of it, or else its plaintext.
 */
struct fetch {
    struct container_identity identity;
    struct buf *object;    /* the bytes that are got … */
    uint64_t offset, size; /* … and where they lie; size 0: all of it */
    uint64_t object_bytes; /* where only a part is got */
    struct container *container;
    struct frame_codec *codec; /* of a frame: container is open, and here is more about it */
    uint32_t frame;
    void *frame_plain;
    struct error *damage;       /* not NULL: take what is left of a damaged one */
    bool sealed;                /* take the bytes as they are */
    struct buf *plain, *footer; /* with container NULL: unpack into these */
};

static int open_object(struct repo *repo, const struct fetch *fetch, struct error *err)
{
    const struct buf *object = fetch->object;
    if (fetch->sealed)
        return 0;
    if (fetch->damage)
        return container_salvage(fetch->container, &fetch->identity, &repo->keyring, object,
                                 fetch->damage, err);
    if (fetch->codec)
        return container_read(fetch->container, fetch->codec, fetch->frame, object->data,
                              fetch->frame_plain, err);
    if (fetch->container)
        return container_open(fetch->container, &fetch->identity, &repo->keyring, object->data,
                              object->size, fetch->size > 0 ? fetch->object_bytes : object->size,
                              err);
    buf_clear(fetch->plain);
    return container_unpack(&fetch->identity, &repo->keyring, object->data, object->size,
                            fetch->plain, fetch->footer, err);
}

static int get_object(struct store *store, const char *full, const struct fetch *fetch,
                      struct error *err)
{
    if (fetch->size == 0)
        return store_get_all(store, full, fetch->object, err);
    if (store_get(store, full, fetch->offset, fetch->size, fetch->object, err) < 0)
        return -1;
    if (fetch->object->size < fetch->size)
        return error_set(err, ERROR_CORRUPT, "'%s' ends before byte %ju", full,
                         (uintmax_t)(fetch->offset + fetch->size));
    return 0;
}

static int fetch_from(struct repo *repo, struct region *region, const struct fetch *fetch,
                      struct error *err)
{
    CLEANUP(own_freep) char *full = repo_full_name(repo, fetch->identity.name);
    buf_clear(fetch->object);
    if (get_object(region->store, full, fetch, err) < 0)
        return -1;
    if (open_object(repo, fetch, err) < 0)
        return error_wrap(err, "region '%s'", region->name);
    atomic_fetch_add(&region->fetched_bytes, fetch->object->size);
    return 0;
}

/* Regions need not all have the same objects, so a missing one is no reason to worry. */
static void note_failover(const char *name, bool more, const struct error *err)
{
    static const char message[] = "Asked the next region for an object";
    if (more && err->kind == ERROR_NOT_FOUND)
        log_info(message, S("object", name), S("error", err->text));
    else if (more)
        log_warn(message, S("object", name), S("error", err->text));
}

static int try_region(struct repo *repo, size_t index, const struct fetch *fetch, struct error *err)
{
    int result = fetch_from(repo, regions_at(repo->regions, index), fetch, err);
    if (result == 0 || !regions_cancelled(repo->regions, index, err))
        regions_note_answer(repo->regions, index, result < 0 ? err : NULL);
    return result;
}

/* From the first region that has the object intact; else the first error that says more than that
 * it is not there. */
static int fetch_from_any(struct repo *repo, const struct fetch *fetch, struct error *err)
{
    struct error first = {0};
    size_t order[REGIONS_MAX], count = regions_order(repo->regions, order);
    if (count == 0)
        regions_first_loss(repo->regions, &first);
    for (size_t i = 0; i < count; i++) {
        if (try_region(repo, order[i], fetch, err) == 0)
            return 0;
        if (err->kind == ERROR_CANCELED)
            return -1;
        if (first.kind == ERROR_NONE || first.kind == ERROR_NOT_FOUND)
            first = *err;
        note_failover(fetch->identity.name, i + 1 < count, err);
    }
    *err = first;
    return -1;
}

int repo_fetch(struct repo *repo, enum container_kind kind, const char *name, struct buf *object,
               struct container *ret_container, struct error *err)
{
    struct fetch fetch = {
        .identity = repo_identity(repo, kind, name),
        .object = object,
        .container = ret_container,
    };
    return fetch_from_any(repo, &fetch, err);
}

int repo_salvage(struct repo *repo, enum container_kind kind, const char *name, struct buf *object,
                 struct container *ret_container, struct error *ret_damage, struct error *err)
{
    struct fetch fetch = {
        .identity = repo_identity(repo, kind, name),
        .object = object,
        .container = ret_container,
        .damage = ret_damage,
    };
    return fetch_from_any(repo, &fetch, err);
}

int repo_fetch_tail(struct repo *repo, enum container_kind kind, const char *name, uint64_t size,
                    struct buf *tail, struct container *ret_container, struct error *err)
{
    const uint64_t tail_bytes = size < CONTAINER_TAIL_MAX ? size : CONTAINER_TAIL_MAX;
    struct fetch fetch = {
        .identity = repo_identity(repo, kind, name),
        .object = tail,
        .offset = size - tail_bytes,
        .size = tail_bytes,
        .object_bytes = size,
        .container = ret_container,
    };
    return fetch_from_any(repo, &fetch, err);
}

int repo_fetch_frame(struct repo *repo, struct container *container, struct frame_codec *codec,
                     uint32_t frame, struct buf *sealed, void *plain, struct error *err)
{
    struct fetch fetch = {
        .identity = {.name = container->name},
        .object = sealed,
        .offset = container->frames[frame].offset,
        .size = container->frames[frame].sealed_bytes,
        .container = container,
        .codec = codec,
        .frame = frame,
        .frame_plain = plain,
    };
    return fetch_from_any(repo, &fetch, err);
}

int repo_fetch_range(struct repo *repo, const char *name, uint64_t offset, uint64_t size,
                     struct buf *bytes, struct error *err)
{
    struct fetch fetch = {
        .identity = {.name = name},
        .object = bytes,
        .offset = offset,
        .size = size,
        .sealed = true,
    };
    return fetch_from_any(repo, &fetch, err);
}

int repo_fetch_plain(struct repo *repo, enum container_kind kind, const char *name,
                     struct buf *plain, struct buf *footer, struct error *err)
{
    CLEANUP(buf_done) struct buf object = BUF(CONTAINER_BYTES_MAX);
    struct fetch fetch = {
        .identity = repo_identity(repo, kind, name),
        .object = &object,
        .plain = plain,
        .footer = footer,
    };
    return fetch_from_any(repo, &fetch, err);
}

bool repo_still_answers(struct repo *repo, size_t region)
{
    CLEANUP(own_freep) char *name = repo_full_name(repo, document_name);
    struct error err;
    if (!regions_usable(repo->regions, region))
        return false;
    if (store_probe(regions_at(repo->regions, region)->store, name, &err) == 0)
        return true;
    if (!regions_cancelled(repo->regions, region, &err))
        regions_give_up(repo->regions, region, &err);
    return false;
}

/* Listing */

int repo_list(struct repo *repo, const char *prefix, struct repo_names *ret_names,
              struct error *err)
{
    CLEANUP(own_freep) char *full = repo_full_name(repo, prefix);
    const struct repo_names_below below = {
        .prefix = full, .depth = STORE_DEEP, .skip = strlen(repo->prefix)};
    return repo_names_list(ret_names, repo->regions, &below, err);
}

int repo_list_level(struct repo *repo, const char *prefix, struct repo_names *ret_names,
                    struct error *err)
{
    CLEANUP(own_freep) char *full = repo_full_name(repo, prefix);
    const struct repo_names_below below = {
        .prefix = full, .depth = STORE_SHALLOW, .skip = strlen(repo->prefix)};
    return repo_names_list(ret_names, repo->regions, &below, err);
}

/* Backups */

int repo_load_manifest(struct repo *repo, const char *backup_id, struct manifest *ret_manifest,
                       struct error *err)
{
    char name[REPO_NAME_MAX];
    CLEANUP(buf_done) struct buf object = BUF(CONTAINER_BYTES_MAX);
    CLEANUP(buf_done) struct buf plain = BUF(MANIFEST_BYTES_MAX);
    repo_manifest_name(backup_id, name);
    struct fetch fetch = {
        .identity = repo_identity(repo, CONTAINER_MANIFEST, name),
        .object = &object,
        .plain = &plain,
    };
    if (fetch_from_any(repo, &fetch, err) < 0)
        return -1;
    if (manifest_parse(plain.data, plain.size, ret_manifest, err) < 0)
        return error_wrap(err, "object '%s'", name);
    digest_sha256(object.data, object.size, ret_manifest->sha256);
    if (strcmp(ret_manifest->id, backup_id) == 0 &&
        ret_manifest->system_identifier == repo->document.system_identifier)
        return 0;
    manifest_done(ret_manifest);
    return error_set(err, ERROR_CORRUPT, "object '%s' is the manifest of something else", name);
}

static bool is_latest(const char *backup)
{
    return strcmp(backup, "Latest") == 0;
}

static int no_such_backup(const struct repo_names *manifests, const char *id, struct error *err)
{
    CLEANUP(buf_done) struct buf known = BUF(256);
    struct error full; /* a list that is too long is cut */
    if (manifests->unlisted != 0)
        return error_set(
            err, ERROR_TRANSIENT,
            "no backup '%s' in the regions that could be listed, but not all could: %s", id,
            manifests->unlisted_error.text);
    if (manifests->count == 0)
        return error_set(err, ERROR_NOT_FOUND, "the repository has no backup yet");
    for (size_t i = manifests->count; i > 0; i--) { /* newest first */
        const char *other = manifests->names[i - 1].name + strlen("manifests/");
        enum backup_type type;
        int64_t start_ms;
        if (backup_id_parse(other, &type, &start_ms) &&
            buf_format(&known, &full, "%s%s", known.size ? ", " : "", other) < 0)
            break;
    }
    return error_set(err, ERROR_NOT_FOUND, "no backup '%s' in the repository, which has %.*s", id,
                     (int)known.size, (const char *)known.data);
}

int repo_find_backup(struct repo *repo, const char *id, char ret_id[BACKUP_ID_BYTES],
                     uint32_t *ret_regions, struct error *err)
{
    CLEANUP(repo_names_done) struct repo_names manifests = {0};
    bool latest = !id || is_latest(id);
    if (repo_list(repo, "manifests/", &manifests, err) < 0)
        return -1;
    for (size_t i = manifests.count; i > 0; i--) {
        const char *found = manifests.names[i - 1].name + strlen("manifests/");
        enum backup_type type;
        int64_t start_ms;
        if (!backup_id_parse(found, &type, &start_ms) || (!latest && strcmp(found, id) != 0))
            continue;
        memcpy(ret_id, found, strlen(found) + 1);
        if (ret_regions)
            *ret_regions = manifests.names[i - 1].regions;
        return 0;
    }
    return no_such_backup(&manifests, latest ? "Latest" : id, err);
}

/* Opening */

void repo_closep(struct repo **repo)
{
    struct repo *r = TAKE(*repo);
    if (!r)
        return;
    keyring_done(&r->keyring);
    repo_document_done(&r->document);
    free(r->prefix);
    free(r);
}

static struct repo *repo_new(const struct policy *policy, struct regions *regions,
                             uint64_t system_identifier)
{
    struct repo *repo = own_alloc(sizeof(*repo));
    repo->regions = regions;
    repo->level = policy->compression_level;
    repo->cluster = policy->cluster;
    repo->document = (struct repo_document){
        .namespace = own_strdup(policy->namespace),
        .name = own_strdup(policy->name),
        .system_identifier = system_identifier,
        .writer = own_strdup(policy->cluster),
    };
    repo_document_id(&repo->document, repo->id);
    repo->prefix =
        own_format("%s.%s/%" PRIu64 "/", policy->namespace, policy->name, system_identifier);
    return repo;
}

/* The document of one region: 1, or 0 if it has none; checks that it is ours. */
static int read_document(struct repo *repo, size_t region, struct repo_document *ret_document,
                         struct error *err)
{
    CLEANUP(own_freep) char *name = repo_full_name(repo, document_name);
    CLEANUP(buf_done) struct buf text = BUF(REPO_DOCUMENT_MAX);
    const struct region *from = regions_at(repo->regions, region);
    if (store_get_all(from->store, name, &text, err) < 0)
        return err->kind == ERROR_NOT_FOUND ? 0 : -1;
    CLEANUP(repo_document_done) struct repo_document document = {0};
    if (repo_document_parse(text.data, text.size, &document, err) < 0 ||
        repo_document_same(&document, &repo->document, err) < 0)
        return error_wrap(err, "'%s' in region '%s'", name, from->name);
    *ret_document = document;
    document = (struct repo_document){0};
    return 1;
}

/* A repository has one writing cluster, if any: a second one that has a copy of the database would
 * take the first one's backups for its own. All regions get what the first one says. */
static int adopt_writer(struct repo *repo, size_t region, const struct repo_document *document,
                        struct error *err)
{
    const char *cluster = repo->cluster, *writer = document->writer;
    if (cluster && writer && strcmp(cluster, writer) != 0)
        return error_set(err, ERROR_PERMANENT,
                         "region '%s': cluster %s backs up into this repository, and this is "
                         "cluster %s: use another bucket or prefix, where access: ReadOnly lets "
                         "this one's backups be restored",
                         regions_at(repo->regions, region)->name, writer, cluster);
    own_freep(&repo->document.writer);
    repo->document.writer = own_strdup(writer);
    return 0;
}

enum access {
    ACCESS_READ,
    ACCESS_OWN,   /* reads what nobody else may write to */
    ACCESS_WRITE, /* a region that cannot be read is lost */
};

/* repository.json of every region; each is written by whoever asks that region. */
struct documents {
    struct repo *repo;
    enum access access;
    struct roll_call_answer answers[REGIONS_MAX];
    bool found[REGIONS_MAX];
    struct repo_document documents[REGIONS_MAX];
};

static void documents_done(struct documents *documents)
{
    for (size_t i = 0; i < REGIONS_MAX; i++)
        repo_document_done(&documents->documents[i]);
}

static int ask_document(void *arg, size_t region, struct error *err)
{
    struct documents *documents = arg;
    struct repo *repo = documents->repo;
    const int found = read_document(repo, region, &documents->documents[region], err);
    if (found < 0)
        return -1;
    documents->found[region] = found > 0;
    return documents->access == ACCESS_WRITE ? regions_at(repo->regions, region)->writable : found;
}

/* Whoever writes needs a quorum, one without a document being as good; a reader somebody who has
 * it. */
static int ask_for_documents(struct documents *documents, struct error *err)
{
    struct regions *regions = documents->repo->regions;
    const bool writes = documents->access == ACCESS_WRITE;
    const struct roll_call call = {
        .regions = regions,
        .among = UINT32_MAX,
        .insist = writes,
        .enough = writes ? regions_quorum(regions) : 1,
        .laggards = writes ? LAGGARDS_LOST : LAGGARDS_DOUBTED,
        .ask = ask_document,
        .arg = documents,
    };
    return roll_call_run(&call, documents->answers, err);
}

/* Which of the id keys that the documents name is right is told by the keys. */
static int adopt_document(struct documents *documents, size_t region, struct error *err)
{
    struct repo *repo = documents->repo;
    const struct repo_document *document = &documents->documents[region];
    memcpy(repo->id_keys[region], document->id_key, sizeof(document->id_key));
    return documents->access == ACCESS_READ ? 0 : adopt_writer(repo, region, document, err);
}

/* Reads repository.json in every usable region; gives how many have it, and in err why a region
 * could not be read (kind NONE if all could). -1 when the job cannot go on. */
static int read_documents(struct repo *repo, enum access access, size_t *ret_found,
                          struct error *err)
{
    struct error first = {0};
    CLEANUP(documents_done) struct documents documents = {.repo = repo, .access = access};
    *ret_found = 0;
    memset(repo->id_keys, 0, sizeof(repo->id_keys));
    if (ask_for_documents(&documents, err) < 0)
        return -1;
    for (size_t i = 0; i < regions_count(repo->regions); i++) {
        if (documents.found[i] && adopt_document(&documents, i, err) < 0)
            return -1;
        *ret_found += documents.found[i];
        if (documents.answers[i].said >= 0)
            continue;
        *err = documents.answers[i].error;
        if (access == ACCESS_WRITE && regions_lose(repo->regions, i, err) < 0)
            return -1;
        if (first.kind == ERROR_NONE)
            first = *err;
    }
    *err = first;
    return 0;
}

/* Whoever made it in the same moment may have named another id key. */
static int check_agreed(const struct repo *repo, struct error *err)
{
    const char *ours = repo->document.id_key;
    for (size_t i = 0; i < regions_count(repo->regions); i++)
        if (repo->id_keys[i][0] != '\0' && strcmp(repo->id_keys[i], ours) != 0)
            return error_set(err, ERROR_CONFLICT,
                             "region '%s' has got a repository of its own for this database (id "
                             "key %s, here %s) meanwhile: run the backup again",
                             regions_at(repo->regions, i)->name, repo->id_keys[i], ours);
    return 0;
}

static int put_document(struct repo *repo, struct error *err)
{
    CLEANUP(own_freep) char *text = repo_document_format(&repo->document);
    struct store_bytes bytes = {.data = text, .size = strlen(text)};
    digest_sha256(bytes.data, bytes.size, bytes.sha256);
    if (repo_put(repo, document_name, &bytes, PUT_SAME, err) < 0)
        return -1;
    size_t found;
    return read_documents(repo, ACCESS_WRITE, &found, err) < 0 ? -1 : check_agreed(repo, err);
}

int repo_open_write(struct repo **ret_repo, const struct policy *policy,
                    const struct secrets *secrets, struct regions *regions,
                    uint64_t system_identifier, struct error *err)
{
    if (policy->quorum == 0)
        return error_set(err, ERROR_PERMANENT,
                         "spec.regions: every region is ReadOnly: to write, give one of them "
                         "access ReadWrite");
    CLEANUP(user_keys_done) struct user_keys users = {0};
    CLEANUP(repo_closep) struct repo *repo = repo_new(policy, regions, system_identifier);
    size_t found;
    if (regions_check_quorum(regions, err) < 0 ||
        user_keys_load(&users, policy, secrets, err) < 0 ||
        read_documents(repo, ACCESS_WRITE, &found, err) < 0)
        return -1;
    if (found == 0 && regions_first_loss(regions, err))
        return error_wrap(err, "a new repository needs every region once");
    if (repo_keys_load(repo, &users, true, err) < 0)
        return -1;
    if (repo->document.id_key[0] == '\0' && repo_keys_make_id(repo, err) < 0)
        return -1;
    if (repo_keys_spread(repo, &users, err) < 0 || put_document(repo, err) < 0)
        return -1;
    regions_be_strict(regions);
    *ret_repo = TAKE(repo);
    return 0;
}

static int several_systems(const struct repo_names *systems, const char *prefix, struct error *err)
{
    CLEANUP(buf_done) struct buf known = BUF(256);
    struct error full; /* a list that is too long is cut */
    for (size_t i = 0; i < systems->count; i++)
        if (buf_format(&known, &full, "%s%.*s", i ? ", " : "",
                       (int)strcspn(systems->names[i].name, "/"), systems->names[i].name) < 0)
            break;
    return error_set(err, ERROR_PERMANENT,
                     "'%s' holds repositories of several database systems, %.*s: name a backup, "
                     "or choose one with --system-identifier",
                     prefix, (int)known.size, (const char *)known.data);
}

/* A region that cannot tell has it not. */
static bool is_in_some_region(struct regions *regions, const char *name)
{
    size_t order[REGIONS_MAX], count = regions_order(regions, order);
    for (size_t i = 0; i < count; i++) {
        struct error err;
        bool there;
        if (store_has(regions_at(regions, order[i])->store, name, &there, &err) < 0)
            log_error(&err, "Could not look for a backup", S("name", name));
        else if (there)
            return true;
    }
    return false;
}

/* The repository that has the backup; NULL if none has. */
static const struct repo_name *having(const struct repo_names *systems, const char *prefix,
                                      struct regions *regions, const char *backup)
{
    char manifest[REPO_NAME_MAX];
    repo_manifest_name(backup, manifest);
    for (size_t i = 0; i < systems->count; i++) {
        CLEANUP(own_freep)
        char *name = own_format("%s%s%s", prefix, systems->names[i].name, manifest);
        if (is_in_some_region(regions, name))
            return &systems->names[i];
    }
    return NULL;
}

/* The database system whose repository is wished for. */
static int find_system(const struct policy *policy, struct regions *regions, const char *backup,
                       uint64_t *ret_system, struct error *err)
{
    CLEANUP(repo_names_done) struct repo_names systems = {0};
    CLEANUP(own_freep) char *prefix = own_format("%s.%s/", policy->namespace, policy->name);
    const struct repo_name *found = NULL;
    const struct repo_names_below below = {
        .prefix = prefix, .depth = STORE_SHALLOW, .skip = strlen(prefix), .opening = true};
    if (repo_names_list(&systems, regions, &below, err) < 0)
        return -1;
    if (systems.count == 1)
        found = &systems.names[0];
    else if (systems.count > 1 && backup && !is_latest(backup))
        found = having(&systems, prefix, regions, backup);
    if (systems.count > 1 && !found)
        return several_systems(&systems, prefix, err);
    char *end = NULL;
    if (found)
        *ret_system = strtoull(found->name, &end, 10);
    if (systems.count == 0 && systems.unlisted != 0)
        return error_set(err, ERROR_TRANSIENT,
                         "no repository below '%s' in the regions that could be listed, but not "
                         "all could: %s",
                         prefix, systems.unlisted_error.text);
    if (!end || strcmp(end, "/") != 0 || *ret_system == 0)
        return error_set(err, ERROR_NOT_FOUND,
                         "no repository below '%s': no backup was made under policy '%s/%s' yet, "
                         "or bucket or prefix are wrong",
                         prefix, policy->namespace, policy->name);
    return 0;
}

int repo_open_read(struct repo **ret_repo, const struct policy *policy,
                   const struct secrets *secrets, struct regions *regions,
                   const struct repo_wish *wish, struct error *err)
{
    CLEANUP(user_keys_done) struct user_keys users = {0};
    uint64_t system_identifier = wish->system_identifier;
    if (user_keys_load(&users, policy, secrets, err) < 0)
        return -1;
    if (system_identifier == 0 &&
        find_system(policy, regions, wish->backup, &system_identifier, err) < 0)
        return -1;
    CLEANUP(repo_closep) struct repo *repo = repo_new(policy, regions, system_identifier);
    size_t found;
    const enum access access = wish->own ? ACCESS_OWN : ACCESS_READ;
    if (read_documents(repo, access, &found, err) < 0 || (found == 0 && err->kind != ERROR_NONE))
        return -1;
    if (found == 0)
        return error_set(err, ERROR_NOT_FOUND, "no '%s%s' in any region", repo->prefix,
                         document_name);
    if (repo_keys_load(repo, &users, false, err) < 0)
        return -1;
    *ret_repo = TAKE(repo);
    return 0;
}
