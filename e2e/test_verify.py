# SPDX-License-Identifier: Apache-2.0
"""`verify` says that a sound repository is sound, and where another is not."""

import re
from pathlib import Path

import pytest

from lifeboat import PASSWORD, Lifeboat, documents
from postgres import Postgres, assert_verified

PAGE = 8192


@pytest.fixture(scope="module")
def server(shared_cluster, newest) -> Postgres:
    server = shared_cluster(newest)
    server.add_role(PASSWORD)
    server.pgbench("--initialize", "--quiet")
    return server


def verify(lifeboat: Lifeboat, *arguments) -> dict:
    """The report; the exit status must say the same."""
    done = lifeboat.run("verify", "-o", "json", *arguments, check=False)
    report = documents(done.stdout)[0]
    assert "findings" in report, done.stdout + done.stderr
    assert done.returncode == (1 if report["findings"]["count"] else 0), done.stdout + done.stderr
    return report


def flip(path: Path, offset: int) -> None:
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(content)


def pack(region: Path, backup: str) -> Path:
    [found] = region.glob(f"default.shop/*/packs/{backup}/000001")
    return found


def manifest(region: Path, backup: str) -> Path:
    [found] = region.glob(f"default.shop/*/manifests/{backup}")
    return found


def test_backups_under_load_are_sound_in_every_region(lifeboat, server):
    lifeboat.add_directory("there")
    with server.load():
        first, second = lifeboat.backup(server), lifeboat.backup(server)
    report = verify(lifeboat)
    assert report["findings"] == {"count": 0, "first": []}
    assert (report["regions"], report["backups"]) == (2, 2)
    assert report["bytes"] > first["bytes"]["stored"] + second["bytes"]["stored"]


def test_damage_in_one_region_is_found_although_another_is_sound(lifeboat, server, newest):
    there = lifeboat.add_directory("there")
    backup = lifeboat.backup(server)["id"]
    flip(pack(there, backup), 100)
    report = verify(lifeboat)
    [found] = report["findings"]["first"]
    assert (found["kind"], found["region"], found["backup"]) == ("damaged", "there", backup)
    assert (found["object"], found["frame"]) == (f"packs/{backup}/000001", 0)
    assert found["file"] and found["block"] is not None
    assert verify(lifeboat, "--region", "here")["findings"]["count"] == 0
    lifeboat.restore(lifeboat.home / "new", "--backup", backup)
    assert_verified(newest, lifeboat.home / "new")


def test_pages_that_are_damaged_in_the_source_are_known(cluster, lifeboat, newest):
    server = cluster(newest)
    server.add_role(PASSWORD)
    server.sql("CREATE TABLE t AS SELECT generate_series(1, 10000) i; CHECKPOINT")
    path = server.sql("SELECT pg_relation_filepath('t')").strip()
    server.stop()
    flip(server.data / path, 3 * PAGE + 5000)
    server.start()
    assert lifeboat.backup(server)["pageErrors"]["count"] == 1
    report = verify(lifeboat)
    assert report["findings"]["count"] == 0
    [known] = [note for note in report["notes"]["first"] if note["kind"] == "page"]
    assert (known["file"], known["block"]) == (path, 3)


def test_the_newest_backup_is_missed_by_who_expects_it(lifeboat, server):
    lifeboat.backup(server)
    newest = lifeboat.backup(server)["id"]
    expected = f"{newest}:{lifeboat.json('show', newest)['sha256']}"
    assert verify(lifeboat, "--expect", expected)["findings"]["count"] == 0
    manifest(lifeboat.bucket, newest).unlink()
    report = verify(lifeboat)  # as it was before that backup
    assert report["findings"]["count"] == 0
    assert {note["object"].split("/")[1] for note in report["notes"]["first"] if note["kind"] == "orphan"} == {newest}
    [found] = verify(lifeboat, "--expect", expected)["findings"]["first"]
    assert (found["kind"], found["backup"]) == ("rollback", newest)


def test_a_backup_that_a_later_one_saw_is_missed(lifeboat, server):
    gone, later = lifeboat.backup(server)["id"], lifeboat.backup(server)["id"]
    manifest(lifeboat.bucket, gone).unlink()
    [found] = verify(lifeboat)["findings"]["first"]
    assert (found["kind"], found["backup"]) == ("rollback", gone)
    assert later in found["message"]


def test_wal_that_is_missing_is_named_by_its_lsn(lifeboat, server):
    backup = lifeboat.backup(server)
    for path in lifeboat.repository().glob("wal/*/*/*"):
        path.unlink()
    [found] = verify(lifeboat)["findings"]["first"]
    assert (found["kind"], found["backup"]) == ("gap", backup["id"])
    assert backup["stopLSN"] in found["message"]


def test_wal_is_followed_over_a_promotion_to_the_newest(cluster, lifeboat, newest):
    primary = cluster(newest)
    primary.add_role(PASSWORD)
    standby = cluster.standby(primary)
    write = "CREATE TABLE IF NOT EXISTS t(); SELECT pg_logical_emit_message(true, '', 'x'), pg_switch_wal()"
    first = lifeboat.backup(primary)
    primary.sql(write)
    standby.wait_for_replay(primary)
    standby.promote()
    standby.sql(write)
    second = lifeboat.backup(standby)
    assert [manifest["wal"][0]["timeline"] for manifest in (first, second)] == [1, 2]
    report = verify(lifeboat)
    assert report["findings"]["count"] == 0
    gaps = [re.match(r"no WAL from (\S+) to (\S+) on timeline (\d): recovery from the backups before ends at",
                     note["message"]).groups() for note in report["notes"]["first"] if note["kind"] == "gap"]
    fork = standby.sql("SELECT split_part(pg_read_file('pg_wal/00000002.history'), E'\\t', 2)")
    assert [(gap[1], gap[2]) for gap in gaps][0] == (fork, "1")
    assert [(gap[0], gap[2]) for gap in gaps][1] == (fork, "2")


def test_a_sample_can_be_taken_again(lifeboat, server):
    lifeboat.backup(server)
    sample = verify(lifeboat, "--sample", "50")
    again = verify(lifeboat, "--sample", "50", "--seed", sample["sample"]["seed"])
    assert (again["objects"], again["bytes"]) == (sample["objects"], sample["bytes"])
