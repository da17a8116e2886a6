// SPDX-License-Identifier: Apache-2.0
#include "operator/tests/helper_crowd.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/own.h"
#include "operator/tests/helper_peer.h"
#include "operator/tests/helper_replica.h"

enum { PEERS_MAX = 4000 };

struct crowd {
    pid_t pid;
    int fd;
};

struct order {
    unsigned port, count; /* count 0: leave */
    enum crowd_kind kind;
};

static struct peer *come(const struct order *order, unsigned number)
{
    CLEANUP(peer_freep) struct peer *peer = NULL;
    if (order->kind == CROWD_AGENTS) {
        CLEANUP(own_freep) char *token = own_format(TOKEN("crowd-%u", "c%u"), number, number);
        CLEANUP(own_freep) char *hello = own_format(HELLO("crowd-%u", "c%u"), number, number);
        peer = peer_open(order->port, token);
        if (!peer || !peer_send_text(peer, hello))
            return NULL;
    } else {
        peer = peer_connect("127.0.0.1", order->port);
        if (order->kind == CROWD_TLS && !peer_secure(peer))
            return NULL;
    }
    return TAKE(peer);
}

/* A peer that is not let in is the test's to find. */
static void obey(int fd)
{
    static struct peer *peers[PEERS_MAX];
    struct order order;
    unsigned count = 0;
    while (read(fd, &order, sizeof(order)) == sizeof(order)) {
        for (unsigned i = 0; i < order.count && count < PEERS_MAX; i++, count++)
            peers[count] = come(&order, count);
        while (order.count == 0 && count > 0)
            peer_freep(&peers[--count]);
        if (write(fd, &order, sizeof(order)) != sizeof(order))
            break;
    }
}

struct crowd *crowd_new(void)
{
    int pair[2];
    struct crowd *crowd = own_alloc(sizeof(*crowd));
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    crowd->pid = fork();
    assert_true(crowd->pid >= 0);
    if (crowd->pid == 0) {
        close(pair[0]);
        obey(pair[1]);
        _exit(0);
    }
    close(pair[1]);
    crowd->fd = pair[0];
    return crowd;
}

void crowd_freep(struct crowd **crowd)
{
    struct crowd *c = TAKE(*crowd);
    if (!c)
        return;
    close(c->fd);
    waitpid(c->pid, NULL, 0);
    free(c);
}

static void give(struct crowd *crowd, const struct order *order)
{
    struct order done;
    assert_int_equal(write(crowd->fd, order, sizeof(*order)), sizeof(*order));
    assert_int_equal(read(crowd->fd, &done, sizeof(done)), sizeof(done));
}

void crowd_grow(struct crowd *crowd, unsigned port, unsigned count, enum crowd_kind kind)
{
    give(crowd, &(struct order){.port = port, .count = count, .kind = kind});
}

void crowd_leave(struct crowd *crowd)
{
    give(crowd, &(struct order){0});
}
