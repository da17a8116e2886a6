// SPDX-License-Identifier: Apache-2.0
/*
 * Backups of a real server in which the n-th call of the system fails, or does half of what it was
 * asked for. Whatever fails, backup_run comes back, says success only for what restores, and leaves
 * the backup that was committed before as it was, byte for byte.
 *
 * The linker puts each __wrap_x into the place of x in our code (CMakeLists.txt); recv and send are
 * those of the PostgreSQL client, whose library finds ours first.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/tests/helper_chance.h"
#include "sidecar/tests/helper_loop.h"

enum { ENDS = 2, SAMPLE = 4 }; /* the first and the last call, and so many in all */

enum call {
    CALL_OPEN,
    CALL_OPENAT,
    CALL_READ,
    CALL_PREAD,
    CALL_PWRITE,
    CALL_FSYNC,
    CALL_RENAMEAT2,
    CALL_MKDIRAT,
    CALL_UNLINKAT,
    CALL_READDIR,
    CALL_READLINKAT,
    CALL_FSTATAT,
    CALL_RECV,
    CALL_SEND,
    CALLS
};

static const char *const call_names[CALLS] = {
    "open",    "openat",   "read",    "pread",      "pwrite",  "fsync", "renameat2",
    "mkdirat", "unlinkat", "readdir", "readlinkat", "fstatat", "recv",  "send"};

static struct {
    atomic_bool is_armed; /* calls are counted */
    enum call call;
    unsigned at; /* 0: never */
    bool half;   /* the call succeeds with half of what was asked for; else it fails with EIO */
    atomic_uint calls[CALLS];
} fault;

static struct helper_loop loop;

static bool is_due(enum call call)
{
    if (!fault.is_armed)
        return false;
    const unsigned number = atomic_fetch_add(&fault.calls[call], 1) + 1;
    if (fault.at == 0 || call != fault.call || number != fault.at)
        return false;
    errno = EIO;
    return true;
}

/* Of eventfds, pipes and sockets too; only files are meant. */
static bool is_file(int fd)
{
    struct stat st;
    const int before = errno;
    const bool is = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    errno = before;
    return is;
}

#define WRAP(type, name, call, parameters, arguments)                                              \
    type __real_##name parameters;                                                                 \
    type __wrap_##name parameters;                                                                 \
    type __wrap_##name parameters                                                                  \
    {                                                                                              \
        return is_due(call) ? -1 : __real_##name arguments;                                        \
    }
WRAP(int, fsync, CALL_FSYNC, (int fd), (fd))
WRAP(int, renameat2, CALL_RENAMEAT2,
     (int from, const char *old, int to, const char *new, unsigned flags),
     (from, old, to, new, flags))
WRAP(int, mkdirat, CALL_MKDIRAT, (int fd, const char *path, mode_t mode), (fd, path, mode))
WRAP(int, unlinkat, CALL_UNLINKAT, (int fd, const char *path, int flags), (fd, path, flags))
WRAP(ssize_t, readlinkat, CALL_READLINKAT, (int fd, const char *path, char *to, size_t size),
     (fd, path, to, size))
WRAP(int, fstatat, CALL_FSTATAT, (int fd, const char *path, struct stat *st, int flags),
     (fd, path, st, flags))

/* Those that may do half, which of a single byte is that byte. */
#define WRAP_BYTES(name, call, parameters, arguments, half_arguments)                              \
    ssize_t __real_##name parameters;                                                              \
    ssize_t __wrap_##name parameters;                                                              \
    ssize_t __wrap_##name parameters                                                               \
    {                                                                                              \
        if (!is_file(fd) || !is_due(call) || (fault.half && size == 1))                            \
            return __real_##name arguments;                                                        \
        return fault.half ? __real_##name half_arguments : -1;                                     \
    }
WRAP_BYTES(read, CALL_READ, (int fd, void *data, size_t size), (fd, data, size),
           (fd, data, size - size / 2))
WRAP_BYTES(pread, CALL_PREAD, (int fd, void *data, size_t size, off_t at), (fd, data, size, at),
           (fd, data, size - size / 2, at))
WRAP_BYTES(pwrite, CALL_PWRITE, (int fd, const void *data, size_t size, off_t at),
           (fd, data, size, at), (fd, data, size - size / 2, at))

struct dirent *__real_readdir(DIR *directory);
struct dirent *__wrap_readdir(DIR *directory);
struct dirent *__wrap_readdir(DIR *directory)
{
    return is_due(CALL_READDIR) ? NULL : __real_readdir(directory);
}

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
    va_list more;
    va_start(more, flags);
    const mode_t mode = flags & O_CREAT ? va_arg(more, mode_t) : 0;
    va_end(more);
    return is_due(CALL_OPEN) ? -1 : __real_open(path, flags, mode);
}

int __real_openat(int fd, const char *path, int flags, ...);
int __wrap_openat(int fd, const char *path, int flags, ...);
int __wrap_openat(int fd, const char *path, int flags, ...)
{
    va_list more;
    va_start(more, flags);
    const mode_t mode = flags & O_CREAT ? va_arg(more, mode_t) : 0;
    va_end(more);
    return is_due(CALL_OPENAT) ? -1 : __real_openat(fd, path, flags, mode);
}

/* For libpq, which is a shared library. A connection of which a call fails is dead. */
static bool is_cut(enum call call, int fd)
{
    if (!is_due(call))
        return false;
    shutdown(fd, SHUT_RDWR);
    errno = ECONNRESET;
    return true;
}

ssize_t recv(int fd, void *data, size_t size, int flags)
{
    static ssize_t (*_Atomic next)(int, void *, size_t, int);
    if (!next)
        next = (ssize_t(*)(int, void *, size_t, int))dlsym(RTLD_NEXT, "recv");
    return is_cut(CALL_RECV, fd) ? -1 : next(fd, data, size, flags);
}

ssize_t send(int fd, const void *data, size_t size, int flags)
{
    static ssize_t (*_Atomic next)(int, const void *, size_t, int);
    if (!next)
        next = (ssize_t(*)(int, const void *, size_t, int))dlsym(RTLD_NEXT, "send");
    return is_cut(CALL_SEND, fd) ? -1 : next(fd, data, size, flags);
}

static int set_up(void **state)
{
    char id[BACKUP_ID_BYTES];
    struct error err;
    (void)state;
    helper_loop_start(&loop);
    helper_loop_open(&loop, 1);
    if (helper_loop_back_up(&loop, BACKUP_FULL, id, &err) < 0)
        fail_msg("%s", err.text);
    helper_loop_check(&loop, id, &err);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    helper_loop_close(&loop);
    helper_loop_stop(&loop);
    return 0;
}

/* Gives how many times the call was made, though not more than it takes until the fault. */
static unsigned back_up(enum backup_type type, enum call call, unsigned at, bool *ret_failed)
{
    char id[BACKUP_ID_BYTES];
    struct error err;
    memset(fault.calls, 0, sizeof(fault.calls));
    fault.call = call;
    fault.at = at;
    fault.is_armed = true;
    *ret_failed = helper_loop_back_up(&loop, type, id, &err) < 0;
    fault.is_armed = false;
    if (*ret_failed)
        print_message("%s %u: %s\n", call_names[call], at, err.text);
    const bool is_there = helper_loop_check(&loop, id, &err);
    assert_true(!is_there || call == CALL_FSYNC); /* of the directory that has the manifest */
    return fault.calls[call];
}

/* Gives how many backups failed. */
static unsigned fail_some(enum backup_type type, enum call call)
{
    bool failed;
    const unsigned total = back_up(type, call, 0, &failed);
    const unsigned tries = total < SAMPLE || helper_chance_full() ? total : SAMPLE;
    unsigned failures = 0;
    assert_false(failed);
    for (unsigned i = 1; i <= tries; i++) {
        const unsigned at = tries == total ? i
                            : i == 1       ? 1
                            : i == ENDS    ? total
                                           : 1 + (unsigned)helper_chance_below(total);
        back_up(type, call, at, &failed);
        failures += failed;
    }
    return failures;
}

/* Those without which there is no backup; others it may do without. */
static void a_call_that_fails_leaves_what_was_committed(void **state)
{
    static const enum call needed[] = {CALL_OPENAT,  CALL_PREAD, CALL_PWRITE, CALL_RENAMEAT2,
                                       CALL_READDIR, CALL_RECV,  CALL_SEND};
    unsigned failures[CALLS] = {0};
    (void)state;
    fault.half = false;
    for (enum call call = 0; call < CALLS; call++)
        failures[call] = fail_some(BACKUP_INCREMENTAL, call);
    for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
        if (failures[needed[i]] == 0)
            fail_msg("no failure of %s mattered", call_names[needed[i]]);
}

static void a_call_that_does_half_is_gone_on_with(void **state)
{
    static const enum call calls[] = {CALL_READ, CALL_PREAD, CALL_PWRITE};
    (void)state;
    fault.half = true;
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
        assert_int_equal(fail_some(BACKUP_FULL, calls[i]), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_that_fails_leaves_what_was_committed),
        cmocka_unit_test(a_call_that_does_half_is_gone_on_with),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
