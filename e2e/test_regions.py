# SPDX-License-Identifier: Apache-2.0
"""Several regions at once: each at its own speed, none of them holding back the others, any of them enough."""

import json
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import chance
import host
import lifeboat as command_line
from lifeboat import PASSWORD, Lifeboat, at
from postgres import Postgres, assert_verified
from s3 import S3Server

PROMISED_BYTES = (2 + 2) * (16 << 20) + (32 << 20)  # 2 workers, 2 uploads
ROWS = 700_000  # of 192 hex digits each: more packs than there are buffers
GIVEN_UP_S = 240  # a minute of patience and the backup itself; each put that hangs would take longer


@pytest.fixture(scope="module")
def server(shared_cluster, newest) -> Postgres:
    server = shared_cluster(newest, max_wal_size="2GB")
    server.add_role(PASSWORD)
    server.sql("CREATE UNLOGGED TABLE digits (text text);"
               "INSERT INTO digits SELECT md5(i::text) || md5((i + 1)::text || 'a') || md5(i::text || 'b')"
               f" || md5(i::text || 'c') || md5(i::text || 'd') || md5(i::text || 'e') FROM generate_series(1, {ROWS}) i;"
               "ALTER TABLE digits SET LOGGED; CHECKPOINT")
    return server


@pytest.fixture
def us() -> Iterator[S3Server]:
    """A server of the test's own, to be made sick."""
    with host.workspace() as home:
        server = S3Server(home / "us")
        try:
            server.start().make_bucket("over-there")
            yield server
        finally:
            server.end()


@pytest.fixture
def two_regions(lifeboat, s3, us) -> Lifeboat:
    lifeboat.spec["regions"] = []
    lifeboat.add_s3("us", us, "over-there")
    lifeboat.add_s3("eu", s3, s3.make_bucket(f"eu-{secrets.token_hex(4)}"))
    return lifeboat


def packs(server: S3Server) -> list[Path]:
    return list(server.objects.glob("over-there/some/where/*/*/packs/*/*"))


def back_up_until(lifeboat: Lifeboat, server: Postgres, us: S3Server, sick: Callable) -> tuple[dict, int, str]:
    """Makes a region sick in the middle of a backup. Gives the backup, its peak of memory, and its log."""
    before = len(packs(us))
    with lifeboat.running("backup", *at(server)) as process:
        command_line.wait_for(process, lambda: len(packs(us)) > before, "a pack is stored in us")
        with sick():
            peak = command_line.peak_memory_bytes(process)
            done = command_line.outcome(process, timeout_s=GIVEN_UP_S)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), peak, done.stderr


def to_the_second(time: str) -> str:
    """A time as the end of a backup is written. A lost region's has milliseconds, and may be of the backup's last second."""
    return time[:len("2026-11-22T02:27:38")]


def test_a_region_that_hangs_in_mid_backup_holds_nothing_back(two_regions, server, s3, us, newest):
    whole = two_regions.backup(server)
    assert whole["regions"] == ["us", "eu"]
    backup, peak, log = back_up_until(two_regions, server, us, us.hanging)
    assert (backup["regions"], backup["missingRegions"]) == (["eu"], ["us"])
    [lost] = backup["lostRegions"]
    assert lost["region"] == "us" and "it lags" in lost["error"]
    assert to_the_second(whole["finished"]) <= to_the_second(lost["since"]) <= to_the_second(backup["finished"])
    assert peak < PROMISED_BYTES, f"a backup took {peak >> 20} MiB"
    [said] = [line for line in map(json.loads, log.splitlines()) if line["message"].startswith("Lost a region")]
    assert said["region"] == "us" and "it lags" in said["error"]

    listed = {entry["id"]: entry["regions"] for entry in two_regions.list()}  # it answers again
    assert listed == {whole["id"]: ["us", "eu"], backup["id"]: ["eu"]}
    again = two_regions.backup(server)
    assert again["regions"] == ["us", "eu"]

    us.end()
    target = two_regions.home / "new"
    done = two_regions.restore(target, "--backup", backup["id"])
    assert done["region"] == "eu"
    assert_verified(newest, target)


def test_a_region_that_dies_in_mid_backup_holds_nothing_back(two_regions, server, us, newest):
    backup, _, _ = back_up_until(two_regions, server, us, lambda: dead(us))
    assert (backup["regions"], backup["missingRegions"]) == (["eu"], ["us"])
    assert "us" in backup["lostRegions"][0]["error"]
    assert [entry["regions"] for entry in two_regions.list()] == [["eu"]]
    two_regions.restore(two_regions.home / "new")
    assert_verified(newest, two_regions.home / "new")


@pytest.mark.skipif(not chance.FULL, reason="waits for two minutes: LIFEBOAT_FULL=1")
def test_a_region_that_hangs_from_the_start_is_waited_for_once(two_regions, server, us):
    whole = two_regions.backup(server)
    with us.hanging():
        with two_regions.running("backup", *at(server)) as process:
            done = command_line.outcome(process, timeout_s=GIVEN_UP_S)
        assert done.returncode == 0, done.stderr
        backup = json.loads(done.stdout)
        with two_regions.running("list") as process:
            listed = command_line.outcome(process, timeout_s=GIVEN_UP_S)
    assert (backup["regions"], backup["missingRegions"]) == (["eu"], ["us"])
    assert "it lags" in backup["lostRegions"][0]["error"]
    assert whole["id"] in listed.stdout and backup["id"] in listed.stdout


class dead:
    def __init__(self, server: S3Server):
        self._server = server

    def __enter__(self):
        self._server.end()

    def __exit__(self, *_):
        self._server.start()


def test_a_backup_into_eight_regions_takes_no_more_memory(lifeboat, server, s3, newest):
    for number in range(2, 9):
        lifeboat.add_s3(f"r{number}", s3, s3.make_bucket(f"r{number}-{secrets.token_hex(4)}"))
    with lifeboat.running("backup", *at(server)) as process:
        peak = command_line.peak_memory_bytes(process)
        done = command_line.outcome(process)
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["regions"]) == 8
    assert peak < PROMISED_BYTES, f"a backup took {peak >> 20} MiB"
    lifeboat.restore(lifeboat.home / "new", "--region", "r8")
    assert_verified(newest, lifeboat.home / "new")
