# SPDX-License-Identifier: Apache-2.0
"""Which pages of a data directory changed: found by reading all of it, and knowing nothing of how a backup finds them."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import host

PAGE = 8192
PAGED = ("base", "global", "pg_xact", "pg_multixact", "pg_commit_ts", "pg_subtrans")

Pages = dict[Path, list[int]]  # of each file, a hash of each page


def read(data: Path) -> Pages:
    return {path: [hash(page) for page in _pages(path)]
            for directory in PAGED for path in (data / directory).rglob("*") if path.is_file()}


def changed(before: Pages, after: Pages) -> list[tuple[Path, int]]:
    """Each page of `after` that is new or another one than before."""
    found = []
    for path, hashes in after.items():
        old = before.get(path, [])
        found += [(path, block) for block, value in enumerate(hashes) if block >= len(old) or old[block] != value]
    return found


def compressed_bytes(places: list[tuple[Path, int]]) -> int:
    """Of these pages in one stream of zstd level 1: about the least that has to be stored."""
    process = host.spawn(["zstd", "-1", "-q", "-c"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    content = b"".join(_page(path, block) for path, block in places)
    return len(process.communicate(content)[0])


def _pages(path: Path) -> Iterator[bytes]:
    with open(path, "rb", buffering=1 << 20) as file:
        while page := file.read(PAGE):
            yield page


def _page(path: Path, block: int) -> bytes:
    with open(path, "rb") as file:
        file.seek(block * PAGE)
        return file.read(PAGE)
