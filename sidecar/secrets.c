// SPDX-License-Identifier: Apache-2.0
#include "sidecar/secrets.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "common/own.h"
#include "sidecar/policy.h"
#include "sidecar/syntax.h"

enum { FIELD_MAX = 160, KEY_MAX = 254, CA_BYTES_MAX = 1 << 20 };

struct secrets {
    char *directory;
    int fd; /* -1: none */
};

/* Who asks for what, and what a person does when it is missing. */
struct demand {
    const char *field, *key, *remedy;
};

static const char add_it[] = "add it there, or to the policy's Secret";

static int read_value(const struct secrets *secrets, const struct demand *demand, struct buf *value,
                      struct error *err)
{
    if (secrets->fd < 0)
        return error_set(err, ERROR_PERMANENT,
                         "%s '%s': no secrets directory was given: use --secrets DIR with a file "
                         "'%s' in DIR",
                         demand->field, demand->key, demand->key);
    if (!secrets_key_valid(demand->key))
        return error_set(err, ERROR_PERMANENT, "%s '%s': expected %s", demand->field, demand->key,
                         syntax_secret_key(demand->key));
    /* links are followed: in a Kubernetes volume each key is one to "..data/<key>" */
    if (buf_read_file(value, secrets->fd, demand->key, err) == 0)
        return 0;
    if (err->kind != ERROR_NOT_FOUND)
        return error_wrap(err, "%s '%s': secrets directory '%s'", demand->field, demand->key,
                          secrets->directory);
    return error_set(err, ERROR_NOT_FOUND,
                     "%s '%s': no file '%s' in the secrets directory '%s': %s", demand->field,
                     demand->key, demand->key, secrets->directory, demand->remedy);
}

/* One line end, as an editor or "openssl rand -base64" leaves it. */
static void strip_newline(struct buf *value)
{
    if (value->size == 0 || value->data[value->size - 1] != '\n')
        return;
    value->size--;
    if (value->size > 0 && value->data[value->size - 1] == '\r')
        value->size--;
}

static int get(const struct secrets *secrets, const struct demand *demand, struct buf *value,
               struct error *err)
{
    if (read_value(secrets, demand, value, err) < 0)
        return -1;
    strip_newline(value);
    const char *fault = NULL;
    if (value->size == 0)
        fault = "is empty";
    else if (memchr(value->data, '\0', value->size))
        fault = "is not text, it holds a NUL byte";
    if (!fault)
        return 0;
    buf_clear(value);
    return error_set(err, ERROR_PERMANENT,
                     "%s '%s': the file '%s' in the secrets directory '%s' %s", demand->field,
                     demand->key, demand->key, secrets->directory, fault);
}

/* What goes into HTTP headers: visible ASCII characters only. */
static int get_header_value(const struct secrets *secrets, const struct demand *demand,
                            struct buf *value, struct error *err)
{
    *value = BUF_SECRET(SECRETS_VALUE_MAX);
    if (get(secrets, demand, value, err) < 0)
        return -1;
    for (size_t i = 0; i < value->size; i++)
        if (value->data[i] <= ' ' || value->data[i] > '~')
            return error_set(err, ERROR_PERMANENT,
                             "%s '%s': the file '%s' in the secrets directory '%s' holds white "
                             "space or other characters that no credential has",
                             demand->field, demand->key, demand->key, secrets->directory);
    return 0;
}

static void region_field(char ret_field[FIELD_MAX], const struct policy_region *region,
                         const char *name)
{
    snprintf(ret_field, FIELD_MAX, "region '%.63s': %s.%s", region->name,
             region->store == POLICY_STORE_AZURE ? "azure" : "s3", name);
}

void secrets_s3_done(struct secrets_s3 *keys)
{
    buf_done(&keys->access_key_id);
    buf_done(&keys->secret_access_key);
    buf_done(&keys->session_token);
}

static int get_s3(const struct secrets *secrets, const struct policy_region *region,
                  struct secrets_s3 *keys, struct error *err)
{
    char field[FIELD_MAX];
    region_field(field, region, "credentials");
    const struct {
        const char *suffix;
        struct buf *value;
        bool optional;
    } parts[] = {{"access-key-id", &keys->access_key_id, false},
                 {"secret-access-key", &keys->secret_access_key, false},
                 {"session-token", &keys->session_token, true}};
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        char key[KEY_MAX];
        snprintf(key, sizeof(key), "%s.%s", region->s3.credentials, parts[i].suffix);
        struct demand demand = {field, key, add_it};
        if (get_header_value(secrets, &demand, parts[i].value, err) < 0 &&
            !(parts[i].optional && err->kind == ERROR_NOT_FOUND))
            return -1;
    }
    return 0;
}

int secrets_get_s3(const struct secrets *secrets, const struct policy_region *region,
                   struct secrets_s3 *ret_keys, struct error *err)
{
    struct secrets_s3 keys = {0};
    int result = get_s3(secrets, region, &keys, err);
    if (result < 0)
        secrets_s3_done(&keys);
    else
        *ret_keys = keys;
    return result;
}

void secrets_azure_done(struct secrets_azure *keys)
{
    buf_done(&keys->account_key);
    buf_done(&keys->sas_token);
}

/* 1: it is there; 0: it is not; -1: all else */
static int get_optional(const struct secrets *secrets, const struct demand *demand,
                        struct buf *value, struct error *err)
{
    if (get_header_value(secrets, demand, value, err) == 0)
        return 1;
    return err->kind == ERROR_NOT_FOUND ? 0 : -1;
}

int secrets_get_azure(const struct secrets *secrets, const struct policy_region *region,
                      struct secrets_azure *ret_keys, struct error *err)
{
    CLEANUP(secrets_azure_done) struct secrets_azure keys = {0};
    char field[FIELD_MAX], account_key[KEY_MAX], sas_token[KEY_MAX];
    region_field(field, region, "credentials");
    snprintf(account_key, sizeof(account_key), "%s.account-key", region->azure.credentials);
    snprintf(sas_token, sizeof(sas_token), "%s.sas-token", region->azure.credentials);
    const struct demand key = {field, account_key, add_it}, sas = {field, sas_token, add_it};
    int has_key = get_optional(secrets, &key, &keys.account_key, err);
    int has_sas = has_key < 0 ? -1 : get_optional(secrets, &sas, &keys.sas_token, err);
    if (has_sas < 0)
        return -1;
    if (!has_key && !has_sas)
        return error_set(err, ERROR_NOT_FOUND,
                         "%s '%s': neither a file '%s' nor '%s' in the secrets directory '%s': add "
                         "one there, or to the policy's Secret",
                         field, region->azure.credentials, account_key, sas_token,
                         secrets->directory);
    if (has_key && has_sas)
        return error_set(err, ERROR_PERMANENT,
                         "%s '%s': both '%s' and '%s' are in the secrets directory '%s': remove "
                         "the one that shall not be used",
                         field, region->azure.credentials, account_key, sas_token,
                         secrets->directory);
    *ret_keys = keys;
    keys = (struct secrets_azure){0};
    return 0;
}

int secrets_ca_path(const struct secrets *secrets, const struct policy_region *region,
                    char **ret_path, struct error *err)
{
    static const char begin[] = "-----BEGIN CERTIFICATE-----";
    const char *key = region->store == POLICY_STORE_S3      ? region->s3.ca_key
                      : region->store == POLICY_STORE_AZURE ? region->azure.ca_key
                                                            : NULL;
    *ret_path = NULL;
    if (!key)
        return 0;
    char field[FIELD_MAX];
    region_field(field, region, "caKey");
    CLEANUP(buf_done) struct buf text = BUF(CA_BYTES_MAX);
    struct demand demand = {field, key, add_it};
    if (get(secrets, &demand, &text, err) < 0)
        return -1;
    if (!memmem(text.data, text.size, begin, strlen(begin)))
        return error_set(err, ERROR_PERMANENT,
                         "%s '%s': the file '%s' in the secrets directory '%s' has no PEM "
                         "certificate ('%s')",
                         field, key, key, secrets->directory, begin);
    *ret_path = own_format("%s/%s", secrets->directory, key);
    return 0;
}

int secrets_get_user_key(const struct secrets *secrets, size_t index, const char *key,
                         struct buf *value, struct error *err)
{
    char field[FIELD_MAX];
    snprintf(field, sizeof(field), "spec.encryption.keys[%zu]", index);
    return get(secrets,
               &(struct demand){field, key,
                                "make one with 'openssl rand -base64 32', or take the "
                                "one that the backups were made with"},
               value, err);
}

int secrets_get(const struct secrets *secrets, const char *field, const char *key,
                struct buf *value, struct error *err)
{
    return get(secrets, &(struct demand){field, key, add_it}, value, err);
}

bool secrets_key_valid(const char *key)
{
    return !syntax_secret_key(key);
}

void secrets_closep(struct secrets **secrets)
{
    if (!*secrets)
        return;
    own_closep(&(*secrets)->fd);
    own_freep(&(*secrets)->directory);
    own_freep(secrets);
}

int secrets_open(struct secrets **ret_secrets, const char *directory, struct error *err)
{
    CLEANUP(secrets_closep) struct secrets *secrets = own_alloc(sizeof(*secrets));
    secrets->directory = own_strdup(directory);
    secrets->fd = -1;
    if (directory) {
        secrets->fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (secrets->fd < 0)
            return error_errno(err, errno, "open secrets directory '%s' (--secrets)", directory);
    }
    *ret_secrets = TAKE(secrets);
    return 0;
}
