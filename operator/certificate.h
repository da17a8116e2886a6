// SPDX-License-Identifier: Apache-2.0
/*
 * The certificate of the channel: a CA and a server certificate (authority, plan_certificate) in
 * the Secret lifeboat-tls of the operator's namespace, shared by all replicas; made by the leader,
 * renewed by it long before they end. The Secret is of type kubernetes.io/tls with ca.crt (the
 * bundle), ca.key (keys of the CAs that sign or will), tls.crt and tls.key. Parts that are damaged
 * or lost are made anew, the rest is kept; a Secret that is not labelled as ours is never touched.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"

struct certificate;
struct kube;

struct certificate_options { /* lent for the life of the certificate */
    struct kube *kube;
    const char *namespace;
    const char *const *names; /* DNS names of the server below <namespace>.svc, NULL-terminated */
};

struct certificate *certificate_new(const struct certificate_options *options);
void certificate_freep(struct certificate **certificate);

/* Reads the Secret; as leader (may_write) makes or renews what it lacks. 1: the server certificate
 * or the bundle changed since the last call; 0: not; TRANSIENT; PERMANENT: the Secret is not ours
 * or, for a follower, not usable. What was there before stays in use. Call it now and then, from
 * one thread at a time. */
MUST_CHECK int certificate_refresh(struct certificate *certificate, bool may_write, int64_t now_ms,
                                   struct error *err);
bool certificate_ready(struct certificate *certificate);
/* PEM, copies of the caller's (own_freep; the key: authority_wipe): the chain and key for the
 * server, the bundle for the ConfigMaps. NULL before it is ready. */
char *certificate_chain(struct certificate *certificate);
char *certificate_key(struct certificate *certificate);
char *certificate_bundle(struct certificate *certificate);
