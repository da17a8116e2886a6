# SPDX-License-Identifier: Apache-2.0
"""How time and memory grow: with the size of the database, and with the number of its files."""

import json
import shutil

from bench import Bench, discard, fill, scale_of
from machine import WITHOUT
from measuring import measure, median, size_bytes, warm
from postgres import Postgres
from programs import PROMISED_BYTES, LifeboatProgram
from report import Figure

MAJOR = 17
TABLES = 5000  # a database of many files has two for each: the table and its index
MAKE_TABLES = """
    DO $$ BEGIN
        FOR i IN {first}..{last} LOOP
            EXECUTE format('CREATE TABLE small_%s (id int PRIMARY KEY)', i);
            EXECUTE format('INSERT INTO small_%s VALUES (%s)', i, i);
        END LOOP;
    END $$;
"""


def growth(bench: Bench) -> None:
    """A database of 1 GB, copied until all are as large as asked for."""
    sizes = sorted(bench.options.growth)
    server = bench.server("growth", MAJOR, fsync="off")  # to be made sooner
    server.sql("CREATE DATABASE piece")
    server.pgbench("--initialize", "--quiet", f"--scale={scale_of(min(1, sizes[0]))}", database="piece", timeout_s=3600)
    for size in sizes:
        while size_bytes(server.data, WITHOUT) < size * 1e9:
            copy_database(server, "piece")
        look(bench, server, f"{size:g} GB")
    discard(server)


def files(bench: Bench) -> None:
    """Small tables, in so many databases that all have the files that are asked for."""
    server = bench.server("files", MAJOR, max_locks_per_transaction="1024", fsync="off")  # to be made sooner
    server.sql("CREATE DATABASE piece")
    for first in range(1, TABLES, 1000):  # a transaction each: locks are limited
        server.sql(MAKE_TABLES.format(first=first, last=first + 999), database="piece")
    for _ in range(round(bench.options.files / (2 * TABLES)) - 1):
        copy_database(server, "piece")
    look(bench, server, f"{bench.options.files} files")
    discard(server)


def copy_database(server: Postgres, name: str) -> None:
    number = server.sql("SELECT count(*) FROM pg_database")
    server.sql(f"CREATE DATABASE copy{number} TEMPLATE {name} STRATEGY FILE_COPY")
    server.sql("CHECKPOINT")


def look(bench: Bench, server: Postgres, what: str) -> None:
    report, program = bench.report, LifeboatProgram(bench.home / "growth-ours", server)
    program.prepare()
    names = f"full, {what}", f"restore, {what}"
    for _ in range(bench.options.runs):
        warm(server.data, WITHOUT)
        before = size_bytes(program.repository)
        run = measure(program.backup())
        run.details["storedBytes"] = size_bytes(program.repository) - before
        manifest = json.loads(run.output)
        report.add(names[0], run, manifest["bytes"]["total"])
        if shutil.disk_usage(bench.home).free > 1.2 * manifest["bytes"]["total"]:
            report.add(names[1], measure(program.restore(bench.target())), manifest["bytes"]["total"])
            bench.clear_target()
    for name in names:
        if name in report.runs:
            peak = max(run.peak_bytes for run in report.runs[name])
            report.figures.append(Figure(f"peak memory: {name}", peak / 2**20, PROMISED_BYTES / 2**20,
                                         f"{manifest['bytes']['total'] / 1e9:.2f} GB, {manifest['files']} files, {median(report.runs[name]):.2f} s",
                                         unit="MiB"))
        else:
            report.note(f"{name}: left out, the disk is too small")
    shutil.rmtree(bench.home / "growth-ours")
