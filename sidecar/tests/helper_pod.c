// SPDX-License-Identifier: Apache-2.0
#include "sidecar/tests/helper_pod.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/own.h"
#include "common/tests/helper_directory.h"

enum { PATH_BYTES = 4096, PROCESS_BYTES = 512, PATIENCE_MS = 60000, TICK_US = 20000 };

static const char user_key[] = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n";

static char *find_program(void)
{
    char path[PATH_BYTES];
    const ssize_t size = readlink("/proc/self/exe", path, sizeof(path) - 1);
    assert_true(size > 0);
    path[size] = '\0';
    *strrchr(path, '/') = '\0';
    return own_format("%s/lifeboat-sidecar", path);
}

static void make_directory(const struct helper_pod *pod, const char *name)
{
    CLEANUP(own_freep) char *path = own_format("%s/%s", pod->directory, name);
    assert_return_code(mkdir(path, 0700), 0);
}

static void write_version(const struct helper_pod *pod, const char *version, const char *name,
                          const char *text)
{
    CLEANUP(own_freep) char *path = own_format("config/%s/%s", version, name);
    CLEANUP(own_freep) char *link = own_format("%s/%s", pod->config, name);
    CLEANUP(own_freep) char *target = own_format("..data/%s", name);
    unlink(link);
    if (!text)
        return;
    helper_directory_write(pod->directory, path, text);
    assert_return_code(symlink(target, link), 0);
}

void helper_pod_configure(struct helper_pod *pod, const char *policy, const char *endpoint,
                          const char *ca)
{
    CLEANUP(own_freep) char *version = own_format("..version_%u", pod->versions++);
    CLEANUP(own_freep) char *directory = own_format("%s/%s", pod->config, version);
    CLEANUP(own_freep) char *link = own_format("%s/..data", pod->config);
    CLEANUP(own_freep) char *next = own_format("%s/..data_next", pod->config);
    assert_return_code(mkdir(directory, 0700), 0);
    write_version(pod, version, "policy.yaml", policy);
    write_version(pod, version, "endpoint", endpoint);
    write_version(pod, version, "ca.crt", ca);
    assert_return_code(symlink(version, next), 0);
    assert_return_code(rename(next, link), 0);
}

void helper_pod_add_secret(struct helper_pod *pod)
{
    helper_directory_write(pod->directory, "secrets/k1", user_key);
}

char *helper_pod_policy_text(const struct helper_pod *pod, const struct helper_pod_policy *policy)
{
    CLEANUP(own_freep) char *second = own_strdup("");
    if (policy->second_region) {
        free(second);
        second = own_format(", {name: us, file: {path: %s%s%s}}",
                            policy->second_region[0] == '/' ? "" : pod->directory,
                            policy->second_region[0] == '/' ? "" : "/", policy->second_region);
    }
    CLEANUP(own_freep)
    char *limits = policy->read_bytes_per_second == 0
                       ? own_strdup("")
                       : own_format("  limits: {readBytesPerSecond: %" PRIu64 "}\n",
                                    policy->read_bytes_per_second);
    return own_format("apiVersion: lifeboat.dev/v1alpha1\n"
                      "kind: BackupPolicy\n"
                      "metadata: {name: shop, namespace: web, uid: uid-1, generation: %" PRId64
                      "}\n"
                      "spec:\n"
                      "  connection: {port: %s, user: lifeboat}\n"
                      "  encryption: {keys: [k1]}\n"
                      "%s%s"
                      "  parallelism: {workers: 1, uploads: 1}\n"
                      "  quorum: 1\n"
                      "  regions: [{name: eu, file: {path: %s/eu}}%s]\n",
                      policy->generation, policy->port ? policy->port : "5432", limits,
                      policy->more ? policy->more : "", pod->directory, second);
}

char *helper_pod_backup_id(const char *word, unsigned dice)
{
    char time[CLOCK_TEXT_BYTES];
    clock_format_basic(clock_now_ms(), time);
    return own_format("%s-%s-%04x", time, word, dice);
}

void helper_pod_close(struct helper_pod *pod)
{
    helper_directory_remove(pod->directory);
    own_freep(&pod->config);
    own_freep(&pod->secrets);
    own_freep(&pod->policy);
    own_freep(&pod->program);
}

void helper_pod_open(struct helper_pod *pod)
{
    *pod = (struct helper_pod){.directory = helper_directory_new()};
    pod->config = own_format("%s/config", pod->directory);
    pod->secrets = own_format("%s/secrets", pod->directory);
    pod->policy = own_format("%s/policy.yaml", pod->config);
    pod->program = find_program();
    make_directory(pod, "config");
    make_directory(pod, "secrets");
    make_directory(pod, "eu");
    make_directory(pod, "us");
}

/* Of the text of "/proc/<pid>/<name>"; bytes after it are zero. false: the process is gone. */
static bool read_process(pid_t pid, const char *name, char ret_text[PROCESS_BYTES])
{
    CLEANUP(own_freep) char *path = own_format("/proc/%d/%s", (int)pid, name);
    CLEANUP(own_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    memset(ret_text, 0, PROCESS_BYTES);
    return fd >= 0 && read(fd, ret_text, PROCESS_BYTES - 2) > 0;
}

/* "<pid> (<name>) S <parent> …" */
static bool is_child(pid_t pid)
{
    char text[PROCESS_BYTES];
    const char *name_end = read_process(pid, "stat", text) ? strrchr(text, ')') : NULL;
    return name_end && strtol(name_end + strlen(") S "), NULL, 10) == getpid();
}

static bool is_called_with(pid_t pid, const char *command)
{
    char text[PROCESS_BYTES]; /* words, each with its NUL */
    return read_process(pid, "cmdline", text) && strcmp(text + strlen(text) + 1, command) == 0;
}

static pid_t look_for_job(const char *command)
{
    DIR *all = opendir("/proc");
    pid_t found = 0;
    assert_non_null(all);
    for (const struct dirent *entry; !found && (entry = readdir(all));) {
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
        if (pid > 0 && is_child(pid) && is_called_with(pid, command))
            found = pid;
    }
    closedir(all);
    return found;
}

pid_t helper_pod_find_job(const char *command)
{
    const int64_t until_ms = clock_monotonic_ms() + PATIENCE_MS;
    while (clock_monotonic_ms() < until_ms) {
        pid_t found = look_for_job(command);
        if (found)
            return found;
        usleep(TICK_US);
    }
    fail_msg("no job '%s'", command);
    return 0;
}
