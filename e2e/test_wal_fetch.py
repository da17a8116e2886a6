# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL recovers with WAL from the repository, and never takes trouble with it for its end."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

import host
import lifeboat as command_line
import processes
from lifeboat import PASSWORD, Lifeboat, at
from postgres import Postgres
from s3 import S3Server

ROWS = 20_000
SOCKET = "pg_wal/lifeboat.socket"


@dataclass(frozen=True)
class Archive:
    """A backup, and WAL beyond its end, in two regions."""
    lifeboat: Lifeboat
    server: Postgres
    backup: str
    regions: list[Path]

    def restore(self, to: Path) -> None:
        self.lifeboat.restore(to, "--backup", self.backup)

    def command(self, *options: str) -> str:
        """What restore_command has to be."""
        words = self.lifeboat.argv("wal-fetch", "--system-identifier", self.server.system_identifier(), *options)
        return " ".join(f'"{word}"' for word in [*words, "%f", "%p"])

    def recover(self, copy: Postgres, *options: str, timeline: str = "latest") -> None:
        """Restores, so that starting it recovers all that there is."""
        self.restore(copy.data)
        copy.configure(restore_command=self.command(*options), recovery_target_timeline=timeline)
        (copy.data / "recovery.signal").touch()
        host.own(copy.data / "recovery.signal")

    def fetch(self, data: Path, name: str, to: str, *options: str) -> int:
        """The exit status of wal-fetch, run as PostgreSQL runs it."""
        with host.running(self.fetching(data, name, to, *options)) as process:
            return process.wait(120)

    def fetching(self, data: Path, name: str, to: str, *options: str) -> list:
        return in_data(data, self.lifeboat.argv("wal-fetch", *options, name, to))

    def segments(self) -> list[str]:
        """The names of the segments of which there is anything, in order."""
        names = [path.name for path in self.lifeboat.repository().glob("wal/*/*/*")]
        return sorted({name[:24] for name in names})


def in_data(data: Path, words: list) -> list:
    """As PostgreSQL runs it; its messages go to a file, which whoever answers keeps open."""
    return ["sh", "-c", 'cd "$1" && shift && exec "$@" 2>>fetch.log', "sh", data, *words]


@pytest.fixture(scope="module")
def archive(shared_cluster, program, newest) -> Iterator[Archive]:
    with host.workspace() as home:
        lifeboat = Lifeboat(home / "lifeboat", program)
        regions = [lifeboat.bucket, lifeboat.add_directory("there")]
        server = shared_cluster(newest, max_wal_size="2GB")
        server.add_role(PASSWORD)
        yield Archive(lifeboat, server, make_backup_with_wal_behind(lifeboat, server), regions)


def make_backup_with_wal_behind(lifeboat: Lifeboat, server: Postgres) -> str:
    """A second backup that began before it and ends later brings the WAL."""
    spec = dict(lifeboat.spec)
    lifeboat.spec = spec | {"limits": {"readBytesPerSecond": 8 << 20}}  # so that it takes seconds
    with lifeboat.running("backup", *at(server)) as longer:
        command_line.wait_for(longer, lambda: any(lifeboat.bucket.glob("*/*/running/*/*")), "it has begun")
        with command_line.paused(longer):
            lifeboat.spec = spec
            backup = lifeboat.backup(server)["id"]
            server.sql(f"CREATE TABLE t AS SELECT i, repeat(md5(i::text), 20) FROM generate_series(1, {ROWS}) i;"
                       f"SELECT pg_switch_wal(); INSERT INTO t SELECT 0, 'last'")
        done = command_line.outcome(longer)
        assert done.returncode == 0, done.stderr
    return backup


def wal_servers(data: Path) -> list[int]:
    """Those that run in the directory."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if "wal-serve" in processes.words(int(process.name)) and Path(os.readlink(process / "cwd")) == data:
                found.append(int(process.name))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            pass
    return found


def end_wal_servers(data: Path) -> None:
    for process in wal_servers(data):
        os.kill(process, signal.SIGTERM)
    host.wait_until(lambda: not wal_servers(data), f"nobody serves {data}")


@pytest.fixture
def copy(archive, cluster, workspace) -> Iterator[Postgres]:
    """Where a copy goes; nothing is there yet."""
    server = cluster.adopt(Postgres(archive.server.major, workspace / "copy"))
    yield server
    server.end()
    end_wal_servers(server.data)


def assert_recovered(copy: Postgres) -> None:
    host.wait_until(lambda: copy.sql("SELECT pg_is_in_recovery()") == "f", "recovery has ended")
    assert copy.sql("SELECT count(*), min(i) FROM t") == f"{ROWS + 1}|0"


@contextmanager
def away(*paths: Path) -> Iterator[None]:
    """They are not there while the block runs."""
    for path in paths:
        path.rename(path.with_suffix(".away"))
    try:
        yield
    finally:
        for path in paths:
            path.with_suffix(".away").rename(path)


def test_a_copy_recovers_to_the_end_of_all_wal(archive, copy):
    archive.recover(copy)
    copy.start()
    assert_recovered(copy)
    assert copy.sql("SELECT pg_walfile_name(pg_current_wal_lsn())").startswith("00000002")
    assert "restored log file" in copy.log.read_text()
    copy.stop()
    host.wait_until(lambda: not wal_servers(copy.data), "who answered has ended with the server")
    assert not list((copy.data / "pg_wal").glob("*lifeboat*"))


@pytest.mark.parametrize("lacking", [0, 1])
def test_a_region_without_wal_is_made_up_for_by_the_other(archive, copy, lacking):
    archive.recover(copy)
    with away(*archive.regions[lacking].glob("*/*/wal")):
        copy.start()
        assert_recovered(copy)


def test_a_region_that_is_down_keeps_recovery_from_its_end_until_it_is_back(archive, copy):
    """What there is in the other one is replayed meanwhile, as hot_standby shows. (For the latest timeline PostgreSQL
    would ask for histories first, and wait with those.)"""
    archive.recover(copy, timeline="current")
    with away(archive.regions[1]):
        copy.start()
        host.wait_until(lambda: "Asking for WAL again" in copy.log.read_text(), "a file is asked for again")
        assert copy.sql("SELECT pg_is_in_recovery()") == "t"
        assert archive.regions[1].name in copy.log.read_text()
    assert_recovered(copy)


def test_without_any_region_a_copy_stops_and_is_never_promoted(archive, copy):
    archive.recover(copy, "--patience", "1")
    with away(*archive.regions):
        with pytest.raises(AssertionError):
            copy.start()
    assert not copy.is_running()
    log = copy.log.read_text()
    assert "FATAL:  could not restore file" in log and "Asking for WAL again" in log
    assert (copy.data / "recovery.signal").exists()
    copy.start()
    assert_recovered(copy)


def test_exit_statuses_tell_the_end_from_trouble(archive, copy):
    archive.restore(copy.data)
    segments = archive.segments()
    behind = segments[-1][:16] + f"{int(segments[-1][16:], 16) + 1:08X}"
    for name in segments:
        assert archive.fetch(copy.data, name, "out") == 0
        assert (copy.data / "out").stat().st_size == 16 << 20
        (copy.data / "out").unlink()
    for name in (behind, "00000002.history"):
        assert archive.fetch(copy.data, name, "out") == 1
    assert archive.fetch(copy.data, segments[0], "no/where", "--patience", "1") == 126
    assert archive.fetch(copy.data, "postgresql.conf", "out") == 126
    assert archive.fetch(copy.data, behind, "out", "--what") == 126
    end_wal_servers(copy.data)  # the next one finds a region down
    with away(archive.regions[0]):
        assert archive.fetch(copy.data, segments[0], "out") == 0
        for name in (behind, "00000002.history"):
            assert archive.fetch(copy.data, name, "late", "--patience", "1") == 126
    assert not list(copy.data.glob("late*"))


@pytest.fixture
def us(archive) -> Iterator[S3Server]:
    """The only region, for once: a server of the test's own, which has all that the others have."""
    spec = archive.lifeboat.spec
    with host.workspace() as home:
        server = S3Server(home / "us")
        try:
            server.start().make_bucket("over-there")
            archive.lifeboat.spec = spec | {"regions": list(spec["regions"])}
            archive.lifeboat.add_s3("us", server, "over-there")
            archive.lifeboat.run("copy", "--from", spec["regions"][0]["name"], "--to", "us")
            archive.lifeboat.spec["regions"] = archive.lifeboat.spec["regions"][-1:]
            yield server
        finally:
            archive.lifeboat.spec = spec
            server.end()


def test_a_service_that_is_down_is_not_the_end(archive, copy, us):
    archive.restore(copy.data)
    segments = archive.segments()
    behind = segments[-1][:16] + f"{int(segments[-1][16:], 16) + 1:08X}"
    assert [archive.fetch(copy.data, name, "out") for name in segments] == [0] * len(segments)
    assert archive.fetch(copy.data, behind, "late") == 1
    us.end()
    assert archive.fetch(copy.data, behind, "late", "--patience", "2") == 126
    assert archive.fetch(copy.data, "00000002.history", "late", "--patience", "2") == 126
    assert not list(copy.data.glob("late*"))
    us.start()
    assert archive.fetch(copy.data, behind, "late") == 1
    assert archive.fetch(copy.data, segments[0], "out") == 0


def test_another_one_answers_when_one_is_killed(archive, copy):
    archive.restore(copy.data)
    first, second = archive.segments()[:2]
    assert archive.fetch(copy.data, first, "first") == 0
    [process] = wal_servers(copy.data)
    os.kill(process, signal.SIGKILL)
    host.wait_until(lambda: not wal_servers(copy.data), "it is gone")
    assert archive.fetch(copy.data, second, "second") == 0
    [another] = wal_servers(copy.data)
    assert another != process


def test_two_that_ask_at_once_have_one_that_answers(archive, copy):
    archive.restore(copy.data)
    name = archive.segments()[0]
    with host.running(archive.fetching(copy.data, name, "one")) as one, \
            host.running(archive.fetching(copy.data, name, "other")) as other:
        assert (one.wait(120), other.wait(120)) == (0, 0)
    assert len(wal_servers(copy.data)) == 1
    assert (copy.data / "one").read_bytes() == (copy.data / "other").read_bytes()


def test_the_static_program_asks_as_well(archive, copy, program):
    archive.restore(copy.data)
    program = program.with_name("lifeboat-wal-fetch")
    name = archive.segments()[0]
    out, socket = copy.data / "out", copy.data / SOCKET
    nobody = host.run([program, "--patience", "1", socket, name, out], check=False)
    assert nobody.returncode == 126 and "nobody listens" in nobody.stderr
    assert archive.fetch(copy.data, name, "same") == 0
    assert host.run([program, socket, name, out]).stderr == ""
    assert out.read_bytes() == (copy.data / "same").read_bytes()
    assert host.run([program, socket, "00000009.history", out], check=False).returncode == 1
    assert host.run([program, socket, "no name", out], check=False).returncode == 126
    assert host.run([program, socket], check=False).returncode == 126
    for seconds in ("", "1s", "-1", "31622401", "18446744073709552"):  # the last one in ms is 384 in 64 bits
        refused = host.run([program, "--patience", seconds, socket, name, out], check=False)
        assert refused.returncode == 126 and refused.stderr.startswith("usage:")


def test_where_nobody_answers_the_static_program_becomes_the_one_that_makes_somebody(archive, copy, program):
    archive.restore(copy.data)
    asker = program.with_name("lifeboat-wal-fetch")

    def fetch(name: str, *command: object) -> int:
        with host.running(in_data(copy.data, [asker, "--patience", "5", SOCKET, name, name, *command])) as process:
            return process.wait(120)

    first, second = archive.segments()[:2]
    assert fetch(first, *archive.lifeboat.argv("wal-fetch", first, "other")) == 0
    assert (copy.data / "other").stat().st_size == 16 << 20 and not (copy.data / first).exists()
    assert fetch(second, "/nonexistent") == 0  # somebody answers now
    [process] = wal_servers(copy.data)
    os.kill(process, signal.SIGKILL)
    host.wait_until(lambda: not wal_servers(copy.data), "it is gone")
    assert fetch(first, "/nonexistent", "--option") == 126
    assert "run '/nonexistent'" in (copy.data / "fetch.log").read_text()
