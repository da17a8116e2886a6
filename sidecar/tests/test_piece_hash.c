// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sidecar/frame.h"
#include "sidecar/piece_hash.h"
#include "sidecar/tests/helper_keys.h"

static void the_hash_changes_with_any_byte_of_the_piece(void **state)
{
    (void)state;
    struct key key = helper_key(64, KEY_PURPOSE_ID);
    struct piece_hash hash;
    piece_hash_init(&hash, &key);
    uint8_t piece[PIECE_BYTES] = {0};
    uint64_t zero = piece_hash(&hash, piece);
    assert_int_equal(zero, piece_hash(&hash, piece));
    for (size_t i = 0; i < sizeof(piece); i++) {
        piece[i] = 1;
        assert_int_not_equal(zero, piece_hash(&hash, piece));
        piece[i] = 0;
    }
}

/* Who does not know the key can neither predict a hash nor tell equal pieces of two repositories.
 */
static void the_hash_changes_with_the_key(void **state)
{
    (void)state;
    struct key one = helper_key(64, KEY_PURPOSE_ID), two = helper_key(65, KEY_PURPOSE_ID);
    struct piece_hash first, second;
    piece_hash_init(&first, &one);
    piece_hash_init(&second, &two);
    uint8_t piece[PIECE_BYTES] = {0};
    assert_int_not_equal(piece_hash(&first, piece), piece_hash(&second, piece));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_hash_changes_with_any_byte_of_the_piece),
        cmocka_unit_test(the_hash_changes_with_the_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
