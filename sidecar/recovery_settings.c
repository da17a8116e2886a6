// SPDX-License-Identifier: Apache-2.0
#include "sidecar/recovery_settings.h"

#include <string.h>

#include "common/own.h"

/* ALTER SYSTEM drops comments and keeps the settings, the last of each. */
static const char begin[] = "# Written by lifeboat-sidecar restore:\n";
static const char end[] = "# End of what lifeboat-sidecar restore wrote.\n";

static const char of_every_copy[] =
    "# a copy archives nowhere and follows nobody until you say so, here or by ALTER SYSTEM.\n"
    "archive_mode = 'off'\n"
    "archive_command = ''\n"
    "archive_library = ''\n"
    "archive_cleanup_command = ''\n"
    "recovery_end_command = ''\n"
    "primary_conninfo = ''\n"
    "primary_slot_name = ''\n";

static char *without_ours(const char *text)
{
    const char *from = strstr(text, begin), *to = from ? strstr(from, end) : NULL;
    if (!to)
        return own_strdup(text);
    return own_format("%.*s%s", (int)(from - text), text, to + strlen(end));
}

char *recovery_settings_apply(const char *before)
{
    CLEANUP(own_freep) char *kept = without_ours(before);
    const size_t size = strlen(kept);
    const char *line_end = size > 0 && kept[size - 1] != '\n' ? "\n" : "";
    return own_format("%s%s%s%s%s", kept, line_end, begin, of_every_copy, end);
}
