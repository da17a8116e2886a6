// SPDX-License-Identifier: Apache-2.0
/*
 * The certificate of the channel: a CA and a server certificate (ECDSA P-256) in the Secret
 * lifeboat-tls of the operator's namespace, shared by all replicas; made by the leader, renewed by
 * it long before they end; while the CA changes, the bundle holds the old and the new one, and the
 * new one signs only after every sidecar had time to learn it. Only this module (and common/digest)
 * speaks to OpenSSL here.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"

struct certificate;
struct kube;

struct certificate_options {
    struct kube *kube;
    const char *namespace;
    const char *const *names; /* DNS names of the server, NULL-terminated */
};

struct certificate *certificate_new(const struct certificate_options *options);
void certificate_freep(struct certificate **certificate);

/* Reads the Secret; as leader (may_write) makes or renews what it lacks. 1: the server certificate
 * or the bundle changed since the last call; 0: not; TRANSIENT, PERMANENT. Call it now and then. */
MUST_CHECK int certificate_refresh(struct certificate *certificate, bool may_write, int64_t now_ms,
                                   struct error *err);
bool certificate_ready(struct certificate *certificate);
/* PEM, copies of the caller's (own_freep; the key is wiped by buf if the caller keeps it): the
 * chain and key for the server, the bundle for the ConfigMaps. NULL before it is ready. */
char *certificate_chain(struct certificate *certificate);
char *certificate_key(struct certificate *certificate);
char *certificate_bundle(struct certificate *certificate);
