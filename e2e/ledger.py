# SPDX-License-Identifier: Apache-2.0
"""A ledger that several clients write at once, and what must be in it wherever a recovery ends.

Each client knows what each of its transactions does, and what the server said of its end. The order in which they came
to their ends is that of the journal. Both are held against each other whenever the journal is read.
"""

import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import psycopg

import host
from journal import Journal, Record, Target, lsn, lsn_text
from postgres import Postgres

# Prepared transactions are among what is written; a server says the times of its commits only if it keeps them.
SETTINGS = {"max_prepared_transactions": "20", "track_commit_timestamp": "on"}

ACCOUNTS = 200
BALANCE = 1000  # of each account at the beginning

_TABLES = f"""
CREATE FUNCTION memo(client int, number int, size int) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(string_agg(md5(client || '/' || number || '/' || i), ''), '') FROM generate_series(1, size) i
$$;
CREATE TABLE accounts (id int PRIMARY KEY, balance bigint NOT NULL);
INSERT INTO accounts SELECT id, {BALANCE} FROM generate_series(0, {ACCOUNTS - 1}) id;
CREATE TABLE transfers (client int, number int, debit int, credit int, amount int, size int, memo text,
                        PRIMARY KEY (client, number));
"""


@dataclass
class Transfer:
    """A transaction of a client: money goes from one account to another."""
    client: int
    number: int
    debit: int
    credit: int
    amount: int
    size: int  # of its memo, which makes the write-ahead log long: 32 bytes each
    xid: int = 0
    asked: int = 0  # where the write-ahead log ended before the client asked for the end of the transaction
    answered: int = 0  # and after it had the answer
    acknowledged_s: float = 0  # when it had the answer, in seconds since the epoch
    outcome: str = ""  # commit or abort, as the server says
    committed: datetime | None = None  # by the server's clock

    @property
    def row(self) -> tuple[int, ...]:
        return self.client, self.number, self.debit, self.credit, self.amount, self.size


@dataclass(frozen=True)
class Contents:
    balances: dict[int, int]
    rows: set[tuple[int, ...]]


class Ledger:
    """The tables on a primary, and on what is promoted or recovered from it."""

    def __init__(self, primary: Postgres, dice: random.Random):
        self.journal = Journal()
        self._dice = dice
        self._transfers: dict[int, dict[int, Transfer]] = {}  # by timeline and xid
        self._clients = self._points = 0
        self._pauses_s: list[float] = []  # the longest of each load
        self.journal.watch(primary)
        primary.sql(_TABLES)

    # Writing

    @contextmanager
    def load(self, server: Postgres, clients: int = 3, dies: bool = False) -> Iterator[None]:
        """Clients transfer money while the block runs; behind it none of them does, and the journal is read. `dies`: the
        server may end in the block, however it likes."""
        self._settle(server)
        stop, records = threading.Event(), self._transfers.setdefault(_timeline(server), {})
        running = [_Client(server, self._number_client(), random.Random(self._dice.getrandbits(64)), stop, records)
                   for _ in range(clients)]
        began_s = time.time()
        for client in running:
            client.start()
        try:
            yield
        finally:
            ended_s = time.time()
            stop.set()
            for client in running:
                client.join()
        broken = [client.failure for client in running if client.failure is not None]
        if broken and not (dies and all(isinstance(failure, psycopg.OperationalError) for failure in broken)):
            raise broken[0]
        answers_s = sorted([began_s, *(answer_s for client in running for answer_s in client.answers_s), ended_s])
        self._pauses_s.append(max(after - before for before, after in zip(answers_s, answers_s[1:])))
        self.read(server)

    def wait_for(self, transfers: int) -> None:
        """Until so many more have come to an end, inside a load."""
        def ended() -> int:
            return sum(transfer.outcome != "" for known in list(self._transfers.values()) for transfer in list(known.values()))

        wanted = ended() + transfers
        host.wait_until(lambda: ended() >= wanted, f"{transfers} transfers are made")

    def longest_pause_s(self) -> float:
        """Between two answers of the server to whichever client, within the loads so far."""
        return max(self._pauses_s, default=0.0)

    def restore_point(self, server: Postgres) -> str:
        """Its name, which has to be quoted everywhere."""
        self._points += 1
        name = f"it's point \\{self._points}"
        with server.connect(autocommit=True) as connection:
            connection.execute("SELECT pg_create_restore_point(%s)", [name])
        return name

    def read(self, server: Postgres) -> None:
        """Brings the journal up to date with a primary that runs or has died, and sees that its clients agree."""
        ended = {timeline: [transfer for transfer in list(known.values()) if transfer.outcome]
                 for timeline, known in self._transfers.items()}  # others end while the journal is read
        timeline = self.journal.read(server)
        written = {record.xid: record for record in self.journal.course(timeline)}
        for transfer in ended.get(timeline, []):
            if transfer.outcome == "commit":
                record = written.get(transfer.xid)
                assert record is not None, f"{transfer} is not in the journal"
                assert (record.kind, record.time) == ("commit", transfer.committed), f"{transfer}: {record}"
                assert transfer.asked <= record.lsn < transfer.answered, f"{transfer}: {record}"
            elif transfer.xid in written:
                assert written[transfer.xid].kind == "abort", f"{transfer}: {written[transfer.xid]}"

    def _number_client(self) -> int:
        self._clients += 1
        return self._clients

    def _settle(self, server: Postgres) -> None:
        """Ends prepared transactions that a server has from one that died, one way or the other."""
        for gid in server.sql("SELECT gid FROM pg_prepared_xacts").splitlines():
            server.sql(f"{self._dice.choice(['COMMIT', 'ROLLBACK'])} PREPARED '{gid}'")

    # What must be there

    def expected(self, target: Target) -> Contents:
        return _sum(self._commits(target))

    def assert_at(self, server: Postgres, target: Target) -> None:
        """A server that has recovered to the target holds what it must, and nothing else."""
        found, expected = contents(server), self.expected(target)
        missing, surplus = expected.rows - found.rows, found.rows - expected.rows
        assert not missing and not surplus, (
            f"{target}: {len(missing)} of {len(expected.rows)} transfers are missing, {len(surplus)} should not be there: "
            f"{[self._describe(target, row) for row in sorted(missing | surplus)[:5]]}")
        assert found.balances == expected.balances, f"{target}: all transfers are right, balances are not"

    def lost(self, server: Postgres, timeline: int) -> list[Transfer]:
        """What a server that has recovered along the timeline, as far as that was known, lacks of what clients were told is
        committed: the end of the history and nothing else."""
        found, commits = contents(server), self._commits(Target("latest", None, timeline))
        kept = commits[:len(found.rows)]
        assert found == _sum(kept), f"what is left is not the first {len(kept)} of {len(commits)} transfers"
        return [transfer for transfer in commits[len(kept):] if transfer.acknowledged_s]

    def _commits(self, target: Target) -> list[Transfer]:
        """In their order. Others than ours commit as well, autovacuum for one."""
        found = [self._transfer(target.timeline, record) for record in self.journal.replayed(target) if record.kind == "commit"]
        return [transfer for transfer in found if transfer is not None]

    def _transfer(self, timeline: int, record: Record) -> Transfer | None:
        """The one that the record ends: of the timeline where it was written, else of one before, prepared when that was
        left. Timelines that part give the same xid to different transactions."""
        until = sys.maxsize
        for ancestor in self.journal.ancestors(self.journal.timeline_of(timeline, record)):
            transfer = self._transfers.get(ancestor, {}).get(record.xid)
            if transfer is not None and transfer.asked < until:
                return transfer
            until = self.journal.fork(ancestor)
        return None

    def _describe(self, target: Target, row: tuple[int, ...]) -> str:
        for timeline in self.journal.ancestors(target.timeline):
            for transfer in self._transfers.get(timeline, {}).values():
                if transfer.row == row:
                    records = [(lsn_text(record.previous), lsn_text(record.lsn), str(record.time))
                               for record in self.journal.course(target.timeline) if record.xid == transfer.xid]
                    return f"{transfer} on timeline {timeline}, ended (previous, lsn, time) at {records}"
        return f"{row}, which no client ever wrote"


def contents(server: Postgres) -> Contents:
    """What a server holds, whose memos are those that were written."""
    with server.connect() as connection:
        assert connection.execute("SELECT count(*) FROM transfers WHERE memo <> memo(client, number, size)").fetchone() == (0,)
        balances = dict(connection.execute("SELECT id, balance FROM accounts").fetchall())
        rows = set(connection.execute("SELECT client, number, debit, credit, amount, size FROM transfers").fetchall())
    assert sum(balances.values()) == ACCOUNTS * BALANCE, "money was made or lost"
    return Contents(balances, rows)


def _sum(transfers: list[Transfer]) -> Contents:
    balances = Counter({account: BALANCE for account in range(ACCOUNTS)})
    for transfer in transfers:
        balances[transfer.debit] -= transfer.amount
        balances[transfer.credit] += transfer.amount
    return Contents(dict(balances), {transfer.row for transfer in transfers})


def _timeline(server: Postgres) -> int:
    return int(server.sql("SELECT pg_walfile_name(pg_current_wal_insert_lsn())")[:8], 16)


class _Client(threading.Thread):
    """One connection. Its transactions end in all the ways that there are."""

    def __init__(self, server: Postgres, number: int, dice: random.Random, stop: threading.Event,
                 records: dict[int, Transfer]):
        super().__init__(name=f"client {number}", daemon=True)
        self.failure: BaseException | None = None
        self.answers_s: list[float] = []
        self._server, self._number, self._dice = server, number, dice
        self._stop_event, self._records = stop, records
        self._made = 0

    def run(self) -> None:
        try:
            with self._server.connect(autocommit=True) as connection:
                while not self._stop_event.is_set():
                    self._transfer(connection)
                    self._stop_event.wait(self._dice.uniform(0, 0.02))
        except BaseException as failure:
            print(f"{self.name} ended: {failure}")
            self.failure = failure

    def _transfer(self, connection: psycopg.Connection) -> None:
        self._made += 1
        debit, credit = self._dice.sample(range(ACCOUNTS), 2)
        transfer = Transfer(self._number, self._made, debit, credit, self._dice.randint(1, 100), self._dice.randint(0, 60))
        way = self._dice.choices([_plain, _with_savepoints, _in_two_phases], [6, 2, 2])[0]
        body, endings = way(transfer, "commit" if self._dice.random() < 0.85 else "abort")
        connection.execute(f"BEGIN; {body}")
        xid, asked = connection.execute("SELECT pg_current_xact_id()::text, pg_current_wal_insert_lsn()::text").fetchone()
        transfer.xid, transfer.asked = int(xid) & 0xffffffff, lsn(asked)
        self._records[transfer.xid] = transfer  # before its end, for there may be no answer
        for ending in endings:
            connection.execute(ending)
        transfer.acknowledged_s = time.time()
        self.answers_s.append(transfer.acknowledged_s)
        committed, answered = connection.execute(
            f"SELECT pg_xact_commit_timestamp('{transfer.xid}'), pg_current_wal_insert_lsn()::text").fetchone()
        transfer.answered, transfer.committed = lsn(answered), committed
        transfer.outcome = "abort" if committed is None else "commit"


def _statements(transfer: Transfer) -> str:
    """Accounts are locked in the order of their ids: clients wait for each other, and never in a circle."""
    changes = sorted([(transfer.debit, -transfer.amount), (transfer.credit, transfer.amount)])
    updates = [f"UPDATE accounts SET balance = balance + ({change}) WHERE id = {account};" for account, change in changes]
    values = ", ".join(map(str, transfer.row))
    memo = f"memo({transfer.client}, {transfer.number}, {transfer.size})"
    return f"{' '.join(updates)} INSERT INTO transfers VALUES ({values}, {memo});"


def _plain(transfer: Transfer, outcome: str) -> tuple[str, list[str]]:
    return _statements(transfer), ["COMMIT" if outcome == "commit" else "ROLLBACK"]


def _with_savepoints(transfer: Transfer, outcome: str) -> tuple[str, list[str]]:
    """Its rows are those of a subtransaction, after one that came to nothing."""
    vain = f"INSERT INTO transfers VALUES ({transfer.client}, {-transfer.number}, 0, 0, 0, 0, 'in vain');"
    return (f"SAVEPOINT one; {vain} ROLLBACK TO one; SAVEPOINT two; {_statements(transfer)} RELEASE two",
            _plain(transfer, outcome)[1])


def _in_two_phases(transfer: Transfer, outcome: str) -> tuple[str, list[str]]:
    gid = f"{transfer.client}/{transfer.number}"
    return (_statements(transfer),
            [f"PREPARE TRANSACTION '{gid}'", f"{'COMMIT' if outcome == 'commit' else 'ROLLBACK'} PREPARED '{gid}'"])
