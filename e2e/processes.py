# SPDX-License-Identifier: Apache-2.0
"""Processes of this machine as the kernel shows them, those in containers too: to look at them, to stop and to kill
them. Needs root."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import host
from kube_client import Namespace
from kube_cluster import Cluster


def words(pid: int) -> list[str]:
    """Its command line; empty if it is gone, or a zombie."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")[:-1]
    except (FileNotFoundError, ProcessLookupError):
        return []


def children(pid: int) -> list[int]:
    """Those that have not ended."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [child for child in map(int, task.read_text().split()) if words(child)]
        except (FileNotFoundError, ProcessLookupError):
            pass
    return found


def resident_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))


def mounts(pid: int, below: str) -> dict[str, bool]:
    """What it has mounted at that path and below, and whether it may write there."""
    fields = [line.split() for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines()]
    return {field[4]: "rw" in field[5].split(",") for field in fields if f"{field[4]}/".startswith(f"{below}/")}


@contextmanager
def held(pid: int) -> Iterator[None]:
    """It does nothing while the block runs, as if it hung."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        try:
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            pass


class SidecarProcesses:
    """The processes of a pod's sidecar: the supervisor, the server below it, the job below that."""

    def __init__(self, machinery: Cluster, namespace: Namespace, pod: str):
        self._machinery, self._namespace, self._pod = machinery, namespace, pod

    def supervisor(self) -> int:
        return self._machinery.first_process(self._namespace.get("Pod", self._pod), "lifeboat")

    def server(self) -> int:
        return self._wait_for_child(self.supervisor, "--supervised")

    def job(self) -> int:
        """The backup or restore that runs."""
        return self._wait_for_child(self.server, "--progress")

    def kill_server(self) -> None:
        os.kill(self.server(), signal.SIGKILL)

    def kill(self) -> None:
        """Everything, as a crash of the container does."""
        os.kill(self.supervisor(), signal.SIGKILL)

    def _wait_for_child(self, parent, argument: str) -> int:
        found = []

        def is_there() -> bool:
            found[:] = [child for child in children(parent()) if argument in words(child)]
            return bool(found)

        host.wait_until(is_there, f"the sidecar of '{self._pod}' has a process with '{argument}'")
        return found[0]
