# SPDX-License-Identifier: Apache-2.0
"""Programs that outlive whoever starts them, and yet leave nothing behind. Needs root.

Each is recorded in a file with its pid and start time. All of them, and all that they start, stay in one cgroup:
that is where `end` finds every process, whatever became of its parents.
"""

import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

import host

_MOUNT = Path("/sys/fs/cgroup")


class Cgroup:
    """A control group with the same path in every hierarchy (there is one with cgroup v2, a dozen with v1)."""

    def __init__(self, path: str):
        self.path = path
        single = (_MOUNT / "cgroup.controllers").exists()
        self._roots = [_MOUNT] if single else sorted({root.resolve() for root in _MOUNT.iterdir()
                                                      if (root / "cgroup.procs").exists()})

    def make(self) -> "Cgroup":
        for root in self._roots:
            directory = root
            for name in self.path.strip("/").split("/"):
                directory /= name
                directory.mkdir(exist_ok=True)
                for setting in ("cpuset.cpus", "cpuset.mems"):  # which v1 does not inherit
                    if root.name == "cpuset":
                        (directory / setting).write_text((directory.parent / setting).read_text())
        return self

    def procs(self) -> list[Path]:
        """The files by which a process enters."""
        return [root / self.path.strip("/") / "cgroup.procs" for root in self._roots]

    def pids(self) -> set[int]:
        """All processes in it and below."""
        found = set()
        for directory in self.directories():
            try:
                found.update(map(int, (directory / "cgroup.procs").read_text().split()))
            except FileNotFoundError:
                pass  # gone in the meantime
        return found

    def remove(self) -> None:
        for directory in self.directories():
            try:
                directory.rmdir()
            except FileNotFoundError:
                pass

    def directories(self) -> list[Path]:
        """Children before their parents."""
        tops = [file.parent for file in self.procs()]
        return [Path(directory) for top in tops for directory, _, _ in os.walk(top, topdown=False)]


class Daemons:
    def __init__(self, home: Path, cgroup: Cgroup):
        self.home = home  # <name>.pid and <name>.log
        self._cgroup = cgroup
        self._children: dict[str, subprocess.Popen] = {}

    def start(self, name: str, argv: list, env: Mapping[str, str] = {}) -> None:
        """Does not wait until it answers."""
        enter = 'for file in $CGROUPS; do echo $$ >"$file"; done; unset CGROUPS; exec "$@"'
        cgroups = {"CGROUPS": " ".join(map(str, Cgroup(f"{self._cgroup.path}/daemons").make().procs()))}
        with open(self.home / f"{name}.log", "a") as log:
            child = host.spawn(["sh", "-c", enter, "sh", *argv], env={**env, **cgroups}, privileged=True,
                               stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        self._children[name] = child
        (self.home / f"{name}.pid").write_text(f"{child.pid} {_started(child.pid)}")

    def names(self) -> list[str]:
        """Of all that were started and not stopped, in that order."""
        return [file.stem for file in sorted(self.home.glob("*.pid"), key=lambda file: file.stat().st_mtime)]

    def is_running(self, name: str) -> bool:
        return self._pid(name) is not None

    def send(self, name: str, number: int) -> None:
        if (pid := self._pid(name)) is not None:
            os.kill(pid, number)

    def stop(self, name: str, number: int = signal.SIGTERM, grace_s: float = 20) -> None:
        """Ends one that was started, and waits until it is gone; what it started goes on."""
        assert name in self.names(), f"no '{name}' was started, only {self.names()}"
        self.send(name, number)
        try:
            host.wait_until(lambda: not self.is_running(name), f"{name} ends", grace_s)
        except AssertionError:
            self.send(name, signal.SIGKILL)
            host.wait_until(lambda: not self.is_running(name), f"{name} ends", grace_s)
        (self.home / f"{name}.pid").unlink(missing_ok=True)

    def log(self, name: str, size: int = 4000) -> str:
        return (self.home / f"{name}.log").read_text(errors="replace")[-size:]

    def end(self) -> None:
        """Kills every process in the cgroup and removes it."""
        def none_left() -> bool:
            pids = self._cgroup.pids()
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            return not pids

        host.wait_until(none_left, "all processes of the cluster end")
        for child in self._children.values():
            child.wait()
        self._children.clear()
        self._cgroup.remove()

    def _pid(self, name: str) -> int | None:
        if (child := self._children.get(name)) is not None:
            child.poll()  # else it stays as a zombie
        try:
            pid, started = map(int, (self.home / f"{name}.pid").read_text().split())
        except FileNotFoundError:
            return None
        return pid if _started(pid) == started else None


def _started(pid: int) -> int:
    """When the process was started, in ticks since the machine was; 0 if it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return 0 if fields[0] == "Z" else int(fields[19])
