// SPDX-License-Identifier: Apache-2.0
#include "sidecar/source_name.h"

#include <stdlib.h>
#include <string.h>

#include "common/own.h"
#include "common/text.h"

/* In PGDATA itself. */
static const char *const left_out[] = {
    "backup_label",         "backup_label.old", "tablespace_map",  "tablespace_map.old",
    "backup_manifest",      "postmaster.pid",   "postmaster.opts", "postgresql.auto.conf.tmp",
    "current_logfiles.tmp", "standby.signal",   "recovery.signal",
};

/* Directories whose content a server makes anew, or that the WAL of the backup fills. */
static const char *const contentless[] = {
    "pg_wal",      "pg_wal/archive_status", "pg_wal/summaries",
    "pg_replslot", "pg_dynshmem",           "pg_notify",
    "pg_serial",   "pg_snapshots",          "pg_stat_tmp",
    "pg_subtrans",
};

static bool is_one_of(const char *name, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

const char *source_name_after(const char *text, const char *pattern)
{
    for (; *pattern != '\0'; pattern++) {
        size_t length = *pattern == '#'   ? strspn(text, "0123456789")
                        : *pattern == '*' ? strcspn(text, "/")
                                          : *text == *pattern;
        if (length == 0)
            return NULL;
        text += length;
    }
    return text;
}

/* The file name of a path in a directory of relations, or NULL. */
static const char *relation_name(const char *path)
{
    static const char *const directories[] = {"global/", "base/#/", "pg_tblspc/#/*/#/"};
    for (size_t i = 0; i < ARRAY_SIZE(directories); i++) {
        const char *name = source_name_after(path, directories[i]);
        if (name && !strchr(name, '/'))
            return name;
    }
    return NULL;
}

/* "16384", "16384_fsm", "16384.1", "16384_vm.1" … (common/relpath.c, storage/file/reinit.c);
 * false: the name is no relation's. */
static bool parse_relation(const char *name, struct source_name *ret_name)
{
    static const struct {
        const char *suffix;
        enum source_class class;
    } forks[] = {
        {"_fsm", SOURCE_RELATION_AUX},
        {"_vm", SOURCE_RELATION_AUX},
        {"_init", SOURCE_RELATION_INIT},
    };
    const char *rest = source_name_after(name, "#");
    if (!rest || *name == '0')
        return false;
    struct source_name result = {.class = SOURCE_RELATION, .relfilenode = strtoull(name, NULL, 10)};
    for (size_t i = 0; i < ARRAY_SIZE(forks); i++)
        if (text_starts_with(rest, forks[i].suffix)) {
            result.class = forks[i].class;
            rest += strlen(forks[i].suffix);
            break;
        }
    if (*rest == '.' && rest[1] != '0') {
        unsigned long segment = strtoul(rest + 1, NULL, 10);
        rest = source_name_after(rest, ".#");
        if (!rest || segment > UINT32_MAX)
            return false;
        result.segment = (uint32_t)segment;
    }
    if (*rest != '\0' || result.relfilenode > UINT32_MAX)
        return false;
    *ret_name = result;
    return true;
}

/* "t3_16384" and its forks and segments: temporary, gone with its session. */
static bool is_temporary(const char *name)
{
    struct source_name unused;
    const char *rest = source_name_after(name, "t#_");
    return rest && parse_relation(rest, &unused);
}

static bool is_left_out(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    return is_one_of(path, left_out, ARRAY_SIZE(left_out)) || text_starts_with(name, "pgsql_tmp") ||
           text_starts_with(name, "pg_internal.init") || text_starts_with(path, ".s.PGSQL.");
}

/* In a directory of contentless, but none of them itself. */
static bool is_content(const char *path)
{
    for (size_t i = 0; i < ARRAY_SIZE(contentless); i++) {
        const char *rest = source_name_after(path, contentless[i]);
        if (rest && *rest == '/')
            return true;
    }
    return false;
}

struct source_name source_name_of(const char *path, bool is_directory)
{
    struct source_name name = {.class = SOURCE_PLAIN};
    if (is_one_of(path, contentless, ARRAY_SIZE(contentless)))
        return (struct source_name){.class = is_directory ? SOURCE_SKIP_CONTENT : SOURCE_SKIP};
    if (is_left_out(path) || is_content(path))
        return (struct source_name){.class = SOURCE_SKIP};
    if (is_directory)
        return name;
    if (strcmp(path, "global/pg_control") == 0)
        return (struct source_name){.class = SOURCE_CONTROL};
    const char *relation = relation_name(path);
    if (relation && is_temporary(relation))
        return (struct source_name){.class = SOURCE_SKIP};
    if (relation)
        parse_relation(relation, &name);
    return name;
}
