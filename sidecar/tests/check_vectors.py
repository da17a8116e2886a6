#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reads the test vectors of docs/repository-format.md with nothing of ours, as somebody would who has only the
document: whoever loses Lifeboat can still read a backup. Needs python3-cryptography and zstd; without them it is
skipped (exit status 77)."""
import base64
import hashlib
import hmac
import json
import re
import shutil
import struct
import subprocess
import sys

try:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF
    from cryptography.hazmat.primitives.keywrap import aes_key_unwrap_with_padding
except ImportError:
    sys.exit(77)
if not shutil.which("zstd"):
    sys.exit(77)

PIECE = 8192
MASK = (1 << 64) - 1
HISTORY = b"1\t0/3000000\tno recovery target specified\n"
FULL, INCR = "20261121T082118Z-full-3fa2", "20261122T082100Z-incr-0b1d"


def hkdf(key, info, size, salt=None):
    return HKDF(SHA256(), size, salt, info).derive(key)


def field(data):
    return struct.pack("<Q", len(data)) + data


def key_id(key):
    return hkdf(key, b"lifeboat/1 key id", 8)


def content_id(id_key, content):
    return hmac.digest(hkdf(id_key, b"lifeboat/1 content id", 32), content, "sha256")[:8]


def xxh3(data, secret):
    """XXH3, 64 bits, with a secret of one's own, for inputs above 240 bytes."""
    p32 = 0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D
    p64 = (0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5)
    acc = [p32[2], p64[0], p64[1], p64[2], p64[3], p32[1], p64[4], p32[0]]
    per_block = (len(secret) - 64) // 8

    def words(source, at, count=8):
        return struct.unpack_from(f"<{count}Q", source, at)

    def accumulate(at, secret_at):
        for i, (value, mask) in enumerate(zip(words(data, at), words(secret, secret_at))):
            key = value ^ mask
            acc[i ^ 1] = (acc[i ^ 1] + value) & MASK
            acc[i] = (acc[i] + (key & 0xFFFFFFFF) * (key >> 32)) & MASK

    for stripe in range((len(data) - 1) // 64):
        accumulate(64 * stripe, 8 * (stripe % per_block))
        if stripe % per_block == per_block - 1:
            for i, mask in enumerate(words(secret, len(secret) - 64)):
                acc[i] = ((acc[i] ^ acc[i] >> 47 ^ mask) * p32[0]) & MASK
    accumulate(len(data) - 64, len(secret) - 64 - 7)
    result = len(data) * p64[0]
    for i in range(4):
        low, high = words(secret, 11 + 16 * i, 2)
        product = (acc[2 * i] ^ low) * (acc[2 * i + 1] ^ high)
        result += (product & MASK) ^ (product >> 64)
    result &= MASK
    result = ((result ^ result >> 37) * 0x165667919E3779F9) & MASK
    return result ^ result >> 32


def unwrap(text, kek):
    """A key object: purpose and key."""
    document = json.loads(text)
    naked = base64.b64decode(document["wrapped"], validate=True)
    if document["wrappedBy"] != "none":
        assert document["wrappedBy"] == key_id(kek).hex()
        naked = aes_key_unwrap_with_padding(kek, naked)
    assert document["key"] == key_id(naked[1:]).hex()
    return naked[0], naked[1:]


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def bytes(self, size):
        self.at += size
        assert self.at <= len(self.data)
        return self.data[self.at - size : self.at]

    def varint(self):
        value = shift = 0
        while True:
            byte = self.bytes(1)[0]
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def zigzag(self):
        value = self.varint()
        return value >> 1 ^ -(value & 1)

    def rest(self):
        return self.bytes(len(self.data) - self.at)


def open_container(data, dek, kind, repository, name):
    """The plaintext of each frame with its type, and the footer's own data."""
    assert data[:8] == b"\x89LIFEBT\n" and hashlib.sha256(data[:-32]).digest() == data[-32:]
    trailer = data[-116:-32]
    version, is_kind, suite, zero, dek_id, salt, commitment, size = struct.unpack("<HBBI8s32s32sI", trailer)
    assert (version, is_kind, suite, zero, dek_id) == (1, kind, 1, 0, key_id(dek))
    derived = hkdf(dek, b"lifeboat/1" + bytes([kind]), 64, salt)
    assert derived[32:] == commitment
    binding = hashlib.sha256(field(trailer[:80]) + field(repository) + field(name.encode())).digest()

    def unseal(sealed, domain, index, plain_size, last):
        ad = binding + struct.pack("<QIB", index, plain_size, last)
        return AESGCM(derived[:32]).decrypt(struct.pack("<IQ", domain, index), sealed, ad)

    footer = Reader(unseal(data[-116 - size : -116], 2, 0, size - 16, 1))
    count, at, frames = footer.varint(), 8, []
    for index in range(count):
        frame_type, sealed, plain = footer.bytes(1)[0], footer.varint(), footer.varint()
        coded = unseal(data[at : at + sealed], 1, index, plain, index + 1 == count)
        content = subprocess.run(["zstd", "-dc"], input=coded, capture_output=True, check=True).stdout
        assert len(content) == plain
        frames.append((frame_type, content))
        at += sealed
    assert at == len(data) - 116 - size
    return frames, footer.rest()


def read_map(reader, size):
    runs, covered, pack, frame = [], 0, 0, 0
    while covered < size:
        head = reader.varint()
        covered += head >> 1
        if head & 1:
            runs.append((head >> 1, None))
            continue
        backup, pack, frame = reader.varint(), pack + reader.zigzag(), frame + reader.zigzag()
        runs.append((head >> 1, (backup, pack, frame, reader.varint())))
    assert covered == size
    return runs


def read_table(reader):
    return [reader.bytes(reader.bytes(1)[0]).decode() for _ in range(reader.varint())]


def read_index(reader):
    entries, path = [], b""
    for _ in range(reader.varint()):
        path = path[: reader.varint()] + reader.bytes(reader.varint())
        entry = [path.decode(), reader.bytes(1)[0], reader.varint(), reader.varint(), reader.varint(), reader.zigzag()]
        if entry[1] == 3:
            entry.append(reader.bytes(reader.varint()).decode())
        if entry[1] == 1:
            size, inode, birth, bad, block = reader.varint(), reader.varint(), reader.varint(), [], 0
            for _ in range(min(reader.varint(), 1024)):
                block += reader.varint()
                bad.append(block)
            parts = [tuple(reader.varint() for _ in range(4)) for _ in range(reader.varint())]
            entry += [size, inode, birth, bad, parts or read_map(reader, size)]
        entries.append(entry)
    return entries


def vectors(path):
    text = open(path, encoding="utf-8").read()
    found = {}
    for name, value in re.findall(r"^([a-z-]+) = (.*(?:\n  .*)*)$", text, re.M):
        found[name] = value if value.startswith("{") else bytes.fromhex("".join(value.split()))
    return found


def main(path):
    v = vectors(path)
    kek, dek, id_key, repository = v["user-key"], v["data-key"], v["id-key"], v["repository-id"]
    for name in "user-key", "data-key", "id-key":
        assert key_id(v[name]) == v[name + "-id"]
    identity = b"".join(map(field, [b"lifeboat/1", b"default", b"shop", b"7351234567890123456"]))
    assert hashlib.sha256(identity).digest() == repository
    assert unwrap(v["key-object"], kek) == (1, dek)
    assert unwrap(v["key-object-not-wrapped"], None) == (2, id_key)

    assert content_id(id_key, HISTORY) == v["content-id"]
    piece = b"Lifeboat".ljust(PIECE, b"\0")
    assert struct.pack("<Q", xxh3(piece, hkdf(id_key, b"lifeboat/1 piece hash", 192))) == v["piece-hash"]

    name = "wal/00000002.history-" + v["content-id"].hex()
    assert open_container(v["timeline-history"], dek, 4, repository, name) == ([(1, HISTORY)], b"\x02")
    pack = open_container(v["pack"], dek, 1, repository, f"packs/{FULL}/000001")
    assert pack == ([(1, piece), (4, v["piece-hash"])], b"")

    size = 5 * PIECE + 100
    runs = [(2 * PIECE, (0, 3, 7, 120)), (2 * PIECE, None), (PIECE + 100, (1, 1, 0, 0))]
    assert read_map(Reader(v["map"]), size) == runs
    frame = Reader(v["map-frame"])
    assert (read_table(frame), read_map(frame, size), frame.rest()) == ([FULL, INCR], runs, b"")

    frame = Reader(v["index-frame"])
    owner, born = (999, 998, 1795249278), 1795249278000000001
    parts = [(0, 9, 15, 768 << 20), (1, 2, 3, 256 << 20)]
    assert read_table(frame) == [FULL, INCR]
    assert read_index(frame) == [
        ["base", 2, 0o700, *owner],
        ["base/5/1259", 1, 0o600, *owner, size, 131, born, [3, 4], runs],
        ["base/5/16384", 1, 0o600, *owner, 1 << 30, 132, 0, [], parts],
        ["pg_tblspc/16385", 3, 0o777, *owner, "/srv/fast"],
    ]
    assert frame.rest() == b""
    print("all vectors read as the document says")


if __name__ == "__main__":
    main(sys.argv[1])
