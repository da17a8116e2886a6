// SPDX-License-Identifier: Apache-2.0
#include "sidecar/repo_keys.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/log.h"
#include "common/own.h"
#include "common/text.h"
#include "sidecar/key_names.h"
#include "sidecar/repo.h"
#include "sidecar/roll_call.h"
#include "sidecar/user_keys.h"

enum { KEY_OBJECT_MAX = 4096 };

/* The user key that a key object's name ("keys/<key-id>.<kek-id>") says it is wrapped by; false if
 * it is none of ours. A repository is encrypted or it is not, for its whole life: with encryption
 * on, what is not wrapped is not believed, and without it what is wrapped is not opened, or else
 * the next backup would store the key of all encrypted ones in clear. */
static bool find_user_key(const struct user_keys *users, const char *name,
                          const struct key **ret_user)
{
    const char *wrapped_by = strrchr(name, '.');
    *ret_user = NULL;
    if (!wrapped_by)
        return false;
    if (!users->active)
        return strcmp(wrapped_by + 1, key_names_not_wrapped) == 0;
    for (size_t i = 0; i < users->count; i++) {
        char id[KEY_ID_TEXT_BYTES];
        key_id_text(&users->keys[i], id);
        if (strcmp(wrapped_by + 1, id) == 0)
            *ret_user = &users->keys[i];
    }
    return *ret_user;
}

/* A key object cannot stand in for another. */
static int check_key_name(const struct key *key, const char *name, struct error *err)
{
    char id[KEY_ID_TEXT_BYTES];
    key_id_text(key, id);
    if (strncmp(name + strlen("keys/"), id, strlen(id)) == 0)
        return 0;
    return error_set(err, ERROR_CORRUPT, "it holds key %s", id);
}

static int get_key_object(struct repo *repo, size_t region, const char *full, struct buf *text,
                          struct error *err)
{
    const int result = store_get_all(regions_at(repo->regions, region)->store, full, text, err);
    if (result == 0 || !regions_cancelled(repo->regions, region, err))
        regions_note_answer(repo->regions, region, result < 0 ? err : NULL);
    return result;
}

/* The first region whose copy of a key object is sound gives the key. */
static int load_key(struct repo *repo, const struct repo_name *object, const struct key *user,
                    struct key *ret_key, struct error *err)
{
    CLEANUP(own_freep) char *name = repo_full_name(repo, object->name);
    size_t order[REGIONS_MAX], count = regions_order(repo->regions, order);
    error_set(err, ERROR_NOT_FOUND, "no region has it");
    for (size_t i = 0; i < count; i++) {
        CLEANUP(buf_done) struct buf text = BUF_SECRET(KEY_OBJECT_MAX);
        if ((object->regions & 1u << order[i]) &&
            get_key_object(repo, order[i], name, &text, err) == 0 &&
            key_parse_object(text.data, text.size, user, ret_key, err) == 0 &&
            check_key_name(ret_key, object->name, err) == 0)
            return 0;
    }
    return error_wrap(err, "key object '%s'", object->name);
}

/* Appends "<kek-id>, <kek-id>" of the objects that hold the id key; a list that is too long is cut.
 */
static void list_wrappers(const struct repo *repo, const struct repo_names *objects,
                          struct buf *list)
{
    struct error full;
    for (size_t i = 0; i < objects->count; i++) {
        const char *name = objects->names[i].name + strlen("keys/");
        const char *wrapped_by = strrchr(name, '.');
        if (wrapped_by && strncmp(name, repo->document.id_key, KEY_ID_TEXT_BYTES - 1) == 0 &&
            buf_format(list, &full, "%s%s", list->size ? ", " : "", wrapped_by + 1) < 0)
            return;
    }
}

/* Why the repository's id key is not among those that could be opened. */
static int explain_no_id_key(const struct repo *repo, const struct user_keys *users,
                             const struct repo_names *objects, struct error *err)
{
    uint8_t id[KEY_ID_BYTES];
    const struct error *damage = text_parse_hex(repo->document.id_key, id, sizeof(id))
                                     ? keyring_gap(&repo->keyring, id)
                                     : NULL;
    if (damage) {
        *err = *damage;
        return -1;
    }
    CLEANUP(buf_done) struct buf ours = BUF(256), theirs = BUF(256);
    user_keys_list(users, &ours);
    list_wrappers(repo, objects, &theirs);
    CLEANUP(own_freep) char *wrappers = buf_string(&theirs);
    if (theirs.size == 0)
        return error_set(err, ERROR_CORRUPT,
                         "the id key '%s' that repository.json names is missing below 'keys/' in "
                         "every region",
                         repo->document.id_key);
    if (!users->active)
        return error_set(err, ERROR_PERMANENT,
                         "spec.encryption.mode 'None': the repository is encrypted with user key "
                         "%s: set mode: AES256GCM and that key, or use another prefix for backups "
                         "that are not encrypted",
                         wrappers);
    if (strcmp(wrappers, key_names_not_wrapped) == 0)
        return error_set(err, ERROR_PERMANENT,
                         "spec.encryption.mode 'AES256GCM': the repository is not encrypted: set "
                         "mode: None to read it, and use another prefix for encrypted backups");
    return error_set(err, ERROR_PERMANENT,
                     "wrong key: the repository's keys are wrapped by user key %s, "
                     "spec.encryption.keys has %.*s: give the key that the repository was made "
                     "with",
                     wrappers, (int)ours.size, (const char *)ours.data);
}

/* The key that an object holds, by its name. */
static bool parse_held(const char *name, uint8_t ret_id[KEY_ID_BYTES])
{
    char id[KEY_ID_TEXT_BYTES];
    snprintf(id, sizeof(id), "%s", name + strlen("keys/"));
    return text_parse_hex(id, ret_id, KEY_ID_BYTES);
}

/* What the key objects of all regions gave, beside the data keys. */
struct opened {
    struct keyring id_keys; /* one of which is the repository's */
    int64_t newest_ms;      /* of the newest data key … */
    uint8_t newest[KEY_ID_BYTES];
    struct error *damages; /* by the index of the object; kind NONE: sound, or not ours */
};

static void opened_done(struct opened *opened)
{
    keyring_done(&opened->id_keys);
    free(opened->damages);
}

static void adopt(struct repo *repo, const struct key *key, int64_t modified_ms,
                  struct opened *opened)
{
    if (key->purpose == KEY_PURPOSE_ID)
        keyring_add(&opened->id_keys, key);
    if (key->purpose != KEY_PURPOSE_DATA)
        return;
    keyring_add(&repo->keyring, key);
    if (modified_ms > opened->newest_ms) {
        opened->newest_ms = modified_ms;
        memcpy(opened->newest, key->id, KEY_ID_BYTES);
    }
}

static int open_keys(struct repo *repo, const struct user_keys *users,
                     const struct repo_names *objects, struct opened *opened, struct error *err)
{
    opened->newest_ms = -1;
    opened->damages = own_alloc((objects->count + 1) * sizeof(opened->damages[0]));
    for (size_t i = 0; i < objects->count; i++) {
        CLEANUP(key_done) struct key key = {0};
        const struct key *user;
        if (!find_user_key(users, objects->names[i].name, &user))
            continue;
        if (load_key(repo, &objects->names[i], user, &key, err) == 0)
            adopt(repo, &key, objects->names[i].modified_ms, opened);
        else if (err->kind != ERROR_CANCELED)
            opened->damages[i] = *err;
        else
            return -1;
    }
    repo->keyring.active = keyring_find(&repo->keyring, opened->newest);
    return 0;
}

/* The id key */

/* The id key that a region's document names, if it opened. */
static const struct key *find_id_key(const struct repo *repo, const struct opened *opened,
                                     size_t region)
{
    uint8_t id[KEY_ID_BYTES];
    return text_parse_hex(repo->id_keys[region], id, sizeof(id))
               ? keyring_find(&opened->id_keys, id)
               : NULL;
}

static bool is_held(const struct repo_names *objects, const char *id)
{
    CLEANUP(own_freep) char *prefix = own_format("keys/%s.", id);
    const size_t at = repo_names_lower_bound(objects, prefix);
    return at < objects->count && text_starts_with(objects->names[at].name, prefix);
}

/* None opens: what can be said about the one that some object holds says most. */
static void name_id_key(struct repo *repo, const struct repo_names *objects)
{
    for (int held = 1; held >= 0; held--)
        for (size_t i = 0; i < REGIONS_MAX && repo->document.id_key[0] == '\0'; i++)
            if (repo->id_keys[i][0] != '\0' && (!held || is_held(objects, repo->id_keys[i])))
                memcpy(repo->document.id_key, repo->id_keys[i], KEY_ID_TEXT_BYTES);
}

static int explain_two(const struct repo *repo, size_t one, size_t other, struct error *err)
{
    return error_set(err, ERROR_CONFLICT,
                     "region '%s' has a repository of its own for this database (id key %s, in "
                     "region '%s' %s): remove the one that was not meant to be",
                     regions_at(repo->regions, other)->name, repo->id_keys[other],
                     regions_at(repo->regions, one)->name, repo->id_keys[one]);
}

/* A document is not sealed: the right one names a key that the user's keys open. */
static int choose_id_key(struct repo *repo, const struct repo_names *objects,
                         const struct opened *opened, struct error *err)
{
    const struct key *chosen = NULL;
    size_t by = 0;
    for (size_t i = 0; i < regions_count(repo->regions); i++) {
        const struct key *key = find_id_key(repo, opened, i);
        if (key && chosen && key != chosen)
            return explain_two(repo, by, i, err);
        if (key && !chosen)
            by = i;
        chosen = key ? key : chosen;
    }
    if (!chosen)
        name_id_key(repo, objects);
    if (repo->document.id_key[0] == '\0' && opened->id_keys.count > 0)
        chosen = &opened->id_keys.keys[0]; /* whoever made it could not name it any more */
    if (!chosen)
        return 0;
    repo->keyring.id_key = *chosen;
    key_id_text(chosen, repo->document.id_key);
    return 0;
}

/* What is damaged, or of another repository */

/* Whether the key that an object holds, by its name, could be opened. */
static bool is_open(const struct repo *repo, const uint8_t id[KEY_ID_BYTES])
{
    const struct key *id_key = &repo->keyring.id_key;
    return (id_key->purpose == KEY_PURPOSE_ID && memcmp(id_key->id, id, KEY_ID_BYTES) == 0) ||
           keyring_find(&repo->keyring, id);
}

static int lose_holders(struct repo *repo, const struct repo_name *object,
                        const struct error *damage, struct error *err)
{
    for (size_t i = 0; i < regions_count(repo->regions); i++) {
        *err = *damage;
        if (object->regions & 1u << i && regions_lose(repo->regions, i, err) < 0)
            return -1;
    }
    return 0;
}

/* What is damaged matters only if the same key is in no other object, to a reader only if something
 * is sealed with that key. */
static int settle_damages(struct repo *repo, const struct repo_names *objects,
                          const struct opened *opened, bool writes, struct error *err)
{
    for (size_t i = 0; i < objects->count; i++) {
        const struct repo_name *object = &objects->names[i];
        const struct error *damage = &opened->damages[i];
        uint8_t id[KEY_ID_BYTES] = {0};
        if (damage->kind == ERROR_NONE)
            continue;
        if (parse_held(object->name, id) && is_open(repo, id)) {
            log_error(damage, "Found a damaged key object, took another that holds the key",
                      S("object", object->name));
            continue;
        }
        keyring_add_gap(&repo->keyring, id, damage);
        if (!writes)
            log_warn("Found a damaged key object, and no other that holds the key",
                     S("object", object->name), S("error", damage->text));
        else if (lose_holders(repo, object, damage, err) < 0)
            return -1;
    }
    return 0;
}

/* Regions whose document names another id key than the one that opened. */
static int pass_over_documents(struct repo *repo, bool writes, struct error *err)
{
    for (size_t i = 0; i < regions_count(repo->regions); i++) {
        const struct region *region = regions_at(repo->regions, i);
        if (repo->id_keys[i][0] == '\0' || strcmp(repo->id_keys[i], repo->document.id_key) == 0)
            continue;
        error_set(err, ERROR_CORRUPT,
                  "'%srepository.json' in region '%s' names id key %s, which does not open, and "
                  "another region %s, which does: it is damaged, or the region has a repository of "
                  "its own: remove what was not meant to be",
                  repo->prefix, region->name, repo->id_keys[i], repo->document.id_key);
        if (!writes)
            log_warn("Passed over the document of a region", S("region", region->name),
                     S("error", err->text));
        else if (regions_lose(repo->regions, i, err) < 0)
            return -1;
    }
    return 0;
}

/* Choices of a data key */

/* The last one stands: names come sorted. What the stores' clocks say matters only without any. */
static void adopt_choice(struct repo *repo, const struct repo_names *objects)
{
    uint8_t id[KEY_ID_BYTES];
    for (size_t i = 0; i < objects->count; i++) {
        char key[KEY_ID_TEXT_BYTES];
        const uint32_t number = key_names_parse_choice(objects->names[i].name, key);
        if (number < repo->chosen_number || number == 0)
            continue;
        repo->chosen_number = number;
        memcpy(repo->chosen_key, key, sizeof(key));
    }
    if (repo->chosen_number > 0 && text_parse_hex(repo->chosen_key, id, sizeof(id)))
        repo->keyring.active = keyring_find(&repo->keyring, id);
}

int repo_keys_load(struct repo *repo, const struct user_keys *users, bool writes, struct error *err)
{
    CLEANUP(repo_names_done) struct repo_names objects = {0};
    CLEANUP(opened_done) struct opened opened = {0};
    if (repo_list(repo, "keys/", &objects, err) < 0 ||
        open_keys(repo, users, &objects, &opened, err) < 0 ||
        choose_id_key(repo, &objects, &opened, err) < 0 ||
        settle_damages(repo, &objects, &opened, writes, err) < 0)
        return -1;
    adopt_choice(repo, &objects);
    if (repo->document.id_key[0] == '\0')
        return 0;
    return repo->keyring.id_key.purpose == KEY_PURPOSE_ID
               ? pass_over_documents(repo, writes, err)
               : explain_no_id_key(repo, users, &objects, err);
}

int repo_keys_make_id(struct repo *repo, struct error *err)
{
    if (key_generate(KEY_PURPOSE_ID, &repo->keyring.id_key, err) < 0)
        return -1;
    key_id_text(&repo->keyring.id_key, repo->document.id_key);
    return 0;
}

/* A key object as all regions are to have it. */
struct key_check {
    struct regions *regions;
    const char *name, *full; /* the latter in a store */
    const struct key *user;
};

static int ask_copy(void *arg, size_t index, struct error *err)
{
    const struct key_check *check = arg;
    const struct region *region = regions_at(check->regions, index);
    CLEANUP(key_done) struct key key = {0};
    CLEANUP(buf_done) struct buf text = BUF_SECRET(KEY_OBJECT_MAX);
    if (store_get_all(region->store, check->full, &text, err) == 0 &&
        key_parse_object(text.data, text.size, check->user, &key, err) == 0)
        return 1;
    return error_wrap(err, "key object '%s' in region '%s'", check->name, region->name);
}

/* What was there already must be sound in every region: a backup is put there next. */
static int check_copies(struct repo *repo, const char *name, const struct key *user,
                        struct error *err)
{
    struct regions *regions = repo->regions;
    CLEANUP(own_freep) char *full = repo_full_name(repo, name);
    struct key_check check = {regions, name, full, user};
    struct roll_call_answer answers[REGIONS_MAX];
    const struct roll_call call = roll_call_to_write(regions, ask_copy, &check);
    if (roll_call_run(&call, answers, err) < 0)
        return -1;
    for (size_t i = 0; i < regions_count(regions); i++)
        if (answers[i].said < 0 && regions_lose(regions, i, &answers[i].error) < 0) {
            *err = answers[i].error;
            return -1;
        }
    return 0;
}

int repo_keys_put(struct repo *repo, const struct key *key, const struct key *user,
                  struct error *err)
{
    struct key_object object = {0};
    key_id_text(key, object.key);
    if (user)
        key_id_text(user, object.user);
    else
        snprintf(object.user, sizeof(object.user), "%s", key_names_not_wrapped);
    CLEANUP(own_freep) char *name = key_names_object(&object);
    CLEANUP(own_freep) char *text = NULL;
    if (key_format_object(key, user, &text, err) < 0)
        return -1;
    struct store_bytes bytes = {.data = text, .size = strlen(text)};
    digest_sha256(bytes.data, bytes.size, bytes.sha256);
    if (repo_put(repo, name, &bytes, PUT_SAME, err) < 0)
        return -1;
    return check_copies(repo, name, user, err);
}

static int put_choice(struct repo *repo, struct error *err)
{
    CLEANUP(own_freep) char *name = key_names_choice(repo->chosen_number, repo->chosen_key);
    CLEANUP(own_freep) char *text = key_format_choice(repo->chosen_key);
    struct store_bytes bytes = {.data = text, .size = strlen(text)};
    digest_sha256(bytes.data, bytes.size, bytes.sha256);
    return repo_put(repo, name, &bytes, PUT_SAME, err);
}

int repo_keys_choose(struct repo *repo, const struct key *key, struct error *err)
{
    if (repo->chosen_number == KEY_NAMES_CHOICES_MAX)
        return error_set(err, ERROR_PERMANENT, "a repository has at most %d data keys",
                         KEY_NAMES_CHOICES_MAX);
    repo->chosen_number++;
    key_id_text(key, repo->chosen_key);
    repo->keyring.active = keyring_find(&repo->keyring, key->id);
    return put_choice(repo, err);
}

/* Another one in its place would undo the choice. */
static int explain_not_open(const struct repo *repo, const struct user_keys *users,
                            struct error *err)
{
    CLEANUP(buf_done) struct buf ours = BUF(256);
    user_keys_list(users, &ours);
    return error_set(err, ERROR_PERMANENT,
                     "spec.encryption.keys has %.*s, and none of them opens data key %s, which "
                     "rotate-key chose for new backups: add the user key that was active then",
                     (int)ours.size, (const char *)ours.data, repo->chosen_key);
}

static int make_data_key(struct repo *repo, struct error *err)
{
    CLEANUP(key_done) struct key key = {0};
    if (key_generate(KEY_PURPOSE_DATA, &key, err) < 0)
        return -1;
    keyring_add(&repo->keyring, &key);
    repo->keyring.active = keyring_find(&repo->keyring, key.id);
    return 0;
}

int repo_keys_spread(struct repo *repo, const struct user_keys *users, struct error *err)
{
    if (!repo->keyring.active && repo->chosen_number > 0)
        return explain_not_open(repo, users, err);
    if ((!repo->keyring.active && make_data_key(repo, err) < 0) ||
        repo_keys_put(repo, &repo->keyring.id_key, users->active, err) < 0 ||
        repo_keys_put(repo, repo->keyring.active, users->active, err) < 0)
        return -1;
    return repo->chosen_number > 0 ? put_choice(repo, err) : 0;
}

/* Copying */

struct key_copy {
    struct repo *repo;
    struct store *store; /* the region's */
    uint32_t region;     /* its bit */
    bool dry_run;
    size_t put;
};

static int copy_text(struct key_copy *copy, const char *name, const char *text, struct error *err)
{
    CLEANUP(own_freep) char *full = repo_full_name(copy->repo, name);
    struct store_bytes bytes = {.data = text, .size = strlen(text)};
    digest_sha256(bytes.data, bytes.size, bytes.sha256);
    copy->put++;
    if (copy->dry_run || store_put(copy->store, full, &bytes, err) == 0 ||
        err->kind == ERROR_CONFLICT)
        return 0;
    return -1;
}

/* Wrapped by the same user key a key gives the same bytes. */
static int copy_key(struct key_copy *copy, const struct repo_name *object, const struct key *user,
                    struct error *err)
{
    CLEANUP(key_done) struct key key = {0};
    CLEANUP(own_freep) char *text = NULL;
    struct repo_name there = *object;
    if (!(object->regions & copy->region) && (load_key(copy->repo, object, user, &key, err) < 0 ||
                                              key_format_object(&key, user, &text, err) < 0 ||
                                              copy_text(copy, object->name, text, err) < 0))
        return -1;
    there.regions = copy->region;
    return copy->dry_run ? 0 : load_key(copy->repo, &there, user, &key, err);
}

static int copy_object(struct key_copy *copy, const struct user_keys *users,
                       const struct repo_name *object, struct error *err)
{
    char key[KEY_ID_TEXT_BYTES];
    const struct key *user;
    const uint32_t number = key_names_parse_choice(object->name, key);
    if (number == 0)
        return find_user_key(users, object->name, &user) ? copy_key(copy, object, user, err) : 0;
    if (object->regions & copy->region)
        return 0;
    CLEANUP(own_freep) char *text = key_format_choice(key);
    return copy_text(copy, object->name, text, err);
}

int repo_keys_copy(struct repo *repo, const struct user_keys *users, size_t region, bool dry_run,
                   size_t *ret_put, struct error *err)
{
    CLEANUP(repo_names_done) struct repo_names objects = {0};
    struct key_copy copy = {
        .repo = repo,
        .store = regions_at(repo->regions, region)->store,
        .region = 1u << region,
        .dry_run = dry_run,
    };
    if (repo_list(repo, "keys/", &objects, err) < 0)
        return -1;
    for (size_t i = 0; i < objects.count; i++)
        if (copy_object(&copy, users, &objects.names[i], err) < 0)
            return -1;
    *ret_put = copy.put;
    return 0;
}

/* What lies in the regions, by its names */

void key_objects_done(struct key_objects *objects)
{
    free(objects->objects);
    *objects = (struct key_objects){0};
}

int key_objects_list(struct repo *repo, struct key_objects *ret_objects, struct error *err)
{
    CLEANUP(repo_names_done) struct repo_names names = {0};
    if (repo_list(repo, "keys/", &names, err) < 0)
        return -1;
    *ret_objects = (struct key_objects){
        .objects = own_alloc((names.count + 1) * sizeof(ret_objects->objects[0])),
        .unlisted = names.unlisted,
    };
    for (size_t i = 0; i < names.count; i++) {
        struct key_object *object = &ret_objects->objects[ret_objects->count];
        if (!key_names_parse_object(names.names[i].name, object) ||
            strcmp(object->user, key_names_not_wrapped) == 0)
            continue;
        object->regions = names.names[i].regions;
        ret_objects->count++;
    }
    return 0;
}

/* Checking one object */

static int check_key(const struct user_keys *users, const char *name, const struct buf *text,
                     enum key_state *ret_state, struct error *err)
{
    CLEANUP(key_done) struct key key = {0};
    char id[KEY_ID_TEXT_BYTES];
    const struct key *user;
    snprintf(id, sizeof(id), "%s", name + strlen("keys/"));
    if (key_check_object(text->data, text->size, id, strrchr(name, '.') + 1, err) < 0)
        return -1;
    *ret_state = find_user_key(users, name, &user) ? KEY_STATE_SOUND : KEY_STATE_FOREIGN;
    return *ret_state == KEY_STATE_SOUND ? key_parse_object(text->data, text->size, user, &key, err)
                                         : 0;
}

int repo_keys_check(struct repo *repo, const struct user_keys *users, size_t region,
                    const char *name, enum key_state *ret_state, struct error *err)
{
    char chosen[KEY_ID_TEXT_BYTES];
    struct key_object unused;
    const bool choice = key_names_parse_choice(name, chosen) != 0;
    CLEANUP(own_freep) char *full = repo_full_name(repo, name);
    CLEANUP(buf_done) struct buf text = BUF_SECRET(KEY_OBJECT_MAX);
    *ret_state = choice ? KEY_STATE_SOUND : KEY_STATE_STRANGE;
    if (!choice && !key_names_parse_object(name, &unused))
        return 0;
    if (!regions_usable(repo->regions, region)) {
        regions_first_loss(repo->regions, err);
        return -1;
    }
    if (get_key_object(repo, region, full, &text, err) < 0)
        return -1;
    return choice ? key_check_choice(text.data, text.size, chosen, err)
                  : check_key(users, name, &text, ret_state, err);
}
