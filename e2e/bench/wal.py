# SPDX-License-Identifier: Apache-2.0
"""WAL that a server has kept: how fast it comes into a repository, out of it again, and is recovered, in turns with the peer."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import host
from bench import Bench, describe, fill
from measuring import Run, Watch, adopt_orphans, cpu_seconds, median, peak_bytes, warm
from postgres import Postgres
from programs import PEER_MAJOR, UPLOADS, LifeboatProgram, PgBackRest, archive_by
from report import Figure
from s3 import S3Server

SEGMENT = 16 << 20
SCALE = 20
KEPT = "kept"  # a slot
BULK = "DROP TABLE IF EXISTS bulk; CREATE TABLE bulk AS TABLE pgbench_accounts"
PROMISED_RECEIVE_BYTES = (UPLOADS + 3) * SEGMENT  # docs/wal.md
PROMISED_SERVE_BYTES = (2 * UPLOADS + 2) * SEGMENT
TIMEOUT_S = 900

NAMES = ("lifeboat", "exe", "pgbackrest")  # of processes; wal-serve is started as /proc/self/exe

Program = LifeboatProgram | PgBackRest


@dataclass(frozen=True)
class Kept:
    """A server that has done some work, a copy of it from before, and the names of the segments between."""
    server: Postgres
    before: Path
    segments: list[str]

    @property
    def bytes(self) -> int:
        return len(self.segments) * SEGMENT


def wal(bench: Bench) -> None:
    adopt_orphans()
    kept = keep(bench)
    for where in ("a directory", "S3"):
        pair = capture(bench, kept, where)
        fetch(bench, kept, where, pair)
        replay(bench, kept, where, pair)
        pair.remove()


def keep(bench: Bench) -> Kept:
    """Half of it is that of pgbench's transactions, half of it that of a bulk load."""
    server = bench.server("wal", PEER_MAJOR, archive_mode="on", max_wal_size="100GB")
    fill(server, SCALE)
    server.sql("SELECT pg_switch_wal()")
    server.stop()
    before = bench.home / "before"
    host.run(["cp", "--archive", server.data, before])
    server.start()
    server.sql(f"SELECT pg_create_physical_replication_slot('{KEPT}', true)")
    first = server.sql(f"SELECT restart_lsn FROM pg_replication_slots WHERE slot_name = '{KEPT}'")

    def has_written(share: float) -> bool:
        return float(server.sql(f"SELECT pg_current_wal_lsn() - '{first}'")) >= share * bench.options.wal * 1e9

    while not has_written(0.5):
        server.sql(BULK)
    while not has_written(1):
        server.sql("CHECKPOINT")  # what changes next is written in pages
        server.pgbench("--no-vacuum", "--client=2", "--transactions=10000", timeout_s=TIMEOUT_S)
    last = server.sql("SELECT pg_walfile_name(pg_switch_wal())")
    kept = Kept(server, before, names_between(server.sql(f"SELECT pg_walfile_name('{first}')"), last))
    bench.report.note(f"WAL: {kept.bytes / 1e9:.2f} GB, half of it of a bulk load, half of it of pgbench's transactions, on {describe(server)}")
    return kept


def names_between(first: str, last: str) -> list[str]:
    """On one timeline."""
    def number(name: str) -> int:
        return int(name[8:16], 16) << 8 | int(name[16:], 16)
    return [f"{first[:8]}{at >> 8:08X}{at & 0xFF:08X}" for at in range(number(first), number(last) + 1)]


# Into a repository

@dataclass(frozen=True)
class Pair:
    """Both with a repository of their own."""
    home: Path
    ours: LifeboatProgram
    peer: PgBackRest
    store: S3Server | None

    def remove(self) -> None:
        if self.store:
            self.store.end()

        def is_removed() -> bool:
            shutil.rmtree(self.home, ignore_errors=True)
            return not self.home.exists()

        host.wait_until(is_removed, "nobody writes there any longer")


def pair_up(bench: Bench, server: Postgres, where: str, name: str) -> Pair:
    home = host.make_directory(bench.home / name)
    store = None
    if where == "S3":
        store = S3Server(home / "s3")
        bench.stack.callback(store.end)
        store.start()
    ours = LifeboatProgram(home / "ours", server, store)
    peer = PgBackRest(home / "peer", server, bench.options.pgbackrest, store, asynchronous=True)
    ours.prepare()
    peer.prepare()
    return Pair(home, ours, peer, store)


def capture(bench: Bench, kept: Kept, where: str) -> Pair:
    """Gives the programs whose repositories have it."""
    names = [f"{program} of WAL into {where}, {name}" for program, name in
             (("wal-receive", LifeboatProgram.name), ("archive-push", PgBackRest.name))]
    pairs = []
    actions = [lambda: bench.report.add(names[0], receive(kept, pairs[-1].ours), kept.bytes),
               lambda: bench.report.add(names[1], push(kept, pairs[-1].peer), kept.bytes)]
    for number in range(bench.options.runs):
        for pair in pairs[:-1]:
            pair.remove()
        pairs = [*pairs[-1:], pair_up(bench, kept.server, where, f"wal-{number}-{where[-1]}")]
        for action in actions[number % 2:] + actions[:number % 2]:
            action()
    for pair in pairs[:-1]:
        pair.remove()
    ours, peer = (bench.report.runs[name] for name in names)
    add_ratios(bench, f"WAL that was kept, into {where}", ours, peer, kept.bytes, None)
    bench.report.figures.append(Figure(f"peak memory: {names[0]}", max(run.peak_bytes for run in ours) / 2**20,
                                       PROMISED_RECEIVE_BYTES / 2**20, "", unit="MiB"))
    return pairs[-1]


def receive(kept: Kept, program: LifeboatProgram) -> Run:
    """From a slot that has kept all of it. The part of the server that sends it counts, too."""
    server = kept.server
    with server.connect(autocommit=True) as connection, open(program.policy.home / "log", "w") as log:
        connection.execute("SELECT pg_copy_physical_replication_slot(%s, %s)", (KEPT, program.slot))
        warm_up(server)
        started = time.monotonic()
        with host.running(program.receive(), stdin=subprocess.DEVNULL, stdout=log, stderr=log) as process:
            wait_until_stored(program, kept.segments, lambda: process.poll() is None)
            seconds = time.monotonic() - started
            [[sender]] = connection.execute("SELECT pid FROM pg_stat_replication").fetchall()
            run = Run(seconds, cpu_seconds(process.pid) + cpu_seconds(sender), peak_bytes(process.pid),
                      details={"serverSeconds": cpu_seconds(sender)})
            host.end(process)
        host.wait_until(lambda: not connection.execute("SELECT pid FROM pg_stat_replication").fetchall(), "nobody streams")
        connection.execute("SELECT pg_drop_replication_slot(%s)", (program.slot,))
    return run


def push(kept: Kept, program: PgBackRest) -> Run:
    """All at once are ready to be archived."""
    server = kept.server
    archive_by(server, "")
    status = server.data / "pg_wal/archive_status"
    for path in status.iterdir():
        path.unlink()
    for name in kept.segments:
        (status / f"{name}.ready").touch()
        host.own(status / f"{name}.ready")
    warm_up(server)
    with server.connect(autocommit=True) as connection:
        [[archiver]] = connection.execute("SELECT pid FROM pg_stat_activity WHERE backend_type = 'archiver'").fetchall()
        with Watch("pgbackrest", archiver) as watch:
            before_s, started = cpu_seconds(archiver), time.monotonic()
            archive_by(server, program.archive_command)
            wait_until_stored(program, kept.segments)
            seconds = time.monotonic() - started
            host.wait_until(lambda: not any(status.glob("*.ready")), "the server knows that all is archived", TIMEOUT_S)
            archive_by(server, "")
            host.wait_until(lambda: watch.orphans == 0, "pgBackRest has ended", TIMEOUT_S)
            server_s = cpu_seconds(archiver) - before_s
    return Run(seconds, server_s + watch.cpu_seconds, watch.peak_bytes)


def warm_up(server: Postgres) -> None:
    warm(server.data / "pg_wal")
    os.sync()


def wait_until_stored(program: Program, segments: list[str], works: Callable[[], bool] = lambda: True) -> None:
    wanted = set(segments)

    def are_stored() -> bool:
        assert works(), f"{program.name} ended by itself"
        return wanted <= program.stored_segments()

    host.wait_until(are_stored, "all WAL is stored", TIMEOUT_S)


def add_ratios(bench: Bench, what: str, ours: list[Run], peer: list[Run], size_bytes: int, wanted: float | None) -> None:
    """Wall and CPU."""
    for name, value, limit in (("wall", lambda run: run.seconds, wanted), ("CPU", lambda run: run.cpu_seconds, 1.0)):
        ours_s, peer_s = median(ours, value), median(peer, value)
        rates = " / ".join(f"{size_bytes / seconds / 1e6:.0f} MB/s" for seconds in (ours_s, peer_s))
        per_gb = " / ".join(f"{seconds / size_bytes * 1e9:.2f} s a GB" for seconds in (ours_s, peer_s))
        bench.report.figures.append(Figure(f"{what}, {name}, over the peer's", ours_s / peer_s, limit,
                                           f"{ours_s:.2f} s / {peer_s:.2f} s; {rates if name == 'wall' else per_gb}"))


# Out of it

def fetch(bench: Bench, kept: Kept, where: str, pair: Pair) -> None:
    """One segment after the other, as PostgreSQL asks for them, but with nothing to do for it between."""
    names = [f"{command} of WAL from {where}, {name}" for command, name in
             (("lifeboat-wal-fetch", LifeboatProgram.name), ("archive-get", PgBackRest.name))]
    programs = (pair.ours, pair.peer)
    bench.in_turns(*(lambda name=name, program=program: bench.report.add(name, fetch_all(bench, kept, program), kept.bytes)
                     for name, program in zip(names, programs)))
    ours, peer = (bench.report.runs[name] for name in names)
    add_ratios(bench, names[0], ours, peer, kept.bytes, 0.5)
    bench.report.figures.append(Figure(f"peak memory: {names[0]}", max(run.peak_bytes for run in ours) / 2**20,
                                       PROMISED_SERVE_BYTES / 2**20, "wal-serve and who asks it", unit="MiB"))


def fetch_all(bench: Bench, kept: Kept, program: Program) -> Run:
    data = bench.home / "fetched"
    command = program.restore_command(data)
    one = shell_of(command)
    if isinstance(program, PgBackRest):  # it fails once in a while, as two of its processes tidy up one directory
        one = f"{one} || {one}"
    loop = f'cd "{data}"; for name in {" ".join(kept.segments)}; do {one} || exit; done'
    copy_of(kept, data)
    os.sync()
    with Watch(NAMES) as watch:
        started = time.monotonic()
        process = host.spawn(["sh", "-c", loop], stdin=subprocess.DEVNULL)
        watch.roots.append(process.pid)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - started
        assert process.returncode == 0, f"exit status {process.returncode}: {command}"
        (data / LifeboatProgram.socket).unlink(missing_ok=True)  # whoever answers ends with it
        host.wait_until(lambda: watch.orphans == 0, "all processes have ended")
    shutil.rmtree(data)
    return Run(seconds, usage.ru_utime + usage.ru_stime + watch.cpu_seconds, watch.peak_bytes)


def shell_of(command: str) -> str:
    return command.replace("%f", "$name").replace("%p", "pg_wal/$name")


def copy_of(kept: Kept, to: Path) -> None:
    host.run(["cp", "--archive", kept.before, to])


# Recovery

def replay(bench: Bench, kept: Kept, where: str, pair: Pair) -> None:
    """By PostgreSQL itself, which has enough to do with the WAL."""
    names = [f"recovery with WAL from {where}, {program.name}" for program in (pair.ours, pair.peer)]

    def recover(name: str, program: Program) -> None:
        copy = Postgres(PEER_MAJOR, bench.home / "copy")
        copy_of(kept, copy.data)
        copy.configure(restore_command=program.restore_command(copy.data), recovery_target_timeline="current", archive_mode="off")
        host.own(touched(copy.data / "recovery.signal"))
        os.sync()
        with Watch(NAMES) as watch:
            started = time.monotonic()
            copy.start()
            host.wait_until(lambda: "redo done" in copy.log.read_text(), "all is recovered", TIMEOUT_S)
            seconds = time.monotonic() - started
            copy.wait_until_recovered(TIMEOUT_S)
            copy.stop()
            host.wait_until(lambda: watch.orphans == 0, "all processes have ended")
        shutil.rmtree(copy.home)
        bench.report.add(name, Run(seconds, watch.cpu_seconds, watch.peak_bytes), kept.bytes)

    bench.in_turns(*(lambda name=name, program=program: recover(name, program)
                     for name, program in zip(names, (pair.ours, pair.peer))))
    ours, peer = (bench.report.runs[name] for name in names)
    ours_s, peer_s = median(ours), median(peer)
    bench.report.figures.append(Figure(f"recovery with WAL from {where}, wall, over the peer's", ours_s / peer_s, 1.0,
                                       f"{ours_s:.2f} s / {peer_s:.2f} s"))


def touched(path: Path) -> Path:
    path.touch()
    return path
