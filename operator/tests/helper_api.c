// SPDX-License-Identifier: Apache-2.0
#include "operator/tests/helper_api.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/cancel.h"
#include "common/clock.h"
#include "common/crew.h"
#include "common/log.h"
#include "common/message.h"
#include "common/metrics.h"
#include "common/own.h"
#include "operator/agents.h"
#include "operator/cache.h"
#include "operator/kube.h"
#include "operator/nodes.h"
#include "operator/recorder.h"
#include "operator/runs.h"
#include "operator/tests/helper_client.h"
#include "operator/tests/helper_json.h"

enum { METRICS_MAX = 1 << 20, LOGGED_MAX = 1 << 20 };

struct api {
    char namespace[64];
    struct cancel cancel; /* of the client: never */
    struct cancel end;    /* of the recorder */
    struct crew *crew;
    unsigned flushes;
    int log_fd;
    struct kube_config *config;
    struct kube *kube;
    struct reconcile reconcile;
};

static const struct kube_resource service_accounts = {"", "v1", "serviceaccounts", "ServiceAccount",
                                                      true};

static void on_change(void *arg, const struct agent_identity *who)
{
    (void)arg;
    (void)who;
}

static void wake(void *arg)
{
    (void)arg;
}

json_t *api_parse(const char *text)
{
    json_error_t error;
    json_t *value = json_loads(text, 0, &error);
    if (!value)
        fail_msg("bad JSON in a test: %s: %s", text, error.text);
    return value;
}

static struct kube_ref ref(const struct api *api, const struct kube_resource *resource,
                           const char *name)
{
    return (struct kube_ref){.resource = resource, .namespace = api->namespace, .name = name};
}

json_t *api_get(struct api *api, const struct kube_resource *resource, const char *name)
{
    struct error err;
    const struct kube_ref object = ref(api, resource, name);
    json_t *found = NULL;
    if (kube_get(api->kube, &object, &found, &err) < 0 && err.kind != ERROR_NOT_FOUND)
        fail_msg("%s", err.text);
    return found;
}

void api_create(struct api *api, const struct kube_resource *resource, const char *text)
{
    struct error err;
    const struct kube_ref collection = ref(api, resource, NULL);
    json_auto_t *object = api_parse(text);
    CLEANUP(own_freep)
    char *version =
        own_format("%s%s%s", resource->group, *resource->group ? "/" : "", resource->version);
    json_object_set_new(object, "apiVersion", json_string(version));
    json_object_set_new(object, "kind", json_string(resource->kind));
    json_object_set_new(json_object_get(object, "metadata"), "namespace",
                        json_string(api->namespace));
    if (kube_create(api->kube, &collection, object, NULL, &err) < 0)
        fail_msg("%s: %s", text, err.text);
}

void api_patch(struct api *api, const struct kube_resource *resource, const char *name,
               const char *text)
{
    struct error err;
    json_auto_t *changes = api_parse(text);
    const struct kube_ref object = ref(api, resource, name);
    if (kube_merge_patch(api->kube, &object, changes, NULL, &err) < 0)
        fail_msg("%s", err.text);
}

void api_delete(struct api *api, const struct kube_resource *resource, const char *name)
{
    struct error err;
    const struct kube_ref object = ref(api, resource, name);
    if (kube_delete(api->kube, &object, NULL, &err) < 0)
        fail_msg("%s", err.text);
}

static void list_into(struct api *api, struct cache *cache, const struct kube_resource *resource,
                      const char *selector)
{
    struct error err;
    json_auto_t *page = NULL;
    enum kube_list_outcome outcome;
    const struct kube_list list = {
        .collection = ref(api, resource, NULL), .label_selector = selector, .limit = 500};
    if (kube_list(api->kube, &list, &page, &outcome, &err) < 0)
        fail_msg("%s", err.text);
    json_decref(cache_replace(cache, api->namespace, json_object_get(page, "items")));
}

void api_list(struct api *api)
{
    struct reconcile *reconcile = &api->reconcile;
    list_into(api, reconcile->policies, &kube_policies, NULL);
    list_into(api, reconcile->backups, &kube_backups, NULL);
    list_into(api, reconcile->restore_jobs, &kube_restore_jobs, NULL);
    list_into(api, reconcile->restore_pods, &kube_pods, "lifeboat.dev/restorejob");
}

static json_t *list_events(struct api *api)
{
    struct error err;
    json_auto_t *page = NULL;
    enum kube_list_outcome outcome;
    const struct kube_list list = {.collection = ref(api, &kube_events, NULL), .limit = 500};
    if (kube_list(api->kube, &list, &page, &outcome, &err) < 0)
        fail_msg("%s", err.text);
    return json_incref(json_object_get(page, "items"));
}

static bool has_event(const json_t *events, const char *reason)
{
    size_t index;
    json_t *event;
    json_array_foreach(events, index, event)
    {
        if (strcmp(api_text(event, "reason"), reason) == 0)
            return true;
    }
    return false;
}

json_t *api_events(struct api *api)
{
    struct error err;
    json_auto_t *about = json_pack("{s:s, s:s, s:{s:s, s:s}}", "apiVersion", "v1", "kind", "Pod",
                                   "metadata", "namespace", api->namespace, "name", "test");
    CLEANUP(own_freep) char *last = own_format("Flushed%u", api->flushes++);
    recorder_event(api->reconcile.recorder, about, EVENT_NORMAL, last, "Test", "the last one");
    for (unsigned i = 0; i < 500; i++) { /* they are written in order */
        json_t *events = list_events(api);
        if (has_event(events, last))
            return events;
        json_decref(events);
        if (cancel_sleep(&api->cancel, 20, &err) < 0)
            break;
    }
    fail_msg("events are not written");
    return NULL;
}

void api_expect_event(const json_t *events, const char *kind, const char *name, const char *type,
                      const char *reason)
{
    size_t index;
    json_t *event;
    json_array_foreach(events, index, event)
    {
        if (strcmp(api_text(event, "regarding/name"), name) != 0 ||
            strcmp(api_text(event, "reason"), reason) != 0 ||
            strcmp(api_text(event, "type"), type) != 0)
            continue;
        assert_string_equal(api_text(event, "regarding/kind"), kind);
        return;
    }
    fail_msg("there is no %s event %s about '%s'", type, reason, name);
}

void api_expect_metric(struct api *api, const char *line)
{
    struct error err;
    const char *namespace = strchr(line, '$');
    assert_non_null(namespace);
    CLEANUP(own_freep)
    char *expected =
        own_format("%.*s%s%s\n", (int)(namespace - line), line, api->namespace, namespace + 1);
    CLEANUP(buf_done) struct buf text = BUF(METRICS_MAX);
    assert_int_equal(metrics_format(api->reconcile.metrics, &text, &err), 0);
    CLEANUP(own_freep) char *all = buf_string(&text);
    if (!strstr(all, expected))
        fail_msg("'%s' is not in:\n%s", expected, all);
}

void api_log_begin(struct api *api)
{
    api->log_fd = memfd_create("log", MFD_CLOEXEC);
    assert_true(api->log_fd >= 0);
    log_set_fd(api->log_fd);
}

static bool is_line(const char *line, const char *message, const char *name, const char *text)
{
    json_auto_t *object = json_loads(line, 0, NULL);
    const char *fields[] = {"error", "detail"};
    bool told = false;
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
        told |= strstr(api_text(object, fields[i]), text) != NULL;
    return told && strcmp(api_text(object, "message"), message) == 0 &&
           strcmp(api_text(object, "name"), name) == 0;
}

void api_log_end(struct api *api, const char *message, const char *name, const char *text)
{
    CLEANUP(own_closep) int fd = api->log_fd;
    CLEANUP(own_freep) char *all = own_alloc(LOGGED_MAX); /* zeroed */
    log_set_fd(STDERR_FILENO);
    assert_true(pread(fd, all, LOGGED_MAX - 1, 0) > 0);
    CLEANUP(own_freep) char *lines = own_strdup(all);
    char *rest = lines;
    for (char *line = strsep(&rest, "\n"); line; line = strsep(&rest, "\n"))
        if (is_line(line, message, name, text))
            return;
    fail_msg("'%s' about '%s' with '%s' is not logged:\n%s", message, name, text, all);
}

const char *api_text(const json_t *object, const char *path)
{
    const char *text = json_string_value(json_at(object, path));
    return text ? text : "";
}

void api_expect_text(const json_t *object, const char *path, const char *text)
{
    if (strcmp(api_text(object, path), text) == 0)
        return;
    CLEANUP(own_freep) char *all = json_dumps(json_object_get(object, "status"), JSON_INDENT(1));
    fail_msg("%s is '%s', not '%s' in %s", path, api_text(object, path), text, all);
}

void api_add_member(struct api *api, const char *policy, const char *name, const char *region)
{
    json_auto_t *pod = json_pack(
        "{s:{s:s, s:s, s:s+, s:{s:s}, s:{s:s}}, s:{s:[{s:s, s:s}], s:[{s:s}], s:{s:i}}, s:{}}",
        "metadata", "namespace", api->namespace, "name", name, "uid", "uid-", name, "labels",
        "lifeboat.dev/policy", policy, "annotations", "lifeboat.dev/region", region, "spec",
        "initContainers", "name", "lifeboat", "image", "example.com/lifeboat:1", "containers",
        "name", "postgres", "securityContext", "runAsUser", 999, "status");
    assert_non_null(pod);
    json_decref(cache_put(api->reconcile.pods, pod));
}

void api_join(struct api *api, const char *pod, const char *uid, uint64_t connection)
{
    struct agent_identity who;
    snprintf(who.namespace, sizeof(who.namespace), "%s", api->namespace);
    snprintf(who.pod, sizeof(who.pod), "%s", pod);
    snprintf(who.uid, sizeof(who.uid), "%s", uid);
    agents_join(api->reconcile.agents, &who, connection);
}

void api_hear(struct api *api, const char *uid, uint64_t connection, const char *type,
              const char *members)
{
    struct error err;
    CLEANUP(message_clear) struct message message = {0};
    CLEANUP(own_freep)
    char *text = own_format("{\"version\": 1, \"type\": \"%s\", %s}", type, members);
    if (message_parse(&message, text, strlen(text), &err) < 0 ||
        agents_hear(api->reconcile.agents, uid, connection, &message, &err) < 0)
        fail_msg("%s: %s", text, err.text);
}

char *api_said(struct api *api, const char *uid, uint64_t connection)
{
    int closed = 0;
    char *text = agents_next(api->reconcile.agents, uid, connection, &closed);
    assert_int_equal(closed, 0);
    return text;
}

struct reconcile *api_reconcile(struct api *api)
{
    return &api->reconcile;
}

const char *api_namespace(const struct api *api)
{
    return api->namespace;
}

void api_pass_time(int64_t ms)
{
    clock_fake(clock_now_ms() + ms);
}

void api_lead(struct api *api)
{
    api->reconcile.started_ms = clock_monotonic_ms();
}

static int make_namespace(struct api *api, const char *prefix, struct error *err)
{
    const struct kube_ref namespaces = {.resource = &kube_namespaces};
    const struct kube_ref accounts = ref(api, &service_accounts, NULL);
    snprintf(api->namespace, sizeof(api->namespace), "%s-%ld", prefix, (long)getpid());
    json_auto_t *namespace = json_pack("{s:s, s:s, s:{s:s, s:{s:s}}}", "apiVersion", "v1", "kind",
                                       "Namespace", "metadata", "name", api->namespace, "labels",
                                       "pod-security.kubernetes.io/enforce", "restricted");
    json_auto_t *account = json_pack("{s:s, s:s, s:{s:s}}", "apiVersion", "v1", "kind",
                                     "ServiceAccount", "metadata", "name", "default");
    if (kube_create(api->kube, &namespaces, namespace, NULL, err) < 0)
        return -1;
    return kube_create(api->kube, &accounts, account, NULL, err);
}

static void make_reconcile(struct api *api)
{
    static const char *const policy[] = {"metadata", "labels", "lifeboat.dev/policy", NULL};
    static const char *const job[] = {"metadata", "labels", "lifeboat.dev/restorejob", NULL};
    static const char *const backup[] = {"spec", "policyRef", "name", NULL};
    static const char *const restore[] = {"spec", "source", "policyRef", "name", NULL};
    static const struct agents_outlet outlet = {.wake = wake};
    struct metrics *metrics = metrics_new();
    api->reconcile = (struct reconcile){
        .kube = api->kube,
        .policies = cache_new(NULL),
        .backups = cache_new(backup),
        .restore_jobs = cache_new(restore),
        .pods = cache_new(policy),
        .restore_pods = cache_new(job),
        .nodes = nodes_new(api->kube),
        .runs = runs_new(metrics),
        .agents = agents_new(on_change, NULL),
        .recorder = recorder_new(api->kube, "test", &api->end),
        .metrics = metrics,
        .queue = workqueue_new(&api->cancel),
        .epoch = 1,
        .started_ms = clock_monotonic_ms() - INT64_C(3600000),
        .namespace = api->namespace,
    };
    agents_set_outlet(api->reconcile.agents, &outlet);
    agents_set_epoch(api->reconcile.agents, 1);
}

struct api *api_new(const char *namespace_prefix)
{
    CLEANUP(own_freep) struct api *api = own_alloc(sizeof(*api));
    int status = client_open(&api->cancel, &api->config, &api->kube);
    if (status == EXIT_SKIPPED)
        return NULL;
    struct error err;
    clock_fake(clock_now_ms());
    if (status != 0)
        abort();
    if (cancel_init(&api->end, &err) < 0 || make_namespace(api, namespace_prefix, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        abort();
    }
    make_reconcile(api);
    api->crew = crew_new(&api->end);
    if (crew_start(api->crew, "recorder", recorder_run, api->reconcile.recorder, &err) < 0)
        abort();
    return TAKE(api);
}

void api_freep(struct api **api)
{
    if (!*api)
        return;
    struct reconcile *reconcile = &(*api)->reconcile;
    json_decref(api_events(*api));
    cancel_trigger(&(*api)->end);
    crew_freep(&(*api)->crew);
    cache_freep(&reconcile->policies);
    cache_freep(&reconcile->backups);
    cache_freep(&reconcile->restore_jobs);
    cache_freep(&reconcile->pods);
    cache_freep(&reconcile->restore_pods);
    nodes_freep(&reconcile->nodes);
    runs_freep(&reconcile->runs);
    agents_freep(&reconcile->agents);
    recorder_freep(&reconcile->recorder);
    metrics_freep(&reconcile->metrics);
    workqueue_freep(&reconcile->queue);
    cancel_done(&(*api)->end);
    client_close(&(*api)->cancel, &(*api)->config, &(*api)->kube);
    own_freep(api);
}
