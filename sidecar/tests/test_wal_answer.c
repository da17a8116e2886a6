// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/own.h"
#include "sidecar/timeline.h"
#include "sidecar/wal_answer.h"

enum { MIB = 1 << 20, HISTORIES_MAX = 2, SPANS_MAX = 2 };

/* LSN of a byte of a segment of 1 MiB. */
#define AT(n, byte) ((uint64_t)(n)*MIB + (byte))

struct history_case {
    uint32_t timeline;
    const char *text;
};

/* Asked is for segment 5 of timeline 1 … */
struct answer_case {
    const char *why;
    uint32_t bytes; /* that could be had of it */
    enum error_kind got;
    bool unasked, unread, stop_at_gaps;
    struct wal_span spans[SPANS_MAX];
    struct history_case histories[HISTORIES_MAX];
    enum wal_answer_kind answer;
    const char *text; /* part of the reason */
};

static const struct answer_case cases[] = {
    {.why = "all of it is there", .bytes = MIB, .answer = WAL_CONTENT},
    {.why = "all of it is there, whatever else is not",
     .bytes = MIB,
     .unasked = true,
     .unread = true,
     .answer = WAL_CONTENT},
    {.why = "every region was asked and none has it", .got = ERROR_NOT_FOUND, .answer = WAL_NONE},
    {.why = "a region could not be asked",
     .got = ERROR_NOT_FOUND,
     .unasked = true,
     .answer = WAL_AGAIN,
     .text = "region 'us' is down"},
    {.why = "nor at a gap that is an end",
     .got = ERROR_NOT_FOUND,
     .unasked = true,
     .stop_at_gaps = true,
     .answer = WAL_AGAIN,
     .text = "region 'us' is down"},
    {.why = "it is damaged everywhere",
     .got = ERROR_CORRUPT,
     .answer = WAL_AGAIN,
     .text = "what was got"},
    {.why = "a damaged one is no gap either",
     .got = ERROR_CORRUPT,
     .stop_at_gaps = true,
     .answer = WAL_AGAIN,
     .text = "what was got"},
    {.why = "two say different things",
     .got = ERROR_CONFLICT,
     .answer = WAL_AGAIN,
     .text = "what was got"},
    {.why = "the store failed", .got = ERROR_TRANSIENT, .answer = WAL_AGAIN, .text = "what was"},
    {.why = "the store refuses us",
     .got = ERROR_PERMANENT,
     .answer = WAL_AGAIN,
     .text = "what was got"},
    {.why = "its beginning is there, and nothing behind",
     .bytes = 100,
     .got = ERROR_NOT_FOUND,
     .answer = WAL_CONTENT},
    {.why = "zeros are an end, which takes all regions",
     .bytes = 100,
     .got = ERROR_NOT_FOUND,
     .unasked = true,
     .answer = WAL_AGAIN,
     .text = "region 'us' is down"},
    {.why = "what goes on is damaged",
     .bytes = 100,
     .got = ERROR_CORRUPT,
     .answer = WAL_AGAIN,
     .text = "what was got"},
    {.why = "a gap in the segment",
     .bytes = 100,
     .got = ERROR_NOT_FOUND,
     .spans = {{1, AT(5, 200), AT(5, 300)}},
     .answer = WAL_AGAIN,
     .text = "from 0/500064 on is missing, but there is more from 0/5000C8 on"},
    {.why = "its beginning is missing",
     .got = ERROR_NOT_FOUND,
     .spans = {{1, AT(5, 1), AT(6, 0)}},
     .answer = WAL_AGAIN,
     .text = "but there is more from 0/500001 on"},
    {.why = "it came while we looked",
     .got = ERROR_NOT_FOUND,
     .spans = {{1, AT(5, 0), AT(6, 0)}},
     .answer = WAL_AGAIN,
     .text = "but there is more"},
    {.why = "a later segment is there",
     .got = ERROR_NOT_FOUND,
     .spans = {{1, AT(9, 0), AT(10, 0)}, {1, AT(7, 0), AT(8, 0)}},
     .answer = WAL_AGAIN,
     .text = "from 0/500000 on is missing, but there is more from 0/700000 on"},
    {.why = "a gap that is an end",
     .got = ERROR_NOT_FOUND,
     .stop_at_gaps = true,
     .spans = {{1, AT(7, 0), AT(8, 0)}},
     .answer = WAL_NONE},
    {.why = "what is before a gap that is an end",
     .bytes = 100,
     .got = ERROR_NOT_FOUND,
     .stop_at_gaps = true,
     .unread = true,
     .spans = {{1, AT(7, 0), AT(8, 0)}},
     .answer = WAL_CONTENT},
    {.why = "only what is before it is there",
     .got = ERROR_NOT_FOUND,
     .spans = {{1, AT(4, 0), AT(5, 0)}},
     .answer = WAL_NONE},
    {.why = "another timeline's WAL is not ours",
     .got = ERROR_NOT_FOUND,
     .spans = {{2, AT(5, 0), AT(6, 0)}},
     .answer = WAL_NONE},
    {.why = "another timeline goes on from a later segment",
     .got = ERROR_NOT_FOUND,
     .histories = {{2, "1\t0/600010\tx\n"}},
     .answer = WAL_AGAIN,
     .text = "timeline 2 goes on from it at 0/600010"},
    {.why = "and so zeros are not the end",
     .bytes = 100,
     .got = ERROR_NOT_FOUND,
     .histories = {{2, "1\t0/600000\tx\n"}},
     .answer = WAL_AGAIN,
     .text = "from 0/500064 on is missing, but timeline 2 goes on"},
    {.why = "but a gap that is an end",
     .got = ERROR_NOT_FOUND,
     .stop_at_gaps = true,
     .histories = {{2, "1\t0/600010\tx\n"}},
     .answer = WAL_NONE},
    {.why = "another timeline goes on from this one, and has a copy of the segment",
     .bytes = 100,
     .got = ERROR_NOT_FOUND,
     .histories = {{2, "1\t0/500080\tx\n"}},
     .answer = WAL_CONTENT},
    {.why = "the same, and nothing of it is there",
     .got = ERROR_NOT_FOUND,
     .histories = {{2, "1\t0/500080\tx\n"}},
     .answer = WAL_NONE},
    {.why = "the same, and who stayed behind the fork wrote on",
     .bytes = 100,
     .got = ERROR_NOT_FOUND,
     .spans = {{1, AT(6, 0), AT(7, 0)}},
     .histories = {{2, "1\t0/500080\tx\n"}},
     .answer = WAL_CONTENT},
    {.why = "behind the fork the timeline is followed on purpose",
     .bytes = 100,
     .got = ERROR_NOT_FOUND,
     .spans = {{1, AT(6, 0), AT(7, 0)}},
     .histories = {{2, "1\t0/500040\tx\n"}},
     .answer = WAL_AGAIN,
     .text = "but there is more from 0/600000 on"},
    {.why = "a fork long before",
     .got = ERROR_NOT_FOUND,
     .histories = {{2, "1\t0/300000\tx\n"}},
     .answer = WAL_NONE},
    {.why = "the last of several forks counts",
     .got = ERROR_NOT_FOUND,
     .histories = {{2, "1\t0/300000\tx\n"}, {3, "1\t0/700000\tx\n"}},
     .answer = WAL_AGAIN,
     .text = "timeline 3 goes on from it at 0/700000"},
    {.why = "a timeline that does not come from this one",
     .got = ERROR_NOT_FOUND,
     .histories = {{5, "4\t0/700000\tx\n"}},
     .answer = WAL_NONE},
    {.why = "a history cannot be read",
     .got = ERROR_NOT_FOUND,
     .unread = true,
     .answer = WAL_AGAIN,
     .text = "the history is damaged"},
};

static void check(const struct answer_case *c)
{
    const struct error got = {c->got, "what was got"},
                       unread = {ERROR_CORRUPT, "the history is damaged"},
                       unasked = {ERROR_TRANSIENT, "region 'us' is down"};
    struct timeline histories[HISTORIES_MAX] = {0};
    struct error err = {0};
    size_t span_count = 0, history_count = 0;
    while (span_count < SPANS_MAX && c->spans[span_count].to > 0)
        span_count++;
    for (; history_count < HISTORIES_MAX && c->histories[history_count].text; history_count++) {
        const struct history_case *history = &c->histories[history_count];
        assert_int_equal(timeline_parse(history->timeline, history->text, strlen(history->text),
                                        &histories[history_count], &err),
                         0);
    }
    const struct wal_answer_facts facts = {
        .timeline = 1,
        .segment_bytes = MIB,
        .from = AT(5, 0),
        .end = AT(5, c->bytes),
        .stop_at_gaps = c->stop_at_gaps,
        .got = &got,
        .unasked = c->unasked ? &unasked : NULL,
        .unread = c->unread ? &unread : NULL,
        .spans = c->spans,
        .span_count = span_count,
        .histories = histories,
        .history_count = history_count,
    };
    const enum wal_answer_kind answer = wal_answer_decide(&facts, &err);
    for (size_t i = 0; i < history_count; i++)
        timeline_done(&histories[i]);
    if (answer != c->answer || (c->text && !strstr(err.text, c->text)))
        fail_msg("%s: answer %d, '%s'", c->why, answer, err.text);
}

static void the_end_is_said_only_where_it_is_certain(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        check(&cases[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_end_is_said_only_where_it_is_certain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
