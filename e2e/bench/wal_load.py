# SPDX-License-Identifier: Apache-2.0
"""WAL while it is written, as fast as the server can: whether who stores it keeps up, and what that costs, in turns with the
peer, and with nobody."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg

import host
from bench import Bench, describe, fill
from measuring import Run, Watch, adopt_orphans, cpu_seconds, median, peak_bytes
from postgres import Postgres
from programs import PEER_MAJOR, LifeboatProgram, PgBackRest, archive_by
from report import Figure
from wal import NAMES, PROMISED_RECEIVE_BYTES, SCALE, TIMEOUT_S, pair_up

STEPS = 10
LOADS = {
    "bulk loads": "DROP TABLE IF EXISTS bulk:client_id; CREATE TABLE bulk:client_id AS TABLE pgbench_accounts;",
    "pgbench": None,  # its own transactions
}
CLIENTS = 2
FLAT_S = 2  # what the lag is worth: the server is told once a second how far the regions are
NOBODY = "nobody"


def wal_load(bench: Bench) -> None:
    adopt_orphans()
    server = bench.server("wal-load", PEER_MAJOR, archive_mode="on", archive_command="true", max_wal_size="4GB")
    fill(server, SCALE)
    bench.report.note(f"WAL as it is written: {describe(server)}, {CLIENTS} clients, {bench.options.load_seconds} s")
    texts = ["| WAL of | stored by | MB/s written | lag in MB after each tenth of the time | at most | all stored after | CPU s a GB | peak memory |",
             "|---|---|---|---|---|---|---|---|"]
    for load in LOADS:
        for where in ("a directory", "S3"):
            texts += compare(bench, server, load, where)
    bench.report.texts.append("\n".join(texts))
    server.end()


def compare(bench: Bench, server: Postgres, load: str, where: str) -> list[str]:
    turn = iter(range(100))

    def once(name: str) -> None:
        pair = pair_up(bench, server, where, f"load-{len(list(bench.home.glob('load-*')))}-{next(turn)}")
        storing = {LifeboatProgram.name: lambda: received(server, pair.ours), PgBackRest.name: lambda: pushed(server, pair.peer),
                   NOBODY: lambda: nobody(server)}[name]
        run = work(bench, server, load, storing)
        bench.report.add(f"WAL of {load} into {where}, {name}", run, int(run.details["bytes"]))
        pair.remove()

    names = [LifeboatProgram.name, PgBackRest.name, NOBODY]
    bench.in_turns(*(lambda name=name: once(name) for name in names))
    found = {name: bench.report.runs[f"WAL of {load} into {where}, {name}"] for name in names}
    add_figures(bench, load, where, found)
    return [row(load, where, name, runs) for name, runs in found.items()]


# Those who store it

@dataclass
class Storing:
    stored: Callable[[psycopg.Connection], int]  # up to which LSN, as far as the server knows
    cpu_seconds: Callable[[], float]  # so far
    peak_bytes: Callable[[], int]


@contextmanager
def received(server: Postgres, program: LifeboatProgram) -> Iterator[Storing]:
    streams = "SELECT pid, coalesce(flush_lsn, '0/0') - '0/0' FROM pg_stat_replication WHERE application_name = 'lifeboat'"
    with open(program.policy.home / "log", "w") as log, server.connect(autocommit=True) as connection, \
            host.running(program.receive(), stdin=subprocess.DEVNULL, stdout=log, stderr=log) as process:
        host.wait_until(lambda: bool(connection.execute(streams).fetchall()), "WAL is streamed", TIMEOUT_S)
        sender = connection.execute(streams).fetchone()[0]
        yield Storing(lambda connection: int(connection.execute(streams).fetchone()[1]),
                      lambda: cpu_seconds(process.pid) + cpu_seconds(sender), lambda: peak_bytes(process.pid))
        host.end(process)
        assert process.returncode == 0, (program.policy.home / "log").read_text()
        host.wait_until(lambda: not connection.execute(streams).fetchall(), "nobody streams")
        connection.execute("SELECT pg_drop_replication_slot(%s)", (program.slot,))


@contextmanager
def pushed(server: Postgres, program: PgBackRest) -> Iterator[Storing]:
    last = ("SELECT CASE WHEN last_archived_wal ~ '^[0-9A-F]{24}$' THEN ('x' || substr(last_archived_wal, 9, 8))::bit(32)::bigint * 4294967296"
            " + (('x' || substr(last_archived_wal, 17))::bit(32)::bigint + 1) * 16777216 ELSE 0 END FROM pg_stat_archiver")
    server.sql("SELECT pg_switch_wal()")
    host.wait_until(lambda: not any((server.data / "pg_wal/archive_status").glob("*.ready")), "nothing is left from before", TIMEOUT_S)
    archiver = int(server.sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'archiver'"))
    with Watch(NAMES, archiver) as watch:
        before_s = cpu_seconds(archiver)
        archive_by(server, program.archive_command)
        try:
            yield Storing(lambda connection: int(connection.execute(last).fetchone()[0]),
                          lambda: cpu_seconds(archiver) - before_s + watch.cpu_seconds, lambda: watch.peak_bytes)
        finally:
            archive_by(server, "true")
        host.wait_until(lambda: watch.orphans == 0, "pgBackRest has ended", TIMEOUT_S)


@contextmanager
def nobody(server: Postgres) -> Iterator[Storing]:
    yield Storing(lambda connection: written(connection), lambda: 0, lambda: 0)


# The work

def written(connection: psycopg.Connection) -> int:
    return int(connection.execute("SELECT pg_current_wal_lsn() - '0/0'").fetchone()[0])


def work(bench: Bench, server: Postgres, load: str, storing) -> Run:
    script = []
    if LOADS[load]:
        (bench.home / "load.sql").write_text(LOADS[load] + "\n")
        script = ["--file", host.own(bench.home / "load.sql")]
    seconds = bench.options.load_seconds
    argv = [server.bin / "pgbench", "--no-vacuum", f"--client={CLIENTS}", f"--time={seconds}", *script, "postgres"]
    server.sql("CHECKPOINT")
    os.sync()
    with storing() as by, server.connect(autocommit=True) as connection:
        begin, started = written(connection), time.monotonic()
        lags = []
        with host.running(argv, env=server.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            for step in range(1, STEPS + 1):
                time.sleep(max(0, started + seconds * step / STEPS - time.monotonic()))
                lags.append(max(0, written(connection) - max(by.stored(connection), begin)))
            process.wait()
        ended, end = time.monotonic(), written(connection)
        connection.execute("SELECT pg_switch_wal()")
        host.wait_until(lambda: by.stored(connection) >= end, "all is stored", TIMEOUT_S)
        after_s = time.monotonic() - ended
        run = Run(ended - started, by.cpu_seconds(), by.peak_bytes(), details={"bytes": end - begin, "afterSeconds": after_s})
        run.details |= {f"lag{step}": lag for step, lag in enumerate(lags, 1)}
    return run


# What was found

def lags_of(runs: list[Run]) -> list[float]:
    return [median(runs, lambda run: run.details[f"lag{step}"]) for step in range(1, STEPS + 1)]


def add_figures(bench: Bench, load: str, where: str, found: dict[str, list[Run]]) -> None:
    ours, peer, alone = (found[name] for name in (LifeboatProgram.name, PgBackRest.name, NOBODY))
    figures, name = bench.report.figures, f"WAL of {load} into {where}"
    lag = max(lags_of(ours)[-3:])
    figures.append(Figure(f"{name}: lag towards the end of {bench.options.load_seconds} s, in seconds", lag / rate(ours) / 1e6, FLAT_S,
                          f"{lag / 1e6:.0f} MB, while {rate(ours):.0f} MB/s are written; with nobody {rate(alone):.0f} MB/s"))
    figures.append(Figure(f"{name}: CPU of a GB, over the peer's", per_gb(ours) / per_gb(peer), 1.0, f"{per_gb(ours):.2f} s / {per_gb(peer):.2f} s"))
    figures.append(Figure(f"{name}: peak memory", max(run.peak_bytes for run in ours) / 2**20, PROMISED_RECEIVE_BYTES / 2**20,
                          f"pgBackRest's processes {max(run.peak_bytes for run in peer) / 2**20:.0f} MiB", unit="MiB"))


def rate(runs: list[Run]) -> float:
    """MB/s."""
    return median(runs, lambda run: run.details["bytes"] / run.seconds) / 1e6


def per_gb(runs: list[Run]) -> float:
    return median(runs, lambda run: run.cpu_seconds / run.details["bytes"]) * 1e9


def row(load: str, where: str, name: str, runs: list[Run]) -> str:
    lags = lags_of(runs)
    return (f"| {load} | {name}, {where} | {rate(runs):.0f} | {', '.join(f'{lag / 1e6:.0f}' for lag in lags)} | {max(lags) / 1e6:.0f} MB "
            f"| {median(runs, lambda run: run.details['afterSeconds']):.1f} s | {per_gb(runs):.2f} | {max(run.peak_bytes for run in runs) / 2**20:.0f} MiB |")
