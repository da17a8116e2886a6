# SPDX-License-Identifier: Apache-2.0
"""One run of a program: how long it took, what of the machine it used, and what it said meanwhile."""

import ctypes
import json
import os
import re
import select
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import host

SAMPLE_MS = 20
PR_SET_CHILD_SUBREAPER = 36
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass
class Run:
    """Of one program, its children included."""
    seconds: float
    cpu_seconds: float
    peak_bytes: int  # the sum of the peaks of its processes; shared libraries count once each
    phases: dict[str, float] = field(default_factory=dict)  # seconds after the start at which each began
    output: str = field(default="", repr=False)
    details: dict[str, float] = field(default_factory=dict)  # what a figure adds

    def json(self) -> dict:
        return {"seconds": self.seconds, "cpuSeconds": self.cpu_seconds, "peakBytes": self.peak_bytes,
                "phases": self.phases, **self.details}


def median(runs: Iterable[Run], value: Callable[[Run], float] = lambda run: run.seconds) -> float:
    return statistics.median(value(run) for run in runs)


def measure(argv: list, keep_output: bool = True) -> Run:
    """Runs the program to its end, which must be a good one."""
    os.sync()  # nobody pays for what the run before left to write
    started = time.monotonic()
    process = host.spawn(argv, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                         stdout=subprocess.PIPE if keep_output else subprocess.DEVNULL)
    output, complaints, phases = [], [], {}
    readers = [threading.Thread(target=_note_phases, args=(process.stderr, started, phases, complaints))]
    if keep_output:
        readers.append(threading.Thread(target=lambda: output.append(process.stdout.read())))
    for reader in readers:
        reader.start()
    peak_bytes, usage = _wait(process)
    seconds = time.monotonic() - started
    for reader in readers:
        reader.join()
    if process.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, argv))}: exit status {process.returncode}\n{''.join(complaints + output)}")
    return Run(seconds, usage.ru_utime + usage.ru_stime, peak_bytes, phases, "".join(output))


def _note_phases(lines: Iterable[str], started: float, phases: dict[str, float], others: list[str]) -> None:
    """Lifeboat says on stderr what it is at, with --progress json."""
    for line in lines:
        if line.startswith('{"progress":'):
            phases.setdefault(json.loads(line)["progress"]["phase"], time.monotonic() - started)
        else:
            others.append(line)


def _wait(process: subprocess.Popen) -> tuple[int, object]:
    """Its peak memory and its resources, when it has ended."""
    peaks: dict[int, int] = {}
    poll = select.poll()
    ended = os.pidfd_open(process.pid)
    try:
        poll.register(ended, select.POLLIN)
        while not poll.poll(SAMPLE_MS):
            _note_peaks(process.pid, peaks)
    finally:
        os.close(ended)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return sum(peaks.values()), usage


def _note_peaks(pid: int, peaks: dict[int, int]) -> None:
    try:
        found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return
    if found:
        peaks[pid] = int(found[1]) * 1024
    for child in children:
        _note_peaks(int(child), peaks)


def adopt_orphans() -> None:
    """From now on those of all that this process starts become its children, so that it hears of their end."""
    if ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise AssertionError("orphans can not be made children of this process")


class Watch:
    """The processes of a program, whoever starts them, while the block runs: those below `roots`, and those that outlived
    whoever started them, which `adopt_orphans` has made children of this process."""

    def __init__(self, names: str | tuple[str, ...], *roots: int):
        self._names = names  # or how they begin: the kernel cuts them after 15 characters
        self.roots = list(roots)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.orphans = 0  # that live
        self.cpu_seconds = 0.0  # of orphans that have ended
        self.peak_bytes = 0  # of all that lived at the same time, the sum of their peaks

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._stopped.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stopped.wait(SAMPLE_MS / 1000):
            orphans = [pid for pid in _children(os.getpid()) if pid not in self.roots and self._is_meant(pid)]
            peaks: dict[int, int] = {}
            for pid in [*self.roots, *orphans]:
                _note_peaks(pid, peaks)
            self.peak_bytes = max(self.peak_bytes, sum(peak for pid, peak in peaks.items() if self._is_meant(pid)))
            self.orphans = len(orphans) - sum(map(self._reap, orphans))

    def _is_meant(self, pid: int) -> bool:
        try:
            return Path(f"/proc/{pid}/comm").read_text().startswith(self._names)
        except (FileNotFoundError, ProcessLookupError):
            return False

    def _reap(self, pid: int) -> bool:
        ended, _, usage = os.wait4(pid, os.WNOHANG)
        self.cpu_seconds += usage.ru_utime + usage.ru_stime if ended else 0
        return ended != 0


def _children(pid: int) -> list[int]:
    """Of all its threads."""
    try:
        return [int(child) for file in Path(f"/proc/{pid}/task").glob("*/children") for child in file.read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def cpu_seconds(pid: int) -> float:
    """So far, with those of its children that it has waited for."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / TICKS_PER_S


def peak_bytes(pid: int) -> int:
    peaks: dict[int, int] = {}
    _note_peaks(pid, peaks)
    return sum(peaks.values())


def files_of(directory: Path, without: tuple[str, ...] = ()) -> list[Path]:
    """All files below, but for some of its own subdirectories."""
    return [path for path in directory.rglob("*")
            if path.relative_to(directory).parts[0] not in without and path.is_file()]


def size_bytes(directory: Path, without: tuple[str, ...] = ()) -> int:
    return sum(path.stat().st_size for path in files_of(directory, without))


def warm(directory: Path, without: tuple[str, ...] = ()) -> None:
    """Puts the files into the page cache, as far as it holds them."""
    buffer = bytearray(1 << 20)
    for path in files_of(directory, without):
        with open(path, "rb", buffering=0) as file:
            while file.readinto(buffer):
                pass
