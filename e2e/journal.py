# SPDX-License-Identifier: Apache-2.0
"""What a recovery to a target stops at: the ends of all transactions in the order of the write-ahead log, over changes of
the timeline, as PostgreSQL's own pg_waldump reads them.

Clients cannot know that order, nor can clocks: the time of a commit is taken before its record gets its place, so that
with several clients times and places disagree now and then.
"""

import random
import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from postgres import Postgres

SLOT = "journal"

_RECORD = re.compile(r"^rmgr: .*, tx: +(\d+), lsn: ([0-9A-F/]+), prev ([0-9A-F/]+), desc: (\w+) (.*)$")
_END = re.compile(r"(?:(\d+): )?(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}) UTC")  # the xid is that of a prepared transaction
_KINDS = {"COMMIT": "commit", "COMMIT_PREPARED": "commit", "ABORT": "abort", "ABORT_PREPARED": "abort",
          "RESTORE_POINT": "restore point"}
_FORK = re.compile(r"^(\d+)\t([0-9A-F/]+)\t", re.MULTILINE)


def lsn(text: str) -> int:
    high, low = text.split("/")
    return int(high, 16) << 32 | int(low, 16)


def lsn_text(position: int) -> str:
    return f"{position >> 32:X}/{position & 0xffffffff:X}"


@dataclass(frozen=True)
class Record:
    lsn: int  # where it begins
    previous: int  # where the record of any kind before it begins
    kind: str  # commit, abort, restore point
    xid: int = 0
    time: datetime | None = None  # of the end of a transaction
    name: str = ""  # of a restore point


@dataclass(frozen=True)
class Target:
    """Where a recovery along `timeline` ends. Values are a time, an LSN, an xid or a name; for `immediate` the LSN from
    which the backup is consistent; none for `latest`."""
    kind: str
    value: datetime | int | str | None
    timeline: int
    inclusive: bool = True

    def stops_before(self, record: Record) -> bool:
        if self.kind == "time":
            return record.time is not None and (record.time > self.value or not self.inclusive and record.time == self.value)
        if self.kind == "lsn":  # where nothing stops after it, something that is not in the journal was the first from there on
            return record.previous >= self.value if self.inclusive else record.lsn >= self.value
        if self.kind == "xid":
            return record.xid == self.value and not self.inclusive
        return self.kind == "immediate" and record.lsn >= self.value

    def stops_after(self, record: Record) -> bool:
        """Only asked where it does not stop before."""
        if self.kind == "lsn":
            return record.lsn >= self.value
        if self.kind == "xid":
            return record.xid == self.value
        return self.kind == "name" and record.name == self.value

    def text(self) -> str:
        if self.kind == "time":
            return self.value.isoformat(sep=" ", timespec="microseconds")
        return lsn_text(self.value) if self.kind in ("lsn", "immediate") else str(self.value)

    def __str__(self) -> str:
        place = "" if self.inclusive else ", exclusive"
        return f"{self.kind}{'' if self.value is None else f' {self.text()}'}{place}, on timeline {self.timeline}"

    def settings(self) -> dict[str, str]:
        """Those of PostgreSQL's own recovery."""
        target = {"immediate": {"recovery_target": "immediate"}, "latest": {}}
        return {"recovery_target_timeline": str(self.timeline), "recovery_target_inclusive": str(self.inclusive).lower(),
                **target.get(self.kind, {f"recovery_target_{self.kind}": self.text()})}


def replayed(course: list[Record], target: Target) -> list[Record]:
    """What a recovery along a course replays before it ends at the target, which has to be reached."""
    for number, record in enumerate(course):
        if target.stops_before(record):
            return course[:number]
        if target.stops_after(record):
            return course[:number + 1]
    assert target.kind in ("immediate", "latest"), f"{target} is not reached"
    return course


class Journal:
    """Of a server and those that were promoted from it, each of which is watched from before it writes."""

    def __init__(self):
        self._timelines: dict[int, dict[int, Record]] = {}  # by LSN
        self._forks: dict[int, tuple[int, int]] = {}  # by timeline: the parent (0: none), and where it was left

    def watch(self, server: Postgres) -> None:
        """The server, perhaps a standby, keeps what it writes until that is read here."""
        server.sql(f"SELECT pg_create_physical_replication_slot('{SLOT}', true)")
        if not self._forks:
            file, begin = server.sql("SELECT pg_walfile_name(lsn), lsn FROM pg_current_wal_insert_lsn() lsn").split("|")
            self._forks[int(file[:8], 16)] = (0, lsn(begin))

    def read(self, server: Postgres) -> int:
        """What a primary has written since, also if it has died; returns its timeline."""
        wal = server.data / "pg_wal"
        timeline = max(int(file.name[:8], 16) for file in wal.iterdir() if re.fullmatch("[0-9A-F]{24}", file.name))
        self._learn_history(wal, timeline)
        records = self._timelines.setdefault(timeline, {})
        running = server.is_running()
        end = ["--end", server.sql("SELECT pg_current_wal_flush_lsn()")] if running else []
        begin = max(records, default=self._forks[timeline][1])
        # It fails at the end of what was written, and where that is nothing: the ledger sees if anything is missing.
        said = server.tool("pg_waldump", "--path", wal, "--timeline", str(timeline), "--start", lsn_text(begin), *end,
                           "--rmgr=Transaction", "--rmgr=XLOG", check=False).stdout
        records |= {record.lsn: record for record in map(_parse, said.splitlines()) if record is not None}
        if running and records:
            server.sql(f"SELECT pg_replication_slot_advance('{SLOT}', '{lsn_text(max(records))}')")
        return timeline

    def fork(self, timeline: int) -> int:
        """Where it left its parent, or where the journal begins."""
        return self._forks[timeline][1]

    def course(self, timeline: int) -> list[Record]:
        """What a recovery along this timeline meets, in this order."""
        parent, fork = self._forks[timeline]
        before = [record for record in self.course(parent) if record.lsn < fork] if parent else []
        return before + [record for _, record in sorted(self._timelines.get(timeline, {}).items())]

    def ancestors(self, timeline: int) -> list[int]:
        """It and those that it came from, the newest first."""
        parent, _ = self._forks[timeline]
        return [timeline, *(self.ancestors(parent) if parent else [])]

    def timeline_of(self, timeline: int, record: Record) -> int:
        """The one, of those on the course of `timeline`, on which the record was written."""
        return next(found for found in self.ancestors(timeline) if record.lsn in self._timelines.get(found, {}))

    def direct(self, target: Target) -> Target:
        """The same, along the timeline on which it lies, as Lifeboat puts it. Along a later one PostgreSQL does not
        find what transactions have prepared that are left over at the end, if it is in the segment in which that timeline
        begins: it has this segment under the name of the later timeline, and looks for the other one."""
        stop = _stop(self.course(target.timeline), target)
        return target if stop is None else replace(target, timeline=self.timeline_of(target.timeline, stop))

    def replayed(self, target: Target) -> list[Record]:
        """All up to the target, which has to be reached."""
        return replayed(self.course(target.timeline), target)

    def random_target(self, dice: random.Random, kind: str, timeline: int, after: int) -> Target:
        """A time, lsn, xid or name that a recovery along the timeline, consistent from the LSN `after` on, reaches."""
        course = self.course(timeline)
        near = [record for record in course if record.previous >= after]
        for _ in range(1000):
            target = Target(kind, _random_value(dice, kind, near), timeline, kind == "name" or dice.random() < 0.5)
            stop = _stop(course, target)
            if stop is None or stop.previous < after:
                continue
            if kind != "lsn" or target.value >= max(after, self.fork(self.timeline_of(timeline, stop))):
                return target  # an LSN whose timeline is clear
        raise AssertionError(f"no {kind} is found behind {lsn_text(after)} on timeline {timeline}")

    def _learn_history(self, wal: Path, timeline: int) -> None:
        file = wal / f"{timeline:08X}.history"
        if timeline in self._forks or not file.exists():
            return
        parents = [(int(parent), lsn(fork)) for parent, fork in _FORK.findall(file.read_text())]
        for child, parent in zip([*(parent for parent, _ in parents[1:]), timeline], parents):
            self._forks.setdefault(child, parent)


def _stop(course: list[Record], target: Target) -> Record | None:
    return next((record for record in course if target.stops_before(record) or target.stops_after(record)), None)


def _parse(line: str) -> Record | None:
    match = _RECORD.match(line)
    if match is None or match[4] not in _KINDS:
        return None
    place, kind = (lsn(match[2]), lsn(match[3])), _KINDS[match[4]]
    if kind == "restore point":
        return Record(*place, kind, name=match[5])
    end = _END.match(match[5])
    return Record(*place, kind, int(end[1] or match[1]), datetime.fromisoformat(f"{end[2]}+00:00"))


def _random_value(dice: random.Random, kind: str, records: list[Record]) -> datetime | int | str:
    if kind == "name":
        return dice.choice([record.name for record in records if record.name])
    ends = [record for record in records if record.time is not None]
    one = dice.choice(ends)
    if kind == "xid":
        return one.xid
    if kind == "lsn":
        return dice.choice([one.previous, one.previous + 1, dice.randint(one.previous, one.lsn), one.lsn, one.lsn + 1])
    swapped = [record for record, next in zip(ends, ends[1:]) if next.time < record.time]
    if swapped and dice.random() < 0.3:  # clocks and places disagree
        one = dice.choice(swapped)
    return one.time + timedelta(microseconds=dice.choice([-1, 0, 1, dice.randint(0, 20000)]))
