# SPDX-License-Identifier: Apache-2.0
"""The ledger's model, by which restores are judged, is judged by PostgreSQL: by recoveries in which nothing is ours."""

import json
import random
import shutil
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

import chance
import host
import ledger as ledgers
from journal import Record, Target, lsn, replayed
from ledger import Ledger
from postgres import Postgres

ROUNDS = 10 if chance.FULL else 1


@dataclass(frozen=True)
class Base:
    """What pg_basebackup makes."""
    directory: Path
    timeline: int
    end: int  # a recovery from it is consistent there

    @classmethod
    def take(cls, server: Postgres, directory: Path) -> "Base":
        server.tool("pg_basebackup", "--pgdata", directory, "--wal-method=none", "--checkpoint=fast", "--no-sync")
        [needed] = json.loads((directory / "backup_manifest").read_text())["WAL-Ranges"]
        return cls(directory, needed["Timeline"], lsn(needed["End-LSN"]))


@dataclass
class History:
    """What a ledger went through, with an archive of all of it."""
    ledger: Ledger
    archive: Path
    bases: list[Base]

    def recover(self, copy: Postgres, base: Base, target: Target) -> None:
        host.run(["cp", "--archive", base.directory, copy.data])
        copy.configure(restore_command=f"cp {self.archive}/%f %p", archive_mode="off", recovery_target_action="promote",
                       **self.ledger.journal.direct(target).settings())
        (copy.data / "recovery.signal").touch()
        copy.start().wait_until_recovered()

    def rescue(self, server: Postgres, timeline: int) -> None:
        """Archives what a server that is no more had no time to."""
        segments = (server.data / "pg_wal").glob(f"{timeline:08X}" + "[0-9A-F]" * 16)
        host.run(["cp", *segments, self.archive])

    def targets(self, dice: random.Random) -> list[tuple[Base, Target]]:
        """One of each kind, each with a base from which it can be reached."""
        journal, found = self.ledger.journal, []
        for kind in ("time", "lsn", "xid", "name", "immediate", "latest"):
            timeline = dice.choice([1, 2])
            base = dice.choice([base for base in self.bases if base.timeline in journal.ancestors(timeline)])
            if kind == "immediate":
                target = Target(kind, base.end, base.timeline)
            elif kind == "latest":
                target = Target(kind, None, timeline)
            else:
                target = journal.random_target(dice, kind, timeline, base.end)
            found.append((base, target))
        return found


def live(cluster, workspace: Path, major: int, dice: random.Random) -> History:
    """A primary dies some time after its standby was promoted, and clients wrote to it all the time."""
    archive = host.make_directory(workspace / "archive")
    primary = cluster(major, archive_mode="on", archive_command=f"cp %p {archive}/%f", **ledgers.SETTINGS)
    ledger = Ledger(primary, dice)
    bases = [Base.take(primary, workspace / "first")]
    standby = cluster.standby(primary)
    ledger.journal.watch(standby)
    with ledger.load(primary):
        ledger.wait_for(100)
        ledger.restore_point(primary)
        bases.append(Base.take(primary, workspace / "second"))
        ledger.wait_for(100)
        primary.sql("SELECT pg_switch_wal()")
        ledger.restore_point(primary)
        ledger.wait_for(50)
    with ledger.load(primary, dies=True):
        ledger.wait_for(100)
        standby.promote()
        ledger.restore_point(primary)
        ledger.wait_for(100)
        primary.kill()
    with ledger.load(standby):
        ledger.wait_for(50)
        bases.append(Base.take(standby, workspace / "third"))
        ledger.wait_for(100)
        ledger.restore_point(standby)
        ledger.wait_for(50)
    standby.stop()
    history = History(ledger, archive, bases)
    history.rescue(primary, 1)
    history.rescue(standby, 2)
    return history


def test_the_model_is_what_postgresql_recovers(cluster, workspace, major):
    dice = chance.dice()
    history = live(cluster, workspace, major, dice)
    for number, (base, target) in enumerate(found for _ in range(ROUNDS) for found in history.targets(dice)):
        print(base.directory.name, target)
        copy = cluster.adopt(Postgres(major, workspace / f"copy{number}"))
        history.recover(copy, base, target)
        history.ledger.assert_at(copy, target)
        if target.kind == "latest":
            assert history.ledger.lost(copy, target.timeline) == []
            copy.sql("UPDATE accounts SET balance = balance + CASE id WHEN 0 THEN 1 ELSE -1 END WHERE id < 2")
            with pytest.raises(AssertionError, match="balances are not"):
                history.ledger.assert_at(copy, target)
            copy.sql("DELETE FROM transfers WHERE ctid = (SELECT ctid FROM transfers ORDER BY number LIMIT 1)")
            with pytest.raises(AssertionError, match="1 of [0-9]+ transfers are missing, 0 should not be there"):
                history.ledger.assert_at(copy, target)
        copy.end()
        shutil.rmtree(copy.home)


def test_what_was_lost_is_the_end_of_the_history(cluster, workspace, newest):
    primary = cluster(newest, **ledgers.SETTINGS)
    ledger = Ledger(primary, chance.dice())
    standby = cluster.standby(primary)
    ledger.journal.watch(standby)
    with ledger.load(primary, dies=True):
        ledger.wait_for(50)
        standby.promote()
        ledger.wait_for(50)
        primary.kill()
    lost = ledger.lost(standby, 1)
    assert len(lost) >= 20
    ledger.read(standby)
    assert ledger.lost(standby, 2) == []
    standby.sql("DELETE FROM transfers WHERE ctid = (SELECT ctid FROM transfers ORDER BY number LIMIT 1)")
    with pytest.raises(AssertionError, match="is not the first"):
        ledger.lost(standby, 1)


def moment(second: int) -> datetime:
    return datetime(2026, 11, 21, tzinfo=timezone.utc) + timedelta(seconds=second)


COURSE = [
    Record(100, 50, "commit", 11, moment(10)),
    Record(200, 150, "commit", 14, moment(20)),
    Record(300, 250, "abort", 13, moment(30)),
    Record(400, 350, "restore point", name="here"),
    Record(500, 400, "commit", 12, moment(15)),
    Record(600, 550, "commit", 15, moment(50)),
]


@pytest.mark.parametrize("target, count", [
    (Target("time", moment(20), 1), 2),  # though what was committed at 15 lies behind
    (Target("time", moment(20), 1, inclusive=False), 1),
    (Target("time", moment(29), 1), 2),  # the end of an aborted transaction ends a recovery as well
    (Target("time", moment(30), 1), 5),
    (Target("lsn", 100, 1), 1),
    (Target("lsn", 100, 1, inclusive=False), 0),
    (Target("lsn", 101, 1), 1),  # what is at 150, no end of a transaction, is the first from there on
    (Target("lsn", 151, 1), 2),
    (Target("lsn", 200, 1, inclusive=False), 1),
    (Target("xid", 13, 1), 3),
    (Target("xid", 13, 1, inclusive=False), 2),
    (Target("name", "here", 1), 4),
    (Target("immediate", 301, 1), 3),
    (Target("latest", None, 1), 6),
], ids=str)
def test_a_target_ends_a_recovery_where_the_manual_says(target, count):
    assert replayed(COURSE, target) == COURSE[:count]


@pytest.mark.parametrize("target", [Target("time", moment(50), 1), Target("lsn", 601, 1), Target("xid", 99, 1),
                                    Target("name", "there", 1)], ids=str)
def test_a_target_that_is_not_reached_is_told(target):
    with pytest.raises(AssertionError, match="is not reached"):
        replayed(COURSE, target)
