// SPDX-License-Identifier: Apache-2.0
/* Against a real API server; what is written is checked as a TLS client checks it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "common/cancel.h"
#include "common/clock.h"
#include "common/own.h"
#include "operator/authority.h"
#include "operator/certificate.h"
#include "operator/kube.h"
#include "operator/tests/helper_client.h"

#define DAY_MS INT64_C(86400000)

static const char namespace[] = "default";
static const char *const names[] = {"lifeboat-channel.default.svc",
                                    "*.lifeboat-channel.default.svc", NULL};
static const struct kube_ref secret = {&kube_secrets, namespace, "lifeboat-tls", NULL};
static struct cancel never;
static struct kube_config *config;
static struct kube *kube;

static struct certificate *replica(void)
{
    struct certificate_options options = {kube, namespace, names};
    return certificate_new(&options);
}

static int refresh(struct certificate *certificate, bool may_write)
{
    struct error err = {0};
    int changed = certificate_refresh(certificate, may_write, clock_now_ms(), &err);
    if (changed < 0)
        fprintf(stderr, "%s\n", err.text);
    return changed;
}

static int no_secret(void **state)
{
    (void)state;
    struct error err;
    if (kube_delete(kube, &secret, NULL, &err) < 0 && err.kind != ERROR_NOT_FOUND)
        fail_msg("%s", err.text);
    return 0;
}

static void assert_serves(struct certificate *certificate)
{
    CLEANUP(own_freep) char *chain = certificate_chain(certificate);
    CLEANUP(own_freep) char *bundle = certificate_bundle(certificate);
    CLEANUP(authority_wipe) char *key = certificate_key(certificate);
    CLEANUP(authority_wipe) char *found = authority_find_key(key, chain);
    assert_non_null(found);
    assert_true(authority_accepts(bundle, chain, names, clock_now_ms()));
    static const char *const foreign[] = {"lifeboat-channel.elsewhere.svc", NULL};
    assert_false(authority_accepts(bundle, chain, foreign, clock_now_ms()));
    assert_false(authority_accepts(bundle, chain, names, clock_now_ms() + 91 * DAY_MS));
}

static void the_leader_makes_it_and_followers_read_it(void **state)
{
    (void)state;
    CLEANUP(certificate_freep) struct certificate *leader = replica();
    CLEANUP(certificate_freep) struct certificate *follower = replica();
    assert_int_equal(refresh(follower, false), 0);
    assert_false(certificate_ready(follower));
    assert_null(certificate_chain(follower));
    assert_int_equal(refresh(leader, true), 1);
    assert_int_equal(refresh(leader, true), 0);
    assert_true(certificate_ready(leader));
    assert_serves(leader);
    assert_int_equal(refresh(follower, false), 1);
    assert_serves(follower);
    CLEANUP(own_freep) char *one = certificate_chain(leader);
    CLEANUP(own_freep) char *other = certificate_chain(follower);
    assert_string_equal(one, other);
}

static json_t *read_secret(void)
{
    json_t *object;
    struct error err;
    assert_int_equal(kube_get(kube, &secret, &object, &err), 0);
    return object;
}

static void patch_secret(json_t *patch)
{
    struct error err;
    assert_int_equal(kube_merge_patch(kube, &secret, patch, NULL, &err), 0);
    json_decref(patch);
}

static void the_secret_is_as_kubernetes_knows_them(void **state)
{
    (void)state;
    CLEANUP(certificate_freep) struct certificate *leader = replica();
    assert_int_equal(refresh(leader, true), 1);
    json_auto_t *object = read_secret();
    assert_string_equal(json_string_value(json_object_get(object, "type")), "kubernetes.io/tls");
    json_t *data = json_object_get(object, "data");
    assert_int_equal(json_object_size(data), 4);
    static const char *const keys[] = {"ca.crt", "ca.key", "tls.crt", "tls.key"};
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        assert_true(json_string_length(json_object_get(data, keys[i])) > 100);
}

static void what_is_damaged_is_made_anew_and_the_rest_kept(void **state)
{
    (void)state;
    static const struct {
        const char *key, *value;
        bool new_chain, new_bundle;
    } cases[] = {
        {"tls.crt", "bm9uc2Vuc2U=", true, false},
        {"tls.key", "AAAA", true, false},
        {"tls.key", "", true, false},
        {"ca.crt", "bm9uc2Vuc2U=", true, true},
        {"ca.key", "bm9uc2Vuc2U=", false, true},
        {"ca.key", NULL, false, true},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        no_secret(NULL);
        CLEANUP(certificate_freep) struct certificate *leader = replica();
        assert_int_equal(refresh(leader, true), 1);
        CLEANUP(own_freep) char *chain = certificate_chain(leader);
        CLEANUP(own_freep) char *bundle = certificate_bundle(leader);
        patch_secret(json_pack("{s:{s:s?}}", "data", cases[i].key, cases[i].value));
        assert_int_equal(refresh(leader, true), 1);
        CLEANUP(own_freep) char *chain_then = certificate_chain(leader);
        CLEANUP(own_freep) char *bundle_then = certificate_bundle(leader);
        assert_int_equal(strcmp(chain, chain_then) != 0, cases[i].new_chain);
        assert_int_equal(strcmp(bundle, bundle_then) != 0, cases[i].new_bundle);
        assert_serves(leader);
        assert_int_equal(refresh(leader, true), 0);
    }
}

static void a_follower_keeps_what_it_has_while_the_secret_is_damaged(void **state)
{
    (void)state;
    struct error err;
    CLEANUP(certificate_freep) struct certificate *leader = replica();
    CLEANUP(certificate_freep) struct certificate *follower = replica();
    assert_int_equal(refresh(leader, true), 1);
    assert_int_equal(refresh(follower, false), 1);
    patch_secret(json_pack("{s:{s:s}}", "data", "tls.crt", "AAAA"));
    assert_int_equal(certificate_refresh(follower, false, clock_now_ms(), &err), -1);
    assert_int_equal(err.kind, ERROR_PERMANENT);
    assert_non_null(strstr(err.text, "'tls.crt' cannot be used"));
    assert_serves(follower);
}

static void a_secret_of_somebody_else_is_left_alone(void **state)
{
    (void)state;
    struct error err;
    json_auto_t *theirs =
        json_pack("{s:s, s:s, s:{s:s, s:s}, s:{s:s}}", "apiVersion", "v1", "kind", "Secret",
                  "metadata", "name", "lifeboat-tls", "namespace", namespace, "data", "x", "AAAA");
    struct kube_ref collection = {&kube_secrets, namespace, NULL, NULL};
    assert_int_equal(kube_create(kube, &collection, theirs, NULL, &err), 0);
    CLEANUP(certificate_freep) struct certificate *leader = replica();
    assert_int_equal(certificate_refresh(leader, true, clock_now_ms(), &err), -1);
    assert_int_equal(err.kind, ERROR_PERMANENT);
    assert_non_null(strstr(err.text, "so it is not ours: remove it"));
    json_auto_t *then = read_secret();
    assert_int_equal(json_object_size(json_object_get(then, "data")), 1);
}

static void two_that_believe_to_lead_end_with_the_same(void **state)
{
    (void)state;
    CLEANUP(certificate_freep) struct certificate *one = replica();
    CLEANUP(certificate_freep) struct certificate *other = replica();
    assert_int_equal(refresh(one, true), 1);
    assert_int_equal(refresh(other, true), 1);
    CLEANUP(own_freep) char *chain = certificate_chain(one);
    CLEANUP(own_freep) char *other_chain = certificate_chain(other);
    assert_string_equal(chain, other_chain);
}

static void a_ca_signs_only_for_its_namespace(void **state)
{
    (void)state;
    struct error err;
    struct authority_validity validity = {clock_now_ms() - DAY_MS, clock_now_ms() + DAY_MS};
    static const char *const inside[] = {"lifeboat-webhook.shop.svc", NULL},
                             *const outside[] = {"kubernetes.default.svc", NULL};
    CLEANUP(authority_pair_done) struct authority_pair ca = {0}, good = {0}, bad = {0};
    authority_make("shop.svc", &validity, &ca);
    assert_int_equal(authority_sign(&ca, inside, &validity, &good, &err), 0);
    assert_true(authority_accepts(ca.certificate, good.certificate, inside, clock_now_ms()));
    assert_int_equal(authority_sign(&ca, outside, &validity, &bad, &err), 0);
    assert_false(authority_accepts(ca.certificate, bad.certificate, outside, clock_now_ms()));
    /* and no CA below it: a server's certificate signs nothing */
    CLEANUP(authority_pair_done) struct authority_pair below = {0};
    assert_int_equal(authority_sign(&good, inside, &validity, &below, &err), 0);
    CLEANUP(own_freep) char *both = own_format("%s%s", ca.certificate, good.certificate);
    assert_false(authority_accepts(both, below.certificate, inside, clock_now_ms()));
    struct authority_pair mixed = {ca.certificate, good.key};
    assert_int_equal(authority_sign(&mixed, inside, &validity, &below, &err), -1);
    assert_int_equal(err.kind, ERROR_CORRUPT);
}

int main(void)
{
    int status = client_open(&never, &config, &kube);
    if (status != 0)
        return status;
#define TEST(test) cmocka_unit_test_setup_teardown(test, no_secret, no_secret)
    const struct CMUnitTest tests[] = {
        TEST(the_leader_makes_it_and_followers_read_it),
        TEST(the_secret_is_as_kubernetes_knows_them),
        TEST(what_is_damaged_is_made_anew_and_the_rest_kept),
        TEST(a_follower_keeps_what_it_has_while_the_secret_is_damaged),
        TEST(a_secret_of_somebody_else_is_left_alone),
        TEST(two_that_believe_to_lead_end_with_the_same),
        cmocka_unit_test(a_ca_signs_only_for_its_namespace),
    };
    int failed = cmocka_run_group_tests_name("certificate", tests, NULL, NULL);
    client_close(&never, &config, &kube);
    return failed;
}
