// SPDX-License-Identifier: Apache-2.0
#include "sidecar/user_keys.h"

#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/own.h"
#include "sidecar/keys.h"
#include "sidecar/policy.h"
#include "sidecar/secrets.h"

void user_keys_done(struct user_keys *keys)
{
    for (size_t i = 0; i < keys->count; i++)
        key_done(&keys->keys[i]);
    free(keys->keys);
    free(keys->names);
    *keys = (struct user_keys){0};
}

static int load_user_key(struct user_keys *users, const char *name, const struct secrets *secrets,
                         struct error *err)
{
    CLEANUP(buf_done) struct buf text = BUF_SECRET(SECRETS_VALUE_MAX);
    size_t index = users->count;
    if (secrets_get_user_key(secrets, index, name, &text, err) < 0)
        return -1;
    if (key_parse_kek(text.data, text.size, &users->keys[index], err) < 0)
        return error_wrap(err, "spec.encryption.keys[%zu] '%s'", index, name);
    users->names[users->count++] = name;
    return 0;
}

int user_keys_load(struct user_keys *ret_keys, const struct policy *policy,
                   const struct secrets *secrets, struct error *err)
{
    const struct policy_encryption *wanted = &policy->encryption;
    CLEANUP(user_keys_done)
    struct user_keys users = {
        .keys = own_alloc((wanted->key_count + 1) * sizeof(users.keys[0])),
        .names = own_alloc((wanted->key_count + 1) * sizeof(users.names[0])),
    };
    for (size_t i = 0; i < wanted->key_count; i++) {
        if (load_user_key(&users, wanted->keys[i], secrets, err) < 0)
            return -1;
        if (wanted->enabled && strcmp(wanted->keys[i], wanted->active_key) == 0)
            users.active = &users.keys[i];
    }
    *ret_keys = users;
    users = (struct user_keys){0};
    return 0;
}

const char *user_keys_name(const struct user_keys *users, const char *id)
{
    for (size_t i = 0; i < users->count; i++) {
        char user_id[KEY_ID_TEXT_BYTES];
        key_id_text(&users->keys[i], user_id);
        if (strcmp(user_id, id) == 0)
            return users->names[i];
    }
    return NULL;
}

void user_keys_list(const struct user_keys *users, struct buf *list)
{
    struct error full;
    for (size_t i = 0; i < users->count; i++) {
        char id[KEY_ID_TEXT_BYTES];
        key_id_text(&users->keys[i], id);
        if (buf_format(list, &full, "%s'%s' (id %s)", i ? ", " : "", users->names[i], id) < 0)
            return;
    }
}
