// SPDX-License-Identifier: Apache-2.0
#include "sidecar/configuration.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/digest.h"
#include "common/log.h"
#include "common/own.h"
#include "common/text.h"
#include "common/yaml.h"
#include "sidecar/policy.h"
#include "sidecar/secrets.h"

enum { ENDPOINT_BYTES_MAX = 512, CA_BYTES_MAX = 256 * 1024 };

static const char data_link[] = "..data";

/* Of directories of the kind that Kubernetes mounts, what the link points to now; of others, made
 * by hand, the directory itself. -1: neither is there. */
static int open_content(const char *directory)
{
    CLEANUP(own_freep) char *link = own_format("%s/%s", directory, data_link);
    const int fd = open(link, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return fd >= 0 ? fd : open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* Changes whenever a file is replaced, written, added or removed. */
static void add_look(struct digest *digest, int directory, const char *name)
{
    struct stat st;
    int64_t look[5] = {0};
    if (directory >= 0 && fstatat(directory, name, &st, 0) == 0) {
        look[0] = (int64_t)st.st_dev;
        look[1] = (int64_t)st.st_ino;
        look[2] = (int64_t)st.st_size;
        look[3] = (int64_t)st.st_mtim.tv_sec;
        look[4] = (int64_t)st.st_mtim.tv_nsec;
    }
    digest_update_field(digest, look, sizeof(look));
}

static uint64_t look_at(const struct configuration *configuration, int content)
{
    static const char *const names[] = {".", "policy.yaml", "endpoint", "ca.crt"};
    CLEANUP(digest_freep) struct digest *digest = digest_new();
    CLEANUP(own_closep) int secrets = open_content(configuration->secrets);
    uint8_t hash[DIGEST_BYTES];
    uint64_t seen;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        add_look(digest, content, names[i]);
    add_look(digest, secrets, ".");
    digest_get(digest, hash);
    memcpy(&seen, hash, sizeof(seen));
    return seen ? seen : 1;
}

/* Reading */

static int check_region(const struct policy_region *region, const struct secrets *secrets,
                        struct error *err)
{
    CLEANUP(secrets_s3_done) struct secrets_s3 s3 = {0};
    CLEANUP(secrets_azure_done) struct secrets_azure azure = {0};
    CLEANUP(own_freep) char *ca = NULL;
    if (region->store == POLICY_STORE_S3 && region->s3.auth == POLICY_S3_STATIC &&
        secrets_get_s3(secrets, region, &s3, err) < 0)
        return -1;
    if (region->store == POLICY_STORE_AZURE && region->azure.credentials &&
        secrets_get_azure(secrets, region, &azure, err) < 0)
        return -1;
    return secrets_ca_path(secrets, region, &ca, err);
}

/* All that the policy wants of the Secret, so that what is missing is told before it is needed. */
static int check_secrets(const struct policy *policy, const char *directory, struct error *err)
{
    CLEANUP(secrets_closep) struct secrets *secrets = NULL;
    CLEANUP(buf_done) struct buf value = BUF_SECRET(SECRETS_VALUE_MAX);
    const struct policy_encryption *encryption = &policy->encryption;
    if (secrets_open(&secrets, directory, err) < 0)
        return -1;
    for (size_t i = 0; i < encryption->key_count; i++)
        if (secrets_get_user_key(secrets, i, encryption->keys[i], &value, err) < 0)
            return -1;
    for (size_t i = 0; i < policy->region_count; i++)
        if (check_region(&policy->regions[i], secrets, err) < 0)
            return -1;
    const char *password = policy->connection.password_key;
    return password ? secrets_get(secrets, "spec.connection.passwordKey", password, &value, err)
                    : 0;
}

/* What is mounted may go at any time, this stays. */
static int keep_file(const struct buf *text, int *ret_file, struct error *err)
{
    CLEANUP(own_closep) int file = memfd_create("policy.yaml", MFD_CLOEXEC);
    if (file < 0)
        return error_errno(err, errno, "make a copy of policy.yaml");
    if (buf_pwrite(file, text->data, text->size, 0, err) < 0)
        return error_wrap(err, "make a copy of policy.yaml");
    *ret_file = TAKE_FD(file);
    return 0;
}

static int read_policy(int content, struct policy **ret_policy, int *ret_file, struct error *err)
{
    CLEANUP(buf_done) struct buf text = BUF(YAML_BYTES_MAX);
    if (buf_read_file(&text, content, "policy.yaml", err) < 0 ||
        policy_parse(ret_policy, "policy.yaml", (const char *)text.data, text.size, err) < 0)
        return -1;
    return keep_file(&text, ret_file, err);
}

static void load_policy(struct configuration *configuration, int content)
{
    CLEANUP(policy_freep) struct policy *policy = NULL;
    CLEANUP(own_closep) int file = -1;
    struct error *err = &configuration->problem;
    *err = (struct error){0};
    configuration->usable = false;
    if (content < 0 || read_policy(content, &policy, &file, err) < 0) {
        if (content < 0 || err->kind == ERROR_NOT_FOUND)
            error_set(err, ERROR_NOT_FOUND,
                      "no policy.yaml in '%s': the operator keeps it in the ConfigMap "
                      "lifeboat-<policy>, which must be mounted there",
                      configuration->directory);
        return;
    }
    policy_freep(&configuration->policy);
    configuration->policy = TAKE(policy);
    own_closep(&configuration->policy_file);
    configuration->policy_file = TAKE_FD(file);
    configuration->generation = configuration->policy->generation;
    configuration->usable = true;
    if (check_secrets(configuration->policy, configuration->secrets, err) == 0)
        *err = (struct error){0};
}

/* A small file as text without white space at its end; NULL if there is none. */
static char *load_text(int content, const char *name, size_t limit)
{
    CLEANUP(buf_done) struct buf text = BUF(limit);
    struct error err;
    if (content < 0)
        return NULL;
    if (buf_read_file(&text, content, name, &err) < 0) {
        if (err.kind != ERROR_NOT_FOUND)
            log_error(&err, "Could not read a file of the configuration", S("file", name));
        return NULL;
    }
    while (text.size > 0 && strchr(" \t\r\n", text.data[text.size - 1]))
        text.size--;
    return text.size > 0 ? buf_string(&text) : NULL;
}

/* What is not there any more stays: a job that outlives its policy still has to tell its end, and
 * to hear that nobody wants it. */
static void refresh_text(char **text, int content, const char *name, size_t limit)
{
    char *loaded = load_text(content, name, limit);
    if (!loaded)
        return;
    own_freep(text);
    *text = loaded;
}

char *configuration_policy_path(const struct configuration *configuration)
{
    return own_format("%s/policy.yaml", configuration->directory);
}

static void report(const struct configuration *configuration)
{
    const struct error *problem = &configuration->problem;
    if (problem->kind == ERROR_NONE)
        log_info("Read the configuration", I("generation", configuration->generation),
                 S("policy", configuration->policy->name), S("endpoint", configuration->endpoint));
    else
        log_warn("Something is wrong with the configuration", S("error", problem->text),
                 S("endpoint", configuration->endpoint));
}

bool configuration_refresh(struct configuration *configuration)
{
    CLEANUP(own_closep) int content = open_content(configuration->directory);
    const uint64_t seen = look_at(configuration, content);
    if (seen == configuration->seen)
        return false;
    configuration->seen = seen;
    refresh_text(&configuration->endpoint, content, "endpoint", ENDPOINT_BYTES_MAX);
    refresh_text(&configuration->ca, content, "ca.crt", CA_BYTES_MAX);
    load_policy(configuration, content);
    report(configuration);
    return true;
}

void configuration_done(struct configuration *configuration)
{
    policy_freep(&configuration->policy);
    own_closep(&configuration->policy_file);
    own_freep(&configuration->endpoint);
    own_freep(&configuration->ca);
}

void configuration_init(struct configuration *ret_configuration, const char *directory,
                        const char *secrets)
{
    *ret_configuration =
        (struct configuration){.directory = directory, .secrets = secrets, .policy_file = -1};
}
