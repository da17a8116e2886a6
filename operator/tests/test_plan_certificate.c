// SPDX-License-Identifier: Apache-2.0
/* Years pass day by day; what a plan asks for is done, and clients with old knowledge look on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "operator/plan_certificate.h"

#define DAY_MS INT64_C(86400000)

enum { YEARS = 45, LEARN_DAYS = 3 /* the slowest client knows a bundle after so long */ };

/* CAs are told apart by when they begin. */
struct world {
    struct certificate_facts facts;
    int64_t signer_from_ms;                                        /* of the server's certificate */
    int64_t known[LEARN_DAYS + 1][AUTHORITY_CERTIFICATES_MAX + 1]; /* bundles of the last days */
    unsigned cas_made, signed_count;
};

static void carry_out(struct world *world, const struct certificate_plan *plan)
{
    struct certificate_facts before = world->facts, *facts = &world->facts;
    facts->ca_count = 0;
    if (plan->sign)
        world->signer_from_ms = plan->signer < before.ca_count
                                    ? before.cas[plan->signer].validity.from_ms
                                    : plan->ca_validity.from_ms;
    for (size_t i = 0; i < before.ca_count; i++) {
        if (!plan->keep[i])
            continue;
        facts->cas[facts->ca_count] = before.cas[i];
        facts->cas[facts->ca_count++].has_key = plan->keep_key[i];
    }
    if (plan->make_ca) {
        facts->cas[facts->ca_count].validity = plan->ca_validity;
        facts->cas[facts->ca_count++].has_key = true;
        world->cas_made++;
    }
    if (plan->sign) {
        facts->server = plan->server_validity;
        world->signed_count++;
    }
}

static void look(struct world *world, int64_t now_ms)
{
    struct certificate_facts *facts = &world->facts;
    facts->now_ms = now_ms;
    facts->issuer = -1;
    for (size_t i = 0; i < facts->ca_count; i++)
        if (facts->cas[i].validity.from_ms == world->signer_from_ms &&
            now_ms < facts->server.until_ms && now_ms < facts->cas[i].validity.until_ms)
            facts->issuer = (int)i;
}

static void turn(struct world *world, int64_t now_ms)
{
    look(world, now_ms);
    struct certificate_plan plan = plan_certificate(&world->facts);
    carry_out(world, &plan);
    look(world, now_ms);
    struct certificate_plan again = plan_certificate(&world->facts);
    assert_false(plan_certificate_changes(&again, &world->facts));
}

static void learn(struct world *world)
{
    memmove(world->known[1], world->known[0], LEARN_DAYS * sizeof(world->known[0]));
    memset(world->known[0], 0, sizeof(world->known[0]));
    for (size_t i = 0; i < world->facts.ca_count; i++)
        world->known[0][i] = world->facts.cas[i].validity.from_ms;
}

static bool is_known(const struct world *world, size_t days_ago)
{
    for (const int64_t *from = world->known[days_ago]; *from; from++)
        if (*from == world->signer_from_ms)
            return true;
    return false;
}

static void over_decades_every_client_knows_the_signer_all_the_time(void **state)
{
    (void)state;
    struct world world = {0};
    size_t most = 0;
    for (int day = 1; day < YEARS * 365; day++) {
        turn(&world, day * DAY_MS);
        learn(&world);
        assert_true(world.facts.issuer >= 0);
        assert_true(world.facts.server.until_ms - world.facts.now_ms >= 28 * DAY_MS);
        for (size_t ago = 0; day > LEARN_DAYS && ago <= LEARN_DAYS; ago++)
            assert_true(is_known(&world, ago));
        most = world.facts.ca_count > most ? world.facts.ca_count : most;
    }
    assert_int_equal(most, 2);
    assert_int_equal(world.cas_made, 5); /* of ten years each, overlapping by one */
    assert_in_range(world.signed_count, YEARS * 365 / 61, YEARS * 365 / 60 + 5);
}

static void the_first_certificate_is_there_at_once(void **state)
{
    (void)state;
    struct certificate_facts facts = {.now_ms = 1000 * DAY_MS, .issuer = -1};
    struct certificate_plan plan = plan_certificate(&facts);
    assert_true(plan.make_ca);
    assert_true(plan.sign);
    assert_int_equal(plan.signer, 0);
    assert_true(plan.server_validity.from_ms < facts.now_ms);
    assert_int_equal(plan.server_validity.until_ms, facts.now_ms + 90 * DAY_MS);
    assert_int_equal(plan.ca_validity.until_ms, facts.now_ms + 3650 * DAY_MS);
}

static void a_lost_ca_key_is_replaced_while_the_certificate_still_serves(void **state)
{
    (void)state;
    struct world world = {0};
    int64_t lost = 1030;
    for (int64_t day = 1000; day < 1200; day++) {
        if (day == lost)
            world.facts.cas[0].has_key = false;
        int64_t signer_ms = world.signer_from_ms;
        turn(&world, day * DAY_MS);
        learn(&world);
        if (day == lost)
            assert_int_equal(world.facts.ca_count, 2);
        if (day >= lost && day < lost + 7)
            assert_int_equal(world.signer_from_ms, signer_ms);
        if (day > 1000 + LEARN_DAYS)
            assert_true(is_known(&world, LEARN_DAYS));
    }
    assert_int_equal(world.cas_made, 2);
    assert_int_equal(world.facts.ca_count, 1);
}

static void keys_that_are_lost_again_and_again_do_not_grow_the_bundle(void **state)
{
    (void)state;
    struct world world = {0};
    for (int64_t day = 1000; day < 1050; day++) {
        turn(&world, day * DAY_MS);
        assert_true(world.facts.ca_count <= 4);
        assert_true(world.facts.issuer >= 0);
        for (size_t i = 0; i < world.facts.ca_count; i++)
            world.facts.cas[i].has_key = false;
    }
}

static void after_years_without_an_operator_all_is_made_anew(void **state)
{
    (void)state;
    struct world world = {0};
    turn(&world, 1000 * DAY_MS);
    turn(&world, (1000 + 3651) * DAY_MS);
    assert_int_equal(world.facts.ca_count, 1);
    assert_int_equal(world.facts.issuer, 0);
    assert_int_equal(world.cas_made, 2);
}

static void no_certificate_outlives_its_ca(void **state)
{
    (void)state;
    struct certificate_facts facts = {.now_ms = 1000 * DAY_MS, .ca_count = 1, .issuer = -1};
    facts.cas[0].validity = (struct authority_validity){900 * DAY_MS, 1010 * DAY_MS};
    facts.cas[0].has_key = true;
    struct certificate_plan plan = plan_certificate(&facts);
    assert_true(plan.make_ca);
    assert_int_equal(plan.signer, 0);
    assert_int_equal(plan.server_validity.until_ms, 1010 * DAY_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(over_decades_every_client_knows_the_signer_all_the_time),
        cmocka_unit_test(the_first_certificate_is_there_at_once),
        cmocka_unit_test(a_lost_ca_key_is_replaced_while_the_certificate_still_serves),
        cmocka_unit_test(keys_that_are_lost_again_and_again_do_not_grow_the_bundle),
        cmocka_unit_test(after_years_without_an_operator_all_is_made_anew),
        cmocka_unit_test(no_certificate_outlives_its_ca),
    };
    return cmocka_run_group_tests_name("plan_certificate", tests, NULL, NULL);
}
