// SPDX-License-Identifier: Apache-2.0
/* The answers of S3 and of STS, as a hostile or broken store may send them. */
#include <assert.h>
#include <string.h>

#include "common/own.h"
#include "sidecar/credential.h"
#include "sidecar/s3_key.h"
#include "sidecar/s3_xml.h"
#include "sidecar/store_page.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_listing(const uint8_t *data, size_t size)
{
    struct error err;
    CLEANUP(store_page_done) struct store_page listing = {0};
    if (s3_xml_parse_listing(&listing, data, size, &err) < 0) {
        assert(err.kind == ERROR_CORRUPT);
        return;
    }
    assert(listing.count <= STORE_PAGE_OBJECTS_MAX);
    for (size_t i = 0; i < listing.count; i++) {
        assert(listing.objects[i].key);
        assert(i == 0 || strcmp(listing.objects[i - 1].key, listing.objects[i].key) <= 0);
    }
}

static void check_error(const uint8_t *data, size_t size)
{
    struct s3_xml_error error;
    if (!s3_xml_parse_error(&error, data, size))
        return;
    assert(error.code[0] && strlen(error.code) < sizeof(error.code));
    assert(strlen(error.message) < sizeof(error.message));
}

static void check_lock(const uint8_t *data, size_t size)
{
    struct error err;
    bool enabled;
    if (s3_xml_parse_lock(&enabled, data, size, &err) < 0)
        assert(err.kind == ERROR_CORRUPT);
}

static void check_key(const uint8_t *data, size_t size)
{
    struct error err;
    CLEANUP(credential_done) struct credential key = {0};
    if (s3_xml_parse_key(&key, data, size, &err) < 0) {
        assert(err.kind == ERROR_CORRUPT);
        return;
    }
    assert(key.id.size > 0 && key.secret.size > 0);
    assert(!strpbrk(credential_text(&key.session), "\r\n "));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_lock(data, size);
    check_key(data, size);
    check_listing(data, size);
    check_error(data, size);
    return 0;
}
