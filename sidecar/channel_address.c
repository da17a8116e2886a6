// SPDX-License-Identifier: Apache-2.0
#include "sidecar/channel_address.h"

#include <netdb.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/own.h"

enum { PORT_MAX = 65535, PORT_DIGITS = 5 };

static int parse_port(const char *text)
{
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > PORT_DIGITS || text[digits] != '\0')
        return 0;
    long port = strtol(text, NULL, 10);
    return port <= PORT_MAX ? (int)port : 0;
}

int channel_endpoint_parse(const char *endpoint, struct channel_addresses *ret_addresses,
                           struct error *err)
{
    const char *colon = strrchr(endpoint, ':');
    int port = colon ? parse_port(colon + 1) : 0;
    size_t size = colon ? (size_t)(colon - endpoint) : 0;
    bool bracketed = size > 2 && endpoint[0] == '[' && endpoint[size - 1] == ']';
    const char *host = bracketed ? endpoint + 1 : endpoint;
    size -= bracketed ? 2 : 0;
    if (port == 0 || size == 0 || size >= CHANNEL_HOST_BYTES ||
        (!bracketed && memchr(host, ':', size)))
        return error_set(err, ERROR_PERMANENT, "endpoint '%s': expected <host>:<port>", endpoint);
    memcpy(ret_addresses->host, host, size);
    ret_addresses->host[size] = '\0';
    ret_addresses->port = port;
    ret_addresses->count = 0;
    return 0;
}

static void free_info(struct addrinfo **info)
{
    if (*info)
        freeaddrinfo(*info);
}

static void take_addresses(const struct addrinfo *info, struct channel_addresses *addresses)
{
    for (; info && addresses->count < CHANNEL_ADDRESSES_MAX; info = info->ai_next) {
        char *item = addresses->items[addresses->count];
        if (getnameinfo(info->ai_addr, info->ai_addrlen, item, CHANNEL_ADDRESS_BYTES, NULL, 0,
                        NI_NUMERICHOST) == 0)
            addresses->count++;
    }
}

int channel_endpoint_resolve(const char *endpoint, struct channel_addresses *ret_addresses,
                             struct error *err)
{
    CLEANUP(free_info) struct addrinfo *info = NULL;
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    if (channel_endpoint_parse(endpoint, ret_addresses, err) < 0)
        return -1;
    int failure = getaddrinfo(ret_addresses->host, NULL, &hints, &info);
    if (failure != 0)
        return error_set(err, ERROR_TRANSIENT, "resolve '%s': %s", ret_addresses->host,
                         gai_strerror(failure));
    take_addresses(info, ret_addresses);
    if (ret_addresses->count == 0)
        return error_set(err, ERROR_TRANSIENT, "resolve '%s': no address", ret_addresses->host);
    return 0;
}
