// SPDX-License-Identifier: Apache-2.0
#include "sidecar/findings.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/own.h"

enum { TEXT_MAX = 600 };

struct kept {
    struct finding *findings;
    size_t count;
    uint64_t total;
};

struct findings {
    pthread_mutex_t lock;
    struct kept wrong, notes;
};

static const char *const kind_names[FINDING_KINDS] = {
    [FINDING_UNREADABLE] = "unreadable",
    [FINDING_MISSING] = "missing",
    [FINDING_DAMAGED] = "damaged",
    [FINDING_INCONSISTENT] = "inconsistent",
    [FINDING_PAGE] = "page",
    [FINDING_GAP] = "gap",
    [FINDING_ROLLBACK] = "rollback",
    [FINDING_ORPHAN] = "orphan",
};

enum finding_kind finding_kind_of(const struct error *err)
{
    if (err->kind == ERROR_NOT_FOUND)
        return FINDING_MISSING;
    return err->kind == ERROR_CORRUPT ? FINDING_DAMAGED : FINDING_UNREADABLE;
}

const char *finding_kind_name(enum finding_kind kind)
{
    return kind_names[kind];
}

void findings_add(struct findings *findings, const struct finding *finding, const char *format, ...)
{
    char text[TEXT_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    pthread_mutex_lock(&findings->lock);
    struct kept *kept = finding->note ? &findings->notes : &findings->wrong;
    kept->total++;
    if (kept->count < FINDINGS_KEPT_MAX) {
        struct finding *copy = &kept->findings[kept->count++];
        *copy = *finding;
        copy->region = own_strdup(finding->region);
        copy->backup = own_strdup(finding->backup);
        copy->object = own_strdup(finding->object);
        copy->file = own_strdup(finding->file);
        copy->text = own_strdup(text);
    }
    pthread_mutex_unlock(&findings->lock);
}

uint64_t findings_get(const struct findings *findings, bool notes, const struct finding **ret_kept,
                      size_t *ret_count)
{
    const struct kept *kept = notes ? &findings->notes : &findings->wrong;
    *ret_kept = kept->findings;
    *ret_count = kept->count;
    return kept->total;
}

static void kept_done(struct kept *kept)
{
    for (size_t i = 0; i < kept->count; i++) {
        const struct finding *finding = &kept->findings[i];
        const char *const texts[] = {finding->region, finding->backup, finding->object,
                                     finding->file, finding->text};
        for (size_t j = 0; j < ARRAY_SIZE(texts); j++) {
            void *owned;
            __builtin_memcpy(&owned, &texts[j], sizeof(owned)); /* without the const */
            free(owned);
        }
    }
    free(kept->findings);
}

void findings_freep(struct findings **findings)
{
    struct findings *f = TAKE(*findings);
    if (!f)
        return;
    kept_done(&f->wrong);
    kept_done(&f->notes);
    pthread_mutex_destroy(&f->lock);
    free(f);
}

struct findings *findings_new(void)
{
    struct findings *findings = own_alloc(sizeof(*findings));
    pthread_mutex_init(&findings->lock, NULL);
    findings->wrong.findings = own_alloc(FINDINGS_KEPT_MAX * sizeof(struct finding));
    findings->notes.findings = own_alloc(FINDINGS_KEPT_MAX * sizeof(struct finding));
    return findings;
}
