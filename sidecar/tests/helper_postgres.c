// SPDX-License-Identifier: Apache-2.0
#include "sidecar/tests/helper_postgres.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <netinet/in.h>
#include <poll.h>
#include <pwd.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/own.h"

/* Loaded machines are slow: whatever waits, waits long, and only ctest's time-out is longer. */
#define PATIENCE_SECONDS_TEXT "120"
enum { SKIPPED = 77, OUTPUT_BYTES_MAX = 64 << 20, ARGUMENTS_MAX = 32, END_MS = 20000 };
enum { PATIENCE_SECONDS = 120, POLL_US = 10000 };

/* As whom the server runs if we are root, whom PostgreSQL refuses. */
static const struct passwd *server_user(void)
{
    if (geteuid() != 0)
        return NULL;
    const struct passwd *user = getpwnam("postgres");
    return user ? user : getpwnam("nobody");
}

static int give_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    const struct passwd *user = server_user();
    return user ? lchown(path, user->pw_uid, user->pw_gid) : 0;
}

static void give_to_server(const char *path)
{
    if (nftw(path, give_one, 16, FTW_PHYS) != 0)
        fail_msg("chown '%s': %m", path);
}

static void write_file(const char *path, const char *mode, const char *content)
{
    FILE *file = fopen(path, mode);
    if (!file || fputs(content, file) < 0 || fclose(file) != 0)
        fail_msg("write '%s': %m", path);
}

/* Programs */

static int newest_first(const struct dirent **a, const struct dirent **b)
{
    return (int)(strtol((*b)->d_name, NULL, 10) - strtol((*a)->d_name, NULL, 10));
}

static char *find_bin(void)
{
    const char *chosen = getenv("LIFEBOAT_TEST_PG_BIN");
    if (chosen && *chosen)
        return own_strdup(chosen);
    struct dirent **versions = NULL;
    int count = scandir("/usr/lib/postgresql", &versions, NULL, newest_first);
    char *found = NULL;
    for (int i = 0; i < count; i++) {
        CLEANUP(own_freep)
        char *bin = own_format("/usr/lib/postgresql/%s/bin", versions[i]->d_name);
        CLEANUP(own_freep) char *postgres = own_format("%s/postgres", bin);
        if (!found && access(postgres, X_OK) == 0)
            found = TAKE(bin);
        free(versions[i]);
    }
    free(versions);
    if (found)
        return found;
    print_message("skipped: no PostgreSQL here; LIFEBOAT_TEST_PG_BIN would name its programs\n");
    exit(SKIPPED);
}

static _Noreturn void become_program(const struct helper_postgres *server, const char *const argv[],
                                     int output)
{
    const struct passwd *user = server_user();
    if (user && (setgroups(0, NULL) < 0 || setgid(user->pw_gid) < 0 || setuid(user->pw_uid) < 0))
        _exit(126);
    dup2(open("/dev/null", O_RDONLY | O_CLOEXEC), STDIN_FILENO);
    dup2(output, STDOUT_FILENO);
    dup2(output, STDERR_FILENO);
    setenv("PGHOST", server->directory, 1);
    setenv("PGPORT", server->port, 1);
    setenv("PGUSER", "postgres", 1);
    setenv("PGDATABASE", "postgres", 1);
    setenv("LC_ALL", "C.UTF-8", 1);
    setenv("PGCTLTIMEOUT", PATIENCE_SECONDS_TEXT, 1);
    /* what a test sets for a role or a database is not meant for its own programs */
    setenv("PGOPTIONS", "-c idle_session_timeout=0 -c statement_timeout=0", 1);
    if (chdir("/") == 0)
        execv(argv[0], (char *const *)(uintptr_t)argv);
    dprintf(STDERR_FILENO, "cannot run '%s': %m\n", argv[0]);
    _exit(127);
}

static void read_all(int fd, struct buf *output)
{
    struct error err;
    for (;;) {
        uint8_t *space;
        assert_int_equal(buf_reserve(output, 65536, &space, &err), 0);
        ssize_t size = read(fd, space, 65536);
        assert_true(size >= 0);
        if (size == 0)
            return;
        output->size += (size_t)size;
    }
}

/* A program of the server's, or any by its path. Gives the exit status and what it printed. */
static int run_program(const struct helper_postgres *server, const char *program,
                       const char *const arguments[], char **ret_output)
{
    CLEANUP(own_freep)
    char *path = *program == '/' ? own_strdup(program) : own_format("%s/%s", server->bin, program);
    const char *argv[ARGUMENTS_MAX] = {path}; /* initdb looks for its siblings there */
    for (size_t i = 0; arguments[i]; i++) {
        assert_true(i + 2 < ARGUMENTS_MAX);
        argv[i + 1] = arguments[i];
    }
    int ends[2];
    assert_return_code(pipe2(ends, O_CLOEXEC), 0);
    fflush(NULL);
    pid_t pid = fork();
    assert_return_code(pid, 0);
    if (pid == 0)
        become_program(server, argv, ends[1]);
    close(ends[1]);
    CLEANUP(buf_done) struct buf output = BUF(OUTPUT_BYTES_MAX);
    read_all(ends[0], &output);
    close(ends[0]);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    *ret_output = buf_string(&output);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void run_quietly(const struct helper_postgres *server, const char *program,
                        const char *const arguments[])
{
    char *output = helper_postgres_run(server, program, arguments);
    own_freep(&output);
}

/* The guard: a process that the test's death does not take along */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    remove(path);
    return 0;
}

/* The server's first process; 0: there is none. */
static pid_t read_postmaster(const char *data)
{
    CLEANUP(own_freep) char *path = own_format("%s/postmaster.pid", data);
    FILE *file = fopen(path, "re");
    if (!file)
        return 0;
    char line[32] = "";
    pid_t pid = fgets(line, sizeof(line), file) ? (pid_t)strtol(line, NULL, 10) : 0;
    fclose(file);
    return pid;
}

/* Its end shows by the descriptor; its process id is there until its parent has taken note. */
static void end_server(const char *data)
{
    const pid_t pid = read_postmaster(data);
    const int fd = pid > 1 ? pidfd_open(pid, 0) : -1;
    if (fd < 0)
        return;
    pidfd_send_signal(fd, SIGQUIT, NULL, 0); /* an immediate shutdown */
    if (poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, END_MS) <= 0)
        pidfd_send_signal(fd, SIGKILL, NULL, 0);
}

static _Noreturn void guard(const struct helper_postgres *server, int fd)
{
    setsid();
    /* the descriptors of other guards, left open here, would keep those from seeing the end */
    dup2(fd, 3);
    close_range(4, ~0U, 0);
    char byte;
    while (read(3, &byte, 1) > 0)
        ;
    end_server(server->data);
    nftw(server->directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    _exit(0);
}

static void start_guard(struct helper_postgres *server)
{
    int ends[2];
    assert_return_code(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    fflush(NULL);
    pid_t pid = fork();
    assert_return_code(pid, 0);
    if (pid == 0) {
        if (fork() != 0)
            _exit(0); /* nobody's child, so that whoever ends a test's process tree misses it */
        guard(server, ends[1]);
    }
    waitpid(pid, NULL, 0);
    close(ends[1]);
    server->guard = ends[0];
}

/* Making servers */

/* Of those that no connection is given, so that it is still free when the server starts. */
static uint16_t random_port(void)
{
    enum { LEAST = 10000 };
    CLEANUP(buf_done) struct buf range = BUF(64);
    struct error err;
    uint16_t number;
    assert_int_equal(getrandom(&number, sizeof(number), 0), sizeof(number));
    if (buf_read_file(&range, AT_FDCWD, "/proc/sys/net/ipv4/ip_local_port_range", &err) < 0)
        fail_msg("%s", err.text);
    CLEANUP(own_freep) char *text = buf_string(&range);
    const unsigned long first = strtoul(text, NULL, 10);
    const unsigned long port = first > LEAST ? LEAST + number % (first - LEAST) : 0;
    return (uint16_t)port;
}

static void choose_port(struct helper_postgres *server)
{
    struct sockaddr_in address;
    socklen_t size = sizeof(address);
    int fd = -1;
    do {
        if (fd >= 0)
            close(fd);
        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_return_code(fd, errno);
        address = (struct sockaddr_in){.sin_family = AF_INET,
                                       .sin_port = htons(random_port()),
                                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    } while (bind(fd, (struct sockaddr *)&address, size) < 0 && errno == EADDRINUSE);
    assert_return_code(getsockname(fd, (struct sockaddr *)&address, &size), errno);
    close(fd);
    snprintf(server->port, sizeof(server->port), "%hu", ntohs(address.sin_port));
}

static int read_major(const struct helper_postgres *server)
{
    const char *const arguments[] = {"--version", NULL};
    CLEANUP(own_freep) char *output = helper_postgres_run(server, "postgres", arguments);
    /* "postgres (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)" */
    return (int)strtol(output + strcspn(output, "0123456789"), NULL, 10);
}

/* data NULL: below the server's directory. */
static struct helper_postgres *new_server(const char *data)
{
    const char *tmp = getenv("TMPDIR");
    struct helper_postgres *server = own_alloc(sizeof(*server));
    server->bin = find_bin();
    server->directory = own_format("%s/lifeboat-pg-XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(server->directory));
    give_to_server(server->directory);
    server->data = data ? own_strdup(data) : own_format("%s/data", server->directory);
    choose_port(server);
    start_guard(server);
    server->major = read_major(server);
    return server;
}

static void make_cluster(const struct helper_postgres *server, const char *option)
{
    const char *const arguments[] = {"-N", "-A",   "trust", "-U",         "postgres", "--no-locale",
                                     "-E", "UTF8", "-D",    server->data, option,     NULL};
    run_quietly(server, "initdb", arguments);
}

/* initdb takes a second, a copy of what it made the first time a tenth of that. */
static void copy_cluster(const struct helper_postgres *server)
{
    static struct helper_postgres *model; /* never started; goes with the process */
    if (!model) {
        model = new_server(NULL);
        make_cluster(model, NULL);
    }
    const char *const arguments[] = {"-r", model->data, server->data, NULL};
    run_quietly(server, "/bin/cp", arguments);
}

static void init(const struct helper_postgres *server,
                 const struct helper_postgres_options *options)
{
    if (options->initdb)
        make_cluster(server, options->initdb);
    else
        copy_cluster(server);

    CLEANUP(own_freep) char *conf = own_format("%s/postgresql.conf", server->data);
    CLEANUP(own_freep)
    char *settings =
        own_format("fsync = off\nshared_buffers = 16MB\nlisten_addresses = '%s'\n%s\n",
                   options->tcp ? "127.0.0.1" : "", options->settings ? options->settings : "");
    write_file(conf, "a", settings);
    if (options->hba) {
        CLEANUP(own_freep) char *hba = own_format("%s/pg_hba.conf", server->data);
        write_file(hba, "w", options->hba);
    }
}

void helper_postgres_add_role(const struct helper_postgres *server, const char *password)
{
    CLEANUP(buf_done) struct buf script = BUF(1 << 20);
    struct error err;
    if (buf_read_file(&script, AT_FDCWD, LIFEBOAT_SOURCE "/sidecar/role.sql", &err) < 0 ||
        buf_format(&script, &err, "\nALTER ROLE lifeboat PASSWORD '%s';\n", password) < 0)
        fail_msg("%s", err.text);
    CLEANUP(own_freep) char *sql = buf_string(&script);
    helper_postgres_do(server, sql);
}

void helper_postgres_set_hba(const struct helper_postgres *server, const char *lines)
{
    CLEANUP(own_freep)
    char *loaded = helper_postgres_sql(server, "SELECT pg_catalog.format("
                                               "'SELECT pg_catalog.pg_conf_load_time() > %L',"
                                               " pg_catalog.pg_conf_load_time())");
    CLEANUP(own_freep) char *path = own_format("%s/pg_hba.conf", server->data);
    write_file(path, "w", lines);
    const char *const arguments[] = {"reload", "-s", "-D", server->data, NULL};
    run_quietly(server, "pg_ctl", arguments);
    helper_postgres_await(server, loaded, "t");
}

char *helper_postgres_run(const struct helper_postgres *server, const char *program,
                          const char *const arguments[])
{
    char *output;
    int status = run_program(server, program, arguments, &output);
    if (status != 0)
        fail_msg("%s: exit status %d\n%s", program, status, output);
    return output;
}

void helper_postgres_do(const struct helper_postgres *server, const char *sql)
{
    char *output = helper_postgres_sql(server, sql);
    own_freep(&output);
}

char *helper_postgres_sql(const struct helper_postgres *server, const char *sql)
{
    CLEANUP(own_freep) char *path = own_format("%s/input.sql", server->directory);
    write_file(path, "w", sql);
    /* rows by a file of their own: what psql says besides, a warning say, is no part of them */
    CLEANUP(own_freep) char *rows_path = own_format("%s/rows", server->directory);
    const char *const arguments[] = {"-XAtq", "--set=ON_ERROR_STOP=1", "-f", path, "-o", rows_path,
                                     NULL};
    run_quietly(server, "psql", arguments);
    CLEANUP(buf_done) struct buf rows = BUF(OUTPUT_BYTES_MAX);
    struct error err;
    if (buf_read_file(&rows, AT_FDCWD, rows_path, &err) < 0)
        fail_msg("%s", err.text);
    if (rows.size > 0 && rows.data[rows.size - 1] == '\n')
        rows.size--;
    return buf_string(&rows);
}

void helper_postgres_await(const struct helper_postgres *server, const char *sql,
                           const char *answer)
{
    int64_t deadline_ms = clock_monotonic_ms() + PATIENCE_SECONDS * INT64_C(1000);
    for (;;) {
        CLEANUP(own_freep) char *rows = helper_postgres_sql(server, sql);
        if (strcmp(rows, answer) == 0)
            return;
        if (clock_monotonic_ms() > deadline_ms)
            fail_msg("'%s' gives '%s', never '%s'", sql, rows, answer);
        usleep(POLL_US);
    }
}

pid_t helper_postgres_process(const struct helper_postgres *server, const char *type)
{
    CLEANUP(own_freep)
    char *sql = own_format("SELECT pid FROM pg_catalog.pg_stat_activity"
                           " WHERE backend_type = '%s'",
                           type ? type : "");
    CLEANUP(own_freep) char *text = type ? helper_postgres_sql(server, sql) : own_strdup("");
    pid_t pid = type ? (pid_t)strtol(text, NULL, 10) : read_postmaster(server->data);
    assert_true(pid > 1);
    return pid;
}

struct pg_options helper_postgres_login(const struct helper_postgres *server, const char *user,
                                        const struct cancel *cancel)
{
    return (struct pg_options){
        .host = server->directory,
        .port = server->port,
        .user = user,
        .database = "postgres",
        .connect_timeout_seconds = PATIENCE_SECONDS,
        .cancel = cancel,
    };
}

void helper_postgres_promote(const struct helper_postgres *standby)
{
    const char *const arguments[] = {"promote", "-s", "-w", "-D", standby->data, NULL};
    run_quietly(standby, "pg_ctl", arguments);
}

void helper_postgres_shut_down(const struct helper_postgres *server, const char *mode)
{
    const char *const arguments[] = {"stop", "-s", "-w", "-m", mode, "-D", server->data, NULL};
    run_quietly(server, "pg_ctl", arguments);
}

void helper_postgres_resume(const struct helper_postgres *server)
{
    CLEANUP(own_freep) char *log = own_format("%s/log", server->directory);
    CLEANUP(own_freep)
    char *options = own_format("-p %s -k '%s'", server->port, server->directory);
    const char *const arguments[] = {"start", "-s", "-w", "-D",    server->data,
                                     "-l",    log,  "-o", options, NULL};
    CLEANUP(own_freep) char *output = NULL;
    if (run_program(server, "pg_ctl", arguments, &output) == 0)
        return;
    CLEANUP(buf_done) struct buf text = BUF(1 << 20);
    struct error err;
    if (buf_read_file(&text, AT_FDCWD, log, &err) < 0)
        fail_msg("%s%s", output, err.text);
    CLEANUP(own_freep) char *lines = buf_string(&text);
    fail_msg("%s%s", output, lines);
}

void helper_postgres_stop(struct helper_postgres **server)
{
    if (!*server)
        return;
    char byte;
    shutdown((*server)->guard, SHUT_WR);
    while (read((*server)->guard, &byte, 1) > 0)
        ;
    close((*server)->guard);
    own_freep(&(*server)->directory);
    own_freep(&(*server)->data);
    own_freep(&(*server)->bin);
    own_freep(server);
}

struct helper_postgres *helper_postgres_adopt(const char *data)
{
    struct helper_postgres *server = new_server(data);
    give_to_server(data);
    helper_postgres_resume(server);
    return server;
}

struct helper_postgres *helper_postgres_standby(const struct helper_postgres *primary)
{
    struct helper_postgres *server = new_server(NULL);
    const char *const arguments[] = {"-N", "-R", "-c", "fast", "-D", server->data, NULL};
    run_quietly(primary, "pg_basebackup", arguments);
    helper_postgres_resume(server);
    return server;
}

struct helper_postgres *helper_postgres_start(const struct helper_postgres_options *options)
{
    struct helper_postgres *server = new_server(NULL);
    init(server, options ? options : &(struct helper_postgres_options){0});
    helper_postgres_resume(server);
    return server;
}
