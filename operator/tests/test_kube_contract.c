// SPDX-License-Identifier: Apache-2.0
/* Every verb against the real API server that LIFEBOAT_TEST_KUBECONFIG leads to (e2e/kube.py). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/backoff.h"
#include "common/buf.h"
#include "common/cancel.h"
#include "common/crew.h"
#include "common/fifo.h"
#include "common/log.h"
#include "common/own.h"
#include "common/text.h"
#include "common/yaml.h"
#include "operator/cache.h"
#include "operator/kube.h"
#include "operator/kube_config.h"
#include "operator/tests/helper_pipe.h"
#include "operator/watch.h"
#include "operator/tests/helper_client.h"

enum { PATIENCE_MS = 20000, TOLD_MAX = 256 };

static const struct kube_resource service_accounts = {"", "v1", "serviceaccounts", "ServiceAccount",
                                                      true};

static const char *kubeconfig;
static struct cancel never;
static struct kube_config *config;
static struct kube *kube;
static char namespace[64]; /* one for this run */

static void must(int result, const struct error *err)
{
    if (result < 0)
        fail_msg("%s", err->text);
}

static struct kube_ref map_named(const char *name)
{
    return (struct kube_ref){&kube_config_maps, namespace, name, NULL};
}

/* A ConfigMap with data {key: value}; the caller's. */
static json_t *map(const char *name, const char *key, const char *value)
{
    return json_pack("{s:s, s:s, s:{s:s, s:{s:s}}, s:{s:s}}", "apiVersion", "v1", "kind",
                     "ConfigMap", "metadata", "name", name, "labels", "test", "contract", "data",
                     key, value);
}

/* Makes a ConfigMap; the answer is the caller's. */
static json_t *make_map(const char *name, const char *value)
{
    struct error err;
    const struct kube_ref maps = map_named(NULL);
    json_auto_t *object = map(name, "key", value);
    json_t *made = NULL;
    must(kube_create(kube, &maps, object, &made, &err), &err);
    return made;
}

static const char *metadata(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(json_object_get(object, "metadata"), name));
}

static const char *value_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(json_object_get(object, "data"), key));
}

static void assert_failed(int result, const struct error *err, enum error_kind kind,
                          const char *text)
{
    assert_int_equal(result, -1);
    if (err->kind != kind || !strstr(err->text, text))
        fail_msg("expected %s '%s', not %s '%s'", error_kind_name(kind), text,
                 error_kind_name(err->kind), err->text);
}

static void what_is_created_can_be_got_and_deleted(void **state)
{
    (void)state;
    struct error err;
    const struct kube_ref ref = map_named("life");
    json_auto_t *got = NULL, *gone = NULL, *made = make_map("life", "1");
    assert_non_null(metadata(made, "uid"));
    must(kube_get(kube, &ref, &got, &err), &err);
    assert_true(json_equal(got, made));
    must(kube_delete(kube, &ref, NULL, &err), &err);
    assert_failed(kube_get(kube, &ref, &gone, &err), &err, ERROR_NOT_FOUND,
                  "/life': 404 NotFound: configmaps \"life\" not found");
    assert_failed(kube_delete(kube, &ref, NULL, &err), &err, ERROR_NOT_FOUND, "404 NotFound");
}

static void what_exists_is_not_created_again(void **state)
{
    (void)state;
    struct error err;
    const struct kube_ref maps = map_named(NULL);
    json_auto_t *again = map("twice", "key", "2");
    json_decref(make_map("twice", "1"));
    assert_failed(kube_create(kube, &maps, again, NULL, &err), &err, ERROR_CONFLICT,
                  "409 AlreadyExists");
}

static void an_update_of_what_somebody_else_changed_is_a_conflict(void **state)
{
    (void)state;
    struct error err;
    const struct kube_ref ref = map_named("update");
    json_auto_t *mine = make_map("update", "1"), *theirs = json_deep_copy(mine), *updated = NULL;
    json_object_set_new(json_object_get(theirs, "data"), "key", json_string("theirs"));
    must(kube_update(kube, &ref, theirs, &updated, &err), &err);
    assert_string_equal(value_of(updated, "key"), "theirs");
    assert_string_not_equal(metadata(updated, "resourceVersion"),
                            metadata(mine, "resourceVersion"));
    json_object_set_new(json_object_get(mine, "data"), "key", json_string("mine"));
    assert_failed(kube_update(kube, &ref, mine, NULL, &err), &err, ERROR_CONFLICT, "409 Conflict");
}

static void a_merge_patch_changes_what_it_names(void **state)
{
    (void)state;
    struct error err;
    const struct kube_ref ref = map_named("patch");
    json_auto_t *made = make_map("patch", "1"), *patched = NULL;
    json_auto_t *patch = json_pack("{s:{s:n, s:s}}", "data", "key", "other", "2");
    must(kube_merge_patch(kube, &ref, patch, &patched, &err), &err);
    assert_null(value_of(patched, "key"));
    assert_string_equal(value_of(patched, "other"), "2");
    assert_string_equal(metadata(patched, "uid"), metadata(made, "uid"));
}

static void a_patch_of_an_older_object_is_a_conflict(void **state)
{
    (void)state;
    struct error err;
    const struct kube_ref ref = map_named("stale");
    json_auto_t *made = make_map("stale", "1");
    json_auto_t *patch = json_pack("{s:{s:s}, s:{s:s}}", "metadata", "resourceVersion",
                                   metadata(made, "resourceVersion"), "data", "key", "2");
    must(kube_merge_patch(kube, &ref, patch, NULL, &err), &err);
    json_object_set_new(json_object_get(patch, "data"), "key", json_string("3"));
    assert_failed(kube_merge_patch(kube, &ref, patch, NULL, &err), &err, ERROR_CONFLICT,
                  "409 Conflict");
}

static void an_apply_owns_what_it_says_and_no_more(void **state)
{
    (void)state;
    struct error err;
    const struct kube_ref ref = map_named("apply");
    json_auto_t *first = map("apply", "a", "1"), *second = map("apply", "b", "2");
    json_auto_t *patch = json_pack("{s:{s:s}}", "data", "foreign", "3");
    json_auto_t *applied = NULL;
    must(kube_apply(kube, &ref, first, NULL, &err), &err); /* creates it */
    must(kube_merge_patch(kube, &ref, patch, NULL, &err), &err);
    must(kube_apply(kube, &ref, second, &applied, &err), &err);
    assert_null(value_of(applied, "a"));
    assert_string_equal(value_of(applied, "b"), "2");
    assert_string_equal(value_of(applied, "foreign"), "3");
    const json_t *managers = json_object_get(json_object_get(applied, "metadata"), "managedFields");
    size_t index;
    json_t *manager;
    json_array_foreach(managers, index, manager)
        assert_string_equal(json_string_value(json_object_get(manager, "manager")), "lifeboat");
}

static void an_object_of_another_uid_is_not_deleted(void **state)
{
    (void)state;
    struct error err;
    const struct kube_ref ref = map_named("uid");
    json_auto_t *made = make_map("uid", "1");
    assert_failed(kube_delete(kube, &ref, "00000000-0000-0000-0000-000000000000", &err), &err,
                  ERROR_CONFLICT, "409 Conflict");
    must(kube_delete(kube, &ref, metadata(made, "uid"), &err), &err);
}

static void a_list_comes_in_pages_and_by_label(void **state)
{
    (void)state;
    struct error err;
    char name[32];
    size_t found = 0, pages = 0;
    CLEANUP(own_freep) char *token = NULL;
    struct kube_list list = {
        .collection = map_named(NULL), .label_selector = "page in (yes)", .limit = 2};
    for (int i = 0; i < 5; i++) {
        snprintf(name, sizeof(name), "page-%d", i);
        json_auto_t *object = map(name, "key", "1");
        json_object_set_new(json_object_get(json_object_get(object, "metadata"), "labels"), "page",
                            json_string(i == 4 ? "no" : "yes"));
        must(kube_create(kube, &list.collection, object, NULL, &err), &err);
    }
    do {
        json_auto_t *page = NULL;
        enum kube_list_outcome outcome;
        list.continue_token = token;
        must(kube_list(kube, &list, &page, &outcome, &err), &err);
        assert_int_equal(outcome, KUBE_LIST_DONE);
        const json_t *items = json_object_get(page, "items");
        const char *kind = json_string_value(json_object_get(json_array_get(items, 0), "kind"));
        assert_true(json_array_size(items) <= 2);
        assert_true(!kind || strcmp(kind, "ConfigMap") == 0);
        found += json_array_size(items);
        pages++;
        own_freep(&token);
        token = own_strdup(metadata(page, "continue"));
    } while (token && *token);
    assert_int_equal(found, 4);
    assert_in_range(pages, 2, 3); /* the last one may be empty */
}

static void a_continue_token_that_is_none_is_refused(void **state)
{
    (void)state;
    struct error err;
    json_t *page = NULL;
    enum kube_list_outcome outcome;
    const struct kube_list list = {
        .collection = map_named(NULL), .limit = 2, .continue_token = "no/token&limit=1"};
    assert_failed(kube_list(kube, &list, &page, &outcome, &err), &err, ERROR_PERMANENT,
                  "400 BadRequest");
}

static void what_the_schema_refuses_is_explained(void **state)
{
    (void)state;
    struct error err;
    const struct kube_ref maps = map_named(NULL);
    json_auto_t *badly_named = map("Not_A_Name", "key", "1"), *large = map("large", "key", "");
    assert_failed(kube_create(kube, &maps, badly_named, NULL, &err), &err, ERROR_PERMANENT,
                  "422 Invalid: ConfigMap \"Not_A_Name\" is invalid: metadata.name: Invalid value");
    CLEANUP(own_freep) char *text = own_alloc(1100001);
    memset(text, 'x', 1100000);
    json_object_set_new(json_object_get(large, "data"), "key", json_string(text));
    assert_failed(kube_create(kube, &maps, large, NULL, &err), &err, ERROR_PERMANENT,
                  "422 Invalid: ConfigMap \"large\" is invalid");
}

/* A Backup with a status, which only the subresource can write; skipped without our resources. */
static void a_status_is_written_through_its_subresource_only(void **state)
{
    (void)state;
    struct error err;
    const struct kube_ref backups = {&kube_backups, namespace, NULL, NULL},
                          ref = {&kube_backups, namespace, "status", NULL},
                          status = {&kube_backups, namespace, "status", "status"};
    json_auto_t *object =
        json_pack("{s:s, s:s, s:{s:s}, s:{s:{s:s}}, s:{s:s}}", "apiVersion",
                  "lifeboat.dev/v1alpha1", "kind", "Backup", "metadata", "name", "status", "spec",
                  "policyRef", "name", "main", "status", "backupID", "ignored");
    json_auto_t *made = NULL, *written = NULL, *got = NULL;
    if (kube_create(kube, &backups, object, &made, &err) < 0) {
        assert_int_equal(err.kind, ERROR_NOT_FOUND);
        skip();
    }
    assert_null(json_object_get(made, "status"));
    json_auto_t *apply =
        json_pack("{s:s, s:s, s:{s:s}, s:{s:s}}", "apiVersion", "lifeboat.dev/v1alpha1", "kind",
                  "Backup", "metadata", "name", "status", "status", "backupID", "first");
    must(kube_apply(kube, &status, apply, &written, &err), &err);
    assert_string_equal(metadata(written, "uid"), metadata(made, "uid"));
    json_auto_t *patch = json_pack("{s:{s:s}}", "status", "backupID", "second");
    must(kube_merge_patch(kube, &status, patch, NULL, &err), &err);
    must(kube_get(kube, &ref, &got, &err), &err);
    assert_string_equal(
        json_string_value(json_object_get(json_object_get(got, "status"), "backupID")), "second");
    must(kube_delete(kube, &ref, NULL, &err), &err);
}

/* What its users may write, of which jansson reads none: NUL, 1e20 and 3000 levels. */
static json_t *strange_job(void)
{
    json_t *deep = json_true();
    for (int i = 0; i < 3000; i++)
        deep = json_pack("{s:o}", "d", deep);
    return json_pack(
        "{s:s, s:s, s:{s:s, s:{s:s%}}, s:{s:{s:{s:s}}, s:{s:{s:s}}, s:{s:{s:f, s:o}}}}",
        "apiVersion", "lifeboat.dev/v1alpha1", "kind", "RestoreJob", "metadata", "name", "strange",
        "annotations", "note", "a\0b", (size_t)3, "spec", "source", "policyRef", "name", "main",
        "destination", "newVolumeClaim", "size", "1Gi", "pod", "affinity", "large", 1e20, "deep",
        deep);
}

static void what_a_user_may_write_hides_nobody_elses(void **state)
{
    (void)state;
    struct error err;
    enum kube_list_outcome outcome;
    const struct kube_ref jobs = {&kube_restore_jobs, namespace, NULL, NULL},
                          ref = {&kube_restore_jobs, namespace, "strange", NULL};
    const struct kube_list list = {.collection = jobs, .limit = 500};
    json_auto_t *job = strange_job(), *page = NULL, *made = NULL;
    if (kube_create(kube, &jobs, job, &made, &err) < 0) {
        assert_failed(-1, &err, ERROR_NOT_FOUND, "404");
        skip();
    }
    must(kube_list(kube, &list, &page, &outcome, &err), &err);
    assert_int_equal(outcome, KUBE_LIST_DONE);
    const json_t *listed = json_array_get(json_object_get(page, "items"), 0);
    const json_t *notes = json_object_get(json_object_get(listed, "metadata"), "annotations");
    const json_t *affinity =
        json_object_get(json_object_get(json_object_get(listed, "spec"), "pod"), "affinity");
    assert_string_equal(json_string_value(json_object_get(notes, "note")), "a\xef\xbf\xbd"
                                                                           "b");
    assert_true(json_real_value(json_object_get(affinity, "large")) == 1e20);
    assert_true(json_is_object(json_object_get(affinity, "deep")));
    must(kube_delete(kube, &ref, NULL, &err), &err);
}

/* A client that differs from ours in the members of its user in the kubeconfig. */
struct other {
    struct kube_config *config;
    struct kube *kube;
};

static void other_done(struct other *other)
{
    kube_freep(&other->kube);
    kube_config_freep(&other->config);
}

/* The kubeconfig's CA as data instead of a file. */
static void take_ca_in(json_t *root)
{
    struct error err;
    CLEANUP(buf_done) struct buf pem = BUF(65536);
    json_t *cluster =
        json_object_get(json_array_get(json_object_get(root, "clusters"), 0), "cluster");
    const char *path = json_string_value(json_object_get(cluster, "certificate-authority"));
    if (!path)
        return;
    must(buf_read_file(&pem, AT_FDCWD, path, &err), &err);
    CLEANUP(own_freep) char *data = text_base64(pem.data, pem.size);
    json_object_set_new(cluster, "certificate-authority-data", json_string(data));
    json_object_del(cluster, "certificate-authority");
}

static struct other other_with_token(const char *token)
{
    struct error err;
    struct other other = {0};
    CLEANUP(yaml_done) struct yaml yaml = {0};
    must(yaml_load(&yaml, kubeconfig, &err), &err);
    json_object_set_new(json_array_get(json_object_get(yaml.root, "users"), 0), "user",
                        json_pack("{s:s}", "token", token));
    take_ca_in(yaml.root);
    CLEANUP(own_freep) char *text = json_dumps(yaml.root, 0);
    const struct kube_config_text from = {
        .file = kubeconfig, .directory = ".", .text = text, .size = strlen(text)};
    must(kube_config_parse(&other.config, &from, &err), &err);
    must(kube_new(&other.kube, other.config, &never, &err), &err);
    return other;
}

static void a_token_without_rights_is_forbidden(void **state)
{
    (void)state;
    struct error err;
    const struct kube_ref accounts = {&service_accounts, namespace, NULL, NULL},
                          tokens = {&service_accounts, namespace, "nobody", "token"},
                          maps = map_named(NULL), map_ref = map_named("x");
    json_auto_t *account = json_pack("{s:{s:s}}", "metadata", "name", "nobody");
    json_auto_t *request =
        json_pack("{s:s, s:s, s:{s:i}}", "apiVersion", "authentication.k8s.io/v1", "kind",
                  "TokenRequest", "spec", "expirationSeconds", 600);
    json_auto_t *answer = NULL, *object = NULL;
    must(kube_create(kube, &accounts, account, NULL, &err), &err);
    must(kube_create(kube, &tokens, request, &answer, &err), &err);
    CLEANUP(other_done)
    struct other other = other_with_token(
        json_string_value(json_object_get(json_object_get(answer, "status"), "token")));
    assert_failed(kube_get(other.kube, &map_ref, &object, &err), &err, ERROR_PERMANENT,
                  "403 Forbidden: configmaps \"x\" is forbidden: User \"system:serviceaccount:");
    enum kube_watch_outcome outcome;
    const struct kube_watch watch = {
        .collection = maps, .resource_version = "1", .timeout_seconds = 5};
    assert_failed(kube_watch(other.kube, &watch, NULL, NULL, &outcome, &err), &err, ERROR_PERMANENT,
                  "watch configmaps of '");

    /* and a review knows whose token it is */
    const struct kube_ref reviews = {&kube_token_reviews, NULL, NULL, NULL};
    json_auto_t *review = json_pack("{s:s, s:s, s:{s:O}}", "apiVersion", "authentication.k8s.io/v1",
                                    "kind", "TokenReview", "spec", "token",
                                    json_object_get(json_object_get(answer, "status"), "token"));
    json_auto_t *verdict = NULL;
    must(kube_create(kube, &reviews, review, &verdict, &err), &err);
    assert_true(json_is_true(json_object_get(json_object_get(verdict, "status"), "authenticated")));
}

static void a_token_that_nobody_knows_is_refused_for_now(void **state)
{
    (void)state;
    struct error err;
    const struct kube_ref ref = map_named("x");
    json_auto_t *object = NULL;
    CLEANUP(other_done) struct other other = other_with_token("abc");
    assert_failed(kube_get(other.kube, &ref, &object, &err), &err, ERROR_TRANSIENT,
                  "401 Unauthorized");
}

struct seen {
    char text[256]; /* "+a ~a -a *" */
    char version[64];
    int (*then)(const char *sign, struct error *err); /* may be NULL */
};

static int note_event(void *arg, const char *type, json_t *object, struct error *err)
{
    struct seen *seen = arg;
    size_t used = strlen(seen->text);
    snprintf(seen->version, sizeof(seen->version), "%s", metadata(object, "resourceVersion"));
    const char *sign = strcmp(type, "ADDED") == 0      ? "+"
                       : strcmp(type, "MODIFIED") == 0 ? "~"
                       : strcmp(type, "DELETED") == 0  ? "-"
                                                       : "*";
    const char *name = metadata(object, "name");
    snprintf(seen->text + used, sizeof(seen->text) - used, "%s%s%s", used ? " " : "", sign,
             name ? name : "");
    return seen->then ? seen->then(sign, err) : 0;
}

static void watch_for(struct seen *seen, unsigned seconds, const char *version)
{
    struct error err;
    enum kube_watch_outcome outcome;
    const struct kube_watch watch = {.collection = map_named(NULL),
                                     .label_selector = "test=contract",
                                     .resource_version = version,
                                     .timeout_seconds = seconds};
    must(kube_watch(kube, &watch, note_event, seen, &outcome, &err), &err);
    assert_int_equal(outcome, KUBE_WATCH_ENDED);
}

/* What the watch shall tell next: the server sends no bookmark to a watch that has seen nothing. */
static int change_watched(const char *sign, struct error *err)
{
    const struct kube_ref ref = map_named("watched");
    json_auto_t *patch = json_pack("{s:{s:s}}", "data", "key", "2");
    if (*sign == '+')
        return kube_merge_patch(kube, &ref, patch, NULL, err);
    return *sign == '~' ? kube_delete(kube, &ref, NULL, err) : 0;
}

static void a_watch_tells_each_change_and_a_bookmark(void **state)
{
    (void)state;
    struct error err;
    struct seen seen = {.then = change_watched}, later = {0};
    json_auto_t *page = NULL;
    enum kube_list_outcome outcome;
    const struct kube_list list = {.collection = map_named(NULL)};
    must(kube_list(kube, &list, &page, &outcome, &err), &err);
    json_decref(make_map("watched", "1"));
    /* the server sends a bookmark two seconds before it ends the watch */
    watch_for(&seen, 4, metadata(page, "resourceVersion"));
    static const char expected[] = "+watched ~watched -watched *";
    assert_memory_equal(seen.text, expected, sizeof(expected) - 1);

    json_decref(make_map("watched-later", "1"));
    watch_for(&later, 1, seen.version); /* from the bookmark on */
    assert_string_equal(later.text, "+watched-later");
}

static void a_watch_from_long_ago_has_expired(void **state)
{
    (void)state;
    struct error err;
    struct seen seen = {0};
    enum kube_watch_outcome outcome;
    const struct kube_watch watch = {
        .collection = map_named(NULL), .resource_version = "1", .timeout_seconds = 5};
    must(kube_watch(kube, &watch, note_event, &seen, &outcome, &err), &err);
    assert_int_equal(outcome, KUBE_WATCH_EXPIRED);
    assert_string_equal(seen.text, "");
}

static void tell(void *arg, const json_t *before, const json_t *after)
{
    struct error err;
    char *text = own_format("%s%s",
                            !before  ? "+"
                            : !after ? "-"
                                     : "~",
                            metadata(after ? after : before, "name"));
    if (fifo_push(arg, text, &err) < 0)
        free(text);
}

static void assert_told(struct fifo *told, const char *expected)
{
    struct error err;
    void *text = NULL;
    if (fifo_pop_within(told, PATIENCE_MS, &text, &err) <= 0)
        fail_msg("not told: %s", expected);
    CLEANUP(own_freep) char *got = text;
    assert_string_equal(got, expected);
}

struct follower {
    struct cancel stop;
    struct pipe *pipe;
    struct kube_config *config;
    struct kube *kube;
    struct cache *cache;
    struct fifo *told;
    struct crew *crew;
    struct watch watch;
};

/* Follows the ConfigMaps labelled follow=yes through a pipe. */
static int begin_to_follow(void **state)
{
    struct error err;
    struct follower *f = own_alloc(sizeof(*f));
    *state = f;
    must(cancel_init(&f->stop, &err), &err);
    f->pipe = pipe_new(kube_config_server(config));
    f->config = pipe_config(f->pipe);
    must(kube_new(&f->kube, f->config, &f->stop, &err), &err);
    f->cache = cache_new(NULL);
    f->told = fifo_new(TOLD_MAX, &f->stop);
    f->crew = crew_new(&f->stop);
    f->watch = (struct watch){.kube = f->kube,
                              .resource = &kube_config_maps,
                              .namespace = namespace,
                              .label_selector = "follow=yes",
                              .cache = f->cache,
                              .cancel = &f->stop,
                              .on_change = tell,
                              .arg = f->told};
    return 0;
}

static int end_to_follow(void **state)
{
    struct follower *f = *state;
    struct error err;
    cancel_trigger(&f->stop);
    must(crew_join(f->crew, &err), &err);
    crew_freep(&f->crew);
    fifo_freep(&f->told);
    cache_freep(&f->cache);
    kube_freep(&f->kube);
    kube_config_freep(&f->config);
    pipe_freep(&f->pipe);
    cancel_done(&f->stop);
    own_freep(&f);
    return 0;
}

static void change_map(const char *name, const char *value, const char *follow)
{
    struct error err;
    const struct kube_ref ref = map_named(name);
    json_auto_t *patch = json_pack("{s:{s:s}, s:{s:{s:s}}}", "data", "key", value, "metadata",
                                   "labels", "follow", follow);
    must(kube_merge_patch(kube, &ref, patch, NULL, &err), &err);
}

static void a_cache_catches_up_after_its_connection_broke(void **state)
{
    struct follower *f = *state;
    struct error err;
    const struct kube_ref first = map_named("follow-1");
    json_decref(make_map("follow-1", "1"));
    json_decref(make_map("follow-2", "1"));
    change_map("follow-1", "1", "yes");
    must(crew_start(f->crew, "watch", watch_run, &f->watch, &err), &err);
    assert_told(f->told, "+follow-1");
    assert_true(cache_synced(f->cache));
    change_map("follow-2", "1", "yes"); /* comes into our sight */
    assert_told(f->told, "+follow-2");

    pipe_cut(f->pipe);
    must(kube_delete(kube, &first, NULL, &err), &err);
    change_map("follow-2", "2", "yes");
    assert_told(f->told, "-follow-1");
    assert_told(f->told, "~follow-2");
    json_auto_t *found = cache_get(f->cache, namespace, "follow-2");
    assert_string_equal(value_of(found, "key"), "2");
    assert_null(json_object_get(json_object_get(found, "metadata"), "managedFields"));

    change_map("follow-2", "2", "no"); /* leaves it */
    assert_told(f->told, "-follow-2");
    assert_int_equal(cache_count(f->cache), 0);
}

static int make_namespace(void **state)
{
    (void)state;
    struct error err;
    const struct kube_ref namespaces = {&kube_namespaces, NULL, NULL, NULL};
    snprintf(namespace, sizeof(namespace), "contract-%08x", backoff_random());
    json_auto_t *object = json_pack("{s:{s:s}}", "metadata", "name", namespace);
    return kube_create(kube, &namespaces, object, NULL, &err);
}

static int remove_namespace(void **state)
{
    (void)state;
    struct error err;
    const struct kube_ref ref = {&kube_namespaces, NULL, namespace, NULL};
    return kube_delete(kube, &ref, NULL, &err);
}

int main(void)
{
    kubeconfig = getenv("LIFEBOAT_TEST_KUBECONFIG");
    int status = client_open(&never, &config, &kube);
    if (status != 0)
        return status;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_created_can_be_got_and_deleted),
        cmocka_unit_test(what_exists_is_not_created_again),
        cmocka_unit_test(an_update_of_what_somebody_else_changed_is_a_conflict),
        cmocka_unit_test(a_merge_patch_changes_what_it_names),
        cmocka_unit_test(a_patch_of_an_older_object_is_a_conflict),
        cmocka_unit_test(an_apply_owns_what_it_says_and_no_more),
        cmocka_unit_test(an_object_of_another_uid_is_not_deleted),
        cmocka_unit_test(a_list_comes_in_pages_and_by_label),
        cmocka_unit_test(a_continue_token_that_is_none_is_refused),
        cmocka_unit_test(what_the_schema_refuses_is_explained),
        cmocka_unit_test(a_status_is_written_through_its_subresource_only),
        cmocka_unit_test(what_a_user_may_write_hides_nobody_elses),
        cmocka_unit_test(a_token_without_rights_is_forbidden),
        cmocka_unit_test(a_token_that_nobody_knows_is_refused_for_now),
        cmocka_unit_test(a_watch_tells_each_change_and_a_bookmark),
        cmocka_unit_test(a_watch_from_long_ago_has_expired),
        cmocka_unit_test_setup_teardown(a_cache_catches_up_after_its_connection_broke,
                                        begin_to_follow, end_to_follow),
    };
    CLEANUP(own_closep) int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    log_set_fd(nowhere);
    int failed = cmocka_run_group_tests(tests, make_namespace, remove_namespace);
    client_close(&never, &config, &kube);
    return failed;
}
