// SPDX-License-Identifier: Apache-2.0
#include "sidecar/target.h"

#include <assert.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/own.h"
#include "common/text.h"
#include "common/throttle.h"
#include "sidecar/entry.h"

enum {
    DIRECTORY_MODE = 0700,
    FILE_MODE = 0600,
    PERMISSION_BITS = 0777,
    PID_FILE_MAX = 4096,
    ZERO_BYTES = 8192,
};

#define NO_OWNER UINT32_MAX

static const char tablespaces_prefix[] = "pg_tblspc/";

const char target_unfinished[] = "lifeboat_unfinished.tmp";

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
    enum target_use use;
    uint32_t uid, gid;           /* of what is made; NO_OWNER: ours */
    struct throttle *limit;      /* of what is written; NULL: none */
    const struct cancel *cancel; /* not NULL with limit */
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

/* The next item of a directory but "." and ".."; NULL after the last. */
static const char *next_name(DIR *stream)
{
    struct dirent *item;
    do
        item = readdir(stream);
    while (item && (strcmp(item->d_name, ".") == 0 || strcmp(item->d_name, "..") == 0));
    return item ? item->d_name : NULL;
}

/* To be given to closedir; path is for messages. */
static int open_stream(int directory, const char *below, const char *path, DIR **ret_stream,
                       struct error *err)
{
    int fd = open_beneath(directory, below, O_RDONLY | O_DIRECTORY);
    *ret_stream = fd < 0 ? NULL : fdopendir(fd);
    if (*ret_stream)
        return 0;
    int errnum = errno;
    own_closep(&fd);
    return fail(err, errnum, "list", path);
}

/* What was never given its name is nothing. */
static int check_empty(const struct location *location, struct error *err)
{
    DIR *stream;
    if (open_stream(location->directory, ".", location->real_path, &stream, err) < 0)
        return -1;
    int result = 0;
    const char *name = next_name(stream);
    while (name && strcmp(name, target_unfinished) == 0)
        name = next_name(stream);
    if (name)
        result = error_set(err, ERROR_CONFLICT,
                           "'%s' is not empty (it has '%s'): name a new or empty directory",
                           location->real_path, name);
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
                     "postmaster.pid: name a new or empty directory, or, with --delta, stop it, "
                     "or remove that file if it does not run",
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

/* Who owns what was made; errors as of fail. */
static int give(const struct target *target, int fd, const char *path, struct error *err)
{
    if (target->uid != NO_OWNER && fchown(fd, target->uid, target->gid) < 0)
        return fail(err, errno, "set the owner of", path);
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

int target_make_directory(struct target *target, const struct entry *entry, struct error *err)
{
    CLEANUP(own_closep) int parent = -1;
    const char *name = last_part(entry->path);
    if (open_parent(target, entry->path, &parent, err) < 0)
        return -1;
    if (mkdirat(parent, name, DIRECTORY_MODE) < 0 &&
        (errno != EEXIST || target->use == TARGET_EMPTY))
        return fail(err, errno, "make directory", entry->path);
    CLEANUP(own_closep) int made = open_beneath(parent, name, O_RDONLY | O_DIRECTORY);
    if (made >= 0 && give(target, made, entry->path, err) < 0)
        return -1;
    if (made < 0 || fchmod(made, (entry->mode & PERMISSION_BITS) | DIRECTORY_MODE) < 0)
        return fail(err, errno, "set the mode of", entry->path);
    return 0;
}

/* Where a link of the target leads to, without further symbolic links; own_freep, NULL if there is
 * none. */
static char *follow_link(const struct target *target, const char *path)
{
    char text[ENTRY_PATH_MAX + 1];
    struct error ignored;
    CLEANUP(own_closep) int parent = -1;
    if (open_parent(target, path, &parent, &ignored) < 0)
        return NULL;
    ssize_t size = readlinkat(parent, last_part(path), text, sizeof(text));
    if (size <= 0 || size > ENTRY_PATH_MAX || text[0] != '/')
        return NULL;
    text[size] = '\0';
    return realpath(text, NULL);
}

/* A tablespace may have content only if it is that of the database which the target has. */
static int open_tablespace(const struct target *target, const char *link, const char *path,
                           struct location *location, struct error *err)
{
    CLEANUP(own_freep) char *before = follow_link(target, link);
    if (check_apart(target, path, err) < 0 || /* by name, before it is made inside another */
        open_location(path, location, err) < 0)
        return -1;
    bool is_ours = target->use == TARGET_USED && before && strcmp(before, location->real_path) == 0;
    if ((!is_ours && check_empty(location, err) < 0) ||
        check_apart(target, location->real_path, err) < 0)
        return -1;
    return is_ours ? check_mode(location, err) : make_private(location, err);
}

int target_place_tablespace(struct target *target, const struct entry *entry, const char *location,
                            struct error *err)
{
    if (!entry_is_tablespace(entry->path))
        return error_set(err, ERROR_CORRUPT, "link '%s' is not that of a tablespace", entry->path);
    if (location[0] != '/' || !entry_path_valid(location + 1))
        return error_set(err, ERROR_PERMANENT,
                         "location '%s' of tablespace '%s' is not an absolute path without '.' "
                         "and '..': choose another with --tablespace OLD=NEW",
                         location, entry->path);
    struct location placed = {.directory = -1, .prefix = own_format("%s/", entry->path)};
    if (open_tablespace(target, entry->path, location, &placed, err) < 0) {
        location_done(&placed);
        return error_wrap(err, "tablespace '%s' (--tablespace OLD=NEW moves it)", entry->path);
    }
    target->tablespaces = own_resize(target->tablespaces, target->tablespace_count + 1,
                                     sizeof(target->tablespaces[0]));
    target->tablespaces[target->tablespace_count++] = placed;
    return 0;
}

bool target_link_fits(struct target *target, const char *path)
{
    CLEANUP(own_freep) char *below = own_format("%s/", path);
    CLEANUP(own_freep) char *leads_to = follow_link(target, path);
    const char *rest = below;
    const struct location *location = find_location(target, &rest);
    return leads_to && location != &target->root && strcmp(leads_to, location->real_path) == 0;
}

int target_make_link(struct target *target, const struct entry *entry, struct error *err)
{
    CLEANUP(own_freep) char *below = own_format("%s/", entry->path);
    const char *rest = below;
    const struct location *location = find_location(target, &rest);
    assert(location != &target->root);
    if (give(target, location->directory, location->real_path, err) < 0)
        return -1;
    if (target->use == TARGET_USED && target_link_fits(target, entry->path))
        return 0;
    CLEANUP(own_closep) int parent = -1;
    const char *name = last_part(entry->path);
    if (open_parent(target, entry->path, &parent, err) < 0)
        return -1;
    if (symlinkat(location->path, parent, name) < 0)
        return fail(err, errno, "make link", entry->path);
    if (target->uid != NO_OWNER &&
        fchownat(parent, name, target->uid, target->gid, AT_SYMLINK_NOFOLLOW) < 0)
        return fail(err, errno, "set the owner of", entry->path);
    return 0;
}

static int open_file(struct target *target, const char *path, int flags,
                     struct target_file *ret_file, struct error *err)
{
    const char *rest = path;
    const struct location *location = find_location(target, &rest);
    int fd = open_beneath(location->directory, rest, flags | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return fail(err, errno, "open", path);
    *ret_file = (struct target_file){.path = path, .fd = fd, .target = target};
    return 0;
}

int target_open_file(struct target *target, const char *path, struct target_file *ret_file,
                     struct error *err)
{
    return open_file(target, path, O_WRONLY | O_CREAT, ret_file, err);
}

int target_reopen_file(struct target *target, const char *path, struct target_file *ret_file,
                       struct error *err)
{
    return open_file(target, path, O_RDWR, ret_file, err);
}

int target_pread(const struct target_file *file, void *data, size_t size, uint64_t offset,
                 struct error *err)
{
    ssize_t got = buf_pread(file->fd, data, size, offset, err);
    if (got < 0)
        return error_wrap(err, "'%s'", file->path);
    memset((uint8_t *)data + got, 0, size - (size_t)got);
    return 0;
}

int target_resize(const struct target_file *file, uint64_t size, struct error *err)
{
    if (ftruncate(file->fd, (off_t)size) < 0)
        return fail(err, errno, "set the size of", file->path);
    return 0;
}

int target_clear(const struct target_file *file, uint64_t from, uint64_t to, struct error *err)
{
    static const uint8_t zeros[ZERO_BYTES];
    if (from >= to || fallocate(file->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)from,
                                (off_t)(to - from)) == 0)
        return 0;
    if (errno != EOPNOTSUPP && errno != ENOSYS)
        return fail(err, errno, "clear a part of", file->path);
    while (from < to) {
        size_t size = to - from < sizeof(zeros) ? (size_t)(to - from) : sizeof(zeros);
        if (target_write(file, zeros, size, from, err) < 0)
            return -1;
        from += size;
    }
    return 0;
}

static int write_at(const struct target_file *file, const uint8_t *data, size_t size,
                    uint64_t offset, struct error *err)
{
    for (size_t done = 0; done < size;) {
        const size_t left = size - done;
        const size_t part = left < BUF_WRITE_BYTES_MAX ? left : BUF_WRITE_BYTES_MAX;
        ssize_t put = pwrite(file->fd, data + done, part, (off_t)(offset + done));
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return fail(err, errno, "write", file->path);
        done += (size_t)put;
    }
    return 0;
}

/* What is written slowly goes to the disk as it comes, not all at once when the kernel has gathered
 * enough. */
int target_write(const struct target_file *file, const void *data, size_t size, uint64_t offset,
                 struct error *err)
{
    struct throttle *limit = file->target->limit;
    bool is_limited = limit && limit->bytes_per_second > 0;
    const uint8_t *from = data;
    for (size_t done = 0, part; done < size; done += part) {
        part = size - done;
        if (throttle_wait(limit, &part, file->target->cancel, err) < 0 ||
            write_at(file, from + done, part, offset + done, err) < 0)
            return -1;
        if (is_limited) /* a hint: whether it is heeded does not matter to what was written */
            sync_file_range(file->fd, (off_t)(offset + done), (off_t)part, SYNC_FILE_RANGE_WRITE);
    }
    return 0;
}

int target_finish(const struct target_file *file, const struct target_attributes *attributes,
                  struct error *err)
{
    if (target_resize(file, attributes->size, err) < 0 ||
        give(file->target, file->fd, file->path, err) < 0)
        return -1;
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

int target_sync_parent(struct target *target, const char *path, struct error *err)
{
    CLEANUP(own_closep) int parent = -1;
    if (open_parent(target, path, &parent, err) < 0)
        return -1;
    CLEANUP(own_closep) int directory = open_beneath(parent, ".", O_RDONLY | O_DIRECTORY);
    if (directory < 0 || fsync(directory) < 0)
        return fail(err, errno, "write to disk the directory of", path);
    return 0;
}

int target_save_file(struct target *target, const char *path,
                     const struct target_attributes *attributes, const void *data,
                     struct error *err)
{
    CLEANUP(target_close_file) struct target_file file = {.fd = -1};
    CLEANUP(own_closep) int parent = -1;
    if (target_open_file(target, target_unfinished, &file, err) < 0 ||
        target_write(&file, data, attributes->size, 0, err) < 0 ||
        target_finish(&file, attributes, err) < 0 || open_parent(target, path, &parent, err) < 0)
        return -1;
    if (fsync(file.fd) < 0 ||
        renameat(target->root.directory, target_unfinished, parent, last_part(path)) < 0)
        return fail(err, errno, "write to disk", path);
    return target_sync_parent(target, path, err);
}

int target_read(struct target *target, const char *path, struct buf *content, struct error *err)
{
    CLEANUP(target_close_file) struct target_file file = {.fd = -1};
    struct stat stat;
    uint8_t *space;
    if (open_file(target, path, O_RDONLY, &file, err) < 0)
        return -1;
    if (fstat(file.fd, &stat) < 0)
        return fail(err, errno, "read", path);
    if (!S_ISREG(stat.st_mode))
        return error_set(err, ERROR_PERMANENT, "'%s' is no file", path);
    if (buf_reserve(content, (size_t)stat.st_size, &space, err) < 0)
        return error_wrap(err, "read '%s'", path);
    ssize_t got = buf_pread(file.fd, space, (size_t)stat.st_size, 0, err);
    if (got < 0)
        return error_wrap(err, "read '%s'", path);
    content->size += (size_t)got;
    return 0;
}

int target_remove(struct target *target, const char *path, enum target_kind kind, struct error *err)
{
    CLEANUP(own_closep) int parent = -1;
    if (open_parent(target, path, &parent, err) < 0)
        return err->kind == ERROR_NOT_FOUND ? 0 : -1;
    if (unlinkat(parent, last_part(path), kind == TARGET_DIRECTORY ? AT_REMOVEDIR : 0) < 0 &&
        errno != ENOENT)
        return fail(err, errno, "remove", path);
    return 0;
}

static struct target_item look_at(int directory, const char *name, const struct stat *parent,
                                  const struct stat *stat)
{
    struct target_item item = {.kind = TARGET_OTHER, .mount = stat->st_dev != parent->st_dev};
    if (S_ISDIR(stat->st_mode))
        item.kind = TARGET_DIRECTORY;
    else if (S_ISLNK(stat->st_mode))
        item.kind = TARGET_LINK;
    else if (S_ISREG(stat->st_mode))
        item.kind = TARGET_FILE;
    item.writable = item.kind == TARGET_FILE && stat->st_nlink == 1 &&
                    faccessat(directory, name, R_OK | W_OK, AT_EACCESS) == 0;
    return item;
}

static int list_items(DIR *stream, const char *path, target_each each, void *arg, struct error *err)
{
    struct stat parent, stat;
    if (fstat(dirfd(stream), &parent) < 0)
        return fail(err, errno, "list", path);
    for (const char *name; (name = next_name(stream));) {
        CLEANUP(own_freep) char *full = own_format("%s%s%s", path, *path ? "/" : "", name);
        if (fstatat(dirfd(stream), name, &stat, AT_SYMLINK_NOFOLLOW) < 0)
            return fail(err, errno, "look at", full);
        struct target_item item = look_at(dirfd(stream), name, &parent, &stat);
        item.path = full;
        if (each(arg, &item, err) < 0)
            return -1;
    }
    return 0;
}

int target_list(struct target *target, const char *path, target_each each, void *arg,
                struct error *err)
{
    CLEANUP(own_freep) char *below = own_format("%s/", path); /* also names a location itself */
    const char *rest = *path ? below : "";
    const struct location *location = find_location(target, &rest);
    DIR *stream;
    if (open_stream(location->directory, *rest ? rest : ".", *path ? path : location->real_path,
                    &stream, err) < 0)
        return -1;
    int result = list_items(stream, path, each, arg, err);
    closedir(stream);
    return result;
}

int target_prepare(struct target *target, uint32_t uid, uint32_t gid, struct error *err)
{
    if (geteuid() == 0) {
        target->uid = uid;
        target->gid = gid;
    }
    if (check_mode(&target->root, err) < 0)
        return -1;
    return give(target, target->root.directory, target->root.real_path, err);
}

const char *target_path(const struct target *target)
{
    return target->root.real_path;
}

int target_set_mode(struct target *target, uint32_t mode, struct error *err)
{
    if (fchmod(target->root.directory, (mode & 0750) | DIRECTORY_MODE) < 0)
        return error_errno(err, errno, "set the mode of '%s'", target->root.real_path);
    return 0;
}

int target_sync(struct target *target, struct error *err)
{
    struct stat root, other;
    if (fstat(target->root.directory, &root) < 0 || syncfs(target->root.directory) < 0)
        return fail(err, errno, "write to disk", target->root.real_path);
    for (size_t i = 0; i < target->tablespace_count; i++) {
        const struct location *location = &target->tablespaces[i];
        if (fstat(location->directory, &other) == 0 && other.st_dev == root.st_dev)
            continue;
        if (syncfs(location->directory) < 0)
            return fail(err, errno, "write to disk", location->real_path);
    }
    return 0;
}

void target_limit(struct target *target, struct throttle *limit, const struct cancel *cancel)
{
    target->limit = limit;
    target->cancel = cancel;
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

int target_open(struct target **ret_target, const char *path, enum target_use use,
                struct error *err)
{
    CLEANUP(target_closep) struct target *target = own_alloc(sizeof(*target));
    *target = (struct target){.root.directory = -1, .use = use, .uid = NO_OWNER, .gid = NO_OWNER};
    if (open_location(path, &target->root, err) < 0 || check_not_running(&target->root, err) < 0)
        return -1;
    if (use == TARGET_EMPTY &&
        (check_empty(&target->root, err) < 0 || make_private(&target->root, err) < 0))
        return -1;
    *ret_target = TAKE(target);
    return 0;
}
