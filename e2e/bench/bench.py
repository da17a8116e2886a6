# SPDX-License-Identifier: Apache-2.0
"""What all figures share: options, a directory, the report, and the server that is compared on."""

import argparse
import math
import os
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path

import host
import machine
from machine import WITHOUT, Machine
from measuring import size_bytes, warm
from postgres import Postgres
from programs import PEER_MAJOR
from report import Report

# A server as one has it; nothing changes by itself between two runs.
SETTINGS = {"shared_buffers": "256MB", "max_wal_size": "8GB", "checkpoint_timeout": "1h", "autovacuum": "off",
            "fsync": "on", "synchronous_commit": "off", "log_line_prefix": "%n "}


class Bench:
    def __init__(self, home: Path, options: argparse.Namespace, stack: ExitStack):
        self.home, self.options, self.stack = home, options, stack
        self.report = Report()
        self.used = 0  # targets

    @cached_property
    def source(self) -> Postgres:
        """The server whose backups are compared with the peer's."""
        server = self.server("source", PEER_MAJOR, archive_mode="on", archive_command="true")
        fill(server, scale_of(self.options.size))
        self.report.note(f"{describe(server)}, data checksums {'on' if self.options.checksums else 'off'}")
        return server

    @cached_property
    def source_bytes(self) -> int:
        return size_bytes(self.source.data, WITHOUT)

    @cached_property
    def machine(self) -> Machine:
        """What it can do with the files of `source`."""
        warm(self.source.data, WITHOUT)
        found = machine.look(self.home, self.source.data)
        self.report.note(found.describe())
        return found

    def server(self, name: str, major: int, **settings: str) -> Postgres:
        server = Postgres(major, self.home / name).init(self.options.checksums, **SETTINGS | settings)
        self.stack.callback(server.end)
        return server.start()

    def in_turns(self, *actions: Callable[[], None]) -> None:
        """Every one as often as asked for, each time another one first: what disturbs the machine disturbs all."""
        for number in range(self.options.runs):
            first = number % len(actions)
            for action in actions[first:] + actions[:first]:
                action()

    def target(self) -> Path:
        """An empty directory to restore into."""
        self.clear_target()
        return host.make_directory(self.home / "target")

    def clear_target(self) -> None:
        """Gives the space back, but keeps the files until the end: without a journal ext4 passes over every inode that
        was freed in the last minutes, one by one, whenever it makes a file, so that each run would slow down the next."""
        target = self.home / "target"
        if target.exists():
            empty_files(target)
            self.used += 1
            target.rename(self.home / f"used-{self.used}")


def empty_files(directory: Path) -> None:
    for path, _, names in os.walk(directory):
        for name in names:
            os.truncate(os.path.join(path, name), 0)


def scale_of(size_gb: float) -> int:
    """pgbench makes 15 MB or a little more for each unit of its scale."""
    return max(1, math.ceil(size_gb * 200 / 3))


def fill(server: Postgres, scale: int) -> None:
    server.pgbench("--initialize", "--quiet", f"--scale={scale}", timeout_s=3600)
    server.sql("CHECKPOINT")


def discard(server: Postgres) -> None:
    server.end()
    shutil.rmtree(server.home)


def describe(server: Postgres) -> str:
    size = size_bytes(server.data, WITHOUT)
    return f"{size / 1e9:.2f} GB of pgbench, PostgreSQL {server.sql('SHOW server_version').split()[0]}"
