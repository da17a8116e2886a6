// SPDX-License-Identifier: Apache-2.0
/*
 * The test vectors of docs/repository-format.md, read from there, so that the document cannot say
 * anything else than the code does. check_vectors.py beside this file reads the same ones with
 * nothing of ours.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/bytes.h"
#include "common/own.h"
#include "common/text.h"
#include "sidecar/container.h"
#include "sidecar/frame.h"
#include "sidecar/index.h"
#include "sidecar/manifest.h"
#include "sidecar/piece_hash.h"
#include "sidecar/repo_document.h"
#include "sidecar/tests/helper_keys.h"

enum { USER_KEY = 0x00, DATA_KEY = 0x20, ID_KEY = 0x40, SALT = 0x60 };

static const char full[] = "20261121T082118Z-full-3fa2";
static const char incr[] = "20261122T082100Z-incr-0b1d";
static const char history[] = "1\t0/3000000\tno recovery target specified\n";
static const char history_name[] = "wal/00000002.history-";
static const char pack_name[] = "packs/20261121T082118Z-full-3fa2/000001";

static char *document; /* docs/repository-format.md */

static int load_document(void **state)
{
    (void)state;
    static const char source[] = __FILE__, inside[] = "sidecar/tests/test_vectors.c";
    CLEANUP(own_freep)
    char *path =
        own_format("%.*sdocs/repository-format.md", (int)(sizeof(source) - sizeof(inside)), source);
    CLEANUP(buf_done) struct buf buf = BUF(1 << 20);
    struct error err;
    if (buf_read_file(&buf, AT_FDCWD, path, &err) < 0) {
        print_error("%s\n", err.text);
        return -1;
    }
    document = buf_string(&buf);
    return 0;
}

static int free_document(void **state)
{
    (void)state;
    own_freep(&document);
    return 0;
}

/* The value of a line "name = value", which goes on in lines that begin with a space. */
static char *vector(const char *name)
{
    CLEANUP(own_freep) char *start = own_format("\n%s = ", name);
    const char *at = strstr(document, start);
    if (!at)
        fail_msg("the document has no '%s'", name);
    CLEANUP(buf_done) struct buf value = BUF(1 << 16);
    struct error err;
    for (at += strlen(start);;) {
        size_t length = strcspn(at, "\n");
        assert_int_equal(buf_append(&value, at, length, &err), 0);
        at += length + 1;
        if (*at != ' ')
            break;
        at += strspn(at, " ");
    }
    return buf_string(&value);
}

static void expect_text(const char *name, const char *text)
{
    CLEANUP(own_freep) char *expected = vector(name);
    if (strcmp(expected, text) != 0) {
        print_error("%s = %s\n", name, text);
        fail_msg("'%s' is another", name);
    }
}

static void expect(const char *name, const void *data, size_t size)
{
    CLEANUP(own_freep) char *hex = own_alloc(2 * size + 1);
    text_hex(data, size, hex);
    expect_text(name, hex);
}

static uint8_t *vector_bytes(const char *name, size_t *ret_size)
{
    CLEANUP(own_freep) char *hex = vector(name);
    *ret_size = strlen(hex) / 2;
    uint8_t *bytes = own_alloc(*ret_size);
    assert_true(text_parse_hex(hex, bytes, *ret_size));
    return bytes;
}

static struct container_identity identity_of(enum container_kind kind, const char *name)
{
    struct container_identity identity = {.kind = kind, .name = name};
    char namespace[] = "default", policy[] = "shop";
    const struct repo_document repo = {
        .namespace = namespace, .name = policy, .system_identifier = 7351234567890123456};
    repo_document_id(&repo, identity.repository_id);
    return identity;
}

static void keys_have_these_ids(void **state)
{
    (void)state;
    struct key user = helper_key(USER_KEY, 0), data = helper_key(DATA_KEY, KEY_PURPOSE_DATA),
               id = helper_key(ID_KEY, KEY_PURPOSE_ID);
    expect("user-key", user.bytes, KEY_BYTES);
    expect("user-key-id", user.id, KEY_ID_BYTES);
    expect("data-key", data.bytes, KEY_BYTES);
    expect("data-key-id", data.id, KEY_ID_BYTES);
    expect("id-key", id.bytes, KEY_BYTES);
    expect("id-key-id", id.id, KEY_ID_BYTES);
}

static void key_objects_are_these(void **state)
{
    (void)state;
    struct key user = helper_key(USER_KEY, 0), data = helper_key(DATA_KEY, KEY_PURPOSE_DATA),
               id = helper_key(ID_KEY, KEY_PURPOSE_ID), back;
    CLEANUP(own_freep) char *wrapped = NULL, *naked = NULL;
    struct error err;
    assert_int_equal(key_format_object(&data, &user, &wrapped, &err), 0);
    expect_text("key-object", wrapped);
    assert_int_equal(key_format_object(&id, NULL, &naked, &err), 0);
    expect_text("key-object-not-wrapped", naked);
    assert_int_equal(key_parse_object(wrapped, strlen(wrapped), &user, &back, &err), 0);
    assert_int_equal(back.purpose, KEY_PURPOSE_DATA);
    assert_int_equal(key_parse_object(naked, strlen(naked), NULL, &back, &err), 0);
    assert_int_equal(back.purpose, KEY_PURPOSE_ID);
}

static void content_has_these_ids_and_hashes(void **state)
{
    (void)state;
    struct key id = helper_key(ID_KEY, KEY_PURPOSE_ID);
    char content_id[KEY_ID_TEXT_BYTES];
    key_content_id(&id, history, strlen(history), content_id);
    expect_text("content-id", content_id);
    struct piece_hash hash;
    piece_hash_init(&hash, &id);
    uint8_t piece[PIECE_BYTES] = "Lifeboat", bytes[8];
    bytes_store64(bytes, piece_hash(&hash, piece));
    expect("piece-hash", bytes, sizeof(bytes));
}

static void the_repository_has_this_id(void **state)
{
    (void)state;
    struct container_identity identity = identity_of(CONTAINER_PACK, pack_name);
    expect("repository-id", identity.repository_id, DIGEST_BYTES);
}

static void a_timeline_history_is_this_object(void **state)
{
    (void)state;
    struct key data = helper_key(DATA_KEY, KEY_PURPOSE_DATA), salt = helper_key(SALT, 0);
    CLEANUP(own_freep) char *content_id = vector("content-id");
    CLEANUP(own_freep) char *name = own_format("%s%s", history_name, content_id);
    struct container_identity identity = identity_of(CONTAINER_HISTORY, name);
    CLEANUP(frame_codec_freep) struct frame_codec *codec = frame_codec_new(1);
    CLEANUP(container_writer_freep) struct container_writer *writer = NULL;
    uint8_t object[1024], sha256[DIGEST_BYTES];
    size_t size;
    struct error err;
    assert_int_equal(container_writer_new(&writer, &identity, &data, object, sizeof(object), &err),
                     0);
    container_set_salt(writer, &data, salt.bytes);
    assert_int_equal(
        container_append(writer, codec, FRAME_DATA, history, strlen(history), true, &err), 0);
    assert_int_equal(container_finish(writer, "\2", 1, &size, sha256, &err), 0);
    expect("timeline-history", object, size);

    CLEANUP(keyring_done) struct keyring keyring = helper_keyring(DATA_KEY);
    CLEANUP(buf_done) struct buf plain = BUF(1000), footer = BUF(10);
    assert_int_equal(container_unpack(&identity, &keyring, object, size, &plain, &footer, &err), 0);
    assert_int_equal(plain.size, strlen(history));
    assert_memory_equal(plain.data, history, plain.size);
    assert_int_equal(footer.data[0], 2);
}

/* Only read: how another libzstd compresses is its own affair. */
static void this_object_is_a_pack(void **state)
{
    (void)state;
    size_t size;
    CLEANUP(own_freep) uint8_t *object = vector_bytes("pack", &size);
    CLEANUP(own_freep) char *hash = vector("piece-hash");
    struct container_identity identity = identity_of(CONTAINER_PACK, pack_name);
    CLEANUP(keyring_done) struct keyring keyring = helper_keyring(DATA_KEY);
    CLEANUP(container_done) struct container container = {0};
    CLEANUP(frame_codec_freep) struct frame_codec *codec = frame_codec_new(1);
    struct error err;
    assert_int_equal(container_open(&container, &identity, &keyring, object, size, size, &err), 0);
    assert_int_equal(container.frame_count, 2);
    assert_int_equal(container.frames[0].type, FRAME_DATA);
    assert_int_equal(container.frames[1].type, FRAME_HASH);
    uint8_t piece[PIECE_BYTES] = "Lifeboat", got[PIECE_BYTES], hashes[8];
    assert_int_equal(
        container_read(&container, codec, 0, object + container.frames[0].offset, got, &err), 0);
    assert_memory_equal(piece, got, PIECE_BYTES);
    assert_int_equal(
        container_read(&container, codec, 1, object + container.frames[1].offset, hashes, &err), 0);
    char hex[17];
    text_hex(hashes, sizeof(hashes), hex);
    assert_string_equal(hex, hash);
}

static struct map example_map(void)
{
    struct map map = {0};
    const struct place first = {.backup = 0, .pack = 3, .frame = 7, .piece = 120};
    const struct place last = {.backup = 1, .pack = 1, .frame = 0, .piece = 0};
    map_add(&map, 2 * PIECE_BYTES, &first);
    map_add_zero(&map, 2 * PIECE_BYTES);
    map_add(&map, PIECE_BYTES + 100, &last);
    return map;
}

static struct backup_table example_table(void)
{
    struct backup_table table = {0};
    backup_table_add(&table, full);
    backup_table_add(&table, incr);
    return table;
}

static void a_map_is_coded_like_this(void **state)
{
    (void)state;
    CLEANUP(map_done) struct map map = example_map();
    CLEANUP(backup_table_done) struct backup_table table = example_table();
    CLEANUP(buf_done) struct buf coded = BUF(1000), frame = BUF(1000);
    map_format(&map, &coded);
    expect("map", coded.data, coded.size);
    map_frame_format(&table, &map, &frame);
    expect("map-frame", frame.data, frame.size);
}

static void add(struct index_writer *writer, struct entry entry)
{
    assert_int_equal(index_writer_add(writer, &entry), 0);
    entry_done(&entry);
}

static void an_index_frame_is_coded_like_this(void **state)
{
    (void)state;
    CLEANUP(backup_table_done) struct backup_table table = example_table();
    CLEANUP(index_writer_freep) struct index_writer *writer = index_writer_new(&table);
    struct entry part = {.uid = 999, .gid = 998, .mode = 0600, .mtime_s = 1795249278};
    struct entry directory = part, small = part, large = part, link = part;
    directory.path = own_strdup("base");
    directory.type = ENTRY_DIRECTORY;
    directory.mode = 0700;
    small.path = own_strdup("base/5/1259");
    small.type = large.type = ENTRY_FILE;
    small.map = example_map();
    small.size = small.map.size;
    small.inode = 131;
    small.birth_ns = 1795249278000000001;
    small.bad_blocks = own_alloc(2 * sizeof(uint32_t));
    small.bad_blocks[0] = 3;
    small.bad_blocks[1] = 4;
    small.bad_block_count = 2;
    large.path = own_strdup("base/5/16384");
    large.size = 1 << 30;
    large.inode = 132;
    large.map_refs = own_alloc(2 * sizeof(*large.map_refs));
    large.map_refs[0] = (struct entry_map_ref){{.backup = 0, .pack = 9, .frame = 15}, 768 << 20};
    large.map_refs[1] = (struct entry_map_ref){{.backup = 1, .pack = 2, .frame = 3}, 256 << 20};
    large.map_ref_count = 2;
    link.path = own_strdup("pg_tblspc/16385");
    link.type = ENTRY_LINK;
    link.mode = 0777;
    link.target = own_strdup("/srv/fast");
    add(writer, directory);
    add(writer, small);
    add(writer, large);
    add(writer, link);
    CLEANUP(buf_done) struct buf frame = BUF(FRAME_PLAIN_MAX);
    index_writer_take(writer, &frame);
    expect("index-frame", frame.data, frame.size);
}

static void the_manifest_reads_and_writes_as_it_stands(void **state)
{
    (void)state;
    const char *start = strstr(document, "```json manifest\n");
    assert_non_null(start);
    start += strlen("```json manifest\n");
    const char *end = strstr(start, "```");
    assert_non_null(end);
    CLEANUP(manifest_done) struct manifest manifest = {0};
    struct error err;
    if (manifest_parse(start, (size_t)(end - start), &manifest, &err) < 0)
        fail_msg("%s", err.text);
    json_auto_t *written = manifest_to_json(&manifest);
    json_auto_t *read = json_loadb(start, (size_t)(end - start), 0, NULL);
    assert_true(json_equal(written, read));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_have_these_ids),
        cmocka_unit_test(key_objects_are_these),
        cmocka_unit_test(content_has_these_ids_and_hashes),
        cmocka_unit_test(the_repository_has_this_id),
        cmocka_unit_test(a_timeline_history_is_this_object),
        cmocka_unit_test(this_object_is_a_pack),
        cmocka_unit_test(a_map_is_coded_like_this),
        cmocka_unit_test(an_index_frame_is_coded_like_this),
        cmocka_unit_test(the_manifest_reads_and_writes_as_it_stands),
    };
    return cmocka_run_group_tests(tests, load_document, free_document);
}
