// SPDX-License-Identifier: Apache-2.0
#include "sidecar/source.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/bytes.h"
#include "common/cancel.h"
#include "common/log.h"
#include "common/own.h"
#include "sidecar/pg_control.h"

enum {
    NAMES_BYTES_MAX = 1 << 30, /* of one directory */
    TARGET_MAX = 4096,
    /* for what a running server changes in two steps */
    CONTROL_ATTEMPTS = 50,
    TABLESPACE_ATTEMPTS = 10,
    PAUSE_MS = 20,
};

enum { DIRECTORY_FLAGS = O_RDONLY | O_DIRECTORY | O_CLOEXEC };

/* Directories without which a backup is none. */
static const char *const essential[] = {
    "base",         "global",    "pg_commit_ts", "pg_logical",
    "pg_multixact", "pg_tblspc", "pg_twophase",  "pg_xact",
};

struct walk {
    struct source *source;
    const struct cancel *cancel;
    size_t file_capacity, other_capacity;
    char version[64]; /* name of this cluster's directory in a tablespace; "" until needed */
};

/* Where a tablespace lies, with this cluster's directory in it. */
struct location {
    int directory, version;
    char target[TARGET_MAX];
};

/* The relations of a directory that have an init fork, sorted. */
struct unlogged {
    uint64_t *relfilenodes;
    size_t count;
};

static bool has_vanished(int errnum)
{
    return errnum == ENOENT || errnum == ENOTDIR || errnum == ELOOP;
}

/* errnum as an error that says whom to run as. */
static int open_error(const struct source *source, const char *path, int errnum, struct error *err)
{
    struct stat st;
    if ((errnum != EACCES && errnum != EPERM) || fstat(source->pgdata, &st) < 0)
        return error_errno(err, errnum, "open '%s'", path);
    if (st.st_uid == geteuid())
        return error_set(err, ERROR_PERMANENT,
                         "open '%s': permission denied: make it readable for uid %u or remove it",
                         path, geteuid());
    return error_set(err, ERROR_PERMANENT,
                     "open '%s': permission denied for uid %u: the data directory belongs to uid "
                     "%u: run lifeboat-sidecar as that user",
                     path, geteuid(), st.st_uid);
}

static void closedirp(DIR **directory)
{
    if (*directory)
        closedir(*directory);
}

/* The names in a directory, each with its NUL, one after the other. */
static int read_names(DIR *directory, const char *path, struct buf *names, struct error *err)
{
    for (;;) {
        errno = 0;
        struct dirent *entry = readdir(directory);
        if (!entry && errno != 0 && errno != ENOENT)
            return error_errno(err, errno, "list '%s'", path);
        if (!entry)
            return 0;
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            bytes_put(names, entry->d_name, strlen(entry->d_name) + 1);
    }
}

/* path ‖ '/' ‖ name into ret_path. */
static int join(const char *path, const char *name, char ret_path[ENTRY_PATH_MAX + 1],
                struct error *err)
{
    int length =
        snprintf(ret_path, ENTRY_PATH_MAX + 1, "%s%s%s", path, *path != '\0' ? "/" : "", name);
    if (length <= ENTRY_PATH_MAX)
        return 0;
    return error_set(err, ERROR_PERMANENT,
                     "a path in the data directory is longer than %d bytes: remove '%.200s…'",
                     ENTRY_PATH_MAX, ret_path);
}

static int compare_numbers(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void location_done(struct location *location)
{
    own_closep(&location->directory);
    own_closep(&location->version);
}

static void unlogged_done(struct unlogged *unlogged)
{
    free(unlogged->relfilenodes);
}

/* Of a directory, as read_names gives them; NULL after the last one. */
static const char *first_name(const struct buf *names)
{
    return names->size > 0 ? (const char *)names->data : NULL;
}

static const char *next_name(const struct buf *names, const char *name)
{
    const char *next = name + strlen(name) + 1;
    return next < (const char *)names->data + names->size ? next : NULL;
}

static struct unlogged find_unlogged(const char *path, const struct buf *names)
{
    struct unlogged unlogged = {0};
    for (const char *name = first_name(names); name; name = next_name(names, name)) {
        char full[ENTRY_PATH_MAX + 1];
        snprintf(full, sizeof(full), "%s/%s", path, name);
        struct source_name parsed = source_name_of(full, false);
        if (parsed.class != SOURCE_RELATION_INIT)
            continue;
        unlogged.relfilenodes =
            own_resize(unlogged.relfilenodes, unlogged.count + 1, sizeof(unlogged.relfilenodes[0]));
        unlogged.relfilenodes[unlogged.count++] = parsed.relfilenode;
    }
    if (unlogged.count > 0)
        qsort(unlogged.relfilenodes, unlogged.count, sizeof(unlogged.relfilenodes[0]),
              compare_numbers);
    return unlogged;
}

static bool is_unlogged(const struct unlogged *unlogged, const struct source_name *name)
{
    bool is_main = name->class == SOURCE_RELATION || name->class == SOURCE_RELATION_AUX;
    return is_main && unlogged->count > 0 &&
           bsearch(&name->relfilenode, unlogged->relfilenodes, unlogged->count,
                   sizeof(unlogged->relfilenodes[0]), compare_numbers);
}

static void add_file(struct walk *walk, const char *path, uint64_t size,
                     const struct source_name *name)
{
    struct source *source = walk->source;
    if (source->file_count == walk->file_capacity) {
        walk->file_capacity = walk->file_capacity * 2 + 64;
        source->files = own_resize(source->files, walk->file_capacity, sizeof(source->files[0]));
    }
    source->files[source->file_count++] = (struct source_file){
        .path = arena_strdup(&source->paths, path),
        .size = size,
        .class = name->class,
        .segment = name->segment,
    };
    source->bytes += size;
}

static struct entry *add_other(struct walk *walk, enum entry_type type, const char *path,
                               const struct stat *st)
{
    struct source *source = walk->source;
    if (source->other_count == walk->other_capacity) {
        walk->other_capacity = walk->other_capacity * 2 + 64;
        source->others =
            own_resize(source->others, walk->other_capacity, sizeof(source->others[0]));
    }
    struct entry *entry = &source->others[source->other_count++];
    *entry = (struct entry){
        .path = own_strdup(path),
        .type = type,
        .mode = st->st_mode & 07777,
        .uid = st->st_uid,
        .gid = st->st_gid,
        .mtime_s = st->st_mtim.tv_sec,
    };
    return entry;
}

/* A contentless directory and those that belong into it. One that is a link elsewhere (pg_wal on a
 * volume of its own) becomes a directory with the mode of PGDATA. */
static int add_contentless(struct walk *walk, const char *path, const struct stat *st,
                           struct error *err)
{
    struct stat pgdata;
    bool is_link = S_ISLNK(st->st_mode);
    if (is_link && fstat(walk->source->pgdata, &pgdata) < 0)
        return error_errno(err, errno, "look at the data directory");
    add_other(walk, ENTRY_DIRECTORY, path, is_link ? &pgdata : st);
    if (strcmp(path, "pg_wal") != 0)
        return 0;
    if (is_link)
        add_other(walk, ENTRY_DIRECTORY, "pg_wal/archive_status", &pgdata);
    static const char *const below[] = {"pg_wal/archive_status", "pg_wal/summaries"};
    for (size_t i = 0; !is_link && i < ARRAY_SIZE(below); i++) {
        struct stat sub;
        if (fstatat(walk->source->pgdata, below[i], &sub, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISDIR(sub.st_mode))
            add_other(walk, ENTRY_DIRECTORY, below[i], &sub);
    }
    return 0;
}

static int read_control_once(const struct source *source, struct buf *content,
                             struct pg_control *ret_control, struct error *err)
{
    CLEANUP(own_closep) int fd = -1;
    uint8_t *space;
    buf_clear(content);
    if (source_open_file(source, "global/pg_control", &fd, err) < 0 ||
        buf_reserve(content, PG_CONTROL_BYTES, &space, err) < 0)
        return -1;
    ssize_t size = buf_pread(fd, space, PG_CONTROL_BYTES, 0, err);
    if (size < 0)
        return -1;
    content->size = (size_t)size;
    return pg_control_parse(content->data, content->size, ret_control, err);
}

int source_read_control(const struct source *source, const struct cancel *cancel,
                        struct buf *content, struct pg_control *ret_control, struct error *err)
{
    for (int attempt = 1;; attempt++) {
        if (read_control_once(source, content, ret_control, err) == 0)
            return 0;
        if (err->kind != ERROR_CORRUPT || attempt == CONTROL_ATTEMPTS)
            return error_wrap(err, "read 'global/pg_control'");
        if (cancel_sleep(cancel, PAUSE_MS, err) < 0)
            return -1;
    }
}

/* TABLESPACE_VERSION_DIRECTORY (common/relpath.h). */
static int load_version(struct walk *walk, struct error *err)
{
    if (walk->version[0] != '\0')
        return 0;
    CLEANUP(buf_done) struct buf major = BUF(16);
    CLEANUP(buf_done) struct buf content = BUF(PG_CONTROL_BYTES);
    struct pg_control control = {0};
    if (buf_read_file(&major, walk->source->pgdata, "PG_VERSION", err) < 0 ||
        source_read_control(walk->source, walk->cancel, &content, &control, err) < 0)
        return -1;
    CLEANUP(own_freep) char *text = buf_string(&major);
    text[strspn(text, "0123456789")] = '\0';
    snprintf(walk->version, sizeof(walk->version), "PG_%s_%u", text, control.catalog_version);
    return 0;
}

static int visit(struct walk *walk, int dir, const char *path, const char *name,
                 const struct unlogged *unlogged, struct error *err);

/* Takes fd. */
static int walk_directory(struct walk *walk, int fd, const char *path, struct error *err)
{
    CLEANUP(closedirp) DIR *directory = fdopendir(fd);
    if (!directory) {
        error_errno(err, errno, "list '%s'", path);
        close(fd);
        return -1;
    }
    CLEANUP(buf_done) struct buf names = BUF(NAMES_BYTES_MAX);
    if (read_names(directory, path, &names, err) < 0)
        return -1;
    CLEANUP(unlogged_done) struct unlogged unlogged = find_unlogged(path, &names);
    for (const char *name = first_name(&names); name; name = next_name(&names, name))
        if (visit(walk, dirfd(directory), path, name, &unlogged, err) < 0)
            return -1;
    return 0;
}

/* Below an in-place tablespace as below any other only this cluster's directory counts. */
static int is_foreign(struct walk *walk, const char *path, bool *ret_foreign, struct error *err)
{
    const char *name = source_name_after(path, "pg_tblspc/#/");
    *ret_foreign = false;
    if (!name || strchr(name, '/'))
        return 0;
    if (load_version(walk, err) < 0)
        return -1;
    *ret_foreign = strcmp(name, walk->version) != 0;
    return 0;
}

static int visit_directory(struct walk *walk, int dir, const char *path, const struct stat *st,
                           struct error *err)
{
    bool foreign;
    if (is_foreign(walk, path, &foreign, err) < 0)
        return -1;
    if (foreign)
        return 0;
    const char *slash = strrchr(path, '/');
    int fd = openat(dir, slash ? slash + 1 : path, DIRECTORY_FLAGS | O_NOFOLLOW);
    if (fd < 0)
        return has_vanished(errno) ? 0 : open_error(walk->source, path, errno, err);
    add_other(walk, ENTRY_DIRECTORY, path, st);
    return walk_directory(walk, fd, path, err);
}

/* Opens the location of a tablespace and this cluster's directory in it. DROP TABLESPACE removes
 * the directory first and the link then: what does not settle is not a drop. 1: it is gone. */
static int open_tablespace(const struct walk *walk, int dir, const char *oid,
                           struct location *ret_location, struct error *err)
{
    for (int attempt = 1;; attempt++) {
        CLEANUP(location_done) struct location location = {.directory = -1, .version = -1};
        ssize_t length = readlinkat(dir, oid, location.target, sizeof(location.target) - 1);
        if (length < 0)
            return errno == ENOENT ? 1 : error_errno(err, errno, "read link 'pg_tblspc/%s'", oid);
        location.directory = openat(dir, oid, DIRECTORY_FLAGS);
        if (location.directory >= 0)
            location.version =
                openat(location.directory, walk->version, DIRECTORY_FLAGS | O_NOFOLLOW);
        if (location.version >= 0) {
            *ret_location = location;
            location.directory = location.version = -1;
            return 0;
        }
        if (errno != ENOENT)
            return open_error(walk->source, location.target, errno, err);
        if (attempt == TABLESPACE_ATTEMPTS)
            return error_set(err, ERROR_PERMANENT,
                             "tablespace %s has no directory '%s/%s' here: mount its volume at "
                             "the same path as in the database container",
                             oid, location.target, walk->version);
        if (cancel_sleep(walk->cancel, PAUSE_MS, err) < 0)
            return -1;
    }
}

static void add_tablespace(struct source *source, const char *oid, int directory)
{
    source->tablespaces = own_resize(source->tablespaces, source->tablespace_count + 1,
                                     sizeof(source->tablespaces[0]));
    source->tablespaces[source->tablespace_count++] =
        (struct source_tablespace){.oid = own_strdup(oid), .directory = directory};
}

static int visit_tablespace(struct walk *walk, int dir, const char *path, const struct stat *st,
                            struct error *err)
{
    CLEANUP(location_done) struct location location = {.directory = -1, .version = -1};
    const char *oid = strrchr(path, '/') + 1;
    char below[ENTRY_PATH_MAX + 1];
    struct stat version;
    if (load_version(walk, err) < 0 || join(path, walk->version, below, err) < 0)
        return -1;
    int gone = open_tablespace(walk, dir, oid, &location, err);
    if (gone != 0)
        return gone < 0 ? -1 : 0;
    if (fstat(location.version, &version) < 0)
        return error_errno(err, errno, "look at '%s'", below);
    add_other(walk, ENTRY_LINK, path, st)->target = own_strdup(location.target);
    add_other(walk, ENTRY_DIRECTORY, below, &version);
    add_tablespace(walk->source, oid, TAKE_FD(location.directory));
    return walk_directory(walk, TAKE_FD(location.version), below, err);
}

static int visit_link(struct walk *walk, int dir, const char *path, const struct stat *st,
                      struct error *err)
{
    const char *rest = source_name_after(path, "pg_tblspc/#");
    if (rest && *rest == '\0')
        return visit_tablespace(walk, dir, path, st, err);
    for (size_t i = 0; i < ARRAY_SIZE(essential); i++) {
        rest = source_name_after(path, essential[i]);
        if (rest && (*rest == '\0' || *rest == '/'))
            return error_set(err, ERROR_PERMANENT,
                             "'%s' is a symbolic link: PostgreSQL supports links in the data "
                             "directory for tablespaces and pg_wal only; use a tablespace",
                             path);
    }
    log_warn("Left out a symbolic link", S("path", path));
    return 0;
}

static int visit(struct walk *walk, int dir, const char *path, const char *name,
                 const struct unlogged *unlogged, struct error *err)
{
    char full[ENTRY_PATH_MAX + 1];
    struct stat st;
    if (cancel_check(walk->cancel, err) < 0 || join(path, name, full, err) < 0)
        return -1;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return has_vanished(errno) ? 0 : open_error(walk->source, full, errno, err);
    struct source_name parsed = source_name_of(full, S_ISDIR(st.st_mode) || S_ISLNK(st.st_mode));
    if (parsed.class == SOURCE_SKIP || is_unlogged(unlogged, &parsed))
        return 0;
    if (parsed.class == SOURCE_SKIP_CONTENT)
        return add_contentless(walk, full, &st, err);
    if (S_ISDIR(st.st_mode))
        return visit_directory(walk, dir, full, &st, err);
    if (S_ISLNK(st.st_mode))
        return visit_link(walk, dir, full, &st, err);
    if (!S_ISREG(st.st_mode))
        log_warn("Left out a special file", S("path", full));
    else if (parsed.class != SOURCE_CONTROL)
        add_file(walk, full, (uint64_t)st.st_size, &parsed);
    return 0;
}

static int compare_files(const void *a, const void *b)
{
    return strcmp(((const struct source_file *)a)->path, ((const struct source_file *)b)->path);
}

static int compare_entries(const void *a, const void *b)
{
    return strcmp(((const struct entry *)a)->path, ((const struct entry *)b)->path);
}

/* Sorts and, as some file systems list a name twice while a directory changes, keeps one of each.
 */
static void sort_files(struct source *source)
{
    if (source->file_count == 0)
        return;
    qsort(source->files, source->file_count, sizeof(source->files[0]), compare_files);
    size_t kept = 1;
    for (size_t i = 1; i < source->file_count; i++) {
        struct source_file *file = &source->files[i];
        if (strcmp(file->path, source->files[kept - 1].path) != 0) {
            source->files[kept++] = *file;
            continue;
        }
        source->bytes -= file->size;
    }
    source->file_count = kept;
    source->files = own_resize(source->files, kept, sizeof(source->files[0]));
}

static void sort_others(struct source *source)
{
    if (source->other_count == 0)
        return;
    qsort(source->others, source->other_count, sizeof(source->others[0]), compare_entries);
    size_t kept = 1;
    for (size_t i = 1; i < source->other_count; i++)
        if (strcmp(source->others[i].path, source->others[kept - 1].path) != 0)
            source->others[kept++] = source->others[i];
        else
            entry_done(&source->others[i]);
    source->other_count = kept;
}

int source_open_file(const struct source *source, const char *path, int *ret_fd, struct error *err)
{
    int dir = source->pgdata;
    const char *rest = path;
    for (size_t i = 0; i < source->tablespace_count; i++) {
        const char *oid = source_name_after(path, "pg_tblspc/");
        const char *behind = oid ? source_name_after(oid, source->tablespaces[i].oid) : NULL;
        if (!behind || *behind != '/')
            continue;
        dir = source->tablespaces[i].directory;
        rest = behind + 1;
    }
    /* What became a named pipe since the walk must not make us wait. */
    struct open_how how = {.flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
    CLEANUP(own_closep) int fd = (int)syscall(SYS_openat2, dir, rest, &how, sizeof(how));
    struct stat st;
    if (fd < 0 && (has_vanished(errno) || errno == ENXIO))
        return error_set(err, ERROR_NOT_FOUND, "'%s' vanished", path);
    if (fd < 0)
        return open_error(source, path, errno, err);
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return error_set(err, ERROR_NOT_FOUND, "'%s' is not a regular file any more", path);
    *ret_fd = TAKE_FD(fd);
    return 0;
}

int source_walk(struct source *source, const struct cancel *cancel, struct error *err)
{
    struct walk walk = {.source = source, .cancel = cancel};
    int fd = openat(source->pgdata, ".", DIRECTORY_FLAGS);
    if (fd < 0)
        return open_error(source, ".", errno, err);
    if (walk_directory(&walk, fd, "", err) < 0)
        return error_wrap(err, "walk the data directory");
    sort_files(source);
    sort_others(source);
    return 0;
}

void source_done(struct source *source)
{
    own_closep(&source->pgdata);
    arena_done(&source->paths);
    for (size_t i = 0; i < source->other_count; i++)
        entry_done(&source->others[i]);
    for (size_t i = 0; i < source->tablespace_count; i++) {
        free(source->tablespaces[i].oid);
        own_closep(&source->tablespaces[i].directory);
    }
    free(source->files);
    free(source->others);
    free(source->tablespaces);
    *source = (struct source){.pgdata = -1};
}

int source_open(struct source *ret_source, const char *pgdata, struct error *err)
{
    struct stat st;
    CLEANUP(own_closep) int dir = open(pgdata, DIRECTORY_FLAGS);
    int errnum = dir < 0 ? errno : 0;
    if (dir >= 0 && faccessat(dir, "PG_VERSION", R_OK, AT_EACCESS) < 0)
        errnum = errno;
    if (errnum == EACCES && stat(pgdata, &st) == 0)
        return error_set(err, ERROR_PERMANENT,
                         "data directory '%s' belongs to uid %u and is not readable for uid %u: "
                         "run lifeboat-sidecar as uid %u",
                         pgdata, st.st_uid, geteuid(), st.st_uid);
    if (dir >= 0 && errnum == ENOENT)
        return error_set(err, ERROR_PERMANENT,
                         "'%s' is not a data directory of PostgreSQL: it has no PG_VERSION",
                         pgdata);
    if (errnum == ENOENT || errnum == ENOTDIR)
        return error_set(err, ERROR_PERMANENT,
                         "there is no data directory '%s': set --pgdata or mount it at this path",
                         pgdata);
    if (errnum != 0)
        return error_errno(err, errnum, "open data directory '%s'", pgdata);
    *ret_source = (struct source){.pgdata = TAKE_FD(dir)};
    return 0;
}
