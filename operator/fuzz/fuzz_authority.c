// SPDX-License-Identifier: Apache-2.0
/* Reads any text as the PEM of a Secret, as both bundle and keys. Bad bytes are CORRUPT and nothing
 * else; what is read is read again the same. */
#include <stdlib.h>
#include <string.h>

#include "common/own.h"
#include "operator/authority.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool held)
{
    if (!held)
        abort();
}

static void read_again(const struct authority_certificate *certificate)
{
    struct authority_certificate again[AUTHORITY_CERTIFICATES_MAX];
    size_t count;
    struct error err;
    expect(authority_parse(certificate->pem, again, &count, &err) == 0 && count == 1);
    expect(strcmp(again[0].pem, certificate->pem) == 0);
    expect(again[0].validity.until_ms == certificate->validity.until_ms);
    own_freep(&again[0].pem);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"lifeboat-channel.shop.svc", NULL};
    CLEANUP(own_freep) char *text = own_alloc(size + 1);
    if (size > 0)
        memcpy(text, data, size);
    struct authority_certificate certificates[AUTHORITY_CERTIFICATES_MAX];
    size_t count = 0;
    struct error err = {0};
    if (authority_parse(text, certificates, &count, &err) < 0) {
        expect(err.kind == ERROR_CORRUPT);
        return 0;
    }
    for (size_t i = 0; i < count; i++) {
        char *key = authority_find_key(text, certificates[i].pem);
        authority_wipe(&key);
        (void)authority_accepts(certificates[0].pem, certificates[i].pem, names, 0);
        read_again(&certificates[i]);
    }
    for (size_t i = 0; i < count; i++)
        own_freep(&certificates[i].pem);
    return 0;
}
