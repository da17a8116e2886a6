// SPDX-License-Identifier: Apache-2.0
/*
 * HTTP/1.1 requests over libcurl. One struct http serves any number of threads; connections are
 * kept and reused. TLS (1.2 at least) is always verified, redirects are not followed, a proxy is
 * used as the environment says (curl(1), "ENVIRONMENT"). A request that was cancelled or timed out
 * leaves no trace but a closed connection; none with a body is ever sent twice.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/error.h"

struct cancel;
struct http;
struct throttle;

struct http_options {
    const struct cancel *cancel; /* lent for the life of the http */
    const char *ca_file;         /* PEM; NULL: the system's */
    const char *ca_pem;          /* instead of ca_file: the PEM itself; lent as cancel is */
    const char *certificate_pem; /* who we are: a chain and its key, both PEM and lent; NULL: */
    const char *key_pem;         /* nobody */
    bool direct;                 /* past the proxies of the environment */
    int connect_timeout_ms;      /* 0: 10 s */
    int stall_timeout_ms;        /* no byte of a body either way for so long: TRANSIENT; 0: 30 s */
};

struct http_request {
    const char *method; /* "GET", "PUT" … */
    const char *url;
    const char *const *headers; /* "Name: value", NULL-terminated, may be NULL */
    const void *body;           /* lent; NULL: none, not even an empty one */
    size_t body_size;
    size_t response_max;  /* bytes of response body that are accepted, a larger one is PERMANENT */
    int stall_timeout_ms; /* 0: that of the http; longer where silence is normal */
    int timeout_ms;       /* for all of the request, TRANSIENT; 0: none */
    /* NULL: the body is kept. Else that of an answer with status 2xx goes here piece by piece as it
     * comes, however long it is; other bodies are kept. -1 ends the request with the error set. */
    int (*sink)(void *arg, const void *data, size_t size, struct error *err);
    void *sink_arg;
    /* NULL: none; called with the bytes of body that moved, either way, since the last call */
    void (*progress)(void *arg, size_t bytes_moved);
    void *progress_arg;
    /* Of the bytes of bodies; NULL: none. Waiting for them is no stall. */
    struct throttle *send_limit, *receive_limit;
};

struct http_response {
    int status;
    struct buf body;
    struct buf headers; /* "name: value\n" lines, names in lower case */
};

/* PERMANENT: the CA file cannot be read. */
MUST_CHECK int http_new(struct http **ret_http, const struct http_options *options,
                        struct error *err);
void http_freep(struct http **http);

/* 0 with any status that a server sent; TRANSIENT: resolve, connect, reset, time-out, truncated;
 * PERMANENT: certificate, key, URL, size; CANCELED. The response is the caller's, zeroed before its
 * first use (http_response_done frees), also reusable: its memory is kept. A body is read straight
 * into response->body. */
MUST_CHECK int http_perform(struct http *http, const struct http_request *request,
                            struct http_response *response, struct error *err);
void http_response_done(struct http_response *response);
/* A header's value (name in lower case), copied into value; NULL if there is none or it does not
 * fit. */
const char *http_header(const struct http_response *response, const char *name, char *value,
                        size_t value_size);
