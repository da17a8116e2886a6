#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Restores every backup of a golden repository (docs/testing.md) with nothing of ours, as check_vectors.py reads the test
vectors, and checks on the way whatever the format promises. Skipped where that is (exit status 77)."""
import base64
import hashlib
import json
import sys

from check_vectors import (PIECE, Reader, content_id, field, hkdf, key_id, open_container, read_index, read_map,
                           read_table, unwrap, xxh3)

DATA, MAP, INDEX, HASH = 1, 2, 3, 4
FILE, DIRECTORY, LINK = 1, 2, 3
WRITTEN_BY_RESTORE = "pg_wal/archive_status/"
NOT_RESTORED = {"tablespace_map"}  # the links say the same


class Repository:
    def __init__(self, golden):
        self.objects = {name: base64.b64decode("".join(lines)) for name, lines in golden["objects"].items()}
        self.document = json.loads(self.objects["repository.json"])
        self.id = bytes.fromhex(self.document["repository"])
        identity = [b"lifeboat/1", golden["policy"]["namespace"].encode(), golden["policy"]["name"].encode(),
                    golden["systemIdentifier"].encode()]
        assert self.document["format"] == 1 and hashlib.sha256(b"".join(map(field, identity))).digest() == self.id
        self.keys, kek = {}, base64.b64decode(golden["userKey"])
        for name in self.names("keys/"):
            purpose, key = unwrap(self.objects[name], kek)
            assert name == f"keys/{key_id(key).hex()}.{key_id(kek).hex()}"
            assert (purpose == 2) == (key_id(key).hex() == self.document["idKey"])
            self.keys[key_id(key).hex()] = key
        self.id_key = self.keys[self.document["idKey"]]
        self.packs = {}

    def names(self, prefix):
        return sorted(name for name in self.objects if name.startswith(prefix))

    def open(self, kind, name):
        data = self.objects[name]
        return open_container(data, self.keys[data[-108:-100].hex()], kind, self.id, name)

    def pack(self, backup, number):
        """The frames of a pack, whose last one must be right about all pieces of the others."""
        if (backup, number) not in self.packs:
            frames, rest = self.open(1, f"packs/{backup}/{number:06d}")
            secret = hkdf(self.id_key, b"lifeboat/1 piece hash", 192)
            data = b"".join(content for kind, content in frames if kind == DATA)
            hashes = b"".join(xxh3(data[at : at + PIECE], secret).to_bytes(8, "little")
                              for at in range(0, len(data), PIECE))
            assert (frames[-1], rest) == ((HASH, hashes), b"")
            self.packs[backup, number] = frames
        return self.packs[backup, number]

    def frame(self, backup, number, frame, kind):
        found, content = self.pack(backup, number)[frame]
        assert found == kind
        return content

    def manifest(self, backup):
        [(kind, text)], rest = self.open(2, f"manifests/{backup}")
        assert (kind, rest) == (DATA, b"")
        return json.loads(text)

    def content(self, table, runs):
        """The bytes that a map stands for."""
        found = []
        for length, place in runs:
            if place is None:
                found.append(bytes(length))
                continue
            backup, pack, frame, piece = place
            data = self.frame(table[backup], pack, frame, DATA)
            found.append(data[piece * PIECE : piece * PIECE + length])
            assert len(found[-1]) == length
        return b"".join(found)

    def file(self, table, size, where):
        if not where or len(where[0]) == 2:
            return self.content(table, where)
        parts = []
        for backup, pack, frame, covered in where:
            reader = Reader(self.frame(table[backup], pack, frame, MAP))
            parts.append(self.content(read_table(reader), read_map(reader, covered)))
            assert reader.rest() == b""
        assert sum(map(len, parts)) == size
        return b"".join(parts)

    def entries(self, manifest):
        before = ""
        for index in manifest["index"]:
            reader = Reader(self.frame(manifest["id"], index["pack"], index["frame"], INDEX))
            table = read_table(reader)
            for entry in read_index(reader):
                assert before.encode() < entry[0].encode()
                before = entry[0]
                yield table, entry
            assert reader.rest() == b""

    def segment(self, timeline, lsn, size):
        """A segment, of the pieces that there are."""
        log, number = divmod(lsn // size, (1 << 32) // size)
        name, found = f"{timeline:08X}{log:08X}{number:08X}", bytearray(size)
        for piece in self.names(f"wal/{timeline:08X}/{log:08X}/{name}"):
            frames, rest = self.open(3, piece)
            reader = Reader(rest)
            header = [reader.varint() for _ in range(5)]
            data = b"".join(content for _, content in frames)
            begin, end = header[3:]
            assert header[:3] == [timeline, lsn // size * size, size] and end - begin == len(data)
            part = "" if (begin, end) == (0, size) else f".{begin:08x}-{end:08x}"
            assert piece.endswith(f"/{name}{part}-{content_id(self.id_key, data).hex()}")
            found[begin:end] = data
        return f"pg_wal/{name}", bytes(found)

    def wal(self, manifest):
        size = manifest["postgresql"]["walSegmentBytes"]
        for part in manifest["wal"]:
            start, stop = (int(high, 16) << 32 | int(low, 16)
                           for high, low in (part[end].split("/") for end in ("start", "stop")))
            for lsn in range(start // size * size, stop, size):
                yield self.segment(part["timeline"], lsn, size)
            for name in self.names(f"wal/{part['timeline']:08X}.history-"):
                [(_, history)], rest = self.open(4, name)
                assert rest == bytes([part["timeline"]])
                assert name.endswith(content_id(self.id_key, history).hex())
                yield f"pg_wal/{part['timeline']:08X}.history", history


def restore(repository, backup):
    """Everything of a backup: path: mode, size and SHA-256."""
    manifest = repository.manifest(backup["id"])
    found, files, seen = {}, 0, set()
    for table, (path, kind, mode, _, _, _, *rest) in repository.entries(manifest):
        if kind == LINK:
            assert rest == [backup["tablespace"]]
        if kind == FILE:
            size, _, _, bad, where = rest
            assert not bad
            found[path] = (mode, repository.file(table, size, where))
            files += 1
            seen.add("map frame" if where and len(where[0]) == 4 else "empty" if size == 0 else "map")
            seen.update("zeros" for run in where if run[1] is None)
    assert files == manifest["files"]
    for path, content in repository.wal(manifest):
        found[path] = (0o600, content)
    return seen, {path: f"{mode:o} {len(content)} {hashlib.sha256(content).hexdigest()}"
                  for path, (mode, content) in found.items()}


def main(path):
    with open(path, encoding="utf-8") as file:
        golden = json.load(file)
    repository, expected, seen = Repository(golden), {}, set()
    for backup in golden["backups"]:
        expected |= backup["files"]
        kinds, found = restore(repository, backup)
        seen |= kinds
        for name, description in expected.items():
            if not name.startswith(WRITTEN_BY_RESTORE):
                assert found.get(name) == description, f"{backup['id']}: {name}: {found.get(name)}, not {description}"
        assert set(found) - NOT_RESTORED == {name for name, description in expected.items()
                                             if description and not name.startswith(WRITTEN_BY_RESTORE)}
    assert seen == {"map frame", "map", "empty", "zeros"}, seen
    print(f"{len(golden['backups'])} backups restored as the document says")


if __name__ == "__main__":
    main(sys.argv[1])
