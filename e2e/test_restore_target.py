# SPDX-License-Identifier: Apache-2.0
"""What can be recovered between backups, and what a copy must not do to its source."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

import host
import lifeboat as command_line
from lifeboat import PASSWORD, Lifeboat, at
from postgres import Postgres, assert_verified

STREAMS = "SELECT count(*) FROM pg_stat_replication WHERE usename = 'lifeboat' AND state = 'streaming'"


@contextlib.contextmanager
def long_backup(lifeboat: Lifeboat, server: Postgres) -> Iterator[None]:
    """Starts before the block and stops behind it: all WAL of that time is in the bucket afterwards."""
    lifeboat.spec["limits"] = {"readBytesPerSecond": 8_000_000}  # seconds, so that it can be paused in time
    with server.connect(autocommit=True) as session, lifeboat.running("backup", *at(server)) as process:
        command_line.wait_for(process, lambda: session.execute(STREAMS).fetchone() == (1,), "WAL is streamed")
        del lifeboat.spec["limits"]
        with command_line.paused(process):
            yield
        done = command_line.outcome(process)
    assert done.returncode == 0, done.stderr


@dataclass
class Story:
    """Transactions that insert 1, 2, 3 … each, behind a backup that has 0."""
    xids: list[str] = field(default_factory=lambda: ["-"])
    lsns: list[str] = field(default_factory=lambda: ["-"])
    times: list[str] = field(default_factory=lambda: ["-"])

    def go_on(self, server: Postgres, count: int) -> None:
        for _ in range(count):
            server.sql(f"INSERT INTO story VALUES ({len(self.xids)})")
            xid, lsn = server.sql("SELECT max(xmin::text::bigint), pg_current_wal_insert_lsn() FROM story").split("|")
            self.xids.append(xid)
            self.lsns.append(lsn)
            self.times.append(server.sql(f"SELECT pg_xact_commit_timestamp('{xid}'::xid) AT TIME ZONE 'UTC'") + "Z")


@pytest.fixture
def source(cluster, newest) -> Postgres:
    server = cluster(newest, track_commit_timestamp="on")
    server.add_role(PASSWORD)
    server.sql("CREATE TABLE story (i int); INSERT INTO story VALUES (0)")
    return server


@pytest.fixture
def story(source, lifeboat) -> Story:
    """One backup before it, and one around both."""
    story = Story()
    with long_backup(lifeboat, source):
        lifeboat.backup(source)
        story.go_on(source, 3)
        source.sql("SELECT pg_create_restore_point('after three')")
        story.go_on(source, 3)
    return story


def position(lsn: str) -> int:
    high, low = lsn.split("/")
    return int(high, 16) << 32 | int(low, 16)


def test_a_copy_archives_nowhere_and_follows_nobody(cluster, lifeboat, major, workspace):
    archive = host.make_directory(workspace / "archive")
    server = cluster(major, archive_mode="on", archive_command=f"cp %p {archive}/%f", archive_timeout="1s",
                     archive_cleanup_command=f"touch {archive}/cleaned", recovery_end_command=f"touch {archive}/ended")
    server.add_role(PASSWORD)
    server.sql("ALTER SYSTEM SET primary_slot_name = 'taken'")
    server.sql("ALTER SYSTEM SET primary_conninfo = 'host=nowhere'")
    server.sql("ALTER SYSTEM SET work_mem = '5MB'")
    lifeboat.backup(server)
    server.stop()
    before = sorted(path.name for path in archive.iterdir())
    copy = cluster.adopt(Postgres(major, workspace / "copy"))
    done = lifeboat.run("restore", "--to", copy.data)
    assert "archives nowhere" in done.stdout
    assert_verified(major, copy.data)
    copy.start()
    copy.sql("CREATE TABLE t AS SELECT 1; SELECT pg_switch_wal(); CREATE TABLE u AS SELECT 1; SELECT pg_switch_wal()")
    assert copy.sql("SHOW archive_mode; SHOW primary_slot_name; SHOW primary_conninfo; SHOW work_mem").split("\n") == [
        "off", "", "", "5MB"]
    assert sorted(path.name for path in archive.iterdir()) == before

    # It goes on when it is told to, and its own copies again archive nowhere.
    copy.sql("ALTER SYSTEM RESET archive_mode")
    copy.sql("ALTER SYSTEM RESET archive_command")
    copy.stop()
    copy.start()
    assert copy.sql("SHOW archive_mode") == "on"
    lifeboat.spec["regions"][0]["file"]["path"] = str(host.make_directory(workspace / "other"))
    lifeboat.backup(copy)
    copy.stop()
    again = cluster.adopt(Postgres(major, workspace / "again"))
    lifeboat.restore(again.data)
    again.start()
    assert again.sql("SHOW archive_mode") == "off"


def test_the_windows_and_the_gaps_between_them_are_listed(source, story, lifeboat):
    [first, around] = sorted(lifeboat.list(), key=lambda manifest: manifest["finished"])
    shown = lifeboat.json("list", "--windows")
    [window] = shown["windows"]
    assert shown["gaps"] == []
    assert (window["timeline"], window["idle"]) == (1, False)
    assert window["backups"] == [first["id"], around["id"]]
    assert window["from"]["lsn"] == first["stopLSN"]
    assert position(window["to"]["lsn"]) >= position(around["stopLSN"])
    assert window["to"]["time"].rstrip("Z") >= story.times[-1].replace(" ", "T").rstrip("Z")

    # What happens between this backup and the next is lost: nobody takes the WAL there.
    source.sql("SELECT pg_switch_wal(); INSERT INTO story VALUES (100); SELECT pg_switch_wal()")
    later = lifeboat.backup(source)
    shown = lifeboat.json("list", "--windows")
    assert [window["backups"][-1] for window in shown["windows"]] == [around["id"], later["id"]]
    [gap] = shown["gaps"]
    assert gap["timeline"] == 1 and gap["from"] == window["to"]["lsn"]
    backups, windows = lifeboat.run("list").stdout.split("\n\n")
    assert [line.split()[0] for line in backups.splitlines()[1:]] == [
        manifest["id"] for manifest in lifeboat.list()]
    title, *lines = windows.splitlines()
    assert title.split() == ["RECOVERABLE", "FROM", "TO", "FROM", "LSN", "TO", "LSN", "TIMELINE", "BACKUPS"]
    assert len(lines) == 3 and window["to"]["lsn"] in lines[0]
    assert lines[2].split() == ["gap", "no", "WAL", "from", gap["from"], "to", gap["to"], "on", "timeline", "1"]
    assert lifeboat.run("list", "--windows").stdout == windows
