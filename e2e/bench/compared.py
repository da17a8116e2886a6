# SPDX-License-Identifier: Apache-2.0
"""Full backups and their restores, in turns with the peer: into a directory and into S3."""

import machine
from bench import Bench
from machine import WITHOUT
from measuring import Run, measure, median, size_bytes, warm
from programs import WORKERS, LifeboatProgram, PgBackRest, archive_by
from report import Figure
from s3 import S3Server

Program = LifeboatProgram | PgBackRest


def directory(bench: Bench) -> None:
    home, source, report = bench.home, bench.source, bench.report
    ours, peer = LifeboatProgram(home / "ours", source), PgBackRest(home / "peer", source, bench.options.pgbackrest)
    report.note(f"{ours.name} {ours.version}, {peer.name} {peer.version}")
    compress = "zstd -1 on the same files"

    def compress_once() -> None:
        warm(source.data, WITHOUT)
        report.add(compress, machine.compress(source.data), bench.source_bytes)

    full_ours, full_peer = back_up(bench, "directory", (ours, peer), compress_once)
    zstd_s = median(report.runs[compress], lambda run: run.cpu_seconds)
    add_ratio(bench, "full backup to a directory, wall", full_ours, full_peer, bench.machine.full_s(WORKERS))
    cpu_s = median(full_ours, lambda run: run.cpu_seconds)
    report.figures.append(Figure("CPU of the full over that of `zstd -1`", cpu_s / zstd_s, 1.25, f"{cpu_s:.2f} s / {zstd_s:.2f} s",
                                 (zstd_s + bench.machine.encrypt_s) / zstd_s))
    restore_with_floor(bench, ours, peer)


def s3(bench: Bench) -> None:
    home, source = bench.home, bench.source
    server = S3Server(home / "s3")
    bench.stack.callback(server.end)
    server.start()
    ours = LifeboatProgram(home / "ours-s3", source, server)
    peer = PgBackRest(home / "peer-s3", source, bench.options.pgbackrest, server)
    full = back_up(bench, "S3", (ours, peer))
    add_ratio(bench, "full backup to S3, wall", *full, bench.machine.full_s(WORKERS))
    restored = bring_back(bench, "S3", (ours, peer))
    add_ratio(bench, "restore from S3, wall", *restored, bench.machine.restore_s(WORKERS))


def back_up(bench: Bench, where: str, programs: tuple[Program, Program], *others) -> list[list[Run]]:
    """The runs of each."""
    def once(program: Program) -> None:
        archive_by(bench.source, program.archive_command)
        warm(bench.source.data, WITHOUT)
        before = size_bytes(program.repository)
        run = measure(program.backup())
        run.details["storedBytes"] = size_bytes(program.repository) - before
        bench.report.add(f"full to {where}, {program.name}", run, bench.source_bytes)

    for program in programs:
        program.prepare()
    bench.in_turns(*(lambda program=program: once(program) for program in programs), *others)
    return [bench.report.runs[f"full to {where}, {program.name}"] for program in programs]


def bring_back(bench: Bench, where: str, programs: tuple[Program, Program], *others) -> list[list[Run]]:
    def once(program: Program) -> None:
        warm(program.repository)
        target = bench.target()
        bench.report.add(f"restore from {where}, {program.name}", measure(program.restore(target)), bench.source_bytes)

    bench.in_turns(*(lambda program=program: once(program) for program in programs), *others)
    bench.clear_target()
    return [bench.report.runs[f"restore from {where}, {program.name}"] for program in programs]


def restore_with_floor(bench: Bench, ours: Program, peer: Program) -> None:
    report, floor = bench.report, "dd conv=fsync of as many bytes"
    file = bench.home / "floor"

    def write_once() -> None:
        bench.clear_target()  # as empty a disk as for the others
        report.add(floor, machine.write(file, bench.source_bytes), bench.source_bytes)

    restored_ours, restored_peer = bring_back(bench, "a directory", (ours, peer), write_once)
    floor_s = median(report.runs[floor])
    ours_s, peer_s = median(restored_ours), median(restored_peer)
    written_s = median(restored_ours, lambda run: run.phases["finishing"])
    report.figures += [
        Figure("restore, before the final sync, over the peer's wall", written_s / peer_s, 0.6,
               f"{written_s:.2f} s / {peer_s:.2f} s", bench.machine.restore_s(WORKERS) / peer_s),
        Figure("restore in all, over the larger of 0.6 × peer and 1.15 × floor", ours_s / max(0.6 * peer_s, 1.15 * floor_s), 1.0,
               f"{ours_s:.2f} s / max(0.6 × {peer_s:.2f} s, 1.15 × {floor_s:.2f} s)",
               max(bench.machine.restore_s(WORKERS), floor_s) / max(0.6 * peer_s, 1.15 * floor_s)),
    ]


def add_ratio(bench: Bench, name: str, ours: list[Run], peer: list[Run], limit_s: float) -> None:
    ours_s, peer_s = median(ours), median(peer)
    bench.report.figures.append(Figure(f"{name}, over the peer's", ours_s / peer_s, 0.6, f"{ours_s:.2f} s / {peer_s:.2f} s",
                                       limit_s / peer_s))
