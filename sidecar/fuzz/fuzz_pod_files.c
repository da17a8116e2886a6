// SPDX-License-Identifier: Apache-2.0
/* What others write into a pod: PostgreSQL its postmaster.pid, the operator its endpoint. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/own.h"
#include "sidecar/channel_address.h"
#include "sidecar/postmaster_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool held)
{
    if (!held)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct channel_addresses addresses;
    struct error err;
    CLEANUP(own_freep) char *text = own_alloc(size + 1);
    if (size > 0)
        memcpy(text, data, size);
    const struct postmaster_file file = postmaster_file_parse(text);
    expect(file.started_s >= 0 && file.status <= POSTMASTER_STOPPING);
    if (channel_endpoint_parse(text, &addresses, &err) < 0) {
        expect(err.kind == ERROR_PERMANENT);
        return 0;
    }
    expect(addresses.host[0] != '\0' && strlen(addresses.host) < CHANNEL_HOST_BYTES);
    expect(addresses.port > 0 && addresses.port < 65536);
    return 0;
}
