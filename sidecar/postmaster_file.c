// SPDX-License-Identifier: Apache-2.0
#include "sidecar/postmaster_file.h"

#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/own.h"
#include "common/text.h"

enum { FILE_BYTES_MAX = 4096, LINE_START = 3, LINE_STATUS = 8 };

/* A line, counted from 1; NULL if the file does not come so far. */
static const char *find_line(const char *text, int line)
{
    for (; text && line > 1; line--) {
        text = strchr(text, '\n');
        if (text)
            text++;
    }
    return text && strchr(text, '\n') ? text : NULL;
}

struct postmaster_file postmaster_file_parse(const char *text)
{
    static const struct {
        const char *word;
        enum postmaster_status status;
    } words[] = {
        {"ready", POSTMASTER_READY},
        {"standby", POSTMASTER_STANDBY},
        {"stopping", POSTMASTER_STOPPING},
    };
    struct postmaster_file file = {.status = POSTMASTER_STARTING};
    const char *start = find_line(text, LINE_START), *status = find_line(text, LINE_STATUS);
    char *end = NULL;
    const int64_t started_s = start ? strtoll(start, &end, 10) : 0;
    if (end && end != start && *end == '\n' && started_s > 0)
        file.started_s = started_s;
    for (size_t i = 0; status && i < ARRAY_SIZE(words); i++)
        if (text_starts_with(status, words[i].word))
            file.status = words[i].status;
    return file;
}

int postmaster_file_load(int directory, const char *path, struct postmaster_file *ret_file,
                         struct error *err)
{
    CLEANUP(buf_done) struct buf content = BUF(FILE_BYTES_MAX);
    if (buf_read_file(&content, directory, path, err) < 0)
        return -1;
    CLEANUP(own_freep) char *text = buf_string(&content);
    *ret_file = postmaster_file_parse(text);
    return 0;
}
