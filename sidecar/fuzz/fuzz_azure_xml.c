// SPDX-License-Identifier: Apache-2.0
/* Azure's XML, as a hostile or broken store may send it. */
#include <assert.h>
#include <string.h>

#include "common/own.h"
#include "sidecar/azure_xml.h"
#include "sidecar/store_page.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_listing(const uint8_t *data, size_t size)
{
    struct error err;
    CLEANUP(store_page_done) struct store_page page = {0};
    if (azure_xml_parse_listing(&page, data, size, &err) < 0) {
        assert(err.kind == ERROR_CORRUPT);
        return;
    }
    assert(page.count <= STORE_PAGE_OBJECTS_MAX);
    for (size_t i = 0; i < page.count; i++) {
        assert(page.objects[i].key);
        assert(i == 0 || strcmp(page.objects[i - 1].key, page.objects[i].key) <= 0);
    }
}

static void check_error(const uint8_t *data, size_t size)
{
    struct azure_xml_error error;
    if (!azure_xml_parse_error(&error, data, size))
        return;
    assert(error.code[0] && strlen(error.code) < sizeof(error.code));
    assert(strlen(error.message) < sizeof(error.message));
    assert(strlen(error.detail) < sizeof(error.detail));
    assert(!strpbrk(error.message, "\r\n\x1b"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_listing(data, size);
    check_error(data, size);
    return 0;
}
