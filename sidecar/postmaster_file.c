// SPDX-License-Identifier: Apache-2.0
#include "sidecar/postmaster_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

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

/* Whoever owns the data directory may put anything there: nothing is followed or waited for. */
static int open_file(int directory, const char *path, struct error *err)
{
    struct stat st;
    CLEANUP(own_closep)
    int fd = openat(directory, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return error_errno(err, errno, "open '%s'", path);
    if (!S_ISREG(st.st_mode))
        return error_set(err, ERROR_PERMANENT, "'%s' is no file", path);
    return TAKE_FD(fd);
}

int postmaster_file_load(int directory, const char *path, struct postmaster_file *ret_file,
                         struct error *err)
{
    char text[FILE_BYTES_MAX + 1];
    CLEANUP(own_closep) int fd = open_file(directory, path, err);
    ssize_t size = fd < 0 ? -1 : buf_pread(fd, text, FILE_BYTES_MAX, 0, err);
    if (size < 0)
        return -1;
    text[size] = '\0';
    *ret_file = postmaster_file_parse(text);
    return 0;
}
