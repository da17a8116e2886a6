# SPDX-License-Identifier: Apache-2.0
"""`copy` fills a region that lags, and what it has then serves alone."""

import shutil
import signal
import time
from pathlib import Path

import pytest

import chance
import lifeboat as command_line
from lifeboat import PASSWORD, Lifeboat, at
from postgres import Postgres, assert_verified
from s3 import REGION


@pytest.fixture(scope="module")
def server(shared_cluster, newest) -> Postgres:
    server = shared_cluster(newest)
    server.add_role(PASSWORD)
    server.pgbench("--initialize", "--quiet", "--scale=10")
    return server


@pytest.fixture
def backed_up(lifeboat, server) -> Lifeboat:
    """Two backups in the region `here`; there is another one since, `there`, which is empty."""
    lifeboat.backup(server)
    with server.load():
        lifeboat.backup(server, "--type", "incremental")
    lifeboat.add_directory("there")
    return lifeboat


def copy(lifeboat: Lifeboat, to: str = "there", *arguments) -> dict:
    return lifeboat.json("copy", "--from", "here", "--to", to, *arguments)


def assert_sound(lifeboat: Lifeboat, region: str) -> None:
    assert lifeboat.json("verify", "--region", region)["findings"] == {"count": 0, "first": []}


def assert_serves_alone(lifeboat: Lifeboat, region: str, newest: int) -> None:
    """All its backups restore, though the others are gone."""
    for backup in [entry["id"] for entry in lifeboat.list()]:
        target = lifeboat.home / f"{region}-{backup}"
        result = lifeboat.restore(target, "--region", region, "--backup", backup)
        assert result["region"] == region
        assert_verified(newest, target)


def names(region: Path) -> set[str]:
    return {str(path.relative_to(region)) for path in region.rglob("*") if path.is_file()}


def test_a_new_region_gets_all_and_serves_alone(backed_up, newest):
    there = backed_up.home / "there"
    planned = copy(backed_up, "there", "--dry-run")
    assert planned["dryRun"] and names(there) == set()
    done = copy(backed_up)
    assert (done["objects"], done["bytes"]) == (planned["objects"], planned["bytes"])
    assert [backup["copied"] for backup in done["backups"]] == [True, True]
    assert done["findings"]["count"] == done["notes"]["count"] == 0
    assert names(there) == names(backed_up.bucket)
    for name in names(there):
        assert (there / name).read_bytes() == (backed_up.bucket / name).read_bytes(), name
    assert_sound(backed_up, "there")
    before = backed_up.objects()
    again = copy(backed_up)
    assert (again["objects"], again["backups"]) == (0, [])
    assert backed_up.objects() == before
    shutil.rmtree(backed_up.repository())
    assert_serves_alone(backed_up, "there", newest)


def test_a_bucket_is_filled_from_a_directory_and_goes_on(backed_up, server, s3, newest):
    directories = backed_up.spec["regions"][:1]
    backed_up.use_s3(s3, s3.make_bucket("backfilled"))
    backed_up.spec["regions"] = directories + backed_up.spec["regions"]
    assert backed_up.spec["regions"][1]["s3"]["region"] == REGION
    done = copy(backed_up, "s3")
    assert [backup["copied"] for backup in done["backups"]] == [True, True]
    assert_sound(backed_up, "s3")
    backed_up.backup(server, "--type", "incremental")  # in both
    assert copy(backed_up, "s3")["objects"] == 0
    shutil.rmtree(backed_up.repository())
    assert_serves_alone(backed_up, "s3", newest)


def test_a_region_that_missed_a_backup_gets_it(backed_up, server, newest):
    copy(backed_up)
    only = backed_up.spec["regions"]
    backed_up.spec["regions"] = only[:1]
    missed = backed_up.backup(server, "--type", "incremental")["id"]
    backed_up.spec["regions"] = only
    assert backed_up.json("show", missed)["missingRegions"] == ["there"]
    told = backed_up.run("copy", "--from", "here", "--to", "there", "--dry-run").stdout
    assert f"{missed} " in told and "would be copied" in told and "Would copy 1 of 1 backups" in told
    told = backed_up.run("copy", "--from", "here", "--to", "there").stdout
    print(told)
    assert f"{missed} " in told and "Copied 1 of 1 backups from here to there" in told
    assert backed_up.json("show", missed)["missingRegions"] == []
    assert_serves_alone(backed_up, "there", newest)


def test_what_is_damaged_is_named_and_the_rest_is_copied(backed_up):
    full, incremental = sorted(backup["id"] for backup in backed_up.list())
    path = next(backed_up.repository().glob(f"packs/{incremental}/*"))
    content = bytearray(path.read_bytes())
    content[20] ^= 1
    path.write_bytes(content)
    done = backed_up.run("copy", "-o", "json", "--from", "here", "--to", "there", check=False)
    report = command_line.documents(done.stdout)[0]
    assert done.returncode == 1
    [found] = report["findings"]["first"]
    assert (found["kind"], found["backup"]) == ("damaged", incremental)
    assert found["object"] == str(path.relative_to(backed_up.repository()))
    assert [(backup["id"], backup["copied"]) for backup in report["backups"]] == [(full, True), (incremental, False)]
    assert [entry["id"] for entry in backed_up.json("list", "--region", "there")] == [full]
    assert_sound(backed_up, "there")


def test_a_copy_killed_at_any_moment_is_completed_by_the_next(backed_up, newest):
    there = backed_up.home / "there"
    started = time.monotonic()
    copy(backed_up)
    moments = chance.Moments(chance.dice(), time.monotonic() - started)
    interrupted = 0
    for kill, moment in enumerate(moments):
        anew = kill % 2 == 0  # else it goes on where the last one ended
        if anew:
            for path in there.iterdir():
                shutil.rmtree(path)
        with backed_up.running("copy", "--from", "here", "--to", "there") as process:
            moments.strike(process, signal.SIGKILL, moment, whole=anew)
            done = command_line.outcome(process)
        interrupted += done.returncode == -signal.SIGKILL
        if list(there.glob("*/*/manifests/*")):
            assert_sound(backed_up, "there")
    assert interrupted >= 2
    assert copy(backed_up)["findings"]["count"] == 0
    assert {name for name in names(there) if "/running/" not in name} == names(backed_up.bucket)
    assert_sound(backed_up, "there")
    shutil.rmtree(backed_up.repository())
    assert_serves_alone(backed_up, "there", newest)


def test_wrong_regions_are_told(backed_up):
    backed_up.failure("copy", "--from", "here", "--to", "mars").names("mars", "here, there")
    backed_up.spec["regions"][1]["access"] = "ReadOnly"
    backed_up.failure("copy", "--from", "here", "--to", "there").names("'there' (--to) is ReadOnly")


def test_a_region_that_does_not_answer_is_told(backed_up):
    (backed_up.home / "there").rmdir()
    backed_up.failure("copy", "--from", "here", "--to", "there").names("there")
