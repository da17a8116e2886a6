# SPDX-License-Identifier: Apache-2.0
"""Incrementals after a little work, with and without WAL summaries, over full backups of the same server."""

import json
import re

import pages
from bench import Bench, describe, discard, fill
from machine import WITHOUT
from measuring import Run, measure, median, size_bytes, warm
from postgres import Postgres
from programs import LifeboatProgram
from report import Figure

MAJOR = 17
CLIENTS = 2
LARGE_BYTES = 25e9  # from here on the second incremental has to be that much smaller
STEPS = (8000, 2000)  # transactions
SOURCES = {"on": "walSummaries", "off": "pageLsn"}  # by summarize_wal


def incremental(bench: Bench) -> None:
    server = bench.server("incremental", MAJOR, summarize_wal="on", wal_summary_keep_time="1d")
    fill(server, bench.options.incremental_scale)
    bench.report.note(f"incrementals: {describe(server)}, scale {bench.options.incremental_scale}")
    program = LifeboatProgram(bench.home / "incremental-ours", server)
    program.prepare()
    for summaries in SOURCES:
        server.configure(summarize_wal=summaries)
        server.reload()
        for _ in range(bench.options.runs):
            one_round(bench, program, summaries)
    for summaries in SOURCES:
        for number in range(len(STEPS)):
            add_figures(bench, summaries, number, size_bytes(server.data, WITHOUT))
    discard(server)


def one_round(bench: Bench, program: LifeboatProgram, summaries: str) -> None:
    server = program.server
    server.sql("CHECKPOINT")
    back_up(bench, program, name_of(summaries, None), "full", "all")
    before = pages.read(server.data)
    for number, transactions in enumerate(STEPS):
        server.pgbench("--no-vacuum", f"--client={CLIENTS}", f"--transactions={transactions // CLIENTS}", timeout_s=3600)
        server.sql("CHECKPOINT")
        after = pages.read(server.data)
        changed = pages.changed(before, after)
        before = after
        least_bytes = pages.compressed_bytes(changed)
        run = back_up(bench, program, name_of(summaries, number), "incremental", SOURCES[summaries])
        run.details |= {"changedBytes": len(changed) * pages.PAGE, "leastBytes": least_bytes}


def name_of(summaries: str, step: int | None) -> str:
    what = "full" if step is None else f"incremental after {STEPS[step]} transactions"
    return f"{what}, WAL summaries {summaries}"


def back_up(bench: Bench, program: LifeboatProgram, name: str, kind: str, source: str) -> Run:
    server = program.server
    warm(server.data, WITHOUT)
    stored_bytes, log_bytes = size_bytes(program.repository), server.log.stat().st_size
    run = measure(program.backup(kind))
    manifest = json.loads(run.output)
    assert (manifest["type"], manifest["changeSource"]) == (kind, source), manifest["fallback"]
    run.details |= {"storedBytes": size_bytes(program.repository) - stored_bytes, "serverSeconds": server_seconds(server, log_bytes)}
    return bench.report.add(name, run, manifest["bytes"]["total"])


def server_seconds(server: Postgres, offset: int) -> float:
    """How long the backup waited for the server, by the log behind offset: all statements, which only the backup's role has
    logged, and the time until WAL was summarized, for which it asks again and again."""
    with open(server.log, "rb") as log:
        log.seek(offset)
        lines = log.read().decode(errors="replace").splitlines()
    duration = re.compile(r"^([\d.]+) LOG:  duration: ([\d.]+) ms")
    found = [(float(match[1]), float(match[2]) / 1e3, line) for line in lines if (match := duration.match(line))]
    asked = [at for at, _, line in found if "pg_available_wal_summaries" in line]
    return sum(seconds for _, seconds, _ in found) + (asked[-1] - asked[0] if asked else 0)


def add_figures(bench: Bench, summaries: str, step: int, total_bytes: int) -> None:
    report, name = bench.report, name_of(summaries, step)
    runs, full_s = report.runs[name], median(report.runs[name_of(summaries, None)])
    seconds, server_s = median(runs), median(runs, lambda run: run.details["serverSeconds"])
    cpu_s, full_cpu_s = (median(each, lambda run: run.cpu_seconds) for each in (runs, report.runs[name_of(summaries, None)]))
    wanted = 0.3 if summaries == "off" else (0.2, 0.06 if total_bytes >= LARGE_BYTES else 0.12)[step]
    report.figures.append(Figure(f"{name}, wall over own full", seconds / full_s, wanted,
                                 f"{seconds:.2f} s / {full_s:.2f} s, of these {server_s:.2f} s in the server; "
                                 f"CPU time {cpu_s:.2f} s / {full_cpu_s:.2f} s", server_s / full_s))
    stored, changed, least = (median(runs, lambda run: run.details[detail]) for detail in ("storedBytes", "changedBytes", "leastBytes"))
    report.figures.append(Figure(f"{name}, bytes stored over those of changed pages", stored / changed, 0.3,
                                 f"{stored / 1e6:.2f} MB / {changed / 1e6:.2f} MB", least / changed))
