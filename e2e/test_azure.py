# SPDX-License-Identifier: Apache-2.0
"""Backups in Azure Blob Storage, as Azurite emulates it: with each kind of credentials, from a full one to a restore that
PostgreSQL's own tool finds whole."""

from collections.abc import Iterator

import pytest

import host
import lifeboat as command_line
from azure import OTHER_KEY, AzureServer, IdentityServer
from lifeboat import PASSWORD, at
from postgres import Postgres, assert_verified


@pytest.fixture(scope="module")
def server(shared_cluster, newest) -> Postgres:
    server = shared_cluster(newest)
    server.add_role(PASSWORD)
    server.sql("CREATE TABLE t AS SELECT i, repeat('x', 100) AS text FROM generate_series(1, 10000) i")
    return server


@pytest.fixture
def container(azure, request) -> str:
    words = "".join(letter if letter.isalnum() else "-" for letter in request.node.name)
    return azure.make_container(words[-63:].strip("-"))


@pytest.fixture
def identity() -> Iterator[IdentityServer]:
    identity = IdentityServer("the-pods-own-token")
    try:
        yield identity
    finally:
        identity.end()


@pytest.fixture
def storage(workspace) -> Iterator[AzureServer]:
    """A server of the test's own, whose key it may change."""
    storage = AzureServer(workspace / "storage")
    try:
        yield storage.start()
    finally:
        storage.end()


def first(azure: AzureServer, container: str, part: str) -> str:
    """The name of the first blob that has this part in its name."""
    return next(name for name in sorted(azure.marks(container)) if part in name)


def test_a_full_and_an_incremental_backup_come_back(azure, container, lifeboat, server, newest):
    lifeboat.use_azure(azure, container)
    full = lifeboat.backup(server)
    before = azure.marks(container)
    assert before and all(name.startswith("some/where/default.shop/") for name in before)
    server.sql("UPDATE t SET text = 'changed' WHERE i = 1")
    incremental = lifeboat.backup(server, "--type", "incremental")
    after = azure.marks(container)
    assert {name: after[name] for name in before} == before, "nothing is ever overwritten"
    assert [entry["id"] for entry in lifeboat.list()] == [incremental["id"], full["id"]]
    assert incremental["parent"] == full["id"]
    lifeboat.run("verify")
    target = lifeboat.home / "new"
    lifeboat.restore(target)
    assert_verified(newest, target)


def test_a_shared_access_signature_is_enough(azure, container, lifeboat, server, newest):
    lifeboat.use_azure(azure, container)
    (lifeboat.secrets / "azure.account-key").unlink()
    lifeboat.add_secret("azure.sas-token", azure.shared_access_signature(container))
    lifeboat.backup(server)
    lifeboat.restore(lifeboat.home / "new")
    assert_verified(newest, lifeboat.home / "new")
    lifeboat.add_secret("azure.sas-token", azure.shared_access_signature(container, permissions="l"))
    failure = lifeboat.failure("backup", *at(server))
    failure.names("azure", "the shared access signature needs the permissions rwdl")
    assert "sig=" not in failure.message


@pytest.mark.parametrize("kind", ["account-key", "sas-token"])
def test_credentials_may_change_in_the_middle_of_a_backup(storage, lifeboat, server, newest, kind):
    def write_secret() -> None:
        lifeboat.add_secret(f"azure.{kind}", storage.key if kind == "account-key" else
                            storage.shared_access_signature(container))

    def names(part: str) -> list[str]:
        return [name for name in storage.marks(container) if part in name]

    container = storage.make_container("changing")
    lifeboat.use_azure(storage, container)
    (lifeboat.secrets / "azure.account-key").unlink()
    write_secret()
    lifeboat.take_time()
    with lifeboat.running("backup", *at(server)) as process:
        host.wait_until(lambda: process.poll() is not None or names("/running/"), "the backup is under way")
        before = names("/packs/")
        storage.end()
        storage.key = OTHER_KEY  # with which the signature of the old one ends, too
        write_secret()
        storage.start()
        assert process.poll() is None
        done = command_line.outcome(process)
    assert done.returncode == 0, done.stderr
    assert len(names("/packs/")) > len(before)
    assert "Took new credentials" in done.stderr
    assert "sig=" not in done.stderr and OTHER_KEY not in done.stderr
    lifeboat.restore(lifeboat.home / "new")
    assert_verified(newest, lifeboat.home / "new")


def test_a_pod_with_an_identity_needs_no_secret(azure, container, identity, lifeboat, server, newest):
    lifeboat.use_azure(azure, container, auth="WebIdentity")
    (lifeboat.secrets / "azure.account-key").unlink()
    token_file = lifeboat.home / "token"
    token_file.write_text(identity.assertion)
    env = identity.environment(host.own(token_file))
    lifeboat.backup(server, env=env)
    assert identity.asked == 1
    lifeboat.restore(lifeboat.home / "new", env=env)
    assert_verified(newest, lifeboat.home / "new")
    token_file.write_text("another")
    lifeboat.failure("list", env=env).names("Microsoft Entra ID gave no token", "AADSTS900144", "AZURE_CLIENT_ID")
    lifeboat.failure("list").names("AZURE_CLIENT_ID", "azure.workload.identity/use")


def test_a_token_that_ends_soon_is_renewed_in_the_middle(azure, container, lifeboat, server, newest):
    identity = IdentityServer("the-pods-own-token", lifetime_s=1)
    token_file = lifeboat.home / "token"
    token_file.write_text(identity.assertion)
    lifeboat.use_azure(azure, container, auth="WebIdentity")
    lifeboat.take_time()
    try:
        lifeboat.backup(server, env=identity.environment(host.own(token_file)))
    finally:
        identity.end()
    assert identity.asked > 1


@pytest.mark.parametrize("what", ["packs", "manifests"])
def test_a_damaged_blob_is_named(azure, container, lifeboat, server, what):
    lifeboat.use_azure(azure, container)
    lifeboat.backup(server)
    name = first(azure, container, f"/{what}/")
    content = bytearray(azure.read(container, name))
    content[len(content) // 2] ^= 1
    azure.replace(container, name, bytes(content))
    failure = lifeboat.failure("restore", "--to", lifeboat.home / "new")
    assert failure.kind == "corrupt"
    failure.names(name.rsplit("/", 2)[-1])


def test_what_is_missing_in_azure_comes_from_a_directory(azure, container, lifeboat, server, newest):
    lifeboat.use_azure(azure, container)
    lifeboat.add_directory("second")
    done = lifeboat.backup(server)
    assert done["regions"] == ["azure", "second"]
    azure.remove(container, first(azure, container, "/packs/"))
    lifeboat.restore(lifeboat.home / "new")
    assert_verified(newest, lifeboat.home / "new")
