// SPDX-License-Identifier: Apache-2.0
#include "sidecar/key_rotation.h"

#include <stdlib.h>
#include <string.h>

#include "common/cancel.h"
#include "common/log.h"
#include "common/own.h"
#include "common/text.h"
#include "sidecar/key_names.h"
#include "sidecar/repo.h"
#include "sidecar/repo_keys.h"
#include "sidecar/secrets.h"
#include "sidecar/user_keys.h"

struct rotation {
    const struct key_rotation_options *options;
    struct user_keys users;
    struct regions *regions;
    struct repo *repo;
    uint32_t writable; /* bit mask of the regions */
    struct key_objects objects;
    struct key_rotation_result result;
};

static void rotation_done(struct rotation *rotation)
{
    key_objects_done(&rotation->objects);
    repo_closep(&rotation->repo);
    regions_closep(&rotation->regions);
    user_keys_done(&rotation->users);
}

/* Opening */

static int open_repository(struct rotation *rotation, struct error *err)
{
    const struct key_rotation_options *options = rotation->options;
    const struct repo_wish wish = {.system_identifier = options->system_identifier};
    if (!options->policy->encryption.enabled)
        return error_set(err, ERROR_PERMANENT,
                         "spec.encryption.mode 'None': there are no keys to rotate");
    if (user_keys_load(&rotation->users, options->policy, options->secrets, err) < 0 ||
        regions_open(&rotation->regions, options->policy, options->secrets, NULL, options->cancel,
                     err) < 0 ||
        repo_open_read(&rotation->repo, options->policy, options->secrets, rotation->regions, &wish,
                       err) < 0)
        return -1;
    rotation->result.region_count = regions_count(rotation->regions);
    for (size_t i = 0; i < rotation->result.region_count; i++) {
        const struct region *region = regions_at(rotation->regions, i);
        rotation->result.regions[i] = region->name;
        rotation->writable |= region->writable ? 1u << i : 0;
    }
    if (rotation->writable == 0)
        return error_set(err, ERROR_PERMANENT,
                         "spec.regions: every region is ReadOnly: nothing can be put there");
    return 0;
}

/* Who opens what */

static struct key_rotation_user *find_user(struct rotation *rotation, const char *id)
{
    struct key_rotation_result *result = &rotation->result;
    if (strcmp(result->active.id, id) == 0)
        return &result->active;
    for (size_t i = 0; i < result->other_count; i++)
        if (strcmp(result->others[i].id, id) == 0)
            return &result->others[i];
    return NULL;
}

static struct key_rotation_user *add_user(struct rotation *rotation, const char *id,
                                          struct error *err)
{
    struct key_rotation_result *result = &rotation->result;
    struct key_rotation_user *user = find_user(rotation, id);
    if (user)
        return user;
    if (result->other_count == KEY_ROTATION_USERS_MAX) {
        error_set(err, ERROR_CORRUPT, "key objects of more than %d user keys below 'keys/'",
                  KEY_ROTATION_USERS_MAX);
        return NULL;
    }
    user = &result->others[result->other_count++];
    memcpy(user->id, id, KEY_ID_TEXT_BYTES);
    user->name = user_keys_name(&rotation->users, id);
    return user;
}

/* Lists the key objects; a region that cannot be listed is lost. */
static int take_inventory(struct rotation *rotation, struct error *err)
{
    struct key_rotation_result *result = &rotation->result;
    key_objects_done(&rotation->objects);
    if (key_objects_list(rotation->repo, &rotation->objects, err) < 0)
        return -1;
    result->active.keys = 0;
    for (size_t i = 0; i < result->other_count; i++)
        result->others[i].keys = 0;
    for (size_t i = 0; i < rotation->objects.count; i++) {
        struct key_rotation_user *user = add_user(rotation, rotation->objects.objects[i].user, err);
        if (!user)
            return -1;
        user->keys++;
    }
    return 0;
}

/* Marks what is to be dropped: each is a name in the policy, else an id. */
static int mark_dropped(struct rotation *rotation, const char *which, struct error *err)
{
    char id[KEY_ID_TEXT_BYTES] = "";
    uint8_t bytes[KEY_ID_BYTES];
    for (size_t i = 0; i < rotation->users.count; i++)
        if (strcmp(rotation->users.names[i], which) == 0)
            key_id_text(&rotation->users.keys[i], id);
    if (!id[0] && text_parse_hex(which, bytes, sizeof(bytes)))
        text_hex(bytes, sizeof(bytes), id);
    if (!id[0])
        return error_set(err, ERROR_PERMANENT,
                         "--drop '%s': neither a key of spec.encryption.keys nor the id of a user "
                         "key (%d hexadecimal digits)",
                         which, KEY_ID_TEXT_BYTES - 1);
    if (strcmp(id, rotation->result.active.id) == 0)
        return error_set(err, ERROR_PERMANENT,
                         "--drop '%s': it is spec.encryption.activeKey: make another one active "
                         "first",
                         which);
    struct key_rotation_user *user = add_user(rotation, id, err);
    if (!user)
        return -1;
    user->dropped = true;
    return 0;
}

static int note_users(struct rotation *rotation, struct error *err)
{
    struct key_rotation_result *result = &rotation->result;
    result->dry_run = rotation->options->dry_run;
    result->wants_data_key = rotation->options->new_data_key;
    result->keys = rotation->repo->keyring.count + 1;
    key_id_text(rotation->users.active, result->active.id);
    result->active.name = rotation->options->policy->encryption.active_key;
    if (take_inventory(rotation, err) < 0)
        return -1;
    for (size_t i = 0; i < rotation->options->dropped_count; i++)
        if (mark_dropped(rotation, rotation->options->dropped[i], err) < 0)
            return -1;
    return 0;
}

static bool is_open(const struct rotation *rotation, const char *key)
{
    uint8_t id[KEY_ID_BYTES];
    return strcmp(key, rotation->repo->document.id_key) == 0 ||
           (text_parse_hex(key, id, sizeof(id)) && keyring_find(&rotation->repo->keyring, id));
}

/* A key that no user key of the policy opens cannot be wrapped anew: whoever drops the only one
 * that does loses what it sealed. */
static int check_dropped(struct rotation *rotation, struct error *err)
{
    for (size_t i = 0; i < rotation->objects.count; i++) {
        const struct key_object *object = &rotation->objects.objects[i];
        const struct key_rotation_user *user = find_user(rotation, object->user);
        if (user->dropped && !is_open(rotation, object->key))
            return error_set(err, ERROR_PERMANENT,
                             "user key %s cannot be dropped: key %s is not opened by any of "
                             "spec.encryption.keys: add user key %s there",
                             object->user, object->key, object->user);
    }
    return 0;
}

/* Wrapping */

/* The writable regions that have a key wrapped by the active user key. */
static uint32_t regions_having(const struct rotation *rotation, const char *key)
{
    for (size_t i = 0; i < rotation->objects.count; i++) {
        const struct key_object *object = &rotation->objects.objects[i];
        if (strcmp(object->key, key) == 0 && strcmp(object->user, rotation->result.active.id) == 0)
            return object->regions & rotation->writable;
    }
    return 0;
}

static int wrap(struct rotation *rotation, const struct key *key, struct error *err)
{
    char id[KEY_ID_TEXT_BYTES];
    key_id_text(key, id);
    const uint32_t missing = rotation->writable & ~regions_having(rotation, id);
    rotation->result.wrapped += (size_t)__builtin_popcount(missing);
    if (rotation->options->dry_run)
        return 0;
    return repo_keys_put(rotation->repo, key, rotation->users.active, err);
}

static int wrap_all(struct rotation *rotation, struct error *err)
{
    const struct keyring *keyring = &rotation->repo->keyring;
    if (wrap(rotation, &keyring->id_key, err) < 0)
        return -1;
    for (size_t i = 0; i < keyring->count; i++)
        if (wrap(rotation, &keyring->keys[i], err) < 0)
            return -1;
    return 0;
}

/* What cannot be reached may have key objects that only the old user key opens. */
static int check_regions(const struct rotation *rotation, struct error *err)
{
    for (size_t i = 0; i < rotation->result.region_count; i++) {
        if (!(rotation->writable & 1u << i) || regions_usable(rotation->regions, i))
            continue;
        const struct region *region = regions_at(rotation->regions, i);
        *err = region->error;
        return error_wrap(err,
                          "region '%s' has not got all keys wrapped by user key '%s' (others may "
                          "have): keep every user key, and run rotate-key again",
                          region->name, rotation->result.active.name);
    }
    return 0;
}

static int make_data_key(struct rotation *rotation, struct error *err)
{
    struct repo *repo = rotation->repo;
    CLEANUP(key_done) struct key key = {0};
    if (key_generate(KEY_PURPOSE_DATA, &key, err) < 0)
        return -1;
    keyring_add(&repo->keyring, &key);
    if (wrap(rotation, &key, err) < 0 || check_regions(rotation, err) < 0 ||
        repo_keys_choose(repo, &key, err) < 0 || check_regions(rotation, err) < 0)
        return -1;
    key_id_text(&key, rotation->result.new_data_key);
    rotation->result.keys++;
    return 0;
}

/* Dropping */

/* Nothing goes before all that shall open instead is seen to be in every writable region. */
static int check_wrapped(const struct rotation *rotation, struct error *err)
{
    if (rotation->objects.unlisted & rotation->writable)
        return error_set(err, ERROR_TRANSIENT,
                         "a region could not be listed after the keys were wrapped: nothing was "
                         "dropped, run rotate-key again");
    for (size_t i = 0; i < rotation->objects.count; i++) {
        const char *key = rotation->objects.objects[i].key;
        if (is_open(rotation, key) && regions_having(rotation, key) != rotation->writable)
            return error_set(err, ERROR_TRANSIENT,
                             "key %s is not in every region after it was put there: nothing was "
                             "dropped, run rotate-key again",
                             key);
    }
    return 0;
}

/* A bucket with versions would only hide what is locked, so it is asked before. */
static int remove_object(struct store *store, const char *name, struct error *err)
{
    char text[STORE_LOCK_TEXT_BYTES];
    int64_t until_ms;
    if (store_locked_until(store, name, &until_ms, err) < 0)
        return -1;
    if (until_ms == 0)
        return store_remove(store, name, err);
    store_lock_text(until_ms, text);
    return error_set(err, ERROR_CONFLICT, "'%s' in region '%s': %s", name, store->region, text);
}

static int drop_object(struct rotation *rotation, const struct key_object *object,
                       struct key_rotation_user *user, struct error *err)
{
    CLEANUP(own_freep) char *name = key_names_object(object);
    CLEANUP(own_freep) char *full = repo_full_name(rotation->repo, name);
    user->left |= object->regions & ~rotation->writable;
    for (size_t i = 0; i < rotation->result.region_count; i++) {
        if (!(object->regions & rotation->writable & 1u << i))
            continue;
        user->removed++;
        if (!rotation->options->dry_run &&
            remove_object(regions_at(rotation->regions, i)->store, full, err) < 0)
            return error_wrap(err, "user key %s is not dropped everywhere: run rotate-key again",
                              user->id);
    }
    return 0;
}

static int drop_all(struct rotation *rotation, struct error *err)
{
    for (size_t i = 0; i < rotation->objects.count; i++) {
        const struct key_object *object = &rotation->objects.objects[i];
        struct key_rotation_user *user = find_user(rotation, object->user);
        if (user->dropped && drop_object(rotation, object, user, err) < 0)
            return -1;
    }
    return 0;
}

static int rotate(struct rotation *rotation, struct error *err)
{
    const struct key_rotation_options *options = rotation->options;
    if (wrap_all(rotation, err) < 0)
        return -1;
    if (options->dry_run)
        return drop_all(rotation, err);
    if (check_regions(rotation, err) < 0 ||
        (options->new_data_key && make_data_key(rotation, err) < 0) ||
        take_inventory(rotation, err) < 0 || check_dropped(rotation, err) < 0 ||
        check_wrapped(rotation, err) < 0)
        return -1;
    return drop_all(rotation, err);
}

int key_rotation_run(const struct key_rotation_options *options,
                     struct key_rotation_result *ret_result, struct error *err)
{
    CLEANUP(rotation_done) struct rotation rotation = {.options = options};
    if (open_repository(&rotation, err) < 0 || note_users(&rotation, err) < 0 ||
        check_dropped(&rotation, err) < 0 || rotate(&rotation, err) < 0)
        return -1;
    log_info("Rotated keys", S("userKey", rotation.result.active.id),
             U("keys", rotation.result.keys), U("wrapped", rotation.result.wrapped),
             S("newDataKey", rotation.result.new_data_key), B("dryRun", options->dry_run));
    *ret_result = rotation.result;
    return 0;
}
