// SPDX-License-Identifier: Apache-2.0
/* repository.json, the one object that is read before there is a key. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/own.h"
#include "sidecar/repo_document.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool held)
{
    if (!held)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(repo_document_done) struct repo_document document = {0};
    CLEANUP(repo_document_done) struct repo_document again = {0};
    struct error err;
    uint8_t id[DIGEST_BYTES], id_again[DIGEST_BYTES];
    if (repo_document_parse(data, size, &document, &err) < 0) {
        expect(err.kind == ERROR_CORRUPT || err.kind == ERROR_PERMANENT);
        return 0;
    }
    CLEANUP(own_freep) char *text = repo_document_format(&document);
    expect(repo_document_parse(text, strlen(text), &again, &err) == 0);
    expect(repo_document_same(&again, &document, &err) == 0);
    repo_document_id(&document, id);
    repo_document_id(&again, id_again);
    expect(memcmp(id, id_again, sizeof(id)) == 0);
    return 0;
}
