# SPDX-License-Identifier: Apache-2.0
"""What lies in a bucket: nothing that a stranger can read, nothing that is ever changed, and nothing that can be
damaged unnoticed."""

import secrets
import shutil
from pathlib import Path

import pytest

import host
from lifeboat import PASSWORD, Lifeboat, at
from postgres import Postgres, assert_verified

MARKER = "a secret of the customer " + secrets.token_hex(16)


@pytest.fixture(scope="module")
def server(shared_cluster, newest) -> Postgres:
    server = shared_cluster(newest)
    server.add_role(PASSWORD)
    server.sql(f"CREATE TABLE t AS SELECT i, '{MARKER}' AS text FROM generate_series(1, 1000) i")
    server.sql(f'CREATE TABLE "{MARKER}" ()')
    return server


def test_no_plain_text_is_in_the_bucket(lifeboat, server):
    manifest = lifeboat.backup(server)
    lies_in = [path for path in server.data.rglob("*") if path.is_file() and MARKER.encode() in path.read_bytes()]
    assert lies_in, "the marker must lie in the data directory as it is"
    secret_texts = [MARKER, PASSWORD, (lifeboat.secrets / "k1").read_text().strip(), "PostgreSQL", "pg_hba",
                    str(server.data), manifest["startLSN"]]
    for path in lifeboat.bucket.rglob("*"):
        content = path.name.encode() + (path.read_bytes() if path.is_file() else b"")
        assert [text for text in secret_texts if text.encode() in content] == [], path


def test_nothing_is_overwritten_in_a_directory(lifeboat, server):
    first = lifeboat.backup(server)
    before = lifeboat.objects()
    second = lifeboat.backup(server)
    after = lifeboat.objects()
    assert {name: after[name] for name in before} == before
    assert {entry["id"] for entry in lifeboat.list()} == {first["id"], second["id"]}


def test_nothing_is_overwritten_in_s3(lifeboat, server, s3):
    def objects() -> dict:
        listed = s3.client().list_objects_v2(Bucket="immutable")["Contents"]
        return {found["Key"]: (found["ETag"], found["LastModified"], found["Size"]) for found in listed}

    lifeboat.use_s3(s3, s3.make_bucket("immutable"))
    lifeboat.backup(server)
    before = objects()
    assert all(name.startswith("some/where/default.shop/") for name in before)
    lifeboat.backup(server)
    after = objects()
    assert {name: after[name] for name in before} == before


def test_a_finished_backup_leaves_no_heartbeat(lifeboat, server):
    lifeboat.backup(server)
    assert list(lifeboat.repository().glob("running/*/*")) == []


def test_a_backup_without_encryption_is_restored_without_a_key(lifeboat, server, newest):
    lifeboat.spec["encryption"] = {"mode": "None"}
    lifeboat.backup(server)
    target = lifeboat.home / "new"
    lifeboat.restore(target)
    assert_verified(newest, target)


def test_keys_can_be_changed(lifeboat, server, newest):
    """An old backup opens with the old key, a new one with the new key alone."""
    lifeboat.backup(server)
    lifeboat.add_secret("k2", host.run(["openssl", "rand", "-base64", "32"]).stdout.strip())
    lifeboat.spec["encryption"] = {"keys": ["k1", "k2"], "activeKey": "k2"}
    lifeboat.backup(server)
    (lifeboat.secrets / "k1").unlink()
    lifeboat.spec["encryption"] = {"keys": ["k2"]}
    lifeboat.restore(lifeboat.home / "new")
    assert_verified(newest, lifeboat.home / "new")


# Damage


def flip(path: Path) -> None:
    """One bit in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:len(content) // 2])


@pytest.fixture(scope="module")
def backed_up_once(program, server):
    with host.workspace() as path:
        lifeboat = Lifeboat(path / "lifeboat", program)
        lifeboat.backup(server)
        yield lifeboat


@pytest.fixture
def damaged(backed_up_once, program, workspace) -> Lifeboat:
    """A copy of a repository with one backup, to damage."""
    copy = Lifeboat(workspace / "lifeboat", program)
    shutil.copytree(backed_up_once.bucket, copy.bucket, dirs_exist_ok=True)
    shutil.copytree(backed_up_once.secrets, copy.secrets, dirs_exist_ok=True)
    for path in copy.home.rglob("*"):
        host.own(path)
    return copy


@pytest.mark.parametrize("what", ["packs/*/000001", "wal/*/*/*", "manifests/*", "keys/*", "repository.json"])
@pytest.mark.parametrize("damage", [flip, cut, Path.unlink], ids=["flipped", "cut", "missing"])
def test_a_damaged_or_missing_object_is_named(damaged, what, damage):
    target = damaged.home / "new"
    found = sorted(damaged.repository().glob(what))
    if what == "keys/*" and damage is Path.unlink:
        for path in found:
            path.unlink()
    else:
        damage(found[0])
    failure = damaged.failure("restore", "--to", target)
    if what == "manifests/*" and damage is Path.unlink:
        failure.names("no backup yet")  # its existence is the commit
    elif what == "keys/*":
        failure.names("key")
    elif what == "wal/*/*/*":
        failure.names(found[0].name.split("-")[0])  # PostgreSQL's name of the segment
    else:
        failure.names(str(found[0].relative_to(damaged.repository())))
    assert failure.kind in ("corrupt", "not-found")
    assert not (target / "global" / "pg_control").exists()


@pytest.mark.parametrize("what", ["packs/*/000001", "wal/*/*/*", "manifests/*", "keys/*"])
@pytest.mark.parametrize("damage", [flip, Path.unlink], ids=["flipped", "missing"])
def test_what_is_damaged_in_one_region_comes_from_another(damaged, newest, what, damage):
    second = damaged.add_directory("second")
    shutil.copytree(damaged.bucket, second, dirs_exist_ok=True)
    for path in second.rglob("*"):
        host.own(path)
    for path in damaged.repository().glob(what):
        damage(path)
    target = damaged.home / "new"
    damaged.restore(target)
    assert_verified(newest, target)


def test_a_region_that_fails_is_named_and_the_others_get_the_backup(lifeboat, server, newest):
    lost = lifeboat.add_directory("second")
    lifeboat.backup(server)
    shutil.rmtree(lost)
    done = lifeboat.backup(server)
    assert (done["regions"], done["missingRegions"]) == (["here"], ["second"])
    said = lifeboat.run("backup", *at(server)).stdout
    assert "Warning: it is missing in second, which failed; it is in here" in said
    lifeboat.spec["quorum"] = 2
    lifeboat.failure("backup", *at(server)).names("second")
    target = lifeboat.home / "new"
    lifeboat.restore(target)
    assert_verified(newest, target)


def test_a_damaged_manifest_is_a_row_of_the_list(damaged, server):
    whole = damaged.backup(server)["id"]
    broken = next(path for path in damaged.repository().glob("manifests/*") if path.name != whole)
    flip(broken)
    done = damaged.run("list", check=False)
    assert done.returncode == 1
    rows = {line.split()[0]: line for line in done.stdout.split("\n\n")[0].splitlines()[1:]}
    assert "here" in rows[whole]
    assert "cannot be read" in rows[broken.name]


def test_objects_that_changed_places_are_not_taken_for_each_other(damaged):
    packs = sorted(damaged.repository().glob("packs/*/*"))
    one, other = packs[0], packs[1]
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)
    failure = damaged.failure("restore", "--to", damaged.home / "new")
    assert failure.kind == "corrupt"
    failure.names("packs/", "another repository or name")
