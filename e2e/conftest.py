# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the end-to-end tests. Every process that they start has ended when the test has, however it ended."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import host
from azure import AzureServer
from kube import ApiServer
from lifeboat import Lifeboat
from postgres import MAJORS, Postgres
from s3 import S3Server
from toxiproxy import FlakyS3, Toxiproxy


def pytest_addoption(parser):
    parser.addoption("--postgres", default=",".join(map(str, MAJORS)), metavar="MAJORS",
                     help="comma-separated major versions that tests with the fixture `major` run for; those with "
                          "`newest` run for the last")
    parser.addoption("--sidecar", default=host.CHECKOUT / "build/release/bin/lifeboat-sidecar", metavar="FILE",
                     type=Path, help="the program under test")


def pytest_configure(config):
    host.end_cleanly_when_told()


def pytest_generate_tests(metafunc):
    # Tests of one version stand together, so that they can share a server.
    if "major" in metafunc.fixturenames:
        metafunc.parametrize("major", _majors(metafunc.config), scope="module")


def _majors(config) -> list[int]:
    return [int(major) for major in config.getoption("postgres").split(",")]


@pytest.fixture(scope="session")
def newest(pytestconfig) -> int:
    return _majors(pytestconfig)[-1]


@pytest.fixture
def workspace() -> Iterator[Path]:
    """An empty directory that programs under test may write to."""
    with host.workspace() as path:
        yield path


@pytest.fixture
def cluster(workspace) -> Iterator["ClusterFactory"]:
    """Makes servers: `cluster(major)` initialises and starts one, `cluster.adopt(server)` ends one made by hand."""
    with ClusterFactory.within(workspace) as factory:
        yield factory


@pytest.fixture(scope="module")
def shared_cluster() -> Iterator["ClusterFactory"]:
    """The same, for servers that the tests of a module share."""
    with host.workspace() as path, ClusterFactory.within(path) as factory:
        yield factory


class ClusterFactory:
    @classmethod
    @contextmanager
    def within(cls, workspace: Path) -> Iterator["ClusterFactory"]:
        factory = cls(workspace)
        try:
            yield factory
        finally:
            factory.end()

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
def program(pytestconfig) -> Iterator[Path]:
    """The program under test, where the unprivileged user can reach it, and lifeboat-wal-fetch beside it."""
    built = pytestconfig.getoption("sidecar")
    with host.workspace() as path:
        for name in (built.name, "lifeboat-wal-fetch"):
            shutil.copy(built.parent / name, path / name)
            (path / name).chmod(0o755)
        yield path / built.name


@pytest.fixture
def lifeboat(workspace, program) -> Lifeboat:
    """A policy of the test's own."""
    return Lifeboat(workspace / "lifeboat", program)


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """One S3 server for all tests; each uses buckets of its own."""
    with host.workspace() as home:
        server = S3Server(home / "s3")
        try:
            yield server.start()
        finally:
            server.end()


@pytest.fixture(scope="session")
def toxiproxy() -> Iterator[Toxiproxy]:
    """One server of proxies for all tests."""
    with host.workspace() as home:
        server = Toxiproxy(home / "toxiproxy")
        try:
            yield server.start()
        finally:
            server.end()


@pytest.fixture
def flaky_s3(s3, toxiproxy) -> Iterator[FlakyS3]:
    """The S3 server behind a proxy of the test's own, which makes it sick."""
    proxy = toxiproxy.proxy(s3.port)
    try:
        yield FlakyS3(s3, proxy)
    finally:
        proxy.remove()


@pytest.fixture(scope="session")
def azure() -> Iterator[AzureServer]:
    """One Azure Blob Storage for all tests; each uses containers of its own."""
    with host.workspace() as home:
        server = AzureServer(home / "azure")
        try:
            yield server.start()
        finally:
            server.end()


@pytest.fixture(scope="module")
def api_server() -> Iterator[ApiServer]:
    """A Kubernetes API server that the tests of a module share, as it is when new."""
    with host.workspace() as home:
        server = ApiServer(home / "kube")
        try:
            yield server.start()
        finally:
            server.end()
