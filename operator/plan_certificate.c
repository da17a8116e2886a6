// SPDX-License-Identifier: Apache-2.0
#include "operator/plan_certificate.h"

#define DAY_MS INT64_C(86400000)

static const int64_t backdate_ms = DAY_MS / 24;
static const int64_t ca_life_ms = 3650 * DAY_MS;
static const int64_t ca_renew_ms = 365 * DAY_MS; /* before its end */
static const int64_t ca_overlap_ms = 7 * DAY_MS; /* in the bundle before it signs */
static const int64_t server_life_ms = 90 * DAY_MS;
static const int64_t server_reserve_ms = 1 * DAY_MS; /* of life that waiting leaves */

enum { BUNDLE_MAX = 4 /* more come together only if keys are lost again and again */ };

static bool is_valid(const struct certificate_facts *facts, size_t ca)
{
    const struct authority_validity *validity = &facts->cas[ca].validity;
    return validity->from_ms <= facts->now_ms && facts->now_ms < validity->until_ms;
}

static bool can_sign(const struct certificate_facts *facts, size_t ca)
{
    return facts->cas[ca].has_key && is_valid(facts, ca);
}

static int64_t settled_at(const struct certificate_facts *facts, size_t ca)
{
    return facts->cas[ca].validity.from_ms + backdate_ms + ca_overlap_ms;
}

static bool is_newer(const struct certificate_facts *facts, size_t ca, size_t than)
{
    return facts->cas[ca].validity.from_ms > facts->cas[than].validity.from_ms;
}

/* The newest that everybody knows, else the oldest that can sign, else the one to be made. */
static size_t choose_signer(const struct certificate_facts *facts)
{
    size_t settled = facts->ca_count, oldest = facts->ca_count;
    for (size_t i = 0; i < facts->ca_count; i++) {
        if (!can_sign(facts, i))
            continue;
        if (settled_at(facts, i) <= facts->now_ms &&
            (settled == facts->ca_count || is_newer(facts, i, settled)))
            settled = i;
        if (oldest == facts->ca_count || is_newer(facts, oldest, i))
            oldest = i;
    }
    return settled < facts->ca_count ? settled : oldest;
}

static bool lacks_ca(const struct certificate_facts *facts)
{
    for (size_t i = 0; i < facts->ca_count; i++)
        if (can_sign(facts, i) && facts->cas[i].validity.until_ms - facts->now_ms > ca_renew_ms)
            return false;
    return true;
}

static bool must_sign(const struct certificate_facts *facts, size_t signer)
{
    if (facts->issuer < 0)
        return true;
    bool settled = signer < facts->ca_count && settled_at(facts, signer) <= facts->now_ms;
    bool better = settled && signer != (size_t)facts->issuer;
    int64_t life_ms = facts->server.until_ms - facts->server.from_ms;
    int64_t left_ms = facts->server.until_ms - facts->now_ms;
    bool known = settled || signer == (size_t)facts->issuer;
    bool aged = left_ms < life_ms / 3 && (known || left_ms < server_reserve_ms);
    return better || aged;
}

/* Clients may meet a certificate that this CA signed. */
static bool is_needed(const struct certificate_facts *facts, const struct certificate_plan *plan,
                      size_t ca)
{
    if (!is_valid(facts, ca))
        return false;
    if (plan->signer == facts->ca_count || ca == plan->signer || is_newer(facts, ca, plan->signer))
        return true;
    if ((int)ca == facts->issuer && !plan->sign)
        return true;
    return facts->now_ms < settled_at(facts, plan->signer) + server_life_ms;
}

/* Drops the oldest that neither signs nor signed until there is room for a new one. */
static void bound_bundle(const struct certificate_facts *facts, struct certificate_plan *plan)
{
    for (;;) {
        size_t kept = plan->make_ca, oldest = facts->ca_count;
        for (size_t i = 0; i < facts->ca_count; i++) {
            kept += plan->keep[i];
            if (plan->keep[i] && i != plan->signer && (int)i != facts->issuer &&
                (oldest == facts->ca_count || is_newer(facts, oldest, i)))
                oldest = i;
        }
        if (kept <= BUNDLE_MAX || oldest == facts->ca_count)
            return;
        plan->keep[oldest] = plan->keep_key[oldest] = false;
    }
}

static struct authority_validity server_validity(const struct certificate_facts *facts,
                                                 const struct certificate_plan *plan)
{
    struct authority_validity validity = {facts->now_ms - backdate_ms,
                                          facts->now_ms + server_life_ms};
    int64_t ca_until_ms = plan->signer < facts->ca_count
                              ? facts->cas[plan->signer].validity.until_ms
                              : plan->ca_validity.until_ms;
    if (validity.until_ms > ca_until_ms)
        validity.until_ms = ca_until_ms;
    return validity;
}

bool plan_certificate_changes(const struct certificate_plan *plan,
                              const struct certificate_facts *facts)
{
    bool changes = plan->make_ca || plan->sign;
    for (size_t i = 0; i < facts->ca_count; i++)
        changes |= !plan->keep[i] || plan->keep_key[i] != facts->cas[i].has_key;
    return changes;
}

struct certificate_plan plan_certificate(const struct certificate_facts *facts)
{
    struct certificate_plan plan = {
        .make_ca = lacks_ca(facts),
        .ca_validity = {facts->now_ms - backdate_ms, facts->now_ms + ca_life_ms},
        .signer = choose_signer(facts),
    };
    plan.sign = must_sign(facts, plan.signer);
    for (size_t i = 0; i < facts->ca_count; i++) {
        plan.keep[i] = is_needed(facts, &plan, i);
        plan.keep_key[i] = plan.keep[i] && facts->cas[i].has_key &&
                           (i == plan.signer || is_newer(facts, i, plan.signer));
    }
    bound_bundle(facts, &plan);
    plan.server_validity = server_validity(facts, &plan);
    return plan;
}
