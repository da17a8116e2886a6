// SPDX-License-Identifier: Apache-2.0
#include "sidecar/target.h"

#include <assert.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/own.h"
#include "common/text.h"
#include "sidecar/entry.h"

enum { DIRECTORY_MODE = 0700, FILE_MODE = 0600, PERMISSION_BITS = 0777, PID_FILE_MAX = 4096 };

static const char tablespaces_prefix[] = "pg_tblspc/";

/* A directory of the machine's that a part of the backup goes to. */
struct location {
    char *prefix;    /* of the paths that go there: "" or "pg_tblspc/16385/" */
    char *path;      /* as it was named */
    char *real_path; /* without symbolic links */
    int directory;   /* locked */
};

struct target {
    struct location root;
    struct location *tablespaces;
    size_t tablespace_count;
};

static void location_done(struct location *location)
{
    own_freep(&location->prefix);
    own_freep(&location->path);
    own_freep(&location->real_path);
    own_closep(&location->directory);
}

static int fail(struct error *err, int errnum, const char *action, const char *path)
{
    switch (errnum) {
    case ELOOP:
    case EXDEV:
        return error_set(err, ERROR_PERMANENT,
                         "%s '%s': refused, a symbolic link stands in the way; nobody else may "
                         "write there during a restore",
                         action, path);
    case ENOSPC:
    case EDQUOT:
        return error_set(err, ERROR_PERMANENT,
                         "%s '%s': the volume is full; free space on it or restore to a larger one",
                         action, path);
    default:
        return error_errno(err, errnum, "%s '%s'", action, path);
    }
}

/* Opens what is below directory, whatever path says and whoever changes what lies there. */
static int open_beneath(int directory, const char *path, int flags)
{
    const mode_t mode = (flags & O_CREAT) ? FILE_MODE : 0;
    struct open_how how = {
        .flags = (unsigned)(flags | O_CLOEXEC),
        .mode = mode,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    long fd;
    do
        fd = syscall(SYS_openat2, directory, path, &how, sizeof(how));
    while (fd < 0 && errno == EINTR);
    return (int)fd;
}

/* mkdir -p for a path of the user's. */
static int make_path(const char *path, struct error *err)
{
    if (path[0] == '\0')
        return error_set(err, ERROR_PERMANENT, "the name of the directory is empty");
    CLEANUP(own_freep) char *part = own_strdup(path);
    for (char *slash = part;;) {
        slash = strchr(slash + 1, '/');
        if (slash)
            *slash = '\0';
        if (mkdir(part, DIRECTORY_MODE) < 0 && errno != EEXIST)
            return fail(err, errno, "make directory", part);
        if (!slash)
            return 0;
        *slash = '/';
    }
}

static int check_empty(const struct location *location, struct error *err)
{
    int copy = openat(location->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = copy < 0 ? NULL : fdopendir(copy);
    if (!stream) {
        int errnum = errno;
        own_closep(&copy);
        return error_errno(err, errnum, "list '%s'", location->real_path);
    }
    int result = 0;
    for (struct dirent *item; result == 0 && (item = readdir(stream));) {
        if (strcmp(item->d_name, ".") != 0 && strcmp(item->d_name, "..") != 0)
            result = error_set(err, ERROR_CONFLICT,
                               "'%s' is not empty (it has '%s'): name a new or empty directory",
                               location->real_path, item->d_name);
    }
    closedir(stream);
    return result;
}

/* Makes and opens a directory that the user named; locked as long as it is open. On failure
 * location_done frees what there is. */
static int open_location(const char *path, struct location *location, struct error *err)
{
    if (make_path(path, err) < 0)
        return -1;
    location->path = own_strdup(path);
    location->real_path = realpath(path, NULL);
    if (!location->real_path) {
        error_errno(err, errno, "resolve '%s'", path);
        return -1;
    }
    location->directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (location->directory < 0)
        return error_errno(err, errno, "open directory '%s'", path);
    if (flock(location->directory, LOCK_EX | LOCK_NB) == 0)
        return 0;
    return errno == EWOULDBLOCK
               ? error_set(err, ERROR_CONFLICT, "another restore writes to '%s'", path)
               : error_errno(err, errno, "lock '%s'", path);
}

/* A better message than "not empty" where the directory is somebody's running server. */
static int check_not_running(const struct location *location, struct error *err)
{
    CLEANUP(buf_done) struct buf content = BUF(PID_FILE_MAX);
    struct error ignored;
    if (faccessat(location->directory, "postmaster.pid", F_OK, AT_SYMLINK_NOFOLLOW) < 0)
        return 0;
    if (buf_read_file(&content, location->directory, "postmaster.pid", &ignored) < 0)
        buf_clear(&content);
    size_t digits = 0;
    while (digits < content.size && isdigit(content.data[digits]))
        digits++;
    return error_set(err, ERROR_CONFLICT,
                     "PostgreSQL (process %.*s) runs in '%s', or did and left its "
                     "postmaster.pid: name a new or empty directory",
                     (int)digits, digits > 0 ? (const char *)content.data : "",
                     location->real_path);
}

/* Also tells whether the kernel can confine us at all. */
static int check_mode(const struct location *location, struct error *err)
{
    CLEANUP(own_closep) int fd = open_beneath(location->directory, ".", O_RDONLY | O_DIRECTORY);
    if (fd < 0 && errno == ENOSYS)
        return error_set(err, ERROR_PERMANENT,
                         "this kernel has no openat2(2), without which nothing is written: "
                         "Linux 5.6 or later is needed");
    struct stat stat;
    if (fd < 0 || fstat(fd, &stat) < 0)
        return error_errno(err, errno, "open directory '%s'", location->real_path);
    mode_t mode = stat.st_mode & 07777;
    if (mode == DIRECTORY_MODE || mode == 0750)
        return 0;
    if (fchmod(fd, DIRECTORY_MODE) < 0) /* PostgreSQL refuses all others; initdb does the same */
        return error_errno(err, errno, "give '%s' the mode 0700", location->real_path);
    return 0;
}

/* Whoever could write there before may have done so since it was found empty, and cannot now. */
static int make_private(const struct location *location, struct error *err)
{
    return check_mode(location, err) < 0 ? -1 : check_empty(location, err);
}

static bool is_within(const char *path, const char *directory)
{
    size_t length = strlen(directory);
    if (strcmp(directory, "/") == 0)
        return true;
    return strncmp(path, directory, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

static int check_apart(const struct target *target, const char *path, struct error *err)
{
    for (size_t i = 0; i <= target->tablespace_count; i++) {
        const char *other = i == 0 ? target->root.real_path : target->tablespaces[i - 1].real_path;
        if (is_within(path, other) || is_within(other, path))
            return error_set(err, ERROR_CONFLICT, "'%s' and '%s' lie one inside the other", path,
                             other);
    }
    return 0;
}

/* The location that path goes to, and the rest of the path there. */
static const struct location *find_location(const struct target *target, const char **path)
{
    if (!text_starts_with(*path, tablespaces_prefix))
        return &target->root;
    for (size_t i = 0; i < target->tablespace_count; i++) {
        const char *prefix = target->tablespaces[i].prefix;
        if (text_starts_with(*path, prefix)) {
            *path += strlen(prefix);
            return &target->tablespaces[i];
        }
    }
    return &target->root;
}

/* The last part of path; the rest is its directory, or there is none. */
static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* Opens the directory that path stands in. */
static int open_parent(const struct target *target, const char *path, int *ret_directory,
                       struct error *err)
{
    const char *rest = path;
    const struct location *location = find_location(target, &rest);
    size_t length = (size_t)(last_part(rest) - rest);
    CLEANUP(own_freep) char *parent = own_format("%.*s.", (int)length, rest);
    *ret_directory = open_beneath(location->directory, parent, O_PATH | O_DIRECTORY);
    if (*ret_directory < 0)
        return fail(err, errno, "open the directory of", path);
    return 0;
}

static bool is_tablespace_path(const char *path)
{
    if (!text_starts_with(path, tablespaces_prefix))
        return false;
    const char *oid = path + strlen(tablespaces_prefix);
    return *oid != '\0' && strspn(oid, "0123456789") == strlen(oid);
}

int target_make_directory(struct target *target, const struct entry *entry, struct error *err)
{
    CLEANUP(own_closep) int parent = -1;
    const char *name = last_part(entry->path);
    if (open_parent(target, entry->path, &parent, err) < 0)
        return -1;
    if (mkdirat(parent, name, DIRECTORY_MODE) < 0)
        return fail(err, errno, "make directory", entry->path);
    CLEANUP(own_closep) int made = open_beneath(parent, name, O_RDONLY | O_DIRECTORY);
    if (made < 0 || fchmod(made, (entry->mode & PERMISSION_BITS) | DIRECTORY_MODE) < 0)
        return fail(err, errno, "set the mode of", entry->path);
    return 0;
}

static int open_tablespace(const struct target *target, const char *path, struct location *location,
                           struct error *err)
{
    if (check_apart(target, path, err) < 0 || /* by name, before it is made inside another */
        open_location(path, location, err) < 0 || check_empty(location, err) < 0 ||
        check_apart(target, location->real_path, err) < 0)
        return -1;
    return make_private(location, err);
}

int target_place_tablespace(struct target *target, const struct entry *entry, const char *location,
                            struct error *err)
{
    if (!is_tablespace_path(entry->path))
        return error_set(err, ERROR_CORRUPT, "link '%s' is not that of a tablespace", entry->path);
    if (location[0] != '/' || !entry_path_valid(location + 1))
        return error_set(err, ERROR_PERMANENT,
                         "location '%s' of tablespace '%s' is not an absolute path without '.' "
                         "and '..': choose another with --tablespace OLD=NEW",
                         location, entry->path);
    struct location placed = {.directory = -1, .prefix = own_format("%s/", entry->path)};
    if (open_tablespace(target, location, &placed, err) < 0) {
        location_done(&placed);
        return error_wrap(err, "tablespace '%s' (--tablespace OLD=NEW moves it)", entry->path);
    }
    target->tablespaces = own_resize(target->tablespaces, target->tablespace_count + 1,
                                     sizeof(target->tablespaces[0]));
    target->tablespaces[target->tablespace_count++] = placed;
    return 0;
}

int target_make_link(struct target *target, const struct entry *entry, struct error *err)
{
    CLEANUP(own_freep) char *below = own_format("%s/", entry->path);
    const char *rest = below;
    const struct location *location = find_location(target, &rest);
    assert(location != &target->root);
    CLEANUP(own_closep) int parent = -1;
    const char *name = last_part(entry->path);
    if (open_parent(target, entry->path, &parent, err) < 0)
        return -1;
    if (symlinkat(location->path, parent, name) < 0)
        return fail(err, errno, "make link", entry->path);
    return 0;
}

int target_open_file(struct target *target, const char *path, struct target_file *ret_file,
                     struct error *err)
{
    const char *rest = path;
    const struct location *location = find_location(target, &rest);
    int fd = open_beneath(location->directory, rest, O_WRONLY | O_CREAT | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return fail(err, errno, "open", path);
    *ret_file = (struct target_file){.path = path, .fd = fd};
    return 0;
}

int target_write(const struct target_file *file, const void *data, size_t size, uint64_t offset,
                 struct error *err)
{
    const uint8_t *from = data;
    for (size_t done = 0; done < size;) {
        ssize_t put = pwrite(file->fd, from + done, size - done, (off_t)(offset + done));
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return fail(err, errno, "write", file->path);
        done += (size_t)put;
    }
    return 0;
}

int target_finish(const struct target_file *file, const struct target_attributes *attributes,
                  struct error *err)
{
    if (ftruncate(file->fd, (off_t)attributes->size) < 0)
        return fail(err, errno, "set the size of", file->path);
    if (fchmod(file->fd, attributes->mode & PERMISSION_BITS) < 0)
        return fail(err, errno, "set the mode of", file->path);
    const struct timespec times[] = {{.tv_sec = attributes->mtime_s},
                                     {.tv_sec = attributes->mtime_s}};
    if (futimens(file->fd, times) < 0)
        return fail(err, errno, "set the time of", file->path);
    return 0;
}

void target_close_file(struct target_file *file)
{
    own_closep(&file->fd);
}

int target_write_file(struct target *target, const char *path,
                      const struct target_attributes *attributes, const void *data,
                      struct error *err)
{
    CLEANUP(target_close_file) struct target_file file = {.fd = -1};
    if (target_open_file(target, path, &file, err) < 0 ||
        target_write(&file, data, attributes->size, 0, err) < 0)
        return -1;
    return target_finish(&file, attributes, err);
}

int target_set_mode(struct target *target, uint32_t mode, struct error *err)
{
    if (fchmod(target->root.directory, (mode & 0750) | DIRECTORY_MODE) < 0)
        return error_errno(err, errno, "set the mode of '%s'", target->root.real_path);
    return 0;
}

int target_sync(struct target *target, struct error *err)
{
    if (syncfs(target->root.directory) < 0)
        return fail(err, errno, "write to disk", target->root.real_path);
    for (size_t i = 0; i < target->tablespace_count; i++) {
        if (syncfs(target->tablespaces[i].directory) < 0)
            return fail(err, errno, "write to disk", target->tablespaces[i].real_path);
    }
    return 0;
}

void target_closep(struct target **target)
{
    struct target *t = TAKE(*target);
    if (!t)
        return;
    for (size_t i = 0; i < t->tablespace_count; i++)
        location_done(&t->tablespaces[i]);
    free(t->tablespaces);
    location_done(&t->root);
    free(t);
}

int target_open(struct target **ret_target, const char *path, struct error *err)
{
    CLEANUP(target_closep) struct target *target = own_alloc(sizeof(*target));
    target->root.directory = -1;
    if (open_location(path, &target->root, err) < 0 || check_not_running(&target->root, err) < 0 ||
        check_empty(&target->root, err) < 0 || make_private(&target->root, err) < 0)
        return -1;
    *ret_target = TAKE(target);
    return 0;
}
