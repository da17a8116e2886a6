# SPDX-License-Identifier: Apache-2.0
"""Restores to a point between backups: what can be reached is told beforehand, and is what PostgreSQL then reaches."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import host
import lifeboat as command_line
from lifeboat import PASSWORD, Lifeboat, at
from postgres import Postgres, assert_verified
from receiving import receiving

STREAMS = "SELECT count(*) FROM pg_stat_replication WHERE usename = 'lifeboat' AND state = 'streaming'"
BEHIND_ALL = "2999-01-01 00:00:00+00"


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
    subtransaction: str = ""

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
        source.sql("SELECT pg_create_restore_point('after three')")  # whose first is taken
        story.subtransaction = source.sql("BEGIN; SELECT pg_current_xact_id(); SAVEPOINT s; CREATE TABLE empty (); "
                                          "SELECT xmin FROM pg_class WHERE relname = 'empty'; COMMIT").split()[1]
    return story


def position(lsn: str) -> int:
    high, low = lsn.split("/")
    return int(high, 16) << 32 | int(low, 16)


def test_a_copy_archives_nowhere_and_follows_nobody(cluster, lifeboat, major, workspace):
    archive = host.make_directory(workspace / "archive")
    server = cluster(major, archive_mode="on", archive_command=f"cp %p {archive}/%f", archive_timeout="1s",
                     archive_cleanup_command=f"touch {archive}/cleaned", recovery_end_command=f"touch {archive}/ended",
                     wal_level="logical")
    server.add_role(PASSWORD)
    server.sql("ALTER SYSTEM SET primary_slot_name = 'taken'")
    server.sql("ALTER SYSTEM SET primary_conninfo = 'host=nowhere'")
    server.sql("ALTER SYSTEM SET work_mem = '5MB'")
    server.sql("SELECT pg_create_physical_replication_slot('taken', true)")
    server.sql("SELECT pg_create_logical_replication_slot('ours', 'pgoutput')")
    server.sql("CREATE SUBSCRIPTION s CONNECTION 'host=nowhere' PUBLICATION p WITH (connect = false, slot_name = 'theirs')")
    server.sql("ALTER SUBSCRIPTION s ENABLE")
    server.sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
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
    assert copy.sql("SELECT count(*) FROM pg_replication_slots") == "0"
    assert copy.sql("SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'logical replication%'") == "0"
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
    lifeboat.failure("restore", "--to", lifeboat.home / "gap", "--backup", first["id"], "--target-latest").names(
        f"no WAL from {gap['from']} to {gap['to']} on timeline 1")


def test_what_cannot_be_reached_is_refused_before_anything_is_copied(source, story, lifeboat):
    [window] = lifeboat.json("list", "--windows")["windows"]
    [first, around] = sorted(lifeboat.list(), key=lambda manifest: manifest["finished"])
    told = f"there is to timeline 1 from {window['from']['time'][:19]}Z ({window['from']['lsn']}) to " \
           f"{window['to']['time'][:19]}Z ({window['to']['lsn']})"
    to = lifeboat.home / "never"
    for options, reason in [
        (["--target-time", "2020-01-01 00:00:00Z"], "to the time '2020-01-01 00:00:00Z'"),
        (["--target-time", BEHIND_ALL], f"the last transaction in the WAL ended at {window['to']['time']}"),
        (["--target-lsn", first["startLSN"]], "to LSN"),
        (["--target-lsn", window["to"]["lsn"]], f"the WAL ends at {window['to']['lsn']}"),
        (["--target-xid", "4000000000"], "to transaction '4000000000'"),
        (["--target-xid", story.subtransaction], "a subtransaction ends with the transaction around it"),
        (["--target-name", "no such point"], "to restore point 'no such point'"),
        (["--target-latest", "--target-timeline", "7"], "no backup leads to timeline 7"),
        (["--target-lsn", story.lsns[1], "--backup", around["id"]], f"from backup '{around['id']}'"),
    ]:
        lifeboat.failure("restore", "--to", to, *options).names(reason, told)
        assert not to.exists()


def rows_of(copy: Postgres) -> list[int]:
    host.wait_until(lambda: copy.sql("SELECT pg_is_in_recovery()") == "f", "it is promoted")
    return [int(row) for row in copy.sql("SELECT i FROM story ORDER BY i").split()]


def test_each_target_is_what_the_copy_becomes(source, story, lifeboat, cluster, workspace):
    around, first = [manifest["id"] for manifest in sorted(lifeboat.list(), key=lambda each: each["started"])]
    for number, (options, count, backup) in enumerate([
        (["--target-time", story.times[3]], 3, first),
        (["--target-time", story.times[3], "--target-exclusive"], 2, first),
        (["--target-xid", story.xids[4]], 4, first),
        (["--target-xid", story.xids[4], "--target-exclusive"], 3, first),
        (["--target-lsn", story.lsns[2]], 2, first),
        (["--target-name", "after three"], 3, first),
        (["--target-immediate", "--backup", first], 0, first),
        (["--target-latest", "--backup", first], 6, first),
        (["--target-latest", "--target-timeline", "current"], 6, around),
    ]):
        copy = cluster.adopt(Postgres(source.major, workspace / f"copy{number}"))
        done = lifeboat.restore(copy.data, *options)
        assert (done["backup"], done["recovery"]["timeline"]) == (backup, 1), options
        assert_verified(source.major, copy.data)
        assert rows_of(copy.start()) == list(range(count + 1)), options
        assert copy.sql("SELECT timeline_id FROM pg_control_checkpoint()") == "2"
        copy.stop()


def test_a_copy_pauses_or_shuts_down_at_its_target_when_told_to(source, story, lifeboat, cluster, workspace):
    paused = cluster.adopt(Postgres(source.major, workspace / "paused"))
    lifeboat.restore(paused.data, "--target-xid", story.xids[2], "--target-action", "pause")
    paused.start()
    host.wait_until(lambda: paused.sql("SELECT pg_get_wal_replay_pause_state()") == "paused", "it is paused")
    assert paused.sql("SELECT count(*), pg_is_in_recovery() FROM story") == "3|t"
    paused.sql("SELECT pg_wal_replay_resume()")
    assert rows_of(paused) == [0, 1, 2]

    ended = cluster.adopt(Postgres(source.major, workspace / "ended"))
    done = lifeboat.run("restore", "--to", ended.data, "--target-xid", story.xids[2], "--target-action", "shutdown")
    assert f"recovers to transaction '{story.xids[2]}' on timeline 1 and shuts down" in done.stdout
    with contextlib.suppress(AssertionError):  # it may be over before pg_ctl has seen it
        ended.start()
    host.wait_until(lambda: not ended.is_running(), "it has shut down")
    assert "shutdown at recovery target" in ended.log.read_text()
    assert (ended.data / "recovery.signal").exists()


def test_a_source_that_asks_for_much_is_recovered(cluster, lifeboat, newest, workspace):
    """What was said on the command line of the source is in none of its files."""
    server = cluster(newest)
    server.stop()
    server.tool("pg_ctl", "start", "--wait", "--silent", "--pgdata", server.data, "--log", server.log, "--options",
                f"-p {server.port} -k {server.home} -c max_connections=333 -c max_prepared_transactions=7 "
                "-c max_locks_per_transaction=99 -c max_worker_processes=33 -c max_wal_senders=17")
    server.add_role(PASSWORD)
    lifeboat.backup(server)
    copy = cluster.adopt(Postgres(newest, workspace / "copy"))
    lifeboat.restore(copy.data, "--target-immediate", "--target-action", "pause")
    copy.start()
    assert copy.sql("SHOW max_connections; SHOW max_prepared_transactions").split() == ["333", "7"]


def test_a_source_that_asked_for_more_after_the_backup_is_recovered(cluster, lifeboat, newest, workspace):
    """PostgreSQL would pause in the middle and wait for somebody to look."""
    server = cluster(newest)
    server.add_role(PASSWORD)
    server.sql("CREATE TABLE story (i int); INSERT INTO story VALUES (0)")
    lifeboat.spec["wal"] = {"mode": "Stream", "flushSeconds": 1}
    with receiving(lifeboat, server):
        lifeboat.backup(server)
        server.stop()
    for settings in [{"max_connections": "222", "max_prepared_transactions": "9"}, {"max_connections": "50"}]:
        server.configure(**settings)
        with receiving(lifeboat, server.start()) as receiver:
            server.sql("INSERT INTO story VALUES (1)")
            receiver.wait_until_durable()
            server.stop()
    for number, words in enumerate([["--target-latest"], ["--target-immediate"]]):
        copy = cluster.adopt(Postgres(newest, workspace / f"copy{number}"))
        lifeboat.restore(copy.data, *words)
        assert rows_of(copy.start()) == ([0, 1, 1] if number == 0 else [0])
        assert copy.sql("SHOW max_connections; SHOW max_prepared_transactions").split() == (
            ["222", "9"] if number == 0 else ["100", "0"])
        copy.end()


def test_a_copy_that_does_not_reach_its_target_never_opens(cluster, lifeboat, newest, workspace):
    """WAL is lost after the restore saw that it is there."""
    server = cluster(newest)
    server.add_role(PASSWORD)
    lifeboat.spec["wal"] = {"mode": "Stream", "flushSeconds": 1}
    with receiving(lifeboat, server) as receiver:
        server.sql("CREATE TABLE story (i int); INSERT INTO story VALUES (0)")
        lifeboat.backup(server)
        server.sql("INSERT INTO story VALUES (1); SELECT pg_switch_wal()")
        target = server.sql("INSERT INTO story VALUES (2) RETURNING xmin")
        server.sql("INSERT INTO story VALUES (3)")
        receiver.wait_until_durable()
    server.end()
    copy = cluster.adopt(Postgres(newest, workspace / "copy"))
    lifeboat.restore(copy.data, "--target-xid", target)
    wal = [path for path in Path(lifeboat.spec["regions"][0]["file"]["path"]).rglob("wal/*/*/*") if path.is_file()]
    newest_segment = max(path.name[:24] for path in wal)
    lost = {path: path.read_bytes() for path in wal if path.name.startswith(newest_segment)}
    for path in lost:
        path.unlink()
    for _ in range(2):
        copy.log.unlink(missing_ok=True)
        with contextlib.suppress(AssertionError):  # it may be over before pg_ctl has seen it
            copy.start()
        host.wait_until(lambda: not copy.is_running(), "it has ended")
        log = copy.log.read_text()
        assert "recovery ended before configured recovery target was reached" in log
        assert "last completed transaction was at log time" in log
        assert (copy.data / "recovery.signal").exists()
    for path, content in lost.items():
        path.write_bytes(content)
    assert rows_of(copy.start()) == [0, 1, 2]


def test_a_server_that_went_too_far_goes_back_in_its_own_place(source, story, lifeboat):
    source.sql("DROP TABLE story")
    source.stop()
    done = lifeboat.restore(source.data, "--delta", "--target-time", story.times[5])
    assert done["keptBytes"] > done["bytes"] / 2
    assert_verified(source.major, source.data)
    assert rows_of(source.start()) == [0, 1, 2, 3, 4, 5]
