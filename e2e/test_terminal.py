# SPDX-License-Identifier: Apache-2.0
"""What a person sees on a terminal of 80 or more columns."""

import fcntl
import os
import re
import struct
import termios
from pathlib import Path

import pytest

import host
from lifeboat import PASSWORD, Lifeboat, at
from postgres import Postgres

ALL = ["BACKUP", "TYPE", "AGE", "SIZE", "STORED", "RATIO", "RECOVERABLE TO", "REGIONS"]


@pytest.fixture(scope="module")
def server(shared_cluster, newest) -> Postgres:
    server = shared_cluster(newest)
    server.add_role(PASSWORD)
    return server


def on_terminal(lifeboat: Lifeboat, columns: int, command: str, *arguments) -> tuple[list[str], str]:
    """The lines that a terminal shows at the end, and all that was written to it."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 25, columns, 0, 0))
    with host.running(lifeboat.argv(command, *arguments), stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        written = read_all(ours)
        assert process.wait(60) == 0, written
    os.close(ours)
    # what redraws itself begins its line anew
    return [line.rpartition("\r\x1b[K")[2] for line in written.replace("\r\n", "\n").split("\n")[:-1]], written


def read_all(descriptor: int) -> str:
    content = b""
    while True:
        try:
            content += os.read(descriptor, 65536)
        except OSError:  # nobody has the other end any more
            return content.decode()


def read_until(descriptor: int, pattern: str) -> None:
    content = ""
    while not re.search(pattern, content):
        content += os.read(descriptor, 65536).decode()


def titles(line: str) -> list[str]:
    return re.split(r"  +", line)


def test_a_list_is_a_table_that_fits(lifeboat, server):
    lifeboat.add_directory("there")
    full = lifeboat.backup(server)
    lifeboat.backup(server, "--type", "incremental")
    for columns, spared in ((120, []), (100, []), (90, ["RATIO"]), (84, ["RATIO", "TYPE"]),
                            (78, ["RATIO", "TYPE", "AGE"])):
        lines, _ = on_terminal(lifeboat, columns, "list")
        assert all(len(line) <= columns for line in lines), "\n".join(lines)
        lines = lines[:lines.index("")]  # what can be recovered stands below
        assert titles(lines[0]) == [title for title in ALL if title not in spared]
        assert [titles(line)[0] for line in lines[1:]] == [row["id"] for row in lifeboat.list()]
    assert all(len(line) <= 80 for line in on_terminal(lifeboat, 80, "list")[0])
    piped = lifeboat.run("list").stdout.splitlines()
    assert titles(piped[0]) == ALL
    kind, age, size, stored, ratio, recoverable, regions = titles(piped[2])[1:]
    assert kind == "full" and re.fullmatch(r"\d+ [sm]", age) and re.fullmatch(r"[\d.]+ MB", size)
    assert float(stored.split()[0]) * float(ratio) == pytest.approx(float(size.split()[0]), rel=0.1)
    assert recoverable == f"{full['finished'][:10]} {full['finished'][11:16]}Z"
    assert regions == "here, there"


def test_a_damaged_manifest_and_damaged_pages_are_told_in_their_rows(cluster, lifeboat, newest):
    server = cluster(newest)
    server.add_role(PASSWORD)
    server.sql("CREATE TABLE t AS SELECT generate_series(1, 1000) i; CHECKPOINT")
    path = server.data / server.sql("SELECT pg_relation_filepath('t')")
    server.stop()
    content = bytearray(path.read_bytes())
    content[5000] ^= 1
    path.write_bytes(content)
    server.start()
    lines, written = on_terminal(lifeboat, 100, "backup", *at(server))
    assert re.match(r"warning: Found pages with a wrong checksum \(path base/\d+/\d+, pages 1, ", lines[0]), written
    assert lines[-2].startswith("Backup ") and lines[-1].startswith("Warning: 1 pages of the database are damaged")
    assert lifeboat.run("list").stdout.splitlines()[1].endswith("  here     1 damaged page")
    [manifest] = lifeboat.repository().glob("manifests/*")
    spoil(manifest)
    done = lifeboat.run("list", check=False)
    assert done.returncode == 1
    assert re.fullmatch(rf"{manifest.name}  cannot be read: .+", done.stdout.splitlines()[1])


def spoil(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:100] + b"?" + content[101:])


def test_long_work_shows_how_far_it_is(lifeboat, server, newest):
    lifeboat.take_time()
    lines, written = on_terminal(lifeboat, 80, "backup", *at(server))
    drawn = [part.split("\r")[0].split("\n")[0] for part in written.split("\r\x1b[K")]
    assert "Backing up: starting" in drawn and "Backing up: copying" in drawn
    assert any(re.fullmatch(r"Backing up: [ \d]{3} %  [\d.]+ .?B of [\d.]+ MB, [\d.]+ .?B/s, \d.* s left", line)
               for line in drawn), drawn
    assert any(re.fullmatch(r"Backing up: finishing, [\d.]+ MB", line) for line in drawn), drawn
    assert all(len(line) <= 79 for line in drawn[:-1])
    assert len(lines) == 1 and lines[0].startswith("Backup 2"), lines
    lines, written = on_terminal(lifeboat, 80, "restore", "--to", lifeboat.home / "copy")
    assert "Restoring: planning" in written and "Restoring: finishing, " in written
    assert lines[0].startswith("Restored 2"), lines
    lines, written = on_terminal(lifeboat, 80, "verify")
    assert "Verifying: planning" in written
    assert lines[-1].startswith("Verified 1 backups in 1 regions: "), lines


def test_a_stream_of_wal_shows_how_far_it_is(lifeboat, server):
    lifeboat.spec["wal"] = {"mode": "Stream", "flushSeconds": 1}
    ours, theirs = os.openpty()
    with host.running(lifeboat.argv("wal-receive", *at(server)), stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        read_until(ours, r"\r\x1b\[KReceiving WAL: [^\r]*, stored to [0-9A-F]+/[0-9A-F]+, \d+ s behind\r")
        process.terminate()
        read_all(ours)
        assert process.wait(60) == 0
    os.close(ours)
    lifeboat.run("wal-receive", *at(server), "--drop-slot")
