// SPDX-License-Identifier: Apache-2.0
/* The operator's end of the channel over TLS on loopback, with peers that behave well or badly. */
#include <fcntl.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/crew.h"
#include "common/metrics.h"
#include "common/own.h"
#include "operator/agents.h"
#include "operator/tests/helper_crowd.h"
#include "operator/tests/helper_peer.h"
#include "operator/tests/helper_replica.h"

static int close_of(struct replica *replica, const char *token)
{
    CLEANUP(peer_freep) struct peer *peer = peer_open(channel_port(replica->channel), token);
    assert_non_null(peer);
    return peer_wait_close(peer, REPLICA_PATIENCE_MS);
}

static void only_pods_that_are_known_get_in(void **state)
{
    struct replica *replica = *state;
    assert_int_equal(close_of(replica, NULL), MESSAGE_CLOSE_UNAUTHENTICATED);
    assert_int_equal(close_of(replica, "of another audience"), MESSAGE_CLOSE_UNAUTHENTICATED);
    assert_int_equal(close_of(replica, "blind:db-0:u0"), MESSAGE_CLOSE_UNAUTHENTICATED);
    assert_int_equal(close_of(replica, "person"), MESSAGE_CLOSE_UNKNOWN_POD);
    assert_int_equal(close_of(replica, TOKEN("db-9", "u0")), MESSAGE_CLOSE_UNKNOWN_POD);
    assert_int_equal(close_of(replica, TOKEN("db-0", "former")), MESSAGE_CLOSE_UNKNOWN_POD);
    assert_int_equal(close_of(replica, TOKEN("forged-1", "f1")), MESSAGE_CLOSE_UNKNOWN_POD);
    assert_int_equal(agents_connected(replica->agents), 0);
    CLEANUP(peer_freep)
    struct peer *peer = peer_open(channel_port(replica->channel), TOKEN("copy-1", "r1"));
    assert_true(peer_send_text(peer, HELLO("copy-1", "r1")));
    WAIT_FOR(agents_connected(replica->agents) == 1);
}

static void a_hello_in_the_name_of_another_pod_is_refused(void **state)
{
    struct replica *replica = *state;
    CLEANUP(peer_freep)
    struct peer *peer = peer_open(channel_port(replica->channel), TOKEN("db-1", "u1"));
    peer_send_text(peer, HELLO("db-0", "u0"));
    assert_int_equal(peer_wait_close(peer, REPLICA_PATIENCE_MS), MESSAGE_CLOSE_UNKNOWN_POD);
    assert_int_equal(agents_connected(replica->agents), 0);
}

static void without_an_answer_of_the_api_server_one_tries_again(void **state)
{
    struct replica *replica = *state;
    replica->api_is_away = true;
    assert_int_equal(close_of(replica, TOKEN("db-0", "u0")), MESSAGE_CLOSE_TRY_AGAIN);
    replica->api_is_away = false;
    CLEANUP(peer_freep) struct peer *peer = replica_open_agent(replica);
    assert_non_null(peer);
}

static void a_deleted_pod_loses_its_connection(void **state)
{
    struct replica *replica = *state;
    CLEANUP(peer_freep) struct peer *peer = replica_open_agent(replica);
    agents_forget(replica->agents, "u0");
    assert_int_equal(peer_wait_close(peer, REPLICA_PATIENCE_MS), MESSAGE_CLOSE_UNKNOWN_POD);
}

static void a_newer_connection_of_a_pod_replaces_the_older(void **state)
{
    struct replica *replica = *state;
    CLEANUP(peer_freep) struct peer *older = replica_open_agent(replica);
    CLEANUP(peer_freep)
    struct peer *newer = peer_open(channel_port(replica->channel), TOKEN("db-0", "u0"));
    assert_true(peer_send_text(newer, HELLO("db-0", "u0")));
    assert_int_equal(peer_wait_close(older, REPLICA_PATIENCE_MS), MESSAGE_CLOSE_REPLACED);
    assert_true(peer_send_text(newer, IDLE_STATE));
    WAIT_FOR(replica_is_fresh(replica, "u0"));
    replica_tell(replica, &replica_assign);
    CLEANUP(own_freep) char *text = peer_receive(newer, REPLICA_PATIENCE_MS);
    assert_non_null(strstr(text, "\"epoch\":7"));
    assert_int_equal(agents_connected(replica->agents), 1);
}

static void a_follower_asks_nobody_who_it_is(void **state)
{
    struct replica *replica = *state;
    replica->leading = false;
    unsigned before = replica->reviews;
    assert_int_equal(close_of(replica, TOKEN("db-0", "u0")), MESSAGE_CLOSE_NOT_LEADER);
    assert_int_equal(replica->reviews, before);
}

static void what_is_no_message_ends_the_connection(void **state)
{
    struct replica *replica = *state;
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
        CLEANUP(peer_freep) struct peer *peer = replica_open_agent(replica);
        assert_true(
            peer_send_frame(peer, cases[i].opcode, true, cases[i].data, strlen(cases[i].data)));
        int code = peer_wait_close(peer, REPLICA_PATIENCE_MS);
        if (code != cases[i].code)
            fail_msg("%s: closed with %d", cases[i].data, code);
        WAIT_FOR(agents_connected(replica->agents) == 0);
    }
}

static void a_state_before_hello_ends_the_connection(void **state)
{
    struct replica *replica = *state;
    CLEANUP(peer_freep)
    struct peer *peer = peer_open(channel_port(replica->channel), TOKEN("db-0", "u0"));
    peer_send_text(peer, IDLE_STATE);
    assert_int_equal(peer_wait_close(peer, REPLICA_PATIENCE_MS), MESSAGE_CLOSE_PROTOCOL);
}

static void who_does_not_say_hello_has_to_go(void **state)
{
    struct replica *replica = *state;
    int64_t begin_ms = clock_monotonic_ms();
    assert_int_equal(close_of(replica, TOKEN("db-0", "u0")), MESSAGE_CLOSE_PROTOCOL);
    assert_in_range(clock_monotonic_ms() - begin_ms, 900, REPLICA_PATIENCE_MS);
}

/* Of two that say nothing the older goes at once, without a word, and the newer when it is late. */
static bool older_of_two_goes(const struct replica *replica)
{
    unsigned port = channel_port(replica->channel);
    CLEANUP(peer_freep) struct peer *one = peer_open(port, TOKEN("db-0", "u0"));
    CLEANUP(peer_freep) struct peer *other = peer_open(port, TOKEN("db-0", "u0"));
    int code = peer_wait_close(one, REPLICA_PATIENCE_MS);
    int other_code = peer_wait_close(other, REPLICA_PATIENCE_MS);
    return (code == -1 && other_code == MESSAGE_CLOSE_PROTOCOL) ||
           (code == MESSAGE_CLOSE_PROTOCOL && other_code == -1); /* whose review came first */
}

static void a_pod_has_one_connection_that_has_not_said_hello(void **state)
{
    struct replica *replica = *state;
    CLEANUP(peer_freep) struct peer *agent = replica_open_agent(replica);
    bool goes = false;
    for (int i = 0; i < 5 && !goes; i++) /* the first may be late before the second has come */
        goes = older_of_two_goes(replica);
    assert_true(goes);
    assert_true(peer_send_text(agent, IDLE_STATE));
    WAIT_FOR(replica_is_fresh(replica, "u0"));
}

static void an_endless_message_is_cut_at_its_limit(void **state)
{
    struct replica *replica = *state;
    static const char part[1024] = {[0 ... 1023] = 'x'};
    CLEANUP(peer_freep) struct peer *peer = replica_open_agent(replica);
    size_t sent = 0;
    for (; sent < 65 * sizeof(part); sent += sizeof(part))
        assert_true(peer_send_frame(peer, sent == 0 ? PEER_TEXT : PEER_CONTINUE, false, part,
                                    sizeof(part)));
    assert_int_equal(peer_wait_close(peer, REPLICA_PATIENCE_MS), MESSAGE_CLOSE_TOO_LARGE);

    CLEANUP(peer_freep) /* one frame that promises more than it may */
    struct peer *boaster = replica_open_agent(replica);
    CLEANUP(own_freep) char *large = own_alloc(MESSAGE_BYTES_MAX + 1);
    memset(large, 'x', MESSAGE_BYTES_MAX + 1);
    assert_true(peer_send_frame(boaster, PEER_TEXT, false, large, MESSAGE_BYTES_MAX + 1));
    assert_int_equal(peer_wait_close(boaster, REPLICA_PATIENCE_MS), MESSAGE_CLOSE_TOO_LARGE);

    CLEANUP(peer_freep)
    struct peer *stranger = peer_open(channel_port(replica->channel), TOKEN("db-1", "u1"));
    assert_true(peer_send_frame(stranger, PEER_TEXT, false, large, MESSAGE_HELLO_BYTES_MAX + 1));
    assert_int_equal(peer_wait_close(stranger, REPLICA_PATIENCE_MS), MESSAGE_CLOSE_TOO_LARGE);
}

static void a_message_in_fragments_arrives_whole(void **state)
{
    struct replica *replica = *state;
    CLEANUP(peer_freep) struct peer *peer = replica_open_agent(replica);
    const char *text = IDLE_STATE;
    size_t half = strlen(text) / 2;
    assert_true(peer_send_frame(peer, PEER_TEXT, false, text, half));
    assert_true(peer_send_frame(peer, PEER_PING, true, "x", 1)); /* allowed between */
    assert_true(peer_send_frame(peer, PEER_CONTINUE, true, text + half, strlen(text) - half));
    WAIT_FOR(replica_is_fresh(replica, "u0"));
}

static void only_the_one_path_and_subprotocol_are_upgraded(void **state)
{
    struct replica *replica = *state;
    static const struct {
        const char *path, *protocol;
    } cases[] = {{"/", "lifeboat.v1"},
                 {"/channel", "other"},
                 {"/channel", NULL},
                 {"/channel", "http"},
                 {"/metrics", "lifeboat.v1"}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(peer_freep)
        struct peer *peer = peer_connect("127.0.0.1", channel_port(replica->channel));
        assert_true(peer_secure(peer));
        int status = peer_upgrade(peer, cases[i].path, cases[i].protocol, TOKEN("db-0", "u0"));
        if (status == 101)
            fail_msg("upgraded %s", cases[i].path);
    }
}

static struct crowd *crowd;

/* 1,000 that connect and say nothing, some after TLS: the limit of strangers is 64, so the oldest
 * go, and whoever has a token is still served. */
static void silent_connections_keep_nobody_out(void **state)
{
    struct replica *replica = *state;
    for (int i = 0; i < 10; i++) {
        crowd_grow(crowd, channel_port(replica->channel), 90, CROWD_TCP);
        crowd_grow(crowd, channel_port(replica->channel), 10, CROWD_TLS);
    }
    int64_t begin_ms = clock_monotonic_ms();
    CLEANUP(peer_freep) struct peer *peer = replica_open_agent(replica);
    int64_t took_ms = clock_monotonic_ms() - begin_ms;
    printf("1,000 silent connections: a sidecar got in within %d ms\n", (int)took_ms);
    assert_true(took_ms < REPLICA_PATIENCE_MS);
    crowd_leave(crowd);
    assert_true(peer_send_text(peer, IDLE_STATE));
    WAIT_FOR(replica_is_fresh(replica, "u0"));
}

/* Sanitizers keep a multiple of what is asked for. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { CONNECTION_KIB_MAX = 1000 };
#else
enum { CONNECTION_KIB_MAX = 35 };
#endif

/* Of this process, in KiB; freed memory is given back first. */
static double resident_kib(void)
{
    CLEANUP(buf_done) struct buf statm = BUF(4096);
    struct error err;
    malloc_trim(0);
    assert_int_equal(buf_read_file(&statm, AT_FDCWD, "/proc/self/statm", &err), 0);
    CLEANUP(own_freep) char *text = buf_string(&statm);
    const char *resident = strchr(text, ' ');
    return (double)strtoull(resident, NULL, 10) * (double)sysconf(_SC_PAGESIZE) / 1024;
}

/* What each of them costs: sidecars that are there, and strangers that come no further than TLS. */
static void idle_connections_cost_little_memory(void **state)
{
    (void)state;
    enum { AGENTS = 500, STRANGERS = 128, STEP = 50 };
    CLEANUP(own_freep) struct replica *replica = own_alloc(sizeof(*replica));
    replica_start(replica, &(struct channel_options){
                               .limits = {.opening_ms = 600000, .hang_up_seconds = 600}});
    unsigned port = channel_port(replica->channel);
    double before_kib = resident_kib();
    for (unsigned i = 0; i < AGENTS; i++) {
        CLEANUP(own_freep) char *name = own_format("crowd-%u", i);
        CLEANUP(own_freep) char *uid = own_format("c%u", i);
        replica_put_pod(replica->pods, name, uid, "StatefulSet");
        if (i % STEP == STEP - 1) {
            crowd_grow(crowd, port, STEP, CROWD_AGENTS);
            WAIT_FOR(agents_connected(replica->agents) == i + 1);
        }
    }
    double agents_kib = resident_kib();
    crowd_grow(crowd, port, STRANGERS, CROWD_TLS);
    double strangers_kib = resident_kib();
    crowd_leave(crowd);
    WAIT_FOR(agents_connected(replica->agents) == 0);
    double agent_kib = (agents_kib - before_kib) / AGENTS;
    double stranger_kib = (strangers_kib - agents_kib) / STRANGERS;
    printf("memory of an idle connection: of a sidecar %.1f KiB, of a stranger %.1f KiB\n",
           agent_kib, stranger_kib);
    assert_true(agent_kib < CONNECTION_KIB_MAX && stranger_kib < CONNECTION_KIB_MAX);
    replica_stop(replica);
}

static void a_slow_handshake_is_cut(void **state)
{
    struct replica *replica = *state;
    CLEANUP(peer_freep)
    struct peer *tcp = peer_connect("127.0.0.1", channel_port(replica->channel));
    CLEANUP(peer_freep)
    struct peer *http = peer_connect("127.0.0.1", channel_port(replica->channel));
    assert_true(peer_secure(http));
    const char *text = "GET /channel HTTP/1.1\r\n";
    int64_t begin_ms = clock_monotonic_ms();
    size_t i = 0; /* a byte now and then */
    while (peer_send(http, text + i % strlen(text), 1) &&
           clock_monotonic_ms() - begin_ms < REPLICA_PATIENCE_MS) {
        i++;
        poll(NULL, 0, 100);
    }
    assert_true(clock_monotonic_ms() - begin_ms < REPLICA_PATIENCE_MS);
    assert_int_equal(peer_wait_close(tcp, REPLICA_PATIENCE_MS), -1);
}

static void a_dead_peer_is_noticed(void **state)
{
    struct replica *replica = *state;
    struct peer *peer = replica_open_agent(replica); /* never answers a ping */
    WAIT_FOR(agents_connected(replica->agents) == 0);
    peer_freep(&peer);
}

static void a_certificate_without_its_key_is_not_taken(void **state)
{
    struct replica *replica = *state;
    struct error err;
    assert_int_equal(channel_set_certificate(replica->channel, replica_authority.certificate,
                                             replica_other_authority.key, &err),
                     -1);
    assert_int_equal(err.kind, ERROR_PERMANENT);
    CLEANUP(peer_freep) struct peer *peer = replica_open_agent(replica);
    assert_non_null(peer);
}

static void tls_below_1_2_is_not_spoken(void **state)
{
    struct replica *replica = *state;
    assert_false(peer_offers(channel_port(replica->channel), 0x0302));
    assert_true(peer_offers(channel_port(replica->channel), 0x0303));
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
    struct replica *replica = *state;
    unsigned port = channel_port(replica->channel);
    replica->leading = false; /* a follower answers too */
    expect_answer(port, true, "/metrics", "reader", "\nprocess_open_fds ");
    expect_answer(port, true, "/metrics", "reader", "HTTP/1.1 200 OK\r\n");
    expect_answer(port, true, "/metrics", NULL, "HTTP/1.1 401 ");
    expect_answer(port, true, "/metrics", "forged", "HTTP/1.1 401 ");
    expect_answer(port, true, "/metrics", "person", "HTTP/1.1 403 ");
    expect_answer(port, true, "/metrics", TOKEN("db-0", "u0"), "HTTP/1.1 403 ");
    expect_answer(port, true, "/", "reader", "HTTP/1.1 404 ");
    expect_answer(port, true, "/livez", NULL, "HTTP/1.1 404 ");
    expect_answer(port, true, "/channel", "reader", "HTTP/1.1 404 ");
    replica->api_is_away = true;
    expect_answer(port, true, "/metrics", "reader", "HTTP/1.1 503 ");
}

static void many_metrics_arrive_whole(void **state)
{
    struct replica *replica = *state;
    static const char *const labels[] = {"n", NULL};
    struct metric_family *family =
        metrics_declare(replica->metrics, METRIC_GAUGE, "zzz", "Last.", labels, NULL);
    for (int i = 0; i < 20000; i++) {
        char name[16];
        snprintf(name, sizeof(name), "%05d", i);
        metric_set(family, (const char *const[]){name}, i);
    }
    expect_answer(channel_port(replica->channel), true, "/metrics", "reader",
                  "\nzzz{n=\"19999\"} 19999\n");
}

static void probes_say_ok_and_nothing_else(void **state)
{
    struct replica *replica = *state;
    unsigned port = channel_probe_port(replica->channel);
    expect_answer(port, false, "/livez", NULL, "\r\n\r\nok");
    expect_answer(port, false, "/readyz", NULL, "\r\n\r\nok");
    expect_answer(port, false, "/metrics", "reader", "HTTP/1.1 404 ");
    expect_answer(port, false, "/channel", NULL, "HTTP/1.1 404 ");
    replica->leading = false; /* not ready, in this test */
    expect_answer(port, false, "/readyz", NULL, "HTTP/1.1 503 ");
    expect_answer(port, false, "/readyz", NULL, "\r\n\r\nnot ready");
    expect_answer(port, false, "/livez", NULL, "HTTP/1.1 200 ");
}

static void an_operator_that_stops_says_so(void **state)
{
    struct replica *replica = *state;
    struct error err;
    CLEANUP(peer_freep) struct peer *peer = replica_open_agent(replica);
    cancel_trigger(&replica->cancel);
    assert_int_equal(peer_wait_close(peer, REPLICA_PATIENCE_MS), MESSAGE_CLOSE_GOING_AWAY);
    if (crew_join(replica->crew, &err) < 0)
        fail_msg("%s", err.text);
}

static void a_sidecar_that_does_not_read_costs_no_memory(void **state)
{
    struct replica *replica = *state;
    CLEANUP(own_freep) char *reason = own_alloc(2000);
    memset(reason, 'x', 1999);
    struct peer *peer = replica_open_agent(replica);
    struct error err = {0};
    unsigned full = 0, sent = 0;
    int64_t begin_ms = clock_monotonic_ms();
    while (agents_connected(replica->agents) == 1 &&
           clock_monotonic_ms() - begin_ms < REPLICA_PATIENCE_MS) {
        CLEANUP(own_freep) char *id = own_format("id-%u", sent);
        const struct message cancel = {.type = MESSAGE_CANCEL,
                                       .cancel = {.id = id, .reason = reason}};
        if (agents_send(replica->agents, "u0", &cancel, &err) == 0)
            sent++;
        else if (err.kind == ERROR_TRANSIENT)
            full++;
        if (full % 10 == 9)
            poll(NULL, 0, 1);
    }
    printf("a sidecar that does not read: %u messages taken, then refused\n", sent);
    assert_true(full > 0);
    assert_int_equal(agents_connected(replica->agents), 0); /* answered no ping either */
    peer_freep(&peer);
}

#define WITH_REPLICA(test) cmocka_unit_test_setup_teardown(test, replica_set_up, replica_tear_down)

/* The crowd is there before threads are. */
static int set_up_all(void **state)
{
    crowd = crowd_new();
    return replica_set_up_all(state);
}

static int tear_down_all(void **state)
{
    crowd_freep(&crowd);
    return replica_tear_down_all(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_REPLICA(only_pods_that_are_known_get_in),
        WITH_REPLICA(a_hello_in_the_name_of_another_pod_is_refused),
        WITH_REPLICA(without_an_answer_of_the_api_server_one_tries_again),
        WITH_REPLICA(a_deleted_pod_loses_its_connection),
        WITH_REPLICA(a_newer_connection_of_a_pod_replaces_the_older),
        WITH_REPLICA(a_follower_asks_nobody_who_it_is),
        WITH_REPLICA(what_is_no_message_ends_the_connection),
        WITH_REPLICA(a_state_before_hello_ends_the_connection),
        WITH_REPLICA(who_does_not_say_hello_has_to_go),
        WITH_REPLICA(a_pod_has_one_connection_that_has_not_said_hello),
        WITH_REPLICA(an_endless_message_is_cut_at_its_limit),
        WITH_REPLICA(a_message_in_fragments_arrives_whole),
        WITH_REPLICA(only_the_one_path_and_subprotocol_are_upgraded),
        WITH_REPLICA(silent_connections_keep_nobody_out),
        cmocka_unit_test(idle_connections_cost_little_memory),
        WITH_REPLICA(a_slow_handshake_is_cut),
        WITH_REPLICA(a_dead_peer_is_noticed),
        WITH_REPLICA(a_certificate_without_its_key_is_not_taken),
        WITH_REPLICA(tls_below_1_2_is_not_spoken),
        WITH_REPLICA(metrics_are_for_readers),
        WITH_REPLICA(many_metrics_arrive_whole),
        WITH_REPLICA(probes_say_ok_and_nothing_else),
        WITH_REPLICA(an_operator_that_stops_says_so),
        WITH_REPLICA(a_sidecar_that_does_not_read_costs_no_memory),
    };
    return cmocka_run_group_tests(tests, set_up_all, tear_down_all);
}
