# SPDX-License-Identifier: Apache-2.0
"""Network namespaces, one a region: what runs inside reaches the other regions and nothing else. Needs root."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import host

_NAMED = Path("/run/netns")
_CLONE_NEWNET = 0x40000000


def _ip(*arguments: str) -> None:
    host.run(["ip", *arguments], privileged=True)


def make(namespace: str) -> None:
    _ip("netns", "add", namespace)
    _ip("-n", namespace, "link", "set", "lo", "up")


def exists(namespace: str) -> bool:
    return (_NAMED / namespace).exists()


def remove(namespace: str) -> None:
    """Does nothing if there is none. The links inside go with it, once no process is left there."""
    if exists(namespace):
        _ip("netns", "del", namespace)


def connect(one: str, other: str, device: str) -> None:
    """Lays a cable between two namespaces, each end named `device`; `address` brings an end up."""
    _ip("-n", one, "link", "add", device, "type", "veth", "peer", "name", device, "netns", other)


def address(namespace: str, device: str, own: str) -> None:
    """Gives an address like 10.0.0.1/24 to a device and brings it up."""
    _ip("-n", namespace, "address", "add", own, "dev", device)
    set_up(namespace, device, True)


def set_up(namespace: str, device: str, up: bool) -> None:
    """Routes are lost when a device goes down."""
    _ip("-n", namespace, "link", "set", device, "up" if up else "down")


def route(namespace: str, target: str, gateway: str) -> None:
    _ip("-n", namespace, "route", "replace", target, "via", gateway)


def command(namespace: str, argv: list) -> list:
    """Runs a program in a namespace, without a parent process of its own. Not `ip netns exec`, which hides cgroups."""
    return ["nsenter", f"--net={_NAMED / namespace}", *argv]


@contextmanager
def inside(namespace: str) -> Iterator[None]:
    """The calling thread, and the threads and processes that it starts, are in the namespace while the block runs."""
    outside = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _enter_path(_NAMED / namespace)
        try:
            yield
        finally:
            _enter(outside)
    finally:
        os.close(outside)


def _enter_path(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _enter(descriptor)
    finally:
        os.close(descriptor)


def _enter(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"setns: {os.strerror(number)}")
