// SPDX-License-Identifier: Apache-2.0
#include "sidecar/relocation.h"

#include <stdbool.h>
#include <string.h>

#include "common/buf.h"
#include "common/own.h"
#include "sidecar/entry.h"
#include "sidecar/target.h"

enum { LIST_MAX = 300 }; /* bytes of locations in a message */

/* Bytes of a path without slashes at its end. */
static size_t trimmed_length(const char *path)
{
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        length--;
    return length;
}

static bool is_same_path(const char *a, const char *b)
{
    size_t length = trimmed_length(a);
    return length == trimmed_length(b) && memcmp(a, b, length) == 0;
}

static bool is_known(const struct entry *entries, size_t count, const char *location)
{
    for (size_t i = 0; i < count; i++) {
        if (entries[i].type == ENTRY_LINK && is_same_path(entries[i].target, location))
            return true;
    }
    return false;
}

static int fail_unknown(const char *location, const struct entry *entries, size_t count,
                        struct error *err)
{
    CLEANUP(buf_done) struct buf list = BUF(LIST_MAX);
    struct error full;
    for (size_t i = 0; i < count; i++) {
        if (entries[i].type == ENTRY_LINK &&
            buf_format(&list, &full, "%s'%s'", list.size > 0 ? ", " : "", entries[i].target) < 0)
            break;
    }
    if (list.size == 0)
        return error_set(err, ERROR_PERMANENT,
                         "--tablespace '%s': the backup has no tablespaces elsewhere", location);
    return error_set(err, ERROR_PERMANENT,
                     "--tablespace '%s': the backup has no tablespace there; it has %.*s", location,
                     (int)list.size, (const char *)list.data);
}

int relocation_check(const struct target_tablespace *tablespaces, size_t count,
                     const struct entry *entries, size_t entry_count, struct error *err)
{
    for (size_t i = 0; i < count; i++) {
        const struct target_tablespace *tablespace = &tablespaces[i];
        if (!is_known(entries, entry_count, tablespace->old_location))
            return fail_unknown(tablespace->old_location, entries, entry_count, err);
        if (tablespace->new_location[0] != '/')
            return error_set(err, ERROR_PERMANENT,
                             "--tablespace '%s=%s': the new location is not an absolute path",
                             tablespace->old_location, tablespace->new_location);
        for (size_t j = 0; j < i; j++) {
            if (is_same_path(tablespaces[j].old_location, tablespace->old_location))
                return error_set(err, ERROR_PERMANENT, "--tablespace '%s' is given twice",
                                 tablespace->old_location);
        }
    }
    return 0;
}

char *relocation_find(const struct target_tablespace *tablespaces, size_t count,
                      const char *location)
{
    for (size_t i = 0; i < count; i++) {
        if (is_same_path(tablespaces[i].old_location, location)) {
            location = tablespaces[i].new_location;
            break;
        }
    }
    return own_format("%.*s", (int)trimmed_length(location), location);
}
