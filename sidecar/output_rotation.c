// SPDX-License-Identifier: Apache-2.0
#include <inttypes.h>
#include <stdio.h>

#include "common/buf.h"
#include "common/own.h"
#include "common/text.h"
#include "sidecar/key_rotation.h"
#include "sidecar/output.h"

enum { TEXT_MAX = 65536 };

static json_t *names_of(const struct key_rotation_result *result, uint32_t mask)
{
    json_t *names = json_array();
    for (size_t i = 0; i < result->region_count; i++)
        if (mask & 1u << i)
            json_array_append_new(names, json_string(result->regions[i]));
    return names;
}

static json_t *user_to_json(const struct key_rotation_result *result,
                            const struct key_rotation_user *user)
{
    return json_pack("{s:s, s:s?, s:I, s:b, s:I, s:o}", "id", user->id, "name", user->name, "keys",
                     (json_int_t)user->keys, "dropped", user->dropped, "removed",
                     (json_int_t)user->removed, "leftIn", names_of(result, user->left));
}

static json_t *result_to_json(const struct key_rotation_result *result)
{
    json_t *others = json_array();
    for (size_t i = 0; i < result->other_count; i++)
        json_array_append_new(others, user_to_json(result, &result->others[i]));
    return json_pack("{s:b, s:{s:s, s:s}, s:I, s:I, s:s?, s:o}", "dryRun", result->dry_run,
                     "activeKey", "id", result->active.id, "name", result->active.name, "keys",
                     (json_int_t)result->keys, "wrapped", (json_int_t)result->wrapped, "newDataKey",
                     result->new_data_key[0] ? result->new_data_key : NULL, "otherKeys", others);
}

/* "user key 'k1' (id a3b4e454ec9e7885)" */
static char *user_text(const struct key_rotation_user *user)
{
    return user->name ? own_format("user key '%s' (id %s)", user->name, user->id)
                      : own_format("user key %s", user->id);
}

static int tell_kept(const struct key_rotation_user *user, struct buf *text, struct error *err)
{
    CLEANUP(own_freep) char *who = user_text(user);
    const char *name = user->name ? user->name : user->id;
    if (user->keys == 0)
        return 0;
    return buf_format(
        text, err,
        "Keep %s as well: it still opens %zu keys. When every sidecar has the new one, "
        "'rotate-key --drop %s' ends that.\n",
        who, user->keys, name);
}

static int tell_dropped(const struct key_rotation_result *result,
                        const struct key_rotation_user *user, struct buf *text, struct error *err)
{
    CLEANUP(own_freep) char *who = user_text(user);
    if (result->dry_run)
        return buf_format(text, err, "Would remove %zu key objects of %s.\n", user->removed, who);
    if (buf_format(text, err, "Removed %zu key objects of %s.\n", user->removed, who) < 0)
        return -1;
    for (size_t i = 0; i < result->region_count; i++)
        if ((user->left & 1u << i) &&
            buf_format(text, err, "Region '%s' is ReadOnly and keeps its own.\n",
                       result->regions[i]) < 0)
            return -1;
    return buf_format(
        text, err,
        "It opens nothing %s: take it out of spec.encryption.keys and of the Secret. "
        "Destroy it when no copy of a bucket needs it: older versions of objects, "
        "replicas, exports. Whoever had it may know the data keys of the backups that "
        "exist.\n",
        user->left ? "in the other regions" : "any more");
}

static int tell(const struct key_rotation_result *result, struct buf *text, struct error *err)
{
    CLEANUP(own_freep) char *active = user_text(&result->active);
    if (buf_format(text, err, "%s %zu key objects for %s, which %s all %zu keys.\n",
                   result->dry_run ? "Would put" : "Put", result->wrapped, active,
                   result->dry_run ? "would then open" : "now opens", result->keys) < 0)
        return -1;
    if (result->new_data_key[0] &&
        buf_format(text, err,
                   "Made data key %s: every backup that begins from now on is sealed with it.\n",
                   result->new_data_key) < 0)
        return -1;
    if (result->wants_data_key && result->dry_run &&
        buf_format(text, err, "Would make a new data key.\n") < 0)
        return -1;
    for (size_t i = 0; i < result->other_count; i++)
        if (result->others[i].dropped && tell_dropped(result, &result->others[i], text, err) < 0)
            return -1;
    for (size_t i = 0; i < result->other_count; i++)
        if (!result->others[i].dropped && tell_kept(&result->others[i], text, err) < 0)
            return -1;
    return buf_format(text, err, "Keep %s: without it no backup can be restored.\n", active);
}

int output_rotation_done(const struct key_rotation_result *result, bool json, struct error *err)
{
    CLEANUP(buf_done) struct buf text = BUF(TEXT_MAX);
    if (json)
        return output_json(result_to_json(result), err);
    if (tell(result, &text, err) < 0)
        return -1;
    CLEANUP(own_freep) char *whole = buf_string(&text);
    return output_text(whole, err);
}
