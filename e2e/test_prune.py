# SPDX-License-Identifier: Apache-2.0
"""Retention: what no rule keeps goes, and what is kept restores, whoever backs up meanwhile and wherever prune is killed."""

import datetime
import json
import shutil
import signal
import time

import pytest

import chance
import host
import lifeboat as command_line
from lifeboat import PASSWORD, Lifeboat, at
from postgres import Postgres, assert_same_data, assert_verified

ROWS = "INSERT INTO orders SELECT i, md5(i || clock_timestamp()::text) FROM generate_series(1, 20000) i"


@pytest.fixture
def server(cluster, newest) -> Postgres:
    server = cluster(newest, autovacuum="off", summarize_wal="on")
    server.add_role(PASSWORD)
    server.sql("CREATE TABLE orders (id int, data text)")
    server.sql(ROWS)
    return server


def back_up(lifeboat: Lifeboat, server: Postgres, *kinds: str) -> list[str]:
    """The ids of backups of these types, with changes in between."""
    made = []
    for kind in kinds:
        time.sleep(1 - time.time() % 1)  # ids tell the order of backups that are a second apart
        made.append(lifeboat.backup(server, "--type", kind)["id"])
        server.sql(ROWS)
        server.sql("UPDATE orders SET data = upper(data) WHERE id % 1000 = 1")
    return made


def prune(lifeboat: Lifeboat, *arguments: str, **rules: int) -> dict:
    lifeboat.spec["retention"] = rules
    return lifeboat.json("prune", *arguments)


def kept(region: dict) -> set[str]:
    return {entry["backup"] for entry in region["backups"] if entry["keep"]}


def listed(lifeboat: Lifeboat) -> set[str]:
    return {entry["id"] for entry in lifeboat.list()}


def assert_kept(lifeboat: Lifeboat, major: int, *backups: str) -> None:
    """These are what is left; each restores from each region by itself, and nothing is wrong with any."""
    assert listed(lifeboat) == set(backups)
    assert lifeboat.json("verify")["findings"]["count"] == 0
    for backup in backups:
        for region in lifeboat.spec["regions"]:
            to = lifeboat.home / "restored"
            lifeboat.restore(to, "--backup", backup, "--region", region["name"])
            assert_verified(major, to)
            shutil.rmtree(to)


@pytest.mark.parametrize("where", ["directories", "s3"])
def test_an_incremental_outlives_those_that_it_was_built_on(lifeboat, server, s3, newest, where):
    if where == "s3":
        s3.make_bucket("prune")
        lifeboat.use_s3(s3, "prune")
    else:
        lifeboat.add_directory("there")
    *old, last = back_up(lifeboat, server, "full", "incremental", "full", "differential", "incremental")
    told = prune(lifeboat, "--dry-run", daily=1)
    assert listed(lifeboat) == {*old, last}
    done = prune(lifeboat, daily=1)
    assert done["dryRun"] is False and told["dryRun"] is True
    for dry, wet in zip(told["regions"], done["regions"]):
        assert kept(dry) == kept(wet) == {last}
        assert dry["removed"] == wet["removed"]
        assert wet["removed"]["manifests"]["count"] == 4
        assert 0 < wet["removed"]["packs"]["count"]
        assert 0 < wet["removed"]["wal"]["count"]
        assert wet["error"] is None and wet["locked"]["count"] == 0
    assert_kept(lifeboat, newest, last)

    server.sql("CHECKPOINT")
    [after] = back_up(lifeboat, server, "incremental")  # goes on from what was left
    assert lifeboat.json("show", after)["parent"] == last
    assert_kept(lifeboat, newest, last, after)


def test_fulls_windows_and_holds_keep_what_they_say(lifeboat, server, newest):
    first, second, third, fourth = back_up(lifeboat, server, "full", "incremental", "full", "incremental")
    for rules in ({}, {"minimum": 1}, {"fulls": 2}, {"windowDays": 1}, {"daily": 1, "minimum": 4}):
        [region] = prune(lifeboat, **rules)["regions"]
        assert kept(region) == {first, second, third, fourth}
    hold = lifeboat.repository() / "holds" / first
    hold.parent.mkdir()
    hold.touch()
    text = lifeboat.run("prune", "--dry-run").stdout
    assert f"keep    {first}" in text and "held" in text
    [region] = prune(lifeboat, fulls=1)["regions"]
    assert kept(region) == {first, third, fourth}
    assert_kept(lifeboat, newest, first, third, fourth)
    hold.unlink()
    prune(lifeboat, fulls=1)
    assert_kept(lifeboat, newest, third, fourth)


def test_a_backup_that_runs_keeps_its_parent(lifeboat, server, newest):
    lifeboat.take_time()
    [parent, other] = back_up(lifeboat, server, "full", "full")
    running = lifeboat.repository() / "running"
    with lifeboat.running("backup", "--type", "incremental", *at(server)) as process:
        command_line.wait_for(process, lambda: list(running.glob("*/0")), "it has a heartbeat")
        with command_line.paused(process):
            [region] = prune(lifeboat, daily=1)["regions"]
            reasons = {entry["backup"]: entry["reasons"] for entry in region["backups"]}
            assert kept(region) == {other} and "a backup that runs builds on it" in reasons[other]
            assert reasons[parent] == []
        done = command_line.outcome(process)
    assert done.returncode == 0, done.stderr
    child = json.loads(done.stdout)
    assert child["parent"] == other
    prune(lifeboat, daily=1)
    assert_kept(lifeboat, newest, child["id"])


def test_a_backup_that_was_taken_for_dead_does_not_commit(lifeboat, server):
    lifeboat.take_time()
    [before] = back_up(lifeboat, server, "full")
    running = lifeboat.repository() / "running"
    with lifeboat.running("backup", *at(server)) as process:
        command_line.wait_for(process, lambda: list(running.glob("*/0")), "it has a heartbeat")
        with command_line.paused(process):  # for more than a day
            age = time.time() - 25 * 60 * 60
            for path in lifeboat.repository().rglob("*"):
                if path.is_file():
                    host.run(["touch", "--date", f"@{age:.0f}", path])
            [region] = prune(lifeboat, fulls=5)["regions"]
            assert region["removed"]["heartbeats"]["count"] == 1
        done = command_line.outcome(process)
    failure = command_line.failure_of(done.returncode, done.stdout, done.stderr)
    assert failure.kind == "conflict"
    failure.names("heartbeats", "taken for dead")
    assert listed(lifeboat) == {before}


def test_what_a_crash_left_goes_after_a_day(lifeboat, server, newest):
    lifeboat.take_time()
    [before] = back_up(lifeboat, server, "full")
    whole = set(lifeboat.objects())
    packs = lifeboat.repository() / "packs"
    with lifeboat.running("backup", *at(server)) as process:
        command_line.wait_for(process, lambda: len({pack.parent for pack in packs.glob("*/*")}) == 2, "it has put a pack")
        process.kill()
        command_line.outcome(process)
    left = set(lifeboat.objects()) - whole
    assert left
    prune(lifeboat)
    assert set(lifeboat.objects()) == whole | left
    for name in left:
        host.run(["touch", "--date", "25 hours ago", lifeboat.bucket / name])
    prune(lifeboat)
    gone = (whole | left) - set(lifeboat.objects())  # but no WAL, which goes on from the backup before
    assert gone == {name for name in left if "/packs/" in name or "/running/" in name} != set()
    assert_kept(lifeboat, newest, before)


def test_after_a_failover_the_old_timeline_goes_with_its_backups(lifeboat, cluster, server, newest):
    [first, second] = back_up(lifeboat, server, "full", "incremental")
    standby = cluster.standby(server)
    standby.wait_for_replay(server)
    standby.promote()
    server.stop("immediate")
    standby.sql("CHECKPOINT")
    [third, fourth] = back_up(lifeboat, standby, "incremental", "full")
    wal = lifeboat.repository() / "wal"
    [region] = prune(lifeboat, daily=1, minimum=2)["regions"]
    assert kept(region) == {third, fourth}
    assert_kept(lifeboat, newest, third, fourth)
    assert not (wal / "00000001").exists() and (wal / "00000002").exists()
    assert len(list(wal.glob("00000002.history-*"))) == 1


def test_prune_killed_at_any_moment_loses_nothing(lifeboat, server, newest):
    lifeboat.add_directory("there")
    lifeboat.spec["parallelism"] = {"uploads": 1}
    [base] = back_up(lifeboat, server, "full")
    started = time.monotonic()
    prune(lifeboat, daily=1)
    moments = chance.Moments(chance.dice(), time.monotonic() - started)
    killed = 0
    for moment in moments:
        last = back_up(lifeboat, server, "incremental", "incremental")[-1]
        with lifeboat.running("prune") as process:
            moments.strike(process, signal.SIGKILL, moment)
            killed += command_line.outcome(process).returncode == -signal.SIGKILL
        assert last in listed(lifeboat)
        assert lifeboat.json("verify")["findings"]["count"] == 0
    assert killed >= 2
    prune(lifeboat, daily=1)
    assert_kept(lifeboat, newest, last)
    assert base not in listed(lifeboat)


def test_what_object_lock_keeps_is_told_and_goes_when_it_may(lifeboat, server, s3, newest):
    bucket = s3.make_bucket("prune-locked", locked=True)
    lifeboat.use_s3(s3, bucket)
    [free] = back_up(lifeboat, server, "full")
    lifeboat.spec["regions"][0]["s3"]["objectLock"] = {"days": 2}
    locked, newer = back_up(lifeboat, server, "full", "full")
    [told] = prune(lifeboat, "--dry-run", fulls=1)["regions"]
    [done] = prune(lifeboat, fulls=1)["regions"]
    assert done["error"] is None and done["removed"]["manifests"]["count"] == 1 and done["removed"]["packs"]["count"] > 0
    assert told["removed"] == done["removed"] and told["locked"] == done["locked"]
    [entry] = done["locked"]["first"]
    assert entry["object"] == f"manifests/{locked}" and entry["message"].startswith("locked until 20")
    [decision] = [entry for entry in done["backups"] if entry["backup"] == locked]
    assert decision["keep"] and not decision["retired"]
    assert decision["reasons"] == ["its manifest cannot be removed yet: " + entry["message"]]
    assert "locked until 20" in lifeboat.run("prune").stdout
    assert_kept(lifeboat, newest, locked, newer)
    assert free not in listed(lifeboat)

    until = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=5)
    for key in s3.keys(bucket):
        if f"/{locked}" in key:
            s3.shorten_retention(bucket, key, until)
    host.wait_until(lambda: datetime.datetime.now(datetime.timezone.utc) > until + datetime.timedelta(seconds=1), "it may go")
    [done] = prune(lifeboat, fulls=1)["regions"]
    assert done["removed"]["manifests"]["count"] == 1 and done["removed"]["packs"]["count"] > 0
    assert {entry["object"].split("/")[0] for entry in done["locked"]["first"]} == {"wal"}  # nobody released that
    assert_kept(lifeboat, newest, newer)


def test_a_region_that_is_down_does_not_keep_the_others(lifeboat, server, newest):
    there = lifeboat.add_directory("there")
    [first, second] = back_up(lifeboat, server, "full", "full")
    there.rename(lifeboat.home / "away")
    lifeboat.spec["retention"] = {"fulls": 1}
    done = lifeboat.run("prune", "-o", "json", check=False)
    result, failure = command_line.documents(done.stdout)
    assert done.returncode == 1 and "1 of 2 regions" in failure["error"]["message"]
    assert [kept(region) for region in result["regions"]] == [{second}, set()]
    assert result["regions"][1]["error"]
    (lifeboat.home / "away").rename(there)
    assert listed(lifeboat) == {first, second}  # it is still there
    prune(lifeboat, fulls=1)
    assert_kept(lifeboat, newest, second)


def test_the_restored_data_are_those_of_the_source(lifeboat, server, cluster, workspace, newest):
    back_up(lifeboat, server, "full", "incremental")
    last = lifeboat.backup(server, "--type", "incremental")["id"]
    prune(lifeboat, daily=1)
    copy = cluster.adopt(Postgres(newest, workspace / "copy"))
    lifeboat.restore(copy.data, "--backup", last)
    assert_same_data(server, copy.start())
