// SPDX-License-Identifier: Apache-2.0
/*
 * When the CA and the server's certificate change (pure). A CA lives ten years; a year before its
 * end a successor enters the bundle, signs a week later, when every sidecar has learnt it, and the
 * old CA leaves the bundle when the last certificate that it signed has ended. Certificates live 90
 * days and are renewed after 60. All begin an hour before they are made, for clocks that are slow.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "operator/authority.h"

struct certificate_facts {
    int64_t now_ms;
    struct {
        struct authority_validity validity;
        bool has_key;
    } cas[AUTHORITY_CERTIFICATES_MAX]; /* the bundle */
    size_t ca_count;
    struct authority_validity server; /* valid only with an issuer */
    int issuer; /* the CA that accepts the server's certificate for all names; -1: none, or none */
};

struct certificate_plan {
    bool make_ca; /* it comes last, after those that are kept */
    struct authority_validity ca_validity;
    bool sign;
    size_t signer; /* among the facts' CAs; their count: the new one */
    struct authority_validity server_validity;
    bool keep[AUTHORITY_CERTIFICATES_MAX];     /* in the bundle */
    bool keep_key[AUTHORITY_CERTIFICATES_MAX]; /* it signs, or will */
};

struct certificate_plan plan_certificate(const struct certificate_facts *facts);
/* Whether it asks for any change. */
bool plan_certificate_changes(const struct certificate_plan *plan,
                              const struct certificate_facts *facts);
