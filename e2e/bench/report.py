# SPDX-License-Identifier: Apache-2.0
"""What was found: figures held against what is wanted of them, and the runs that they come from; in Markdown and JSON."""

import sys
from dataclasses import asdict, dataclass, field

from measuring import Run, median


@dataclass(frozen=True)
class Figure:
    """Smaller is better. `limit` is what the machine allows at best, in the same unit."""
    name: str
    value: float
    wanted: float | None
    basis: str  # where the value comes from, for a reader
    limit: float | None = None
    unit: str = ""  # none: a ratio

    @property
    def reached(self) -> bool | None:
        return None if self.wanted is None else self.value <= self.wanted

    def row(self) -> str:
        mark = {True: "yes", False: "**no**", None: ""}[self.reached]
        return f"| {self.name} | {self.basis} | {self._text(self.value)} | {self._text(self.wanted)} | {mark} | {self._text(self.limit)} |"

    def _text(self, value: float | None) -> str:
        if value is None:
            return ""
        return f"{value:.0f} {self.unit}" if self.unit else f"{value:.2f}"


@dataclass
class Report:
    notes: list[str] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    runs: dict[str, list[Run]] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)  # of what the runs moved, in bytes
    texts: list[str] = field(default_factory=list)  # further tables

    def note(self, text: str) -> None:
        self.notes.append(text)
        say(text)

    def add(self, name: str, run: Run, size_bytes: int) -> Run:
        self.runs.setdefault(name, []).append(run)
        self.sizes[name] = size_bytes
        say(f"{name}: {run.seconds:.2f} s, {run.cpu_seconds:.2f} s of CPU, {run.peak_bytes / 2**20:.0f} MiB")
        return run

    def markdown(self) -> str:
        parts = ["\n".join(f"* {note}" for note in self.notes)]
        if self.figures:
            parts.append("\n".join(["| figure | from | measured | wanted, at most | reached | the machine's limit |",
                                    "|---|---|---|---|---|---|", *(figure.row() for figure in self.figures)]))
        if self.runs:
            parts.append("\n".join(["| runs | seconds | median | MB/s | CPU seconds | peak memory | stored |",
                                    "|---|---|---|---|---|---|---|", *map(self._row, self.runs)]))
        return "\n\n".join(parts + self.texts)

    def _row(self, name: str) -> str:
        runs = self.runs[name]
        seconds = median(runs)
        stored = median(runs, lambda run: run.details.get("storedBytes", 0))
        return (f"| {name} | {', '.join(f'{run.seconds:.2f}' for run in runs)} | {seconds:.2f} | {self.sizes[name] / seconds / 1e6:.0f} "
                f"| {median(runs, lambda run: run.cpu_seconds):.1f} | {max(run.peak_bytes for run in runs) / 2**20:.0f} MiB "
                f"| {f'{stored / 1e6:.1f} MB' if stored else ''} |")

    def json(self) -> dict:
        return {"notes": self.notes,
                "figures": [asdict(figure) | {"reached": figure.reached} for figure in self.figures],
                "runs": {name: [run.json() for run in runs] for name, runs in self.runs.items()},
                "bytes": self.sizes}


def say(text: str) -> None:
    """What goes on, while it does."""
    print(text, file=sys.stderr, flush=True)
