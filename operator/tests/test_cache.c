// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/cancel.h"
#include "common/crew.h"
#include "common/own.h"
#include "operator/cache.h"

static const char *const by_policy[] = {"metadata", "labels", "lifeboat.dev/policy", NULL};

static int set_up(void **state)
{
    *state = cache_new(by_policy);
    return 0;
}

static int tear_down(void **state)
{
    struct cache *cache = *state;
    cache_freep(&cache);
    return 0;
}

/* policy may be NULL; the caller's */
static json_t *object(const char *namespace, const char *name, const char *version,
                      const char *policy)
{
    json_t *labels = policy ? json_pack("{s:s}", by_policy[2], policy) : json_object();
    return json_pack("{s:{s:s, s:s, s:s, s:o}}", "metadata", "namespace", namespace, "name", name,
                     "resourceVersion", version, "labels", labels);
}

static void put(struct cache *cache, const char *name, const char *version, const char *policy)
{
    json_auto_t *new_object = object("shop", name, version, policy);
    json_decref(cache_put(cache, new_object));
}

/* "name@version …" of a list, in its order */
static const char *told(json_t *list)
{
    static char text[256];
    size_t index, used = 0;
    json_t *element;
    text[0] = '\0';
    json_array_foreach(list, index, element)
    {
        const char *name, *version;
        assert_int_equal(json_unpack(element, "{s:{s:s, s:s}}", "metadata", "name", &name,
                                     "resourceVersion", &version),
                         0);
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s@%s", index ? " " : "",
                                 name, version);
    }
    json_decref(list);
    return text;
}

static void what_was_put_is_there(void **state)
{
    struct cache *cache = *state;
    assert_null(cache_get(cache, "shop", "a"));
    put(cache, "a", "5", NULL);
    json_auto_t *found = cache_get(cache, "shop", "a");
    assert_non_null(found);
    json_auto_t *elsewhere = cache_get(cache, "ops", "a");
    assert_null(elsewhere);
    assert_int_equal(cache_count(cache), 1);
}

static void a_reader_keeps_what_it_got(void **state)
{
    struct cache *cache = *state;
    put(cache, "a", "5", NULL);
    json_auto_t *found = cache_get(cache, "shop", "a");
    put(cache, "a", "6", NULL);
    json_auto_t *removed = cache_remove(cache, "shop", "a", NULL);
    assert_string_equal(
        json_string_value(json_object_get(json_object_get(found, "metadata"), "resourceVersion")),
        "5");
    assert_string_equal(
        json_string_value(json_object_get(json_object_get(removed, "metadata"), "resourceVersion")),
        "6");
}

static void objects_are_found_by_namespace_and_by_label(void **state)
{
    struct cache *cache = *state;
    put(cache, "a", "1", "main");
    put(cache, "b", "2", "other");
    put(cache, "c", "3", NULL);
    json_auto_t *ops = object("ops", "d", "4", "main");
    json_decref(cache_put(cache, ops));
    json_auto_t *node =
        json_pack("{s:{s:s, s:s}}", "metadata", "name", "n", "resourceVersion", "5");
    json_decref(cache_put(cache, node));
    json_auto_t *found_node = cache_get(cache, NULL, "n");
    assert_ptr_equal(found_node, node);
    assert_string_equal(told(cache_list(cache, NULL, NULL)), "a@1 b@2 c@3 d@4 n@5");
    assert_string_equal(told(cache_list(cache, "shop", NULL)), "a@1 b@2 c@3");
    assert_string_equal(told(cache_list(cache, NULL, "main")), "a@1 d@4");
    assert_string_equal(told(cache_list(cache, "shop", "main")), "a@1");
    assert_string_equal(told(cache_list(cache, "sho", NULL)), "");
    assert_string_equal(told(cache_list(cache, NULL, "nobody")), "");
}

static void the_index_follows_a_label(void **state)
{
    struct cache *cache = *state;
    put(cache, "a", "1", "main");
    put(cache, "a", "2", "other");
    assert_string_equal(told(cache_list(cache, NULL, "main")), "");
    assert_string_equal(told(cache_list(cache, NULL, "other")), "a@2");
    put(cache, "a", "3", NULL);
    assert_string_equal(told(cache_list(cache, NULL, "other")), "");
    put(cache, "a", "4", "main");
    json_decref(cache_remove(cache, "shop", "a", "5"));
    assert_string_equal(told(cache_list(cache, NULL, "main")), "");
}

static void older_news_is_ignored(void **state)
{
    struct cache *cache = *state;
    put(cache, "a", "99", "main");
    put(cache, "a", "100", "main");
    put(cache, "a", "99", "other"); /* as text it would be the newer one */
    assert_string_equal(told(cache_list(cache, NULL, NULL)), "a@100");
    assert_string_equal(told(cache_list(cache, NULL, "other")), "");
    put(cache, "a", "100", "same");
    assert_string_equal(told(cache_list(cache, NULL, "same")), "a@100");
    put(cache, "a", "opaque", "main");
    assert_string_equal(told(cache_list(cache, NULL, "main")), "a@opaque");
}

static void the_answer_to_a_write_does_not_bring_back_what_is_deleted(void **state)
{
    struct cache *cache = *state;
    put(cache, "a", "10", NULL);
    json_decref(cache_remove(cache, "shop", "a", "12"));
    json_auto_t *again = cache_remove(cache, "shop", "z", "11");
    assert_null(again);
    put(cache, "a", "11", NULL);
    assert_int_equal(cache_count(cache), 0);
    put(cache, "a", "13", NULL); /* made anew */
    assert_int_equal(cache_count(cache), 1);

    /* watches of other namespaces are told in an order of their own */
    json_auto_t *elsewhere = object("ops", "b", "11", NULL);
    json_decref(cache_put(cache, elsewhere));
    assert_int_equal(cache_count(cache), 2);
}

static void managed_fields_are_dropped(void **state)
{
    struct cache *cache = *state;
    json_auto_t *pod = object("shop", "a", "1", NULL);
    json_object_set_new(json_object_get(pod, "metadata"), "managedFields", json_array());
    json_decref(cache_put(cache, pod));
    json_auto_t *found = cache_get(cache, "shop", "a");
    assert_null(json_object_get(json_object_get(found, "metadata"), "managedFields"));
}

/* "-a@1 +b@2 a@1>a@2" */
static const char *told_changes(json_t *changes)
{
    static char text[256];
    size_t index, used = 0;
    json_t *change;
    text[0] = '\0';
    json_array_foreach(changes, index, change)
    {
        json_t *before = json_array_get(change, 0), *after = json_array_get(change, 1);
        const char *name, *version;
        const char *sign = json_is_null(before) ? "+" : json_is_null(after) ? "-" : "*";
        json_unpack(json_is_null(after) ? before : after, "{s:{s:s, s:s}}", "metadata", "name",
                    &name, "resourceVersion", &version);
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s%s@%s", index ? " " : "",
                                 sign, name, version);
    }
    json_decref(changes);
    return text;
}

static void drop_spec(json_t *new_object)
{
    json_object_del(new_object, "spec");
}

static void what_no_reader_wants_is_dropped(void **state)
{
    struct cache *cache = *state;
    cache_set_trim(cache, drop_spec);
    json_auto_t *one = object("shop", "a", "1", NULL), *list = json_array();
    json_object_set_new(one, "spec", json_pack("{s:i}", "replicas", 3));
    json_array_append_new(list, json_deep_copy(one));
    json_decref(cache_put(cache, one));
    assert_null(json_object_get(one, "spec"));
    json_decref(cache_replace(cache, NULL, list));
    assert_null(json_object_get(json_array_get(list, 0), "spec"));
    assert_string_equal(told(cache_list(cache, "shop", NULL)), "a@1");
}

static void a_new_list_tells_what_is_new_changed_and_gone(void **state)
{
    struct cache *cache = *state;
    put(cache, "same", "1", "main");
    put(cache, "changed", "2", "main");
    put(cache, "gone", "3", "main");
    json_auto_t *list =
        json_pack("[o, o, o]", object("shop", "new", "7", "main"),
                  object("shop", "changed", "6", NULL), object("shop", "same", "1", "main"));
    assert_string_equal(told_changes(cache_replace(cache, NULL, list)),
                        "+new@7 *changed@6 -gone@3");
    assert_string_equal(told(cache_list(cache, NULL, NULL)), "new@7 changed@6 same@1");
    assert_string_equal(told(cache_list(cache, NULL, "main")), "new@7 same@1");
}

static void a_list_of_one_namespace_leaves_the_others(void **state)
{
    struct cache *cache = *state;
    json_auto_t *ops = object("ops", "d", "4", "main"), *empty = json_array();
    json_decref(cache_put(cache, ops));
    put(cache, "a", "1", "main");
    assert_string_equal(told_changes(cache_replace(cache, "shop", empty)), "-a@1");
    assert_string_equal(told(cache_list(cache, NULL, "main")), "d@4");
}

/* After a restore of etcd the counter begins lower than it was. */
static void a_list_counts_even_if_it_is_older(void **state)
{
    struct cache *cache = *state;
    put(cache, "a", "1000", NULL);
    json_decref(cache_remove(cache, "shop", "b", "2000"));
    json_auto_t *list = json_pack("[o]", object("shop", "a", "10", NULL));
    assert_string_equal(told_changes(cache_replace(cache, NULL, list)), "*a@10");
    put(cache, "b", "11", NULL);
    assert_string_equal(told(cache_list(cache, NULL, NULL)), "a@10 b@11");
}

static void it_is_synced_after_the_first_list_of_every_watch(void **state)
{
    struct cache *cache = *state;
    assert_false(cache_synced(cache));
    cache_set_synced(cache);
    assert_true(cache_synced(cache));
    cache_expect(cache, 2);
    cache_set_synced(cache);
    assert_false(cache_synced(cache));
    cache_set_synced(cache);
    assert_true(cache_synced(cache));
}

enum { ROUNDS = 300, NAMES = 8 };

static int write_much(void *arg, struct error *err)
{
    (void)err;
    for (int i = 1; i < ROUNDS; i++) {
        char name[2] = {(char)('a' + i % NAMES), '\0'}, version[16];
        snprintf(version, sizeof(version), "%d", i);
        put(arg, name, version, i % 2 ? "main" : "other");
        if (i % 5 == 0)
            json_decref(cache_remove(arg, "shop", name, version));
        if (i % 50 == 0) {
            json_auto_t *list = cache_list(arg, NULL, "main");
            json_decref(cache_replace(arg, "shop", list));
        }
    }
    return 0;
}

static int read_much(void *arg, struct error *err)
{
    for (int i = 0; i < ROUNDS; i++) {
        json_auto_t *list = cache_list(arg, "shop", "main");
        size_t index;
        json_t *element;
        json_array_foreach(list, index, element)
        {
            CLEANUP(own_freep) char *text = json_dumps(element, 0);
            if (!strstr(text, "\"main\""))
                return error_set(err, ERROR_CORRUPT, "found under main: %s", text);
        }
        json_decref(cache_get(arg, "shop", "a"));
    }
    return 0;
}

static void readers_and_writers_do_not_meet(void **state)
{
    struct cache *cache = *state;
    struct cancel cancel;
    struct error err;
    assert_int_equal(cancel_init(&cancel, &err), 0);
    struct crew *crew = crew_new(&cancel);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(crew_start(crew, "writer", write_much, cache, &err), 0);
        assert_int_equal(crew_start(crew, "reader", read_much, cache, &err), 0);
    }
    assert_int_equal(crew_join(crew, &err), 0);
    crew_freep(&crew);
    cancel_done(&cancel);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_put_is_there, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_reader_keeps_what_it_got, set_up, tear_down),
        cmocka_unit_test_setup_teardown(objects_are_found_by_namespace_and_by_label, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_index_follows_a_label, set_up, tear_down),
        cmocka_unit_test_setup_teardown(older_news_is_ignored, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_answer_to_a_write_does_not_bring_back_what_is_deleted,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(managed_fields_are_dropped, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_no_reader_wants_is_dropped, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_new_list_tells_what_is_new_changed_and_gone, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_list_of_one_namespace_leaves_the_others, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_list_counts_even_if_it_is_older, set_up, tear_down),
        cmocka_unit_test_setup_teardown(it_is_synced_after_the_first_list_of_every_watch, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(readers_and_writers_do_not_meet, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
