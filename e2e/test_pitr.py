# SPDX-License-Identifier: Apache-2.0
"""Seconds of loss, any point in time back: what is restored is the ledger as it was there, and nothing else."""

import random
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

import chance
import host
import ledger as ledgers
from journal import Target, lsn
from ledger import Ledger
from lifeboat import PASSWORD, Lifeboat, wait_until_nobody_answers
from postgres import MAJORS, Postgres, assert_verified
from receiving import Receiver, receiving

VERSIONS = (15, 17, 18) if chance.FULL else MAJORS[-1:]
TARGETS = 50 if chance.FULL else 10
LOSSES = 10 if chance.FULL else 1
ALL = ["--target-latest", "--target-action", "promote"]
KINDS = ("time", "lsn", "xid", "name", "time", "lsn", "xid", "immediate", "latest")
MIB = 1 << 20


def written(server: Postgres) -> int:
    return lsn(server.sql("SELECT pg_current_wal_insert_lsn()"))


class History:
    """A ledger on three servers, each of which takes the place of the one before, with a backup of each."""

    def __init__(self, cluster, lifeboat: Lifeboat, major: int, dice: random.Random):
        self.lifeboat = lifeboat
        self.backups: list[dict] = []
        self._cluster, self._dice = cluster, dice
        self.first = cluster(major, "first", **ledgers.SETTINGS)
        self.first.add_role(PASSWORD)
        self.ledger = Ledger(self.first, dice)
        second = self._standby_of(self.first, "second")
        self._failover(second)
        third = self._standby_of(second, "third")
        self._switchover(second, third)
        self._end(third)

    def _standby_of(self, server: Postgres, name: str) -> Postgres:
        standby = self._cluster.standby(server, name)
        self.ledger.journal.watch(standby)
        return standby

    def _failover(self, second: Postgres) -> None:
        """The first goes on for a while after the second was promoted, and what it writes is kept as well."""
        with receiving(self.lifeboat, self.first) as receiver:
            self._back_up(self.first, "full")
            self.begin = written(self.first)  # all of the ledger is behind the backup
            self._live(self.first)
            self._back_up(self.first, "incremental")
            with self.ledger.load(self.first):
                self.ledger.wait_for(50)
                second.promote()
                self.ledger.wait_for(50)
                self.ledger.restore_point(self.first)
                self.ledger.wait_for(50)
            receiver.wait_until_durable()
            self.first.kill()

    def _switchover(self, second: Postgres, third: Postgres) -> None:
        with receiving(self.lifeboat, second):
            self._live(second)
            self._back_up(second, "differential")
            self._live(second)
            third.wait_for_replay(second)
            second.stop()
        third.promote()

    def _end(self, third: Postgres) -> None:
        with receiving(self.lifeboat, third):
            self._live(third)
            self._back_up(third, "incremental")
            self._live(third)
        third.end()

    def _live(self, server: Postgres) -> None:
        with self.ledger.load(server):
            self.ledger.wait_for(50)
            self.ledger.restore_point(server)
            server.sql("SELECT pg_switch_wal()")
            self.ledger.wait_for(50)

    def _back_up(self, server: Postgres, type: str) -> None:
        with self.ledger.load(server, clients=1):
            self.backups.append(self.lifeboat.backup(server, "--type", type))
            self.ledger.wait_for(5)

    def random_target(self, kind: str) -> tuple[Target, list]:
        """With the options that say the same to Lifeboat."""
        journal, rest = self.ledger.journal, ["--target-action", "promote"]
        if kind == "immediate":
            backup = self._dice.choice(self.backups)
            target = Target(kind, lsn(backup["stopLSN"]), backup["wal"][-1]["timeline"])
            return target, [*options(target, True), "--backup", backup["id"], *rest]
        timeline = self._dice.choice([1, 2, 3, 3, 3])
        target = (Target(kind, None, timeline) if kind == "latest"
                  else journal.random_target(self._dice, kind, timeline, self.begin))
        return target, [*options(target, self._dice.random() < 0.5 and timeline == 3), *rest]


def options(target: Target, is_default: bool = False) -> list[str]:
    """Of `restore`; the timeline is left away where it is the one that is taken anyway."""
    words = [f"--target-{target.kind}"]
    if target.kind not in ("immediate", "latest"):
        words.append(target.text())
    if not target.inclusive:
        words.append("--target-exclusive")
    return words + ([] if is_default else ["--target-timeline", str(target.timeline)])


def stream(lifeboat: Lifeboat, flush_s: int) -> Lifeboat:
    lifeboat.spec["wal"] = {"mode": "Stream", "flushSeconds": flush_s}
    return lifeboat


@contextmanager
def restored(cluster, lifeboat: Lifeboat, home: Path, major: int, words: list) -> Iterator[Postgres]:
    """A copy that has recovered to its target and was promoted there."""
    copy = cluster.adopt(Postgres(major, home))
    lifeboat.restore(copy.data, *words)
    assert_verified(major, copy.data)
    copy.start().wait_until_recovered()
    yield copy
    copy.end()
    wait_until_nobody_answers(copy)
    shutil.rmtree(copy.home)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_restore_to_any_target_is_the_ledger_as_it_was_there(cluster, lifeboat, workspace, version):
    dice = chance.dice()
    history = History(cluster, stream(lifeboat, flush_s=1), version, dice)
    for number in range(TARGETS):
        target, words = history.random_target(KINDS[number % len(KINDS)])
        print(*map(str, words))
        with restored(cluster, lifeboat, workspace / f"copy{number}", version, words) as copy:
            history.ledger.assert_at(copy, target)
            left = "SELECT name, setting FROM pg_settings WHERE name IN ('archive_mode', 'primary_conninfo', 'primary_slot_name')"
            assert copy.sql(f"{left} ORDER BY 1") == "archive_mode|off\nprimary_conninfo|\nprimary_slot_name|"


def test_what_was_prepared_before_a_fork_is_there_again_before_it(cluster, lifeboat, workspace, newest):
    """PostgreSQL cannot do it along the timeline that begins there: see Journal.direct."""
    primary = cluster(newest, **ledgers.SETTINGS)
    primary.add_role(PASSWORD)
    standby = cluster.standby(primary)
    with receiving(stream(lifeboat, flush_s=1), primary) as receiver:
        lifeboat.backup(primary)
        primary.sql("CREATE TABLE t (i int); INSERT INTO t VALUES (1); SELECT pg_switch_wal()")
        primary.sql("BEGIN; INSERT INTO t VALUES (2); PREPARE TRANSACTION 'pending'")
        target = primary.sql("INSERT INTO t VALUES (3) RETURNING xmin")
        primary.sql("INSERT INTO t VALUES (4)")
        standby.wait_for_replay(primary)
        receiver.wait_until_durable()
        primary.stop()
    standby.promote()
    with receiving(lifeboat, standby) as receiver:
        standby.sql("COMMIT PREPARED 'pending'")
        receiver.wait_until_durable()
    words = ["--target-xid", target, "--target-action", "promote"]
    with restored(cluster, lifeboat, workspace / "before", newest, words) as copy:
        assert copy.sql("SELECT i FROM t ORDER BY i").split() == ["1", "3"]
        copy.sql("COMMIT PREPARED 'pending'")
        assert copy.sql("SELECT i FROM t ORDER BY i").split() == ["1", "2", "3"]
    with restored(cluster, lifeboat, workspace / "behind", newest, ALL) as copy:
        assert copy.sql("SELECT i FROM t ORDER BY i").split() == ["1", "2", "3", "4"]


def test_targets_at_the_edges_are_reached(cluster, lifeboat, workspace, newest):
    """The end of a backup, a fork, and what ends without being committed."""
    primary = cluster(newest, **ledgers.SETTINGS)
    primary.add_role(PASSWORD)
    primary.sql("CREATE TABLE t (i int)")
    standby = cluster.standby(primary)
    with receiving(stream(lifeboat, flush_s=1), primary) as receiver:
        stop = lifeboat.backup(primary)["stopLSN"]
        primary.sql("INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)")
        undone = primary.sql("BEGIN; SAVEPOINT s; INSERT INTO t VALUES (-1); SELECT xmin FROM t WHERE i < 0; ROLLBACK TO s; "
                             "INSERT INTO t VALUES (3); COMMIT")
        aborted = primary.sql("BEGIN; INSERT INTO t VALUES (-2); SELECT pg_current_xact_id(); ROLLBACK")
        standby.wait_for_replay(primary)
        receiver.wait_until_durable()
        primary.stop()
    standby.promote()
    with receiving(lifeboat, standby) as receiver:
        standby.sql("INSERT INTO t VALUES (4); INSERT INTO t VALUES (5)")
        receiver.wait_until_durable()
    fork = (standby.data / "pg_wal" / "00000002.history").read_text().split()[1]
    lifeboat.failure("restore", "--to", workspace / "never", "--target-lsn", fork, "--target-timeline", "1").names(
        f"the WAL ends at {fork}")
    for number, (words, rows, timeline) in enumerate([
        (["--target-lsn", stop], 0, 1),
        (["--target-lsn", stop, "--target-exclusive"], 0, 1),
        (["--target-xid", undone], 2, 1),
        (["--target-xid", aborted], 3, 1),
        (["--target-lsn", fork], 3, 2),
        (["--target-lsn", fork, "--target-exclusive"], 3, 2),
        (["--target-latest", "--target-timeline", "1"], 3, 1),
    ]):
        words += ["--target-action", "promote"]
        with restored(cluster, lifeboat, workspace / f"copy{number}", newest, words) as copy:
            assert copy.sql("SELECT i FROM t ORDER BY i").split() == [str(row) for row in range(1, rows + 1)], words
            history = (copy.data / "pg_wal" / "00000003.history").read_text()
            assert [line.split("\t")[0] for line in history.splitlines() if line] == ["1", "2"][:timeline], words


@pytest.mark.parametrize("down", [False, True], ids=["both-regions", "one-region-down"])
def test_a_machine_lost_with_its_volume_costs_seconds(cluster, lifeboat, workspace, newest, s3, flaky_s3, down):
    dice, costs = chance.dice(), []
    for number in range(LOSSES):
        stream(lifeboat, flush_s=5).spec["regions"] = []
        lifeboat.add_s3("eu", s3, s3.make_bucket(f"eu-{secrets.token_hex(4)}"))
        lifeboat.add_s3("us", flaky_s3, s3.make_bucket(f"us-{secrets.token_hex(4)}"))
        primary = cluster(newest, f"primary{number}", **ledgers.SETTINGS)
        primary.add_role(PASSWORD)
        ledger = Ledger(primary, dice)
        receiver = Receiver(lifeboat, primary).start()
        with ExitStack() as trouble:
            trouble.callback(receiver.end)
            lifeboat.backup(primary)
            with ledger.load(primary, dies=True):
                if down:
                    ledger.wait_for(50)
                    trouble.enter_context(dice.choice([flaky_s3.proxy.resetting, flaky_s3.proxy.stalled])())
                time.sleep(dice.uniform(8, 16))  # any moment between two flushes
                died_s = time.time()
                receiver.end()  # which is on the same machine
                primary.kill()
        shutil.rmtree(primary.data)
        with restored(cluster, lifeboat, workspace / f"copy{number}", newest, ALL) as copy:
            lost = ledger.lost(copy, 1)
        costs.append(died_s - min((transfer.acknowledged_s for transfer in lost), default=died_s))
        pause = ledger.longest_pause_s()
        print(f"{len(lost)} commits of the last {costs[-1]:.1f} s were lost; the longest pause was {pause:.1f} s")
        assert costs[-1] <= 10 + pause  # so much the machine itself stood still
    print("seconds lost:", *(f"{cost:.1f}" for cost in sorted(costs)))


def troubles(flaky_s3) -> list[Callable]:
    return [flaky_s3.proxy.resetting, lambda: flaky_s3.proxy.resetting(0.5, 50), lambda: flaky_s3.proxy.delayed(500, 400),
            flaky_s3.proxy.stalled, flaky_s3.busy]


def test_a_sick_bucket_leaves_no_gap_and_does_not_hold_the_database_up(cluster, lifeboat, workspace, newest, s3, flaky_s3):
    dice = chance.dice()
    stream(lifeboat, flush_s=2).spec["regions"] = []
    lifeboat.add_s3("us", flaky_s3, s3.make_bucket(f"sick-{secrets.token_hex(4)}"))
    primary = cluster(newest, **ledgers.SETTINGS)
    primary.add_role(PASSWORD)
    ledger = Ledger(primary, dice)
    with receiving(lifeboat, primary) as receiver:
        lifeboat.backup(primary)
        with ledger.load(primary):
            for trouble in troubles(flaky_s3):
                print(trouble)
                with trouble():
                    for _ in range(60 if chance.FULL else 4):
                        time.sleep(2)
                        ledger.wait_for(20)  # whoever waited for the bucket would do so until it is well again
                        primary.sql("SELECT pg_switch_wal()")
                ledger.read(primary)
        began = time.monotonic()
        receiver.wait_until_durable()
        peak = receiver.peak_memory_bytes()
        print(f"caught up after {time.monotonic() - began:.1f} s, with {peak // MIB} MiB at most; the longest pause of "
              f"the database was {ledger.longest_pause_s():.1f} s")
        assert peak < (2 + 1) * 16 * MIB + 32 * MIB
    with restored(cluster, lifeboat, workspace / "copy", newest, ALL) as copy:
        assert ledger.lost(copy, 1) == []
