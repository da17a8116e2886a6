# SPDX-License-Identifier: Apache-2.0
"""The programs that are compared, with the same settings wherever both have them."""

import hashlib
import shutil
from pathlib import Path

import host
from lifeboat import PASSWORD, Lifeboat, at
from postgres import ROLE, Postgres
from s3 import REGION, S3Server

WORKERS, UPLOADS, LEVEL = 2, 2, 1
PROMISED_BYTES = (WORKERS + UPLOADS) * (16 << 20) + (32 << 20)
PEER_MAJOR = 15  # the newest that Debian 12's pgBackRest knows
BUCKET = "bench"


class LifeboatProgram:
    name = "Lifeboat"
    socket = "pg_wal/lifeboat.socket"  # in a data directory
    archive_command = "true"  # backups bring their WAL themselves

    def __init__(self, home: Path, server: Postgres, s3: S3Server | None = None):
        host.make_directory(home)
        program, self.fetch_program = (copy_program(name, home) for name in ("lifeboat-sidecar", "lifeboat-wal-fetch"))
        self.server = server
        self.policy = Lifeboat(home / "lifeboat", program)
        self.policy.spec |= {"compression": {"level": LEVEL}, "parallelism": {"workers": WORKERS, "uploads": UPLOADS}}
        self.repository = self.policy.bucket
        if s3:
            self.policy.use_s3(s3, BUCKET + "-lifeboat")
            self.repository = s3.objects / s3.make_bucket(BUCKET + "-lifeboat")
        self.version = host.run([program, "--version"]).stdout.split()[-1]

    def prepare(self) -> None:
        """Before the first backup."""
        self.server.add_role(PASSWORD)
        self.server.sql(f"ALTER ROLE {ROLE} SET log_min_duration_statement = 0")  # see server_seconds

    def backup(self, kind: str = "full") -> list:
        return self.policy.argv("backup", *at(self.server), "--type", kind, "-o", "json", "--progress", "json")

    def restore(self, to: Path, *options: str) -> list:
        return self.policy.argv("restore", "--to", to, "-o", "json", "--progress", "json", *options)

    # WAL

    def receive(self) -> list:
        return self.policy.argv("wal-receive", *at(self.server))

    def restore_command(self, data: Path) -> str:
        """As `restore` writes it: it finds `data` by itself."""
        words = self.policy.argv("wal-fetch", "--system-identifier", self.server.system_identifier())
        command = " ".join(f'"{word}"' for word in words) + ' "%f" "%p"'
        return f'"{self.fetch_program}" {self.socket} "%f" "%p" {command}'

    @property
    def slot(self) -> str:
        name = f"{self.policy.namespace}/{self.policy.name}"
        return f"lifeboat_{hashlib.sha256(name.encode()).hexdigest()[:16]}"

    def stored_segments(self) -> set[str]:
        """The names of the complete ones."""
        return {path.name[:24] for path in self.repository.glob("**/wal/*/*/*") if path.name[24] == "-"}


class PgBackRest:
    name = "pgBackRest"

    def __init__(self, home: Path, server: Postgres, program: str, s3: S3Server | None = None, asynchronous: bool = False):
        host.make_directory(home)
        self.server, self.program = server, program
        self.config = home / "pgbackrest.conf"
        self.repository = s3.objects / s3.make_bucket(BUCKET + "-pgbackrest") if s3 else host.make_directory(home / "repository")
        store = _s3_settings(s3, BUCKET + "-pgbackrest") if s3 else f"repo1-path={self.repository}"
        self.config.write_text(f"""\
[global]
{store}
repo1-bundle=y
repo1-cipher-type=aes-256-cbc
repo1-cipher-pass=a passphrase for a benchmark
compress-type=zst
compress-level={LEVEL}
process-max={WORKERS}
start-fast=y
expire-auto=n
archive-async={"y" if asynchronous else "n"}
spool-path={host.make_directory(home / "spool")}
lock-path={host.make_directory(home / "lock")}
log-level-file=off
log-level-console=warn

[bench]
pg1-path={server.data}
pg1-socket-path={server.home}
pg1-port={server.port}
pg1-user=postgres
""")
        self.version = host.run([program, "version"]).stdout.split()[-1]

    def prepare(self) -> None:
        """Before the first backup."""
        host.run(self._argv("stanza-create"))

    @property
    def archive_command(self) -> str:
        return " ".join(map(str, self._argv("archive-push"))) + " %p"

    def backup(self) -> list:
        return self._argv("backup", "--type=full")

    def restore(self, to: Path) -> list:
        return self._argv("restore", f"--pg1-path={to}")

    def restore_command(self, data: Path) -> str:
        return " ".join(map(str, self._argv("archive-get", f"--pg1-path={data}"))) + ' %f "%p"'

    def stored_segments(self) -> set[str]:
        return {path.name[:24] for path in self.repository.glob("**/archive/bench/*/*/*.zst")}

    def _argv(self, command: str, *options) -> list:
        return [self.program, f"--config={self.config}", "--stanza=bench", *options, command]


def archive_by(server: Postgres, command: str) -> None:
    """Nobody archives WAL at the cost of another one's run."""
    server.sql(f"ALTER SYSTEM SET archive_command = '{command}'")
    server.reload()


def copy_program(name: str, to: Path) -> Path:
    """To where whoever runs programs can read it."""
    shutil.copy(host.CHECKOUT / "build/release/bin" / name, to)
    (to / name).chmod(0o755)
    return to / name


def _s3_settings(server: S3Server, bucket: str) -> str:
    return f"""\
repo1-type=s3
repo1-path=/some/where
repo1-s3-bucket={bucket}
repo1-s3-endpoint=localhost
repo1-storage-port={server.port}
repo1-s3-region={REGION}
repo1-s3-uri-style=path
repo1-s3-key={server.access_key}
repo1-s3-key-secret={server.secret_key}
repo1-storage-ca-file={server.ca}"""
