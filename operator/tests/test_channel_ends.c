// SPDX-License-Identifier: Apache-2.0
/* Both ends of the channel: the sidecar's client at the operator's server. */
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/crew.h"
#include "common/own.h"
#include "common/tests/helper_directory.h"
#include "operator/agents.h"
#include "operator/tests/helper_peer.h"
#include "operator/tests/helper_replica.h"
#include "sidecar/channel_client.h"

struct sidecar {
    struct cancel cancel;
    struct crew *crew;
    struct channel_client *client;
    char *directory; /* of the token */
    char *token_file;
};

static void must(int result, const struct error *err)
{
    if (result < 0)
        fail_msg("%s", err->text);
}

static void write_token(const struct sidecar *sidecar, const char *token)
{
    helper_directory_write(sidecar->directory, "token", token);
}

static void target(struct sidecar *sidecar, const struct replica *replica, const char *host,
                   const char *ca)
{
    CLEANUP(own_freep) char *endpoint = own_format("%s:%u", host, channel_port(replica->channel));
    channel_client_set_target(sidecar->client, endpoint, ca);
}

static void start_sidecar(struct sidecar *sidecar, const char *token, unsigned backoff_ms)
{
    struct error err;
    *sidecar = (struct sidecar){.directory = helper_directory_new()};
    sidecar->token_file = own_format("%s/token", sidecar->directory);
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
    own_freep(&sidecar->token_file);
    helper_directory_remove(sidecar->directory);
}

/* The next event, which must be of that type. */
static struct channel_event expect_event(struct sidecar *sidecar, enum channel_event_type type)
{
    struct channel_event event;
    struct pollfd readable = {.fd = channel_client_fd(sidecar->client), .events = POLLIN};
    if (poll(&readable, 1, REPLICA_PATIENCE_MS) != 1)
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

static void both_ends_speak_of_a_run_from_hello_to_done(void **state)
{
    struct replica *replica = *state;
    struct sidecar sidecar;
    start_sidecar(&sidecar, TOKEN("db-0", "u0") "\n", 100);
    target(&sidecar, replica, "localhost", replica_authority.certificate);
    expect_event(&sidecar, CHANNEL_CONNECTED);
    assert_true(channel_client_connected(sidecar.client));
    say(&sidecar, IDLE_STATE);
    WAIT_FOR(replica_is_fresh(replica, "u0"));
    replica_tell(replica, &replica_assign);
    replica_tell(replica,
                 &(struct message){.type = MESSAGE_RUN,
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
    WAIT_FOR(replica_finished_count(replica, "u0") == 1);
    stop_sidecar(&sidecar);
    WAIT_FOR(agents_connected(replica->agents) == 0);
}

/* So that one name has two addresses, in the mount namespace of this program alone. */
static bool name_two_addresses(void)
{
    static const char hosts[] = "127.0.0.1 localhost channel.localhost\n"
                                "127.0.0.2 channel.localhost\n";
    if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return false;
    char *directory = helper_directory_new();
    helper_directory_write(directory, "hosts", hosts);
    CLEANUP(own_freep) char *path = own_format("%s/hosts", directory);
    bool named = chmod(path, 0644) == 0 && mount(path, "/etc/hosts", NULL, MS_BIND, NULL) == 0;
    helper_directory_remove(directory);
    return named;
}

static bool two_addresses;

static void a_client_goes_from_a_follower_to_the_leader_at_once(void **state)
{
    (void)state;
    if (!two_addresses)
        skip();
    CLEANUP(own_freep) struct replica *first = own_alloc(sizeof(*first));
    CLEANUP(own_freep) struct replica *second = own_alloc(sizeof(*second));
    replica_start(first, &(struct channel_options){.address = "127.0.0.1"});
    replica_start(second, &(struct channel_options){.address = "127.0.0.2",
                                                    .port = channel_port(first->channel)});
    struct sidecar sidecar;
    start_sidecar(&sidecar, TOKEN("db-0", "u0"), 60000); /* never a second round */
    for (int leader = 0; leader < 2; leader++) {
        first->leading = leader == 0;
        second->leading = leader == 1;
        struct replica *replica = leader == 0 ? first : second;
        target(&sidecar, replica, "channel.localhost", replica_authority.certificate);
        WAIT_FOR(agents_connected(replica->agents) == 1);
        say(&sidecar, IDLE_STATE);
        WAIT_FOR(replica_is_fresh(replica, "u0"));
        replica_tell(replica, &replica_assign);
        struct channel_event event;
        do {
            event = (struct channel_event){0};
            channel_client_next(sidecar.client, &event);
            message_clear(&event.message);
            poll(NULL, 0, 1);
        } while (event.type != CHANNEL_MESSAGE);
        agents_forget(replica->agents, "u0"); /* closes the connection */
        expect_event(&sidecar, CHANNEL_GONE);
    }
    stop_sidecar(&sidecar);
    replica_stop(first);
    replica_stop(second);
}

static void a_lower_epoch_is_refused_also_by_a_later_connection(void **state)
{
    struct replica *replica = *state;
    struct sidecar sidecar;
    start_sidecar(&sidecar, TOKEN("db-0", "u0"), 20);
    target(&sidecar, replica, "localhost", replica_authority.certificate);
    expect_event(&sidecar, CHANNEL_CONNECTED);
    WAIT_FOR(agents_connected(replica->agents) == 1);
    replica_tell(replica, &replica_assign);
    struct channel_event event = expect_event(&sidecar, CHANNEL_MESSAGE);
    message_clear(&event.message);
    agents_set_epoch(replica->agents, 6);
    unsigned changes = replica->changes;
    replica_tell(replica, &replica_assign);
    expect_event(&sidecar, CHANNEL_GONE);
    expect_event(&sidecar, CHANNEL_CONNECTED); /* again, and no wiser */
    WAIT_FOR(replica->changes >= changes + 2 && agents_connected(replica->agents) == 1);
    replica_tell(replica, &replica_assign);
    expect_event(&sidecar, CHANNEL_GONE);
    assert_int_equal(channel_client_epoch(sidecar.client), 7);
    agents_set_epoch(replica->agents, 8);
    expect_event(&sidecar, CHANNEL_CONNECTED);
    WAIT_FOR(agents_connected(replica->agents) == 1);
    replica_tell(replica, &replica_assign);
    event = expect_event(&sidecar, CHANNEL_MESSAGE);
    message_clear(&event.message);
    assert_int_equal(channel_client_epoch(sidecar.client), 8);
    stop_sidecar(&sidecar);
}

static void a_silent_sidecar_that_lives_stays(void **state)
{
    struct replica *replica = *state;
    struct sidecar sidecar;
    start_sidecar(&sidecar, TOKEN("db-0", "u0"), 100);
    target(&sidecar, replica, "localhost", replica_authority.certificate);
    WAIT_FOR(agents_connected(replica->agents) == 1);
    WAIT_FOR(replica->changes == 1);
    poll(NULL, 0, 3500); /* longer than the hang-up */
    assert_int_equal(agents_connected(replica->agents), 1);
    assert_int_equal(replica->changes, 1);
    stop_sidecar(&sidecar);
}

static void a_new_certificate_is_shown_and_no_connection_lost(void **state)
{
    struct replica *replica = *state;
    struct sidecar sidecar;
    char first[65], second[65];
    start_sidecar(&sidecar, TOKEN("db-0", "u0"), 100);
    target(&sidecar, replica, "localhost", replica_authority.certificate);
    expect_event(&sidecar, CHANNEL_CONNECTED);
    WAIT_FOR(agents_connected(replica->agents) == 1);
    CLEANUP(peer_freep)
    struct peer *one = peer_connect("127.0.0.1", channel_port(replica->channel));
    assert_true(peer_secure(one));
    peer_fingerprint(one, first);
    replica_show_certificate(replica, &replica_other_authority);
    CLEANUP(own_freep)
    char *both =
        own_format("%s%s", replica_authority.certificate, replica_other_authority.certificate);
    target(&sidecar, replica, "localhost", both);
    for (int tries = 0; tries < 100; tries++) {
        CLEANUP(peer_freep)
        struct peer *two = peer_connect("127.0.0.1", channel_port(replica->channel));
        assert_true(peer_secure(two));
        peer_fingerprint(two, second);
        if (strcmp(first, second) != 0)
            break;
        poll(NULL, 0, 10);
    }
    assert_string_not_equal(first, second);
    say(&sidecar, IDLE_STATE); /* on the connection of before */
    WAIT_FOR(replica_is_fresh(replica, "u0"));
    replica_tell(replica, &replica_assign);
    struct channel_event event = expect_event(&sidecar, CHANNEL_MESSAGE);
    message_clear(&event.message);
    agents_forget(replica->agents, "u0");
    expect_event(&sidecar, CHANNEL_GONE);
    expect_event(&sidecar, CHANNEL_CONNECTED); /* with the bundle of old and new */
    stop_sidecar(&sidecar);
}

/* Neither is reached: the server is somebody else, or goes by another name. */
static void a_client_trusts_only_its_ca_and_the_name(void **state)
{
    struct replica *replica = *state;
    struct sidecar sidecar;
    start_sidecar(&sidecar, TOKEN("db-0", "u0"), 20);
    target(&sidecar, replica, "localhost", replica_other_authority.certificate);
    poll(NULL, 0, 300);
    target(&sidecar, replica, "127.0.0.1", replica_authority.certificate);
    poll(NULL, 0, 300);
    assert_false(channel_client_connected(sidecar.client));
    assert_int_equal(replica->changes, 0);
    target(&sidecar, replica, "localhost", replica_authority.certificate);
    WAIT_FOR(agents_connected(replica->agents) == 1);
    stop_sidecar(&sidecar);
}

static void the_token_is_read_anew_for_each_connection(void **state)
{
    struct replica *replica = *state;
    struct sidecar sidecar;
    start_sidecar(&sidecar, "expired", 20);
    target(&sidecar, replica, "localhost", replica_authority.certificate);
    unsigned before = replica->reviews;
    WAIT_FOR(replica->reviews >= before + 2);
    assert_int_equal(agents_connected(replica->agents), 0);
    write_token(&sidecar, TOKEN("db-0", "u0"));
    WAIT_FOR(agents_connected(replica->agents) == 1);
    stop_sidecar(&sidecar);
}

static int set_up_all(void **state)
{
    two_addresses = name_two_addresses();
    return replica_set_up_all(state);
}

/* OpenSSL never takes an index back: one for each attempt would be memory that only grows. */
static void who_tries_for_ever_takes_nothing_for_good(void **state)
{
    struct replica *replica = *state;
    struct sidecar sidecar;
    start_sidecar(&sidecar, "expired", 1);
    int before = peer_take_index();
    unsigned reviews = replica->reviews;
    target(&sidecar, replica, "localhost", replica_authority.certificate);
    WAIT_FOR(replica->reviews >= reviews + 10);
    stop_sidecar(&sidecar);
    assert_int_equal(peer_take_index(), before + 1);
}

#define WITH_REPLICA(test) cmocka_unit_test_setup_teardown(test, replica_set_up, replica_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_REPLICA(both_ends_speak_of_a_run_from_hello_to_done),
        cmocka_unit_test(a_client_goes_from_a_follower_to_the_leader_at_once),
        WITH_REPLICA(a_lower_epoch_is_refused_also_by_a_later_connection),
        WITH_REPLICA(a_silent_sidecar_that_lives_stays),
        WITH_REPLICA(a_new_certificate_is_shown_and_no_connection_lost),
        WITH_REPLICA(a_client_trusts_only_its_ca_and_the_name),
        WITH_REPLICA(the_token_is_read_anew_for_each_connection),
        WITH_REPLICA(who_tries_for_ever_takes_nothing_for_good),
    };
    return cmocka_run_group_tests(tests, set_up_all, replica_tear_down_all);
}
