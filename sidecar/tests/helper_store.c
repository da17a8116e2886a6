// SPDX-License-Identifier: Apache-2.0
#include "sidecar/tests/helper_store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "common/backoff.h"
#include "common/buf.h"
#include "common/own.h"
#include "sidecar/secrets.h"
#include "common/tests/helper_directory.h"

enum { OBJECT_MAX = 16 << 20, NAMES_MAX = 4096 };

struct names {
    char *items[NAMES_MAX];
    size_t count;
};

static int add_name(void *arg, const struct store_object *object, struct error *err)
{
    struct names *names = arg;
    (void)err;
    assert_true(names->count < NAMES_MAX);
    names->items[names->count++] = own_strdup(object->name);
    return 0;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void list_names(struct store *store, const char *prefix, enum store_depth depth,
                       struct names *names)
{
    struct error err;
    if (store_list(store, prefix, depth, add_name, names, &err) < 0)
        fail_msg("%s", err.text);
    qsort(names->items, names->count, sizeof(*names->items), compare_names);
}

static void copy_file(const char *from, const char *directory, const char *name)
{
    CLEANUP(buf_done) struct buf text = BUF(1 << 16);
    struct error err;
    assert_int_equal(buf_read_file(&text, AT_FDCWD, from, &err), 0);
    CLEANUP(own_freep) char *string = buf_string(&text);
    helper_directory_write(directory, name, string);
}

/* A temporary directory and what all stores have. */
static void start(struct helper_store *helper)
{
    struct error err;
    *helper = (struct helper_store){.directory = helper_directory_new()};
    assert_int_equal(cancel_init(&helper->cancel, &err), 0);
    helper->region.name = "test";
}

static void open_store(struct helper_store *helper)
{
    struct error err;
    if (store_open(&helper->store, &helper->region, helper->secrets, &helper->cancel, &err) < 0)
        fail_msg("%s", err.text);
    helper->store->backoff_ms = 0;
}

static const char *environment(const char *name)
{
    char variable[64];
    snprintf(variable, sizeof(variable), "LIFEBOAT_TEST_S3_%s", name);
    return getenv(variable);
}

void helper_store_open_file(struct helper_store *helper)
{
    start(helper);
    snprintf(helper->objects, sizeof(helper->objects), "%s/objects", helper->directory);
    assert_int_equal(mkdir(helper->objects, 0700), 0);
    helper->region.store = POLICY_STORE_FILE;
    helper->region.file_path = helper->objects;
    open_store(helper);
}

void helper_store_open_s3(struct helper_store *helper, const struct policy_s3 *s3,
                          const char *access_key, const char *secret_key)
{
    struct error err;
    start(helper);
    helper->region.store = POLICY_STORE_S3;
    helper->region.s3 = *s3;
    helper->region.s3.credentials = s3->auth == POLICY_S3_STATIC ? "eu" : NULL;
    snprintf(helper->prefix, sizeof(helper->prefix), "tests/%08x", backoff_random());
    if (!s3->prefix)
        helper->region.s3.prefix = helper->prefix;
    helper_directory_write(helper->directory, "eu.access-key-id", access_key);
    helper_directory_write(helper->directory, "eu.secret-access-key", secret_key);
    if (s3->ca_key) { /* a path until now */
        copy_file(s3->ca_key, helper->directory, "eu.ca.crt");
        helper->region.s3.ca_key = "eu.ca.crt";
    }
    assert_int_equal(secrets_open(&helper->secrets, helper->directory, &err), 0);
    open_store(helper);
}

void helper_store_open_azure(struct helper_store *helper, const struct policy_azure *azure,
                             const char *suffix, const char *text)
{
    struct error err;
    char key[32];
    start(helper);
    helper->region.store = POLICY_STORE_AZURE;
    helper->region.azure = *azure;
    snprintf(helper->prefix, sizeof(helper->prefix), "tests/%08x", backoff_random());
    if (!azure->prefix)
        helper->region.azure.prefix = helper->prefix;
    if (suffix) {
        helper->region.azure.credentials = "eu";
        snprintf(key, sizeof(key), "eu.%s", suffix);
        helper_directory_write(helper->directory, key, text);
    }
    if (azure->ca_key) { /* a path until now */
        copy_file(azure->ca_key, helper->directory, "eu.ca.crt");
        helper->region.azure.ca_key = "eu.ca.crt";
    }
    assert_int_equal(secrets_open(&helper->secrets, helper->directory, &err), 0);
    open_store(helper);
}

struct policy_s3 helper_store_s3_of_environment(bool path_style)
{
    return (struct policy_s3){
        .bucket = environment("BUCKET"),
        .endpoint = environment(path_style ? "ENDPOINT" : "HOST_ENDPOINT"),
        .region = "us-east-1",
        .path_style = path_style,
        .ca_key = environment("CA"),
    };
}

void helper_store_open_environment(struct helper_store *helper, bool path_style)
{
    const struct policy_s3 s3 = helper_store_s3_of_environment(path_style);
    helper_store_open_s3(helper, &s3, environment("ACCESS_KEY"), environment("SECRET_KEY"));
}

void helper_store_close(struct helper_store *helper)
{
    store_closep(&helper->store);
    secrets_closep(&helper->secrets);
    cancel_done(&helper->cancel);
    helper_directory_remove(helper->directory);
}

struct store_bytes helper_store_bytes(const void *data, size_t size)
{
    struct store_bytes bytes = {.data = data, .size = size};
    digest_sha256(data, size, bytes.sha256);
    return bytes;
}

struct store_bytes helper_store_text(const char *text)
{
    return helper_store_bytes(text, strlen(text));
}

char *helper_store_names(struct store *store, const char *prefix, enum store_depth depth)
{
    CLEANUP(own_freep) struct names *names = own_alloc(sizeof(*names));
    CLEANUP(buf_done) struct buf text = BUF(1 << 20);
    struct error err;
    list_names(store, prefix, depth, names);
    for (size_t i = 0; i < names->count; i++) {
        assert_int_equal(buf_format(&text, &err, "%s ", names->items[i]), 0);
        own_freep(&names->items[i]);
    }
    return buf_string(&text);
}

void helper_store_assert_put(struct store *store, const char *name, const char *text)
{
    struct error err;
    const struct store_bytes bytes = helper_store_text(text);
    if (store_put(store, name, &bytes, &err) < 0)
        fail_msg("%s", err.text);
}

void helper_store_assert_content(struct store *store, const char *name, const char *text)
{
    struct error err;
    CLEANUP(buf_done) struct buf data = BUF(OBJECT_MAX);
    if (store_get_all(store, name, &data, &err) < 0)
        fail_msg("%s", err.text);
    CLEANUP(own_freep) char *string = buf_string(&data);
    assert_string_equal(string, text);
}
