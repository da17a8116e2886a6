// SPDX-License-Identifier: Apache-2.0
/* An endpoint "host:port" and the addresses that its name stands for. */
#pragma once

#include <stddef.h>

#include "common/error.h"

enum { CHANNEL_HOST_BYTES = 254, CHANNEL_ADDRESS_BYTES = 64, CHANNEL_ADDRESSES_MAX = 16 };

struct channel_addresses {
    char host[CHANNEL_HOST_BYTES]; /* the name, as the certificate has it */
    int port;
    char items[CHANNEL_ADDRESSES_MAX][CHANNEL_ADDRESS_BYTES]; /* numeric, IPv4 or IPv6 */
    size_t count;                                             /* at least 1 */
};

/* Reads host and port, pure; an IPv6 address is in brackets. PERMANENT. */
MUST_CHECK int channel_endpoint_parse(const char *endpoint, struct channel_addresses *ret_addresses,
                                      struct error *err);
/* The same and asks for the addresses (getaddrinfo(3), which waits as long as resolv.conf(5) says).
 * TRANSIENT: there are none now. */
MUST_CHECK int channel_endpoint_resolve(const char *endpoint,
                                        struct channel_addresses *ret_addresses, struct error *err);
