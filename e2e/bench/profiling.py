# SPDX-License-Identifier: Apache-2.0
"""Where the time of a full backup, of an incremental and of a restore goes, as `perf` samples it."""

import os
import pwd
import shutil
from pathlib import Path

import host
from bench import Bench
from machine import WITHOUT
from measuring import warm
from programs import LifeboatProgram

LINES = 14
TRANSACTIONS = 2000


def profile(bench: Bench) -> None:
    if not shutil.which("perf"):
        bench.report.note("profile: left out, there is no perf here")
        return
    program = LifeboatProgram(bench.home / "profile", bench.source)
    program.prepare()
    warm(bench.source.data, WITHOUT)
    sample(bench, "full backup to a directory", program.backup())
    bench.source.pgbench("--no-vacuum", f"--transactions={TRANSACTIONS}")
    bench.source.sql("CHECKPOINT")
    warm(bench.source.data, WITHOUT)
    sample(bench, f"incremental backup after {TRANSACTIONS} transactions, WAL summaries off", program.backup("incremental"))
    sample(bench, "restore", program.restore(bench.target()))
    bench.clear_target()


def sample(bench: Bench, what: str, argv: list) -> None:
    data = bench.home / "perf.data"
    os.sync()
    host.run(["perf", "record", "-q", "-e", "cpu-clock", "-F", "499", "-o", data, "--", *as_unprivileged(), *argv], privileged=True)
    bench.report.texts += [f"Where the time of a {what} goes:",
                           "\n".join(["| share | in |", "|---|---|", *rows(data, "dso")]),
                           "\n".join(["| share | in | function |", "|---|---|---|", *rows(data, "dso,symbol")])]
    data.unlink()


def rows(data: Path, keys: str) -> list[str]:
    done = host.run(["perf", "report", "-i", data, "--stdio", "--sort", keys, "--field-separator=;", "-q"], privileged=True)
    shares: dict[tuple[str, ...], float] = {}
    for line in filter(str.strip, done.stdout.splitlines()):
        share, *places = [field.strip() for field in line.split(";")][:1 + len(keys.split(","))]
        key = tuple("without a symbol" if "] 0x" in place else place for place in places)  # of a stripped library
        shares[key] = shares.get(key, 0) + float(share.removesuffix("%"))
    largest = sorted(shares.items(), key=lambda item: -item[1])[:LINES]
    return [f"| {share:.1f} % | {' | '.join(places)} |" for places, share in largest]


def as_unprivileged() -> list:
    if os.geteuid() != 0:
        return []
    entry = pwd.getpwnam("postgres")
    return ["setpriv", f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups"]
