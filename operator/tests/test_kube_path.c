// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/own.h"
#include "operator/kube_path.h"

static void every_kind_of_reference_has_its_path(void **state)
{
    (void)state;
    static const struct {
        struct kube_ref ref;
        const char *path, *text;
    } cases[] = {
        {{&kube_pods, NULL, NULL, NULL}, "/api/v1/pods", "pods"},
        {{&kube_pods, "shop", NULL, NULL}, "/api/v1/namespaces/shop/pods", "pods of 'shop'"},
        {{&kube_pods, "shop", "db-0", NULL},
         "/api/v1/namespaces/shop/pods/db-0",
         "pods 'shop/db-0'"},
        {{&kube_nodes, NULL, "n1", NULL}, "/api/v1/nodes/n1", "nodes 'n1'"},
        {{&kube_namespaces, NULL, "kube-system", NULL},
         "/api/v1/namespaces/kube-system",
         "namespaces 'kube-system'"},
        {{&kube_backups, "shop", "b", "status"},
         "/apis/lifeboat.dev/v1alpha1/namespaces/shop/backups/b/status",
         "backups/status 'shop/b'"},
        {{&kube_leases, "ops", "lifeboat-operator", NULL},
         "/apis/coordination.k8s.io/v1/namespaces/ops/leases/lifeboat-operator",
         "leases 'ops/lifeboat-operator'"},
        {{&kube_token_reviews, NULL, NULL, NULL},
         "/apis/authentication.k8s.io/v1/tokenreviews",
         "tokenreviews"},
        {{&kube_events, "a/b", "../x?y#z", NULL},
         "/apis/events.k8s.io/v1/namespaces/a%2Fb/events/..%2Fx%3Fy%23z",
         "events 'a/b/../x?y#z'"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char text[KUBE_TEXT_BYTES];
        CLEANUP(own_freep) char *path = kube_path(&cases[i].ref);
        kube_ref_format(&cases[i].ref, text);
        assert_string_equal(path, cases[i].path);
        assert_string_equal(text, cases[i].text);
    }
}

static void a_write_names_who_writes_and_an_apply_is_forced(void **state)
{
    (void)state;
    const struct kube_ref ref = {&kube_config_maps, "shop", "c", NULL};
    CLEANUP(own_freep) char *update = kube_path_write(&ref, false);
    CLEANUP(own_freep) char *apply = kube_path_write(&ref, true);
    assert_string_equal(update, "/api/v1/namespaces/shop/configmaps/c?fieldManager=lifeboat");
    assert_string_equal(apply,
                        "/api/v1/namespaces/shop/configmaps/c?fieldManager=lifeboat&force=true");
}

static void selectors_and_tokens_are_encoded(void **state)
{
    (void)state;
    const struct kube_list list = {
        {&kube_pods, NULL, NULL, NULL}, "lifeboat.dev/policy in (a, b)", 500, "eyJ2IjoibWV0+/=="};
    const struct kube_list first = {{&kube_pods, NULL, NULL, NULL}, NULL, 0, NULL};
    const struct kube_watch watch = {
        {&kube_pods, "shop", NULL, NULL}, "lifeboat.dev/policy", "100", 300};
    CLEANUP(own_freep) char *next_page = kube_path_list(&list);
    CLEANUP(own_freep) char *first_page = kube_path_list(&first);
    CLEANUP(own_freep) char *watched = kube_path_watch(&watch);
    assert_string_equal(next_page, "/api/v1/pods?limit=500"
                                   "&labelSelector=lifeboat.dev%2Fpolicy%20in%20%28a%2C%20b%29"
                                   "&continue=eyJ2IjoibWV0%2B%2F%3D%3D");
    assert_string_equal(first_page, "/api/v1/pods?limit=0");
    assert_string_equal(watched, "/api/v1/namespaces/shop/pods?watch=true&allowWatchBookmarks=true"
                                 "&timeoutSeconds=300&resourceVersion=100"
                                 "&labelSelector=lifeboat.dev%2Fpolicy");
}

static void an_api_version_has_a_group_unless_it_is_the_core(void **state)
{
    (void)state;
    char version[KUBE_VERSION_BYTES];
    kube_api_version(&kube_pods, version);
    assert_string_equal(version, "v1");
    kube_api_version(&kube_policies, version);
    assert_string_equal(version, "lifeboat.dev/v1alpha1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_reference_has_its_path),
        cmocka_unit_test(a_write_names_who_writes_and_an_apply_is_forced),
        cmocka_unit_test(selectors_and_tokens_are_encoded),
        cmocka_unit_test(an_api_version_has_a_group_unless_it_is_the_core),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
