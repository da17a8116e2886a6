# SPDX-License-Identifier: Apache-2.0
"""Restores of a changed database over an older copy of it, in turns with restores into an empty directory."""

import json
import shutil
from pathlib import Path

import host
from bench import Bench, describe, discard, scale_of
from measuring import measure, median, warm
from postgres import assert_verified
from programs import LifeboatProgram
from report import Figure

MAJOR = 17
SIZE_GB = 1
CHANGES = {
    "nothing changed": "SELECT",
    "1 % in a row changed": "UPDATE pgbench_accounts SET abalance = 1 WHERE aid <= {rows} / 100",
    "1 % anywhere changed": "UPDATE pgbench_accounts SET abalance = 2 WHERE aid % 6000 = 0",  # one page of a hundred
}


def delta(bench: Bench) -> None:
    server = bench.server("delta", MAJOR)
    scale = scale_of(min(SIZE_GB, bench.options.size))
    server.pgbench("--initialize", "--quiet", f"--scale={scale}", timeout_s=3600)
    server.sql("VACUUM ANALYZE; CHECKPOINT")
    bench.report.note(f"restores over an older copy: {describe(server)}")
    program = LifeboatProgram(bench.home / "delta-ours", server)
    program.prepare()
    for change, sql in CHANGES.items():
        measure(program.backup())
        copy = bench.home / "copy"
        measure(program.restore(host.make_directory(copy)))
        server.sql(sql.format(rows=scale * 100_000))
        server.sql("CHECKPOINT")
        total_bytes = json.loads(measure(program.backup("incremental")).output)["bytes"]["total"]
        compare(bench, program, change, copy, total_bytes)
        shutil.rmtree(copy)
    discard(server)


def compare(bench: Bench, program: LifeboatProgram, change: str, copy: Path, total_bytes: int) -> None:
    report = bench.report
    names = f"restore into an empty directory, {change}", f"restore --delta, {change}"

    def restore(name: str, to: Path, *options: str) -> None:
        warm(program.repository)
        run = report.add(name, measure(program.restore(to, *options)), total_bytes)
        found = json.loads(run.output)
        run.details |= {"fetchedBytes": found["fetchedBytes"], "writtenBytes": found["bytes"] - found["keptBytes"]}

    def over_the_copy() -> None:
        target = bench.target()
        host.run(["cp", "--archive", "--no-target-directory", copy, target])
        restore(names[1], target, "--delta")

    bench.in_turns(lambda: restore(names[0], bench.target()), over_the_copy)
    assert_verified(MAJOR, bench.home / "target")
    bench.clear_target()
    full_s, delta_s = (median(report.runs[name]) for name in names)
    fetched, written = (median(report.runs[names[1]], lambda run: run.details[detail]) for detail in ("fetchedBytes", "writtenBytes"))
    report.figures.append(Figure(f"{names[1]}, over one into an empty directory", delta_s / full_s, None,
                                 f"{delta_s:.2f} s / {full_s:.2f} s; of {total_bytes / 1e6:.0f} MB {fetched / 1e6:.1f} MB fetched, "
                                 f"{written / 1e6:.1f} MB written"))
