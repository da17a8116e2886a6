// SPDX-License-Identifier: Apache-2.0
/*
 * Both ends of the channel over TLS on loopback: the operator's server with its reviewer and client
 * of Kubernetes, and the sidecar's client, or peers that behave worse. Only the API server stands
 * in: it says of each token what its text says.
 */
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/cancel.h"
#include "common/clock.h"
#include "common/crew.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/own.h"
#include "common/tests/helper_http_server.h"
#include "operator/agents.h"
#include "operator/authority.h"
#include "operator/cache.h"
#include "operator/channel.h"
#include "operator/kube.h"
#include "operator/kube_config.h"
#include "operator/reviewer.h"
#include "operator/tests/helper_peer.h"
#include "sidecar/channel_client.h"

enum { PATIENCE_MS = 8000, DAY_MS = 24 * 60 * 60 * 1000 };

#define TOKEN(pod, uid) "pod:" pod ":" uid
#define HELLO(pod, uid)                                                                            \
    "{\"version\":1,\"type\":\"hello\",\"pod\":{\"namespace\":\"shop\",\"name\":\"" pod            \
    "\",\"uid\":\"" uid "\"},\"sidecarVersion\":\"1\",\"epoch\":0}"
#define IDLE_STATE                                                                                 \
    "{\"version\":1,\"type\":\"state\",\"generation\":1,\"database\":{\"reachable\":false}}"

static struct authority_pair authority, other_authority;

/* The API server. */

static atomic_bool api_is_away;
static atomic_uint api_reviews;

static json_t *pod_user(const char *pod, const char *uid)
{
    return json_pack("{s:s, s:{s:[s], s:[s]}}", "username", "system:serviceaccount:shop:default",
                     "extra", "authentication.kubernetes.io/pod-name", pod,
                     "authentication.kubernetes.io/pod-uid", uid);
}

/* "pod:<name>:<uid>", "blind:<name>:<uid>" (an authenticator that knows nothing of audiences),
 * "person", "reader"; else it is no token, as one of another audience is none. */
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
    (void)arg;
    if (api_is_away)
        return http_server_reply(fd, 503, "", "{}");
    bool token = strstr(request->target, "/tokenreviews");
    json_auto_t *review = json_loadb(request->body, request->body_size, 0, NULL);
    const json_t *spec = json_object_get(review, "spec");
    json_object_set_new(review, "status", token ? review_token(spec) : review_access(spec));
    CLEANUP(own_freep) char *body = json_dumps(review, 0);
    api_reviews++;
    return http_server_reply(fd, 201, "Content-Type: application/json\r\n", body);
}

/* An operator, as far as the channel goes. */

struct operator
{
    struct cancel cancel;
    struct http_server *api;
    struct kube_config *config;
    struct kube *kube;
    struct cache *pods, *restore_pods;
    struct metrics *metrics;
    struct agents *agents;
    struct reviewer *reviewer;
    struct channel *channel;
    struct crew *crew;
    atomic_bool leading;
    atomic_uint changes;
};

static bool is_leading(void *arg)
{
    struct operator* op = arg;
    return op->leading;
}

static bool always(void *arg)
{
    (void)arg;
    return true;
}

static void count_change(void *arg, const struct agent_identity *who)
{
    struct operator* op = arg;
    (void)who;
    op->changes++;
}

static void must(int result, const struct error *err)
{
    if (result < 0)
        fail_msg("%s", err->text);
}

static void put_pod(struct cache *cache, const char *name, const char *uid, const char *owner)
{
    json_t *pod = json_pack("{s:{s:s, s:s, s:s, s:s, s:[{s:s, s:s, s:s, s:s, s:b}]}}", "metadata",
                            "namespace", "shop", "name", name, "uid", uid, "resourceVersion", "1",
                            "ownerReferences", "apiVersion", "lifeboat.dev/v1alpha1", "kind", owner,
                            "name", "x", "uid", "y", "controller", true);
    json_decref(cache_put(cache, pod));
    json_decref(pod);
}

static void make_kube(struct operator* op)
{
    struct error err;
    op->api = http_server_new(answer_api, NULL);
    CLEANUP(own_freep)
    char *text = own_format("current-context: t\n"
                            "contexts: [{name: t, context: {cluster: t, user: t}}]\n"
                            "clusters: [{name: t, cluster: {server: '%s'}}]\n"
                            "users: [{name: t, user: {token: operator}}]\n",
                            http_server_url(op->api));
    const struct kube_config_text from = {
        .file = "test", .directory = "/", .text = text, .size = strlen(text)};
    must(kube_config_parse(&op->config, &from, &err), &err);
    must(kube_new(&op->kube, op->config, &op->cancel, &err), &err);
}

static void make_pods(struct operator* op)
{
    op->pods = cache_new(NULL);
    op->restore_pods = cache_new(NULL);
    cache_set_synced(op->pods);
    cache_set_synced(op->restore_pods);
    put_pod(op->pods, "db-0", "u0", "StatefulSet");
    put_pod(op->pods, "db-1", "u1", "StatefulSet");
    put_pod(op->restore_pods, "copy-1", "r1", "RestoreJob");
    put_pod(op->restore_pods, "forged-1", "f1", "Job");
}

static void show_certificate(struct operator* op, const struct authority_pair *ca)
{
    static const char *const names[] = {"localhost", "channel.localhost", NULL};
    struct error err;
    CLEANUP(authority_pair_done) struct authority_pair pair = {0};
    const struct authority_validity day = {clock_now_ms() - DAY_MS, clock_now_ms() + DAY_MS};
    must(authority_sign(ca, names, &day, &pair, &err), &err);
    must(channel_set_certificate(op->channel, pair.certificate, pair.key, &err), &err);
}

static void start_at(struct operator* op, struct channel_options options)
{
    struct error err;
    must(cancel_init(&op->cancel, &err), &err);
    make_kube(op);
    make_pods(op);
    op->metrics = metrics_new();
    op->agents = agents_new(count_change, op);
    agents_set_epoch(op->agents, 7);
    op->leading = true;
    op->reviewer = reviewer_new(&(struct reviewer_options){.kube = op->kube,
                                                           .pods = op->pods,
                                                           .restore_pods = op->restore_pods,
                                                           .cancel = &op->cancel});
    options.agents = op->agents;
    options.reviewer = op->reviewer;
    options.metrics = op->metrics;
    options.cancel = &op->cancel;
    options.live = always;
    options.ready = options.leading = is_leading;
    options.arg = op;
    must(channel_new(&op->channel, &options, &err), &err);
    op->crew = crew_new(&op->cancel);
    must(reviewer_start(op->reviewer, op->crew, &err), &err);
    must(crew_start(op->crew, "channel", channel_run, op->channel, &err), &err);
    show_certificate(op, &authority);
}

static void stop(struct operator* op)
{
    crew_freep(&op->crew);
    channel_freep(&op->channel);
    reviewer_freep(&op->reviewer);
    agents_freep(&op->agents);
    metrics_freep(&op->metrics);
    cache_freep(&op->pods);
    cache_freep(&op->restore_pods);
    kube_freep(&op->kube);
    kube_config_freep(&op->config);
    http_server_freep(&op->api);
    cancel_done(&op->cancel);
}

static int set_up(void **state)
{
    struct operator* op = own_alloc(sizeof(*op));
    start_at(op, (struct channel_options){.limits = {.opening_ms = 1000,
                                                     .hello_ms = 1000,
                                                     .ping_seconds = 1,
                                                     .hang_up_seconds = 2,
                                                     .connections = 300,
                                                     .strangers = 64}});
    *state = op;
    return 0;
}

static int tear_down(void **state)
{
    struct operator* op = * state;
    stop(op);
    own_freep(&op);
    api_is_away = false;
    return 0;
}

/* Waits until a condition holds. */
#define WAIT_FOR(condition)                                                                        \
    do {                                                                                           \
        for (int64_t until_ = clock_monotonic_ms() + PATIENCE_MS; !(condition);) {                 \
            if (clock_monotonic_ms() > until_)                                                     \
                fail_msg("waited in vain for " #condition);                                        \
            poll(NULL, 0, 5);                                                                      \
        }                                                                                          \
    } while (0)

/* A sidecar, as far as the channel goes. */

struct sidecar {
    struct cancel cancel;
    struct crew *crew;
    struct channel_client *client;
    char token_file[64];
};

static void write_token(struct sidecar *sidecar, const char *token)
{
    int fd = open(sidecar->token_file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, token, strlen(token)), strlen(token));
    close(fd);
}

static void target(struct sidecar *sidecar, const struct operator* op, const char *host,
                   const char *ca)
{
    CLEANUP(own_freep) char *endpoint = own_format("%s:%u", host, channel_port(op->channel));
    channel_client_set_target(sidecar->client, endpoint, ca);
}

static void start_sidecar(struct sidecar *sidecar, const char *token, unsigned backoff_ms)
{
    struct error err;
    *sidecar = (struct sidecar){.token_file = "/tmp/lifeboat-channel-XXXXXX"};
    int fd = mkstemp(sidecar->token_file);
    assert_true(fd >= 0);
    close(fd);
    write_token(sidecar, token);
    must(cancel_init(&sidecar->cancel, &err), &err);
    sidecar->crew = crew_new(&sidecar->cancel);
    const struct channel_client_options options = {.namespace = "shop",
                                                   .pod = "db-0",
                                                   .uid = "u0",
                                                   .version = "1",
                                                   .token_file = sidecar->token_file,
                                                   .cancel = &sidecar->cancel,
                                                   .ping_seconds = 1,
                                                   .hang_up_seconds = 2,
                                                   .backoff_ms = backoff_ms,
                                                   .backoff_max_ms = backoff_ms};
    must(channel_client_new(&sidecar->client, &options, &err), &err);
    must(crew_start(sidecar->crew, "client", channel_client_run, sidecar->client, &err), &err);
}

static void stop_sidecar(struct sidecar *sidecar)
{
    crew_freep(&sidecar->crew);
    channel_client_freep(&sidecar->client);
    cancel_done(&sidecar->cancel);
    unlink(sidecar->token_file);
}

/* The next event, which must be of that type. */
static struct channel_event expect_event(struct sidecar *sidecar, enum channel_event_type type)
{
    struct channel_event event;
    struct pollfd readable = {.fd = channel_client_fd(sidecar->client), .events = POLLIN};
    if (poll(&readable, 1, PATIENCE_MS) != 1)
        fail_msg("no event");
    channel_client_next(sidecar->client, &event);
    assert_int_equal(event.type, type);
    return event;
}

static void say(struct sidecar *sidecar, const char *text)
{
    struct error err;
    CLEANUP(message_clear) struct message message = {0};
    must(message_parse(&message, text, strlen(text), &err), &err);
    must(channel_client_send(sidecar->client, &message, &err), &err);
}

static bool is_fresh(struct operator* op, const char *uid)
{
    CLEANUP(agent_view_done) struct agent_view view;
    agents_view(op->agents, uid, &view);
    return view.fresh;
}

static size_t finished_count(struct operator* op, const char *uid)
{
    CLEANUP(agent_view_done) struct agent_view view;
    agents_view(op->agents, uid, &view);
    return view.state.state.finished_count;
}

static void tell(struct operator* op, const struct message *message)
{
    struct error err;
    must(agents_send(op->agents, "u0", message, &err), &err);
}

static const struct message assign = {.type = MESSAGE_ASSIGN,
                                      .assign = {.policy_namespace = "shop",
                                                 .policy = "orders",
                                                 .generation = 3,
                                                 .region = "eu",
                                                 .heartbeat_seconds = 10}};

/* A raw peer that has said hello and whose agent is there. */
static struct peer *open_agent(struct operator* op)
{
    struct peer *peer = peer_open(channel_port(op->channel), TOKEN("db-0", "u0"));
    assert_non_null(peer);
    assert_true(peer_send_text(peer, HELLO("db-0", "u0")));
    WAIT_FOR(agents_connected(op->agents) == 1);
    return peer;
}

static void close_agent(struct peer *peer)
{
    peer_freep(&peer);
}

static int close_of(struct operator* op, const char *token)
{
    CLEANUP(peer_freep) struct peer *peer = peer_open(channel_port(op->channel), token);
    assert_non_null(peer);
    return peer_wait_close(peer, PATIENCE_MS);
}

static void both_ends_speak_of_a_run_from_hello_to_done(void **state)
{
    struct operator* op = * state;
    struct sidecar sidecar;
    start_sidecar(&sidecar, TOKEN("db-0", "u0") "\n", 100);
    target(&sidecar, op, "localhost", authority.certificate);
    expect_event(&sidecar, CHANNEL_CONNECTED);
    assert_true(channel_client_connected(sidecar.client));
    say(&sidecar, IDLE_STATE);
    WAIT_FOR(is_fresh(op, "u0"));
    tell(op, &assign);
    tell(op, &(struct message){.type = MESSAGE_RUN,
                               .run = {.id = "b1",
                                       .generation = 3,
                                       .deadline_seconds = 60,
                                       .backup = {.name = "n", .uid = "u", .type = "full"}}});
    struct channel_event event = expect_event(&sidecar, CHANNEL_MESSAGE);
    assert_int_equal(event.message.type, MESSAGE_ASSIGN);
    assert_string_equal(event.message.assign.policy, "orders");
    message_clear(&event.message);
    event = expect_event(&sidecar, CHANNEL_MESSAGE);
    assert_int_equal(event.message.type, MESSAGE_RUN);
    assert_string_equal(event.message.run.backup.type, "full");
    message_clear(&event.message);
    assert_int_equal(channel_client_epoch(sidecar.client), 7);
    say(&sidecar, "{\"version\":1,\"type\":\"done\",\"id\":\"b1\",\"kind\":\"backup\",\"ok\":true,"
                  "\"backup\":{\"id\":\"b1\",\"type\":\"full\"}}");
    WAIT_FOR(finished_count(op, "u0") == 1);
    stop_sidecar(&sidecar);
    WAIT_FOR(agents_connected(op->agents) == 0);
}

static void only_pods_that_are_known_get_in(void **state)
{
    struct operator* op = * state;
    assert_int_equal(close_of(op, NULL), MESSAGE_CLOSE_UNAUTHENTICATED);
    assert_int_equal(close_of(op, "of another audience"), MESSAGE_CLOSE_UNAUTHENTICATED);
    assert_int_equal(close_of(op, "blind:db-0:u0"), MESSAGE_CLOSE_UNAUTHENTICATED);
    assert_int_equal(close_of(op, "person"), MESSAGE_CLOSE_UNKNOWN_POD);
    assert_int_equal(close_of(op, TOKEN("db-9", "u0")), MESSAGE_CLOSE_UNKNOWN_POD);
    assert_int_equal(close_of(op, TOKEN("db-0", "former")), MESSAGE_CLOSE_UNKNOWN_POD);
    assert_int_equal(close_of(op, TOKEN("forged-1", "f1")), MESSAGE_CLOSE_UNKNOWN_POD);
    assert_int_equal(agents_connected(op->agents), 0);
    CLEANUP(peer_freep)
    struct peer *peer = peer_open(channel_port(op->channel), TOKEN("copy-1", "r1"));
    assert_true(peer_send_text(peer, HELLO("copy-1", "r1")));
    WAIT_FOR(agents_connected(op->agents) == 1);
}

static void a_hello_in_the_name_of_another_pod_is_refused(void **state)
{
    struct operator* op = * state;
    CLEANUP(peer_freep)
    struct peer *peer = peer_open(channel_port(op->channel), TOKEN("db-1", "u1"));
    peer_send_text(peer, HELLO("db-0", "u0"));
    assert_int_equal(peer_wait_close(peer, PATIENCE_MS), MESSAGE_CLOSE_UNKNOWN_POD);
    assert_int_equal(agents_connected(op->agents), 0);
}

static void without_an_answer_of_the_api_server_one_tries_again(void **state)
{
    struct operator* op = * state;
    api_is_away = true;
    assert_int_equal(close_of(op, TOKEN("db-0", "u0")), MESSAGE_CLOSE_TRY_AGAIN);
    api_is_away = false;
    close_agent(open_agent(op));
}

static void a_deleted_pod_loses_its_connection(void **state)
{
    struct operator* op = * state;
    CLEANUP(peer_freep) struct peer *peer = open_agent(op);
    agents_forget(op->agents, "u0");
    assert_int_equal(peer_wait_close(peer, PATIENCE_MS), MESSAGE_CLOSE_UNKNOWN_POD);
}

static void a_newer_connection_of_a_pod_replaces_the_older(void **state)
{
    struct operator* op = * state;
    CLEANUP(peer_freep) struct peer *older = open_agent(op);
    CLEANUP(peer_freep)
    struct peer *newer = peer_open(channel_port(op->channel), TOKEN("db-0", "u0"));
    assert_true(peer_send_text(newer, HELLO("db-0", "u0")));
    assert_int_equal(peer_wait_close(older, PATIENCE_MS), MESSAGE_CLOSE_REPLACED);
    assert_true(peer_send_text(newer, IDLE_STATE));
    WAIT_FOR(is_fresh(op, "u0"));
    tell(op, &assign);
    CLEANUP(own_freep) char *text = peer_receive(newer, PATIENCE_MS);
    assert_non_null(strstr(text, "\"epoch\":7"));
    assert_int_equal(agents_connected(op->agents), 1);
}

static void a_follower_asks_nobody_who_it_is(void **state)
{
    struct operator* op = * state;
    op->leading = false;
    unsigned before = api_reviews;
    assert_int_equal(close_of(op, TOKEN("db-0", "u0")), MESSAGE_CLOSE_NOT_LEADER);
    assert_int_equal(api_reviews, before);
}

/* So that one name has two addresses, in the mount namespace of this program alone. */
static bool name_two_addresses(void)
{
    static const char hosts[] = "127.0.0.1 localhost channel.localhost\n"
                                "127.0.0.2 channel.localhost\n";
    char path[] = "/tmp/lifeboat-hosts-XXXXXX";
    if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return false;
    int fd = mkstemp(path);
    bool named = fd >= 0 && write(fd, hosts, sizeof(hosts) - 1) > 0 && fchmod(fd, 0644) == 0 &&
                 mount(path, "/etc/hosts", NULL, MS_BIND, NULL) == 0;
    if (fd >= 0)
        close(fd);
    unlink(path);
    return named;
}

static bool two_addresses;

static void a_client_goes_from_a_follower_to_the_leader_at_once(void **state)
{
    (void)state;
    if (!two_addresses)
        skip();
    struct operator* first = own_alloc(sizeof(*first)), *second = own_alloc(sizeof(*second));
    start_at(first, (struct channel_options){.address = "127.0.0.1"});
    start_at(second, (struct channel_options){.address = "127.0.0.2",
                                              .port = channel_port(first->channel)});
    struct sidecar sidecar;
    start_sidecar(&sidecar, TOKEN("db-0", "u0"), 60000); /* never a second round */
    for (int leader = 0; leader < 2; leader++) {
        first->leading = leader == 0;
        second->leading = leader == 1;
        struct operator* op = leader == 0 ? first : second;
        target(&sidecar, op, "channel.localhost", authority.certificate);
        WAIT_FOR(agents_connected(op->agents) == 1);
        say(&sidecar, IDLE_STATE);
        WAIT_FOR(is_fresh(op, "u0"));
        tell(op, &assign);
        struct channel_event event;
        do {
            event = (struct channel_event){0};
            channel_client_next(sidecar.client, &event);
            message_clear(&event.message);
            poll(NULL, 0, 1);
        } while (event.type != CHANNEL_MESSAGE);
        agents_forget(op->agents, "u0"); /* closes the connection */
        expect_event(&sidecar, CHANNEL_GONE);
    }
    stop_sidecar(&sidecar);
    stop(first);
    stop(second);
    own_freep(&first);
    own_freep(&second);
}

static void a_lower_epoch_is_refused_also_by_a_later_connection(void **state)
{
    struct operator* op = * state;
    struct sidecar sidecar;
    start_sidecar(&sidecar, TOKEN("db-0", "u0"), 20);
    target(&sidecar, op, "localhost", authority.certificate);
    expect_event(&sidecar, CHANNEL_CONNECTED);
    WAIT_FOR(agents_connected(op->agents) == 1);
    tell(op, &assign);
    struct channel_event event = expect_event(&sidecar, CHANNEL_MESSAGE);
    message_clear(&event.message);
    agents_set_epoch(op->agents, 6);
    unsigned changes = op->changes;
    tell(op, &assign);
    expect_event(&sidecar, CHANNEL_GONE);
    expect_event(&sidecar, CHANNEL_CONNECTED); /* again, and no wiser */
    WAIT_FOR(op->changes >= changes + 2 && agents_connected(op->agents) == 1);
    tell(op, &assign);
    expect_event(&sidecar, CHANNEL_GONE);
    assert_int_equal(channel_client_epoch(sidecar.client), 7);
    agents_set_epoch(op->agents, 8);
    expect_event(&sidecar, CHANNEL_CONNECTED);
    WAIT_FOR(agents_connected(op->agents) == 1);
    tell(op, &assign);
    event = expect_event(&sidecar, CHANNEL_MESSAGE);
    message_clear(&event.message);
    assert_int_equal(channel_client_epoch(sidecar.client), 8);
    stop_sidecar(&sidecar);
}

static void what_is_no_message_ends_the_connection(void **state)
{
    struct operator* op = * state;
    static const struct {
        int opcode;
        const char *data;
        int code;
    } cases[] = {
        {PEER_TEXT, "garbage", MESSAGE_CLOSE_PROTOCOL},
        {PEER_TEXT, "{\"version\":2,\"type\":\"state\"}", MESSAGE_CLOSE_PROTOCOL},
        {PEER_TEXT, "{\"version\":1,\"type\":\"dance\"}", MESSAGE_CLOSE_PROTOCOL},
        {PEER_TEXT, "{\"version\":1,\"type\":\"cancel\",\"epoch\":9,\"id\":\"a\"}",
         MESSAGE_CLOSE_PROTOCOL},
        {PEER_TEXT, HELLO("db-0", "u0"), MESSAGE_CLOSE_PROTOCOL}, /* a second one */
        {PEER_BINARY, IDLE_STATE, MESSAGE_CLOSE_UNSUPPORTED},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(peer_freep) struct peer *peer = open_agent(op);
        assert_true(
            peer_send_frame(peer, cases[i].opcode, true, cases[i].data, strlen(cases[i].data)));
        int code = peer_wait_close(peer, PATIENCE_MS);
        if (code != cases[i].code)
            fail_msg("%s: closed with %d", cases[i].data, code);
        WAIT_FOR(agents_connected(op->agents) == 0);
    }
}

static void a_state_before_hello_ends_the_connection(void **state)
{
    struct operator* op = * state;
    CLEANUP(peer_freep)
    struct peer *peer = peer_open(channel_port(op->channel), TOKEN("db-0", "u0"));
    peer_send_text(peer, IDLE_STATE);
    assert_int_equal(peer_wait_close(peer, PATIENCE_MS), MESSAGE_CLOSE_PROTOCOL);
}

static void who_does_not_say_hello_has_to_go(void **state)
{
    struct operator* op = * state;
    int64_t begin_ms = clock_monotonic_ms();
    assert_int_equal(close_of(op, TOKEN("db-0", "u0")), MESSAGE_CLOSE_PROTOCOL);
    assert_in_range(clock_monotonic_ms() - begin_ms, 900, 3000);
}

static void an_endless_message_is_cut_at_its_limit(void **state)
{
    struct operator* op = * state;
    static const char part[1024] = {[0 ... 1023] = 'x'};
    CLEANUP(peer_freep) struct peer *peer = open_agent(op);
    size_t sent = 0;
    for (; sent < 65 * sizeof(part); sent += sizeof(part))
        assert_true(peer_send_frame(peer, sent == 0 ? PEER_TEXT : PEER_CONTINUE, false, part,
                                    sizeof(part)));
    assert_int_equal(peer_wait_close(peer, PATIENCE_MS), MESSAGE_CLOSE_TOO_LARGE);

    CLEANUP(peer_freep) /* one frame that promises more than it may */
    struct peer *boaster = open_agent(op);
    CLEANUP(own_freep) char *large = own_alloc(MESSAGE_BYTES_MAX + 1);
    memset(large, 'x', MESSAGE_BYTES_MAX + 1);
    assert_true(peer_send_frame(boaster, PEER_TEXT, false, large, MESSAGE_BYTES_MAX + 1));
    assert_int_equal(peer_wait_close(boaster, PATIENCE_MS), MESSAGE_CLOSE_TOO_LARGE);

    CLEANUP(peer_freep)
    struct peer *stranger = peer_open(channel_port(op->channel), TOKEN("db-1", "u1"));
    assert_true(peer_send_frame(stranger, PEER_TEXT, false, large, MESSAGE_HELLO_BYTES_MAX + 1));
    assert_int_equal(peer_wait_close(stranger, PATIENCE_MS), MESSAGE_CLOSE_TOO_LARGE);
}

static void a_message_in_fragments_arrives_whole(void **state)
{
    struct operator* op = * state;
    CLEANUP(peer_freep) struct peer *peer = open_agent(op);
    const char *text = IDLE_STATE;
    size_t half = strlen(text) / 2;
    assert_true(peer_send_frame(peer, PEER_TEXT, false, text, half));
    assert_true(peer_send_frame(peer, PEER_PING, true, "x", 1)); /* allowed between */
    assert_true(peer_send_frame(peer, PEER_CONTINUE, true, text + half, strlen(text) - half));
    WAIT_FOR(is_fresh(op, "u0"));
}

static void only_the_one_path_and_subprotocol_are_upgraded(void **state)
{
    struct operator* op = * state;
    static const struct {
        const char *path, *protocol;
    } cases[] = {{"/", "lifeboat.v1"},
                 {"/channel", "other"},
                 {"/channel", NULL},
                 {"/channel", "http"},
                 {"/metrics", "lifeboat.v1"}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(peer_freep)
        struct peer *peer = peer_connect("127.0.0.1", channel_port(op->channel));
        assert_true(peer_secure(peer));
        int status = peer_upgrade(peer, cases[i].path, cases[i].protocol, TOKEN("db-0", "u0"));
        if (status == 101)
            fail_msg("upgraded %s", cases[i].path);
    }
}

static size_t resident_bytes(void)
{
    struct error err;
    CLEANUP(buf_done) struct buf statm = BUF(4096);
    must(buf_read_file(&statm, AT_FDCWD, "/proc/self/statm", &err), &err);
    CLEANUP(own_freep) char *text = buf_string(&statm);
    char *rest;
    strtoull(text, &rest, 10);
    return (size_t)strtoull(rest, NULL, 10) * (size_t)sysconf(_SC_PAGESIZE);
}

/* 1,000 that connect and say nothing, some after TLS: the limit of strangers is 64, so the oldest
 * go, and whoever has a token is still served. */
static void silent_connections_keep_nobody_out(void **state)
{
    struct operator* op = * state;
    enum { CROWD = 1000 };
    struct peer *crowd[CROWD];
    size_t before = resident_bytes();
    for (int i = 0; i < CROWD; i++) {
        crowd[i] = peer_connect("127.0.0.1", channel_port(op->channel));
        if (i % 10 == 0)
            peer_secure(crowd[i]);
    }
    int64_t begin_ms = clock_monotonic_ms();
    CLEANUP(peer_freep) struct peer *peer = open_agent(op);
    int64_t took_ms = clock_monotonic_ms() - begin_ms;
    size_t after = resident_bytes();
    printf("1,000 idle connections: a sidecar got in within %d ms, memory grew by %zu KiB\n",
           (int)took_ms, after > before ? (after - before) / 1024 : 0);
    assert_true(took_ms < 3000);
    for (int i = 0; i < CROWD; i++)
        peer_freep(&crowd[i]);
    assert_true(peer_send_text(peer, IDLE_STATE));
    WAIT_FOR(is_fresh(op, "u0"));
}

static void a_slow_handshake_is_cut(void **state)
{
    struct operator* op = * state;
    CLEANUP(peer_freep) struct peer *tcp = peer_connect("127.0.0.1", channel_port(op->channel));
    CLEANUP(peer_freep) struct peer *http = peer_connect("127.0.0.1", channel_port(op->channel));
    assert_true(peer_secure(http));
    const char *text = "GET /channel HTTP/1.1\r\n";
    int64_t begin_ms = clock_monotonic_ms();
    size_t i = 0; /* a byte now and then */
    while (peer_send(http, text + i % strlen(text), 1) &&
           clock_monotonic_ms() - begin_ms < PATIENCE_MS) {
        i++;
        poll(NULL, 0, 100);
    }
    assert_true(clock_monotonic_ms() - begin_ms < 5000);
    assert_int_equal(peer_wait_close(tcp, 3000), -1);
}

static void a_dead_peer_is_noticed(void **state)
{
    struct operator* op = * state;
    struct peer *peer = open_agent(op); /* never answers a ping */
    int64_t begin_ms = clock_monotonic_ms();
    WAIT_FOR(agents_connected(op->agents) == 0);
    assert_true(clock_monotonic_ms() - begin_ms < 3500);
    close_agent(peer);
}

static void a_silent_sidecar_that_lives_stays(void **state)
{
    struct operator* op = * state;
    struct sidecar sidecar;
    start_sidecar(&sidecar, TOKEN("db-0", "u0"), 100);
    target(&sidecar, op, "localhost", authority.certificate);
    WAIT_FOR(agents_connected(op->agents) == 1);
    WAIT_FOR(op->changes == 1);
    poll(NULL, 0, 3500); /* longer than the hang-up */
    assert_int_equal(agents_connected(op->agents), 1);
    assert_int_equal(op->changes, 1);
    stop_sidecar(&sidecar);
}

static void a_new_certificate_is_shown_and_no_connection_lost(void **state)
{
    struct operator* op = * state;
    struct sidecar sidecar;
    char first[65], second[65];
    start_sidecar(&sidecar, TOKEN("db-0", "u0"), 100);
    target(&sidecar, op, "localhost", authority.certificate);
    expect_event(&sidecar, CHANNEL_CONNECTED);
    WAIT_FOR(agents_connected(op->agents) == 1);
    CLEANUP(peer_freep) struct peer *one = peer_connect("127.0.0.1", channel_port(op->channel));
    assert_true(peer_secure(one));
    peer_fingerprint(one, first);
    show_certificate(op, &other_authority);
    CLEANUP(own_freep)
    char *both = own_format("%s%s", authority.certificate, other_authority.certificate);
    target(&sidecar, op, "localhost", both);
    for (int tries = 0; tries < 100; tries++) {
        CLEANUP(peer_freep) struct peer *two = peer_connect("127.0.0.1", channel_port(op->channel));
        assert_true(peer_secure(two));
        peer_fingerprint(two, second);
        if (strcmp(first, second) != 0)
            break;
        poll(NULL, 0, 10);
    }
    assert_string_not_equal(first, second);
    say(&sidecar, IDLE_STATE); /* on the connection of before */
    WAIT_FOR(is_fresh(op, "u0"));
    tell(op, &assign);
    struct channel_event event = expect_event(&sidecar, CHANNEL_MESSAGE);
    message_clear(&event.message);
    agents_forget(op->agents, "u0");
    expect_event(&sidecar, CHANNEL_GONE);
    expect_event(&sidecar, CHANNEL_CONNECTED); /* with the bundle of old and new */
    stop_sidecar(&sidecar);
}

static void a_certificate_without_its_key_is_not_taken(void **state)
{
    struct operator* op = * state;
    struct error err;
    assert_int_equal(
        channel_set_certificate(op->channel, authority.certificate, other_authority.key, &err), -1);
    assert_int_equal(err.kind, ERROR_PERMANENT);
    close_agent(open_agent(op));
}

/* Neither is reached: the server is somebody else, or goes by another name. */
static void a_client_trusts_only_its_ca_and_the_name(void **state)
{
    struct operator* op = * state;
    struct sidecar sidecar;
    start_sidecar(&sidecar, TOKEN("db-0", "u0"), 20);
    target(&sidecar, op, "localhost", other_authority.certificate);
    poll(NULL, 0, 300);
    target(&sidecar, op, "127.0.0.1", authority.certificate);
    poll(NULL, 0, 300);
    assert_false(channel_client_connected(sidecar.client));
    assert_int_equal(op->changes, 0);
    target(&sidecar, op, "localhost", authority.certificate);
    WAIT_FOR(agents_connected(op->agents) == 1);
    stop_sidecar(&sidecar);
}

static void the_token_is_read_anew_for_each_connection(void **state)
{
    struct operator* op = * state;
    struct sidecar sidecar;
    start_sidecar(&sidecar, "expired", 20);
    target(&sidecar, op, "localhost", authority.certificate);
    unsigned before = api_reviews;
    WAIT_FOR(api_reviews >= before + 2);
    assert_int_equal(agents_connected(op->agents), 0);
    write_token(&sidecar, TOKEN("db-0", "u0"));
    WAIT_FOR(agents_connected(op->agents) == 1);
    stop_sidecar(&sidecar);
}

static void tls_below_1_2_is_not_spoken(void **state)
{
    struct operator* op = * state;
    assert_false(peer_offers(channel_port(op->channel), 0x0302));
    assert_true(peer_offers(channel_port(op->channel), 0x0303));
}

static void expect_answer(unsigned port, bool secure, const char *path, const char *token,
                          const char *expected)
{
    CLEANUP(peer_freep) struct peer *peer = peer_connect("127.0.0.1", port);
    assert_true(!secure || peer_secure(peer));
    CLEANUP(own_freep) char *answer = peer_get(peer, path, token);
    if (!strstr(answer, expected))
        fail_msg("GET %s: %s", path, answer);
    assert_null(strcasestr(answer, "server:"));
    assert_null(strcasestr(answer, "libwebsockets"));
}

static void metrics_are_for_readers(void **state)
{
    struct operator* op = * state;
    unsigned port = channel_port(op->channel);
    op->leading = false; /* a follower answers too */
    expect_answer(port, true, "/metrics", "reader", "\nprocess_open_fds ");
    expect_answer(port, true, "/metrics", "reader", "HTTP/1.1 200 OK\r\n");
    expect_answer(port, true, "/metrics", NULL, "HTTP/1.1 401 ");
    expect_answer(port, true, "/metrics", "forged", "HTTP/1.1 401 ");
    expect_answer(port, true, "/metrics", "person", "HTTP/1.1 403 ");
    expect_answer(port, true, "/metrics", TOKEN("db-0", "u0"), "HTTP/1.1 403 ");
    expect_answer(port, true, "/", "reader", "HTTP/1.1 404 ");
    expect_answer(port, true, "/livez", NULL, "HTTP/1.1 404 ");
    expect_answer(port, true, "/channel", "reader", "HTTP/1.1 404 ");
    api_is_away = true;
    expect_answer(port, true, "/metrics", "reader", "HTTP/1.1 503 ");
}

static void many_metrics_arrive_whole(void **state)
{
    struct operator* op = * state;
    static const char *const labels[] = {"n", NULL};
    struct metric_family *family =
        metrics_declare(op->metrics, METRIC_GAUGE, "zzz", "Last.", labels, NULL);
    for (int i = 0; i < 20000; i++) {
        char name[16];
        snprintf(name, sizeof(name), "%05d", i);
        metric_set(family, (const char *const[]){name}, i);
    }
    expect_answer(channel_port(op->channel), true, "/metrics", "reader",
                  "\nzzz{n=\"19999\"} 19999\n");
}

static void probes_say_ok_and_nothing_else(void **state)
{
    struct operator* op = * state;
    unsigned port = channel_probe_port(op->channel);
    expect_answer(port, false, "/livez", NULL, "\r\n\r\nok");
    expect_answer(port, false, "/readyz", NULL, "\r\n\r\nok");
    expect_answer(port, false, "/metrics", "reader", "HTTP/1.1 404 ");
    expect_answer(port, false, "/channel", NULL, "HTTP/1.1 404 ");
    op->leading = false; /* not ready, in this test */
    expect_answer(port, false, "/readyz", NULL, "HTTP/1.1 503 ");
    expect_answer(port, false, "/readyz", NULL, "\r\n\r\nnot ready");
    expect_answer(port, false, "/livez", NULL, "HTTP/1.1 200 ");
}

static void an_operator_that_stops_says_so(void **state)
{
    struct operator* op = * state;
    struct error err;
    CLEANUP(peer_freep) struct peer *peer = open_agent(op);
    cancel_trigger(&op->cancel);
    assert_int_equal(peer_wait_close(peer, PATIENCE_MS), MESSAGE_CLOSE_GOING_AWAY);
    if (crew_join(op->crew, &err) < 0)
        fail_msg("%s", err.text);
}

static void a_sidecar_that_does_not_read_costs_no_memory(void **state)
{
    struct operator* op = * state;
    CLEANUP(own_freep) char *reason = own_alloc(2000);
    memset(reason, 'x', 1999);
    struct peer *peer = open_agent(op);
    struct error err = {0};
    unsigned full = 0, sent = 0;
    int64_t begin_ms = clock_monotonic_ms();
    while (agents_connected(op->agents) == 1 && clock_monotonic_ms() - begin_ms < PATIENCE_MS) {
        CLEANUP(own_freep) char *id = own_format("id-%u", sent);
        const struct message cancel = {.type = MESSAGE_CANCEL,
                                       .cancel = {.id = id, .reason = reason}};
        if (agents_send(op->agents, "u0", &cancel, &err) == 0)
            sent++;
        else if (err.kind == ERROR_TRANSIENT)
            full++;
        if (full % 10 == 9)
            poll(NULL, 0, 1);
    }
    printf("a sidecar that does not read: %u messages taken, then refused\n", sent);
    assert_true(full > 0);
    assert_int_equal(agents_connected(op->agents), 0); /* answered no ping either */
    close_agent(peer);
}

static int set_up_all(void **state)
{
    (void)state;
    const struct authority_validity days = {clock_now_ms() - DAY_MS,
                                            clock_now_ms() + INT64_C(10) * DAY_MS};
    log_set_level(LOG_LEVEL_ERROR);
    log_set_fd(open("/dev/null", O_WRONLY | O_CLOEXEC));
    authority_make("localhost", &days, &authority);
    authority_make("localhost", &days, &other_authority);
    two_addresses = name_two_addresses();
    return 0;
}

static int tear_down_all(void **state)
{
    (void)state;
    authority_pair_done(&authority);
    authority_pair_done(&other_authority);
    return 0;
}

#define WITH_OPERATOR(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_OPERATOR(both_ends_speak_of_a_run_from_hello_to_done),
        WITH_OPERATOR(only_pods_that_are_known_get_in),
        WITH_OPERATOR(a_hello_in_the_name_of_another_pod_is_refused),
        WITH_OPERATOR(without_an_answer_of_the_api_server_one_tries_again),
        WITH_OPERATOR(a_deleted_pod_loses_its_connection),
        WITH_OPERATOR(a_newer_connection_of_a_pod_replaces_the_older),
        WITH_OPERATOR(a_follower_asks_nobody_who_it_is),
        cmocka_unit_test(a_client_goes_from_a_follower_to_the_leader_at_once),
        WITH_OPERATOR(a_lower_epoch_is_refused_also_by_a_later_connection),
        WITH_OPERATOR(what_is_no_message_ends_the_connection),
        WITH_OPERATOR(a_state_before_hello_ends_the_connection),
        WITH_OPERATOR(who_does_not_say_hello_has_to_go),
        WITH_OPERATOR(an_endless_message_is_cut_at_its_limit),
        WITH_OPERATOR(a_message_in_fragments_arrives_whole),
        WITH_OPERATOR(only_the_one_path_and_subprotocol_are_upgraded),
        WITH_OPERATOR(silent_connections_keep_nobody_out),
        WITH_OPERATOR(a_slow_handshake_is_cut),
        WITH_OPERATOR(a_dead_peer_is_noticed),
        WITH_OPERATOR(a_silent_sidecar_that_lives_stays),
        WITH_OPERATOR(a_new_certificate_is_shown_and_no_connection_lost),
        WITH_OPERATOR(a_certificate_without_its_key_is_not_taken),
        WITH_OPERATOR(a_client_trusts_only_its_ca_and_the_name),
        WITH_OPERATOR(the_token_is_read_anew_for_each_connection),
        WITH_OPERATOR(tls_below_1_2_is_not_spoken),
        WITH_OPERATOR(metrics_are_for_readers),
        WITH_OPERATOR(many_metrics_arrive_whole),
        WITH_OPERATOR(probes_say_ok_and_nothing_else),
        WITH_OPERATOR(an_operator_that_stops_says_so),
        WITH_OPERATOR(a_sidecar_that_does_not_read_costs_no_memory),
    };
    return cmocka_run_group_tests(tests, set_up_all, tear_down_all);
}
