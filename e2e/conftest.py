# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the end-to-end tests. Every process that they start has ended when the test has, however it ended."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import host
from postgres import MAJORS, Postgres
from s3 import S3Server


def pytest_addoption(parser):
    parser.addoption("--postgres", default=",".join(map(str, MAJORS)), metavar="MAJORS",
                     help="comma-separated major versions that tests with the fixture `major` run for")


def pytest_configure(config):
    # A test run that is told to end removes its servers as one that is interrupted does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def pytest_generate_tests(metafunc):
    if "major" in metafunc.fixturenames:
        metafunc.parametrize("major", [int(major) for major in metafunc.config.getoption("postgres").split(",")])


@pytest.fixture
def workspace() -> Iterator[Path]:
    """An empty directory that programs under test may write to."""
    with host.workspace() as path:
        yield path


@pytest.fixture
def cluster(workspace) -> Iterator[Callable[..., Postgres]]:
    """Makes servers: `cluster(major)` initialises and starts one, `cluster.adopt(server)` ends one made by hand."""
    factory = ClusterFactory(workspace)
    try:
        yield factory
    finally:
        factory.end()


class ClusterFactory:
    def __init__(self, workspace: Path):
        self._workspace = workspace
        self._servers: list[Postgres] = []

    def __call__(self, major: int, name: str = "primary", checksums: bool = True, **settings: str) -> Postgres:
        server = self.adopt(Postgres(major, self._workspace / name))
        return server.init(checksums, **settings).start()

    def standby(self, primary: Postgres, name: str = "standby") -> Postgres:
        return self.adopt(Postgres(primary.major, self._workspace / name)).follow(primary, slot=name)

    def adopt(self, server: Postgres) -> Postgres:
        self._servers.append(server)
        return server

    def end(self) -> None:
        for server in reversed(self._servers):
            server.end()


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """One S3 server for all tests; each uses buckets of its own."""
    with host.workspace() as home:
        server = S3Server(home / "s3")
        try:
            yield server.start()
        finally:
            server.end()
