// SPDX-License-Identifier: Apache-2.0
/*
 * An API server on loopback that answers by a script, one step a request, also wrongly; and the
 * client that speaks to it. For what a real one does not do when a test asks for it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"

struct cancel;
struct kube;
struct kube_config;

enum script_end {
    SCRIPT_END,  /* as it should be */
    SCRIPT_DROP, /* closed in the middle */
    SCRIPT_HOLD, /* goes on, silent */
};

enum { SCRIPT_CHUNKS = 8, SCRIPT_REQUEST_BYTES = 8192 };

struct script_step {
    const char *wants;  /* "GET /api/v1/pods?limit=500": how the request begins; else 400 */
    int status;         /* 0: 200 */
    const char *fields; /* "Name: value\r\n" each; may be NULL */
    const char *body;   /* NULL: chunks; without these, and not to hold: a reset */
    const char *chunks[SCRIPT_CHUNKS]; /* each sent for itself */
    enum script_end end;               /* of chunks */
};

struct script_server;

/* steps are lent; what comes after them is never answered. */
struct script_server *script_server_new(const struct script_step *steps, size_t count);
void script_server_freep(struct script_server **server);
/* How many steps were answered. */
size_t script_server_steps(const struct script_server *server);
/* The first request that was not what its step wants; NULL: none. */
const char *script_server_surprise(const struct script_server *server);
/* The last request, head and body; for when it has been answered. */
const char *script_server_request(const struct script_server *server);
/* A configuration for it; user is the members of the kubeconfig's user ("token: x"). */
struct kube_config *script_server_config(const struct script_server *server, const char *user);
