// SPDX-License-Identifier: Apache-2.0
#include "sidecar/backup_id.h"

#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/own.h"
#include "sidecar/keys.h"

enum { TIME_BYTES = 16, WORD_BYTES = 4, DICE_BYTES = 4 };
enum { ID_BYTES = TIME_BYTES + 1 + WORD_BYTES + 1 + DICE_BYTES };

const char *const backup_type_names[] = {"full", "differential", "incremental", NULL};
const char *const backup_type_words[] = {"full", "diff", "incr"};

int backup_id_new(enum backup_type type, int64_t start_ms, char ret_id[BACKUP_ID_BYTES],
                  struct error *err)
{
    uint8_t dice[DICE_BYTES / 2];
    char time[CLOCK_TEXT_BYTES];
    if (key_random(dice, sizeof(dice), err) < 0)
        return -1;
    clock_format_basic(start_ms, time);
    snprintf(ret_id, BACKUP_ID_BYTES, "%.16s-%s-%02x%02x", time, backup_type_words[type], dice[0],
             dice[1]);
    return 0;
}

bool backup_id_parse(const char *text, enum backup_type *ret_type, int64_t *ret_start_ms)
{
    if (strlen(text) != ID_BYTES || text[TIME_BYTES] != '-' ||
        text[TIME_BYTES + 1 + WORD_BYTES] != '-' ||
        strspn(text + ID_BYTES - DICE_BYTES, "0123456789abcdef") != DICE_BYTES)
        return false;
    char time[TIME_BYTES + 1], again[CLOCK_TEXT_BYTES];
    int64_t start_ms;
    memcpy(time, text, TIME_BYTES);
    time[TIME_BYTES] = '\0';
    if (!clock_parse(time, &start_ms))
        return false;
    clock_format_basic(start_ms, again);
    if (strcmp(time, again) != 0) /* another of the forms that clock_parse reads */
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(backup_type_words); i++)
        if (memcmp(text + TIME_BYTES + 1, backup_type_words[i], WORD_BYTES) == 0) {
            *ret_type = (enum backup_type)i;
            *ret_start_ms = start_ms;
            return true;
        }
    return false;
}
