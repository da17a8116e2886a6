# SPDX-License-Identifier: Apache-2.0
"""A command that is ended at any moment: nothing is half-committed, nothing half-restored starts, the next run is fine."""

import json
import shutil
import signal
import subprocess
import time

import pytest

import chance
import host
import lifeboat as command_line
from lifeboat import PASSWORD, Lifeboat, at
from postgres import ROLE, Postgres, assert_verified


@pytest.fixture(scope="module")
def server(shared_cluster, newest) -> Postgres:
    server = shared_cluster(newest)
    server.add_role(PASSWORD)
    server.pgbench("--initialize", "--quiet", "--scale=10")
    return server


@pytest.fixture
def backed_up(lifeboat, server) -> Lifeboat:
    lifeboat.backup(server)
    return lifeboat


def moments_of(lifeboat: Lifeboat, *command) -> chance.Moments:
    started = time.monotonic()
    lifeboat.run(*command)
    return chance.Moments(chance.dice(), time.monotonic() - started)


def assert_ended_by(number: int, done: subprocess.CompletedProcess) -> None:
    if number == signal.SIGTERM and (done.stdout or done.stderr):
        assert command_line.failure_of(done.returncode, done.stdout, done.stderr).kind == "canceled"
    else:  # also by SIGTERM before the first line of main
        assert done.returncode == -number


def assert_nothing_is_left_on(server: Postgres) -> None:
    left = (f"SELECT (SELECT count(*) FROM pg_stat_activity WHERE usename = '{ROLE}')"
            " + (SELECT count(*) FROM pg_replication_slots)")
    host.wait_until(lambda: server.sql(left) == "0", "sessions and slots of the sidecar are gone")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_a_backup_ended_at_any_moment_commits_nothing(backed_up, server, newest, number):
    interrupted, to_restore = 0, set()
    moments = moments_of(backed_up, "backup", *at(server))
    known = {entry["id"] for entry in backed_up.list()}
    for moment in moments:
        with backed_up.running("backup", *at(server)) as process:
            moments.strike(process, number, moment)
            done = command_line.outcome(process)
        found = {entry["id"] for entry in backed_up.list()}
        if done.returncode == 0:  # too late
            known.add(json.loads(done.stdout)["id"])
        elif number == signal.SIGKILL:  # perhaps in the moment between the commit and the word of it
            to_restore |= found - known
            known |= found
        if done.returncode != 0:
            assert_ended_by(number, done)
            interrupted += 1
        assert found == known
    assert interrupted >= 2  # of 10 or more
    assert_nothing_is_left_on(server)

    to_restore.add(backed_up.backup(server)["id"])
    for backup in to_restore:  # what is listed is whole
        backed_up.restore(backed_up.home / backup, "--backup", backup)
        assert_verified(newest, backed_up.home / backup)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_a_restore_ended_at_any_moment_cannot_be_started_and_goes_on(backed_up, newest, number):
    interrupted = 0
    moments = moments_of(backed_up, "restore", "--to", backed_up.home / "whole")
    for attempt, moment in enumerate(moments):
        target = backed_up.home / f"new{attempt}"
        with backed_up.running("restore", "--to", target) as process:
            moments.strike(process, number, moment)
            done = command_line.outcome(process)
        if done.returncode == 0:  # too late
            shutil.rmtree(target)
            continue
        interrupted += 1
        assert_ended_by(number, done)
        if not (target / "global" / "pg_control").exists():
            postgres = host.tools() / f"postgresql-{newest}/bin/postgres"
            assert host.run([postgres, "-D", target], check=False).returncode != 0
        else:  # ended while the last file, backup_manifest, was on its way: all that starts is there
            assert_complete(target, backed_up.home / "whole")
        if (target / "lifeboat_restore.json").exists() or not (target / "global" / "pg_control").exists():
            backed_up.restore(target)  # goes on
        assert_verified(newest, target)
        shutil.rmtree(target)
    assert interrupted >= 2  # of 10 or more
    backed_up.restore(backed_up.home / "next")
    assert_verified(newest, backed_up.home / "next")


def assert_complete(target, whole) -> None:
    differences = host.run(["diff", "--recursive", "--brief", "--exclude=backup_manifest", "--exclude=lifeboat_*", target,
                            whole], check=False)
    assert differences.stdout == ""


def test_a_backup_can_be_ended_while_the_bucket_does_not_answer(lifeboat, server, s3):
    lifeboat.use_s3(s3, "any")
    with host.dead_port() as port:
        lifeboat.spec["regions"][0]["s3"]["endpoint"] = f"https://127.0.0.1:{port}"
        with lifeboat.running("backup", *at(server)) as process:
            assert "trying again" in process.stderr.readline()
            process.terminate()
            done = command_line.outcome(process)
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"]["kind"] == "canceled"


def test_a_server_that_goes_away_ends_the_backup(cluster, lifeboat, newest):
    server = cluster(newest)
    server.add_role(PASSWORD)
    lifeboat.take_time()
    with server.connect(autocommit=True) as session, lifeboat.running("backup", *at(server)) as process:
        streams = "SELECT count(*) FROM pg_stat_replication WHERE usename = 'lifeboat' AND state = 'streaming'"
        command_line.wait_for(process, lambda: session.execute(streams).fetchone() == (1,), "WAL is streamed")
        with command_line.paused(process):
            server.stop("immediate")
        done = command_line.outcome(process)
    command_line.failure_of(done.returncode, done.stdout, done.stderr)
    assert lifeboat.list() == []
    server.start()
    lifeboat.backup(server)
