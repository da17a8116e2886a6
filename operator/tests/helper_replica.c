// SPDX-License-Identifier: Apache-2.0
#include "operator/tests/helper_replica.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/crew.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/own.h"
#include "common/tests/helper_http_server.h"
#include "operator/agents.h"
#include "operator/cache.h"
#include "operator/kube.h"
#include "operator/kube_config.h"
#include "operator/reviewer.h"
#include "operator/tests/helper_peer.h"

enum { DAY_MS = 24 * 60 * 60 * 1000 };

struct authority_pair replica_authority, replica_other_authority;

const struct message replica_assign = {.type = MESSAGE_ASSIGN,
                                       .assign = {.policy_namespace = "shop",
                                                  .policy = "orders",
                                                  .generation = 3,
                                                  .region = "eu",
                                                  .heartbeat_seconds = 10}};

static json_t *pod_user(const char *pod, const char *uid)
{
    return json_pack("{s:s, s:{s:[s], s:[s]}}", "username", "system:serviceaccount:shop:default",
                     "extra", "authentication.kubernetes.io/pod-name", pod,
                     "authentication.kubernetes.io/pod-uid", uid);
}

/* As one of another audience is none. */
static json_t *review_token(const json_t *spec)
{
    const char *token = json_string_value(json_object_get(spec, "token"));
    const json_t *audiences = json_object_get(spec, "audiences");
    const char *audience = json_string_value(json_array_get(audiences, 0));
    char pod[64], uid[64];
    json_t *user = NULL;
    bool blind = strncmp(token, "blind:", 6) == 0;
    if (blind || strncmp(token, "pod:", 4) == 0) {
        const char *first = strchr(token, ':') + 1, *second = strchr(first, ':') + 1;
        snprintf(pod, sizeof(pod), "%.*s", (int)(second - first - 1), first);
        snprintf(uid, sizeof(uid), "%s", second);
        user = pod_user(pod, uid);
    } else if (strcmp(token, "person") == 0 || strcmp(token, "reader") == 0) {
        user = json_pack("{s:s, s:[s]}", "username", token, "groups", "system:authenticated");
    }
    if (!user)
        return json_pack("{s:b, s:s}", "authenticated", false, "error", "invalid");
    json_t *status = json_pack("{s:b, s:o}", "authenticated", true, "user", user);
    if (!blind && audience)
        json_object_set_new(status, "audiences", json_pack("[s]", audience));
    return status;
}

static json_t *review_access(const json_t *spec)
{
    const json_t *attributes = json_object_get(spec, "nonResourceAttributes");
    const char *user = json_string_value(json_object_get(spec, "user"));
    bool metrics = strcmp(json_string_value(json_object_get(attributes, "path")), "/metrics") == 0;
    return json_pack("{s:b}", "allowed", metrics && user && strcmp(user, "reader") == 0);
}

static bool answer_api(void *arg, int fd, const struct http_server_request *request)
{
    struct replica *replica = arg;
    if (replica->api_is_away)
        return http_server_reply(fd, 503, "", "{}");
    bool token = strstr(request->target, "/tokenreviews");
    json_auto_t *review = json_loadb(request->body, request->body_size, 0, NULL);
    const json_t *spec = json_object_get(review, "spec");
    json_object_set_new(review, "status", token ? review_token(spec) : review_access(spec));
    CLEANUP(own_freep) char *body = json_dumps(review, 0);
    replica->reviews++;
    return http_server_reply(fd, 201, "Content-Type: application/json\r\n", body);
}

static bool is_leading(void *arg)
{
    struct replica *replica = arg;
    return replica->leading;
}

static bool always(void *arg)
{
    (void)arg;
    return true;
}

static void count_change(void *arg, const struct agent_identity *who)
{
    struct replica *replica = arg;
    (void)who;
    replica->changes++;
}

static void must(int result, const struct error *err)
{
    if (result < 0)
        fail_msg("%s", err->text);
}

void replica_put_pod(struct cache *pods, const char *name, const char *uid, const char *owner)
{
    json_t *pod = json_pack("{s:{s:s, s:s, s:s, s:s, s:[{s:s, s:s, s:s, s:s, s:b}]}}", "metadata",
                            "namespace", "shop", "name", name, "uid", uid, "resourceVersion", "1",
                            "ownerReferences", "apiVersion", "lifeboat.dev/v1alpha1", "kind", owner,
                            "name", "x", "uid", "y", "controller", true);
    json_decref(cache_put(pods, pod));
    json_decref(pod);
}

static void make_kube(struct replica *replica)
{
    struct error err;
    replica->api = http_server_new(answer_api, replica);
    CLEANUP(own_freep)
    char *text = own_format("current-context: t\n"
                            "contexts: [{name: t, context: {cluster: t, user: t}}]\n"
                            "clusters: [{name: t, cluster: {server: '%s'}}]\n"
                            "users: [{name: t, user: {token: operator}}]\n",
                            http_server_url(replica->api));
    const struct kube_config_text from = {
        .file = "test", .directory = "/", .text = text, .size = strlen(text)};
    must(kube_config_parse(&replica->config, &from, &err), &err);
    must(kube_new(&replica->kube, replica->config, &replica->cancel, &err), &err);
}

static void make_pods(struct replica *replica)
{
    replica->pods = cache_new(NULL);
    replica->restore_pods = cache_new(NULL);
    cache_set_synced(replica->pods);
    cache_set_synced(replica->restore_pods);
    replica_put_pod(replica->pods, "db-0", "u0", "StatefulSet");
    replica_put_pod(replica->pods, "db-1", "u1", "StatefulSet");
    replica_put_pod(replica->restore_pods, "copy-1", "r1", "RestoreJob");
    replica_put_pod(replica->restore_pods, "forged-1", "f1", "Job");
}

void replica_show_certificate(struct replica *replica, const struct authority_pair *ca)
{
    static const char *const names[] = {"localhost", "channel.localhost", NULL};
    struct error err;
    CLEANUP(authority_pair_done) struct authority_pair pair = {0};
    const struct authority_validity day = {clock_now_ms() - DAY_MS, clock_now_ms() + DAY_MS};
    must(authority_sign(ca, names, &day, &pair, &err), &err);
    must(channel_set_certificate(replica->channel, pair.certificate, pair.key, &err), &err);
}

void replica_start(struct replica *replica, const struct channel_options *options)
{
    struct error err;
    must(cancel_init(&replica->cancel, &err), &err);
    make_kube(replica);
    make_pods(replica);
    replica->metrics = metrics_new();
    replica->agents = agents_new(count_change, replica);
    agents_set_epoch(replica->agents, 7);
    replica->leading = true;
    replica->reviewer =
        reviewer_new(&(struct reviewer_options){.kube = replica->kube,
                                                .pods = replica->pods,
                                                .restore_pods = replica->restore_pods,
                                                .cancel = &replica->cancel});
    const struct channel_options full = {.address = options->address,
                                         .port = options->port,
                                         .agents = replica->agents,
                                         .reviewer = replica->reviewer,
                                         .metrics = replica->metrics,
                                         .cancel = &replica->cancel,
                                         .live = always,
                                         .ready = is_leading,
                                         .leading = is_leading,
                                         .arg = replica,
                                         .limits = options->limits};
    must(channel_new(&replica->channel, &full, &err), &err);
    replica->crew = crew_new(&replica->cancel);
    must(reviewer_start(replica->reviewer, replica->crew, &err), &err);
    must(crew_start(replica->crew, "channel", channel_run, replica->channel, &err), &err);
    replica_show_certificate(replica, &replica_authority);
}

void replica_stop(struct replica *replica)
{
    crew_freep(&replica->crew);
    channel_freep(&replica->channel);
    reviewer_freep(&replica->reviewer);
    agents_freep(&replica->agents);
    metrics_freep(&replica->metrics);
    cache_freep(&replica->pods);
    cache_freep(&replica->restore_pods);
    kube_freep(&replica->kube);
    kube_config_freep(&replica->config);
    http_server_freep(&replica->api);
    cancel_done(&replica->cancel);
}

bool replica_is_fresh(struct replica *replica, const char *uid)
{
    CLEANUP(agent_view_done) struct agent_view view;
    agents_view(replica->agents, uid, &view);
    return view.fresh;
}

size_t replica_finished_count(struct replica *replica, const char *uid)
{
    CLEANUP(agent_view_done) struct agent_view view;
    agents_view(replica->agents, uid, &view);
    return view.state.state.finished_count;
}

void replica_tell(struct replica *replica, const struct message *message)
{
    struct error err;
    must(agents_send(replica->agents, "u0", message, &err), &err);
}

struct peer *replica_open_agent(struct replica *replica)
{
    struct peer *peer = peer_open(channel_port(replica->channel), TOKEN("db-0", "u0"));
    assert_non_null(peer);
    assert_true(peer_send_text(peer, HELLO("db-0", "u0")));
    WAIT_FOR(agents_connected(replica->agents) == 1);
    return peer;
}

int replica_set_up(void **state)
{
    struct replica *replica = own_alloc(sizeof(*replica));
    replica_start(replica, &(struct channel_options){.limits = {.opening_ms = 1000,
                                                                .hello_ms = 1000,
                                                                .ping_seconds = 1,
                                                                .hang_up_seconds = 2,
                                                                .connections = 300,
                                                                .strangers = 64}});
    *state = replica;
    return 0;
}

int replica_tear_down(void **state)
{
    struct replica *replica = *state;
    replica_stop(replica);
    own_freep(&replica);
    return 0;
}

int replica_set_up_all(void **state)
{
    (void)state;
    const struct authority_validity days = {clock_now_ms() - DAY_MS,
                                            clock_now_ms() + INT64_C(10) * DAY_MS};
    log_set_level(LOG_LEVEL_ERROR);
    log_set_fd(open("/dev/null", O_WRONLY | O_CLOEXEC));
    authority_make("localhost", &days, &replica_authority);
    authority_make("localhost", &days, &replica_other_authority);
    return 0;
}

int replica_tear_down_all(void **state)
{
    (void)state;
    authority_pair_done(&replica_authority);
    authority_pair_done(&replica_other_authority);
    return 0;
}
