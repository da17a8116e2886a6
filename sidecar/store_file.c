// SPDX-License-Identifier: Apache-2.0
#include "sidecar/store_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/openat2.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/own.h"
#include "common/text.h"
#include "sidecar/policy.h"
#include "sidecar/store.h"

/* What is being written lies here; '~' is in no name of an object. */
static const char incoming[] = "incoming~";

enum {
    DIRECTORY_MODE = 0700,
    FILE_MODE = 0600,
    LEFTOVER_SECONDS = 24 * 60 * 60, /* nobody writes so long at one object */
    TEMPORARY_BYTES = sizeof("incoming~/") + 16,
};

struct store_file {
    struct store store;
    char *path;
    int root;
    atomic_flag cleaned; /* leftovers of crashes were looked for */
    atomic_bool unsure;  /* a directory that was made may not be durable */
};

/* A listing: path holds the directory that is read, with a '/' at its end unless it is the root. */
struct walk {
    const struct store_file *store;
    const struct store_query *query;
    store_each each;
    void *arg;
    char path[STORE_NAME_MAX + 2];
};

struct found {
    char
        *name; /* of a directory with a '/' at its end, which makes the order that of whole names */
    uint64_t size;
    int64_t modified_ms;
};

struct founds {
    struct found *items;
    size_t count, capacity;
};

static struct store_file *downcast(struct store *store)
{
    return (struct store_file *)store;
}

/* Opens a path below the root, which no symbolic link can lead out of; errno tells. */
static int open_below(const struct store_file *store, const char *path, uint64_t flags)
{
    struct open_how how = {
        .flags = flags | O_CLOEXEC | O_NOFOLLOW,
        .mode = flags & O_CREAT ? FILE_MODE : 0,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    return (int)syscall(SYS_openat2, store->root, path, &how, sizeof(how));
}

/* What is needed to act on an error of the file system; the kind follows errnum, but ENOENT means
 * that a removal took a directory, empty by then, from under us. */
static int file_error(const struct store_file *store, int errnum, const char *action,
                      struct error *err)
{
    error_errno(err, errnum, "%s below '%s'", action, store->path);
    if (errnum == ENOSPC || errnum == EDQUOT) {
        struct error plain = *err;
        error_set(err, plain.kind, "%s; free some space there", plain.text);
    }
    if (errnum == ENOENT)
        err->kind = ERROR_TRANSIENT;
    return -1;
}

/* fsync(2) of a directory; file systems that have no such thing say EINVAL. */
static int sync_directory(int directory)
{
    return fsync(directory) < 0 && errno != EINVAL ? -1 : 0;
}

/* The last part of a name, and its length before that. */
static const char *last_part(const char *name, size_t *ret_size_before)
{
    const char *slash = strrchr(name, '/');
    *ret_size_before = slash ? (size_t)(slash - name) : 0;
    return slash ? slash + 1 : name;
}

static int open_directory(const struct store_file *store, const char *path, size_t size)
{
    char text[STORE_NAME_MAX + 1] = ".";
    if (size > 0)
        snprintf(text, sizeof(text), "%.*s", (int)size, path);
    return open_below(store, text, O_RDONLY | O_DIRECTORY);
}

/* Makes a directory durable, or sure that it is: after a failure nobody knows which of those that
 * are there already are. */
static int make_directory(struct store_file *store, int parent, const char *name)
{
    const bool made = mkdirat(parent, name, DIRECTORY_MODE) == 0;
    if (!made && errno != EEXIST)
        return -1;
    if (!made && !atomic_load(&store->unsure))
        return 0;
    if (sync_directory(parent) == 0)
        return 0;
    atomic_store(&store->unsure, true);
    return -1;
}

/* Like mkdir -p for path[0..size), each new one durable; gives the last one opened, or errno. */
static int make_directories(struct store_file *store, const char *path, size_t size)
{
    CLEANUP(own_closep) int directory = open_directory(store, path, 0);
    for (size_t at = 0; directory >= 0 && at < size;) {
        char part[STORE_NAME_MAX + 1];
        size_t length = strcspn(path + at, "/");
        snprintf(part, sizeof(part), "%.*s", (int)length, path + at);
        if (make_directory(store, directory, part) < 0)
            return -1;
        int next = openat(directory, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        own_closep(&directory);
        directory = next;
        at += length + 1;
    }
    return TAKE_FD(directory);
}

/* Leftovers of crashes; how old they are is told by the file system's clock, not by ours. */
static void clean_incoming(struct store_file *store, int64_t now_seconds)
{
    int fd = open_below(store, incoming, O_RDONLY | O_DIRECTORY);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    if (!directory) {
        own_closep(&fd);
        return;
    }
    for (struct dirent *entry; (entry = readdir(directory));) {
        struct stat st;
        if (fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
            now_seconds - st.st_mtime > LEFTOVER_SECONDS)
            unlinkat(fd, entry->d_name, 0);
    }
    closedir(directory);
}

static int write_all(struct store_file *store, int fd, const struct store_bytes *bytes,
                     struct error *err)
{
    const uint8_t *data = bytes->data;
    for (size_t done = 0, part; done < bytes->size; done += part) {
        part = bytes->size - done;
        if (throttle_wait(&store->store.put_limit, &part, store->store.cancel, err) < 0)
            return -1;
        if (buf_pwrite(fd, data + done, part, done, err) < 0)
            return file_error(store, errno, "write", err);
    }
    return 0;
}

static int read_all(struct store_file *store, int fd, uint64_t offset, size_t size,
                    struct buf *data, struct error *err)
{
    uint8_t *space;
    if (buf_reserve(data, size, &space, err) < 0)
        return -1;
    for (size_t done = 0, part; done < size; done += part) {
        part = size - done;
        if (throttle_wait(&store->store.get_limit, &part, store->store.cancel, err) < 0)
            return -1;
        ssize_t got = buf_pread(fd, space + done, part, offset + done, err);
        if (got < 0)
            return -1;
        data->size += (size_t)got;
        if ((size_t)got < part)
            break;
    }
    return 0;
}

static int fill(struct store_file *store, int fd, const struct store_bytes *bytes,
                struct error *err)
{
    struct stat st;
    if (write_all(store, fd, bytes, err) < 0)
        return -1;
    if (fsync(fd) < 0)
        return file_error(store, errno, "fsync", err);
    if (!atomic_flag_test_and_set(&store->cleaned) && fstat(fd, &st) == 0)
        clean_incoming(store, st.st_mtime);
    return 0;
}

/* Writes the bytes under a name that is nobody's, durably. */
static int write_incoming(struct store_file *store, const struct store_bytes *bytes,
                          char ret_path[TEMPORARY_BYTES], struct error *err)
{
    uint64_t random;
    if (getrandom(&random, sizeof(random), 0) != sizeof(random))
        return error_errno(err, errno, "getrandom");
    snprintf(ret_path, TEMPORARY_BYTES, "%s/%016" PRIx64, incoming, random);
    if (mkdirat(store->root, incoming, DIRECTORY_MODE) < 0 && errno != EEXIST)
        return file_error(store, errno, "make a directory", err);
    CLEANUP(own_closep) int fd = open_below(store, ret_path, O_WRONLY | O_CREAT | O_EXCL);
    if (fd < 0)
        return file_error(store, errno, "create a file", err);
    if (fill(store, fd, bytes, err) == 0)
        return 0;
    unlinkat(store->root, ret_path, 0);
    return -1;
}

/* Moves without replacing: rename, or a second link where that cannot be had (NFS); 0 or errno. */
static int move(const struct store_file *store, const char *path, int directory, const char *file)
{
    if (renameat2(store->root, path, directory, file, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP)
        return errno;
    if (linkat(store->root, path, directory, file, 0) < 0)
        return errno;
    unlinkat(store->root, path, 0);
    return 0;
}

static int give_name(struct store_file *store, const char *path, const char *name,
                     struct error *err)
{
    size_t size;
    const char *file = last_part(name, &size);
    CLEANUP(own_closep) int directory = make_directories(store, name, size);
    int errnum = directory < 0 ? errno : move(store, path, directory, file);
    if (errnum == EEXIST)
        return error_set(err, ERROR_CONFLICT, "the object exists already");
    if (errnum == 0 && sync_directory(directory) < 0) {
        errnum = errno;
        unlinkat(directory, file, 0); /* or the next attempt would take it for durable */
    }
    return errnum == 0 ? 0 : file_error(store, errnum, "name the object", err);
}

static int file_put(struct store *base, const char *name, const struct store_bytes *bytes,
                    struct error *err)
{
    struct store_file *store = downcast(base);
    char path[TEMPORARY_BYTES];
    if (write_incoming(store, bytes, path, err) < 0)
        return -1;
    if (give_name(store, path, name, err) == 0)
        return 0;
    unlinkat(store->root, path, 0);
    return -1;
}

static int file_get(struct store *base, const char *name, uint64_t offset, uint64_t size,
                    struct buf *data, struct error *err)
{
    struct store_file *store = downcast(base);
    CLEANUP(own_closep) int fd = open_below(store, name, O_RDONLY | O_NONBLOCK);
    struct stat st;
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return error_set(err, ERROR_NOT_FOUND, "no such object");
    if (fd < 0 || fstat(fd, &st) < 0)
        return file_error(store, errno, "open", err);
    if (!S_ISREG(st.st_mode))
        return error_set(err, ERROR_NOT_FOUND, "no such object, but a directory or the like");
    uint64_t left = offset < (uint64_t)st.st_size ? (uint64_t)st.st_size - offset : 0;
    size_t wanted = size < left ? size : left;
    return wanted == 0 ? 0 : read_all(store, fd, offset, wanted, data, err);
}

/* Directories that a removal leaves empty go too: in a bucket there are none. */
static void prune_directories(const struct store_file *store, const char *name)
{
    char path[STORE_NAME_MAX + 1];
    size_t size;
    last_part(name, &size);
    while (size > 0) {
        snprintf(path, sizeof(path), "%.*s", (int)size, name);
        const char *part = last_part(path, &size);
        CLEANUP(own_closep) int parent = open_directory(store, path, size);
        if (parent < 0 || unlinkat(parent, part, AT_REMOVEDIR) < 0)
            return;
    }
}

static int file_remove(struct store *base, const char *name, struct error *err)
{
    struct store_file *store = downcast(base);
    size_t size;
    const char *file = last_part(name, &size);
    CLEANUP(own_closep) int directory = open_directory(store, name, size);
    bool gone = directory >= 0 && unlinkat(directory, file, 0) == 0;
    if (!gone && (errno == ENOENT || errno == ENOTDIR || errno == EISDIR))
        return 0;
    if (!gone || sync_directory(directory) < 0)
        return file_error(store, errno, "remove", err);
    prune_directories(store, name);
    return 0;
}

static void done_founds(struct founds *founds)
{
    for (size_t i = 0; i < founds->count; i++)
        free(founds->items[i].name);
    free(founds->items);
}

static void closep_directory(DIR **directory)
{
    if (*directory)
        closedir(*directory);
}

static int compare_founds(const void *a, const void *b)
{
    return strcmp(((const struct found *)a)->name, ((const struct found *)b)->name);
}

static bool is_dot(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static void add_found(struct founds *founds, int directory, const char *name)
{
    struct stat st;
    if (is_dot(name) || fstatat(directory, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
        !(S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)))
        return; /* removed by now, or none of ours */
    if (founds->count == founds->capacity) {
        founds->capacity = founds->capacity ? 2 * founds->capacity : 64;
        founds->items = own_resize(founds->items, founds->capacity, sizeof(*founds->items));
    }
    founds->items[founds->count++] = (struct found){
        .name = own_format("%s%s", name, S_ISDIR(st.st_mode) ? "/" : ""),
        .size = (uint64_t)st.st_size,
        .modified_ms = (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000,
    };
}

/* Never TRANSIENT: see file_list. */
static int list_error(const struct walk *walk, int errnum, struct error *err)
{
    file_error(walk->store, errnum, "list", err);
    err->kind = ERROR_PERMANENT;
    return -1;
}

/* What of a directory's entries starts with filter, sorted. A directory that is gone has none. */
static int read_directory(const struct walk *walk, const char *filter, struct founds *founds,
                          struct error *err)
{
    int fd = open_directory(walk->store, walk->path, strlen(walk->path));
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return 0;
    CLEANUP(closep_directory) DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    if (!directory) {
        list_error(walk, errno, err);
        own_closep(&fd);
        return -1;
    }
    struct dirent *entry;
    for (errno = 0; (entry = readdir(directory)); errno = 0) {
        if (text_starts_with(entry->d_name, filter))
            add_found(founds, fd, entry->d_name);
    }
    if (errno != 0)
        return list_error(walk, errno, err);
    if (founds->count > 1)
        qsort(founds->items, founds->count, sizeof(*founds->items), compare_founds);
    return 0;
}

/* Directories that a crash left empty are no prefixes. */
static bool holds_something(const struct walk *walk)
{
    int fd = open_directory(walk->store, walk->path, strlen(walk->path));
    CLEANUP(closep_directory) DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    if (!directory) {
        own_closep(&fd);
        return false;
    }
    struct dirent *entry = readdir(directory);
    while (entry && is_dot(entry->d_name))
        entry = readdir(directory);
    return entry != NULL;
}

static int list_directory(struct walk *walk, const char *filter, struct error *err);

static int list_found(struct walk *walk, const struct found *found, struct error *err)
{
    bool directory = found->name[strlen(found->name) - 1] == '/';
    struct store_object object = {.name = walk->path};
    if (directory && walk->query->depth == STORE_DEEP)
        return list_directory(walk, "", err);
    if (directory)
        return holds_something(walk) ? walk->each(walk->arg, &object, err) : 0;
    object.size = found->size;
    object.modified_ms = found->modified_ms;
    return walk->each(walk->arg, &object, err);
}

static int list_directory(struct walk *walk, const char *filter, struct error *err)
{
    CLEANUP(done_founds) struct founds founds = {0};
    size_t size = strlen(walk->path);
    if (read_directory(walk, filter, &founds, err) < 0)
        return -1;
    for (size_t i = 0; i < founds.count; i++) {
        const char *name = founds.items[i].name;
        if (strlen(name) >= sizeof(walk->path) - size)
            continue; /* too long to be the name of an object */
        memcpy(walk->path + size, name, strlen(name) + 1);
        if (list_found(walk, &founds.items[i], err) < 0)
            return -1;
        walk->path[size] = '\0';
    }
    return 0;
}

/* All in one page. It is not read whole before it is given, so what fails is not tried again. */
static int file_list(struct store *base, struct store_query *query, store_each each, void *arg,
                     struct error *err)
{
    struct walk walk = {.store = downcast(base), .query = query, .each = each, .arg = arg};
    size_t size;
    const char *filter = last_part(query->prefix, &size);
    if (size > 0)
        memcpy(walk.path, query->prefix, size + 1); /* with the '/' */
    return list_directory(&walk, filter, err);
}

static void file_close(struct store *base)
{
    struct store_file *store = downcast(base);
    own_closep(&store->root);
    free(store->path);
    store_done(base);
    free(store);
}

int store_file_open(struct store **ret_store, const struct policy_region *region,
                    const struct cancel *cancel, struct error *err)
{
    static const struct store_driver driver = {
        .put = file_put,
        .get = file_get,
        .list = file_list,
        .remove = file_remove,
        .close = file_close,
    };
    int root = open(region->file_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0 && errno == ENOENT)
        return error_set(err, ERROR_PERMANENT,
                         "file.path: no directory '%s'; create it, or mount there what holds it",
                         region->file_path);
    if (root < 0)
        return error_errno(err, errno, "file.path: open directory '%s'", region->file_path);
    struct store_file *store = own_alloc(sizeof(*store));
    store_init(&store->store, &driver, region->name, cancel);
    store->path = own_strdup(region->file_path);
    store->root = root;
    atomic_flag_clear(&store->cleaned);
    *ret_store = &store->store;
    return 0;
}
