// SPDX-License-Identifier: Apache-2.0
#include "sidecar/restore_sweep.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/own.h"
#include "sidecar/entry.h"
#include "sidecar/restore_config.h"
#include "sidecar/restore_marker.h"
#include "sidecar/restore_plan.h"
#include "sidecar/source_name.h"

enum { DEPTH_MAX = 32 }; /* of directories; PostgreSQL needs five */

/* What initdb and the server make at the top of a data directory and a backup may lack; patterns of
 * source_name_after. */
static const char *const own_directories[] = {"base", "global", "log", "pg_*"};
static const char *const own_files[] = {"PG_VERSION", "current_logfiles", "core", "core.#"};

struct survey {
    struct target *target;
    const struct restore_plan *plan;
    struct restore_sweep sweep;
    bool dropping;  /* everything below the directory goes */
    unsigned depth; /* of the directory: 0 at the top */
};

static int refuse(const struct survey *survey, const struct target_item *item, const char *what,
                  struct error *err)
{
    return error_set(err, ERROR_CONFLICT,
                     "'%s' in '%s' %s: move it away, or restore into an empty directory",
                     item->path, target_path(survey->target), what);
}

static void add(struct survey *survey, const struct target_item *item)
{
    struct restore_sweep *sweep = &survey->sweep;
    if ((sweep->count & (sweep->count - 1)) == 0)
        sweep->items =
            own_resize(sweep->items, sweep->count ? 2 * sweep->count : 1, sizeof(sweep->items[0]));
    sweep->items[sweep->count++] =
        (struct restore_sweep_item){.path = own_strdup(item->path), .kind = item->kind};
}

static bool is_kept_aside(const char *path)
{
    if (strcmp(path, RESTORE_MARKER_PATH) == 0)
        return true;
    for (size_t i = 0; i < RESTORE_CONFIG_FILES; i++)
        if (strcmp(path, restore_config_paths[i]) == 0)
            return true; /* the source kept its own elsewhere: so the target's may stay */
    return false;
}

static bool is_one_of(const char *name, const char *const *patterns, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *rest = source_name_after(name, patterns[i]);
        if (rest && *rest == '\0')
            return true;
    }
    return false;
}

/* Whether it may be removed although the backup does not know it. */
static bool is_postgresql_own(const char *path, bool is_directory)
{
    if (strcmp(path, target_unfinished) == 0 ||
        source_name_of(path, is_directory).class == SOURCE_SKIP)
        return true;
    if (is_directory)
        return is_one_of(path, own_directories, ARRAY_SIZE(own_directories));
    return is_one_of(path, own_files, ARRAY_SIZE(own_files));
}

static int look_at(void *arg, const struct target_item *item, struct error *err);

static int descend(struct survey *survey, const struct target_item *item, bool dropping,
                   struct error *err)
{
    const bool before = survey->dropping;
    if (survey->depth == DEPTH_MAX)
        return refuse(survey, item, "lies too deep for PostgreSQL", err);
    survey->dropping = before || dropping;
    survey->depth++;
    int result = target_list(survey->target, item->path, look_at, survey, err);
    survey->depth--;
    survey->dropping = before;
    return result;
}

static int drop(struct survey *survey, const struct target_item *item, struct error *err)
{
    const bool is_directory = item->kind == TARGET_DIRECTORY;
    if (survey->depth == 0 && !is_postgresql_own(item->path, is_directory))
        return refuse(survey, item, "is neither PostgreSQL's nor in the backup", err);
    if (is_directory && descend(survey, item, true, err) < 0)
        return -1;
    add(survey, item);
    return 0;
}

static int look_at_link(struct survey *survey, const struct target_item *item, struct error *err)
{
    const struct entry *entry = restore_plan_directory(survey->plan, item->path);
    const char *rest = source_name_after(item->path, "pg_tblspc/#");
    if (!rest || *rest != '\0')
        return refuse(survey, item, "is a symbolic link", err);
    if (entry && entry->type == ENTRY_LINK && target_link_fits(survey->target, item->path))
        return descend(survey, item, false, err);
    add(survey, item); /* the link; what it leads to is none of our business */
    return 0;
}

/* At the location of a tablespace other clusters may have their directories too. */
static bool is_foreign_tablespace(const struct survey *survey, const struct target_item *item)
{
    const char *rest = source_name_after(item->path, "pg_tblspc/#/*");
    return !survey->dropping && rest && *rest == '\0';
}

/* Whether a file may stay for now: it will be made what it must be. */
static bool stays(const struct survey *survey, const struct target_item *item)
{
    if (restore_plan_file(survey->plan, item->path))
        return item->writable; /* or it would change under another name too */
    return is_kept_aside(item->path);
}

static int look_at(void *arg, const struct target_item *item, struct error *err)
{
    struct survey *survey = arg;
    const struct entry *entry = restore_plan_directory(survey->plan, item->path);
    if (item->mount)
        return refuse(survey, item, "is on another file system", err);
    if (item->kind == TARGET_LINK)
        return look_at_link(survey, item, err);
    if (item->kind == TARGET_OTHER && source_name_of(item->path, false).class != SOURCE_SKIP)
        return refuse(survey, item, "is no file", err);
    if (item->kind == TARGET_DIRECTORY && entry && entry->type == ENTRY_DIRECTORY)
        return descend(survey, item, false, err);
    if (item->kind == TARGET_FILE && stays(survey, item))
        return 0;
    if (item->kind == TARGET_FILE && restore_plan_file(survey->plan, item->path)) {
        add(survey, item);
        return 0;
    }
    if (is_foreign_tablespace(survey, item))
        return refuse(survey, item, "is not of the backup's database", err);
    return drop(survey, item, err);
}

int restore_sweep_remove(const struct restore_sweep *sweep, struct target *target,
                         struct error *err)
{
    for (size_t i = 0; i < sweep->count; i++)
        if (target_remove(target, sweep->items[i].path, sweep->items[i].kind, err) < 0)
            return -1;
    return 0;
}

void restore_sweep_done(struct restore_sweep *sweep)
{
    for (size_t i = 0; i < sweep->count; i++)
        own_freep(&sweep->items[i].path);
    own_freep(&sweep->items);
    sweep->count = 0;
}

int restore_sweep_survey(struct restore_sweep *ret_sweep, struct target *target,
                         const struct restore_plan *plan, struct error *err)
{
    struct survey survey = {.target = target, .plan = plan};
    if (target_list(target, "", look_at, &survey, err) < 0) {
        restore_sweep_done(&survey.sweep);
        return -1;
    }
    *ret_sweep = survey.sweep;
    return 0;
}
