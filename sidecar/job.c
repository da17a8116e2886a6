// SPDX-License-Identifier: Apache-2.0
#include "sidecar/job.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/fields.h"
#include "common/log.h"
#include "common/own.h"
#include "common/text.h"

enum {
    ARGUMENTS_MAX = 64,
    LINE_BYTES_MAX = 16 * 1024,
    CHUNK_BYTES = 16 * 1024,
    EXIT_NO_PROGRAM = 127,
};

/* The kernel's worst (proc(5), oom_score_adj): of all processes, take this one. */
static const char oom_score[] = "1000";

struct job {
    const char *name;
    pid_t pid;
    int pidfd, output_fd, log_fd; /* -1 once they are at their end */
    struct buf output, line;
    bool line_is_cut; /* what follows until its end is dropped */
    struct job_progress progress;
    json_t *archiving;
    char last_line[256];   /* that was no log event: an assertion, a library's last words */
    struct error canceled; /* why it is to end; NONE: it is not */
    int64_t deadline_ms, kill_at_ms; /* monotonic; INT64_MAX: never */
    bool ended;
    int status; /* of wait(2) */
};

/* Starting */

struct pipes {
    int output[2], log[2];
};

static void pipes_close(struct pipes *pipes)
{
    for (size_t i = 0; i < 2; i++) {
        own_closep(&pipes->output[i]);
        own_closep(&pipes->log[i]);
    }
}

static int pipes_open(struct pipes *ret_pipes, struct error *err)
{
    struct pipes pipes = {.output = {-1, -1}, .log = {-1, -1}};
    if (pipe2(pipes.output, O_CLOEXEC) < 0 || pipe2(pipes.log, O_CLOEXEC) < 0 ||
        fcntl(pipes.output[0], F_SETFL, O_NONBLOCK) < 0 ||
        fcntl(pipes.log[0], F_SETFL, O_NONBLOCK) < 0) {
        error_errno(err, errno, "make pipes");
        pipes_close(&pipes);
        return -1;
    }
    *ret_pipes = pipes;
    return 0;
}

/* Between fork and exec: async-signal-safe calls only. */
static _Noreturn void become_child(const struct job_options *options, const struct pipes *pipes,
                                   const char *const argv[], pid_t parent)
{
    sigset_t none;
    sigemptyset(&none);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    const int score = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (score >= 0) {
        ssize_t written = write(score, oom_score, sizeof(oom_score) - 1);
        (void)written; /* where it is not allowed, all are alike */
    }
    const int input = options->input > 0 ? options->input : open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (getppid() == parent && dup2(input, STDIN_FILENO) >= 0 &&
        dup2(pipes->output[1], STDOUT_FILENO) >= 0 && dup2(pipes->log[1], STDERR_FILENO) >= 0 &&
        close_range(STDERR_FILENO + 1, UINT_MAX, 0) == 0) {
        sigprocmask(SIG_SETMASK, &none, NULL);
        execv(options->program ? options->program : "/proc/self/exe",
              (char *const *)(uintptr_t)argv);
    }
    _exit(EXIT_NO_PROGRAM);
}

static int start(struct job *job, const struct job_options *options, struct error *err)
{
    CLEANUP(pipes_close) struct pipes pipes = {.output = {-1, -1}, .log = {-1, -1}};
    const char *argv[ARGUMENTS_MAX + 2] = {"lifeboat-sidecar"};
    const pid_t parent = getpid();
    for (size_t i = 0; options->arguments[i]; i++) {
        if (i == ARGUMENTS_MAX)
            return error_set(err, ERROR_PERMANENT, "more than %d arguments", ARGUMENTS_MAX);
        argv[i + 1] = options->arguments[i];
    }
    if (pipes_open(&pipes, err) < 0)
        return -1;
    job->pid = fork();
    if (job->pid == 0)
        become_child(options, &pipes, argv, parent);
    if (job->pid < 0)
        return error_errno(err, errno, "fork");
    job->pidfd = pidfd_open(job->pid, 0);
    if (job->pidfd < 0)
        return error_errno(err, errno, "open process %d", (int)job->pid);
    job->output_fd = TAKE_FD(pipes.output[0]);
    job->log_fd = TAKE_FD(pipes.log[0]);
    return 0;
}

/* Reading what it says */

/* {"phase":…,"bytes":…,"totalBytes":…,"files":…} */
static void take_progress(struct job *job, json_t *progress)
{
    struct error ignored;
    struct fields fields;
    struct job_progress read = {0};
    fields_init(&fields, progress, NULL, ERROR_CORRUPT, &ignored);
    const char *phase = fields_string(&fields, "phase", "");
    read.bytes = (uint64_t)fields_integer(&fields, "bytes", 0, INT64_MAX, 0);
    read.total_bytes = (uint64_t)fields_integer(&fields, "totalBytes", 0, INT64_MAX, 0);
    read.files = (uint64_t)fields_integer(&fields, "files", 0, INT64_MAX, 0);
    if (fields_end(&fields) < 0 || strlen(phase) >= sizeof(read.phase))
        return;
    memcpy(read.phase, phase, strlen(phase) + 1);
    job->progress = read;
}

/* A whole line: progress and what is said of archiving are kept, a log event goes on as it is, all
 * else becomes one. */
static void take_line(struct job *job)
{
    struct error ignored;
    const char *text = (const char *)job->line.data;
    json_auto_t *json = json_loadb(text, job->line.size, 0, NULL);
    json_t *progress = json_object_get(json, "progress");
    json_t *archiving = json_object_get(json, "archiving");
    if (progress) {
        take_progress(job, progress);
    } else if (archiving) {
        json_decref(job->archiving);
        job->archiving = json_incref(archiving);
    } else if (json_is_object(json)) {
        if (buf_append(&job->line, "\n", 1, &ignored) == 0)
            log_pass(job->line.data, job->line.size);
    } else if (job->line.size > 0) {
        CLEANUP(own_freep) char *raw = buf_string(&job->line);
        CLEANUP(own_freep) char *line = text_escape(raw);
        const size_t size = strnlen(line, sizeof(job->last_line) - 1);
        memcpy(job->last_line, line, size);
        job->last_line[size] = '\0';
        log_warn("A child process said something", S("command", job->name), S("text", line));
    }
    buf_clear(&job->line);
}

static void take_log(struct job *job, const uint8_t *data, size_t size)
{
    struct error too_long;
    while (size > 0) {
        const uint8_t *newline = memchr(data, '\n', size);
        const size_t part = newline ? (size_t)(newline - data) : size;
        if (!job->line_is_cut && buf_append(&job->line, data, part, &too_long) < 0)
            job->line_is_cut = true;
        if (!newline)
            return;
        take_line(job);
        job->line_is_cut = false;
        data += part + 1;
        size -= part + 1;
    }
}

/* Reads what is there from a pipe, and closes it at its end. */
static ssize_t read_pipe(int *fd, uint8_t chunk[CHUNK_BYTES])
{
    if (*fd < 0)
        return 0;
    const ssize_t size = read(*fd, chunk, CHUNK_BYTES);
    if (size == 0 || (size < 0 && errno != EAGAIN && errno != EINTR))
        own_closep(fd);
    return size > 0 ? size : 0;
}

static void read_all(struct job *job)
{
    uint8_t chunk[CHUNK_BYTES];
    struct error err;
    for (ssize_t size; (size = read_pipe(&job->log_fd, chunk)) > 0;)
        take_log(job, chunk, (size_t)size);
    for (ssize_t size; (size = read_pipe(&job->output_fd, chunk)) > 0;)
        if (buf_append(&job->output, chunk, (size_t)size, &err) < 0) {
            own_closep(&job->output_fd);
            job_cancel(job, "its result is too large", 0);
        }
}

/* Ending */

static void end_by(struct job *job, int signal_number)
{
    if (!job->ended)
        pidfd_send_signal(job->pidfd, signal_number, NULL, 0);
}

void job_cancel(struct job *job, const char *reason, int grace_ms)
{
    const int64_t kill_at_ms = clock_monotonic_ms() + grace_ms;
    if (job->canceled.kind == ERROR_NONE) {
        error_set(&job->canceled, ERROR_CANCELED, "%s", reason);
        end_by(job, SIGTERM);
    }
    if (kill_at_ms < job->kill_at_ms)
        job->kill_at_ms = kill_at_ms;
}

static void do_what_is_due(struct job *job)
{
    const int64_t now_ms = clock_monotonic_ms();
    if (now_ms >= job->deadline_ms) {
        job->deadline_ms = INT64_MAX;
        job_cancel(job, "it passed its deadline and did not end by itself", 0);
    }
    if (now_ms >= job->kill_at_ms) {
        job->kill_at_ms = INT64_MAX;
        end_by(job, SIGKILL);
    }
}

bool job_step(struct job *job)
{
    if (job->ended)
        return true;
    do_what_is_due(job);
    const bool gone = waitpid(job->pid, &job->status, WNOHANG) == job->pid;
    read_all(job); /* after its end, all that it ever said */
    if (!gone)
        return false;
    if (job->line.size > 0)
        take_line(job);
    job->ended = true;
    return true;
}

int64_t job_due_ms(const struct job *job)
{
    return job->deadline_ms < job->kill_at_ms ? job->deadline_ms : job->kill_at_ms;
}

void job_poll_fds(const struct job *job, struct pollfd ret_fds[JOB_POLL_FDS])
{
    const int fds[JOB_POLL_FDS] = {job ? job->pidfd : -1, job ? job->output_fd : -1,
                                   job ? job->log_fd : -1};
    for (size_t i = 0; i < JOB_POLL_FDS; i++)
        ret_fds[i] = (struct pollfd){.fd = fds[i], .events = POLLIN};
}

const struct job_progress *job_progress(const struct job *job)
{
    return &job->progress;
}

json_t *job_archiving(const struct job *job)
{
    return job->archiving;
}

/* Results */

/* {"error":{"kind":…,"message":…}} */
static int take_error(const struct job *job, const json_t *failure, struct error *err)
{
    const char *kind = json_string_value(json_object_get(failure, "kind"));
    const char *text = json_string_value(json_object_get(failure, "message"));
    enum error_kind known = ERROR_PERMANENT;
    for (int i = ERROR_TRANSIENT; kind && i <= ERROR_CANCELED; i++)
        if (strcmp(error_kind_name((enum error_kind)i), kind) == 0)
            known = (enum error_kind)i;
    error_set(err, known, "%s", text ? text : "failed and did not say why");
    if (job->canceled.kind != ERROR_NONE && known == ERROR_CANCELED)
        return error_set(err, ERROR_CANCELED, "%s: %s", job->canceled.text,
                         text ? text : "stopped");
    return -1;
}

static int explain_end(const struct job *job, struct error *err)
{
    if (job->canceled.kind != ERROR_NONE)
        return error_set(err, ERROR_CANCELED, "the %s was stopped: %s", job->name,
                         job->canceled.text);
    if (WIFSIGNALED(job->status))
        return error_set(err, ERROR_TRANSIENT, "the %s was killed by signal %d%s%s%s", job->name,
                         WTERMSIG(job->status),
                         WTERMSIG(job->status) == SIGKILL ? " (out of memory?)" : "",
                         job->last_line[0] ? ": " : "", job->last_line);
    return error_set(err, ERROR_PERMANENT, "the %s ended with status %d and no result%s%s",
                     job->name, WEXITSTATUS(job->status), job->last_line[0] ? ": " : "",
                     job->last_line);
}

static json_t *parse_output(const struct job *job)
{
    if (!job->ended || job->output.size == 0)
        return NULL;
    return json_loadb((const char *)job->output.data, job->output.size, JSON_REJECT_DUPLICATES,
                      NULL);
}

bool job_is_doubtful(const struct job *job)
{
    json_auto_t *output = parse_output(job);
    return !output;
}

int job_result(struct job *job, json_t **ret_result, struct error *err)
{
    json_auto_t *output = parse_output(job);
    json_t *failure = json_object_get(output, "error");
    if (!output)
        return explain_end(job, err);
    if (failure)
        return take_error(job, failure, err);
    *ret_result = TAKE(output);
    return 0;
}

void job_freep(struct job **job)
{
    struct job *j = TAKE(*job);
    if (!j)
        return;
    if (j->pid > 0 && !j->ended) {
        kill(j->pid, SIGKILL);
        while (waitpid(j->pid, &j->status, 0) < 0 && errno == EINTR)
            ;
    }
    own_closep(&j->pidfd);
    own_closep(&j->output_fd);
    own_closep(&j->log_fd);
    json_decref(j->archiving);
    buf_done(&j->output);
    buf_done(&j->line);
    free(j);
}

int job_start(struct job **ret_job, const struct job_options *options, struct error *err)
{
    CLEANUP(job_freep) struct job *job = own_alloc(sizeof(*job));
    job->name = options->name;
    job->pidfd = job->output_fd = job->log_fd = -1;
    job->output = BUF(JOB_OUTPUT_MAX);
    job->line = BUF(LINE_BYTES_MAX);
    job->kill_at_ms = INT64_MAX;
    job->deadline_ms =
        options->deadline_ms > 0 ? clock_monotonic_ms() + options->deadline_ms : INT64_MAX;
    if (start(job, options, err) < 0)
        return error_wrap(err, "start the %s", options->name);
    *ret_job = TAKE(job);
    return 0;
}
