# SPDX-License-Identifier: Apache-2.0
"""Throw-away PostgreSQL servers, and the means to tell whether two of them hold the same data."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

import host

MAJORS = (15, 16, 17, 18)
ROLE = "lifeboat"

# A crash of this machine may lose a throw-away server; a crash of PostgreSQL itself is as safe as ever.
SETTINGS = {"fsync": "off", "full_page_writes": "on", "shared_buffers": "64MB", "max_wal_senders": "10"}


class Postgres:
    """One cluster below `home`: `data`, `log` and the Unix socket. Also runs a data directory that something else,
    a restore for example, put into `home`/data: what is said here about ports and sockets wins over its configuration.
    """

    def __init__(self, major: int, home: Path):
        self.major = major
        self.home = home if home.exists() else host.make_directory(home, 0o755)
        self.data = home / "data"
        self.log = home / "log"
        self.port = host.free_port()
        self._started = False
        self.bin = host.tools() / f"postgresql-{major}" / "bin"

    @property
    def env(self) -> dict[str, str]:
        """Lets any libpq program connect as the superuser."""
        return {"PGHOST": str(self.home), "PGPORT": str(self.port), "PGUSER": "postgres", "PGDATABASE": "postgres"}

    def tool(self, name: str, *arguments, **options) -> subprocess.CompletedProcess:
        """Runs one of the programs of this major version, connected to this server; options are those of host.run."""
        return host.run([self.bin / name, *arguments], env=self.env, **options)

    # Life of the server

    def init(self, checksums: bool = True, segment_mib: int = 16, **settings: str) -> "Postgres":
        choice = ["--data-checksums"] if checksums else ["--no-data-checksums"] if self.major >= 18 else []
        self.tool("initdb", "--pgdata", self.data, "--username=postgres", "--no-sync", "--encoding=UTF8", "--locale=C",
                  "--auth-local=trust", "--auth-host=scram-sha-256", f"--wal-segsize={segment_mib}", *choice)
        self.configure(**SETTINGS | settings)
        return self

    def configure(self, **settings: str) -> None:
        """Appends to postgresql.conf; takes effect at the next start or reload."""
        with open(self.data / "postgresql.conf", "a") as conf:
            for name, value in settings.items():
                quoted = str(value).replace("\\", "\\\\").replace("'", "''")
                conf.write(f"{name} = '{quoted}'\n")

    def start(self, timeout_s: int = host.PATIENCE_S) -> "Postgres":
        """Keeps its port; but the first time somebody else may have taken that since it was found to be free."""
        while not self._start(timeout_s):
            self.log.unlink()
            self.port = host.free_port()
        self._started = True
        return self

    def _start(self, timeout_s: int) -> bool:
        options = f"-p {self.port} -k {self.home} -c listen_addresses=127.0.0.1"
        try:
            self.tool("pg_ctl", "start", "--wait", "--timeout", str(timeout_s), "--silent", "--pgdata", self.data,
                      "--log", self.log, "--options", options, timeout_s=timeout_s + 10)
        except AssertionError as failure:
            if not self._started and "Address already in use" in self.tail_of_log():
                return False
            raise AssertionError(f"{failure}\n{self.tail_of_log()}") from None
        return True

    def stop(self, mode: str = "fast") -> None:
        """It fails when something keeps the server from ending."""
        self.tool("pg_ctl", "stop", "--wait", "--timeout", str(host.PATIENCE_S), "--silent", "--mode", mode, "--pgdata", self.data)

    def end(self) -> None:
        """Leaves no process behind, whatever state the server is in."""
        if self.is_running():
            self.stop("immediate")

    def kill(self) -> None:
        """All processes at once, as a machine dies: none of them comes to finish anything."""
        file = self.data / "postmaster.pid"
        lines = file.read_text().splitlines()
        postmaster = int(lines[0])
        os.kill(postmaster, signal.SIGSTOP)  # it starts no more
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        pids = [pid for pid in (postmaster, *map(int, children)) if _lives(pid)]
        shared = {name for pid in pids for name in _shared_memory(pid)}
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass  # has ended by itself
        host.wait_until(lambda: not any(map(_lives, pids)), "all processes of the server are dead")
        for lock in (file, self.home / f".s.PGSQL.{self.port}.lock"):
            lock.unlink()  # else a process that nobody has buried is taken for a server
        for name in shared:  # memory outlives those who shared it
            Path(name).unlink(missing_ok=True)
        host.run(["ipcrm", "--shmem-id", lines[6].split()[1]])

    def reload(self) -> None:
        self.tool("pg_ctl", "reload", "--silent", "--pgdata", self.data)

    def promote(self) -> None:
        self.tool("pg_ctl", "promote", "--wait", "--silent", "--pgdata", self.data)

    def wait_until_recovered(self, timeout_s: float = host.PATIENCE_S) -> None:
        """Until it is promoted, as a recovery with that action ends where it is to end."""
        def is_primary() -> bool:
            try:
                return self.sql("SELECT pg_is_in_recovery()") == "f"
            except AssertionError as failure:
                raise AssertionError(f"{failure}\n{self.tail_of_log()}") from None

        host.wait_until(is_primary, "recovery has ended", timeout_s)

    def is_running(self) -> bool:
        return self.data.exists() and self.tool("pg_ctl", "status", "--pgdata", self.data, check=False).returncode == 0

    def tail_of_log(self, lines: int = 30) -> str:
        return "\n".join(self.log.read_text().splitlines()[-lines:]) if self.log.exists() else ""

    # Talking to it

    def sql(self, statements: str, database: str = "postgres") -> str:
        """The rows, columns separated by |, without a final newline."""
        done = self.tool("psql", "--no-psqlrc", "--no-align", "--tuples-only", "--quiet", "--set=ON_ERROR_STOP=1",
                         f"--dbname={database}", "--file=-", stdin=statements)
        return done.stdout.removesuffix("\n")

    def connect(self, database: str = "postgres", **options) -> psycopg.Connection:
        """As the superuser through the Unix socket, unless the options say otherwise."""
        return psycopg.connect(**{"host": str(self.home), "port": self.port, "user": "postgres", "dbname": database}
                               | options)

    def databases(self) -> list[str]:
        return self.sql("SELECT datname FROM pg_database WHERE datallowconn ORDER BY 1").splitlines()

    def system_identifier(self) -> str:
        return self.sql("SELECT system_identifier FROM pg_control_system()")

    def pgbench(self, *arguments, database: str = "postgres", **options) -> subprocess.CompletedProcess:
        return self.tool("pgbench", *arguments, database, **options)

    @contextmanager
    def load(self, clients: int = 2, database: str = "postgres") -> Iterator[None]:
        """Runs pgbench's transactions while the block runs; `pgbench("--initialize")` comes first. Behind the block
        nothing writes any more."""
        argv = [self.bin / "pgbench", "--no-vacuum", f"--client={clients}", "--time=3600", database]
        with host.running(argv, env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            yield
            if process.poll() is not None:
                raise AssertionError(f"the load ended by itself with exit status {process.returncode}")
        left = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgbench'"
        host.wait_until(lambda: self.sql(left) == "0", "the last transactions of the load are over")

    def wait_for_writes(self, size_bytes: int) -> None:
        """Until so much has been written to the write-ahead log from now on."""
        start = self.sql("SELECT pg_current_wal_insert_lsn()")
        written = f"SELECT pg_current_wal_insert_lsn() - '{start}'::pg_lsn >= {size_bytes}"
        host.wait_until(lambda: self.sql(written) == "t", f"{size_bytes} bytes were written")

    def tablespaces(self) -> list[Path]:
        """Where they lie."""
        found = self.sql("SELECT pg_tablespace_location(oid) FROM pg_tablespace WHERE oid >= 16384 ORDER BY 1")
        return [Path(location) for location in found.splitlines()]

    def add_tablespace(self, name: str) -> Path:
        location = host.make_directory(self.home / f"tablespace-{name}")
        self.sql(f"CREATE TABLESPACE {name} LOCATION '{location}'")
        return location

    # What a backup needs

    def allow(self, line: str) -> None:
        """Puts a line before all others in pg_hba.conf: the first that matches decides."""
        hba = self.data / "pg_hba.conf"
        hba.write_text(f"{line}\n{hba.read_text()}")
        self.reload()

    def add_role(self, password: str) -> None:
        """Creates the sidecar's role as an administrator would, and lets it in."""
        self.sql((host.CHECKOUT / "sidecar" / "role.sql").read_text())
        with self.connect(autocommit=True) as connection:
            secret = connection.pgconn.encrypt_password(password.encode(), ROLE.encode(), b"scram-sha-256").decode()
            connection.execute(f"ALTER ROLE {ROLE} PASSWORD '{secret}'")
        for kind in ("local {} {}", "host {} {} 127.0.0.1/32"):
            for database in ("replication", "postgres"):
                self.allow(f"{kind.format(database, ROLE)} scram-sha-256")

    # Standbys

    def follow(self, primary: "Postgres", slot: str = "standby") -> "Postgres":
        """Becomes a streaming standby of `primary`, with a slot of its own there, and starts."""
        moved = []
        for location in primary.tablespaces():
            moved += ["--tablespace-mapping", f"{location}={self.home / location.name}"]
        primary.tool("pg_basebackup", "--pgdata", self.data, "--write-recovery-conf", "--create-slot", "--slot", slot,
                     "--wal-method=stream", "--checkpoint=fast", "--no-sync", *moved, timeout_s=600)
        return self.start()

    def wait_for_replay(self, primary: "Postgres") -> None:
        """Until all that `primary` wrote so far is visible here."""
        lsn = primary.sql("SELECT pg_current_wal_flush_lsn()")
        host.wait_until(lambda: self.sql(f"SELECT pg_last_wal_replay_lsn() >= '{lsn}'") == "t", f"{lsn} is replayed")


def _shared_memory(pid: int) -> list[str]:
    """Files of it."""
    try:
        return re.findall(r"/dev/shm/PostgreSQL\.\d+", Path(f"/proc/{pid}/maps").read_text())
    except (FileNotFoundError, ProcessLookupError):
        return []


def _lives(pid: int) -> bool:
    """It has not become a zombie either."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def assert_same_data(one: Postgres, other: Postgres) -> None:
    """Compares globals and every database as pg_dump writes them; unlogged tables have lost their rows in a restore."""
    databases = one.databases()
    assert databases == other.databases()
    _assert_same_output(one, other, "pg_dumpall", "--globals-only", "--no-tablespaces")
    for database in databases:
        _assert_same_output(one, other, "pg_dump", "--no-unlogged-table-data", database)


def _assert_same_output(one: Postgres, other: Postgres, tool: str, *arguments: str) -> None:
    """Compares piece by piece: a dump may be larger than memory."""
    def start(server: Postgres):
        # Without a fixed key, dumps differ in a random one that psql's \restrict asks for.
        argv = [server.bin / tool, "--restrict-key=lifeboat", *arguments]
        return host.running(argv, env=server.env, stdout=subprocess.PIPE)

    with start(one) as left, start(other) as right:
        while True:
            a, b = left.stdout.read(1 << 20), right.stdout.read(1 << 20)
            if a != b:
                raise AssertionError(_first_difference(a, b, f"{tool} {' '.join(arguments)}"))
            if not a:
                break
        assert (left.wait(60), right.wait(60)) == (0, 0), f"{tool} {' '.join(arguments)} failed"


def _first_difference(a: bytes, b: bytes, what: str) -> str:
    at = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
    return f"{what} differs:\n  {a[max(at - 200, 0):at + 200]!r}\n  {b[max(at - 200, 0):at + 200]!r}"


def assert_sound(server: Postgres) -> None:
    """pg_amcheck finds nothing in any database, with every heap tuple looked up in its B-tree indexes."""
    server.tool("pg_amcheck", "--all", "--install-missing", "--heapallindexed", "--jobs=2", timeout_s=900)


def assert_verified(major: int, data: Path) -> None:
    """pg_verifybackup accepts a data directory that has not been started yet."""
    host.run([host.tools() / f"postgresql-{major}" / "bin" / "pg_verifybackup", data], timeout_s=900)
