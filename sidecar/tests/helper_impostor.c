// SPDX-License-Identifier: Apache-2.0
#include "sidecar/tests/helper_impostor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/crew.h"
#include "common/own.h"
#include "sidecar/wal_protocol.h"

enum { HALF = 1 << 19 };

static void hand_over(int fd, const struct helper_impostor *impostor)
{
    union {
        struct cmsghdr aligned;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec text = {(char *)(uintptr_t)impostor->line, strlen(impostor->line)};
    struct msghdr message = {
        .msg_iov = &text,
        .msg_iovlen = 1,
        .msg_control = &control,
        .msg_controllen = sizeof(control),
    };
    control.aligned = (struct cmsghdr){
        .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(&control.aligned), &impostor->file, sizeof(int));
    (void)!sendmsg(fd, &message, MSG_NOSIGNAL);
}

static int pose(void *arg, struct error *err)
{
    static const char half[HALF];
    const struct helper_impostor *impostor = arg;
    (void)err;
    CLEANUP(own_closep) int fd = accept(impostor->listener, NULL, NULL);
    char question[256];
    if (fd >= 0 && recv(fd, question, sizeof(question), 0) > 0) {
        if (impostor->file >= 0)
            hand_over(fd, impostor);
        else if (send(fd, impostor->line, strlen(impostor->line), MSG_NOSIGNAL) > 0)
            (void)!send(fd, half, sizeof(half), MSG_NOSIGNAL);
    }
    close(impostor->listener);
    return 0;
}

int helper_impostor_bind(const char *socket_path)
{
    struct error err;
    struct sockaddr_un address;
    assert_int_equal(wal_protocol_address(socket_path, &address, &err), 0);
    const int bound = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(bound, (const struct sockaddr *)&address, sizeof(address)), 0);
    return bound;
}

void helper_impostor_start(struct helper_impostor *impostor, const char *socket_path,
                           struct crew *crew)
{
    struct error err;
    impostor->listener = helper_impostor_bind(socket_path);
    assert_int_equal(listen(impostor->listener, 1), 0);
    assert_int_equal(crew_start(crew, "impostor", pose, impostor, &err), 0);
}
